"""The store of plans in flash, as bytes: docs/link.md, "Journal and slots"."""

from __future__ import annotations

import hashlib
import zlib

from ..boards import Store
from ..errors import PlanError

_MAGIC = b"PEJ1"
RECORD_BYTES = 64


def record(sequence: int, slot: int, plan: bytes) -> bytes:
    """The 64-byte journal record that makes a plan in a slot the active one."""
    head = b"".join(n.to_bytes(4, "little") for n in (sequence, slot, len(plan)))
    body = _MAGIC + head + hashlib.sha256(plan).digest() + b"\xff" * 12
    return body + zlib.crc32(body).to_bytes(4, "little")


def compose(store: Store, plan: bytes | None) -> bytes:
    """The first bytes of a store that holds one plan in slot 0, or none; what follows is erased (0xFF).

    Raises:
        PlanError: The plan is larger than a slot.
    """
    if plan is None:
        return b"\xff" * (2 * store.sector_bytes)
    if len(plan) > store.slot_bytes:
        raise PlanError(f"a plan of {len(plan)} bytes does not fit into a slot of {store.slot_bytes} bytes")
    return record(1, 0, plan).ljust(2 * store.sector_bytes, b"\xff") + plan
