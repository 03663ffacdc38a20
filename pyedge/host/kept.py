"""Samples kept in a board's flash: docs/link.md, "Reservoir"."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import LinkError, PlanError, UnsupportedError
from ..model.graph import array_dtype
from ..tune.training import Array, Facts
from . import commands, timing
from .link import RefusedError

if TYPE_CHECKING:
    from .remote import Remote


class FlashReservoir:
    """The samples that a board keeps of a plan in its flash: at most as many as the plan says, balanced over classes.

    Raises:
        UnsupportedError: A board that can't write its flash, or firmware that keeps no samples.
        PlanError: The slot, or the RAM beside the plan, has no room for so many.
        LinkError, BoardError: As the link and the board report.
    """

    def __init__(self, remote: Remote, facts: Facts) -> None:
        self._remote = remote
        self._train = remote.plan.entry("train")
        self._open = {"n": facts.replay, "seed": facts.seed, "cls": facts.classes, "acc": facts.accumulate}
        sizes = [t.bytes // (t.shape[0] or 1) for t in self._train.inputs]
        self._cuts = np.cumsum(sizes)[:-1]
        self._bytes = sum(sizes)
        self._size = facts.replay
        if self._ask()["row"] != self._bytes:
            raise LinkError(f"{remote.board.name}: replay: bad answer: its samples are no rows of this plan")

    def __len__(self) -> int:
        return commands.number_of(self._ask(), "kept", self._remote.board.name)

    def _ask(self) -> dict[str, Any]:
        flash_s = timing.ERASE_S + self._size * self._bytes / timing.FLASH_BYTES_PER_S
        remote = self._remote
        try:
            return remote.request(remote.board.link.write, commands.REPLAY, self._open, work_s=flash_s)
        except RefusedError as e:
            if e.rc == commands.RC_MEMORY:
                raise PlanError(f"{e}; try: a smaller replay") from e
            if e.rc == commands.RC_SUPPORT:
                raise UnsupportedError(f"{e}; try: pyedge flash -b {remote.board.name}, or persist=False") from e
            raise

    def add(self, arrays: Sequence[Array]) -> None:
        """Offers samples, rows of arrays, one after the other."""
        for sample in zip(*arrays, strict=True):
            for i, value in enumerate(sample[:-1]):
                self._remote.send(self._train, [np.asarray(value)], i)
            self.offer(self._train.number, np.asarray(sample[-1]).tobytes())

    def offer(self, entry: int, target: bytes) -> bool:
        """Offers what the inputs of "features" hold, or the first rows of those of "train". True: it was kept."""
        body = {"e": entry, "data": target, "crc": zlib.crc32(target)}
        flash_s = timing.COMMAND_S + timing.ERASE_S + self._size * self._bytes / timing.FLASH_BYTES_PER_S  # all of them
        return bool(self._remote.once(commands.REMEMBER, body, flash_s).get("crc") == 1)

    def arrays(self) -> list[Array]:
        """The samples kept, as rows of arrays; no arrays if there are none."""
        rows = [self._row(i) for i in range(len(self))]
        columns = zip(*(np.split(row, self._cuts) for row in rows), strict=True)
        return [
            np.stack(column).view(array_dtype(t.dtype).newbyteorder("<")).astype(array_dtype(t.dtype))
            .reshape(len(rows), *t.shape[1:])
            for column, t in zip(columns, self._train.inputs, strict=False)
        ]  # fmt: skip

    def _row(self, number: int) -> Array:
        data = self._remote.read(commands.SAMPLE, f"sample {number}", self._bytes, i=number)
        return np.frombuffer(data, np.uint8)
