"""Graphs that learn in float16, and int8 graphs whose last layers learn as floats."""

from __future__ import annotations

from collections.abc import Collection

import numpy as np

from ..compress.float16 import to_float16
from ..errors import ModelError
from ..model.graph import Graph, Op, Quantization, Tensor
from ..model.ops_elementwise import BINARY, UNARY
from ..model.ops_move import MOVES
from .tape import Tape

_SUFFIX = ":float16"  # of what to_float16 makes of a weight
# Kinds that mean the same on floats as on int8, and those that only change the code.
_SAME = {*UNARY, *BINARY, *MOVES, "reshape", "relu", "relu6", "clip", "any_ge", "where"}
_SAME |= {"conv2d", "depthwise_conv2d", "linear", "conv_transpose", "matmul", "softmax", "log_softmax"}
_SAME |= {"avg_pool2d", "max_pool2d", "mean", "reduce_mean", "reduce_sum", "reduce_max", "reduce_min", "cumsum"}
_SAME |= {"arg_max", "arg_min", "topk"}
_CODES = {"quantize", "dequantize", "rescale"}


def to_half(graph: Graph) -> tuple[Graph, dict[str, np.ndarray]]:
    """Return a copy with float16 weights and float16 between layers, and the float32 values of these weights.

    Weights keep their names.
    """
    half, _ = to_float16(graph, "float16")
    values = {}
    for name in [n for n in half.tensors if n.endswith(_SUFFIX)]:
        old = name.removesuffix(_SUFFIX)
        if old in half.tensors:
            continue  # another op reads the float32 weight
        t = half.tensors.pop(name)
        t.name = old
        half.add_tensor(t)
        for op in half.ops:
            op.inputs = [old if n == name else n for n in op.inputs]
        value = graph.tensors[old].data
        assert value is not None and t.data is not None
        kept = value.shape == t.data.shape and np.array_equal(value.astype(np.float16), t.data)
        values[old] = value if kept else np.ascontiguousarray(value.T)  # a matmul has become linear
    return half, values


def dequantize_tail(graph: Graph, layers: Collection[int]) -> Graph:
    """Return a copy of an int8 graph in which some ops, and all that is computed from them, are floats.

    Args:
        layers: Numbers of ops.

    Returns:
        The new graph: weights keep their names, as float32; biases too. What the rest gives is dequantized where the
        tail reads it. Outputs of the tail are float32.

    Raises:
        ModelError: An op in the tail that floats don't have; names op and kind.
    """
    result = graph.copy()
    result.ops = []
    t = Tape(result)
    tail: set[str] = set()  # tensors that are floats now
    real: dict[str, str] = {}  # a tensor of codes -> the same as floats
    for number, op in enumerate(graph.ops):
        if number not in layers and not tail.intersection(n for n in op.inputs if n is not None):
            result.ops.append(op)
            continue
        if op.kind not in _SAME | _CODES:
            raise ModelError(
                f"{op.kind} {op.name!r}: there is no such op on floats to stand behind what learns;"
                " try: trainable= of layers behind it"
            )
        inputs = [None if n is None else _as_float(t, graph, op, i, n, real) for i, n in enumerate(op.inputs)]
        kind = "identity" if op.kind in _CODES else op.kind
        result.ops.append(Op(kind, op.name, inputs, list(op.outputs), {} if op.kind in _CODES else dict(op.attrs)))
        for name in op.outputs:
            y = result.tensors[name]
            y.dtype, y.quant = ("float32", None) if y.quant is not None else (y.dtype, None)
        tail.update(op.outputs)
    return result


def _as_float(t: Tape, graph: Graph, op: Op, i: int, name: str, real: dict[str, str]) -> str:
    """An operand of an op of the tail as floats."""
    x = graph.tensors[name]
    now = t.graph.tensors[name]
    if now.dtype == "float32" or (x.quant is None and (x.dtype != "int32" or x.data is None)):
        return name
    if x.data is None:
        if name not in real:
            t.stem = name
            real[name] = t.op("dequantize", name)
        return real[name]
    if x.quant is not None:
        value = _values(x.data, x.quant)
    else:  # a bias: in steps of the sum
        of_x, of_w = graph.tensors[op.inputs[0] or ""], graph.tensors[op.inputs[1] or ""]
        if i != 2 or of_x.quant is None or of_w.quant is None:
            return name
        value = (x.data * (of_x.quant.scale.astype(np.float64) * of_w.quant.scale)).astype(np.float32)
    if any(name in other.inputs for other in t.graph.ops):  # the frozen part reads the codes
        return t.graph.add_tensor(Tensor(t.unused(f"{name}:float32"), x.shape, "float32", value)).name
    t.graph.tensors[name] = Tensor(name, x.shape, "float32", value)
    return name


def _values(codes: np.ndarray, q: Quantization) -> np.ndarray:
    """What codes mean, with one scale or one for each slice of an axis."""
    along = [1] * codes.ndim
    if q.scale.size > 1:
        along[q.axis] = q.scale.size
    scale, zero = q.scale.reshape(along), q.zero_point.reshape(along)
    return np.asarray(((codes.astype(np.float64) - zero) * scale).astype(np.float32).reshape(codes.shape))
