"""References of the kinds of ops_reduce.py. Float sums are made in double and rounded once."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from . import quantmath as qm
from .fixed_point import scale_twice_rounded
from .graph import Op, array_dtype
from .ops_move import axis_of
from .ops_reduce import FLOATS, is_quantized
from .reference import RULES, Arrays, Rule, Tensors

_SUMS: dict[str, Callable[[np.ndarray, tuple[int, ...]], np.ndarray]] = {
    "reduce_sum": lambda x, axes: x.sum(axes, dtype=x.dtype),
    "reduce_prod": lambda x, axes: x.prod(axes, dtype=x.dtype),
    "reduce_l1": lambda x, axes: np.abs(x).sum(axes, dtype=x.dtype),
    "reduce_l2": lambda x, axes: np.sqrt((x * x).sum(axes, dtype=x.dtype)),
    "reduce_log_sum": lambda x, axes: np.log(x.sum(axes, dtype=x.dtype)),
    "reduce_sum_square": lambda x, axes: (x * x).sum(axes, dtype=x.dtype),
}


def _sum(op: Op, v: Arrays, t: Tensors, rounding: str) -> np.ndarray:
    x, axes = v[0], op.attrs["axes"]
    count = int(np.prod([x.shape[a] for a in axes], dtype=np.int64))
    if is_quantized(*t) and op.kind in ("reduce_sum", "reduce_mean"):
        (sx, zx), (sy, zy) = ((u.scale, u.zero_point) for u in t)
        factor = qm.mean_multiplier(sx, sy, count) if op.kind == "reduce_mean" else qm.rescale_multiplier(sx, sy)
        total = (x.astype(np.int64) - zx).sum(axes)
        return np.asarray(np.clip(scale_twice_rounded(total, *factor) + zy, -128, 127))
    if t[0].dtype in FLOATS:
        x = x.astype(np.float64)
    if op.kind == "reduce_mean":
        if t[0].dtype in FLOATS:
            return np.asarray(x.mean(axes))
        total = x.sum(axes, dtype=np.uint64 if t[0].dtype == "uint64" else np.int64)
        return np.asarray(np.sign(total) * (np.abs(total) // count))
    if op.kind == "reduce_log_sum_exp":
        top = x.max(axes, keepdims=True)
        top = np.where(np.isfinite(top), top, 0)
        return np.asarray(np.log(np.exp(x - top).sum(axes)) + top.reshape(np.shape(x.sum(axes))))
    return np.asarray(_SUMS[op.kind](x, axes))


def _order(op: Op, v: Arrays, t: Tensors, rounding: str) -> np.ndarray:
    return np.asarray((np.max if op.kind == "reduce_max" else np.min)(v[0], op.attrs["axes"]))


def _arg(op: Op, v: Arrays, t: Tensors, rounding: str) -> np.ndarray:
    x, axis = v[0], axis_of(op, v[0].ndim)
    find = np.argmax if op.kind == "arg_max" else np.argmin
    if op.attrs["select_last"]:
        return np.asarray(x.shape[axis] - 1 - find(np.flip(x, axis), axis))
    return np.asarray(find(x, axis))


def _topk(op: Op, v: Arrays, t: Tensors, rounding: str) -> list[np.ndarray]:
    axis, k = axis_of(op, v[0].ndim), op.attrs["k"]
    ranks = np.unique(v[0], return_inverse=True)[1].reshape(v[0].shape)  # NaN is the largest; equal ones share a rank
    if op.attrs["largest"]:
        ranks = -ranks
    else:
        with np.errstate(invalid="ignore"):
            ranks = np.where(v[0] != v[0], -1, ranks)
    index = np.take(np.argsort(ranks, axis, kind="stable"), range(k), axis)
    if not op.attrs["sorted"]:
        index = np.sort(index, axis)
    return [np.take_along_axis(v[0], index, axis), index]


def running_sum(op: Op, x: np.ndarray, given: np.ndarray) -> np.ndarray:
    """cumsum in the dtype of x, along the given axis."""
    axis = int(given.reshape(()))
    axis = min(max(axis + x.ndim if axis < 0 else axis, 0), x.ndim - 1)
    x = np.flip(x, axis) if op.attrs["reverse"] else x
    y = np.cumsum(x, axis, dtype=x.dtype)
    if op.attrs["exclusive"]:
        zero = np.zeros_like(np.take(x, [0], axis))
        y = np.concatenate([zero, np.take(y, range(x.shape[axis] - 1), axis)], axis)
    return np.asarray(np.flip(y, axis) if op.attrs["reverse"] else y)


def cumsum(op: Op, v: Arrays, t: Tensors, rounding: str) -> np.ndarray:
    x = v[0].astype(np.float64) if t[0].dtype in FLOATS else v[0]
    return np.asarray(running_sum(op, x, v[1]).astype(array_dtype(t[0].dtype)))


def _overlap(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Intersection over union of one box with others, float32."""
    area_a, area_b = (a[2] - a[0]) * (a[3] - a[1]), (b[:, 2] - b[:, 0]) * (b[:, 3] - b[:, 1])
    sides = np.maximum(np.minimum(a[2:], b[:, 2:]) - np.maximum(a[:2], b[:, :2]), np.float32(0))
    both = sides[:, 0] * sides[:, 1]
    union = area_a + area_b - both
    return np.asarray(np.where((area_a > 0) & (area_b > 0), both / np.where(union == 0, 1, union), np.float32(0)))


def _suppress(boxes: np.ndarray, scores: np.ndarray, most: int, attrs: Mapping[str, Any]) -> list[int]:
    """Greedy non-maximum suppression: boxes by falling score that no better one covers."""
    kept: list[int] = []
    for i in np.argsort(-scores, kind="stable"):
        if len(kept) == most or not scores[i] >= np.float32(attrs["score_threshold"]):
            break
        if not any(_overlap(boxes[k], boxes[i : i + 1])[0] > np.float32(attrs["iou_threshold"]) for k in kept):
            kept.append(int(i))
    return kept


def _multiclass_nms(op: Op, v: Arrays, t: Tensors, rounding: str) -> list[np.ndarray]:
    boxes, attrs = v[0], op.attrs
    scores = v[1][:, v[1].shape[1] - attrs["classes"] :]
    found: list[tuple[int, int]] = []  # box and class
    if attrs["regular"]:
        for k in range(attrs["classes"]):
            found += [(i, k) for i in _suppress(boxes, scores[:, k], attrs["per_class"], attrs)]
        found = sorted(found, key=lambda pair: -scores[pair])[: attrs["max_detections"]]
        count = len(found)
    else:
        kept = _suppress(boxes, scores.max(axis=1), attrs["max_detections"], attrs)
        best = np.argsort(-scores, axis=1, kind="stable")[:, : attrs["per_box"]]
        found, count = [(i, int(k)) for i in kept for k in best[i]], len(kept)
    rows = [np.array([*boxes[i], k, scores[i, k]], np.float32) for i, k in found]
    table = np.zeros((t[-2].shape[1], 6), np.float32)
    table[: len(rows)] = np.array(rows, np.float32).reshape(-1, 6)
    return [table[:, :4], table[:, 4], table[:, 5], np.array([count], np.float32)]


_RULES: dict[str, Rule] = {"reduce_max": _order, "reduce_min": _order, "arg_max": _arg, "arg_min": _arg}
_RULES |= {"topk": _topk, "cumsum": cumsum, "multiclass_nms": _multiclass_nms}
RULES |= _RULES | dict.fromkeys((*_SUMS, "reduce_mean", "reduce_log_sum_exp"), _sum)
