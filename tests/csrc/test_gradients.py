"""Gradients of layers, to the bit against the NumPy references, in all types and modes."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

import pyedge as pe
from pyedge.model import reference
from pyedge.model.graph import Graph, Op, Tensor
from pyedge.model.ops import infer_op

Array = npt.NDArray[Any]
ODD = np.array([0, -0.0, 6e-8, -6e-8, 3e-5, 65504, -65504, np.inf, -np.inf, np.nan], np.float32)
FLOATS = ("float32", "float16")
TYPES = [(a, b, y, mode) for a in FLOATS for b in FLOATS for y in FLOATS for mode in ("exact", "fast16")]
TYPES = [t for t in TYPES if t != ("float32", "float32", "float32", "fast16")]


def numbers(rng: np.random.Generator, shape: Any, dtype: Any, odd: float = 0.0, scale: float = 1.0) -> Array:
    x = rng.normal(0, scale, shape)
    return np.asarray(np.where(rng.random(shape) < odd, rng.choice(ODD, shape), x)).astype(dtype)


def same_bits(actual: Array, expected: Array) -> None:
    """Outputs are canonical; the reference's NaNs may not be."""
    if expected.dtype == np.uint8:
        np.testing.assert_array_equal(actual, expected)
        return
    word = {2: np.uint16, 4: np.uint32}[expected.itemsize]
    nan = {2: 0x7E00, 4: 0x7FC00000}[expected.itemsize]
    assert actual.dtype == expected.dtype
    np.testing.assert_array_equal(actual.view(word), np.where(np.isnan(expected), word(nan), expected.view(word)))


def graph_of(kind: str, operands: list[Array], attrs: dict[str, Any]) -> Graph:
    graph = Graph(kind)
    tensors = [graph.add_tensor(Tensor(f"x{i}", a.shape, str(a.dtype))) for i, a in enumerate(operands)]
    graph.input_names, graph.output_names = [t.name for t in tensors], ["y"]
    op = Op(kind, kind, [*graph.input_names], ["y"], attrs)
    [(shape, dtype)] = infer_op(op, tensors)
    graph.add_tensor(Tensor("y", shape, dtype))
    graph.ops.append(op)
    return graph


def check(kind: str, *operands: Array, mode: str = "exact", **attrs: Any) -> Array:
    """A session gives the reference's bits; returns its result."""
    graph = graph_of(kind, list(operands), attrs)
    [y] = pe.Session(pe.compile(graph, mode=mode)).run(list(operands))
    feeds = dict(zip(graph.input_names, operands, strict=True))
    same_bits(y, reference.run(graph, feeds, mode=mode)["y"])
    return y


# H, W, C, Co, kernel, stride, dilation, padding, groups
LAYERS: list[tuple[Any, ...]] = [
    (5, 6, 3, 5, (3, 3), (1, 1), (1, 1), "same", 1),
    (9, 7, 4, 6, (3, 2), (2, 3), (1, 1), "same", 2),
    (8, 9, 2, 4, (3, 3), (2, 1), (2, 3), ((3, 1), (0, 4)), 1),
    (4, 4, 5, 3, (1, 1), (2, 2), (1, 1), "valid", 1),  # pixels of x that no window reads
    (4, 5, 6, 9, (1, 1), (1, 1), (1, 1), "same", 1),  # linear over pixels
    (4, 5, 6, 9, (1, 1), (1, 1), (1, 1), ((1, 0), (0, 2)), 3),
    (7, 7, 6, 6, (3, 3), (2, 2), (1, 1), "valid", 6),
    (6, 5, 1, 2, (2, 2), (3, 3), (2, 2), ((2, 2), (1, 1)), 1),  # residues that no tap meets
    (3, 3, 2, 3, (2, 3), (1, 1), (1, 1), ((4, 4), (5, 5)), 1),  # windows in the padding alone
    (13, 10, 1, 8, (10, 4), (2, 2), (1, 1), "same", 1),
    (2, 3, 20, 24, (3, 3), (1, 1), (1, 1), "same", 1),  # blocks of sums in scratch
]


@pytest.mark.parametrize("types", TYPES, ids="-".join)
@pytest.mark.parametrize("layer", LAYERS, ids=str)
def test_gradients_of_convolutions_have_the_references_bits(layer: Any, types: tuple[str, str, str, str]) -> None:
    """Of conv2d and depthwise: strides, dilations, groups, multipliers; padding meets infinite and NaN values."""
    h, w, c, co, kernel, stride, dilation, padding, groups = layer
    a_dtype, b_dtype, dtype, mode = types
    rng = np.random.default_rng([h, w, c, co])
    window = {"stride": stride, "dilation": dilation, "padding": padding}
    for odd, scale in ((0.0, 1.0), (0.01, 1.0), (0.0, 1e-4)):
        x = numbers(rng, (2, h, w, c), b_dtype, odd, scale)
        weight = numbers(rng, (co, *kernel, c // groups), b_dtype, odd, scale)
        shape = graph_of("conv2d", [x.astype("f4"), weight.astype("f4")],
                         {**window, "groups": groups, "activation": None}).outputs[0].shape  # fmt: skip
        dy = numbers(rng, shape, a_dtype, odd, scale)
        attrs = {**window, "groups": groups, "dtype": dtype, "mode": mode}
        check("conv2d_dgrad", dy, weight, size=(h, w), **attrs)
        check("conv2d_wgrad", dy, x, kernel=kernel, **attrs)
        for multiplier in (1, 3):
            weight = numbers(rng, (*kernel, c * multiplier), b_dtype, odd, scale)
            dy = numbers(rng, (*shape[:3], c * multiplier), a_dtype, odd, scale)
            attrs = {**window, "dtype": dtype, "mode": mode}
            check("depthwise_dgrad", dy, weight, size=(h, w), multiplier=multiplier, **attrs)
            check("depthwise_wgrad", dy, x, kernel=kernel, **attrs)


@pytest.mark.parametrize("types", TYPES, ids="-".join)
def test_gradients_of_linear_have_the_references_bits(types: tuple[str, str, str, str]) -> None:
    """Around tiles of four, blocks of sums in scratch and runs of 32 products."""
    a_dtype, b_dtype, dtype, mode = types
    for m, n, k in ((1, 1, 1), (1, 10, 64), (3, 5, 7), (4, 4, 4), (8, 33, 12), (31, 3, 2), (32, 9, 65), (65, 130, 6)):
        rng = np.random.default_rng([m, n, k])
        for odd, scale in ((0.0, 1.0), (0.01, 1.0), (0.0, 300.0)):
            dy = numbers(rng, (m, n), a_dtype, odd, scale)
            w, x = numbers(rng, (n, k), b_dtype, odd, scale), numbers(rng, (m, k), b_dtype, odd, scale)
            check("linear_dgrad", dy, w, mode=mode, dtype=dtype)
            check("linear_wgrad", dy, x, mode=mode, dtype=dtype)


def test_linear_gradients_take_rows_of_any_rank() -> None:
    rng = np.random.default_rng(5)
    dy, w, x = (numbers(rng, s, np.float32) for s in ((2, 3, 4), (4, 5), (2, 3, 5)))
    assert check("linear_dgrad", dy, w, dtype="float32").shape == (2, 3, 5)
    assert check("linear_wgrad", dy, x, dtype="float32").shape == (4, 5)


# sizes, kernels, strides, dilations, pads, windows
POOLS: list[tuple[Any, ...]] = [
    ((6, 4), (2, 2), (2, 2), (1, 1), ((0, 0), (0, 0)), (3, 2)),
    ((7, 5), (3, 3), (2, 1), (1, 1), ((1, 1), (1, 0)), (4, 4)),
    ((7, 9), (3, 2), (2, 2), (2, 3), ((2, 2), (1, 2)), (4, 5)),
    ((8,), (3,), (2,), (1,), ((1, 1),), (5,)),  # the last window reaches beyond the padding
    ((3, 4, 5), (2, 3, 2), (1, 2, 2), (1, 1, 1), ((0, 1), (1, 1), (0, 0)), (3, 2, 2)),
    ((2, 3, 2, 3), (2, 2, 1, 3), (1, 1, 2, 1), (1, 1, 1, 1), ((0, 0),) * 4, (1, 2, 1, 1)),
]


@pytest.mark.parametrize("types", [(a, b, y) for a in FLOATS for b in FLOATS for y in FLOATS], ids="-".join)
@pytest.mark.parametrize("pool", POOLS, ids=str)
def test_gradients_of_pools_have_the_references_bits(pool: Any, types: tuple[str, str, str]) -> None:
    """Overlapping windows, equal elements, zeros of both signs, NaN, windows in the padding."""
    sizes, kernels, strides, dilations, pads, windows = pool
    a_dtype, b_dtype, dtype = types
    rng = np.random.default_rng(len(sizes))
    attrs = {"kernels": kernels, "strides": strides, "dilations": dilations, "pads": pads, "dtype": dtype}
    for odd in (0.0, 0.3):
        dy = numbers(rng, (2, *windows, 3), a_dtype, odd / 10)
        x = numbers(rng, (2, *sizes, 3), b_dtype, odd)
        if odd:
            x = np.round(x)
        check("max_pool_grad", dy, x, **attrs)
        for counted in (False, True):
            check("avg_pool_grad", dy, size=sizes, count_include_pad=counted, **attrs)


@pytest.mark.parametrize("types", [(a, b) for a in FLOATS for b in FLOATS], ids="-".join)
def test_gradients_of_biases_and_clips_have_the_references_bits(types: tuple[str, str]) -> None:
    rng = np.random.default_rng(9)
    for shape in ((1,), (7, 5), (2, 3, 4, 9)):
        rows = numbers(rng, shape, types[0], 0.01)
        check("bias_grad", rows, dtype=types[1])
        check("bias_grad", rows, numbers(rng, shape[-1:], "float32", 0.01), dtype=types[1])
        dy, y = numbers(rng, shape, types[0], 0.1), numbers(rng, shape, types[1], 0.2)
        for low, high in ((0.0, np.inf), (0.0, 0.5), (-1.0, 1.0), (-np.inf, np.inf)):
            check("clip_grad", dy, y, min=float(low), max=float(high))
            check("mask_grad", dy, check("clip_mask", y, min=float(low), max=float(high)))


def test_a_gradient_of_a_bias_goes_on_from_that_of_earlier_rows() -> None:
    """The bits of one sum over all rows."""
    dy = numbers(np.random.default_rng(10), (50, 9), np.float16)
    same_bits(pe.ops.bias_grad(dy[20:], pe.ops.bias_grad(dy[:20], y_dtype="float32")), pe.ops.bias_grad(dy))


def test_a_gradient_of_float16_operands_has_the_bits_of_float32() -> None:
    """Widening loses nothing, and sums are the same chains."""
    rng = np.random.default_rng(11)
    dy, w = numbers(rng, (1, 5, 6, 8), np.float16), numbers(rng, (8, 3, 3, 7), np.float16)
    attrs = {"stride": (1, 1), "dilation": (1, 1), "padding": "same", "groups": 1, "size": (5, 6), "dtype": "float32"}
    expected = check("conv2d_dgrad", dy.astype(np.float32), w.astype(np.float32), **attrs)
    np.testing.assert_array_equal(check("conv2d_dgrad", dy, w, **attrs), expected)


def test_the_error_of_fast16_is_below_that_of_sums_in_float16_alone() -> None:
    """A weight gradient over 4096 pixels: relative RMS below 1.5e-3, where float16 alone is worse by 20 times."""
    rng = np.random.default_rng(12)
    dy, x = np.abs(rng.normal(0, 0.1, (4096, 8))).astype(np.float16), np.abs(rng.normal(0, 1, (4096, 16)))
    x = x.astype(np.float16)
    real = dy.T.astype(np.float64) @ x.astype(np.float64)
    alone = np.zeros((8, 16), np.float16)
    for a, b in zip(dy, x, strict=True):
        alone = (alone + a[:, None].astype(np.float64) * b).astype(np.float16)
    error = [
        float(np.sqrt(np.mean((y - real) ** 2) / np.mean(real**2)))
        for y in (check("linear_wgrad", dy, x, mode="fast16", dtype="float32"), alone)
    ]
    assert error[0] < 1.5e-3 and error[1] > 20 * error[0]
