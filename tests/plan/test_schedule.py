"""The order of ops."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from plan_graphs import random_graph, small_cnn

import pyedge as pe
from pyedge.model.ops import infer_shapes
from pyedge.plan.arena import align
from pyedge.plan.schedule import _reads, schedule


def live_peak(graph: pe.Graph) -> int:
    """The largest set of live tensors, nothing in place; graphs without reshapes only."""
    size = {n: align(int(np.prod(t.shape)) * np.dtype(t.dtype).itemsize) for n, t in graph.tensors.items()}
    last = dict.fromkeys(graph.input_names, -1)
    for i, op in enumerate(graph.ops):
        last.update(dict.fromkeys(op.outputs, i))
        last.update({n: i for n in _reads(op) if n in last})
    last.update(dict.fromkeys(graph.output_names, len(graph.ops)))
    first = {n: i for i, op in enumerate(graph.ops) for n in op.outputs} | dict.fromkeys(graph.input_names, -1)
    return max(sum(size[n] for n in last if first[n] <= i <= last[n]) for i in range(len(graph.ops)))


def valid_orders(graph: pe.Graph) -> list[list[int]]:
    made = {n for op in graph.ops for n in op.outputs}
    orders = []
    for order in itertools.permutations(range(len(graph.ops))):
        done: set[str] = set()
        for i in order:
            if any(n in made and n not in done for n in graph.ops[i].inputs):
                break
            done |= set(graph.ops[i].outputs)
        else:
            orders.append(list(order))
    return orders


def three_paths(seed: int) -> pe.Graph:
    """Three paths of random width from one input; the results of all are outputs."""
    rng = np.random.default_rng(seed)
    b = pe.GraphBuilder()
    x = b.input("x", (1, 4, 4, 2), "float32")

    def path(width: int) -> pe.Tensor:
        h = b.conv2d(x, rng.normal(size=(width, 1, 1, 2)))
        return b.conv2d(h, rng.normal(size=(int(rng.integers(1, 4)), 1, 1, width)))

    for i, width in enumerate(rng.integers(1, 20, 3)):
        b.output(f"y{i}", path(int(width)))
    return b.build()


@pytest.mark.parametrize("seed", range(6))
def test_the_order_is_the_best_of_all(seed: int) -> None:
    """Among all valid orders none has a smaller peak."""
    graph = infer_shapes(three_paths(seed))
    best = graph.copy()
    peaks = []
    for order in valid_orders(graph):
        best.ops = [graph.ops[i] for i in order]
        peaks.append(live_peak(best))
    assert live_peak(schedule(graph)) == min(peaks)


def test_a_good_order_stays() -> None:
    """The model's own order is kept where no other is better."""
    graph = infer_shapes(small_cnn())
    assert [op.name for op in schedule(graph).ops] == [op.name for op in graph.ops]


@pytest.mark.parametrize("seed", range(20))
def test_another_order_gives_the_same_values(seed: int) -> None:
    """Outputs don't depend on the order."""
    graph = infer_shapes(random_graph(seed))
    rng = np.random.default_rng(seed)
    x = [rng.normal(size=t.shape).astype(np.float32) for t in graph.inputs]
    kept = pe.Session(pe.compile(graph, keep="all")).run(x)  # in the model's order
    for a, b in zip(pe.Session(pe.compile(graph)).run(x), kept, strict=True):
        np.testing.assert_array_equal(a, b)
