"""The host's side of MLPerf Tiny's text protocol: commands, and lines up to m-ready."""

from __future__ import annotations

import re
import time

from pyedge.host.stream import Stream

CHUNK = 31  # bytes of a db command


class Runner:
    """A client on a stream. It shares nothing with the client of frames."""

    def __init__(self, stream: Stream) -> None:
        self.stream = stream
        self._rest = b""

    def ask(self, command: str, line_s: float = 30.0) -> list[str]:
        """Lines of the answer, without m-ready."""
        self.stream.write(command.encode("ascii") + b"%")
        lines: list[str] = []
        until = time.monotonic() + line_s
        while True:
            while b"\n" not in self._rest:
                assert time.monotonic() < until, f"no line after {lines}"
                self._rest += self.stream.read()
            line, self._rest = self._rest.split(b"\n", 1)
            text = line.replace(b"\0", b"").replace(b"\r", b"").decode("utf-8", "ignore")
            until = time.monotonic() + line_s
            if "m-ready" in text:
                return lines
            lines.append(text)

    def load(self, data: bytes) -> None:
        """Puts an input into the device."""
        assert self.ask(f"db load {len(data)}") == [f"m-[Expecting {len(data)} bytes]"]
        for at in range(0, len(data), CHUNK):
            answer = self.ask(f"db {data[at : at + CHUNK].hex()}")
            assert answer == (["m-load-done"] if at + CHUNK >= len(data) else [])

    def infer(self, runs: int, warmup: int) -> tuple[int, list[float]]:
        """Microseconds between the two timestamps, and the results."""
        lines = self.ask(f"infer {runs} {warmup}")
        assert [re.sub(r"us-\d+|\[.*\]", "", line) for line in lines] == [
            f"m-warmup-start-{warmup}", "m-warmup-done", f"m-infer-start-{runs}", "m-lap-", "m-lap-", "m-infer-done",
            "m-results-",
        ]  # fmt: skip
        start, end = (int(line.removeprefix("m-lap-us-")) for line in lines[3:5])
        values = lines[6].removeprefix("m-results-[").removesuffix("]")
        assert re.fullmatch(r"-?\d+\.\d\d\d(,-?\d+\.\d\d\d)*", values)
        return end - start, [float(v) for v in values.split(",")]


class StreamRunner(Runner):
    """A client of the streaming wakeword, as the one that sends a wave file over the line: it checks each echo."""

    CHUNK = 38  # bytes of a db command, of 80 characters

    def ask(self, command: str, line_s: float = 30.0) -> list[str]:
        """Lines of the answer, without the echo and m-ready."""
        echo, *lines = super().ask(command, line_s)
        assert echo == f"Received command: {command}"
        return lines

    def load(self, data: bytes) -> None:
        """Puts a chunk into the device, which tells how much it has."""
        assert self.ask(f"db load {len(data)}") == [f"m-[Expecting {len(data)} bytes]"]
        for at in range(0, len(data), self.CHUNK):
            part = data[at : at + self.CHUNK]
            end = at + len(part)
            answer = self.ask(f"db {part.hex()}")
            assert answer == (["m-load-done"] if end == len(data) else [f"{end} bytes received"])

    def extract(self, samples: bytes) -> list[list[int]]:
        """A chunk through the device: the features, where the plan gives them, and the activations."""
        self.load(samples)
        lines = self.ask("extract_uart_stream")
        names = ["m-features-", "m-activations-"][-len(lines) :]
        assert [re.sub(r"\[ ?[+-]\d+(,  ?[+-]\d+)*\]$", "", line) for line in lines] == names
        return [[int(v) for v in line.split("[")[1].removesuffix("]").split(",")] for line in lines]
