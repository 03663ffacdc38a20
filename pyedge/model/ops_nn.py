"""Kinds of ops beyond those of ops.py: matrix products, convolutions and pools of any rank, recurrent cells.

| kind | inputs -> output | attributes |
|---|---|---|
| matmul | a[..,M,K] b[..,K,N], as numpy.matmul | transpose_a, transpose_b (a is [..,K,M], b [..,N,K]), activation |
| einsum | 1 to 3 operands of one dtype | equation, as numpy.einsum's |
| matmul_integer | a b a_zero or None, b_zero or None -> int32 | |
| qlinear_matmul | a scale zero b scale zero y_scale y_zero -> y_zero's dtype | |
| conv | x[N,D..,C] w[Co,k..,C/g] b[Co] or None, 1 to 4 axes | strides, dilations, pads, groups, activation |
| conv_integer | x w x_zero or None, w_zero or None -> int32 | strides, dilations, pads, groups |
| qlinear_conv | x scale zero w scale zero y_scale y_zero bias[Co] or None | strides, dilations, pads, groups |
| conv_transpose | x[N,D..,C] w[Co,k..,C/g] b[Co] or None | and output_padding; pads are cut off from the result |
| deform_conv | x[N,H,W,C] w[Co,kh,kw,C/g] offset b or None, mask or None | as conv_integer, and offset_groups |
| avg_pool | x[N,D..,C] | kernels, strides, dilations, pads, ceil_mode, count_include_pad |
| lp_pool | x | kernels, strides, dilations, pads, ceil_mode, exponent |
| max_pool | x -> y, with indices also int64 | kernels, strides, dilations, pads, ceil_mode, indices, column_major |
| max_unpool | x indices | shape |
| log_softmax, hardmax | x | axis |
| rnn, gru, lstm | x w r b lengths h0, lstm: c0 peepholes -> y h, lstm: c | ONNX's, in _RNN below |

matmul_integer and its like take int8 or uint8, each operand by itself; zero points, and scales, floats up to 32 bits,
have one element, or one a row of a, a column of b, an output channel. kernels, strides, dilations: an integer an axis;
pads: (before, after) an axis.
deform_conv: offset[N,Ho,Wo,G*kh*kw*2] (rows, columns) and mask[N,Ho,Wo,G*kh*kw] of G offset_groups of channels.
indices of max_pool count as if x were [N,C,D..], in rows, or with column_major with the first axis fastest.
rnn, gru, lstm: x[T,B,I] w[D,G*H,I] r[D,G*H,H] b[D,2*G*H] lengths int32[B] h0 c0[D,B,H] peepholes[D,3*H] -> y[T,D,B,H]
h c[D,B,H]; D is 2 for "bidirectional", else 1; gates in ONNX's order; batch_first swaps as ONNX's layout = 1 does.
"""

from __future__ import annotations

import math
from typing import Any

from ..errors import ModelError, ShapeError
from .check import CODES_ONLY
from .graph import Op, Tensor
from .ops import (
    ATTRS,
    KINDS,
    MAX_EXTENT,
    Kind,
    Operands,
    Result,
    Shape,
    bias_dtypes,
    is_int,
    is_real,
    misfit,
    need,
    show,
    weight_dtype,
)

RNN_ACTIVATIONS = (
    *("sigmoid", "tanh", "relu", "affine", "leaky_relu", "thresholded_relu", "scaled_tanh", "hard_sigmoid", "elu"),
    *("softsign", "softplus"),
)
RNN_GATES = {"rnn": 1, "gru": 3, "lstm": 4}
RNN_DIRECTIONS = ("forward", "reverse", "bidirectional")
_CODES = ("int8", "uint8")
_FLOATS = ("float32", "float16", "bfloat16")


def _is_steps(v: Any) -> bool:
    return isinstance(v, tuple) and 1 <= len(v) <= 4 and all(is_int(e, 1) for e in v)


def _is_pads(v: Any) -> bool:
    return isinstance(v, tuple) and all(
        isinstance(p, tuple) and len(p) == 2 and all(is_int(e, 0) for e in p) for p in v
    )


def _is_bool(v: Any) -> bool:
    return isinstance(v, bool)


def _is_reals(v: Any) -> bool:
    return isinstance(v, tuple) and all(is_real(e) for e in v)


ATTRS.update(
    {
        "transpose_a": (_is_bool, "a bool"),
        "transpose_b": (_is_bool, "a bool"),
        "equation": (lambda v: isinstance(v, str), "an equation such as ij,jk->ik"),
        "kernels": (_is_steps, "1 to 4 integers >= 1"),
        "strides": (_is_steps, "1 to 4 integers >= 1"),
        "dilations": (_is_steps, "1 to 4 integers >= 1"),
        "pads": (_is_pads, "a pair (before, after) of integers >= 0 for each axis"),
        "output_padding": (
            lambda v: isinstance(v, tuple) and all(is_int(e, 0) for e in v),
            "an integer >= 0 for each axis",
        ),
        "offset_groups": (lambda v: is_int(v, 1, MAX_EXTENT), "an integer >= 1"),
        "ceil_mode": (_is_bool, "a bool"),
        "count_include_pad": (_is_bool, "a bool"),
        "exponent": (lambda v: is_int(v, 1, 64), "an integer 1 .. 64"),
        "indices": (_is_bool, "a bool"),
        "column_major": (_is_bool, "a bool"),
        "direction": (lambda v: v in RNN_DIRECTIONS, " or ".join(RNN_DIRECTIONS)),
        "activations": (
            lambda v: isinstance(v, tuple) and all(a in RNN_ACTIVATIONS for a in v),
            "names among " + ", ".join(RNN_ACTIVATIONS),
        ),
        "alphas": (_is_reals, "numbers"),
        "betas": (_is_reals, "numbers"),
        "clip": (lambda v: is_real(v) and v > 0, "a number > 0, infinity for none"),
        "linear_before_reset": (_is_bool, "a bool"),
        "input_forget": (_is_bool, "a bool"),
        "batch_first": (_is_bool, "a bool"),
    }
)

# --- matrix products ------------------------------------------------------------------------------------------------


def _matmul_shape(op: Op, a: Tensor, b: Tensor, transpose_a: bool = False, transpose_b: bool = False) -> Shape:
    """The shape of numpy.matmul, the last two axes of each swapped where asked for."""
    sa, sb = list(a.shape), list(b.shape)
    error = ShapeError(
        f"{op.kind} {op.name!r}: tensors {a.name!r} {show(a.shape)} and {b.name!r} {show(b.shape)} don't fit"
    )
    if not sa or not sb or (transpose_a and len(sa) < 2) or (transpose_b and len(sb) < 2):
        raise error
    if transpose_a:
        sa[-2:] = sa[:-3:-1]
    if transpose_b:
        sb[-2:] = sb[:-3:-1]
    rows, columns = ([] if len(sa) == 1 else [sa[-2]]), ([] if len(sb) == 1 else [sb[-1]])
    k = sa[-1], sb[0] if len(sb) == 1 else sb[-2]
    if None not in k and k[0] != k[1]:
        raise error
    batch_a, batch_b = sa[:-2], sb[:-2]
    rank = max(len(batch_a), len(batch_b))
    batch: list[int | None] = []
    for p, q in zip([1] * (rank - len(batch_a)) + batch_a, [1] * (rank - len(batch_b)) + batch_b, strict=True):
        if p is not None and q is not None and p != q and 1 not in (p, q):
            raise error
        batch.append(q if p == 1 or (p is None and q != 1) else p)
    return (*batch, *rows, *columns)


def _matmul(op: Op, operands: Operands) -> Result:
    a, b = need(op, operands, 0), need(op, operands, 1)
    if a.dtype != b.dtype or a.dtype == "bool":
        raise misfit(op, b, f"{a.dtype} as tensor {a.name!r}, and not bool")
    return _matmul_shape(op, a, b, op.attrs["transpose_a"], op.attrs["transpose_b"]), a.dtype


def _matmul_macs(operands: Operands, y: Shape) -> int:
    a = operands[0]
    return math.prod(d or 0 for d in y) * (a.shape[-1] or 0) if a is not None else 0


def parse_equation(equation: str, ranks: list[int]) -> tuple[list[list[str]], list[str]]:
    """The labels of each operand and of the result of an einsum; those of "..." are digits.

    Raises:
        ModelError: An equation that doesn't fit the operands' ranks.
    """
    left, arrow, right = equation.replace(" ", "").partition("->")
    terms = left.split(",")
    if len(terms) != len(ranks):
        raise ModelError(f"einsum {equation!r} has {len(terms)} operands, {len(ranks)} are given")

    def expand(term: str, extra: int) -> list[str]:
        head, dots, tail = term.partition("...")
        labels = [*head, *(str(9 - i) for i in range(extra - 1, -1, -1)), *tail] if dots else [*head]
        if not all(c.isalpha() or c.isdigit() for c in labels):
            raise ModelError(f"einsum {equation!r}: {term!r} is no list of labels")
        return labels

    extras = [rank - len(term.replace("...", "")) for term, rank in zip(terms, ranks, strict=True)]
    for term, extra in zip(terms, extras, strict=True):
        if extra < 0 or (extra > 0 and "..." not in term):
            raise ModelError(f"einsum {equation!r}: {term!r} does not fit an operand of {ranks} axes")
    operands = [expand(term, extra) for term, extra in zip(terms, extras, strict=True)]
    widest = max((e for t, e in zip(terms, extras, strict=True) if "..." in t), default=0)
    if arrow:
        result = expand(right, widest)
    else:  # labels that occur once, in alphabetical order, after those of "..."
        counts = [label for term in operands for label in term]
        once = sorted(label for label in set(counts) if label.isalpha() and counts.count(label) == 1)
        result = [*(str(9 - i) for i in range(widest - 1, -1, -1)), *once]
    known = {label for term in operands for label in term}
    if len(set(result)) != len(result) or not set(result) <= known:
        raise ModelError(f"einsum {equation!r}: the result repeats a label or has one that no operand has")
    return operands, result


def label_sizes(op: Op, operands: Operands) -> tuple[list[list[str]], list[str], dict[str, int]]:
    """As parse_equation, with the size of each label; sizes of 1 are stretched."""
    tensors = [need(op, operands, i) for i in range(len(operands))]
    terms, result = parse_equation(op.attrs["equation"], [len(t.shape) for t in tensors])
    sizes: dict[str, int] = {}
    for tensor, labels in zip(tensors, terms, strict=True):
        for label, size in zip(labels, tensor.shape, strict=True):
            if size is None:
                raise ShapeError(f"einsum {op.name!r}: tensor {tensor.name!r} {show(tensor.shape)} has open sizes")
            if sizes.setdefault(label, size) == 1:
                sizes[label] = size
            if size not in (1, sizes[label]):
                raise ShapeError(f"einsum {op.name!r}: label {label!r} is {sizes[label]} and {size}")
    return terms, result, sizes


def _einsum(op: Op, operands: Operands) -> Result:
    if len(operands) > 3:
        raise ModelError(f"einsum {op.name!r}: {len(operands)} operands, at most 3 are possible")
    x = need(op, operands, 0)
    for i in range(1, len(operands)):
        if need(op, operands, i).dtype != x.dtype:
            raise misfit(op, need(op, operands, i), f"{x.dtype} as tensor {x.name!r}")
    _, result, sizes = label_sizes(op, operands)
    return tuple(sizes[label] for label in result), x.dtype


def _codes(op: Op, operands: Operands, *numbers: int) -> None:
    for i in numbers:
        if need(op, operands, i).dtype not in _CODES:
            raise misfit(op, need(op, operands, i), "int8 or uint8")


def _zero(op: Op, operands: Operands, i: int, of: int) -> None:
    zero = operands[i] if i < len(operands) else None
    if zero is not None and zero.dtype != need(op, operands, of).dtype:
        raise misfit(op, zero, f"{need(op, operands, of).dtype} as tensor {need(op, operands, of).name!r}")


def _matmul_integer(op: Op, operands: Operands) -> Result:
    _codes(op, operands, 0, 1)
    _zero(op, operands, 2, 0)
    _zero(op, operands, 3, 1)
    return _matmul_shape(op, need(op, operands, 0), need(op, operands, 1)), "int32"


def _qlinear(op: Op, operands: Operands) -> tuple[Tensor, Tensor, str]:
    """a, b and the result's dtype, after a check of scales and zero points."""
    _codes(op, operands, 0, 3, 7)
    for scale in (1, 4, 6):
        if need(op, operands, scale).dtype not in _FLOATS:
            raise misfit(op, need(op, operands, scale), " or ".join(_FLOATS))
    _zero(op, operands, 2, 0)
    _zero(op, operands, 5, 3)
    return need(op, operands, 0), need(op, operands, 3), need(op, operands, 7).dtype


def _qlinear_matmul(op: Op, operands: Operands) -> Result:
    a, b, dtype = _qlinear(op, operands)
    return _matmul_shape(op, a, b), dtype


# --- convolutions and pools -----------------------------------------------------------------------------------------


def _axes(op: Op, x: Tensor, *attrs: str) -> int:
    """The number of axes of the image, which all attributes must have."""
    axes = len(x.shape) - 2
    if not 1 <= axes <= 4:
        raise misfit(op, x, "[N, 1 to 4 axes, C]")
    for name in attrs:
        if len(op.attrs[name]) != axes:
            raise ModelError(
                f"{op.kind} {op.name!r}: {name} {op.attrs[name]} are not {axes}, as the axes of {x.name!r}"
            )
    return axes


def _window_count(op: Op, x: Tensor, axis: int, kernel: int) -> int | None:
    """Windows along an axis, 0 being the first after N."""
    size = x.shape[1 + axis]
    stride: int = op.attrs["strides"][axis]
    if size is None:
        return None
    before, after = op.attrs["pads"][axis]
    room: int = size + before + after - ((kernel - 1) * op.attrs["dilations"][axis] + 1)
    if room < 0:
        raise ShapeError(f"{op.kind} {op.name!r}: tensor {x.name!r} {show(x.shape)} is smaller than the window")
    if op.attrs.get("ceil_mode"):
        count = -(-room // stride) + 1
        return count - 1 if (count - 1) * stride >= size + before else count  # none that starts behind the image
    return room // stride + 1


def _conv_weight(op: Op, x: Tensor, w: Tensor) -> tuple[int, ...]:
    shape = tuple(d for d in w.shape if d is not None)
    groups = op.attrs["groups"]
    if len(shape) != len(x.shape) or x.shape[-1] != shape[-1] * groups or shape[0] % groups:
        raise misfit(op, w, f"[C_out, kernel, C / {groups}] for tensor {x.name!r} {show(x.shape)}")
    return shape


def _bias(op: Op, operands: Operands, number: int, dtypes: tuple[str, ...], channels: int) -> None:
    bias = operands[number] if number < len(operands) else None
    if bias is not None and (bias.shape != (channels,) or bias.dtype not in dtypes):
        raise misfit(op, bias, f"{' or '.join(dtypes)}[{channels}]")


def _conv_shape(op: Op, x: Tensor, w: Tensor) -> Shape:
    axes = _axes(op, x, "strides", "dilations", "pads")
    co, *kernel, _ = _conv_weight(op, x, w)
    return (x.shape[0], *(_window_count(op, x, a, kernel[a]) for a in range(axes)), co)


def _conv(op: Op, operands: Operands) -> Result:
    x, w = need(op, operands, 0), need(op, operands, 1)
    if x.dtype not in ("float32", "int8") or w.dtype != x.dtype:
        raise misfit(op, w, f"{x.dtype}, float32 or int8")
    shape = _conv_shape(op, x, w)
    _bias(op, operands, 2, bias_dtypes(x), w.shape[0] or 0)
    return shape, x.dtype


def _deform_conv(op: Op, operands: Operands) -> Result:
    x, w, offset = (need(op, operands, i) for i in range(3))
    mask = operands[4] if len(operands) > 4 else None
    for t in (x, w, offset, mask):
        if t is not None and (t.dtype != "float32" or len(t.shape) != 4):
            raise misfit(op, t, "float32 of rank 4")
    shape = _conv_shape(op, x, w)
    _bias(op, operands, 3, ("float32",), w.shape[0] or 0)
    groups = op.attrs["offset_groups"]
    taps = groups * (w.shape[1] or 0) * (w.shape[2] or 0)
    if (x.shape[3] or 0) % groups or offset.shape != (*shape[:3], 2 * taps):
        raise misfit(op, offset, show((*shape[:3], 2 * taps)))
    if mask is not None and mask.shape != (*shape[:3], taps):
        raise misfit(op, mask, show((*shape[:3], taps)))
    return shape, "float32"


def _conv_integer(op: Op, operands: Operands) -> Result:
    _codes(op, operands, 0, 1)
    _zero(op, operands, 2, 0)
    _zero(op, operands, 3, 1)
    return _conv_shape(op, need(op, operands, 0), need(op, operands, 1)), "int32"


def _qlinear_conv(op: Op, operands: Operands) -> Result:
    x, w, dtype = _qlinear(op, operands)
    _bias(op, operands, 8, ("int32",), w.shape[0] or 0)
    return _conv_shape(op, x, w), dtype


def _conv_transpose(op: Op, operands: Operands) -> Result:
    x, w = need(op, operands, 0), need(op, operands, 1)
    if x.dtype not in ("float32", "int8", "int16") or w.dtype != weight_dtype(x):
        raise misfit(op, w, f"{weight_dtype(x)}, over float32, int8 or int16")
    axes = _axes(op, x, "strides", "dilations", "pads", "output_padding")
    co, *kernel, _ = _conv_weight(op, x, w)
    _bias(op, operands, 2, bias_dtypes(x), co)
    sides: list[int | None] = []
    for a in range(axes):
        size, (before, after) = x.shape[1 + a], op.attrs["pads"][a]
        if size is None:
            sides.append(None)
            continue
        reach = (kernel[a] - 1) * op.attrs["dilations"][a] + 1
        side = (size - 1) * op.attrs["strides"][a] + reach + op.attrs["output_padding"][a] - before - after
        if side < 1:
            raise ShapeError(f"{op.kind} {op.name!r}: nothing is left of the result between the paddings")
        sides.append(side)
    return (x.shape[0], *sides, co), x.dtype


def _conv_macs(operands: Operands, y: Shape) -> int:
    w = operands[1]
    return math.prod(d or 0 for d in y) * math.prod(d or 0 for d in w.shape[1:]) if w is not None else 0


def _conv_transpose_macs(operands: Operands, y: Shape) -> int:
    x, w = operands[0], operands[1]
    if x is None or w is None:
        return 0
    return math.prod(d or 0 for d in x.shape[:-1]) * math.prod(d or 0 for d in w.shape)


def _qlinear_conv_macs(operands: Operands, y: Shape) -> int:
    return _conv_macs([operands[0], operands[3]], y)


def _pool(dtypes: tuple[str, ...]) -> Any:
    def rule(op: Op, operands: Operands) -> Result | list[Result]:
        x = need(op, operands, 0)
        if x.dtype not in dtypes:
            raise misfit(op, x, " or ".join(dtypes))
        axes = _axes(op, x, "kernels", "strides", "dilations", "pads")
        shape = (x.shape[0], *(_window_count(op, x, a, op.attrs["kernels"][a]) for a in range(axes)), x.shape[-1])
        return [(shape, x.dtype), (shape, "int64")] if op.attrs.get("indices") else (shape, x.dtype)

    return rule


def _max_unpool(op: Op, operands: Operands) -> Result:
    x, indices = need(op, operands, 0), need(op, operands, 1)
    if (
        indices.dtype != "int64"
        or indices.shape != x.shape
        or not all(is_int(d, 1, MAX_EXTENT) for d in op.attrs["shape"])
    ):
        raise misfit(op, indices, f"int64{show(x.shape)} and a fixed shape")
    return op.attrs["shape"], x.dtype


def _along_axis(op: Op, operands: Operands) -> Result:
    x = need(op, operands, 0)
    last = len(x.shape) - 1
    if op.kind == "log_softmax" and x.dtype == "int8" and op.attrs["axis"] in (-1, last):
        return x.shape, x.dtype
    if x.dtype not in _FLOATS or not -1 <= op.attrs["axis"] < len(x.shape):
        raise misfit(op, x, f"{' or '.join(_FLOATS)} with an axis {op.attrs['axis']}")
    return x.shape, x.dtype


# --- recurrent cells ------------------------------------------------------------------------------------------------


def _recurrent(op: Op, operands: Operands) -> list[Result]:
    x, w, r = (need(op, operands, i) for i in range(3))
    gates, directions = RNN_GATES[op.kind], 2 if op.attrs["direction"] == "bidirectional" else 1
    if any(len(t.shape) != 3 or t.dtype != "float32" for t in (x, w, r)) or None in r.shape:
        raise misfit(op, x, "x, w and r float32 of rank 3")
    hidden, batch_first = int(r.shape[2] or 0), op.attrs["batch_first"]
    steps, batch = (x.shape[1], x.shape[0]) if batch_first else (x.shape[0], x.shape[1])
    state = (batch, directions, hidden) if batch_first else (directions, batch, hidden)
    expected: list[tuple[str, Shape]] = [
        ("float32", x.shape),
        ("float32", (directions, gates * hidden, x.shape[2])),
        ("float32", (directions, gates * hidden, hidden)),
        ("float32", (directions, 2 * gates * hidden)),
        ("int32", (batch,)),
        ("float32", state),
        ("float32", state),
        ("float32", (directions, 3 * hidden)),
    ]
    for tensor, (dtype, shape) in zip(operands, expected, strict=False):
        if tensor is not None and (tensor.dtype != dtype or tensor.shape != shape):
            raise misfit(op, tensor, f"{dtype}{show(shape)}")
    functions = {"rnn": 1, "gru": 2, "lstm": 3}[op.kind] * directions
    if any(len(op.attrs[name]) != functions for name in ("activations", "alphas", "betas")):
        raise ModelError(f"{op.kind} {op.name!r}: needs {functions} activations with an alpha and a beta each")
    y: Shape = (batch, steps, directions, hidden) if batch_first else (steps, directions, batch, hidden)
    return [(y, "float32")] + [(state, "float32")] * (2 if op.kind == "lstm" else 1)


def _recurrent_macs(operands: Operands, y: Shape) -> int:
    """Of w and r, for each step and sequence."""
    x, w, r = operands[:3]
    if x is None or w is None or r is None:
        return 0
    rows = math.prod(d or 0 for d in x.shape[:2])
    return rows * (math.prod(d or 0 for d in w.shape) + math.prod(d or 0 for d in r.shape))


_CONV = ("strides", "dilations", "pads", "groups")
_POOL = ("kernels", "strides", "dilations", "pads", "ceil_mode")
_RNN = ("direction", "activations", "alphas", "betas", "clip", "batch_first")

KINDS.update(
    {
        "matmul": Kind(2, ("transpose_a", "transpose_b", "activation"), _matmul, (), _matmul_macs),
        "einsum": Kind(MAX_EXTENT, ("equation",), _einsum),
        "matmul_integer": Kind(4, (), _matmul_integer, (2, 3), _matmul_macs),
        "qlinear_matmul": Kind(8, (), _qlinear_matmul, (), _matmul_macs),
        "conv": Kind(3, (*_CONV, "activation"), _conv, (2,), _conv_macs),
        "deform_conv": Kind(5, (*_CONV, "offset_groups"), _deform_conv, (3, 4), _conv_macs),
        "conv_integer": Kind(4, _CONV, _conv_integer, (2, 3), _conv_macs),
        "qlinear_conv": Kind(9, _CONV, _qlinear_conv, (8,), _qlinear_conv_macs),
        "conv_transpose": Kind(
            3, (*_CONV, "output_padding", "activation"), _conv_transpose, (2,), _conv_transpose_macs
        ),
        "avg_pool": Kind(1, (*_POOL, "count_include_pad"), _pool(("float32",))),
        "lp_pool": Kind(1, (*_POOL, "exponent"), _pool(("float32",))),
        "max_pool": Kind(1, (*_POOL, "indices", "column_major"), _pool((*_FLOATS, "float64", *_CODES))),
        "max_unpool": Kind(2, ("shape",), _max_unpool),
        "log_softmax": Kind(1, ("axis",), _along_axis),
        "hardmax": Kind(1, ("axis",), _along_axis),
        "rnn": Kind(6, _RNN, _recurrent, (3, 4, 5), _recurrent_macs),
        "gru": Kind(6, (*_RNN, "linear_before_reset"), _recurrent, (3, 4, 5), _recurrent_macs),
        "lstm": Kind(8, (*_RNN, "input_forget"), _recurrent, (3, 4, 5, 6, 7), _recurrent_macs),
    }
)

CODES_ONLY.update(("matmul_integer", "qlinear_matmul", "conv_integer", "qlinear_conv", "max_pool", "max_unpool"))
