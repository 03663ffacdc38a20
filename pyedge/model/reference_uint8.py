"""NumPy references of the kinds of ops_uint8.py, to the bit, after TFLite's uint8 reference kernels."""

from __future__ import annotations

import numpy as np

from . import quantmath as qm
from .fixed_point import scale_twice_rounded, wrap32
from .graph import Op
from .reference import _SUMS, RULES, Arrays, Tensors, _codes, _ints, _scale, _taps, _zero


def _weighted(op: Op, v: Arrays, t: Tensors, rounding: str) -> np.ndarray:
    x, w, y = t[0], t[1], t[-1]
    total = _SUMS[op.kind.removesuffix("_zero_point")](op, _ints(v[0], x), _ints(v[1], w), y).astype(np.int64)
    if len(v) > 2 and v[2] is not None:
        total = total + v[2].astype(np.int64)
    factors = qm.linear_scales(_scale(x), np.array([_scale(w)], np.float32), _scale(y))
    multiplier, shift = qm.quantize_multipliers(factors)
    return _codes(op, scale_twice_rounded(wrap32(total), multiplier, shift), y)


def _avg_pool2d_up(op: Op, v: Arrays, t: Tensors, rounding: str) -> np.ndarray:
    inside = _taps(op, np.ones_like(v[0], np.int64), op.attrs["kernel"], t[-1], 0)
    count = np.asarray(sum(inside.values()))
    total = np.asarray(sum(_taps(op, v[0].astype(np.int64) + 128, op.attrs["kernel"], t[-1], 0).values()))
    return _codes(op, (total + count // 2) // count - 128 - _zero(t[-1]), t[-1])


RULES["shift_codes"] = lambda op, v, t, rounding: (v[0].view(np.uint8) ^ np.uint8(0x80)).view(t[-1].dtype)
RULES["avg_pool2d_up"] = _avg_pool2d_up
for _kind in ("conv2d", "depthwise_conv2d", "linear"):
    RULES[f"{_kind}_zero_point"] = _weighted
