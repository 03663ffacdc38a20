"""Links, emulators, remote sessions and flashing: pyedge's side of the wire (docs/link.md)."""

from .remote import Board, Hello, Memory, Remote, connect

__all__ = ["Board", "Hello", "Memory", "Remote", "connect"]
