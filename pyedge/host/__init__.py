"""Links, emulators, remote sessions and flashing: pyedge's side of the wire (docs/link.md)."""

from .doctor import Fact, checkup
from .flash import FlashReport, flash
from .ports import Port, list_ports
from .remote import Board, Hello, Memory, Remote, connect

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
