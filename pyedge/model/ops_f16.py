"""Kinds of layers with float16 weights.

| kind | inputs -> output | attributes |
|---|---|---|
| conv2d_f16 | x[N,H,W,C], w[Co,kh,kw,C/g] float16, b[Co] float32 or None | as conv2d, dtype |
| depthwise_conv2d_f16 | x w[kh,kw,Co] b or None | as depthwise_conv2d, dtype |
| linear_f16 | x[...,K] w[N,K] b[N] or None | as linear, dtype |

x is float32 or float16; dtype is that of the result, one of these. How sums are rounded is the `mode` of `pe.compile`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from .graph import Op
from .ops import ATTRS, KINDS, Operands, Result, misfit, need

LAYERS = ("conv2d", "depthwise_conv2d", "linear")  # kinds that have a form with float16 weights
FLOATS = ("float32", "float16")


def _rule(kind: str) -> Callable[[Op, Operands], Result | list[Result]]:
    """The rule of the float32 kind, for other dtypes."""
    infer = KINDS[kind].infer
    assert infer is not None

    def rule(op: Op, operands: Operands) -> Result | list[Result]:
        x, w = need(op, operands, 0), need(op, operands, 1)
        if x.dtype not in FLOATS:
            raise misfit(op, x, "float32 or float16")
        if w.dtype != "float16":
            raise misfit(op, w, "float16")
        found = infer(op, [replace(x, dtype="float32"), replace(w, dtype="float32"), *operands[2:]])
        assert not isinstance(found, list)
        return found[0], op.attrs["dtype"]

    return rule


for _kind in LAYERS:
    ATTRS[f"{_kind}_f16.dtype"] = (lambda v: v in FLOATS, "float32 or float16")
    KINDS[f"{_kind}_f16"] = replace(KINDS[_kind], attrs=(*KINDS[_kind].attrs, "dtype"), infer=_rule(_kind))
