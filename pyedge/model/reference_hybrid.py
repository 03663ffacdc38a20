"""NumPy references of the kinds of ops_hybrid.py, to the bit: float32 arithmetic in the order of docs/arithmetic.md."""

from __future__ import annotations

from typing import Any

import numpy as np

from . import quantmath as qm
from .graph import Op
from .reference import _SUMS, RULES, Arrays, Tensors

_F32 = np.float32


def _round_half_away(x: np.ndarray) -> np.ndarray:
    return np.asarray(np.copysign(np.floor(np.abs(x.astype(np.float64)) + 0.5), x))


def _quantized(x: np.ndarray, asymmetric: bool) -> tuple[np.ndarray, np.float32]:
    """Codes without their zero point, and their scale, of all of x."""
    low, high = min(x.min(), _F32(0)), max(x.max(), _F32(0))
    if low == high:
        return np.zeros_like(x), _F32(1)
    if not asymmetric:
        extreme = max(high, -low)
        codes = _round_half_away(x * _F32(_F32(127) / extreme))
        return np.clip(codes, -127, 127), _F32(extreme / _F32(127))
    scale = np.float64(high - low) / 255
    below, above = low / scale, high / scale
    zero = np.clip(_round_half_away(np.asarray(-128 - below if 128 - below < 127 + above else 127 - above)), -128, 127)
    factor = _F32(_F32(1) / _F32(scale))
    return np.clip(_round_half_away(_F32(zero) + x * factor), -128, 127) - zero, _F32(scale)


def _hybrid(op: Op, v: Arrays, t: Tensors, rounding: str) -> np.ndarray:
    kind, asymmetric = op.kind.removesuffix("_hybrid"), op.attrs["asymmetric"]
    x, w = v[0], v[1]
    assert t[1].quant is not None
    parts: list[Any] = []
    for part in x.reshape(-1, 1, w.shape[1]) if kind == "linear" else x[:, None]:
        codes, scale = _quantized(part, asymmetric)
        value = _SUMS[kind](op, codes, w, t[-1]).astype(np.int64).astype(_F32)
        if kind == "conv2d" and asymmetric:
            parts.append(value * t[1].quant.scale * scale)
        else:
            parts.append(value * (t[1].quant.scale * scale))
    y = np.concatenate(parts)
    if len(v) > 2 and v[2] is not None:
        y = y + v[2]
    return np.asarray(np.clip(y, *qm.ACTIVATION_RANGES[op.attrs["activation"]]))


for _kind in ("conv2d", "depthwise_conv2d", "linear"):
    RULES[f"{_kind}_hybrid"] = _hybrid
