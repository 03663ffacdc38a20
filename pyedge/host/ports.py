"""Serial ports of this computer, and which of them is a board's."""

from __future__ import annotations

import grp
import os
import stat
from dataclasses import dataclass
from pathlib import Path

from serial.tools import list_ports as _list_ports

from ..boards import Profile
from ..errors import BoardNotFoundError

_HOW = "--port PATH or serial:ID"
_SYS_USB = Path("/sys/bus/usb/devices")
_DEV_USB = Path("/dev/bus/usb")


@dataclass(frozen=True)
class Port:
    """A serial port. vid, pid and serial are those of its USB adapter, None if it has none."""

    device: str
    description: str
    vid: int | None
    pid: int | None
    serial: str | None
    may_open: bool  # this user may read and write it
    group: str | None  # the group that may; None if it has no name

    @property
    def usb(self) -> str | None:
        """ "vid:pid" in hexadecimal, as in a profile's link.usb."""
        return None if self.vid is None or self.pid is None else f"{self.vid:04x}:{self.pid:04x}"

    def __str__(self) -> str:
        facts = [f"usb {self.usb}" if self.usb else "", f"serial:{self.serial}" if self.serial else ""]
        return " ".join([self.device, *filter(None, facts)])


def list_ports() -> list[Port]:
    """All serial ports, by device name. A pty is none of them: give its path."""
    found = []
    for info in sorted(_list_ports.comports(), key=lambda i: i.device):
        group = None
        if os.path.exists(info.device):
            try:
                group = grp.getgrgid(os.stat(info.device).st_gid).gr_name
            except KeyError:
                group = None
        found.append(
            Port(
                info.device,
                info.description or "",
                info.vid,
                info.pid,
                info.serial_number or None,
                os.access(info.device, os.R_OK | os.W_OK),
                group,
            )
        )
    return found


@dataclass(frozen=True)
class UsbDevice:
    """A USB device, whatever it is: also one without a serial port, as a boot ROM or a debug probe."""

    usb: str  # "vid:pid" in hexadecimal, as in a profile
    node: str  # what libusb opens
    may_open: bool  # this user may read and write it


def usb_devices() -> list[UsbDevice]:
    """All USB devices of this computer as Linux lists them, by node."""
    found = []
    for folder in _SYS_USB.glob("*"):
        try:
            vid, pid = ((folder / name).read_text().strip() for name in ("idVendor", "idProduct"))
            bus, device = (int((folder / name).read_text()) for name in ("busnum", "devnum"))
        except (OSError, ValueError):
            continue  # an interface, or just unplugged
        node = _DEV_USB / f"{bus:03d}" / f"{device:03d}"
        found.append(UsbDevice(f"{vid}:{pid}", str(node), os.access(node, os.R_OK | os.W_OK)))
    return sorted(found, key=lambda d: d.node)


def choose(profile: Profile, port: str | None, ports: list[Port] | None = None) -> str:
    """What to open for a board: a path, a pyserial URL, or the device that "serial:ID" or the board's USB id names.

    Raises:
        BoardNotFoundError: None matches, or more than one: then all are listed.
    """
    if port is not None and not port.startswith("serial:"):
        return port
    ports = list_ports() if ports is None else ports
    if port is not None:
        wanted = port.removeprefix("serial:")
        what = f"serial number {wanted}"
        found = [p for p in ports if p.serial == wanted]
    else:
        usb = profile.link.usb if profile.link else ()
        what = f"USB id {' or '.join(usb)}" if usb else "USB id of its own"
        found = [p for p in ports if p.usb in usb]
    if len(found) == 1:
        return found[0].device
    if found:
        names = ", ".join(map(str, found))
        raise BoardNotFoundError(f"{profile.name}: {len(found)} ports have {what}: {names}; choose one: {_HOW}")
    there = ", ".join(map(str, ports)) or "none at all"
    wiring = f"; {profile.link.wiring}" if profile.link and profile.link.wiring else ""
    raise BoardNotFoundError(f"{profile.name}: no port has {what}; there is {there}; give one: {_HOW}{wiring}")


def holder(device: str) -> str | None:
    """ "name (pid n)" of a process that has the device open, as far as this user may see; None if nobody."""
    try:
        number = os.stat(device).st_rdev
    except OSError:
        return None
    for folder in Path("/proc").glob("[0-9]*"):
        if folder.name == str(os.getpid()):
            continue
        try:
            for fd in (folder / "fd").iterdir():
                info = fd.stat()
                if stat.S_ISCHR(info.st_mode) and info.st_rdev == number:
                    return f"{(folder / 'comm').read_text().strip()} (pid {folder.name})"
        except OSError:
            continue
    return None
