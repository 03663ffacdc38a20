"""What a pass did, in numbers."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from ..model.graph import Graph

SCHEMA = 1


@dataclass(frozen=True)
class Report:
    """Size before and after a pass, and what it did to each weight.

    weight_bytes: of all constants. weight_sqnr_db: signal to quantization noise of each rewritten weight, in dB.
    """

    name: str
    weight_bytes_before: int
    weight_bytes_after: int
    weight_sqnr_db: dict[str, float] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """Plain data, for JSON."""
        return {"schema": SCHEMA, **self.__dict__}

    def __str__(self) -> str:
        lines = [f"{self.name}: constants {self.weight_bytes_before:,} -> {self.weight_bytes_after:,} bytes"]
        lines += [f"  {name}: {db:.1f} dB" for name, db in self.weight_sqnr_db.items()]
        return "\n".join(lines)


def constant_bytes(graph: Graph) -> int:
    """Bytes of all constants that an op reads."""
    read = {n for op in graph.ops for n in op.inputs if n is not None}
    return sum(t.data.nbytes for t in graph.tensors.values() if t.data is not None and t.name in read)
