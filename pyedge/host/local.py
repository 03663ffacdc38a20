"""This computer: whether it is a certain board, and on which of its CPUs a plan runs."""

from __future__ import annotations

import platform
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from .. import clocks
from ..boards import Profile
from ..errors import UnsupportedError
from ..plan.roofline import Roofs
from ..session import Session
from .remote import Remote
from .roofs import measured_roofs

_MODEL = Path("/proc/device-tree/model")


def model_name(file: Path = _MODEL) -> str:
    """What the device tree calls this computer; "" where there is none, as on a PC."""
    try:
        return file.read_text(errors="replace").rstrip("\0\n")
    except OSError:
        return ""


def require_here(profile: Profile, file: Path = _MODEL) -> str:
    """Checks that this computer is a board with Linux; returns what it calls itself.

    A profile that doesn't tell the model's names is satisfied by the architecture.

    Raises:
        UnsupportedError: It is another one; says which, and how the board is reached.
    """
    assert profile.linux is not None
    machine, model = platform.machine(), model_name(file)
    names = profile.linux.models
    if machine == profile.linux.wheel and (not names or any(name in model for name in names)):
        return model or machine
    here = f"{model}, {machine}" if model else machine
    raise UnsupportedError(
        f"{profile.name}: pyedge runs on this board itself, and this computer is another one ({here}); call it there,"
        f" or try: --board {profile.name} --port ssh:USER@HOST"
    )


def fastest_cpu(target: Session | Remote) -> set[int]:
    """A CPU of the fastest kind where a target runs, the last one: the first has more of the system's work.

    Raises UnsupportedError for a board without Linux.
    """
    kinds = target.board.clusters() if isinstance(target, Remote) else clocks.clusters()
    return {kinds[0][1][-1]}


@contextmanager
def placed(target: Session | Remote, cpus: set[int]) -> Iterator[None]:
    """Keeps the runs of a target on some CPUs: here until the block ends, on a board until the link does.

    Raises:
        UnsupportedError: A board without Linux; or not its CPUs.
    """
    if isinstance(target, Remote):
        target.board.pin(cpus)
        yield
        return
    if not clocks.CAN_PIN:
        raise UnsupportedError("this system can't keep a program on some CPUs; leave --cpus out")
    if not cpus or not cpus <= clocks.allowed():
        there = clocks.name_cpus(clocks.allowed())
        raise UnsupportedError(
            f"CPUs {clocks.name_cpus(cpus) or 'none'}: this program may use {there}; try: --cpus {there}"
        )
    with clocks.pinned(cpus):
        yield


def roofs(target: Session | Remote) -> Roofs | None:
    """What a target does at most in the unit of its profiles; None where that is not known, as where instructions
    are counted. Measures for 0.2 s where pyedge runs.
    """
    return target.board.roofs() if isinstance(target, Remote) else measured_roofs()
