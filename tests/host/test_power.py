"""Energy against a simulated Power Profiler Kit II, whose truth is known."""

from __future__ import annotations

import itertools
import json
import re
import time

import numpy as np
import pytest

import pyedge as pe
from pyedge.cli import _app as app
from pyedge.errors import LinkError, MeasurementError, UnsupportedError
from pyedge.host import frame
from pyedge.host.power import measure
from pyedge.host.power.ppk2 import RATE_HZ, Ppk2, decode, parse_calibration

from .ppk2_sim import RESISTORS, STEP, Ppk2Sim, encode, metadata
from .proxy import Proxy

VOLTS = 3.3


def record(sim: Ppk2Sim, seconds: float):
    """A trace of that length."""
    meter = Ppk2(sim.path, VOLTS)
    try:
        meter.start()
        time.sleep(seconds)
        return meter.stop()
    finally:
        meter.close()


def step_j(amps: float, seconds: float) -> float:
    """Energy of one step of the meter, in the range of a current."""
    return VOLTS * STEP / RESISTORS[np.searchsorted([40e-6, 400e-6, 4e-3, 40e-3], amps)] * seconds


def test_energy_between_edges_of_a_digital_input_is_the_truth():
    """To 0.1 % and one step of the meter, pulse by pulse; the pulses are as long as they were."""
    with Ppk2Sim() as sim:
        trace = record(sim, 1.0)
    found = trace.pulses(0, trace.times[0], trace.times[-1])
    assert len(found) >= 5
    for start, end in found:
        assert end - start == pytest.approx(0.02, abs=1e-9)
        assert trace.energy(start, end) == pytest.approx(VOLTS * 25e-3 * 0.02, rel=1e-3, abs=step_j(25e-3, 0.02))
    for (_, start), (end, _) in itertools.pairwise(found):
        assert trace.energy(start, end) == pytest.approx(VOLTS * 5e-3 * 0.08, rel=1e-3, abs=step_j(5e-3, 0.08))
    assert (sim.millivolts, sim.powered, sim.mode) == (3300, True, 2)


@pytest.mark.parametrize("amps", [1e-6, 3e-5, 2e-4, 3e-3, 2e-2, 0.5])
def test_all_ranges(amps):
    """A steady current in each range, by the calibration that the kit gave."""
    words = encode(np.full(100, amps), np.arange(100), np.zeros(100))
    found = decode(words, parse_calibration(metadata().decode()), VOLTS).amps
    assert found == pytest.approx(np.full(100, amps), rel=1e-3, abs=step_j(amps, 1) / VOLTS)


def test_every_lost_sample_is_seen():
    """One in 997, and 63 at a time: all are counted, and their time passes in the trace."""
    with Ppk2Sim(lose=lambda n: (n % 997 == 5) | (n % 10_007 < 63)) as sim:
        trace = record(sim, 0.8)
    # The first 63 were lost before the trace began: its first sample has the number 63.
    numbers = np.arange(63, 63 + round((trace.times[-1] - trace.times[0]) * RATE_HZ))
    assert trace.lost[-1] == int(((numbers % 997 == 5) | (numbers % 10_007 < 63)).sum()) > 400


def test_losses_that_the_counter_cannot_show_are_seen_by_the_time():
    """200 times 64 samples in one piece leave the counter as if nothing were gone."""
    with Ppk2Sim(lose=lambda n: (n >= 50_000) & (n < 50_000 + 64 * 200)) as sim:
        trace = record(sim, 1.5)
    assert trace.lost[-1] > 64 * 150


def test_metadata_in_pieces_are_whole():
    """A pause within them changes nothing."""
    with Ppk2Sim(split_metadata=True) as sim:
        meter = Ppk2(sim.path, VOLTS)
        meter.close()
    assert np.allclose(meter.calibration.R, RESISTORS)


@pytest.mark.parametrize("missing", ["R0", "GI4", "UG2", "O1"])
def test_a_calibration_with_holes_is_refused(missing):
    """No modifier is guessed."""
    with Ppk2Sim(without=missing) as sim, pytest.raises(LinkError, match=f"lacks {missing}"):
        Ppk2(sim.path, VOLTS)


def test_a_port_without_a_kit():
    """An error by the deadline."""
    with Proxy(Silent()) as line, pytest.raises(LinkError, match="no PPK2"):
        Ppk2(line.path, VOLTS)


class Silent:
    """A board that never says anything."""

    class stream:
        @staticmethod
        def read() -> bytes:
            time.sleep(0.05)
            return b""

        @staticmethod
        def write(data: bytes) -> None:
            pass

    def stop(self) -> None:
        pass


def test_calibration_modifiers_are_used():
    """Offsets, gains and what depends on the voltage, by the formula of Nordic's application."""
    text = metadata().decode()
    for key, value in {"O3": 8, "GS3": 2, "GI3": 0.9, "S3": 1e-4, "I3": 2e-4, "UG3": 1.1}.items():
        text = re.sub(rf"^{key}: .*$", f"{key}: {value}", text, flags=re.MULTILINE)
    word = np.array([1000 | 3 << 14], np.uint32)
    x = (4 * 1000 - 8) * (1.8 / 163840) / RESISTORS[3]
    expected = 1.1 * (x * (2 * x + 0.9) + 1e-4 * VOLTS + 2e-4)
    assert decode(word, parse_calibration(text), VOLTS).amps[0] == pytest.approx(expected, rel=1e-12)


class Switch:
    """Passes bytes on, and is thrown by the frames of one op, group 70, command run."""

    def __init__(self, op: int, throw) -> None:
        self.op, self.throw, self._rest = op, throw, b""

    def stall_s(self) -> float:
        return 0

    def apply(self, data: bytes) -> bytes:
        *frames, self._rest = (self._rest + data).split(b"\0")
        for message in (frame.unpack(raw) for raw in frames if raw):
            if (message.op, message.group, message.id) == (self.op, 70, 4):
                self.throw(self.op == frame.WRITE)
        return data


class Bench:
    """A real board behind a line, and a meter: the current rises, and its input 0, while a run is under way."""

    def __init__(self, emulate, lose=None) -> None:
        self.times, self.states = [0.0], [False]
        self.line = Proxy(emulate("host"), Switch(frame.WRITE, self.throw), Switch(frame.WRITE + 1, self.throw))
        self.meter = Ppk2Sim(self.load, lose)

    def throw(self, on: bool) -> None:
        self.times.append(time.monotonic())
        self.states.append(on)

    def load(self, numbers):
        """What it was when each sample was taken, by the line's clock."""
        at = np.searchsorted(self.times, self.meter.started + numbers / RATE_HZ, side="right") - 1
        on = np.array(self.states)[at]
        return np.where(on, 25e-3, 5e-3), on.astype(np.uint8)

    def __enter__(self):
        return self

    def __exit__(self, *_: object) -> None:
        self.meter.__exit__()
        self.line.__exit__()


@pytest.fixture(scope="module")
def slow_plan() -> pe.Plan:
    """One whose 10 runs take long enough for a window between edges of 10 us."""
    b = pe.GraphBuilder()
    weights = np.random.default_rng(5).standard_normal((512, 512), np.float32)
    b.output("y", b.linear(b.linear(b.input("x", (1, 512), "float32"), weights), weights))
    return pe.compile(b.build())


def test_windows_and_idling_of_a_real_board(emulate, slow_plan):
    """The powers of running and idling, and what they make of an inference, by pulses on the meter's input."""
    with Bench(emulate) as bench, pe.connect("host", port=bench.line.path) as board:
        meter = Ppk2(bench.meter.path, VOLTS)
        energy = measure(meter, board.load(slow_plan), mark="gpio", runs=10)
        meter.close()
    step = step_j(25e-3, energy.seconds)
    assert energy.gross_j == pytest.approx(VOLTS * 25e-3 * energy.seconds, rel=1e-3, abs=step)
    assert energy.net_j == pytest.approx(VOLTS * 20e-3 * energy.seconds, rel=1e-3, abs=2 * step)
    assert energy.idle_before_w == pytest.approx(VOLTS * 5e-3, rel=1e-3, abs=step_j(5e-3, 1))
    assert energy.step_j == pytest.approx(step, rel=0.01)
    assert (len(energy.windows), energy.runs, energy.lost) == (6, 10, 0)
    assert energy.interval_j is not None and energy.interval_j[0] <= energy.gross_j <= energy.interval_j[1]
    assert "uJ an inference" in energy.table()


def test_a_window_of_uncertain_edges_is_no_measurement(emulate, plan):
    """One short run by the host's clock."""
    with Bench(emulate) as bench, pe.connect("host", port=bench.line.path) as board:
        meter = Ppk2(bench.meter.path, VOLTS)
        with pytest.raises(MeasurementError, match="edges are uncertain"):
            measure(meter, board.load(plan), mark="clock", runs=1)
        meter.close()


def test_a_window_without_a_pulse_is_no_measurement(emulate, plan):
    """The board's pin is not wired to the input that was named."""
    with Bench(emulate) as bench, pe.connect("host", port=bench.line.path) as board:
        meter = Ppk2(bench.meter.path, VOLTS)
        with pytest.raises(MeasurementError, match="0 pulses on the meter's digital input 3 for 6 windows"):
            measure(meter, board.load(plan), mark="gpio", pin=3, runs=10)
        meter.close()


def test_an_emulated_board_has_no_power(plan):
    """Instructions of an emulator cost this computer's power, not a chip's."""
    with Ppk2Sim() as sim, pe.connect("host") as board:
        meter = Ppk2(sim.path, VOLTS)
        with pytest.raises(UnsupportedError, match="emulated"):
            measure(meter, board.load(plan))
        meter.close()


def test_the_command(emulate, slow_plan, tmp_path, capsys):
    """`pyedge power --json`; and exit code 8 without a figure when one sample in a hundred is lost."""
    slow_plan.save(tmp_path / "slow.pedge")

    def power(bench):
        return app.run([
            "power", str(tmp_path / "slow.pedge"), "-b", "host", "-p", bench.line.path, "--meter", "ppk2",
            "--meter-port", bench.meter.path, "--volts", "3.3", "--mark", "gpio", "--runs", "10", "--json",
        ])  # fmt: skip

    with Bench(emulate) as bench:
        assert power(bench) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["kind"], found["energy"]["mark"]) == ("power", "gpio")
    assert found["energy"]["gross_j"] > found["energy"]["net_j"] > 0
    with Bench(emulate, lose=lambda n: n % 100 == 0) as bench:
        assert power(bench) == 8
    printed = capsys.readouterr()
    assert printed.out == ""
    assert "samples were lost" in printed.err
