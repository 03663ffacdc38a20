"""The host port with its pins and its sound input wired up, and a board that plays sound to it.

Written from the description of MLPerf Tiny's interface board: it passes commands on to the device, plays sound at its
own clock, and takes the times of edges on the device's pins.
"""

from __future__ import annotations

import os
import select
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import numpy.typing as npt

import pyedge as pe
from pyedge.boards import load_profile
from pyedge.host.build import firmware as build_firmware
from pyedge.host.link import GROUP_PYEDGE, Link
from pyedge.host.stream import PtyStream, Stream

CHUNK, RATE = 512, 16000  # samples of a frame of the device, and of a second


class Pins:
    """Edges on the device's pins: nanoseconds of time.monotonic_ns(), name, level."""

    def __init__(self, path: Path) -> None:
        os.mkfifo(path)
        self._fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
        self._rest = b""

    def edges(self, until: str = "") -> list[tuple[int, str, int]]:
        """Those that have come since the last call; until: waits for a line that ends so, as "busy 0"."""
        found: list[tuple[int, str, int]] = []
        end = time.monotonic() + 60
        while True:
            if select.select([self._fd], [], [], 1.0 if until else 0.0)[0]:
                self._rest += os.read(self._fd, 65536)
            *lines, self._rest = self._rest.split(b"\n")
            for ns, name, level in (line.decode().split() for line in lines):
                found.append((int(ns), name, int(level)))
            if not until or any(f"{name} {level}" == until for _, name, level in found):
                return found
            assert time.monotonic() < end, f"no edge {until!r}"

    def close(self) -> None:
        """The device's writes fail from here on."""
        os.close(self._fd)


@contextmanager
def wired(
    folder: Path, plan: pe.Plan, image: Path | None = None, audio: Path | None = None
) -> Iterator[tuple[Stream, Pins, Path]]:
    """The host port with the plan in RAM: its line, its pins, and its sound input, by default a pipe."""
    folder.mkdir(exist_ok=True)
    pins = Pins(folder / "pins")
    if audio is None:
        audio = folder / "audio"
        os.mkfifo(audio)
    profile = load_profile("host")
    ours, theirs = socket.socketpair()
    program = image or build_firmware(profile, profile.image())
    command = [program, "--fd", str(theirs.fileno()), "--pins", folder / "pins", "--audio", audio]
    with subprocess.Popen(command, pass_fds=(theirs.fileno(),), stdin=subprocess.DEVNULL):
        theirs.close()
        stream = PtyStream(ours.detach(), "host")
        try:
            link = Link(stream)
            link.buf_bytes = 4096
            link.upload(GROUP_PYEDGE, 1, bytes(plan.data))
            pins.edges()
            yield stream, pins, audio
        finally:
            stream.close()  # which ends the process
            pins.close()


class InterfaceBoard:
    """Answers commands, without %: lines, the last one m-ready.

    Its clock goes by the samples that it has sent, and it sends a frame when the device has computed the one before:
    what it measures depends on no load. In real time it sends 16,000 samples a second and takes the time of each edge.
    """

    def __init__(
        self, dut: Stream, pins: Pins, audio: Path, sounds: dict[str, npt.NDArray[np.int16]], real_time: bool = False
    ) -> None:
        self._dut, self._pins, self._sounds, self._real_time = dut, pins, sounds, real_time
        self._audio = os.open(audio, os.O_WRONLY)
        self._rest = b""
        self._zero = time.monotonic_ns()
        self._sent = 0
        self._edges: list[tuple[float, str, int]] = []  # seconds since record_detections

    def ask(self, command: str) -> list[str]:
        """What the host gets."""
        word, _, rest = command.partition(" ")
        if word == "dut":
            return [f"m-dut-passthrough({rest})", "m-ready", *self._pass_on(rest)]
        lines = {
            "name": self._name,
            "ls": lambda: list(self._sounds),
            "play": lambda: self._play(rest),
            "record_detections": self._record,
            "print_detections": self._detections,
            "print_dutycycle": self._duty_cycle,
        }[word]()
        return [*lines, "m-ready"]

    def close(self) -> None:
        """Unplugs the sound."""
        os.close(self._audio)

    def _name(self) -> list[str]:
        return ["tinyML Enhanced Interface Board"]

    def _pass_on(self, command: str) -> list[str]:
        self._dut.write(command.encode() + b"%")
        lines: list[str] = []
        while lines[-1:] != ["[dut]: m-ready"]:
            while b"\r\n" not in self._rest:
                self._rest += self._dut.read()
            line, self._rest = self._rest.split(b"\r\n", 1)
            lines.append("[dut]: " + line.decode())
        return lines

    def _record(self) -> list[str]:
        self._pins.edges()
        self._edges, self._zero, self._sent = [], time.monotonic_ns(), 0
        return ["Now recording detections"]

    def _play(self, name: str) -> list[str]:
        samples = self._sounds[name].astype("<i2")
        start = time.monotonic_ns()
        for at in range(0, len(samples), CHUNK):
            part = samples[at : at + CHUNK]
            if self._real_time:
                time.sleep(max(0.0, (start - time.monotonic_ns()) / 1e9 + (at + len(part)) / RATE))
            os.write(self._audio, part.tobytes())
            self._sent += len(part)
            self._take_edges("busy 0" if len(part) == CHUNK and not self._real_time else "")
        return [f"Playing {name}"]

    def _take_edges(self, until: str = "") -> None:
        for ns, pin, level in self._pins.edges(until):
            now = (ns - self._zero) / 1e9 if self._real_time else self._sent / RATE
            self._edges.append((now, pin, level))

    def _detections(self) -> list[str]:
        self._take_edges()
        times = [int(s * 1000) for s, pin, level in self._edges if (pin, level) == ("heard", 0)]
        return ["Detection Timestamps (ms)", *(f"{t}," for t in times)]

    def _duty_cycle(self) -> list[str]:
        starts, stops = ([int(s * 1e5) for s, pin, up in self._edges if (pin, up) == ("busy", u)] for u in (1, 0))
        return ["Duty cycle start times (s)", *(f"{t}," for t in starts), "Duty cycle stop times (s)",
                *(f"{t}," for t in stops)]  # fmt: skip
