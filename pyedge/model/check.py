"""What must be true of a graph beyond shapes: constants match their tensors, quantization fits each op.

TFLite states these rules in each kernel's Prepare(); they hold for every graph, whoever made it.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from ..errors import ModelError
from .graph import DTYPES, Graph, Op, Tensor, array_dtype, check_state
from .ops import infer_shapes
from .quantmath_int16 import is_int16

# Weights' axis of output channels, in the graph's layouts.
_CHANNEL_AXIS = {"conv2d": 0, "depthwise_conv2d": 2, "linear": 0, "conv": 0, "conv_transpose": 0}
_CHANNEL_AXIS |= {"conv2d_hybrid": 0, "depthwise_conv2d_hybrid": 2, "linear_hybrid": 0}
_CODES = ("int8", "int16")
# Scale and zero point of results that the arithmetic prescribes.
FIXED_SCALES = {
    ("softmax", "int8"): (1 / 256, -128),
    ("log_softmax", "int8"): (1 / 16, 127),
    ("l2_norm", "int8"): (1 / 128, 0),
    **dict.fromkeys((("softmax", "int16"), ("sigmoid", "int16"), ("tanh", "int16")), (1 / 32768, 0)),
}
_SAME_SCALE = ("avg_pool2d", "max_pool2d")
# Kinds that take int8 as plain codes or integers, whatever they mean; other files of the room add theirs.
CODES_ONLY = {"reshape"}
# Kinds that compute with int16 codes that have a scale, and those that take such codes as they are: ops_int16.py.
INT16: set[str] = set()
INT16_CODES = {"reshape"}


def check(graph: Graph) -> Graph:
    """Returns graph with all shapes inferred, or raises.

    Raises:
        ModelError: A contradiction; names op and tensor.
        ShapeError: Operands of an op that don't fit; names op, tensors and shapes.
    """
    graph = infer_shapes(graph)
    _check(graph, {})
    return graph


def _check(graph: Graph, outer: Mapping[str, Tensor]) -> None:
    if not graph.output_names:
        raise ModelError(f"graph {graph.name!r} has no output")
    for names in (graph.input_names, graph.output_names):
        if len(set(names)) != len(names):
            raise ModelError(f"graph {graph.name!r}: an input or output is listed twice: {', '.join(names)}")
    for tensor in graph.tensors.values():
        _check_tensor(tensor)
    for tensor in graph.inputs:
        if tensor.data is not None:
            raise ModelError(f"graph {graph.name!r}: input {tensor.name!r} is a constant")
    for state in graph.states:
        if outer:
            raise ModelError(f"graph {graph.name!r}: state {state.name!r} belongs to the graph around the if")
        check_state(graph, state)
    visible = {**outer, **graph.tensors}
    for op in graph.ops:
        if op.kind == "if":
            for branch in ("then", "else"):
                _check(op.attrs[branch], visible)
        else:
            _check_quantization(op, visible)


def _check_tensor(t: Tensor) -> None:
    if t.dtype not in DTYPES:
        raise ModelError(f"tensor {t.name!r} has dtype {t.dtype}, expected one of {', '.join(DTYPES)}")
    if any(d is not None and d < 1 for d in t.shape):
        raise ModelError(f"tensor {t.name!r} has the empty shape {list(t.shape)}")
    if t.data is not None and (t.data.shape != t.shape or t.data.dtype != array_dtype(t.dtype)):
        raise ModelError(f"tensor {t.name!r} is {t.dtype}{list(t.shape)}, its value {t.data.dtype}{list(t.data.shape)}")
    q = t.quant
    if q is None:
        return
    if q.scale.ndim != 1 or q.scale.size == 0 or q.scale.dtype != np.float32 or q.zero_point.shape != q.scale.shape:
        raise ModelError(f"tensor {t.name!r}: needs float32 scales and as many zero points")
    if not np.isfinite(q.scale).all() or (q.scale < 0).any():
        raise ModelError(f"tensor {t.name!r}: a scale is negative or not finite")
    if t.dtype == "int8" and ((q.zero_point < -128) | (q.zero_point > 127)).any():
        raise ModelError(f"tensor {t.name!r}: a zero point is outside int8")
    if t.dtype == "uint8" and ((q.zero_point < 0) | (q.zero_point > 255)).any():
        raise ModelError(f"tensor {t.name!r}: a zero point is outside uint8")


def _check_quantization(op: Op, tensors: Mapping[str, Tensor]) -> None:
    operands = [None if n is None else tensors[n] for n in op.inputs]
    x, y = operands[0], tensors[op.outputs[0]]
    weight = operands[1] if op.kind in _CHANNEL_AXIS else None
    if weight is not None and x is not None and weight.dtype == "int8":
        bias = operands[2] if len(operands) > 2 else None
        _check_weights(op, x, weight, bias, y)
        operands = [x]
    if is_int16(x, y) and op.kind not in INT16 | INT16_CODES:
        raise ModelError(
            f"{op.kind} {op.name!r}: tensor {y.name!r} is int16 with a scale, for which there is no kernel"
        )
    if op.kind not in CODES_ONLY or (is_int16(x, y) and op.kind in INT16):
        for t in (*operands, y):
            if t is not None and t.dtype in _CODES:
                _check_activation(op, t)
    if y.dtype not in _CODES or x is None:
        return
    if op.kind in _SAME_SCALE and (abs(x.scale - y.scale) > 1e-6 or x.zero_point != y.zero_point):  # type: ignore[operator]
        raise ModelError(
            f"{op.kind} {op.name!r}: tensors {x.name!r} and {y.name!r} have different scales or zero points"
        )
    fixed = FIXED_SCALES.get((op.kind, y.dtype))
    if fixed is not None and (abs(y.scale / fixed[0] - 1) > 1e-3 or y.zero_point != fixed[1]):  # type: ignore[operator]
        text = f"scale 1/{1 / fixed[0]:.0f} and zero point {fixed[1]}"
        raise ModelError(f"{op.kind} {op.name!r}: result {y.name!r} needs {text}")


def _check_activation(op: Op, t: Tensor) -> None:
    if t.scale is None or t.scale <= 0:
        raise ModelError(f"{op.kind} {op.name!r}: {t.dtype} tensor {t.name!r} needs one scale above 0 and a zero point")
    if t.dtype == "int16" and t.zero_point != 0 and op.kind not in ("rescale", "dequantize"):
        raise ModelError(f"{op.kind} {op.name!r}: int16 tensor {t.name!r} needs the zero point 0, not {t.zero_point}")


def _check_weights(op: Op, x: Tensor, weight: Tensor, bias: Tensor | None, y: Tensor) -> None:
    """int8 weights have zero point 0, one scale or one a channel; the bias has scale x * weight."""
    axis = _CHANNEL_AXIS[op.kind]
    q, channels = weight.quant, weight.shape[axis]
    if q is None or (q.scale.size > 1 and (q.scale.size != channels or q.axis != axis)):
        raise ModelError(
            f"{op.kind} {op.name!r}: weight {weight.name!r} needs one scale, or one for each of {channels}"
        )
    if q.zero_point.any():
        raise ModelError(f"{op.kind} {op.name!r}: weight {weight.name!r} has a zero point that is not 0")
    if x.dtype not in _CODES:
        return
    _check_activation(op, x)
    _check_activation(op, y)
    if bias is None or bias.quant is None:
        return
    given = bias.quant
    expected = np.float64(x.scale or 0) * q.scale
    if given.zero_point.any() or given.scale.size not in (1, channels):
        raise ModelError(f"{op.kind} {op.name!r}: bias {bias.name!r} needs zero point 0 and one scale a channel")
    if (np.abs(expected - given.scale) > 0.02 * (y.scale or 0)).any():  # TFLite's tolerance, kernel_util.cc
        raise ModelError(f"{op.kind} {op.name!r}: the scale of bias {bias.name!r} is not input scale * weight scale")
