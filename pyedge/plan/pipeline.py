"""The best split of a network's layers over the kinds of cores of a chip: a pipeline, one stage a kind.

Source of the question: big.LITTLE pipelines of layers, as Wang et al., High-Throughput CNN Inference on Embedded ARM
big.LITTLE Multicore Processors, IEEE TCAD 39(10), 2020, who search; here the optimum is exact.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from .plan import Plan

_INFINITE = float("inf")


@dataclass(frozen=True)
class Stage:
    """Ops first .. last - 1 of an entry on one kind of cores; time: of an inference in it, what it is sent included."""

    kind: int
    first: int
    last: int
    time: float


@dataclass(frozen=True)
class Pipeline:
    """Stages in their order. period: between two results, the slowest stage; latency: of one inference, their sum."""

    stages: tuple[Stage, ...]

    @property
    def period(self) -> float:
        return max(stage.time for stage in self.stages)

    @property
    def latency(self) -> float:
        return sum(stage.time for stage in self.stages)


def best_pipeline(times: Sequence[Sequence[float]], transfers: Sequence[float]) -> Pipeline:
    """The pipeline of the shortest period, and of these of the shortest latency.

    Args:
        times: Of each kind of cores, of each op.
        transfers: Of a cut behind each op but the last, what handing over takes; infinite where no cut may be.

    Returns:
        Contiguous stages, each kind at most once, in any order; one stage if no split is faster.

    Exact, by dynamic programming over the ops that are done and the kinds that are used: O(2^k k n^2).
    """
    ops, kinds = len(times[0]), range(len(times))
    sums = [[0.0] * (ops + 1) for _ in kinds]
    for kind in kinds:
        for i, t in enumerate(times[kind]):
            sums[kind][i + 1] = sums[kind][i] + t
    receive = [0.0, *transfers]

    def search(limit: float | None) -> tuple[float, tuple[Stage, ...]]:
        """The least period, or, of pipelines with at most that period, the least latency."""
        best: dict[tuple[int, int], tuple[float, tuple[Stage, ...]]] = {(0, 0): (0.0, ())}
        for done in range(ops):
            for used in range(1 << len(times)):
                if (done, used) not in best:
                    continue
                value, stages = best[done, used]
                for kind in kinds:
                    if used >> kind & 1:
                        continue
                    for last in range(done + 1, ops + 1):
                        time = receive[done] + sums[kind][last] - sums[kind][done]
                        if limit is not None and time > limit * (1 + 1e-12):
                            break
                        cost = max(value, time) if limit is None else value + time
                        key = last, used | 1 << kind
                        if cost < best.get(key, (_INFINITE, ()))[0]:
                            best[key] = cost, (*stages, Stage(kind, done, last, time))
        return min((found for (done, _), found in best.items() if done == ops), key=lambda found: found[0])

    period, _ = search(None)
    return Pipeline(search(period)[1])


def cut_bytes(plan: Plan, entry: str = "main") -> list[int | None]:
    """Bytes that are handed over at a cut behind each op but the last; None where a cut would part a state or a branch.

    What lives across a cut is handed over, results that are ready before it as well.
    """
    e = plan.entry(entry)
    parted = bool(plan.states) or any(op.kind == "branch" for op in e.ops)
    lifetimes = plan.lifetimes(entry)
    return [
        None if parted else sum(t.tensor.bytes for t in lifetimes if t.first <= i < t.last)
        for i in range(len(e.ops) - 1)
    ]
