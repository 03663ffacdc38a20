"""Kinds that TFLite Micro has for quantized int8, with arithmetic of its own; of floats they are made of other kinds.

| kind | inputs -> output | attributes |
|---|---|---|
| add_n | x ..., int8 of one scale and one shape | |
| l2_norm | x int8 -> x / L2 norm over the last axis; scale 1/128, zero point 0 | |

log_softmax (ops_nn.py) of int8 gives scale 1/16 and zero point 127; cumsum (ops_reduce.py) takes int8 with a scale.
"""

from __future__ import annotations

from ..errors import ModelError
from .graph import Op
from .ops import ANY_NUMBER, KINDS, Kind, Operands, Result, misfit, need


def _add_n(op: Op, operands: Operands) -> Result:
    first = need(op, operands, 0)
    for i in range(len(operands)):
        t = need(op, operands, i)
        if t.dtype != "int8" or t.shape != first.shape:
            raise misfit(op, t, f"int8 of the shape of tensor {first.name!r}")
        if (t.scale, t.zero_point) != (first.scale, first.zero_point):
            raise ModelError(f"add_n {op.name!r}: tensors {first.name!r} and {t.name!r} have different scales")
    return first.shape, "int8"


def _l2_norm(op: Op, operands: Operands) -> Result:
    x = need(op, operands, 0)
    if x.dtype != "int8" or not x.shape:
        raise misfit(op, x, "int8 of rank 1 or more")
    return x.shape, "int8"


KINDS["add_n"] = Kind(ANY_NUMBER, (), _add_n)
KINDS["l2_norm"] = Kind(1, (), _l2_norm)
