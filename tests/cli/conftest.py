"""The command as users start it: a process of its own, in a folder with a plan and data."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest

import pyedge as pe
from pyedge import demo

DIGITS = 12  # samples in digits.npz
COMMAND = [sys.executable, "-m", "pyedge.cli"]
QEMU = shutil.which("qemu-system-riscv32") is not None
needs_qemu = pytest.mark.skipif(not QEMU, reason="qemu-system-riscv32 is not installed")
BOARDS = ["host", *(pytest.param(b, marks=needs_qemu) for b in ("virt-rv32", "virt-rv32-v", "sifive-e"))]


class Result(NamedTuple):
    """What a command did."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> dict[str, Any]:
        """Its output, which must be one JSON object and nothing else, of a command that was good."""
        assert (self.code, self.err) == (0, "")
        parsed = json.loads(self.out)
        assert isinstance(parsed["schema"], int)
        return parsed


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """digits.pedge; digits.npz with x and labels y; two.pedge, a plan of entries main and first."""
    where = tmp_path_factory.mktemp("cli")
    x, y = demo.heldout()
    np.savez(where / "digits.npz", x=x[:DIGITS], y=y[:DIGITS])
    pe.compile(demo.digits_int8()).save(where / "digits.pedge")
    b = pe.GraphBuilder("sum")
    b.output("y", b.add(b.input("a", (1, 3), "float32"), b.input("b", (1, 3), "float32")))
    graph = b.build()
    pe.compile({"main": graph, "first": graph}).save(where / "two.pedge")
    return where


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """Boards without a past, a terminal of no kind, no port chosen."""
    kept = {k: v for k, v in os.environ.items() if k not in ("PYEDGE_PORT", "PYEDGE_DEBUG", "FORCE_COLOR", "COLUMNS")}
    return {**kept, "XDG_STATE_HOME": str(tmp_path / "state")}


@pytest.fixture
def pyedge(folder: Path, environment: dict[str, str]) -> Callable[..., Result]:
    """Runs `pyedge` in that folder."""

    def run(*args: object, **variables: str) -> Result:
        done = subprocess.run(
            [*COMMAND, *map(str, args)],
            cwd=folder,
            env={**environment, **variables},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=300,
        )
        return Result(done.returncode, done.stdout, done.stderr)

    return run
