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
