"""References of the kinds of ops_move.py, every dtype."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from .graph import Op
from .ops_move import axis_of, col2im_blocks, slices
from .reference import RULES, Arrays, Rule, Tensors
from .resize import INTEGER_BITS, taps


def _indices(v: np.ndarray, size: int) -> np.ndarray:
    """Negative indices count from the end; the rest is clamped."""
    i = v.astype(np.int64)
    return np.asarray(np.clip(np.where(i < 0, i + size, i), 0, size - 1))


def _slice(op: Op, v: Arrays, t: Tensors, rounding: str) -> np.ndarray:
    x = v[0]
    for axis, s in enumerate(slices(op, x.shape)):
        x = np.take(x, range(s.start, s.stop, s.step), axis)
    return np.asarray(x)


def _split(op: Op, v: Arrays, t: Tensors, rounding: str) -> list[np.ndarray]:
    return np.split(v[0], np.cumsum(op.attrs["sizes"])[:-1], op.attrs["axis"])


def _unpack(op: Op, v: Arrays, t: Tensors, rounding: str) -> list[np.ndarray]:
    return list(np.moveaxis(v[0], op.attrs["axis"], 0))


def _pad(op: Op, v: Arrays, t: Tensors, rounding: str) -> np.ndarray:
    x, pads, mode = v[0], op.attrs["pads"], op.attrs["mode"]
    cut = tuple(slice(max(-b, 0), n - max(-a, 0)) for n, (b, a) in zip(x.shape, pads, strict=True))
    grown = [(max(b, 0), max(a, 0)) for b, a in pads]
    if mode == "constant":
        value = v[1].reshape(()) if len(v) > 1 and v[1] is not None else fill(t[0])
        return np.pad(x[cut], grown, constant_values=value)
    return np.pad(x[cut], grown, mode=mode)


def fill(x: object) -> int:
    """What pad adds without an operand: real 0, which is the zero point of a quantized tensor."""
    zero_point = getattr(x, "zero_point", None)
    return int(zero_point or 0)


def _reverse_sequence(op: Op, v: Arrays, t: Tensors, rounding: str) -> np.ndarray:
    x = np.moveaxis(v[0], op.attrs["batch_axis"], 0).copy()
    for row, length in zip(x, v[1], strict=True):
        n = min(max(int(length), 0), row.shape[0])
        row[:n] = row[:n][::-1].copy()
    return np.moveaxis(x, 0, op.attrs["batch_axis"])


def _gather(op: Op, v: Arrays, t: Tensors, rounding: str) -> np.ndarray:
    x, indices, batch = v[0], v[1], op.attrs["batch_dims"]
    axis = axis_of(op, x.ndim)
    result = np.zeros(t[-1].shape, x.dtype)
    for at in np.ndindex(*x.shape[:batch]):
        result[at] = np.take(x[at], _indices(indices[at], x.shape[axis]), axis - batch)
    return result


def _grid(op: Op, shape: tuple[int, ...], indices: np.ndarray) -> tuple[np.ndarray, ...]:
    """For each index the whole position that it names along the op's axis."""
    axis = axis_of(op, len(shape))
    own = np.indices(indices.shape)
    return tuple(_indices(indices, shape[axis]) if k == axis else own[k] for k in range(indices.ndim))


def _gather_elements(op: Op, v: Arrays, t: Tensors, rounding: str) -> np.ndarray:
    return np.asarray(v[0][_grid(op, v[0].shape, v[1])])


def _gather_nd(op: Op, v: Arrays, t: Tensors, rounding: str) -> np.ndarray:
    x, indices, batch = v[0], v[1], op.attrs["batch_dims"]
    result = np.zeros(t[-1].shape, x.dtype)
    for at in np.ndindex(*indices.shape[:-1]):
        x_at, i = x[at[:batch]], indices[at]
        result[at] = x_at[tuple(_indices(i[k], x_at.shape[k]) for k in range(i.size))]
    return result


_JOIN: dict[str, Callable[[np.ndarray, np.ndarray], np.ndarray]] = {
    "none": lambda y, u: u,
    "add": np.add,
    "mul": np.multiply,
    "max": np.maximum,
    "min": np.minimum,
}


def _scatter_elements(op: Op, v: Arrays, t: Tensors, rounding: str) -> np.ndarray:
    y, join = v[0].copy(), _JOIN[op.attrs["reduction"]]
    grid = np.stack(_grid(op, y.shape, v[1]), axis=-1).reshape(-1, y.ndim)
    for at, u in zip(map(tuple, grid), v[2].reshape(-1), strict=True):
        y[at] = join(y[at], u)
    return np.asarray(y)


def _scatter_nd(op: Op, v: Arrays, t: Tensors, rounding: str) -> np.ndarray:
    y, join = v[0].copy(), _JOIN[op.attrs["reduction"]]
    for at in np.ndindex(*v[1].shape[:-1]):
        to = tuple(_indices(i, y.shape[k]) for k, i in enumerate(v[1][at]))
        y[to] = join(y[to], v[2][at])
    return np.asarray(y)


def _one_hot(op: Op, v: Arrays, t: Tensors, rounding: str) -> np.ndarray:
    depth = op.attrs["depth"]
    i = np.where(v[0] < 0, v[0] + depth, v[0])
    axis = axis_of(op, v[0].ndim + 1)
    return np.asarray(
        v[1][(np.expand_dims(i, axis) == np.expand_dims(np.arange(depth), _others(i.ndim + 1, axis))) * 1]
    )


def _others(rank: int, axis: int) -> tuple[int, ...]:
    return tuple(k for k in range(rank) if k != axis)


def _depth_to_space(op: Op, v: Arrays, t: Tensors, rounding: str) -> np.ndarray:
    x, b = v[0], op.attrs["block"]
    n, h, w, c = x.shape
    if op.attrs["mode"] == "DCR":
        return np.asarray(x.reshape(n, h, w, b, b, c // b**2).transpose(0, 1, 3, 2, 4, 5))
    return np.asarray(x.reshape(n, h, w, c // b**2, b, b).transpose(0, 1, 4, 2, 5, 3))


def _space_to_depth(op: Op, v: Arrays, t: Tensors, rounding: str) -> np.ndarray:
    x, b = v[0], op.attrs["block"]
    n, h, w, c = x.shape
    blocks = x.reshape(n, h // b, b, w // b, b, c)
    return np.asarray(blocks.transpose((0, 1, 3, 2, 4, 5) if op.attrs["mode"] == "DCR" else (0, 1, 3, 5, 2, 4)))


def _col2im(op: Op, v: Arrays, t: Tensors, rounding: str) -> np.ndarray:
    """Each column's elements are added where im2col would have taken them from."""
    a, y = op.attrs, t[-1]
    padded = np.zeros((*y.shape[:2], *(n + b + e for n, (b, e) in zip(a["image"], a["pads"], strict=True))), v[0].dtype)
    blocks = col2im_blocks(op)
    x, both = v[0].reshape(*y.shape[:2], *a["block"], *blocks), (slice(None), slice(None))
    for tap in np.ndindex(*a["block"]):
        window = tuple(
            slice(k * d, k * d + (m - 1) * s + 1, s)
            for k, d, m, s in zip(tap, a["dilations"], blocks, a["strides"], strict=True)
        )
        padded[both + window] += x[both + tap]
    inner = tuple(slice(b, b + n) for n, (b, _) in zip(a["image"], a["pads"], strict=True))
    return np.asarray(padded[both + inner])


def _resize(op: Op, v: Arrays, t: Tensors, rounding: str) -> np.ndarray:
    integer = t[0].dtype == "int8" and op.attrs["mode"] == "linear"
    x = v[0].astype(np.int64) if integer else v[0]
    if op.attrs["mode"] != "nearest" and not integer:
        x = x.astype(np.float64)
    shift = 0
    for axis, n in enumerate(v[0].shape):
        table = taps(op, axis, n, integer)
        if table is None:
            continue
        if op.attrs["mode"] == "nearest":
            x = np.take(x, table.index[:, 0], axis)
        else:
            lines = np.moveaxis(np.take(x, table.index, axis), (axis, axis + 1), (-2, -1))
            x = np.moveaxis((lines * table.weight).sum(-1), -1, axis)
            shift += INTEGER_BITS
        if table.outside is not None and table.outside.any():
            where = table.outside.reshape((-1,) + (1,) * (x.ndim - axis - 1))
            x = np.where(where, op.attrs["extrapolation"], x)
    if integer and shift:
        x = np.sign(x) * ((np.abs(x) + (1 << shift >> 1)) >> shift)
    return np.asarray(x)


def _trilu(op: Op, v: Arrays, t: Tensors, rounding: str) -> np.ndarray:
    k = int(np.clip(v[1].reshape(()), -(2**31), 2**31)) if len(v) > 1 and v[1] is not None else 0
    return np.triu(v[0], k) if op.attrs["upper"] else np.tril(v[0], k)


def _range(op: Op, v: Arrays, t: Tensors, rounding: str) -> np.ndarray:
    start, delta = v[0].reshape(()), v[2].reshape(())
    return np.asarray(start + np.arange(op.attrs["size"]).astype(start.dtype) * delta)


def _simple(function: Callable[[Op, Arrays], np.ndarray]) -> Rule:
    return lambda op, v, t, rounding: function(op, v)


RULES |= {
    "transpose": _simple(lambda op, v: v[0].transpose(op.attrs["perm"])),
    "slice": _slice,
    "concat": _simple(lambda op, v: np.concatenate(v, op.attrs["axis"])),
    "split": _split,
    "pack": _simple(lambda op, v: np.stack(v, op.attrs["axis"])),
    "unpack": _unpack,
    "pad": _pad,
    "expand": lambda op, v, t, rounding: np.broadcast_to(v[0], t[-1].shape),
    "tile": _simple(lambda op, v: np.tile(v[0], op.attrs["repeats"])),
    "reverse": _simple(lambda op, v: np.flip(v[0], op.attrs["axes"])),
    "reverse_sequence": _reverse_sequence,
    "gather": _gather,
    "gather_elements": _gather_elements,
    "gather_nd": _gather_nd,
    "scatter_elements": _scatter_elements,
    "scatter_nd": _scatter_nd,
    "one_hot": _one_hot,
    "depth_to_space": _depth_to_space,
    "space_to_depth": _space_to_depth,
    "col2im": _col2im,
    "resize": _resize,
    "trilu": _trilu,
    "identity": _simple(lambda op, v: v[0]),
    "shape": _simple(lambda op, v: np.array(v[0].shape[op.attrs["start"] : op.attrs["end"]], np.int64)),
    "size": _simple(lambda op, v: np.array(math.prod(v[0].shape), np.int64)),
    "range": _range,
}
