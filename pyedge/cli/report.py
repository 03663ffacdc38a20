"""pyedge report"""

from __future__ import annotations

from pathlib import Path

import click

from ..host import report, runs
from ._common import OutputFile, emit, json_option, table

_LISTED = 20


@click.command("report", context_settings={"ignore_unknown_options": True})
@click.argument("numbers", nargs=-1, type=int, metavar="[RUN]...")
@click.option("--output", "-o", type=OutputFile(), help="The HTML file.  [default: run-RUN.html]")
@click.option("--list", "listed", is_flag=True, help=f"List the newest {_LISTED} stored runs instead.")
@json_option
def command(numbers: tuple[int, ...], output: Path | None, listed: bool, as_json: bool) -> None:
    """Make one HTML page of stored runs, the newest one if none is named.

    `pyedge profile` and `pyedge power` store what they measure. The page needs nothing else: latency histogram, ops,
    the arena over time, power with the windows of inferences, and several runs side by side. -1 is the newest run.

    \b
    Examples:
      pyedge report --list
      pyedge report 4 7 -o compare.html
    """
    if listed:
        found = runs.newest(_LISTED)
        if as_json:
            emit("runs", 1, {"runs": [_facts(run) for run in found]})
        else:
            table(("run", "time", "kind", "board", "model"), [(r.id, r.time, r.kind, r.board, r.model) for r in found])
        return
    chosen = runs.load(list(numbers) or [-1])
    file = output or Path(f"run-{'-'.join(str(run.id) for run in chosen)}.html")
    file.write_text(report.html(chosen), encoding="utf-8")
    if as_json:
        emit("report", 1, {"file": file, "runs": [_facts(run) | {"data": run.data} for run in chosen]})
    else:
        click.echo(f"{file}: {', '.join(run.title for run in chosen)}")


def _facts(run: runs.Run) -> dict[str, object]:
    return {name: getattr(run, name) for name in ("id", "time", "kind", "board", "model", "plan_sha256")}
