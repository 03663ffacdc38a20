"""What is on a board's line, for people: frames decoded, everything else as text. Only listens.

A frame stands between zeros and its CRC fits (docs/link.md); boot messages and prints of the user's own are text.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from ..errors import BoardNotFoundError, LinkError
from . import cbor, frame
from .stream import Stream

_LONGEST = 16384  # bytes without a zero before they are shown as text
_QUIET_S = 0.3  # and text without an end of line is shown after this long
_REOPEN_S = 0.5
_OPS = {frame.READ: "read", frame.READ_RESPONSE: "answer", frame.WRITE: "write", frame.WRITE_RESPONSE: "answer"}


@dataclass(frozen=True)
class Line:
    """One thing that was seen. kind: "text", "frame" or "link" (the port came or went)."""

    kind: str
    text: str
    data: dict[str, Any] | None = None  # of a frame: op, group, id, seq, body


class Decoder:
    """Bytes in any pieces -> lines."""

    def __init__(self) -> None:
        self._held = bytearray()

    def feed(self, data: bytes) -> list[Line]:
        """The lines that are complete now."""
        lines: list[Line] = []
        self._held += data
        while (end := self._held.find(0)) >= 0:
            part = bytes(self._held[:end])
            del self._held[: end + 1]
            lines += self._between_zeros(part)
        if (end := self._held.rfind(b"\n")) >= 0 and _is_text(self._held[: end + 1]):
            lines += _text(bytes(self._held[: end + 1]))
            del self._held[: end + 1]
        return lines + (self.flush() if len(self._held) > _LONGEST else [])

    def flush(self) -> list[Line]:
        """What is left, as text."""
        part = bytes(self._held)
        self._held.clear()
        return _text(part)

    @staticmethod
    def _between_zeros(part: bytes) -> list[Line]:
        """A frame; or text with a frame right behind its last line; or only text."""
        for start in dict.fromkeys((0, part.rfind(b"\n") + 1)):
            try:
                message = frame.unpack(part[start:])
            except LinkError:
                continue
            return [*_text(part[:start]), _frame(message)]
        return _text(part)


def _is_text(data: bytes | bytearray) -> bool:
    return all(32 <= b < 127 or b in b"\t\r\n\x1b" for b in data)


def _text(data: bytes) -> list[Line]:
    """Lines; bytes that are no ASCII text as \\xNN."""
    return [
        Line("text", "".join(chr(b) if 32 <= b < 127 or b == 9 else f"\\x{b:02x}" for b in line))
        for line in data.replace(b"\r\n", b"\n").split(b"\n")
        if line
    ]


def _frame(message: frame.Message) -> Line:
    try:
        body: Any = cbor.decode(message.body)
    except LinkError as error:
        body = f"no CBOR: {error}"
    head = f"{_OPS.get(message.op, f'op {message.op}')} {message.group}/{message.id} seq {message.seq}"
    facts = {"op": message.op, "group": message.group, "id": message.id, "seq": message.seq, "body": body}
    return Line("frame", f"{head} {_short(body)}", facts)


def _short(value: Any) -> str:
    """A body in one line: long byte strings by their length."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{k}: {_short(v)}" for k, v in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(_short, value)) + "]"
    if isinstance(value, bytes):
        return value.hex() if len(value) <= 16 else f"{value[:8].hex()}.. ({len(value)} bytes)"
    return repr(value)


def watch(open_port: Callable[[], Stream], seconds: float | None = None) -> Iterator[Line]:
    """Lines as they come, for ever or for some seconds. A port that goes away is opened again when it is back.

    Raises:
        BoardNotFoundError, PermissionDeniedError, BusyError: The port cannot be opened in the first place.
    """
    end = None if seconds is None else time.monotonic() + seconds
    first = open_port()
    stream: Stream | None = first
    yield Line("link", f"{first.name}: open")
    decoder, heard = Decoder(), time.monotonic()
    try:
        while end is None or time.monotonic() < end:
            if stream is None:
                try:
                    stream = open_port()
                except BoardNotFoundError:
                    time.sleep(_REOPEN_S)
                    continue
                yield Line("link", f"{stream.name}: back")
            try:
                data = stream.read()
            except LinkError as error:
                yield from decoder.flush()
                yield Line("link", f"{error}; waiting for it")
                stream.close()
                stream = None
                continue
            if data:
                heard = time.monotonic()
                yield from decoder.feed(data)
            elif time.monotonic() - heard > _QUIET_S:
                yield from decoder.flush()
        yield from decoder.flush()
    finally:
        if stream is not None:
            stream.close()
