"""What a target does at most: measured where pyedge runs, or told by a board's profile."""

from __future__ import annotations

from .. import _core
from ..boards import Profile as BoardProfile
from ..plan.roofline import Roofs

_READ_BYTES = (16 << 10, 256 << 10, 1 << 20, 4 << 20, 64 << 20)
_SECONDS = 0.01  # for each figure
_NS = 1e-9


def measured_roofs(unit_s: float = _NS) -> Roofs:
    """Of one core of this computer, of those that this thread is kept on, in a unit of time; takes about 0.2 s."""
    found = {rates[0]: rates for rates in _core.peaks(_READ_BYTES, _SECONDS)}
    level = _core.cpu_features()[0]
    level = level if level in found else list(found)[-1]  # the nearest below: levels ascend
    _, floats, ints, _ = found[level]
    reads = [max(rates[3][i] for rates in found.values()) for i in range(len(_READ_BYTES))]
    return Roofs(
        f"peaks measured, one core, {level}",
        {"fp32": floats / 2 * unit_s, "int8": ints / 2 * unit_s},  # the peaks count two operations a MAC
        {size: rate * unit_s for size, rate in zip(_READ_BYTES, reads, strict=True)},
    )


def told_roofs(profile: BoardProfile, unit: str, cpus: set[int] | None = None) -> Roofs | None:
    """By a board's profile, of its fastest core, or of those with the numbers `cpus`; None if it tells no peaks."""
    if unit not in ("ns", "cycles"):
        return None
    found = [c for c in profile.clusters if c.macs_per_cycle and (unit == "cycles" or c.clock_hz)]
    found = [c for c in found if cpus and cpus <= set(c.cpus)] or found
    if not found:
        return None
    c = max(found, key=lambda c: c.clock_hz or 0)
    per_count = (c.clock_hz or 0) * _NS if unit == "ns" else 1.0
    return Roofs(
        f"peaks of the profile, one {c.core}; its memory's are not known",
        {kind: n * per_count for kind, n in c.macs_per_cycle.items()},
    )
