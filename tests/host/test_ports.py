"""Serial ports: which one is a board's, and what stands in the way."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from dataclasses import replace
from importlib.metadata import metadata
from pathlib import Path

import pytest
from serial.tools.list_ports_common import ListPortInfo

import pyedge as pe
from pyedge.boards import list_profiles, load_profile
from pyedge.host import checkup, doctor, ports
from pyedge.host.power.linux import open_jetson, open_rapl
from pyedge.host.power.trace import PolledMeter
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


def test_doctor_knows_every_extra() -> None:
    """Those that the package declares."""
    facts = {f.name for f in checkup()}
    extras = metadata("pyedge").get_all("Provides-Extra") or []
    assert "firmware" in extras and {f"extra [{name}]" for name in extras} <= facts


def test_doctor_tells_a_user_without_rights_the_group_and_the_udev_line(monkeypatch: pytest.MonkeyPatch) -> None:
    """For the port's own group and USB id."""
    locked = replace(port("/dev/ttyUSB0", "A1"), may_open=False, group="plugdev")
    monkeypatch.setattr(ports, "list_ports", lambda: [locked])
    fact = next(f for f in checkup() if f.name == "/dev/ttyUSB0")
    assert (fact.status, fact.exit_code) == ("fail", pe.PermissionDeniedError.exit_code)
    assert "usermod -aG plugdev" in fact.advice and 'ATTRS{idVendor}=="1a86", ATTRS{idProduct}=="7523"' in fact.advice


def test_doctor_names_who_holds_a_port(monkeypatch: pytest.MonkeyPatch) -> None:
    """A failure if the port is one that a board shows; each with the command that frees it."""
    holders = {
        "/dev/ttyACM0": "picocom (pid 77)",
        "/dev/ttyUSB0": "gpsd (pid 8)",
        "/dev/ttyACM1": "ModemManager (pid 9)",
    }
    espressif = (0x303A, 0x1001)
    there = [port("/dev/ttyACM0", usb=espressif), port("/dev/ttyUSB0"), port("/dev/ttyACM1", usb=espressif)]
    monkeypatch.setattr(ports, "list_ports", lambda: there)
    monkeypatch.setattr(ports, "holder", holders.get)
    facts = {f.name: f for f in checkup()}
    board, other, modem = (facts[p.device] for p in there)
    assert (board.status, board.exit_code) == ("fail", pe.BusyError.exit_code)
    assert "picocom" in board.found and board.advice.endswith("kill 77")
    assert (other.status, other.exit_code) == ("warn", 0)
    assert modem.advice == "sudo systemctl stop ModemManager"


@pytest.fixture
def usb(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A computer with a Pico 2 in its boot ROM, an interface of it, and a mouse; the folder of the nodes."""
    for name, facts in {
        "1-2": {"idVendor": "2e8a", "idProduct": "000f", "busnum": "1", "devnum": "7"},
        "1-2:1.0": {"bInterfaceClass": "08"},
        "1-3": {"idVendor": "046d", "idProduct": "c077", "busnum": "1", "devnum": "8"},
    }.items():
        (tmp_path / "sys" / name).mkdir(parents=True)
        for fact, value in facts.items():
            (tmp_path / "sys" / name / fact).write_text(f"{value}\n")
    (tmp_path / "dev" / "001").mkdir(parents=True)
    monkeypatch.setattr(ports, "_SYS_USB", tmp_path / "sys")
    monkeypatch.setattr(ports, "_DEV_USB", tmp_path / "dev")
    return tmp_path / "dev"


def test_doctor_knows_a_board_that_waits_to_be_flashed(usb: Path) -> None:
    """By its USB id, without a serial port: no rights, and with them; the mouse is nobody's."""
    assert [(d.usb, d.may_open) for d in ports.usb_devices()] == [("2e8a:000f", False), ("046d:c077", False)]
    facts = {f.name: f for f in checkup()}
    locked = facts["usb 2e8a:000f"]
    assert (locked.status, locked.exit_code) == ("fail", pe.PermissionDeniedError.exit_code)
    assert 'SUBSYSTEM=="usb", ATTR{idVendor}=="2e8a", ATTR{idProduct}=="000f"' in locked.advice
    assert "pico-2" in locked.found and "usb 046d:c077" not in facts
    assert "Debug Probe" in facts["link of pico-2"].found and "link of bl618" not in facts
    (usb / "001" / "007").touch()
    assert {f.name: f for f in checkup()}["usb 2e8a:000f"].status == "ok"


def test_a_missing_flasher_matters_once_its_board_is_there(
    usb: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A warning then; otherwise it is only said how to get it. An installed one is found."""
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr("sys.executable", str(tmp_path / "python"))
    facts = {f.name: f for f in checkup()}
    assert {p.flasher for p in list_profiles()} - {None, "emulator"} <= set(facts)
    assert (facts["picotool"].status, facts["dfu-util"].status) == ("warn", "info")
    assert "pico-2" in facts["picotool"].found and "apt install dfu-util" in facts["dfu-util"].advice
    (tmp_path / "picotool").write_text("#!/bin/sh\n")
    (tmp_path / "picotool").chmod(0o755)
    assert {f.name: f for f in checkup()}["picotool"].found == str(tmp_path / "picotool")


def test_doctor_finds_meters(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A PPK2 by its USB id, counters of a CPU with rights or without, I2C; or it says that there is none."""
    for name, text in {"name": "package-0", "energy_uj": "5", "max_energy_range_uj": "9"}.items():
        (tmp_path / "intel-rapl:0").mkdir(exist_ok=True)
        (tmp_path / "intel-rapl:0" / name).write_text(text)

    def locked() -> PolledMeter:
        raise pe.PermissionDeniedError("energy_uj: only root may read it; try: sudo chmod a+r energy_uj")

    def found(meters: dict[str, Callable[[], PolledMeter]], *there: ports.Port) -> dict[str, doctor.Fact]:
        monkeypatch.setattr(doctor, "_BUILT_IN", meters)
        monkeypatch.setattr(ports, "list_ports", lambda: list(there))
        return {f.name: f for f in checkup() if "meter" in f.name}

    monkeypatch.setattr(doctor, "_DEV", tmp_path)
    nowhere = {"jetson": lambda: open_jetson(tmp_path)}
    assert found(nowhere)["power meter"].status == "info"
    kit = [port(f"/dev/ttyACM{i}", "F1", usb=(0x1915, 0xC00A)) for i in (1, 2)]
    facts = found({"rapl": lambda: open_rapl(tmp_path), **nowhere}, *kit)
    assert facts.keys() == {"meter ppk2", "meter rapl"} and "1 CPU package" in facts["meter rapl"].found
    assert facts["meter ppk2"].found.endswith("--meter ppk2 --meter-port /dev/ttyACM1")
    fact = found({"rapl": locked})["meter rapl"]
    assert (fact.status, fact.advice) == ("info", "sudo chmod a+r energy_uj")
    (tmp_path / "i2c-1").touch()
    assert str(tmp_path / "i2c-1") in found(nowhere)["meters on I2C"].found
    monkeypatch.setattr("os.access", lambda *_: False)
    assert "usermod -aG i2c" in found(nowhere)["meters on I2C"].advice


@pytest.mark.parametrize("governor, advised", [("performance", False), ("powersave", True)])
def test_doctor_tells_a_clock_that_is_not_pinned(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, governor: str, advised: bool
) -> None:
    """No warning: only who measures on this computer needs it."""
    (tmp_path / "governor").write_text(f"{governor}\n")
    monkeypatch.setattr(doctor, "_GOVERNOR", tmp_path / "governor")
    fact = next(f for f in checkup() if f.name == "clock governor")
    assert (fact.status, bool(fact.advice)) == ("info" if advised else "ok", advised) and governor in fact.found
