"""The kinds of gradients against their layers, which are linear in x and in w:
<dy, layer(x, w)> = <dgrad(dy, w), x> = <wgrad(dy, x), w>; and what their shape rules refuse.
"""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest

from pyedge.errors import ModelError, PyedgeError, ShapeError
from pyedge.model import reference
from pyedge.model.graph import Op, Tensor
from pyedge.model.ops import infer_op, op_macs

Array = np.ndarray[Any, Any]


def compute(kind: str, *operands: Array, mode: str = "exact", **attrs: Any) -> Array:
    """One op by its reference."""
    tensors = [Tensor(f"t{i}", a.shape, str(a.dtype)) for i, a in enumerate(operands)]
    op = Op(kind, kind, [t.name for t in tensors], ["y"], attrs)
    [(shape, dtype)] = infer_op(op, tensors)
    [y] = reference.evaluate(op, list(operands), tensors, [Tensor("y", shape, dtype)], mode)
    return np.asarray(y)


def dot(a: Array, b: Array) -> float:
    return float((a.astype(np.float64) * b).sum())


# H, W, C, Co, kernel, stride, dilation, padding, groups
LAYERS: list[tuple[int, int, int, int, tuple[int, int], tuple[int, int], tuple[int, int], Any, int]] = [
    (5, 6, 3, 4, (3, 3), (1, 1), (1, 1), "same", 1),
    (9, 7, 4, 6, (3, 2), (2, 3), (1, 1), "same", 2),
    (8, 9, 2, 2, (3, 3), (2, 1), (2, 3), ((3, 1), (0, 4)), 1),
    (4, 4, 5, 3, (1, 1), (2, 2), (1, 1), "valid", 1),  # pixels of x that no window reads
    (7, 7, 6, 6, (3, 3), (2, 2), (1, 1), "valid", 6),
    (6, 5, 1, 2, (2, 2), (3, 3), (2, 2), ((2, 2), (1, 1)), 1),  # residues that no tap meets
    (3, 3, 2, 3, (2, 3), (1, 1), (1, 1), ((4, 4), (5, 5)), 1),  # windows in the padding alone
]


@pytest.mark.parametrize("layer", LAYERS, ids=str)
def test_gradients_of_conv2d_are_its_adjoints(layer: Any) -> None:
    h, w, c, co, kernel, stride, dilation, padding, groups = layer
    rng = np.random.default_rng(0)
    x = rng.standard_normal((2, h, w, c)).astype(np.float32)
    weight = rng.standard_normal((co, *kernel, c // groups)).astype(np.float32)
    attrs = {"stride": stride, "dilation": dilation, "padding": padding, "groups": groups}
    y = compute("conv2d", x, weight, **attrs, activation=None)
    dy = rng.standard_normal(y.shape).astype(np.float32)
    dx = compute("conv2d_dgrad", dy, weight, **attrs, size=(h, w), dtype="float32")
    dw = compute("conv2d_wgrad", dy, x, **attrs, kernel=kernel, dtype="float32")
    assert dx.shape == x.shape and dw.shape == weight.shape
    assert dot(dx, x) == pytest.approx(dot(dy, y), rel=1e-4, abs=1e-3)
    assert dot(dw, weight) == pytest.approx(dot(dy, y), rel=1e-4, abs=1e-3)


@pytest.mark.parametrize(("layer", "multiplier"), [*itertools.product(LAYERS, (1, 3))], ids=str)
def test_gradients_of_depthwise_conv2d_are_its_adjoints(layer: Any, multiplier: int) -> None:
    h, w, c, _, kernel, stride, dilation, padding, _ = layer
    rng = np.random.default_rng(1)
    x = rng.standard_normal((2, h, w, c)).astype(np.float32)
    weight = rng.standard_normal((*kernel, c * multiplier)).astype(np.float32)
    attrs = {"stride": stride, "dilation": dilation, "padding": padding}
    y = compute("depthwise_conv2d", x, weight, **attrs, activation=None)
    dy = rng.standard_normal(y.shape).astype(np.float32)
    dx = compute("depthwise_dgrad", dy, weight, **attrs, size=(h, w), multiplier=multiplier, dtype="float32")
    dw = compute("depthwise_wgrad", dy, x, **attrs, kernel=kernel, dtype="float32")
    assert dx.shape == x.shape and dw.shape == weight.shape
    assert dot(dx, x) == pytest.approx(dot(dy, y), rel=1e-4, abs=1e-3)
    assert dot(dw, weight) == pytest.approx(dot(dy, y), rel=1e-4, abs=1e-3)


def test_gradients_of_linear_are_its_adjoints() -> None:
    rng = np.random.default_rng(2)
    x, weight = (rng.standard_normal(s).astype(np.float32) for s in ((2, 3, 5), (4, 5)))
    y = compute("linear", x, weight, activation=None, keep_dims=True)
    dy = rng.standard_normal(y.shape).astype(np.float32)
    assert dot(compute("linear_dgrad", dy, weight, dtype="float32"), x) == pytest.approx(dot(dy, y), rel=1e-5)
    assert dot(compute("linear_wgrad", dy, x, dtype="float32"), weight) == pytest.approx(dot(dy, y), rel=1e-5)
    assert compute("bias_grad", dy, dtype="float32") == pytest.approx(dy.sum(axis=(0, 1)), rel=1e-5)


# sizes, kernels, strides, dilations, pads
POOLS: list[tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...], tuple[int, ...], tuple[tuple[int, int], ...]]] = [
    ((6, 4), (2, 2), (2, 2), (1, 1), ((0, 0), (0, 0))),
    ((7, 5), (3, 3), (2, 1), (1, 1), ((1, 1), (1, 0))),
    ((7, 9), (3, 2), (2, 2), (2, 3), ((2, 2), (1, 2))),
    ((8,), (3,), (2,), (1,), ((1, 1),)),
    ((3, 4, 5), (2, 3, 2), (1, 2, 2), (1, 1, 1), ((0, 1), (1, 1), (0, 0))),
]


@pytest.mark.parametrize(("pool", "ceil_mode"), [*itertools.product(POOLS, (False, True))], ids=str)
def test_gradients_of_pools_are_their_adjoints(pool: Any, ceil_mode: bool) -> None:
    sizes, kernels, strides, dilations, pads = pool
    rng = np.random.default_rng(3)
    x = rng.standard_normal((2, *sizes, 3)).astype(np.float32)
    attrs = {"kernels": kernels, "strides": strides, "dilations": dilations, "pads": pads}
    for counted in (False, True):
        y = compute("avg_pool", x, **attrs, ceil_mode=ceil_mode, count_include_pad=counted)
        dy = rng.standard_normal(y.shape).astype(np.float32)
        dx = compute("avg_pool_grad", dy, **attrs, size=sizes, count_include_pad=counted, dtype="float32")
        assert dot(dx, x) == pytest.approx(dot(dy, y), rel=1e-5, abs=1e-5)
    y = compute("max_pool", x, **attrs, ceil_mode=ceil_mode, indices=False, column_major=False)
    dx = compute("max_pool_grad", dy, x, **attrs, dtype="float32")
    assert dot(dx, x) == pytest.approx(dot(dy, y), rel=1e-5, abs=1e-5)


def test_max_pool_grad_goes_to_the_first_largest_element_and_to_the_first_nan() -> None:
    x = np.array([[1, 3, 3, 2], [5, np.nan, 7, np.nan]], np.float32).reshape(2, 4, 1)
    dy = np.array([[1, 2], [3, 4]], np.float32).reshape(2, 2, 1)
    attrs = {"kernels": (3,), "strides": (1,), "dilations": (1,), "pads": ((0, 0),)}
    dx = compute("max_pool_grad", dy, x, **attrs, dtype="float32")
    assert dx[..., 0].tolist() == [[0, 3, 0, 0], [0, 7, 0, 0]]


def test_clip_grad_is_zero_at_the_bounds_beyond_and_for_nan() -> None:
    y = np.array([-1, -0.0, 0.5, 6, 7, np.nan], np.float32)
    dx = compute("clip_grad", np.full(6, -2, np.float32), y, min=0.0, max=6.0)
    assert dx.tolist() == [0, 0, -2, 0, 0, 0] and not np.signbit(dx[[0, 1, 3, 4, 5]]).any()


def test_a_mask_has_the_lowest_bit_first_and_passes_what_clip_grad_does() -> None:
    y = np.array([-1, -0.0, 0.5, 6, 7, np.nan, 5.5, 1e-9, np.inf, 3], np.float32)
    bits = compute("clip_mask", y.reshape(5, 2), min=0.0, max=6.0)
    assert bits.dtype == np.uint8 and bits.tolist() == [0b11000100, 0b10]
    dy = np.full(10, -2, np.float16)
    dx = compute("mask_grad", dy, bits)
    assert dx.tobytes() == compute("clip_grad", dy, y, min=0.0, max=6.0).tobytes()


def test_float16_sums_follow_the_mode() -> None:
    """4097 products of 1: in float16 a sum stops at 2048, a run of 32 doesn't; in float32 the result is exact."""
    ones = np.ones((4097, 1), np.float16)
    third = np.full((4097, 1), 1365 / 4096, np.float16)
    for mode in ("exact", "fast16"):
        assert compute("linear_wgrad", ones, ones, mode=mode, dtype="float32") == 4097
        assert compute("linear_wgrad", ones, ones, mode=mode, dtype="float16") == 4096
    assert compute("linear_wgrad", ones, third, mode="exact", dtype="float32") == 4097 * 1365 / 4096
    assert compute("linear_wgrad", ones, third, mode="fast16", dtype="float32") != 4097 * 1365 / 4096


def test_macs_are_those_of_the_layer() -> None:
    shapes = {"dy": (2, 4, 4, 6), "w": (6, 3, 3, 2), "x": (2, 8, 8, 4), "dw3": (3, 3, 6), "y2": (5, 6), "w2": (6, 7)}
    tensors = {n: Tensor(n, s, "float32") for n, s in shapes.items()}
    tensors |= {"x2": Tensor("x2", (5, 7), "float32")}
    conv = 2 * 4 * 4 * 6 * 9 * 2
    cases = [("conv2d_dgrad", ["dy", "w"], "x", conv), ("conv2d_wgrad", ["dy", "x"], "w", conv)]
    cases += [("depthwise_dgrad", ["dy", "dw3"], "x", 2 * 4 * 4 * 6 * 9)]
    cases += [("depthwise_wgrad", ["dy", "x"], "dw3", 2 * 4 * 4 * 6 * 9)]
    cases += [("linear_dgrad", ["y2", "w2"], "x2", 210), ("linear_wgrad", ["y2", "x2"], "w2", 210)]
    for kind, inputs, output, macs in cases:
        assert op_macs(Op(kind, kind, [*inputs], [output]), tensors) == macs, kind


CONV = {"stride": (1, 1), "dilation": (1, 1), "padding": "same", "dtype": "float32"}
POOL = {"kernels": (2,), "strides": (2,), "dilations": (1,), "pads": ((0, 0),), "dtype": "float32"}
REFUSED: list[tuple[str, list[tuple[int, ...]], dict[str, Any], str]] = [
    ("linear_dgrad", [(2, 3), (4, 5)], {"dtype": "float32"}, r"\[2, 3\], expected \[\.\.\., 4\]"),
    ("linear_wgrad", [(2, 3), (3, 5)], {"dtype": "float32"}, "expected the rows of tensor 't1'"),
    ("linear_wgrad", [(2, 3), (2, 5)], {"dtype": "int8"}, "dtype is 'int8', expected float32 or float16"),
    (*("conv2d_dgrad", [(1, 4, 4, 3), (2, 3, 3, 1)]), {**CONV, "groups": 1, "size": (4, 4)}, r"expected \[N, Ho, Wo"),
    (*("conv2d_dgrad", [(1, 4, 4, 2), (2, 3, 3, 1)]), {**CONV, "groups": 1, "size": (5, 4)}, r"expected \[1, 5, 4, 2"),
    (*("conv2d_wgrad", [(1, 4, 4, 2), (1, 4, 5, 1)]), {**CONV, "groups": 1, "kernel": (3, 3)}, r"expected \[1, 4, 5"),
    (*("conv2d_wgrad", [(1, 4, 4, 2), (1, 4, 4, 3)]), {**CONV, "groups": 2, "kernel": (3, 3)}, "2 groups"),
    (*("depthwise_dgrad", [(1, 4, 4, 3), (3, 3, 3)]), {**CONV, "size": (4, 4), "multiplier": 2}, "multiple of 2"),
    (*("depthwise_wgrad", [(1, 4, 4, 3), (1, 4, 4, 2)]), {**CONV, "kernel": (3, 3)}, "multiple of the channels"),
    ("max_pool_grad", [(1, 3, 2), (1, 4, 2)], POOL, r"expected \[1, 2, 2\]"),
    (*("avg_pool_grad", [(1, 3, 2)]), {**POOL, "size": (4, 4), "count_include_pad": False}, "1 axes"),
    ("clip_grad", [(2, 3), (3, 2)], {"min": 0.0, "max": 6.0}, "expected float32 or float16, as tensor 't1'"),
    ("mask_grad", [(2, 3), (1,)], {}, r"expected uint8 \[1\], a bit for each element of tensor 't0'"),
]


@pytest.mark.parametrize(
    ("kind", "shapes", "attrs", "text"), REFUSED, ids=[f"{r[0]}-{i}" for i, r in enumerate(REFUSED)]
)
def test_operands_that_do_not_fit_are_refused_by_name(
    kind: str, shapes: list[tuple[int, ...]], attrs: dict[str, Any], text: str
) -> None:
    with pytest.raises((ShapeError, ModelError), match=text) as error:
        compute(kind, *(np.zeros(s, np.float32) for s in shapes), **attrs)
    assert kind in str(error.value) and isinstance(error.value, PyedgeError)
