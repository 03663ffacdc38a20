"""A named value, of a graph or a plan: name, shape, dtype, quantization.

A room of its own, so that a session on a plan from a file needs nothing of the graph's side.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from .errors import ShapeError

DTYPES = (
    *("float32", "int8", "int32", "bool", "uint8", "int16", "uint16", "uint32", "int64", "uint64"),
    *("float16", "float64", "bfloat16"),
)


def array_dtype(name: str) -> np.dtype[Any]:
    """NumPy's dtype of a tensor's arrays. bfloat16 is that of ml_dtypes, or uint16 codes where it is not installed."""
    if name != "bfloat16":
        return np.dtype(name)
    try:
        import ml_dtypes
    except ImportError:
        return np.dtype(np.uint16)
    bfloat16: np.dtype[Any] = np.dtype(ml_dtypes.bfloat16)
    return bfloat16


@dataclass(frozen=True)
class Quantization:
    """real = scale * (code - zero_point), per tensor (one element) or per slice along axis."""

    scale: np.ndarray  # float32 [1] or [C]
    zero_point: np.ndarray  # int32, same length
    axis: int = 0


@dataclass
class Tensor:
    """A named value of a graph.

    shape: one int per axis; None for an axis that is fixed at compile time. data: a constant's value, else None.
    index: its number in the model file, if it came from one.
    """

    name: str
    shape: tuple[int | None, ...]
    dtype: str
    data: np.ndarray | None = None
    quant: Quantization | None = None
    index: int | None = None

    @property
    def scale(self) -> float | None:
        """Scale of a per-tensor quantized tensor, else None."""
        return float(self.quant.scale[0]) if self.quant is not None and self.quant.scale.size == 1 else None

    @property
    def zero_point(self) -> int | None:
        """Zero point of a per-tensor quantized tensor, else None."""
        return int(self.quant.zero_point[0]) if self.quant is not None and self.quant.scale.size == 1 else None

    def quantize(self, x: np.ndarray) -> np.ndarray:
        """Real values, any shape, to codes of this tensor's dtype: x / scale in float32, half to even, saturated."""
        if self.scale is None or self.zero_point is None:
            raise ShapeError(f"tensor {self.name!r} is {self.dtype} and has no per-tensor scale; feed it as it is")
        q = np.rint(np.asarray(x, np.float32) / np.float32(self.scale)) + np.float32(self.zero_point)
        if np.isnan(q).any():
            raise ShapeError(f"tensor {self.name!r}: cannot quantize NaN")
        limit = np.iinfo(self.dtype)
        return np.asarray(np.clip(q.astype(np.float64), limit.min, limit.max), limit.dtype)

    def dequantize(self, q: np.ndarray) -> np.ndarray:
        """Codes of this tensor, any shape, to float32 values: scale * (q - zero_point)."""
        if self.scale is None or self.zero_point is None:
            raise ShapeError(f"tensor {self.name!r} is {self.dtype} and has no per-tensor scale; it is already real")
        return np.asarray((np.asarray(q, np.int32) - self.zero_point).astype(np.float32) * np.float32(self.scale))
