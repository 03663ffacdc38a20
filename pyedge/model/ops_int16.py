"""int16 activations with int8 weights, TFLite's "16x8" scheme: kinds that compute with int16 codes, zero point 0.

Shapes and attributes are those of int8. conv2d, depthwise_conv2d, linear and conv_transpose take int8 weights and an
int32 or int64 bias, or none; softmax gives the scale 1/32768, sigmoid and tanh as well. One kind is new:

| kind | inputs -> output | attributes |
|---|---|---|
| rescale | float32, int8, int16 or int32 -> codes of dtype `to`, of the result's scale and zero point | to |
"""

from __future__ import annotations

from .check import INT16, INT16_CODES
from .graph import Op
from .ops import ATTRS, KINDS, Kind, Operands, Result, misfit, need
from .ops_elementwise import UNARY
from .ops_move import MOVES
from .quantmath_int16 import COMPARISONS

LAYERS = ("conv2d", "depthwise_conv2d", "linear", "conv_transpose")
BINARY = ("add", "sub", "mul", "min", "max", "squared_difference", *COMPARISONS)


def _rescale(op: Op, operands: Operands) -> Result:
    x = need(op, operands, 0)
    if x.dtype not in ("float32", "int8", "int16", "int32"):
        raise misfit(op, x, "float32, int8, int16 or int32")
    if x.dtype == "float32" and op.attrs["to"] == "int32":
        raise misfit(op, x, "int8, int16 or int32")
    if x.dtype != "float32" and x.scale is None:
        raise misfit(op, x, "codes with one scale")
    return x.shape, op.attrs["to"]


ATTRS["rescale.to"] = (lambda v: v in ("int8", "int16", "int32"), '"int8", "int16" or "int32"')
KINDS["rescale"] = Kind(1, ("to",), _rescale)
INT16.update(LAYERS, BINARY, UNARY)
INT16.update(("matmul", "avg_pool2d", "max_pool2d", "mean", "reduce_mean", "reduce_sum", "softmax"))
INT16.update(("relu", "relu6", "clip", "rescale", "dequantize"))
INT16_CODES.update(MOVES, ("reduce_max", "reduce_min", "arg_max", "arg_min", "topk"))
