"""Kinds that reduce, order or sum along axes.

| kind | inputs -> outputs | attributes |
|---|---|---|
| reduce_sum, reduce_mean, reduce_prod, reduce_sum_square | x | axes (ascending), keepdims |
| reduce_l1, reduce_l2, reduce_log_sum, reduce_log_sum_exp | x | axes, keepdims |
| reduce_max, reduce_min | x | axes, keepdims; NaN if one is NaN |
| arg_max, arg_min | x -> int32 or int64 | axis, keepdims, select_last, dtype; NaN counts as either |
| topk | x -> values, indices | k, axis, largest, sorted, dtype; of equal ones the first come first |
| cumsum | x axis | exclusive, reverse |
| multiclass_nms | boxes[n,4] scores[n,c] -> boxes[1,d,4] classes[1,d] scores[1,d] count[1] | _NMS below |

Integers sum modulo their size; of int8 with a scale reduce_sum and reduce_mean are TFLite's, max and min compare codes.
"""

from __future__ import annotations

import math
from collections.abc import Callable

from .check import CODES_ONLY
from .graph import Op, Tensor
from .ops import ATTRS, KINDS, MAX_EXTENT, Kind, Operands, Result, is_int, is_real, misfit, need
from .ops_move import INDEX_DTYPES, axis_of, fixed

SUMS = tuple(f"reduce_{n}" for n in ("sum", "mean", "prod", "l1", "l2", "log_sum", "log_sum_exp", "sum_square"))
ORDERS = ("reduce_max", "reduce_min")
FLOATS = ("float32", "float16", "float64", "bfloat16")

ATTRS |= {
    "select_last": (lambda v: isinstance(v, bool), "a bool"),
    "dtype": (lambda v: v in INDEX_DTYPES, "int32 or int64"),
    "k": (lambda v: is_int(v, 1, MAX_EXTENT), "an integer >= 1"),
    "largest": (lambda v: isinstance(v, bool), "a bool"),
    "sorted": (lambda v: isinstance(v, bool), "a bool"),
    "exclusive": (lambda v: isinstance(v, bool), "a bool"),
    "reverse": (lambda v: isinstance(v, bool), "a bool"),
    **dict.fromkeys(
        ("max_detections", "per_box", "per_class", "classes"), (lambda v: is_int(v, 1, 2**24), "an integer 1 .. 2^24")
    ),
    "regular": (lambda v: isinstance(v, bool), "a bool"),
    "score_threshold": (is_real, "a number"),
    "iou_threshold": (lambda v: is_real(v) and 0 < v <= 1, "a number above 0, at most 1"),
}
# max_detections boxes with per_box classes each; regular: per_class boxes of each class. classes: the last columns.
_NMS = ("max_detections", "per_box", "per_class", "classes", "regular", "score_threshold", "iou_threshold")


def is_quantized(*tensors: Tensor | None) -> bool:
    """Whether int8 tensors stand for real numbers."""
    return any(t is not None and t.dtype == "int8" and t.scale is not None for t in tensors)


def _reduce(refused: tuple[str, ...]) -> Callable[[Op, Operands], Result]:
    def rule(op: Op, operands: Operands) -> Result:
        x = need(op, operands, 0)
        axes = op.attrs["axes"]
        if x.dtype in refused or any(a >= len(x.shape) for a in axes):
            raise misfit(op, x, f"a number with axes {list(axes)}")
        if op.attrs["keepdims"]:
            return tuple(1 if i in axes else d for i, d in enumerate(x.shape)), x.dtype
        return tuple(d for i, d in enumerate(x.shape) if i not in axes), x.dtype

    return rule


def _arg(op: Op, operands: Operands) -> Result:
    x = need(op, operands, 0)
    axis = axis_of(op, len(x.shape))
    rest = (1,) if op.attrs["keepdims"] else ()
    return (*x.shape[:axis], *rest, *x.shape[axis + 1 :]), op.attrs["dtype"]


def _topk(op: Op, operands: Operands) -> list[Result]:
    x = need(op, operands, 0)
    axis, k = axis_of(op, len(x.shape)), op.attrs["k"]
    if k > fixed(op, x)[axis]:
        raise misfit(op, x, f"{k} or more along axis {axis}")
    shape = tuple(k if i == axis else d for i, d in enumerate(x.shape))
    return [(shape, x.dtype), (shape, op.attrs["dtype"])]


def _cumsum(op: Op, operands: Operands) -> Result:
    x, axis = need(op, operands, 0), need(op, operands, 1)
    if axis.dtype not in INDEX_DTYPES or math.prod(fixed(op, axis)) != 1:
        raise misfit(op, axis, "one int32 or int64")
    if x.dtype == "bool" or not x.shape:
        raise misfit(op, x, "numbers of rank 1 or more")
    return x.shape, x.dtype


def _multiclass_nms(op: Op, operands: Operands) -> list[Result]:
    boxes, scores = need(op, operands, 0), need(op, operands, 1)
    if boxes.dtype != "float32" or len(boxes.shape) != 2 or boxes.shape[1] != 4:
        raise misfit(op, boxes, "float32[n, 4]")
    classes = scores.shape[-1] if len(scores.shape) == 2 else None
    if (
        scores.dtype != "float32"
        or classes is None
        or classes < op.attrs["classes"]
        or scores.shape[0] != boxes.shape[0]
    ):
        raise misfit(op, scores, f"float32[n, {op.attrs['classes']} or more] for boxes {boxes.name!r}")
    count = op.attrs["max_detections"]
    if not op.attrs["regular"]:
        count *= min(op.attrs["per_box"], op.attrs["classes"])
    return [((1, count, 4), "float32"), ((1, count), "float32"), ((1, count), "float32"), ((1,), "float32")]


_KINDS = dict.fromkeys(SUMS, Kind(1, ("axes", "keepdims"), _reduce(("bool",))))
_KINDS |= dict.fromkeys(ORDERS, Kind(1, ("axes", "keepdims"), _reduce(())))
_KINDS |= dict.fromkeys(("arg_max", "arg_min"), Kind(1, ("axis", "keepdims", "select_last", "dtype"), _arg))
_KINDS["topk"] = Kind(1, ("k", "axis", "largest", "sorted", "dtype"), _topk)
_KINDS["multiclass_nms"] = Kind(2, _NMS, _multiclass_nms)
_KINDS["cumsum"] = Kind(2, ("exclusive", "reverse"), _cumsum)
KINDS |= _KINDS
CODES_ONLY.update(_KINDS)
