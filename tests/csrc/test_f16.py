"""Layers of float16 weights: to the bit against the NumPy references, and what those promise."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

import pyedge as pe
from pyedge.model import reference

Array = npt.NDArray[Any]
ODD = np.array([0, -0.0, 6e-8, -6e-8, 3e-5, 65504, -65504, np.inf, -np.inf, np.nan], np.float32)
MODES = ("exact", "fast16")
FLOATS = ("float32", "float16")


def numbers(rng: np.random.Generator, shape: Any, dtype: Any, odd: float = 0.0, scale: float = 1.0) -> Array:
    x = rng.normal(0, scale, shape)
    return np.asarray(np.where(rng.random(shape) < odd, rng.choice(ODD, shape), x)).astype(dtype)


def same_bits(actual: Array, expected: Array) -> None:
    """Outputs are canonical; the reference's NaNs may not be."""
    word = {2: np.uint16, 4: np.uint32}[expected.itemsize]
    nan = {2: 0x7E00, 4: 0x7FC00000}[expected.itemsize]
    assert actual.dtype == expected.dtype
    np.testing.assert_array_equal(actual.view(word), np.where(np.isnan(expected), word(nan), expected.view(word)))


def check(graph: pe.Graph, x: Array, mode: str) -> Array:
    """A session gives the reference's bits; returns its result."""
    y = pe.Session(pe.compile(graph, mode=mode))(x)
    assert isinstance(y, np.ndarray)
    same_bits(y, reference.run(graph, {"x": x}, mode=mode)["y"])
    return y


def layer(kind: str, x: tuple[int, ...], weight: Array, dtypes: tuple[str, str], **options: Any) -> pe.Graph:
    b = pe.GraphBuilder()
    y = getattr(b, kind)(b.input("x", x, dtypes[0]), weight, **options)
    b.output("y", y)
    graph = b.build()
    graph.ops[0].attrs["dtype"] = graph.tensors["y"].dtype = dtypes[1]
    return graph


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("k", [1, 31, 32, 33, 4096])
@pytest.mark.parametrize("x_dtype, y_dtype", [(x, y) for x in FLOATS for y in FLOATS])
def test_linear_has_the_references_bits(mode: str, k: int, x_dtype: str, y_dtype: str) -> None:
    """Around the 32 products of a run; ordinary numbers, subnormals, overflow, infinities and NaN."""
    rng = np.random.default_rng([k, len(mode)])
    for m, n, odd, scale in ((1, 5, 0.0, 1.0), (3, 4, 0.01, 1.0), (2, 3, 0.0, 1e-4), (2, 3, 0.0, 300.0)):
        weight, bias = numbers(rng, (n, k), np.float16, odd, scale), numbers(rng, n, np.float32, odd)
        graph = layer("linear", (m, k), weight, (x_dtype, y_dtype), bias=bias, activation=[None, "relu"][k % 2])
        check(graph, numbers(rng, (m, k), x_dtype, odd, scale), mode)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("x_dtype, y_dtype", [(x, y) for x in FLOATS for y in FLOATS])
def test_windows_have_the_references_bits(mode: str, x_dtype: str, y_dtype: str) -> None:
    """Strides, dilations, groups, multipliers; padding is +0 and meets infinite weights."""
    rng = np.random.default_rng(7)
    for stride, dilation, padding, groups in (
        (1, 1, "same", 1), (2, 1, "valid", 2), ((1, 2), (2, 1), ((2, 0), (1, 3)), 1), (1, 3, "same", 4),
    ):  # fmt: skip
        window = {"stride": stride, "dilation": dilation, "padding": padding, "activation": "relu6"}
        x = numbers(rng, (2, 7, 8, 4), x_dtype, 0.01)
        weight, bias = numbers(rng, (8, 3, 3, 4 // groups), np.float16, 0.02), numbers(rng, 8, np.float32)
        check(layer("conv2d", x.shape, weight, (x_dtype, y_dtype), bias=bias, groups=groups, **window), x, mode)
        for weight in (numbers(rng, (3, 2, 4), np.float16, 0.02), numbers(rng, (2, 3, 12), np.float16)):
            check(layer("depthwise_conv2d", x.shape, weight, (x_dtype, y_dtype), **window), x, mode)
    weight = numbers(rng, (7, 7, 3), np.float16)  # 49 taps: a run ends inside
    check(
        layer("depthwise_conv2d", (1, 9, 9, 3), weight, (x_dtype, y_dtype)), numbers(rng, (1, 9, 9, 3), x_dtype), mode
    )


@pytest.mark.parametrize("kind, x, w", [("linear", (3, 40), (5, 40)), ("conv2d", (1, 6, 5, 8), (4, 3, 3, 8)),
                                        ("depthwise_conv2d", (1, 6, 5, 8), (3, 3, 8))])  # fmt: skip
def test_exact_has_the_bits_of_float32(kind: str, x: tuple[int, ...], w: tuple[int, ...]) -> None:
    """Widening loses nothing, so float32 weights of the same values give the same result."""
    rng = np.random.default_rng(3)
    weight, value = numbers(rng, w, np.float16), numbers(rng, x, np.float16)
    b = pe.GraphBuilder()
    b.output("y", getattr(b, kind)(b.input("x", x, "float32"), weight.astype(np.float32)))
    expected = pe.Session(pe.compile(b.build()))(value.astype(np.float32))
    for x_dtype in FLOATS:
        np.testing.assert_array_equal(
            pe.Session(pe.compile(layer(kind, x, weight, (x_dtype, "float32"))))(value.astype(x_dtype)), expected
        )


def test_the_edges_of_float16() -> None:
    """Subnormals stay, sums in float16 overflow to infinity, and round to even where float32 would keep the bit."""

    def fast(x: list[float], w: list[float]) -> float:
        graph = layer("linear", (1, len(x)), np.array([w], np.float16), ("float16", "float32"))
        return float(check(graph, np.array([x], np.float16), "fast16")[0, 0])

    tiny = 2.0**-24
    assert fast([tiny], [1]) == tiny
    assert fast([tiny], [0.5]) == 0  # half of the smallest, to even
    assert fast([tiny * 3], [0.5]) == 2 * tiny
    assert fast([65504, 16], [1, 1]) == np.inf
    assert fast([65504, 15.99], [1, 1]) == 65504
    assert fast([2048, 1], [1, 1]) == 2048
    assert fast([2048, 1 + 2**-10], [1, 1]) == 2050  # above the half, seen before any rounding
    assert fast([2048] + [0] * 31 + [1], [1] * 33) == 2049  # the 33rd product goes into another run
    assert np.isnan(fast([np.inf, -np.inf], [1, 1]))


def test_fma16_rounds_once() -> None:
    """1 * c + a * b of random bits, a channel each: in doubles the sum is exact, or what is lost is far too small."""
    rng = np.random.default_rng(11)
    a, b, c = rng.integers(0, 1 << 16, (3, 200_000), dtype=np.uint16).view(np.float16)
    with np.errstate(all="ignore"):
        c[::3] = -(a[::3].astype(np.float32) * b[::3]).astype(np.float16)  # cancels
        # The sum of the run is added to +0, which makes a -0 positive.
        expected = (c.astype(np.float64) + a.astype(np.float64) * b).astype(np.float16) + np.float16(0)
    x, w = np.stack([c, a])[None, None], np.stack([np.ones_like(c), b])[None]
    graph = layer("depthwise_conv2d", x.shape, w, ("float16", "float16"), padding="valid")
    y = pe.Session(pe.compile(graph, mode="fast16"))(x)
    assert isinstance(y, np.ndarray)
    same_bits(y[0, 0, 0], expected)


@pytest.mark.parametrize("k", [256, 1024, 4096])
def test_the_error_of_fast16_does_not_grow_with_k(k: int) -> None:
    """Relative RMS below 1.5e-3, with zero mean and with positive numbers."""
    rng = np.random.default_rng(k)
    for x, w in (
        (rng.normal(0, 1, (8, k)), rng.normal(0, 1, (32, k))),
        (np.abs(rng.normal(0, 1, (8, k))), np.abs(rng.normal(0, 1, (32, k))) / 8),
    ):
        a, b = x.astype(np.float16), w.astype(np.float16)
        y = pe.Session(pe.compile(layer("linear", a.shape, b, ("float16", "float32")), mode="fast16"))(a)
        real = a.astype(np.float64) @ b.T.astype(np.float64)
        assert np.sqrt(np.mean((y - real) ** 2) / np.mean(real**2)) < 1.5e-3


def test_images_in_float16_are_computed_as_floats_and_rounded_once() -> None:
    """add, pools and mean: the bits of float32 on the same values, rounded; in place and by broadcasting too."""
    rng = np.random.default_rng(13)
    x, other = numbers(rng, (2, 7, 6, 5), np.float16, 0.02), numbers(rng, (2, 7, 6, 5), np.float16, 0.02)
    makers: list[Callable[[pe.GraphBuilder, Any, Any], Any]] = [
        lambda b, x, y: b.add(x, y, activation="relu6"),
        lambda b, x, y: b.add(b.add(x, y), x),
        lambda b, x, y: b.add(x, b.avg_pool2d(y, (7, 6))),
        lambda b, x, y: b.avg_pool2d(x, 3, stride=2, padding="same", activation="relu"),
        lambda b, x, y: b.max_pool2d(x, (3, 2), stride=2, padding="same"),
        lambda b, x, y: b.mean(x, (1, 2)),
    ]
    for i, make in enumerate(makers):
        results = []
        for dtype in FLOATS:
            b = pe.GraphBuilder()
            names = [b.input(n, x.shape, dtype) for n in "ab"]
            y = make(b, *names)
            assert y.dtype == dtype
            b.output("y", y)
            feeds = {"a": x.astype(dtype), "b": other.astype(dtype)}
            results.append(pe.Session(pe.compile(b.build())).run(feeds)["y"])
            assert dtype == "float32" or same(results[-1], reference.run(b.build(), feeds)["y"])
        if i not in (1, 2):  # one op: two would round in between
            same_bits(results[1], results[0].astype(np.float16))


def same(actual: Array, expected: Array) -> bool:
    """Within a unit in the last place: the reference rounds once, from doubles."""
    return np.allclose(actual, expected, rtol=2**-10, atol=2**-24, equal_nan=True)


# Of the bytes of all results of test_the_bits_are_the_same_on_every_cpu.
GOLDEN = {
    "exact": "c3e790fe3cd179a5d22d8afca9f0bccd53e9f8e05f170fa9050e2a9300cc2839",
    "fast16": "b8ffad6e9d075e68591d998ead9d92c8d915c33583ece200d4483795c5a83817",
}


@pytest.mark.parametrize("mode", MODES)
def test_the_bits_are_the_same_on_every_cpu(mode: str) -> None:
    """One hash for every CPU and compiler that runs this; inputs from integers alone."""
    digest = hashlib.sha256()
    for i, k in enumerate((1, 8, 31, 32, 33, 100, 777)):
        steps = np.arange(7 * k, dtype=np.int64)
        a = ((steps * 2654435761 + i) % 2001 - 1000).reshape(7, k).astype(np.float16) / np.float16(256)
        b = ((np.arange(9 * k, dtype=np.int64) * 40503 + i) % 1999 - 999).reshape(9, k).astype(np.float16) / np.float16(
            512
        )
        for dtypes in ((x, y) for x in FLOATS for y in FLOATS):
            y = pe.Session(pe.compile(layer("linear", (7, k), b, dtypes), mode=mode))(a.astype(dtypes[0]))
            digest.update(y.tobytes())
            window = b[:, :1].reshape(9, 1, 1, 1), a[:, :8].reshape(1, 7, -1, 1)
            y = pe.Session(pe.compile(layer("conv2d", window[1].shape, window[0], dtypes), mode=mode))(
                window[1].astype(dtypes[0])
            )
            digest.update(y.tobytes())
    assert digest.hexdigest() == GOLDEN[mode]


def test_what_does_not_fit_is_refused() -> None:
    """Types and modes, by name."""
    b = pe.GraphBuilder()
    with pytest.raises(pe.ShapeError, match="expected int8 of rank 2"):
        b.linear(b.input("x", (1, 4), "int8", scale=1.0), np.ones((2, 4), np.float16))
    graph = layer("linear", (1, 4), np.ones((2, 4), np.float16), ("float32", "float32"))
    with pytest.raises(pe.PlanError, match="mode 'fast' is not known; one of exact, fast16"):
        pe.compile(graph, mode="fast")
    assert pe.compile(graph, mode="fast16").meta["mode"] == "fast16"
