"""Nordic Power Profiler Kit II: its serial protocol.

A command is an opcode with its arguments. While it measures it sends 100,000 words of 32 bits a second, little-endian:
bits 0..13 ADC, 14..16 range, 18..23 a counter, 24..31 the digital inputs. Source: Nordic's application,
pc-nrfconnect-ppk, src/device.
"""

from __future__ import annotations

import math
import threading
import time
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ...errors import LinkError
from .. import timing
from ..stream import SerialStream
from .trace import Floats, Trace

RATE_HZ = 100_000
RANGES = 5
_START, _STOP, _POWER, _VOLTAGE, _MODE, _METADATA = 0x06, 0x07, 0x0C, 0x0D, 0x11, 0x19
_AMPERE, _SOURCE = 1, 2
_ADC_MAX, _ADC_STEP = (1 << 14) - 1, 4 * 1.8 / 163840  # volts over the range's resistor
_BAUD = 9600  # of no meaning on its USB port
_USB_S = 1e-3  # a frame of USB full speed: no sample arrives sooner
_SLACK_S = 0.02  # what the host may be late by as a record begins or ends, before samples count as lost
_LATE_S = 1.0  # how long the end of a record is waited for
_QUIET_S = 0.1  # without a byte for so long, nothing more is on its way
Integers = npt.NDArray[np.integer[Any]]
_KEYS = ("R", "GS", "GI", "O", "S", "I", "UG")


@dataclass(frozen=True)
class Calibration:
    """What a kit has stored of itself, float64 [5] each, by range: resistors in ohms, gains and offsets."""

    R: Floats
    GS: Floats
    GI: Floats
    O: Floats  # noqa: E741 - the names that the kit gives them
    S: Floats
    I: Floats  # noqa: E741
    UG: Floats

    def amps(self, adc: Integers, range_: Integers, volts: float) -> Floats:
        """Currents of ADC values in a range, integers [n] each, at a supply voltage."""
        r = range_
        x = (adc - self.O[r] / 4) * (_ADC_STEP / self.R[r])
        result: Floats = self.UG[r] * (x * (self.GS[r] * x + self.GI[r]) + self.S[r] * volts + self.I[r])
        return result


def parse_calibration(text: str) -> Calibration:
    """The kit's metadata: lines of "KEY: value". LinkError if a modifier is missing or no number; none is guessed."""
    values: dict[str, float] = {}
    for line in text.splitlines():
        key, colon, value = line.partition(":")
        if colon:
            try:
                values[key.strip()] = float(value)
            except ValueError:
                continue  # a serial number or a version
    wanted = [f"{key}{i}" for key in _KEYS for i in range(RANGES)]
    if bad := [k for k in wanted if not math.isfinite(values.get(k, math.nan)) or (k[0] == "R" and values[k] <= 0)]:
        raise LinkError(f"PPK2: its calibration lacks {', '.join(bad)}; unplug it and try again")
    return Calibration(**{key: np.array([values[f"{key}{i}"] for i in range(RANGES)]) for key in _KEYS})


@dataclass(frozen=True)
class Samples:
    """Decoded words: amperes, digital inputs, samples lost before each, and whether it is at the end of its range."""

    amps: Floats
    bits: npt.NDArray[np.uint8]
    lost: npt.NDArray[np.int64]
    clipped: npt.NDArray[np.bool_]
    ranges: Integers


def decode(words: npt.NDArray[np.uint32], calibration: Calibration, volts: float) -> Samples:
    """Samples from words, uint32 [n].

    The counter has 6 bits: a loss of a multiple of 64 at once is not in `lost`. Ranges above 4 are no ranges; the last
    one is taken for them, and they count as clipped.
    """
    ranges = words >> 14 & 7
    counter = (words >> 18 & 63).astype(np.int64)
    lost = np.zeros(words.size, np.int64)
    lost[1:] = np.diff(counter) - 1 & 63
    adc = words & _ADC_MAX
    clipped = (ranges >= RANGES) | ((ranges == RANGES - 1) & (adc == _ADC_MAX))
    ranges = np.minimum(ranges, RANGES - 1)
    return Samples(calibration.amps(adc, ranges, volts), (words >> 24).astype(np.uint8), lost, clipped, ranges)


class Ppk2:
    """A kit on a serial port. Its record has the digital inputs D0 to D7."""

    name = "ppk2"
    period_s = 1 / RATE_HZ

    def __init__(self, port: str, volts: float, source: bool = True) -> None:
        """Opens it, reads its calibration and, as a source, switches the board's supply on; it stays on.

        Args:
            volts: What it supplies, 0.8 to 5 V; or, as an ampere meter, what flows through it is supplied with.
            source: It supplies the board, instead of only measuring.

        Raises:
            ValueError: The voltage is out of range.
            LinkError: No answer, or one that is no calibration. And what SerialStream raises.
        """
        if not 0.8 <= volts <= 5.0:
            raise ValueError(f"{volts} V: a PPK2 has 0.8 to 5 V")
        self.volts = volts
        self.covers = f"what flows out of the PPK2 at {volts:g} V"
        self._stream = SerialStream(port, _BAUD)
        try:
            self._stream.write(bytes([_STOP]))
            self._drain()
            self.calibration = self._read_calibration()
            millivolts = round(1000 * volts)
            self._stream.write(bytes([_MODE, _SOURCE if source else _AMPERE]))
            self._stream.write(bytes([_VOLTAGE, millivolts >> 8, millivolts & 255]))
            self._stream.write(bytes([_POWER, 1]))
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        self._stream.close()

    def _drain(self) -> None:
        """Passes over what a record that was broken off has left."""
        quiet, deadline = time.monotonic(), time.monotonic() + timing.COMMAND_S
        while time.monotonic() < min(quiet + _QUIET_S, deadline):
            if self._stream.read():
                quiet = time.monotonic()

    def _read_calibration(self) -> Calibration:
        self._stream.write(bytes([_METADATA]))
        data, deadline = bytearray(), time.monotonic() + timing.COMMAND_S
        while b"END" not in data:
            if time.monotonic() > deadline or len(data) > 65536:
                raise LinkError(f"{self._stream.name}: no PPK2 answers here; it has two ports, try the other")
            data += self._stream.read()
        return parse_calibration(data.decode("ascii", "replace").partition("END")[0])

    def start(self) -> None:
        self._chunks: list[tuple[float, bytes]] = []
        self._bytes, self._began = 0, math.inf
        self._failure: LinkError | None = None
        self._ended = threading.Event()
        self._stream.write(bytes([_START]))
        self._thread = threading.Thread(target=self._receive, daemon=True)
        self._thread.start()

    def _receive(self) -> None:
        try:
            while not self._ended.is_set():
                if data := self._stream.read():
                    self._chunks.append((time.monotonic(), data))
                    self._bytes += len(data)
                    # Samples arrive late, never early: the chunk that is least late says when the first was taken.
                    self._began = min(self._began, self._chunks[-1][0] - self._bytes / 4 * self.period_s)
        except LinkError as e:
            self._failure = e

    def stop(self) -> Trace:
        # Samples that were taken until now are still on their way.
        now = time.monotonic() + 2 * _USB_S
        while self._failure is None and time.monotonic() < now + _LATE_S:
            if self._began + self._bytes / 4 * self.period_s >= now:
                break
            time.sleep(_USB_S)
        self._ended.set()
        self._thread.join()
        if self._failure:
            raise self._failure
        self._stream.write(bytes([_STOP]))
        self._drain()
        return self._trace()

    def _trace(self) -> Trace:
        arrived = np.array([t for t, _ in self._chunks])
        ends = np.cumsum([len(d) for _, d in self._chunks]) // 4  # whole samples, after each chunk
        data = b"".join(d for _, d in self._chunks)
        words = np.frombuffer(data[: len(data) // 4 * 4], "<u4").astype(np.uint32)
        if words.size < 2:
            raise LinkError(f"{self._stream.name}: the PPK2 sends no samples; unplug it and try again")
        s = decode(words, self.calibration, self.volts)
        lost = np.cumsum(s.lost)
        index = np.arange(words.size) + lost  # of each sample, those lost counted as well
        sampled = index[np.maximum(ends, 1) - 1] + 1
        edges = np.append(index, index[-1] + 1)
        start = float(np.min(arrived - sampled * self.period_s)) - _USB_S
        joules = np.append(0.0, np.cumsum(self.volts * s.amps * np.diff(edges) * self.period_s))
        unseen = _unseen(arrived, sampled) / edges[-1]  # nobody knows where: spread over all
        coarsest = s.ranges.max()
        step_a = float(_ADC_STEP / self.calibration.R[coarsest] * self.calibration.GI[coarsest])
        return Trace(
            start + edges * self.period_s,
            joules,
            _USB_S,
            self.volts * step_a,
            np.append(lost, lost[-1]) + unseen * edges,
            np.append(0.0, np.cumsum(s.clipped)),
            s.bits,
        )


def _unseen(arrived: Floats, index: npt.NDArray[np.int64]) -> int:
    """Samples lost that the counter cannot show, multiples of 64, from the time that passed.

    Args:
        arrived: float64 [chunks], when each chunk came, seconds.
        index: int64 [chunks], samples up to its end, those that the counter missed included.
    """
    late = arrived - index / RATE_HZ
    third = max(1, late.size // 3)  # the least late of the first and of the last chunks
    missing_s = float(late[-third:].min() - late[:third].min()) - _SLACK_S
    return max(0, int(missing_s * RATE_HZ) // 64 * 64)
