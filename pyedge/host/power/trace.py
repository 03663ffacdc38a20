"""What a meter saw: energy against time, and its digital inputs."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from ...errors import MeasurementError, PyedgeError

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Trace:
    """Energy since the beginning, between samples taken as growing evenly.

    Args:
        times: float64 [n + 1], seconds of time.monotonic(), ascending: sample i holds from times[i] to times[i + 1].
        joules: float64 [n + 1], energy up to each time; 0 at the first.
        sync_s: How far times may be off from the host's clock as a whole, seconds.
        step_w: One step of the meter, watts; the coarsest of those that the trace has met.
        lost: float64 [n + 1], samples that did not arrive, up to each time.
        clipped: float64 [n + 1], samples at the end of the meter's range, up to each time.
        bits: uint8 [n], a digital input in each bit; None if the meter has none.
    """

    times: Floats
    joules: Floats
    sync_s: float
    step_w: float
    lost: Floats
    clipped: Floats
    bits: npt.NDArray[np.uint8] | None = None

    def energy(self, start: float, end: float) -> float:
        """Joules between two times; MeasurementError if the trace does not cover them."""
        if not self.times[0] <= start < end <= self.times[-1]:
            raise MeasurementError("the meter's record does not cover the window; is the meter slower than its rate?")
        a, b = np.interp([start, end], self.times, self.joules)
        return float(b - a)

    def share(self, counts: Floats, start: float, end: float) -> float:
        """Which part of the samples between two times is in counts, one of `lost` and `clipped`."""
        n = np.interp([start, end], self.times, np.arange(self.times.size) + self.lost)
        k = np.interp([start, end], self.times, counts)
        return float((k[1] - k[0]) / max(n[1] - n[0], 1e-12))

    def pulses(self, bit: int, start: float, end: float) -> list[tuple[float, float]]:
        """The times at which a digital input rose and fell again, of whole pulses between two times."""
        if self.bits is None:
            raise MeasurementError("this meter has no digital inputs; try: --mark clock")
        first, last = np.searchsorted(self.times, [start, end])
        high = (self.bits[first:last] >> bit & 1).astype(np.int8)
        change = np.diff(high)
        rises, falls = (np.flatnonzero(change == sign) + 1 + first for sign in (1, -1))
        falls = falls[falls > rises[0]] if rises.size else falls[:0]
        return [(float(self.times[a]), float(self.times[b])) for a, b in zip(rises, falls, strict=False)]


class Meter(Protocol):
    """A power meter. start() and stop() can be called again and again."""

    name: str
    covers: str  # what its power is the power of, for people
    period_s: float  # of its samples

    def start(self) -> None:
        """Begins a record."""

    def stop(self) -> Trace:
        """Ends it. LinkError if the meter has gone meanwhile."""

    def close(self) -> None: ...


class PolledMeter:
    """A meter that is read from a thread: its power, or a counter of its energy."""

    def __init__(
        self,
        name: str,
        covers: str,
        period_s: float,
        *,
        watts: Callable[[], float] | None = None,
        joules: Callable[[], float] | None = None,
        step_w: float = 0.0,
        close: Callable[[], None] = lambda: None,
    ) -> None:
        """Takes one of `watts`, the power now, and `joules`, a counter that only grows."""
        assert (watts is None) != (joules is None)
        self.name, self.covers, self.period_s, self.close = name, covers, period_s, close
        self._watts, self._joules, self._step_w = watts, joules, step_w
        self._rows: list[tuple[float, float, float]] = []  # before and after reading, value
        self._failure: PyedgeError | OSError | None = None

    def start(self) -> None:
        self._rows, self._failure, self._ended = [], None, threading.Event()
        self._thread = threading.Thread(target=self._poll, daemon=True)
        self._thread.start()

    def _poll(self) -> None:
        read = self._watts or self._joules
        assert read is not None
        try:
            ended = False
            while not (ended and len(self._rows) >= 2):
                ended = self._ended.is_set()  # before it is read: the last reading is from after the end
                before = time.monotonic()
                value = read()
                self._rows.append((before, time.monotonic(), value))
                self._ended.wait(max(0.0, before + self.period_s - time.monotonic()))
        except (PyedgeError, OSError) as e:
            self._failure = e

    def stop(self) -> Trace:
        self._ended.set()
        self._thread.join()
        if self._failure:
            raise self._failure
        before, after, value = np.array(self._rows).T
        times = (before + after) / 2
        if self._watts:  # trapezoids between readings
            value = np.concatenate([[0], np.cumsum((value[1:] + value[:-1]) / 2 * np.diff(times))])
        # A reading that comes late is a lost sample, as with a meter that streams; a counter has lost nothing.
        late = np.concatenate([[0], np.maximum(np.round(np.diff(times) / self.period_s) - 1, 0)])
        late = late if self._watts else np.zeros(times.size)
        sync_s = float(np.median(after - before) / 2 + self.period_s)
        return Trace(times, value - value[0], sync_s, self._step_w, np.cumsum(late), np.zeros(times.size))
