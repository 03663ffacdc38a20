"""ResNet8, DS-CNN and the autoencoder learn: this CPU comes to the recorded weights, with any kernels and threads.

The first test runs on emulated CPUs, too (scripts/emulated_tests.py), and tests/host/test_training_bits.py on boards.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import pyedge as pe

sys.path.append(str(Path(__file__).parent.parent / "golden"))

import learned_models
from learned_models import CASES, STEPS, learn, recorded

BEST = pe.cpu_features().isa
LOWER = {"avx512": ("portable", "avx2"), "portable": ()}.get(BEST, ("portable",))


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("name, precision", CASES)
def test_this_cpu_learns_what_is_recorded(data_dir: Path, name: str, precision: str, threads: int) -> None:
    """20 steps; each of them changes the weights."""
    found = learn(data_dir, name, precision, threads)
    assert len(set(found)) == STEPS and found == recorded(name, precision)


@pytest.mark.parametrize("level", LOWER)
@pytest.mark.parametrize("name, precision", CASES)
def test_lower_levels_learn_the_same(data_dir: Path, name: str, precision: str, level: str) -> None:
    """A level is chosen at import, so each has a process of its own."""
    command = [sys.executable, learned_models.__file__, str(data_dir), name, precision]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, env={**os.environ, "PYEDGE_ISA": level})
    assert json.loads(done.stdout) == recorded(name, precision)
