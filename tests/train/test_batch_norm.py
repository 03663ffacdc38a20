"""batch_norm: values, gradients frozen and by the statistics of the batch, running statistics."""

from __future__ import annotations

import numpy as np
import pytest
from gradient_check import check_gradients, computed, numeric, weighted_sum

import pyedge as pe
from pyedge.compress.batchnorm import fold_batch_norm
from pyedge.errors import ModelError, ShapeError
from pyedge.model import reference
from pyedge.model.builder import GraphBuilder
from pyedge.model.graph import Graph, State
from pyedge.train.batch_norm import running_statistics, with_batch_statistics

RNG = np.random.default_rng(11)
STATISTICS = {
    "scale": RNG.uniform(0.5, 2, 3).astype(np.float32),
    "bias": RNG.normal(0, 1, 3).astype(np.float32),
    "mean": RNG.normal(0, 1, 3).astype(np.float32),
    "var": RNG.uniform(0.5, 2, 3).astype(np.float32),
}
X = RNG.normal(1, 2, (2, 3, 4, 3)).astype(np.float32)


def network(shape: tuple[int, ...] = X.shape, states: bool = True, momentum: float = 0.8) -> Graph:
    """x + a shift, through a batch norm whose running statistics are states."""
    b = GraphBuilder()
    x = b.op("add", b.input("x", shape), b.constant(np.full(3, 0.3, np.float32), "shift"), activation=None)[0]
    kept = [b.constant(v, n) for n, v in STATISTICS.items()]
    y = b.batch_norm(x, *kept, epsilon=1e-3, momentum=momentum, name="bn")
    b.output("loss", weighted_sum(b, [b.op("tanh", y)[0]], np.random.default_rng(0)))
    graph = b.build()
    for name in ("mean", "var") if states else ():
        t = graph.tensors[name]
        assert t.data is not None
        graph.states.append(State(name, name, t.data))
        t.data = None
    return graph


def test_values_are_those_of_the_formula_with_constants_and_with_states() -> None:
    expected = None
    for states in (False, True):
        graph = network(states=states)
        graph.output_names = ["bn"]
        y = pe.Session(pe.compile(graph)).run({"x": X})["bn"]
        expected = reference.run(graph, {"x": X})["bn"]
        np.testing.assert_allclose(y, expected, rtol=1e-5, atol=1e-5)
    z = (X + np.float32(0.3)).astype(np.float64)
    factor = STATISTICS["scale"] / np.sqrt(STATISTICS["var"].astype(np.float64) + 1e-3)
    np.testing.assert_allclose(expected, (z - STATISTICS["mean"]) * factor + STATISTICS["bias"], rtol=1e-6)


def test_frozen_it_has_gradients_of_input_scale_and_bias() -> None:
    given = {"x": X} | {n: STATISTICS[n] for n in ("scale", "bias")}
    check_gradients(
        lambda b, v: b.batch_norm(v["x"], v["scale"], v["bias"], STATISTICS["mean"], STATISTICS["var"]), given
    )


def test_gradients_go_through_the_statistics_of_the_batch() -> None:
    wrt = ["shift", "scale", "bias", "x"]
    graph = with_batch_statistics(network(), wrt)
    found = computed(graph, "loss", wrt, {"x": X})
    values = {"x": X, "shift": np.full(3, 0.3, np.float32), **STATISTICS}
    for name in wrt:
        expected = numeric(graph, "loss", values, name)
        np.testing.assert_allclose(found[name], expected, rtol=0, atol=2e-5 * max(np.abs(found["x"]).max(), 1))


def test_running_statistics_follow_the_batch() -> None:
    graph = with_batch_statistics(network(momentum=0.75), ["scale"])
    states: dict[str, np.ndarray] = {}
    reference.run(graph, {"x": X}, states=states)
    z = (X + np.float32(0.3)).astype(np.float64).reshape(-1, 3)
    np.testing.assert_allclose(states["mean"], 0.75 * STATISTICS["mean"] + 0.25 * z.mean(0), rtol=1e-5)
    np.testing.assert_allclose(states["var"], 0.75 * STATISTICS["var"] + 0.25 * z.var(0, ddof=1), rtol=1e-5)


def test_only_norms_that_learn_use_the_batch() -> None:
    graph = network()
    assert running_statistics(graph, ["scale"]) == running_statistics(graph, ["bias"]) == ["mean", "var"]
    assert running_statistics(graph, ["shift"]) == []
    assert [op.kind for op in with_batch_statistics(graph, ["shift"]).ops] == [op.kind for op in graph.ops]


def test_statistics_must_be_states_of_one_norm() -> None:
    with pytest.raises(ModelError, match="'bn': the running statistic 'mean' is no state"):
        with_batch_statistics(network(states=False), ["scale"])
    graph = network()
    twice = with_batch_statistics(graph, ["scale"])
    twice.ops = graph.ops
    with pytest.raises(ModelError, match="'mean' has an update already"):
        with_batch_statistics(twice, ["scale"])


def test_operands_must_fit_the_channels() -> None:
    b = GraphBuilder()
    x, ones = b.input("x", (2, 4)), np.ones(3, np.float32)
    with pytest.raises(ShapeError, match=r"float32\[4\] as the channels of tensor 'x'"):
        b.batch_norm(x, ones, ones, ones, ones)


def test_of_constants_it_goes_into_the_layer_before() -> None:
    b = GraphBuilder()
    weight = RNG.normal(0, 1, (3, 1, 1, 3)).astype(np.float32)
    y = b.batch_norm(b.conv2d(b.input("x", X.shape), weight), *STATISTICS.values(), epsilon=1e-3)
    b.output("y", y)
    folded = fold_batch_norm(b.build())
    assert [op.kind for op in folded.ops] == ["conv2d"]
    found, expected = (reference.run(g, {"x": X})["y"] for g in (folded, b.build()))
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)
