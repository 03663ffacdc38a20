"""What bounds an op, from its counts and the peaks of its target."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

import pyedge as pe
from pyedge.plan.profile import OpCount, Profile, uncounted
from pyedge.plan.roofline import Bound, Roofs

ROOFS = Roofs("a data sheet", {"int8": 16.0, "fp32": 4.0}, {1000: 8.0, 100_000: 2.0})


@pytest.mark.parametrize(
    "count, macs, type, moved, by, share",
    [
        (100, 800, "int8", 80, "compute", 0.5),  # 50 counts of arithmetic, 10 of memory
        (100, 80, "int8", 400, "memory", 0.5),  # 5 and 50
        (100, 80, "fp32", 40, "compute", 0.2),
        (10_000, 80, "int8", 10_000, "memory", 0.5),  # from the larger memory
        (10_000, 80, "int8", 10**6, "memory", 50.0),  # from the largest there is: a roof that does not hold is seen
        (100, 0, "", 400, "memory", 0.5),
        (100, 800, "fp16", 80, None, None),  # no peak of that type: the other roof may be higher or lower
        (0, 800, "int8", 80, None, None),
    ],
)
def test_the_slower_of_arithmetic_and_memory_bounds(count, macs, type, moved, by, share):
    """As far as both are known."""
    found = ROOFS.bound(count, macs, type, moved)
    assert (found.by, found.share) == (by, pytest.approx(share) if share else share)


def test_without_a_memory_s_rate_there_is_a_share_of_the_peak_and_no_verdict():
    """A board's profile tells the arithmetic alone."""
    told = Roofs("a data sheet", {"int8": 16.0})
    assert str(told.bound(100, 800, "int8", 80)) == "unknown, 50 % of peak"
    assert told.bound(100, 0, "", 80) == Bound() and str(Bound()) == "unknown"


def test_bytes_and_types_are_those_of_operands():
    """Weights and bias are counted, a tensor that is read twice once; int16 activations have no peak."""
    b = pe.GraphBuilder()
    x = b.input("x", (1, 8), "float32")
    h = b.linear(x, np.ones((4, 8), np.float32), np.ones(4, np.float32))
    b.output("y", b.add(h, h))
    plan = pe.compile(b.build())
    ops = uncounted(plan.entry(), plan.tensors)
    assert [(op.bytes, op.type) for op in ops] == [(4 * (8 + 32 + 4 + 4), "fp32"), (4 * (4 + 4), "")]


def test_the_table_and_json_tell_the_bound():
    """MACs by what is counted; by the cycle where the clock is known; a column of bounds where there are peaks."""
    ops = [OpCount("a", "linear_s8", 0, None, 800, 80, "int8"), OpCount("b", "relu_s8", 0, None, 0, 400)]
    profile = Profile.from_samples(np.array([[100, 100]] * 6), ops, "ns", "here", conditions={"mhz": 500})
    assert "bound by" not in profile.table() and json.loads(profile.to_json())["ops"][0]["bound"]["by"] is None
    profile = replace(profile, roofs=ROOFS)
    head, a, b = (line.split() for line in profile.table().splitlines()[1:4])
    assert "MAC/cycle" in head and a[2:] == ["100", "50.0", "%", "800", "16", "compute", "50", "%", "-"]
    assert b[5:] == ["-", "-", "memory", "50", "%", "-"]
    assert "a data sheet" in profile.table()
    found = json.loads(profile.to_json())
    assert [op["bound"] for op in found["ops"]] == [{"by": by, "share": 0.5} for by in ("compute", "memory")]
    assert found["roofs"]["macs"]["int8"] == 16
    counted = replace(profile, unit="instructions", conditions={})
    assert "MAC/instruction " in counted.table()
