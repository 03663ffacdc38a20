"""Is this computer ready? Facts as data, each with advice where something is missing."""

from __future__ import annotations

import getpass
import grp
import importlib.util
import os
import platform
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from .. import _resources
from ..boards import list_profiles
from ..errors import BusyError, PermissionDeniedError, PyedgeError, ToolError
from . import build, emulator, ports
from .flashers import FLASHERS
from .power.linux import open_jetson, open_pi5, open_rapl
from .power.trace import Meter

# Extra of the package: a module that it brings.
_EXTRAS = {
    "onnx": "onnx",
    "firmware": "ziglang",
    "sign": "imgtool",
    "farm": "distributed",
    "joulescope": "joulescope",
    "plot": "matplotlib",
    "torch": "torch",
    "dev": "pytest",
}
_PIP_FIRMWARE = "pip install 'pyedge[firmware]'"
_PPK2 = "1915:c00a"
_BUILT_IN: dict[str, Callable[[], Meter]] = {"rapl": open_rapl, "jetson": open_jetson, "pi5": open_pi5}  # meters
_DEV = Path("/dev")
_GOVERNOR = Path("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor")
_RULES = "/etc/udev/rules.d/70-pyedge.rules"
_LATENCY_MS = 1  # FTDI adapters wait 16 ms by default before they hand over a short answer


@dataclass(frozen=True)
class Fact:
    """One finding.

    status: "ok"; "info": not there or not at its best, and nothing needs it now; "warn": something does not work or is
    slow; "fail": nothing, or a board that is plugged in, will not work.
    exit_code: what the command line returns for a failure, as if it had been met as an error; else 0.
    """

    name: str
    status: Literal["ok", "info", "warn", "fail"]
    found: str
    advice: str = ""  # a command that mends it
    exit_code: int = 0


def checkup() -> list[Fact]:
    """All facts, the basic ones first. Starts nothing but `--version` of the tools that it finds, and `vcgencmd`."""
    facts = [*_python(), *_emulators(), *_firmware(), *_serial(), *_ssh(), *_usb(), *_wiring(), *_flashers()]
    return [*facts, *_meters(), *_extras()]


def _python() -> Iterator[Fact]:
    yield Fact("python", "ok", f"{platform.python_version()} at {sys.executable}")
    try:
        from .. import _core

        counts = f"{len(_core.op_kinds())} op kinds, {len(_core.kernels())} kernels"
        yield Fact("extension", "ok", f"ABI {_core.abi_version()}, {counts}")
    except ImportError as e:
        yield Fact("extension", "fail", str(e), "pip install --force-reinstall pyedge", ToolError.exit_code)
    yield Fact("cpu", "ok", f"{platform.machine()}, {os.cpu_count()} cores{_cpu_name()}")
    yield from _clock()
    if sys.platform != "linux":
        yield Fact("system", "warn", sys.platform, "only Linux is tested")


def _clock() -> Iterator[Fact]:
    """A clock that follows the load makes times of this computer wander; boards don't mind."""
    try:
        governor = _GOVERNOR.read_text().strip()
    except OSError:
        return  # a virtual machine, mostly
    if governor == "performance":
        yield Fact("clock governor", "ok", governor)
    else:
        advice = "echo performance | sudo tee /sys/devices/system/cpu/cpu*/cpufreq/scaling_governor"
        yield Fact("clock governor", "info", f"{governor}: the clock is not pinned while something is measured", advice)


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
    images = {image.file: image for profile in profiles if profile.emulator for image in profile.images}
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
    boards = {usb for profile in list_profiles() if profile.link for usb in profile.link.usb}
    if not found:
        yield _group_without_ports()
    for port in found:
        if not port.may_open:
            what, advice = f"{port}: this user may not open it", _rights_advice(port)
            if port.usb:
                yield Fact(port.device, "fail", what, advice, PermissionDeniedError.exit_code)
            else:
                yield Fact(port.device, "warn", what, advice)
        elif holder := ports.holder(port.device):
            what, advice = f"{port}: in use by {holder}", _close_advice(holder)
            if port.usb in boards:
                yield Fact(port.device, "fail", what, advice, BusyError.exit_code)
            else:
                yield Fact(port.device, "warn", what, advice)
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


def _ssh() -> Iterator[Fact]:
    path = build.program("ssh")
    if path:
        yield Fact("ssh", "ok", path)
    else:
        what = "not installed; --port ssh:USER@HOST reaches boards with Linux by it"
        yield Fact("ssh", "info", what, "sudo apt install openssh-client")


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


def _close_advice(holder: str) -> str:
    """For "name (pid n)"."""
    name, _, pid = holder.rpartition(" (pid ")
    if name == "ModemManager":  # tries every new serial port for a modem
        return "sudo systemctl stop ModemManager"
    return f"close that program, or: kill {pid.rstrip(')')}"


def _rights_advice(port: ports.Port) -> str:
    advice = _join_advice(port.group or "dialout")
    if port.vid is None or port.pid is None:
        return advice
    ids = f'ATTRS{{idVendor}}=="{port.vid:04x}", ATTRS{{idProduct}}=="{port.pid:04x}"'
    return f'{advice}; or this line in {_RULES}: SUBSYSTEM=="tty", {ids}, TAG+="uaccess"'


def _usb() -> Iterator[Fact]:
    """Boot ROMs and probes: those that boards of ours are flashed by, where one is plugged in."""
    known: dict[str, list[str]] = {}
    for profile in list_profiles():
        for usb in profile.flash_usb:
            known.setdefault(usb, []).append(profile.name)
    for device in ports.usb_devices():
        if device.usb not in known:
            continue
        name, what = f"usb {device.usb}", f"{device.node}, for flashing {', '.join(known[device.usb])}"
        if device.may_open:
            yield Fact(name, "ok", what)
        else:
            vid, _, pid = device.usb.partition(":")
            rule = f'SUBSYSTEM=="usb", ATTR{{idVendor}}=="{vid}", ATTR{{idProduct}}=="{pid}", TAG+="uaccess"'
            advice = f"echo '{rule}' | sudo tee -a {_RULES} && sudo udevadm control --reload, then plug it in again"
            yield Fact(name, "fail", f"{what}: this user may not open it", advice, PermissionDeniedError.exit_code)


def _wiring() -> Iterator[Fact]:
    """How the link of a board is wired whose own plug does not have it, where the board or its probe is plugged in."""
    plugged = {device.usb for device in ports.usb_devices()}
    for profile in list_profiles():
        if profile.link and profile.link.wiring and plugged & {*profile.flash_usb, *profile.link.usb}:
            yield Fact(f"link of {profile.name}", "info", profile.link.wiring)


def _flashers() -> Iterator[Fact]:
    """A flasher that is missing matters once a board for it is plugged in."""
    plugged = {device.usb for device in ports.usb_devices()} | {port.usb for port in ports.list_ports()}
    for name, flasher in FLASHERS.items():
        boards = [p for p in list_profiles() if p.flasher == name]
        usb = {i for p in boards for i in (*(p.link.usb if p.link else ()), *p.flash_usb)}
        path = build.program(name)
        if path:
            yield Fact(name, "ok", path)
        elif boards:
            status: Literal["info", "warn"] = "warn" if usb & plugged else "info"
            yield Fact(name, status, f"not installed; flashes {', '.join(p.name for p in boards)}", flasher.install)


def _meters() -> Iterator[Fact]:
    """Power meters that are plugged in or built in. Rights on a PPK2's port are among those of all ports."""
    # Of the two ports of one kit the first one gives samples.
    kits = {p.serial or p.device: p for p in reversed(ports.list_ports()) if p.usb == _PPK2}
    for port in kits.values():
        yield Fact("meter ppk2", "ok", f"{port}: pyedge power --meter ppk2 --meter-port {port.device}")
    found = bool(kits)
    for name, open_built_in in _BUILT_IN.items():
        try:
            covers = open_built_in().covers
        except PermissionDeniedError as e:
            what, _, advice = str(e).partition("; try: ")
            yield Fact(f"meter {name}", "info", what, advice)
        except PyedgeError:
            continue  # this computer has none
        else:
            yield Fact(f"meter {name}", "ok", covers)
        found = True
    buses = sorted(_DEV.glob("i2c-*"))
    if closed := [str(bus) for bus in buses if not os.access(bus, os.R_OK | os.W_OK)]:
        what = f"{', '.join(closed)}: this user may not open it; an ina219, ina226 or ina228 is read there"
        yield Fact("meters on I2C", "info", what, _join_advice("i2c"))
    elif buses:
        yield Fact("meters on I2C", "ok", f"an ina219, ina226 or ina228 may be at {', '.join(map(str, buses))}")
    elif not found:
        yield Fact("power meter", "info", "none found; pyedge power needs one", "pyedge power --help")


def _extras() -> Iterator[Fact]:
    for extra, module in _EXTRAS.items():
        if importlib.util.find_spec(module):
            yield Fact(f"extra [{extra}]", "ok", "installed")
        else:
            yield Fact(f"extra [{extra}]", "info", "not installed", f"pip install 'pyedge[{extra}]'")
