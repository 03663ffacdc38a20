"""Firmware files as flashers want them: what an ELF file loads, as one piece or as UF2."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from pathlib import Path

from ..errors import ToolError

# Of https://github.com/microsoft/uf2, utils/uf2families.json: a boot ROM takes blocks of its own families only.
UF2_FAMILIES = {"rp2040": 0xE48BFF56, "rp2350-arm-s": 0xE48BFF59, "rp2350-riscv": 0xE48BFF5A}
_UF2_MAGIC = 0x0A324655, 0x9E5D5157, 0x0AB16F30
_UF2_FAMILY = 0x2000  # flag: the family id is there
_UF2_PAGE = 256
_LARGEST = 64 << 20  # bytes of an image in one piece: more is a segment at a wrong address


@dataclass(frozen=True)
class Segment:
    """Bytes and the address where they are stored."""

    address: int
    data: bytes


def is_elf(path: Path) -> bool:
    """By its first bytes, not by its name."""
    with path.open("rb") as f:
        return f.read(4) == b"\x7fELF"


def elf_segments(path: Path) -> list[Segment]:
    """What an ELF file stores, by physical address, in ascending order. Raises ToolError if it is damaged."""
    elf = path.read_bytes()
    found = []
    try:
        if elf[:4] != b"\x7fELF" or elf[4] not in (1, 2) or elf[5] != 1:
            raise ToolError(f"{path}: not a little-endian ELF file")
        wide = elf[4] == 2
        (table,) = struct.unpack_from("<Q" if wide else "<I", elf, 32 if wide else 28)
        size, count = struct.unpack_from("<HH", elf, 54 if wide else 42)
        for i in range(count):
            head = struct.unpack_from("<IIQQQQ" if wide else "<IIIIII", elf, table + i * size)
            kind, at, physical, length = head[0], head[2 if wide else 1], head[4 if wide else 3], head[5 if wide else 4]
            if kind == 1 and length:  # PT_LOAD, with bytes in the file
                if at + length > len(elf):
                    raise ToolError(f"{path}: a damaged ELF file: segment {i} ends behind the file")
                found.append(Segment(physical, elf[at : at + length]))
    except (struct.error, IndexError) as e:
        raise ToolError(f"{path}: a damaged ELF file: {e}") from e
    if not found:
        raise ToolError(f"{path}: an ELF file that loads nothing; link it first")
    return sorted(found, key=lambda s: s.address)


def flat(segments: list[Segment]) -> Segment:
    """All of them as one piece; what lies between is as erased flash, FF.

    Raises:
        ToolError: They overlap, or lie too far apart for one memory.
    """
    start, end = segments[0].address, max(s.address + len(s.data) for s in segments)
    if end - start > _LARGEST:
        raise ToolError(
            f"an image from {start:#x} to {end:#x}: not in one flash; link its data with a load address there"
        )
    out = bytearray(b"\xff" * (end - start))
    filled = start
    for s in sorted(segments, key=lambda s: s.address):
        if s.address < filled:
            raise ToolError(f"an image with two segments at {s.address:#x}")
        out[s.address - start : s.address - start + len(s.data)] = s.data
        filled = s.address + len(s.data)
    return Segment(start, bytes(out))


def uf2(segments: list[Segment], family: int) -> bytes:
    """A UF2 file (github.com/microsoft/uf2): blocks of 512 bytes, each with one page of 256 at a multiple of 256.

    Pages that nothing is stored in are left out; the boot ROM erases a sector before its first page.

    Raises:
        ToolError: As flat.
    """
    image = flat(segments)
    start = image.address - image.address % _UF2_PAGE
    padded = b"\xff" * (image.address - start) + image.data
    padded += b"\xff" * (-len(padded) % _UF2_PAGE)
    ends = [(s.address, s.address + len(s.data)) for s in segments]
    pages = [
        at for at in range(start, start + len(padded), _UF2_PAGE) if any(a < at + _UF2_PAGE and at < b for a, b in ends)
    ]
    blocks = bytearray()
    for number, at in enumerate(pages):
        head = (*_UF2_MAGIC[:2], _UF2_FAMILY, at, _UF2_PAGE, number, len(pages), family)
        data = padded[at - start : at - start + _UF2_PAGE]
        blocks += struct.pack("<8I476sI", *head, data, _UF2_MAGIC[2])
    return bytes(blocks)
