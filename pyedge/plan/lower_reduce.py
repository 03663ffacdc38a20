"""Lowering of the kinds of model/ops_reduce.py."""

from __future__ import annotations

import math
from typing import Any

from ..model import quantmath
from ..model.graph import Op
from ..model.ops_move import axis_of
from ..model.ops_reduce import is_quantized
from .lower import Builder, lowers
from .lower_move import REDUCTIONS, dims_of

_SUMS = {
    "reduce_sum": "sum",
    "reduce_mean": "mean",
    "reduce_prod": "prod",
    "reduce_l1": "sum_abs",
    "reduce_sum_square": "sum_square",
}
_MATH = {"reduce_l2": "l2", "reduce_log_sum": "log_sum", "reduce_log_sum_exp": "log_sum_exp"}


@lowers(*_SUMS)
def _reduce(b: Builder, op: Op) -> None:
    x, y = b.input(op, 0), b.result(op)
    axes = sum(1 << axis for axis in op.attrs["axes"])
    if is_quantized(b.tensor(str(op.inputs[0])), b.tensor(op.outputs[0])) and op.kind in ("reduce_sum", "reduce_mean"):
        (sx, zx), (sy, zy) = b.scale(op, x), b.scale(op, y)
        count = math.prod(dims_of(b, x)[axis] for axis in op.attrs["axes"])
        mean = op.kind == "reduce_mean"
        factor = quantmath.mean_multiplier(sx, sy, count) if mean else quantmath.rescale_multiplier(sx, sy)
        params: dict[str, Any] = {"multiplier": factor.multiplier, "shift": factor.shift}
        b.emit("mean_s8", op.name, [x], [y], axes=axes, x_zero_point=zx, y_zero_point=zy, **params)
        return
    kind = "reduce_f32" if b.program.values[x].dtype == "float32" else "reduce_any"
    b.emit(kind, op.name, [x], [y], axes=axes, reduction=REDUCTIONS[_SUMS[op.kind]])


@lowers(*_MATH)
def _math(b: Builder, op: Op) -> None:
    axes = sum(1 << axis for axis in op.attrs["axes"])
    x = b.input(op, 0)
    kind = "reduce_math_f32" if b.program.values[x].dtype == "float32" else "reduce_math_any"
    b.emit(kind, op.name, [x], [b.result(op)], axes=axes, reduction=REDUCTIONS[_MATH[op.kind]])


@lowers("reduce_max", "reduce_min")
def _order(b: Builder, op: Op) -> None:
    x, y = b.input(op, 0), b.result(op)
    if is_quantized(b.tensor(str(op.inputs[0]))):
        b.same_scale(op, x, y)
    axes = sum(1 << axis for axis in op.attrs["axes"])
    b.emit("reduce_order", op.name, [x], [y], axes=axes, reduction=REDUCTIONS[op.kind.removeprefix("reduce_")])


@lowers("arg_max", "arg_min")
def _arg(b: Builder, op: Op) -> None:
    x = b.input(op, 0)
    params = {"axis": axis_of(op, len(dims_of(b, x))), "last": int(op.attrs["select_last"])}
    b.emit("arg", op.name, [x], [b.result(op)], **params, smallest=int(op.kind == "arg_min"))


@lowers("topk")
def _topk(b: Builder, op: Op) -> None:
    x = b.input(op, 0)
    params = {
        "axis": axis_of(op, len(dims_of(b, x))),
        "smallest": int(not op.attrs["largest"]),
        "by_index": int(not op.attrs["sorted"]),
    }
    b.emit("topk", op.name, [x], [b.result(op, 0), b.result(op, 1)], **params)


@lowers("cumsum")
def cumsum(b: Builder, op: Op) -> None:
    x = b.input(op, 0)
    kind = "cumsum_f32" if b.program.values[x].dtype == "float32" else "cumsum_any"
    params = {"exclusive": int(op.attrs["exclusive"]), "reverse": int(op.attrs["reverse"])}
    b.emit(kind, op.name, [x, b.input(op, 1)], [b.result(op)], **params)


@lowers("multiclass_nms")
def _multiclass_nms(b: Builder, op: Op) -> None:
    params = {**op.attrs, "regular": int(op.attrs["regular"])}
    b.emit("multiclass_nms_f32", op.name, [b.input(op, 0), b.input(op, 1)], b.results(op), **params)
