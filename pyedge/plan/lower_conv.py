"""Lowerings of the layers with weights: conv2d, depthwise_conv2d, linear."""

from __future__ import annotations

import math

import numpy as np

from ..errors import PlanError
from ..model import quantmath
from ..model.graph import Op
from . import structs
from .lower import Builder, clamps, lowers, windows2d


def channel_table(b: Builder, op: Op, x: int, bias: int | None, y: int, axes: tuple[int, ...]) -> tuple[str, int]:
    """The constant q[C_out][3] (pe_channel) of an int8 layer, and the ending of its kind: "" or "_fp32".

    Each row: the bias with -zero_point(x) * sum(w) folded in, then the factor to y's scale for the plan's rounding.
    axes: of the weights, all but that of the output channels.
    """
    w = b.tensor(str(op.inputs[1]))
    if w.data is None or w.dtype != "int8" or w.quant is None:
        raise PlanError(f"op {op.name!r} ({op.kind}): an int8 input needs constant int8 weights with scales")
    if np.any(w.quant.zero_point):
        raise PlanError(f"op {op.name!r} ({op.kind}): int8 weights {w.name!r} have a zero point other than 0")
    sums = np.asarray(np.sum(w.data, axis=axes, dtype=np.int64))
    scales = b.scale(op, x)[0], w.quant.scale, b.scale(op, y)[0]
    if w.quant.scale.size not in (1, sums.size):
        raise PlanError(
            f"op {op.name!r} ({op.kind}): weights {w.name!r} have {w.quant.scale.size} scales for {sums.size} channels"
        )
    start = bias_codes(b, op, bias, sums.size)
    table = np.zeros((sums.size, 3), np.int32)
    table[:, 0] = (start - b.scale(op, x)[1] * sums).astype(np.int32)  # modulo 2^32, as the sums themselves
    if b.rounding == structs.ROUNDING["fp32"]:
        table[:, 1] = np.broadcast_to(quantmath.fp32_scales(*scales).astype("<f4"), sums.size).copy().view("<i4")
    elif b.rounding == structs.ROUNDING["litert-ref"] and op.kind == "linear":
        factors = quantmath.channel_scales(*scales)
        table[:, 1:] = np.broadcast_to(factors.astype("<f8"), sums.size).copy().view("<i4").reshape(-1, 2)
    else:
        factors_of = quantmath.linear_scales if op.kind == "linear" else quantmath.channel_scales
        table[:, 1], table[:, 2] = quantmath.quantize_multipliers(factors_of(*scales))
    return "_fp32" if b.rounding == structs.ROUNDING["fp32"] else "", b.constant(f"{op.name}:q", table)


def bias_codes(b: Builder, op: Op, bias: int | None, channels: int) -> np.ndarray:
    """The constant int32 bias of an int8 layer as int64 [C_out]; zeros without one."""
    if bias is None:
        return np.zeros(channels, np.int64)
    data = b.program.values[bias].data
    if data is None or data.dtype != np.int32 or data.size != channels:
        raise PlanError(f"op {op.name!r} ({op.kind}): the bias is not a constant of {channels} int32")
    return data.reshape(-1).astype(np.int64)


def lower_conv2d(b: Builder, op: Op, kind: str, **more: int) -> None:
    """Emits a conv2d or depthwise step with the operands of op. more: fields of pe_conv2d_params besides its windows
    and clamp."""
    depthwise = kind.startswith("depthwise")
    x, y = b.input(op, 0), b.result(op)
    values = b.program.values
    w = b.input(op, 1)
    w_dims = values[w].dims
    if len(w_dims) != (3 if depthwise else 4) or len(values[x].dims) != 4 or len(values[y].dims) != 4:
        raise PlanError(
            f"op {op.name!r} ({op.kind}): input {list(values[x].dims)} and weights {list(w_dims)} don't fit"
        )
    params = {
        **windows2d(op, values[x], w_dims[:2] if depthwise else w_dims[1:3]),
        "groups": 0 if depthwise else op.attrs["groups"],
        **clamps(b, op, y),
        **more,
    }
    bias = b.optional_input(op, 2)
    if not kind.endswith("s8"):
        b.emit(kind, op.name, [x, w, bias], [y], **params)
        return
    ending, q = channel_table(b, op, x, bias, y, (0, 1) if depthwise else (1, 2, 3))
    params |= {"x_zero_point": b.scale(op, x)[1], "y_zero_point": b.scale(op, y)[1]}
    params["rounding"] = b.rounding if ending else structs.ROUNDING["tflite"]
    b.emit(kind + ending, op.name, [x, w, q], [y], **params)


@lowers("conv2d", "depthwise_conv2d")
def _conv2d(b: Builder, op: Op) -> None:
    lower_conv2d(b, op, b.variant("depthwise" if op.kind == "depthwise_conv2d" else "conv2d", op, b.input(op, 0)))


def lower_linear(b: Builder, op: Op, kind: str, **more: int) -> None:
    """Emits a linear step with the operands of op. more: fields of pe_linear_params besides the clamp."""
    x, y = b.input(op, 0), b.result(op)
    values = b.program.values
    w = b.input(op, 1)
    w_dims = values[w].dims
    if len(w_dims) != 2 or math.prod(values[x].dims) % w_dims[1]:
        raise PlanError(
            f"op {op.name!r} ({op.kind}): input {list(values[x].dims)} and weights {list(w_dims)} don't fit"
        )
    rows = math.prod(values[x].dims) // w_dims[1]
    x2, y2 = b.view(x, (rows, w_dims[1])), b.view(y, (rows, w_dims[0]))
    bias = b.optional_input(op, 2)
    if not kind.endswith("s8"):
        b.emit(kind, op.name, [x2, w, bias], [y2], **clamps(b, op, y), **more)
        return
    ending, q = channel_table(b, op, x, bias, y, (1,))
    params = {"rounding": b.rounding, "y_zero_point": b.scale(op, y)[1], **clamps(b, op, y)}
    b.emit(kind + ending, op.name, [x2, w, q], [y2], **params)


@lowers("linear")
def _linear(b: Builder, op: Op) -> None:
    lower_linear(b, op, b.variant("linear", op, b.input(op, 0)))
