"""The cases of pyedge/host/golden.py, with the SHA-256 of their outputs that make_bits.py has recorded in bits.json."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from pyedge.host import golden
from pyedge.host.golden import Array, Case, cases

__all__ = ["RECORD", "Array", "Case", "cases", "digest", "recorded"]

RECORD = Path(__file__).with_name("bits.json")


def recorded() -> dict[str, str]:
    """SHA-256 of the outputs of each case."""
    record: dict[str, str] = json.loads(RECORD.read_text(encoding="utf-8"))
    return record


def digest(outputs: Sequence[Array]) -> str:
    """Of the bytes of all outputs, one after the other."""
    return golden.digest(outputs).hex()
