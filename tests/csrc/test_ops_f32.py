"""The float ops: exact bits where only additions, comparisons and divisions are made, a bound where exp is."""

import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from test_ops_s8 import BROADCASTS, MEANS, POOLS, pool_params, run, windows

INFINITY = float("inf")
SPECIAL = np.array([np.nan, -np.nan, np.inf, -np.inf, 0.0, -0.0, 1e-45, -1e-45, 3.4e38, 1.5], np.float32)


def bits(x: np.ndarray) -> np.ndarray:
    """As integers, every NaN the same."""
    return np.where(np.isnan(x), 0x7FC00000, np.ascontiguousarray(x, np.float32).view(np.uint32))


def normal(seed: int, *shape: int) -> np.ndarray:
    return np.random.default_rng(seed).normal(0, 2, shape).astype(np.float32)


@pytest.mark.parametrize(("a_shape", "b_shape"), BROADCASTS, ids=str)
def test_add_broadcasts(a_shape: tuple[int, ...], b_shape: tuple[int, ...]) -> None:
    """One rounded addition for each element, then the clamp."""
    a, b = normal(1, *a_shape), normal(2, *b_shape)
    y = run("add_f32", [a, b], np.float32, np.broadcast_shapes(a_shape, b_shape), f_min=0.0, f_max=2.5)
    assert (bits(y) == bits(np.clip(a + b, 0, 2.5))).all()


def test_clip_keeps_nan_and_bounds_the_rest() -> None:
    """min(max(x, low), high); NaN stays NaN; -0 clipped at 0 is +0."""
    y = run("clip_f32", [SPECIAL], np.float32, SPECIAL.shape, f_min=0.0, f_max=6.0)
    assert (bits(y) == bits(np.array([np.nan, np.nan, 6, 0, 0, 0, 1e-45, 0, 6, 1.5], np.float32))).all()
    y = run("clip_f32", [SPECIAL], np.float32, SPECIAL.shape, f_min=-INFINITY, f_max=INFINITY)
    assert (bits(y) == bits(SPECIAL)).all()


@pytest.mark.parametrize("pool", POOLS, ids=str)
def test_avg_pool_sums_in_order_and_divides(pool: tuple[tuple[int, int], ...]) -> None:
    """FP32 additions row by row, one division by what was counted."""
    x = normal(3, 2, *pool[0], 3)
    y = run("avg_pool2d_f32", [x], np.float32, (2, *pool[1], 3), **pool_params(pool, f_min=-1.5, f_max=1.0))
    for at, window in windows(x, pool):
        total = np.zeros(3, np.float32)
        for pixel in window:
            total += pixel
        assert (bits(y[at]) == bits(np.clip(total / np.float32(len(window)), -1.5, 1.0))).all(), at


@pytest.mark.parametrize("pool", POOLS, ids=str)
def test_max_pool_passes_nan_on(pool: tuple[tuple[int, int], ...]) -> None:
    """As NumPy's maximum: a window with a NaN gives NaN."""
    x = normal(4, 2, *pool[0], 3)
    x[0, 0, 0, 1], x[1, -1, -1, 2], x[1, 0, 0, 0] = np.nan, np.inf, -np.inf
    y = run("max_pool2d_f32", [x], np.float32, (2, *pool[1], 3), **pool_params(pool, f_min=-INFINITY, f_max=INFINITY))
    for at, window in windows(x, pool):
        assert (bits(y[at]) == bits(window.max(0))).all(), at


@pytest.mark.parametrize(("shape", "axes"), MEANS, ids=str)
def test_mean_sums_in_order_and_divides(shape: tuple[int, ...], axes: tuple[int, ...]) -> None:
    """FP32 additions in ascending order of the elements of x, one division."""
    x = normal(5, *shape)
    y = run("mean_f32", [x], np.float32, x.mean(axis=axes).shape, axes=sum(1 << a for a in axes))
    total = np.zeros(y.shape, np.float32)
    kept = [i for i in range(x.ndim) if i not in axes]
    for at in np.ndindex(*shape):
        total[tuple(at[i] for i in kept)] += x[at]
    assert (bits(y) == bits(total / np.float32(x.size // y.size))).all()


def test_softmax_is_within_its_bound() -> None:
    """Relative, in 2^-24: 1.82 an exp, n - 1 the sum, 1 the division, |x - max| for each rounded difference."""
    for n in (1, 2, 10, 1000):
        x = normal(6, 8, n) * 4
        y = run("softmax_f32", [x], np.float32, x.shape, beta=1.0)
        d = x.astype(np.float64) - x.max(1, keepdims=True)
        e = np.exp(d)
        real = e / e.sum(1, keepdims=True)
        assert (np.abs(y - real) <= real * (4 + n + 2 * np.abs(d).max()) * 2.0**-24 + 2.0**-149).all()
        assert (x.argmax(1) == y.argmax(1)).all()


def test_softmax_of_what_is_not_finite() -> None:
    """-inf has no share; NaN makes its row NaN and no other; large values don't overflow."""
    x = np.array([[0, -np.inf, 0], [1, np.nan, 2], [3e38, -3e38, 3e38], [88, 89, 90]], np.float32)
    y = run("softmax_f32", [x], np.float32, x.shape, beta=1.0)
    assert y[0].tolist() == [0.5, 0.0, 0.5]
    assert np.isnan(y[1]).all()
    assert y[2].tolist() == [0.5, 0.0, 0.5]
    assert abs(y[3].sum() - 1) < 1e-6


def test_any_ge_is_false_for_nan() -> None:
    """No comparison with NaN holds; -0 >= +0 does."""
    for values, threshold, expected in (
        ([np.nan, 1.0], 2.0, False), ([np.nan, 2.0], 2.0, True), ([-0.0], 0.0, True), ([np.inf], np.inf, True),
        ([5.0], np.nan, False), ([-1.0, -2.0], -1.5, True),
    ):  # fmt: skip
        found = run("any_ge_f32", [np.array(values, np.float32)], bool, (1,), f_threshold=threshold)
        assert found.tolist() == [expected]


def test_copy_carries_any_type() -> None:
    """The same bytes in another shape, odd lengths too; a NaN of floats that leaves is the canonical one."""
    floats = np.where(np.isnan(SPECIAL), np.float32(np.nan), SPECIAL)
    y = run("copy", [SPECIAL], np.float32, (2, 5))
    assert y.tobytes() == floats.tobytes()
    for x in (SPECIAL.view(np.int32), np.arange(13, dtype=np.int8), np.arange(6, dtype=np.int32), np.array([True])):
        y = run("copy", [x], x.dtype.type, (x.size,))
        assert y.tobytes() == x.tobytes()


def test_exp_is_within_its_bound(build_c: Callable[..., Path]) -> None:
    """Every 997th binary32 against the C library's double exp: 0.91 ulp. Without a step the program tries them all."""
    subprocess.run([build_c("csrc/exp_test.c", sanitize=False), "997"], check=True)
