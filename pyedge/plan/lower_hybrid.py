"""Lowerings of the kinds of model/ops_hybrid.py."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ..errors import PlanError
from ..model.graph import Op
from ..model.quantmath import ACTIVATION_RANGES
from .lower import Builder, lowers, windows2d


def _scales(b: Builder, op: Op, channels: int) -> int:
    """The constant scale[C_out] of the weights."""
    quant = b.tensor(str(op.inputs[1])).quant
    if quant is None or quant.scale.size not in (1, channels) or np.any(quant.zero_point):
        raise PlanError(f"op {op.name!r} ({op.kind}): the weights need one scale or {channels}, and zero point 0")
    return b.constant(f"{op.name}:scale", np.broadcast_to(quant.scale, channels).astype(np.float32))


def _params(op: Op) -> dict[str, Any]:
    low, high = ACTIVATION_RANGES[op.attrs["activation"]]
    return {"asymmetric": int(op.attrs["asymmetric"]), "f_min": low, "f_max": high}


@lowers("conv2d_hybrid", "depthwise_conv2d_hybrid")
def _conv2d(b: Builder, op: Op) -> None:
    depthwise = op.kind.startswith("depthwise")
    x, w, y = b.input(op, 0), b.input(op, 1), b.result(op)
    w_dims = b.program.values[w].dims
    b.emit(
        "depthwise_hybrid" if depthwise else "conv2d_hybrid",
        op.name,
        [x, w, _scales(b, op, w_dims[2] if depthwise else w_dims[0]), b.optional_input(op, 2)],
        [y],
        **windows2d(op, b.program.values[x], w_dims[:2] if depthwise else w_dims[1:3]),
        groups=0 if depthwise else op.attrs["groups"],
        **_params(op),
    )


@lowers("linear_hybrid")
def _linear(b: Builder, op: Op) -> None:
    x, w, y = b.input(op, 0), b.input(op, 1), b.result(op)
    n, k = b.program.values[w].dims
    rows = math.prod(b.program.values[x].dims) // k
    inputs = [b.view(x, (rows, k)), w, _scales(b, op, n), b.optional_input(op, 2)]
    b.emit("linear_hybrid", op.name, inputs, [b.view(y, (rows, n))], **_params(op))
