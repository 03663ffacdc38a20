"""Frames and SMP headers, as bytes: docs/link.md, "Frame".

COBS after Cheshire and Baker 1999; SMP after Zephyr's mcumgr.
"""

from __future__ import annotations

import binascii
from typing import NamedTuple

from ..errors import LinkError

READ, READ_RESPONSE, WRITE, WRITE_RESPONSE = range(4)
HEADER_BYTES = 8
OVERHEAD_BYTES = HEADER_BYTES + 2  # header and CRC
_VERSION = 1 << 3  # SMP version 2, as bits 3..4 of the first byte


class Message(NamedTuple):
    """One SMP message. body: CBOR, not decoded."""

    op: int
    group: int
    seq: int
    id: int
    body: bytes


def cobs_encode(data: bytes) -> bytes:
    """data without zero bytes: at most one byte more for each 254 begun."""
    out = bytearray()
    blocks = data.split(b"\0")
    for i, block in enumerate(blocks):
        last = i == len(blocks) - 1
        while len(block) > 254 or (len(block) == 254 and not last):  # a full group stands for no zero
            out.append(255)
            out += block[:254]
            block = block[254:]
        out.append(len(block) + 1)
        out += block
    return bytes(out)


def cobs_decode(data: bytes) -> bytes:
    """The inverse; LinkError if data is not COBS."""
    out = bytearray()
    at = 0
    while at < len(data):
        code = data[at]
        if code == 0 or at + code > len(data):
            raise LinkError(f"bad COBS: group of {code - 1} bytes at {at} of {len(data)}")
        out += data[at + 1 : at + code]
        at += code
        if code < 255 and at < len(data):
            out.append(0)
    return bytes(out)


def pack(message: Message) -> bytes:
    """The bytes on the wire, with the closing zero."""
    if not 0 <= len(message.body) <= 0xFFFF:
        raise LinkError(f"a message body of {len(message.body)} bytes does not fit into SMP's 16-bit length")
    head = bytes([message.op | _VERSION, 0]) + len(message.body).to_bytes(2, "big") + message.group.to_bytes(2, "big")
    raw = head + bytes([message.seq, message.id]) + message.body
    return cobs_encode(raw + binascii.crc_hqx(raw, 0).to_bytes(2, "big")) + b"\0"


def unpack(frame: bytes) -> Message:
    """The message in a frame, the closing zero taken off. LinkError if COBS, CRC or length is wrong."""
    raw = cobs_decode(frame)
    if len(raw) < OVERHEAD_BYTES:
        raise LinkError(f"a frame of {len(raw)} bytes is too short")
    if binascii.crc_hqx(raw, 0):  # over data and its CRC the remainder is 0
        raise LinkError(f"bad CRC in a frame of {len(raw)} bytes")
    length = int.from_bytes(raw[2:4], "big")
    if length != len(raw) - OVERHEAD_BYTES:
        raise LinkError(f"a header says {length} bytes, the frame has {len(raw) - OVERHEAD_BYTES}")
    return Message(raw[0] & 7, int.from_bytes(raw[4:6], "big"), raw[6], raw[7], raw[HEADER_BYTES:-2])
