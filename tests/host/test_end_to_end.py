"""The stages of an inference, from the file to the answer."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import pyedge as pe
from pyedge.cli import _app as app
from pyedge.demo import digits_int8
from pyedge.host import Board
from pyedge.host.end_to_end import end_to_end
from pyedge.host.link import Link

from .test_ssh import Loop, here  # noqa: F401  the fixture

PAUSE_NS = 2_000_000


@pytest.fixture(scope="module")
def digits() -> pe.Plan:
    """An int8 network with a scale at both ends."""
    return pe.compile(digits_int8())


def decoder(plan: pe.Plan, samples: int) -> Callable[[], dict[str, np.ndarray]]:
    """Real values that take a while to read."""
    shape = tuple(d or 1 for d in plan.inputs[0].shape)

    def decode() -> dict[str, np.ndarray]:
        time.sleep(PAUSE_NS * samples / 1e9)
        return {plan.inputs[0].name: np.zeros((samples, *shape[1:]), np.float32)}

    return decode


def stages(profile) -> dict[str, int]:
    """Nanoseconds of each."""
    return {op.name: op.count for op in profile.ops}


def test_stages_here(digits: pe.Plan, plan: pe.Plan) -> None:
    """Reading takes what it takes, a sample's part of it; no link, so no command."""
    found = end_to_end(pe.Session(digits), decoder(digits, 5), runs=7, warmup=0)
    assert [*stages(found)] == ["decode", "quantize", "send", "run", "receive", "dequantize"]
    assert PAUSE_NS <= stages(found)["decode"] < 5 * PAUSE_NS
    assert found.unit == "ns" and found.total >= PAUSE_NS
    assert found.conditions["sent_bytes"] == sum(t.bytes for t in digits.inputs)
    real = end_to_end(pe.Session(plan), decoder(plan, 5), runs=2, warmup=0)
    assert "dequantize" not in stages(real)


def test_stages_of_a_board_by_a_link(here, digits: pe.Plan) -> None:  # noqa: F811
    """It counts nanoseconds itself: what its run takes is apart from what the link takes."""
    board = Board(here, Link(Loop()), None, 10)
    remote = board.load(digits)
    x = np.zeros(digits.inputs[0].shape, np.int8)
    outputs, (send, run, command, receive) = remote.timed([x])
    assert np.array_equal(outputs[0], pe.Session(digits).run([x])[0]) and min(send, run, command, receive) > 0
    found = end_to_end(remote, decoder(digits, 1), runs=3, warmup=0)
    assert [*stages(found)] == ["decode", "quantize", "send", "run", "command", "receive", "dequantize"]
    assert not found.flags or "emulator" not in found.flags[-1]


def test_an_emulator_s_time_is_not_a_board_s(digits: pe.Plan) -> None:
    """Said among the flags; a board that counts instructions has no time of its own."""
    with pe.connect("host") as board:
        found = end_to_end(board.load(digits), decoder(digits, 1), runs=2, warmup=0)
    assert "times of an emulator, not of a board" in found.flags
    assert {"send", "command", "receive"} <= {*stages(found)}


def test_the_command(digits: pe.Plan, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Stages with shares, stored and reported; without data there is nothing to read."""
    digits.save(tmp_path / "m.pedge")
    shape = tuple(d or 1 for d in digits.inputs[0].shape)
    np.savez_compressed(tmp_path / "d.npz", x=np.zeros((3, *shape[1:]), np.float32))
    call = ["profile", str(tmp_path / "m.pedge"), "--end-to-end", "-n", "3", "--no-store"]
    assert app.run(call) == 2
    assert "--end-to-end needs --data" in capsys.readouterr().err
    assert app.run([*call, "-d", str(tmp_path / "d.npz"), "--json"]) == 0
    ops = json.loads(capsys.readouterr().out)["profile"]["ops"]
    assert [op["name"] for op in ops] == ["decode", "quantize", "send", "run", "receive", "dequantize"]
