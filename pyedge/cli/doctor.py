"""pyedge doctor"""

from __future__ import annotations

import dataclasses

import click

from ..host.doctor import checkup
from ._common import emit, json_option

_COLORS = {"ok": "green", "warn": "yellow", "fail": "red"}


@click.command("doctor")
@json_option
def command(as_json: bool) -> None:
    """Check this machine: the extension, emulators, compilers, ports, rights. Exit code 1 if something fails.

    \b
    Example:
      pyedge doctor
    """
    facts = checkup()
    if as_json:
        emit("doctor", 1, {"facts": [dataclasses.asdict(f) for f in facts]})
    else:
        for fact in facts:
            click.echo(f"{click.style(f'{fact.status:4}', fg=_COLORS[fact.status])} {fact.name}: {fact.found}")
            if fact.advice and fact.status != "ok":
                click.echo(f"     try: {fact.advice}")
    if any(f.status == "fail" for f in facts):
        click.get_current_context().exit(1)
