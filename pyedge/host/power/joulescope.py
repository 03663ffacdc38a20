"""Joulescope JS110 and JS220, by their maker's package `joulescope` (the extra `pyedge[joulescope]`)."""

from __future__ import annotations

import threading
import time
from typing import Any

import numpy as np

from ...errors import BoardNotFoundError, LinkError, MissingToolError
from .trace import Floats, Trace

RATE_HZ = 10_000
_SYNC_S = 2e-3  # how late the least late block may be: a millisecond of USB and one of ours
_POLL_S = 1e-3
_QUIET_S = 1.0  # a record without a sample for so long: it has been unplugged
_LATE_S = 0.5  # how long the end of a record is waited for


class Joulescope:
    """An instrument in the supply of the board, which streams its current and voltage."""

    name = "joulescope"
    period_s = 1 / RATE_HZ

    def __init__(self, serial: str | None = None) -> None:
        """Opens it. serial: a part of its name, as JS220-000415, where there are several.

        Raises:
            MissingToolError: The package is not installed.
            BoardNotFoundError: There is none, or there are several; names them.
            LinkError: It does not open: in use, or no right to its USB device.
        """
        try:
            import joulescope
        except ImportError:
            raise MissingToolError(
                "joulescope: its package is not installed; try: pip install 'pyedge[joulescope]'"
            ) from None
        devices = [d for d in joulescope.scan() if serial is None or serial.lower() in str(d).lower()]
        if len(devices) != 1:
            found = ", ".join(str(d) for d in devices or joulescope.scan()) or "none"
            raise BoardNotFoundError(f"joulescope: one is needed, found: {found}; try: --meter-port SERIAL")
        self._device: Any = devices[0]
        try:
            self._device.open()
            self._device.parameter_set("sampling_frequency", RATE_HZ)
        except Exception as e:  # whatever the driver below raises
            raise LinkError(f"{self._device}: does not open: {e}; is it in use, are its udev rules installed?") from e
        self.covers = f"what flows through {self._device}"

    def close(self) -> None:
        self._device.close()

    def start(self) -> None:
        self._blocks: list[tuple[float, int, Floats]] = []  # time of arrival, number of the first sample, watts
        self._failure: Exception | None = None
        self._ended = threading.Event()
        self._device.start()
        self._thread = threading.Thread(target=self._receive, daemon=True)
        self._thread.start()

    def _receive(self) -> None:
        buffer, next_id, last = self._device.stream_buffer, None, time.monotonic()
        try:
            while not self._ended.wait(_POLL_S):
                first, end = buffer.sample_id_range
                if first is None or end == (first if next_id is None else next_id):
                    if time.monotonic() > last + _QUIET_S:
                        raise LinkError(f"{self._device}: sends no samples; unplug it and try again")
                    continue
                first = first if next_id is None else max(first, next_id)
                signals = buffer.samples_get(first, end, fields=["current", "voltage"])["signals"]
                last, next_id = time.monotonic(), end
                watts = np.float64(signals["current"]["value"]) * np.float64(signals["voltage"]["value"])
                self._blocks.append((last, first, watts))
        except Exception as e:  # the driver's own, too: told by stop()
            self._failure = e

    def stop(self) -> Trace:
        until, deadline = time.monotonic() + _SYNC_S, time.monotonic() + _LATE_S
        while self._failure is None and time.monotonic() < deadline:
            if self._blocks and self._begin() + self._taken() * self.period_s > until:
                break
            time.sleep(_POLL_S)
        self._ended.set()
        self._thread.join()
        self._device.stop()
        if isinstance(self._failure, LinkError):
            raise self._failure
        if self._failure is not None:
            raise LinkError(f"{self._device}: {self._failure}") from self._failure
        return self._trace()

    def _taken(self) -> int:
        """Samples from the first to the last that has come."""
        _, first, watts = self._blocks[-1]
        return first + len(watts) - self._blocks[0][1]

    def _begin(self) -> float:
        """When the first sample was taken: samples come late, never early."""
        zero = self._blocks[0][1]
        return min(when - (first + len(watts) - zero) * self.period_s for when, first, watts in list(self._blocks))

    def _trace(self) -> Trace:
        """Samples that the instrument lost are not a number, or have no place in a block; the one before stands in."""
        if not self._blocks:
            raise LinkError(f"{self._device}: sends no samples; unplug it and try again")
        zero, taken = self._blocks[0][1], self._taken()
        watts = np.full(taken, np.nan)
        for _, first, block in self._blocks:
            watts[first - zero : first - zero + len(block)] = block
        good = np.isfinite(watts)
        if not good.any():
            raise LinkError(f"{self._device}: sends no samples; is its sensor powered? unplug it and try again")
        begin = int(np.argmax(good))  # what is missing while it starts is before the record
        watts, good = watts[begin:], good[begin:]
        held = watts[np.maximum.accumulate(np.where(good, np.arange(watts.size), 0))]
        times: Floats = self._begin() + (begin + np.arange(watts.size + 1, dtype=np.float64)) * self.period_s
        lost = np.append(0.0, np.cumsum(~good))
        joules = np.append(0.0, np.cumsum(held * self.period_s))
        return Trace(times, joules, _SYNC_S, 0.0, lost, np.zeros(lost.size))
