"""What the verbs share: options, models and boards to open, JSON, tables, progress."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click
import numpy as np
from click.core import ParameterSource
from rich import box
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from .. import Graph, Plan, PyedgeError, Session, ShapeError, load
from .. import compile as compile_graph
from ..boards import load_profile
from ..host import Remote, connect
from ..host.local import require_here
from ..model.graph import array_dtype
from ..tune.feeds import feeds

board_option = click.option("--board", "-b", metavar="BOARD", help="Run on this board; without it, here in Python.")
port_option = click.option(
    "--port",
    "-p",
    metavar="PORT",
    envvar="PYEDGE_PORT",
    show_envvar=True,
    help="Serial port: path, URL, or serial:ID; or ssh:USER@HOST.",
)
isa_option = click.option("--isa", metavar="ISA", help="Which firmware an emulated board runs, if it has several.")
entry_option = click.option("--entry", default="main", show_default=True, help="Entry of the plan.")
json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON, with a schema number, on stdout.")
store_option = click.option(
    "--store/--no-store", "stored", default=True, show_default=True, help="Keep the run for `pyedge report`."
)
data_option = click.option(
    "--data",
    "-d",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="An .npz file: arrays named as the inputs (or x), samples along the first axis; labels as y.",
)


def _load_kernels(ctx: click.Context, param: click.Parameter, files: tuple[Path, ...]) -> tuple[Path, ...]:
    from ..custom import load_kernels

    for file in files:
        load_kernels(file)
    return files


def kernels_option(expose: bool = False) -> Callable[[Any], Any]:
    """--with: loads kernels before a plan is; with `expose` the verb is given the files as well."""
    return click.option(
        "--with",
        "kernels",
        type=click.Path(exists=True, dir_okay=False, path_type=Path),
        multiple=True,
        metavar="KERNEL.c",
        callback=_load_kernels,
        expose_value=expose,
        help="A C file of custom ops; can be given several times.",
    )


class OutputFile(click.Path):
    """A file that will be written: its folder has to be there now, not after the work."""

    def __init__(self) -> None:
        super().__init__(dir_okay=False, writable=True, path_type=Path)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Path:
        path = Path(os.fsdecode(super().convert(value, param, ctx)))
        if not path.parent.is_dir():
            self.fail(f"{path}: there is no folder {path.parent}", param, ctx)
        if not os.access(path.parent, os.W_OK):
            self.fail(f"{path}: no right to write into {path.parent}", param, ctx)
        return path


model_argument = click.argument("model", type=click.Path(exists=True, dir_okay=False, path_type=Path))


def load_plan(
    model: Path, board: str | None, batch: int | None = None, shapes: Sequence[str] = (), entry: str | None = None
) -> Plan:
    """The plan in a file, or compiled from the model in it, for a board; has the entry, if one is given."""
    return planned(load(model), model, board, batch, shapes, entry)


def planned(
    loaded: Graph | Plan,
    model: Path,
    board: str | None,
    batch: int | None = None,
    shapes: Sequence[str] = (),
    entry: str | None = None,
) -> Plan:
    """As load_plan, from what has been loaded."""
    if isinstance(loaded, Plan):
        if batch is not None or shapes:
            raise click.UsageError(f"{model} is a plan: its shapes are fixed")
        plan = loaded
    else:
        plan = compile_graph(loaded, board=board or "host", batch=batch, shapes=parse_shapes(shapes))
    if entry is not None and entry not in plan.entries:
        raise click.UsageError(f"{model} has no entry {entry!r}; it has {', '.join(plan.entries)}")
    return plan


def keep(kind: str, board: str, model: Path, plan: Plan, data: dict[str, Any]) -> int | None:
    """Stores a run, whose number it returns. Where that fails the measurement still counts: a warning, and None."""
    from ..host import runs

    try:
        return runs.store(kind, board, model.name, plan, data)
    except PyedgeError as error:
        click.echo(f"pyedge: the run is not stored: {error}", err=True)
        return None


def parse_shapes(texts: Sequence[str]) -> dict[str, tuple[int, ...]] | None:
    """Values of --shape, "NAME=1,49,10,1"."""
    shapes = {}
    for text in texts:
        name, value = parse_pair(text, "--shape")
        try:
            shapes[name] = tuple(int(n) for n in value.split(","))
        except ValueError:
            raise click.UsageError(f"--shape {text!r}: expected NAME=1,49,10,1") from None
    return shapes or None


def check_board(board: str | None, port: str | None, isa: str | None) -> None:
    """Refuses options of a board where there is none. A port may be in the environment."""
    source = click.get_current_context().get_parameter_source("port")
    if board is None and (isa is not None or (port is not None and source is ParameterSource.COMMANDLINE)):
        raise click.UsageError("--port and --isa are for a board: add --board BOARD")


@contextmanager
def runner(
    plan: Plan, board: str | None, port: str | None, isa: str | None = None, persist: bool = False
) -> Iterator[Session | Remote]:
    """The plan ready to run: here without a board or on the board that this is, else loaded there."""
    check_board(board, port, isa)
    if board is None:
        yield Session(plan)
        return
    profile = load_profile(board)
    if profile.linux and port is None:
        require_here(profile)
        yield Session(plan)
        return
    with connect(board, port=port, isa=isa) as connected:
        with progress(f"loading {board}", len(plan.data)) as done:
            remote = connected.load(plan, persist, progress=lambda at, total: done(at))
        yield remote


def load_data(path: Path) -> dict[str, np.ndarray]:
    """The arrays of an .npz file (or one .npy file, as "x"); pickled objects are refused."""
    try:
        loaded = np.load(path, allow_pickle=False)
        if isinstance(loaded, np.ndarray):
            return {"x": loaded}
        with loaded:
            return {name: loaded[name] for name in loaded.files}
    except Exception:  # a damaged archive raises whatever zipfile, zlib and NumPy raise
        raise click.UsageError(f"{path}: damaged, or not a NumPy file of plain arrays") from None


def load_runs(path: Path, plan: Plan, entry: str) -> list[dict[str, np.ndarray]]:
    """Arguments of `run` from a data file: inputs by name, or `x` for a single one."""
    try:
        return feeds(plan.entry(entry), load_samples(path, plan, entry))
    except ShapeError as error:
        raise ShapeError(f"{path}: {error}") from None


def load_samples(path: Path, plan: Plan, entry: str) -> dict[str, np.ndarray]:
    """The arrays of a data file by the names of an entry's inputs; `x` stands for a single one."""
    arrays, inputs = load_data(path), plan.entry(entry).inputs
    if len(inputs) == 1 and inputs[0].name not in arrays and "x" in arrays:
        arrays[inputs[0].name] = arrays["x"]
    if missing := [t.name for t in inputs if t.name not in arrays]:
        names = ", ".join(t.name for t in inputs)
        raise click.UsageError(f"{path}: no array {missing[0]!r}; it has {', '.join(arrays)}; the inputs are {names}")
    return arrays


def zeros(plan: Plan, entry: str) -> dict[str, np.ndarray]:
    """An argument of `run` for who has no data."""
    return {t.name: np.zeros(tuple(d or 1 for d in t.shape), array_dtype(t.dtype)) for t in plan.entry(entry).inputs}


def parse_pair(text: str, what: str) -> tuple[str, str]:
    """NAME=VALUE of an option."""
    name, equals, value = text.partition("=")
    if not equals or not name or not value:
        raise click.UsageError(f"{what} {text!r}: expected NAME=VALUE")
    return name, value


def graph_facts(graph: Graph) -> dict[str, Any]:
    """What a graph says of itself, as plain data."""
    return {
        "name": graph.name,
        "meta": graph.meta,
        "inputs": [_tensor(t) for t in graph.inputs],
        "outputs": [_tensor(t) for t in graph.outputs],
        "ops": [{"kind": op.kind, "name": op.name, "inputs": op.inputs, "outputs": op.outputs} for op in graph.ops],
    }


def _tensor(t: Any) -> dict[str, Any]:
    return {"name": t.name, "shape": t.shape, "dtype": t.dtype, "scale": t.scale, "zero_point": t.zero_point}


_PIPE_WIDTH = 1000  # characters: no text of ours needs more


def console() -> Console:
    """For people: stdout, as wide as the terminal, or as the text needs in a pipe."""
    pipe = not sys.stdout.isatty()
    return Console(width=_PIPE_WIDTH if pipe else None, highlight=False, soft_wrap=pipe)


def emit(kind: str, schema: int, data: Mapping[str, Any]) -> None:
    """Prints one JSON object: {"schema": n, "kind": kind, ...data}."""
    click.echo(json.dumps({"schema": schema, "kind": kind, **data}, indent=2, default=plain_json))


def plain_json(value: Any) -> Any:
    """JSON for what the library returns: arrays, NumPy scalars, paths."""
    if isinstance(value, (np.ndarray, np.generic)):
        return value.tolist()
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, bytes):
        return value.hex()
    raise TypeError(f"no JSON for {type(value).__name__}")


def table(columns: Sequence[str], rows: Iterable[Sequence[object]], right: Iterable[int] = ()) -> None:
    """Prints a table; columns whose numbers are in `right` are aligned to the right."""
    right = set(right)
    grid = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
    for i, name in enumerate(columns):
        grid.add_column(name, justify="right" if i in right else "left", no_wrap=True)
    for row in rows:
        grid.add_row(*(f"{v:,}" if isinstance(v, int) and not isinstance(v, bool) else str(v) for v in row))
    console().print(grid)


@contextmanager
def progress(what: str, total: int | None = None) -> Iterator[Callable[..., None]]:
    """A bar on stderr while the block runs, if that is a terminal.

    Yields a function that takes what is done so far, and the total where only the work itself knows it.
    """
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True, disable=not sys.stderr.isatty()) as bar:
        task = bar.add_task(what, total=total)
        yield lambda done, total=None: bar.update(task, completed=done, total=total)
