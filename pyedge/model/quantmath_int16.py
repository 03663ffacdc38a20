"""Parameters of int16 ops from scales: what TFLite's kernels compute when they are prepared, for its "16x8" scheme.

As quantmath.py, for activations of int16 with zero point 0 and int8 weights. Sources: tflite kernels/internal/common.h
(LUTPopulate, LUTLookup, MultiplyByQuantizedMultiplier of int64), reference/softmax.h, logistic.cc, tanh.cc, add.cc.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from ..errors import ModelError
from .graph import Tensor
from .quantmath import ACTIVATION_RANGES, AddParams, BinaryParams, Multiplier, quantize_multiplier, quantize_value

INT16_MIN, INT16_MAX = -(2**15), 2**15 - 1
COMPARISONS = ("equal", "not_equal", "less", "less_equal", "greater", "greater_equal")


def is_int16(*tensors: Tensor | None) -> bool:
    """Whether one of the tensors holds int16 codes that stand for real numbers."""
    return any(t is not None and t.dtype == "int16" and t.scale is not None for t in tensors)


def clip_range(low: float, high: float, scale: float) -> tuple[int, int]:
    """The int16 codes of [low, high], infinities for no bound; zero point 0."""
    low_code = INT16_MIN if low == -math.inf else min(max(quantize_value(low, scale, 0), INT16_MIN), INT16_MAX)
    high_code = INT16_MAX if high == math.inf else min(max(quantize_value(high, scale, 0), INT16_MIN), INT16_MAX)
    return low_code, max(low_code, high_code)


def activation_range(activation: str | None, scale: float) -> tuple[int, int]:
    """The int16 codes that a fused activation leaves."""
    return clip_range(*ACTIVATION_RANGES[activation], scale)


class Factor(NamedTuple):
    """A real factor of a 64-bit sum: multiplier / 2^shift, 15 bits and 1 .. 46."""

    multiplier: int
    shift: int


def wide_factor(real: float) -> Factor:
    """A factor >= 0 for 64-bit sums: the upper bits of quantize_multiplier's, rounded, as TFLite takes them.

    Raises:
        ModelError: Factors of 2^14 and more, for which TFLite has no shift.
    """
    q = quantize_multiplier(real)
    if q.shift < -14:
        raise ModelError(f"scales give a factor of {real:g}, 2^14 or more; the model's scales are damaged")
    upper = (q.multiplier + (1 << 15)) >> 16 if q.multiplier < 0x7FFF0000 else 0x7FFF
    return Factor(upper, 15 + q.shift)


def wide_factors(factors: npt.ArrayLike) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """wide_factor for each element; returns multipliers and shifts."""
    pairs = [wide_factor(float(f)) for f in np.asarray(factors, np.float64).reshape(-1)]
    return np.array([p[0] for p in pairs], np.int64), np.array([p[1] for p in pairs], np.int64)


def is_wide(bias: str | None) -> bool:
    """Whether a layer's sums are rounded as 64-bit ones; bias: its dtype. Only with an int32 bias they are not."""
    return bias != "int32"


def add_params(a_scale: float, b_scale: float, y_scale: float) -> AddParams:
    """Of an int16 add or sub: inputs over twice the larger scale, 15 bits of headroom."""
    a, b, y = (float(np.float32(s)) for s in (a_scale, b_scale, y_scale))
    twice_max = 2.0 * max(a, b)
    out = quantize_multiplier(twice_max / ((1 << 15) * y))
    return AddParams(15, quantize_multiplier(a / twice_max), quantize_multiplier(b / twice_max), out)


def binary_params(kind: str, a: float, b: float, y: float) -> BinaryParams:
    """Of a function of two int16 operands; a, b, y: scales. Comparisons and min, max take codes of one scale.

    Raises:
        ModelError: A function that has no int16 kernel, or several scales where one is needed.
    """
    sa, sb, sy = np.float32(a), np.float32(b), np.float32(y)
    if kind in ("add", "sub"):
        p = add_params(a, b, y)
        return BinaryParams(0, 0, 0, p.left_shift, p.a, p.b, p.y)
    if kind == "mul":
        return BinaryParams(0, 0, 0, y=quantize_multiplier(float(sa) * float(sb) / float(sy)))
    if kind == "squared_difference":
        twice_max = 2.0 * float(max(sa, sb))
        factors = quantize_multiplier(float(sa) / twice_max), quantize_multiplier(float(sb) / twice_max)
        return BinaryParams(0, 0, 0, 0, *factors, quantize_multiplier(twice_max * twice_max / float(sy)))
    if kind not in ("min", "max", *COMPARISONS):
        raise ModelError(f"{kind} has no int16 kernel")
    if sa != sb or (kind in ("min", "max") and sa != sy):
        raise ModelError(f"{kind} of int16 needs tensors of one scale")
    return BinaryParams(0, 0, 0)


def leaky_relu_params(alpha: float, x_scale: float, y_scale: float) -> tuple[Multiplier, Multiplier]:
    """The factors of codes >= 0 and below; alpha >= 0."""
    sx, sy = np.float32(x_scale), np.float32(y_scale)
    return quantize_multiplier(float(sx / sy)), quantize_multiplier(float(sx * np.float32(alpha) / sy))


# --- tables ---------------------------------------------------------------------------------------------------------

_POINTS = 512  # steps of a table over the int16 codes


def _round(x: np.ndarray) -> np.ndarray:
    """float32 to the nearest integer, halves away from zero."""
    return np.asarray(np.copysign(np.floor(np.abs(x.astype(np.float64)) + 0.5), x), np.float32)


def lookup_table(
    function: Callable[[np.ndarray], np.ndarray], x: tuple[float, float], y: tuple[float, float]
) -> np.ndarray:
    """int16 [513]: a function at the ends of 512 equal steps, each point moved by half the error in its step's middle.

    function: of float64 arrays; NaN and -infinity count as the lowest of y. x, y: the reals of codes -32768 and 32767.
    All steps in float32.
    """
    low, high = np.float32(x[0]), np.float32(x[1])
    step = np.float32((high - low) / np.float32(_POINTS))
    inverse = np.float32(np.float32(2**16) / np.float32(np.float32(y[1]) - np.float32(y[0])))
    at = np.arange(_POINTS, dtype=np.float32)

    def values(points: np.ndarray) -> np.ndarray:
        with np.errstate(all="ignore"):
            real = np.asarray(function(points.astype(np.float64)), np.float32)
            scaled = np.nan_to_num(real, nan=y[0], neginf=y[0], posinf=y[1]) * inverse
        return np.asarray(np.clip(scaled, -(2.0**30), 2.0**30), np.float32)

    here = _round(values(low + at * step))
    middle = _round(values(low + at * step + step / np.float32(2)))
    after = values(low + (at + np.float32(1)) * step)
    error = _round((after + here) / np.float32(2)) - middle
    table = np.append(here - _round(error / np.float32(2)), _round(values(np.array([high], np.float32))))
    return np.asarray(np.clip(table, INT16_MIN, INT16_MAX), np.int16)


def code_range(scale: float) -> tuple[float, float]:
    """The reals of the codes -32768 and 32767."""
    return float(np.float32(scale) * np.float32(INT16_MIN)), float(np.float32(scale) * np.float32(INT16_MAX))


def sigmoid_table() -> np.ndarray:
    """uint16 [256]: the sigmoid of i / 24, in steps of 2^-16, each moved by half the error in its step's middle."""
    half_steps = 65536 / (1 + np.exp(-np.arange(513) / 48))
    here, middle, after = half_steps[:-1:2], half_steps[1::2], half_steps[2::2]
    return np.asarray(np.minimum(np.rint(here + (middle - (here + after) / 2) / 2), 65535), np.uint16)


def sigmoid_params(kind: str, x_scale: float) -> tuple[int, int]:
    """Of sigmoid and tanh: x * multiplier / 2^shift is 3/4 of x in steps of 1 / 4096."""
    scale = float(np.float32(x_scale))
    exponent = math.frexp(scale)[1] - 1 if math.frexp(scale)[0] == 0.5 else None
    if exponent is not None and 12 + exponent in ((0,) if kind == "sigmoid" else (0, 1)):
        return 3 << (12 + exponent), 0
    multiplier, shift = scale * 4096.0 * 3.0, 0
    while multiplier <= 32767.0 / 2.0 and shift <= 30:
        multiplier, shift = multiplier * 2.0, shift + 1
    if multiplier >= 2**15 or shift > 30:
        raise ModelError(f"{kind}: the scale {x_scale:g} of its int16 input is not within 2^-30 .. {32767 / 12288:.3g}")
    return int(multiplier), shift


def softmax_tables() -> tuple[np.ndarray, np.ndarray]:
    """int16 [513] each: exp over -10 .. 0, and 1 / (1 + x) over 0 .. 1, in steps of 2^-15."""
    return (
        lookup_table(np.exp, (-10.0, 0.0), (-1.0, 1.0)),
        lookup_table(lambda v: 1 / (1 + v), (0.0, 1.0), (-1.0, 1.0)),
    )


def softmax_multiplier(beta: float, x_scale: float) -> Multiplier:
    """Brings differences to the largest element to codes of 10 / 65535."""
    return quantize_multiplier(float(np.float32(x_scale)) * float(np.float32(beta)) / (10.0 / 65535.0))
