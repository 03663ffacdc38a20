"""Gradients of layers: linear, convolutions, matrix products, pools."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ..model.graph import Op
from ..model.ops import resolve_padding
from ..model.ops_nn import parse_equation
from .tape import Gradients, Tape, only, vjp

# --- linear and matrix products -----------------------------------------------------------------------------------


@vjp("linear", "linear_f16")
def _linear(t: Tape, op: Op, dy: Gradients) -> Gradients:
    x, w = op.inputs[:2]
    g = t.before_activation(op, dy)
    k = t.shape(w)[1]
    rows = t.reshape(str(x), (*t.shape(g)[:-1], k))
    dw = t.op("linear_wgrad", g, rows, dtype=t.dtype(w))
    db = _bias_grad(t, op, g)
    return [t.reshape(t.op("linear_dgrad", g, w, dtype=t.dtype(x)), t.shape(x)), dw, db]


def _bias_grad(t: Tape, op: Op, dy: str) -> str | None:
    bias = op.inputs[2] if len(op.inputs) > 2 else None
    return None if bias is None else t.op("bias_grad", dy, dtype=t.dtype(bias))


@vjp("matmul")
def _matmul(t: Tape, op: Op, dy: Gradients) -> Gradients:
    a, b = str(op.inputs[0]), str(op.inputs[1])
    shape_a, shape_b = t.shape(a), t.shape(b)
    ta, tb = op.attrs["transpose_a"], op.attrs["transpose_b"]
    g = t.before_activation(op, dy)
    if len(shape_a) == 1 or len(shape_b) == 1:  # vectors as matrices
        a = t.reshape(a, (1, *shape_a)) if len(shape_a) == 1 else a
        b = t.reshape(b, (*shape_b, 1)) if len(shape_b) == 1 else b
        tb = tb and len(shape_b) > 1
        rows, columns = t.shape(a)[-1 if ta else -2], t.shape(b)[-2 if tb else -1]
        batch = t.shape(g)[: len(t.shape(g)) - (len(shape_a) > 1) - (len(shape_b) > 1)]
        g = t.reshape(g, (*batch, rows, columns))
    if not ta and len(t.shape(b)) == 2 and t.dtype(a) in ("float32", "float16"):  # a layer whose weight is b
        if tb:
            db, da = _wgrad(t, g, a), t.op("linear_dgrad", g, b, dtype=t.dtype(a))
        else:
            db, da = _wgrad(t, a, g), _product(t, g, b, False, True)
    else:
        db = _product(t, g, a, True, ta) if tb else _product(t, a, g, not ta, False)
        da = _product(t, b, g, tb, True) if ta else _product(t, g, b, False, not tb)
    return [
        t.reshape(t.sum_to(da, t.shape(a)), shape_a),
        t.reshape(t.sum_to(db, t.shape(b)), shape_b),
    ]


def _wgrad(t: Tape, dy: str, x: str) -> str:
    return t.op("linear_wgrad", dy, x, dtype=t.dtype(x))


def _product(t: Tape, a: str, b: str, transpose_a: bool, transpose_b: bool) -> str:
    return t.op("matmul", a, b, transpose_a=transpose_a, transpose_b=transpose_b, activation=None)


@vjp("einsum")
def _einsum(t: Tape, op: Op, dy: Gradients) -> Gradients:
    """The gradient of an operand is an einsum of dy and the other operands; labels that only that operand has were
    summed, so the result is spread over them. None for an operand that repeats a label."""
    operands = [str(n) for n in op.inputs]
    terms, result = parse_equation(op.attrs["equation"], [len(t.shape(n)) for n in operands])
    names = dict(zip(sorted({c for term in terms for c in term}), "abcdefghijklmnopqrstuvwxyz", strict=False))

    def text(labels: Sequence[str]) -> str:
        return "".join(names[c] for c in labels)

    found: list[str | None] = []
    for i, (x, own) in enumerate(zip(operands, terms, strict=True)):
        if len(set(own)) != len(own):
            found.append(None)
            continue
        others = [(n, term) for k, (n, term) in enumerate(zip(operands, terms, strict=True)) if k != i]
        sizes = dict(zip(result, t.shape(op.outputs[0]), strict=True))
        for n, term in others:
            for label, size in zip(term, t.shape(n), strict=True):
                sizes[label] = max(size, sizes.get(label, 1))
        kept = [c for c in own if c in sizes]
        equation = f"{','.join(text(term) for term in (result, *(term for _, term in others)))}->{text(kept)}"
        g = t.op("einsum", only(dy), *(n for n, _ in others), equation=equation)
        shape = t.shape(x)
        g = t.reshape(g, [sizes.get(c, 1) for c in own])
        g = t.expand(g, [sizes.get(c, d) for c, d in zip(own, shape, strict=True)])
        found.append(t.sum_to(g, shape))
    return found


# --- convolutions -----------------------------------------------------------------------------------------------------

_STEPS = ("stride", "dilation", "padding")


@vjp("conv2d", "conv2d_f16")
def _conv2d(t: Tape, op: Op, dy: Gradients) -> Gradients:
    x, w = str(op.inputs[0]), str(op.inputs[1])
    g = t.before_activation(op, dy)
    steps = {name: op.attrs[name] for name in (*_STEPS, "groups")}
    dw = t.op("conv2d_wgrad", g, x, **steps, kernel=t.shape(w)[1:3], dtype=t.dtype(w))
    db = _bias_grad(t, op, g)
    return [t.op("conv2d_dgrad", g, w, **steps, size=t.shape(x)[1:3], dtype=t.dtype(x)), dw, db]


@vjp("depthwise_conv2d", "depthwise_conv2d_f16")
def _depthwise(t: Tape, op: Op, dy: Gradients) -> Gradients:
    x, w = str(op.inputs[0]), str(op.inputs[1])
    g = t.before_activation(op, dy)
    steps = {name: op.attrs[name] for name in _STEPS}
    dw = t.op("depthwise_wgrad", g, x, **steps, kernel=t.shape(w)[:2], dtype=t.dtype(w))
    db = _bias_grad(t, op, g)
    size, multiplier = t.shape(x)[1:3], t.shape(w)[2] // t.shape(x)[3]
    return [t.op("depthwise_dgrad", g, w, **steps, size=size, multiplier=multiplier, dtype=t.dtype(x)), dw, db]


def _as_image(t: Tape, x: str) -> str:
    """A line [N, L, C], or weights [Co, k, C], as an image of one row."""
    n, *axes, c = t.shape(x)
    return t.reshape(x, (n, 1, *axes, c)) if len(axes) == 1 else x


def _steps_2d(attrs: Mapping[str, Any], after: Sequence[int] = (0, 0)) -> dict[str, Any]:
    """Attributes of conv2d's kinds for an op over a line or an image; after: what is added to the padding's ends."""
    one_axis = len(attrs["strides"]) == 1

    def pair(values: Any, first: Any) -> Any:
        return (first, *values) if one_axis else tuple(values)

    pads = pair(attrs["pads"], (0, 0))
    return {
        "stride": pair(attrs["strides"], 1),
        "dilation": pair(attrs["dilations"], 1),
        "padding": tuple((b, a + more) for (b, a), more in zip(pads, after, strict=True)),
        "groups": attrs["groups"],
    }


@vjp("conv")
def _conv(t: Tape, op: Op, dy: Gradients) -> Gradients:
    g = t.before_activation(op, dy)
    db = _bias_grad(t, op, g)
    dx, dw = _conv_grads(t, g, str(op.inputs[0]), str(op.inputs[1]), op.attrs)
    return [dx, dw, db]


def _conv_grads(t: Tape, g: str, x: str, w: str, attrs: Mapping[str, Any]) -> tuple[str, str]:
    """The gradients of x and w. Of more than two axes: for each tap of the first one a convolution over the others, of
    the slices that it meets."""
    if len(t.shape(x)) <= 4:
        steps, image, wide, kernel = _steps_2d(attrs), _as_image(t, x), _as_image(t, g), t.shape(w)[1:-1]
        kernel = (1,) * (2 - len(kernel)) + kernel
        dw = t.op("conv2d_wgrad", wide, image, **steps, kernel=kernel, dtype=t.dtype(w))
        dx = t.op("conv2d_dgrad", wide, _as_image(t, w), **steps, size=t.shape(image)[1:3], dtype=t.dtype(x))
        return t.reshape(dx, t.shape(x)), t.reshape(dw, t.shape(w))
    stride, dilation, pads = (attrs[name][0] for name in ("strides", "dilations", "pads"))
    rest = {name: attrs[name][1:] for name in ("strides", "dilations", "pads")} | {"groups": attrs["groups"]}
    images, count, *_ = t.shape(g)
    flat = t.reshape(g, (images * count, *t.shape(g)[2:]))
    none = [(0, 0)] * (len(t.shape(x)) - 2)
    padded = t.pad(x, [(0, 0), pads, *none])
    size = t.shape(padded)[1]
    parts, total = [], None
    for tap in range(t.shape(w)[1]):
        first = tap * dilation
        met = {"starts": (first,), "ends": (first + (count - 1) * stride + 1,), "axes": (1,), "steps": (stride,)}
        seen = t.reshape(t.op("slice", padded, **met), (images * count, *t.shape(x)[2:]))
        of_tap = t.reshape(t.slice(w, 1, tap, tap + 1), (t.shape(w)[0], *t.shape(w)[2:]))
        dx, dw = _conv_grads(t, flat, seen, of_tap, rest)
        parts.append(t.reshape(dw, (t.shape(w)[0], 1, *t.shape(w)[2:])))
        back = t.spread(t.reshape(dx, (images, count, *t.shape(x)[2:])), 1, stride)
        back = t.pad(back, [(0, 0), (first, size - first - count * stride), *none])
        total = back if total is None else t.add(total, back)
    assert total is not None
    dw = parts[0] if len(parts) == 1 else t.op("concat", *parts, axis=1)
    return t.pad(total, [(0, 0), (-pads[0], -pads[1]), *none]), dw


@vjp("conv_transpose")
def _conv_transpose(t: Tape, op: Op, dy: Gradients) -> Gradients:
    """A convolution of dy, by the weights with inputs and outputs swapped."""
    x, w = str(op.inputs[0]), str(op.inputs[1])
    g = t.before_activation(op, dy)
    db = _bias_grad(t, op, g)
    if len(t.shape(x)) > 4:
        return [*_conv_transpose_grads(t, g, x, w, op.attrs), db]
    image, wide = _as_image(t, x), _as_image(t, g)
    extra = (0,) * (2 - len(op.attrs["output_padding"])) + op.attrs["output_padding"]
    # Rows of the result behind the last window are of the bias alone. They are taken off dy where its padding,
    # which the forward op cut off, does not make up for them.
    ends = [after for _, after in _steps_2d(op.attrs)["padding"]]
    cut = [max(e - a, 0) for e, a in zip(extra, ends, strict=True)]
    wide = t.pad(wide, [(0, 0), (0, -cut[0]), (0, -cut[1]), (0, 0)])
    steps = _steps_2d(op.attrs, [c - e for c, e in zip(cut, extra, strict=True)])
    groups = steps["groups"]
    kernel = t.shape(w)[1:-1]
    kernel = (1,) * (2 - len(kernel)) + kernel
    dv = t.op("conv2d_wgrad", image, wide, **steps, kernel=kernel, dtype=t.dtype(w))
    dw = t.reshape(_swapped(t, dv, groups), t.shape(w))
    v = _swapped(t, _as_image(t, w), groups)
    dx = t.op("conv2d", wide, v, None, **steps, activation=None)
    return [t.reshape(dx, t.shape(x)), dw, db]


def _conv_transpose_grads(t: Tape, g: str, x: str, w: str, attrs: Mapping[str, Any]) -> tuple[str, str]:
    """The gradients of x and w, of any number of axes."""
    extra = attrs["output_padding"]
    sides = [(before, after - more) for (before, after), more in zip(attrs["pads"], extra, strict=True)]
    wide = t.pad(g, [(0, 0), *sides, (0, 0)])
    plain = {name: attrs[name] for name in ("strides", "dilations", "groups")} | {"pads": ((0, 0),) * len(sides)}
    (co, *kernel, _), groups = t.shape(w), attrs["groups"]
    flat = t.reshape(w, (co, math.prod(kernel), 1, t.shape(w)[-1]))
    v = t.reshape(_swapped(t, flat, groups), (t.shape(x)[-1], *kernel, co // groups))
    dx = t.op("conv", wide, v, None, **plain, activation=None)
    _, dv = _conv_grads(t, x, wide, v, plain)
    flat = t.reshape(dv, (t.shape(x)[-1], math.prod(kernel), 1, co // groups))
    return dx, t.reshape(_swapped(t, flat, groups), t.shape(w))


def _swapped(t: Tape, w: str, groups: int) -> str:
    """Weights [Co, kh, kw, C / groups] as [C, kh, kw, Co / groups], within each group."""
    co, kh, kw, depth = t.shape(w)
    if groups == 1:
        return t.transpose(w, (3, 1, 2, 0))
    w = t.transpose(t.reshape(w, (groups, co // groups, kh, kw, depth)), (0, 4, 2, 3, 1))
    return t.reshape(w, (groups * depth, kh, kw, co // groups))


# --- pools ------------------------------------------------------------------------------------------------------------


def _pool_attrs(t: Tape, op: Op) -> dict[str, Any]:
    """Attributes of avg_pool and max_pool, which those of the 2-D kinds stand for too."""
    if "kernels" in op.attrs:
        return {name: op.attrs[name] for name in ("kernels", "strides", "dilations", "pads")}
    (_, h, w, _), kernel, stride = t.shape(op.inputs[0]), op.attrs["kernel"], op.attrs["stride"]
    pads = resolve_padding(op.attrs["padding"], (h, w), kernel, stride)
    return {"kernels": kernel, "strides": stride, "dilations": (1, 1), "pads": pads}


@vjp("avg_pool2d", "avg_pool")
def _avg_pool(t: Tape, op: Op, dy: Gradients) -> Gradients:
    g, x = t.before_activation(op, dy), op.inputs[0]
    counted = op.attrs.get("count_include_pad", False)
    size = t.shape(x)[1:-1]
    return [t.op("avg_pool_grad", g, **_pool_attrs(t, op), size=size, count_include_pad=counted, dtype=t.dtype(x))]


@vjp("max_pool2d", "max_pool")
def _max_pool(t: Tape, op: Op, dy: Gradients) -> Gradients:
    if dy[0] is None or t.dtype(op.inputs[0]) not in ("float32", "float16"):
        return []
    g, x = t.before_activation(op, dy[:1]), op.inputs[0]
    return [t.op("max_pool_grad", g, x, **_pool_attrs(t, op), dtype=t.dtype(x))]


@vjp("max_unpool")
def _max_unpool(t: Tape, op: Op, dy: Gradients) -> Gradients:
    """dy at the places that the indices name."""
    flat = t.reshape(only(dy), (math.prod(t.shape(dy[0])),))
    return [t.op("gather", flat, op.inputs[1], axis=0, batch_dims=0)]


# --- along an axis ----------------------------------------------------------------------------------------------------


@vjp("softmax")
def _softmax(t: Tape, op: Op, dy: Gradients) -> Gradients:
    """beta y (dy - sum(dy y))"""
    g, y = only(dy), op.outputs[0]
    axis = op.attrs["axis"] % len(t.shape(y))
    gy = t.mul(g, y)
    dx = t.sub(gy, t.mul(y, t.sum(gy, (axis,), keepdims=True)))
    return [t.scale(dx, float(np.float32(op.attrs["beta"])))]


@vjp("log_softmax")
def _log_softmax(t: Tape, op: Op, dy: Gradients) -> Gradients:
    """dy - exp(y) sum(dy)"""
    g, y = only(dy), op.outputs[0]
    axis = op.attrs["axis"] % len(t.shape(y))
    return [t.sub(g, t.mul(t.op("exp", y), t.sum(g, (axis,), keepdims=True)))]
