"""The Cortex-M images of each compiler: the bits of the host, what is counted, faults and resets."""

from __future__ import annotations

import subprocess
from pathlib import Path

import numpy as np
import pytest

import pyedge as pe

from .conftest import COMPILERS, FIRMWARE, Build, need
from .test_boards import check_bits
from .test_boards import plans as plans
from .wire import OS, PYEDGE, READ, WRITE, Board, mps, pack, store_elf

CORES = {"mps2-an386": "cortex-m4f", "mps3-an547": "cortex-m55"}
STORES = {"mps2-an386": 0x20000000, "mps3-an547": 0x28000000}


@pytest.mark.parametrize("board_name", CORES)
@pytest.mark.parametrize("compiler", COMPILERS)
def test_a_cortex_m_board_has_the_bits_of_the_host(
    build: Build, plans: dict[str, Path], tmp_path: Path, compiler: str, board_name: str
) -> None:
    """An int8 and a float plan, executed from the store; uploads into it are refused."""
    need("qemu-system-arm")
    image = build(board_name, compiler, PYEDGE_MARCH=CORES[board_name])
    for path in plans.values():
        (tmp_path / "store").write_bytes(store_elf(path.read_bytes(), STORES[board_name]))
        with Board(mps(board_name, image, tmp_path / "store")) as board:
            bound = board.ask(WRITE, PYEDGE, 8)
            assert bound is not None and bound["where"] == "slot" and bound["len"] == path.stat().st_size
            memory = check_bits(board, path)
            assert memory["plan"] == 0


@pytest.mark.parametrize("board_name", CORES)
def test_a_float_subnormal_stays(build: Build, board_name: str) -> None:
    """Products and sums below the normal range: flushed to zero they would be other bits."""
    need("qemu-system-arm")
    b = pe.GraphBuilder()
    w = np.full((3, 8), 2.0**-70, np.float32)
    b.output("y", b.linear(b.input("x", (1, 8), "float32"), w, np.full(3, 2.0**-140, np.float32)))
    plan = pe.compile(b.build())
    x = np.full((1, 8), 2.0**-75, np.float32)
    expected = pe.Session(plan)(x)
    assert 0 < expected.min() < np.finfo(np.float32).tiny
    with Board(mps(board_name, build(board_name, "clang", PYEDGE_MARCH=CORES[board_name]))) as board:
        board.upload(PYEDGE, bytes(plan.data))
        board.put(x.tobytes())
        board.ask(WRITE, PYEDGE, 4, {"e": 0, "id": 1})
        assert board.get(expected.nbytes) == expected.tobytes()


@pytest.mark.parametrize("board_name", CORES)
def test_the_count_is_of_instructions(build: Build, board_name: str) -> None:
    """A run counts the same twice, to one for each reading of the timer; twice the work is twice the count."""
    need("qemu-system-arm")
    counts = []
    with Board(mps(board_name, build(board_name, "clang", PYEDGE_MARCH=CORES[board_name]))) as board:
        for run, k in enumerate((128, 128, 256)):
            b = pe.GraphBuilder()
            b.output("y", b.linear(b.input("x", (1, k), "float32"), np.ones((16, k), np.float32)))
            plan = pe.compile(b.build())
            board.upload(PYEDGE, bytes(plan.data))
            board.put(bytes(4 * k))
            board.ask(WRITE, PYEDGE, 4, {"e": 0, "id": run + 1, "prof": True})
            profile = board.ask(READ, PYEDGE, 6, {"off": 0})
            assert profile is not None
            counts.append(profile["ops"][0])
    assert abs(counts[0] - counts[1]) <= 2
    assert counts[0] > 128 * 16 and 1.7 < counts[2] / counts[0] < 2.1


@pytest.mark.parametrize("board_name", CORES)
def test_a_stack_overflow_is_a_fault_that_resets_the_board(build: Build, board_name: str, tmp_path: Path) -> None:
    """With a stack of 256 bytes: the fault is said as text, and the board is there again. It counts its boots."""
    need("qemu-system-arm")
    with Board(mps(board_name, build(board_name, "gcc", PYEDGE_MARCH=CORES[board_name]))) as board:
        first = board.ask(READ, PYEDGE, 0)
        assert board.ask(WRITE, OS, 5) == {}
        second = board.ask(READ, PYEDGE, 0)
        assert first is not None and second is not None and second["boot"] == first["boot"] + 1
    for folder in ("csrc", "firmware"):
        subprocess.run(["cp", "-r", str(FIRMWARE.parent / folder), str(tmp_path)], check=True)
    script = tmp_path / f"firmware/port/{board_name}/link.ld"
    assert "+= 64K" in script.read_text()
    script.write_text(script.read_text().replace("+= 64K", "+= 256"))
    image = build(board_name, "gcc", source=tmp_path / "firmware", PYEDGE_MARCH=CORES[board_name])
    with Board(mps(board_name, image)) as board:
        for _ in range(2):
            board.sock.sendall(b"\0" + pack(READ, PYEDGE, 2, b"\xbf"))
            said = b""
            while not said.endswith(b"\n\0"):
                said += board.sock.recv(4096)
            assert b"fault: exception 00000003" in said
