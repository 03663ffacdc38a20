"""Meters that a computer has built in, as Linux shows them: RAPL, a Jetson's INA3221, a Raspberry Pi 5's PMIC."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

from ...errors import LinkError, MissingToolError, PermissionDeniedError, UnsupportedError
from .trace import PolledMeter

_RAPL_S = 2e-3  # its counter moves about every millisecond
_HWMON_S = 5e-3
_PMIC_S = 20e-3  # vcgencmd is a process each time
_TOTALS = ("VDD_IN", "POM_5V_IN", "VIN_SYS_5V0")  # rails that the others hang on: not to be added to them


def _number(path: Path) -> int:
    try:
        return int(path.read_text())
    except PermissionError as e:
        raise PermissionDeniedError(f"{path}: only root may read it; try: sudo chmod a+r {path}") from e
    except (OSError, ValueError) as e:
        raise LinkError(f"{path}: cannot be read: {e}") from e


def _name(path: Path) -> str:
    try:
        return path.read_text().strip()
    except OSError:
        return ""


def open_rapl(root: Path = Path("/sys/class/powercap")) -> PolledMeter:
    """The energy counters of the CPU packages (Linux, Documentation/power/powercap).

    Raises:
        UnsupportedError: The CPU or the virtual machine has none.
        PermissionDeniedError: Only root may read them here.
    """
    # intel-rapl:0 is a package, intel-rapl:0:0 a part of it that is counted within; psys is what contains all.
    domains = sorted(d for d in root.glob("intel-rapl:*") if re.fullmatch("package-[0-9]+", _name(d / "name")))
    if not domains:
        raise UnsupportedError(
            "rapl: this computer shows no energy counters; in a virtual machine there are none; try: --meter ppk2"
        )
    spans = [_number(d / "max_energy_range_uj") + 1 for d in domains]
    last = [_number(d / "energy_uj") for d in domains]
    total = 0

    def joules() -> float:
        nonlocal total
        for i, (domain, span) in enumerate(zip(domains, spans, strict=True)):
            now = _number(domain / "energy_uj")
            total += (now - last[i]) % span  # it wraps
            last[i] = now
        return total * 1e-6

    covers = f"{len(domains)} CPU package{'s' * (len(domains) > 1)}; not memory, disk or screen"
    return PolledMeter("rapl", covers, _RAPL_S, joules=joules)


def open_jetson(root: Path = Path("/sys/class/hwmon")) -> PolledMeter:
    """The INA3221 of a Jetson module: its input where that has a channel, else the sum of the rails.

    Raises:
        UnsupportedError: There is none.
    """
    rails = {}
    for chip in sorted(root.glob("hwmon*")):
        if _name(chip / "name") != "ina3221":
            continue
        for n in range(1, 4):
            volts, amps = chip / f"in{n}_input", chip / f"curr{n}_input"
            if volts.exists() and amps.exists():
                rails[_name(chip / f"in{n}_label") or f"{chip.name} channel {n}"] = (volts, amps)
    if not rails:
        raise UnsupportedError(
            "jetson: no INA3221 under /sys/class/hwmon; JetPack 5 and later show it there; try: pyedge doctor"
        )
    total = next((name for name in _TOTALS if name in rails), None)
    chosen = {total: rails[total]} if total else rails
    what = f"input {total} of the module" if total else f"sum of the rails {', '.join(chosen)}, no input"

    def watts() -> float:
        return sum(_number(v) * _number(a) for v, a in chosen.values()) * 1e-6  # millivolts, milliamperes

    # 8 mV and 40 uV over the resistor of the board; the driver gives whole milliamperes at best.
    highest = max(_number(v) for v, _ in chosen.values()) * 1e-3
    return PolledMeter("jetson", f"{what}; not the carrier board", _HWMON_S, watts=watts, step_w=1e-3 * highest)


def parse_pmic(text: str) -> float:
    """Watts of all rails that have both a current and a voltage, of `vcgencmd pmic_read_adc`."""
    found: dict[str, dict[str, float]] = {"A": {}, "V": {}}
    for name, unit, value in re.findall(r"(\w+)_([AV]) +(?:current|volt)\(\d+\)=([0-9.]+)[AV]", text):
        found[unit][name] = float(value)
    rails = found["A"].keys() & found["V"].keys()
    if not rails:
        raise LinkError(f"pi5: vcgencmd pmic_read_adc gave no rails: {text.strip()[:80]!r}")
    return sum(found["A"][r] * found["V"][r] for r in rails)


def open_pi5() -> PolledMeter:
    """The power chip of a Raspberry Pi 5: its rails, not what comes in.

    Raises:
        MissingToolError: No vcgencmd.
        LinkError: It does not know the command: another Raspberry Pi.
    """
    program = shutil.which("vcgencmd")
    if program is None:
        raise MissingToolError("pi5: no vcgencmd here; it comes with Raspberry Pi OS")

    def call() -> str:
        try:
            done = subprocess.run([program, "pmic_read_adc"], capture_output=True, text=True, timeout=2)
        except (OSError, subprocess.TimeoutExpired) as e:
            raise LinkError(f"pi5: vcgencmd failed: {e}") from e
        return done.stdout

    parse_pmic(call())
    return PolledMeter("pi5", "the PMIC's rails only, not the input", _PMIC_S, watts=lambda: parse_pmic(call()))
