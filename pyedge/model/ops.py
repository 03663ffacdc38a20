"""The kinds of ops: operands, attributes, the rule for shape and dtype of the result, multiply-accumulates.

| kind | inputs -> output | attributes |
|---|---|---|
| conv2d | x[N,H,W,C] w[Co,kh,kw,C/g] b[Co] or None | stride, dilation, padding, groups, activation |
| depthwise_conv2d | x w[kh,kw,Co] b or None | stride, dilation, padding, activation |
| linear | x[...,K] w[N,K] b or None -> [...,N] | activation, keep_dims |
| add | a b, NumPy broadcasting | activation |
| avg_pool2d, max_pool2d | x[N,H,W,C] | kernel, stride, padding, activation; padding never enters the window's value |
| mean | x | axes (not negative, ascending), keepdims |
| softmax | x | axis (of int8 the last one), beta |
| reshape | x | shape, one -1 allowed |
| quantize | float32 -> int8, int8 -> int8 of another scale | |
| dequantize | int8 or int16 -> float32 | |
| relu, relu6, clip | x | clip: min, max (real values, infinities for no bound) |
| any_ge | x -> bool[1]: some element >= threshold | threshold (real value) |
| if | predicate bool[1] | then, else: Graphs without inputs of their own that read outer tensors by name |

depthwise_conv2d: output channel c * m + i reads input channel c, m = Co / C. linear without keep_dims sees x as [-1,K]
and gives [rows,N], as TFLite does. Pairs are (height, width).
padding: "same" (as TFLite), "valid", or ((top, bottom), (left, right)).
activation: None, "relu", "relu6", "relu_n1_to_1". int8 ops take scales and zero points from their tensors' quant.
int16: ops_int16.py.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..errors import ModelError, ShapeError
from .graph import Graph, Op, Tensor
from .quantmath import ACTIVATION_RANGES

Shape = tuple[int | None, ...]
Pair = tuple[int, int]
Padding = str | tuple[Pair, Pair]

MAX_EXTENT = 2**30  # bytes or elements of one tensor
ANY_NUMBER = MAX_EXTENT  # of operands
_MAX_STEP = 32767  # strides, dilations, kernel sides of pools, paddings


def show(shape: Shape) -> str:
    return "[" + ", ".join("?" if d is None else str(d) for d in shape) + "]"


def misfit(op: Op, tensor: Tensor, expected: str) -> ShapeError:
    return ShapeError(
        f"{op.kind} {op.name!r}: tensor {tensor.name!r} is {tensor.dtype}{show(tensor.shape)}, expected {expected}"
    )


def _equal(a: int | None, b: int | None) -> bool:
    return a is None or b is None or a == b


# --- windows --------------------------------------------------------------------------------------------------------


def _axis_padding(padding: Padding, axis: int, n: int, k: int, s: int, d: int) -> Pair:
    if padding == "valid":
        return 0, 0
    if padding == "same":
        total = max((-(-n // s) - 1) * s + (k - 1) * d + 1 - n, 0)
        return total // 2, total - total // 2
    assert not isinstance(padding, str)  # _check_attrs
    return padding[axis]


def resolve_padding(
    padding: Padding, size: Pair, kernel: Pair, stride: Pair, dilation: Pair = (1, 1)
) -> tuple[Pair, Pair]:
    """Padding in pixels, ((top, bottom), (left, right)), of windows over an image of size (height, width).

    "same" gives ceil(size / stride) windows and puts the odd pixel at the bottom and right, as TFLite does.
    """
    h, w = (_axis_padding(padding, i, size[i], kernel[i], stride[i], dilation[i]) for i in (0, 1))
    return h, w


def _windows(op: Op, x: Tensor, kernel: Pair, dilation: Pair) -> tuple[int | None, int | None]:
    """Output height and width; None where the input's side is not known yet."""
    out: list[int | None] = []
    for axis in (0, 1):
        n, k, s, d = x.shape[1 + axis], kernel[axis], op.attrs["stride"][axis], dilation[axis]
        if n is None:
            out.append(None)
            continue
        before, after = _axis_padding(op.attrs["padding"], axis, n, k, s, d)
        reach = (k - 1) * d + 1
        if n + before + after < reach:
            raise ShapeError(
                f"{op.kind} {op.name!r}: tensor {x.name!r} {show(x.shape)} with padding {before} and {after} is "
                f"smaller than the window of {reach} (kernel {kernel}, dilation {dilation})"
            )
        out.append((n + before + after - reach) // s + 1)
    return out[0], out[1]


# --- attributes -----------------------------------------------------------------------------------------------------


def is_int(v: Any, low: int, high: int = _MAX_STEP) -> bool:
    return isinstance(v, int) and not isinstance(v, bool) and low <= v <= high


def _is_pair(v: Any, low: int) -> bool:
    return isinstance(v, tuple) and len(v) == 2 and all(is_int(e, low) for e in v)


def is_real(v: Any) -> bool:
    return isinstance(v, int | float) and not isinstance(v, bool) and not math.isnan(v)


# What an attribute may be, and in words; under "kind.name" where a kind has a rule of its own.
ATTRS: dict[str, tuple[Callable[[Any], bool], str]] = {
    "stride": (lambda v: _is_pair(v, 1), "two integers >= 1"),
    "dilation": (lambda v: _is_pair(v, 1), "two integers >= 1"),
    "kernel": (lambda v: _is_pair(v, 1), "two integers >= 1"),
    "padding": (
        lambda v: v in ("same", "valid") or (isinstance(v, tuple) and len(v) == 2 and all(_is_pair(p, 0) for p in v)),
        '"same", "valid" or ((top, bottom), (left, right))',
    ),
    "groups": (lambda v: is_int(v, 1, MAX_EXTENT), "an integer >= 1"),
    "activation": (
        lambda v: v is None or (isinstance(v, str) and v in ACTIVATION_RANGES),
        'None, "relu", "relu6" or "relu_n1_to_1"',
    ),
    "keep_dims": (lambda v: isinstance(v, bool), "a bool"),
    "keepdims": (lambda v: isinstance(v, bool), "a bool"),
    "axes": (
        lambda v: isinstance(v, tuple) and all(is_int(a, 0) for a in v) and list(v) == sorted(set(v)),
        "ascending axis numbers",
    ),
    "axis": (lambda v: is_int(v, -1), "an axis number"),
    "beta": (lambda v: is_real(v) and 0 < v < math.inf, "a number > 0"),
    "shape": (
        lambda v: isinstance(v, tuple) and all(is_int(d, -1, MAX_EXTENT) and d != 0 for d in v) and v.count(-1) <= 1,
        "sizes >= 1 with at most one -1",
    ),
    "min": (is_real, "a number"),
    "max": (is_real, "a number"),
    "threshold": (is_real, "a number"),
    "then": (lambda v: isinstance(v, Graph) and not v.input_names, "a graph without inputs"),
    "else": (lambda v: isinstance(v, Graph) and not v.input_names, "a graph without inputs"),
}


# --- shape rules: operands to (shape, dtype) of the result ----------------------------------------------------------

Operands = Sequence[Tensor | None]
Result = tuple[Shape, str]
_COMPUTED = ("float32", "int8", "int16")  # dtypes of activations


def need(op: Op, operands: Operands, i: int) -> Tensor:
    t = operands[i]
    if t is None:
        raise ShapeError(f"{op.kind} {op.name!r}: operand {i} is missing")
    return t


def _image(op: Op, operands: Operands, dtypes: Sequence[str] = _COMPUTED) -> Tensor:
    x = need(op, operands, 0)
    if len(x.shape) != 4 or x.dtype not in dtypes:
        raise misfit(op, x, f"{', '.join(dtypes[:-1])} or {dtypes[-1]} [N, H, W, C]")
    return x


def weight_dtype(x: Tensor) -> str:
    """Of the weights of a layer over x."""
    return "int8" if x.dtype == "int16" else x.dtype


def bias_dtypes(x: Tensor) -> tuple[str, ...]:
    """Of the bias of a layer over x."""
    return {"int8": ("int32",), "int16": ("int64", "int32")}.get(x.dtype, ("float32",))


def _weight(op: Op, operands: Operands, rank: int, outputs_axis: int) -> tuple[Tensor, tuple[int, ...]]:
    """The weight operand and its shape, checked together with the bias against the dtype of x."""
    x, w = need(op, operands, 0), need(op, operands, 1)
    dtype = weight_dtype(x)
    if len(w.shape) != rank or w.dtype != dtype or None in w.shape:
        raise misfit(op, w, f"{dtype} of rank {rank}")
    shape = tuple(d for d in w.shape if d is not None)
    bias = operands[2] if len(operands) > 2 else None
    if bias is not None and (bias.shape != (shape[outputs_axis],) or bias.dtype not in bias_dtypes(x)):
        dtypes = " or ".join(bias_dtypes(x))
        raise misfit(op, bias, f"{dtypes}[{shape[outputs_axis]}] for weight {w.name!r} {show(w.shape)}")
    return w, shape


def _conv2d(op: Op, operands: Operands) -> Result:
    x = _image(op, operands)
    w, (co, kh, kw, depth) = _weight(op, operands, 4, 0)
    groups, c = op.attrs["groups"], x.shape[3]
    if c is None or c != depth * groups or co % groups:
        raise ShapeError(
            f"conv2d {op.name!r}: tensor {x.name!r} {show(x.shape)} and weight {w.name!r} {show(w.shape)} "
            f"don't fit with {groups} groups"
        )
    return (x.shape[0], *_windows(op, x, (kh, kw), op.attrs["dilation"]), co), x.dtype


def _depthwise_conv2d(op: Op, operands: Operands) -> Result:
    x = _image(op, operands)
    w, (kh, kw, co) = _weight(op, operands, 3, 2)
    if x.shape[3] is None or co % x.shape[3]:
        raise ShapeError(
            f"depthwise_conv2d {op.name!r}: weight {w.name!r} {show(w.shape)} is no multiple of the channels of "
            f"tensor {x.name!r} {show(x.shape)}"
        )
    return (x.shape[0], *_windows(op, x, (kh, kw), op.attrs["dilation"]), co), x.dtype


def _linear(op: Op, operands: Operands) -> Result:
    x = need(op, operands, 0)
    if x.dtype not in _COMPUTED or not x.shape:
        raise misfit(op, x, "float32, int8 or int16 of rank 1 or more")
    w, (n, k) = _weight(op, operands, 2, 0)
    wrong = ShapeError(
        f"linear {op.name!r}: tensor {x.name!r} {show(x.shape)} does not fit weight {w.name!r} {show(w.shape)}"
    )
    if op.attrs["keep_dims"]:
        if x.shape[-1] != k:
            raise wrong
        return (*x.shape[:-1], n), x.dtype
    if None in x.shape:
        known = math.prod(d for d in x.shape if d is not None)
        if known % k and k % known:
            raise wrong
        return (None, n), x.dtype
    size = math.prod(d for d in x.shape if d is not None)
    if size % k:
        raise wrong
    return (size // k, n), x.dtype


def _add(op: Op, operands: Operands) -> Result:
    a, b = need(op, operands, 0), need(op, operands, 1)
    if a.dtype != b.dtype or a.dtype not in ("float32", "int8"):
        raise misfit(op, b, f"{a.dtype} as tensor {a.name!r}, float32 or int8")
    rank = max(len(a.shape), len(b.shape))
    shape: list[int | None] = []
    for p, q in zip((1,) * (rank - len(a.shape)) + a.shape, (1,) * (rank - len(b.shape)) + b.shape, strict=True):
        if not (_equal(p, q) or p == 1 or q == 1):
            raise ShapeError(
                f"add {op.name!r}: tensors {a.name!r} {show(a.shape)} and {b.name!r} {show(b.shape)} don't broadcast"
            )
        shape.append(q if p == 1 or (p is None and q != 1) else p)
    return tuple(shape), a.dtype


def _pool2d(op: Op, operands: Operands) -> Result:
    x = _image(op, operands, ("float16", *_COMPUTED))
    kernel, padding = op.attrs["kernel"], op.attrs["padding"]
    if not isinstance(padding, str) and any(max(p) >= k for p, k in zip(padding, kernel, strict=True)):
        raise ShapeError(f"{op.kind} {op.name!r}: padding {padding} leaves windows of kernel {kernel} empty")
    return (x.shape[0], *_windows(op, x, kernel, (1, 1)), x.shape[3]), x.dtype


def _mean(op: Op, operands: Operands) -> Result:
    x = need(op, operands, 0)
    axes = op.attrs["axes"]
    if x.dtype not in ("float16", *_COMPUTED) or any(a >= len(x.shape) for a in axes):
        raise misfit(op, x, f"float16, float32, int8 or int16 with axes {list(axes)}")
    if op.attrs["keepdims"]:
        return tuple(1 if i in axes else d for i, d in enumerate(x.shape)), x.dtype
    return tuple(d for i, d in enumerate(x.shape) if i not in axes), x.dtype


def _softmax(op: Op, operands: Operands) -> Result:
    x = need(op, operands, 0)
    last, axis = len(x.shape) - 1, op.attrs["axis"]
    if x.dtype in ("int8", "int16") and axis not in (-1, last):
        raise misfit(op, x, f"{x.dtype} whose last axis is {axis}")
    if x.dtype not in (*_COMPUTED, "float16", "bfloat16") or not -1 <= axis <= last or not x.shape:
        raise misfit(op, x, f"int8, int16 or a float of at most 32 bits with an axis {axis}")
    return x.shape, x.dtype


def _reshape(op: Op, operands: Operands) -> Result:
    x = need(op, operands, 0)
    target: Shape = op.attrs["shape"]
    if None in x.shape:
        return tuple(None if d == -1 else d for d in target), x.dtype
    size = math.prod(d for d in x.shape if d is not None)
    rest = math.prod(d for d in target if d is not None and d != -1)
    if size % rest or (-1 not in target and size != rest):
        raise ShapeError(f"reshape {op.name!r}: tensor {x.name!r} {show(x.shape)} does not fit {list(target)}")
    return tuple(size // rest if d == -1 else d for d in target), x.dtype


def _elementwise(dtypes: tuple[str, ...], result: str | None = None) -> Callable[[Op, Operands], Result]:
    def rule(op: Op, operands: Operands) -> Result:
        x = need(op, operands, 0)
        if x.dtype not in dtypes:
            raise misfit(op, x, " or ".join(dtypes))
        return x.shape, result or x.dtype

    return rule


def _any_ge(op: Op, operands: Operands) -> Result:
    x = need(op, operands, 0)
    if x.dtype not in ("float32", "int8"):
        raise misfit(op, x, "float32 or int8")
    return (1,), "bool"


# --- multiply-accumulates: operands and the result's shape to a count --------------------------------------------


def _size(shape: Shape) -> int:
    if None in shape:
        raise ShapeError(f"shape {show(shape)} has open sizes; fix them first (compile(batch=...) or infer_shapes)")
    return math.prod(d for d in shape if d is not None)


def _conv2d_macs(operands: Operands, y: Shape) -> int:
    return _size(y) * _size(operands[1].shape[1:]) if operands[1] is not None else 0


def _depthwise_macs(operands: Operands, y: Shape) -> int:
    return _size(y) * _size(operands[1].shape[:2]) if operands[1] is not None else 0


def _no_macs(operands: Operands, y: Shape) -> int:
    return 0


@dataclass(frozen=True)
class Kind:
    """What is true of every op of a kind. optional: numbers of the operands that may be None or left out."""

    operands: int  # at most; ANY_NUMBER: one or more, none of them optional
    attrs: tuple[str, ...]
    infer: Callable[[Op, Operands], Result | list[Result]] | None  # None: "if", whose results come from its graphs
    optional: tuple[int, ...] = ()
    macs: Callable[[Operands, Shape], int] = _no_macs


_FLOAT_OR_INT8 = ("float32", "int8")
_CONV = ("stride", "dilation", "padding")

KINDS: dict[str, Kind] = {
    "conv2d": Kind(3, (*_CONV, "groups", "activation"), _conv2d, (2,), _conv2d_macs),
    "depthwise_conv2d": Kind(3, (*_CONV, "activation"), _depthwise_conv2d, (2,), _depthwise_macs),
    "linear": Kind(3, ("activation", "keep_dims"), _linear, (2,), _conv2d_macs),
    "add": Kind(2, ("activation",), _add),
    "avg_pool2d": Kind(1, ("kernel", "stride", "padding", "activation"), _pool2d),
    "max_pool2d": Kind(1, ("kernel", "stride", "padding", "activation"), _pool2d),
    "mean": Kind(1, ("axes", "keepdims"), _mean),
    "softmax": Kind(1, ("axis", "beta"), _softmax),
    "reshape": Kind(1, ("shape",), _reshape),
    "quantize": Kind(1, (), _elementwise(_FLOAT_OR_INT8, "int8")),
    "dequantize": Kind(1, (), _elementwise(("int8", "int16"), "float32")),
    "relu": Kind(1, (), _elementwise(_FLOAT_OR_INT8)),
    "relu6": Kind(1, (), _elementwise(_FLOAT_OR_INT8)),
    "clip": Kind(1, ("min", "max"), _elementwise(_FLOAT_OR_INT8)),
    "any_ge": Kind(1, ("threshold",), _any_ge),
    "if": Kind(1, ("then", "else"), None),
}


def _kind(op: Op) -> Kind:
    kind = KINDS.get(op.kind)
    if kind is None:
        raise ModelError(f"op {op.name!r}: unknown kind {op.kind!r}; known: {', '.join(KINDS)}")
    return kind


def _check_attrs(op: Op, kind: Kind) -> None:
    if set(op.attrs) != set(kind.attrs):
        raise ModelError(f"{op.kind} {op.name!r}: attributes {sorted(op.attrs)}, expected {sorted(kind.attrs)}")
    for name in kind.attrs:
        valid, expected = ATTRS.get(f"{op.kind}.{name}") or ATTRS[name]
        if not valid(op.attrs[name]):
            raise ModelError(f"{op.kind} {op.name!r}: {name} is {op.attrs[name]!r}, expected {expected}")


def infer_op(op: Op, operands: Operands) -> list[Result]:
    """Shape and dtype of each result of any op but "if"; operands in the op's order, None where absent.

    Raises:
        ShapeError: Operands that don't fit; names the op, the tensors and their shapes.
        ModelError: An unknown kind, wrong number of operands or a bad attribute.
    """
    kind = _kind(op)
    _check_attrs(op, kind)
    required = 1 if kind.operands == ANY_NUMBER else kind.operands - len(kind.optional)
    if not required <= len(operands) <= kind.operands or kind.infer is None:
        raise ModelError(
            f"{op.kind} {op.name!r}: {len(operands)} operands, expected "
            f"{required}{'' if required == kind.operands else f' to {kind.operands}'}"
        )
    inferred = kind.infer(op, operands)
    results = inferred if isinstance(inferred, list) else [inferred]
    if len(op.outputs) != len(results):
        raise ModelError(f"{op.kind} {op.name!r}: {len(op.outputs)} results, expected {len(results)}")
    for shape, _ in results:
        if math.prod(d or 1 for d in shape) > MAX_EXTENT:
            raise ShapeError(f"{op.kind} {op.name!r}: the result {show(shape)} has more than 2^30 elements")
    return results


def op_macs(op: Op, tensors: Mapping[str, Tensor]) -> int:
    """Multiply-accumulates of one op: convolutions and linear; of an "if" the dearer branch. Shapes must be fixed."""
    if op.kind == "if":
        return max(graph_macs(op.attrs[branch], tensors) for branch in ("then", "else"))
    operands = [None if n is None else tensors[n] for n in op.inputs]
    return _kind(op).macs(operands, tensors[op.outputs[0]].shape)


def graph_macs(graph: Graph, outer: Mapping[str, Tensor] | None = None) -> int:
    """Multiply-accumulates of one run of a graph whose shapes are fixed."""
    tensors = {**(outer or {}), **graph.tensors}
    return sum(op_macs(op, tensors) for op in graph.ops)


def infer_shapes(graph: Graph, input_shapes: Mapping[str, Sequence[int | None]] | None = None) -> Graph:
    """A copy of graph with the shape and dtype of every op's result worked out from the inputs.

    Args:
        input_shapes: Shapes for some inputs, by name; they may fill in the open sizes (None), not change fixed ones.

    Raises:
        ShapeError: A shape that contradicts the graph's, or operands that don't fit; names tensor, op and both shapes.
        ModelError: An op that reads a tensor that no earlier op, input or constant gives; unknown kinds or attributes.
    """
    graph = graph.copy()
    for name, shape in (input_shapes or {}).items():
        if name not in graph.input_names:
            raise ShapeError(f"graph {graph.name!r} has no input {name!r}; its inputs: {', '.join(graph.input_names)}")
        given, tensor = tuple(shape), graph.tensors[name]
        if len(given) != len(tensor.shape) or not all(
            _equal(g, d) and (g is None or is_int(g, 1, MAX_EXTENT)) for g, d in zip(given, tensor.shape, strict=True)
        ):
            raise ShapeError(f"tensor {name!r}: shape {show(given)} given, the model has {show(tensor.shape)}")
        tensor.shape = tuple(d if g is None else g for g, d in zip(given, tensor.shape, strict=True))
    _infer(graph, {})
    return graph


def _infer(graph: Graph, outer: Mapping[str, Tensor]) -> None:
    """Works out results in place, in the order of the ops; outer: tensors that an inner graph may read."""
    ready: dict[str, Tensor] = dict(outer)
    ready.update((n, graph.tensors[n]) for n in graph.input_names)
    for state in graph.states:
        t = graph.tensors.get(state.name)
        if t is None or t.data is not None or graph.source_names.count(t.name) > 1:
            what = "no tensor" if t is None else "a constant" if t.data is not None else "an input or a state already"
            raise ModelError(f"graph {graph.name!r}: state {state.name!r} is {what}")
        ready[t.name] = t
    ready.update((n, t) for n, t in graph.tensors.items() if t.data is not None)
    for op in graph.ops:
        missing = [n for n in op.inputs if n is not None and n not in ready]
        if missing:
            raise ModelError(f"{op.kind} {op.name!r} reads tensor {missing[0]!r}, which nothing before it gives")
        if op.kind == "if":
            results = _infer_if(op, ready)
        else:
            results = infer_op(op, [None if n is None else ready[n] for n in op.inputs])
        for name, (shape, dtype) in zip(op.outputs, results, strict=True):
            if name in ready or name not in graph.tensors:
                problem = "is given twice" if name in ready else "is not among the graph's tensors"
                raise ModelError(f"{op.kind} {op.name!r}: its result {name!r} {problem}")
            tensor = graph.tensors[name]
            if tensor.dtype != dtype:
                raise ShapeError(f"{op.kind} {op.name!r}: tensor {name!r} is {tensor.dtype}, the op gives {dtype}")
            tensor.shape = shape
            ready[name] = tensor
    for name in graph.result_names:
        if name not in ready:
            what = "output" if name in graph.output_names else "next value of a state"
            raise ModelError(f"graph {graph.name!r}: {what} {name!r} is given by no op")


def _infer_if(op: Op, ready: Mapping[str, Tensor]) -> list[Result]:
    _check_attrs(op, _kind(op))
    predicate = ready.get(op.inputs[0] or "") if len(op.inputs) == 1 else None
    if predicate is None or predicate.dtype != "bool" or predicate.shape != (1,):
        raise ShapeError(f"if {op.name!r}: needs one predicate, bool[1]")
    branches: list[list[Result]] = []
    for branch in ("then", "else"):
        inner = op.attrs[branch] = op.attrs[branch].copy()
        _infer(inner, ready)
        visible = {**ready, **inner.tensors}
        branches.append([(visible[n].shape, visible[n].dtype) for n in inner.output_names])
    if branches[0] != branches[1] or len(branches[0]) != len(op.outputs):
        text = [", ".join(f"{dtype}{show(shape)}" for shape, dtype in b) for b in branches]
        raise ShapeError(f"if {op.name!r}: its branches give ({text[0]}) and ({text[1]}) for {len(op.outputs)} results")
    return branches[0]
