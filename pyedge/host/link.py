"""The SMP client: one request in flight, one overall deadline, repeats with the same sequence number (docs/link.md)."""

from __future__ import annotations

import binascii
import hashlib
import logging
import os
import time
from collections.abc import Callable
from typing import Any

from ..errors import BoardError, LinkError, VerificationError
from . import cbor, frame, timing
from .stream import Stream

GROUP_OS, GROUP_IMAGE, GROUP_PYEDGE = 0, 1, 70

_RC = {
    1: "unknown error",
    2: "no memory",
    3: "bad value",
    5: "not found",
    6: "bad state",
    7: "response too long",
    8: "not supported by this firmware",
    9: "corrupt",
    10: "busy",
    11: "access denied",
}
_log = logging.getLogger("pyedge")

Progress = Callable[[int, int], None]  # bytes done, bytes in all


class RefusedError(BoardError):
    """The board answered with an rc other than 0."""

    def __init__(self, text: str, rc: int, answer: dict[str, Any]) -> None:
        super().__init__(text)
        self.rc = rc
        self.answer = answer


class SilenceError(LinkError):
    """No good answer by the deadline."""


class Link:
    """A client on one stream. Not for several threads at once."""

    def __init__(self, stream: Stream, baud: int = 115200, now: Callable[[], float] = time.monotonic) -> None:
        """now: the clock of all deadlines, in seconds."""
        self.stream = stream
        self.baud = baud
        self._now = now
        self.buf_bytes = 256  # until the board says more
        self.retries = 0  # requests sent again, since the beginning
        self._buffer = bytearray()
        self._skipping = False  # inside a frame that is too long
        self._noise = 0  # bytes since the last good frame that belonged to none
        self._noise_since: float | None = None  # when the first of what lies in the buffer came, or of the noise
        self._seq = os.urandom(1)[0]  # answers to an earlier client may still be on their way
        self._fresh = True
        self._behind_s = 0.0  # what the board may still work on: repeats of a request that was answered since

    def close(self) -> None:
        """Closes the stream."""
        self.stream.close()

    # One request.

    def read(self, group: int, id: int, body: dict[str, Any] | None = None, **limits: Any) -> dict[str, Any]:
        """As request, with SMP's op read."""
        return self.request(frame.READ, group, id, body or {}, **limits)

    def write(self, group: int, id: int, body: dict[str, Any] | None = None, **limits: Any) -> dict[str, Any]:
        """As request, with SMP's op write."""
        return self.request(frame.WRITE, group, id, body or {}, **limits)

    def request(
        self,
        op: int,
        group: int,
        id: int,
        body: dict[str, Any],
        *,
        work_s: float = 0.0,
        answer_bytes: int = 64,
        deadline_s: float | None = None,
    ) -> dict[str, Any]:
        """Sends one request and returns the body of its answer.

        Args:
            work_s: How long the board may be busy with it; added to the deadline. A repeat that comes too early costs
                the board's time, and gives a stale answer.
            answer_bytes: How long the answer may be, for its time on the wire.
            deadline_s: Overall deadline, instead of timing.COMMAND_S + work_s + the time on the wire. What the board
                may still need for repeats of the request before is added to either.

        Raises:
            RefusedError: The answer has an rc other than 0.
            SilenceError: No good answer by the deadline.
            LinkError: Nothing but noise for timing.GARBAGE_S; the stream is gone.
        """
        self._seq = (self._seq + 1) & 255
        data = frame.pack(frame.Message(op, group, self._seq, id, cbor.encode(body)))
        if len(data) > self.buf_bytes + 32:
            raise LinkError(f"{self.stream.name}: a request of {len(data)} bytes, the board takes {self.buf_bytes}")
        wire_s = timing.wire_s(len(data) + answer_bytes, self.baud)
        start = self._now()
        deadline = start + (timing.COMMAND_S + work_s + wire_s if deadline_s is None else deadline_s) + self._behind_s
        wait_s, sent = timing.ANSWER_S + wire_s, 0
        self._noise, self._noise_since = 0, None
        while self._now() < deadline:
            # A zero first ends whatever half a frame the board may hold.
            self.stream.write((b"\0" if sent or self._fresh else b"") + data)
            self._fresh = False
            sent += 1
            answer = self._answer(op, group, id, answer_bytes, min(self._now() + wait_s, deadline))
            if answer is not None:
                self._behind_s = min((sent - 1) * (self._now() - start), timing.BEHIND_S)
                return self._result(answer, group, id)
            wait_s = max(wait_s, min(timing.ANSWER_GROWTH * wait_s, timing.ANSWER_MAX_S))
            self.retries += 1
            _log.debug("%s: no answer to group %d id %d, sent %d times", self.stream.name, group, id, sent)
        noise = self._noise + len(self._buffer)
        raise SilenceError(
            f"{self.stream.name}: no answer to group {group} command {id} in {self._now() - start:.1f} s"
            f" ({sent} times sent" + (f"; {noise} bytes came that are no frame at {self.baud} baud)" if noise else ")")
        )

    def _answer(self, op: int, group: int, id: int, answer_bytes: int, until: float) -> dict[str, Any] | None:
        """The body of the next answer to the request that was sent last; others are stale and dropped."""
        while (m := self._message(answer_bytes, until)) is not None:
            if (m.op, m.group, m.seq, m.id) != (op + 1, group, self._seq, id):
                _log.debug("%s: dropped a stale answer %d/%d/%d", self.stream.name, m.group, m.id, m.seq)
                continue
            try:
                body = cbor.decode(m.body) if m.body else {}
            except LinkError as e:
                _log.debug("%s: %s", self.stream.name, e)
                continue
            if isinstance(body, dict):
                return body
        return None

    def _result(self, body: dict[str, Any], group: int, id: int) -> dict[str, Any]:
        err = body.get("err")  # SMP version 2: {"err": {"group": n, "rc": n}}
        rc = body.get("rc", err.get("rc", 0) if isinstance(err, dict) else 0)
        if rc == 0:
            return body
        what = body.get("what")
        text = f"{_RC.get(rc, 'error') if isinstance(rc, int) else 'error'} (rc {rc})" + (f": {what}" if what else "")
        for key, meaning in (("op", "op"), ("t", "tensor")):
            if isinstance(body.get(key), int):
                text += f", {meaning} {body[key]}"
        where = f"{self.stream.name}: the board refused group {group} command {id}"
        raise RefusedError(f"{where}: {text}", rc if isinstance(rc, int) else 1, body)

    # Frames.

    def _message(self, answer_bytes: int, until: float) -> frame.Message | None:
        """The next good frame, or None at that time. LinkError for noise that does not end."""
        came = b""
        while True:
            while (end := self._buffer.find(0)) >= 0:
                raw = bytes(self._buffer[:end])
                del self._buffer[: end + 1]
                skipping, self._skipping = self._skipping, False
                if not raw or skipping:
                    continue
                try:
                    message = frame.unpack(raw)
                except LinkError as e:
                    _log.debug("%s: %s", self.stream.name, e)
                    self._noise += len(raw) + 1
                    continue
                self._noise, self._noise_since = 0, None
                return message
            if len(self._buffer) > 1024 + self.buf_bytes + self.buf_bytes // 254 or self._skipping:  # COBS of the most
                self._skipping = True
                self._noise += len(self._buffer)
                self._buffer.clear()
            if came:
                self._check_noise(answer_bytes, self._now())
            if self._now() >= until:
                return None
            came = self.stream.read()
            self._buffer += came

    def _check_noise(self, answer_bytes: int, now: float) -> None:
        """LinkError if bytes have come for too long that are no frame, or one longer than any answer expected now."""
        if self._noise_since is None:
            self._noise_since = now
        noise = self._noise + max(0, len(self._buffer) - answer_bytes)
        if noise >= timing.garbage_bytes(self.baud) and now - self._noise_since >= timing.GARBAGE_S:
            raise LinkError(
                f"{self.stream.name}: {noise} bytes in {now - self._noise_since:.1f} s and no frame among them;"
                f" another baud rate than {self.baud}, or other firmware"
            )

    # Uploads.

    def upload(
        self,
        group: int,
        id: int,
        data: bytes,
        *,
        work_s: float = 0.0,
        chunk_s: float = 0.0,
        progress: Progress | None = None,
    ) -> None:
        """Writes data by chunks from offset 0; the board says where it stands and gets what it has not.

        A lost answer, a reset of the board or an upload that was broken off before cost no more than the bytes lost.
        Chunks are as long as the line bears: shorter after a repeat, longer after many answers at once.

        Args:
            work_s: What the first chunk may take (hash of what is there, erase), and the last (hash, verify).
            chunk_s: What each of the others may take.

        Raises:
            VerificationError: The SHA-256 was wrong timing.UPLOADS times.
            RefusedError, LinkError: As request; also when the offset does not get on.
        """
        digest = hashlib.sha256(data).digest()
        for _ in range(timing.UPLOADS):
            if self._upload_once(group, id, data, digest, (work_s, chunk_s), progress):
                return
            _log.info("%s: the hash of an upload differed; again", self.stream.name)
        raise VerificationError(f"{self.stream.name}: {timing.UPLOADS} uploads arrived with a wrong SHA-256")

    def _upload_once(
        self, group: int, id: int, data: bytes, digest: bytes, times: tuple[float, float], progress: Progress | None
    ) -> bool:
        at = stalls = restarts = good = 0
        opens, asks, chunk = True, True, timing.CHUNK_BYTES
        while True:
            body: dict[str, Any] = {"off": at, "data": b""}
            if opens:
                body |= {"len": len(data), "sha": digest}
                if at or asks:  # the board was reset, perhaps: has it kept what it had?
                    body["crc"] = binascii.crc32(data[:at])
            room = self.buf_bytes - frame.OVERHEAD_BYTES - len(cbor.encode(body)) - 2  # longer head of "data"
            if room < 1:
                raise LinkError(f"{self.stream.name}: frames of {self.buf_bytes} bytes are too small for an upload")
            end = at + min(room, chunk)
            body["data"] = data[at:end]
            inside = not opens and end < len(data)
            retries = self.retries
            try:
                answer = self.write(group, id, body, work_s=times[inside])
            except SilenceError:
                if chunk == timing.CHUNK_LEAST_BYTES:
                    raise
                chunk = timing.CHUNK_LEAST_BYTES  # the last try: a line that long frames don't come through
                continue
            next_at = answer.get("off")
            if type(next_at) is not int or not 0 <= next_at <= len(data):
                raise LinkError(f"{self.stream.name}: {next_at!r} is no offset of an upload of {len(data)} bytes")
            stalls = stalls + 1 if next_at == at else 0
            restarts += next_at < at
            if stalls > timing.STALLS or restarts > timing.RESTARTS:
                raise LinkError(f"{self.stream.name}: an upload does not get on at {next_at} of {len(data)} bytes")
            may_hold = answer.get("held")
            if opens and asks and type(may_hold) is int and next_at < may_hold <= len(data):
                at, asks = may_hold, False  # firmware that was under way before a reset: is it this one?
                continue
            was_reset = next_at == 0 and at > 0 and not opens
            opens = next_at == 0
            if not was_reset:  # else the same again: it may have been written, and its answer lost
                at = next_at
                good = good + 1 if self.retries == retries else 0
                if not good:
                    chunk = max(chunk // 2, timing.CHUNK_LEAST_BYTES)
                elif good % timing.CHUNK_GOOD == 0:
                    chunk = min(2 * chunk, self.buf_bytes)
            if progress:
                progress(next_at, len(data))
            if next_at == len(data):
                # No "match": the answer to the last chunk was lost. Who calls reads the hash back anyway.
                return answer.get("match", True) is True
