"""Is this computer ready? Facts as data, each with advice where something is missing."""

from __future__ import annotations

import getpass
import grp
import importlib.util
import os
import platform
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from .. import _resources
from ..boards import list_profiles
from . import build, emulator, ports

# Extra of the package: a module that it brings.
_EXTRAS = {"firmware": "ziglang", "dev": "pytest"}
_PIP_FIRMWARE = "pip install 'pyedge[firmware]'"
_LATENCY_MS = 1  # FTDI adapters wait 16 ms by default before they hand over a short answer


@dataclass(frozen=True)
class Fact:
    """One finding. status: "ok"; "warn": something does not work or is slow; "fail": nothing will work."""

    name: str
    status: Literal["ok", "warn", "fail"]
    found: str
    advice: str = ""


def checkup() -> list[Fact]:
    """All facts, the basic ones first. Starts nothing but `--version` of the tools that it finds."""
    return [*_python(), *_emulators(), *_firmware(), *_serial(), *_extras()]


def _python() -> Iterator[Fact]:
    yield Fact("python", "ok", f"{platform.python_version()} at {sys.executable}")
    try:
        from .. import _core

        counts = f"{len(_core.op_kinds())} op kinds, {len(_core.kernels())} kernels"
        yield Fact("extension", "ok", f"ABI {_core.abi_version()}, {counts}")
    except ImportError as e:
        yield Fact("extension", "fail", str(e), "pip install --force-reinstall pyedge")
    yield Fact("cpu", "ok", f"{platform.machine()}, {os.cpu_count()} cores{_cpu_name()}")
    if sys.platform != "linux":
        yield Fact("system", "warn", sys.platform, "only Linux is tested")


def _cpu_name() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(errors="replace").splitlines()
    except OSError:
        return ""
    names = [line.partition(":")[2].strip() for line in lines if line.startswith(("model name", "Model"))]
    return f", {names[0]}" if names else ""


def _version_of(path: str) -> str:
    try:
        no_input = subprocess.DEVNULL
        result = subprocess.run([path, "--version"], capture_output=True, text=True, timeout=10, stdin=no_input)
    except (OSError, subprocess.TimeoutExpired):
        return path
    return (result.stdout.splitlines() or [path])[0]


def _emulators() -> Iterator[Fact]:
    needs: dict[str, list[str]] = {}
    for profile in list_profiles():
        if profile.emulator and "{" not in profile.emulator.program:
            needs.setdefault(profile.emulator.program, []).append(profile.name)
    for name, boards in needs.items():
        path = build.program(name)
        if path:
            yield Fact(name, "ok", _version_of(path))
        else:
            what = f"not installed; needed for {', '.join(boards)}"
            yield Fact(name, "warn", what, str(emulator.missing_tool(name)).partition("try: ")[2])


def _firmware() -> Iterator[Fact]:
    profiles = list_profiles()
    images = {image.file: image for profile in profiles for image in profile.images}
    there = [name for name in images if _resources.find("_firmware", "prebuilt", name)]
    missing = [name for name in images if name not in there]
    isas = sorted({image.isa for image in images.values()})
    able = True
    for isa in isas:
        known = build.toolchains(isa)
        found = [t for t in known if not t.missing]
        able = able and bool(found)
        if found:
            yield Fact(f"compilers for {isa}", "ok", ", ".join(f"{t.name} ({t.programs[0]})" for t in found))
        else:
            status: Literal["ok", "warn"] = "warn" if any(images[m].isa == isa for m in missing) else "ok"
            yield Fact(f"compilers for {isa}", status, "none; needed to rebuild firmware", known[-1].missing)
    cmake = build.program("cmake")
    if cmake:
        yield Fact("cmake", "ok", _version_of(cmake))
    else:
        yield Fact("cmake", "warn" if missing else "ok", "not installed; needed to rebuild firmware", _PIP_FIRMWARE)
    if not missing:
        yield Fact("firmware", "ok", f"prebuilt: {', '.join(there)}")
    elif able and cmake:
        yield Fact("firmware", "ok", f"built when it is first used: {', '.join(missing)}")
    else:
        yield Fact("firmware", "warn", f"not there, and cannot be built: {', '.join(missing)}", _PIP_FIRMWARE)


def _serial() -> Iterator[Fact]:
    found = ports.list_ports()
    if not found:
        yield _group_without_ports()
    for port in found:
        if not port.may_open:
            what = f"{port}: this user may not open it"
            yield Fact(port.device, "fail" if port.usb else "warn", what, _rights_advice(port))
        elif holder := ports.holder(port.device):
            yield Fact(port.device, "warn", f"{port}: in use by {holder}", "close that program")
        else:
            yield Fact(port.device, "ok", str(port))
        timer = Path("/sys/bus/usb-serial/devices", Path(port.device).name, "latency_timer")
        try:
            wait_ms = int(timer.read_text())
        except (OSError, ValueError):
            continue
        if wait_ms > _LATENCY_MS:
            advice = f"echo {_LATENCY_MS} | sudo tee {timer}"
            yield Fact(f"{port.device} latency", "warn", f"{wait_ms} ms for each answer", advice)


def _group_without_ports() -> Fact:
    """No board is plugged in: say whether one could be opened."""
    try:
        dialout = grp.getgrnam("dialout")
    except KeyError:
        return Fact("serial ports", "ok", "none")
    if os.geteuid() == 0 or dialout.gr_gid in (*os.getgroups(), os.getegid()):
        return Fact("serial ports", "ok", "none; this user may open them")
    return Fact("serial ports", "warn", "none; this user is not in the group dialout", _join_advice("dialout"))


def _join_advice(group: str) -> str:
    return f"sudo usermod -aG {group} {getpass.getuser()}, then log in again"


def _rights_advice(port: ports.Port) -> str:
    advice = _join_advice(port.group or "dialout")
    if port.vid is None or port.pid is None:
        return advice
    ids = f'ATTRS{{idVendor}}=="{port.vid:04x}", ATTRS{{idProduct}}=="{port.pid:04x}"'
    return f'{advice}; or this line in /etc/udev/rules.d/70-pyedge.rules: SUBSYSTEM=="tty", {ids}, TAG+="uaccess"'


def _extras() -> Iterator[Fact]:
    for extra, module in _EXTRAS.items():
        if importlib.util.find_spec(module):
            yield Fact(f"extra [{extra}]", "ok", "installed")
        else:
            yield Fact(f"extra [{extra}]", "ok", "not installed", f"pip install 'pyedge[{extra}]'")
