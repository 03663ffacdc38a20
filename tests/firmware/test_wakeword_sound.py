"""The streaming wakeword with a sound input and pins, on the host port: as MLPerf Tiny's interface board measures it.

PYEDGE_TEST_ALL_ROWS=1: in real time too, ten seconds.
"""

from __future__ import annotations

import os
import time
from pathlib import Path

import numpy as np
import pytest

import pyedge as pe
from pyedge.host.link import GROUP_PYEDGE, Link

from .interface_board import CHUNK, InterfaceBoard, wired
from .mlperf_runner import Runner, StreamRunner
from .test_wakeword import STEP, chunk, small

REAL_TIME = [False, True] if os.environ.get("PYEDGE_TEST_ALL_ROWS") else [False]


@pytest.fixture(autouse=True)
def own_state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The user's kept boards stay as they are."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))


def hits_and_others(times_ms: list[int], windows: np.ndarray) -> tuple[int, int]:
    """Words that were heard from their start to 1 s after their end, and detections outside of all of them.

    The first detection is the start of the sound.
    """
    times = (np.array(times_ms[1:]) - times_ms[0]) / 1000
    inside = [(times >= start) & (times <= end + 1) for start, end in windows]
    return sum(bool(word.any()) for word in inside), int((~np.any(inside, axis=0)).sum())


@pytest.mark.parametrize("real_time", REAL_TIME)
def test_an_interface_board_hears_of_each_word_and_of_nothing_else(
    data_dir: Path, tmp_path: Path, real_time: bool
) -> None:
    """Ten seconds of sound: falling edges for three words alone, the activations of a session, frame by frame."""
    sounds = np.load(data_dir / "inputs" / "audio16k.npz")
    model = pe.load(data_dir / "models" / "mlperf_sww_int8.tflite")
    plan = pe.compile(pe.audio.attach(model, pe.audio.LogMel(), features=True), board="host")
    session = pe.Session(plan)
    frames = sounds["short_wav"][: 160000 // CHUNK * CHUNK].reshape(-1, CHUNK)
    expected = [int(session.run([frame])[0].ravel()[0]) for frame in frames]
    with wired(tmp_path / "wires", plan) as (dut, pins, audio):
        board = InterfaceBoard(dut, pins, audio, {"short.wav": sounds["short_wav"]}, real_time)
        assert board.ask("name") == ["tinyML Enhanced Interface Board", "m-ready"]
        assert "[dut]: m-model-[sww01]" in board.ask("dut profile")
        assert board.ask("dut stop")[3] == "[dut]: Streaming is already idle. Ignoring stop request"
        assert board.ask("dut start")[2:4] == ["[dut]: Received command: start", "[dut]: Listening to the audio input"]
        board.ask("record_detections")
        board.ask("play short.wav")
        if real_time:
            time.sleep(1.0)  # the last frame
        times = [int(line.rstrip(",")) for line in board.ask("print_detections")[1:-1]]
        _, *duty, _ = board.ask("print_dutycycle")
        stopped = board.ask("dut stop")
        board.close()
    middle = duty.index("Duty cycle stop times (s)")
    assert middle == len(duty) // 2 == len(frames)  # as many began as ended
    lines = [line.removeprefix("[dut]: ") for line in stopped]
    target = "".join(lines[lines.index("target activations: ") + 1 : -1])
    assert [int(v) for v in target.strip("[]").split(",")] == expected
    assert hits_and_others(times, sounds["sww_windows"]) == (3, 0)


def play(audio: Path, samples: bytes) -> None:
    """Samples into the pipe of the sound input."""
    with audio.open("wb") as pipe:
        pipe.write(samples)


def test_frames_come_in_pieces_and_stop_ends_them(tmp_path: Path) -> None:
    """A frame is computed when it is whole, down to half a sample; the first one is marked, and those above a half."""
    with wired(tmp_path / "wires", small()) as (dut, pins, audio):
        runner = StreamRunner(dut)
        play(audio, chunk(50, 50, 50))  # before start: nobody listens
        assert runner.ask("start")[0] == "Listening to the audio input"
        assert [(pin, level) for _, pin, level in pins.edges("busy 0")] == [("heard", 1), ("busy", 1), ("busy", 0)]
        frames = chunk(-1, 0, 0) + chunk(0, 0, 0) + chunk(2, 0, 0)
        seen = []
        for at in range(0, len(frames), 3):
            play(audio, frames[at : at + 3])
            if (at + 3) % (2 * STEP) == 0:
                seen.append([(pin, level) for _, pin, level in pins.edges("busy 0")])
        quiet, heard = [("busy", 1), ("busy", 0)], [("busy", 1), ("heard", 0), ("heard", 1), ("busy", 0)]
        assert seen == [heard, quiet, heard]
        assert runner.ask("state") == [f"g_i2s_state = 2, g_int16s_read={3 * STEP}"]
        for command in ("db load 12", "extract_uart_stream", "run_model", "infer 1 0"):
            assert runner.ask(command) == ["e-[Listening to the audio input: stop first]"]
        assert runner.ask("i2scap 5") == ["Streaming currently in progress. Ignoring request"]
        play(audio, chunk(9, 9, 9)[:5])  # not whole
        assert runner.ask("stop")[1:] == ["Streaming stopped.", "target activations: ", "[-1, -1, 1]"]
        play(audio, chunk(9, 9, 9))
        assert runner.ask("state") == [f"g_i2s_state = 0, g_int16s_read={3 * STEP}"]
        assert pins.edges() == []
        runner.ask("start")  # anew: what came meanwhile is dropped, states begin
        pins.edges("busy 0")
        play(audio, chunk(1, 1, 1))
        assert [edge[1:] for edge in pins.edges("busy 0")] == heard
        assert runner.ask("stop")[-1] == "[1]"


def test_a_capture_is_what_was_played(tmp_path: Path) -> None:
    """Silently: the line belongs to the host. A capture that is stopped keeps what has come."""
    with wired(tmp_path / "wires", small()) as (dut, _, audio):
        runner = StreamRunner(dut)
        assert runner.ask("i2scap 0") == ["e-[Command 'i2scap' takes a number of samples]"]
        assert runner.ask("i2scap 999999999") == ["e-[No room for 1999999998 bytes beside the plan]"]
        assert runner.ask("i2scap 4") == ["Listening to the audio input for 4 samples"]
        play(audio, np.array([1, -2, 300, -32768, 5], "<i2").tobytes())
        end = time.monotonic() + 60
        while runner.ask("state")[0].startswith("g_i2s_state = 1"):
            assert time.monotonic() < end
        assert runner.ask("db print_i16") == ["[1, -2, 300, -32768]"]
        assert runner.ask("i2scap")[0] == "Listening to the audio input for 16000 samples"
        assert runner.ask("stop") == ["Wav capture stopped."]


def test_another_plan_ends_listening(tmp_path: Path, host_firmware: Path) -> None:
    """By frames, under sanitizers, with sound that goes on; a plan with other frames goes on by its own."""
    with wired(tmp_path / "wires", small(), host_firmware) as (dut, pins, audio):
        runner, link = StreamRunner(dut), Link(dut)
        link.buf_bytes = 4096
        runner.ask("start")
        pins.edges("busy 0")
        play(audio, chunk(1, 1, 1) + bytes(3))
        pins.edges("busy 0")
        link.upload(GROUP_PYEDGE, 1, bytes(small(9).data))
        play(audio, bytes(2 * 9 * 4))
        pins.edges("busy 0")
        assert len(runner.ask("stop")) == 4
        runner.ask("start")
        b = pe.GraphBuilder()
        b.output("y", b.relu(b.input("x", (1, 7), "float32")))
        link.upload(GROUP_PYEDGE, 1, bytes(pe.compile(b.build()).data))
        play(audio, bytes(5000))
        assert Runner(dut).ask("stop") == ["e-[Unknown command: stop]"]
        link.upload(GROUP_PYEDGE, 1, bytes(small().data))
        assert runner.ask("state") == ["g_i2s_state = 0, g_int16s_read=0"]


def test_hostile_text_while_it_listens(tmp_path: Path, host_firmware: Path) -> None:
    """Commands in any order, plans that change, sound of any size, under sanitizers: text and frames work."""
    random = np.random.default_rng(11)
    words = [
        "start", "start", "stop", "i2scap 3", "i2scap 70000", "i2scap -1", "state", "db load 12", "db load 5",
        "db ff00", "db setptr 12", "db print_i16", "extract_uart_stream", "run_model", "infer 2 1", "results",
        "mode energy",
    ]  # fmt: skip
    with wired(tmp_path / "wires", small(), host_firmware) as (dut, pins, audio):
        runner, link = Runner(dut), Link(dut)
        link.buf_bytes = 4096
        for _ in range(150):
            for word in random.choice(words, 4):
                runner.ask(word)
                play(audio, random.bytes(int(random.integers(0, 60))))
            if random.random() < 0.2:
                link.upload(GROUP_PYEDGE, 1, bytes(small(int(random.integers(3, 40))).data))
            pins.edges()
        assert link.write(0, 0, {"d": "here"}) == {"r": "here"}


def test_a_file_is_played_at_its_rate(tmp_path: Path) -> None:
    """From its begin at each start, 16 samples a millisecond by the device's clock; then there is silence."""
    frames, step = 20, 80
    (tmp_path / "sound").write_bytes(np.ones(frames * step, "<i2").tobytes() + b"x")
    with wired(tmp_path / "wires", small(step), audio=tmp_path / "sound") as (dut, pins, _):
        runner = StreamRunner(dut)
        for _ in range(2):
            runner.ask("start")
            edges = pins.edges("busy 0")
            begin = edges[0][0]
            while sum(edge[1:] == ("busy", 0) for edge in edges) <= frames:
                edges += pins.edges("busy 0")
            ends = [ns for ns, *pin in edges if pin == ["busy", 0]][1:]
            assert all(ns - begin >= (i + 1) * step * 62_500 for i, ns in enumerate(ends))  # never early
            target = "".join(runner.ask("stop")[3:]).strip("[]").split(",")
            assert [int(v) for v in target] == list(range(1, frames + 1))
