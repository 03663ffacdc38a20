"""The int8 ops give the bits of TFLM's reference kernels, compared with exact integers in Python."""

from collections.abc import Iterator
from fractions import Fraction

import numpy as np
import pytest

from pyedge import _core
from pyedge.plan import structs


def run(kind: str, inputs: list[np.ndarray], dtype: type, shape: tuple[int, ...], **params: object) -> np.ndarray:
    """One op through the extension."""
    y = np.full(shape, 77, dtype)
    _core.op_run(structs.KINDS[kind], structs.pack_params(kind, **params), inputs, [y])
    return y


def codes(seed: int, *shape: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(-128, 128, shape, dtype=np.int8)


def scale_twice(x: int, multiplier: int, shift: int) -> int:
    """MultiplyByQuantizedMultiplier in exact arithmetic: to nearest with halves up, then with halves away from zero."""
    left, right = max(-shift, 0), max(shift, 0)
    x = (x << left) + 2**31 & 0xFFFFFFFF
    high = ((x - 2**31) * multiplier + 2**30) // 2**31
    magnitude = int(abs(Fraction(high, 1 << right)) + Fraction(1, 2))
    return magnitude if high >= 0 else -magnitude


def clamp(x: int, low: int = -128, high: int = 127) -> int:
    return min(max(x, low), high)


BROADCASTS = [
    ((5,), (5,)),
    ((2, 3, 4), (2, 3, 4)),
    ((2, 3, 4), (4,)),
    ((2, 3, 4), (1,)),
    ((4,), (2, 3, 4)),
    ((2, 1, 4), (1, 3, 1)),
    ((1, 7, 1, 5, 1, 3), (2, 1, 4, 1, 6, 1)),
    ((2, 3, 1, 5), (2, 3, 4, 5)),
    ((), (3, 2)),
    ((), ()),
]


@pytest.mark.parametrize(("a_shape", "b_shape"), BROADCASTS, ids=str)
def test_add_broadcasts_and_rounds_as_tflm(a_shape: tuple[int, ...], b_shape: tuple[int, ...]) -> None:
    """Every combination of axes, with scales apart by a factor, and a clamp."""
    a, b = codes(1, *a_shape), codes(2, *b_shape)
    p = {"a_zero_point": -3, "b_zero_point": 77, "y_zero_point": -128, "left_shift": 20, "y_min": -128, "y_max": 100}
    p |= {"a_multiplier": 1073741824, "a_shift": 0, "b_multiplier": 1476395008, "b_shift": 2}
    p |= {"y_multiplier": 1717986918, "y_shift": 18}
    shape = np.broadcast_shapes(a_shape, b_shape)
    y = run("add_s8", [a, b], np.int8, shape, **p)

    def one(a: int, b: int) -> int:
        total = scale_twice((a + 3) << 20, 1073741824, 0) + scale_twice((b - 77) << 20, 1476395008, 2)
        return clamp(scale_twice(total, 1717986918, 18) - 128, -128, 100)

    expected = [one(int(i), int(k)) for i, k in np.broadcast(a, b)]
    assert y.reshape(-1).tolist() == expected


def test_add_of_shapes_that_do_not_broadcast_is_refused() -> None:
    """[2, 3] and [2, 2]; and an output that is larger than both."""
    p = structs.pack_params("add_s8", y_min=-128, y_max=127)
    for shapes in (((2, 3), (2, 2), (2, 3)), ((2, 1), (2, 1), (2, 4)), ((3,), (3,), (1, 3))):
        with pytest.raises(_core.PlanRefused):
            _core.op_check(structs.KINDS["add_s8"], p, [(2, s) for s in shapes], 2)


POOLS = [  # input h, w; output; kernel; stride; top and left padding
    ((8, 8), (1, 1), (8, 8), (8, 8), (0, 0)),
    ((7, 5), (4, 3), (2, 2), (2, 2), (0, 0)),
    ((7, 5), (7, 5), (3, 3), (1, 1), (1, 1)),
    ((6, 9), (3, 3), (3, 2), (2, 3), (1, 0)),
    ((1, 1), (1, 1), (5, 5), (1, 1), (4, 4)),
    ((4, 4), (2, 2), (1, 1), (3, 3), (0, 0)),
]


def windows(x: np.ndarray, pool: tuple[tuple[int, int], ...]) -> Iterator[tuple[tuple[int, ...], np.ndarray]]:
    """Index of each output pixel and its window, [pixels, channels]; padding left out."""
    (h, w), (rows, cols), (kh, kw), (sh, sw), (top, left) = pool
    for n, r, c in np.ndindex(x.shape[0], rows, cols):
        i, k = r * sh - top, c * sw - left
        window = x[n, max(i, 0) : min(i + kh, h), max(k, 0) : min(k + kw, w)]
        yield (n, r, c), window.reshape(-1, x.shape[3])


def pool_params(pool: tuple[tuple[int, int], ...], **clamp: float) -> dict[str, float]:
    names = ("kernel_h", "kernel_w"), ("stride_h", "stride_w"), ("pad_top", "pad_left")
    return {
        n: v for pair, values in zip(names, pool[2:], strict=True) for n, v in zip(pair, values, strict=True)
    } | clamp


@pytest.mark.parametrize("pool", POOLS, ids=str)
@pytest.mark.parametrize("kind", ["avg_pool2d_s8", "max_pool2d_s8"])
def test_pool_counts_what_lies_inside(kind: str, pool: tuple[tuple[int, int], ...]) -> None:
    """Averages are rounded half away from zero; padding is neither summed nor counted."""
    x = codes(3, 2, *pool[0], 3)
    y = run(kind, [x], np.int8, (2, *pool[1], 3), **pool_params(pool, y_min=-100, y_max=90))
    for at, window in windows(x, pool):
        if kind == "max_pool2d_s8":
            expected = [clamp(int(v), -100, 90) for v in window.max(0)]
        else:
            sums, n = window.astype(int).sum(0), len(window)
            expected = [clamp((abs(s) + n // 2) // n * (1 if s > 0 else -1), -100, 90) for s in map(int, sums)]
        assert y[at].tolist() == expected, at


@pytest.mark.parametrize(
    "change", [{"pad_top": 2}, {"stride_h": 0}, {"kernel_w": 0}, {"pad_left": -1}, {"stride_w": 9}]
)
def test_pool_with_an_empty_window_is_refused(change: dict[str, int]) -> None:
    """No average is divided by nothing."""
    p = pool_params(((4, 4), (2, 2), (2, 2), (2, 2), (0, 0)), y_min=-128, y_max=127) | change
    with pytest.raises(_core.PlanRefused):
        _core.op_check(
            structs.KINDS["avg_pool2d_s8"],
            structs.pack_params("avg_pool2d_s8", **p),
            [(2, (1, 4, 4, 1)), (2, (1, 2, 2, 1))],
            1,
        )


MEANS = [
    ((1, 5, 7, 3), (1, 2)),
    ((2, 3, 4), (0,)),
    ((2, 3, 4), (2,)),
    ((4, 6), (0, 1)),
    ((2, 3, 4, 5), (0, 2)),
    ((3, 2), ()),
]


@pytest.mark.parametrize("keepdims", [True, False])
@pytest.mark.parametrize(("shape", "axes"), MEANS, ids=str)
def test_mean_rescales_the_sum_once(shape: tuple[int, ...], axes: tuple[int, ...], keepdims: bool) -> None:
    """Any axes; the count lies in the multiplier, as in TFLM's QuantizedMeanOrSum."""
    x = codes(4, *shape)
    p = {"axes": sum(1 << a for a in axes), "x_zero_point": -5, "y_zero_point": 9}
    y_shape = x.mean(axis=axes, keepdims=keepdims).shape
    y = run("mean_s8", [x], np.int8, y_shape, multiplier=1503238553, shift=4, **p)
    sums = (x.astype(int) + 5).sum(axis=axes, keepdims=keepdims)
    assert y.reshape(-1).tolist() == [clamp(scale_twice(int(s), 1503238553, 4) + 9) for s in np.asarray(sums).flat]


def test_requantize_of_every_code() -> None:
    """Up and down, with a clamp."""
    x = np.arange(-128, 128).astype(np.int8)
    for multiplier, shift in ((1073741824, -2), (1717986918, 3), (2147483647, 0), (0, 0), (1073741824, 31)):
        p = {
            "x_zero_point": 17,
            "y_zero_point": -40,
            "multiplier": multiplier,
            "shift": shift,
            "y_min": -90,
            "y_max": 120,
        }
        y = run("requantize_s8", [x], np.int8, x.shape, **p)
        assert y.tolist() == [clamp(scale_twice(int(c) - 17, multiplier, shift) - 40, -90, 120) for c in x]


def test_quantize_rounds_halves_away_from_zero() -> None:
    """As LiteRT's QUANTIZE: -0.5 -> -1, 0.5 -> 1, 2.5 -> 3; saturated; NaN is 0, so the zero point."""
    halves = (np.arange(-300, 300) / 2).astype(np.float32)
    near = np.nextafter(halves, np.float32(np.inf)), np.nextafter(halves, np.float32(-np.inf))
    extremes = np.array([np.inf, -np.inf, np.nan, 3e38, -3e38, 1e-45, -0.0], np.float32)
    x = np.concatenate([halves, *near, extremes])
    y = run("quantize_f32_s8", [x], np.int8, x.shape, scale=1.0, y_zero_point=3, y_min=-128, y_max=127)
    rounded = np.sign(x) * np.floor(np.abs(x.astype(np.float64)) + 0.5)
    assert y.tolist() == [3 if np.isnan(v) else int(clamp(v + 3)) for v in rounded]


def test_quantize_divides_by_the_scale() -> None:
    """x / scale in float32: a product with 1 / scale would differ in the last bit and then in a code."""
    rng = np.random.default_rng(5)
    x = rng.normal(0, 3, 100_000).astype(np.float32)
    scale = np.float32(0.0472)
    y = run("quantize_f32_s8", [x], np.int8, x.shape, scale=float(scale), y_zero_point=-7, y_min=-128, y_max=127)
    q = (x / scale).astype(np.float64)
    assert (y == np.clip(np.sign(q) * np.floor(np.abs(q) + 0.5) - 7, -128, 127)).all()


def test_dequantize_of_every_code() -> None:
    """scale * (code - zero point), one rounding."""
    x = np.arange(-128, 128).astype(np.int8)
    y = run("dequantize_s8_f32", [x], np.float32, x.shape, scale=0.1, x_zero_point=-128)
    assert y.tolist() == [float(np.float32(0.1) * np.float32(int(c) + 128)) for c in x]


def test_clip_and_any_ge_of_every_code() -> None:
    """The bounds and the threshold belong to the range."""
    x = np.arange(-128, 128).astype(np.int8)
    assert run("clip_s8", [x], np.int8, x.shape, y_min=-5, y_max=9).tolist() == [clamp(int(c), -5, 9) for c in x]
    for threshold in (-128, 0, 126, 127, 128):
        for top in (-128, 0, 126, 127):
            found = run("any_ge_s8", [np.array([[-128, top]], np.int8)], bool, (1,), threshold=threshold)
            assert found.tolist() == [top >= threshold]


def fixed_exp(difference: int, multiplier: int, shift: int) -> int:
    """e^(scaled difference), Q0.31: gemmlowp's exp_on_negative_values in exact integers."""
    a = scale_twice(difference, multiplier, shift)
    if a == 0:
        return 2**31 - 1
    quarter = 1 << 24
    low = (a & (quarter - 1)) - quarter
    x = (low << 5) + (1 << 28)

    def product(i: int, k: int) -> int:
        return (i * k + 2**30) // 2**31

    def halves(i: int, n: int) -> int:
        return (abs(i) + (1 << n - 1) >> n) * (1 if i >= 0 else -1)

    x2 = product(x, x)
    high = halves(product(halves(product(x2, x2), 2) + product(x2, x), 715827883) + x2, 1)
    y = 1895147668 + product(1895147668, x + high)
    rest = low - a
    for bit, factor in enumerate((1672461947, 1302514674, 790015084, 290630308, 39332535, 720401, 242)):
        if rest >> 24 + bit & 1:
            y = product(y, factor)
    return y


@pytest.mark.parametrize("scale", [0.01, 0.0625, 0.3, 2.0])
def test_softmax_is_close_to_the_real_one_and_exactly_gemmlowps(scale: float) -> None:
    """Rows of 1 to 300 classes: each code within one step of softmax, and the exponentials to the bit.

    The exponentials decide the codes together with the reciprocal, which is checked against an exact division.
    """
    from pyedge.model.quantmath import softmax_params

    p = softmax_params(1.0, scale)
    rng = np.random.default_rng(6)
    for n in (1, 2, 3, 10, 300):
        x = rng.integers(-128, 128, (20, n), dtype=np.int8)
        y = run("softmax_s8", [x], np.int8, x.shape, multiplier=p.multiplier, shift=p.shift, diff_min=p.diff_min)
        real = np.exp((x.astype(float) - x.max(1, keepdims=True)) * scale)
        real = real / real.sum(1, keepdims=True) * 256 - 128
        assert np.abs(y - np.clip(real, -128, 127)).max() <= 1
        for row, out in zip(x.tolist(), y.tolist(), strict=True):
            exps = [fixed_exp(v - max(row), *p[:2]) if v - max(row) >= p.diff_min else 0 for v in row]
            total = sum((e + 2048) >> 12 for e in exps)
            exact = [Fraction(e, 2**12) / total * 256 for e in exps]
            assert all(abs(clamp(round(v) - 128) - o) <= 1 for v, o in zip(exact, out, strict=True))
            near = [abs(v - int(v) - Fraction(1, 2)) > Fraction(1, 10**5) for v in exact]
            assert all(clamp(int(v + Fraction(1, 2)) - 128) == o for v, o, k in zip(exact, out, near, strict=True) if k)


def test_softmax_of_ten_thousand_equal_codes() -> None:
    """The sum needs more than its 12 integer bits: it saturates, and nothing is divided by 0."""
    x = np.full((1, 10_000), 5, np.int8)
    y = run("softmax_s8", [x], np.int8, x.shape, multiplier=1 << 30, shift=-3, diff_min=-248)
    assert (y == -128).all()
