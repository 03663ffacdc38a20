"""Firmware over the link, into boards that have slots for it (docs/updating.md)."""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ..errors import ModelError, UnsupportedError, VerificationError
from . import commands, timing
from .board import Board
from .link import GROUP_IMAGE, Progress, RefusedError

_MAGIC = 0x96F3B83D
_HEADER = struct.Struct("<IIHHIIBBHI4x")  # of MCUboot: magic, address, header, protected TLVs, payload, flags, version
_ROM_FIXED = 0x100  # flag: the address counts


@dataclass(frozen=True)
class Update:
    """What runs on the board now, all of it read back."""

    board: str
    version: str
    hash: str  # SHA-256 of the image's header, payload and protected TLVs
    slot: int

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        return asdict(self)


@dataclass(frozen=True)
class SignedImage:
    """A file of imgtool, as far as the host reads it. The board checks it."""

    data: bytes
    address: int | None  # of the slot that it is linked for, None: of any
    version: str
    hash: bytes

    @staticmethod
    def load(path: str | Path) -> SignedImage:
        """Reads a file; ModelError if it is no image."""
        data = Path(path).read_bytes()
        if len(data) < _HEADER.size or int.from_bytes(data[:4], "little") != _MAGIC:
            raise ModelError(f"{path}: not a firmware image of imgtool; try: pyedge sign")
        _, address, header, protected, size, flags, major, minor, revision, build = _HEADER.unpack_from(data)
        end = header + size + protected
        if end > len(data):
            raise ModelError(f"{path}: a firmware image of {end} bytes, cut to {len(data)}; copy it again")
        version = f"{major}.{minor}.{revision}" + (f".{build}" if build else "")
        return SignedImage(data, address if flags & _ROM_FIXED else None, version, hashlib.sha256(data[:end]).digest())


def update(board: Board, files: Sequence[str | Path], progress: Progress | None = None) -> Update:
    """Puts new firmware into the slot that does not run, starts it, reads back that it runs, and confirms it.

    If it does not come up, or something else runs after the reset, nothing is confirmed, and its next reset starts the
    old one again.

    Args:
        files: The image, or one for each slot of a board that executes them in place, in any order.
        progress: Called with bytes done and bytes in all.

    Raises:
        UnsupportedError: The board's firmware has no slots, or none of the files is for the slot that is free.
        VerificationError: The board refused the image (signature, counter, damage), or went back to the old one.
        ModelError, LinkError, BoardError: A file that is no image; as the link and the board report.
    """
    images = [SignedImage.load(file) for file in files]
    running = _running(board)
    image = _for_slot(images, 1 - running["slot"], board.name)
    if image.hash != running["hash"]:
        _start(board, image, progress)
        running = _running(board)
        if running["hash"] != image.hash:
            raise VerificationError(f"{board.name}: {image.version} did not start: {running['version']} runs on")
    if running["confirmed"] is not True:
        board.link.write(GROUP_IMAGE, commands.STATE, {"confirm": True}, work_s=timing.ERASE_S)
        running = _running(board)
    if running["hash"] != image.hash or running["confirmed"] is not True:
        raise VerificationError(f"{board.name}: {image.version} runs, but the board did not confirm it; flash it again")
    return Update(board.name, str(running["version"]), image.hash.hex(), int(running["slot"]))


def _running(board: Board) -> dict[str, Any]:
    """The image of the firmware that runs."""
    for image in board.images():
        if (
            image.get("image") == commands.FIRMWARE_IMAGE
            and image.get("active") is True
            and image.get("slot") in (0, 1)
        ):
            return image
    raise UnsupportedError(f"{board.name}: its firmware has no slots; see docs/updating.md, or: pyedge flash --image")


def _for_slot(images: list[SignedImage], slot: int, board: str) -> SignedImage:
    """The image for any slot, or else of two that one whose address is the slot's: slot 0 is the lower."""
    if len({image.version for image in images}) > 1:
        raise UnsupportedError(f"{board}: images of more than one version: {', '.join(i.version for i in images)}")
    fixed = sorted((image for image in images if image.address is not None), key=lambda image: image.address or 0)
    if len(fixed) == 2:
        return fixed[slot]
    if len(images) == 1:
        return images[0]  # if it is for the other slot, the board says so
    raise UnsupportedError(f"{board}: {len(images)} images; give one, or one for each of the two slots")


def _start(board: Board, image: SignedImage, progress: Progress | None) -> None:
    chunk_s = board.link.buf_bytes / timing.FLASH_BYTES_PER_S
    try:
        board.link.upload(
            GROUP_IMAGE, commands.UPLOAD, image.data, work_s=timing.ERASE_S, chunk_s=chunk_s, progress=progress
        )
    except RefusedError as e:
        if e.rc == commands.RC_CORRUPT:
            raise VerificationError(f"{board.name}: refused {image.version}: {e.answer.get('rsn', 'damaged')}") from e
        raise
    board.link.write(GROUP_IMAGE, commands.STATE, {"hash": image.hash, "confirm": False}, work_s=timing.ERASE_S)
    board.reset()
