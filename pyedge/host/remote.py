"""A plan on a board: run it, measure it, train it."""

from __future__ import annotations

import logging
import os
import time
import zlib
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, overload

import numpy as np

from .. import clocks
from ..errors import BoardError, LinkError, PlanError, UnsupportedError, VerificationError
from ..model.graph import array_dtype
from ..plan import RESET, Entry, Plan, PlanTensor, Profile, collect
from ..plan.profile import uncounted
from ..session import match_inputs
from . import commands, frame
from .commands import Memory
from .link import GROUP_PYEDGE, RefusedError
from .training import Learner

if TYPE_CHECKING:
    from .board import Board

_INPUT_BYTES = 48  # of an input's CBOR, without the data
_READS = 3  # times that outputs and states are read whose CRC-32 is not the board's

Array = np.ndarray
_Send = Callable[..., dict[str, Any]]  # Link.read or Link.write
_log = logging.getLogger("pyedge")


class Remote(Learner):
    """A plan on a board. Gives the bits of `Session` on the same plan, and of the `Trainer` that compiled it.

    The board has the plan's states from run to run until reset(), or until a plan is loaded again; keep() writes them
    into its flash.
    """

    def __init__(self, board: Board, plan: Plan, sha: bytes) -> None:
        super().__init__(plan)
        self.board = board
        self._sha = sha
        self._run_id = int.from_bytes(os.urandom(3), "little")  # another than the last one's of an earlier client

    def __call__(self, *arrays: Array) -> Array | list[Array]:
        """As Session.__call__: runs "main" (or the only entry), an array for each input."""
        entry = "main" if "main" in self.plan.entries else next(iter(self.plan.entries))
        outputs = self.run(list(arrays), entry)
        return outputs[0] if len(outputs) == 1 else outputs

    @overload
    def run(self, inputs: Mapping[str, Array], entry: str = "main") -> dict[str, Array]: ...
    @overload
    def run(self, inputs: Sequence[Array], entry: str = "main") -> list[Array]: ...
    def run(self, inputs: Mapping[str, Array] | Sequence[Array], entry: str = "main") -> dict[str, Array] | list[Array]:
        """Runs an entry on the board; arguments and result are those of Session.run.

        Raises:
            ShapeError: An input of another shape or dtype, missing or unknown; names tensor, expected and given.
            PlanError: No entry of that name; or another plan has been loaded since.
            VerificationError: The outputs did not arrive as the board computed them.
            LinkError, BoardError: As the link and the board report.
        """
        e = self._entry(entry)
        self._send(e, match_inputs(e, inputs))
        answer = self._execute(e, profiled=False)
        outputs = self._receive(e, commands.number_of(answer, "crc", self.board.name))
        if isinstance(inputs, Mapping):
            return dict(zip((t.name for t in e.outputs), outputs, strict=True))
        return outputs

    def timed(
        self, inputs: Mapping[str, Array] | Sequence[Array], entry: str = "main"
    ) -> tuple[list[Array], tuple[int, int, int, int]]:
        """As run(), with the nanoseconds that sending, computing, the command for it, and receiving took.

        Computing is what the board's clock says; without one that counts time it is in the command's time.
        """
        e = self._entry(entry)
        arrays = match_inputs(e, inputs)
        marks = [time.perf_counter_ns()]
        self._send(e, arrays)
        marks.append(time.perf_counter_ns())
        answer = self._execute(e, profiled=False)
        marks.append(time.perf_counter_ns())
        outputs = self._receive(e, commands.number_of(answer, "crc", self.board.name))
        marks.append(time.perf_counter_ns())
        hello, there = self.board.hello, marks[2] - marks[1]
        timed = hello.unit != "instructions" and hello.hz
        run = commands.number_of(answer, "count", self.board.name) * 10**9 // hello.hz if timed else 0
        return outputs, (marks[1] - marks[0], run, max(0, there - run), marks[3] - marks[2])

    def repeat(self, runs: int, entry: str = "main") -> int:
        """Runs an entry 1 to 1000 times without a pause, on the inputs that are there; the count in the board's unit.

        The entry may have written over its inputs and states: this is for measuring.

        Raises:
            PlanError, LinkError, BoardError: As `run`.
        """
        return commands.number_of(
            self._execute(self._entry(entry), profiled=False, runs=runs), "count", self.board.name
        )

    def reset(self) -> None:
        """Gives all states their initial values: a new sequence begins. Nothing happens if the plan has none.

        Raises:
            PlanError, LinkError, BoardError: As `run`.
        """
        if self.plan.states:
            self._execute(self._entry(RESET), profiled=False)

    def state(self, names: Sequence[str] | None = None) -> dict[str, Array]:
        """Copies of the states as they are on the board now, by name; of all without `names`.

        Raises:
            PlanError: No state of that name; or another plan has been loaded since.
            VerificationError: A state did not arrive as the board has it.
            LinkError, BoardError: As the link and the board report.
        """
        self._check_loaded()
        states = {t.name: t for t in self.plan.states}
        if unknown := [n for n in names or () if n not in states]:
            raise PlanError(f"the plan has no state {unknown[0]!r}; it has {', '.join(map(repr, states)) or 'none'}")
        return {name: _array(self._state(states[name]), states[name]) for name in (states if names is None else names)}

    def keep(self) -> None:
        """Writes the states, what was learned among them, into the board's flash.

        There they outlive resets and power cuts: `load` of the same plan with persist=True begins with them. A power
        cut while they are written leaves those that were kept before, whole. The plan itself must be in flash.

        Raises:
            UnsupportedError: A board that cannot write its flash; or the plan is in RAM, or not the newest in flash.
            PlanError: Plan and two copies of its states don't fit into a slot; or another plan has been loaded since.
            LinkError, BoardError: As the link and the board report.
        """
        self._check_loaded()
        try:
            self.board.keep_states(self.plan.state_bytes)
        except RefusedError as e:
            if e.rc == commands.RC_SUPPORT:
                raise UnsupportedError(f"{e}; try: board.load(plan, persist=True)") from e
            if e.rc == commands.RC_MEMORY:
                raise PlanError(str(e)) from e
            raise

    def profile(
        self,
        inputs: Mapping[str, Array] | Sequence[Array] | None = None,
        runs: int | None = None,
        warmup: int | None = None,
        entry: str = "main",
    ) -> Profile:
        """Counts an entry in the board's unit, op by op. States are as after a reset when it ends.

        Args:
            inputs: As for `run`, written again before each run; zeros if not given.
            runs: Counted runs. By default as many as bring the 95 % interval of the median within 1 % of it, up to
                2000 runs or 20 s; or 1 where instructions are counted: they are the same in each run.
            warmup: Runs before them that are not counted. By default 5, or 0 where instructions are counted.

        Raises:
            ShapeError, PlanError, LinkError, BoardError: As `run`.
        """
        hello, board = self.board.hello, self.board.profile
        exact = hello.unit == "instructions"
        runs = 1 if exact and runs is None else runs
        warmup = (0 if exact else 5) if warmup is None else warmup
        e = self._entry(entry)
        arrays = match_inputs(
            e, [np.zeros(t.shape, array_dtype(t.dtype)) for t in e.inputs] if inputs is None else inputs
        )

        def once() -> Array:
            self._send(e, arrays)
            self._execute(e, profiled=True)
            return np.array(self._counts(e), np.uint64)

        before = self.board.clock()
        samples = collect(once, runs, warmup)
        after = self.board.clock()
        self.reset()
        ops = uncounted(e, self.plan.tensors)
        conditions = {"firmware": hello.fw, **({"clock_hz": board.clock_hz} if board.clock_hz else {})}
        conditions |= clocks.conditions(before, after)
        if self.board.cpus:
            conditions["cpus"] = self.board.cpus
        if self.board.isa:
            conditions["isa"] = self.board.isa
        timer = (0, 0) if exact else (1, 0)
        flags = clocks.doubts(before, after)
        return Profile.from_samples(samples, ops, hello.unit, board.name, entry, conditions, timer, flags)

    def memory(self) -> Memory:
        """RAM of the board, with this plan loaded."""
        return self.board.memory()

    def _entry(self, name: str) -> Entry:
        self._check_loaded()
        return self.plan.entry(name)

    def _check_loaded(self) -> None:
        if self.board.plan_sha != self._sha:
            raise PlanError(f"{self.board.name}: another plan was loaded, or the board reset; load this one again")

    def _send(self, e: Entry, arrays: Sequence[Array]) -> None:
        """Writes the inputs, chunk by chunk, each with its CRC-32."""
        link = self.board.link
        room = link.buf_bytes - frame.OVERHEAD_BYTES - _INPUT_BYTES
        for i, array in enumerate(arrays):
            data = array.tobytes()
            at = 0
            while at < len(data):
                chunk = data[at : at + room]
                body = {"e": e.number, "i": i, "off": at, "data": chunk, "crc": zlib.crc32(chunk)}
                self._request(link.write, commands.INPUT, body)
                at += len(chunk)

    def _execute(self, e: Entry, profiled: bool, runs: int = 1) -> dict[str, Any]:
        self._run_id += 1
        body = {"e": e.number, "id": self._run_id, "n": runs, "prof": profiled}
        answer = self._request(self.board.link.write, commands.RUN, body, deadline_s=self.board.run_s * runs)
        if answer.get("id") != self._run_id:
            raise LinkError(f"{self.board.name}: run {self._run_id} was answered as run {answer.get('id')!r}")
        return answer

    def _receive(self, e: Entry, crc: int) -> list[Array]:
        """The outputs of the last run; read again if their CRC-32 is not the board's."""
        for _ in range(_READS):
            data = [self._output(e, i, t) for i, t in enumerate(e.outputs)]
            if zlib.crc32(b"".join(data)) == crc:
                return [_array(d, t) for d, t in zip(data, e.outputs, strict=True)]
            _log.info("%s: the CRC of the outputs differed; again", self.board.name)
        raise VerificationError(f"{self.board.name}: outputs of {e.name!r} came {_READS} times with a wrong CRC-32")

    def _output(self, e: Entry, i: int, t: PlanTensor) -> bytes:
        link, board, data = self.board.link, self.board.name, bytearray()
        while len(data) < t.bytes:
            body = {"e": e.number, "i": i, "off": len(data), "n": t.bytes - len(data)}
            answer = self._request(
                link.read, commands.OUTPUT, body, answer_bytes=min(link.buf_bytes, t.bytes - len(data))
            )
            chunk = commands.bytes_of(answer, "data", board)
            if answer.get("off") != len(data) or not 0 < len(chunk) <= t.bytes - len(data):
                raise LinkError(f"{board}: output {t.name!r}: bad answer for offset {len(data)}")
            data += chunk
        return bytes(data)

    def _state(self, t: PlanTensor) -> bytes:
        """A state, chunk by chunk, each with its CRC-32."""
        link, board, data = self.board.link, self.board.name, bytearray()
        damaged = 0
        while len(data) < t.bytes:
            off, left = t.offset + len(data), t.bytes - len(data)
            body = {"off": off, "n": left}
            answer = self._request(link.read, commands.STATES, body, answer_bytes=min(link.buf_bytes, left))
            chunk = commands.bytes_of(answer, "data", board)
            if answer.get("off") != off or not 0 < len(chunk) <= left:
                raise LinkError(f"{board}: state {t.name!r}: bad answer for offset {off}")
            if commands.number_of(answer, "crc", board) == zlib.crc32(chunk):
                data += chunk
                continue
            damaged += 1
            if damaged == _READS:
                raise VerificationError(f"{board}: state {t.name!r} came {_READS} times with a wrong CRC-32")
        return bytes(data)

    def _counts(self, e: Entry) -> list[int]:
        """Counts of the entry's ops in the last run."""
        counts: list[int] = []
        board = self.board.name
        while len(counts) < len(e.ops):
            off = e.first_op + len(counts)
            answer = self._request(
                self.board.link.read, commands.PROFILE, {"off": off}, answer_bytes=self.board.link.buf_bytes
            )
            ops = answer.get("ops")
            if not isinstance(ops, list) or not ops or answer.get("off") != off:
                raise LinkError(f"{board}: profile: bad answer for op {off}")
            if not all(type(n) is int and 0 <= n < 1 << 64 for n in ops):
                raise LinkError(f"{board}: profile: bad counts from op {off} on")
            counts += ops
        return counts[: len(e.ops)]

    def _request(self, send: _Send, id: int, body: dict[str, Any], **limits: Any) -> dict[str, Any]:
        """A command that needs the plan; if the board has none, it was reset."""
        try:
            return send(GROUP_PYEDGE, id, body, **limits)
        except RefusedError as e:
            if e.rc in (commands.RC_NOT_FOUND, commands.RC_STATE):
                self.board.plan_sha = None
                raise BoardError(f"{self.board.name}: the plan is gone, was the board reset? load it again") from e
            raise


def _array(data: bytes, t: PlanTensor) -> Array:
    """A tensor from its bytes on the wire, little-endian."""
    dtype = array_dtype(t.dtype)
    return np.frombuffer(data, dtype.newbyteorder("<")).astype(dtype).reshape(t.shape)
