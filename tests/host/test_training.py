"""Training on boards: every state is that of the Trainer, bit for bit."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest

import pyedge as pe
from pyedge.host import Remote

from .conftest import BOARDS, needs_qemu

SAMPLES, CLASSES = 10, 3


def data() -> tuple[np.ndarray, np.ndarray]:
    """Images of three kinds."""
    rng = np.random.default_rng(4)
    y = rng.integers(0, CLASSES, SAMPLES)
    centres = rng.standard_normal((CLASSES, 6, 6, 1))
    return (centres[y] + rng.normal(0, 0.3, (SAMPLES, 6, 6, 1))).astype(np.float32), y


def network() -> pe.Graph:
    """Convolution, pool, linear, softmax."""
    rng = np.random.default_rng(5)
    b = pe.GraphBuilder()
    weight = rng.normal(0, 0.4, (4, 3, 3, 1))
    h = b.conv2d(b.input("x", (1, 6, 6, 1)), weight, np.zeros(4), activation="relu", name="conv")
    h = b.reshape(b.max_pool2d(h, 2), (1, 36))
    b.output("y", b.softmax(b.linear(h, rng.normal(0, 0.3, (CLASSES, 36)), np.zeros(CLASSES), name="fc")))
    return b.build()


def digest(values: Mapping[str, np.ndarray]) -> str:
    """SHA-256 of names and bytes."""
    of = hashlib.sha256()
    for name in sorted(values):
        of.update(name.encode() + values[name].tobytes())
    return of.hexdigest()


def same(remote: Remote, trainer: pe.Trainer) -> None:
    """All weights, and the states that the plan shares with the trainer's."""
    assert digest(remote.weights()) == digest(trainer.weights())
    assert digest(remote.state()) == digest(trainer._session.state())


RECIPES: dict[str, dict[str, Any]] = {
    "momentum": {"optimizer": pe.SGD(0.05, momentum=0.9), "batch_size": 2, "accumulate": 2, "seed": 7},
    "adam": {"optimizer": pe.AdamW(pe.Cosine(0.01, 6)), "batch_size": 2},
    "fp16": {"optimizer": pe.SGD(0.05), "precision": "fp16", "batch_size": 2},
    "stochastic": {"optimizer": pe.SGD(0.05), "precision": "fast16", "rounding": "stochastic", "seed": 3},
}


@pytest.mark.parametrize(
    "name, recipe",
    [*(("host", recipe) for recipe in RECIPES), pytest.param("virt-rv32", "fp16", marks=needs_qemu)]
    + [pytest.param(*board.values, "momentum", marks=board.marks) for board in BOARDS if board != "host"],  # type: ignore[union-attr]
)
def test_a_board_learns_the_bits_of_the_trainer(name: str, recipe: str) -> None:
    """From where the trainer is: epochs, then single steps; what it predicts; and the trainer goes on from there."""
    x, y = data()
    trainer = pe.Trainer(network(), **RECIPES[recipe])
    trainer.fit(x, y, epochs=1, progress=False)
    with pe.connect(name) as board:
        remote = board.load(trainer.compile(board=name))
        same(remote, trainer)
        there, here = remote.fit(x, y, epochs=2, progress=False), trainer.fit(x, y, epochs=2, progress=False)
        assert there.loss == here.loss and (there.steps, there.skipped) == (here.steps, here.skipped)
        same(remote, trainer)
        size = here.steps and trainer._stream.size
        assert remote.train_on_batch(x[:size], y[:size]) == trainer.train_on_batch(x[:size], y[:size])
        same(remote, trainer)
        assert remote.run([x[:1]])[0].tobytes() == trainer.predict(x[:1]).tobytes()
        follower = pe.Trainer(network(), **RECIPES[recipe])
        follower.go_on_from(remote.state(), remote.epoch)
        assert follower.fit(x, y, progress=False).loss == trainer.fit(x, y, progress=False).loss
        remote.reset()
        assert digest(remote.state()) == digest(pe.Session(remote.plan).state())


@needs_qemu
@pytest.mark.parametrize("isa", ["rv32imac", "rv32imafc"])
def test_each_firmware_of_virt_rv32_learns_the_same(isa: str) -> None:
    """Soft and hard floats."""
    x, y = data()
    trainer = pe.Trainer(network(), optimizer=pe.Adam(0.01), batch_size=5)
    with pe.connect("virt-rv32", isa=isa) as board:
        remote = board.load(trainer.compile(board="virt-rv32"))
        remote.fit(x, y, progress=False)
        trainer.fit(x, y, progress=False)
        same(remote, trainer)


@pytest.mark.parametrize("name", ["host", pytest.param("virt-rv32", marks=needs_qemu)])
def test_what_was_learned_outlives_a_reset_and_the_process(name: str) -> None:
    """Epochs with a reset and another connection between them give the bits of a training without."""
    x, y = data()
    trainer = pe.Trainer(network(), optimizer=pe.SGD(0.05, momentum=0.9), batch_size=5)
    plan = trainer.compile(board=name)
    trainer.fit(x, y, epochs=3, progress=False)
    with pe.connect(name) as board:
        remote = board.load(plan, persist=True)
        remote.fit(x, y, progress=False)
        remote.keep()
        remote.train_on_batch(x[:5], y[:5])  # is lost
        board.reset()
        remote, epoch = board.load(plan, persist=True), remote.epoch
        remote.epoch = epoch
        remote.fit(x, y, progress=False)
        remote.keep()
    with pe.connect(name) as board:
        remote = board.load(plan, persist=True)
        remote.epoch = 2
        remote.fit(x, y, progress=False)
        same(remote, trainer)


def test_states_that_no_flash_takes_are_refused() -> None:
    """A plan in RAM; states too large for a slot; an arena too large for RAM; another plan there meanwhile."""
    b = pe.GraphBuilder()
    s = b.state("s", np.zeros((1, 600_000), np.float32))
    b.update(s, b.relu(s))
    b.output("y", b.relu(s))
    large = pe.compile(b.build())
    with pe.connect("host") as board:
        remote = board.load(pe.Trainer(network()).compile())
        with pytest.raises(pe.UnsupportedError, match=r"in flash.*persist=True"):
            remote.keep()
        with pytest.raises(pe.PlanError, match="two copies of its states"):
            board.load(large, persist=True).keep()
        b = pe.GraphBuilder()
        wide = b.op("tile", b.input("x", (1, 4)), repeats=(1, 2**21))[0]
        b.output("y", b.op("reduce_sum", wide, axes=(1,), keepdims=False)[0])
        with pytest.raises(pe.PlanError, match=r"the arena does not fit.*; try: low_memory=True, or a smaller batch"):
            board.load(pe.compile(b.build(), "raspberry-pi-5"))
        with pytest.raises(pe.PlanError, match="another plan was loaded"):
            remote.keep()


def test_what_does_not_fit_is_said() -> None:
    """A plan that does not learn, another number of samples, labels that are none, unknown states, other states."""
    x, y = data()
    trainer = pe.Trainer(network(), batch_size=2)
    with pe.connect("host") as board:
        remote = board.load(pe.compile(network()))
        for call in (lambda: remote.fit(x, y), lambda: remote.train_on_batch(x, y), remote.weights):
            with pytest.raises(pe.PlanError, match=r"does not learn; try: pe\.Trainer"):
                call()
        assert remote.state() == {}
        remote = board.load(trainer.compile())
        with pytest.raises(pe.ShapeError, match="10 samples given, a step takes 2"):
            remote.train_on_batch(x, y)
        with pytest.raises(pe.ShapeError, match="is no class"):
            remote.fit(x, y + CLASSES)
        with pytest.raises(pe.PlanError, match="no state 'fc'; it has 'const"):
            remote.state(["fc"])
        with pytest.raises(ValueError, match="at least 1"):
            remote.fit(x, y, epochs=0)
        with pytest.raises(pe.ModelError, match="state 'const"):
            pe.Trainer(network(), precision="fp16").go_on_from(remote.state(), 0)
        other = board.load(pe.compile(network()))
        assert other.state() == {}
        with pytest.raises(pe.PlanError, match="another plan was loaded"):
            remote.weights()


def test_a_plan_of_ones_own_with_an_entry_train_still_runs() -> None:
    """It has no facts of a Trainer."""
    x = np.ones((1, 6, 6, 1), np.float32)
    with pe.connect("host") as board:
        remote = board.load(pe.compile({"main": network(), "train": network()}))
        assert remote.run([x], "train")[0].tobytes() == remote.run([x])[0].tobytes()
        with pytest.raises(pe.PlanError, match="does not learn"):
            remote.fit(x, np.zeros(1, np.int64))
