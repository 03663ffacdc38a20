"""What a Trainer learns: which output, and which targets fit it."""

from __future__ import annotations

import numpy as np
import pytest

import pyedge as pe


def test_of_several_outputs_one_is_learned() -> None:
    """What only another output reads stays as it is, also where all weights learn, and is no layer to count."""
    rng = np.random.default_rng(0)
    b = pe.GraphBuilder()
    h = b.linear(b.input("x", (None, 4)), rng.normal(size=(4, 4)), activation="relu", name="body")
    for name, size in (("y", 3), ("z", 2)):
        b.output(name, b.linear(h, rng.normal(size=(size, 4)), name=f"head_{name}"))
    graph, x, z = b.build(), rng.normal(size=(8, 4)), rng.normal(size=(8, 2))
    trainer = pe.Trainer(graph, "mse", batch_size=4, output="z")
    loss = trainer.fit(x, z, epochs=5).loss
    assert loss[-1] < loss[0] and [w.shape for w in trainer.weights().values()] == [(4, 4), (2, 4)]
    assert len(pe.Trainer(graph, "mse", output="y", trainable="last:2").weights()) == 2
    with pytest.raises(pe.ModelError, match=r"'head_y' is no layer .* it has body, head_z"):
        pe.Trainer(graph, "mse", output="z", trainable="head_y")


def test_values_of_any_numbers_are_learned() -> None:
    """Targets that are 0 and 1 as integers or bools, and a learning rate that is a number of NumPy's."""
    b = pe.GraphBuilder()
    b.output("y", b.linear(b.input("x", (1, 2)), np.ones((3, 2)), np.zeros(3)))
    graph, x, y = b.build(), np.ones((4, 2)), np.eye(4, 3) > 0
    found = []
    for values, lr in ((y, 0.5), (y.astype(np.uint8), np.float32(0.5)), (y.astype(np.float64), np.float16(0.5))):
        trainer = pe.Trainer(graph, loss="bce", optimizer=pe.SGD(lr), batch_size=2)  # type: ignore[arg-type]
        trainer.fit(x, values)
        found.append({name: w.tobytes() for name, w in trainer.weights().items()})
    assert found[0] == found[1] == found[2]


def test_targets_of_bce_are_shares() -> None:
    b = pe.GraphBuilder()
    b.output("y", b.linear(b.input("x", (1, 2)), np.ones((3, 2)), np.zeros(3)))
    trainer = pe.Trainer(b.build(), loss="bce")
    with pytest.raises(pe.ShapeError, match=r"target 2\.0 of sample 1 is not in 0 \.\. 1"):
        trainer.fit(np.ones((4, 2)), np.arange(4 * 3).reshape(4, 3) // 3 * 2)
