"""pyedge keygen"""

from __future__ import annotations

from pathlib import Path

import click

from ..host import signing
from ._common import OutputFile, console, emit, json_option


@click.command("keygen")
@click.argument("key", type=OutputFile())
@json_option
def command(key: Path, as_json: bool) -> None:
    """Make a key that firmware is signed with, and show its public half, which boards are built with.

    Keep KEY to yourself: who has it can put firmware on your boards; without it nobody can.

    \b
    Example:
      pyedge keygen key.pem
    """
    public = signing.keygen(key)
    if as_json:
        emit("keygen", 1, {"key": str(key), "public": public})
        return
    click.echo(public)
    console().print(f"{key}: a new private key; the public one for builds (docs/updating.md) is above")
