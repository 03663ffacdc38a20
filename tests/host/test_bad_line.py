"""Uploads over a line with every fault at once, and power that fails meanwhile: all arrive, in bounded time."""

from __future__ import annotations

import os
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import pyedge as pe
from pyedge.boards import load_profile
from pyedge.errors import LinkError
from pyedge.host import build, timing
from pyedge.host.board import Board
from pyedge.host.link import Link

from .proxy import Faults
from .virtual_line import VirtualLine

UPLOADS = 1000 if os.environ.get("PYEDGE_TEST_ALL_ROWS") else 50
RATES = {"flip": 1e-4, "lose": 0.02, "dup": 0.02, "cut": 0.02, "stall": 0.02}
RESETS = 3  # of each upload
RUN_S = 10.0  # of a run: in 2 s all five of its repeats may be lost


class TimedLink(Link):
    """Notes by how much a request went past its deadline at most; 0 is not at all."""

    late_s = 0.0

    def request(self, *args: Any, work_s: float = 0.0, answer_bytes: int = 64, **limits: Any) -> dict[str, Any]:
        start, most_s = self._now(), timing.wire_s(self.buf_bytes + answer_bytes, self.baud) + self._behind_s
        deadline_s = limits.get("deadline_s")
        most_s += timing.COMMAND_S + work_s if deadline_s is None else deadline_s
        try:
            return super().request(*args, work_s=work_s, answer_bytes=answer_bytes, **limits)
        finally:
            self.late_s = max(self.late_s, self._now() - start - most_s)


def large_plan(seed: int) -> pe.Plan:
    """60 KB of weights, inputs (1, 100)."""
    b = pe.GraphBuilder()
    weight = np.random.default_rng(seed).standard_normal((150, 100), np.float32)
    b.output("y", b.linear(b.input("x", (1, 100), "float32"), weight))
    return pe.compile(b.build())


def test_every_upload_over_a_line_with_all_faults_is_complete(tmp_path: Path) -> None:
    """With three power cuts in each: the board goes on where it was, and at most three times the bytes are sent."""
    profile = load_profile("host")
    plans = [large_plan(seed) for seed in range(5)]
    assert all(60_000 < len(plan.data) < 62_000 for plan in plans)
    x = np.random.default_rng(9).standard_normal((1, 100), np.float32)
    wanted = [pe.Session(plan).run([x])[0].tobytes() for plan in plans]
    r, shares = random.Random(20), []
    down, up = Faults(**RATES, seed=21), Faults(**RATES, seed=22)
    line = VirtualLine(build.firmware(profile, profile.image()), tmp_path / "flash", down, up)
    link = TimedLink(line, line.baud, line.clock)
    board = Board(profile, link, None, RUN_S)
    for i in range(UPLOADS):
        plan, want = plans[i % len(plans)], wanted[i % len(plans)]
        cuts = sorted(r.sample(range(1, 57_000, 3000), RESETS))

        def progress(at: int, total: int, cuts: list[int] = cuts) -> None:
            if cuts and at >= cuts[0] and not line.cut_pending:
                cuts.pop(0)
                line.cut_power_in(r.randrange(1000))

        before, resets = line.sent, line.resets
        remote = board.load(plan, persist=True, progress=progress)
        shares.append((line.sent - before) / len(plan.data))
        assert line.resets == resets + RESETS
        assert remote.run([x])[0].tobytes() == want
    board.close()
    assert all(down.hits[fault] and up.hits[fault] for fault in RATES)
    assert max(shares) <= 3
    assert link.late_s <= timing.POLL_S
    print(f"{UPLOADS} uploads, {line.resets} resets, {link.retries} repeats, {line.now:.0f} s of virtual time;")
    print(f"bytes sent: {np.mean(shares):.2f} times those of the plan, at most {max(shares):.2f}")


class Garbage:
    """A stream on which random bytes never end, as fast as a baud rate carries them, in virtual time."""

    name = "garbage"

    def __init__(self, baud: int, change: Callable[[bytes], bytes]) -> None:
        self.now, self._baud, self._change, self._random = 0.0, baud, change, random.Random(baud)

    def read(self) -> bytes:
        n = max(2, int(self._baud / 10 * timing.POLL_S))
        self.now += n * 10 / self._baud
        return self._change(self._random.randbytes(n))

    def write(self, data: bytes) -> None:
        self.now += len(data) * 10 / self._baud

    def close(self) -> None: ...


@pytest.mark.parametrize("baud", [300, 9600, 115200, 921600])
@pytest.mark.parametrize(
    "change", [bytes, lambda d: d.replace(b"\0", b"\1"), lambda d: b"\xff" * len(d), lambda d: b"\0\2" * (len(d) // 2)]
)
def test_endless_garbage_at_any_baud_is_an_error_in_five_seconds(baud: int, change: Callable[[bytes], bytes]) -> None:
    """With and without the byte that ends frames, also of a command whose own deadline is long."""
    stream = Garbage(baud, change)
    link = Link(stream, baud, lambda: stream.now)
    link.buf_bytes = 4096
    with pytest.raises(LinkError, match="no frame among them"):
        link.write(70, 4, deadline_s=60)
    assert stream.now <= 5
