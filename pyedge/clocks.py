"""How the CPU of a Linux machine is clocked while something is measured: what cpufreq, the thermal zones and, on a
Raspberry Pi, the firmware say. What a machine doesn't tell is None or left out.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_SYS = Path("/sys")
_PI_THROTTLED = "devices/platform/soc/soc:firmware/get_throttled"
_NOW = (
    0b1111  # of get_throttled: under-voltage, frequency capped, throttled, soft temperature limit; higher: since boot
)


@dataclass(frozen=True)
class Clock:
    """One reading. governor: of the CPU; mhz: its clock now; celsius: the hottest zone; limited: a Pi's firmware holds
    the clock down."""

    governor: str | None = None
    mhz: int | None = None
    celsius: float | None = None
    limited: bool | None = None


def _text(path: Path) -> str | None:
    try:
        return path.read_text().strip()
    except (OSError, UnicodeDecodeError):
        return None


def _number(path: Path, base: int = 10) -> int | None:
    try:
        return int(_text(path) or "", base)
    except ValueError:
        return None


def read_clock(cpu: int = 0, sys: Path = _SYS) -> Clock:
    """Reads what is said of a CPU now."""
    frequency = sys / f"devices/system/cpu/cpu{cpu}/cpufreq"
    khz = _number(frequency / "scaling_cur_freq")
    zones = [_number(zone) for zone in sys.glob("class/thermal/thermal_zone*/temp")]
    hottest = max((zone for zone in zones if zone is not None), default=None)
    throttled = _number(sys / _PI_THROTTLED, 16)
    return Clock(
        _text(frequency / "scaling_governor"),
        None if khz is None else khz // 1000,
        None if hottest is None else hottest / 1000,
        None if throttled is None else bool(throttled & _NOW),
    )


def conditions(before: Clock, after: Clock) -> dict[str, Any]:
    """For the record of a measurement; each value as it was before, and after where it changed."""
    found = {}
    for name in ("governor", "mhz", "celsius"):
        a, b = getattr(before, name), getattr(after, name)
        if a is not None:
            found[name] = a if a == b else f"{a} -> {b}"
    return found


def doubts(before: Clock, after: Clock) -> list[str]:
    """Flags of a measurement: the clock was free to change, or was held down."""
    found = []
    if before.governor is not None and before.governor not in ("performance", "userspace"):
        found.append("clock unpinned")
    if before.limited or after.limited:
        found.append("throttled")
    return found


def clusters(sys: Path = _SYS) -> list[tuple[int, tuple[int, ...]]]:
    """(highest clock in MHz, CPUs) of each cluster that this process may use, the fastest first.

    CPUs of one cluster share a cpufreq policy; a machine without cpufreq has one cluster of 0 MHz.
    """
    usable = os.sched_getaffinity(0)
    found: dict[tuple[int, tuple[int, ...]], None] = {}
    for cpu in sorted(usable):
        policy = sys / f"devices/system/cpu/cpu{cpu}/cpufreq"
        related = _text(policy / "related_cpus") or ""
        cpus = tuple(int(n) for n in related.split() if n.isdigit() and int(n) in usable)
        found[((_number(policy / "cpuinfo_max_freq") or 0) // 1000, cpus or tuple(sorted(usable)))] = None
    return sorted(found, key=lambda c: -c[0])


@contextmanager
def pinned(cpus: set[int]) -> Iterator[None]:
    """Keeps the calling thread, and threads that it starts, on these CPUs; the former set is restored."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, cpus)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)
