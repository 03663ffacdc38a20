"""The bits of each kernel are those recorded in tests/golden/bits.json, at every level that this CPU has.

The same cases run on emulated CPUs (scripts/emulated_tests.py) and boards (tests/host/test_golden_bits_boards.py).
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

import pyedge as pe
from pyedge import _core
from pyedge.model.graph import array_dtype

sys.path.append(str(Path(__file__).parent / "golden"))

from bits_cases import Array, Case, cases, digest, recorded

LEVELS = (
    ("portable", "avx2", "avx512"),
    ("portable", "neon", "fp16", "dotprod", "i8mm"),
    ("portable", "rvv", "zvfh"),
)
BEST = _core.cpu_features()[0]
USABLE = next(levels[: levels.index(BEST) + 1] for levels in LEVELS if BEST in levels)


def outputs(case: Case, level: str) -> list[Array]:
    """By the kernels of a level, as a session has them that was made with PYEDGE_ISA=level."""
    plan = pe.compile(case.graph, **case.options)
    session, entry = _core.Session(_core.Plan(bytes(plan.data), True, level)), plan.entry("main")
    for t, x in zip(entry.inputs, case.feeds, strict=True):
        session.tensor(t.number)[:] = x.reshape(-1).view(np.uint8)
    assert session.run(entry.number)
    return [session.tensor(t.number).copy().view(array_dtype(t.dtype)) for t in entry.outputs]


@pytest.mark.parametrize("level", USABLE)
def test_the_bits_are_those_recorded(level: str) -> None:
    assert {c.name: digest(outputs(c, level)) for c in cases()} == recorded()


def test_every_tensor_in_memory_of_its_own_changes_nothing() -> None:
    found = {c.name: digest(pe.Session(pe.compile(c.graph, keep="all", **c.options)).run(c.feeds)) for c in cases()}
    assert found == recorded()


def test_no_case_is_a_constant() -> None:
    """A hash of zeros would say nothing."""
    for c in cases():
        for y in pe.Session(pe.compile(c.graph, **c.options)).run(c.feeds):
            assert y.size == 1 or len(set(y.ravel().tolist())) > 1, c.name
