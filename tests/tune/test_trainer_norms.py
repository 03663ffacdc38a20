"""The Trainer on networks with batch norms, and with activations that are computed again."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import pyedge as pe

RNG = np.random.default_rng(8)
CENTRES = RNG.normal(0, 1, (4, 6, 6, 2))
Y = RNG.integers(0, 4, 96)
X = (3 * CENTRES[Y] + 5 + RNG.normal(0, 2, (96, 6, 6, 2))).astype(np.float32)


def network() -> pe.Graph:
    """Convolutions with batch norms that have seen nothing, and hard swish."""
    rng = np.random.default_rng(1)
    b = pe.GraphBuilder("network")
    h = b.input("x", (None, 6, 6, 2))
    for i, channels in enumerate((2, 8)):
        h = b.conv2d(h, rng.normal(0, 0.3, (8, 3, 3, channels)), name=f"conv{i}")
        values = (("scale", 1), ("bias", 0), ("mean", 0), ("var", 1))
        statistics = [b.constant(np.full(8, v, np.float32), f"{n}{i}") for n, v in values]
        h = b.op("hard_swish", b.batch_norm(h, *statistics, momentum=0.8, name=f"norm{i}"))[0]
    b.output("y", b.softmax(b.linear(b.mean(h, (1, 2)), rng.normal(0, 0.3, (4, 8)), np.zeros(4), name="fc")))
    return b.build()


def trained(epochs: int = 4, **options: Any) -> tuple[pe.Trainer, Any]:
    settings = {"batch_size": 8, "optimizer": pe.SGD(0.1, momentum=0.9), **options}
    trainer = pe.Trainer(network(), **settings)
    return trainer, trainer.fit(X, Y, epochs=epochs)


@pytest.mark.parametrize("options", [{}, {"precision": "fp16"}, {"accumulate": 3}], ids=str)
def test_it_learns_and_infers_by_running_statistics(options: dict[str, Any]) -> None:
    """x is far from mean 0 and variance 1, so that inference is right only if the statistics have followed."""
    trainer, history = trained(epochs=8, **options)
    assert history.loss[-1] < 0.75 * history.loss[0] and history.skipped == 0
    assert trainer.evaluate(X, Y)["accuracy"] > 0.8
    graph = trainer.graph()
    for name, first in (("mean0", 0), ("var0", 1), ("mean1", 0), ("var1", 1)):
        value = graph.tensors[name].data
        assert value is not None and np.abs(value.astype(np.float32) - first).max() > 0.1, name
    tuned = pe.Session(pe.compile(graph, mode=trainer.mode))
    np.testing.assert_allclose(tuned.run({"x": X[:1]})["y"], trainer.predict(X[:1]), rtol=0, atol=1e-5)


def test_frozen_norms_keep_their_statistics() -> None:
    trainer, _ = trained(trainable="last:1")
    graph = trainer.graph()
    assert set(trainer.weights()) & {"scale0", "bias0", "scale1", "bias1"} == set()
    np.testing.assert_array_equal(graph.tensors["mean1"].data, np.zeros(8, np.float32))


def test_it_goes_on_where_it_was_saved(tmp_path: Path) -> None:
    first, _ = trained(epochs=1)
    first.save(tmp_path / "state.npz")
    again = pe.Trainer.load(tmp_path / "state.npz")
    for trainer in (first, again):
        trainer.fit(X, Y)
    for name, t in first.graph().tensors.items():
        if t.data is not None:
            np.testing.assert_array_equal(again.graph().tensors[name].data, t.data, name)


@pytest.mark.parametrize("accumulate", [1, 4])
def test_a_step_that_is_skipped_leaves_the_statistics(accumulate: int) -> None:
    """Of a step of several batches each that is not finite does."""
    trainer, _ = trained(epochs=1, batch_size=8 // accumulate, accumulate=accumulate)
    before = trainer.graph()
    bad = X[:8].copy()
    bad[:: 8 // accumulate, 2, 2, 1] = np.nan
    trainer.train_on_batch(bad, Y[:8])
    for name, t in before.tensors.items():
        if t.data is not None:
            np.testing.assert_array_equal(trainer.graph().tensors[name].data, t.data, name)


def test_one_value_a_channel_is_refused() -> None:
    b = pe.GraphBuilder()
    ones = np.ones(3, np.float32)
    h = b.batch_norm(b.linear(b.input("x", (None, 2)), np.ones((3, 2))), ones, ones, ones, ones, name="norm")
    b.output("y", h)
    with pytest.raises(pe.ModelError, match=r"'norm': a batch of '.*' \[1, 3\] has one value a channel"):
        pe.Trainer(b.build(), loss="mse", batch_size=1)
    pe.Trainer(b.build(), loss="mse", batch_size=2)


def test_activations_computed_again_give_the_same_bits_in_a_smaller_arena() -> None:
    (plain, history), (again, same) = (trained(epochs=1, recompute=r) for r in (False, True))
    assert same.loss == history.loss
    for name, value in plain.weights().items():
        np.testing.assert_array_equal(again.weights()[name], value, name)
    assert again.plan.tensor_bytes("train") < plain.plan.tensor_bytes("train")
