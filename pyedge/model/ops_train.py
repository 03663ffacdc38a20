"""Kinds of optimizers: the next weights and moments of a training step.

| kind | inputs -> outputs | attributes |
|---|---|---|
| sgd_update | w g lr factor step -> w | weight_decay, clip, rounding, seed, stream, start |
| momentum_update | w g lr factor step m -> w m | those, momentum, nesterov |
| adam_update | w g lr factor step m v -> w m v | those of sgd_update, betas, epsilon, decoupled |
| gradient_noise | g factor sigma step -> y | clip, seed, stream |
| sum_squares | x before or None -> float32[1] | |

w, g: float32 or float16, each by itself; m, v: float32 in the shape of g; lr, factor, sigma, step: float32[1]. What g
means is g * factor, bounded by -clip and clip; a step whose factor is not finite changes nothing. step counts from 1.
g is as large as w, or is that of the elements start, start + 1 .. of w. rounding, of float16 weights: "nearest" or
"stochastic", by random numbers of (seed, stream, step, element). decoupled: the weight decay of AdamW.
"""

from __future__ import annotations

import math
from collections.abc import Callable

from .graph import Op, Tensor
from .ops import ATTRS, KINDS, MAX_EXTENT, Kind, Operands, Result, is_int, is_real, misfit, need

_FLOATS = ("float32", "float16")
_COMMON = ("weight_decay", "clip", "rounding", "seed", "stream", "start")
UPDATES = ("sgd_update", "momentum_update", "adam_update")


def _one(op: Op, t: Tensor) -> None:
    if t.dtype != "float32" or t.shape != (1,):
        raise misfit(op, t, "float32[1]")


def _size(t: Tensor) -> int:
    return math.prod(d or 1 for d in t.shape)


def _update(moments: int) -> Callable[[Op, Operands], list[Result]]:
    def rule(op: Op, operands: Operands) -> list[Result]:
        w, g = need(op, operands, 0), need(op, operands, 1)
        for t in (w, g):
            if t.dtype not in _FLOATS or None in t.shape:
                raise misfit(op, t, "float32 or float16 of a known shape")
        if _size(g) + op.attrs["start"] > _size(w):
            raise misfit(op, g, f"at most the elements of {w.name!r} from {op.attrs['start']} on")
        for i in range(2, 5):
            _one(op, need(op, operands, i))
        results = [(w.shape, w.dtype)]
        for i in range(5, 5 + moments):
            m = need(op, operands, i)
            if m.dtype != "float32" or m.shape != g.shape:
                raise misfit(op, m, f"float32 in the shape of {g.name!r}")
            results.append((m.shape, m.dtype))
        return results

    return rule


def _noise(op: Op, operands: Operands) -> Result:
    g = need(op, operands, 0)
    if g.dtype not in _FLOATS:
        raise misfit(op, g, "float32 or float16")
    for i in range(1, 4):
        _one(op, need(op, operands, i))
    return g.shape, g.dtype


def _sum_squares(op: Op, operands: Operands) -> Result:
    x = need(op, operands, 0)
    if x.dtype not in _FLOATS:
        raise misfit(op, x, "float32 or float16")
    if len(operands) > 1 and operands[1] is not None:
        _one(op, operands[1])
    return (1,), "float32"


_WORD = (lambda v: is_int(v, 0, 2**32 - 1), "an integer of 32 bits, not negative")
_SHARE = (lambda v: is_real(v) and 0 <= v < 1, "a number >= 0 and below 1")
_RULES = {
    "weight_decay": (lambda v: is_real(v) and 0 <= v < math.inf, "a number >= 0"),
    "clip": (lambda v: is_real(v) and v >= 0, "a number >= 0, or infinity"),
    "rounding": (lambda v: v in ("nearest", "stochastic"), '"nearest" or "stochastic"'),
    "seed": _WORD,
    "stream": _WORD,
    "start": (lambda v: is_int(v, 0, MAX_EXTENT), "the number of an element"),
    "momentum": _SHARE,
    "nesterov": (lambda v: isinstance(v, bool), "a bool"),
    "betas": (lambda v: isinstance(v, tuple) and len(v) == 2 and all(map(_SHARE[0], v)), "two numbers in 0 .. 1"),
    "epsilon": (lambda v: is_real(v) and 0 <= v < math.inf, "a number >= 0"),
    "decoupled": (lambda v: isinstance(v, bool), "a bool"),
}
ATTRS.update({f"{kind}.{name}": rule for kind in (*UPDATES, "gradient_noise") for name, rule in _RULES.items()})
KINDS["sgd_update"] = Kind(5, _COMMON, _update(0))
KINDS["momentum_update"] = Kind(6, (*_COMMON, "momentum", "nesterov"), _update(1))
KINDS["adam_update"] = Kind(7, (*_COMMON, "betas", "epsilon", "decoupled"), _update(2))
KINDS["gradient_noise"] = Kind(4, ("clip", "seed", "stream"), _noise)
KINDS["sum_squares"] = Kind(2, (), _sum_squares, (1,))
