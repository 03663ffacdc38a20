"""TFLite operators that move elements, whatever they mean, as kinds of ops_move.py."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import tflite

from ..errors import ModelError
from .tflite_file import FileOperator, FileTensor, Unsupported

if TYPE_CHECKING:
    from .tflite import Importer

_FAR = 2**31 - 1  # beyond every axis


def _shape(t: FileTensor) -> tuple[int, ...]:
    if None in t.shape:
        raise Unsupported(f"{t.name!r} has open sizes")
    return tuple(d for d in t.shape if d is not None)


def _axis(op: FileOperator, axis: int, rank: int) -> int:
    if not -rank <= axis < rank:
        raise ModelError(f"operator {op.number} {op.name}: there is no axis {axis} among {rank}")
    return axis % rank


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
    m.emit(op, "concat", _same_scale(m, op), axis=_axis(op, o.Axis(), len(m.tensor(op, 0).shape)))


def _pack(m: Importer, op: FileOperator) -> None:
    axis = op.options(tflite.PackOptions).Axis()
    m.emit(op, "pack", _same_scale(m, op), axis=_axis(op, axis, len(m.tensor(op, 0).shape) + 1))


def _unpack(m: Importer, op: FileOperator) -> None:
    axis = op.options(tflite.UnpackOptions).Axis()
    m.emit(op, "unpack", _same_scale(m, op), axis=_axis(op, axis, len(m.tensor(op, 0).shape)))


def _split(m: Importer, op: FileOperator) -> None:
    """Into equal parts, as many as there are outputs."""
    x = m.tensor(op, 1)
    axis = _axis(op, m.integers(m.tensor(op, 0))[0], len(x.shape))
    size, parts = _shape(x)[axis], len(op.outputs)
    if parts < 1 or size % parts:
        raise ModelError(f"operator {op.number} SPLIT: {size} elements in {parts} parts")
    m.emit(op, "split", [m.add_any(x)], axis=axis, sizes=(size // parts,) * parts)


def _split_v(m: Importer, op: FileOperator) -> None:
    """Into parts of given sizes; one may be -1, the rest."""
    x, sizes = m.tensor(op, 0), m.integers(m.tensor(op, 1), 64)
    axis = _axis(op, m.integers(m.tensor(op, 2))[0], len(x.shape))
    if sizes.count(-1) == 1:
        sizes[sizes.index(-1)] = _shape(x)[axis] - sum(sizes) - 1
    m.emit(op, "split", [m.add_any(x)], axis=axis, sizes=tuple(sizes))


def _strided_slice(m: Importer, op: FileOperator) -> None:
    """As slice; axes of the shrink mask keep one element and are left out."""
    o = op.options(tflite.StridedSliceOptions)
    if o.EllipsisMask() or o.NewAxisMask():
        raise Unsupported("ellipsis or new axes")
    x = m.tensor(op, 0)
    begin, end, step = (m.integers(m.tensor(op, i)) for i in (1, 2, 3))
    if not len(begin) == len(end) == len(step) <= len(x.shape):
        raise ModelError(f"operator {op.number} STRIDED_SLICE: {len(begin)} axes of {len(x.shape)}")
    for i, s in enumerate(step):
        if o.BeginMask() >> i & 1:
            begin[i] = 0 if s > 0 else _FAR
        if o.EndMask() >> i & 1:
            end[i] = _FAR if s > 0 else -_FAR
        if o.ShrinkAxisMask() >> i & 1:
            end[i], step[i] = begin[i] + 1 if begin[i] != -1 else _FAR, 1
    attrs = {"starts": tuple(begin), "ends": tuple(end), "axes": tuple(range(len(begin))), "steps": tuple(step)}
    if not o.ShrinkAxisMask():
        m.emit(op, "slice", [m.add_any(x)], **attrs)
        return
    shape = list(_shape(x))
    for i, (b, e, s) in enumerate(zip(begin, end, step, strict=True)):
        shape[i] = len(range(*slice(b, e, s).indices(shape[i])))
    part = m.between(op, "slice", [m.add_any(x)], tuple(shape), **attrs)
    m.emit(op, "reshape", [part], shape=_shape(m.file.tensors[op.outputs[0]]))


def _slice(m: Importer, op: FileOperator) -> None:
    """From begin on, size elements an axis; -1: all that follow."""
    x, begin, size = m.tensor(op, 0), m.integers(m.tensor(op, 1)), m.integers(m.tensor(op, 2))
    ends = tuple(_FAR if n == -1 else b + n for b, n in zip(begin, size, strict=True))
    axes = tuple(range(len(begin)))
    m.emit(op, "slice", [m.add_any(x)], starts=tuple(begin), ends=ends, axes=axes, steps=(1,) * len(begin))


def _transpose(m: Importer, op: FileOperator) -> None:
    x = m.tensor(op, 0)
    perm = tuple(_axis(op, a, len(x.shape)) for a in m.integers(m.tensor(op, 1)))
    m.emit(op, "transpose", [m.add_any(x)], perm=perm)


def _pads(m: Importer, op: FileOperator) -> tuple[tuple[int, int], ...]:
    pairs = m.integers(m.tensor(op, 1), 16)
    return tuple(zip(pairs[::2], pairs[1::2], strict=True))


def _pad(m: Importer, op: FileOperator) -> None:
    """With the value 0, int8 with its zero point; PADV2 with a value of its own."""
    inputs: list[str | None] = [m.add_any(m.tensor(op, 0))]
    if len(op.inputs) > 2:
        inputs.append(m.add_any(m.tensor(op, 2)))
    m.emit(op, "pad", inputs, mode="constant", pads=_pads(m, op))


def _mirror_pad(m: Importer, op: FileOperator) -> None:
    if op.options(tflite.MirrorPadOptions).Mode() != 0:
        raise Unsupported("symmetric padding")
    m.emit(op, "pad", [m.add_any(m.tensor(op, 0))], mode="reflect", pads=_pads(m, op))


def _as_reshape(m: Importer, op: FileOperator) -> None:
    """EXPAND_DIMS, SQUEEZE: the file states the result's shape."""
    m.emit(op, "reshape", [m.add_any(m.tensor(op, 0))], shape=_shape(m.file.tensors[op.outputs[0]]))


def _reverse(m: Importer, op: FileOperator) -> None:
    x = m.tensor(op, 0)
    axes = sorted(_axis(op, a, len(x.shape)) for a in m.integers(m.tensor(op, 1)))
    m.emit(op, "reverse", [m.add_any(x)], axes=tuple(axes))


def _tile(m: Importer, op: FileOperator) -> None:
    m.emit(op, "tile", [m.add_any(m.tensor(op, 0))], repeats=tuple(m.integers(m.tensor(op, 1))))


def _blocks(kind: str) -> Callable[[Importer, FileOperator], None]:
    def convert(m: Importer, op: FileOperator) -> None:
        options = tflite.DepthToSpaceOptions if kind == "depth_to_space" else tflite.SpaceToDepthOptions
        m.emit(op, kind, [m.add_any(m.tensor(op, 0))], block=op.options(options).BlockSize(), mode="DCR")

    return convert


MOVES: dict[str, Callable[[Importer, FileOperator], None]] = {
    "CONCATENATION": _concatenation,
    "DEPTH_TO_SPACE": _blocks("depth_to_space"),
    "EXPAND_DIMS": _as_reshape,
    "MIRROR_PAD": _mirror_pad,
    "PACK": _pack,
    "PAD": _pad,
    "PADV2": _pad,
    "REVERSE_V2": _reverse,
    "SLICE": _slice,
    "SPACE_TO_DEPTH": _blocks("space_to_depth"),
    "SPLIT": _split,
    "SPLIT_V": _split_v,
    "SQUEEZE": _as_reshape,
    "STRIDED_SLICE": _strided_slice,
    "TILE": _tile,
    "TRANSPOSE": _transpose,
    "UNPACK": _unpack,
}
