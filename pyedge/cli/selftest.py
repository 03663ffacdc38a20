"""pyedge selftest"""

from __future__ import annotations

import json
from pathlib import Path

import click

from ..errors import VerificationError
from ..host import connect
from ..host.selftest import default_file, selftest
from ._common import OutputFile, console, emit, isa_option, json_option, plain_json, port_option, progress, table


@click.command("selftest")
@click.option("--board", "-b", required=True, metavar="BOARD", help="Board to try; see `pyedge boards`.")
@port_option
@isa_option
@click.option("--output", "-o", type=OutputFile(), help="The file of results.  [default: BOARD.json]")
@click.option("--flash/--no-flash", default=True, show_default=True, help="Also write plans, over those in its flash.")
@click.option(
    "--every", type=click.IntRange(min=1), default=1, show_default=True, help="Run each N-th golden case only."
)
@json_option
def command(
    board: str, port: str | None, isa: str | None, output: Path | None, flash: bool, every: int, as_json: bool
) -> None:
    """Try whether a board does what it should: the bits of each kernel, the link, the flash, its clock.

    The firmware has to be on it (`pyedge flash`). THE PLANS IN ITS FLASH ARE LOST, unless --no-flash is given. The
    results go into a file. That of a real board can be contributed as boards/silicon/BOARD.json: `pyedge boards` says
    "run on silicon" then.

    Exit code 7: something is wrong with the board.

    \b
    Examples:
      pyedge selftest -b esp32-c3 --port /dev/ttyACM0
      pyedge selftest -b virt-rv32 --every 10
    """
    with connect(board, port=port, isa=isa) as connected, progress(f"trying {board}") as done:
        result = selftest(connected, flash, every, lambda at, total: done(at, total))
    file = output or default_file(result.board)
    file.write_text(json.dumps(result.to_dict(), indent=1, default=plain_json) + "\n", encoding="utf-8")
    if as_json:
        facts = {key: value for key, value in result.to_dict().items() if key not in ("schema", "kind")}
        emit("selftest", 1, {**facts, "file": str(file)})
    else:
        table(("check", "verdict", "found"), [(c.name, c.status, c.found) for c in result.checks])
        console().print(f"\nwritten: {file}")
        if result.counts_as_silicon:
            console().print(f"To contribute it: add it as boards/silicon/{result.board}.json, see CONTRIBUTING.md")
    if not result.passed:
        failed = ", ".join(check.name for check in result.checks if check.status == "failed")
        raise VerificationError(f"{result.board}: it failed: {failed}; see {file}")
