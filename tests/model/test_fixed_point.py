"""pyedge/model/fixed_point.py and quantmath.py against exact arithmetic."""

import math
from fractions import Fraction

import numpy as np
import pytest

from pyedge.errors import ModelError
from pyedge.model import fixed_point as fp
from pyedge.model import quantmath as qm


def half_away(x: Fraction) -> int:
    return int(math.copysign(math.floor(abs(x) + Fraction(1, 2)), x)) if x else 0


def int32s(rng: np.random.Generator, n: int) -> np.ndarray:
    """Random int32 of all magnitudes, with the ends."""
    magnitude = rng.integers(0, 2**31, n) >> rng.integers(0, 31, n)
    return np.concatenate([magnitude * rng.choice([-1, 1], n), [0, 1, -1, 2**31 - 1, -(2**31)]])


def test_round_shift_is_the_nearest_integer_halves_away_from_zero():
    """All of -1000 to 1000 and every shift that matters for them."""
    x = np.arange(-1000, 1001)
    for n in range(12):
        assert [half_away(Fraction(int(v), 2**n)) for v in x] == fp.round_shift(x, n).tolist()


def test_high_multiply_is_half_up_of_the_exact_product():
    """Nearest to a * b / 2^31; exact halves go up, as gemmlowp's nudge does; saturated at the one overflow."""
    rng = np.random.default_rng(1)
    a, b = int32s(rng, 3000), int32s(rng, 3000)
    exact = [math.floor(Fraction(int(p) * int(q), 2**31) + Fraction(1, 2)) for p, q in zip(a, b, strict=True)]
    assert [min(e, 2**31 - 1) for e in exact] == [
        int(fp.high_multiply(a[i : i + 1], int(b[i]))[0]) for i in range(len(a))
    ]


def test_exp_negative_is_close_to_exp():
    """Within the Taylor polynomial's remainder, (1/8)^5 / 5! = 2.54e-7; exactly the largest Q0.31 at 0."""
    a = -np.arange(0, 2**31, 65537, dtype=np.int64)
    ours = fp.exp_negative(a) / 2.0**31
    assert fp.exp_negative(np.array([0]))[0] == 2**31 - 1
    assert np.abs(ours - np.exp(a / 2.0**26)).max() < 2.6e-7


def test_reciprocal_is_close_to_one_over_x():
    """2^-27 relative (Q2.29 iterates), over the sums that a softmax of 1 to 4095 elements can have."""
    x = np.unique(np.geomspace(2**19, 2**31 - 1, 5000).astype(np.int64))
    mantissa, bits = fp.reciprocal(x, 12)
    assert np.abs(mantissa / 2.0**31 / 2.0**bits * (x / 2.0**19) - 1).max() < 2.0**-27


@pytest.mark.parametrize("real", [1.0, 0.5, 0.25, 2.0**-31, 3.0, 1e-4, 0.99999999999, 2.0**30, 2.0**31 - 1, 7e-8])
def test_quantize_multiplier_is_within_half_a_unit_of_its_31_bits(real):
    """multiplier * 2^-31 * 2^-shift is the nearest such number."""
    m = qm.quantize_multiplier(real)
    assert 2**30 <= m.multiplier < 2**31 and -31 <= m.shift <= 31
    exact = Fraction(m.multiplier) / 2**31 * Fraction(2) ** -m.shift
    assert abs(exact - Fraction(real)) <= Fraction(1, 2**32) * Fraction(2) ** -m.shift


def test_quantize_multiplier_at_the_ends():
    """Factors that vanish become 0, as in TFLite; those that no int32 can take are refused."""
    assert qm.quantize_multiplier(0.0) == (0, 0)
    assert qm.quantize_multiplier(2.0**-33) == (0, 0)
    for bad in (2.0**31, math.inf, math.nan, -1.0):
        with pytest.raises(ModelError, match="factor"):
            qm.quantize_multiplier(bad)


def test_scale_twice_rounded_differs_from_one_rounding_by_at_most_one():
    """And does differ somewhere: that is what rounding="tflite" is about."""
    rng = np.random.default_rng(2)
    x = rng.integers(-(2**20), 2**20, 20_000)
    m = qm.quantize_multiplier(0.0123)
    once = np.array([half_away(Fraction(int(v) * m.multiplier, 2 ** (31 + m.shift))) for v in x])
    difference = np.abs(fp.scale_twice_rounded(x, *m) - once)
    assert difference.max() == 1
    assert 0 < difference.sum() < 200


def test_wrap32_is_int32_arithmetic():
    """As a C cast of an unsigned sum."""
    x = np.array([2**31, -(2**31) - 1, 2**32 + 5, -7])
    assert fp.wrap32(x).tolist() == [-(2**31), 2**31 - 1, 5, -7]


def test_the_product_of_two_scales_of_linear_is_float32():
    """Per tensor x * w is rounded to float32 before the division, per channel and for convolutions it is not."""
    x, w, y = (float(np.float32(v)) for v in (0.1, 0.7, 0.3))
    assert qm.linear_scales(x, [w], y)[0] == float(np.float32(x) * np.float32(w)) / y
    assert qm.channel_scales(x, [w], y)[0] == x * w / y != qm.linear_scales(x, [w], y)[0]
    assert np.array_equal(qm.linear_scales(x, [w, w], y), qm.channel_scales(x, [w, w], y))


@pytest.mark.parametrize(
    "activation, expected",
    [(None, (-128, 127)), ("relu", (-10, 127)), ("relu6", (-10, 50)), ("relu_n1_to_1", (-20, 0))],
)
def test_activation_ranges_in_codes(activation, expected):
    """Bounds are quantized with the scale and zero point of the result and stay inside int8."""
    assert expected == qm.activation_range(activation, 0.1, -10)


def test_activation_range_outside_int8_is_empty_at_its_end():
    """A zero point of 127 leaves only one code for relu."""
    assert qm.activation_range("relu", 0.1, 127) == (127, 127)
    assert qm.activation_range("relu6", 100.0, 0) == (0, 0)


def test_threshold_code_is_exact():
    """The smallest code whose value reaches the threshold, for all codes and just above each."""
    scale, zero_point = float(np.float32(0.1)), -3
    values = scale * (np.arange(-128, 128) - zero_point)
    for code, value in zip(range(-128, 128), values, strict=True):
        assert qm.threshold_code(value, scale, zero_point) == code
        assert qm.threshold_code(math.nextafter(value, math.inf), scale, zero_point) == code + 1


def test_mean_multiplier_divides_by_the_count():
    """The factor is scale ratio / count, within the truncation of TFLite's integer division."""
    for count in (1, 2, 3, 49, 1000, 2**20):
        m = qm.mean_multiplier(0.05, 0.03, count)
        real = m.multiplier / 2.0**31 * 2.0**-m.shift
        assert real == pytest.approx(np.float32(0.05) / np.float32(0.03) / count, rel=1e-6)


def test_softmax_params_refuse_a_scale_that_vanishes():
    """Below 2^-26 the integer softmax has no left shift."""
    with pytest.raises(ModelError, match="too small"):
        qm.softmax_params(1.0, 1e-9)
