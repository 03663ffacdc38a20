"""Gradients of kinds that move elements (model/ops_move.py): elements go back to where they came from and are added up
where several came from one place."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from ..model.graph import Op
from ..model.ops_move import axis_of, slices
from ..model.resize import taps
from .tape import CONSTANT, Gradients, Tape, only, vjp

CONSTANT.update(("shape", "size"))


@vjp("identity")
def _identity(t: Tape, op: Op, dy: Gradients) -> Gradients:
    return [only(dy)]


@vjp("reshape")
def _reshape(t: Tape, op: Op, dy: Gradients) -> Gradients:
    return [t.reshape(only(dy), t.shape(op.inputs[0]))]


@vjp("transpose")
def _transpose(t: Tape, op: Op, dy: Gradients) -> Gradients:
    return [t.transpose(only(dy), _inverse(op.attrs["perm"]))]


def _inverse(perm: Sequence[int]) -> list[int]:
    return [list(perm).index(i) for i in range(len(perm))]


@vjp("reverse")
def _reverse(t: Tape, op: Op, dy: Gradients) -> Gradients:
    return [t.op("reverse", only(dy), axes=op.attrs["axes"])]


@vjp("reverse_sequence", "trilu")
def _again(t: Tape, op: Op, dy: Gradients) -> Gradients:
    """Ops that are their own gradient, with the same second operand."""
    return [t.op(op.kind, only(dy), *op.inputs[1:], **op.attrs)]


@vjp("cumsum")
def _cumsum(t: Tape, op: Op, dy: Gradients) -> Gradients:
    attrs = {"exclusive": op.attrs["exclusive"], "reverse": not op.attrs["reverse"]}
    return [t.op("cumsum", only(dy), op.inputs[1], **attrs)]


# --- parts ------------------------------------------------------------------------------------------------------------


@vjp("slice")
def _slice(t: Tape, op: Op, dy: Gradients) -> Gradients:
    g, shape = only(dy), t.shape(op.inputs[0])
    taken = slices(op, shape)
    backwards = tuple(i for i, s in enumerate(taken) if s.step < 0)
    if backwards:
        g = t.op("reverse", g, axes=backwards)
    pads = []
    for axis, (s, size) in enumerate(zip(taken, shape, strict=True)):
        n, step = t.shape(g)[axis], abs(s.step)
        first = s.start if s.step > 0 else s.start + (n - 1) * s.step
        g = t.spread(g, axis, step)
        pads.append((first, size - first - n * step))  # below 0: the zeros behind the last element
    return [t.pad(g, pads)]


@vjp("concat", "pack")
def _concat(t: Tape, op: Op, dy: Gradients) -> Gradients:
    g = only(dy)
    axis = axis_of(op, len(t.shape(g)))
    found, at = [], 0
    for name in op.inputs:
        size = t.shape(name)[axis] if op.kind == "concat" else 1
        found.append(t.reshape(t.slice(g, axis, at, at + size), t.shape(name)))
        at += size
    return found


@vjp("split", "unpack")
def _split(t: Tape, op: Op, dy: Gradients) -> Gradients:
    """Results without a gradient count as zeros."""
    shape, dtype = t.shape(op.inputs[0]), t.dtype(op.inputs[0])
    axis = axis_of(op, len(shape))
    sizes = op.attrs["sizes"] if op.kind == "split" else [1] * len(dy)
    parts: list[str] = []
    for g, size in zip(dy, sizes, strict=True):
        part = (*shape[:axis], size, *shape[axis + 1 :])
        parts.append(t.zeros(part, dtype) if g is None else t.reshape(g, part))
    return [parts[0] if len(parts) == 1 else t.op("concat", *parts, axis=axis)]


@vjp("pad")
def _pad(t: Tape, op: Op, dy: Gradients) -> Gradients:
    """Zeros for what was cut off. In modes other than "constant" the copies are added to their origins."""
    g, shape, pads = only(dy), t.shape(op.inputs[0]), op.attrs["pads"]
    if op.attrs["mode"] == "constant":
        return [t.pad(g, [(-b, -a) for b, a in pads])]
    for axis, (b, a) in enumerate(pads):
        if (b, a) != (0, 0):
            kept = np.arange(max(-b, 0), shape[axis] - max(-a, 0))
            origins = np.pad(kept, (max(b, 0), max(a, 0)), mode=op.attrs["mode"])
            g = _put_back(t, g, axis, origins, shape[axis])
    return [g]


# --- copies -----------------------------------------------------------------------------------------------------------


@vjp("expand")
def _expand(t: Tape, op: Op, dy: Gradients) -> Gradients:
    return [t.sum_to(only(dy), t.shape(op.inputs[0]))]


@vjp("tile")
def _tile(t: Tape, op: Op, dy: Gradients) -> Gradients:
    g, shape = only(dy), t.shape(op.inputs[0])
    for axis, times in enumerate(op.attrs["repeats"]):
        if times > 1:
            now = t.shape(g)
            outer, inner = math.prod(now[:axis]), math.prod(now[axis + 1 :])
            g = t.sum(t.reshape(g, (outer, times, shape[axis], inner)), (1,))
            g = t.reshape(g, (*now[:axis], shape[axis], *now[axis + 1 :]))
    return [g]


# --- by indices -------------------------------------------------------------------------------------------------------


def _put_back(t: Tape, x: str, axis: int, origins: np.ndarray, size: int) -> str:
    """Adds each slice of x along an axis to the slice origins[i] of a tensor of `size` there."""
    return _scatter(t, x, t.constant(origins, "int32"), axis, axis + 1, size)


def _scatter(t: Tape, g: str, indices: str, start: int, end: int, size: int) -> str:
    """The gradient of a gather: axes start .. end of g are those of the indices, and become one of `size`."""
    shape = t.shape(g)
    front = [*range(start, end), *range(start), *range(end, len(shape))]
    rows = t.reshape(t.transpose(g, front), (math.prod(shape[start:end]), *shape[:start], *shape[end:]))
    zeros = t.zeros((size, *t.shape(rows)[1:]), t.dtype(g))
    column = t.reshape(indices, (t.shape(rows)[0], 1))
    full = t.op("scatter_nd", zeros, column, rows, reduction="add")
    rank = len(t.shape(full))
    return t.transpose(full, [*range(1, start + 1), 0, *range(start + 1, rank)])


@vjp("gather")
def _gather(t: Tape, op: Op, dy: Gradients) -> Gradients:
    x, indices, batch = op.inputs[0], str(op.inputs[1]), op.attrs["batch_dims"]
    g, shape = only(dy), t.shape(x)
    axis = axis_of(op, len(shape))
    if batch == 0:
        return [_scatter(t, g, indices, axis, axis + len(t.shape(indices)), shape[axis])]
    # Rows [batch, rest] of x, the axes before `axis` moved behind it: each index stands for its whole row.
    many, before = math.prod(shape[:batch]), math.prod(shape[batch:axis])
    after, count = math.prod(shape[axis + 1 :]), math.prod(t.shape(indices)[batch:])
    rows = t.transpose(t.reshape(g, (many, before, count, after)), (0, 2, 1, 3))
    rows = t.reshape(rows, (many, count, before * after))
    wide = t.expand(t.reshape(indices, (many, count, 1)), (many, count, before * after))
    zeros = t.zeros((many, shape[axis], before * after), t.dtype(x))
    full = t.op("scatter_elements", zeros, wide, rows, axis=1, reduction="add")
    full = t.transpose(t.reshape(full, (many, shape[axis], before, after)), (0, 2, 1, 3))
    return [t.reshape(full, shape)]


@vjp("gather_elements")
def _gather_elements(t: Tape, op: Op, dy: Gradients) -> Gradients:
    x, indices = op.inputs
    zeros = t.zeros(t.shape(x), t.dtype(x))
    return [t.op("scatter_elements", zeros, indices, only(dy), axis=op.attrs["axis"], reduction="add")]


@vjp("gather_nd")
def _gather_nd(t: Tape, op: Op, dy: Gradients) -> Gradients:
    """Without batch axes."""
    x, indices = op.inputs
    if op.attrs["batch_dims"]:
        return []
    return [t.op("scatter_nd", t.zeros(t.shape(x), t.dtype(x)), indices, only(dy), reduction="add")]


@vjp("scatter_elements", "scatter_nd")
def _scatter_op(t: Tape, op: Op, dy: Gradients) -> Gradients:
    """Of reductions "add" and "none"; with "none" no two indices may name one place."""
    _, indices, updates = op.inputs
    g = only(dy)
    elements = op.kind == "scatter_elements"
    attrs = {"axis": op.attrs["axis"]} if elements else {}
    if op.attrs["reduction"] not in ("add", "none"):
        return []
    if elements:
        of_updates = t.op("gather_elements", g, indices, **attrs)
    else:
        of_updates = t.op("gather_nd", g, indices, batch_dims=0)
    if op.attrs["reduction"] == "none":
        g = t.op(op.kind, g, indices, t.zeros(t.shape(updates), t.dtype(updates)), **attrs, reduction="none")
    return [g, None, of_updates]


@vjp("topk")
def _topk(t: Tape, op: Op, dy: Gradients) -> Gradients:
    x, (g, _) = op.inputs[0], dy
    zeros = t.zeros(t.shape(x), t.dtype(x))
    return [t.op("scatter_elements", zeros, op.outputs[1], g, axis=op.attrs["axis"], reduction="none")]


# --- pictures ---------------------------------------------------------------------------------------------------------


@vjp("depth_to_space", "space_to_depth")
def _blocks(t: Tape, op: Op, dy: Gradients) -> Gradients:
    back = {"depth_to_space": "space_to_depth", "space_to_depth": "depth_to_space"}[op.kind]
    return [t.op(back, only(dy), **op.attrs)]


@vjp("resize")
def _resize(t: Tape, op: Op, dy: Gradients) -> Gradients:
    """Each axis is a product with a matrix [sizes after, before]; the gradient one with its transpose."""
    g, shape = only(dy), t.shape(op.inputs[0])
    for axis in reversed(range(len(shape))):
        table = taps(op, axis, shape[axis], False)
        if table is None:
            continue
        matrix = np.zeros((len(table.index), shape[axis]))
        weight = table.weight
        if table.outside is not None:
            weight = np.where(table.outside[:, None], 0, weight)
        np.add.at(matrix, (np.arange(len(weight))[:, None], table.index), weight)
        now = t.shape(g)
        perm = [*(i for i in range(len(now)) if i != axis), axis]
        wide = t.transpose(g, perm)
        product = {"transpose_a": False, "transpose_b": False, "activation": None}
        wide = t.op("matmul", wide, t.constant(matrix, t.dtype(g)), **product)
        g = t.transpose(wide, _inverse(perm))
    return [g]
