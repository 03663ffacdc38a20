"""Gradients through time: recurrent ops against finite differences in double, and their values against the op's."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from gradient_check import check_gradients, weighted_sum

from pyedge.model import reference
from pyedge.model.builder import GraphBuilder
from pyedge.model.graph import Graph
from pyedge.train import gradients

GATES = {"rnn": 1, "gru": 3, "lstm": 4}
DEFAULTS = {"rnn": ["tanh"], "gru": ["sigmoid", "tanh"], "lstm": ["sigmoid", "tanh", "tanh"]}
STEPS, BATCH, SIZE, HIDDEN = 3, 2, 3, 2


def normal(*shape: int) -> np.ndarray:
    return np.random.default_rng(sum(shape)).normal(0, 0.7, shape).astype(np.float32)


def operands(kind: str, directions: int, batch_first: bool) -> dict[str, np.ndarray]:
    gates = GATES[kind] * HIDDEN
    state = (BATCH, directions, HIDDEN) if batch_first else (directions, BATCH, HIDDEN)
    found = {
        "x": normal(*((BATCH, STEPS) if batch_first else (STEPS, BATCH)), SIZE),
        "w": normal(directions, gates, SIZE),
        "r": normal(directions, gates, HIDDEN),
        "b": normal(directions, 2 * gates),
        "lengths": np.array([2, 3], np.int32),
        "h": normal(*state),
    }
    return found | ({"c": normal(*state), "p": normal(directions, 3 * HIDDEN)} if kind == "lstm" else {})


def attributes(kind: str, directions: int, **more: Any) -> dict[str, Any]:
    names = tuple(DEFAULTS[kind]) * directions
    attrs = {
        "direction": "bidirectional" if directions == 2 else "forward",
        "activations": names,
        "alphas": (0.0,) * len(names),
        "betas": (0.0,) * len(names),
        "clip": math.inf,
        "batch_first": False,
    }
    attrs |= {"gru": {"linear_before_reset": False}, "lstm": {"input_forget": False}, "rnn": {}}[kind]
    return attrs | more


def run_cell(kind: str, attrs: dict[str, Any], given: dict[str, np.ndarray]) -> Graph:
    def make(b: GraphBuilder, v: dict[str, Any]) -> Any:
        full = [v.get(n) for n in ("x", "w", "r", "b", "lengths", "h", "c", "p")][: 8 if kind == "lstm" else 6]
        return b.op(kind, *full, outputs=3 if kind == "lstm" else 2, **attrs, name="cell")

    graph = check_gradients(make, given, constants=("w", "r", "b", "p"))
    inputs = {n: given[n] for n in graph.input_names}
    whole = gradients(graph, "loss", ["w"])[0]
    before, after = (reference.run(g, inputs, keep=True) for g in (graph, whole))
    for name in ("cell:0", "cell:1"):
        np.testing.assert_allclose(after[name], before[name], rtol=0, atol=1e-6)
    assert kind not in {op.kind for op in whole.ops}
    return whole


@pytest.mark.parametrize("kind", GATES)
@pytest.mark.parametrize("directions", [1, 2])
@pytest.mark.parametrize("batch_first", [False, True])
def test_every_operand(kind: str, directions: int, batch_first: bool) -> None:
    run_cell(kind, attributes(kind, directions, batch_first=batch_first), operands(kind, directions, batch_first))


@pytest.mark.parametrize("kind", GATES)
def test_no_optional_operand(kind: str) -> None:
    given = operands(kind, 1, False)
    run_cell(kind, attributes(kind, 1, direction="reverse"), {n: given[n] for n in ("x", "w", "r")})


def test_forms_of_gates() -> None:
    """The reset gate after the product, an input gate that is also the forget gate, and sums that are clipped."""
    run_cell("gru", attributes("gru", 1, linear_before_reset=True, clip=0.8), operands("gru", 1, False))
    run_cell("lstm", attributes("lstm", 1, input_forget=True, clip=0.8), operands("lstm", 1, False))


@pytest.mark.parametrize(
    "name", ["relu", "affine", "leaky_relu", "thresholded_relu", "scaled_tanh", "hard_sigmoid", "elu", "softsign"]
)
def test_activations(name: str) -> None:
    attrs = attributes("rnn", 1, activations=(name,), alphas=(0.6,), betas=(0.4,))
    run_cell("rnn", attrs, operands("rnn", 1, False))


@pytest.mark.parametrize("time_major", [False, True])
@pytest.mark.parametrize("cell_clip", [math.inf, 0.4])
def test_lstm_of_tflite(time_major: bool, cell_clip: float) -> None:
    given = {
        "x": normal(*((STEPS, BATCH) if time_major else (BATCH, STEPS)), SIZE),
        "w": normal(4, HIDDEN, SIZE),
        "r": normal(4, HIDDEN, HIDDEN),
        "b": normal(4, HIDDEN),
        "h": normal(BATCH, HIDDEN),
        "c": normal(BATCH, HIDDEN),
    }
    attrs = {"time_major": time_major, "cell_clip": cell_clip}
    check_gradients(lambda b, v: b.op("lstm_sequence", *v.values(), outputs=3, **attrs), given)


@pytest.mark.parametrize("memory", [1, 3])
def test_svdf(memory: int) -> None:
    given = {
        "x": normal(BATCH, SIZE),
        "feature": normal(4, SIZE),
        "time": normal(4, memory),
        "bias": normal(2),
        "state": normal(BATCH, 4 * memory),
    }
    unread = ["state"] if memory == 1 else []  # then nothing of it is left
    check_gradients(lambda b, v: b.op("svdf", *v.values(), outputs=2, rank=2, activation="relu"), given, without=unread)


def test_only_results_that_are_read_are_made() -> None:
    b = GraphBuilder()
    given = operands("gru", 1, False)
    v = [b.constant(given[n], n) for n in ("w", "r")]
    last = b.op("gru", b.input("x", (STEPS, BATCH, SIZE)), *v, outputs=2, **attributes("gru", 1))[1]
    b.output("loss", weighted_sum(b, [last], np.random.default_rng(0)))
    whole, _ = gradients(b.build(), "loss", ["w", "r"])
    assert not any(whole.tensors[n].shape == (STEPS, 1, BATCH, HIDDEN) for op in whole.ops for n in op.outputs)


def test_a_frozen_cell_stays_one_op() -> None:
    b = GraphBuilder()
    given = operands("gru", 1, False)
    v = [b.constant(given[n], n) for n in ("w", "r")]
    y = b.op("gru", b.input("x", (STEPS, BATCH, SIZE)), *v, outputs=2, **attributes("gru", 1))[1]
    top = b.linear(y, b.constant(normal(2, HIDDEN), "top"))
    b.output("loss", weighted_sum(b, [top], np.random.default_rng(0)))
    graph = b.build()
    assert "gru" in {op.kind for op in gradients(graph, "loss", ["top"])[0].ops}
