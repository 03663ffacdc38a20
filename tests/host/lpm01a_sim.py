"""An X-NUCLEO-LPM01A on a pty, as far as UM2269 tells: commands, and energy of each millisecond as text."""

from __future__ import annotations

import os
import select
import threading
import time
import tty
from collections.abc import Callable

PROMPT = b"PowerShield > "


def number(value: float) -> bytes:
    """Four digits and a power of ten: 6409-07."""
    digits, _, exponent = f"{value:.3e}".partition("e")
    return f"{digits.replace('.', '')}{int(exponent) - 3:+03d}".encode()


class Lpm01aSim:
    """Serves `path` until it is closed.

    watts(n): of millisecond n; lose(n): its line never leaves; stamps: it tells its time; say: lines beside samples.
    """

    def __init__(
        self,
        watts: Callable[[int], float] = lambda n: 0.060 if n % 100 < 20 else 0.010,
        lose: Callable[[int], bool] = lambda n: False,
        stamps: bool = True,
        say: dict[int, bytes] | None = None,
    ) -> None:
        self._ours, self._theirs = os.openpty()
        tty.setraw(self._ours)
        self.path = os.ttyname(self._theirs)
        self.watts, self.lose, self.stamps, self.say = watts, lose, stamps, say or {}
        self.commands: list[str] = []
        self.lost = self.sent = 0
        self._started: float | None = None
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def __enter__(self) -> Lpm01aSim:
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()
        os.close(self._ours)
        os.close(self._theirs)

    def _command(self, line: str) -> bytes:
        self.commands.append(line)
        word, _, value = line.partition(" ")
        if word == "volt" and not 1800 <= int(value.removesuffix("m")) <= 3300:
            return b"error " + line.encode() + b"\r\nError detail: voltage out of range\r\n" + PROMPT
        if word == "start":
            self._started, self.sent, self.lost = time.monotonic(), 0, 0
        if word == "stop":
            self._started = None
            return b"ack stop\r\n\r\nsummary beg\r\nsummary end\r\nAcquisition completed\r\n" + PROMPT
        return b"ack " + line.encode() + b"\r\n" + PROMPT

    def _samples(self) -> bytes:
        """Lines of the milliseconds that have passed."""
        out = b""
        while self._started is not None and self.sent < int((time.monotonic() - self._started) * 1000):
            n, self.sent = self.sent, self.sent + 1
            if self.stamps and n % 100 == 0:
                out += f"TimeStamp: {n // 1000:04d}s {n % 1000:03d}ms, buff 00%\r\n".encode()
            out += self.say.get(n, b"")
            if self.lose(n):
                self.lost += 1
            else:
                out += number(1e-3 * self.watts(n)) + b"\r\n"
        return out

    def _serve(self) -> None:
        buffer = b""
        while not self._stop.is_set():
            if select.select([self._ours], [], [], 0.001)[0]:
                buffer += os.read(self._ours, 4096)
            *lines, buffer = buffer.split(b"\n")
            for line in lines:
                if text := line.decode().strip():
                    os.write(self._ours, self._command(text))
            if data := self._samples():
                os.write(self._ours, data)
