"""Models with states, frame by frame on boards: the host's bits, through resets, reconnections and other commands."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import pyedge as pe
from pyedge.boards import load_profile
from pyedge.host import Remote, emulator, timing
from pyedge.host.board import Board
from pyedge.host.link import Link

from .conftest import BOARDS, needs_qemu

STREAMING = ["host", pytest.param("virt-rv32", marks=needs_qemu)]  # the third board's flash is too small


def running_sum() -> pe.Plan:
    """total = total + x from 1 on, y = 2 * total; "peek" reads the total."""
    b = pe.GraphBuilder()
    x, total = b.input("x", (1, 4), "float32"), b.state("total", np.ones((1, 4)))
    new = b.add(total, x)
    b.update(total, new)
    b.output("y", b.add(new, new))
    peek = pe.GraphBuilder()
    peek.output("now", peek.relu(peek.state("total", np.ones((1, 4)))))
    return pe.compile({"main": b.build(), "peek": peek.build()})


def total(remote: Remote) -> float:
    """What the state is now."""
    return float(remote.run([], "peek")[0][0, 0])


@pytest.mark.parametrize("name", BOARDS)
def test_a_board_keeps_the_states_until_they_are_reset(name: str) -> None:
    """Initial values when a plan is loaded; runs, other entries, a reset, a profile, the plan loaded again."""
    plan, x = running_sum(), np.full((1, 4), 2, np.float32)
    session = pe.Session(plan)
    with pe.connect(name) as board:
        remote = board.load(plan)
        assert total(remote) == 1
        for i in range(1, 4):
            np.testing.assert_array_equal(remote.run([x])[0], session.run([x])[0])
            assert total(remote) == 1 + 2 * i
        remote.reset()
        assert total(remote) == 1
        remote.run([x])
        remote.profile([x], runs=2, warmup=1)
        assert total(remote) == 1
        remote.run([x])
        assert total(board.load(plan)) == 1


def test_a_link_that_is_opened_again_finds_the_states_as_they_were(emulate: Callable[[str], emulator.Emulator]) -> None:
    """A board goes on while nobody is connected; its plan from flash, or a reset of the board, begin again."""
    plan, x, profile = running_sum(), np.full((1, 4), 2, np.float32), load_profile("host")
    stream = emulate("host").stream
    first = Board(profile, Link(stream, profile.link.baud), None, timing.RUN_S).load(plan, persist=True)
    first.run([x])
    board = Board(profile, Link(stream, profile.link.baud), None, timing.RUN_S)
    board.plan_sha = hashlib.sha256(plan.data).digest()
    remote = Remote(board, plan, board.plan_sha)
    assert total(remote) == 3
    board.use_slot()
    assert total(remote) == 1
    remote.run([x])
    board.reset()
    assert total(board.load(plan)) == 1


def stream(plan: pe.Plan, name: str, tmp_path: Path, isa: str | None, frames: list[dict[str, np.ndarray]]) -> None:
    """Runs frames on a board and here; then the first ones once more, after a reset."""
    session = pe.Session(plan)
    flash = None
    if name != "host":
        flash = tmp_path / "flash.bin"
        emulator.write_flash(flash, load_profile(name), bytes(plan.data))  # quicker than over the line
    with pe.connect(name, isa=isa, flash=flash) as board:
        remote = board.load(plan, persist=True)
        for part in (frames, frames[:3]):
            for frame in part:
                here, there = session.run(frame), remote.run(frame)
                assert {k: v.tobytes() for k, v in there.items()} == {k: v.tobytes() for k, v in here.items()}
            session.reset()
            remote.reset()


@pytest.mark.parametrize("name", STREAMING)
def test_a_noise_suppressor_runs_frame_by_frame(data_dir: Path, tmp_path: Path, name: str) -> None:
    """Two int8 LSTMs; what the board gives is also what TFLM has given."""
    plan = pe.compile(pe.load(data_dir / "models" / "tflm_dtln_ns.tflite"), board=name)
    with np.load(data_dir / "expected" / "tflm_dtln_ns.npz") as columns:
        x = columns["in0"][: 60 if name == "host" else 12]
    stream(plan, name, tmp_path, None, [{plan.inputs[0].name: frame} for frame in x])


@pytest.mark.parametrize("name", STREAMING)
def test_a_voice_detector_runs_frame_by_frame(data_dir: Path, tmp_path: Path, name: str) -> None:
    """silero-vad: its state goes in and out in ONNX, and stays on the board here. 64 samples of each frame are those
    before it."""
    shapes = {"input": (1, 576), "state": (2, 1, 128)}
    graph = pe.load(data_dir / "models" / "silero_vad_16k_op15.onnx", shapes=shapes)
    assert isinstance(graph, pe.Graph)
    plan = pe.compile(graph.make_state("state", "stateN"), board=name)
    with np.load(data_dir / "inputs" / "audio16k.npz") as sounds:
        sound = np.concatenate([np.zeros(64), sounds["speech8s"][16000:48000] / 32768]).astype(np.float32)
    count = 30 if name == "host" else 3
    frames = [sound[None, 512 * i : 512 * i + 576] for i in range(count)]
    isa = "rv32imafc" if name == "virt-rv32" else None
    stream(plan, name, tmp_path, isa, [{"input": frame, "sr": np.array(16000)} for frame in frames])


def test_a_voice_detector_with_a_state_gives_the_recorded_rows(data_dir: Path) -> None:
    """make_state gives what ONNX Runtime gave with the state fed back."""
    shapes = {"input": (1, 576), "state": (2, 1, 128)}
    graph = pe.load(data_dir / "models" / "silero_vad_16k_op15.onnx", shapes=shapes)
    assert isinstance(graph, pe.Graph)
    session = pe.Session(pe.compile(graph.make_state("state", "stateN")))
    with np.load(data_dir / "expected" / "silero_vad_16k_op15.onnx.npz") as c:
        fed, given = c["in1"], c["ref1"]
        np.testing.assert_array_equal(fed[1:], given[:-1])  # the rows are one sequence
        for x, y, state in zip(c["in0"], c["ref0"], given, strict=True):
            found = session.run({"input": x, "sr": np.array(16000)})
            np.testing.assert_allclose(found["output"], y, atol=1e-5)
            np.testing.assert_allclose(session.state()["state"], state, atol=1e-4)
