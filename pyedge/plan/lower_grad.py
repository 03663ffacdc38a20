"""Lowerings of the kinds of model/ops_grad.py."""

from __future__ import annotations

import math
from typing import Any

from ..model.graph import Op
from . import structs
from .lower import Builder, lowers, windows2d


def _emit(b: Builder, op: Op, dy: int, other: int, y: int, **params: int) -> None:
    """The kind of float32, or of float16 where one of the values is that; products of two float32 are always exact."""
    half = [b.program.values[n].dtype == "float16" for n in (dy, other, y)]
    rounding = b.mode if any(half[:2]) else structs.MODES["exact"]
    kind = f"{op.kind}_{'f16' if any(half) else 'f32'}"
    b.emit(kind, op.name, [dy, other], [y], rounding=rounding, **params)


@lowers("linear_dgrad", "linear_wgrad")
def _linear(b: Builder, op: Op) -> None:
    numbers = b.input(op, 0), b.input(op, 1), b.result(op)
    rows = [b.program.values[n].dims for n in numbers]
    dy, other, y = (b.view(n, (math.prod(d[:-1]), d[-1])) for n, d in zip(numbers, rows, strict=True))
    _emit(b, op, dy, other, y)


@lowers("conv2d_dgrad", "conv2d_wgrad", "depthwise_dgrad", "depthwise_wgrad")
def _conv2d(b: Builder, op: Op) -> None:
    dy, other, y = b.input(op, 0), b.input(op, 1), b.result(op)
    x, w = (other, y) if op.kind.endswith("_wgrad") else (y, other)
    w_dims = b.program.values[w].dims
    windows = windows2d(op, b.program.values[x], w_dims[:2] if len(w_dims) == 3 else w_dims[1:3])
    _emit(b, op, dy, other, y, **windows, groups=op.attrs.get("groups", 0))


@lowers("max_pool_grad", "avg_pool_grad")
def _pool(b: Builder, op: Op) -> None:
    a = op.attrs
    params: dict[str, Any] = {
        "axes": len(a["kernels"]),
        "kernel": a["kernels"],
        "stride": a["strides"],
        "dilation": a["dilations"],
        "pad": [before for before, _ in a["pads"]],
        "pad_after": [after for _, after in a["pads"]],
        "count_include_pad": int(a.get("count_include_pad", False)),
    }
    b.emit(op.kind, op.name, [b.input(op, i) for i in range(len(op.inputs))], [b.result(op)], **params)


@lowers("bias_grad")
def _bias(b: Builder, op: Op) -> None:
    before = b.optional_input(op, 1)
    inputs = [b.input(op, 0)] if before is None else [b.input(op, 0), before]
    b.emit("bias_grad", op.name, inputs, [b.result(op)])


@lowers("clip_grad", "clip_mask")
def _clip(b: Builder, op: Op) -> None:
    bounds = {"f_min": op.attrs["min"], "f_max": op.attrs["max"]}
    b.emit(op.kind, op.name, [b.input(op, i) for i in range(len(op.inputs))], [b.result(op)], **bounds)


@lowers("mask_grad")
def _mask(b: Builder, op: Op) -> None:
    b.emit("mask_grad", op.name, [b.input(op, 0), b.input(op, 1)], [b.result(op)])
