"""Kinds of gradients: what a training step computes backwards. dy is the gradient of a layer's result.

| kind | inputs -> output | attributes |
|---|---|---|
| linear_dgrad | dy[...,N] w[N,K] -> dx[...,K] | dtype |
| linear_wgrad | dy[...,N] x[...,K] -> dw[N,K] | dtype |
| conv2d_dgrad | dy[N,Ho,Wo,Co] w[Co,kh,kw,C/g] -> dx[N,H,W,C] | stride, dilation, padding, groups, size (H, W), dtype |
| conv2d_wgrad | dy x[N,H,W,C] -> dw[Co,kh,kw,C/g] | stride, dilation, padding, groups, kernel (kh, kw), dtype |
| depthwise_dgrad | dy[N,Ho,Wo,Co] w[kh,kw,Co] -> dx[N,H,W,C] | stride, dilation, padding, size, multiplier, dtype |
| depthwise_wgrad | dy x[N,H,W,C] -> dw[kh,kw,Co] | stride, dilation, padding, kernel, dtype |
| bias_grad | dy[...,C] before[C] or None -> db[C], a sum that goes on from float32 `before` | dtype |
| max_pool_grad | dy[N,O..,C] x[N,D..,C] -> dx, 1 to 4 axes | kernels, strides, dilations, pads, dtype |
| avg_pool_grad | dy[N,O..,C] -> dx[N,D..,C] | as max_pool_grad, and size (D..), count_include_pad |
| clip_grad | dy y -> dx of dy's dtype: dy where min < y < max, else 0 | min, max |
| clip_mask | y -> uint8[ceil(n / 8)], a bit for each of n elements: min < y < max | min, max |
| mask_grad | dy bits -> dx of dy's dtype: dy where the bit is set, else 0 | |

Operands are float32 or float16, each by itself; dtype is that of the result, one of these. stride, dilation, padding
and groups are those of the layer, kernels, strides, dilations and pads those of max_pool and avg_pool; multiplier is
Co / C. How sums over a float16 are rounded is the `mode` of `pe.compile`. Arithmetic: docs/arithmetic.md, "Gradients".
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

from ..errors import ModelError, ShapeError
from .graph import Op, Tensor
from .ops import ATTRS, KINDS, Kind, Operands, Result, Shape, is_int, misfit, need, show
from .ops_f16 import FLOATS


def _is_sizes(v: Any, low: int, high: int) -> bool:
    return isinstance(v, tuple) and low <= len(v) <= high and all(is_int(e, 1, 2**30) for e in v)


def _fits(a: Shape, b: Shape) -> bool:
    return len(a) == len(b) and all(p is None or q is None or p == q for p, q in zip(a, b, strict=True))


def _operand(op: Op, operands: Operands, i: int, rank: int) -> Tensor:
    t = need(op, operands, i)
    if t.dtype not in FLOATS or len(t.shape) != rank:
        raise misfit(op, t, f"float32 or float16 of rank {rank}")
    return t


def _rows(op: Op, operands: Operands, i: int) -> Tensor:
    t = need(op, operands, i)
    if t.dtype not in FLOATS or not t.shape:
        raise misfit(op, t, "float32 or float16 of rank 1 or more")
    return t


def _linear_dgrad(op: Op, operands: Operands) -> Result:
    dy, w = _rows(op, operands, 0), _operand(op, operands, 1, 2)
    if not _fits(dy.shape[-1:], w.shape[:1]):
        raise misfit(op, dy, f"[..., {w.shape[0]}] for weight {w.name!r} {show(w.shape)}")
    return (*dy.shape[:-1], w.shape[1]), op.attrs["dtype"]


def _linear_wgrad(op: Op, operands: Operands) -> Result:
    dy, x = _rows(op, operands, 0), _rows(op, operands, 1)
    if not _fits(dy.shape[:-1], x.shape[:-1]):
        raise misfit(op, dy, f"the rows of tensor {x.name!r} {show(x.shape)}")
    return (dy.shape[-1], x.shape[-1]), op.attrs["dtype"]


def _check_layer(op: Op, kind: str, x: Tensor, w: Tensor, dy: Tensor) -> None:
    """Raises ShapeError unless dy has the shape of the layer's result."""
    infer = KINDS[kind].infer
    assert infer is not None
    found = infer(op, [replace(x, dtype="float32"), replace(w, dtype="float32")])
    assert not isinstance(found, list)
    if not _fits(found[0], dy.shape):
        raise misfit(op, dy, f"{show(found[0])}, the result over {show(x.shape)} by weights {show(w.shape)}")


def _dgrad(op: Op, operands: Operands) -> Result:
    depthwise = op.kind.startswith("depthwise")
    dy, w = _operand(op, operands, 0, 4), _operand(op, operands, 1, 3 if depthwise else 4)
    outputs = w.shape[2 if depthwise else 0]
    if None in w.shape or not _fits(dy.shape[3:], (outputs,)):
        raise misfit(op, dy, f"[N, Ho, Wo, {outputs}] for weight {w.name!r} {show(w.shape)}")
    if depthwise:
        channels, rest = divmod(w.shape[2] or 0, op.attrs["multiplier"])
        if rest:
            raise misfit(op, w, f"[kh, kw, a multiple of {op.attrs['multiplier']}]")
    else:
        channels = (w.shape[3] or 0) * op.attrs["groups"]
    shape = (dy.shape[0], *op.attrs["size"], channels)
    _check_layer(op, "depthwise_conv2d" if depthwise else "conv2d", Tensor("dx", shape, "float32"), w, dy)
    return shape, op.attrs["dtype"]


def _wgrad(op: Op, operands: Operands) -> Result:
    depthwise = op.kind.startswith("depthwise")
    dy, x = _operand(op, operands, 0, 4), _operand(op, operands, 1, 4)
    outputs, channels = dy.shape[3], x.shape[3]
    if outputs is None or channels is None:
        raise ShapeError(f"{op.kind} {op.name!r}: tensor {dy.name!r} or {x.name!r} has an open number of channels")
    kernel = op.attrs["kernel"]
    if depthwise:
        shape: tuple[int, ...] = (*kernel, outputs)
    else:
        shape = (outputs, *kernel, max(channels // op.attrs["groups"], 1))
    _check_layer(op, "depthwise_conv2d" if depthwise else "conv2d", x, Tensor("dw", shape, "float32"), dy)
    return shape, op.attrs["dtype"]


def _bias_grad(op: Op, operands: Operands) -> Result:
    shape, before = _rows(op, operands, 0).shape[-1:], operands[1] if len(operands) > 1 else None
    if before is not None and (before.dtype != "float32" or not _fits(before.shape, shape)):
        raise misfit(op, before, f"float32{show(shape)}")
    return shape, op.attrs["dtype"]


def _pool_grad(op: Op, operands: Operands) -> Result:
    dy = need(op, operands, 0)
    axes = len(op.attrs["kernels"])
    if dy.dtype not in FLOATS or len(dy.shape) != axes + 2:
        raise misfit(op, dy, f"float32 or float16 [N, {axes} axes, C] as the kernel {op.attrs['kernels']}")
    if op.kind == "max_pool_grad":
        x = _operand(op, operands, 1, axes + 2)
        shape = x.shape
    else:
        if len(op.attrs["size"]) != axes:
            raise ModelError(f"{op.kind} {op.name!r}: size {op.attrs['size']} and {axes} axes of the kernel")
        shape = (dy.shape[0], *op.attrs["size"], dy.shape[-1])
    attrs = {**op.attrs, "count_include_pad": False}
    windows = set()
    for ceil_mode in (False, True):
        layer = Op(op.kind, op.name, op.inputs, op.outputs, {**attrs, "ceil_mode": ceil_mode})
        infer = KINDS["avg_pool"].infer
        assert infer is not None
        found = infer(layer, [Tensor("dx", shape, "float32")])
        assert not isinstance(found, list)
        windows.add(found[0])
    if not any(_fits(w, dy.shape) for w in windows):
        raise misfit(op, dy, " or ".join(sorted(map(show, windows))) + f", the windows over {show(shape)}")
    return shape, op.attrs["dtype"]


def _clip_grad(op: Op, operands: Operands) -> Result:
    dy, y = need(op, operands, 0), need(op, operands, 1)
    if dy.dtype not in FLOATS or y.dtype not in FLOATS or not _fits(dy.shape, y.shape):
        raise misfit(op, dy, f"float32 or float16, as tensor {y.name!r} {show(y.shape)}")
    return dy.shape, dy.dtype


def _clip_mask(op: Op, operands: Operands) -> Result:
    y = need(op, operands, 0)
    if y.dtype not in FLOATS:
        raise misfit(op, y, "float32 or float16")
    return (None if None in y.shape else -(-_size(y.shape) // 8),), "uint8"


def _mask_grad(op: Op, operands: Operands) -> Result:
    dy, bits = need(op, operands, 0), need(op, operands, 1)
    if dy.dtype not in FLOATS:
        raise misfit(op, dy, "float32 or float16")
    expected = None if None in dy.shape else -(-_size(dy.shape) // 8)
    if bits.dtype != "uint8" or not _fits(bits.shape, (expected,)):
        raise misfit(op, bits, f"uint8 {show((expected,))}, a bit for each element of tensor {dy.name!r}")
    return dy.shape, dy.dtype


def _size(shape: Shape) -> int:
    return math.prod(d or 0 for d in shape)


def _dgrad_macs(operands: Operands, dx: Shape) -> int:
    """Those of the layer: each element of dy meets the taps of its channel."""
    dy, w = operands[0], operands[1]
    if dy is None or w is None:
        return 0
    return _size(dy.shape) * _size(w.shape[:2] if len(w.shape) == 3 else w.shape[1:])


def _wgrad_macs(operands: Operands, dw: Shape) -> int:
    dy = operands[0]
    return 0 if dy is None else _size(dy.shape) * _size(dw[:2] if len(dw) == 3 else dw[1:])


_CONV = ("stride", "dilation", "padding")
_POOL = ("kernels", "strides", "dilations", "pads")

KINDS.update(
    {
        "linear_dgrad": Kind(2, ("dtype",), _linear_dgrad, (), _dgrad_macs),
        "linear_wgrad": Kind(2, ("dtype",), _linear_wgrad, (), _wgrad_macs),
        "conv2d_dgrad": Kind(2, (*_CONV, "groups", "size", "dtype"), _dgrad, (), _dgrad_macs),
        "conv2d_wgrad": Kind(2, (*_CONV, "groups", "kernel", "dtype"), _wgrad, (), _wgrad_macs),
        "depthwise_dgrad": Kind(2, (*_CONV, "size", "multiplier", "dtype"), _dgrad, (), _dgrad_macs),
        "depthwise_wgrad": Kind(2, (*_CONV, "kernel", "dtype"), _wgrad, (), _wgrad_macs),
        "bias_grad": Kind(2, ("dtype",), _bias_grad, (1,)),
        "max_pool_grad": Kind(2, (*_POOL, "dtype"), _pool_grad),
        "avg_pool_grad": Kind(1, (*_POOL, "size", "count_include_pad", "dtype"), _pool_grad),
        "clip_grad": Kind(2, ("min", "max"), _clip_grad),
        "clip_mask": Kind(1, ("min", "max"), _clip_mask),
        "mask_grad": Kind(2, (), _mask_grad),
    }
)
GRADIENTS = tuple(kind for kind in KINDS if kind.endswith(("_dgrad", "_wgrad", "_grad")))
for _kind in GRADIENTS:
    if "dtype" in KINDS[_kind].attrs:
        ATTRS[f"{_kind}.dtype"] = (lambda v: v in FLOATS, "float32 or float16")
for _kind in ("conv2d_dgrad", "depthwise_dgrad"):
    ATTRS[f"{_kind}.size"] = (lambda v: _is_sizes(v, 2, 2), "two integers >= 1")
ATTRS["avg_pool_grad.size"] = (lambda v: _is_sizes(v, 1, 4), "an integer >= 1 for each axis")
ATTRS["depthwise_dgrad.multiplier"] = (lambda v: is_int(v, 1, 2**30), "an integer >= 1")
