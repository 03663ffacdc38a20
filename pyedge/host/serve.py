"""A computer with Linux as a board: the executor of this process answers the commands of docs/link.md.

`connect(board, port="ssh:...")` starts it there as `python -m pyedge.host.serve --board NAME --machine ARCH`. Frames
come on standard input, answers go to standard output; it ends with its input.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import os
import platform
import sys
import time
import zlib
from collections.abc import Callable
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from .. import _core, clocks
from ..errors import LinkError, PlanError
from ..plan import Entry, Plan, PlanTensor
from . import cbor, commands, frame
from .link import GROUP_OS, GROUP_PYEDGE
from .roofs import measured_roofs

BUF_BYTES = 65_535  # the most that SMP's length can say, as there is RAM
_ANSWER_BYTES = 64  # what an answer's body has beside data or counts, at most
_COUNT_BYTES = 9  # CBOR of a count, at most
_MAX_REPEATS = 1000
_MOST_THREADS = 64
_WHAT_BYTES = 400
_MODEL = Path("/proc/device-tree/model")

Body = dict[str, Any]
_T = TypeVar("_T", int, bytes, str)


class Refusal(Exception):
    """A request that is answered with an rc; what: why."""

    def __init__(self, rc: int, what: str) -> None:
        super().__init__(what)
        self.rc = rc
        self.what = what


def _get(q: Body, key: str, kind: type[_T]) -> _T:
    """A key of a request. Numbers are those that firmware takes."""
    value = q.get(key)
    if type(value) is not kind or (isinstance(value, int) and not 0 <= value < 1 << 32):
        raise Refusal(commands.RC_VALUE, f"{key} is missing, or of another type")
    return value


@dataclass
class _Upload:
    """A plan on its way. good: it has come and is in use; then its data are the plan's."""

    size: int
    sha: bytes
    off: int = 0
    data: bytearray = field(default_factory=bytearray)
    good: bool = False


@dataclass(frozen=True)
class _Run:
    id: int
    count: int
    crc: int
    counts: np.ndarray | None  # of each op of the plan, nanoseconds


class Server:
    """What a board is between two requests: a plan, its arena, and the last run."""

    def __init__(self, board: str) -> None:
        self.board = board
        self._threads = 1
        self._commands: dict[tuple[int, int, int], Callable[[Body], Body]] = {
            (GROUP_OS, commands.ECHO, frame.WRITE): lambda q: {"r": _get(q, "d", str)},
            (GROUP_OS, commands.RESET, frame.WRITE): self._restart,
            (GROUP_OS, commands.PARAMETERS, frame.READ): lambda q: {"buf_size": BUF_BYTES, "buf_count": 1},
            (GROUP_PYEDGE, commands.HELLO, frame.READ): self._hello,
            (GROUP_PYEDGE, commands.LOAD, frame.WRITE): self._load,
            (GROUP_PYEDGE, commands.PLAN, frame.READ): self._plan,
            (GROUP_PYEDGE, commands.INPUT, frame.WRITE): self._input,
            (GROUP_PYEDGE, commands.RUN, frame.WRITE): self._run,
            (GROUP_PYEDGE, commands.OUTPUT, frame.READ): self._output,
            (GROUP_PYEDGE, commands.PROFILE, frame.READ): self._profile,
            (GROUP_PYEDGE, commands.MEMORY, frame.READ): self._memory,
            (GROUP_PYEDGE, commands.STATES, frame.READ): self._states,
            (GROUP_PYEDGE, commands.CLOCK, frame.READ): lambda q: _clock(),
            (GROUP_PYEDGE, commands.PEAKS, frame.READ): lambda q: _peaks(),
            (GROUP_PYEDGE, commands.CPUS, frame.READ): lambda q: _cpus(),
            (GROUP_PYEDGE, commands.CPUS, frame.WRITE): self._pin,
        }
        self._restart({})

    def handle(self, raw: bytes) -> bytes:
        """The answer to what came between two zeros, a frame with its zero; b"" to what is no request."""
        try:
            m = frame.unpack(raw)
        except LinkError:
            return b""
        if m.op not in (frame.READ, frame.WRITE):
            return b""
        try:
            body = self._answer(m)
        except Refusal as e:
            what = e.what.encode()[:_WHAT_BYTES].decode(errors="ignore")
            body = {"rc": e.rc, "what" if m.group == GROUP_PYEDGE else "rsn": what}
        return frame.pack(frame.Message(m.op + 1, m.group, m.seq, m.id, cbor.encode(body)))

    def _answer(self, m: frame.Message) -> Body:
        command = self._commands.get((m.group, m.id, m.op))
        if command is None:
            raise Refusal(commands.RC_SUPPORT, "no such command where pyedge runs on Linux")
        try:
            q = cbor.decode(m.body)
        except LinkError as e:
            raise Refusal(commands.RC_VALUE, str(e)) from e
        if not isinstance(q, dict):
            raise Refusal(commands.RC_VALUE, "not a map")
        return command(q)

    def _restart(self, q: Body) -> Body:
        self._boot = int.from_bytes(os.urandom(4), "little") | 1
        self._upload: _Upload | None = None
        self._release()
        return {}

    def _release(self) -> None:
        self._loaded: Plan | None = None
        self._core: _core.Session | None = None
        self._last: _Run | None = None

    # The plan.

    def _hello(self, q: Body) -> Body:
        pages = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
        return {
            "proto": commands.PROTOCOL,
            "abi": _core.abi_version(),
            "board": self.board,
            "fw": _software(),
            "unit": "ns",
            "hz": 1_000_000_000,
            "buf": BUF_BYTES,
            "pool": pages,
            "boot": self._boot,
            "ops": len(_core.op_kinds()),
            "slots": 0,
            "static": 0,
        }

    def _load(self, q: Body) -> Body:
        off, data = _get(q, "off", int), _get(q, "data", bytes)
        if off == 0 and "len" in q and "sha" in q:
            self._open(_get(q, "len", int), _get(q, "sha", bytes))
        upload = self._upload
        if upload is None:  # perhaps after a reset: begin again
            return {"off": 0}
        if off == upload.off < upload.size:
            if len(data) > upload.size - off:
                raise Refusal(commands.RC_VALUE, "more data than len")
            upload.data += data
            upload.off += len(data)
        if upload.off < upload.size:
            return {"off": upload.off}
        if not upload.good and hashlib.sha256(upload.data).digest() == upload.sha:
            self._bind(bytes(upload.data))
            upload.data = bytearray()
            upload.good = True
        return {"off": upload.off, "match": upload.good}

    def _open(self, size: int, sha: bytes) -> None:
        """Begins an upload, or goes on with the one that is under way."""
        upload = self._upload
        if upload and (upload.size, upload.sha) == (size, sha) and upload.off < size:
            return
        self._upload = None
        if size == 0 or len(sha) != 32:
            raise Refusal(commands.RC_VALUE, "len or sha")
        plan = self._loaded
        if plan and len(plan.data) == size and hashlib.sha256(plan.data).digest() == sha:
            self._bind(bytes(plan.data))
            self._upload = _Upload(size, sha, size, good=True)
            return
        self._release()
        self._upload = _Upload(size, sha)

    def _bind(self, data: bytes) -> None:
        self._release()
        try:
            plan = Plan(data)
            self._core = _core.Session(plan.core, self._threads)
        except PlanError as e:
            raise Refusal(commands.RC_CORRUPT, str(e)) from e
        except MemoryError as e:
            raise Refusal(commands.RC_MEMORY, "no memory for the arena") from e
        self._loaded = plan

    def _bound(self) -> tuple[Plan, _core.Session]:
        if self._loaded is None or self._core is None:
            raise Refusal(commands.RC_STATE, "no plan")
        return self._loaded, self._core

    def _plan(self, q: Body) -> Body:
        plan = self._loaded
        if plan is None:
            raise Refusal(commands.RC_NOT_FOUND, "no plan")
        return {
            "sha": hashlib.sha256(plan.data).digest(),
            "len": len(plan.data),
            "arena": plan.arena_bytes,
            "entries": len(plan.entries),
            "ops": len(plan.ops),
            "where": "ram",
        }

    def _pin(self, q: Body) -> Body:
        """Keeps runs on some of the CPUs; a plan that is loaded from now on has that many threads."""
        cpus, threads = _get(q, "cpus", str), _get(q, "threads", int)
        try:
            os.sched_setaffinity(0, clocks.parse_cpus(cpus))
        except (ValueError, OSError) as e:
            raise Refusal(commands.RC_VALUE, f"cpus {cpus!r}: {e}") from e
        if not 1 <= threads <= _MOST_THREADS:
            raise Refusal(commands.RC_VALUE, f"threads is not 1 .. {_MOST_THREADS}")
        self._threads = threads
        return _cpus()

    def _memory(self, q: Body) -> Body:
        plan = self._loaded
        free = os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
        arena, size = (plan.arena_bytes, len(plan.data)) if plan else (0, 0)
        return {"arena": arena, "plan": size, "static": 0, "stack": 0, "stack_size": 0, "free": free}

    # Runs.

    def _entry(self, q: Body) -> Entry:
        plan, _ = self._bound()
        number = _get(q, "e", int)
        for entry in plan.entries.values():
            if entry.number == number:
                return entry
        raise Refusal(commands.RC_VALUE, "no such entry")

    def _tensor(self, q: Body, tensors: tuple[PlanTensor, ...]) -> tuple[PlanTensor, int]:
        """The input or output that a request names, and the offset in it."""
        i, off = _get(q, "i", int), _get(q, "off", int)
        if i >= len(tensors) or off > tensors[i].bytes:
            raise Refusal(commands.RC_VALUE, "no such tensor, or outside of it")
        return tensors[i], off

    def _bytes(self, t: PlanTensor) -> np.ndarray:
        return self._bound()[1].tensor(t.number)

    def _input(self, q: Body) -> Body:
        inputs, i = self._entry(q).inputs, _get(q, "i", int)
        first, off = self._tensor(q, inputs)
        data = _get(q, "data", bytes)
        if "crc" in q and _get(q, "crc", int) != zlib.crc32(data):
            raise Refusal(commands.RC_CORRUPT, "crc of data")
        tensors = inputs[i:]
        if len(data) > sum(t.bytes for t in tensors) - off or first.constant:
            raise Refusal(commands.RC_VALUE, "outside the tensor")
        at, begin = 0, off
        for t in tensors:
            n = min(len(data) - at, t.bytes - begin)
            self._bytes(t)[begin : begin + n] = np.frombuffer(data[at : at + n], np.uint8)
            at, begin = at + n, 0
        return {"off": off + len(data)}

    def _run(self, q: Body) -> Body:
        (plan, core), entry, id = self._bound(), self._entry(q), _get(q, "id", int)
        repeats = _get(q, "n", int) if "n" in q else 1
        if not 1 <= repeats <= _MAX_REPEATS:
            raise Refusal(commands.RC_VALUE, f"n is not 1 .. {_MAX_REPEATS}")
        if self._last is None or self._last.id != id:
            counts = np.zeros(len(plan.ops), np.uint64) if q.get("prof") is True else None
            start = time.perf_counter_ns()
            for _ in range(repeats):
                core.run(entry.number, counts)
            count, crc = time.perf_counter_ns() - start, 0
            for t in entry.outputs:
                crc = zlib.crc32(self._bytes(t).tobytes(), crc)
            self._last = _Run(id, count, crc, counts)
        return {"id": id, "count": self._last.count, "crc": self._last.crc}

    def _output(self, q: Body) -> Body:
        t, off = self._tensor(q, self._entry(q).outputs)
        n = min(_get(q, "n", int), BUF_BYTES - frame.HEADER_BYTES - _ANSWER_BYTES)
        return {"off": off, "data": self._bytes(t)[off : off + n].tobytes()}

    def _states(self, q: Body) -> Body:
        plan, _ = self._bound()
        off, n = _get(q, "off", int), _get(q, "n", int)
        if off > plan.state_bytes:
            raise Refusal(commands.RC_VALUE, "outside the states")
        states = np.zeros(plan.state_bytes, np.uint8)
        for t in plan.states:
            states[t.offset : t.offset + t.bytes] = self._bytes(t)
        data = states[off : off + min(n, BUF_BYTES - frame.HEADER_BYTES - _ANSWER_BYTES)].tobytes()
        return {"off": off, "data": data, "crc": zlib.crc32(data)}

    def _profile(self, q: Body) -> Body:
        off = _get(q, "off", int)
        if self._last is None or self._last.counts is None:
            raise Refusal(commands.RC_STATE, "the last run was without prof")
        if off > len(self._last.counts):
            raise Refusal(commands.RC_VALUE, "off")
        n = (BUF_BYTES - frame.HEADER_BYTES - _ANSWER_BYTES) // _COUNT_BYTES
        return {"off": off, "ops": self._last.counts[off : off + n].tolist()}


def _software() -> str:
    """pyedge, its kernels, and what the device tree calls this computer: "0.1.0, dotprod, Raspberry Pi 5 Model B"."""
    facts = [version("pyedge"), _core.cpu_features()[0]]
    try:
        facts.append(_MODEL.read_text(errors="replace").rstrip("\0"))
    except OSError:
        facts.append(platform.machine())
    return ", ".join(facts)


def _clock() -> Body:
    """How the CPU is clocked now; without what this computer doesn't tell."""
    c = clocks.read_clock(min(os.sched_getaffinity(0)))
    millidegrees = None if c.celsius is None else max(0, round(c.celsius * 1000))
    facts = {"governor": c.governor, "mhz": c.mhz, "mc": millidegrees, "limited": c.limited}
    return {key: value for key, value in facts.items() if value is not None}


def _peaks() -> Body:
    """What one core does at most here, a second."""
    roofs = measured_roofs(1.0)
    macs = {name: int(rate) for name, rate in roofs.macs.items()}
    return {"level": roofs.source, "macs": macs, "reads": [[size, int(rate)] for size, rate in roofs.reads.items()]}


def _cpus() -> Body:
    """The CPUs that runs are kept on, and the kinds of cores that there are."""
    kinds = [[mhz, clocks.name_cpus(cpus)] for mhz, cpus in clocks.clusters()]
    return {"cpus": clocks.name_cpus(clocks.allowed()), "clusters": kinds}


def serve(server: Server, source: int, sink: int) -> None:
    """Answers the frames of one file descriptor on another, until the first one ends."""
    buffer, skipping = bytearray(), False  # skipping: inside a frame that is too long
    _write(sink, b"\0")  # ends what a login shell may have printed
    while chunk := os.read(source, 1 << 16):
        *frames, rest = chunk.split(b"\0")
        for raw in frames:
            buffer += raw
            if buffer and not skipping:
                _write(sink, server.handle(bytes(buffer)))
            buffer.clear()
            skipping = False
        buffer += rest
        if len(buffer) > BUF_BYTES + BUF_BYTES // 254 + 16:  # COBS of the most
            skipping = True
            buffer.clear()


def _write(sink: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(sink, view) :]


def main() -> int:
    """Exit code 0 when the input has ended; 9 on another machine than the board's."""
    parser = argparse.ArgumentParser(prog="pyedge.host.serve", description=__doc__)
    parser.add_argument("--board", required=True, help="name that it answers by")
    parser.add_argument("--machine", required=True, help="what the board's machine is; else it refuses")
    args = parser.parse_args()
    if platform.machine() != args.machine:
        print(f"this is {platform.machine()}, and a {args.board} is {args.machine}", file=sys.stderr)
        return 9
    sink = os.dup(sys.stdout.fileno())
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # nothing that is printed gets between the frames
    with contextlib.suppress(BrokenPipeError):  # who asked is gone
        serve(Server(args.board), sys.stdin.fileno(), sink)
    return 0


if __name__ == "__main__":
    sys.exit(main())
