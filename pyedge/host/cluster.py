"""The kinds of cores of a chip, profiled apart and together, and the best split of a network between them."""

from __future__ import annotations

import queue
import statistics
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from .. import clocks
from ..plan import Profile
from ..plan.pipeline import Pipeline, best_pipeline, cut_bytes
from ..plan.profile import columns
from ..session import Session
from .local import placed
from .power import Energy, Meter, measure
from .remote import Remote

SCHEMA = 1
_TRIPS = 200
_MOST_THREADS = 64
_LARGE_BYTES = 1 << 20

Array = np.ndarray
Inputs = Mapping[str, Array] | Sequence[Array] | None


@dataclass(frozen=True)
class Row:
    """A measurement on some CPUs, a thread on each."""

    name: str
    cpus: str
    threads: int
    profile: Profile
    energy: Energy | None

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        energy = None if self.energy is None else self.energy.to_dict()
        return {**asdict(self), "profile": self.profile.to_dict(), "energy": energy}


@dataclass(frozen=True)
class Handover:
    """What it takes to give a tensor to a thread on another kind; measured between the two fastest, or taken as 0."""

    fixed_ns: float = 0.0
    ns_per_byte: float = 0.0
    measured: bool = False

    def ns(self, size: int | None) -> float:
        """Of that many bytes; infinite for a cut that may not be."""
        return float("inf") if size is None else self.fixed_ns + self.ns_per_byte * size


@dataclass(frozen=True)
class Clusters:
    """rows: one core of each kind, all cores of each kind, all together. split: the best pipeline of the kinds, each
    with all its cores, computed from the ops' times; None if there is one kind only.
    """

    rows: tuple[Row, ...]
    kinds: tuple[str, ...]
    split: Pipeline | None
    handover: Handover

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON, with a schema number."""
        split = None
        if self.split is not None:
            split = {**asdict(self.split), "period": self.split.period, "latency": self.split.latency}
        rows = [row.to_dict() for row in self.rows]
        return {"schema": SCHEMA, "rows": rows, "kinds": self.kinds, "split": split, "handover": asdict(self.handover)}

    def table(self) -> str:
        """For people: latency and power of each row, then the split."""
        rows = [("cores", "CPUs", "threads", "us", "95 % of the median", "mW", "uJ", "doubtful")]
        for row in self.rows:
            p, e = row.profile, row.energy
            interval = "{:,.1f} .. {:,.1f}".format(*(n / 1000 for n in p.interval)) if p.interval else "-"
            power = ("-", "-") if e is None else (f"{1e3 * e.gross_j / e.seconds:,.0f}", f"{1e6 * e.gross_j:,.4g}")
            doubts = ", ".join(p.flags) or "-"
            rows.append((row.name, row.cpus, str(row.threads), f"{p.total / 1000:,.1f}", interval, *power, doubts))
        lines = [columns(rows, left=(0, 1, 7))]
        if self.split is not None:
            lines += self._split(self.split)
        return "\n".join(lines)

    def _split(self, split: Pipeline) -> list[str]:
        ops = self.rows[0].profile.ops
        alone = min(row.profile.total for row in self.rows)
        lines = [f"best split: {len(split.stages)} stage{'s' * (len(split.stages) > 1)}"]
        for s in split.stages:
            lines.append(
                f"  {self.kinds[s.kind]}: {ops[s.first].name} .. {ops[s.last - 1].name}, {s.time / 1000:,.1f} us"
            )
        often = (
            f"a result every {split.period / 1000:,.1f} us, {alone / split.period:.2f} times as often as the best row"
        )
        lines.append(f"  {often}; one takes {split.latency / 1000:,.1f} us. Computed from the ops' times, not run")
        h = self.handover
        cost = (
            f"{h.fixed_ns / 1000:,.1f} us and {h.ns_per_byte:.3f} ns a byte, measured" if h.measured else "taken as 0"
        )
        return [*lines, f"  handing over: {cost}"]


def profile_clusters(
    target: Session | Remote,
    inputs: Inputs = None,
    *,
    cpus: Sequence[set[int]] = (),
    entry: str = "main",
    meter: Meter | None = None,
    runs: int | None = None,
    warmup: int = 5,
) -> Clusters:
    """Profiles an entry on one core of each kind, on all of each kind, and on all.

    Args:
        target: Of the plan; here, or on a board with Linux, which has it on all of these CPUs in the end.
        inputs, runs, warmup: As for `profile`.
        cpus: Takes these for kinds; without it the kinds that Linux tells (`clocks.clusters`).
        meter: Measures each row's energy as well.

    Raises:
        UnsupportedError: A board without Linux; CPUs that it doesn't have. And what `profile` and `measure` raise.
    """
    remote = isinstance(target, Remote)
    kinds = target.board.clusters() if isinstance(target, Remote) else clocks.clusters()
    if cpus:
        clock = {n: mhz for mhz, numbers in kinds for n in numbers}
        kinds = [(max(clock.get(n, 0) for n in some), tuple(sorted(some))) for some in cpus]
    names = [f"{len(numbers)} x {f'{mhz} MHz' if mhz else 'core'}" for mhz, numbers in kinds]
    singles = [(f"one of {name}", {c[-1]}) for name, (_, c) in zip(names, kinds, strict=True) if len(c) > 1]
    wholes = [(name, set(c)) for name, (_, c) in zip(names, kinds, strict=True)]
    together = [("together", {n for _, numbers in kinds for n in numbers})] if len(kinds) > 1 else []
    rows = []
    for name, some in [*singles, *wholes, *together]:
        with _on(target, some) as here:
            profile = here.profile(inputs, runs, warmup, entry)
            energy = None if meter is None else measure(meter, here, inputs, entry=entry)
        rows.append(Row(name, clocks.name_cpus(some), len(some), profile, energy))
    split, handover = None, Handover()
    if len(kinds) > 1:
        if not remote:
            handover = measure_handover(wholes[0][1], wholes[1][1])
        apart = rows[len(singles) : len(singles) + len(kinds)]
        times = [[float(op.count) for op in row.profile.ops] for row in apart]
        split = best_pipeline(times, [handover.ns(size) for size in cut_bytes(target.plan, entry)])
    labels = [f"{name}, CPUs {clocks.name_cpus(some)}" for name, some in wholes]
    return Clusters(tuple(rows), tuple(labels), split, handover)


@contextmanager
def _on(target: Session | Remote, cpus: set[int]) -> Iterator[Session | Remote]:
    """The plan on some CPUs, with a thread for each."""
    threads = min(len(cpus), _MOST_THREADS)
    if isinstance(target, Remote):
        target.board.pin(cpus, threads)
        yield target.board.load(target.plan)
        return
    with placed(target, cpus):
        yield Session(target.plan, threads)


def measure_handover(first: set[int], second: set[int]) -> Handover:
    """Half a round trip of an array between threads on two sets of this computer's CPUs, each of which copies it."""
    there: queue.Queue[Array | None] = queue.Queue()
    back: queue.Queue[Array] = queue.Queue()

    def answer() -> None:
        with clocks.pinned(second):
            while (array := there.get()) is not None:
                back.put(array.copy())

    thread = threading.Thread(target=answer, daemon=True)
    thread.start()
    found = []
    try:
        with clocks.pinned(first):
            for size in (0, _LARGE_BYTES):
                array, trips = np.zeros(size, np.uint8), []
                for _ in range(_TRIPS):
                    start = time.perf_counter_ns()
                    there.put(array)
                    array = back.get().copy()
                    trips.append((time.perf_counter_ns() - start) / 2)
                found.append(statistics.median(trips))
    finally:
        there.put(None)
        thread.join()
    return Handover(found[0], max(0.0, (found[1] - found[0]) / _LARGE_BYTES), True)
