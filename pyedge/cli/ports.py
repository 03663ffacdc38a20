"""pyedge ports"""

from __future__ import annotations

import dataclasses
from typing import Any

import click

from ..boards import list_profiles
from ..host.ports import holder, list_ports
from ._common import console, emit, json_option, table


@click.command("ports")
@json_option
def command(as_json: bool) -> None:
    """List the serial ports of this machine, and which board each may be.

    Emulated boards need no port. A pseudo terminal is not listed: give its path with --port.

    \b
    Example:
      pyedge ports --json
    """
    profiles = list_profiles()
    found: list[dict[str, Any]] = [
        {
            **dataclasses.asdict(port),
            "boards": [p.name for p in profiles if p.link and port.usb in p.link.usb],
            "held_by": holder(port.device),
        }
        for port in list_ports()
    ]
    if as_json:
        emit("ports", 1, {"ports": found})
        return
    if not found:
        console().print("no serial ports; emulated boards need none (`pyedge boards`)")
        return
    rows = [
        (
            port["device"],
            f"{port['vid']:04x}:{port['pid']:04x}" if port["vid"] is not None and port["pid"] is not None else "-",
            port["serial"] or "-",
            ", ".join(port["boards"]) or "-",
            _state(port),
            port["description"],
        )
        for port in found
    ]
    table(("port", "USB", "serial", "board", "state", "description"), rows)


def _state(port: dict[str, Any]) -> str:
    if port["held_by"]:
        return f"busy: {port['held_by']}"
    return "free" if port["may_open"] else f"no rights (group {port['group']})"
