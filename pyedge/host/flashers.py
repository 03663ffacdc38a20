"""Firmware into the flash of real boards, by the programs that their makers and users have for it.

They are started, never imported. What they print becomes one progress and, when they fail, one error.
"""

from __future__ import annotations

import hashlib
import os
import re
import select
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from .._programs import complaint, program
from ..boards import Profile
from ..errors import (
    BoardNotFoundError,
    BusyError,
    LinkError,
    MissingToolError,
    PermissionDeniedError,
    PyedgeError,
    ToolError,
    UnsupportedError,
    VerificationError,
)
from . import folders, image_files
from .image_files import is_elf
from .link import Progress
from .ports import choose
from .stream import SerialStream

Command = tuple[str, ...]
_MOUNTS = Path("/proc/mounts")
_LEAST_S, _SLOWEST = 120.0, 4000  # deadline of a program: seconds, and bytes per second: under half of 115200 baud


@dataclass(frozen=True)
class Flasher:
    """A program that writes flash."""

    name: str  # of the program, as in a profile's `flasher`
    install: str
    serial: bool  # by a serial port; else over USB, to the one board or probe that is plugged in
    commands: Callable[[Profile, str, Path, str], list[Command]]  # profile, path of the program, firmware, port


def _esptool(profile: Profile, tool: str, file: Path, port: str) -> list[Command]:
    """The ROM starts an image of its own format, which esptool makes of an ELF file."""
    chip, made = (tool, "--chip", profile.flash_chip), []
    if is_elf(file):
        out = _made(file, ".bin")
        # The ROM loads what goes into RAM, and is told of nothing else; it also takes the flash's size from the header.
        sizes = [m.size_bytes >> 20 for m in profile.memories if m.kind == "flash"]
        how = ("--ram-only-header", "--flash-mode", "dio", *(("--flash-size", f"{max(sizes)}MB") if sizes else ()))
        made, file = [(*chip, "elf2image", *how, "--output", str(out), str(file))], out
    baud = str(profile.link.baud if profile.link else 115200)
    return [*made, (*chip, "--port", port, "--baud", baud, "write-flash", _address(profile), str(file))]


def _openocd(profile: Profile, tool: str, file: Path, port: str) -> list[Command]:
    address = "" if is_elf(file) else f" {_address(profile)}"
    return [(tool, "-f", profile.flash_chip, "-c", f"program {{{file}}} verify reset exit{address}")]


def _pyocd(profile: Profile, tool: str, file: Path, port: str) -> list[Command]:
    kind = ("--format", "elf") if is_elf(file) else ("--format", "bin", "--base-address", _address(profile))
    return [(tool, "load", "--target", profile.flash_chip, *kind, str(file))]


def _dfu_util(profile: Profile, tool: str, file: Path, port: str) -> list[Command]:
    device = ("-d", profile.flash_usb[0]) if profile.flash_usb else ()
    return [(tool, *device, "-a", "0", "-s", _start(profile, file), "-D", str(_raw(file)))]


def _wlink(profile: Profile, tool: str, file: Path, port: str) -> list[Command]:
    return [(tool, "flash", "--address", _start(profile, file), str(_raw(file)))]


def _wchisp(profile: Profile, tool: str, file: Path, port: str) -> list[Command]:
    return [(tool, "flash", str(_raw(file)))]


def _bflb(profile: Profile, tool: str, file: Path, port: str) -> list[Command]:
    baud = str(profile.link.baud if profile.link else 115200)
    line = ("--interface", "uart", "--port", port, "--baudrate", baud)
    return [(tool, "--chipname", profile.flash_chip, *line, "--firmware", str(_raw(file)))]


def _picotool(profile: Profile, tool: str, file: Path, port: str) -> list[Command]:
    return [(tool, "load", "-v", "-x", str(_uf2(profile, file)), "-t", "uf2")]


FLASHERS = {
    f.name: f
    for f in (
        Flasher("esptool", "pip install 'esptool>=5'", True, _esptool),
        Flasher("openocd", "sudo apt install openocd", False, _openocd),
        Flasher("pyocd", "pip install pyocd", False, _pyocd),
        Flasher("dfu-util", "sudo apt install dfu-util", False, _dfu_util),
        Flasher("wlink", "cargo install wlink", False, _wlink),
        Flasher("wchisp", "cargo install wchisp", False, _wchisp),
        Flasher("bflb-mcu-tool", "pip install bflb-mcu-tool", True, _bflb),
        Flasher("picotool", "sudo apt install picotool (Debian 13 and later)", False, _picotool),
    )
}


def write_firmware(
    profile: Profile,
    file: Path,
    port: str | None = None,
    dry_run: bool = False,
    progress: Progress | None = None,
) -> list[Command]:
    """Writes firmware into the flash of a real board, has it verified, and starts it.

    Args:
        file: An ELF file; a raw image for the profile's flash_address; or UF2 where the board takes it.
        port: As ports.choose, for flashers on a serial port; or the folder where a UF2 drive is mounted.
        dry_run: Only say what would be started, with PORT for a port that is not there.
        progress: Called with percent done, and 100.

    Returns:
        What was started, in this order.

    Raises:
        UnsupportedError: An emulated board, or one with Linux.
        MissingToolError, ToolError: The flasher is not installed; it failed, or the file is damaged.
        BoardNotFoundError, PermissionDeniedError, BusyError: Nothing to flash there, or another chip.
        LinkError: No answer, or none any more: then it says whether flash is half written.
        VerificationError: Flash is not what was written.
    """
    flasher = FLASHERS.get(profile.flasher or "")
    if flasher is None:
        raise UnsupportedError(
            f"{profile.name}: it has no flash that a program writes; see: pyedge boards {profile.name}"
        )
    file = file.resolve()
    if not file.is_file() or not file.stat().st_size:
        raise ToolError(f"{file}: no such file, or an empty one")
    if flasher.name == "picotool" and (drive := _drive(profile, port)):
        return [_copy(_uf2(profile, file), drive, dry_run, progress)]
    tool = program(flasher.name) or (flasher.name if dry_run else None)
    if tool is None:
        also = "; or hold BOOTSEL while you plug it in, and mount the drive" if flasher.name == "picotool" else ""
        raise MissingToolError(f"{profile.name}: {flasher.name} is not installed; try: {flasher.install}{also}")
    device = _device(profile, port, dry_run) if flasher.serial else ""
    commands = flasher.commands(profile, tool, file, device)
    if not dry_run:
        if flasher.serial and "://" not in device:  # no such port, no rights, busy: before a program goes on trying
            SerialStream(device, profile.link.baud if profile.link else 115200).close()
        for command in commands:
            _run(profile, flasher, command, device, _LEAST_S + file.stat().st_size / _SLOWEST, progress)
    return commands


def _device(profile: Profile, port: str | None, dry_run: bool) -> str:
    try:
        return choose(profile, port)
    except BoardNotFoundError:
        if dry_run and port is None:
            return "PORT"
        raise


def _address(profile: Profile) -> str:
    if profile.flash_address is None:
        raise UnsupportedError(f"{profile.name}: where a raw image goes is not known; give the ELF file")
    return f"{profile.flash_address:#x}"


def _made(file: Path, suffix: str) -> Path:
    """Where something made from a file is kept, so that the commands of a dry run can be used."""
    folder = folders.cache_folder() / "flash"
    folder.mkdir(parents=True, exist_ok=True)
    return folder / (hashlib.sha256(file.read_bytes()).hexdigest()[:24] + suffix)


def _start(profile: Profile, file: Path) -> str:
    """The address of what _raw gives."""
    return f"{image_files.elf_segments(file)[0].address:#x}" if is_elf(file) else _address(profile)


def _raw(file: Path) -> Path:
    """The file without a format: its bytes alone."""
    if not is_elf(file):
        return file
    out = _made(file, ".bin")
    out.write_bytes(image_files.flat(image_files.elf_segments(file)).data)
    return out


def _uf2(profile: Profile, file: Path) -> Path:
    data = file.read_bytes()
    if data[:4] == b"UF2\n":
        return file
    segments = (
        image_files.elf_segments(file) if is_elf(file) else [image_files.Segment(int(_address(profile), 16), data)]
    )
    out = _made(file, ".uf2")
    family = image_files.UF2_FAMILIES.get(profile.flash_chip)
    if family is None:
        raise UnsupportedError(
            f"{profile.name}: {profile.flash_chip}: not one of {', '.join(image_files.UF2_FAMILIES)}"
        )
    out.write_bytes(image_files.uf2(segments, family))
    return out


def _drive(profile: Profile, port: str | None) -> Path | None:
    """Where the boot ROM's drive is mounted: the folder `port`, or, without picotool, one that is found."""
    chip = profile.flash_chip.partition("-")[0].upper()
    if port is not None and Path(port).is_dir():
        if chip not in _drive_name(Path(port)):
            what = _drive_name(Path(port)) or "there is no INFO_UF2.TXT"
            raise BoardNotFoundError(f"{port}: not the drive of an {chip} ({what}); hold BOOTSEL while you plug it in")
        return Path(port)
    if program("picotool"):
        return None
    mounted = [line.split()[1].encode().decode("unicode_escape") for line in _MOUNTS.read_text().splitlines()]
    found = [Path(place) for place in mounted if chip in _drive_name(Path(place))]
    if len(found) > 1:
        raise BoardNotFoundError(
            f"{profile.name}: {len(found)} drives: {', '.join(map(str, found))}; choose: --port FOLDER"
        )
    return found[0] if found else None


def _drive_name(folder: Path) -> str:
    try:
        return next(line for line in (folder / "INFO_UF2.TXT").read_text().splitlines() if line.startswith("Board-ID"))
    except (OSError, UnicodeDecodeError, StopIteration):
        return ""


def _copy(file: Path, drive: Path, dry_run: bool, progress: Progress | None) -> Command:
    """The board restarts as soon as it has the last block, so its drive may be gone before the file is closed."""
    command = ("cp", str(file), str(drive))
    if dry_run:
        return command
    data, done = file.read_bytes(), 0
    try:
        fd = os.open(drive / file.name, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        try:
            while done < len(data):
                done += os.write(fd, data[done : done + 65536])
                if progress:
                    progress(100 * done // len(data), 100)
            os.fsync(fd)
        finally:
            os.close(fd)
    except PermissionError as e:
        raise PermissionDeniedError(f"{drive}: this user may not write there") from e
    except OSError as e:
        if done < len(data):
            raise LinkError(f"{drive}: {e.strerror} after {done} of {len(data)} bytes: {_AGAIN}") from e
    return command


# What the programs print: of esptool, openocd, dfu-util, picotool, wlink and pyocd, bflb-mcu-tool.
_PERCENT = re.compile(
    r"(?:Writing at|Download\b|Loading into).*?([0-9.]+) ?%|Load [0-9]+/[0-9]+ .*\"progress\": ?([0-9]+)"
)
_BEGUN = re.compile(
    r"will be erased|Writing at|Programming Started|^(?:Erase|Download)\s+\[|Loading into"
    r"|Flashing [0-9]|Erasing|Load [0-9]+/"
)
_AGAIN = "its flash is written in part only, and what is there does not start; flash it again"
_HOW = {"button": "hold its BOOT button while you press reset or plug it in", "debugger": "check the probe's cable"}
_FAILURES: tuple[tuple[str, type[PyedgeError], str], ...] = (
    (r"This chip is (\S+?), not (\S+?)\.", BoardNotFoundError, "the chip at {port} is {1}, not {2}; choose: --port"),
    (r"Could not open .*doesn't exist", BoardNotFoundError, "{port}: cannot open; try: pyedge ports"),
    (
        r"Permission denied|LIBUSB_ERROR_ACCESS|Access denied|insufficient permissions",
        PermissionDeniedError,
        "this user may not open {port}; try: pyedge doctor",
    ),
    (
        r"[Rr]esource busy|exclusively lock|LIBUSB_ERROR_BUSY",
        BusyError,
        "{port} is in use by another program; try: pyedge doctor",
    ),
    (
        r"No DFU capable USB device|No J-Link device found|No accessible RP|[Nn]o (?:available )?(?:debug )?probes?\b"
        r"|WCH-Link .*not (?:found|connected)|unable to (?:open|find) .*(?:device|adapter|probe|ftdi)",
        BoardNotFoundError,
        "{tool} finds no board in its boot loader, and no probe; {how}; then: pyedge doctor",
    ),
    (
        r"MD5 of file does not match|[Vv]erif(?:y|ication) [Ff]ailed|\*\* Verify Failed|contents did not match",
        VerificationError,
        "what is in its flash is not what was written; flash it again, and more often than once: the flash is worn out",
    ),
    (
        r"Failed to connect|No serial data received|[Tt]imed? ?out|(?i:handshake fail)|No more data",
        LinkError,
        "no answer at {port}; {how}",
    ),
)


def _run(
    profile: Profile, flasher: Flasher, command: Command, port: str, limit_s: float, progress: Progress | None
) -> None:
    """One program, to its end or to the deadline; raises what its output means."""
    said, begun, done = [], False, 0.0
    child = subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,  # so that what it starts can be ended with it
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
    )
    try:
        for line in _lines(child, time.monotonic() + limit_s):
            said.append(line)
            begun = begun or bool(_BEGUN.search(line))
            if found := _PERCENT.search(line):
                done = max(done, min(100.0, float(found[1] or found[2])))
                if progress:
                    progress(int(done), 100)
        code = child.wait(max(1.0, limit_s))
    except (TimeoutError, subprocess.TimeoutExpired):
        code = None
    finally:
        if child.poll() is None:
            os.killpg(child.pid, signal.SIGKILL)
            child.wait()
        if child.stdout:
            child.stdout.close()
    text = "\n".join(said)
    if code == 0 and (flasher.name != "bflb-mcu-tool" or "All Success" in text):  # which exits with 0 when it fails
        return
    raise _failure(profile, flasher, port, text, code, begun, int(done))


def _lines(child: subprocess.Popen[bytes], deadline: float) -> Iterator[str]:
    """What it prints, also lines that are drawn over; raises TimeoutError at the deadline (of time.monotonic)."""
    assert child.stdout is not None
    fd, rest = child.stdout.fileno(), b""
    while True:
        left = deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError
        if not select.select([fd], [], [], left)[0]:
            continue
        data = os.read(fd, 65536)
        *lines, rest = re.split(rb"[\r\n]+", rest + data)
        yield from (line.decode(errors="replace") for line in (lines if data else [*lines, rest]))
        if not data:
            return


def _failure(
    profile: Profile, flasher: Flasher, port: str, text: str, code: int | None, begun: bool, percent: int
) -> PyedgeError:
    how = _HOW.get(profile.reset or "", "check the cable, and that nothing else resets it")
    for pattern, error, message in _FAILURES:
        found = re.search(pattern, text)
        if found and not (begun and error is LinkError):
            where = {"port": port or "it", "tool": flasher.name, "how": how}
            return error(f"{profile.name}: " + message.format("", *found.groups(), **where))
    why = "no end" if code is None else complaint(text.encode(), 1)
    if begun:
        return LinkError(f"{profile.name}: {flasher.name} stopped at {percent} % ({why}): {_AGAIN}")
    if code is None:
        return LinkError(f"{profile.name}: no answer: {flasher.name} came to no end; {how}")
    return ToolError(f"{profile.name}: {flasher.name} failed: {why}")
