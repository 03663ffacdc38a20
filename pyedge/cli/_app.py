"""Finds the verbs, and turns errors into one line and an exit code."""

from __future__ import annotations

import difflib
import importlib
import os
import sys
from pathlib import Path

import click

from ..errors import (
    BoardNotFoundError,
    BusyError,
    LinkError,
    ModelError,
    PermissionDeniedError,
    PlanError,
    PyedgeError,
    ToolError,
    UnsupportedError,
    UnsupportedOpError,
)

VERBS = {
    "demo": "Digits, in Python and on an emulated RISC-V board: the same bytes.",
    "run": "Run a model or plan, here or on a board.",
    "compile": "Compile a model file into a plan.",
    "inspect": "Show what is in a model file or plan.",
    "train": "Train a model, or go on from a checkpoint.",
    "evaluate": "Accuracy on labelled data, here or on a board.",
    "profile": "Measure each op, here or on a board.",
    "bench": "Measure what this machine can do, and what ops cost.",
    "power": "Measure the energy of an inference.",
    "report": "Make an HTML page of stored runs.",
    "trace": "Write a stored profile for Chrome's and Perfetto's viewers.",
    "monitor": "Show what is on a board's line: text, and frames decoded.",
    "boards": "List the boards that pyedge knows.",
    "ports": "List the serial ports of this machine.",
    "doctor": "Check this machine: compilers, emulators, ports, rights.",
    "flash": "Build a firmware and put it on a board.",
    "keygen": "Make a key for signing firmware.",
    "sign": "Sign firmware for boards with a boot loader.",
    "selftest": "Try a board: bits, link, flash, clock.",
}

# What to try next, for errors whose text doesn't say it already.
ADVICE: list[tuple[type[PyedgeError], str]] = [
    (PermissionDeniedError, "pyedge doctor"),
    (BusyError, "close the program that uses it, or pick another with --port"),
    (BoardNotFoundError, "pyedge boards, pyedge ports"),
    (LinkError, "pyedge ports; pyedge flash --board BOARD"),
    (ToolError, "pyedge doctor"),
    (PlanError, "pyedge compile MODEL -o PLAN"),
    (UnsupportedError, "pyedge boards"),
    (UnsupportedOpError, "another model; the README lists the operators, pyedge/model/ops.py defines them"),
    (ModelError, "export or copy the file again"),
]

EXIT_USAGE, EXIT_BUG, EXIT_INTERRUPTED = 2, 10, 130


class _Verbs(click.Group):
    """Imports a verb when it is called, so that `pyedge --help` and `--version` answer at once."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(VERBS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in VERBS:
            return None
        command: click.Command = importlib.import_module(f".{cmd_name}", __package__).command
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args[0] not in VERBS and (near := difflib.get_close_matches(args[0], VERBS, 1)):
            ctx.fail(f"no verb {args[0]!r}; did you mean {near[0]}?")
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Verbs"):
            formatter.write_dl(list(VERBS.items()))


@click.command(cls=_Verbs, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(package_name="pyedge", message="%(prog)s %(version)s")
def app() -> None:
    """Neural networks on microcontrollers and small Linux boards, bit for bit as in Python.

    Start with: pyedge demo
    """


def _advice(error: PyedgeError) -> str:
    text = str(error)
    if "try:" in text:
        return text
    return next((f"{text}; try: {advice}" for kind, advice in ADVICE if isinstance(error, kind)), text)


def _fail(text: str, code: int) -> int:
    click.echo(f"pyedge: {' '.join(text.split())}", err=True)
    return code


def _system_error(error: OSError) -> str:
    """What the system refused. Errors of writes don't name the file; those of pyedge's own folders have a way out."""
    from ..host.folders import cache_folder, state_folder

    text = f"{error.filename or 'output'}: {error.strerror or error}"
    where = Path(os.fsdecode(error.filename)) if isinstance(error.filename, str | bytes) else Path()
    for folder, variable in ((cache_folder(), "XDG_CACHE_HOME"), (state_folder(), "XDG_STATE_HOME")):
        if where.is_absolute() and (where.is_relative_to(folder) or folder.is_relative_to(where)):
            return f"{text}; try: another folder by {variable}"
    return text


def run(args: list[str] | None = None) -> int:
    """Runs the command line and returns its exit code; PYEDGE_DEBUG=1 lets errors through with their traceback."""
    args = sys.argv[1:] if args is None else args
    try:
        code = app.main(args=args or ["--help"], prog_name="pyedge", standalone_mode=False)
        return code if isinstance(code, int) else 0  # of Context.exit()
    except SystemExit:  # Click and Rich end so when the reader of our output has gone: `pyedge inspect m.tflite | head`
        return 0
    except click.UsageError as error:
        where = error.ctx.command_path if error.ctx is not None else "pyedge"
        text = error.format_message().rstrip(".")
        return _fail(text if "try:" in text else f"{text}; try: {where} --help", EXIT_USAGE)
    except (click.Abort, KeyboardInterrupt):
        return _fail("interrupted", EXIT_INTERRUPTED)
    except PyedgeError as error:
        if os.environ.get("PYEDGE_DEBUG"):
            raise
        return _fail(_advice(error), error.exit_code)
    except OSError as error:
        if os.environ.get("PYEDGE_DEBUG"):
            raise
        return _fail(_system_error(error), EXIT_USAGE)
    except Exception as error:
        if os.environ.get("PYEDGE_DEBUG"):
            raise
        text = f"{type(error).__name__}: {error}; a bug of pyedge"
        return _fail(f"{text}; try: PYEDGE_DEBUG=1, and report the traceback", EXIT_BUG)


def main() -> None:
    """Entry point of the console script."""
    sys.exit(run())
