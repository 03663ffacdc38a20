"""Energy by a Joulescope: a stand-in for its package, with the part of its interface that is used; no instrument."""

from __future__ import annotations

import sys
import threading
import time
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from pyedge.errors import BoardNotFoundError, LinkError, MissingToolError
from pyedge.host.power import open_meter
from pyedge.host.power.joulescope import RATE_HZ
from pyedge.host.power.trace import Trace

FIRST = 12_345  # number of the first sample: it counts on from earlier records


class Instrument:
    """5 V and 4 mA; samples come in blocks of 10 ms, those of `lose` as not a number, the first 5 ms too."""

    def __init__(self, serial: str, lose: range = range(0), silent: bool = False) -> None:
        self.serial, self.lose, self.silent = serial, lose, silent
        self.parameters: dict[str, Any] = {}
        self.stream_buffer = self
        self._started: float | None = None
        self._lock = threading.Lock()

    def __str__(self) -> str:
        return self.serial

    def open(self) -> None:
        self.parameters.clear()

    def close(self) -> None:
        self._started = None

    def parameter_set(self, name: str, value: object) -> None:
        self.parameters[name] = value

    def start(self) -> None:
        self._started = time.monotonic()

    def stop(self) -> None:
        self._started = None

    @property
    def sample_id_range(self) -> tuple[int | None, int | None]:
        if self._started is None or self.silent:
            return None, None
        end = int((time.monotonic() - self._started) * 100) * RATE_HZ // 100
        return FIRST + max(0, end - 2 * RATE_HZ), FIRST + end

    def samples_get(self, start: int, stop: int, fields: list[str]) -> dict[str, Any]:
        numbers = np.arange(start, stop) - FIRST
        gone = np.isin(numbers, np.array(self.lose)) | (numbers < 50)
        values = {"current": 4e-3, "voltage": 5.0}
        signals = {f: np.where(gone, np.nan, np.float32(values[f])).astype(np.float32) for f in fields}
        return {"signals": {f: {"value": v} for f, v in signals.items()}}


def plugged(monkeypatch: pytest.MonkeyPatch, *instruments: Instrument) -> None:
    """They are found by the package."""
    package = ModuleType("joulescope")
    package.scan = lambda: list(instruments)  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "joulescope", package)


def record(seconds: float, serial: str | None = None) -> Trace:
    """A trace of that length."""
    meter = open_meter("joulescope", serial)
    try:
        meter.start()
        begin = time.monotonic()
        time.sleep(seconds)
        end = time.monotonic()
        trace = meter.stop()
        assert trace.times[0] < begin + 0.02 and trace.times[-1] >= end  # it covers what is asked of it
        return trace
    finally:
        meter.close()


def test_power_is_current_times_voltage(monkeypatch: pytest.MonkeyPatch) -> None:
    """Sample by sample; what is missing at the start is before the record."""
    one = Instrument("JS220-000415")
    plugged(monkeypatch, one)
    trace = record(0.4)
    assert one.parameters == {"sampling_frequency": RATE_HZ}
    seconds = float(trace.times[-1] - trace.times[0])
    assert trace.joules[-1] == pytest.approx(0.02 * seconds, rel=1e-5) and trace.lost[-1] == 0
    assert abs(trace.times[0] - (time.monotonic() - seconds)) < 5  # of the clock that marks are of


def test_lost_samples_are_counted_and_filled(monkeypatch: pytest.MonkeyPatch) -> None:
    """Thirty in the middle."""
    plugged(monkeypatch, Instrument("JS220-000415", lose=range(1000, 1030)))
    trace = record(0.4)
    assert trace.lost[-1] == 30
    assert trace.joules[-1] == pytest.approx(0.02 * float(trace.times[-1] - trace.times[0]), rel=1e-5)


def test_several_instruments_are_told_apart_by_their_serial(monkeypatch: pytest.MonkeyPatch) -> None:
    """Which is a part of the name; none and several are named."""
    plugged(monkeypatch, Instrument("JS110-000001"), Instrument("JS220-000415"))
    assert record(0.1, "js220").times.size > 1
    with pytest.raises(BoardNotFoundError, match="JS110-000001, JS220-000415; try: --meter-port SERIAL"):
        open_meter("joulescope")
    plugged(monkeypatch)
    with pytest.raises(BoardNotFoundError, match="found: none"):
        open_meter("joulescope")


def test_a_silent_instrument(monkeypatch: pytest.MonkeyPatch) -> None:
    """An error, by its deadline."""
    plugged(monkeypatch, Instrument("JS220-000415", silent=True))
    meter = open_meter("joulescope")
    meter.start()
    with pytest.raises(LinkError, match="sends no samples"):
        meter.stop()
    meter.close()


def test_without_the_package(monkeypatch: pytest.MonkeyPatch) -> None:
    """One line, with what to install."""
    monkeypatch.setitem(sys.modules, "joulescope", None)
    with pytest.raises(MissingToolError, match=r"pip install 'pyedge\[joulescope\]'"):
        open_meter("joulescope")
