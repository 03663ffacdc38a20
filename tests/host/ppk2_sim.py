"""A Power Profiler Kit II on a pty, enough for Nordic's protocol; current and inputs are functions of the sample."""

from __future__ import annotations

import os
import select
import threading
import time
import tty
from collections.abc import Callable

import numpy as np

RATE = 100_000
RESISTORS = np.array([1004.23, 102.25, 10.408, 0.977, 0.0441])  # no client's defaults, so that lost metadata shows
STEP = 4 * 1.8 / 163840  # volts
TOP = np.array([40e-6, 400e-6, 4e-3, 40e-3])  # amperes, above which the next range is taken
SIZES = {0x01: 1, 0x08: 1, 0x0C: 2, 0x0D: 3, 0x11: 2, 0x12: 2, 0x25: 9}
KEYS = {"R": RESISTORS, "GS": (1,) * 5, "GI": (1,) * 5, "O": (0,) * 5, "S": (0,) * 5, "I": (0,) * 5, "UG": (1,) * 5}

Load = Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]]  # numbers of samples -> amperes, digital inputs


def metadata(without: str = "") -> bytes:
    """What the kit answers of itself."""
    rows = ["Calibrated: 0", "VDD: 3000", "HW: 9173", "mode: 2", "IA: 56"]
    rows += [f"{key}{i}: {v:.6f}" for key, values in KEYS.items() for i, v in enumerate(values)]
    return ("\n".join(row for row in rows if not without or not row.startswith(without)) + "\nEND").encode()


def encode(amps: np.ndarray, numbers: np.ndarray, bits: np.ndarray) -> np.ndarray:
    """Words of samples: the kit's formula I = x (x + 1), x = ADC STEP / R, turned round."""
    ranges = np.searchsorted(TOP, amps, side="right").astype(np.uint32)
    x = (-1 + np.sqrt(1 + 4 * np.maximum(amps, 0))) / 2
    adc = np.minimum(16383, np.rint(x * RESISTORS[ranges] / STEP)).astype(np.uint32)
    return adc | ranges << 14 | (numbers & 63).astype(np.uint32) << 18 | bits.astype(np.uint32) << 24


def pulses(numbers: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """5 mA, and 25 mA for 20 ms out of each 100 ms, marked on input 0."""
    on = numbers % 10_000 < 2_000
    return np.where(on, 25e-3, 5e-3), on.astype(np.uint8)


class Ppk2Sim:
    """Serves `path` until it is closed. lose(numbers) says which samples never leave it."""

    def __init__(
        self,
        load: Load = pulses,
        lose: Callable[[np.ndarray], np.ndarray] | None = None,
        split_metadata: bool = False,
        without: str = "",
    ) -> None:
        self._ours, self._theirs = os.openpty()
        tty.setraw(self._ours)
        self.path = os.ttyname(self._theirs)
        self.load, self.lose = load, lose
        self.lost = self.sampled = 0
        self.millivolts = self.mode = 0
        self.powered = False
        self._split, self._without = split_metadata, without
        self.started: float | None = None
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def __enter__(self) -> Ppk2Sim:
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()
        os.close(self._ours)
        os.close(self._theirs)

    def _write(self, data: bytes) -> None:
        view = memoryview(data)
        while view and not self._stop.is_set():
            if select.select([], [self._ours], [], 0.05)[1]:
                view = view[os.write(self._ours, view[:1024]) :]

    def _command(self, buffer: bytearray) -> bool:
        op = buffer[0]
        size = SIZES.get(op, 1)
        if len(buffer) < size:
            return False
        arguments = bytes(buffer[1:size])
        del buffer[:size]
        if op == 0x19:
            data = metadata(self._without)
            half = 200 if self._split else len(data)
            self._write(data[:half])
            time.sleep(0.15 if self._split else 0)
            self._write(data[half:])
        elif op == 0x06:
            self.started, self.sampled, self.lost = time.monotonic(), 0, 0
        elif op == 0x07:
            self.started = None
        elif op == 0x0C:
            self.powered = bool(arguments[0])
        elif op == 0x0D:
            self.millivolts = int.from_bytes(arguments, "big")
        elif op == 0x11:
            self.mode = arguments[0]
        return True

    def _serve(self) -> None:
        buffer = bytearray()
        while not self._stop.is_set():
            if select.select([self._ours], [], [], 0.001)[0]:
                buffer += os.read(self._ours, 4096)
            while buffer and self._command(buffer):
                pass
            if self.started is None:
                continue
            due = int((time.monotonic() - self.started) * RATE) - self.sampled
            if due <= 0:
                continue
            numbers = np.arange(self.sampled, self.sampled + due)
            self.sampled += due
            amps, bits = self.load(numbers)
            words = encode(amps if self.powered else np.zeros(due), numbers, bits)
            if self.lose is not None:
                gone = self.lose(numbers)
                self.lost += int(gone.sum())
                words = words[~gone]
            self._write(words.astype("<u4").tobytes())
