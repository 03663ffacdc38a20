"""NumPy references of int16 activations, to the bit, after TFLite's reference kernels ("16x8")."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from . import quantmath as qm
from . import quantmath_int16 as q16
from .fixed_point import Ints, scale_twice_rounded, wrap32
from .functions import binary, unary
from .graph import Op, Tensor, array_dtype
from .ops_elementwise import UNARY
from .reference import _SUMS, INT16, RULES, Arrays, Tensors, _round_half_away, _scale, _taps


def _clamp(op: Op, x: Ints, y: Tensor) -> np.ndarray:
    return np.asarray(np.clip(x, *q16.activation_range(op.attrs.get("activation"), _scale(y))))


def _wide(total: Ints, multiplier: Ints | int, shift: Ints | int) -> Ints:
    """total * multiplier / 2^shift, halves up, modulo 2^32."""
    return wrap32((total * multiplier + (np.int64(1) << (np.asarray(shift, np.int64) - 1))) >> shift)


def _weighted(op: Op, v: Arrays, t: Tensors, rounding: str) -> np.ndarray:
    x, w, y = t[0], t[1], t[-1]
    bias = v[2] if len(v) > 2 else None
    total = _SUMS[op.kind](op, v[0], v[1], y).astype(np.int64) + (0 if bias is None else bias.astype(np.int64))
    linear = op.kind == "linear"
    factors = (qm.linear_scales if linear else qm.channel_scales)(_scale(x), w.quant.scale, _scale(y))
    if not q16.is_wide(None if bias is None else str(bias.dtype)):
        return _clamp(op, scale_twice_rounded(wrap32(total), *qm.quantize_multipliers(factors)), y)
    return _clamp(op, _wide(total, *q16.wide_factors(factors)), y)


def _conv_transpose(op: Op, v: Arrays, t: Tensors, rounding: str) -> np.ndarray:
    x, w, y = v[0].astype(np.int64), v[1].astype(np.int64), t[-1]
    a = op.attrs
    total = np.zeros((x.shape[0], *y.shape[1:]), np.int64)
    if len(v) > 2 and v[2] is not None:
        total += v[2].astype(np.int64)
    per_group, depth = w.shape[0] // a["groups"], w.shape[-1]
    for pixel in np.ndindex(*x.shape[1:-1]):
        for tap in np.ndindex(*w.shape[1:-1]):
            at = tuple(
                p * s + k * d - before
                for p, s, k, d, (before, _) in zip(pixel, a["strides"], tap, a["dilations"], a["pads"], strict=True)
            )
            if not all(0 <= i < n for i, n in zip(at, y.shape[1:-1], strict=True)):
                continue
            for g in range(a["groups"]):
                outputs = slice(g * per_group, (g + 1) * per_group)
                place: Any = (slice(None), *at, outputs)
                image: Any = (slice(None), *pixel, slice(g * depth, (g + 1) * depth))
                taps: Any = (outputs, *tap)
                total[place] += x[image] @ w[taps].T
    factors = qm.channel_scales(_scale(t[0]), t[1].quant.scale, _scale(y))
    return _clamp(op, _wide(total, *q16.wide_factors(factors)), y)


def _matmul(op: Op, v: Arrays, t: Tensors, rounding: str) -> np.ndarray:
    a, b = (x.astype(np.int64) for x in v[:2])
    a = a.swapaxes(-1, -2) if op.attrs["transpose_a"] else a
    b = b.swapaxes(-1, -2) if op.attrs["transpose_b"] else b
    (factor,) = qm.linear_scales(_scale(t[0]), np.array([_scale(t[1])]), _scale(t[2]))
    return _clamp(op, _wide(a @ b, *q16.wide_factor(float(factor))), t[2])


def _binary(op: Op, v: Arrays, t: Tensors, rounding: str) -> np.ndarray:
    a, b = (x.astype(np.int64) for x in v[:2])
    y = t[2]
    p = q16.binary_params(op.kind, _scale(t[0]), _scale(t[1]), _scale(y) if y.dtype == "int16" else 1.0)
    if op.kind in q16.COMPARISONS:
        return binary(op.kind, {})(a, b)
    if op.kind in ("min", "max"):
        return _clamp(op, binary(op.kind, {})(a, b), y)
    if op.kind == "mul":
        return _clamp(op, scale_twice_rounded(a * b, *p.y), y)
    a, b = scale_twice_rounded(a << p.left_shift, *p.a), scale_twice_rounded(b << p.left_shift, *p.b)
    total = a + b if op.kind == "add" else a - b if op.kind == "sub" else (a - b) ** 2
    return _clamp(op, scale_twice_rounded(wrap32(total), *p.y), y)


def _avg_pool2d(op: Op, v: Arrays, t: Tensors, rounding: str) -> np.ndarray:
    """Halves away from zero."""
    total = np.asarray(sum(_taps(op, v[0].astype(np.int64), op.attrs["kernel"], t[-1], 0).values()))
    count = np.asarray(sum(_taps(op, np.ones_like(v[0], np.int64), op.attrs["kernel"], t[-1], 0).values()))
    return _clamp(op, np.sign(total) * ((np.abs(total) + count // 2) // count), t[-1])


def _max_pool2d(op: Op, v: Arrays, t: Tensors, rounding: str) -> np.ndarray:
    taps = _taps(op, v[0].astype(np.int64), op.attrs["kernel"], t[-1], q16.INT16_MIN)
    return _clamp(op, np.maximum.reduce(list(taps.values())), t[-1])


def _mean(op: Op, v: Arrays, t: Tensors, rounding: str) -> np.ndarray:
    axes = op.attrs["axes"]
    total = wrap32(np.asarray(v[0].astype(np.int64).sum(axis=axes)))
    if op.kind == "reduce_sum":
        factor = qm.rescale_multiplier(_scale(t[0]), _scale(t[-1]))
    else:
        factor = qm.mean_multiplier(_scale(t[0]), _scale(t[-1]), math.prod(v[0].shape[a] for a in axes))
    return _clamp(op, scale_twice_rounded(total, *factor), t[-1])


def _lookup(table: np.ndarray, x: Ints) -> Ints:
    at = 256 + (x >> 7)
    wide = table.astype(np.int64)
    slope = (wide[at + 1] - wide[at]).astype(np.int16).astype(np.int64)
    return np.asarray(wide[at] + ((slope * (x & 127) + 64) >> 7))


def _softmax(op: Op, v: Arrays, t: Tensors, rounding: str) -> np.ndarray:
    exps, reciprocals = q16.softmax_tables()
    x = v[0].astype(np.int64)
    d = scale_twice_rounded(x - x.max(axis=-1, keepdims=True), *q16.softmax_multiplier(op.attrs["beta"], _scale(t[0])))
    e = _lookup(exps, np.clip(d, -65535, 0) + 32767)
    total = e.sum(axis=-1, keepdims=True)
    zeros = np.array([32 - int(n).bit_length() for n in total.ravel()]).reshape(total.shape)
    fraction = (((total << (zeros - 1)) + (1 << 13)) >> 14) - (1 << 16) - (1 << 15)
    reciprocal = _lookup(reciprocals, np.clip(fraction, q16.INT16_MIN, q16.INT16_MAX))
    half = (np.int64(1) << (31 - zeros)) >> 1
    return np.asarray(np.clip((e * reciprocal + half) >> (31 - zeros), 0, q16.INT16_MAX))


def _sigmoid(op: Op, v: Arrays, t: Tensors, rounding: str) -> np.ndarray:
    """From a table of the sigmoid; tanh(x) = 2 sigmoid(2 x) - 1."""
    multiplier, shift = q16.sigmoid_params(op.kind, _scale(t[0]))
    x = (v[0].astype(np.int64) * multiplier + ((1 << shift) >> 1)) >> shift
    bits, last = (9, 0x7FFF << 10) if op.kind == "sigmoid" else (8, 0xFFFF << 8)
    table, magnitude = q16.sigmoid_table().astype(np.int64), np.abs(x)
    at = np.minimum(magnitude >> bits, 254)
    y = (table[at] << bits) + (magnitude & ((1 << bits) - 1)) * (table[at + 1] - table[at])
    y = np.where(magnitude >> bits < 255, y, last)
    if op.kind == "sigmoid":
        return np.asarray(np.where(x < 0, (1 << 25) - y + 511, y + 512) >> 10)
    y = y - (1 << 23)
    return np.asarray(np.where(x < 0, 127 - y, y + 128) >> 8)


def _unary(op: Op, v: Arrays, t: Tensors, rounding: str) -> np.ndarray:
    x, y = _scale(t[0]), _scale(t[1])
    return _lookup(
        q16.lookup_table(unary(op.kind, op.attrs), q16.code_range(x), q16.code_range(y)), v[0].astype(np.int64)
    )


def _leaky_relu(op: Op, v: Arrays, t: Tensors, rounding: str) -> np.ndarray:
    above, below = q16.leaky_relu_params(op.attrs["alpha"], _scale(t[0]), _scale(t[1]))
    x = v[0].astype(np.int64)
    return _clamp(op, np.where(x >= 0, scale_twice_rounded(x, *above), scale_twice_rounded(x, *below)), t[1])


def _abs(op: Op, v: Arrays, t: Tensors, rounding: str) -> np.ndarray:
    factor = qm.rescale_multiplier(_scale(t[0]), _scale(t[1]))
    return _clamp(op, scale_twice_rounded(np.abs(v[0].astype(np.int64)), *factor), t[1])


def _clip(op: Op, v: Arrays, t: Tensors, rounding: str) -> np.ndarray:
    low, high = (op.attrs["min"], op.attrs["max"]) if op.kind == "clip" else qm.ACTIVATION_RANGES[op.kind]
    scaled = scale_twice_rounded(v[0].astype(np.int64), *qm.rescale_multiplier(_scale(t[0]), _scale(t[1])))
    return np.asarray(np.clip(scaled, *q16.clip_range(low, high, _scale(t[1]))))


def _rescale(op: Op, v: Arrays, t: Tensors, rounding: str) -> np.ndarray:
    x, y = t
    zero = y.zero_point
    if x.dtype == "float32":
        scaled = np.nan_to_num((v[0] / np.float32(_scale(y))).astype(np.float64), nan=0.0)
        codes = _round_half_away(np.clip(scaled, -1e9, 1e9)).astype(np.int64)
    else:
        without = wrap32(v[0].astype(np.int64) - x.zero_point)
        codes = scale_twice_rounded(without, *qm.rescale_multiplier(_scale(x), _scale(y)))
    limit = np.iinfo(array_dtype(y.dtype))
    return np.asarray(np.clip(codes + zero, limit.min, limit.max))


INT16 |= dict.fromkeys(UNARY, _unary)
INT16 |= dict.fromkeys(("conv2d", "depthwise_conv2d", "linear"), _weighted)
INT16 |= dict.fromkeys(("add", "sub", "mul", "squared_difference", "min", "max", *q16.COMPARISONS), _binary)
INT16 |= dict.fromkeys(("mean", "reduce_mean", "reduce_sum"), _mean)
INT16 |= dict.fromkeys(("relu", "relu6", "clip"), _clip)
INT16 |= dict.fromkeys(("sigmoid", "tanh"), _sigmoid)
INT16 |= {
    "conv_transpose": _conv_transpose,
    "matmul": _matmul,
    "avg_pool2d": _avg_pool2d,
    "max_pool2d": _max_pool2d,
    "softmax": _softmax,
    "leaky_relu": _leaky_relu,
    "abs": _abs,
    "dequantize": lambda op, v, t, rounding: t[0].dequantize(v[0]),
}
RULES["rescale"] = _rescale
