"""The kernels of Cortex-M cores with DSP on an emulated board: at every edge of their tiles the bits of the host."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import pyedge as pe

from .conftest import COMPILERS, Build, need
from .test_rv32_kernels import GRAPHS, RNG
from .wire import PYEDGE, WRITE, Board, mps, store_elf

STORE = 0x20000000


@pytest.mark.parametrize("compiler", COMPILERS)
def test_every_edge_has_the_bits_of_the_host_on_a_cortex_m4(build: Build, tmp_path: Path, compiler: str) -> None:
    """The shapes of the rv32 kernels: rows, columns and k that are no multiples of a tile, saturated weights."""
    need("qemu-system-arm")
    plan = pe.compile(GRAPHS, board="mps2-an386")
    session = pe.Session(plan)
    (tmp_path / "store").write_bytes(store_elf(bytes(plan.data), STORE))
    image = build("mps2-an386", compiler, PYEDGE_MARCH="cortex-m4f")
    with Board(mps("mps2-an386", image, tmp_path / "store")) as board:
        assert board.ask(WRITE, PYEDGE, 8) is not None
        for number, name in enumerate(plan.entries):
            shape = [d or 1 for d in plan.entry(name).inputs[0].shape]
            for run, x in enumerate((RNG.integers(-128, 128, shape), np.full(shape, -128))):
                expected = session.run([x.astype(np.int8)], entry=name)[0]
                board.put(x.astype(np.int8).tobytes(), number)
                board.ask(WRITE, PYEDGE, 4, {"e": number, "id": 2 * number + run + 1})
                got = np.frombuffer(board.get(expected.nbytes, number), np.int8).reshape(expected.shape)
                np.testing.assert_array_equal(got, expected, name)
