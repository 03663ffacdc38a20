"""Boards that are processes: QEMU, and the host port of the firmware."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import struct
import subprocess
import tempfile
import tty
from pathlib import Path

from ..boards import Image, Profile
from ..errors import MissingToolError, UnsupportedError
from . import folders, store, timing
from .stream import PtyStream

# Runs "$@" with the link as fd 1, and kills it as soon as standard input ends. That is the end of a pipe whose other
# end this process holds, so the emulator dies with us however we die. (PR_SET_PDEATHSIG would look at the thread that
# started it, not at the process.)
_GUARD = '"$@" </dev/null & exec >/dev/null 2>&1; read -r _; kill -9 $!; wait'
_LINK_FD = 1
_COMPLAINT = 300  # characters

_PACKAGES = {  # of Debian 12, and of Debian 13 where it has another name
    "qemu-system-riscv32": ("qemu-system-misc", "qemu-system-riscv"),
    "qemu-system-arm": ("qemu-system-arm",),
}


def missing_tool(program: str) -> MissingToolError:
    """The error for a program that is not there; names its packages."""
    if program in _PACKAGES:
        old, *new = _PACKAGES[program]
        advice = f"{program} is not installed; try: sudo apt install {old}"
        if new:
            advice += f" (Debian 12, Raspberry Pi OS bookworm) or: sudo apt install {new[0]} (Debian 13 and later)"
        return MissingToolError(advice)
    return MissingToolError(f"{program} is not installed")


def write_flash(path: Path, profile: Profile, plan: bytes | None) -> None:
    """Makes the flash file of an emulated board: a store with one plan in it, or none. PlanError if it is too large."""
    assert profile.emulator is not None
    data = store.compose(profile.store, plan) if profile.store else b""
    with path.open("wb") as file:
        if profile.emulator.flash == "elf" and profile.store:
            file.write(_elf(profile.store.address, data))
            return
        file.write(data)
        if profile.store:
            file.write(b"\xff" * (profile.store.size_bytes - len(data)))
        file.truncate(profile.emulator.flash_bytes)  # behind the store nothing is read


def _elf(address: int, data: bytes) -> bytes:
    """A 32-bit ELF file of no machine: data at an address. (Raw files QEMU's loader takes up to the RAM size.)"""
    head_bytes, segment_bytes = 52, 32
    ident = b"\x7fELF" + bytes([1, 1, 1]) + bytes(9)  # 32 bit, little-endian
    executable, no_machine, load, read = 2, 0, 1, 4
    head = struct.pack(
        "<HHIIIIIHHHHHH", executable, no_machine, 1, 0, head_bytes, 0, 0, head_bytes, segment_bytes, 1, 0, 0, 0
    )
    segment = struct.pack("<8I", load, head_bytes + segment_bytes, address, address, len(data), len(data), read, 4)
    return ident + head + segment + data


def kept_flash(profile: Profile) -> Path:
    """Where the flash of an emulated board is kept between connections. The file is there once something was kept."""
    return folders.state_folder() / "flash" / f"{profile.name}.bin"


def keep_flash(profile: Profile, flash: Path) -> None:
    """Keeps a copy of a flash file, in one step: the next connection begins with the old one or with this one."""
    _keep(flash, kept_flash(profile))


def _firmware_place(profile: Profile, image: Image) -> Path:
    return folders.state_folder() / "firmware" / profile.name / image.file


def kept_firmware(profile: Profile, image: Image) -> Path | None:
    """The firmware that was kept for an emulated board, None if it runs what pyedge has."""
    place = _firmware_place(profile, image)
    return place if place.is_file() else None


def keep_firmware(profile: Profile, image: Image, file: Path | None) -> None:
    """What the board runs from the next connection on; None: what pyedge has."""
    if file is None:
        _firmware_place(profile, image).unlink(missing_ok=True)
    else:
        _keep(file, _firmware_place(profile, image))


def _keep(file: Path, place: Path) -> None:
    place.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile(dir=place.parent, delete=False) as copy:
        try:
            with file.open("rb") as source:
                shutil.copyfileobj(source, copy, 1 << 20)
            copy.flush()
            shutil.copymode(file, copy.name)
            os.replace(copy.name, place)
        except BaseException:
            os.unlink(copy.name)
            raise


class Emulator:
    """A running board. `stream` is its serial line; it ends when the process ends."""

    stream: PtyStream

    def __init__(self, profile: Profile, image: Image, firmware: Path, flash: Path | None = None) -> None:
        """Starts the process.

        Args:
            firmware: The file built for `image`.
            flash: A flash file that the board uses as it is, made if absent. Without it the board has a copy of what
                `keep_flash` kept last, or an empty one; so any number can run at a time.

        Raises:
            MissingToolError: The emulator is not installed.
            UnsupportedError: The board is none that can be emulated.
        """
        if profile.emulator is None:
            raise UnsupportedError(f"{profile.name}: not an emulated board; connect it and give its port")
        self.profile, self.image, self._firmware = profile, image, firmware
        self._process: subprocess.Popen[bytes] | None = None
        self._folder = tempfile.TemporaryDirectory(prefix="pyedge-")
        self.flash = flash or Path(self._folder.name, "flash.bin")
        try:
            if flash is None and kept_flash(profile).exists():
                shutil.copyfile(kept_flash(profile), self.flash)
            if not self.flash.exists():
                write_flash(self.flash, profile, None)
            self.start()
        except BaseException:
            self.stop()
            raise

    def start(self) -> None:
        """Starts the process, after stop_process() anew: a power cycle."""
        emulator = self.profile.emulator
        assert emulator is not None
        if "{" not in emulator.program and shutil.which(emulator.program) is None:
            raise missing_tool(emulator.program)
        # A pty, as QEMU's UART models write single bytes and drop what a full buffer refuses: a socket is full after
        # some 280 of them, a pty takes 64 KiB.
        ours, theirs = os.openpty()
        tty.setraw(ours)
        self.stream = PtyStream(ours, self.profile.name)
        places = {
            "image": str(self._firmware),
            "cpu": self.image.cpu,
            "flash": str(self.flash),
            "fd": str(_LINK_FD),
            "tty": os.ttyname(theirs),
        }
        program, *args = (arg.format_map(places) for arg in (emulator.program, *emulator.args))
        try:
            with Path(self._folder.name, "log").open("wb") as log:
                self._process = subprocess.Popen(
                    ["sh", "-c", _GUARD, "pyedge-emulator", program, *args],
                    stdin=subprocess.PIPE,
                    stdout=theirs,
                    stderr=log,
                    start_new_session=True,  # a Ctrl-C in the terminal is for us, not for the emulator
                )
        finally:
            os.close(theirs)

    @property
    def complaint(self) -> str:
        """What the process wrote to standard error, the beginning, as one line; "" if nothing."""
        with contextlib.suppress(OSError):
            return " ".join(Path(self._folder.name, "log").read_text(errors="replace").split())[:_COMPLAINT]
        return ""

    def stop_process(self) -> None:
        """Kills the process, as a power cut would; the flash file stays."""
        process, self._process = self._process, None
        if process is None:
            return
        self.stream.close()
        assert process.stdin is not None
        process.stdin.close()
        try:
            process.wait(timing.STOP_S)
        except subprocess.TimeoutExpired:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()

    def stop(self) -> None:
        """Kills the process and removes its files."""
        self.stop_process()
        self._folder.cleanup()
