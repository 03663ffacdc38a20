"""The bits of each kernel on emulated boards are those recorded in tests/golden/bits.json."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

import pyedge as pe

from .conftest import CORTEX_M, needs_qemu

sys.path.append(str(Path(__file__).parents[1] / "golden"))

from bits_cases import cases, digest, recorded


@pytest.mark.parametrize(
    "name", [*(pytest.param(board, marks=needs_qemu) for board in ("virt-rv32", "virt-rv32-v")), *CORTEX_M]
)
def test_the_bits_are_those_recorded(name: str) -> None:
    """One connection, plan after plan."""
    with pe.connect(name) as board:
        found = {c.name: digest(board.load(pe.compile(c.graph, board=name, **c.options)).run(c.feeds)) for c in cases()}
    assert found == recorded()
