"""Kinds of layers with float activations and int8 weights, TFLite's "dynamic range".

| kind | inputs -> output | attributes |
|---|---|---|
| conv2d_hybrid | x[N,H,W,C] float32, w[Co,kh,kw,C/g] int8, b[Co] float32 or None -> float32 | as conv2d, asymmetric |
| depthwise_conv2d_hybrid | x w[kh,kw,Co] b or None | as depthwise_conv2d, asymmetric |
| linear_hybrid | x[...,K] w[N,K] b[N] or None | as linear, asymmetric |

x becomes int8 at run time, an image or a row of K at a time, by its own extremes: around 0, or if asymmetric over the
range that holds x and 0. w has one scale, or one a channel, and zero point 0.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from .graph import Op
from .ops import ATTRS, KINDS, Operands, Result, misfit, need


def _rule(kind: str) -> Callable[[Op, Operands], Result | list[Result]]:
    """The rule of the float kind, for int8 weights."""
    infer = KINDS[kind].infer
    assert infer is not None

    def rule(op: Op, operands: Operands) -> Result | list[Result]:
        x, w = need(op, operands, 0), need(op, operands, 1)
        for t, dtype in ((x, "float32"), (w, "int8")):
            if t.dtype != dtype:
                raise misfit(op, t, dtype)
        return infer(op, [x, replace(w, dtype="float32"), *operands[2:]])

    return rule


ATTRS["asymmetric"] = (lambda v: isinstance(v, bool), "a bool")
for _kind in ("conv2d", "depthwise_conv2d", "linear"):
    KINDS[f"{_kind}_hybrid"] = replace(KINDS[_kind], attrs=(*KINDS[_kind].attrs, "asymmetric"), infer=_rule(_kind))
