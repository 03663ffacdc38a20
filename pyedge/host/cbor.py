"""The subset of CBOR (RFC 8949) that SMP needs: integers, bytes, text, arrays, maps, booleans, null.

Refused, as a LinkError: indefinite lengths, tags, floats, more than 16 levels, lengths past the end, keys that are no
text or come twice, bytes after the item.
"""

from __future__ import annotations

from typing import Any, NoReturn

from ..errors import LinkError

_MAX_DEPTH = 16
_SIMPLE = {20: False, 21: True, 22: None}


def _head(major: int, n: int) -> bytes:
    if n < 24:
        return bytes([major << 5 | n])
    for info, size in ((24, 1), (25, 2), (26, 4), (27, 8)):
        if n < 1 << (8 * size):
            return bytes([major << 5 | info]) + n.to_bytes(size, "big")
    raise LinkError(f"{n} does not fit into 64 bits")


def encode(value: Any) -> bytes:
    """The shortest encoding of a value; LinkError for a type that the subset doesn't have."""
    if value is None or isinstance(value, bool):
        return bytes([0xE0 | next(k for k, v in _SIMPLE.items() if v is value)])
    if isinstance(value, int):
        return _head(0, value) if value >= 0 else _head(1, -1 - value)
    if isinstance(value, (bytes, bytearray, memoryview)):
        return _head(2, len(value)) + bytes(value)
    if isinstance(value, str):
        text = value.encode()
        return _head(3, len(text)) + text
    if isinstance(value, (list, tuple)):
        return _head(4, len(value)) + b"".join(map(encode, value))
    if isinstance(value, dict):
        return _head(5, len(value)) + b"".join(encode(k) + encode(v) for k, v in value.items())
    raise LinkError(f"CBOR: cannot encode {type(value).__name__}")


class _Reader:
    def __init__(self, data: bytes) -> None:
        self.data = data
        self.at = 0

    def fail(self, what: str) -> NoReturn:
        raise LinkError(f"bad CBOR at {self.at} of {len(self.data)}: {what}")

    def take(self, n: int) -> bytes:
        if n > len(self.data) - self.at:
            self.fail(f"{n} bytes wanted")
        self.at += n
        return self.data[self.at - n : self.at]

    def item(self, depth: int) -> Any:
        if depth > _MAX_DEPTH:
            self.fail("nested too deep")
        first = self.take(1)[0]
        major, info = first >> 5, first & 31
        if major == 7:
            if info not in _SIMPLE:
                self.fail(f"type {first:#x}")
            return _SIMPLE[info]
        if info > 27 or major == 6:
            self.fail(f"type {first:#x}")
        n = info if info < 24 else int.from_bytes(self.take(1 << (info - 24)), "big")
        if major == 0:
            return n
        if major == 1:
            return -1 - n
        if major == 2:
            return self.take(n)
        if major == 3:
            try:
                return self.take(n).decode()
            except UnicodeDecodeError:
                self.fail("text that is not UTF-8")
        if n * (major - 3) > len(self.data) - self.at:  # each item has a byte at least: bounds the loops below
            self.fail(f"{n} items wanted")
        if major == 4:
            return [self.item(depth + 1) for _ in range(n)]
        table: dict[str, Any] = {}
        for _ in range(n):
            key = self.item(depth + 1)
            if not isinstance(key, str) or key in table:
                self.fail(f"key {key!r}")
            table[key] = self.item(depth + 1)
        return table


def decode(data: bytes) -> Any:
    """The one item that data holds; LinkError if it is not that."""
    reader = _Reader(bytes(data))
    value = reader.item(0)
    if reader.at != len(reader.data):
        reader.fail("bytes after the end")
    return value
