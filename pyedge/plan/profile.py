"""What an entry cost, op by op: made by sessions here and on boards."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from .roofline import Bound, Roofs, arithmetic, moved_bytes

if TYPE_CHECKING:
    import numpy.typing as npt

    from .reader import Entry, PlanTensor

SCHEMA = 1  # of to_dict() and to_json(); changes when a field changes its meaning

Interval = tuple[int, int]


def median_interval(samples: npt.ArrayLike) -> Interval | None:
    """A two-sided 95 % interval of the median from order statistics, whatever the distribution; None below 6 samples.

    Source: David and Nagaraja, Order Statistics, 3rd ed., section 7.1.
    """
    x = np.sort(np.asarray(samples).reshape(-1))
    n = x.size
    # The interval from the r-th smallest to the r-th largest misses the median with 2 P(Bin(n, 1/2) < r).
    r, below = 0, 0
    while 40 * (below + math.comb(n, r)) <= 2**n:  # in integers: a float ends at 1024 samples
        below += math.comb(n, r)
        r += 1
    return (int(x[r - 1]), int(x[n - r])) if r else None


# The fewest samples that give a quantile a two-sided 95 % interval from order statistics.
QUANTILES = {90: 36, 95: 72, 99: 368}
EMULATOR_FLAG = "times of an emulator, not of a board"  # among the flags of times that have one in them
MOST_RUNS, MOST_S = 2000, 20.0  # of a profile that chooses how many runs it needs
_FEWEST_RUNS = 20
_SETTLED = 0.01  # half the width of the median's interval, of the median


def is_settled(totals: npt.ArrayLike) -> bool:
    """Whether the 95 % interval of the median lies within 1 % of it."""
    interval = median_interval(totals)
    return interval is not None and interval[1] - interval[0] <= 2 * _SETTLED * float(np.median(np.asarray(totals)))


def collect(run: Callable[[], npt.NDArray[Any]], runs: int | None, warmup: int) -> npt.NDArray[Any]:
    """Rows of counts, one a run, after `warmup` runs that are dropped.

    runs: None takes as many as settle the median of the rows' sums, at most MOST_RUNS or what begins within MOST_S.
    """
    if (runs is not None and runs < 1) or warmup < 0:
        raise ValueError(f"runs={runs}, warmup={warmup}: at least 1 and 0")
    for _ in range(warmup):
        run()
    rows: list[npt.NDArray[Any]] = []
    end = time.monotonic() + MOST_S
    while runs is None or len(rows) < runs:
        rows.append(run())
        if runs is None and (len(rows) >= MOST_RUNS or time.monotonic() > end):
            break
        seen = len(rows) if runs is None else 0
        if seen >= _FEWEST_RUNS and seen % 10 == 0 and is_settled([row.sum() for row in rows]):
            break
    return np.array(rows)


def doubts(totals: npt.NDArray[Any], step: int = 0) -> tuple[str, ...]:
    """What speaks against the samples of one measurement, in their order of time.

    throttled: the last third is slower than the first, and their medians' intervals lie apart.
    bimodal: two groups, a fifth of the samples or more in each, with more than 5 % of the median between them: a clock
        that jumps, or a neighbour.
    window short: a run is shorter than 100 steps of the clock.
    """
    found = []
    third = len(totals) // 3
    first, last = median_interval(totals[:third]), median_interval(totals[len(totals) - third :])
    if first and last and first[1] < last[0] and last[0] - first[1] > _SETTLED * float(np.median(totals)):
        found.append("throttled")
    ordered = np.sort(totals).astype(np.float64)
    n = len(ordered)
    if n >= _FEWEST_RUNS:
        gaps = np.diff(ordered)[n // 5 - 1 : n - n // 5]
        if gaps.max() > 0.05 * ordered[n // 2]:
            found.append("bimodal")
    if step and float(np.median(totals)) < 100 * step:
        found.append("window short")
    return tuple(found)


def origin(unit: str, flags: Sequence[str]) -> str:
    """What a profile's figures are, for people: of an emulator none is a time of a real part. Only they count
    instructions."""
    if unit == "instructions":
        return "counted in an emulator: no time of a real part"
    return "measured on an emulator: no time of a real part" if EMULATOR_FLAG in flags else "measured"


@dataclass(frozen=True)
class OpCount:
    """One op: the median count of one run, in the profile's unit, with its 95 % interval if there is one.

    bytes: of operands and results. type: of its multiply-accumulates, as in Roofs.macs.
    """

    name: str
    kind: str
    count: int
    interval: Interval | None = None
    macs: int = 0
    bytes: int = 0
    type: str = ""


def uncounted(entry: Entry, tensors: Sequence[PlanTensor]) -> list[OpCount]:
    """The ops of an entry, for from_samples."""
    return [
        OpCount(op.name, op.kind, 0, None, op.macs, moved_bytes(op, tensors), arithmetic(op, tensors))
        for op in entry.ops
    ]


@dataclass(frozen=True)
class Profile:
    """Counts of one run of an entry.

    unit: "ns", "instructions" or "cycles"; never one called another. total: the median of whole runs, with interval;
    no interval means that all runs counted the same, or that there were fewer than 6. conditions: board, clock,
    firmware and whatever else the figures hold for. quantiles: of whole runs, by per cent, those that the number of
    runs allows. flags: what speaks against the figures (`doubts`, and what the clock says). totals: of the runs, in
    their order. timer_step, timer_cost: of the clock that counts, in the unit: of the latter each op has one. roofs:
    what the target does at most, if that is known.
    """

    unit: str
    target: str
    entry: str
    runs: int
    total: int
    ops: tuple[OpCount, ...]
    interval: Interval | None = None
    conditions: Mapping[str, Any] = field(default_factory=dict)
    least: int = 0
    most: int = 0
    quantiles: Mapping[int, int] = field(default_factory=dict)
    flags: tuple[str, ...] = ()
    timer_step: int = 0
    timer_cost: int = 0
    totals: tuple[int, ...] = ()
    roofs: Roofs | None = None

    @classmethod
    def from_samples(
        cls,
        samples: npt.NDArray[np.integer[Any]],
        ops: Sequence[OpCount],
        unit: str,
        target: str,
        entry: str = "main",
        conditions: Mapping[str, Any] | None = None,
        timer: tuple[int, int] = (0, 0),
        flags: Sequence[str] = (),
    ) -> Profile:
        """A profile from counts, integer [runs, ops]; counts and intervals of `ops` are replaced.

        timer: step and cost of the clock. flags: those that the counts don't show.
        """
        x = np.asarray(samples)
        if x.ndim != 2 or x.shape[0] < 1 or x.shape[1] != len(ops):
            raise ValueError(f"samples {x.shape}: expected one row a run and one column for each of {len(ops)} ops")

        def count(column: npt.NDArray[np.integer[Any]]) -> tuple[int, Interval | None]:
            middle = int(np.sort(column)[(column.size - 1) // 2])
            interval = median_interval(column)
            return middle, None if interval == (middle, middle) else interval

        counts = [count(x[:, i]) for i in range(len(ops))]
        rows = tuple(replace(op, count=n, interval=span) for op, (n, span) in zip(ops, counts, strict=True))
        totals = x.sum(axis=1)
        total, interval = count(totals)
        ordered = np.sort(totals)
        quantiles = {q: int(ordered[math.ceil(q * len(x) / 100) - 1]) for q, n in QUANTILES.items() if len(x) >= n}
        return cls(
            unit,
            target,
            entry,
            x.shape[0],
            total,
            rows,
            interval,
            dict(conditions or {}),
            int(ordered[0]),
            int(ordered[-1]),
            quantiles,
            (*doubts(totals, timer[0]), *flags),
            *timer,
            tuple(int(t) for t in totals),
        )

    def bound(self, op: OpCount) -> Bound:
        """What bounds an op, as far as that is known."""
        return Bound() if self.roofs is None else self.roofs.bound(op.count, op.macs, op.type, op.bytes)

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON, with a schema number; each op with its bound."""
        ops = [{**asdict(op), "bound": asdict(self.bound(op))} for op in self.ops]
        return {"schema": SCHEMA, **asdict(self), "conditions": dict(self.conditions), "ops": ops}

    def to_json(self) -> str:
        """to_dict() as text."""
        import json

        return json.dumps(self.to_dict(), sort_keys=True)

    def table(self) -> str:
        """A table for people: each op with count, share of the total, MACs, their rate, and what bounds it."""
        rate, per_count = self._rate()
        rows: list[tuple[str, ...]] = [
            ("op", "kind", self.unit, "share", "MACs", rate, "bound by", "95 % of the median")
        ]
        for op in (*self.ops, OpCount("total", "", self.total, self.interval, sum(op.macs for op in self.ops))):
            share = f"{100 * op.count / self.total:.1f} %" if self.total else "-"
            macs, ratio = (f"{op.macs:,}", f"{op.macs / max(op.count, 1) * per_count:.3g}") if op.macs else ("-", "-")
            interval = f"{op.interval[0]:,} .. {op.interval[1]:,}" if op.interval else "-"
            bound = str(self.bound(op)) if self.roofs and op.bytes else "-"
            rows.append((op.name, op.kind, f"{op.count:,}", share, macs, ratio, bound, interval))
        if self.roofs is None:
            rows = [(*row[:6], row[7]) for row in rows]
        head = f"{self.target}, entry {self.entry}, {self.runs} run{'s' * (self.runs > 1)}" + "".join(
            f", {k} {v}" for k, v in self.conditions.items()
        )
        head += f"; {origin(self.unit, self.flags)}"
        return "\n".join([head, columns(rows, left=(0, 1)), *self._spread()])

    def _rate(self) -> tuple[str, float]:
        """The name of the rate of MACs, and how many counts are one of what it is a rate by."""
        mhz = self.conditions.get("mhz")
        if self.unit == "ns" and isinstance(mhz, int) and mhz:
            return "MAC/cycle", 1000 / mhz
        return f"MAC/{self.unit.removesuffix('s') if self.unit != 'ns' else 'ns'}", 1.0

    def _spread(self) -> list[str]:
        """Lines on how the runs differ; none if they don't."""
        lines = []
        if self.least != self.most:
            quantiles = [
                f"p{q} {self.quantiles[q]:,}" if q in self.quantiles else f"p{q} needs {n} runs"
                for q, n in QUANTILES.items()
            ]
            lines.append(f"runs: least {self.least:,}, {', '.join(quantiles)}, most {self.most:,} {self.unit}")
        if self.timer_step:
            lines.append(f"clock: steps of {self.timer_step} {self.unit}, {self.timer_cost} for each op are its own")
        if self.roofs is not None:
            lines.append(f"bound by: the lower roof, and the op's share of it; {self.roofs.source}")
        if self.flags:
            lines.append(f"doubtful: {', '.join(self.flags)}")
        return lines


def columns(rows: Sequence[Sequence[str]], left: Sequence[int] = (0,)) -> str:
    """Rows of equal length as aligned text; the columns `left` to the left, the others to the right."""
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    lines = [
        [c.ljust(w) if i in left else c.rjust(w) for i, (c, w) in enumerate(zip(r, widths, strict=True))] for r in rows
    ]
    return "\n".join("  ".join(line).rstrip() for line in lines)
