"""What an entry cost, op by op: made by sessions here and on boards."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import numpy.typing as npt

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


@dataclass(frozen=True)
class OpCount:
    """One op: the median count of one run, in the profile's unit, with its 95 % interval if there is one."""

    name: str
    kind: str
    count: int
    interval: Interval | None = None
    macs: int = 0


@dataclass(frozen=True)
class Profile:
    """Counts of one run of an entry.

    unit: "ns", "instructions" or "cycles"; never one called another. total: the median of whole runs, with interval;
    no interval means that all runs counted the same, or that there were fewer than 6. conditions: board, clock,
    firmware and whatever else the figures hold for.
    """

    unit: str
    target: str
    entry: str
    runs: int
    total: int
    ops: tuple[OpCount, ...]
    interval: Interval | None = None
    conditions: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def from_samples(
        cls,
        samples: npt.NDArray[np.integer[Any]],
        ops: Sequence[OpCount],
        unit: str,
        target: str,
        entry: str = "main",
        conditions: Mapping[str, Any] | None = None,
    ) -> Profile:
        """A profile from counts, integer [runs, ops]; of `ops` only name, kind and macs are taken."""
        x = np.asarray(samples)
        if x.ndim != 2 or x.shape[0] < 1 or x.shape[1] != len(ops):
            raise ValueError(f"samples {x.shape}: expected one row a run and one column for each of {len(ops)} ops")

        def count(column: npt.NDArray[np.integer[Any]]) -> tuple[int, Interval | None]:
            middle = int(np.sort(column)[(column.size - 1) // 2])
            interval = median_interval(column)
            return middle, None if interval == (middle, middle) else interval

        rows = tuple(OpCount(op.name, op.kind, *count(x[:, i]), op.macs) for i, op in enumerate(ops))
        total, interval = count(x.sum(axis=1))
        return cls(unit, target, entry, x.shape[0], total, rows, interval, dict(conditions or {}))

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON, with a schema number."""
        return {"schema": SCHEMA, **asdict(self), "conditions": dict(self.conditions)}

    def to_json(self) -> str:
        """to_dict() as text."""
        import json

        return json.dumps(self.to_dict(), sort_keys=True)

    def table(self) -> str:
        """A table for people: each op with count, share of the total, and count for each MAC."""
        rows = [("op", "kind", self.unit, "share", f"{self.unit}/MAC", "95 % of the median")]
        for op in (*self.ops, OpCount("total", "", self.total, self.interval, sum(op.macs for op in self.ops))):
            share = f"{100 * op.count / self.total:.1f} %" if self.total else "-"
            ratio = f"{op.count / op.macs:.2f}" if op.macs else "-"
            interval = f"{op.interval[0]:,} .. {op.interval[1]:,}" if op.interval else "-"
            rows.append((op.name, op.kind, f"{op.count:,}", share, ratio, interval))
        head = f"{self.target}, entry {self.entry}, {self.runs} runs" + "".join(
            f", {k} {v}" for k, v in self.conditions.items()
        )
        return f"{head}\n{columns(rows, left=(0, 1))}"


def columns(rows: Sequence[Sequence[str]], left: Sequence[int] = (0,)) -> str:
    """Rows of equal length as aligned text; the columns `left` to the left, the others to the right."""
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    lines = [
        [c.ljust(w) if i in left else c.rjust(w) for i, (c, w) in enumerate(zip(r, widths, strict=True))] for r in rows
    ]
    return "\n".join("  ".join(line).rstrip() for line in lines)
