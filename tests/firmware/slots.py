"""Firmware in two slots for the tests: images of imgtool, flash files that hold them, and what a client asks."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

from .wire import IMAGE, OS, READ, WRITE, Board, erased_flash

CUT_EXIT = 9
HOST_SLOTS = 2 * 65536 + 2 * (4 << 20)  # where they begin; as large as the store before them
VIRT_SLOTS = 0x900000  # the same in the NOR flash; sectors of 256 KiB, slots of 1 MiB
VIRT_SECTOR, VIRT_SLOT = 256 << 10, 1 << 20
VIRT_AT = [0x22000000 + VIRT_SLOTS + 2 * VIRT_SECTOR + slot * VIRT_SLOT for slot in range(2)]
HEADER = 512


class Images:
    """The key, the boot loader, and images of one firmware under many versions."""

    def __init__(self, folder: Path, boot: Path, signed: list[Path], key: Path) -> None:
        """signed: files of imgtool, one for each slot or one for both."""
        self.folder, self.boot, self.signed, self.key = folder, boot, signed, key
        data = [file.read_bytes() for file in signed]
        payloads = [d[HEADER : HEADER + int.from_bytes(d[12:16], "little")] for d in data]
        self.fixed = VIRT_AT if len(signed) == 2 else []
        self.payloads = payloads if self.fixed else 2 * payloads

    def image(self, version: str, counter: int = 1, slot: int = 0, key: Path | None = None) -> bytes:
        """Signed by our key, or another."""
        at = ["-F", self.fixed[slot]] if self.fixed else []
        options = ["-v", version, "-s", counter, "-k", key or self.key, *at]
        return sign(self.folder / "image", self.payloads[slot], *options, header=HEADER).read_bytes()


def imgtool(*args: object) -> None:
    """The real one."""
    subprocess.run(
        [sys.executable, "-m", "imgtool.main", *map(str, args)], check=True, stdout=subprocess.DEVNULL, timeout=60
    )


def public_key(pem: Path) -> bytes:
    """The 32 bytes of the public key of a private one."""
    der = pem.with_suffix(".der")
    imgtool("getpub", "-k", pem, "-e", "raw", "-o", der)
    return der.read_bytes()[-32:]


def sign(out: Path, payload: bytes, *options: object, header: int = 32) -> Path:
    """An image of a payload."""
    raw = out.with_suffix(".raw")
    raw.write_bytes(payload)
    imgtool("sign", "--align", 8, "-H", header, "--pad-header", "-S", 1 << 20, "-v", "1.2.3+4", *options, raw, out)
    return out


def slots_with(path: Path, first: bytes, at: int = HOST_SLOTS, sector: int = 65536, size: int = 17 << 20) -> Path:
    """A flash file with an image in slot 0."""
    erased_flash(path, size)
    with path.open("r+b") as file:
        file.seek(at + 2 * sector)
        file.write(first)
    return path


def start(images: Images, flash: Path, *more: str) -> Board:
    """The boot loader, and behind it the firmware."""
    return Board([str(images.boot), "--fd", "{fd}", "--flash", str(flash), "--buf", "65535", *more])


def firmware_of(board: Board, answer: dict[str, Any] | None = None) -> list[dict[str, Any]]:
    """The images of firmware in the state."""
    answer = answer or board.ask(READ, IMAGE, 0)
    assert answer is not None and "rc" not in answer, answer
    return [image for image in answer["images"] if image["image"] == 0]


def version(board: Board) -> str:
    """Of the firmware that runs."""
    (active,) = [image for image in firmware_of(board) if image["active"]]
    return str(active["version"])


def ask_for(board: Board, image: bytes, confirm: bool = False, chunk: int = 32000) -> dict[str, Any] | None:
    """Uploads it, and has it started at the next boot."""
    uploaded = board.upload(IMAGE, image, chunk=chunk)
    if uploaded is None or "rc" in uploaded:
        return uploaded
    assert uploaded == {"off": len(image), "match": True}
    (waiting,) = [i for i in firmware_of(board) if not i["active"]]
    return board.ask(WRITE, IMAGE, 0, {"hash": waiting["hash"], "confirm": confirm})


def reset(board: Board) -> None:
    assert board.ask(WRITE, OS, 5) == {}
