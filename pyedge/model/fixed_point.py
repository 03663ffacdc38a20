"""gemmlowp's fixed-point arithmetic on NumPy arrays: the primitives of TFLite's int8 reference kernels.

Arrays hold int32 values in int64, so that nothing wraps unseen. Names in comments are gemmlowp's (fixedpoint.h) or
TFLite's (kernels/internal/common.h).
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.int64]

_MAX = 2**31 - 1
_MIN = -(2**31)


def wrap32(x: Ints) -> Ints:
    """Two's complement reduction to int32, as unsigned sums in C do."""
    return ((x + 2**31) & 0xFFFFFFFF) - 2**31


def _saturate(x: Ints) -> Ints:
    return np.clip(x, _MIN, _MAX)


def high_multiply(a: Ints, b: Ints | int) -> Ints:
    """a * b / 2^31 to nearest, saturated (SaturatingRoundingDoublingHighMul): a nudge, then truncation as in C."""
    product = a * np.int64(b)
    nudged = product + np.where(product >= 0, 2**30, 1 - 2**30)
    return _saturate(np.sign(nudged) * (np.abs(nudged) >> 31))


def round_shift(x: Ints, n: int | Ints) -> Ints:
    """x / 2^n to the nearest integer, halves away from zero (RoundingDivideByPOT)."""
    mask = (np.int64(1) << n) - 1
    return np.asarray((x >> n) + ((x & mask) > (mask >> 1) + (x < 0)))


def scale_twice_rounded(x: Ints, multiplier: Ints | int, shift: npt.ArrayLike) -> Ints:
    """x * multiplier * 2^-31 * 2^-shift, rounded twice (MultiplyByQuantizedMultiplier); shift < 0 shifts left first."""
    right = np.asarray(shift, np.int64)
    shifted = wrap32(x << np.maximum(-right, 0))
    return round_shift(high_multiply(shifted, multiplier), np.maximum(right, 0))


def _shift_left_saturated(x: Ints, n: int) -> Ints:
    return _saturate(x << n)


_EXP_STEPS = ((-2, 1672461947), (-1, 1302514674), (0, 790015084), (1, 290630308), (2, 39332535), (3, 720401), (4, 242))


def exp_negative(a: Ints) -> Ints:
    """exp of a <= 0 in Q5.26 as Q0.31 (exp_on_negative_values).

    A polynomial on [-1/4, 0), then a factor exp(-2^i) for each bit of what is left.
    """
    quarter = 1 << 24
    remainder_mod = (a & (quarter - 1)) - quarter
    x = (remainder_mod << 5) + (1 << 28)  # Q0.31, around -1/8
    x2 = high_multiply(x, x)
    x3 = high_multiply(x2, x)
    x4_over_4 = round_shift(high_multiply(x2, x2), 2)
    tail = round_shift(high_multiply(x4_over_4 + x3, 715827883) + x2, 1)
    result = 1895147668 + high_multiply(x + tail, 1895147668)
    left = remainder_mod - a
    for exponent, factor in _EXP_STEPS:
        result = np.where(left & (1 << (26 + exponent)), high_multiply(result, factor), result)
    return np.where(a == 0, _MAX, result)


def reciprocal(x: Ints, integer_bits: int) -> tuple[Ints, Ints]:
    """1 / x for x > 0 with integer_bits before the point (GetReciprocal): a Q0.31 number to be divided by 2^bits.

    Three Newton-Raphson steps on half the denominator in [1/2, 1).
    """
    headroom = np.array([32 - int(v).bit_length() for v in x.ravel()], np.int64).reshape(x.shape)
    return reciprocal_of_1_plus((x << headroom) - 2**31), integer_bits - headroom


def reciprocal_of_1_plus(a: Ints) -> Ints:
    """1 / (1 + a) for a in [0, 1), Q0.31 (one_over_one_plus_x_for_x_in_0_1)."""
    total = a + _MAX
    half = np.sign(total) * ((np.abs(total) + 1) // 2)  # RoundingHalfSum with one
    y = 1515870810 + high_multiply(half, -1010580540)  # 48/17 - 32/17 half, Q2.29
    for _ in range(3):
        rest = (1 << 29) - high_multiply(half, y)
        y = y + _shift_left_saturated(high_multiply(y, rest), 2)
    return _shift_left_saturated(y, 1)


def inverse_sqrt(n: int) -> tuple[int, int]:
    """1 / sqrt(n) as a factor multiplier * 2^-31 * 2^-shift (GetInvSqrtQuantizedMultiplierExp).

    Five Newton-Raphson steps from 1 on n as a number in [1, 4) with 3 bits before the point. 0 counts as 1.
    """
    if n <= 1:
        return _MAX, 0
    shift = 11
    while n >= 1 << 29:
        n, shift = n // 4, shift + 1
    pairs = (32 - n.bit_length() - 1) // 2 - 1
    shift -= pairs
    half = np.asarray(round_shift(np.asarray(n << 2 * pairs >> 1, np.int64), 1))
    x = np.asarray(1 << 28, np.int64)
    for _ in range(5):
        cube = _shift_left_saturated(high_multiply(high_multiply(x, x), x), 6)
        x = _shift_left_saturated(wrap32(high_multiply(x, 3 << 27) - high_multiply(half, cube)), 3)
    multiplier = int(high_multiply(x, 1518500250))  # sqrt(1/2)
    return (multiplier, shift) if shift >= 0 else (multiplier << -shift, 0)
