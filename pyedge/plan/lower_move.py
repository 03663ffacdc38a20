"""Lowering of the kinds of model/ops_move.py: nearly all of them are nests of strided copies."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from pyedge._plan_structs import ffi

from ..errors import PlanError
from ..model.graph import Op, array_dtype
from ..model.ops_move import axis_of, col2im_blocks, slices
from ..model.reference_move import fill
from ..model.resize import INTEGER_BITS, Taps, taps
from .lower import Builder, lowers
from .program import Value

Loop = tuple[int, int, int]  # count, stride in x, stride in y

MAX_LOOPS: int = ffi.integer_const("PE_MAX_LOOPS")
REDUCTIONS: dict[str, int] = {
    name.removeprefix("PE_REDUCE_").lower(): value for value, name in ffi.typeof("enum pe_reduction").elements.items()
}


def strides(dims: Sequence[int]) -> list[int]:
    """Elements from one index to the next along each axis, row-major."""
    return [math.prod(dims[i + 1 :]) for i in range(len(dims))]


def dims_of(b: Builder, number: int) -> tuple[int, ...]:
    return b.program.values[number].dims


def _merged(loops: Sequence[Loop]) -> list[Loop]:
    """Fewer loops over the same elements in the same order."""
    merged: list[Loop] = []
    for n, x, y in loops:
        if n == 1:
            continue
        if merged and merged[-1][1] == n * x and merged[-1][2] == n * y:
            merged[-1] = (merged[-1][0] * n, x, y)
        else:
            merged.append((n, x, y))
    return merged


def move(b: Builder, op: Op, x: int, y: int, loops: Sequence[Loop], x_start: int = 0, y_start: int = 0) -> None:
    """Copies elements of x into places of y; loops from the outermost on."""
    merged = _merged(loops)
    if len(merged) > MAX_LOOPS:
        raise PlanError(
            f"op {op.name!r} ({op.kind}): needs {len(merged)} nested loops, at most {MAX_LOOPS} are possible"
        )
    n, sx, sy = ([loop[i] for loop in merged] for i in range(3))
    if math.prod(n) == math.prod(dims_of(b, x)) == math.prod(dims_of(b, y)) and len(n) <= 1 and sx == sy:
        b.copy(x, op.name, y)
        return
    params: dict[str, Any] = {"rank": len(n), "x_start": x_start, "y_start": y_start}
    b.emit("strided_copy", op.name, [x], [y], **params, n=n, x_stride=sx, y_stride=sy)


def temporary(b: Builder, op: Op, dtype: str, dims: Sequence[int]) -> int:
    """A value that only steps of this op use."""
    number = len(b.program.values)
    b.program.values.append(Value(f"{op.name}:{number}", dtype, tuple(dims), number))
    return number


@lowers("transpose")
def _transpose(b: Builder, op: Op) -> None:
    x, y = b.input(op, 0), b.result(op)
    from_x, to_y = strides(dims_of(b, x)), strides(dims_of(b, y))
    perm = op.attrs["perm"]
    move(b, op, x, y, [(n, from_x[perm[i]], to_y[i]) for i, n in enumerate(dims_of(b, y))])


@lowers("slice")
def _slice(b: Builder, op: Op) -> None:
    x, y = b.input(op, 0), b.result(op)
    part(b, op, x, y, [(s.start, s.step) for s in slices(op, dims_of(b, x))])


def part(b: Builder, op: Op, x: int, y: int, steps: Sequence[tuple[int, int]]) -> None:
    """y = the elements of x from start on with a step, along each axis."""
    from_x, to_y = strides(dims_of(b, x)), strides(dims_of(b, y))
    start = sum(s * stride for (s, _), stride in zip(steps, from_x, strict=True))
    loops = [(n, step * sx, sy) for n, (_, step), sx, sy in zip(dims_of(b, y), steps, from_x, to_y, strict=True)]
    move(b, op, x, y, loops, x_start=start)


@lowers("reverse")
def _reverse(b: Builder, op: Op) -> None:
    x, y = b.input(op, 0), b.result(op)
    axes = op.attrs["axes"]
    part(b, op, x, y, [(n - 1, -1) if i in axes else (0, 1) for i, n in enumerate(dims_of(b, x))])


@lowers("split", "unpack")
def _split(b: Builder, op: Op) -> None:
    x = b.input(op, 0)
    rank = len(dims_of(b, x))
    axis, at = axis_of(op, rank), 0
    for i in range(len(op.outputs)):
        y = b.result(op, i)
        size = op.attrs["sizes"][i] if op.kind == "split" else 1
        whole = b.view(y, (*dims_of(b, x)[:axis], size, *dims_of(b, x)[axis + 1 :]))
        part(b, op, x, whole, [(at if k == axis else 0, 1) for k in range(rank)])
        at += size


@lowers("concat", "pack")
def _concat(b: Builder, op: Op) -> None:
    y = b.result(op)
    axis, at = axis_of(op, len(dims_of(b, y))), 0
    for i in range(len(op.inputs)):
        x = b.input(op, i)
        if op.kind == "pack":
            x = b.view(x, (*dims_of(b, y)[:axis], 1, *dims_of(b, y)[axis + 1 :]))
        if b.program.values[x].dtype == "int8" and b.program.values[x].scale != b.program.values[y].scale:
            _check_codes(b, op, x, y)
        insert(b, op, x, y, [at if k == axis else 0 for k in range(len(dims_of(b, y)))])
        at += dims_of(b, x)[axis]


def _check_codes(b: Builder, op: Op, x: int, y: int) -> None:
    v, w = b.program.values[x], b.program.values[y]
    if (v.scale, v.zero_point) != (w.scale, w.zero_point) and v.scale and w.scale:
        raise PlanError(
            f"op {op.name!r} ({op.kind}): tensors {v.name!r} and {w.name!r} have different scales; quantize the first"
        )


def insert(b: Builder, op: Op, x: int, y: int, starts: Sequence[int]) -> None:
    """Writes x into y, from starts on along each axis."""
    from_x, to_y = strides(dims_of(b, x)), strides(dims_of(b, y))
    start = sum(s * stride for s, stride in zip(starts, to_y, strict=True))
    move(b, op, x, y, list(zip(dims_of(b, x), from_x, to_y, strict=True)), y_start=start)


@lowers("expand", "tile")
def _expand(b: Builder, op: Op) -> None:
    x, y = b.input(op, 0), b.result(op)
    if op.kind == "expand":
        spread(b, op, x, y)
        return
    loops: list[Loop] = []
    for r, n, sx, sy in zip(
        op.attrs["repeats"], dims_of(b, x), strides(dims_of(b, x)), strides(dims_of(b, y)), strict=True
    ):
        loops += [(r, 0, n * sy), (n, sx, sy)]
    move(b, op, x, y, loops)


def spread(b: Builder, op: Op, x: int, y: int) -> None:
    """y = x, broadcast."""
    dims, wanted = dims_of(b, x), dims_of(b, y)
    padded = (1,) * (len(wanted) - len(dims)) + dims
    zipped = zip(padded, strides(padded), wanted, strides(wanted), strict=True)
    move(b, op, x, y, [(m, 0 if n == 1 else sx, sy) for n, sx, m, sy in zipped])


@lowers("pad")
def _pad(b: Builder, op: Op) -> None:
    x, y = b.input(op, 0), b.result(op)
    pads = op.attrs["pads"]
    if op.attrs["mode"] == "constant":
        value = b.optional_input(op, 1)
        if value is None:
            filled = np.full(1, fill(b.tensor(str(op.inputs[0]))), array_dtype(b.program.values[x].dtype))
            value = b.constant(f"{op.name}:value", filled)
        spread(b, op, b.view(value, (1,)), y)
        cut = [(max(-before, 0), n - max(-after, 0)) for n, (before, after) in zip(dims_of(b, x), pads, strict=True)]
        from_x, to_y = strides(dims_of(b, x)), strides(dims_of(b, y))
        loops = [(end - start, sx, sy) for (start, end), sx, sy in zip(cut, from_x, to_y, strict=True)]
        x_start = sum(start * sx for (start, _), sx in zip(cut, from_x, strict=True))
        y_start = sum(max(before, 0) * sy for (before, _), sy in zip(pads, to_y, strict=True))
        move(b, op, x, y, loops, x_start, y_start)
        return
    tables: list[np.ndarray | None] = []
    for n, (before, after) in zip(dims_of(b, x), pads, strict=True):
        kept = np.arange(n)[max(-before, 0) : n - max(-after, 0)]
        padded = np.pad(kept, (max(before, 0), max(after, 0)), mode=op.attrs["mode"])
        tables.append(None if before == after == 0 else padded)
    select(b, op, x, y, tables)


def select(b: Builder, op: Op, x: int, y: int, tables: Sequence[np.ndarray | None]) -> None:
    """y = x with the elements of a table along each axis; axis by axis, those that shrink first."""
    axes = [i for i, table in enumerate(tables) if table is not None]
    axes.sort(key=lambda i: np.asarray(tables[i]).size / dims_of(b, x)[i])
    if not axes:
        b.copy(x, op.name, y)
    for axis in axes:
        table = np.asarray(tables[axis], np.int32)
        dims = [table.size if i == axis else d for i, d in enumerate(dims_of(b, x))]
        last = axis == axes[-1]
        to = y if last else temporary(b, op, b.program.values[x].dtype, dims)
        _gather_axis(b, op, x, b.constant(f"{op.name}:index", table), to, axis, 0)
        x = to


@lowers("gather")
def _gather(b: Builder, op: Op) -> None:
    x, indices = b.input(op, 0), b.input(op, 1)
    _gather_axis(b, op, x, indices, b.result(op), axis_of(op, len(dims_of(b, x))), op.attrs["batch_dims"])


def _gather_axis(b: Builder, op: Op, x: int, indices: int, y: int, axis: int, batch: int) -> None:
    dims = dims_of(b, x)
    inner, size = math.prod(dims[axis + 1 :]), dims[axis]
    count = math.prod(dims_of(b, indices)[batch:])
    loops = [
        (math.prod(dims[:batch]), math.prod(dims[batch:]), count),
        (math.prod(dims[batch:axis]), size * inner, 0),
        (count, 0, 1),
    ]
    b.emit("gather", op.name, [x, indices], [y], **_index_params(loops, [(size, inner)], inner))


def _index_params(loops: Sequence[Loop], components: Sequence[tuple[int, int]], inner: int) -> dict[str, Any]:
    """loops: count, stride in the table, stride in the indices; components: size and stride of each index."""
    merged = _merged(loops)
    return {
        "rank": len(merged),
        "n": [loop[0] for loop in merged],
        "table_stride": [loop[1] for loop in merged],
        "index_stride": [loop[2] for loop in merged],
        "components": len(components),
        "size": [c[0] for c in components],
        "stride": [c[1] for c in components],
        "inner": inner,
    }


def _elements_params(b: Builder, op: Op, table: int, indices: int) -> dict[str, Any]:
    """Each index stands in its own place, and names the element along the op's axis."""
    dims, axis = dims_of(b, table), axis_of(op, len(dims_of(b, table)))
    steps = strides(dims)
    own = strides(dims_of(b, indices))
    loops = [(n, 0 if i == axis else steps[i], own[i]) for i, n in enumerate(dims_of(b, indices))]
    return _index_params(loops, [(dims[axis], steps[axis])], 1)


def _tuple_params(b: Builder, table: int, indices: int, batch: int) -> dict[str, Any]:
    """Each tuple indices[..., :] names a part of the table behind its batch axes."""
    dims, steps = dims_of(b, table), strides(dims_of(b, table))
    shape = dims_of(b, indices)
    k, tuples = shape[-1], math.prod(shape[batch:-1])
    loops = [(math.prod(dims[:batch]), math.prod(dims[batch:]), tuples * k), (tuples, 0, k)]
    parts = list(zip(dims[batch : batch + k], steps[batch : batch + k], strict=True))
    return _index_params(loops, parts, math.prod(dims[batch + k :]))


@lowers("gather_elements")
def _gather_elements(b: Builder, op: Op) -> None:
    x, indices = b.input(op, 0), b.input(op, 1)
    b.emit("gather", op.name, [x, indices], [b.result(op)], **_elements_params(b, op, x, indices))


@lowers("gather_nd")
def _gather_nd(b: Builder, op: Op) -> None:
    x, indices = b.input(op, 0), b.input(op, 1)
    b.emit("gather", op.name, [x, indices], [b.result(op)], **_tuple_params(b, x, indices, op.attrs["batch_dims"]))


_JOIN = {"add": "sum", "mul": "prod", "max": "max", "min": "min"}


@lowers("scatter_elements", "scatter_nd")
def _scatter(b: Builder, op: Op) -> None:
    x, indices, updates, y = b.input(op, 0), b.input(op, 1), b.input(op, 2), b.result(op)
    b.copy(x, op.name, y)
    elements = op.kind == "scatter_elements"
    params = _elements_params(b, op, y, indices) if elements else _tuple_params(b, y, indices, 0)
    reduction = op.attrs["reduction"]
    if reduction == "none":
        b.emit("scatter", op.name, [indices, updates], [y], **params)
    else:
        b.emit("scatter_any", op.name, [indices, updates], [y], **params, reduction=REDUCTIONS[_JOIN[reduction]])


@lowers("one_hot")
def _one_hot(b: Builder, op: Op) -> None:
    """All of y is `off`; then `on` goes to the place that each index names."""
    indices, values, y = b.input(op, 0), b.input(op, 1), b.result(op)
    dtype, dims = b.program.values[values].dtype, dims_of(b, y)
    axis, steps, own = axis_of(op, len(dims)), strides(dims), strides(dims_of(b, indices))
    on = temporary(b, op, dtype, (1,))
    move(b, op, values, on, [], x_start=1)
    move(b, op, values, y, [(math.prod(dims), 0, 1)])
    around = [i for i in range(len(dims)) if i != axis]
    loops = [(dims[i], steps[i], own[k]) for k, i in enumerate(around)]
    params = _index_params(loops, [(dims[axis], steps[axis])], 1)
    b.emit("scatter", op.name, [indices, on], [y], **params, skip=1, spread=1)


@lowers("depth_to_space", "space_to_depth")
def _depth(b: Builder, op: Op) -> None:
    """The channels [bh, bw, c] (DCR) or [c, bh, bw] (CRD) of the deep tensor are blocks of pixels of the wide one."""
    x, y = b.input(op, 0), b.result(op)
    wide, deep = (y, x) if op.kind == "depth_to_space" else (x, y)
    block = op.attrs["block"]
    n, h, w, c = dims_of(b, deep)
    c //= block**2
    order = (block * c, c, 1) if op.attrs["mode"] == "DCR" else (block, 1, block**2)
    row, pixel = w * block * c, c  # of the wide tensor
    both = [
        (n * h, w * c * block**2, block * row),
        (block, order[0], row),
        (w, c * block**2, block * pixel),
        (block, order[1], pixel),
        (c, order[2], 1),
    ]
    move(b, op, x, y, both if wide == y else [(count, sy, sx) for count, sx, sy in both])


@lowers("col2im")
def _col2im(b: Builder, op: Op) -> None:
    """Sums by scattering; elements that fall into the padding have an index beyond the image and are skipped."""
    x, y = b.input(op, 0), b.result(op)
    a = op.attrs
    pixels, planes = math.prod(a["image"]), math.prod(dims_of(b, y)[:2])
    at = np.zeros((*a["block"], *col2im_blocks(op)), np.int64)
    outside = np.zeros(at.shape, bool)
    rank = len(a["image"])
    for i, (n, (before, _), d, s) in enumerate(zip(a["image"], a["pads"], a["dilations"], a["strides"], strict=True)):
        tap, block = np.indices(at.shape)[[i, rank + i]]
        place = tap * d + block * s - before
        outside |= (place < 0) | (place >= n)
        at = at * n + place
    indices = b.constant(f"{op.name}:index", np.where(outside, pixels, at).astype(np.int32))
    zero = b.constant(f"{op.name}:zero", np.zeros(1, array_dtype(b.program.values[x].dtype)))
    move(b, op, zero, y, [(math.prod(dims_of(b, y)), 0, 1)])
    params = _index_params([(planes, pixels, 0), (at.size, 0, 1)], [(pixels, 1)], 1)
    b.emit("scatter_any", op.name, [indices, x], [y], **params, skip=1, reduction=REDUCTIONS["sum"])


@lowers("resize")
def _resize(b: Builder, op: Op) -> None:
    x, y = b.input(op, 0), b.result(op)
    dtype, sizes = b.program.values[x].dtype, dims_of(b, y)
    integer = dtype == "int8" and op.attrs["mode"] == "linear"
    tables = [taps(op, axis, n, integer) for axis, n in enumerate(dims_of(b, x))]
    if op.attrs["mode"] == "nearest":
        select(b, op, x, y, [None if t is None else t.index[:, 0] for t in tables])
    else:
        _interpolate(b, op, x, y, tables, "int32" if integer else dtype)
    for axis, table in enumerate(tables):
        if table is not None and table.outside is not None and table.outside.any():
            value = b.constant(f"{op.name}:outside", np.full(1, op.attrs["extrapolation"], array_dtype(dtype)))
            steps = strides(sizes)
            for j in np.flatnonzero(table.outside):
                loops = [(1 if i == axis else n, 0, steps[i]) for i, n in enumerate(sizes)]
                move(b, op, value, y, loops, y_start=int(j) * steps[axis])


def _interpolate(b: Builder, op: Op, x: int, y: int, tables: Sequence[Taps | None], between: str) -> None:
    """One weighted sum an axis; int8 stays exact in int32 until the last one, which rounds."""
    axes = [i for i, table in enumerate(tables) if table is not None]
    if not axes:
        b.copy(x, op.name, y)
    kind = "resample_s8" if between == "int32" else "resample_f32"
    for axis in axes:
        table = tables[axis]
        assert table is not None
        dims = [dims_of(b, y)[i] if i == axis else d for i, d in enumerate(dims_of(b, x))]
        last = axis == axes[-1]
        to = y if last else temporary(b, op, between, dims)
        index = b.constant(f"{op.name}:index", table.index)
        weight = b.constant(f"{op.name}:weight", table.weight.astype(np.int32 if between == "int32" else np.float32))
        shift = INTEGER_BITS * len(axes) if last and between == "int32" else 0
        b.emit(kind, op.name, [x, index, weight], [to], axis=axis, shift=shift)
        x = to


@lowers("trilu")
def _trilu(b: Builder, op: Op) -> None:
    x, k = b.input(op, 0), b.optional_input(op, 1)
    if k is None:
        k = b.constant(f"{op.name}:k", np.zeros((), np.int32))
    b.emit("trilu", op.name, [x, k], [b.result(op)], upper=int(op.attrs["upper"]))


@lowers("reverse_sequence")
def _reverse_sequence(b: Builder, op: Op) -> None:
    axes = {name: op.attrs[name] for name in ("batch_axis", "time_axis")}
    b.emit("reverse_sequence", op.name, [b.input(op, 0), b.input(op, 1)], [b.result(op)], **axes)


@lowers("identity")
def _identity(b: Builder, op: Op) -> None:
    b.copy(b.input(op, 0), op.name, b.result(op))


@lowers("shape", "size")
def _shape(b: Builder, op: Op) -> None:
    """Constant once the shapes are fixed."""
    dims = dims_of(b, b.input(op, 0))
    value = dims[op.attrs["start"] : op.attrs["end"]] if op.kind == "shape" else math.prod(dims)
    b.copy(b.constant(f"{op.name}:value", np.array(value, np.int64)), op.name, b.result(op))


@lowers("range")
def _range(b: Builder, op: Op) -> None:
    """Running sums of start, delta, delta, ..."""
    start, delta, y = b.input(op, 0), b.input(op, 2), b.result(op)
    dtype, n = b.program.values[y].dtype, op.attrs["size"]
    terms = temporary(b, op, dtype, (n,))
    move(b, op, delta, terms, [(n, 0, 1)])
    move(b, op, start, terms, [])
    axis = b.constant(f"{op.name}:axis", np.zeros((), np.int32))
    b.emit("cumsum_f32" if dtype == "float32" else "cumsum_any", op.name, [terms, axis], [y])
