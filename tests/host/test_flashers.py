"""Firmware into real boards: the real esptool before a simulated ESP32-C3, other flashers as far as they go without."""

from __future__ import annotations

import os
import random
import stat
import struct
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from pyedge import errors
from pyedge.boards import Profile, load_profile
from pyedge.host.flashers import write_firmware
from pyedge.host.stream import SerialStream

from .esp_rom import SYNC, Chip, Port, slip

FIRMWARE = random.Random(3).randbytes(50_000)  # esptool compresses what can be


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is made from firmware files is no matter of the user's cache."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@pytest.fixture
def firmware(tmp_path: Path) -> Path:
    """A raw image that esptool takes for one of its own."""
    file = tmp_path / "firmware.bin"
    file.write_bytes(FIRMWARE)
    return file


@pytest.fixture
def esp() -> Iterator[Callable[..., tuple[Chip, str]]]:
    """Starts a simulated chip: it, and its port."""
    ports: list[Port] = []

    def start(wired: bool = False, **kinds: object) -> tuple[Chip, str]:
        chip = Chip(**kinds)  # type: ignore[arg-type]
        ports.append(Port(chip, wired))
        return chip, ports[-1].url

    yield start
    for port in ports:
        port.close()


def elf(segments: list[tuple[int, bytes]], bss: int = 0) -> bytes:
    """An ELF file for RV32 that loads these (address, bytes), the first at its entry; esptool reads the sections."""
    count = len(segments) + 1
    at, names = 52 + 32 * count, b"\0.text\0.bss\0.names\0"
    body, heads, sections = b"", b"", bytes(40)
    for address, data in segments:
        heads += struct.pack("<8I", 1, at + len(body), address, address, len(data), len(data), 5, 4)
        sections += struct.pack("<10I", 1, 1, 6, address, at + len(body), len(data), 0, 0, 4, 0)
        body += data
    heads += struct.pack("<8I", 1, at, 0x3FC90000, 0x3FC90000, 0, bss, 6, 4)  # nothing of it in the file
    sections += struct.pack("<10I", 7, 8, 3, 0x3FC90000, at, bss, 0, 0, 4, 0)
    sections += struct.pack("<10I", 12, 3, 0, 0, at + len(body), len(names), 0, 0, 1, 0)
    ident = b"\x7fELF\x01\x01\x01".ljust(16, b"\0")
    end = at + len(body) + len(names)
    sizes = (0, 52, 32, count, 40, count + 2, count + 1)
    head = struct.pack("<HHIIIIIHHHHHH", 2, 243, 1, segments[0][0], 52, end, *sizes)
    return ident + head + heads + body + names + sections


def test_esptool_resets_the_board_writes_verifies_and_starts_it(esp: Callable[..., tuple[Chip, str]], firmware: Path):
    """From a running application into the loader by DTR and RTS, and back into the new one; one progress."""
    chip, url = esp(wired=True)
    seen: list[int] = []
    commands = write_firmware(load_profile("esp32-c3"), firmware, url, progress=lambda done, total: seen.append(done))
    assert chip.flash[: len(FIRMWARE)] == FIRMWARE
    assert (chip.runs, chip.resets) == ("app", 2)
    assert seen == sorted(seen) and len(seen) > 2 and seen[-1] == 100
    assert commands[0][1:3] == ("--chip", "esp32c3")


@pytest.mark.parametrize(
    "kinds, error, words",
    [
        ({"reset_after": 1}, errors.LinkError, ["stopped at", "in part only", "flash it again"]),
        ({"chip_id": 13}, errors.BoardNotFoundError, ["is ESP32-C6, not ESP32-C3", "--port"]),
        ({"bad_flash": True}, errors.VerificationError, ["not what was written", "flash it again"]),
    ],
)
def test_bad_endings_say_what_is_in_flash_now(
    esp: Callable[..., tuple[Chip, str]], firmware: Path, kinds: dict[str, object], error: type[Exception], words: list
):
    """Cut off in the middle, another chip, damaged flash; and where it can, the next attempt works."""
    chip, url = esp(**kinds)
    with pytest.raises(error) as caught:
        write_firmware(load_profile("esp32-c3"), firmware, url)
    text = str(caught.value)
    assert all(word in text for word in ("esp32-c3", *words)) and "\n" not in text
    if "reset_after" in kinds:
        chip.reset_after, chip.runs = None, "rom"
        write_firmware(load_profile("esp32-c3"), firmware, url)
        assert chip.flash[: len(FIRMWARE)] == FIRMWARE


def test_a_dead_board_is_no_answer_and_its_flash_was_not_touched(
    esp: Callable[..., tuple[Chip, str]], firmware: Path, monkeypatch: pytest.MonkeyPatch
):
    """esptool gives up by itself, here after its first attempt."""
    monkeypatch.setenv("ESPTOOL_CFGFILE", str(firmware.parent / "esptool.cfg"))
    (firmware.parent / "esptool.cfg").write_text("[esptool]\nconnect_attempts = 1\n")
    _, url = esp(dead=True)
    with pytest.raises(errors.LinkError, match=r"esp32-c3: no answer at socket") as caught:
        write_firmware(load_profile("esp32-c3"), firmware, url)
    assert "flash it again" not in str(caught.value)


def test_an_elf_becomes_an_image_that_the_rom_starts(esp: Callable[..., tuple[Chip, str]], tmp_path: Path):
    """By elf2image: magic E9, the entry, and a header that esptool reads again; a dry run leaves the board alone."""
    code = bytes(range(256)) * 8
    (tmp_path / "fw.elf").write_bytes(elf([(0x40380000, code)], bss=64))
    chip, url = esp()
    commands = write_firmware(load_profile("esp32-c3"), tmp_path / "fw.elf", url, dry_run=True)
    assert chip.runs == "rom" and chip.flash.count(0xFF) == len(chip.flash)
    assert [c[3] for c in commands if "elf2image" in c] == ["elf2image"] and "write-flash" in commands[1]
    assert write_firmware(load_profile("esp32-c3"), tmp_path / "fw.elf", url) == commands
    assert (chip.flash[0], struct.unpack_from("<I", chip.flash, 4)[0]) == (0xE9, 0x40380000)
    assert struct.unpack_from("<II", chip.flash, 24) == (0x40380000, len(code))
    assert chip.flash[32 : 32 + len(code)] == code
    image = commands[1][-1]
    said = subprocess.run([commands[0][0], "image-info", image], capture_output=True, text=True, check=True).stdout
    assert "Detected image type: ESP32-C3" in said and said.count("(valid)") == 1  # its checksum: the ROM's
    assert "Flash size: 4MB" in said  # the ROM writes no further


def test_a_port_that_cannot_be_opened_is_said_before_anything_starts(firmware: Path):
    """Its exit code is that of a missing port."""
    with pytest.raises(errors.BoardNotFoundError, match=r"/dev/none: cannot open.*pyedge ports"):
        write_firmware(load_profile("esp32-c3"), firmware, "/dev/none")


def stand_in(folder: Path, name: str, text: str, code: int, then: str = "") -> None:
    """A program of that name that prints text. The flasher itself finds no hardware here."""
    (folder / name).write_text(f"#!{sys.executable}\nprint({text!r}, flush=True)\n{then}\nraise SystemExit({code})\n")
    (folder / name).chmod(stat.S_IRWXU)


NO_DFU = (
    "dfu-util 0.11\n\ndfu-util: Warning: Invalid DFU suffix signature\ndfu-util: No DFU capable USB device available"
)
NO_PROBE = "Open On-Chip Debugger 0.12.0\nLicensed under GNU GPL v2\nError: No J-Link device found\n"
NO_ANSWER = (
    "[15:41:02.305] - handshake failed\n[15:41:02.305] - ErrorCode: 0050, ErrorMsg: BFLB IMG LOAD HANDSHAKE FAIL"
)
DFU_CUT = (
    "Download\t[============             ]  50%        25000 bytes\rdfu-util: Error during download (LIBUSB_ERROR_IO)"
)
DFU_GOOD = "Erase   \t[=====] 100%  50000 bytes\nErase    done.\nDownload\t[=====] 100%  50000 bytes\nDownload done."
VERIFY = "** Programming Started **\n** Programming Finished **\n** Verify Started **\n** Verify Failed **"


@pytest.mark.parametrize(
    "board, said, code, error, words",
    [
        ("longan-nano", NO_DFU, 74, errors.BoardNotFoundError, ["finds no board", "hold its BOOT button", "doctor"]),
        ("hifive1-rev-b", NO_PROBE, 1, errors.BoardNotFoundError, ["finds no board", "probe's cable"]),
        ("bl618", NO_ANSWER, 0, errors.LinkError, ["no answer", "hold its BOOT button"]),
        ("longan-nano", DFU_CUT, 74, errors.LinkError, ["stopped at 50 %", "LIBUSB_ERROR_IO", "flash it again"]),
        ("hifive1-rev-b", VERIFY, 1, errors.VerificationError, ["not what was written"]),
        ("longan-nano", "Cannot open device (LIBUSB_ERROR_ACCESS)", 1, errors.PermissionDeniedError, ["doctor"]),
        ("hifive1-rev-b", "Error: a new kind of trouble", 1, errors.ToolError, ["a new kind of trouble"]),
    ],
)
def test_what_flashers_print_becomes_one_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, board: str, said: str, code: int, error: type, words: list[str]
):
    """Recorded from dfu-util 0.11, openocd 0.12 and bflb-mcu-tool 1.10 (which exits with 0) with no hardware there;
    and what their sources print."""
    profile = load_profile(board)
    stand_in(tmp_path, profile.flasher or "", said, code)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    (tmp_path / "fw.elf").write_bytes(elf([(0x08000000, FIRMWARE)]))
    port = os.ttyname(os.openpty()[1])
    with pytest.raises(error) as caught:
        write_firmware(profile, tmp_path / "fw.elf", port if profile.flasher == "bflb-mcu-tool" else None)
    assert type(caught.value) is error
    assert all(word in str(caught.value) for word in (board, *words)) and "\n" not in str(caught.value)


def test_lines_that_are_drawn_over_are_progress_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """dfu-util ends its lines with a carriage return; what it erases is no progress of what it writes."""
    bar = "\r".join(f"Download\t[=== ] {n:3}% {n * 500:12} bytes" for n in (0, 25, 75))
    stand_in(tmp_path, "dfu-util", bar + "\r" + DFU_GOOD, 0)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    (tmp_path / "fw.elf").write_bytes(elf([(0x08000000, FIRMWARE)]))
    seen: list[int] = []
    commands = write_firmware(load_profile("longan-nano"), tmp_path / "fw.elf", progress=lambda at, _: seen.append(at))
    assert seen == [0, 25, 75, 100]
    assert commands[0][1:7] == ("-d", "28e9:0189", "-a", "0", "-s", "0x8000000")
    assert Path(commands[0][-1]).read_bytes() == FIRMWARE


def test_a_flasher_without_end_is_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """And what it has started."""
    pid = tmp_path / "pid"
    then = "import subprocess\nc = subprocess.Popen(['sleep', '600'])\n"
    then += f"open({str(pid)!r}, 'w').write(str(c.pid))\nc.wait()"
    stand_in(tmp_path, "openocd", "** Programming Started **", 0, then)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    monkeypatch.setattr("pyedge.host.flashers._LEAST_S", 5.0)
    (tmp_path / "fw.elf").write_bytes(elf([(0x20010000, b"\x13\0\0\0")]))
    with pytest.raises(errors.LinkError, match=r"no end.*flash it again"):
        write_firmware(load_profile("hifive1-rev-b"), tmp_path / "fw.elf")
    state = Path("/proc", pid.read_text(), "stat")
    assert not state.exists() or state.read_text().split()[2] in "ZX"  # gone, or nobody has collected it yet


def test_uf2_goes_to_the_drive_of_the_right_chip(tmp_path: Path):
    """The blocks hold what the ELF loads, page by page, for the RISC-V cores; another chip's drive is refused."""
    code, table = bytes(range(1, 256)) * 3, b"table" * 9
    (tmp_path / "fw.elf").write_bytes(elf([(0x10000000, code), (0x10001F20, table)]))
    drive = tmp_path / "RP2350"
    drive.mkdir()
    (drive / "INFO_UF2.TXT").write_text("UF2 Bootloader v1.0\nModel: Raspberry Pi RP2350\nBoard-ID: RP2350\n")
    seen: list[int] = []
    pico = load_profile("pico-2")
    write_firmware(pico, tmp_path / "fw.elf", str(drive), progress=lambda at, _: seen.append(at))
    (file,) = (f for f in drive.iterdir() if f.suffix == ".uf2")
    memory = read_uf2(file.read_bytes(), 0xE48BFF5A)
    assert bytes(memory[0x10000000 + i] for i in range(len(code))) == code
    assert bytes(memory[0x10001F20 + i] for i in range(len(table))) == table
    assert memory[0x10001F1F] == 0xFF and 0x10001000 not in memory and len(memory) == 4 * 256
    assert seen[-1] == 100
    (drive / "INFO_UF2.TXT").write_text("UF2 Bootloader v3.0\nBoard-ID: RPI-RP2\n")
    with pytest.raises(errors.BoardNotFoundError, match=r"not the drive of an RP2350 \(Board-ID: RPI-RP2\)"):
        write_firmware(pico, tmp_path / "fw.elf", str(drive))


def read_uf2(data: bytes, family: int) -> dict[int, int]:
    """What a boot ROM makes of a UF2 file: bytes by address. After microsoft/uf2, README."""
    memory: dict[int, int] = {}
    assert data and len(data) % 512 == 0
    for i in range(0, len(data), 512):
        head, end = struct.unpack_from("<8I", data, i), struct.unpack_from("<I", data, i + 508)[0]
        first, second, flags, address, size, number, count, block_family = head
        assert (first, second, end) == (0x0A324655, 0x9E5D5157, 0x0AB16F30)
        assert (flags, block_family) == (0x2000, family)
        assert (number, count) == (i // 512, len(data) // 512)
        assert size == 256 and address % 256 == 0
        memory |= {address + k: data[i + 32 + k] for k in range(size)}
    return memory


@pytest.mark.parametrize("cut", [4, 30, 51, 60, 100, 700])
def test_a_damaged_elf_is_an_error_and_nothing_else(tmp_path: Path, cut: int):
    """Cut off anywhere; or with segments too far apart, or two at one place."""
    whole = elf([(0x08000000, FIRMWARE[:1000])])
    (tmp_path / "fw.elf").write_bytes(whole[:cut])
    with pytest.raises(errors.ToolError, match="ELF"):
        write_firmware(load_profile("pico-2"), tmp_path / "fw.elf", str(_drive(tmp_path)), dry_run=True)


@pytest.mark.parametrize("second, words", [(0x30000000, "not in one flash"), (0x08000004, "two segments at 0x8000004")])
def test_segments_that_are_no_image_are_refused(tmp_path: Path, second: int, words: str):
    """Data in RAM without a load address in flash is the common one."""
    (tmp_path / "fw.elf").write_bytes(elf([(0x08000000, bytes(8)), (second, bytes(8))]))
    with pytest.raises(errors.ToolError, match=words):
        write_firmware(load_profile("pico-2"), tmp_path / "fw.elf", str(_drive(tmp_path)), dry_run=True)


def _drive(folder: Path) -> Path:
    (folder / "INFO_UF2.TXT").write_text("Board-ID: RP2350\n")
    return folder


@pytest.mark.parametrize("board", ["host", "virt-rv32", "raspberry-pi-5"])
def test_boards_without_a_flasher_say_so(firmware: Path, board: str):
    """Emulated ones, and those with Linux."""
    with pytest.raises(errors.UnsupportedError, match=board):
        write_firmware(load_profile(board), firmware)


def test_a_missing_flasher_says_how_to_get_it(firmware: Path, monkeypatch: pytest.MonkeyPatch):
    """For each board that has one."""
    monkeypatch.setenv("PATH", "/nowhere")
    monkeypatch.setattr(sys, "executable", "/nowhere/python")
    profile: Profile = load_profile("ch32v307")
    with pytest.raises(errors.MissingToolError, match=r"wlink is not installed; try: cargo install wlink"):
        write_firmware(profile, firmware)


def test_bytes_go_over_rfc_2217_too(esp: Callable[..., tuple[Chip, str]]):
    """For the link as for flashers."""
    chip, url = esp(wired=True)
    port = SerialStream(url, 115200)
    try:
        chip.runs = "rom"
        port.write(slip(struct.pack("<BBHI", 0, SYNC, 0, 0)))
        said = b"".join(port.read() for _ in range(40))
    finally:
        port.close()
    assert said.count(slip(struct.pack("<BBHI4x", 1, SYNC, 4, 0x20120707))) == 8
