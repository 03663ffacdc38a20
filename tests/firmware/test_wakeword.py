"""MLPerf Tiny's streaming wakeword over the line: chunks of sound by text, states on the board."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

import pyedge as pe

from .interface_board import wired
from .mlperf_runner import Runner, StreamRunner

needs_qemu = pytest.mark.skipif(
    shutil.which("qemu-system-riscv32") is None, reason="qemu-system-riscv32 is not installed"
)
STEP = 6  # samples of a chunk


@pytest.fixture(autouse=True)
def own_state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The user's kept boards stay as they are."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.delenv("PYEDGE_PORT", raising=False)


def small(step: int = STEP) -> pe.Plan:
    """A plan of a wakeword's shape: the last three samples of each chunk are added to a sum, each to its own."""
    b = pe.GraphBuilder()
    x, before = b.input("samples", (step,), "int16", scale=1.0), b.state("before", np.zeros((1, 3), np.float32))
    real = b.dequantize(x)
    newest = b.reshape(b.op("slice", real, starts=(step - 3,), ends=(step,), axes=(0,), steps=(1,))[0], (1, 3))
    total = b.add(before, newest)
    b.update(before, total)
    b.output("y", b.quantize(total, scale=1.0, zero_point=0))
    return pe.compile(b.build())


@pytest.fixture
def device() -> Iterator[tuple[pe.Board, StreamRunner]]:
    """The host port with that plan in RAM."""
    with pe.connect("host") as board:
        board.load(small())
        yield board, StreamRunner(board.link.stream)


def chunk(*newest: int) -> bytes:
    """Samples of which the last three count."""
    return np.array([99] * (STEP - 3) + list(newest), "<i2").tobytes()


def wakeword(data_dir: Path, board: str, features: bool) -> tuple[pe.Plan, np.ndarray, np.ndarray]:
    """MLPerf Tiny's model behind its front end, ten seconds of sound in chunks, and where its words are, in seconds."""
    model = pe.load(data_dir / "models" / "mlperf_sww_int8.tflite")
    plan = pe.compile(pe.audio.attach(model, pe.audio.LogMel(), features=features), board=board)
    sounds = np.load(data_dir / "inputs" / "audio16k.npz")
    return plan, sounds["short_wav"][: 160000 // 512 * 512].reshape(-1, 512), sounds["sww_windows"]


def test_a_device_hears_the_words(data_dir: Path) -> None:
    """Ten seconds: features and activations are a session's, and it fires for each word, nowhere else."""
    plan, parts, windows = wakeword(data_dir, "host", features=True)
    session, scores = pe.Session(plan), []
    with pe.connect("host") as board:
        board.load(plan)
        runner = StreamRunner(board.link.stream)
        assert runner.ask("profile")[1:] == ["m-model-[sww01]"]
        assert len(runner.ask("start")) == 2
        for part in parts:
            wanted = session.run([part])
            features, activations = runner.extract(part.astype("<i2").tobytes())
            assert (activations, features) == tuple(list(y.ravel()) for y in wanted)
            scores.append(activations)
        lap, *lines = runner.ask("stop")
        assert lap.startswith("m-lap-us-")
        assert lines[:2] == ["Streaming stopped.", "target activations: "]
        target = [int(v) for v in "".join(lines[2:]).strip("[]").split(",")]
        assert target == [first for first, _, _ in scores]
        assert board.echo("frames again") == "frames again"
    heard = np.array([(i + 1) * 0.032 for i, s in enumerate(scores) if s[0] == max(s)])
    inside = [(heard >= start) & (heard <= end + 1) for start, end in windows]
    assert all(word.any() for word in inside)
    assert sum(word.sum() for word in inside) == len(heard)


@needs_qemu
def test_a_board_hears_a_word(data_dir: Path) -> None:
    """Text and frames feed the same states: the sound before the word comes by frames. The plan gives no features."""
    plan, parts, windows = wakeword(data_dir, "virt-rv32", features=False)
    first, last = 100, int((windows[1][1] + 1) / 0.032)
    session = pe.Session(plan)
    scores = [session.run([part])[0].ravel().tolist() for part in parts[first:last]]
    fires = next(i for i, s in enumerate(scores) if s[0] == max(s))
    with pe.connect("virt-rv32") as board:
        remote = board.load(plan)
        runner = StreamRunner(board.link.stream)
        runner.ask("start")
        for i in range(fires + 2):
            samples = parts[first + i]
            if i < fires - 2:
                found = remote.run([samples])[0].ravel().tolist()
            else:
                (found,) = runner.extract(samples.astype("<i2").tobytes())
            assert found == scores[i]
        target = ", ".join(str(s[0]) for s in scores[fires - 2 : fires + 2])
        assert runner.ask("stop")[1:] == ["Streaming stopped.", "target activations: ", f"[{target}]"]


def test_states_go_on_until_a_stream_starts_anew(device) -> None:
    """Also with run_model, which tells the time; between start and stop alone activations are kept, 16 a line."""
    _, runner = device
    assert runner.extract(chunk(1, 2, -3)) == [[1, 2, -3]]
    assert runner.extract(chunk(0, 20, -100)) == [[1, 22, -103]]
    runner.load(chunk(-1, -2, -3))
    lines = runner.ask("run_model")
    assert [line.rstrip("0123456789") for line in lines[:2]] == ["m-lap-us-"] * 2
    assert lines[2:] == ["Output = [ +0, +20, -106]"]
    assert runner.ask("state") == ["g_i2s_state = 0, g_int16s_read=0"]
    assert runner.ask("start")[0].startswith("Listening")
    assert runner.ask("start") == ["Streaming currently in progress. Ignoring request"]
    assert runner.ask("state") == ["g_i2s_state = 2, g_int16s_read=0"]
    runner.load(chunk(-1, 0, 0))
    for i in range(18):
        assert runner.ask("extract_uart_stream") == [f"m-activations-[{-i - 1:+3d},  +0,  +0]"]
    assert runner.ask("state") == [f"g_i2s_state = 2, g_int16s_read={18 * STEP}"]
    assert runner.ask("stop")[1:] == [
        "Streaming stopped.", "target activations: ",
        "[" + ", ".join(str(-i - 1) for i in range(16)) + ",", "-17, -18]",
    ]  # fmt: skip
    assert runner.ask("stop") == ["Streaming is already idle. Ignoring stop request"]
    runner.ask("start")
    assert runner.ask("stop")[-1] == "[]"


def test_infer_begins_a_stream_of_its_own(device) -> None:
    """Its results are those of the chunk alone, however many runs are timed."""
    _, runner = device
    runner.extract(chunk(50, 50, 50))
    runner.load(chunk(4, 5, 6))
    for command in ("infer 1 0", "infer 7 3"):
        assert runner.ask(command)[-1] == "m-results-[4.000,5.000,6.000]"


@pytest.mark.parametrize(
    ("command", "answer"),
    [
        ("db getptr", ["m-buff-ptr-0"]),
        ("db setptr", ["e-[Command 'db setptr' takes 0 to 0]"]),
        ("db setptr 1", ["e-[Command 'db setptr' takes 0 to 0]"]),
        ("db print_i16", ["[]"]),
        ("log", ["Log contents[cp=0]:", "<>"]),
        ("extract_uart_stream", ["e-[The input is not loaded: it has 12 bytes]"]),
        ("run_model", ["e-[The input is not loaded: it has 12 bytes]"]),
        *(
            (
                command,
                ["e-[This board has no stored sound: send samples by db, then extract_uart_stream]"],
            )
            for command in ("extract", "infer_wav 0")
        ),
        ("i2scap 100", ["e-[This board has no audio input: send samples by db, then extract_uart_stream]"]),
        ("frobnicate", ["e-[Unknown command: frobnicate]"]),
    ],
)
def test_answers(device, command: str, answer: list[str]) -> None:
    """Each ends with m-ready, and the line is good for the next."""
    _, runner = device
    assert runner.ask(command) == answer
    assert runner.ask("name") == ["m-name-dut-[pyedge host]"]


def test_the_buffer(device) -> None:
    """A part that was damaged is sent again from where it began; samples are shown as such."""
    _, runner = device
    runner.ask("db load 12")
    assert runner.ask("db 0100ffff") == ["4 bytes received"]
    assert runner.ask("db 0080xx") == ["e-[Invalid hex digit 'xx']"]
    assert runner.ask("db getptr") == ["m-buff-ptr-6"]
    assert runner.ask("db setptr 4") == []
    assert runner.ask("db ff7f00800300") == ["10 bytes received"]
    assert runner.ask("extract_uart_stream") == ["e-[The input is not loaded: it has 12 bytes]"]
    assert runner.ask("db 0400") == ["m-load-done"]
    assert runner.ask("db setptr 13") == ["e-[Command 'db setptr' takes 0 to 12]"]
    assert runner.ask("db print_i16") == ["[1, -1, 32767, -32768, 3, 4]"]
    assert runner.ask("db print_i16 2") == ["[1, -1]"]
    assert runner.ask("extract_uart_stream") == ["m-activations-[-128,  +3,  +4]"]


def test_other_plans_know_none_of_it(device) -> None:
    """A stream that is not stopped ends with its plan."""
    board, runner = device
    runner.ask("start")
    b = pe.GraphBuilder()
    b.output("y", b.relu(b.input("x", (1, 7), "float32")))
    board.load(pe.compile(b.build()))
    assert Runner(board.link.stream).ask("stop") == ["e-[Unknown command: stop]"]
    board.load(small())
    assert runner.ask("state") == ["g_i2s_state = 0, g_int16s_read=0"]


def test_a_plan_in_flash_is_echoed_from_the_first_command_on() -> None:
    """A client that checks echoes says nothing before."""
    with pe.connect("host") as board:
        board.load(small(), persist=True)
        board.reset()
        assert StreamRunner(board.link.stream).extract(chunk(7, 8, 9)) == [[7, 8, 9]]


def test_start_and_stop_frame_what_a_power_meter_sees(tmp_path: Path) -> None:
    """One falling edge each, and no times."""
    with wired(tmp_path / "wires", small(), audio=Path(os.devnull)) as (dut, pins, _):
        runner = StreamRunner(dut)
        assert runner.ask("mode energy") == ["m-timestamp-mode-energy"]
        assert len(runner.ask("start")) == 1
        assert runner.ask("stop") == ["Streaming stopped.", "target activations: ", "[]"]
        marks = [level for _, pin, level in pins.edges() if pin == "mark"]
    assert marks == [1, 0, 1, 0, 1]


def test_hostile_text_in_a_stream(host_firmware: Path) -> None:
    """Commands in any order, cut and doubled, under sanitizers: the board answers frames after each line."""
    random = np.random.default_rng(5)
    words = [
        b"start%", b"stop%", b"extract_uart_stream%", b"run_model%", b"infer 2 1%", b"results%", b"state%",
        b"db load 12%", b"db " + b"7f" * 12 + b"%", b"db setptr 12%", b"db setptr -1%", b"db print_i16 999999999%",
        b"db load 99999%", b"db print%", b"db getptr%", b"\0", b"%%%", b"i2scap%", random.bytes(40),
    ]  # fmt: skip
    with pe.connect("host", image=host_firmware) as board:
        board.load(small())
        for _ in range(150):
            line = b"".join(words[i] for i in random.integers(len(words), size=6))
            at = int(random.integers(len(line) + 1))
            board.link.stream.write(line[:at] + b"\0" if random.random() < 0.5 else line + b"\0")
            if random.random() < 0.1:
                board.load(small(int(random.integers(3, 40))))
            assert board.echo("here") == "here"


def test_a_board_with_little_room_keeps_the_first_activations(host_firmware: Path) -> None:
    """Hostile order of commands, under sanitizers: sizes near the pool's, plans that come and go in a stream."""
    pool = 16 * 1024 * 1024
    with pe.connect("host", image=host_firmware) as board:
        board.load(small())
        runner = StreamRunner(board.link.stream)
        runner.ask("start")
        for _ in range(5):
            runner.extract(chunk(1, 1, 1))
        assert runner.ask(f"db load {pool}") == [f"e-[No room for {pool} bytes beside the plan]"]
        most = next(n for n in range(pool, 0, -4) if "Expecting" in runner.ask(f"db load {n}")[0])
        assert pool - most < 8192
        for command in (
            "db setptr 999999999",
            f"db setptr {most}",
            "db print_i16 3",
            "extract_uart_stream",
            "run_model",
        ):
            runner.ask(command)
        board.load(small())
        runner.extract(chunk(2, 2, 2))
        assert runner.ask("stop")[-1] == "[1, 2, 3, 4, 5, 2]"
        assert board.echo("here") == "here"
