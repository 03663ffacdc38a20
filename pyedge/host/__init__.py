"""Links, emulators, remote sessions and flashing: pyedge's side of the wire (docs/link.md)."""

from .board import Board, connect
from .commands import Hello, Memory
from .doctor import Fact, checkup
from .flash import FlashReport, flash
from .ports import Port, list_ports
from .remote import Remote

__all__ = [
    "Board",
    "Fact",
    "FlashReport",
    "Hello",
    "Memory",
    "Port",
    "Remote",
    "checkup",
    "connect",
    "flash",
    "list_ports",
]
