"""The demo itself: the same digits, here and on a board."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from ..errors import MissingToolError
from ..host import Board, connect
from ..plan import Plan, Profile
from ..plan.compile import compile
from ..session import Session
from .model import digits_int8, heldout

Progress = Callable[[int], None]


@dataclass(frozen=True)
class Comparison:
    """What run() has found.

    here, there: output codes, int8 [digits, 10], of Python and of the board. labels: [digits]. fallback: why the board
    is not the one that was asked for, else None.
    """

    plan: Plan
    board: str
    isa: str
    here: np.ndarray
    there: np.ndarray
    labels: np.ndarray
    profile_here: Profile
    profile_there: Profile
    fallback: str | None

    @property
    def different(self) -> int:
        """Output bytes that differ."""
        return int(np.count_nonzero(self.here != self.there))

    @property
    def accuracy_here(self) -> float:
        """Share of digits that Python gets right."""
        return float(np.mean(self.here.argmax(axis=1) == self.labels))

    @property
    def accuracy_there(self) -> float:
        """Share of digits that the board gets right."""
        return float(np.mean(self.there.argmax(axis=1) == self.labels))


@contextlib.contextmanager
def _connected(board: str, port: str | None, may_fall_back: bool) -> Iterator[tuple[Board, str | None]]:
    """The board, or the host port of the firmware where a tool for it (QEMU, a compiler) is not installed; and why."""
    why = None
    try:
        connected = connect(board, port=port)
    except MissingToolError as error:
        if not may_fall_back or board == "host":
            raise
        connected, why = connect("host"), str(error)
    with connected:
        yield connected, why


def run(
    board: str = "virt-rv32",
    port: str | None = None,
    digits: int = 360,
    may_fall_back: bool = True,
    progress: Progress | None = None,
) -> Comparison:
    """Classify held-out digits with the int8 model, in Python and on a board, and profile both.

    Args:
        board: Name of a board. Where its emulator is missing the firmware runs as a process here, if may_fall_back.
        port: Its serial port, for boards that are not emulated.
        digits: How many, 1 to 360.
        progress: Called with the number of digits done.

    Raises:
        ValueError: digits out of range.
        PyedgeError: As `connect`, `Board.load` and `Remote.run`.
    """
    images, labels = heldout()
    if not 1 <= digits <= len(images):
        raise ValueError(f"digits={digits}: 1 to {len(images)}")
    images, labels = images[:digits], labels[:digits]
    with _connected(board, port, may_fall_back) as (connected, why):
        graph = digits_int8()
        plan = compile(graph, board=connected.profile.name)
        session, remote = Session(plan), connected.load(plan)
        codes = graph.inputs[0].quantize(images)
        here, there = [], []
        for i, image in enumerate(codes):
            here.append(session.run([image[None]])[0][0])
            there.append(remote.run([image[None]])[0][0])
            if progress is not None:
                progress(i + 1)
        return Comparison(
            plan,
            connected.profile.name,
            connected.isa or connected.profile.isa,
            np.stack(here),
            np.stack(there),
            labels,
            session.profile([codes[:1]]),
            remote.profile([codes[:1]]),
            why,
        )
