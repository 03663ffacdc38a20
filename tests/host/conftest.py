"""Real boards for the tests of the link: the host port, and QEMU where it is installed."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

import pyedge as pe
from pyedge.boards import load_profile
from pyedge.host import build
from pyedge.host.emulator import Emulator

needs_qemu = pytest.mark.skipif(
    shutil.which("qemu-system-riscv32") is None, reason="qemu-system-riscv32 is not installed"
)
needs_qemu_arm = pytest.mark.skipif(shutil.which("qemu-system-arm") is None, reason="qemu-system-arm is not installed")
CORTEX_M = [pytest.param(board, marks=needs_qemu_arm) for board in ("mps2-an386", "mps3-an547")]
BOARDS = ["host", *(pytest.param(board, marks=needs_qemu) for board in ("virt-rv32", "sifive-e")), *CORTEX_M]


@pytest.fixture(autouse=True)
def own_state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The user's kept boards stay as they are, and the tests don't depend on them."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.delenv("PYEDGE_PORT", raising=False)


@pytest.fixture
def emulate(tmp_path: Path) -> Iterator[Callable[[str], Emulator]]:
    """Starts an emulated board by name; it is stopped at the end of the test."""
    running: list[Emulator] = []

    def start(name: str) -> Emulator:
        profile = load_profile(name)
        running.append(Emulator(profile, profile.image(), build.firmware(profile, profile.image())))
        return running[-1]

    yield start
    for board in running:
        board.stop()


@pytest.fixture(scope="session")
def plan() -> pe.Plan:
    """A float network with some 20 KB of weights: its upload takes many frames."""
    random = np.random.default_rng(5)
    b = pe.GraphBuilder()
    h = b.linear(b.input("x", (1, 64), "float32"), random.standard_normal((72, 64), np.float32), activation="relu")
    b.output("y", b.linear(h, random.standard_normal((10, 72), np.float32)))
    return pe.compile(b.build())


@pytest.fixture(scope="session")
def other_plan() -> pe.Plan:
    """Another plan with inputs of the same shape."""
    b = pe.GraphBuilder()
    b.output("y", b.linear(b.input("x", (1, 64), "float32"), np.ones((3, 64), np.float32)))
    return pe.compile(b.build())


@pytest.fixture(scope="session")
def x() -> np.ndarray:
    """An input of both plans."""
    return np.random.default_rng(6).standard_normal((1, 64), np.float32)
