"""What this computer is, and what it can do at most."""

from __future__ import annotations

import platform
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .. import _core


def cpu_name() -> str:
    """As the kernel calls it; the architecture where it says none."""
    info = Path("/proc/cpuinfo")
    text = info.read_text(errors="replace") if info.exists() else ""
    found = re.search(r"^(?:model name|Model|uarch)\s*:\s*(.*)$", text, re.M)
    return found[1].strip() if found else platform.machine()


_READ_BYTES = (16 << 10, 256 << 10, 1 << 20, 4 << 20, 64 << 20)


@dataclass(frozen=True)
class Peaks:
    """What one core does at most: operations a second for each ISA level, bytes a second for each size that is read.

    A multiply-accumulate is two operations. levels: (float32, int8) by name.
    """

    levels: dict[str, tuple[float, float]]
    reads: dict[int, float]

    def peak(self, level: str, ints: bool) -> float:
        """Operations a second of the nearest level at or below, in the order of cpu_features()."""
        return self.levels.get(level, list(self.levels.values())[-1])[int(ints)]

    def roof(self, level: str, ints: bool, intensity: float, moved: int) -> float:
        """Operations a second that work of `intensity` operations a byte can have, its data `moved` bytes in all.

        Source: Williams, Waterman, Patterson, Roofline, CACM 52(4), 2009.
        """
        size = next((size for size in self.reads if moved <= 1.25 * size), max(self.reads))
        return min(self.peak(level, ints), intensity * self.reads[size])

    def to_dict(self) -> dict[str, Any]:
        """Plain data: GFLOP/s, GOP/s, GB/s."""
        return {
            "levels": {name: {"f32_gflops": f / 1e9, "s8_gops": i / 1e9} for name, (f, i) in self.levels.items()},
            "read_gbps": {str(size): rate / 1e9 for size, rate in self.reads.items()},
        }


def measure_peaks(seconds: float = 0.05) -> Peaks:
    """Measures them; `seconds` for each figure. Reads are by the best level."""
    found = _core.peaks(_READ_BYTES, seconds)
    return Peaks(
        {name: (floats, ints) for name, floats, ints, _ in found},
        {size: max(rates[i] for *_, rates in found) for i, size in enumerate(_READ_BYTES)},
    )
