"""How the CPU of a Linux machine is clocked while something is measured: what cpufreq, the thermal zones and, on a
Raspberry Pi, the firmware say. What a machine doesn't tell is None or left out.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

CAN_PIN = hasattr(os, "sched_setaffinity")
_SYS = Path("/sys")
_PI_THROTTLED = "devices/platform/soc/soc:firmware/get_throttled"
_MOST_CPUS = 4096  # of a list; Linux has none with more
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


def read_clock(cpu: int | None = None, sys: Path = _SYS) -> Clock:
    """Reads what is said of a CPU now; without one, of the first that this thread may run on."""
    cpu = min(allowed()) if cpu is None else cpu
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


def allowed() -> set[int]:
    """The CPUs that this thread may run on; all of them where the system can't tell."""
    if CAN_PIN:
        return os.sched_getaffinity(0)
    return set(range(os.cpu_count() or 1))


def parse_cpus(text: str) -> set[int]:
    """Numbers from a list as Linux writes them, "0-3,6". Raises ValueError."""
    found: set[int] = set()
    for part in text.replace(",", " ").split():
        first, dash, last = part.partition("-")
        if not first.isdecimal() or (dash and not last.isdecimal()):
            raise ValueError(f"{part!r} is no CPU, and no range of them as 0-3")
        numbers = range(int(first), int(last or first) + 1)
        if not 0 < len(numbers) <= _MOST_CPUS:
            raise ValueError(f"{part!r} is no range of CPUs")
        found |= set(numbers)
    return found


def name_cpus(cpus: Iterable[int]) -> str:
    """A list that parse_cpus() reads."""
    parts: list[list[int]] = []
    for cpu in sorted(cpus):
        if parts and parts[-1][-1] == cpu - 1:
            parts[-1][1:] = [cpu]
        else:
            parts.append([cpu])
    return ",".join("-".join(map(str, part)) for part in parts)


def placement() -> dict[str, Any]:
    """For the record of a measurement: the CPUs that this thread is kept on, if these are not all."""
    cpus = allowed()
    return {} if len(cpus) >= (os.cpu_count() or 1) else {"cpus": name_cpus(cpus)}


def clusters(sys: Path = _SYS) -> list[tuple[int, tuple[int, ...]]]:
    """(highest clock in MHz, CPUs) of each kind of core that this process may use, the fastest kind first.

    Kinds differ in what Linux tells of them: the list of a hybrid x86's performance monitor, capacity, the identity
    register of arm64, and the highest clock of CPUs that are clocked together. 0 MHz on a machine without cpufreq.
    """
    devices = sys / "devices"
    kinds: dict[int, str] = {}
    for name in ("cpu_core", "cpu_atom", "cpu_lowpower"):
        with suppress(ValueError):
            kinds |= dict.fromkeys(parse_cpus(_text(devices / name / "cpus") or ""), name)
    found: dict[tuple[Any, ...], tuple[int, int, list[int]]] = {}  # clock, capacity, CPUs
    for cpu in sorted(allowed()):
        folder = devices / f"system/cpu/cpu{cpu}"
        mhz = (_number(folder / "cpufreq/cpuinfo_max_freq") or 0) // 1000
        together = len((_text(folder / "cpufreq/related_cpus") or "").split()) > 1
        capacity = _number(folder / "cpu_capacity") or 0
        identity = _text(folder / "regs/identification/midr_el1")
        kind = (kinds[cpu],) if cpu in kinds else (capacity, identity, mhz if together else None)
        most = found.get(kind, (0, 0, []))
        found[kind] = (max(mhz, most[0]), max(capacity, most[1]), [*most[2], cpu])
    ordered = sorted(found.values(), key=lambda c: (-c[0], -c[1], c[2]))
    return [(mhz, tuple(cpus)) for mhz, _, cpus in ordered]


@contextmanager
def pinned(cpus: set[int]) -> Iterator[None]:
    """Keeps the calling thread, and threads that it starts, on these CPUs; the former set is restored."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, cpus)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)
