"""Gradients through an if: of the branch that ran."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from gradient_check import run_double, weighted_sum

import pyedge as pe
from pyedge.model import reference
from pyedge.model.builder import GraphBuilder
from pyedge.model.graph import Graph, Op
from pyedge.train import gradients

WRT = ["x", "w1", "w2", "w3"]


def weight(*shape: int) -> np.ndarray:
    return np.random.default_rng(sum(shape)).normal(0, 1, shape).astype(np.float32)


def gated(nested: bool = False) -> Graph:
    """A gate on x + 0: a layer and one of its own activations, or another layer; with nested an if in that one."""
    b = GraphBuilder()
    x = b.input("x", (2, 3))
    w1, w2, w3 = (b.constant(weight(3, 3) + i, f"w{i}") for i in (1, 2, 3))
    h = b.linear(x, w1)

    def expert(g: GraphBuilder) -> Any:
        y = g.op("tanh", g.linear(h, w2))[0]
        return [g.op("mul", y, h)[0], h]

    def other(g: GraphBuilder) -> Any:
        y = g.linear(h, w3)
        return [g.op("sin", y)[0], g.op("mul", y, y)[0]]

    def choice(g: GraphBuilder) -> Any:
        return g.cond(g.op("any_ge", x, threshold=2.0)[0], expert, other)

    results = b.cond(b.op("any_ge", x, threshold=10.0)[0], expert, choice if nested else other)
    b.output("loss", weighted_sum(b, [*results, b.op("exp", h)[0]], np.random.default_rng(0)))
    return b.build()


@pytest.mark.parametrize("recompute", [False, True])
@pytest.mark.parametrize("nested", [False, True])
@pytest.mark.parametrize("first", [0.5, 5.0, 20.0])
def test_the_gradient_is_that_of_the_branch_that_ran(first: float, nested: bool, recompute: bool) -> None:
    graph = gated(nested)
    x = weight(2, 3) / 3
    x[0, 0] = first
    whole, names = gradients(graph, "loss", WRT, recompute=recompute)
    whole.output_names = list(names.values())
    found = reference.run(whole, {"x": x})
    ran = pe.Session(pe.compile(whole)).run({"x": x})
    values = {"x": x, **{n: t.data for n, t in graph.tensors.items() if n in WRT and t.data is not None}}
    for name in WRT:
        np.testing.assert_allclose(ran[names[name]], found[names[name]], rtol=1e-5, atol=1e-5)
        expected = np.zeros(values[name].shape)
        for at in np.ndindex(*expected.shape):
            step = np.zeros(expected.shape)
            step[at] = 1e-6
            ends = [run_branches(graph, {**values, name: values[name] + s * step}) for s in (1, -1)]
            expected[at] = (ends[0] - ends[1]) / 2e-6
        np.testing.assert_allclose(found[names[name]], expected, rtol=0, atol=1e-4 * max(np.abs(expected).max(), 1))
    other = first < (2.0 if nested else 10.0)
    assert not found[names["w2" if other else "w3"]].any()
    assert found[names["w3" if other else "w2"]].any()


def run_branches(graph: Graph, values: dict[str, np.ndarray]) -> float:
    """The loss in double; branches are put in the place of their if."""
    flat = graph.copy()
    while True:
        at = next((i for i, op in enumerate(flat.ops) if op.kind == "if"), None)
        if at is None:
            return float(run_double(flat, values)["loss"].reshape(()))
        op = flat.ops[at]
        predicate = next(o for o in flat.ops if op.inputs[0] in o.outputs)
        inner = op.attrs["then" if values["x"].max() >= predicate.attrs["threshold"] else "else"].copy()
        flat.tensors.update(inner.tensors)
        ends = [Op("identity", y, [n], [y]) for n, y in zip(inner.output_names, op.outputs, strict=True)]
        flat.ops[at : at + 1] = [*inner.ops, *ends]
