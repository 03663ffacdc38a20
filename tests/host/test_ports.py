"""Serial ports: which one is a board's, and what stands in the way."""

from __future__ import annotations

import os
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest
from serial.tools.list_ports_common import ListPortInfo

import pyedge as pe
from pyedge.boards import load_profile
from pyedge.host import checkup, ports
from pyedge.host.stream import SerialStream

HOST = load_profile("host")
BOARD = replace(HOST, name="kit", link=replace(HOST.link, usb=("1a86:7523",)), emulator=None)


def port(device: str, serial: str | None = None, usb: tuple[int, int] | None = (0x1A86, 0x7523)) -> ports.Port:
    vid, pid = usb or (None, None)
    return ports.Port(device, "", vid, pid, serial, True, "dialout")


def test_the_only_port_with_the_boards_usb_id_is_taken() -> None:
    """Others don't matter."""
    found = [port("/dev/ttyS0", usb=None), port("/dev/ttyUSB0", usb=(1, 2)), port("/dev/ttyUSB1")]
    assert ports.choose(BOARD, None, found) == "/dev/ttyUSB1"


def test_two_matching_ports_are_an_error_that_lists_both() -> None:
    """With what tells them apart."""
    with pytest.raises(pe.BoardNotFoundError, match=r"2 ports.*ttyUSB0 .*serial:A.*ttyUSB1 .*serial:B.*--port"):
        ports.choose(BOARD, None, [port("/dev/ttyUSB0", "A"), port("/dev/ttyUSB1", "B")])


def test_a_serial_number_chooses_among_them() -> None:
    """As serial:ID; two adapters with the same number are listed; an unknown one lists what there is."""
    found = [port("/dev/ttyUSB0", "A"), port("/dev/ttyUSB1", "B"), port("/dev/ttyUSB2", "B")]
    assert ports.choose(BOARD, "serial:A", found) == "/dev/ttyUSB0"
    with pytest.raises(pe.BoardNotFoundError, match=r"2 ports have serial number B"):
        ports.choose(BOARD, "serial:B", found)
    with pytest.raises(pe.BoardNotFoundError, match=r"serial number C; there is .*ttyUSB0"):
        ports.choose(BOARD, "serial:C", found)


@pytest.mark.parametrize("given", ["/dev/pts/3", "socket://localhost:1", "rfc2217://host:2", "COM3"])
def test_a_path_or_url_is_taken_as_it_is(given: str) -> None:
    """Without a look at the ports."""
    assert ports.choose(BOARD, given, []) == given


def test_no_matching_port_says_what_there_is() -> None:
    """Nothing at all, here."""
    with pytest.raises(pe.BoardNotFoundError, match=r"no port has USB id 1a86:7523; there is none at all"):
        ports.choose(BOARD, None, [])


def test_ports_are_listed_with_rights(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A device that may be opened, and one that is gone."""
    device = tmp_path / "ttyUSB0"
    device.touch()
    there, gone = ListPortInfo(str(device)), ListPortInfo("/dev/gone")
    there.vid, there.pid, there.serial_number = 0x1A86, 0x7523, "A1"
    monkeypatch.setattr(ports._list_ports, "comports", lambda: [there, gone])
    listed = {p.device: p for p in ports.list_ports()}
    assert listed[str(device)].usb == "1a86:7523" and listed[str(device)].may_open
    assert not listed["/dev/gone"].may_open
    assert str(listed[str(device)]) == f"{device} usb 1a86:7523 serial:A1"


@pytest.mark.parametrize("path", ["/dev/no-such-port", "nonsense://x", "socket://127.0.0.1:1"])
def test_a_port_that_cannot_be_opened_is_a_typed_error(path: str) -> None:
    """In one line."""
    with pytest.raises(pe.BoardNotFoundError) as e:
        SerialStream(path, 115200)
    assert path in str(e.value) and "\n" not in str(e.value)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may open everything")
def test_missing_rights_are_an_error_of_their_own(tmp_path: Path) -> None:
    """Exit code 4, and pyedge doctor knows more."""
    device = tmp_path / "tty"
    device.touch(0)
    with pytest.raises(pe.PermissionDeniedError, match="pyedge doctor"):
        SerialStream(str(device), 115200)


def test_the_holder_of_a_port_is_found() -> None:
    """Another process that has it open; ours does not count."""
    ours, theirs = os.openpty()
    name = os.ttyname(theirs)
    os.close(theirs)
    assert ports.holder(name) is None
    with subprocess.Popen(["sleep", "60"], stdin=os.open(name, os.O_RDWR)) as other:
        assert ports.holder(name) == f"sleep (pid {other.pid})"
        other.kill()
    os.close(ours)


def test_doctor_finds_facts_with_advice_where_something_is_missing(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Everything that is not ok says what to do; without QEMU in PATH both package names are given."""
    facts = {f.name: f for f in checkup()}
    assert facts["python"].status == facts["extension"].status == "ok"
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr("sys.executable", str(tmp_path / "python"))
    facts = {f.name: f for f in checkup()}
    qemu = facts["qemu-system-riscv32"]
    assert qemu.status == "warn" and "qemu-system-misc" in qemu.advice and "qemu-system-riscv " in qemu.advice
    assert all(f.advice for f in facts.values() if f.status != "ok")


def test_doctor_tells_a_user_without_rights_the_group_and_the_udev_line(monkeypatch: pytest.MonkeyPatch) -> None:
    """For the port's own group and USB id."""
    locked = replace(port("/dev/ttyUSB0", "A1"), may_open=False, group="plugdev")
    monkeypatch.setattr(ports, "list_ports", lambda: [locked])
    fact = next(f for f in checkup() if f.name == "/dev/ttyUSB0")
    assert fact.status == "fail"
    assert "usermod -aG plugdev" in fact.advice and 'ATTRS{idVendor}=="1a86", ATTRS{idProduct}=="7523"' in fact.advice
