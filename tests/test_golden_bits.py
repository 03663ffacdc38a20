"""The bits of each kernel are those recorded in tests/golden/bits.json, at every level that this CPU has.

The same cases run on emulated CPUs (scripts/emulated_tests.py) and boards (tests/host/test_golden_bits_boards.py).
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

import pyedge as pe
from pyedge import _core

sys.path.append(str(Path(__file__).parent / "golden"))

from bits_cases import cases, digest, recorded

LEVELS = (("portable", "avx2", "avx512"), ("portable", "neon", "dotprod", "i8mm"), ("portable", "rvv"))
BEST = _core.cpu_features()[0]
BELOW = next((levels[: levels.index(BEST)] for levels in LEVELS if BEST in levels), ())


def test_the_bits_are_those_recorded() -> None:
    """At the level of this process, and with every tensor in memory of its own, too."""
    for keep in (None, "all"):
        found = {c.name: digest(pe.Session(pe.compile(c.graph, keep=keep, **c.options)).run(c.feeds)) for c in cases()}
        assert found == recorded()


@pytest.mark.skipif(os.environ.get("PYEDGE_ISA") is not None, reason="this user may have chosen one level")
@pytest.mark.parametrize("level", BELOW)
def test_the_bits_at_lower_levels(level: str) -> None:
    """PYEDGE_ISA is read at import, so in a process of its own."""
    test = f"{__file__}::test_the_bits_are_those_recorded"
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", test]
    done = subprocess.run(
        command, env={**os.environ, "PYEDGE_ISA": level}, capture_output=True, text=True, timeout=600, check=False
    )
    assert done.returncode == 0, done.stdout


def test_no_case_is_a_constant() -> None:
    """A hash of zeros would say nothing."""
    for c in cases():
        for y in pe.Session(pe.compile(c.graph, **c.options)).run(c.feeds):
            assert y.size == 1 or len(set(y.ravel().tolist())) > 1, c.name
