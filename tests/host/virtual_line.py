"""A serial line in virtual time between a link and the host port of the firmware, with seeded faults both ways."""

from __future__ import annotations

import os
import socket
import struct
import subprocess
from collections import deque
from pathlib import Path

from pyedge.host import timing

from .proxy import Faults


class VirtualLine:
    """A stream for pyedge.host.link.Link, whose clock is `clock`: hours of stalls and repeats pass at once.

    Bytes take their time at `baud`, the board takes none. What is written at once is one chunk of the faults.
    """

    name = "virtual line"

    def __init__(self, firmware: Path, flash: Path, to_board: Faults, from_board: Faults, baud: int = 115200) -> None:
        self._command = [str(firmware), "--flash", str(flash)]
        self.to_board, self.from_board, self.baud = to_board, from_board, baud
        self.now = 0.0
        self.sent = 0  # bytes that the client sent
        self.resets = 0
        self._cut_in: int | None = None  # bytes until the board loses its power
        self._due: deque[tuple[float, bytes]] = deque()  # when it comes to the client, in ascending order
        self._down_free = self._up_free = 0.0  # the line is busy until then
        self._start()

    def clock(self) -> float:
        """Virtual seconds."""
        return self.now

    def read(self) -> bytes:
        until = self.now + timing.POLL_S
        if self._due and self._due[0][0] <= until:
            at, data = self._due.popleft()
            self.now = max(self.now, at)
            return data
        self.now = until
        return b""

    def write(self, data: bytes) -> None:
        self.sent += len(data)
        at = max(self.now, self._down_free) + len(data) * 10 / self.baud + self.to_board.stall_s()
        self._down_free = at
        data = self.to_board.apply(data)
        if self._cut_in is not None and self._cut_in < len(data):
            self._feed(data[: self._cut_in], at)
            self._power_cycle()
        else:
            self._cut_in = None if self._cut_in is None else self._cut_in - len(data)
            self._feed(data, at)

    def close(self) -> None:
        """Ends the board."""
        self._link.close()
        self._process.wait(timing.STOP_S)
        os.close(self._idle)

    def cut_power_in(self, sent_bytes: int) -> None:
        """The board loses its power when so many more bytes have come to it; the rest of that chunk is lost."""
        self._cut_in = sent_bytes

    @property
    def cut_pending(self) -> bool:
        """A cut has been asked for and not been yet."""
        return self._cut_in is not None

    def _start(self) -> None:
        self._link, theirs = socket.socketpair()
        self._idle, idle = os.pipe()
        descriptors = (theirs.fileno(), idle)
        args = [*self._command, "--fd", str(descriptors[0]), "--idle", str(idle)]
        self._process = subprocess.Popen(args, pass_fds=descriptors, stdin=subprocess.DEVNULL)
        theirs.close()
        os.close(idle)
        self._given = 0
        self._answers()

    def _power_cycle(self) -> None:
        self._process.kill()
        self.close()
        self._due.clear()
        self._cut_in = None
        self.resets += 1
        self._start()

    def _feed(self, data: bytes, at: float) -> None:
        """Gives the board bytes at that time; its answer comes when the line has carried it."""
        self._link.sendall(data)
        self._given += len(data)
        if out := self._answers() if data else b"":
            self._up_free = max(at, self._up_free) + len(out) * 10 / self.baud + self.from_board.stall_s()
            self._due.append((self._up_free, self.from_board.apply(out)))

    def _answers(self) -> bytes:
        """What the board sends until it has taken all bytes and waits for more."""
        while True:
            said = os.read(self._idle, 8)
            if len(said) < 8:
                raise AssertionError(f"the firmware ended with exit code {self._process.wait(timing.STOP_S)}")
            if struct.unpack("<Q", said)[0] == self._given:
                break
        out = b""
        while True:
            try:
                out += self._link.recv(65536, socket.MSG_DONTWAIT)
            except BlockingIOError:
                return out
