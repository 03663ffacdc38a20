"""Gradients of kinds that reduce along axes (model/ops_reduce.py, mean)."""

from __future__ import annotations

import math
from collections.abc import Sequence

from ..model.graph import Op
from .tape import CONSTANT, Gradients, Tape, only, vjp

CONSTANT.update(("arg_max", "arg_min", "hardmax"))


def _spread(t: Tape, op: Op, y: str, axes: Sequence[int]) -> str:
    """A result or its gradient, against each element of the operand."""
    return t.expand(t.restored(y, op, axes), t.shape(op.inputs[0]))


@vjp("reduce_sum")
def _sum(t: Tape, op: Op, dy: Gradients) -> Gradients:
    return [_spread(t, op, only(dy), op.attrs["axes"])]


@vjp("mean", "reduce_mean")
def _mean(t: Tape, op: Op, dy: Gradients) -> Gradients:
    axes = op.attrs["axes"]
    count = math.prod(t.shape(op.inputs[0])[a] for a in axes)
    return [_spread(t, op, t.scale(only(dy), 1 / count), axes)]


@vjp("reduce_sum_square")
def _sum_square(t: Tape, op: Op, dy: Gradients) -> Gradients:
    x, g = str(op.inputs[0]), t.scale(only(dy), 2.0)
    return [t.mul(x, t.restored(g, op, op.attrs["axes"]))]


@vjp("reduce_l1")
def _l1(t: Tape, op: Op, dy: Gradients) -> Gradients:
    return [t.mul(t.op("sign", op.inputs[0]), t.restored(only(dy), op, op.attrs["axes"]))]


@vjp("reduce_l2")
def _l2(t: Tape, op: Op, dy: Gradients) -> Gradients:
    """dy x / y, and 0 where y is."""
    x, y, g = str(op.inputs[0]), op.outputs[0], only(dy)
    over = t.where(t.compare("equal", y, 0.0), t.number(0.0, g), t.div(g, y))
    return [t.mul(x, t.restored(over, op, op.attrs["axes"]))]


@vjp("reduce_log_sum")
def _log_sum(t: Tape, op: Op, dy: Gradients) -> Gradients:
    return [_spread(t, op, t.div(only(dy), t.op("exp", op.outputs[0])), op.attrs["axes"])]


@vjp("reduce_log_sum_exp")
def _log_sum_exp(t: Tape, op: Op, dy: Gradients) -> Gradients:
    x, axes = str(op.inputs[0]), op.attrs["axes"]
    share = t.op("exp", t.sub(x, t.restored(op.outputs[0], op, axes)))
    return [t.mul(share, t.restored(only(dy), op, axes))]


@vjp("reduce_max", "reduce_min")
def _order(t: Tape, op: Op, dy: Gradients) -> Gradients:
    """Elements that are equal to the result share the gradient."""
    x, axes = str(op.inputs[0]), op.attrs["axes"]
    hit = t.cast(t.op("equal", x, t.restored(op.outputs[0], op, axes)), t.dtype(x))
    share = t.div(t.restored(only(dy), op, axes), t.sum(hit, axes, keepdims=True))
    return [t.mul(hit, share)]
