"""A board as Python sees it: connect, load a plan, run it, measure it."""

from __future__ import annotations

import hashlib
import logging
import os
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from types import TracebackType
from typing import Any, overload

import numpy as np

from ..boards import Profile as BoardProfile
from ..boards import load_profile
from ..errors import BoardError, LinkError, PlanError, ToolError, UnsupportedError, VerificationError
from ..model.custom import KERNELS
from ..model.graph import array_dtype
from ..plan import RESET, Entry, OpCount, Plan, PlanTensor, Profile, collect
from ..session import match_inputs
from . import build, emulator, frame, ports, timing
from .link import GROUP_IMAGE, GROUP_OS, GROUP_PYEDGE, Link, Progress, RefusedError
from .stream import SerialStream

# Commands of group 70; group 0: echo, reset; group 1: state, upload.
_HELLO, _LOAD, _PLAN, _INPUT, _RUN, _OUTPUT, _PROFILE, _MEMORY, _USE_SLOT, _CUSTOM = range(10)
_ECHO, _RESET = 0, 5
_STATE, _UPLOAD = 0, 1
_PROTOCOL = 1
_RC_NOT_FOUND, _RC_STATE, _RC_SUPPORT = 5, 6, 8
_INPUT_BYTES = 48  # of an input's CBOR, without the data
_READS = 3  # times that outputs are read whose CRC-32 is not the board's

Array = np.ndarray
_Send = Callable[..., dict[str, Any]]  # Link.read or Link.write
_log = logging.getLogger("pyedge")


@dataclass(frozen=True)
class Hello:
    """What a board says of itself (docs/link.md, "hello")."""

    proto: int
    abi: int
    board: str
    fw: str
    unit: str  # of counts: "instructions", "cycles" or "ns"
    hz: int
    buf: int
    pool: int
    boot: int
    ops: int
    slots: int
    static: int


@dataclass(frozen=True)
class Memory:
    """RAM of the board in bytes. stack: high-water mark; 0 where the board cannot tell."""

    arena: int
    plan: int
    static: int
    stack: int
    stack_size: int
    free: int


def _fields(cls: type[Any], answer: dict[str, Any], board: str) -> Any:
    """A dataclass from an answer; LinkError if a field is missing or of another type."""
    kinds = {"int": int, "str": str}
    for f in fields(cls):
        value = answer.get(f.name)
        if type(value) is not kinds[str(f.type)] or (isinstance(value, int) and value < 0):
            raise LinkError(f"{board}: {cls.__name__.lower()}: bad answer: {f.name} is {value!r}")
    return cls(**{f.name: answer[f.name] for f in fields(cls)})


def _bytes(answer: dict[str, Any], key: str, board: str) -> bytes:
    value = answer.get(key)
    if not isinstance(value, bytes):
        raise LinkError(f"{board}: bad answer: {key} is {value!r}")
    return value


def _number(answer: dict[str, Any], key: str, board: str) -> int:
    value = answer.get(key)
    if type(value) is not int or value < 0:
        raise LinkError(f"{board}: bad answer: {key} is {value!r}")
    return value


class Board:
    """A board that answers. A context manager; close() ends an emulator that connect() has started."""

    def __init__(self, profile: BoardProfile, link: Link, emulated: emulator.Emulator | None, run_s: float) -> None:
        """Says hello. Use connect().

        Raises:
            LinkError, BoardError: No answer; the firmware is for another board, or of another protocol.
        """
        self.profile = profile
        self.name = profile.name
        self.link = link
        self._emulator = emulated
        self.isa = emulated.image.isa if emulated else None
        self.run_s = run_s  # deadline of one run
        self.plan_sha: bytes | None = None  # of the plan that the board has in use, as far as we know
        self.hello = self._say_hello()

    def _say_hello(self) -> Hello:
        try:
            answer = self.link.read(
                GROUP_PYEDGE, _HELLO, deadline_s=timing.BOOT_S if self._emulator else timing.COMMAND_S
            )
        except LinkError as e:
            if self._emulator and self._emulator.complaint:
                raise ToolError(f"{self.name}: the emulator failed: {self._emulator.complaint}") from e
            raise LinkError(f"{e}; is the firmware on it? try: pyedge flash -b {self.name}") from e
        hello: Hello = _fields(Hello, answer, self.name)
        if hello.proto != _PROTOCOL:
            raise BoardError(
                f"{self.name}: its firmware {hello.fw} speaks protocol {hello.proto}, this is {_PROTOCOL};"
                f" try: pyedge flash -b {self.name}"
            )
        if hello.board != self.name:
            where = self.link.stream.name
            raise BoardError(f"{where}: this is a {hello.board}, not a {self.name}; use -b {hello.board}")
        self.link.buf_bytes = hello.buf
        return hello

    def __enter__(self) -> Board:
        return self

    def __exit__(self, kind: type[BaseException] | None, e: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Closes the link, and ends the emulator if connect() started it."""
        self.link.close()
        if self._emulator:
            self._emulator.stop()

    @property
    def emulated(self) -> bool:
        """connect() has started it."""
        return self._emulator is not None

    def echo(self, text: str) -> str:
        """What the board answers to text: the same. For trying a link."""
        answer = self.link.write(GROUP_OS, _ECHO, {"d": text}).get("r")
        if not isinstance(answer, str):
            raise LinkError(f"{self.name}: echo: bad answer")
        return answer

    def reset(self) -> None:
        """Restarts the board and waits for it. A plan in RAM is lost."""
        self.link.write(GROUP_OS, _RESET)
        self.plan_sha = None
        self.hello = self._say_hello()

    def memory(self) -> Memory:
        """RAM of the board, as it is now."""
        memory: Memory = _fields(Memory, self.link.read(GROUP_PYEDGE, _MEMORY), self.name)
        return memory

    def slots(self) -> list[dict[str, Any]]:
        """The plans in flash: slot, hash (32 bytes), active, confirmed, version."""
        try:
            images = self.link.read(GROUP_IMAGE, _STATE, work_s=timing.ERASE_S).get("images")
        except RefusedError as e:
            raise UnsupportedError(f"{self.name}: its flash holds no plans: {e}") from e
        if isinstance(images, list) and all(isinstance(i, dict) and isinstance(i.get("hash"), bytes) for i in images):
            return images
        raise LinkError(f"{self.name}: state: bad answer")

    def custom_ops(self) -> dict[str, int]:
        """The custom ops in the firmware: the number that stands for the source of each, by name."""
        found: dict[str, int] = {}
        while True:
            try:
                answer = self.link.read(GROUP_PYEDGE, _CUSTOM, {"off": len(found)}, answer_bytes=self.link.buf_bytes)
            except RefusedError as e:
                if e.rc == _RC_SUPPORT:  # firmware from before there were any
                    return {}
                raise
            ops = answer.get("ops")
            if not isinstance(ops, dict) or not all(isinstance(k, str) and type(v) is int for k, v in ops.items()):
                raise LinkError(f"{self.name}: custom ops: bad answer")
            if not ops.keys() - found.keys():
                return found
            found |= ops

    def _check_custom(self, plan: Plan) -> None:
        """Refuses a plan with custom ops that the firmware lacks, or has from another source."""
        needed = {str(op.params["name"]): op.params["source"] for op in plan.ops if op.kind == "custom"}
        there = self.custom_ops() if needed else {}
        for name, source in needed.items():
            if there.get(name) != source:
                lack = "has another source of" if name in there else "lacks"
                file = KERNELS[name].file if name in KERNELS else "KERNEL.c"
                raise PlanError(
                    f"{self.name}: the firmware {lack} the custom op {name!r};"
                    f" try: pyedge flash -b {self.name} --with {file}"
                )

    def load(self, plan: Plan, persist: bool = False, progress: Progress | None = None) -> Remote:
        """Puts a plan on the board, has it verified there, and reads its SHA-256 back.

        Args:
            persist: Into flash, where it survives a reset, instead of RAM. On a board that cannot write its flash the
                plan always goes there: the emulator is started again with an image that contains it.
            progress: Called with bytes done and bytes in all.

        Raises:
            PlanError: Not for this board: an op that the firmware lacks, an arena or a plan too large.
            VerificationError: What the board has is not what was sent.
            LinkError, BoardError: As the link and the board report.
        """
        self._check_custom(plan)
        data = bytes(plan.data)
        digest = hashlib.sha256(data).digest()
        store = self.profile.store
        self.plan_sha = None
        try:
            if store and not store.writable:
                self._restart_with(data, persist)
                self.use_slot()
            elif persist:
                self.store_plan(data, progress)
                self.use_slot()
            else:
                self.link.upload(GROUP_PYEDGE, _LOAD, data, work_s=timing.ERASE_S, progress=progress)
        except RefusedError as e:
            raise _load_error(e, plan, self) from e
        if self._running_sha() != digest:
            raise VerificationError(f"{self.name}: the plan on the board is not the one sent: another SHA-256")
        self.plan_sha = digest
        return Remote(self, plan, digest)

    def store_plan(self, data: bytes, progress: Progress | None = None) -> None:
        """Writes a plan into the inactive slot, makes it the active one, and reads its hash back."""
        self.link.upload(
            GROUP_IMAGE,
            _UPLOAD,
            data,
            work_s=timing.ERASE_S,
            chunk_s=self.link.buf_bytes / timing.FLASH_BYTES_PER_S,
            progress=progress,
        )
        digest = hashlib.sha256(data).digest()
        if not any(slot["hash"] == digest and slot.get("active") is True for slot in self.slots()):
            raise VerificationError(f"{self.name}: the slot that was written did not become the active one")
        if self._emulator:
            emulator.keep_flash(self.profile, self._emulator.flash)

    def use_slot(self) -> bytes:
        """Takes the plan in the active slot into use, executed where it lies. Its SHA-256; BoardError without one."""
        self.link.write(GROUP_PYEDGE, _USE_SLOT, work_s=timing.ERASE_S)
        return self._running_sha()

    def _running_sha(self) -> bytes:
        """SHA-256 of the plan in use, as the board computes it from what it holds."""
        return _bytes(self.link.read(GROUP_PYEDGE, _PLAN, work_s=timing.ERASE_S), "sha", self.name)

    def _restart_with(self, data: bytes, persist: bool) -> None:
        """A board whose flash is written by the host: image with the plan in it, power cycle."""
        if self._emulator is None:
            raise UnsupportedError(f"{self.name}: cannot write its own flash; try: pyedge flash -b {self.name} PLAN")
        self._emulator.stop_process()
        emulator.write_flash(self._emulator.flash, self.profile, data)
        if persist:
            emulator.keep_flash(self.profile, self._emulator.flash)
        self._emulator.start()
        self.link = Link(self._emulator.stream, self.link.baud)
        self.hello = self._say_hello()


def _load_error(e: RefusedError, plan: Plan, board: Board) -> Exception:
    """A refusal of load, in the terms of whoever calls: a plan that doesn't suit the board is a PlanError."""
    hello, name = board.hello, board.name
    if "st" in e.answer:
        return PlanError(f"{e}; is the firmware older, or trimmed to another plan? try: pyedge flash -b {name}")
    if e.rc == 2:
        return PlanError(
            f"{name}: a plan of {len(plan.data)} bytes with an arena of {plan.arena_bytes} does not fit into"
            f" {hello.pool} bytes: {e.answer.get('what', 'no memory')}"
            + ("; try persist=True: then only the arena is in RAM" if board.profile.store else "")
        )
    return e


class Remote:
    """A plan on a board. Gives the bits of `Session` on the same plan.

    The board keeps the plan's states from run to run until reset(), or until a plan is loaded again.
    """

    def __init__(self, board: Board, plan: Plan, sha: bytes) -> None:
        self.board = board
        self.plan = plan
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
        outputs = self._receive(e, _number(answer, "crc", self.board.name))
        if isinstance(inputs, Mapping):
            return dict(zip((t.name for t in e.outputs), outputs, strict=True))
        return outputs

    def repeat(self, runs: int, entry: str = "main") -> int:
        """Runs an entry 1 to 1000 times without a pause, on the inputs that are there; the count in the board's unit.

        The entry may have written over its inputs and states: this is for measuring.

        Raises:
            PlanError, LinkError, BoardError: As `run`.
        """
        return _number(self._execute(self._entry(entry), profiled=False, runs=runs), "count", self.board.name)

    def reset(self) -> None:
        """Gives all states their initial values: a new sequence begins. Nothing happens if the plan has none.

        Raises:
            PlanError, LinkError, BoardError: As `run`.
        """
        if self.plan.states:
            self._execute(self._entry(RESET), profiled=False)

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

        samples = collect(once, runs, warmup)
        self.reset()
        ops = [OpCount(op.name, op.kind, 0, None, op.macs) for op in e.ops]
        conditions = {"firmware": hello.fw, **({"clock_hz": board.clock_hz} if board.clock_hz else {})}
        if self.board.isa:
            conditions["isa"] = self.board.isa
        timer = (0, 0) if exact else (1, 0)
        return Profile.from_samples(samples, ops, hello.unit, board.name, entry, conditions, timer)

    def memory(self) -> Memory:
        """RAM of the board, with this plan loaded."""
        return self.board.memory()

    def _entry(self, name: str) -> Entry:
        if self.board.plan_sha != self._sha:
            raise PlanError(f"{self.board.name}: another plan was loaded, or the board reset; load this one again")
        return self.plan.entry(name)

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
                self._request(link.write, _INPUT, body)
                at += len(chunk)

    def _execute(self, e: Entry, profiled: bool, runs: int = 1) -> dict[str, Any]:
        self._run_id += 1
        body = {"e": e.number, "id": self._run_id, "n": runs, "prof": profiled}
        answer = self._request(self.board.link.write, _RUN, body, deadline_s=self.board.run_s * runs)
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
            answer = self._request(link.read, _OUTPUT, body, answer_bytes=min(link.buf_bytes, t.bytes - len(data)))
            chunk = _bytes(answer, "data", board)
            if answer.get("off") != len(data) or not 0 < len(chunk) <= t.bytes - len(data):
                raise LinkError(f"{board}: output {t.name!r}: bad answer for offset {len(data)}")
            data += chunk
        return bytes(data)

    def _counts(self, e: Entry) -> list[int]:
        """Counts of the entry's ops in the last run."""
        counts: list[int] = []
        board = self.board.name
        while len(counts) < len(e.ops):
            off = e.first_op + len(counts)
            answer = self._request(self.board.link.read, _PROFILE, {"off": off}, answer_bytes=self.board.link.buf_bytes)
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
            if e.rc in (_RC_NOT_FOUND, _RC_STATE):
                self.board.plan_sha = None
                raise BoardError(f"{self.board.name}: the plan is gone, was the board reset? load it again") from e
            raise


def _array(data: bytes, t: PlanTensor) -> Array:
    """A tensor from its bytes on the wire, little-endian."""
    dtype = array_dtype(t.dtype)
    return np.frombuffer(data, dtype.newbyteorder("<")).astype(dtype).reshape(t.shape)


def connect(
    board: str | Path | BoardProfile = "host",
    port: str | None = None,
    isa: str | None = None,
    image: str | Path | None = None,
    timeout: float | None = None,
    flash: str | Path | None = None,
) -> Board:
    """Opens a board and says hello. Without a port an emulated board is started as a process of its own.

    Args:
        board: Name of a profile, a .toml file, or a profile.
        port: Path, pyserial URL, or "serial:ID" of a USB adapter; default: PYEDGE_PORT, else the board's USB id.
        isa: Which build of the firmware an emulated board runs; default: the first of the profile.
        image: Firmware file to run, instead of the one that `flash` gave custom ops last, or the one that pyedge has.
        timeout: Overall deadline of one run, seconds.
        flash: File that is the flash of an emulated board; without it a copy of what was kept last (persist=True).

    Raises:
        BoardNotFoundError: No such board or port; or several ports match, all are named.
        UnsupportedError: A board without firmware: described only, or one with Linux, on which pyedge itself runs.
        PermissionDeniedError, BusyError: The port is not ours to open; in use.
        ToolError: The emulator, or a compiler for its firmware, is missing.
        LinkError, BoardError: No answer; other firmware.
    """
    profile = board if isinstance(board, BoardProfile) else load_profile(board)
    baud = profile.serial_link().baud
    run_s = timing.RUN_S if timeout is None else timeout
    port = port or os.environ.get("PYEDGE_PORT") or None
    if port is None and profile.emulator:
        build_of = profile.image(isa)
        firmware = Path(image) if image else emulator.kept_firmware(profile, build_of)
        firmware = firmware or build.firmware(profile, build_of)
        emulated = emulator.Emulator(profile, build_of, firmware, Path(flash) if flash else None)
        try:
            return Board(profile, Link(emulated.stream, baud), emulated, run_s)
        except BaseException:
            emulated.stop()
            raise
    stream = SerialStream(ports.choose(profile, port), baud)
    try:
        return Board(profile, Link(stream, baud), None, run_s)
    except BaseException:
        stream.close()
        raise
