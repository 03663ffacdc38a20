"""ResNet8, DS-CNN and the autoencoder learn: the same weights at each level of this CPU and on each firmware."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

import pyedge as pe
from pyedge.boards import load_profile
from pyedge.host import emulator

from . import learn_models
from .conftest import needs_qemu
from .learn_models import MODELS, STEPS, digest, samples, trainer_of

BEST = pe.cpu_features().isa
LEVELS = list(dict.fromkeys(["portable", "avx2" if BEST == "avx512" else BEST, BEST]))
BOARD_STEPS = STEPS if os.environ.get("PYEDGE_TEST_ALL_ROWS") else 2
CASES = [(name, precision) for name in MODELS for precision in ("fp32", "fp16")]


@cache
def digests(data: Path, name: str, precision: str, level: str) -> list[str]:
    """Behind each step, by the kernels of a level."""
    command = [sys.executable, learn_models.__file__, str(data), name, precision]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, env={**os.environ, "PYEDGE_ISA": level})
    return list(json.loads(done.stdout))


@pytest.mark.parametrize("name, precision", CASES)
def test_each_level_of_the_cpu_learns_the_same(data_dir: Path, name: str, precision: str) -> None:
    """20 steps; each of them changes the weights."""
    found = [digests(data_dir, name, precision, level) for level in LEVELS]
    assert len(set(found[0])) == STEPS and all(f == found[0] for f in found)


@needs_qemu
@pytest.mark.parametrize("isa", ["rv32imafc", "rv32imac"])
@pytest.mark.parametrize("name, precision", CASES)
def test_virt_rv32_learns_the_same(data_dir: Path, tmp_path: Path, name: str, precision: str, isa: str) -> None:
    """Hard and soft floats: two steps, or 20 with PYEDGE_TEST_ALL_ROWS=1."""
    trainer = trainer_of(data_dir, name, precision)
    plan = trainer.compile(board="virt-rv32")
    emulator.write_flash(tmp_path / "flash", load_profile("virt-rv32"), bytes(plan.data))  # quicker than over the line
    with pe.connect("virt-rv32", isa=isa, flash=tmp_path / "flash", timeout=900) as board:
        remote = board.load(plan, persist=True)
        for _, (x, y) in zip(range(BOARD_STEPS), samples(data_dir, name, trainer), strict=False):
            remote.train_on_batch(x, y)
        assert digest(remote.weights()) == digests(data_dir, name, precision, BEST)[BOARD_STEPS - 1]
