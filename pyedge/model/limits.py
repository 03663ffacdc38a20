"""What reading a model may take: the size of a file, and how much is computed meanwhile. A small file must not ask for
gigabytes or for hours.
"""

from __future__ import annotations

import math
import os
import stat
from collections.abc import Iterable, Sequence

from ..errors import ModelError
from .graph import Op, Tensor, array_dtype
from .ops import KINDS, MAX_EXTENT

_ALWAYS = 2**23  # bytes of a constant that may be made of nothing
_GROWTH = 8  # a larger one: as a multiple of the bytes of its operands
_TOTAL = 2**25  # bytes of all of them, beyond a multiple of the constants that are there
_WORK = 2**27  # multiply-accumulates and elements of one op, beyond those of its operands


def read_file(path: str | os.PathLike[str]) -> bytes:
    """The bytes of a file.

    Raises:
        ModelError: It can't be read, is no ordinary file, or has more than 2^30 bytes.
    """
    try:
        with open(path, "rb") as f:
            facts = os.fstat(f.fileno())
            if not stat.S_ISREG(facts.st_mode):
                raise ModelError(f"{os.fspath(path)}: not a file")
            if facts.st_size > MAX_EXTENT:
                raise ModelError(f"{os.fspath(path)}: the file has more than 2^30 bytes")
            return f.read()
    except OSError as e:
        raise ModelError(f"{os.fspath(path)}: {e.strerror}") from None


class Budget:
    """What constant folding may still make: `growth` times the bytes of the constants that are given, and some more."""

    def __init__(self, given: Iterable[Tensor], growth: int) -> None:
        self.left = _TOTAL + growth * sum(t.data.nbytes for t in given if t.data is not None)

    def allows(self, op: Op, operands: Sequence[Tensor | None], results: Sequence[Tensor]) -> bool:
        """Whether an op on constants may be computed now; if so, its results are taken off the budget."""
        made = sum(_bytes(t) for t in results)
        read = sum(_bytes(t) for t in operands if t is not None)
        window = math.prod(op.attrs.get("kernels", op.attrs.get("kernel", ())))
        work = max(KINDS[op.kind].macs(list(operands), t.shape) for t in results) + made * window
        if op.kind == "einsum":  # any product of its axes
            work = math.prod(_elements(t) for t in operands if t is not None)
        if made > max(_ALWAYS, _GROWTH * read) or made > self.left or work > _WORK + read:
            return False
        self.left -= made
        return True


def _elements(t: Tensor) -> int:
    return math.prod(d or 1 for d in t.shape)


def _bytes(t: Tensor) -> int:
    return _elements(t) * array_dtype(t.dtype).itemsize
