"""The best pipeline of layers over kinds of cores, against all that there are."""

from __future__ import annotations

import itertools
import random

import numpy as np

import pyedge as pe
from pyedge.plan.pipeline import best_pipeline, cut_bytes

NEVER = float("inf")


def by_trying(times: list[list[int]], transfers: list[float]) -> tuple[float, float]:
    """The least period, and the least latency with it, of all orders and cuts."""
    ops, received, found = len(times[0]), [0.0, *transfers], []
    for stages in range(1, min(len(times), ops) + 1):
        for kinds in itertools.permutations(times, stages):
            for cuts in itertools.combinations(range(1, ops), stages - 1):
                ends = list(itertools.pairwise([0, *cuts, ops]))
                each = [received[a] + sum(kind[a:b]) for kind, (a, b) in zip(kinds, ends, strict=True)]
                found.append((max(each), sum(each)))
    return min(found)


def test_no_pipeline_is_better() -> None:
    """One to three kinds, cuts that cost and cuts that may not be."""
    dice = random.Random(1)
    for _ in range(400):
        kinds, ops = dice.randint(1, 3), dice.randint(1, 6)
        times = [[dice.randint(1, 9) for _ in range(ops)] for _ in range(kinds)]
        transfers = [dice.choice([0.0, 1.0, 3.0, NEVER]) for _ in range(ops - 1)]
        found = best_pipeline(times, transfers)
        assert (found.period, found.latency) == by_trying(times, transfers)
        assert [s.first for s in found.stages] == [0, *(s.last for s in found.stages[:-1])]
        assert found.stages[-1].last == ops and len({s.kind for s in found.stages}) == len(found.stages)


def test_a_kind_may_be_left_out() -> None:
    """Slow cores that a stage would have to wait for."""
    found = best_pipeline([[1, 1, 1], [50, 50, 50]], [0, 0])
    assert [(s.kind, s.first, s.last) for s in found.stages] == [(0, 0, 3)]


def test_what_lives_across_a_cut_is_handed_over() -> None:
    """A shortcut is handed over beside what it goes around; weights are not."""
    b = pe.GraphBuilder()
    x = b.input("x", (1, 8), "float32")
    h = b.linear(x, np.ones((16, 8), np.float32))
    narrow = b.linear(h, np.ones((4, 16), np.float32))
    b.output("y", b.add(b.linear(narrow, np.ones((16, 4), np.float32)), h))
    assert cut_bytes(pe.compile(b.build())) == [4 * 16, 4 * (16 + 4), 4 * (16 + 16)]


def test_no_cut_through_a_state() -> None:
    """It stays in one arena."""
    b = pe.GraphBuilder()
    state = b.state("s", np.zeros((1, 4), np.float32))
    after = b.add(b.input("x", (1, 4), "float32"), state)
    b.update(state, after)
    b.output("y", b.relu(after))
    plan = pe.compile(b.build())
    assert len(plan.entry().ops) > 1 and set(cut_bytes(plan)) == {None}
