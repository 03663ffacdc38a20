"""Float ops between dequantize and quantize become integer ops (QDQ graphs of ONNX)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..errors import PyedgeError
from ..model.graph import Graph, Op, Quantization, Tensor
from ..model.ops import infer_op
from .rewrite import Tensors, add_constant, everywhere, makers, readers, reads, unused

_WEIGHTED = {"conv2d": 0, "depthwise_conv2d": 2, "linear": 0, "conv_transpose": 0}  # axis of output channels
_KEEPS_SCALE = frozenset(
    ("max_pool2d", "avg_pool2d", "reshape", "transpose", "slice", "pad", "relu", "relu6", "clip", "concat", "identity")
)
_RESCALES = frozenset(
    ("add", "sub", "mul", "mean", "min", "max", "leaky_relu", "prelu", "hard_swish", "sigmoid", "tanh", "matmul")
)
_SOFTMAX = Quantization(np.array([1 / 256], np.float32), np.array([-128], np.int32))


def name_scales(graph: Graph) -> Graph:
    """Return a copy of graph in which quantize_linear and dequantize_linear by one constant scale are quantize and
    dequantize, and the scale is the tensor's of codes. uint8 codes that nothing else reads become int8, 128 lower.
    """
    return everywhere(graph, _to_int8)


def fold_qdq(graph: Graph) -> Graph:
    """Return a copy of graph in which float ops whose operands are dequantized and whose result is quantized, and read
    by nothing else, compute with the codes; it goes through name_scales first.

    Weights need zero point 0 and one scale, or one a channel; biases become int32 of scale x * weight. Where a result's
    scale is not one that the integer op can give, a requantization follows it. What doesn't fit stays as it is written.
    """
    return everywhere(graph, _fold)


def _fold(graph: Graph, outer: Tensors) -> None:
    _to_int8(graph, outer)
    for op in list(graph.ops):
        if op.kind == "quantize":
            _fold_before(graph, outer, op)


# --- quantize_linear and dequantize_linear of whole tensors ----------------------------------------------------------


@dataclass(frozen=True)
class _Params:
    """Constant scale and zero point of a quantize_linear or dequantize_linear, zero point of int8 codes."""

    quant: Quantization
    dtype: str  # of the codes in the graph


def _params(op: Op, tensors: Tensors, codes: Tensor) -> _Params | None:
    scale = tensors[op.inputs[1] or ""].data
    zero = tensors[op.inputs[2]] if len(op.inputs) > 2 and op.inputs[2] is not None else None
    if scale is None or scale.dtype != np.float32 or (zero is not None and zero.data is None):
        return None
    if op.attrs.get("block_size") or scale.ndim > 1 or codes.dtype not in ("int8", "uint8", "int32"):
        return None
    if op.attrs.get("format") is not None:  # codes of a number format
        return None
    shift = 128 if codes.dtype == "uint8" else 0
    values = np.zeros(scale.size, np.int32) if zero is None or zero.data is None else zero.data.astype(np.int32)
    points = np.broadcast_to(values.reshape(-1) - shift, (scale.size,)).astype(np.int32)
    if not np.isfinite(scale).all() or (scale <= 0).any():
        return None
    axis = int(op.attrs.get("axis", 0)) % max(len(codes.shape), 1)
    return _Params(Quantization(scale.reshape(-1).copy(), points, axis), codes.dtype)


def _to_int8(graph: Graph, outer: Tensors) -> None:
    """Pairs of constant per-tensor scale become quantize and dequantize, with the scale on the tensor of codes."""
    tensors = {**outer, **graph.tensors}
    read_by: dict[str, list[Op]] = {}
    for op in graph.ops:
        for name in op.inputs:
            read_by.setdefault(name or "", []).append(op)
    count = readers(graph)
    for op in list(graph.ops):
        if op.kind == "quantize_linear":
            codes = tensors[op.outputs[0]]
            p = _params(op, tensors, codes)
            if p is None or p.quant.scale.size != 1 or tensors[op.inputs[0] or ""].dtype != "float32":
                continue
            followers = read_by.get(codes.name, [])
            private = len(followers) == count[codes.name] and all(o.kind == "dequantize_linear" for o in followers)
            if codes.dtype == "int32" or (codes.dtype == "uint8" and not private):
                continue
            op.kind, op.inputs, op.attrs = "quantize", op.inputs[:1], {}
            codes.dtype, codes.quant = "int8", p.quant
            for o in followers:
                _dequantize(o, codes, tensors, p.dtype)
        elif op.kind == "dequantize_linear":
            codes = tensors[op.inputs[0] or ""]
            if codes.dtype == "int8" and codes.data is None and codes.name in graph.tensors:
                _dequantize(op, codes, tensors, "int8")


def _dequantize(op: Op, codes: Tensor, tensors: Tensors, written: str) -> None:
    if op.kind != "dequantize_linear":
        return
    p = _params(op, tensors, Tensor(codes.name, codes.shape, written))
    same = p is not None and p.quant.scale.size == 1 and tensors[op.outputs[0]].dtype == "float32"
    if p is None or not same:
        return
    if codes.quant is None:
        codes.quant = p.quant
    elif not (codes.quant.scale == p.quant.scale).all() or not (codes.quant.zero_point == p.quant.zero_point).all():
        return
    op.kind, op.inputs, op.attrs = "dequantize", op.inputs[:1], {}


# --- ops between them ------------------------------------------------------------------------------------------------


def _fold_before(graph: Graph, outer: Tensors, quantize: Op) -> None:
    tensors = {**outer, **graph.tensors}
    made, read = makers(graph), readers(graph)
    source = quantize.inputs[0] or ""
    op, y = made.get(source), tensors[quantize.outputs[0]]
    if op is None or y.quant is None:
        return
    if op.kind == "dequantize":
        quantize.inputs = list(op.inputs)
        return
    if read[source] != 1 or len(op.outputs) != 1 or tensors[source].dtype != "float32":
        return
    quant: Quantization | None = y.quant
    if op.kind in _WEIGHTED:
        inputs = _weighted(graph, op, made, tensors)
    else:
        inputs = _codes(graph, op, made, tensors)
        quant = _result_quant(op, inputs, {**tensors, **graph.tensors}, y.quant)
    if inputs is None or quant is None:
        return
    if op.kind == "concat":
        inputs = _requantized(graph, inputs, quant)
    direct = quant is y.quant
    name = y.name if direct else unused({**tensors, **graph.tensors}, f"{y.name}:codes")
    new = Op(op.kind, op.name, list(inputs), [name], dict(op.attrs))
    known = {**tensors, **graph.tensors}
    try:
        found = infer_op(new, [None if n is None else known[n] for n in inputs])
    except PyedgeError:  # this kind, or this form of it, has no integer op
        return
    if found[0] != (y.shape, "int8"):
        return
    place = graph.ops.index(op)
    graph.ops[place] = new
    if direct:
        graph.ops.remove(quantize)
    else:
        graph.add_tensor(Tensor(name, y.shape, "int8", quant=quant))
        quantize.inputs = [name]
    del graph.tensors[source]
    _in_order(graph)


def _in_order(graph: Graph) -> None:
    """Puts the ops into an order in which they can run: a folded op may stand before what requantizes its operands."""
    made = makers(graph)
    placed: list[Op] = []
    seen: set[int] = set()
    stack = list(reversed(graph.ops))
    while stack:
        op = stack[-1]
        waiting = [made[n] for n in reads(op) if n in made and id(made[n]) not in seen]
        if id(op) in seen or not waiting:
            stack.pop()
            if id(op) not in seen:
                seen.add(id(op))
                placed.append(op)
        else:
            stack.extend(waiting)
    graph.ops = placed


def _codes(graph: Graph, op: Op, made: dict[str, Op], tensors: Tensors) -> list[str | None] | None:
    """The codes of an op's operands, all of which are dequantized."""
    if op.kind not in _KEEPS_SCALE | _RESCALES | {"softmax"}:
        return None
    names: list[str | None] = []
    for i, name in enumerate(op.inputs):
        if op.kind == "pad" and i == 1:
            return None
        before = made.get(name or "")
        if (codes := _moved_codes(graph, name, made, tensors)) is not None:
            names.append(codes)
        elif before is not None and before.kind == "dequantize_linear":
            constant = _constant_codes(graph, before, tensors)
            if constant is None:
                return None
            names.append(constant)
        else:
            return None
    return names


def _moved_codes(graph: Graph, name: str | None, made: dict[str, Op], tensors: Tensors) -> str | None:
    """The codes of a dequantized tensor that reshapes and transposes may have moved since: they move the codes."""
    op = made.get(name or "")
    if op is None or op.kind not in ("dequantize", "reshape", "transpose"):
        return None
    if op.kind == "dequantize":
        return op.inputs[0]
    source = _moved_codes(graph, op.inputs[0], made, tensors)
    if source is None:
        return None
    known = {**tensors, **graph.tensors}
    result = Tensor(unused(known, f"{name}:codes"), tensors[name or ""].shape, "int8", quant=known[source].quant)
    graph.add_tensor(result)
    graph.ops.insert(graph.ops.index(op), Op(op.kind, result.name, [source], [result.name], dict(op.attrs)))
    return result.name


def _constant_codes(graph: Graph, op: Op, tensors: Tensors) -> str | None:
    """A constant of int8 codes with one scale, under a name of its own."""
    codes = tensors[op.inputs[0] or ""]
    p = None if codes.data is None else _params(op, tensors, codes)
    if p is None or codes.data is None or codes.dtype == "int32" or p.quant.scale.size != 1:
        return None
    shift = 128 if codes.dtype == "uint8" else 0
    return add_constant(graph, f"{codes.name}:int8", (codes.data.astype(np.int16) - shift).astype(np.int8), p.quant)


def _result_quant(
    op: Op, inputs: list[str | None] | None, tensors: Tensors, wanted: Quantization
) -> Quantization | None:
    """The scale of an integer op's result: what is wanted, or what it can give."""
    if inputs is None:
        return None
    if op.kind == "softmax":
        return wanted if _close(wanted, _SOFTMAX) else _SOFTMAX
    if op.kind in _KEEPS_SCALE and op.kind != "concat":
        own = tensors[inputs[0] or ""].quant
        return wanted if own is not None and _close(own, wanted) else own
    return wanted


def _close(a: Quantization, b: Quantization) -> bool:
    return bool(a.scale.size == b.scale.size == 1 and a.scale[0] == b.scale[0] and a.zero_point[0] == b.zero_point[0])


def _requantized(graph: Graph, names: list[str | None], quant: Quantization) -> list[str | None]:
    """Operands of concat, all in the scale of its result."""
    result: list[str | None] = []
    for name in names:
        t = graph.tensors[name or ""]
        if t.quant is not None and _close(t.quant, quant):
            result.append(name)
            continue
        scaled = unused(graph.tensors, f"{t.name}:scaled")
        graph.add_tensor(Tensor(scaled, t.shape, "int8", quant=quant))
        graph.ops.insert(0, Op("quantize", scaled, [t.name], [scaled], {}))
        result.append(scaled)
    return result


# --- weights ---------------------------------------------------------------------------------------------------------


def _weighted(graph: Graph, op: Op, made: dict[str, Op], tensors: Tensors) -> list[str | None] | None:
    """int8 x, int8 weight and int32 bias of a convolution or linear op."""
    found = _weight_codes(op.inputs[1] or "", made, tensors)
    source = None if found is None else _moved_codes(graph, op.inputs[0], made, tensors)
    if found is None or source is None:
        return None
    x = {**tensors, **graph.tensors}[source]
    if x.quant is None or x.quant.scale.size != 1:
        return None
    codes, quant = found
    axis = _WEIGHTED[op.kind]
    channels = codes.shape[axis]
    per_channel = quant.scale.size > 1
    if quant.zero_point.any() or (per_channel and (quant.axis != axis or quant.scale.size != channels)):
        return None
    scales = x.quant.scale * quant.scale
    name = op.inputs[2] if len(op.inputs) > 2 else None
    bias: str | None = None
    if name is not None:
        value = _value(name, made, tensors)
        if value is None:
            return None
        steps = np.rint(value.astype(np.float64).reshape(-1) / scales.astype(np.float64))
        if (np.abs(steps) > 2**31 - 1).any():
            return None
        points = np.zeros(scales.size, np.int32)
        bias = add_constant(graph, f"{name}:int32", steps.astype(np.int32), Quantization(scales, points))
    weight = add_constant(graph, f"{op.inputs[1]}:int8", codes, quant)
    return [x.name, weight, bias]


def _weight_codes(name: str, made: dict[str, Op], tensors: Tensors) -> tuple[np.ndarray, Quantization] | None:
    """int8 codes of a dequantized constant that transposes and reshapes have moved, moved the same way."""
    op = made.get(name)
    if op is None:
        return None
    if op.kind == "dequantize_linear":
        codes = tensors[op.inputs[0] or ""]
        p = None if codes.data is None else _params(op, tensors, codes)
        if p is None or codes.data is None or codes.dtype == "int32":
            return None
        shift = 128 if codes.dtype == "uint8" else 0
        return (codes.data.astype(np.int16) - shift).astype(np.int8), p.quant
    if op.kind not in ("transpose", "reshape"):
        return None
    found = _weight_codes(op.inputs[0] or "", made, tensors)
    if found is None:
        return None
    data, quant = found
    if op.kind == "transpose":
        axis = list(op.attrs["perm"]).index(quant.axis) if quant.scale.size > 1 else 0
        return data.transpose(op.attrs["perm"]), Quantization(quant.scale, quant.zero_point, axis)
    moved = data.reshape(op.attrs["shape"])
    axis = 0
    if quant.scale.size > 1:  # the axis must come through whole
        runs = {int(np.prod(moved.shape[:i])): i for i in range(moved.ndim) if moved.shape[i] == data.shape[quant.axis]}
        before = int(np.prod(data.shape[: quant.axis]))
        if before not in runs:
            return None
        axis = runs[before]
    return moved, Quantization(quant.scale, quant.zero_point, axis)


def _value(name: str, made: dict[str, Op], tensors: Tensors) -> np.ndarray | None:
    """The real value of a constant, dequantized or not."""
    t, op = tensors[name], made.get(name)
    if t.data is not None:
        return t.data
    if op is None or op.kind != "dequantize_linear":
        return None
    codes = tensors[op.inputs[0] or ""]
    p = None if codes.data is None else _params(op, tensors, codes)
    if p is None or codes.data is None:
        return None
    shift = 128 if codes.dtype == "uint8" else 0
    shape = [1] * codes.data.ndim
    if p.quant.scale.size > 1:
        shape[p.quant.axis] = -1
    steps = codes.data.astype(np.float64) - shift - p.quant.zero_point.reshape(shape)
    return np.asarray(steps * p.quant.scale.astype(np.float64).reshape(shape))
