"""Kinds that reduce, order or sum along axes.

| kind | inputs -> outputs | attributes |
|---|---|---|
| reduce_sum, reduce_mean, reduce_prod, reduce_sum_square | x | axes (ascending), keepdims |
| reduce_l1, reduce_l2, reduce_log_sum, reduce_log_sum_exp | x | axes, keepdims |
| reduce_max, reduce_min | x | axes, keepdims; NaN if one is NaN |
| arg_max, arg_min | x -> int32 or int64 | axis, keepdims, select_last, dtype; NaN counts as either |
| topk | x -> values, indices | k, axis, largest, sorted, dtype; of equal ones the first come first |
| cumsum | x axis | exclusive, reverse |

Integers sum modulo their size; of int8 with a scale reduce_sum and reduce_mean are TFLite's, max and min compare codes.
"""

from __future__ import annotations

import math
from collections.abc import Callable

from .check import CODES_ONLY
from .graph import Op, Tensor
from .ops import ATTRS, KINDS, MAX_EXTENT, Kind, Operands, Result, is_int, misfit, need
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
}


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


_KINDS = dict.fromkeys(SUMS, Kind(1, ("axes", "keepdims"), _reduce(("bool",))))
_KINDS |= dict.fromkeys(ORDERS, Kind(1, ("axes", "keepdims"), _reduce(())))
_KINDS |= dict.fromkeys(("arg_max", "arg_min"), Kind(1, ("axis", "keepdims", "select_last", "dtype"), _arg))
_KINDS["topk"] = Kind(1, ("k", "axis", "largest", "sorted", "dtype"), _topk)
_KINDS["cumsum"] = Kind(2, ("exclusive", "reverse"), _cumsum)
KINDS |= _KINDS
CODES_ONLY.update(_KINDS)
