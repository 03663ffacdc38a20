"""Moves of data, shapes, reductions."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from ...errors import ModelError
from ..graph import Tensor
from ..ops import MAX_EXTENT
from .importer import Importer
from .node import Node, Unsupported
from .table import Table, axis_of, registrar

CONVERTERS: Table = {}
converts = registrar(CONVERTERS)


def sizes_of(x: Tensor) -> list[int]:
    return [d for d in x.shape if d is not None]


def fits(n: Node, shape: Sequence[int]) -> tuple[int, ...]:
    """A shape that the model asks for, refused if it is empty or huge."""
    if any(d < 0 or d > MAX_EXTENT for d in shape) or math.prod(shape) > MAX_EXTENT:
        raise ModelError(f"node {n.name!r} ({n.op_type}): shape {list(shape)}")
    if 0 in shape:
        raise Unsupported(f"the empty shape {list(shape)}")
    return tuple(shape)


# --- the same elements ------------------------------------------------------------------------------------------------


@converts("Reshape")
def _reshape(m: Importer, n: Node) -> None:
    x, target = m.operand(n, 0), m.ints(n, "shape", 1, [])
    if not n.attr("allowzero", 0):
        if any(d == 0 and i >= len(x.shape) for i, d in enumerate(target)):
            raise ModelError(f"node {n.name!r} (Reshape): {target} takes an axis that {list(x.shape)} doesn't have")
        target = [sizes_of(x)[i] if d == 0 else d for i, d in enumerate(target)]
    if any(d < -1 for d in target) or target.count(-1) > 1:
        raise ModelError(f"node {n.name!r} (Reshape): shape {target}")
    if 0 in target:
        if math.prod(sizes_of(x)):
            raise ModelError(f"node {n.name!r} (Reshape): {list(x.shape)} to {target}")
        m.empty(n, 0, [0 if d == -1 else d for d in target], x.dtype)
        return
    m.bind(n, m.reshape(x, target, n.outputs[0]))


@converts("Flatten")
def _flatten(m: Importer, n: Node) -> None:
    x = m.operand(n, 0)
    axis = axis_of(n, len(x.shape), 1)
    m.bind(n, m.reshape(x, (math.prod(sizes_of(x)[:axis]), math.prod(sizes_of(x)[axis:])), n.outputs[0]))


@converts("Squeeze")
def _squeeze(m: Importer, n: Node) -> None:
    x = m.operand(n, 0)
    axes = m.ints(n, "axes", 1)
    gone = [i for i, d in enumerate(x.shape) if d == 1] if axes is None else [a % len(x.shape) for a in axes]
    m.bind(n, m.reshape(x, [d for i, d in enumerate(sizes_of(x)) if i not in gone], n.outputs[0]))


@converts("Unsqueeze")
def _unsqueeze(m: Importer, n: Node) -> None:
    x = m.operand(n, 0)
    axes = m.ints(n, "axes", 1, [])
    rank = len(x.shape) + len(axes)
    new, rest = {a % rank for a in axes}, iter(sizes_of(x))
    m.bind(n, m.reshape(x, [1 if i in new else next(rest) for i in range(rank)], n.outputs[0]))


@converts("Transpose")
def _transpose(m: Importer, n: Node) -> None:
    x = m.operand(n, 0)
    perm = m.ints(n, "perm", None, list(range(len(x.shape)))[::-1])
    if sorted(perm) != list(range(len(x.shape))):
        raise ModelError(f"node {n.name!r} (Transpose): perm {perm} of {list(x.shape)}")
    y = m.transpose(x, perm, n.outputs[0])
    m.bind(n, y if m.fold or y is not x else m.one("identity", [x], n.outputs[0]))


# --- parts ------------------------------------------------------------------------------------------------------------


@converts("Slice")
def _slice(m: Importer, n: Node) -> None:
    """Starts and ends count from the end where they are negative, and are cut to the axis."""
    x = m.operand(n, 0)
    starts, ends = m.ints(n, "starts", 1, []), m.ints(n, "ends", 2, [])
    axes = m.ints(n, "axes", 3, list(range(len(starts))))
    steps = m.ints(n, "steps", 4, [1] * len(starts))
    if not len(starts) == len(ends) == len(axes) == len(steps) or 0 in steps:
        raise ModelError(f"node {n.name!r} (Slice): starts {starts}, ends {ends}, axes {axes}, steps {steps}")
    exact = []
    for start, end, axis, step in zip(starts, ends, axes, steps, strict=True):
        exact.append(slice(start, end, step).indices(sizes_of(x)[axis % len(x.shape)]))
    lengths = {a % len(x.shape): len(range(*e)) for a, e in zip(axes, exact, strict=True)}
    if 0 in lengths.values():
        m.empty(n, 0, [lengths.get(i, d) for i, d in enumerate(sizes_of(x))], x.dtype)
        return
    m.bind(
        n,
        m.one(
            "slice",
            [x],
            n.outputs[0],
            quants=[x.quant],
            starts=tuple(e[0] for e in exact),
            ends=tuple(e[1] if e[1] >= 0 else -MAX_EXTENT for e in exact),  # -1: before the front
            axes=tuple(a % len(x.shape) for a in axes),
            steps=tuple(e[2] for e in exact),
        ),
    )


@converts("Split")
def _split(m: Importer, n: Node) -> None:
    x = m.operand(n, 0)
    axis = axis_of(n, len(x.shape), 0)
    sizes = m.ints(n, "split", 1)
    if sizes is None:
        count = int(n.attr("num_outputs", len(n.outputs)))
        each = -(-sizes_of(x)[axis] // count)
        sizes = [each] * (count - 1) + [sizes_of(x)[axis] - each * (count - 1)]
    n.attr("num_outputs", 0)
    if sum(sizes) != sizes_of(x)[axis] or min(sizes) < 0 or len(sizes) < len(n.outputs):
        raise ModelError(f"node {n.name!r} (Split): {sizes} of axis {axis} of {list(x.shape)}")
    at = 0
    parts: list[Tensor | None] = []
    for i, size in enumerate(sizes[: len(n.outputs)]):
        attrs = {"starts": (at,), "ends": (at + size,), "axes": (axis,), "steps": (1,)}
        if size:
            parts.append(m.one("slice", [x], n.outputs[i], quants=[x.quant], **attrs))
        else:
            m.empty(n, i, [0 if k == axis else d for k, d in enumerate(sizes_of(x))], x.dtype)
            parts.append(None)
        at += size
    m.bind(n, *parts)


@converts("Concat")
def _concat(m: Importer, n: Node) -> None:
    given = [m.operand(n, i) for i in range(len(n.inputs))]
    axis = axis_of(n, len(given[0].shape), 1)
    operands = [t for t in given if 0 not in t.shape] or given
    if len(operands) == 1:
        m.bind(n, m.reshape(operands[0], sizes_of(operands[0]), n.outputs[0]))
        return
    m.bind(n, m.one("concat", operands, n.outputs[0], axis=axis))


@converts("Pad")
def _pad(m: Importer, n: Node) -> None:
    x = m.operand(n, 0)
    rank = len(x.shape)
    pads = m.ints(n, "pads", 1) or m.ints(n, "paddings", None, [])
    axes = m.ints(n, "axes", 3)
    value, mode = m.optional(n, 2), n.attr("mode", "constant")
    fill = n.attr("value", 0.0)
    axes = [a % rank for a in axes] if axes is not None else list(range(rank))
    if len(pads) != 2 * len(axes):
        raise ModelError(f"node {n.name!r} (Pad): pads {pads} for axes {axes}")
    before, after = [0] * rank, [0] * rank
    for i, axis in enumerate(axes):
        before[axis], after[axis] = pads[i], pads[i + len(axes)]
    if any(p < 0 for p in pads):
        cut = [max(-p, 0) for p in before], [d - max(-p, 0) for d, p in zip(sizes_of(x), after, strict=True)]
        if any(b >= e for b, e in zip(*cut, strict=True)):
            raise Unsupported(f"pads={pads} that leave nothing")
        x = m.one(
            "slice", [x], f"{n.name}/cut", starts=tuple(cut[0]), ends=tuple(cut[1]), axes=tuple(range(rank)),
            steps=(1,) * rank,
        )  # fmt: skip
        before, after = [max(p, 0) for p in before], [max(p, 0) for p in after]
    fits(n, [d + b + a for d, b, a in zip(sizes_of(x), before, after, strict=True)])
    m.bind(n, pad(m, n, x, before, after, mode, value, fill))


def pad(
    m: Importer, n: Node, x: Tensor, before: Sequence[int], after: Sequence[int], mode: str, value: Tensor | None,
    fill: float = 0.0,
) -> Tensor:  # fmt: skip
    operands = [x] if value is None or mode != "constant" else [x, m.reshape(value, (), f"{n.name}/value")]
    if len(operands) == 1 and mode == "constant" and fill:
        operands.append(m.const(np.array(fill, x.dtype), f"{n.name}/value"))
    pads = tuple(zip(before, after, strict=True))
    if mode not in ("constant", "reflect", "edge", "wrap"):
        raise Unsupported(f"mode={mode!r}")
    return m.one("pad", operands, n.outputs[0], quants=[x.quant], pads=pads, mode=mode)


@converts("Expand")
def _expand(m: Importer, n: Node) -> None:
    x, target = m.operand(n, 0), m.ints(n, "shape", 1, [])
    fits(n, target)
    rank = max(len(x.shape), len(target))
    both = [[1] * (rank - len(s)) + list(s) for s in (sizes_of(x), target)]
    if any(a != b and 1 not in (a, b) for a, b in zip(*both, strict=True)):
        raise ModelError(f"node {n.name!r} (Expand): {list(x.shape)} to {target}")
    shape = fits(n, [max(a, b) for a, b in zip(*both, strict=True)])
    m.bind(n, m.one("expand", [x], n.outputs[0], quants=[x.quant], shape=shape))


@converts("Tile")
def _tile(m: Importer, n: Node) -> None:
    x, repeats = m.operand(n, 0), m.ints(n, "repeats", 1, [])
    fits(n, [d * r for d, r in zip(sizes_of(x), repeats, strict=True)])
    m.bind(n, m.one("tile", [x], n.outputs[0], quants=[x.quant], repeats=tuple(repeats)))


@converts("Gather")
def _gather(m: Importer, n: Node) -> None:
    x, indices = m.operand(n, 0), m.operand(n, 1)
    axis = axis_of(n, len(x.shape), 0)
    size, fixed = sizes_of(x)[axis], indices.data
    if fixed is not None and ((fixed < -size) | (fixed >= size)).any():
        raise ModelError(f"node {n.name!r} (Gather): an index that axis {axis} of {list(x.shape)} doesn't have")
    m.bind(n, m.one("gather", [x, indices], n.outputs[0], quants=[x.quant], axis=axis, batch_dims=0))


@converts("GatherElements")
def _gather_elements(m: Importer, n: Node) -> None:
    x = m.operand(n, 0)
    m.bind(n, m.one("gather_elements", [x, m.operand(n, 1)], n.outputs[0], axis=axis_of(n, len(x.shape), 0)))


@converts("GatherND")
def _gather_nd(m: Importer, n: Node) -> None:
    batch = int(n.attr("batch_dims", 0))
    m.bind(n, m.one("gather_nd", [m.operand(n, 0), m.operand(n, 1)], n.outputs[0], batch_dims=batch))


@converts("ScatterElements", "Scatter")
def _scatter_elements(m: Importer, n: Node) -> None:
    operands = [m.operand(n, i) for i in range(3)]
    axis = axis_of(n, len(operands[0].shape), 0)
    m.bind(n, m.one("scatter_elements", operands, n.outputs[0], axis=axis, reduction=n.attr("reduction", "none")))


@converts("ScatterND")
def _scatter_nd(m: Importer, n: Node) -> None:
    operands = [m.operand(n, i) for i in range(3)]
    m.bind(n, m.one("scatter_nd", operands, n.outputs[0], reduction=n.attr("reduction", "none")))


@converts("Trilu")
def _trilu(m: Importer, n: Node) -> None:
    k = m.optional(n, 1)
    operands = [m.operand(n, 0), *([] if k is None else [k])]
    m.bind(n, m.one("trilu", operands, n.outputs[0], upper=bool(n.attr("upper", 1))))


@converts("OneHot")
def _one_hot(m: Importer, n: Node) -> None:
    indices, values, depth = m.operand(n, 0), m.operand(n, 2), m.constant(n, 1)
    assert depth is not None
    axis = axis_of(n, len(indices.shape) + 1, -1)
    size = int(depth.reshape(-1)[0])
    fits(n, [*sizes_of(indices), size])
    m.bind(n, m.one("one_hot", [indices, values], n.outputs[0], depth=size, axis=axis))


# --- shapes as values -------------------------------------------------------------------------------------------------


@converts("Shape")
def _shape(m: Importer, n: Node) -> None:
    x = m.operand(n, 0)
    start, end, _ = slice(n.attr("start", 0), n.attr("end", None)).indices(len(x.shape))
    if start >= end:
        m.empty(n, 0, [0], "int64")
    elif m.fold:
        m.bind(n, m.const(np.array(x.shape[start:end], np.int64), n.outputs[0]))
    else:
        m.bind(n, m.one("shape", [x], n.outputs[0], start=start, end=end))


@converts("Size")
def _size(m: Importer, n: Node) -> None:
    x = m.operand(n, 0)
    if m.fold:
        m.bind(n, m.const(np.array(math.prod(sizes_of(x)), np.int64), n.outputs[0]))
    else:
        m.bind(n, m.one("size", [x], n.outputs[0]))


@converts("Constant")
def _constant(m: Importer, n: Node) -> None:
    from .file import array

    name = next((a for a in n.attributes), "")
    given: Any = n.attr(name, None)
    if name == "value":
        value = array(given, m.file)
    elif name in ("value_float", "value_floats"):
        value = np.array(given, np.float32)
    elif name in ("value_int", "value_ints"):
        value = np.array(given, np.int64)
    else:
        raise Unsupported(f"{name}={given!r}")
    m.bind(n, m.const(value, n.outputs[0]))


@converts("ConstantOfShape")
def _constant_of_shape(m: Importer, n: Node) -> None:
    from .file import array

    given = n.attr("value", None)
    value = np.zeros(1, np.float32) if given is None else array(given, m.file)
    shape = m.ints(n, "", 0, [])
    if 0 in shape:
        m.empty(n, 0, shape, str(value.dtype))
        return
    x = m.const(value.reshape(()), f"{n.name}/value")
    m.bind(n, m.one("expand", [x], n.outputs[0], shape=fits(n, shape)))


@converts("Range")
def _range(m: Importer, n: Node) -> None:
    """Its three operands fix the shape, so the values are constant."""
    start, limit, step = (m.constant(n, i) for i in range(3))
    assert start is not None and limit is not None and step is not None
    if not step.any():
        raise ModelError(f"node {n.name!r} (Range): a step of 0")
    count = math.ceil((float(limit.reshape(-1)[0]) - float(start.reshape(-1)[0])) / float(step.reshape(-1)[0]))
    fits(n, [max(count, 0)])
    m.bind(n, m.one("range", [m.operand(n, i) for i in range(3)], n.outputs[0], size=count))


# --- reductions -------------------------------------------------------------------------------------------------------

_REDUCTIONS = {
    "ReduceSum": "reduce_sum",
    "ReduceMean": "reduce_mean",
    "ReduceMax": "reduce_max",
    "ReduceMin": "reduce_min",
    "ReduceProd": "reduce_prod",
    "ReduceL1": "reduce_l1",
    "ReduceL2": "reduce_l2",
    "ReduceLogSum": "reduce_log_sum",
    "ReduceLogSumExp": "reduce_log_sum_exp",
    "ReduceSumSquare": "reduce_sum_square",
}


@converts(*_REDUCTIONS)
def _reduce(m: Importer, n: Node) -> None:
    x = m.operand(n, 0)
    rank = len(x.shape)
    axes = m.ints(n, "axes", 1)
    keepdims = bool(n.attr("keepdims", 1))
    noop = n.attr("noop_with_empty_axes", 0)
    if not axes:
        axes = [] if noop else list(range(rank))
    exact = tuple(sorted({a % rank for a in axes})) if rank else ()
    kind = _REDUCTIONS[n.op_type]
    if kind == "reduce_mean" and x.dtype == "float32" and exact:
        kind = "mean"
    m.bind(n, m.one(kind, [x], n.outputs[0], axes=exact, keepdims=keepdims))


@converts("ArgMax", "ArgMin")
def _arg(m: Importer, n: Node) -> None:
    x = m.operand(n, 0)
    kind = "arg_max" if n.op_type == "ArgMax" else "arg_min"
    attrs = {"axis": axis_of(n, len(x.shape), 0), "keepdims": bool(n.attr("keepdims", 1))}
    m.bind(n, m.one(kind, [x], n.outputs[0], **attrs, select_last=bool(n.attr("select_last_index", 0)), dtype="int64"))


@converts("TopK")
def _topk(m: Importer, n: Node) -> None:
    x = m.operand(n, 0)
    k = m.ints(n, "k", 1, [0])[0]
    attrs: dict[str, Any] = {
        "axis": axis_of(n, len(x.shape), -1),
        "largest": bool(n.attr("largest", 1)),
        "sorted": bool(n.attr("sorted", 1)),
    }
    m.bind(n, *m.emit("topk", [x], n.name, outputs=2, k=k, dtype="int64", **attrs))


@converts("CumSum")
def _cumsum(m: Importer, n: Node) -> None:
    attrs = {"exclusive": bool(n.attr("exclusive", 0)), "reverse": bool(n.attr("reverse", 0))}
    m.bind(n, m.one("cumsum", [m.operand(n, 0), m.operand(n, 1)], n.outputs[0], **attrs))
