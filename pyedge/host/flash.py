"""Firmware and plan onto a board, and read back."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ..boards import Image, load_profile
from ..boards import Profile as BoardProfile
from ..errors import BoardNotFoundError, VerificationError
from ..plan import Plan
from . import build, emulator, folders
from .board import Board, connect
from .flashers import Command, write_firmware
from .link import Progress


@dataclass(frozen=True)
class FlashReport:
    """What is on the board now, all of it read back; with dry_run what would be."""

    board: str
    isa: str
    image: Path  # the firmware file
    image_sha256: str
    size: build.ImageSize
    ops: tuple[str, ...] | None  # op kinds of a trimmed firmware; None: all
    plan_sha256: str | None
    dry_run: bool
    commands: tuple[Command, ...] = ()  # of the program that flashes a real board
    answered: bool = False  # False: a dry run, or firmware in a board whose link is not wired

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        return {**asdict(self), "image": str(self.image)}


def flash(
    board: str | Path | BoardProfile,
    plan: Plan | str | Path | None = None,
    port: str | None = None,
    isa: str | None = None,
    trim_to: Plan | str | Path | None = None,
    toolchain: str | None = None,
    dry_run: bool = False,
    progress: Progress | None = None,
    kernels: Sequence[str | Path] = (),
    release: bool = False,
) -> FlashReport:
    """Puts firmware on a board, and a plan into its flash.

    An emulated board starts with the image; its flash, with the plan, is kept for the next connection, and so is
    firmware with custom ops, or for release. With a port only the plan is written: the firmware stays.

    A real board's firmware is written by the program that its profile names, then the plan over the link. A board
    without a store gets firmware with the plan in it.

    Args:
        plan: A plan or its file, for the inactive slot; it becomes the active one.
        port: Of the link, and of the program where that takes one; or the folder of a UF2 drive, as write_firmware.
        trim_to: Build firmware with the op kinds of this plan only.
        toolchain: As build.firmware.
        dry_run: Build, but leave the board alone.
        kernels: C files of custom ops to build into the firmware.
        release: Build firmware without what is for developing (firmware/README.md): it tells no times of ops and no
            states, and does not answer MLPerf's protocol.

    Raises:
        UnsupportedError: There is no firmware for this board.
        VerificationError: What is read back after a reset differs.
        ToolError, PlanError, LinkError, BoardError: As build.firmware, write_firmware and Board.load.
    """
    profile = board if isinstance(board, BoardProfile) else load_profile(board)
    image = profile.image(isa)
    ops = tuple(sorted({op.kind for op in _plan(trim_to).ops})) if trim_to is not None else None
    wanted = None if plan is None else _plan(plan)
    options = {"PYEDGE_RELEASE": "ON"} if release else {}
    linked = wanted is not None and profile.store is None and not profile.emulator
    if wanted is not None and linked:
        options["PYEDGE_PLAN"] = str(plan_file(wanted))
    file = build.firmware(profile, image, ops, toolchain, [Path(kernel) for kernel in kernels], options)
    digest = None if wanted is None else hashlib.sha256(wanted.data).hexdigest()
    commands = [] if profile.emulator else write_firmware(profile, file, port, dry_run, progress)
    answered = not dry_run
    if not dry_run:
        on_link = None if port is None or Path(port).is_dir() else port
        try:
            _check(profile, image, file, on_link, ops, wanted, linked, progress)
        except BoardNotFoundError:
            if profile.emulator or (wanted is not None and not linked):
                raise
            answered = False
        if profile.emulator and port is None:
            emulator.keep_firmware(profile, image, file if kernels or release else None)
    sha, size = hashlib.sha256(file.read_bytes()).hexdigest(), build.image_size(file)
    return FlashReport(profile.name, image.isa, file, sha, size, ops, digest, dry_run, tuple(commands), answered)


def _plan(plan: Plan | str | Path) -> Plan:
    return plan if isinstance(plan, Plan) else Plan.load(plan)


def plan_file(plan: Plan) -> Path:
    """A file of the plan whose name is its content's: what is built with it is kept under that name."""
    file = folders.cache_folder() / "flash" / f"{hashlib.sha256(plan.data).hexdigest()[:24]}.pedge"
    file.parent.mkdir(parents=True, exist_ok=True)
    plan.save(file)
    return file


def _check(
    profile: BoardProfile,
    image: Image,
    file: Path,
    port: str | None,
    ops: tuple[str, ...] | None,
    plan: Plan | None,
    linked: bool,
    progress: Progress | None,
) -> None:
    """The firmware answers; the plan is written, if it is not linked, and found after a reset."""
    with connect(profile, port, image.isa, file) as b:
        if ops is not None and b.hello.ops != len(ops):
            raise VerificationError(f"{profile.name}: its firmware has {b.hello.ops} op kinds, not {len(ops)}")
        if plan is not None:
            if not linked:
                b.load(plan, persist=True, progress=progress)
            _check_after_reset(b, hashlib.sha256(plan.data).digest())


def _check_after_reset(b: Board, digest: bytes) -> None:
    """What counts is what the board finds when it starts."""
    b.reset()
    if b.use_slot() != digest:
        raise VerificationError(f"{b.profile.name}: after a reset another plan is the active one")
