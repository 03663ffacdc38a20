"""Kinds that move elements of any dtype, whatever they mean.

| kind | inputs -> outputs | attributes |
|---|---|---|
| transpose | x | perm |
| slice | x | starts, ends, axes, steps: as ONNX, ends beyond the axis are clamped |
| concat | x ... | axis |
| split | x -> one for each size | axis, sizes |
| pack, unpack | x ... -> y with one axis more; the reverse | axis |
| pad | x [value] | mode (PAD_MODES, as numpy.pad's), pads: (before, after) an axis, below 0 cuts off |
| expand | x | shape: NumPy broadcasting in both directions |
| tile | x | repeats |
| reverse | x | axes |
| reverse_sequence | x lengths | batch_axis, time_axis |
| gather | x indices | axis, batch_dims |
| gather_elements | x indices | axis |
| gather_nd | x indices[..., k] | batch_dims |
| scatter_elements | x indices updates | axis, reduction ("none", "add", "mul", "max", "min") |
| scatter_nd | x indices[..., k] updates | reduction |
| one_hot | indices values[2] (off, on) | depth, axis |
| depth_to_space, space_to_depth | x[N,H,W,C] | block, mode ("DCR": as TFLite, "CRD") |
| col2im | x[N, C * block, L] -> y[N, C, image ...] | image, block, dilations, pads, strides |
| resize | x | sizes (-1: stays as it is), scales, mode and more: resize.py |
| trilu | x [k] | upper |
| identity | x | |
| shape, size | x -> int64 | start, end (shape) |
| range | start limit delta -> [size], start + i * delta | size: fixed by what the operands were at import |

Negative indices count from the end; those beyond an axis are clamped in gather and scatter, and give `off` in one_hot.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from ..errors import ShapeError
from .check import CODES_ONLY
from .graph import Op, Tensor
from .ops import ANY_NUMBER, ATTRS, KINDS, MAX_EXTENT, Kind, Operands, Result, Shape, is_int, misfit, need, show
from .resize import COORDINATES, MODES, NEAREST

INDEX_DTYPES = ("int32", "int64")
PAD_MODES = ("constant", "reflect", "symmetric", "edge", "wrap")
REDUCTIONS = ("none", "add", "mul", "max", "min")

_FAR = 2**63  # ends of slices may be as far as ONNX's


def _ints(low: int, high: int = MAX_EXTENT) -> Callable[[Any], bool]:
    return lambda v: isinstance(v, tuple) and all(is_int(e, low, high) for e in v)


def _pairs(low: int) -> Callable[[Any], bool]:
    return lambda v: isinstance(v, tuple) and all(_ints(low)(p) and len(p) == 2 for p in v)


def _numbers(v: Any) -> bool:
    return isinstance(v, tuple) and all(isinstance(e, int | float) and math.isfinite(e) for e in v)


ATTRS |= {
    "perm": (lambda v: _ints(0, 64)(v) and sorted(v) == list(range(len(v))), "a permutation of the axes"),
    "starts": (_ints(-_FAR, _FAR), "integers"),
    "slice.axes": (_ints(-64, 64), "axis numbers"),
    "ends": (_ints(-_FAR, _FAR), "integers"),
    "steps": (lambda v: _ints(-_FAR, _FAR)(v) and 0 not in v, "integers other than 0"),
    "sizes": (_ints(1), "sizes >= 1"),
    "resize.sizes": (lambda v: _ints(-1)(v) and 0 not in v, "sizes >= 1, or -1 for an axis that stays as it is"),
    "mode": (lambda v: v in (*PAD_MODES, *MODES, "DCR", "CRD"), "a mode of the op"),
    "pad.pads": (_pairs(-MAX_EXTENT), "(before, after) for each axis"),
    "col2im.pads": (_pairs(0), "(before, after) >= 0 for each axis"),
    "repeats": (_ints(1), "counts >= 1"),
    "batch_dims": (lambda v: is_int(v, 0, 64), "a count of axes"),
    "batch_axis": (lambda v: v in (0, 1), "0 or 1"),
    "time_axis": (lambda v: v in (0, 1), "0 or 1"),
    "reduction": (lambda v: v in REDUCTIONS, '"none", "add", "mul", "max" or "min"'),
    "depth": (lambda v: is_int(v, 1, MAX_EXTENT), "an integer >= 1"),
    "block": (lambda v: is_int(v, 1) or _ints(1)(v), "integers >= 1"),
    "image": (_ints(1), "sizes >= 1"),
    "dilations": (_ints(1), "integers >= 1"),
    "strides": (_ints(1), "integers >= 1"),
    "upper": (lambda v: isinstance(v, bool), "a bool"),
    "start": (lambda v: is_int(v, 0, 64), "an axis number"),
    "end": (lambda v: is_int(v, 0, 64), "an axis number"),
    "size": (lambda v: is_int(v, 1, MAX_EXTENT), "an integer >= 1"),
    "scales": (_numbers, "numbers"),
    "roi": (_numbers, "numbers"),
    "coordinates": (lambda v: v in COORDINATES, f"one of {', '.join(COORDINATES)}"),
    "nearest": (lambda v: v in NEAREST, f"one of {', '.join(NEAREST)}"),
    "cubic_coeff": (lambda v: isinstance(v, float), "a number"),
    "exclude_outside": (lambda v: isinstance(v, bool), "a bool"),
    "extrapolation": (lambda v: isinstance(v, float), "a number"),
    "antialias": (lambda v: isinstance(v, bool), "a bool"),
}
# These two stood for axes that are not negative, and for the last axis alone; here any axis counts from either end.
ATTRS["axis"] = (lambda v: is_int(v, -64, 64), "an axis number")


def fixed(op: Op, t: Tensor) -> tuple[int, ...]:
    """The shape of an operand whose sizes must be known."""
    if None in t.shape:
        raise ShapeError(f"{op.kind} {op.name!r}: tensor {t.name!r} has the open shape {show(t.shape)}; fix it first")
    return tuple(d for d in t.shape if d is not None)


def axis_of(op: Op, rank: int, axis: int | None = None) -> int:
    """An axis counted from the front."""
    axis = op.attrs["axis"] if axis is None else axis
    if not -rank <= axis < rank:
        raise ShapeError(f"{op.kind} {op.name!r}: there is no axis {axis} among {rank}")
    return axis % rank


def slices(op: Op, shape: tuple[int, ...]) -> list[slice]:
    """One slice an axis with everything resolved: start, end (maybe -1 before the front) and step."""
    found = [slice(0, n, 1) for n in shape]
    a = op.attrs
    if not len(a["starts"]) == len(a["ends"]) == len(a["axes"]) == len(a["steps"]):
        raise ShapeError(f"slice {op.name!r}: starts, ends, axes and steps differ in number")
    for start, end, axis, step in zip(a["starts"], a["ends"], a["axes"], a["steps"], strict=True):
        i = axis_of(op, len(shape), axis)
        found[i] = slice(*slice(start, end, step).indices(shape[i]))
    return found


def _slice(op: Op, operands: Operands) -> Result:
    x = need(op, operands, 0)
    taken = slices(op, tuple(d or 1 for d in x.shape))
    result = tuple(
        None if d is None else len(range(s.start, s.stop, s.step)) for d, s in zip(x.shape, taken, strict=True)
    )
    if 0 in result:
        raise ShapeError(f"slice {op.name!r}: nothing is left of tensor {x.name!r} {show(x.shape)}")
    return result, x.dtype


def _transpose(op: Op, operands: Operands) -> Result:
    x = need(op, operands, 0)
    if len(op.attrs["perm"]) != len(x.shape):
        raise misfit(op, x, f"{len(op.attrs['perm'])} axes")
    return tuple(x.shape[i] for i in op.attrs["perm"]), x.dtype


def differ(a: int | None, b: int | None) -> bool:
    """Whether two sizes cannot be the same; an open one may become any."""
    return None not in (a, b) and a != b


def _alike(op: Op, operands: Operands, axis: int | None) -> Tensor:
    """The first operand; the others have its dtype, and its shape but for one axis."""
    first = need(op, operands, 0)
    for i in range(1, len(operands)):
        t = need(op, operands, i)
        if (
            t.dtype != first.dtype
            or len(t.shape) != len(first.shape)
            or any(differ(a, b) for k, (a, b) in enumerate(zip(t.shape, first.shape, strict=True)) if k != axis)
        ):
            raise misfit(op, t, f"{first.dtype}{show(first.shape)} as tensor {first.name!r}")
    return first


def _concat(op: Op, operands: Operands) -> Result:
    axis = axis_of(op, len(need(op, operands, 0).shape))
    first = _alike(op, operands, axis)
    parts = [need(op, operands, i).shape[axis] for i in range(len(operands))]
    total = None if None in parts else sum(n or 0 for n in parts)
    return tuple(total if k == axis else d for k, d in enumerate(first.shape)), first.dtype


def _split(op: Op, operands: Operands) -> list[Result]:
    x = need(op, operands, 0)
    axis, sizes = axis_of(op, len(x.shape)), op.attrs["sizes"]
    if differ(sum(sizes), x.shape[axis]):
        raise misfit(op, x, f"{sum(sizes)} along axis {axis} for the parts {list(sizes)}")
    return [(tuple(s if k == axis else d for k, d in enumerate(x.shape)), x.dtype) for s in sizes]


def _pack(op: Op, operands: Operands) -> Result:
    first = _alike(op, operands, None)
    axis = axis_of(op, len(first.shape) + 1)
    return (*first.shape[:axis], len(operands), *first.shape[axis:]), first.dtype


def _unpack(op: Op, operands: Operands) -> list[Result]:
    x = need(op, operands, 0)
    axis = axis_of(op, len(x.shape))
    count = x.shape[axis]
    if count is None:
        raise misfit(op, x, f"a fixed size along axis {axis}")
    return [((*x.shape[:axis], *x.shape[axis + 1 :]), x.dtype)] * count


def _pad(op: Op, operands: Operands) -> Result:
    x = need(op, operands, 0)
    shape, pads, mode = x.shape, op.attrs["pads"], op.attrs["mode"]
    value = operands[1] if len(operands) > 1 else None
    if len(pads) != len(shape) or mode not in PAD_MODES:
        raise misfit(op, x, f"{len(pads)} axes for {len(pads)} pairs of padding, mode {mode!r}")
    if value is not None and (value.dtype != x.dtype or math.prod(fixed(op, value)) != 1):
        raise misfit(op, value, f"one {x.dtype}")
    result = tuple(None if n is None else n + b + a for n, (b, a) in zip(shape, pads, strict=True))
    kept = [n + min(b, 0) + min(a, 0) for n, (b, a) in zip(shape, pads, strict=True) if n is not None]
    if any(n is not None and n < 1 for n in result) or any(n < 1 for n in kept):
        raise ShapeError(f"pad {op.name!r}: nothing is left of tensor {x.name!r} {show(x.shape)}")
    return result, x.dtype


def _expand(op: Op, operands: Operands) -> Result:
    x = need(op, operands, 0)
    target: Shape = op.attrs["shape"]
    rank = max(len(x.shape), len(target))
    shape: list[int | None] = []
    for p, q in zip((1,) * (rank - len(x.shape)) + x.shape, (1,) * (rank - len(target)) + target, strict=True):
        if q is None or not (p == q or q == 1 or p in (None, 1)):
            raise misfit(op, x, f"a shape that broadcasts to {show(target)}")
        shape.append(q if p is not None and q != 1 else p)
    return tuple(shape), x.dtype


def _tile(op: Op, operands: Operands) -> Result:
    x = need(op, operands, 0)
    if len(op.attrs["repeats"]) != len(x.shape):
        raise misfit(op, x, f"{len(op.attrs['repeats'])} axes")
    return tuple(None if d is None else d * r for d, r in zip(x.shape, op.attrs["repeats"], strict=True)), x.dtype


def _reverse(op: Op, operands: Operands) -> Result:
    x = need(op, operands, 0)
    if any(a >= len(x.shape) for a in op.attrs["axes"]):
        raise misfit(op, x, f"axes {list(op.attrs['axes'])}")
    return x.shape, x.dtype


def _reverse_sequence(op: Op, operands: Operands) -> Result:
    x, lengths = need(op, operands, 0), _indices(op, operands)
    batch = op.attrs["batch_axis"]
    if len(x.shape) < 2 or batch == op.attrs["time_axis"] or lengths.shape != (x.shape[batch],):
        raise misfit(op, x, f"a batch axis {batch} as long as tensor {lengths.name!r} {show(lengths.shape)}")
    return x.shape, x.dtype


def _indices(op: Op, operands: Operands, i: int = 1) -> Tensor:
    t = need(op, operands, i)
    if t.dtype not in INDEX_DTYPES:
        raise misfit(op, t, "int32 or int64 indices")
    return t


def _gather(op: Op, operands: Operands) -> Result:
    x, indices = need(op, operands, 0), _indices(op, operands)
    axis, batch = axis_of(op, len(x.shape)), op.attrs["batch_dims"]
    if not batch <= min(axis, len(indices.shape)) or x.shape[:batch] != indices.shape[:batch]:
        raise misfit(op, indices, f"the first {batch} axes of tensor {x.name!r} {show(x.shape)}")
    return (*x.shape[:axis], *indices.shape[batch:], *x.shape[axis + 1 :]), x.dtype


def _within(op: Op, x: Tensor, indices: Tensor, axis: int) -> None:
    """Indices have x's rank, and along all axes but one no more elements."""
    if len(indices.shape) != len(x.shape) or any(
        a > b for k, (a, b) in enumerate(zip(fixed(op, indices), fixed(op, x), strict=True)) if k != axis
    ):
        raise misfit(op, indices, f"at most {show(x.shape)} along all axes but {axis}")


def _gather_elements(op: Op, operands: Operands) -> Result:
    x, indices = need(op, operands, 0), _indices(op, operands)
    _within(op, x, indices, axis_of(op, len(x.shape)))
    return indices.shape, x.dtype


def _tuples(op: Op, x: Tensor, indices: Tensor, batch: int) -> int:
    """Length of the tuples in indices[..., k], each of which names a part of x behind the batch axes."""
    k = fixed(op, indices)[-1] if indices.shape else 0
    if not 1 <= k <= len(x.shape) - batch or batch >= len(indices.shape) or x.shape[:batch] != indices.shape[:batch]:
        raise misfit(op, indices, f"tuples of 1 to {len(x.shape) - batch} for tensor {x.name!r} {show(x.shape)}")
    return k


def _gather_nd(op: Op, operands: Operands) -> Result:
    x, indices = need(op, operands, 0), _indices(op, operands)
    batch = op.attrs["batch_dims"]
    k = _tuples(op, x, indices, batch)
    return (*indices.shape[:-1], *x.shape[batch + k :]), x.dtype


def _updates(op: Op, operands: Operands, shape: Shape) -> None:
    x, updates = need(op, operands, 0), need(op, operands, 2)
    if updates.dtype != x.dtype or updates.shape != shape:
        raise misfit(op, updates, f"{x.dtype}{show(shape)}")
    if op.attrs["reduction"] != "none" and x.dtype == "bool":
        raise misfit(op, x, f"numbers for reduction {op.attrs['reduction']!r}")


def _scatter_elements(op: Op, operands: Operands) -> Result:
    x, indices = need(op, operands, 0), _indices(op, operands)
    _within(op, x, indices, axis_of(op, len(x.shape)))
    _updates(op, operands, indices.shape)
    return x.shape, x.dtype


def _scatter_nd(op: Op, operands: Operands) -> Result:
    x, indices = need(op, operands, 0), _indices(op, operands)
    k = _tuples(op, x, indices, 0)
    _updates(op, operands, (*indices.shape[:-1], *x.shape[k:]))
    return x.shape, x.dtype


def _one_hot(op: Op, operands: Operands) -> Result:
    indices, values = _indices(op, operands, 0), need(op, operands, 1)
    if values.shape != (2,):
        raise misfit(op, values, "[2]: the values off and on")
    axis = axis_of(op, len(indices.shape) + 1)
    return (*indices.shape[:axis], op.attrs["depth"], *indices.shape[axis:]), values.dtype


def _depth_to_space(op: Op, operands: Operands) -> Result:
    x, block = need(op, operands, 0), op.attrs["block"]
    c = x.shape[3] if len(x.shape) == 4 and isinstance(block, int) and op.attrs["mode"] in _BLOCKS else None
    if c is None or c % block**2:
        raise misfit(op, x, f"[N, H, W, C] with C a multiple of the square of block {block}")
    return (x.shape[0], *(None if d is None else d * block for d in x.shape[1:3]), c // block**2), x.dtype


def _space_to_depth(op: Op, operands: Operands) -> Result:
    x, block = need(op, operands, 0), op.attrs["block"]
    if len(x.shape) != 4 or not isinstance(block, int) or op.attrs["mode"] not in _BLOCKS:
        raise misfit(op, x, f"[N, H, W, C] for block {block}")
    n, h, w, c = x.shape
    if (h or 0) % block or (w or 0) % block:
        raise misfit(op, x, f"height and width that are multiples of {block}")
    sides = (None if d is None else d // block for d in (h, w))
    return (n, *sides, None if c is None else c * block**2), x.dtype


_BLOCKS = ("DCR", "CRD")


def col2im_blocks(op: Op) -> list[int]:
    """How many blocks of col2im lie along each axis of the image."""
    a = op.attrs
    return [
        (n + before + after - d * (k - 1) - 1) // s + 1
        for n, (before, after), d, k, s in zip(
            a["image"], a["pads"], a["dilations"], a["block"], a["strides"], strict=True
        )
    ]


def _col2im(op: Op, operands: Operands) -> Result:
    x = need(op, operands, 0)
    a = op.attrs
    rank = len(a["image"])
    if not isinstance(a["block"], tuple) or any(len(a[n]) != rank for n in ("block", "dilations", "pads", "strides")):
        raise misfit(op, x, f"block, dilations, pads and strides for {rank} axes of the image")
    blocks, taps = col2im_blocks(op), math.prod(a["block"])
    shape = fixed(op, x)
    if len(shape) != 3 or shape[1] % taps or min(blocks) < 1 or math.prod(blocks) != shape[2]:
        raise misfit(op, x, f"[N, C * {taps}, {math.prod(blocks)}]")
    return (shape[0], shape[1] // taps, *a["image"]), x.dtype


def _resize(op: Op, operands: Operands) -> Result:
    x = need(op, operands, 0)
    sizes = op.attrs["sizes"]
    if len(sizes) != len(x.shape) or len(op.attrs["scales"]) != len(sizes) or op.attrs["mode"] not in MODES:
        raise misfit(op, x, f"{len(sizes)} axes for the sizes {list(sizes)}, as many scales, and a mode of resize")
    if op.attrs["coordinates"] == "tf_crop_and_resize" and len(op.attrs["roi"]) != 2 * len(sizes):
        raise misfit(op, x, f"{2 * len(sizes)} numbers in roi")
    if any(d is None and m != -1 for d, m in zip(x.shape, sizes, strict=True)):
        fixed(op, x)
    return tuple(d if m == -1 else m for d, m in zip(x.shape, sizes, strict=True)), x.dtype


def _trilu(op: Op, operands: Operands) -> Result:
    x = need(op, operands, 0)
    if len(x.shape) < 2:
        raise misfit(op, x, "two axes or more")
    if len(operands) > 1 and operands[1] is not None and math.prod(fixed(op, _indices(op, operands))) != 1:
        raise misfit(op, operands[1], "the number of one diagonal")
    return x.shape, x.dtype


def _range(op: Op, operands: Operands) -> Result:
    start, delta = need(op, operands, 0), need(op, operands, 2)
    for t in (start, delta):
        if t.dtype != start.dtype or math.prod(fixed(op, t)) != 1:
            raise misfit(op, t, f"one {start.dtype}")
    return (op.attrs["size"],), start.dtype


def _same(op: Op, operands: Operands) -> Result:
    x = need(op, operands, 0)
    return x.shape, x.dtype


def _shape(op: Op, operands: Operands) -> Result:
    x = need(op, operands, 0)
    if not 0 <= op.attrs["start"] < op.attrs["end"] <= len(x.shape):
        raise misfit(op, x, f"axes from {op.attrs['start']} to {op.attrs['end']}")
    return (op.attrs["end"] - op.attrs["start"],), "int64"


def _size(op: Op, operands: Operands) -> Result:
    need(op, operands, 0)
    return (), "int64"


MOVES = {
    "transpose": Kind(1, ("perm",), _transpose),
    "slice": Kind(1, ("starts", "ends", "axes", "steps"), _slice),
    "concat": Kind(ANY_NUMBER, ("axis",), _concat),
    "split": Kind(1, ("axis", "sizes"), _split),
    "pack": Kind(ANY_NUMBER, ("axis",), _pack),
    "unpack": Kind(1, ("axis",), _unpack),
    "pad": Kind(2, ("mode", "pads"), _pad, (1,)),
    "expand": Kind(1, ("shape",), _expand),
    "tile": Kind(1, ("repeats",), _tile),
    "reverse": Kind(1, ("axes",), _reverse),
    "reverse_sequence": Kind(2, ("batch_axis", "time_axis"), _reverse_sequence),
    "gather": Kind(2, ("axis", "batch_dims"), _gather),
    "gather_elements": Kind(2, ("axis",), _gather_elements),
    "gather_nd": Kind(2, ("batch_dims",), _gather_nd),
    "scatter_elements": Kind(3, ("axis", "reduction"), _scatter_elements),
    "scatter_nd": Kind(3, ("reduction",), _scatter_nd),
    "one_hot": Kind(2, ("depth", "axis"), _one_hot),
    "depth_to_space": Kind(1, ("block", "mode"), _depth_to_space),
    "space_to_depth": Kind(1, ("block", "mode"), _space_to_depth),
    "col2im": Kind(1, ("image", "block", "dilations", "pads", "strides"), _col2im),
    "resize": Kind(
        1,
        (
            *("sizes", "scales", "mode", "coordinates", "nearest", "cubic_coeff"),
            *("exclude_outside", "extrapolation", "antialias", "roi"),
        ),
        _resize,
    ),
    "trilu": Kind(2, ("upper",), _trilu, (1,)),
    "identity": Kind(1, (), _same),
    "shape": Kind(1, ("start", "end"), _shape),
    "size": Kind(1, (), _size),
    "range": Kind(3, ("size",), _range),
}
KINDS |= MOVES
CODES_ONLY.update(MOVES)
