"""Kinds of models that were uint8: their codes are shifted by 128 to int8, so weights have a zero point as well.

| kind | inputs -> output | attributes |
|---|---|---|
| shift_codes | x uint8 -> int8, x int8 -> uint8: the same values, zero points differ by 128 | |
| conv2d_zero_point | as conv2d of int8; w has one scale and one zero point | as conv2d |
| depthwise_conv2d_zero_point | as depthwise_conv2d of int8, as above | as depthwise_conv2d |
| linear_zero_point | as linear of int8, as above | as linear |
| avg_pool2d_up | as avg_pool2d of int8, halves up | as avg_pool2d |
"""

from __future__ import annotations

from dataclasses import replace

from ..errors import ModelError
from .graph import Op
from .ops import KINDS, Kind, Operands, Result, misfit, need


def _shift_codes(op: Op, operands: Operands) -> Result:
    x = need(op, operands, 0)
    if x.dtype not in ("int8", "uint8"):
        raise misfit(op, x, "int8 or uint8")
    return x.shape, "uint8" if x.dtype == "int8" else "int8"


def _int8(kind: str) -> Kind:
    """The kind, of int8 only, and with weights of one scale."""
    infer = KINDS[kind].infer
    assert infer is not None

    def rule(op: Op, operands: Operands) -> Result | list[Result]:
        x = need(op, operands, 0)
        if x.dtype != "int8":
            raise misfit(op, x, "int8")
        if len(operands) > 1:
            quant = need(op, operands, 1).quant
            if quant is None or quant.scale.size != 1:
                raise ModelError(f"{op.kind} {op.name!r}: weight {op.inputs[1]!r} needs one scale and a zero point")
        return infer(op, operands)

    return replace(KINDS[kind], infer=rule)


KINDS["shift_codes"] = Kind(1, (), _shift_codes)
for _kind in ("conv2d", "depthwise_conv2d", "linear"):
    KINDS[f"{_kind}_zero_point"] = _int8(_kind)
KINDS["avg_pool2d_up"] = _int8("avg_pool2d")
