"""Lowering of int16 activations with int8 weights (model/ops_int16.py)."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ..errors import PlanError
from ..model import quantmath
from ..model import quantmath_int16 as q16
from ..model.functions import unary
from ..model.graph import Op
from ..model.ops_elementwise import UNARY
from ..model.ops_int16 import BINARY
from . import structs
from .lower import Builder, lowers, lowers_int16, windows2d
from .lower_nn import windows


def _scale(b: Builder, op: Op, number: int) -> float:
    """The scale of an int16 value."""
    v = b.program.values[number]
    if v.dtype != "int16" or not v.scale > 0 or v.zero_point != 0:
        raise PlanError(f"op {op.name!r} ({op.kind}): tensor {v.name!r} is not int16 with one scale and zero point 0")
    return v.scale


def _bounds(b: Builder, op: Op, y: int) -> dict[str, Any]:
    y_min, y_max = q16.activation_range(op.attrs.get("activation"), _scale(b, op, y))
    return {"y_min": y_min, "y_max": y_max}


def _channels(b: Builder, op: Op, x: int, bias: int | None, y: int, channels: int) -> tuple[int, int]:
    """The constant q[C_out][4] (pe_channel_s16) and how its sums are rounded."""
    w = b.tensor(str(op.inputs[1]))
    start = None if bias is None else b.program.values[bias].data
    if w.data is None or w.quant is None or (bias is not None and start is None):
        raise PlanError(f"op {op.name!r} ({op.kind}): an int16 input needs constant int8 weights and a constant bias")
    factors_of = quantmath.linear_scales if op.kind == "linear" else quantmath.channel_scales
    factors = factors_of(_scale(b, op, x), w.quant.scale, _scale(b, op, y))
    wide = q16.is_wide(None if start is None else str(start.dtype))
    table = np.zeros((channels, 4), np.int32)
    if start is not None:
        table[:, :2] = start.reshape(-1).astype("<i8").view("<i4").reshape(-1, 2)
    table[:, 2], table[:, 3] = q16.wide_factors(factors) if wide else quantmath.quantize_multipliers(factors)
    return b.constant(f"{op.name}:q", table), structs.ROUND_S64 if wide else structs.ROUNDING["tflite"]


@lowers_int16("conv2d", "depthwise_conv2d")
def _conv2d(b: Builder, op: Op) -> None:
    depthwise = op.kind == "depthwise_conv2d"
    x, w, y = b.input(op, 0), b.input(op, 1), b.result(op)
    w_dims = b.program.values[w].dims
    q, rounding = _channels(b, op, x, b.optional_input(op, 2), y, w_dims[2] if depthwise else w_dims[0])
    b.emit(
        "depthwise_s16" if depthwise else "conv2d_s16",
        op.name,
        [x, w, q],
        [y],
        **windows2d(op, b.program.values[x], w_dims[:2] if depthwise else w_dims[1:3]),
        groups=0 if depthwise else op.attrs["groups"],
        rounding=rounding,
        **_bounds(b, op, y),
    )


@lowers_int16("linear")
def _linear(b: Builder, op: Op) -> None:
    """A convolution of one pixel."""
    x, w, y = b.input(op, 0), b.input(op, 1), b.result(op)
    n, k = b.program.values[w].dims
    rows = math.prod(b.program.values[x].dims) // k
    q, rounding = _channels(b, op, x, b.optional_input(op, 2), y, n)
    steps = dict.fromkeys(("stride_h", "stride_w", "dilation_h", "dilation_w", "groups"), 1)
    inputs, output = [b.view(x, (rows, 1, 1, k)), b.view(w, (n, 1, 1, k)), q], b.view(y, (rows, 1, 1, n))
    b.emit("conv2d_s16", op.name, inputs, [output], **steps, rounding=rounding, **_bounds(b, op, y))


@lowers_int16("conv_transpose")
def _conv_transpose(b: Builder, op: Op) -> None:
    x, w, y = b.input(op, 0), b.input(op, 1), b.result(op)
    q, _ = _channels(b, op, x, b.optional_input(op, 2), y, b.program.values[w].dims[0])
    params = {**windows(op), "groups": op.attrs["groups"], **_bounds(b, op, y)}
    b.emit("conv_transpose_s16", op.name, [x, w, q], [y], **params)


@lowers_int16("matmul")
def _matmul(b: Builder, op: Op) -> None:
    x0, x1, y = b.input(op, 0), b.input(op, 1), b.result(op)
    if min(len(b.program.values[x].dims) for x in (x0, x1)) < 2:
        raise PlanError(f"op {op.name!r} (matmul): int16 operands need two axes")
    sa, sb, sy = (_scale(b, op, n) for n in (x0, x1, y))
    factor = q16.wide_factor(float(quantmath.linear_scales(sa, np.array([sb], np.float32), sy)[0]))
    transposed = {name: int(op.attrs[name]) for name in ("transpose_a", "transpose_b")}
    params = {"multiplier": factor.multiplier, "shift": factor.shift, **_bounds(b, op, y)}
    b.emit("matmul_s16", op.name, [x0, x1], [y], **transposed, **params)


@lowers_int16(*BINARY)
def _binary(b: Builder, op: Op) -> None:
    x0, x1, y = b.input(op, 0), b.input(op, 1), b.result(op)
    compares = b.program.values[y].dtype == "bool"
    p = q16.binary_params(op.kind, _scale(b, op, x0), _scale(b, op, x1), 1.0 if compares else _scale(b, op, y))
    params: dict[str, Any] = {"left_shift": p.left_shift, "function": structs.FUNCTIONS[op.kind]}
    for letter, factor in zip("aby", p[4:], strict=True):
        params |= {f"{letter}_multiplier": factor.multiplier, f"{letter}_shift": factor.shift}
    params |= {} if compares else _bounds(b, op, y)
    b.emit("binary_s16", op.name, [x0, x1], [y], **params)


@lowers_int16("avg_pool2d", "max_pool2d")
def _pool2d(b: Builder, op: Op) -> None:
    x, y = b.input(op, 0), b.result(op)
    kernel = op.attrs["kernel"]
    steps = windows2d(op, b.program.values[x], kernel)
    b.emit(f"{op.kind}_s16", op.name, [x], [y], kernel_h=kernel[0], kernel_w=kernel[1], **steps, **_bounds(b, op, y))


@lowers_int16("mean", "reduce_mean", "reduce_sum")
def _mean(b: Builder, op: Op) -> None:
    x, y = b.input(op, 0), b.result(op)
    sx, sy = _scale(b, op, x), _scale(b, op, y)
    count = math.prod(b.program.values[x].dims[axis] for axis in op.attrs["axes"])
    summed = op.kind == "reduce_sum"
    factor = quantmath.rescale_multiplier(sx, sy) if summed else quantmath.mean_multiplier(sx, sy, count)
    axes = sum(1 << axis for axis in op.attrs["axes"])
    b.emit("mean_s16", op.name, [x], [y], axes=axes, multiplier=factor.multiplier, shift=factor.shift)


@lowers_int16("softmax")
def _softmax(b: Builder, op: Op) -> None:
    x, y = b.input(op, 0), b.result(op)
    exps, reciprocals = q16.softmax_tables()
    tables = [b.constant(f"{op.name}:exp", exps), b.constant(f"{op.name}:reciprocal", reciprocals)]
    factor = q16.softmax_multiplier(op.attrs["beta"], _scale(b, op, x))
    b.emit("softmax_s16", op.name, [x, *tables], [y], multiplier=factor.multiplier, shift=factor.shift)


@lowers_int16(*UNARY)
def _unary(b: Builder, op: Op) -> None:
    x, y = b.input(op, 0), b.result(op)
    ranges = [q16.code_range(_scale(b, op, n)) for n in (x, y)]
    table = b.constant(f"{op.name}:table", q16.lookup_table(unary(op.kind, op.attrs), *ranges))
    b.emit("lookup_s16", op.name, [x, table], [y])


@lowers_int16("sigmoid", "tanh")
def _sigmoid(b: Builder, op: Op) -> None:
    x, y = b.input(op, 0), b.result(op)
    multiplier, shift = q16.sigmoid_params(op.kind, _scale(b, op, x))
    b.emit("sigmoid_s16", op.name, [x], [y], function=structs.FUNCTIONS[op.kind], multiplier=multiplier, shift=shift)


@lowers_int16("leaky_relu")
def _leaky_relu(b: Builder, op: Op) -> None:
    x, y = b.input(op, 0), b.result(op)
    above, below = q16.leaky_relu_params(op.attrs["alpha"], _scale(b, op, x), _scale(b, op, y))
    _emit_rescale(b, op, x, y, (above, below), (q16.INT16_MIN, q16.INT16_MAX))


@lowers_int16("abs")
def _abs(b: Builder, op: Op) -> None:
    x, y = b.input(op, 0), b.result(op)
    factor = quantmath.rescale_multiplier(_scale(b, op, x), _scale(b, op, y))
    _emit_rescale(b, op, x, y, (factor, factor), (q16.INT16_MIN, q16.INT16_MAX), absolute=1)


@lowers_int16("relu", "relu6", "clip")
def _clip(b: Builder, op: Op) -> None:
    low, high = (op.attrs["min"], op.attrs["max"]) if op.kind == "clip" else quantmath.ACTIVATION_RANGES[op.kind]
    x, y = b.input(op, 0), b.result(op)
    factor = quantmath.rescale_multiplier(_scale(b, op, x), _scale(b, op, y))
    _emit_rescale(b, op, x, y, (factor, factor), q16.clip_range(low, high, _scale(b, op, y)))


def _emit_rescale(
    b: Builder,
    op: Op,
    x: int,
    y: int,
    factors: tuple[quantmath.Multiplier, quantmath.Multiplier],
    bounds: tuple[int, int],
    absolute: int = 0,
) -> None:
    """factors: of values from zero on, and below."""
    above, below = factors
    b.emit(
        "rescale",
        op.name,
        [x],
        [y],
        x_zero_point=b.program.values[x].zero_point,
        y_zero_point=b.program.values[y].zero_point,
        multiplier=above.multiplier,
        shift=above.shift,
        negative_multiplier=below.multiplier,
        negative_shift=below.shift,
        y_min=bounds[0],
        y_max=bounds[1],
        absolute=absolute,
    )


@lowers("rescale")
def _rescale(b: Builder, op: Op) -> None:
    """To codes of any scale and zero point, from codes or floats."""
    x, y = b.input(op, 0), b.result(op)
    from_, to = b.program.values[x], b.program.values[y]
    if not to.scale > 0:
        raise PlanError(f"op {op.name!r} (rescale): tensor {to.name!r} has no per-tensor scale")
    limit = np.iinfo(to.dtype)
    bounds = {"y_min": int(limit.min), "y_max": int(limit.max)}
    if from_.dtype == "float32":
        kind = "quantize_f32_s16" if to.dtype == "int16" else "quantize_f32_s8"
        b.emit(kind, op.name, [x], [y], scale=to.scale, y_zero_point=to.zero_point, **bounds)
        return
    factor = quantmath.rescale_multiplier(from_.scale, to.scale)
    _emit_rescale(b, op, x, y, (factor, factor), (bounds["y_min"], bounds["y_max"]))


@lowers_int16("dequantize")
def _dequantize(b: Builder, op: Op) -> None:
    x, y = b.input(op, 0), b.result(op)
    v = b.program.values[x]
    b.emit("dequantize_s16_f32", op.name, [x], [y], scale=v.scale, x_zero_point=v.zero_point)
