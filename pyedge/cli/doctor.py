"""pyedge doctor"""

from __future__ import annotations

import dataclasses

import click

from ..host.doctor import checkup
from ._common import emit, json_option

_COLORS = {"ok": "green", "info": "cyan", "warn": "yellow", "fail": "red"}


@click.command("doctor")
@json_option
def command(as_json: bool) -> None:
    """Check this machine: the extension, emulators, compilers, ports, rights, flashers, power meters.

    Each finding comes with the command that mends it. The exit code is that of the first failure: 3 the installation,
    4 no rights on a board's port, 5 another program has it; else 0.

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
            if fact.advice:
                click.echo(f"     try: {fact.advice}")
    click.get_current_context().exit(next((f.exit_code for f in facts if f.status == "fail"), 0))
