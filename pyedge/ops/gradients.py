"""Layers, pools and clips backwards.

dy is the gradient of a layer's result. Arrays are float32 or float16, each by itself; a result has the dtype of `out`,
`y_dtype` or dy. Other arguments, errors and layouts are those of the layer's own function.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..model.ops import Padding, resolve_padding
from .single_op import Array, Side, check_mode, pair, run, window


def linear_dgrad(
    dy: Array, weight: Array, *, y_dtype: str | None = None, out: Array | None = None, mode: str = "exact"
) -> Array:
    """dy [..., N] times weight [N, K] -> the gradient of x [..., K]."""
    return _run("linear_dgrad", {"dy": dy, "weight": weight}, {}, out, mode, y_dtype)


def linear_wgrad(
    dy: Array, x: Array, *, y_dtype: str | None = None, out: Array | None = None, mode: str = "exact"
) -> Array:
    """dy [..., N] and x [..., K] -> the gradient of the weight [N, K], summed over all rows."""
    return _run("linear_wgrad", {"dy": dy, "x": x}, {}, out, mode, y_dtype)


def conv2d_dgrad(
    dy: Array,
    weight: Array,
    size: Side,
    *,
    stride: Side = 1,
    dilation: Side = 1,
    padding: Padding = "same",
    groups: int = 1,
    y_dtype: str | None = None,
    out: Array | None = None,
    mode: str = "exact",
) -> Array:
    """dy [N, Ho, Wo, C_out] and weight [C_out, kh, kw, C / groups] -> the gradient of x [N, H, W, C], (H, W) = size."""
    attrs = {**window(stride, padding), "dilation": pair(dilation), "groups": groups, "size": pair(size)}
    return _run("conv2d_dgrad", {"dy": dy, "weight": weight}, attrs, out, mode, y_dtype)


def conv2d_wgrad(
    dy: Array,
    x: Array,
    kernel: Side,
    *,
    stride: Side = 1,
    dilation: Side = 1,
    padding: Padding = "same",
    groups: int = 1,
    y_dtype: str | None = None,
    out: Array | None = None,
    mode: str = "exact",
) -> Array:
    """dy [N, Ho, Wo, C_out] and x [N, H, W, C] -> the gradient of the weight [C_out, kh, kw, C / groups], (kh, kw) =
    kernel, summed over all images."""
    attrs = {**window(stride, padding), "dilation": pair(dilation), "groups": groups, "kernel": pair(kernel)}
    return _run("conv2d_wgrad", {"dy": dy, "x": x}, attrs, out, mode, y_dtype)


def depthwise_conv2d_dgrad(
    dy: Array,
    weight: Array,
    size: Side,
    *,
    multiplier: int = 1,
    stride: Side = 1,
    dilation: Side = 1,
    padding: Padding = "same",
    y_dtype: str | None = None,
    out: Array | None = None,
    mode: str = "exact",
) -> Array:
    """dy [N, Ho, Wo, C_out] and weight [kh, kw, C_out] -> that of x [N, H, W, C_out / multiplier], (H, W) = size."""
    attrs = {**window(stride, padding), "dilation": pair(dilation), "size": pair(size), "multiplier": multiplier}
    return _run("depthwise_dgrad", {"dy": dy, "weight": weight}, attrs, out, mode, y_dtype)


def depthwise_conv2d_wgrad(
    dy: Array,
    x: Array,
    kernel: Side,
    *,
    stride: Side = 1,
    dilation: Side = 1,
    padding: Padding = "same",
    y_dtype: str | None = None,
    out: Array | None = None,
    mode: str = "exact",
) -> Array:
    """dy [N, Ho, Wo, C_out] and x [N, H, W, C] -> the gradient of the weight [kh, kw, C_out], (kh, kw) = kernel."""
    attrs = {**window(stride, padding), "dilation": pair(dilation), "kernel": pair(kernel)}
    return _run("depthwise_wgrad", {"dy": dy, "x": x}, attrs, out, mode, y_dtype)


def bias_grad(dy: Array, before: Array | None = None, *, y_dtype: str | None = None, out: Array | None = None) -> Array:
    """dy [..., C] -> the gradient of a bias [C]; the sum goes on from `before`, float32 [C], that of earlier rows."""
    return _run("bias_grad", {"dy": dy, "before": before}, {}, out, "exact", y_dtype)


def max_pool2d_grad(
    dy: Array,
    x: Array,
    kernel: Side,
    *,
    stride: Side | None = None,
    padding: Padding = "valid",
    y_dtype: str | None = None,
    out: Array | None = None,
) -> Array:
    """dy [N, Ho, Wo, C] and x [N, H, W, C] of max_pool2d -> the gradient of x."""
    attrs = _pool(np.shape(x)[1:3], kernel, stride, padding)
    return _run("max_pool_grad", {"dy": dy, "x": x}, attrs, out, "exact", y_dtype)


def avg_pool2d_grad(
    dy: Array,
    size: Side,
    kernel: Side,
    *,
    stride: Side | None = None,
    padding: Padding = "valid",
    y_dtype: str | None = None,
    out: Array | None = None,
) -> Array:
    """dy [N, Ho, Wo, C] of avg_pool2d -> the gradient of x [N, H, W, C], (H, W) = size."""
    attrs = _pool(pair(size), kernel, stride, padding) | {"size": pair(size), "count_include_pad": False}
    return _run("avg_pool_grad", {"dy": dy}, attrs, out, "exact", y_dtype)


def clip_grad(dy: Array, y: Array, low: float, high: float, *, out: Array | None = None) -> Array:
    """dy where low < y < high, else 0; y is the result of a clip, or of a layer's activation, of dy's shape."""
    return run("clip_grad", {"dy": dy, "y": y}, {"min": low, "max": high}, ["dy", "y"], out=out)


def _pool(size: tuple[int, ...], kernel: Side, stride: Side | None, padding: Padding) -> dict[str, Any]:
    kernels, strides = pair(kernel), pair(kernel if stride is None else stride)
    height, width = size if len(size) == 2 else (1, 1)  # what is no image is refused by its rank
    pads = resolve_padding(padding, (height, width), kernels, strides)
    return {"kernels": kernels, "strides": strides, "dilations": (1, 1), "pads": pads}


def _run(
    kind: str,
    operands: dict[str, Array | None],
    attrs: dict[str, Any],
    out: Array | None,
    mode: str,
    y_dtype: str | None,
) -> Array:
    check_mode(kind, mode, any(getattr(a, "dtype", None) == np.float16 for a in operands.values()))
    dtype = y_dtype or str(getattr(operands["dy"] if out is None else out, "dtype", "float32"))
    return run(kind, operands, {**attrs, "dtype": dtype}, list(operands), out=out, mode=mode)
