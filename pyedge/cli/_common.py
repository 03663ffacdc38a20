"""What the verbs share: options, JSON, tables, progress."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import click
import numpy as np
from rich import box
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

F = TypeVar("F", bound=Callable[..., Any])
T = TypeVar("T")

board_option = click.option("--board", "-b", metavar="BOARD", help="Board to use; see `pyedge boards`.")
port_option = click.option(
    "--port", "-p", metavar="PORT", envvar="PYEDGE_PORT", show_envvar=True, help="Serial port: path, URL, or serial:ID."
)
json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON, with a schema number, on stdout.")
model_argument = click.argument("model", type=click.Path(exists=True, dir_okay=False, path_type=Path))


def console() -> Console:
    """For people: stdout, as wide as the terminal, or as the text needs in a pipe."""
    return Console(width=None if sys.stdout.isatty() else 160, highlight=False, soft_wrap=not sys.stdout.isatty())


def emit(kind: str, schema: int, data: Mapping[str, Any]) -> None:
    """Prints one JSON object: {"schema": n, "kind": kind, ...data}."""
    click.echo(json.dumps({"schema": schema, "kind": kind, **data}, indent=2, default=_plain))


def _plain(value: Any) -> Any:
    """JSON for what the library returns: arrays, NumPy scalars, paths."""
    if isinstance(value, (np.ndarray, np.generic)):
        return value.tolist()
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, bytes):
        return value.hex()
    raise TypeError(f"no JSON for {type(value).__name__}")


def table(title: str, columns: Sequence[str], rows: Iterable[Sequence[object]], right: Iterable[int] = ()) -> None:
    """Prints a table; columns whose numbers are in `right` are aligned to the right."""
    right = set(right)
    grid = Table(title=title or None, title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
    for i, name in enumerate(columns):
        grid.add_column(name, justify="right" if i in right else "left", no_wrap=True)
    for row in rows:
        grid.add_row(*(f"{v:,}" if isinstance(v, int) and not isinstance(v, bool) else str(v) for v in row))
    console().print(grid)


@contextmanager
def progress(what: str, total: int) -> Iterator[Callable[[int], None]]:
    """A bar on stderr while the block runs, if stderr is a terminal; yields a function that takes what is done so far."""
    columns = (TextColumn(what), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True, disable=not sys.stderr.isatty()) as bar:
        task = bar.add_task(what, total=total)
        yield lambda done: bar.update(task, completed=done)


def load_data(path: Path) -> dict[str, np.ndarray]:
    """The arrays of an .npz file (or one .npy file, as "x"); pickled objects are refused."""
    try:
        loaded = np.load(path, allow_pickle=False)
        if isinstance(loaded, np.ndarray):
            return {"x": loaded}
        with loaded:
            return {name: loaded[name] for name in loaded.files}
    except (ValueError, EOFError, OSError) as error:
        raise click.UsageError(f"{path}: not a NumPy file of plain arrays ({error})") from error


def inputs_of(arrays: Mapping[str, np.ndarray], names: Sequence[str], path: Path) -> dict[str, np.ndarray]:
    """Picks a model's inputs from a data file: by name, or `x` (also `x0`, `x1`, ...) in order."""
    if all(name in arrays for name in names):
        return {name: arrays[name] for name in names}
    if len(names) == 1 and "x" in arrays:
        return {names[0]: arrays["x"]}
    if all(f"x{i}" in arrays for i in range(len(names))):
        return {name: arrays[f"x{i}"] for i, name in enumerate(names)}
    raise click.UsageError(f"{path}: has {', '.join(arrays) or 'no arrays'}; the model's inputs are {', '.join(names)}")


def parse_pair(text: str, what: str) -> tuple[str, str]:
    """NAME=VALUE of an option."""
    name, equals, value = text.partition("=")
    if not equals or not name or not value:
        raise click.UsageError(f"{what} {text!r}: expected NAME=VALUE")
    return name, value
