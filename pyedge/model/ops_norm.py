"""Kinds of normalizations. Layer, group and instance norms are made of other ops.

| kind | inputs -> output | attributes |
|---|---|---|
| batch_norm | x[..,C], [C] each: scale bias mean var | epsilon, momentum |

batch_norm: (x - mean) * scale / sqrt(var + epsilon) + bias, all float32 or all float16. momentum, 0 .. 1: what running
statistics keep of their old value in a step of training (train/batch_norm.py).
"""

from __future__ import annotations

import math

from .graph import Op
from .ops import ATTRS, KINDS, Kind, Operands, Result, is_real, misfit, need

FLOATS = ("float32", "float16")


def _batch_norm(op: Op, operands: Operands) -> Result:
    x = need(op, operands, 0)
    if x.dtype not in FLOATS or len(x.shape) < 2 or x.shape[-1] is None:
        raise misfit(op, x, "float32 or float16 [N, .., C]")
    for i in range(1, 5):
        t = need(op, operands, i)
        if t.dtype != x.dtype or t.shape != x.shape[-1:]:
            raise misfit(op, t, f"{x.dtype}[{x.shape[-1]}] as the channels of tensor {x.name!r}")
    return x.shape, x.dtype


ATTRS["epsilon"] = (lambda v: is_real(v) and 0 <= v < math.inf, "a number >= 0")
ATTRS["momentum"] = (lambda v: is_real(v) and 0 <= v <= 1, "a number 0 .. 1")
KINDS["batch_norm"] = Kind(5, ("epsilon", "momentum"), _batch_norm)
