"""Recomputation of cheap activations: the same bits with a smaller arena."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from gradient_check import weighted_sum

import pyedge as pe
from pyedge.model.builder import GraphBuilder
from pyedge.model.graph import Graph, Tensor
from pyedge.train import gradients


def network(between: Callable[[GraphBuilder, Tensor], Tensor]) -> tuple[Graph, list[str]]:
    """Four convolutions with something between them."""
    rng = np.random.default_rng(4)
    b = GraphBuilder()
    h = b.input("x", (1, 16, 16, 8))
    names = []
    for i in range(4):
        names.append(f"w{i}")
        h = b.conv2d(h, b.constant(rng.normal(0, 0.1, (8, 3, 3, 8)), names[-1]), name=f"conv{i}")
        h = between(b, h)
    b.output("loss", weighted_sum(b, [b.mean(h, (1, 2))], rng))
    return b.build(), names


def op(b: GraphBuilder, kind: str, *operands: Any, **attrs: Any) -> Tensor:
    return b.op(kind, *operands, **attrs)[0]


def gated(b: GraphBuilder, h: Tensor) -> Tensor:
    """h times its sigmoid, whose gradient reads both."""
    return op(b, "mul", h, op(b, "sigmoid", h))


BETWEEN: dict[str, tuple[Callable[[GraphBuilder, Tensor], Tensor], bool]] = {
    "hard_swish": (lambda b, h: op(b, "hard_swish", h), True),
    "gated": (gated, True),
    "padded": (lambda b, h: op(b, "slice", op(b, "pad", h, mode="reflect", pads=((0, 0), (4, 4), (4, 4), (0, 0))),
                                starts=(4, 4), ends=(20, 20), axes=(1, 2), steps=(1, 1)), False),
    "relu": (lambda b, h: b.relu(h), False),
    "reshaped": (lambda b, h: b.reshape(gated(b, b.reshape(h, (256, 8))), (1, 16, 16, 8)), True),
}  # fmt: skip


@pytest.mark.parametrize("name", BETWEEN)
def test_bits_stay_and_memory_falls_where_it_can(name: str) -> None:
    """relu has nothing to gain: its gradient reads its result, which the next layer reads as well."""
    between, gains = BETWEEN[name]
    graph, wrt = network(between)
    x = {"x": np.random.default_rng(1).normal(0, 1, (1, 16, 16, 8)).astype(np.float32)}
    arenas, results, kinds = [], [], []
    for recompute in (False, True):
        whole, names = gradients(graph, "loss", wrt, recompute=recompute)
        whole.output_names = ["loss", *names.values()]
        plan = pe.compile(whole)
        arenas.append(plan.arena_bytes)
        results.append({n: pe.Session(plan).run(x)[g] for n, g in names.items()})
        kinds.append([op.kind for op in whole.ops])
    for weight in wrt:
        np.testing.assert_array_equal(results[1][weight], results[0][weight])
    assert (arenas[1] < arenas[0]) == gains
    assert (len(kinds[1]) > len(kinds[0])) == gains


def test_what_a_cast_came_from_is_kept_instead() -> None:
    """float16 behind a layer, float32 in front of the next: half the bytes live on."""
    attrs = {"saturate": 1, "round_mode": "up", "from_format": None, "to_format": None}

    def between(b: GraphBuilder, h: Tensor) -> Tensor:
        return op(b, "cast", op(b, "cast", h, to="float16", **attrs), to="float32", **attrs)

    graph, wrt = network(between)
    plain, again = (gradients(graph, "loss", wrt, recompute=r)[0] for r in (False, True))
    read = [{n for o in g.ops[len(graph.ops) :] for n in o.inputs if n in graph.tensors} for g in (plain, again)]
    activations = [sorted(graph.tensors[str(n)].dtype for n in r if str(n).startswith("cast")) for r in read]
    assert activations == [["float32"] * 3, ["float16"] * 3]
