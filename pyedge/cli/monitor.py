"""pyedge monitor"""

from __future__ import annotations

import json

import click

from ..boards import load_profile
from ..errors import UnsupportedError
from ..host import monitor, ports
from ..host.stream import SerialStream
from ._common import json_option, plain_json


@click.command("monitor")
@click.option("--board", "-b", metavar="BOARD", help="Board that hangs there: its port is found, its rate taken.")
@click.option(
    "--port", "-p", metavar="PORT", envvar="PYEDGE_PORT", show_envvar=True, help="Serial port: path, URL, or serial:ID."
)
@click.option("--baud", type=click.IntRange(1), help="Rate of the line.  [default: the board's; else 115200]")
@click.option("--seconds", type=click.FloatRange(0, min_open=True), help="End after so long.  [default: Ctrl-C]")
@json_option
def command(board: str | None, port: str | None, baud: int | None, seconds: float | None, as_json: bool) -> None:
    """Show what a board says: text as it is, frames of the link decoded. Only listens, and waits for a port that goes.

    With --json one object a line.

    \b
    Examples:
      pyedge monitor -b hifive1-rev-b
      pyedge monitor -p /dev/ttyACM0 --baud 921600 --json | jq .text
    """
    if board is None and port is None:
        raise click.UsageError("name a board or a port: --board BOARD, --port PORT")
    profile = None if board is None else load_profile(board)
    rate = baud or (profile.serial_link().baud if profile else 115200)
    if port is None and profile and profile.emulator:
        raise UnsupportedError(f"{profile.name}: it runs only while a command uses it; give the --port of a real board")

    def open_port() -> SerialStream:
        return SerialStream(ports.choose(profile, port) if profile else str(port), rate)

    for line in monitor.watch(open_port, seconds):
        if as_json:
            facts = {"schema": 1, "kind": line.kind, "text": line.text, "frame": line.data}
            click.echo(json.dumps(facts, default=plain_json))
        else:
            click.echo(line.text if line.kind == "text" else click.style(line.text, dim=True))
