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
from ..train.latent import FEATURES
from ..tune.training import Facts, History, Samples
from . import commands, frame, timing
from .commands import Memory
from .kept import FlashReservoir
from .link import GROUP_PYEDGE, RefusedError
from .training import Kept, Learner

if TYPE_CHECKING:
    from .board import Board

_INPUT_BYTES = 48  # of an input's CBOR, without the data
_STEPS = 50  # of one command that learns by itself
_READS = 3  # times that outputs, states and samples are read whose CRC-32 is not the board's

Array = np.ndarray
_Send = Callable[..., dict[str, Any]]  # Link.read or Link.write
_log = logging.getLogger("pyedge")


class Remote(Learner):
    """A plan on a board. Gives the bits of `Session` on the same plan, and of the `Trainer` that compiled it.

    The board has the plan's states from run to run until reset(), or until a plan is loaded again; keep() writes them
    into its flash, where samples to learn from again are kept, too (`fit`).
    """

    def __init__(self, board: Board, plan: Plan, sha: bytes, in_flash: bool = False) -> None:
        super().__init__(plan)
        self.board = board
        self._sha = sha
        self._in_flash = in_flash  # the plan, in one that the board can write
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
        self.send(e, match_inputs(e, inputs))
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
        self.send(e, arrays)
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

    def remember(self, x: Samples, y: Array) -> list[bool]:
        """Offers samples to those that are kept, without learning from them now; which of them were kept.

        Of a plan in flash the board runs the frozen part, and keeps what comes out of it: no host is needed beside
        whoever has the samples.

        Raises:
            PlanError, ShapeError, UnsupportedError, VerificationError, LinkError, BoardError: As `fit`.
        """
        if not isinstance(kept := self.kept, FlashReservoir):
            raise UnsupportedError(f"{self.board.name}: samples are kept in flash; try: board.load(plan, persist=True)")
        entry = self._entry(FEATURES if FEATURES in self.plan.entries else "train")
        *inputs, targets = self._samples(x, y).values()
        results = []
        for *values, target in zip(*inputs, targets, strict=True):
            for i, value in enumerate(values):
                self.send(entry, [value], i)
            results.append(kept.offer(entry.number, target.tobytes()))
        return results

    def replay(self, steps: int) -> History:
        """Steps on samples kept, drawn at random: the board learns by itself, with the bits of `Trainer.replay`.
        The history has the loss of the last batch of each 50 steps.

        Raises:
            PlanError, UnsupportedError, TrainingError, VerificationError, LinkError, BoardError: As `fit`.
        """
        if not isinstance(kept := self.kept, FlashReservoir) or not len(kept):
            raise UnsupportedError(f"{self.board.name}: it keeps no samples in its flash; try: persist=True, and fit")
        history, entry = History(), self._entry("train")
        loop = self._loop(history)
        entries = [entry, *(e for name, e in self.plan.entries.items() if name == "accumulate")]
        a_step = sum(map(self._run_s, entries)) * loop.accumulate
        while history.steps < steps:
            n = min(steps - history.steps, _STEPS)
            answer = self.once(commands.LEARN, {"n": n}, n * a_step)
            loss, skipped = self._receive(entry, commands.number_of(answer, "crc", self.board.name))
            history.loss.append(float(loss[0]))
            loop.count(n, float(loss[0]), float(skipped[0]))
        return history

    def _open_kept(self, facts: Facts) -> Kept:
        return FlashReservoir(self, facts) if self._in_flash and facts.replay else super()._open_kept(facts)

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
            self.send(e, arrays)
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

    def send(self, e: Entry, arrays: Sequence[Array], first: int = 0) -> None:
        """Writes the inputs from one on, chunk by chunk, each with its CRC-32; a chunk may go on in the next input."""
        link = self.board.link
        room = link.buf_bytes - frame.OVERHEAD_BYTES - _INPUT_BYTES
        i, data = first, b"".join(a.tobytes() for a in arrays)
        off = at = 0
        while at < len(data):
            chunk = data[at : at + room]
            body = {"e": e.number, "i": i, "off": off, "data": chunk, "crc": zlib.crc32(chunk)}
            self.request(link.write, commands.INPUT, body)
            at, off = at + len(chunk), off + len(chunk)
            while i + 1 < len(e.inputs) and off >= e.inputs[i].bytes:
                off, i = off - e.inputs[i].bytes, i + 1

    def _execute(self, e: Entry, profiled: bool, runs: int = 1) -> dict[str, Any]:
        return self.once(commands.RUN, {"e": e.number, "n": runs, "prof": profiled}, self._run_s(e) * runs)

    def _run_s(self, e: Entry) -> float:
        """Deadline of one run of an entry."""
        return timing.run_s(e.macs) if self.board.run_s is None else self.board.run_s

    def once(self, id: int, body: dict[str, Any], deadline_s: float) -> dict[str, Any]:
        """A command that the board does once, however often it is repeated."""
        self._run_id += 1
        body = {**body, "id": self._run_id}
        answer = self.request(self.board.link.write, id, body, deadline_s=deadline_s)
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
        return self.read(commands.OUTPUT, f"output {t.name!r}", t.bytes, checked=False, e=e.number, i=i)

    def _state(self, t: PlanTensor) -> bytes:
        return self.read(commands.STATES, f"state {t.name!r}", t.bytes, t.offset)

    def read(self, id: int, what: str, n: int, start: int = 0, checked: bool = True, **which: int) -> bytes:
        """n bytes from offset start on of something on the board, chunk by chunk.

        Args:
            what: Its name in errors.
            checked: Each chunk comes with its CRC-32, and is read again if it is not that.
            which: Fields of the command's body that say what is read.

        Raises:
            VerificationError: Chunks came damaged, three times.
            LinkError, BoardError: As the link and the board report.
        """
        link, board, data, damaged = self.board.link, self.board.name, bytearray(), 0
        while len(data) < n:
            off, left = start + len(data), n - len(data)
            body = {**which, "off": off, "n": left}
            answer = self.request(link.read, id, body, answer_bytes=min(link.buf_bytes, left))
            chunk = commands.bytes_of(answer, "data", board)
            if answer.get("off") != off or not 0 < len(chunk) <= left:
                raise LinkError(f"{board}: {what}: bad answer for offset {off}")
            if not checked or commands.number_of(answer, "crc", board) == zlib.crc32(chunk):
                data += chunk
                continue
            damaged += 1
            if damaged == _READS:
                raise VerificationError(f"{board}: {what} came {_READS} times with a wrong CRC-32")
        return bytes(data)

    def _counts(self, e: Entry) -> list[int]:
        """Counts of the entry's ops in the last run."""
        counts: list[int] = []
        board = self.board.name
        while len(counts) < len(e.ops):
            off = e.first_op + len(counts)
            answer = self.request(
                self.board.link.read, commands.PROFILE, {"off": off}, answer_bytes=self.board.link.buf_bytes
            )
            ops = answer.get("ops")
            if not isinstance(ops, list) or not ops or answer.get("off") != off:
                raise LinkError(f"{board}: profile: bad answer for op {off}")
            if not all(type(n) is int and 0 <= n < 1 << 64 for n in ops):
                raise LinkError(f"{board}: profile: bad counts from op {off} on")
            counts += ops
        return counts[: len(e.ops)]

    def request(self, send: _Send, id: int, body: dict[str, Any], **limits: Any) -> dict[str, Any]:
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
