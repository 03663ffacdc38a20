"""pyedge trace"""

from __future__ import annotations

import json
from pathlib import Path

import click

from ..host import report, runs
from ._common import OutputFile, emit, json_option


@click.command("trace", context_settings={"ignore_unknown_options": True})
@click.argument("number", type=int, default=-1, metavar="[RUN]")
@click.option("--output", "-o", type=OutputFile(), help="The file.  [default: run-RUN.json]")
@json_option
def command(number: int, output: Path | None, as_json: bool) -> None:
    """Write a stored profile as a trace for chrome://tracing or ui.perfetto.dev; the newest run if none is named.

    \b
    Example:
      pyedge trace 4 -o kws.json
    """
    run = runs.load([number])[0]
    if run.kind != "profile":
        raise click.UsageError(f"{run.title} is no profile but {run.kind}")
    file = output or Path(f"run-{run.id}.json")
    file.write_text(json.dumps(report.trace(run)), encoding="utf-8")
    if as_json:
        emit("trace", 1, {"file": file, "run": run.id})
    else:
        click.echo(f"{file}: {run.title}")
