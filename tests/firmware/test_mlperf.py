"""MLPerf Tiny's text protocol on boards, beside the frames of the same line."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

import pyedge as pe
from pyedge.host.link import GROUP_PYEDGE, Link

from .interface_board import wired
from .mlperf_runner import Runner

needs_qemu = pytest.mark.skipif(
    shutil.which("qemu-system-riscv32") is None, reason="qemu-system-riscv32 is not installed"
)
BOARDS = ["host", pytest.param("virt-rv32", marks=needs_qemu)]
MODELS = {
    "ic01": "mlperf_ic_resnet8_int8",
    "vww01": "mlperf_vww_mbv1_int8",
    "kws01": "mlperf_kws_dscnn_int8",
    "ad01": "mlperf_ad_fcae_int8",
    "sww01": "mlperf_sww_int8",
}
WIRE_BYTES = {"ic01": 3072, "vww01": 27648, "kws01": 490, "ad01": 2560, "sww01": 1200}


@pytest.fixture(autouse=True)
def own_state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The user's kept boards stay as they are."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.delenv("PYEDGE_PORT", raising=False)


@pytest.fixture(scope="module")
def kws() -> pe.Plan:
    """A small network of the sizes of kws01."""
    b = pe.GraphBuilder()
    weights = np.random.default_rng(1).integers(-127, 128, (12, 490), np.int8)
    x = b.input("x", (1, 490), "int8", scale=0.5, zero_point=3)
    y = b.linear(x, b.constant(weights, scale=0.01), scale=4.0, zero_point=-2)
    b.output("y", y)
    return pe.compile(b.build())


@pytest.fixture
def device(kws: pe.Plan) -> Iterator[tuple[pe.Board, Runner]]:
    """The host port with that network in RAM."""
    with pe.connect("host") as board:
        board.load(kws)
        yield board, Runner(board.link.stream)


def wire_input(test: str) -> bytes:
    """An input as the runner sends it."""
    random = np.random.default_rng(7)
    if test == "ad01":
        return random.uniform(-20, 60, 640).astype("<f4").tobytes()
    return random.integers(0, 256, WIRE_BYTES[test], np.uint8).tobytes()


def expected(plan: pe.Plan, test: str, data: bytes) -> np.ndarray:
    """What the device has to answer, by a session here."""
    x, y = plan.inputs[0], plan.outputs[0]
    if test == "ad01":
        floats = np.frombuffer(data, "<f4")
        codes = np.clip(np.rint(floats / np.float32(x.scale)) + x.zero_point, -128, 127).astype(np.int8)
    else:
        codes = np.frombuffer(data, np.uint8)
        codes = codes.view(np.int8) if test in ("kws01", "sww01") else (codes.astype(np.int16) - 128).astype(np.int8)
    out = pe.Session(plan)(codes.reshape(x.shape)).astype(np.float64).ravel()
    real = (out - y.zero_point) * y.scale
    return np.array([np.mean((real - floats) ** 2)]) if test == "ad01" else real


@pytest.mark.parametrize("name", BOARDS)
@pytest.mark.parametrize("test", MODELS)
def test_the_results_are_those_of_a_session(data_dir: Path, test: str, name: str) -> None:
    """Each benchmark's model: id, payload, results; also after runs that wrote over the input."""
    plan = pe.compile(pe.load(data_dir / "models" / f"{MODELS[test]}.tflite"), board=name, batch=1)
    data = wire_input(test)
    with pe.connect(name) as board:
        board.load(plan)
        runner = Runner(board.link.stream)
        assert runner.ask("profile") == ["m-profile-[ULPMark for tinyML Firmware V0.0.1]", f"m-model-[{test}]"]
        runner.load(data)
        wanted = expected(plan, test, data)
        for runs, warmup in ((1, 0), (2, 1)):
            assert np.allclose(runner.infer(runs, warmup)[1], wanted, rtol=1e-4, atol=6e-4)
        assert board.echo("frames again") == "frames again"


@needs_qemu
def test_its_time_is_that_of_frames(kws: pe.Plan) -> None:
    """To 0.1 %, where counts are the same in each run; 1000 instructions go for a microsecond."""
    with pe.connect("virt-rv32") as board:
        remote = board.load(kws)
        count = remote.repeat(200)
        runner = Runner(board.link.stream)
        runner.load(wire_input("kws01"))
        lap, _ = runner.infer(200, 2)
    assert lap == pytest.approx(count / 1000, rel=1e-3, abs=1)


def test_energy_mode_marks_the_runs_and_tells_no_time(kws: pe.Plan, tmp_path: Path) -> None:
    """One falling edge a timestamp, around the runs alone; performance mode and a reset end it."""
    with wired(tmp_path / "wires", kws) as (dut, pins, _):
        runner = Runner(dut)
        runner.load(wire_input("kws01"))
        before, results = runner.infer(1, 0)
        assert runner.ask("mode energy") == ["m-timestamp-mode-energy"]
        assert runner.ask("timestamp") == []
        single = pins.edges()
        lines = runner.ask("infer 300 2")
        assert lines[:-1] == ["m-warmup-start-2", "m-warmup-done", "m-infer-start-300", "m-infer-done"]
        assert lines[-1] == "m-results-[" + ",".join(f"{v:.3f}" for v in results) + "]"
        window = pins.edges()
        assert runner.ask("mode performance") == ["m-timestamp-mode-performance"]
        after, _ = runner.infer(1, 0)
        last = pins.edges()
    assert [edge[1:] for edge in single] == [("mark", 1), ("mark", 0), ("mark", 1)]  # it idles high
    assert [edge[1:] for edge in window] == [("mark", 0), ("mark", 1)] * 2
    start, _, end, _ = (ns for ns, *_ in window)
    assert single[-1][0] < start < end
    assert [edge[1:] for edge in last] == [("mark", 0)]
    assert before >= 0 and after >= 0


def test_frames_hold_the_mark_high_while_they_run(kws: pe.Plan, tmp_path: Path) -> None:
    """Once a request, all its runs in it: what pyedge power takes from a meter's digital input."""
    with wired(tmp_path / "wires", kws) as (dut, pins, _):
        link = Link(dut)
        link.buf_bytes = 4096
        answer = link.write(GROUP_PYEDGE, 4, {"e": 0, "id": 1, "n": 30})
        edges = pins.edges()
    assert [edge[1:] for edge in edges] == [("mark", 1), ("mark", 0)]
    assert edges[1][0] - edges[0][0] >= answer["count"]


@needs_qemu
def test_energy_mode_of_a_chip_with_pins() -> None:
    """The line goes on after a mark, and a reset ends the mode."""
    with pe.connect("sifive-e") as board:
        runner = Runner(board.link.stream)
        assert runner.ask("mode energy") == ["m-timestamp-mode-energy"]
        assert runner.ask("timestamp") == []
        board.reset()
        assert len(runner.ask("timestamp")) == 1


def test_a_board_without_a_pin_refuses_energy_mode(device) -> None:
    _, runner = device
    assert runner.ask("mode energy") == ["e-[This board has no pin for timestamps]"]
    assert runner.ask("mode") == ["e-[The modes are performance and energy]"]
    assert len(runner.ask("timestamp")) == 1


@pytest.mark.parametrize(
    ("command", "answer"),
    [
        ("name", ["m-name-dut-[pyedge host]"]),
        ("", []),
        ("frobnicate 7", ["e-[Unknown command: frobnicate]"]),
        ("db", ["e-[Command 'db' requires a subcommand]"]),
        ("db load", ["e-[Command 'db load' must be >0 bytes]"]),
        ("db load 0", ["e-[Command 'db load' must be >0 bytes]"]),
        ("db load 12x", ["e-[Command 'db load' must be >0 bytes]"]),
        ("db load 999999999", ["e-[No room for 999999999 bytes beside the plan]"]),
        ("db 123", ["e-[Insufficent number of hex digits]"]),
        ("db 12xy", ["e-[Invalid hex digit 'xy']"]),
        ("infer 0 1", ["e-[Inferences and warm-ups are 1 and 0 to 100000]"]),
        ("infer 1 -1", ["e-[Inferences and warm-ups are 1 and 0 to 100000]"]),
        ("infer 1 0", ["e-[The input is not loaded: it has 490 bytes]"]),
        ("results", ["e-[No results]"]),
        ("x" * 200, ["e-[Unknown command: " + "x" * 80 + "]"]),
    ],
)
def test_answers(device, command: str, answer: list[str]) -> None:
    """Each ends with m-ready, and the line is good for the next."""
    board, runner = device
    assert runner.ask(command) == answer
    assert runner.ask("name") == ["m-name-dut-[pyedge host]"]
    assert board.echo(command) == command


def test_the_buffer(device) -> None:
    """Either case of digits, what comes behind the end is passed over, 8 bytes a line."""
    _, runner = device
    assert runner.ask("db load 10") == ["m-[Expecting 10 bytes]"]
    assert runner.ask("db 00Ffa5") == []
    assert runner.ask("db 0102030405060708090a") == ["m-load-done"]
    assert runner.ask("db print") == ["m-buffer-00-ff-a5-01-02-03-04-05", "m-buffer-06-07"]
    assert runner.ask("db ff") == []
    assert runner.ask("infer 1 0") == ["e-[The input is not loaded: it has 490 bytes]"]
    runner.load(wire_input("kws01"))
    _, results = runner.infer(1, 0)
    assert runner.ask("results") == ["m-results-[" + ",".join(f"{v:.3f}" for v in results) + "]"]


def test_a_board_without_a_plan_says_so() -> None:
    """And works on."""
    with pe.connect("host") as board:
        runner = Runner(board.link.stream)
        assert runner.ask("profile")[1:] == ["e-[No plan on the board]"]
        assert runner.ask("db load 490") == ["e-[No plan on the board]"]
        assert runner.ask("infer 1 0") == ["e-[No plan on the board]"]
        assert board.echo("here") == "here"


def test_a_plan_in_flash_is_taken(kws: pe.Plan) -> None:
    """After a reset nobody has to bind it by frames."""
    with pe.connect("host") as board:
        board.load(kws, persist=True)
        board.reset()
        assert Runner(board.link.stream).ask("profile")[1:] == ["m-model-[kws01]"]


def test_another_plan_is_no_benchmark() -> None:
    """Its input has another size."""
    b = pe.GraphBuilder()
    b.output("y", b.relu(b.input("x", (1, 7), "float32")))
    with pe.connect("host") as board:
        board.load(pe.compile(b.build()))
        assert Runner(board.link.stream).ask("profile")[1:] == ["e-[The plan on the board is none of MLPerf Tiny]"]


def test_hostile_text_and_frames(host_firmware: Path, kws: pe.Plan) -> None:
    """Commands cut, doubled and mixed with noise and frames, under sanitizers: the board answers frames after each."""
    random = np.random.default_rng(3)
    words = [
        b"db load 490%", b"db " + b"7f" * 31 + b"%", b"db load 4294967295%", b"db load 16000000%", b"infer 2 1%",
        b"results%", b"db print%", b"profile%", b"\0", b"x" * 5000, b"%%%", b"\x02\x0a\x01", b"\r\n", random.bytes(60),
    ]  # fmt: skip
    with pe.connect("host", image=host_firmware) as board:
        board.load(kws)
        for _ in range(300):
            line = b"".join(words[i] for i in random.integers(len(words), size=6))
            at = int(random.integers(len(line) + 1))
            board.link.stream.write(line[:at] + b"\0" if random.random() < 0.5 else line + b"\0")
            what = random.random()
            if what < 0.1:  # an upload that stays unfinished takes the plan out of use
                board.link.write(70, 1, {"off": 0, "data": b"x", "len": 600, "sha": bytes(32)})
            elif what < 0.3:
                board.load(kws)
            assert board.echo("here") == "here"
