"""Ops and layers forwards."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from ..errors import ShapeError
from ..model.ops import Padding
from ..model.ops_f16 import FLOATS, LAYERS
from .single_op import Array, Q, Side, check_mode, pair, run, window


def linear(
    x: Array,
    weight: Array,
    bias: Array | None = None,
    *,
    activation: str | None = None,
    x_q: Q | None = None,
    w_scale: npt.ArrayLike | None = None,
    y_q: Q | None = None,
    y_dtype: str | None = None,
    out: Array | None = None,
    mode: str = "exact",
) -> Array:
    """x [..., K] times weight [N, K], plus bias [N] -> [..., N]."""
    attrs = {"activation": activation, "keep_dims": True}
    return _run("linear", {"x": x, "weight": weight, "bias": bias}, attrs, [x_q, w_scale], y_q, out, mode, y_dtype)


def matmul(a: Array, b: Array, *, y_dtype: str | None = None, out: Array | None = None, mode: str = "exact") -> Array:
    """a [M, K] times b [K, N] -> [M, N], float32 or float16.

    The kernel reads b by columns: a column-major b, such as `weight.T` of a linear weight, is used where it lies, any
    other is packed into a copy first.
    """
    for name, x in (("a", a), ("b", b)):
        if not isinstance(x, np.ndarray) or x.ndim != 2:
            raise ShapeError(f"matmul: {name} has the shape {list(np.shape(x))}, expected an array of two axes")
    b = np.asfortranarray(b)
    operands: dict[str, Array | None] = {"a": a, "b": b.T, "bias": None}
    return _run("linear", operands, {"activation": None, "keep_dims": True}, [], None, out, mode, y_dtype)


def conv2d(
    x: Array,
    weight: Array,
    bias: Array | None = None,
    *,
    stride: Side = 1,
    dilation: Side = 1,
    padding: Padding = "same",
    groups: int = 1,
    activation: str | None = None,
    x_q: Q | None = None,
    w_scale: npt.ArrayLike | None = None,
    y_q: Q | None = None,
    y_dtype: str | None = None,
    out: Array | None = None,
    mode: str = "exact",
) -> Array:
    """x [N, H, W, C] with weight [C_out, kh, kw, C / groups] -> [N, Ho, Wo, C_out]."""
    attrs = {**window(stride, padding), "dilation": pair(dilation), "groups": groups, "activation": activation}
    return _run("conv2d", {"x": x, "weight": weight, "bias": bias}, attrs, [x_q, w_scale], y_q, out, mode, y_dtype)


def depthwise_conv2d(
    x: Array,
    weight: Array,
    bias: Array | None = None,
    *,
    stride: Side = 1,
    dilation: Side = 1,
    padding: Padding = "same",
    activation: str | None = None,
    x_q: Q | None = None,
    w_scale: npt.ArrayLike | None = None,
    y_q: Q | None = None,
    y_dtype: str | None = None,
    out: Array | None = None,
    mode: str = "exact",
) -> Array:
    """x [N, H, W, C] with weight [kh, kw, C_out] -> [N, Ho, Wo, C_out]; C_out is a multiple of C."""
    attrs = {**window(stride, padding), "dilation": pair(dilation), "activation": activation}
    return _run(
        "depthwise_conv2d", {"x": x, "weight": weight, "bias": bias}, attrs, [x_q, w_scale], y_q, out, mode, y_dtype
    )


def add(
    a: Array,
    b: Array,
    *,
    activation: str | None = None,
    a_q: Q | None = None,
    b_q: Q | None = None,
    y_q: Q | None = None,
    out: Array | None = None,
    mode: str = "exact",
) -> Array:
    """a + b, with NumPy's broadcasting."""
    return _run("add", {"a": a, "b": b}, {"activation": activation}, [a_q, b_q], y_q, out, mode)


def avg_pool2d(
    x: Array,
    kernel: Side,
    *,
    stride: Side | None = None,
    padding: Padding = "valid",
    activation: str | None = None,
    x_q: Q | None = None,
    out: Array | None = None,
    mode: str = "exact",
) -> Array:
    """Mean of what lies in the image of each window of x [N, H, W, C]; stride is the kernel's size if None."""
    return _pool("avg_pool2d", x, kernel, stride, padding, activation, x_q, out, mode)


def max_pool2d(
    x: Array,
    kernel: Side,
    *,
    stride: Side | None = None,
    padding: Padding = "valid",
    activation: str | None = None,
    x_q: Q | None = None,
    out: Array | None = None,
    mode: str = "exact",
) -> Array:
    """Largest element of each window of x [N, H, W, C]; stride is the kernel's size if None."""
    return _pool("max_pool2d", x, kernel, stride, padding, activation, x_q, out, mode)


def mean(
    x: Array,
    axes: Sequence[int],
    *,
    keepdims: bool = False,
    x_q: Q | None = None,
    y_q: Q | None = None,
    out: Array | None = None,
    mode: str = "exact",
) -> Array:
    """Mean of x over axes; negative ones count from the end."""
    if any(not -x.ndim <= a < x.ndim for a in axes):
        raise ShapeError(f"mean: x {list(x.shape)} has no axes {list(axes)}")
    attrs = {"axes": tuple(sorted({a % x.ndim for a in axes})), "keepdims": keepdims}
    return _run("mean", {"x": x}, attrs, [x_q], y_q or x_q, out, mode)


def softmax(
    x: Array, *, beta: float = 1.0, x_q: Q | None = None, out: Array | None = None, mode: str = "exact"
) -> Array:
    """Softmax of beta * x over the last axis. An int8 result has scale 1/256 and zero point -128."""
    return _run("softmax", {"x": x}, {"axis": -1, "beta": beta}, [x_q], x_q and (1 / 256, -128), out, mode)


def quantize(x: Array, y_q: Q, *, out: Array | None = None, mode: str = "exact") -> Array:
    """float32 to int8 codes."""
    return _run("quantize", {"x": x}, {}, [], y_q, out, mode)


def dequantize(x: Array, x_q: Q, *, out: Array | None = None, mode: str = "exact") -> Array:
    """int8 codes to float32."""
    return _run("dequantize", {"x": x}, {}, [x_q], None, out, mode)


def requantize(x: Array, x_q: Q, y_q: Q, *, out: Array | None = None, mode: str = "exact") -> Array:
    """int8 codes to those of another scale and zero point."""
    return _run("quantize", {"x": x}, {}, [x_q], y_q, out, mode)


def clip(
    x: Array, low: float, high: float, *, x_q: Q | None = None, out: Array | None = None, mode: str = "exact"
) -> Array:
    """x limited to [low, high], real values."""
    return _run("clip", {"x": x}, {"min": low, "max": high}, [x_q], x_q, out, mode)


def any_ge(x: Array, threshold: float, *, x_q: Q | None = None, out: Array | None = None, mode: str = "exact") -> Array:
    """bool[1]: whether some element is at least threshold, a real value."""
    return _run("any_ge", {"x": x}, {"threshold": threshold}, [x_q], None, out, mode)


def _pool(
    kind: str,
    x: Array,
    kernel: Side,
    stride: Side | None,
    padding: Padding,
    activation: str | None,
    q: Q | None,
    out: Array | None,
    mode: str,
) -> Array:
    attrs = {"kernel": pair(kernel), **window(kernel if stride is None else stride, padding)}
    return _run(kind, {"x": x}, {**attrs, "activation": activation}, [q], q, out, mode)


def _run(
    kind: str,
    operands: dict[str, Array | None],
    attrs: dict[str, Any],
    operand_q: Sequence[Any],
    result_q: Q | None,
    out: Array | None,
    mode: str,
    y_dtype: str | None = None,
) -> Array:
    """As single_op.run; layers by float16 weights are kinds of their own.

    Weights and biases are no inputs, so that they are packed for a layer kernel if the CPU has one for the case.
    """
    weight = list(operands.values())[1] if kind in LAYERS else None
    half = isinstance(weight, np.ndarray) and weight.dtype == np.float16
    if half:
        known = [str(a.dtype) for a in (out, next(iter(operands.values()))) if isinstance(a, np.ndarray)]
        possible = [y_dtype] if y_dtype else [dtype for dtype in known if dtype in FLOATS]
        kind, attrs = f"{kind}_f16", {**attrs, "dtype": possible[0] if possible else "float32"}
    elif y_dtype is not None:
        raise ShapeError(f"{kind}: y_dtype={y_dtype!r} goes with float16 weights only")
    check_mode(kind, mode, half)
    inputs = list(operands) if kind == "add" else list(operands)[:1]
    return run(kind, operands, attrs, inputs, operand_q, result_q, out, mode)
