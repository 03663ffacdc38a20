"""Measures the energy of an inference: windows of many runs between two stretches of idling.

E_gross = energy of a window / runs. E_net = E_gross - P_idle * length of the window / runs. Never the net alone.
"""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np

from ...errors import MeasurementError, UnsupportedError
from ...model.graph import array_dtype
from ...plan import median_interval
from ...session import Session, match_inputs
from ..remote import Remote
from .trace import Meter, Trace

SCHEMA = 1
EDGE_SHARE = LOST_SHARE = 1e-3  # more of a window than this uncertain, or lost, and there is no result
WINDOWS = 6  # the fewest that give the median a 95 % interval
_BOARD_RUNS = 1000  # the most that one command asks of a board (docs/link.md)
_WINDOW_S = 1.0
_SETTLE_S = 0.1  # after the last traffic on the link, before idling is measured
_HOST_S = 2e-3  # what a busy host's own clock readings may be late by
_ECHOES = 5

Mark = Literal["clock", "device", "gpio"]
Array = np.ndarray


@dataclass(frozen=True)
class Window:
    """One window, in seconds of time.monotonic(). edge_s: how far its ends may be off, both together."""

    start_s: float
    end_s: float
    edge_s: float
    joules: float


@dataclass(frozen=True)
class Energy:
    """Energy of one inference, joules: medians over the windows.

    interval_j: of the median of gross_j, 95 %, None below 6 windows. uncertainty_j: of edges, drift of the idle power
    and interval, as root of the sum of squares; without the meter's gain error, which only its maker knows. step_j:
    one step of the meter, held over an inference: what averaging does not make smaller.
    """

    target: str
    entry: str
    meter: str
    covers: str
    mark: Mark
    runs: int  # of each window
    gross_j: float
    net_j: float
    interval_j: tuple[float, float] | None
    uncertainty_j: float
    step_j: float
    seconds: float  # of one inference, from the same windows
    idle_before_w: float
    idle_after_w: float
    lost: float  # share of samples
    windows: tuple[Window, ...]
    power: tuple[tuple[float, float], ...] = ()  # the meter's record in at most 2000 steps: time, watts from then on

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON, with a schema number."""
        return {"schema": SCHEMA, **asdict(self)}

    def table(self) -> str:
        """For people, in microjoules and milliwatts."""
        interval = "" if self.interval_j is None else " [{:.4g} .. {:.4g}]".format(*(1e6 * e for e in self.interval_j))
        rows = [
            f"{self.target}, entry {self.entry}, {len(self.windows)} windows of {self.runs} runs, marks: {self.mark}",
            f"meter     {self.meter}: {self.covers}",
            f"gross     {1e6 * self.gross_j:.5g} uJ an inference{interval}, +/- {1e6 * self.uncertainty_j:.2g}",
            f"net       {1e6 * self.net_j:.5g} uJ an inference above idling",
            f"idle      {1e3 * self.idle_before_w:.4g} mW before, {1e3 * self.idle_after_w:.4g} mW after",
            f"time      {1e3 * self.seconds:.5g} ms an inference",
            f"step      {1e6 * self.step_j:.2g} uJ, of the meter; its gain error comes on top",
            f"lost      {100 * self.lost:.3g} % of the samples",
        ]
        return "\n".join(rows)


@dataclass(frozen=True)
class _Burst:
    """Runs without a pause. device_s: how long they took by the board's own clock, if it has one."""

    start_s: float
    end_s: float
    device_s: float | None = None


class _Here:
    """A session of this process."""

    name, most = "python", 10**9
    overhead_s = 0.0

    def __init__(self, session: Session, arrays: Sequence[Array], entry: str) -> None:
        self._session, self._arrays, self._entry = session, list(arrays), entry

    def burst(self, runs: int) -> _Burst:
        start = time.monotonic()
        for _ in range(runs):
            self._session.run(self._arrays, self._entry)
        return _Burst(start, time.monotonic())


class _There:
    """A plan on a board."""

    most = _BOARD_RUNS

    def __init__(self, remote: Remote, arrays: Sequence[Array], entry: str) -> None:
        if remote.board.emulated:
            raise UnsupportedError(
                f"{remote.board.name}: emulated, so no meter can measure it; try: --model, or the --port of a real one"
            )
        self.name = remote.board.name
        self._remote, self._entry = remote, entry
        remote.run(list(arrays), entry)
        trips = []
        for _ in range(_ECHOES):
            start = time.monotonic()
            remote.board.echo("")
            trips.append(time.monotonic() - start)
        self.overhead_s = min(trips)

    def burst(self, runs: int) -> _Burst:
        start = time.monotonic()
        count = self._remote.repeat(runs, self._entry)
        end = time.monotonic()
        return _Burst(start, end, count / self._hz if self._hz else None)

    @property
    def _hz(self) -> int:
        hello = self._remote.board.hello
        return 0 if hello.unit == "instructions" else hello.hz


def measure(
    meter: Meter,
    target: Session | Remote,
    inputs: Mapping[str, Array] | Sequence[Array] | None = None,
    *,
    entry: str = "main",
    mark: Mark | None = None,
    pin: int = 0,
    runs: int | None = None,
    windows: int = WINDOWS,
) -> Energy:
    """Measures an entry. Nothing else should run on the target meanwhile.

    Args:
        inputs: As for `run`, written once; zeros if not given.
        mark: What says where a window begins and ends. "gpio": the meter's digital input, which the board's firmware
            holds high while it runs. "device": the board's clock says how long, the host's where. "clock": the host's
            clock alone. By default "device" on boards with a clock, else "clock".
        pin: The digital input.
        runs: Of a window; by default as many as make its edges certain enough, at most 1000 on a board.

    Raises:
        MeasurementError: A rule is broken: uncertain edges or lost samples of more than 0.1 % of a window, a sample at
            the end of the meter's range, other pulses than one for each window.
        UnsupportedError: An emulated board; a mark that it does not have.
        And what `run` and the meter raise.
    """
    e = target.plan.entry(entry)
    zeros = [np.zeros(tuple(d or 1 for d in t.shape), array_dtype(t.dtype)) for t in e.inputs]
    arrays = match_inputs(e, zeros if inputs is None else inputs)
    runner = _Here(target, arrays, entry) if isinstance(target, Session) else _There(target, arrays, entry)
    first = runner.burst(1)
    if mark is None:
        mark = "clock" if first.device_s is None else "device"
    if mark == "device" and first.device_s is None:
        raise UnsupportedError(f"{runner.name}: has no clock of its own that could mark a window; use another mark")
    edge_s = meter.period_s if mark == "gpio" else runner.overhead_s + 2 * meter.period_s + _HOST_S
    runs = _enough(runner, max(_WINDOW_S, 1.5 * edge_s / EDGE_SHARE)) if runs is None else runs

    idle_s = max(_WINDOW_S, 100 * meter.period_s)
    meter.start()
    try:
        before = _idle(idle_s)
        bursts = [runner.burst(runs) for _ in range(windows)]
        after = _idle(idle_s)
    finally:
        trace = meter.stop()

    if mark == "gpio":
        found = _pulses(trace, bursts, pin)
    else:
        found = [_window(trace, burst, mark, runner.overhead_s) for burst in bursts]
    _check(trace, found, [before, after])
    idle = [trace.energy(a, b) / (b - a) for a, b in (before, after)]
    lengths = [w.end_s - w.start_s for w in found]
    gross = [w.joules / runs for w in found]
    seconds = statistics.median(lengths) / runs
    interval = median_interval(np.round(np.array(gross) * 1e15).astype(np.int64))  # femtojoules: it takes integers
    interval_j = (interval[0] * 1e-15, interval[1] * 1e-15) if interval else None
    low, high = interval_j or (min(gross), max(gross))
    middle = statistics.median(gross)
    parts = [
        middle * max(w.edge_s / t for w, t in zip(found, lengths, strict=True)),
        abs(idle[1] - idle[0]) / 2 * seconds,
        (high - low) / 2,
    ]
    return Energy(
        runner.name,
        entry,
        meter.name,
        meter.covers,
        mark,
        runs,
        middle,
        statistics.median(g - sum(idle) / 2 * t / runs for g, t in zip(gross, lengths, strict=True)),
        interval_j,
        math.hypot(*parts),
        trace.step_w * seconds,
        seconds,
        idle[0],
        idle[1],
        trace.share(trace.lost, before[0], after[1]),
        tuple(found),
        _steps(trace),
    )


def _steps(trace: Trace, most: int = 2000) -> tuple[tuple[float, float], ...]:
    """The trace as mean power over steps of equal numbers of samples."""
    at = np.unique(np.linspace(0, trace.times.size - 1, most + 1).astype(int))
    times, watts = trace.times[at], np.diff(trace.joules[at]) / np.diff(trace.times[at])
    return tuple((float(t), float(w)) for t, w in zip(times, watts, strict=False))


def _enough(runner: _Here | _There, window_s: float) -> int:
    """How many runs take that long."""
    runs = 1
    while True:
        burst = runner.burst(runs)
        took = max(burst.end_s - burst.start_s, 1e-6)
        if took >= window_s / 4 or runs == runner.most:
            return max(1, min(runner.most, math.ceil(runs * window_s / took)))
        runs = min(runner.most, 4 * runs)


def _idle(seconds: float) -> tuple[float, float]:
    time.sleep(_SETTLE_S)
    start = time.monotonic()
    time.sleep(seconds)
    return start, time.monotonic()


def _pulses(trace: Trace, bursts: Sequence[_Burst], pin: int) -> list[Window]:
    """Windows from the meter's digital input: a pulse for each burst, and no other."""
    around = trace.sync_s + _SETTLE_S / 2
    pulses = trace.pulses(pin, bursts[0].start_s - around, bursts[-1].end_s + around)
    if len(pulses) != len(bursts):
        raise MeasurementError(
            f"{len(pulses)} pulses on the meter's digital input {pin} for {len(bursts)} windows;"
            " is the board's mark pin wired to it? try: --mark clock"
        )
    sample_s = float(np.median(np.diff(trace.times)))
    return [Window(start, end, sample_s, trace.energy(start, end)) for start, end in pulses]


def _window(trace: Trace, burst: _Burst, mark: Mark, overhead_s: float) -> Window:
    start, end = burst.start_s, burst.end_s
    edge_s = trace.sync_s + overhead_s
    if mark == "device" and burst.device_s is not None:
        spare = max(0.0, (end - start) - burst.device_s)
        start, end = start + spare / 2, end - spare / 2
        edge_s = trace.sync_s + spare / 2
    return Window(start, end, edge_s, trace.energy(start, end))


def _check(trace: Trace, windows: Sequence[Window], idle: Sequence[tuple[float, float]]) -> None:
    """Raises MeasurementError if a rule is broken."""
    spans = [*((w.start_s, w.end_s) for w in windows), *idle]
    edge = max(w.edge_s / (w.end_s - w.start_s) for w in windows)
    lost = max(trace.share(trace.lost, a, b) for a, b in spans)
    clipped = max(trace.share(trace.clipped, a, b) for a, b in spans)
    broken = []
    if edge > EDGE_SHARE:
        broken.append(f"the edges are uncertain by {100 * edge:.2g} % of a window: more runs, or --mark gpio")
    if lost > LOST_SHARE:
        broken.append(f"{100 * lost:.2g} % of the samples were lost: another USB port, a less busy computer")
    if clipped > 0:
        broken.append("the current is over the meter's range")
    if broken:
        raise MeasurementError(f"no valid measurement (at most {100 * EDGE_SHARE:g} % each): {'; '.join(broken)}")
