"""TFLite operators that move elements, whatever they mean, as kinds of ops_move.py."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import tflite

from ..errors import ModelError
from .graph import array_dtype
from .tflite_file import FileOperator, FileTensor, Unsupported
from .tflite_math import axis_of

if TYPE_CHECKING:
    from .tflite import Importer

_FAR = 2**31 - 1  # beyond every axis


def _shape(t: FileTensor) -> tuple[int, ...]:
    if None in t.shape:
        raise Unsupported(f"{t.name!r} has open sizes")
    return tuple(d for d in t.shape if d is not None)


def _target(t: FileTensor) -> tuple[int, ...]:
    """The shape of a tensor as that of a reshape, in which one size may be open."""
    if t.shape.count(None) > 1:
        raise Unsupported(f"{t.name!r} has several open sizes")
    return tuple(-1 if d is None else d for d in t.shape)


def _size(t: FileTensor, axis: int) -> int:
    size = t.shape[axis]
    if size is None:
        raise Unsupported(f"{t.name!r} is open along axis {axis}")
    return size


def _same_scale(m: Importer, op: FileOperator) -> list[str | None]:
    """Names of all inputs; their codes may stand in one tensor with those of the outputs."""
    tensors = [m.tensor(op, i) for i in range(len(op.inputs))]
    results = [m.file.tensors[number] for number in op.outputs]
    quants = [t.quant for t in (*tensors, *results) if t.quant is not None]
    if len({(q.scale.tobytes(), q.zero_point.tobytes()) for q in quants}) > 1:
        raise Unsupported("inputs and outputs of different scales")
    return [m.add_any(t) for t in tensors]


def _concatenation(m: Importer, op: FileOperator) -> None:
    o = op.options(tflite.ConcatenationOptions)
    if o.FusedActivationFunction() != 0:
        raise Unsupported(f"fused activation {o.FusedActivationFunction()}")
    m.emit(op, "concat", _same_scale(m, op), axis=axis_of(op, o.Axis(), len(m.tensor(op, 0).shape)))


def _pack(m: Importer, op: FileOperator) -> None:
    axis = op.options(tflite.PackOptions).Axis()
    m.emit(op, "pack", _same_scale(m, op), axis=axis_of(op, axis, len(m.tensor(op, 0).shape) + 1))


def _unpack(m: Importer, op: FileOperator) -> None:
    axis = op.options(tflite.UnpackOptions).Axis()
    m.emit(op, "unpack", _same_scale(m, op), axis=axis_of(op, axis, len(m.tensor(op, 0).shape)))


def _split(m: Importer, op: FileOperator) -> None:
    """Into equal parts, as many as there are outputs."""
    x = m.tensor(op, 1)
    axis = axis_of(op, m.integers(m.tensor(op, 0))[0], len(x.shape))
    size, parts = _size(x, axis), len(op.outputs)
    if parts < 1 or size % parts:
        raise ModelError(f"operator {op.number} SPLIT: {size} elements in {parts} parts")
    m.emit(op, "split", [m.add_any(x)], axis=axis, sizes=(size // parts,) * parts)


def _split_v(m: Importer, op: FileOperator) -> None:
    """Into parts of given sizes; one may be -1, the rest."""
    x, sizes = m.tensor(op, 0), m.integers(m.tensor(op, 1), 64)
    axis = axis_of(op, m.integers(m.tensor(op, 2))[0], len(x.shape))
    if sizes.count(-1) == 1:
        sizes[sizes.index(-1)] = _size(x, axis) - sum(sizes) - 1
    m.emit(op, "split", [m.add_any(x)], axis=axis, sizes=tuple(sizes))


def _strided_slice(m: Importer, op: FileOperator) -> None:
    """As slice; axes of the shrink mask keep one element and are left out, those of the new-axis mask are new."""
    o = op.options(tflite.StridedSliceOptions)
    if o.EllipsisMask() & (o.EllipsisMask() - 1):
        raise ModelError(f"operator {op.number} STRIDED_SLICE: two ellipses")
    x = m.tensor(op, 0)
    given = list(zip(*(m.integers(m.tensor(op, i)) for i in (1, 2, 3)), strict=True))
    new = [i for i in range(len(given)) if o.NewAxisMask() >> i & 1 and not o.EllipsisMask() >> i & 1]
    axis, shrinks = 0, False
    taken: list[tuple[int, int, int, int]] = []
    for i, (begin, end, step) in enumerate(given):
        if o.EllipsisMask() >> i & 1:
            axis += len(x.shape) - (len(given) - 1 - len(new))
            continue
        if i in new:
            continue
        if o.ShrinkAxisMask() >> i & 1:
            end, step, shrinks = begin + 1 if begin != -1 else _FAR, 1, True
        else:
            if o.BeginMask() >> i & 1:
                begin = 0 if step > 0 else _FAR
            if o.EndMask() >> i & 1:
                end = _FAR if step > 0 else -_FAR
        taken.append((begin, end, axis, step))
        axis += 1
    if axis > len(x.shape):
        raise ModelError(f"operator {op.number} STRIDED_SLICE: {axis} axes of {len(x.shape)}")
    attrs: dict[str, Any] = {
        name: tuple(part[i] for part in taken) for i, name in enumerate(("starts", "ends", "axes", "steps"))
    }
    if not shrinks and not new:
        m.emit(op, "slice", [m.add_any(x)], **attrs)
        return
    part = m.between(op, "slice", [m.add_any(x)], **attrs)
    m.emit(op, "reshape", [part], shape=_target(m.file.tensors[op.outputs[0]]))


def _slice(m: Importer, op: FileOperator) -> None:
    """From begin on, size elements an axis; -1: all that follow."""
    x, begin, size = m.tensor(op, 0), m.integers(m.tensor(op, 1)), m.integers(m.tensor(op, 2))
    ends = tuple(_FAR if n == -1 else b + n for b, n in zip(begin, size, strict=True))
    axes = tuple(range(len(begin)))
    m.emit(op, "slice", [m.add_any(x)], starts=tuple(begin), ends=ends, axes=axes, steps=(1,) * len(begin))


def _transpose(m: Importer, op: FileOperator) -> None:
    x = m.tensor(op, 0)
    perm = tuple(axis_of(op, a, len(x.shape)) for a in m.integers(m.tensor(op, 1)))
    m.emit(op, "transpose", [m.add_any(x)], perm=perm)


def _pairs(m: Importer, t: FileTensor) -> tuple[tuple[int, int], ...]:
    numbers = m.integers(t, 16)
    return tuple(zip(numbers[::2], numbers[1::2], strict=True))


def _pad(m: Importer, op: FileOperator) -> None:
    """With the value 0, int8 with its zero point; PADV2 with a value of its own."""
    inputs: list[str | None] = [m.add_any(m.tensor(op, 0))]
    if len(op.inputs) > 2:
        inputs.append(m.add_any(m.tensor(op, 2)))
    m.emit(op, "pad", inputs, mode="constant", pads=_pairs(m, m.tensor(op, 1)))


def _mirror_pad(m: Importer, op: FileOperator) -> None:
    mode = "symmetric" if op.options(tflite.MirrorPadOptions).Mode() else "reflect"
    m.emit(op, "pad", [m.add_any(m.tensor(op, 0))], mode=mode, pads=_pairs(m, m.tensor(op, 1)))


def _as_reshape(m: Importer, op: FileOperator) -> None:
    """EXPAND_DIMS, SQUEEZE: the file states the result's shape."""
    m.emit(op, "reshape", [m.add_any(m.tensor(op, 0))], shape=_target(m.file.tensors[op.outputs[0]]))


def _reverse(m: Importer, op: FileOperator) -> None:
    x = m.tensor(op, 0)
    axes = sorted(axis_of(op, a, len(x.shape)) for a in m.integers(m.tensor(op, 1)))
    m.emit(op, "reverse", [m.add_any(x)], axes=tuple(axes))


def _tile(m: Importer, op: FileOperator) -> None:
    m.emit(op, "tile", [m.add_any(m.tensor(op, 0))], repeats=tuple(m.integers(m.tensor(op, 1))))


def _blocks(kind: str) -> Callable[[Importer, FileOperator], None]:
    def convert(m: Importer, op: FileOperator) -> None:
        options = tflite.DepthToSpaceOptions if kind == "depth_to_space" else tflite.SpaceToDepthOptions
        m.emit(op, kind, [m.add_any(m.tensor(op, 0))], block=op.options(options).BlockSize(), mode="DCR")

    return convert


def _space_to_batch(m: Importer, op: FileOperator) -> None:
    """x[N, sides .., rest], padded, with sides cut into blocks, whose places become the outermost part of N."""
    x, block, pads = m.tensor(op, 0), m.integers(m.tensor(op, 1)), _pairs(m, m.tensor(op, 2))
    rank, k = len(x.shape), len(block)
    _check_blocks(op, block, pads, rank)
    around = ((0, 0), *pads, *[(0, 0)] * (rank - 1 - k))
    name = m.between(op, "pad", [m.add_any(x)], mode="constant", pads=around)
    sides = [_size(x, 1 + i) + sum(pads[i]) for i in range(k)]
    rest = [_size(x, i) for i in range(1 + k, rank)]
    if any(side % b for side, b in zip(sides, block, strict=True)):
        raise ModelError(f"operator {op.number} {op.name}: blocks {block} don't divide the padded sides {sides}")
    cut = [n for side, b in zip(sides, block, strict=True) for n in (side // b, b)]
    name = m.between(op, "reshape", [name], shape=(-1, *cut, *rest))
    perm = (*range(2, 2 * k + 1, 2), 0, *range(1, 2 * k, 2), *range(2 * k + 1, rank + k))
    name = m.between(op, "transpose", [name], perm=perm)
    m.emit(op, "reshape", [name], shape=(-1, *cut[::2], *rest))


def _check_blocks(op: FileOperator, block: Sequence[int], pairs: Sequence[Sequence[int]], rank: int) -> None:
    if any(b < 1 for b in block) or any(n < 0 for pair in pairs for n in pair) or not len(pairs) == len(block) < rank:
        raise ModelError(
            f"operator {op.number} {op.name}: blocks {list(block)} with {[list(p) for p in pairs]} for {rank} axes"
        )


def _batch_to_space(m: Importer, op: FileOperator) -> None:
    """The reverse of SPACE_TO_BATCH_ND; crops take the padding off."""
    x, block, crops = m.tensor(op, 0), m.integers(m.tensor(op, 1)), _pairs(m, m.tensor(op, 2))
    rank, k = len(x.shape), len(block)
    _check_blocks(op, block, crops, rank)
    if (x.shape[0] or 0) % math.prod(block):
        raise ModelError(f"operator {op.number} {op.name}: blocks {block} don't divide the batch of {x.shape[0]}")
    sides, rest = [_size(x, 1 + i) for i in range(k)], [_size(x, i) for i in range(1 + k, rank)]
    name = m.between(op, "reshape", [m.add_any(x)], shape=(*block, -1, *sides, *rest))
    perm = (k, *(a for i in range(k) for a in (k + 1 + i, i)), *range(2 * k + 1, rank + k))
    name = m.between(op, "transpose", [name], perm=perm)
    wide = [n * b for n, b in zip(sides, block, strict=True)]
    name = m.between(op, "reshape", [name], shape=(-1, *wide, *rest))
    m.emit(
        op,
        "slice",
        [name],
        starts=tuple(before for before, _ in crops),
        ends=tuple(n - after for n, (_, after) in zip(wide, crops, strict=True)),
        axes=tuple(range(1, 1 + k)),
        steps=(1,) * k,
    )


def _gather(m: Importer, op: FileOperator) -> None:
    o = op.options(tflite.GatherOptions)
    x = m.tensor(op, 0)
    inputs: list[str | None] = [m.add_any(x), m.add_plain(m.tensor(op, 1))]
    m.emit(op, "gather", inputs, axis=axis_of(op, o.Axis(), len(x.shape)), batch_dims=o.BatchDims())


def _gather_nd(m: Importer, op: FileOperator) -> None:
    m.emit(op, "gather_nd", [m.add_any(m.tensor(op, 0)), m.add_plain(m.tensor(op, 1))], batch_dims=0)


def _zero(m: Importer, op: FileOperator) -> np.ndarray:
    """The code of 0 in the result."""
    y = m.file.tensors[op.outputs[0]]
    m.add_any(y)
    return np.full((), 0 if y.quant is None else y.quant.zero_point[0], array_dtype(y.dtype))


def _scatter_nd(m: Importer, op: FileOperator) -> None:
    """Updates that meet in one place are added."""
    shape = tuple(m.integers(m.tensor(op, 2)))
    zeros = m.between(op, "expand", [m.literal(op, _zero(m, op))], shape=shape)
    inputs: list[str | None] = [zeros, m.add_plain(m.tensor(op, 0)), m.add_plain(m.tensor(op, 1))]
    m.emit(op, "scatter_nd", inputs, reduction="add")


def _one_hot(m: Importer, op: FileOperator) -> None:
    indices, depth, on, off = (m.tensor(op, i) for i in range(4))
    values = m.between(op, "pack", [m.add_any(off), m.add_any(on)], axis=0)
    values = m.between(op, "reshape", [values], shape=(2,))
    axis = axis_of(op, op.options(tflite.OneHotOptions).Axis(), len(indices.shape) + 1)
    m.emit(op, "one_hot", [m.add_plain(indices), values], depth=m.integers(depth)[0], axis=axis)


def _expand(m: Importer, op: FileOperator, x: str, shape: tuple[int, ...]) -> None:
    if min(shape, default=1) < 1:
        raise Unsupported(f"a result of the open shape {list(shape)}")
    m.emit(op, "expand", [x], shape=shape)


def _broadcast_to(m: Importer, op: FileOperator) -> None:
    _expand(m, op, m.add_any(m.tensor(op, 0)), tuple(m.integers(m.tensor(op, 1))))


def _fill(m: Importer, op: FileOperator) -> None:
    _expand(m, op, m.add_any(m.tensor(op, 1)), tuple(m.integers(m.tensor(op, 0))))


def _zeros_like(m: Importer, op: FileOperator) -> None:
    _expand(m, op, m.literal(op, _zero(m, op)), _shape(m.tensor(op, 0)))


def _broadcast_args(m: Importer, op: FileOperator) -> None:
    """The shape that two shapes broadcast to: of sizes of 1 the other one."""
    a, b = m.tensor(op, 0), m.tensor(op, 1)
    rank = max(_size(a, 0), _size(b, 0))
    one = m.literal(op, np.ones((), array_dtype(a.dtype)))
    full = [
        m.between(op, "pad", [m.add_plain(t), one], mode="constant", pads=((rank - _size(t, 0), 0),)) for t in (a, b)
    ]
    m.emit(op, "where", [m.between(op, "equal", [full[0], one]), full[1], full[0]])


def _shape_of(m: Importer, op: FileOperator) -> None:
    """Counts as int64; the file's type may be int32."""
    x, y = m.tensor(op, 0), m.file.tensors[op.outputs[0]]
    if not x.shape:
        raise Unsupported(f"{x.name!r} is a scalar")
    attrs: dict[str, Any] = {"start": 0, "end": len(x.shape)}
    if y.dtype == "int64":
        m.emit(op, "shape", [m.add_any(x)], **attrs)
        return
    to_int32 = {"to": "int32", "saturate": 1, "round_mode": "up", "from_format": None, "to_format": None}
    m.emit(op, "cast", [m.between(op, "shape", [m.add_any(x)], **attrs)], **to_int32)


def _range(m: Importer, op: FileOperator) -> None:
    start, limit, delta = (m.constant(m.tensor(op, i)).reshape(-1)[0] for i in range(3))
    if delta == 0 or (limit - start) / delta <= 0:
        raise Unsupported(f"from {start} to {limit} in steps of {delta}")
    size = int(np.ceil((limit - start) / delta))
    m.emit(op, "range", [m.add_plain(m.tensor(op, i)) for i in range(3)], size=size)


def _reverse_sequence(m: Importer, op: FileOperator) -> None:
    o = op.options(tflite.ReverseSequenceOptions)
    inputs: list[str | None] = [m.add_any(m.tensor(op, 0)), m.add_plain(m.tensor(op, 1))]
    m.emit(op, "reverse_sequence", inputs, batch_axis=o.BatchDim(), time_axis=o.SeqDim())


MOVES: dict[str, Callable[[Importer, FileOperator], None]] = {
    "BATCH_TO_SPACE_ND": _batch_to_space,
    "BROADCAST_ARGS": _broadcast_args,
    "BROADCAST_TO": _broadcast_to,
    "CONCATENATION": _concatenation,
    "DEPTH_TO_SPACE": _blocks("depth_to_space"),
    "EXPAND_DIMS": _as_reshape,
    "FILL": _fill,
    "GATHER": _gather,
    "GATHER_ND": _gather_nd,
    "MIRROR_PAD": _mirror_pad,
    "ONE_HOT": _one_hot,
    "PACK": _pack,
    "PAD": _pad,
    "PADV2": _pad,
    "RANGE": _range,
    "REVERSE_SEQUENCE": _reverse_sequence,
    "REVERSE_V2": _reverse,
    "SCATTER_ND": _scatter_nd,
    "SHAPE": _shape_of,
    "SLICE": _slice,
    "SPACE_TO_BATCH_ND": _space_to_batch,
    "SPACE_TO_DEPTH": _blocks("space_to_depth"),
    "SPLIT": _split,
    "SPLIT_V": _split_v,
    "SQUEEZE": _as_reshape,
    "STRIDED_SLICE": _strided_slice,
    "TILE": _tile,
    "TRANSPOSE": _transpose,
    "UNPACK": _unpack,
    "ZEROS_LIKE": _zeros_like,
}
