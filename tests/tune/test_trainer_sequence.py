"""The Trainer on recurrent networks: through time, in one plan."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

import pyedge as pe

STEPS, SIZE, HIDDEN, BATCH = 6, 3, 8, 4
RNG = np.random.default_rng(6)
X = RNG.normal(0, 1, (64, STEPS, SIZE)).astype(np.float32)
Y = (X[:, 0, 0] > X[:, -1, 1]).astype(np.int64)  # the first step counts as much as the last


def weight(*shape: int) -> np.ndarray:
    return np.random.default_rng(sum(shape)).normal(0, 0.4, shape).astype(np.float32)


def lstm_sequence(b: pe.GraphBuilder, x: Any) -> Any:
    zero = np.zeros((BATCH, HIDDEN), np.float32)
    operands = (weight(4, HIDDEN, SIZE), weight(4, HIDDEN, HIDDEN), np.zeros((4, HIDDEN), np.float32), zero, zero)
    return b.op("lstm_sequence", x, *operands, outputs=3, time_major=False, cell_clip=10.0, name="cell")[1]


def onnx_cell(kind: str, gates: int, names: tuple[str, ...], **attrs: Any) -> Any:
    def cell(b: pe.GraphBuilder, x: Any) -> Any:
        more = {"direction": "forward", "activations": names, "alphas": (0.0,) * len(names), "clip": math.inf}
        operands = (weight(1, gates * HIDDEN, SIZE), weight(1, gates * HIDDEN, HIDDEN), weight(1, 2 * gates * HIDDEN))
        outputs = 3 if kind == "lstm" else 2
        more |= {"betas": (0.0,) * len(names), "batch_first": True}
        last = b.op(kind, x, *operands, outputs=outputs, **more, **attrs, name="cell")[1]
        return b.reshape(last, (BATCH, HIDDEN))

    return cell


CELLS: dict[str, Any] = {
    "lstm_sequence": lstm_sequence,
    "lstm": onnx_cell("lstm", 4, ("sigmoid", "tanh", "tanh"), input_forget=False),
    "gru": onnx_cell("gru", 3, ("sigmoid", "tanh"), linear_before_reset=True),
}


@pytest.mark.parametrize("kind", CELLS)
def test_a_cell_learns_through_time(kind: str) -> None:
    """What the first step says must come through all of them; the op of the entry main has the learned weights."""
    b = pe.GraphBuilder()
    h = CELLS[kind](b, b.input("x", (BATCH, STEPS, SIZE)))
    b.output("y", b.softmax(b.linear(h, weight(2, HIDDEN), np.zeros(2), name="fc")))
    trainer = pe.Trainer(b.build(), optimizer=pe.Adam(0.02), batch_size=BATCH)
    before = trainer.weights()
    assert len(before) == 5
    trainer.fit(X, Y, epochs=30)
    assert trainer.evaluate(X, Y)["accuracy"] > 0.9
    for name, value in trainer.weights().items():
        assert not np.array_equal(value, before[name]), name
    kinds = [op.name for op in trainer.plan.entry("main").ops]
    assert "cell" in kinds
    right = trainer.predict(X).argmax(axis=1) == Y
    assert right.mean() > 0.9
