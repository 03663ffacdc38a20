"""Functions of one int8 tensor as tables of 256 codes, with TFLite's arithmetic.

abs, rsqrt, leaky_relu and hard_swish are integer kernels in TFLite (elementwise.cc, reference/leaky_relu.h,
reference/hard_swish.h); the others are what LiteRT's LUTPopulate gives: x = scale * (code - zero point) in float32, the
function, one multiplication by 1 / scale(y) in float32, halves away from zero. TFLite Micro computes sigmoid and tanh
with integers instead, to the same codes (tests/golden/make_litert_elementwise.py).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from .fixed_point import inverse_sqrt, scale_twice_rounded
from .functions import unary
from .quantmath import quantize_multiplier, rescale_multiplier

Scale = tuple[float, int]  # scale and zero point

_INT16 = (-(2**15), 2**15 - 1)


def table(kind: str, attrs: Mapping[str, Any], x: Scale, y: Scale) -> np.ndarray:
    """int8 [256]: the codes of y by the code of x seen as unsigned."""
    codes = np.arange(256).astype(np.uint8).view(np.int8).astype(np.int64)
    if kind == "leaky_relu" and attrs["alpha"] >= 0:
        result = _leaky_relu(codes, attrs["alpha"], x, y)
    elif kind == "abs":
        magnitude = np.abs(codes - x[1])
        result = magnitude if x[0] == y[0] else scale_twice_rounded(magnitude, *rescale_multiplier(x[0], y[0]))
        result = result + y[1]
    elif kind == "rsqrt":
        result = np.array([_rsqrt(int(c) - x[1], x[0], y[0]) for c in codes]) + y[1]
    elif kind == "hard_swish":
        result = np.array([_hard_swish(int(c) - x[1], x[0], y[0]) for c in codes]) + y[1]
    else:
        real = np.float32(x[0]) * (codes - x[1]).astype(np.float32)
        with np.errstate(all="ignore"):
            exact = np.asarray(unary(kind, attrs)(real.astype(np.float64)), np.float32)
            nan = -np.inf if kind == "log" else 0.0  # of a negative number the smallest code, as of 0
            scaled = np.nan_to_num((exact * (np.float32(1) / np.float32(y[0]))).astype(np.float64), nan=nan)
        result = np.copysign(np.floor(np.abs(np.clip(scaled, -1e9, 1e9)) + 0.5), scaled) + y[1]
    return np.asarray(np.clip(result, -128, 127).astype(np.int8))


def _rsqrt(value: int, x_scale: float, y_scale: float) -> int:
    """Without the zero point of y; numbers that are not above 0 give the largest code."""
    if value <= 0:
        return 255
    bits = 20
    multiplier, shift = inverse_sqrt(value)
    root = scale_twice_rounded(np.array(1), multiplier, shift - bits)
    factor = quantize_multiplier(1.0 / (math.sqrt(float(np.float32(x_scale))) * float(np.float32(y_scale))))
    return int(scale_twice_rounded(root, factor.multiplier, factor.shift + bits))


def _leaky_relu(codes: np.ndarray, alpha: float, x: Scale, y: Scale) -> np.ndarray:
    sx, sy = np.float32(x[0]), np.float32(y[0])
    identity, slope = quantize_multiplier(float(sx / sy)), quantize_multiplier(float(sx * np.float32(alpha) / sy))
    value = codes - x[1]
    positive, negative = scale_twice_rounded(value, *identity), scale_twice_rounded(value, *slope)
    return np.asarray(np.where(value >= 0, positive, negative) + y[1])


def _saturate(x: int) -> int:
    return min(max(x, _INT16[0]), _INT16[1])


def _high_multiply(a: int, b: int) -> int:
    """gemmlowp's SaturatingRoundingDoublingHighMul of int16."""
    if a == b == _INT16[0]:
        return _INT16[1]
    product = a * b
    nudged = product + (1 << 14 if product >= 0 else 1 - (1 << 14))
    return abs(nudged) // (1 << 15) * (1 if nudged >= 0 else -1)


def _round_shift(x: int, n: int) -> int:
    """To the nearest, halves away from zero."""
    rest = x & ((1 << n) - 1)
    return (x >> n) + (rest > (((1 << n) - 1) >> 1) + (x < 0))


def _multiplier_16(real: float) -> tuple[int, int]:
    """A factor as an int16 multiplier and an exponent (to the left)."""
    multiplier, shift = quantize_multiplier(real)
    return min((multiplier + (1 << 15)) >> 16, _INT16[1]), -shift


def _hard_swish(value: int, x_scale: float, y_scale: float) -> int:
    """x * relu6(x + 3) / 6 of one code without its zero point, without that of y."""
    fine = np.float32(1 / 128) * np.float32(x_scale)
    multiplier, exponent = _multiplier_16(float(fine / np.float32(y_scale)))
    gate_multiplier, gate_exponent = _multiplier_16(float(fine / np.float32(3.0 / 32768.0)))
    fine_value = value << 7
    before_shift = _high_multiply(_saturate(fine_value), multiplier)
    gate = _saturate(fine_value)
    if gate_exponent > 0:
        gate = _saturate(gate << (gate_exponent - 1))
    gate = _high_multiply(gate, gate_multiplier)
    if gate_exponent > 0:
        gate = _saturate(gate << 1)
    if gate_exponent < 0:
        gate = _round_shift(gate, -gate_exponent)
    gate = (gate + (1 << 15)) >> 1
    product = gate * before_shift
    result = abs(product) // (1 << 15) * (1 if product >= 0 else -1)
    return _round_shift(result, -exponent) if exponent <= 0 else result << exponent
