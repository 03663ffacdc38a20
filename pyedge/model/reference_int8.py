"""NumPy references of int8 sums and norms (ops_int8.py), to the bit, after TFLite Micro's reference kernels."""

from __future__ import annotations

import numpy as np

from . import quantmath as qm
from .fixed_point import (
    Ints,
    exp_negative,
    high_multiply,
    inverse_sqrt,
    reciprocal_of_1_plus,
    round_shift,
    scale_twice_rounded,
    wrap32,
)
from .graph import Op
from .reference import RULES, Arrays, Tensors, _codes, _ints, _scale, _zero
from .reference_nn import log_softmax
from .reference_reduce import cumsum, running_sum

_HEADROOM = 19  # bits by which terms of a sum are scaled


def _sum(op: Op, total: Ints, t: Tensors) -> np.ndarray:
    """total: of the terms without their zero points. TFLite Micro starts from a code of 0, not from a value of 0."""
    total = total - _zero(t[0])
    factor = qm.sums_multiplier(_scale(t[0]), _scale(t[-1]))
    return _codes(op, scale_twice_rounded(wrap32(total << _HEADROOM), *factor), t[-1])


def _add_n(op: Op, v: Arrays, t: Tensors, rounding: str) -> np.ndarray:
    return _sum(op, np.sum([_ints(x, of) for x, of in zip(v, t, strict=False)], axis=0), t)


def _cumsum(op: Op, v: Arrays, t: Tensors, rounding: str) -> np.ndarray:
    if t[0].dtype != "int8" or t[0].quant is None:
        return np.asarray(cumsum(op, v, t, rounding))
    return _sum(op, running_sum(op, _ints(v[0], t[0]), v[1]), t)


def _l2_norm(op: Op, v: Arrays, t: Tensors, rounding: str) -> np.ndarray:
    x = _ints(v[0], t[0])
    squares = wrap32((x**2).sum(axis=-1))
    factors = np.array([inverse_sqrt(int(n)) for n in squares.reshape(-1)], np.int64).reshape(*squares.shape, 1, 2)
    return np.asarray(np.clip(scale_twice_rounded(x, factors[..., 0], factors[..., 1] - 7), -128, 127))


def _log(x: Ints) -> Ints:
    """ln x for x >= 1, Q12.19 to Q5.26 (log_x_for_x_greater_than_or_equal_to_1)."""
    root4_half, root_half, quarter, unit = 1805811301, 1518500250, 1 << 23, 1 << 25

    def zeros(n: Ints) -> Ints:
        return np.array([32 - int(e).bit_length() for e in n.reshape(-1)], np.int64).reshape(n.shape)

    def saturated(n: Ints) -> Ints:
        return np.asarray(np.clip(n, -(2**31), 2**31 - 1))

    zeros_a, zeros_b = zeros(x), zeros(high_multiply(x, root_half)) - 1
    r = np.minimum(saturated(high_multiply(x << (zeros_a - 1), root_half) << 1), saturated(x << zeros_b))
    n = np.maximum((12 - zeros_a) * unit + quarter, (12 - zeros_b) * unit - quarter)
    p = (r + root4_half + 1) // 2
    q = 2 * (r - root4_half)
    q2 = high_multiply(q, q)
    top = high_multiply(q, r) + high_multiply(high_multiply(q, q2), 117049297)
    bottom = high_multiply(p, 1057819769 + q + high_multiply(q2, 127690142)) + high_multiply(q, 638450708)
    ln_r = high_multiply(round_shift(top, 6), reciprocal_of_1_plus(bottom))
    return saturated((high_multiply(n, 1488522236) + ln_r) << 1)


def _log_softmax(op: Op, v: Arrays, t: Tensors, rounding: str) -> np.ndarray:
    if t[0].dtype != "int8":
        return np.asarray(log_softmax(op, v, t, rounding))
    p = qm.log_softmax_params(_scale(t[0]))
    x = v[0].astype(np.int64)
    d = x - x.max(axis=-1, keepdims=True)
    counted = d >= p.diff_min
    scaled = scale_twice_rounded(d, p.multiplier, p.shift)
    exps = np.where(counted, round_shift(exp_negative(np.where(counted, scaled, 0)), 12), 0)
    log_sum = _log(np.minimum(exps.sum(axis=-1, keepdims=True), 2**31 - 1))
    least = np.maximum(p.diff_min - 1, scale_twice_rounded(log_sum - 2**31, *p.back))
    codes = np.clip(round_shift(wrap32(scaled - log_sum), 22) + 127, -128, 127)
    return np.asarray(np.where(d > least, codes, -128))


RULES |= {"add_n": _add_n, "cumsum": _cumsum, "l2_norm": _l2_norm, "log_softmax": _log_softmax}
