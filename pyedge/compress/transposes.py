"""Layout: transposes move towards the outputs until they meet their inverse."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from ..model.graph import Graph, Op, Quantization, Tensor
from ..model.ops import infer_op
from .dead import remove_dead
from .identity import remove_identities
from .rewrite import Tensors, add_constant, everywhere, makers, readers, unused

Perm = tuple[int, ...]

# Results element by element: operands broadcast.
_ELEMENTWISE = frozenset(
    """abs neg exp log sqrt rsqrt reciprocal sin cos tan asin acos atan sinh cosh asinh acosh atanh erf
    sigmoid tanh floor ceil round sign not is_nan is_inf softplus softsign square bitwise_not elu selu
    celu leaky_relu hard_sigmoid hard_swish mish gelu thresholded_relu swish relu relu6 identity clip
    cast quantize dequantize add sub mul div pow mod min max prelu squared_difference floor_div atan2
    and or xor bitwise_and bitwise_or bitwise_xor shift equal greater greater_equal less less_equal
    not_equal where""".split()  # noqa: SIM905
)
_REDUCTIONS = frozenset(
    """mean reduce_sum reduce_mean reduce_max reduce_min reduce_prod reduce_l1 reduce_l2 reduce_log_sum
    reduce_log_sum_exp reduce_sum_square""".split()  # noqa: SIM905
)


def eliminate_transposes(graph: Graph) -> Graph:
    """Return a copy of graph in which transposes cancel, merge, become reshapes where only axes of size 1 move, or
    have moved behind elementwise ops, concat, pad, slice and reductions, whose axes and constants follow.

    A transpose in front of reshape and linear goes into the weight. So a network whose convolutions came with a
    transpose before and after them (ONNX, NCHW) has transposes left at its inputs and outputs only.
    """
    for _ in range(len(graph.ops) + 8):  # each round moves every transpose by one op at least
        before = len(graph.ops), sum(op.kind == "transpose" for op in graph.ops), [op.name for op in graph.ops]
        graph = remove_identities(remove_dead(everywhere(graph, _round)))
        if before == (len(graph.ops), sum(op.kind == "transpose" for op in graph.ops), [op.name for op in graph.ops]):
            break
    return graph


def _round(graph: Graph, outer: Tensors) -> None:
    for op in list(graph.ops):
        tensors = {**outer, **graph.tensors}
        made = makers(graph)
        if op.kind == "transpose":
            _merge(op, made, tensors)
        elif op.kind == "reshape":
            _reshape(graph, op, made, tensors)
        elif op.kind == "linear":
            _linear(graph, op, made, tensors)
        elif not _behind_reshape(graph, op, made, tensors):
            _sink(graph, op, made, tensors)


def _shape(t: Tensor) -> list[int]:
    return [d for d in t.shape if d is not None]


def _merge(op: Op, made: dict[str, Op], tensors: Tensors) -> None:
    """A transpose of a transpose is one; one that only moves axes of size 1 is a reshape."""
    before = made.get(op.inputs[0] or "")
    if before is not None and before.kind == "transpose":
        op.attrs["perm"] = tuple(before.attrs["perm"][p] for p in op.attrs["perm"])
        op.inputs = list(before.inputs)
    x = tensors[op.inputs[0] or ""]
    moved = [p for p in op.attrs["perm"] if x.shape[p] != 1]
    if None not in x.shape and moved == sorted(moved) and list(op.attrs["perm"]) != sorted(op.attrs["perm"]):
        op.kind, op.attrs = "reshape", {"shape": tuple(_shape(tensors[op.outputs[0]]))}


def _reshape(graph: Graph, op: Op, made: dict[str, Op], tensors: Tensors) -> None:
    """reshape(transpose(x)) is transpose(reshape(x)) where the reshape only splits off or joins axes of size 1."""
    before = made.get(op.inputs[0] or "")
    if before is None or before.kind != "transpose":
        return
    x, y = tensors[before.inputs[0] or ""], tensors[op.outputs[0]]
    perm: Perm = before.attrs["perm"]
    if None in x.shape or None in y.shape:
        return
    wide = [p for p in perm if x.shape[p] != 1]
    large = [i for i, d in enumerate(y.shape) if d != 1]
    if [x.shape[p] for p in wide] != [y.shape[i] for i in large]:
        return
    # Axes of y that are not 1, in the order in which x has them; the rest stays where it is.
    order = sorted(range(len(wide)), key=lambda i: wide[i])
    if order == list(range(len(wide))):
        return
    new_perm, shape = list(range(len(y.shape))), _shape(y)
    for place, source in zip(large, order, strict=True):
        shape[place] = _shape(y)[large[source]]
        new_perm[large[source]] = place
    _put(graph, op, "reshape", [before.inputs[0]], {"shape": tuple(shape)}, tuple(new_perm), shape, tensors)


def _behind_reshape(graph: Graph, op: Op, made: dict[str, Op], tensors: Tensors) -> bool:
    """op(reshape(x), ...) is reshape(op(x, ...)), so that activations reach the op that they belong to."""
    found = [made.get(n or "") for n in op.inputs]
    sources = [tensors[b.inputs[0] or ""] for b in found if b is not None and b.kind == "reshape"]
    if op.kind not in _ELEMENTWISE or not sources or None in sources[0].shape or len(op.outputs) != 1:
        return False
    shape, y = sources[0].shape, _shape(tensors[op.outputs[0]])
    inputs: list[str | None] = []
    for name, before in zip(op.inputs, found, strict=True):
        t = None if name is None else tensors[name]
        if t is None:
            inputs.append(name)
        elif before is not None and before.kind == "reshape":
            if tensors[before.inputs[0] or ""].shape != shape or _shape(t) != y:
                return False
            inputs.append(_source(before, t, tensors))
        elif math.prod(_shape(t)) == 1 and len(t.shape) <= len(shape):
            inputs.append(name)
        else:
            dims = _unreshaped(_shape(t), y, _shape(sources[0])) if t.data is not None and t.quant is None else None
            if t.data is None or dims is None:
                return False
            inputs.append(add_constant(graph, f"{name}:moved", t.data.reshape(dims)))
    _put(graph, op, op.kind, inputs, dict(op.attrs), None, _shape(sources[0]), tensors)
    return True


def _source(op: Op, result: Tensor, tensors: Tensors) -> str | None:
    """What a transpose or reshape moves. Its codes mean what those of its result mean."""
    source = tensors[op.inputs[0] or ""]
    if source.quant is None and result.quant is not None and result.quant.scale.size == 1:
        source.quant = result.quant
    return source.name


def _unreshaped(dims: Sequence[int], y: Sequence[int], shape: Sequence[int]) -> list[int] | None:
    """The dims of an operand that broadcasts to y, if the reshape of y to shape only drops or adds 1s."""
    wide, large = [i for i, d in enumerate(y) if d != 1], [i for i, d in enumerate(shape) if d != 1]
    if [y[i] for i in wide] != [shape[i] for i in large] or len(dims) > len(y):
        return None
    padded, result = [1] * (len(y) - len(dims)) + list(dims), [1] * len(shape)
    for i, k in zip(wide, large, strict=True):
        result[k] = padded[i]
    return result


def _linear(graph: Graph, op: Op, made: dict[str, Op], tensors: Tensors) -> None:
    """linear(reshape(transpose(x)), w): the columns of w are in the order of x."""
    flat = made.get(op.inputs[0] or "")
    before = made.get(flat.inputs[0] or "") if flat is not None and flat.kind == "reshape" else None
    w = tensors[op.inputs[1] or ""]
    if flat is None or before is None or before.kind != "transpose" or w.data is None:
        return
    x, y, perm = tensors[before.inputs[0] or ""], tensors[flat.outputs[0]], before.attrs["perm"]
    if perm[0] != 0 or None in x.shape or tuple(y.shape) != (x.shape[0], math.prod(_shape(x)[1:])):
        return
    if w.quant is not None and w.quant.scale.size > 1 and w.quant.axis != 0:
        return
    across = [_shape(x)[p] for p in perm[1:]]
    inverse = [0] + [list(perm).index(i) for i in range(1, len(perm))]
    columns = w.data.reshape(w.data.shape[0], *across).transpose(inverse).reshape(w.data.shape)
    op.inputs[1] = add_constant(graph, f"{w.name}:nhwc", columns, w.quant)
    name = unused(tensors, f"{flat.outputs[0]}:nhwc")
    graph.add_tensor(Tensor(name, y.shape, y.dtype, quant=y.quant))
    graph.ops.insert(graph.ops.index(op), Op("reshape", name, [x.name], [name], dict(flat.attrs)))
    op.inputs[0] = name


def _sink(graph: Graph, op: Op, made: dict[str, Op], tensors: Tensors) -> None:
    """Moves the transposes in front of an op behind it."""
    found = [made.get(n or "") for n in op.inputs]
    perms = {before.attrs["perm"] for before in found if before is not None and before.kind == "transpose"}
    if len(perms) != 1 or len(op.outputs) != 1:
        return
    perm: Perm = perms.pop()
    if op.kind in _ELEMENTWISE or op.kind == "concat":
        inputs = _operands(graph, op, found, perm, tensors, broadcast=op.kind != "concat")
        if inputs is None:
            return
        attrs = dict(op.attrs)
        if op.kind == "concat":
            attrs["axis"] = perm[attrs["axis"]]
        result = perm
    else:
        first = found[0]
        remapped = _remapped(op, perm)
        if remapped is None or first is None or first.kind != "transpose":
            return
        inputs = [first.inputs[0], *op.inputs[1:]]
        attrs, result = remapped
    y = _shape(tensors[op.outputs[0]])
    shape = [0] * len(y)
    for i, p in enumerate(result):
        shape[p] = y[i]
    _put(graph, op, op.kind, inputs, attrs, result, shape, tensors)


def _operands(
    graph: Graph, op: Op, found: Sequence[Op | None], perm: Perm, tensors: Tensors, broadcast: bool
) -> list[str | None] | None:
    """Operands of an op in the layout before the transpose; None where one cannot be had there."""
    rank, inverse = len(perm), tuple(int(i) for i in np.argsort(perm))
    made: list[str | None] = []
    for name, before in zip(op.inputs, found, strict=True):
        if name is None:
            made.append(None)
            continue
        t = tensors[name]
        if before is not None and before.kind == "transpose":
            made.append(_source(before, t, tensors))
        elif broadcast and math.prod(_shape(t)) == 1 and len(t.shape) <= rank:
            made.append(name)
        elif t.data is not None and len(t.shape) <= rank and (t.quant is None or t.quant.scale.size == 1):
            value = t.data.reshape((1,) * (rank - t.data.ndim) + t.data.shape).transpose(inverse)
            made.append(add_constant(graph, f"{name}:nhwc", value, t.quant))
        else:
            return None
    return made


def _remapped(op: Op, perm: Perm) -> tuple[dict[str, object], Perm] | None:
    """The attributes of an op with one moved operand, on that operand, and the transpose of its result."""
    a = dict(op.attrs)
    if op.kind in _REDUCTIONS:
        axes = a["axes"]
        a["axes"] = tuple(sorted(perm[i] for i in axes))
        if a["keepdims"]:
            return a, perm
        left = [perm[i] for i in range(len(perm)) if i not in axes]
        return a, tuple(sorted(left).index(p) for p in left)
    if op.kind == "pad":
        pads = [(0, 0)] * len(perm)
        for i, p in enumerate(perm):
            pads[p] = tuple(a["pads"][i])
        a["pads"] = tuple(pads)
        return a, perm
    if op.kind == "slice" and "axes" in a:
        a["axes"] = tuple(perm[i] for i in a["axes"])
        return a, perm
    if op.kind in ("softmax", "log_softmax"):
        axis = perm[a["axis"] % len(perm)]
        if axis != len(perm) - 1:
            return None
        a["axis"] = -1
        return a, perm
    return None


def _put(
    graph: Graph, op: Op, kind: str, inputs: Sequence[str | None], attrs: dict[str, object], perm: Perm | None,
    shape: Sequence[int], tensors: Tensors,
) -> None:  # fmt: skip
    """Replaces op by one in another layout, and a transpose (reshape, if perm is None) that gives the old result."""
    y = graph.tensors[op.outputs[0]]
    known = {**tensors, **graph.tensors}
    name = unused(known, f"{y.name}:nhwc")
    quant = y.quant
    if quant is not None and quant.scale.size > 1 and perm is not None:
        quant = Quantization(quant.scale, quant.zero_point, perm[quant.axis])
    new = Op(kind, op.name, list(inputs), [name], attrs)
    found, dtype = infer_op(new, [None if n is None else known[n] for n in inputs])[0]
    assert list(found) == list(shape), (op, found, shape)
    graph.add_tensor(Tensor(name, found, dtype, quant=quant))
    place = graph.ops.index(op)
    kind, back = ("reshape", {"shape": y.shape}) if perm is None else ("transpose", {"perm": tuple(perm)})
    graph.ops[place : place + 1] = [new, Op(kind, y.name, [name], [y.name], back)]


def count_transposes(graph: Graph) -> int:
    """Transposes between ops: neither of an input nor for an output, reshaped or not."""
    made, read = makers(graph), readers(graph)

    def from_input(name: str | None) -> bool:
        op = made.get(name or "")
        return op is None or (op.kind == "reshape" and from_input(op.inputs[0]))

    def to_output(name: str) -> bool:
        followers = [op for op in graph.ops if name in op.inputs]
        return read[name] == 0 or name in graph.result_names or all(
            op.kind == "reshape" and to_output(op.outputs[0]) for op in followers
        )  # fmt: skip

    return sum(
        op.kind == "transpose" and not from_input(op.inputs[0]) and not to_output(op.outputs[0]) for op in graph.ops
    )
