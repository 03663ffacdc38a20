"""The examples do what they say."""

from __future__ import annotations

import runpy
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import pyedge as pe

from .conftest import needs_qemu

EXAMPLES = Path(__file__).parents[2] / "examples"


@pytest.fixture(scope="module")
def customise() -> dict[str, Any]:
    """The functions of customise_digits.py."""
    return runpy.run_path(str(EXAMPLES / "customise_digits.py"))


def test_a_local_expert_learns_a_user_and_the_generic_one_stays(customise: dict[str, Any]) -> None:
    found = customise["experiment"](seed=7)
    user, generic = found["generic expert"]
    user_now, generic_now = found["with local expert and gate"]
    assert user_now >= user + 15 and generic_now >= generic - 2
    assert found["local expert without gate"][1] < generic_now - 15  # which is what the gate is for
    assert found["full fine-tuning"][1] < generic_now - 15
    assert max(customise["overhead"]()) <= 3


@needs_qemu
def test_experts_learn_on_a_board_as_here(customise: dict[str, Any]) -> None:
    x, y, *_ = customise["digits"](seed=3)
    generic = customise["generic_expert"](customise["initial"](np.random.default_rng(3)))
    user = customise["handwriting"](x[:4]), y[:4]
    here, there = (
        customise["customise"](generic, user, x[-4:], seed=3, board=board, epochs=2) for board in (None, "virt-rv32")
    )
    assert pe.compile(here).data == pe.compile(there).data
    gate = next(op for op in there.ops if op.name == "gate")
    assert np.abs(there.tensors[str(gate.inputs[1])].data).max() > 0


@pytest.fixture(scope="module")
def keyword() -> dict[str, Any]:
    """The functions of keyword/new_speaker.py."""
    return runpy.run_path(str(EXAMPLES / "keyword" / "new_speaker.py"))


def test_a_new_speaker_is_understood_after_some_samples(keyword: dict[str, Any]) -> None:
    """Words of a child by a network that knew adults; then in a stream, each where it was said."""
    graph = keyword["generic"]()
    test = keyword["clips"](keyword["CHILD"], times=20, seed=13)
    before = pe.Trainer(graph).evaluate(*test)["accuracy"]
    trainer = keyword["adapt"](graph, *keyword["clips"](keyword["CHILD"], times=4, seed=12))
    assert trainer.evaluate(*test)["accuracy"] > max(before + 0.1, 0.9)
    rng = np.random.default_rng(14)
    said = ["eo", "aiu", "oe"]
    sound = [keyword["say"](word, keyword["CHILD"][0], rng) for name in said for word in (name, "silence")]
    heard = keyword["listen"](trainer.graph(), np.concatenate(sound))
    assert [word for _, word in heard] == said
    assert all(2 * i < t < 2 * i + 1.5 for i, (t, _) in enumerate(heard))


@needs_qemu
def test_a_board_learns_a_speaker_and_listens_as_here(keyword: dict[str, Any]) -> None:
    graph = keyword["ds_cnn"](np.random.default_rng(6), channels=4)
    x, y = keyword["clips"](keyword["CHILD"], times=1, seed=15)
    here, there = (keyword["adapt"](graph, x[:3], y[:3], board, epochs=1) for board in (None, "virt-rv32"))
    assert {n: w.tobytes() for n, w in here.weights().items()} == {n: w.tobytes() for n, w in there.weights().items()}
    plan = pe.compile(pe.audio.attach(there.graph(), keyword["FRONT_END"]), board="virt-rv32")
    sound = keyword["say"]("eo", keyword["CHILD"][0], np.random.default_rng(16)).reshape(-1, 320)[20:24]
    session = pe.Session(plan)
    with pe.connect("virt-rv32") as board:
        remote = board.load(plan)
        assert all(remote.run([part])[0].tobytes() == session.run([part])[0].tobytes() for part in sound)
