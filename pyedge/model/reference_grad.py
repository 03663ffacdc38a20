"""NumPy references of the kinds of ops_grad.py, to the bit, in both modes (docs/arithmetic.md, "Gradients")."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

import numpy as np

from .graph import Op
from .ops import resolve_padding
from .ops_grad import GRADIENTS
from .reference import BY_MODE, RULES, Arrays, Tensors, _taps
from .reference_f16 import _dot


def _sums(a: np.ndarray, b: np.ndarray, mode: str) -> np.ndarray:
    """Sums over the last axis of a[..., k] * b[..., k], ascending from +0. Products of float32 are always exact."""
    if mode == "exact" or a.dtype == b.dtype == np.float32:
        return _dot(a, b, 0.0, "exact")
    return _dot(a, b.astype(np.float16), 0.0, mode)


def _linear_dgrad(op: Op, v: Arrays, t: Tensors, mode: str) -> np.ndarray:
    return _sums(v[0].reshape(-1, 1, v[1].shape[0]), v[1].T, mode)


def _linear_wgrad(op: Op, v: Arrays, t: Tensors, mode: str) -> np.ndarray:
    dy, x = (a.reshape(-1, a.shape[-1]).T for a in v)
    return _sums(dy[:, None], x, mode)


def _lined_up(size: int, residue: int, taps: int, stride: int, dilation: int, pad: int) -> list[tuple[int, np.ndarray]]:
    """Of the pixels residue, residue + stride, ... along an axis: the taps that read them in some window, descending,
    and the windows, which may lie outside the image of dy."""
    pixels = np.arange(residue, size, stride) + pad
    ordered = ((i, pixels - i * dilation) for i in reversed(range(taps)))
    return [(i, at // stride) for i, at in ordered if (at % stride == 0).all()]


def _windows_of_dy(op: Op, dy: np.ndarray, dx: np.ndarray, w: np.ndarray, mode: str) -> np.ndarray:
    """The gradient of x. dy [N, Ho, Wo, groups, c], w [kh, kw, groups, channels of x in a group, c]."""
    (sh, sw), (dh, dw), (kh, kw) = op.attrs["stride"], op.attrs["dilation"], w.shape[:2]
    (top, _), (left, _) = resolve_padding(op.attrs["padding"], dx.shape[1:3], (kh, kw), (sh, sw), (dh, dw))

    def at(rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
        inside = ((rows >= 0) & (rows < dy.shape[1]))[:, None] & ((columns >= 0) & (columns < dy.shape[2]))
        found = dy[:, rows.clip(0, dy.shape[1] - 1)][:, :, columns.clip(0, dy.shape[2] - 1)]
        return np.where(inside[None, :, :, None, None], found, dy.dtype.type(0))

    for ry, rx in itertools.product(range(min(sh, dx.shape[1])), range(min(sw, dx.shape[2]))):
        rows, columns = _lined_up(dx.shape[1], ry, kh, sh, dh, top), _lined_up(dx.shape[2], rx, kw, sw, dw, left)
        if not rows or not columns:
            continue
        seen = np.concatenate([at(o, p) for _, o in rows for _, p in columns], axis=-1)[..., None, :]
        turned = np.concatenate([w[i, j] for i, _ in rows for j, _ in columns], axis=-1)
        found = _sums(seen, turned, mode)  # [N, rows, columns, groups, channels]
        dx[:, ry::sh, rx::sw] = found.reshape(*found.shape[:3], -1)
    return dx


def _conv2d_dgrad(op: Op, v: Arrays, t: Tensors, mode: str) -> np.ndarray:
    dy, w, groups = v[0], v[1], op.attrs["groups"]
    co, kh, kw, depth = w.shape
    turned = w.reshape(groups, co // groups, kh, kw, depth).transpose(2, 3, 0, 4, 1)
    dx = np.zeros(t[-1].shape, np.float32)
    return _windows_of_dy(op, dy.reshape(*dy.shape[:3], groups, -1), dx, turned, mode)


def _depthwise_dgrad(op: Op, v: Arrays, t: Tensors, mode: str) -> np.ndarray:
    dy, w, channels = v[0], v[1], t[-1].shape[3]
    turned = w.reshape(*w.shape[:2], channels, 1, -1)
    dx = np.zeros(t[-1].shape, np.float32)
    return _windows_of_dy(op, dy.reshape(*dy.shape[:3], channels, -1), dx, turned, mode)


def _conv2d_wgrad(op: Op, v: Arrays, t: Tensors, mode: str) -> np.ndarray:
    dy, x, groups, kernel = v[0], v[1], op.attrs["groups"], op.attrs["kernel"]
    taps = np.stack(list(_taps(op, x, kernel, t[0], 0.0).values()))  # [taps, N, Ho, Wo, C]
    seen = taps.reshape(len(taps), -1, groups, x.shape[3] // groups).transpose(2, 0, 3, 1)  # [g, taps, C / g, pixels]
    given = dy.reshape(-1, groups, dy.shape[3] // groups).transpose(1, 2, 0)
    return _sums(given[:, :, None, None], seen[:, None], mode)


def _depthwise_wgrad(op: Op, v: Arrays, t: Tensors, mode: str) -> np.ndarray:
    dy, x, kernel = v[0], v[1], op.attrs["kernel"]
    repeated = np.repeat(x, dy.shape[3] // x.shape[3], axis=3)
    taps = np.stack(list(_taps(op, repeated, kernel, t[0], 0.0).values()))
    return _sums(dy.reshape(-1, dy.shape[3]).T, taps.reshape(len(taps), -1, dy.shape[3]).transpose(0, 2, 1), mode)


def _bias_grad(op: Op, v: Arrays, t: Tensors, mode: str) -> np.ndarray:
    before = v[1] if len(v) > 1 else None
    acc = np.zeros(v[0].shape[-1], np.float32) if before is None else before
    for row in v[0].reshape(-1, v[0].shape[-1]):
        acc = acc + row.astype(np.float32)
    return acc


def _at(pixel: Sequence[int]) -> tuple[slice | int, ...]:
    return (slice(None), *pixel)


def _pool_grad(op: Op, v: Arrays, t: Tensors, mode: str) -> np.ndarray:
    """Window by window, ascending."""
    dy, (images, *size, channels) = v[0].astype(np.float32), t[-1].shape
    a = op.attrs
    dx = np.zeros((images, *size, channels), np.float32)
    rows, columns = np.ix_(range(images), range(channels))
    for window in np.ndindex(*dy.shape[1:-1]):
        ranges = []
        counted = 1
        for o, n, k, s, d, (before, after) in zip(
            window, size, a["kernels"], a["strides"], a["dilations"], a["pads"], strict=True
        ):
            places = [o * s - before + i * d for i in range(k)]
            ranges.append([p for p in places if 0 <= p < n])
            padded = [p for p in places if p < n + after] if a.get("count_include_pad") else ranges[-1]
            counted *= len(padded)
        if not math.prod(map(len, ranges)):
            continue
        given = dy[_at(window)]
        if op.kind == "avg_pool_grad":
            share = given / np.float32(counted)
            dx[np.ix_(range(images), *ranges, range(channels))] += share.reshape(images, *[1] * len(size), channels)
            continue
        places = list(itertools.product(*ranges))
        seen = np.stack([v[1][_at(p)] for p in places])
        best = np.where(np.isnan(seen).any(axis=0), np.isnan(seen).argmax(axis=0), seen.argmax(axis=0))
        at = np.array(places)[best]  # [images, channels, axes]
        pixels = (rows, *np.moveaxis(at, -1, 0), columns)
        dx[pixels] += given
    return dx


def _inside(op: Op, y: np.ndarray) -> np.ndarray:
    y = y.astype(np.float32)
    return np.asarray((y > np.float32(op.attrs["min"])) & (y < np.float32(op.attrs["max"])))


def _clip_grad(op: Op, v: Arrays, t: Tensors, mode: str) -> np.ndarray:
    return np.asarray(np.where(_inside(op, v[1]), v[0], v[0].dtype.type(0)))


def _clip_mask(op: Op, v: Arrays, t: Tensors, mode: str) -> np.ndarray:
    return np.packbits(_inside(op, v[0]), axis=None, bitorder="little")


def _mask_grad(op: Op, v: Arrays, t: Tensors, mode: str) -> np.ndarray:
    bits = np.unpackbits(v[1], count=v[0].size, bitorder="little").astype(bool)
    return np.asarray(np.where(bits.reshape(v[0].shape), v[0], v[0].dtype.type(0)))


RULES |= {
    "linear_dgrad": _linear_dgrad,
    "linear_wgrad": _linear_wgrad,
    "conv2d_dgrad": _conv2d_dgrad,
    "conv2d_wgrad": _conv2d_wgrad,
    "depthwise_dgrad": _depthwise_dgrad,
    "depthwise_wgrad": _depthwise_wgrad,
    "bias_grad": _bias_grad,
    "max_pool_grad": _pool_grad,
    "avg_pool_grad": _pool_grad,
    "clip_grad": _clip_grad,
    "clip_mask": _clip_mask,
    "mask_grad": _mask_grad,
}
BY_MODE.update(GRADIENTS)
