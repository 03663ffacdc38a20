"""Does a board what this package promises of it? Bits, link, flash and clock, as a file that can be contributed."""

from __future__ import annotations

import contextlib
import hashlib
import importlib.metadata
import random
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, Literal

import numpy as np

from ..errors import LinkError, PlanError, PyedgeError, ToolError, UnsupportedError, VerificationError
from ..model.builder import GraphBuilder
from ..plan import Plan
from ..plan.compile import compile
from . import build, golden
from .board import Board
from .link import Progress

SCHEMA = 1
FRAMES = 50  # of all sizes, for the link
WINDOW_S = 0.5  # of one measured window of the clock
WINDOWS = 3
CLOCK_WITHIN = 0.05  # a board's clock, against this computer's; crystals are far better, other dividers far worse
LARGE_POOL = 256 * 1024  # bytes; boards with less run a smaller network against the clock


@dataclass(frozen=True)
class Check:
    """One finding. data: its numbers, for whoever reads the file."""

    name: Literal["golden", "link", "flash", "clock"]
    status: Literal["ok", "failed", "left out"]
    found: str
    data: dict[str, Any]


@dataclass(frozen=True)
class SelfTest:
    """What a board showed. firmware: the version it tells, and the SHA-256 of the image that pyedge has of that."""

    board: str
    emulated: bool
    date: str  # UTC
    pyedge: str
    firmware: dict[str, Any]
    hello: dict[str, Any]
    every: int  # each n-th golden case was run
    checks: tuple[Check, ...]

    @property
    def passed(self) -> bool:
        """Nothing failed."""
        return all(check.status != "failed" for check in self.checks)

    @property
    def counts_as_silicon(self) -> bool:
        """It may be contributed: a real board, all golden cases that it has room for, nothing wrong."""
        return self.passed and not self.emulated and self.checks[0].status == "ok" and self.every == 1

    def to_dict(self) -> dict[str, Any]:
        """The file's content. `pyedge/boards/silicon.py` reads it."""
        return {"schema": SCHEMA, "kind": "selftest", **asdict(self), "passed": self.passed}


def selftest(board: Board, flash: bool = True, every: int = 1, progress: Progress | None = None) -> SelfTest:
    """Tries a board that answers.

    Args:
        flash: Also write two plans into its flash, in place of those that are there.
        every: Run each n-th of the golden cases only.
        progress: Called with golden cases done, and all of them.

    Raises:
        LinkError, BoardError: The board does not answer any more. What it answers wrongly is a Check that failed.
    """
    profile, hello = board.profile, board.hello
    checks = [_golden(board, every, progress), _link(board), _flash(board, flash), _clock(board)]
    version = importlib.metadata.version("pyedge")
    image = None
    if not profile.linux and hello.fw == version:
        with contextlib.suppress(ToolError):  # no compiler here: somebody else has built it
            image = hashlib.sha256(build.firmware(profile, profile.image(board.isa)).read_bytes()).hexdigest()
    return SelfTest(
        board=profile.name,
        emulated=board.emulated or profile.status == "emulated",
        date=datetime.now(timezone.utc).isoformat(timespec="seconds"),
        pyedge=version,
        firmware={"version": hello.fw, "image_sha256": image},
        hello=asdict(hello),
        every=every,
        checks=tuple(checks),
    )


def _golden(board: Board, every: int, progress: Progress | None) -> Check:
    """Each kernel's bits. What a board has no room or no op for is left out, and named."""
    failed, left_out, right = [], [], 0
    recorded = list(golden.recorded())[::every]
    for number, (case, digest) in enumerate(recorded):
        try:
            remote = board.load(compile(case.graph, board=str(board.profile.path), **case.options))
            same = golden.digest(remote.run(case.feeds)).startswith(digest)
        except (PlanError, UnsupportedError):
            left_out.append(case.name)
            continue
        except VerificationError:
            same = False
        finally:
            if progress:
                progress(number + 1, len(recorded))
        right += same
        failed += [] if same else [case.name]
    data = {"cases": len(recorded), "right": right, "failed": failed, "left_out": left_out, "every": every}
    found = f"{right} of {len(recorded)} cases have the recorded bits"
    if left_out:
        found += f", {len(left_out)} don't fit or lack an op"
    if failed:
        return Check("golden", "failed", f"{found}; other bits: {', '.join(failed[:5])}", data)
    return Check("golden", "ok" if right else "left out", found, data)


def _link(board: Board) -> Check:
    """Texts of all lengths come back, those around a group of COBS among them."""
    most = board.link.buf_bytes - 32  # the header, CRC and CBOR
    letters = random.Random(1)
    sizes = [0, 1, *range(252, 257), most, *(letters.randrange(most) for _ in range(FRAMES))]
    retries, start, wrong = board.link.retries, time.monotonic(), 0
    for size in (min(size, most) for size in sizes):
        text = "".join(letters.choices("pyedge", k=size))
        wrong += board.echo(text) != text
    total = 2 * sum(min(size, most) for size in sizes)
    data = {
        "echoes": len(sizes),
        "wrong": wrong,
        "repeats": board.link.retries - retries,
        "bytes_per_s": round(total / (time.monotonic() - start)),
    }
    found = f"{len(sizes)} echoes, {wrong} wrong, {data['repeats']} repeats, {data['bytes_per_s']:,} bytes/s"
    return Check("link", "failed" if wrong else "ok", found, data)


def _plans() -> Iterator[Plan]:
    """Two that differ, with a state."""
    for scale in (2.0, 3.0):
        b = GraphBuilder()
        x, total = b.input("x", (1, 8), "float32"), b.state("total", np.zeros((1, 8)))
        new = b.add(total, x)
        b.update(total, new)
        b.output("y", b.linear(new, np.full((4, 8), scale, np.float32)))
        yield compile(b.build())


def _flash(board: Board, wanted: bool) -> Check:
    """Two plans are written, each found after a reset with the states that it kept; the first is the fallback then."""
    store, data = board.profile.store, {"seconds": [0.0, 0.0]}
    if not wanted:
        return Check("flash", "left out", "not asked for", {})
    if not board.hello.slots or store is None or not store.writable:
        return Check("flash", "left out", "the board cannot write plans into its flash", {})
    plans = list(_plans())
    digests = [hashlib.sha256(bytes(plan.data)).digest() for plan in plans]
    x = np.ones((1, 8), np.float32)
    try:
        for number, plan in enumerate(plans):
            start = time.monotonic()
            remote = board.load(plan, persist=True)
            data["seconds"][number] = round(time.monotonic() - start, 3)
            y = remote.run([x])[0]
            remote.keep()
            board.reset()
            if board.use_slot() != digests[number]:
                return Check("flash", "failed", "after a reset another plan is the active one", data)
            if not np.array_equal(board.load(plan, persist=True).run([x])[0], 2 * y):
                return Check("flash", "failed", "after a reset the states are not those that were kept", data)
        if {bytes(slot["hash"]) for slot in board.slots()} != set(digests):
            return Check("flash", "failed", "the slots hold other plans than those written", data)
    except LinkError:
        raise
    except PyedgeError as e:
        return Check("flash", "failed", str(e), data)
    return Check("flash", "ok", "two plans written, both there after a reset, with their states", data)


def _clock(board: Board) -> Check:
    """Runs as long by the board's counter as by this computer's clock: else its clock is set up wrongly."""
    hello = board.hello
    if hello.unit == "instructions" or not hello.hz:
        return Check("clock", "left out", f"the board counts {hello.unit}, not time", {"unit": hello.unit})
    size = 32 if hello.pool >= LARGE_POOL else 8
    b = GraphBuilder()
    weight = b.constant(np.ones((16, 3, 3, 16), np.int8), scale=[0.01] * 16, axis=0)
    x = b.input("x", (1, size, size, 16), "int8", scale=0.05)
    b.output("y", b.conv2d(x, weight, np.zeros(16, np.int32), scale=0.1, zero_point=0))
    remote = board.load(compile(b.build(), board=str(board.profile.path)))
    one_s = remote.repeat(1) / hello.hz
    runs = min(1000, max(2, round(WINDOW_S / one_s)))
    shares = []
    for _ in range(WINDOWS):
        there_s, here_s = _both(remote.repeat, runs, hello.hz)
        empty_there_s, empty_here_s = _both(remote.repeat, 1, hello.hz)
        shares.append((here_s - empty_here_s) / (there_s - empty_there_s))
    share = sorted(shares)[WINDOWS // 2]
    data = {"unit": hello.unit, "hz": hello.hz, "window_s": round(runs * one_s, 3), "shares": shares}
    found = f"a second of its counter ({hello.hz:,} Hz) takes {share:.3f} s here"
    if runs * one_s < WINDOW_S / 2:
        return Check("clock", "left out", f"{found}; windows of {data['window_s']} s are too short to judge", data)
    return Check("clock", "ok" if abs(share - 1) <= CLOCK_WITHIN else "failed", found, data)


def _both(repeat: Callable[[int], int], runs: int, hz: int) -> tuple[float, float]:
    """Seconds of some runs by the board's counter, and by our clock with the link."""
    start = time.monotonic()
    there = repeat(runs) / hz
    return there, time.monotonic() - start


def default_file(board: str) -> Path:
    """Where a selftest is written unless somebody says otherwise: the name that it has in boards/silicon/."""
    return Path(f"{board}.json")
