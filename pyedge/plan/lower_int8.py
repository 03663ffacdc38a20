"""Lowering of int8 sums and norms (model/ops_int8.py)."""

from __future__ import annotations

from typing import Any

from ..model import quantmath
from ..model.graph import Op
from .lower import Builder, lowers
from .lower_nn import along_axis
from .lower_reduce import cumsum


def _sum_params(b: Builder, op: Op, x: int, y: int) -> dict[str, Any]:
    (sx, zx), (sy, zy) = b.scale(op, x), b.scale(op, y)
    factor = quantmath.sums_multiplier(sx, sy)
    return {"x_zero_point": zx, "y_zero_point": zy, "multiplier": factor.multiplier, "shift": factor.shift}


@lowers("add_n")
def _add_n(b: Builder, op: Op) -> None:
    inputs, y = [b.input(op, i) for i in range(len(op.inputs))], b.result(op)
    b.emit("add_n_s8", op.name, inputs, [y], **_sum_params(b, op, inputs[0], y))


@lowers("cumsum")
def _cumsum(b: Builder, op: Op) -> None:
    x = b.input(op, 0)
    if b.program.values[x].dtype != "int8" or not b.program.values[x].scale > 0:
        cumsum(b, op)
        return
    y = b.result(op)
    around = {"exclusive": int(op.attrs["exclusive"]), "reverse": int(op.attrs["reverse"])}
    b.emit("cumsum_s8", op.name, [x, b.input(op, 1)], [y], **_sum_params(b, op, x, y), **around)


@lowers("l2_norm")
def _l2_norm(b: Builder, op: Op) -> None:
    x = b.input(op, 0)
    b.emit("l2_norm_s8", op.name, [x], [b.result(op)], x_zero_point=b.scale(op, x)[1])


@lowers("log_softmax")
def _log_softmax(b: Builder, op: Op) -> None:
    x = b.input(op, 0)
    if b.program.values[x].dtype != "int8":
        along_axis(b, op)
        return
    p = quantmath.log_softmax_params(b.scale(op, x)[0])
    params = {"multiplier": p.multiplier, "shift": p.shift, "diff_min": p.diff_min}
    b.emit(
        "log_softmax_s8",
        op.name,
        [x],
        [b.result(op)],
        **params,
        back_multiplier=p.back.multiplier,
        back_shift=p.back.shift,
    )
