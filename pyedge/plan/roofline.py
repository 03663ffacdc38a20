"""What bounds an op, arithmetic or memory, and how near it comes to that.

Source: Williams, Waterman, Patterson, Roofline, CACM 52(4), 2009.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from .reader import PlanOp, PlanTensor


@dataclass(frozen=True)
class Bound:
    """by: what the op could not be faster for; None where one of the two is not known. share: of what that allows, or
    of the arithmetic peak where only this is known; None if nothing is.
    """

    by: Literal["compute", "memory"] | None = None
    share: float | None = None

    def __str__(self) -> str:
        if self.share is None:
            return "unknown"
        return f"{self.by} {100 * self.share:.0f} %" if self.by else f"unknown, {100 * self.share:.0f} % of peak"


@dataclass(frozen=True)
class Roofs:
    """What one core does at most in one count of a profile's unit.

    source: where the figures are from, for people. macs: multiply-accumulates by type, "int8", "fp16" and "fp32".
    reads: bytes, by how many are read again and again, ascending; empty if not known.
    """

    source: str
    macs: Mapping[str, float] = field(default_factory=dict)
    reads: Mapping[int, float] = field(default_factory=dict)

    def bound(self, count: int, macs: int, type: str, moved: int) -> Bound:
        """Of an op that took `count`, has that many MACs of a type, and `moved` bytes of operands and results.

        Data are taken to come from the smallest memory that holds them all. An op without MACs is bound by memory.
        """
        if count <= 0 or not moved:
            return Bound()
        compute = macs / self.macs[type] if type in self.macs else 0.0
        size = next((size for size in self.reads if moved <= 1.25 * size), max(self.reads, default=0))
        memory = moved / self.reads[size] if size else 0.0
        if macs and not compute:
            return Bound()
        if not memory:
            return Bound(None, compute / count if compute else None)
        return Bound("compute" if compute > memory else "memory", max(compute, memory) / count)


def moved_bytes(op: PlanOp, tensors: Sequence[PlanTensor]) -> int:
    """Bytes of an op's operands and results, each counted once."""
    return sum(tensors[n].bytes for n in {*op.inputs, *op.outputs} if n is not None)


def arithmetic(op: PlanOp, tensors: Sequence[PlanTensor]) -> str:
    """The type of an op's multiply-accumulates, a key of Roofs.macs; "" where it has none, or of another type."""
    dtypes = {tensors[n].dtype for n in op.inputs[:2] if n is not None}
    if not op.macs or "int16" in dtypes:
        return ""
    if dtypes & {"int8", "uint8"}:
        return "int8"
    if "float16" in dtypes:  # exact: products and sums are float32
        return "fp16" if op.params.get("mode") == 1 else "fp32"
    return "fp32" if "float32" in dtypes else ""
