"""A board as Python sees it: connect, and load a plan."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any

from ..boards import Profile as BoardProfile
from ..boards import load_profile
from ..clocks import Clock, name_cpus, parse_cpus
from ..errors import BoardError, LinkError, PlanError, ToolError, UnsupportedError, VerificationError
from ..model.custom import KERNELS
from ..plan import Plan
from ..plan.roofline import Roofs
from . import build, commands, emulator, ports, ssh, timing
from .commands import Hello, Memory
from .link import GROUP_IMAGE, GROUP_OS, GROUP_PYEDGE, Link, Progress, RefusedError
from .remote import Remote
from .roofs import told_roofs
from .ssh import SshStream
from .stream import SerialStream, Stream


class Board:
    """A board that answers. A context manager; close() ends an emulator that connect() has started."""

    def __init__(
        self, profile: BoardProfile, link: Link, emulated: emulator.Emulator | None, run_s: float | None
    ) -> None:
        """Says hello. Use connect().

        Raises:
            LinkError, BoardError: No answer; the firmware is for another board, or of another protocol.
        """
        self.profile = profile
        self.name = profile.name
        self.link = link
        self._emulator = emulated
        self.isa = emulated.image.isa if emulated else None
        self.run_s = run_s  # deadline of one run; None: as many MACs need
        self.cpus = ""  # that pin() has chosen
        self.plan_sha: bytes | None = None  # of the plan that the board has in use, as far as we know
        self.hello = self._say_hello()

    def _say_hello(self) -> Hello:
        start_s = timing.SSH_S if self.profile.linux else timing.BOOT_S if self._emulator else timing.COMMAND_S
        try:
            answer = self.link.read(GROUP_PYEDGE, commands.HELLO, deadline_s=start_s)
        except LinkError as e:
            if self._emulator and self._emulator.complaint:
                raise ToolError(f"{self.name}: the emulator failed: {self._emulator.complaint}") from e
            what = "pyedge" if self.profile.linux else "the firmware"
            raise LinkError(f"{e}; is {what} on it? try: {self._update}") from e
        hello: Hello = commands.fields_of(Hello, answer, self.name)
        if hello.proto != commands.PROTOCOL:
            raise BoardError(
                f"{self.name}: its firmware {hello.fw} speaks protocol {hello.proto}, this is {commands.PROTOCOL};"
                f" try: {self._update}"
            )
        if hello.board != self.name:
            where = self.link.stream.name
            raise BoardError(f"{where}: this is a {hello.board}, not a {self.name}; use -b {hello.board}")
        self.link.buf_bytes = hello.buf
        return hello

    @property
    def _update(self) -> str:
        """The command that brings what answers there to this version."""
        return "pip install --upgrade pyedge, there" if self.profile.linux else f"pyedge flash -b {self.name}"

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
        answer = self.link.write(GROUP_OS, commands.ECHO, {"d": text}).get("r")
        if not isinstance(answer, str):
            raise LinkError(f"{self.name}: echo: bad answer")
        return answer

    def reset(self) -> None:
        """Restarts the board and waits for it. A plan in RAM is lost."""
        self.link.write(GROUP_OS, commands.RESET)
        self.plan_sha = None
        self.hello = self._say_hello()

    def memory(self) -> Memory:
        """RAM of the board, as it is now."""
        memory: Memory = commands.fields_of(Memory, self.link.read(GROUP_PYEDGE, commands.MEMORY), self.name)
        return memory

    def clock(self) -> Clock:
        """How the CPU of a board with Linux is clocked now; all None of a board with firmware."""
        if not self.profile.linux:
            return Clock()
        answer = self.link.read(GROUP_PYEDGE, commands.CLOCK)
        kinds = {"governor": str, "mhz": int, "mc": int, "limited": bool}
        for key, kind in kinds.items():
            if key in answer and type(answer[key]) is not kind:
                raise LinkError(f"{self.name}: clock: bad answer: {key} is {answer[key]!r}")
        celsius = answer["mc"] / 1000 if "mc" in answer else None
        return Clock(answer.get("governor"), answer.get("mhz"), celsius, answer.get("limited"))

    def pin(self, cpus: set[int], threads: int = 1) -> None:
        """Keeps the runs of a board with Linux on some of its CPUs; plans loaded from now on have that many threads.

        Raises:
            UnsupportedError: A board without Linux, a pyedge there that can't yet, or not its CPUs.
        """
        answer = self._linux(
            lambda: self.link.write(GROUP_PYEDGE, commands.CPUS, {"cpus": name_cpus(cpus), "threads": threads})
        )
        self.cpus = commands.text_of(answer, "cpus", self.name)

    def clusters(self) -> list[tuple[int, tuple[int, ...]]]:
        """Of a board with Linux, as clocks.clusters() there. Raises as `pin`."""
        found = self._linux(lambda: self.link.read(GROUP_PYEDGE, commands.CPUS)).get("clusters")
        try:
            return [(int(mhz), tuple(sorted(parse_cpus(cpus)))) for mhz, cpus in found]  # type: ignore[union-attr]
        except (TypeError, ValueError, AttributeError) as e:
            raise LinkError(f"{self.name}: cpus: bad answer: clusters is {found!r}") from e

    def roofs(self) -> Roofs | None:
        """What it does at most in its unit: measured on a board with Linux, else what its profile tells, or None."""
        if not self.profile.linux:
            return told_roofs(self.profile, self.hello.unit)
        try:
            answer = self._linux(lambda: self.link.read(GROUP_PYEDGE, commands.PEAKS, work_s=timing.COMMAND_S))
        except UnsupportedError:
            return told_roofs(self.profile, self.hello.unit, parse_cpus(self.cpus))
        try:
            macs = {str(kind): int(rate) / 1e9 for kind, rate in answer["macs"].items()}
            reads = {int(size): int(rate) / 1e9 for size, rate in answer["reads"]}
        except (KeyError, TypeError, ValueError, AttributeError) as e:
            raise LinkError(f"{self.name}: peaks: bad answer: {answer!r}") from e
        return Roofs(commands.text_of(answer, "level", self.name), macs, reads)

    def _linux(self, ask: Callable[[], dict[str, Any]]) -> dict[str, Any]:
        """The answer to a command that only boards with Linux have."""
        if not self.profile.linux:
            raise UnsupportedError(f"{self.name}: it has no Linux, whose CPUs could be chosen")
        try:
            return ask()
        except RefusedError as e:
            if e.rc == commands.RC_SUPPORT:
                raise UnsupportedError(f"{e}; is the pyedge there older? try: {self._update}") from e
            raise UnsupportedError(str(e)) from e

    def slots(self) -> list[dict[str, Any]]:
        """The plans in flash: slot, hash (32 bytes), active, confirmed, version."""
        return [image for image in self.images() if image.get("image") != commands.FIRMWARE_IMAGE]

    def images(self) -> list[dict[str, Any]]:
        """The plans in flash, and the firmware of a board that has slots for it: that is image 0."""
        try:
            images = self.link.read(GROUP_IMAGE, commands.STATE, work_s=timing.ERASE_S).get("images")
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
                answer = self.link.read(
                    GROUP_PYEDGE, commands.CUSTOM_OPS, {"off": len(found)}, answer_bytes=self.link.buf_bytes
                )
            except RefusedError as e:
                if e.rc == commands.RC_SUPPORT:  # firmware from before there were any
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
                if self.profile.linux:
                    raise PlanError(
                        f"{self.name}: custom ops don't go through ssh; try: pyedge run --with {file}, there"
                    )
                raise PlanError(
                    f"{self.name}: the firmware {lack} the custom op {name!r};"
                    f" try: pyedge flash -b {self.name} --with {file}"
                )

    def load(self, plan: Plan, persist: bool = False, progress: Progress | None = None) -> Remote:
        """Puts a plan on the board, has it verified there, and reads its SHA-256 back.

        Args:
            persist: Into flash, where it survives a reset, instead of RAM. If the board has it there already, it begins
                with the states that `Remote.keep` wrote last. On a board that cannot write its flash the
                plan always goes there: the emulator is started again with an image that contains it.
            progress: Called with bytes done and bytes in all.

        Raises:
            PlanError: Not for this board: an op that the firmware lacks, an arena or a plan too large.
            VerificationError: What the board has is not what was sent.
            LinkError, BoardError: As the link and the board report.
        """
        self._check_custom(plan)
        if persist and not self.hello.slots:
            raise UnsupportedError(f"{self.name}: it has no flash for plans; try: persist=False")
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
                self.link.upload(GROUP_PYEDGE, commands.LOAD, data, work_s=timing.ERASE_S, progress=progress)
        except RefusedError as e:
            raise _load_error(e, plan, self) from e
        if self._running_sha() != digest:
            raise VerificationError(f"{self.name}: the plan on the board is not the one sent: another SHA-256")
        self.plan_sha = digest
        return Remote(self, plan, digest, persist and not (store and not store.writable))

    def store_plan(self, data: bytes, progress: Progress | None = None) -> None:
        """Writes a plan into the inactive slot, makes it the active one, and reads its hash back."""
        self.link.upload(
            GROUP_IMAGE,
            commands.UPLOAD,
            data,
            work_s=timing.ERASE_S,
            chunk_s=self.link.buf_bytes / timing.FLASH_BYTES_PER_S,
            progress=progress,
        )
        digest = hashlib.sha256(data).digest()
        if not any(slot["hash"] == digest and slot.get("active") is True for slot in self.slots()):
            raise VerificationError(f"{self.name}: the slot that was written did not become the active one")
        self._keep_flash()

    def keep_states(self, state_bytes: int) -> None:
        """Writes the states of the plan in use into the board's flash. See `Remote.keep`."""
        work_s = timing.ERASE_S + state_bytes / timing.FLASH_BYTES_PER_S
        self.link.write(GROUP_PYEDGE, commands.KEEP, work_s=work_s)
        self._keep_flash()

    def _keep_flash(self) -> None:
        """The next emulator of this board begins with what this one has in its flash now."""
        if self._emulator:
            emulator.keep_flash(self.profile, self._emulator.flash)

    def use_slot(self) -> bytes:
        """Takes the plan in the active slot into use, executed where it lies. Its SHA-256; BoardError without one."""
        self.link.write(GROUP_PYEDGE, commands.USE_SLOT, work_s=timing.ERASE_S)
        return self._running_sha()

    def _running_sha(self) -> bytes:
        """SHA-256 of the plan in use, as the board computes it from what it holds."""
        return commands.bytes_of(self.link.read(GROUP_PYEDGE, commands.PLAN, work_s=timing.ERASE_S), "sha", self.name)

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
    if e.answer.get("st") == commands.ST_LAYOUT:
        return PlanError(f"{e}; try: pyedge compile MODEL -b {name}")
    if "st" in e.answer:
        return PlanError(f"{e}; is the firmware older, or trimmed to another plan? try: pyedge flash -b {name}")
    if e.rc == commands.RC_CORRUPT and board.profile.linux:
        return PlanError(f"{e}; is the pyedge there older? try: {board._update}")
    if e.rc == 2:
        in_flash = board.profile.store and plan.arena_bytes <= hello.pool
        advice = "persist=True: then only the arena is in RAM" if in_flash else "low_memory=True, or a smaller batch"
        return PlanError(
            f"{name}: a plan of {len(plan.data)} bytes with an arena of {plan.arena_bytes} does not fit into"
            f" {hello.pool} bytes: {e.answer.get('what', 'no memory')}; try: {advice}"
        )
    return e


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
        port: Path, pyserial URL, or "serial:ID" of a USB adapter; default: PYEDGE_PORT, else the board's USB id. Of a
            board with Linux, that has pyedge: "ssh:[user@]host[:port][/path/to/python]", reached by the system's ssh.
        isa: Which build of the firmware an emulated board runs; default: the first of the profile.
        image: Firmware file to run, instead of the one that `flash` gave custom ops last, or the one that pyedge has.
        timeout: Overall deadline of one run, seconds; by default what a slow board needs for the plan's MACs.
        flash: File that is the flash of an emulated board; without it a copy of what was kept last (persist=True).

    Raises:
        BoardNotFoundError: No such board or port; or several ports match, all are named.
        UnsupportedError: A board without firmware: described only, or one with Linux, on which pyedge itself runs, and
            the port is no "ssh:"; a machine of another kind than the board's.
        PermissionDeniedError, BusyError: The port is not ours to open; in use. ssh does not let us in.
        ToolError: The emulator, or a compiler for its firmware, is missing; ssh, or pyedge at its other end.
        LinkError, BoardError: No answer; other firmware.
    """
    profile = board if isinstance(board, BoardProfile) else load_profile(board)
    port = port or os.environ.get("PYEDGE_PORT") or None
    over_ssh = port is not None and port.startswith(ssh.PREFIX)
    baud = ssh.BAUD if over_ssh else profile.serial_link().baud
    if port is None and profile.emulator:
        build_of = profile.image(isa)
        firmware = Path(image) if image else emulator.kept_firmware(profile, build_of)
        firmware = firmware or build.firmware(profile, build_of)
        emulated = emulator.Emulator(profile, build_of, firmware, Path(flash) if flash else None)
        try:
            return Board(profile, Link(emulated.stream, baud), emulated, timeout)
        except BaseException:
            emulated.stop()
            raise
    stream: Stream
    if port is not None and over_ssh:
        stream = SshStream(profile, port)
    else:
        stream = SerialStream(ports.choose(profile, port), baud)
    try:
        return Board(profile, Link(stream, baud), None, timeout)
    except BaseException:
        stream.close()
        raise
