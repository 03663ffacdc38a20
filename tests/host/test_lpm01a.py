"""Energy against a simulated LPM01A, whose truth is known; no shield was at hand."""

from __future__ import annotations

import time

import numpy as np
import pytest

from pyedge.errors import BoardNotFoundError, LinkError, MeasurementError
from pyedge.host.power import open_meter
from pyedge.host.power.lpm01a import Lpm01a, record
from pyedge.host.power.trace import Trace

from .lpm01a_sim import Lpm01aSim, number


def measure(sim: Lpm01aSim, seconds: float = 0.6) -> Trace:
    """A record of that length."""
    meter = Lpm01a(sim.path, 3.0)
    try:
        meter.start()
        time.sleep(seconds)
        return meter.stop()
    finally:
        meter.close()


def lines(values: list[bytes]) -> list[tuple[float, bytes]]:
    """What comes a millisecond apart."""
    return [(1e-3 * (i + 1), value + b"\r\n") for i, value in enumerate(values)]


def test_energy_is_what_the_shield_has_integrated() -> None:
    """20 ms of 60 mW and 80 ms of 10 mW; the shield was set up for it, and given back."""
    with Lpm01aSim() as sim:
        trace = measure(sim)
        time.sleep(0.05)
    start = float(trace.times[0])
    assert trace.energy(start, start + 0.1) == pytest.approx(20e-3 * 60e-3 + 80e-3 * 10e-3, rel=1e-3)
    assert trace.energy(start + 0.02, start + 0.1) == pytest.approx(80e-3 * 10e-3, rel=1e-3)
    assert trace.step_w == pytest.approx(1e-8 * 1000) and trace.share(trace.lost, start, float(trace.times[-1])) < 1e-3
    wanted = ["output energy", "format ascii_dec", "freq 1k", "volt 3000m", "acqtime inf", "pwr on nostatus", "start"]
    assert [c for c in sim.commands if c in wanted] == wanted and sim.commands[-1] == "hrc"


def test_lost_samples_are_seen_by_the_shield_s_time() -> None:
    """Three lines in ten, between stamps of 100 ms; their time passes, and the sample before stands in."""
    with Lpm01aSim(watts=lambda n: 0.02, lose=lambda n: n % 100 in (50, 51, 52)) as sim:
        trace = measure(sim, 1.0)
    seconds = float(trace.times[-1] - trace.times[0])
    assert trace.lost[-1] >= 2 * int(seconds / 0.1 - 1)  # one in a gap may be the stamp's own
    assert trace.joules[-1] == pytest.approx(0.02 * seconds, rel=1e-6)


def test_lost_samples_are_seen_by_the_host_s_time() -> None:
    """Without stamps: half a second that never came."""
    with Lpm01aSim(lose=lambda n: 300 <= n < 800, stamps=False) as sim:
        trace = measure(sim, 1.2)
    assert trace.lost[-1] > 400


def test_damaged_lines_are_lost_samples() -> None:
    """A digit short, or two in one."""
    good = number(20e-6)
    trace = record(lines([good, good, good[:-2], good + good, good, good]), "x")
    assert trace.lost[-1] == 2 and trace.times[-1] - trace.times[0] == pytest.approx(6e-3)
    assert trace.joules[-1] == pytest.approx(6 * 20e-6)


@pytest.mark.parametrize("value", [2.5e-9, 6.409e-4, 9.9995e-5, 0.0])
def test_numbers_of_four_digits(value: float) -> None:
    """With a power of ten."""
    trace = record(lines([number(value)] * 3), "x")
    assert np.diff(trace.joules) == pytest.approx([value] * 3, rel=5e-4)


def test_an_error_of_the_shield_is_no_measurement() -> None:
    """Whatever it says."""
    with Lpm01aSim(say={100: b"error: overcurrent\r\n"}) as sim, pytest.raises(MeasurementError, match="overcurrent"):
        measure(sim, 0.3)


def test_no_samples() -> None:
    """It acknowledges and is silent."""
    with Lpm01aSim(lose=lambda n: True, stamps=False) as sim, pytest.raises(LinkError, match="sends no samples"):
        measure(sim, 0.1)


def test_a_refused_command_is_told_with_its_reason() -> None:
    """And a voltage that it doesn't have is refused before."""
    with Lpm01aSim() as sim:
        meter = Lpm01a(sim.path, 1.8)
        with pytest.raises(LinkError, match="refuses 'volt 5000m': voltage out of range"):
            meter._command("volt 5000m")
        meter.close()
        with pytest.raises(ValueError, match=r"1.8 to 3.3 V"):
            open_meter("lpm01a", sim.path, 5.0)


def test_a_port_is_needed() -> None:
    """As of any meter on a line."""
    with pytest.raises(BoardNotFoundError, match="lpm01a: which port"):
        open_meter("lpm01a", None, 3.3)
    with pytest.raises(ValueError, match="how many volts"):
        open_meter("lpm01a", "/dev/null")
