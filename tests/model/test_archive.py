"""Graphs in files: what comes back compiles to the same bytes."""

from __future__ import annotations

import numpy as np
import pytest

import pyedge as pe
from pyedge import demo
from pyedge.model.archive import from_arrays, to_arrays


def gated() -> pe.Graph:
    """Arms of an `if` with constants of their own, a state, and an infinite bound."""
    b = pe.GraphBuilder("gated")
    x, total = b.input("x", (1, 4)), b.state("total", np.zeros((1, 4)))
    b.update(total, b.add(total, x))
    y = b.cond(
        b.any_ge(x, 1.0),
        lambda inner: inner.linear(x, np.ones((4, 4)), np.zeros(4)),
        lambda inner: inner.clip(x, min=0.0),
    )[0]
    b.output("y", y)
    return b.build()


@pytest.mark.parametrize("make", [demo.digits_int8, gated])
def test_a_graph_comes_back_as_it_was(make) -> None:
    """Weights, scales, attributes, states, facts: the plans are equal to the byte."""
    graph = make()
    again = from_arrays(to_arrays(graph))
    assert bytes(pe.compile(again).data) == bytes(pe.compile(graph).data)
    assert again.meta == graph.meta


def test_what_is_no_graph_is_refused() -> None:
    """Nothing, text that is no graph, an array that is missing, a shape that contradicts."""
    arrays = to_arrays(gated())
    some = next(name for name in arrays if name != "graph")
    wrong = [{}, {**arrays, "graph": np.zeros(3, np.uint8)}, {n: a for n, a in arrays.items() if n != some}]
    wrong.append({**arrays, some: np.zeros(99, np.float32)})
    for damaged in wrong:
        with pytest.raises(pe.PyedgeError):
            from_arrays(damaged)
