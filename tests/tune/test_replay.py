"""Samples kept from earlier training: how many, of which classes, and what they are good for."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import pyedge as pe
from pyedge.tune.replay import Reservoir

RNG = np.random.default_rng(11)
CENTRES = RNG.normal(0, 1, (4, 6))


def stream(labels: np.ndarray) -> list[np.ndarray]:
    return [np.arange(len(labels), dtype=np.float32)[:, None], labels.astype(np.int32)]


def samples(classes: tuple[int, ...], n: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    y = rng.choice(classes, n)
    return (CENTRES[y] + rng.normal(0, 0.3, (n, 6))).astype(np.float32), y


def classifier() -> pe.Graph:
    rng = np.random.default_rng(2)
    b = pe.GraphBuilder()
    h = b.linear(b.input("x", (1, 6)), rng.normal(0, 0.4, (16, 6)), np.zeros(16), activation="relu", name="first")
    b.output("y", b.linear(h, rng.normal(0, 0.3, (4, 16)), np.zeros(4), name="last"))
    return b.build()


def test_classes_are_balanced_as_far_as_there_are_samples() -> None:
    """400 of a class, 30 and 3 of others, in any order, fill 24 places: 3 of the rarest, as many of the others."""
    for labels in (np.repeat([0, 1, 2], [400, 30, 3]), RNG.permutation(np.repeat([0, 1, 2], [400, 30, 3]))):
        reservoir = Reservoir(24, seed=5)
        reservoir.add(stream(labels))
        values, kept = reservoir.arrays()
        counts = np.bincount(kept, minlength=3)
        assert counts.sum() == 24 and counts[2] == 3 and counts[:2].min() >= 10
        assert len(set(values[:, 0])) == 24 and np.array_equal(labels[values[:, 0].astype(int)], kept)


def test_every_sample_has_the_same_chance() -> None:
    """Of one class: 10 of 100 samples, by 400 seeds; each is kept about 40 times (binomial, 6 standard deviations)."""
    times = np.zeros(100)
    for seed in range(400):
        reservoir = Reservoir(10, seed)
        reservoir.add(stream(np.zeros(100)))
        times[reservoir.arrays()[0][:, 0].astype(int)] += 1
    assert abs(times - 40).max() < 6 * np.sqrt(400 * 0.1 * 0.9)


def test_a_restored_reservoir_goes_on_as_if_it_had_never_stopped() -> None:
    labels = RNG.integers(0, 5, 300)
    x, y = stream(labels)
    whole, first, second = (Reservoir(20, seed=9) for _ in range(3))
    whole.add([x, y])
    first.add([x[:130], y[:130]])
    second.restore(first.state())
    second.add([x[130:], y[130:]])
    assert all(np.array_equal(a, b) for a, b in zip(whole.arrays(), second.arrays(), strict=True))


def test_what_has_no_classes_and_what_keeps_nothing() -> None:
    reservoir = Reservoir(4, seed=0)
    reservoir.add([np.zeros((9, 2)), np.zeros((9, 3), np.float32)])
    assert [a.shape for a in reservoir.arrays()] == [(4, 2), (4, 3)]
    nothing = Reservoir(0, seed=0)
    nothing.add(stream(np.zeros(5)))
    assert nothing.arrays() == []
    with pytest.raises(ValueError, match="replay=-1"):
        pe.Trainer(classifier(), replay=-1)


def test_new_classes_do_not_push_out_old_ones(tmp_path: Path) -> None:
    """Classes 0 and 1, then, from the checkpoint, 2 and 3: with 20 samples kept the first two are known as before."""
    test = samples((0, 1), 200, seed=8)
    known = {}
    for replay in (0, 20):
        trainer = pe.Trainer(classifier(), optimizer=pe.SGD(0.05), batch_size=4, replay=replay)
        trainer.fit(*samples((0, 1), 80, seed=6), epochs=4)
        trainer.save(tmp_path / "state.npz")
        trainer = pe.Trainer.load(tmp_path / "state.npz")
        history = trainer.fit(*samples((2, 3), 80, seed=7), epochs=4)
        assert history.steps == 4 * (80 + replay) // 4
        known[replay] = trainer.evaluate(*test)["accuracy"]
    assert known[20] > 0.95 and known[20] > known[0] + 0.2


@pytest.mark.parametrize("precision", ["fp32", "fp16"])
def test_what_is_kept_comes_out_of_the_frozen_part(precision: str) -> None:
    """8 bits a feature, a scale a sample; a step needs no frozen layers, and goes where one of whole samples goes."""
    x, y = samples((0, 1, 2, 3), 40, seed=3)
    whole, latent = (
        pe.Trainer(classifier(), optimizer=pe.SGD(0.05), precision=precision, trainable="last", batch_size=4, replay=n)
        for n in (0, 16)
    )
    entry = latent.plan.entry("train")
    assert [(t.dtype, t.shape) for t in entry.inputs] == [("float32", (4, 1)), ("int8", (4, 16)), ("int32", (4,))]
    frozen = [any(op.name == "first" for op in t.plan.entry("train").ops) for t in (whole, latent)]
    assert frozen == [True, False]
    there, here = latent.fit(x, y, epochs=3, progress=False), whole.fit(x, y, epochs=3, progress=False)
    assert np.allclose(there.loss, here.loss, rtol=0.01)
    scale, steps, labels = latent.kept
    assert np.abs(steps.astype(int)).max(axis=1).tolist() == [127] * 16 and scale.min() > 0
    assert np.bincount(labels, minlength=4).min() >= 3


def test_a_sample_of_zeros_and_several_tensors_at_the_border() -> None:
    """What learns, and what is behind it, reads two frozen results and an input; features of 0 have scale 1."""
    rng = np.random.default_rng(2)
    b = pe.GraphBuilder()
    x = b.input("x", (1, 6))
    h = b.linear(x, rng.normal(0, 0.4, (6, 6)), np.zeros(6), activation="relu", name="first")
    g = b.linear(h, rng.normal(0, 0.4, (6, 6)), np.zeros(6), activation="relu", name="second")
    last = b.linear(g, rng.normal(0, 0.3, (6, 6)), np.zeros(6), name="last")
    b.output("y", b.add(b.add(last, h), x))
    trainer = pe.Trainer(b.build(), trainable="last", replay=3)
    trainer.fit(np.zeros((3, 6), np.float32), np.array([0, 1, 2]), progress=False)
    assert len(trainer.kept) == 6 and all((a == 1).all() for a in trainer.kept if a.dtype == np.float32 and a.any())
    assert np.isfinite(trainer.replay(2).loss).all()
    with pytest.raises(pe.ModelError, match="no samples are kept"):
        pe.Trainer(b.build(), trainable="last", replay=3).replay(1)
