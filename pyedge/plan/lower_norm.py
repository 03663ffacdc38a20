"""Lowering of the kinds of model/ops_norm.py: x * factor + offset, with a factor and an offset for each channel."""

from __future__ import annotations

import math

import numpy as np

from ..model.graph import Op, array_dtype
from .lower import Builder, lowers
from .lower_elementwise import emit_function
from .lower_move import temporary


@lowers("batch_norm")
def _batch_norm(b: Builder, op: Op) -> None:
    x, *statistics = (b.input(op, i) for i in range(5))
    y = b.result(op)
    value = b.program.values[y]
    factor, offset = _affine(b, op, statistics)
    product = temporary(b, op, value.dtype, value.dims)
    emit_function(b, "mul", op.name, [x, factor], product, {})
    _add(b, op, product, offset, y)


def _affine(b: Builder, op: Op, statistics: list[int]) -> tuple[int, int]:
    """factor = scale / sqrt(var + epsilon) and offset = bias - mean * factor; of constants in double, rounded once."""
    values = [b.program.values[i] for i in statistics]
    dtype, dims = values[0].dtype, values[0].dims
    known = [None if v.data is None else v.data.astype(np.float64) for v in values]
    if all(k is not None for k in known):
        scale, bias, mean, var = (np.asarray(k) for k in known)
        factor = scale / np.sqrt(var + op.attrs["epsilon"])
        pair = [a.astype(array_dtype(dtype)) for a in (factor, bias - mean * factor)]
        return b.constant(f"{op.name}:factor", pair[0]), b.constant(f"{op.name}:offset", pair[1])
    scales, biases, means, variances = statistics
    epsilon = b.constant(f"{op.name}:epsilon", np.array([op.attrs["epsilon"]], array_dtype(dtype)))
    wide, spread, f, shift, o = (temporary(b, op, dtype, dims) for _ in range(5))
    _add(b, op, variances, epsilon, wide)
    emit_function(b, "sqrt", op.name, [wide], spread, {})
    emit_function(b, "div", op.name, [scales, spread], f, {})
    emit_function(b, "mul", op.name, [means, f], shift, {})
    emit_function(b, "sub", op.name, [biases, shift], o, {})
    return f, o


def _add(b: Builder, op: Op, a: int, c: int, y: int) -> None:
    if b.program.values[y].dtype == "float32":  # which may lie on its operand
        b.emit("add_f32", op.name, [a, c], [y], f_min=-math.inf, f_max=math.inf)
    else:
        emit_function(b, "add", op.name, [a, c], y, {})
