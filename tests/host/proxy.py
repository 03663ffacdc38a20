"""A serial line that goes wrong: a pty before a real emulated board, with seeded faults in both directions."""

from __future__ import annotations

import os
import random
import select
import threading
import time
import tty
from collections import Counter
from dataclasses import dataclass, field

from pyedge.errors import LinkError
from pyedge.host.emulator import Emulator

STALL_S = 1.0  # longer than a link waits before it repeats


@dataclass
class Faults:
    """Rates for one direction: flip and drop for each byte, the others for each chunk that comes at once."""

    flip: float = 0.0  # one random bit is inverted
    drop: float = 0.0  # the byte is lost
    dup: float = 0.0  # delivered twice
    cut: float = 0.0  # the tail is lost
    lose: float = 0.0  # all is lost
    noise: float = 0.0  # random bytes come before it
    stall: float = 0.0  # it comes later, by up to STALL_S, and so does all behind it
    seed: int = 1
    hits: Counter[str] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        self._random = random.Random(self.seed)

    def _hit(self, what: str) -> bool:
        if not (hit := self._random.random() < getattr(self, what)):
            return False
        self.hits[what] += 1
        return hit

    def stall_s(self) -> float:
        """How much later the next chunk comes."""
        return self._random.uniform(0, STALL_S) if self._hit("stall") else 0.0

    def apply(self, data: bytes) -> bytes:
        """What arrives of a chunk."""
        if self._hit("lose"):
            return b""
        if self._hit("cut"):
            data = data[: self._random.randrange(len(data))]
        if self._hit("dup"):
            data += data
        out = bytearray(self._random.randbytes(20) if self._hit("noise") else b"")
        for byte in data:
            if not self._hit("drop"):
                out.append(byte ^ 1 << self._random.randrange(8) if self._hit("flip") else byte)
        return bytes(out)


class Proxy:
    """Carries bytes between `path`, a serial port for the client, and a board that may be restarted meanwhile."""

    def __init__(self, board: Emulator, to_board: Faults | None = None, from_board: Faults | None = None) -> None:
        self.board = board
        self.to_board, self.from_board = to_board or Faults(), from_board or Faults()
        self.sent = 0  # bytes that the client sent
        self._ours, self._theirs = os.openpty()
        tty.setraw(self._ours)
        self.path = os.ttyname(self._theirs)
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=f, daemon=True) for f in (self._down, self._up)]
        for thread in self._threads:
            thread.start()

    def __enter__(self) -> Proxy:
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()
        os.close(self._ours)
        os.close(self._theirs)
        self.board.stop()

    def power_cycle(self) -> None:
        """What is in the board's RAM is lost, and what is on its way."""
        self.board.stop_process()
        self.board.start()

    def _down(self) -> None:
        while not self._stop.is_set():
            if select.select([self._ours], [], [], 0.05)[0]:
                data = os.read(self._ours, 65536)
                self.sent += len(data)
                time.sleep(self.to_board.stall_s())
                try:
                    self.board.stream.write(self.to_board.apply(data))
                except LinkError:
                    time.sleep(0.01)  # it is being restarted

    def _up(self) -> None:
        while not self._stop.is_set():
            try:
                data = self.board.stream.read()
            except LinkError:
                time.sleep(0.01)
                continue
            if data:
                time.sleep(self.from_board.stall_s())
                os.write(self._ours, self.from_board.apply(data))
