"""Lowerings of the kinds of model/ops_uint8.py."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ..errors import PlanError
from ..model import quantmath
from ..model.graph import Op
from .lower import Builder, lowers, windows2d


@lowers("shift_codes")
def _shift_codes(b: Builder, op: Op) -> None:
    b.emit("shift_codes", op.name, [b.input(op, 0)], [b.result(op)])


def _bounds(b: Builder, op: Op, y: int) -> dict[str, Any]:
    y_min, y_max = quantmath.activation_range(op.attrs["activation"], *b.scale(op, y))
    return {"y_min": y_min, "y_max": y_max}


def _numbers(b: Builder, op: Op, x: int, y: int, channels: int) -> tuple[int, dict[str, Any]]:
    """The constant q[C_out][3], with the bias as it is, and the params that are no shapes."""
    w = b.tensor(str(op.inputs[1]))
    bias = b.optional_input(op, 2)
    start = np.zeros(channels, np.int32) if bias is None else b.program.values[bias].data
    if w.scale is None or w.zero_point is None or start is None or start.dtype != np.int32:
        raise PlanError(f"op {op.name!r} ({op.kind}): the weights need one scale, the bias constant int32")
    factors = quantmath.linear_scales(b.scale(op, x)[0], np.array([w.scale], np.float32), b.scale(op, y)[0])
    multipliers, shifts = quantmath.quantize_multipliers(factors)
    table = np.zeros((channels, 3), np.int32)
    table[:, 0], table[:, 1], table[:, 2] = start.reshape(-1), multipliers, shifts
    zeros = {"x_zero_point": b.scale(op, x)[1], "w_zero_point": w.zero_point, "y_zero_point": b.scale(op, y)[1]}
    return b.constant(f"{op.name}:q", table), {**zeros, **_bounds(b, op, y)}


@lowers("conv2d_zero_point", "depthwise_conv2d_zero_point")
def _conv2d(b: Builder, op: Op) -> None:
    depthwise = op.kind.startswith("depthwise")
    x, w, y = b.input(op, 0), b.input(op, 1), b.result(op)
    w_dims = b.program.values[w].dims
    q, numbers = _numbers(b, op, x, y, w_dims[2] if depthwise else w_dims[0])
    b.emit(
        "depthwise_s8_zero_point" if depthwise else "conv2d_s8_zero_point",
        op.name,
        [x, w, q],
        [y],
        **windows2d(op, b.program.values[x], w_dims[:2] if depthwise else w_dims[1:3]),
        groups=0 if depthwise else op.attrs["groups"],
        **numbers,
    )


@lowers("linear_zero_point")
def _linear(b: Builder, op: Op) -> None:
    x, w, y = b.input(op, 0), b.input(op, 1), b.result(op)
    n, k = b.program.values[w].dims
    rows = math.prod(b.program.values[x].dims) // k
    q, numbers = _numbers(b, op, x, y, n)
    b.emit("linear_s8_zero_point", op.name, [b.view(x, (rows, k)), w, q], [b.view(y, (rows, n))], **numbers)


@lowers("avg_pool2d_up")
def _avg_pool2d_up(b: Builder, op: Op) -> None:
    x, y = b.input(op, 0), b.result(op)
    b.same_scale(op, x, y)
    kernel = op.attrs["kernel"]
    windows = windows2d(op, b.program.values[x], kernel)
    bounds = _bounds(b, op, y)
    b.emit("avg_up_pool2d_s8", op.name, [x], [y], kernel_h=kernel[0], kernel_w=kernel[1], **windows, **bounds)
