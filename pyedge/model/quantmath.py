"""Integer parameters of int8 ops from scales: what TFLite's kernels compute when they are prepared.

Pure functions of plain numbers; lowering writes their results into plans, the reference uses them, and the expected
outputs of real models check both. Scales are float32 values (as model files store them); wherever TFLite multiplies
them in double, so does this file, in the same order, because the last bit of a multiplier shows in the output.

Convention of plan_structs.h: a real factor m is multiplier * 2^-31 * 2^-shift, multiplier in [2^30, 2^31),
shift > 0 to the right, < 0 to the left (TFLite counts shifts the other way round).

Source: tensorflow/lite/kernels/internal/quantization_util.cc, kernel_util.cc and reference/reduce.h.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from ..errors import ModelError

INT8_MIN, INT8_MAX = -128, 127

ACTIVATION_RANGES: dict[str | None, tuple[float, float]] = {
    None: (-math.inf, math.inf),
    "relu": (0.0, math.inf),
    "relu6": (0.0, 6.0),
    "relu_n1_to_1": (-1.0, 1.0),
}


class Multiplier(NamedTuple):
    """A real factor as multiplier * 2^-31 * 2^-shift."""

    multiplier: int
    shift: int


def round_half_away(x: float) -> int:
    """Nearest integer, halves away from zero: C's round()."""
    return int(math.copysign(math.floor(abs(x) + 0.5), x)) if abs(x) < 2**52 else int(x)


def quantize_multiplier(real: float) -> Multiplier:
    """A factor >= 0 as Q31 multiplier and shift (QuantizeMultiplier).

    Factors below 2^-32 become (0, 0), as in TFLite. Factors of 2^31 and more, NaN and negative ones are a ModelError:
    no int32 sum can be scaled by them.
    """
    if not (0.0 <= real < 2.0**31):
        raise ModelError(f"scales give a factor of {real:g}, outside [0, 2^31); the model's scales are damaged")
    if real == 0.0:
        return Multiplier(0, 0)
    fraction, exponent = math.frexp(real)
    q = round_half_away(fraction * 2.0**31)
    if q == 2**31:
        q, exponent = q // 2, exponent + 1
    if exponent < -31:
        return Multiplier(0, 0)
    if exponent > 31:
        raise ModelError(f"scales give a factor of {real:g}, outside [0, 2^31); the model's scales are damaged")
    return Multiplier(q, -exponent)


def channel_scales(x_scale: float, w_scales: npt.ArrayLike, y_scale: float) -> npt.NDArray[np.float64]:
    """(double) x_scale * w_scale[c] / y_scale: the factors of conv2d, depthwise_conv2d and per-channel linear."""
    w = np.asarray(w_scales, np.float32).astype(np.float64)
    return np.asarray(np.float64(np.float32(x_scale)) * w / np.float64(np.float32(y_scale)))


def linear_scales(x_scale: float, w_scales: npt.ArrayLike, y_scale: float) -> npt.NDArray[np.float64]:
    """The factors of linear: with one w_scale the product of x_scale and w_scale is taken in float32 first.

    LiteRT's reference kernel (rounding="litert-ref") takes channel_scales instead: measured on 2.3.0, 0 of 2.6 million
    results differ, 1,264 with this product.
    """
    w = np.asarray(w_scales, np.float32).reshape(-1)
    if w.size != 1:
        return channel_scales(x_scale, w, y_scale)
    with np.errstate(over="ignore", under="ignore"):
        product = np.float32(x_scale) * w
    return np.asarray(product.astype(np.float64) / np.float64(np.float32(y_scale)))


def fp32_scales(x_scale: float, w_scales: npt.ArrayLike, y_scale: float) -> npt.NDArray[np.float32]:
    """x_scale * w_scale[c] / y_scale, each step in float32: the factors of ONNX Runtime and XNNPACK."""
    with np.errstate(over="ignore", under="ignore"):
        product = np.float32(x_scale) * np.asarray(w_scales, np.float32).reshape(-1)
        return np.asarray(product / np.float32(y_scale), np.float32)


def round_fp32(total: npt.NDArray[np.int64], factors: npt.NDArray[np.float32]) -> npt.NDArray[np.int64]:
    """int32 sums times factors in float32, rounded to integers, halves to even; saturated to int32."""
    product = np.asarray(total, np.int64).astype(np.float32) * factors
    return np.asarray(np.clip(np.rint(product).astype(np.float64), -(2.0**31), 2.0**31 - 1), np.int64)


def quantize_multipliers(factors: npt.ArrayLike) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """quantize_multiplier for each element; returns multipliers and shifts."""
    pairs = [quantize_multiplier(float(f)) for f in np.asarray(factors, np.float64).reshape(-1)]
    return np.array([p[0] for p in pairs], np.int64), np.array([p[1] for p in pairs], np.int64)


def rescale_multiplier(x_scale: float, y_scale: float) -> Multiplier:
    """Of requantize and of relu between tensors of different scale: (double) x_scale / y_scale."""
    return quantize_multiplier(float(np.float64(np.float32(x_scale)) / np.float64(np.float32(y_scale))))


def quantize_value(value: float, scale: float, zero_point: int) -> int:
    """A real bound as a code: zero_point + round(value / scale), float32 division, halves away from zero; unclamped."""
    with np.errstate(over="ignore"):
        q = float(np.float32(value) / np.float32(scale))
    return zero_point + round_half_away(min(max(q, -(2.0**31)), 2.0**31))


def clip_range(low: float, high: float, scale: float, zero_point: int) -> tuple[int, int]:
    """The int8 codes of [low, high], infinities for no bound (CalculateActivationRangeQuantized)."""
    q_low = INT8_MIN if low == -math.inf else quantize_value(low, scale, zero_point)
    q_high = INT8_MAX if high == math.inf else quantize_value(high, scale, zero_point)
    low_code = min(max(q_low, INT8_MIN), INT8_MAX)
    return low_code, max(low_code, min(max(q_high, INT8_MIN), INT8_MAX))


def activation_range(activation: str | None, scale: float, zero_point: int) -> tuple[int, int]:
    """The int8 codes that a fused activation leaves, for an output of this scale and zero point."""
    return clip_range(*ACTIVATION_RANGES[activation], scale, zero_point)


class AddParams(NamedTuple):
    """y = zy + Y(A((a - za) << left_shift) + B((b - zb) << left_shift)): three factors, those of the inputs below 1."""

    left_shift: int
    a: Multiplier
    b: Multiplier
    y: Multiplier


def add_params(a_scale: float, b_scale: float, y_scale: float) -> AddParams:
    """Factors of an int8 add: inputs over twice the larger scale, 20 bits of headroom (tflite add.cc)."""
    left_shift = 20
    a, b, y = (float(np.float32(s)) for s in (a_scale, b_scale, y_scale))
    twice_max = 2.0 * max(a, b)
    return AddParams(
        left_shift,
        quantize_multiplier(a / twice_max),
        quantize_multiplier(b / twice_max),
        quantize_multiplier(twice_max / ((1 << left_shift) * y)),
    )


def mean_multiplier(x_scale: float, y_scale: float, count: int) -> Multiplier:
    """Factor of an int8 mean over count elements, the division folded in (QuantizedMeanOrSum in reduce.h).

    The kernel is y = clamp(zy + scale(sum(x) - count * zx)). multiplier can be as low as 2^29 here.
    """
    multiplier, shift = rescale_multiplier(x_scale, y_scale)
    bits = min(count.bit_length() - 1, 32, 31 - shift)
    return Multiplier((multiplier << bits) // count, shift + bits)


class SoftmaxParams(NamedTuple):
    """Of d = x - max(x): below diff_min it counts as exp 0; multiplier and shift bring it to Q5.26."""

    multiplier: int
    shift: int
    diff_min: int


def softmax_params(beta: float, x_scale: float) -> SoftmaxParams:
    """Of an int8 softmax: beta * scale * 2^26 (Q5.26 differences) and the smallest difference that matters.

    Source: PreprocessSoftmaxScaling and CalculateInputRadius, both with 5 integer bits.
    """
    integer_bits = 5
    factor = min(float(np.float32(beta)) * float(np.float32(x_scale)) * 2.0 ** (31 - integer_bits), 2.0**31 - 1.0)
    if not factor > 1.0:  # as TFLite's QuantizeMultiplierGreaterThanOne
        raise ModelError(f"softmax: beta {beta:g} times the input's scale {x_scale:g} is too small for int8")
    multiplier, shift = quantize_multiplier(factor)
    radius = ((1 << integer_bits) - 1) * 2.0 ** (31 - integer_bits) / 2.0**-shift
    return SoftmaxParams(multiplier, shift, -math.floor(radius))


def sums_multiplier(x_scale: float, y_scale: float) -> Multiplier:
    """Factor of add_n and cumsum of int8, whose terms are scaled by 2^19 (tflite micro add_n.cc, cumsum.cc)."""
    return quantize_multiplier(2.0 * float(np.float32(x_scale)) / ((1 << 20) * float(np.float32(y_scale))))


class LogSoftmaxParams(NamedTuple):
    """Of pe_log_softmax_params."""

    multiplier: int
    shift: int
    diff_min: int
    back: Multiplier


def log_softmax_params(x_scale: float) -> LogSoftmaxParams:
    """Of an int8 log_softmax (PreprocessLogSoftmaxScalingExp)."""
    p = softmax_params(1.0, x_scale)
    return LogSoftmaxParams(*p, quantize_multiplier((1 << (31 + p.shift)) / p.multiplier))


def threshold_code(threshold: float, scale: float, zero_point: int) -> int:
    """The smallest code whose real value is at least threshold; 128, above all codes, if there is none."""
    values = np.float64(np.float32(scale)) * (np.arange(INT8_MIN, INT8_MAX + 1) - zero_point)
    reached = np.flatnonzero(values >= threshold)
    return int(reached[0]) + INT8_MIN if reached.size else INT8_MAX + 1


class BinaryParams(NamedTuple):
    """Of pe_binary_s8_params."""

    a_zero_point: int
    b_zero_point: int
    y_zero_point: int
    left_shift: int = 0
    a: Multiplier = Multiplier(0, 0)
    b: Multiplier = Multiplier(0, 0)
    y: Multiplier = Multiplier(0, 0)


def binary_params(kind: str, a: tuple[float, int], b: tuple[float, int], y: tuple[float, int]) -> BinaryParams | None:
    """Of an int8 sub, mul, div, min, max, squared_difference, prelu or comparison; a, b, y: scale and zero point.

    None where TFLite has no integer kernel, or min and max have several scales. Sources: tflite sub.cc, mul.cc, div.cc,
    squared_difference.cc, prelu.cc, comparisons.cc.
    """
    sa, sb, sy = np.float32(a[0]), np.float32(b[0]), np.float32(y[0])
    zeros = a[1], b[1], y[1]
    twice_max = 2.0 * float(max(sa, sb))
    if kind in ("min", "max"):
        return BinaryParams(*zeros) if a == b == y else None
    if kind == "mul":
        return BinaryParams(*zeros, y=quantize_multiplier(float(sa) * float(sb) / float(sy)))
    if kind == "div":
        return BinaryParams(*zeros, y=quantize_multiplier(float(sa / (sb * sy))))
    if kind == "prelu":
        return BinaryParams(*zeros, a=quantize_multiplier(float(sa / sy)), b=quantize_multiplier(float(sa * sb / sy)))
    if kind == "sub":
        p = add_params(a[0], b[0], y[0])
        return BinaryParams(*zeros, p.left_shift, p.a, p.b, p.y)
    factors = quantize_multiplier(float(sa) / twice_max), quantize_multiplier(float(sb) / twice_max)
    if kind == "squared_difference":
        out = quantize_multiplier(twice_max * twice_max / ((1 << 14) * float(sy)))
        return BinaryParams(*zeros, 7, *factors, out)
    if kind in ("equal", "not_equal", "less", "less_equal", "greater", "greater_equal") and max(sa, sb) < 1:
        return BinaryParams(*zeros, 8, quantize_multiplier(float(sa)), quantize_multiplier(float(sb)))
    return None
