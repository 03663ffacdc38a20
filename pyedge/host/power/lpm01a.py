"""ST's X-NUCLEO-LPM01A, the "PowerShield": its text protocol.

A command is a line, answered by "ack COMMAND" or "error COMMAND" and a line of detail. While it measures it sends a
line for each sample, "6409-07" for 6409e-7, here joules since the sample before, and now and then one with its time.
Source: ST, UM2269, Getting started with PowerShield firmware.
"""

from __future__ import annotations

import re
import threading
import time

import numpy as np

from ...errors import LinkError, MeasurementError
from .. import timing
from ..stream import SerialStream
from .trace import Trace

_BAUD = 3_686_400
_RATE_HZ = 1000
_PROMPT = "PowerShield >"
_SAMPLE = re.compile(r"(\d{4})([+-]\d{2})")
_PART = re.compile(r"[0-9+-]+")  # of a sample's line, damaged
_STAMP = re.compile(r"TimeStamp: *(\d+)s *(\d+)ms")
_USB_S = 1e-3
_SLACK_S = 0.02  # what the host may be late by as a record begins or ends, before samples count as lost
_LATE_S = 1.0  # how long the end of a record is waited for


class Lpm01a:
    """A shield on a serial port, that supplies the board. It integrates the energy of each millisecond itself."""

    name = "lpm01a"
    period_s = 1 / _RATE_HZ

    def __init__(self, port: str, volts: float) -> None:
        """Opens it, takes control, and switches the board's supply on; it stays on.

        Args:
            volts: What it supplies, 1.8 to 3.3 V.

        Raises:
            ValueError: The voltage is out of range.
            LinkError: No answer, or an error of the shield's. And what SerialStream raises.
        """
        if not 1.8 <= volts <= 3.3:
            raise ValueError(f"{volts} V: an LPM01A has 1.8 to 3.3 V")
        self.covers = f"what flows out of the LPM01A at {volts:g} V"
        self._stream = SerialStream(port, _BAUD)
        self._rest = b""
        try:
            self._stream.write(b"\nstop\n")  # what an earlier client has left
            self._drain()
            for command in (
                "htc",
                "output energy",
                "format ascii_dec",
                "freq 1k",
                f"volt {round(1000 * volts)}m",
                "acqtime inf",
                "trigsrc sw",
                "trigdelay 0",
                "pwr on nostatus",
            ):
                self._command(command)
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Gives the control back; the board's supply stays as it is."""
        try:
            self._stream.write(b"hrc\n")
        except LinkError:
            pass
        finally:
            self._stream.close()

    def _drain(self) -> None:
        """Passes over what is on its way, until there is nothing for a while."""
        quiet, deadline = time.monotonic(), time.monotonic() + timing.COMMAND_S
        while time.monotonic() < min(quiet + 2 * timing.POLL_S, deadline):
            if self._stream.read():
                quiet = time.monotonic()
        self._rest = b""

    def _lines(self) -> list[str]:
        """Whole lines that have come."""
        *lines, self._rest = (self._rest + self._stream.read()).split(b"\n")
        return [line.decode("ascii", "replace").replace(_PROMPT, "").strip() for line in lines]

    def _command(self, command: str) -> None:
        self._stream.write(f"{command}\n".encode())
        deadline, failed = time.monotonic() + timing.COMMAND_S, False
        while time.monotonic() < deadline:
            for line in self._lines():
                if line.startswith("ack") and command in line:
                    return
                if failed and line.startswith("Error detail"):
                    raise LinkError(
                        f"{self._stream.name}: the LPM01A refuses {command!r}: {line.partition(':')[2].strip()}"
                    )
                failed = failed or (line.startswith("error") and command in line)
        if failed:
            raise LinkError(f"{self._stream.name}: the LPM01A refuses {command!r}")
        raise LinkError(
            f"{self._stream.name}: no LPM01A answers here, to {command!r}; is it the shield's own USB port?"
        )

    def start(self) -> None:
        self._chunks: list[tuple[float, bytes]] = []
        self._failure: LinkError | None = None
        self._ended = threading.Event()
        self._command("start")
        self._chunks.append((time.monotonic(), self._rest))
        self._rest = b""
        self._thread = threading.Thread(target=self._receive, daemon=True)
        self._thread.start()

    def _receive(self) -> None:
        try:
            while not self._ended.is_set():
                if data := self._stream.read():
                    self._chunks.append((time.monotonic(), data))
        except LinkError as e:
            self._failure = e

    def stop(self) -> Trace:
        time.sleep(2 * self.period_s)  # the sample that is being taken
        self._stream.write(b"stop\n")
        deadline = time.monotonic() + _LATE_S  # what was taken before is still on its way
        while self._failure is None and time.monotonic() < deadline:
            if b"completed" in b"".join(data for _, data in self._chunks[-3:]):
                break
            time.sleep(_USB_S)
        self._ended.set()
        self._thread.join()
        if self._failure:
            raise self._failure
        return record(self._chunks, self._stream.name)


def record(chunks: list[tuple[float, bytes]], name: str) -> Trace:
    """A trace of what has come: times of arrival, and bytes. `name` is for errors.

    Lost samples are those whose line is damaged, those that the shield's own time shows to be missing, and those that
    the host's time does. The sample before stands in for them.

    Raises:
        LinkError: No samples.
        MeasurementError: The shield reports an error.
    """
    joules, steps, lost, arrived, at = [], [], [], [], []
    missing, rest = 0, b""
    stamp: tuple[int, int] | None = None  # milliseconds, and samples until then
    for when, data in chunks:
        *lines, rest = (rest + data).split(b"\n")
        for raw in lines:
            line = raw.decode("ascii", "replace").replace(_PROMPT, "").strip()
            if found := _SAMPLE.fullmatch(line):
                joules.append(int(found[1]) * 10.0 ** int(found[2]))
                steps.append(10.0 ** int(found[2]))
                lost.append(missing)
                missing = 0
            elif found := _STAMP.match(line):
                now, taken = 1000 * int(found[1]) + int(found[2]), len(joules) + sum(lost) + missing
                if stamp is not None:
                    missing += max(0, now - stamp[0] - (taken - stamp[1]) - 1)  # 1: it may come in between
                    taken = len(joules) + sum(lost) + missing
                stamp = now, taken
            elif line.lower().startswith("error"):
                raise MeasurementError(f"{name}: the LPM01A reports {line!r}; is the current over its range?")
            elif _PART.fullmatch(line):
                missing += 1
        arrived.append(when)
        at.append(len(joules) + sum(lost) + missing)
    if len(joules) < 2:
        raise LinkError(f"{name}: the LPM01A sends no samples; is it switched on? try: unplug it, and again")
    gaps = np.array(lost)
    index = np.arange(len(joules)) + np.cumsum(gaps)
    edges = np.append(index, index[-1] + 1)
    late = np.array([t - n / _RATE_HZ for t, n in zip(arrived, at, strict=True) if n])
    third = max(1, late.size // 3)
    unseen = max(0.0, (float(late[-third:].min() - late[:third].min()) - _SLACK_S) * _RATE_HZ)
    each = np.array(joules)
    energy = each + np.append(gaps[1:], 0) * each  # of a sample, and of those lost behind it
    counted = np.append(np.cumsum(gaps), gaps.sum())
    times = float(late.min()) - _USB_S + edges / _RATE_HZ
    return Trace(
        times,
        np.append(0.0, np.cumsum(energy)),
        _USB_S,
        max(steps) * _RATE_HZ,
        counted + unseen * edges / edges[-1],
        np.zeros(edges.size),
    )
