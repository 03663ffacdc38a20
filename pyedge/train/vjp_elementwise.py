"""Gradients of elementwise kinds (model/ops_elementwise.py).

Functions of one operand are given by their derivative, from y where that is enough. Where a function has a kink, its
derivative there is the one from below for relu and its like, 0 at the bounds of clip, and that of a for min and max.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from ..model.graph import Op
from ..model.ops_elementwise import COMPARISONS, FLOATS
from ..model.quantmath import ACTIVATION_RANGES
from .tape import CONSTANT, Gradients, Rule, Tape, only, vjp

CONSTANT.update(("floor", "ceil", "round", "sign", "floor_div", "not", "and", "or", "xor", "is_nan", "is_inf"))
CONSTANT.update((*COMPARISONS, "any_ge"))

Slope = Callable[[Tape, str, str, dict[str, Any]], str]  # tape, x, y, attributes -> dy/dx


# --- functions of one operand -----------------------------------------------------------------------------------------


def _slope(*kinds: str) -> Callable[[Slope], Slope]:
    """Registers a derivative: the gradient is dy times it."""

    def register(slope: Slope) -> Slope:
        def rule(t: Tape, op: Op, dy: Gradients) -> Gradients:
            x, (g,) = op.inputs[0], dy
            assert x is not None and g is not None
            return [t.mul(g, slope(t, x, op.outputs[0], op.attrs))]

        vjp(*kinds)(rule)
        return slope

    return register


_slope("abs")(lambda t, x, y, a: t.op("sign", x))
_slope("square")(lambda t, x, y, a: t.add(x, x))
_slope("sqrt")(lambda t, x, y, a: t.op("reciprocal", t.add(y, y)))
_slope("rsqrt")(lambda t, x, y, a: t.scale(t.mul(y, t.mul(y, y)), -0.5))
_slope("reciprocal")(lambda t, x, y, a: t.neg(t.mul(y, y)))
_slope("exp")(lambda t, x, y, a: y)
_slope("log")(lambda t, x, y, a: t.op("reciprocal", x))
_slope("sin")(lambda t, x, y, a: t.op("cos", x))
_slope("cos")(lambda t, x, y, a: t.neg(t.op("sin", x)))
_slope("tan")(lambda t, x, y, a: t.shift(t.mul(y, y), 1.0))
_slope("asin")(lambda t, x, y, a: t.op("rsqrt", _one_minus(t, t.mul(x, x))))
_slope("acos")(lambda t, x, y, a: t.neg(t.op("rsqrt", _one_minus(t, t.mul(x, x)))))
_slope("atan")(lambda t, x, y, a: t.op("reciprocal", t.shift(t.mul(x, x), 1.0)))
_slope("sinh")(lambda t, x, y, a: t.op("cosh", x))
_slope("cosh")(lambda t, x, y, a: t.op("sinh", x))
_slope("tanh")(lambda t, x, y, a: _one_minus(t, t.mul(y, y)))
_slope("asinh")(lambda t, x, y, a: t.op("rsqrt", t.shift(t.mul(x, x), 1.0)))
_slope("acosh")(lambda t, x, y, a: t.op("rsqrt", t.shift(t.mul(x, x), -1.0)))
_slope("atanh")(lambda t, x, y, a: t.op("reciprocal", _one_minus(t, t.mul(x, x))))
_slope("erf")(lambda t, x, y, a: t.scale(_bell(t, t.mul(x, x)), 2 / math.sqrt(math.pi)))
_slope("sigmoid")(lambda t, x, y, a: t.mul(y, _one_minus(t, y)))
_slope("softplus")(lambda t, x, y, a: t.op("sigmoid", x))


def _one_minus(t: Tape, x: str) -> str:
    return t.sub(t.number(1.0, x), x)


def _bell(t: Tape, square: str) -> str:
    """exp(-square)"""
    return t.op("exp", t.neg(square))


@_slope("softsign")
def _softsign(t: Tape, x: str, y: str, a: dict[str, Any]) -> str:
    root = t.op("reciprocal", t.shift(t.op("abs", x), 1.0))
    return t.mul(root, root)


@_slope("mish")
def _mish(t: Tape, x: str, y: str, a: dict[str, Any]) -> str:
    """tanh(s) + x (1 - tanh(s)^2) sigmoid(x) with s = softplus(x)"""
    th = t.op("tanh", t.op("softplus", x))
    return t.add(th, t.mul(t.mul(x, t.op("sigmoid", x)), _one_minus(t, t.mul(th, th))))


@_slope("swish")
def _swish(t: Tape, x: str, y: str, a: dict[str, Any]) -> str:
    """s + alpha x s (1 - s) with s = sigmoid(alpha x)"""
    s = t.op("sigmoid", t.scale(x, a["alpha"]))
    return t.add(s, t.scale(t.mul(t.mul(x, s), _one_minus(t, s)), a["alpha"]))


@_slope("gelu")
def _gelu(t: Tape, x: str, y: str, a: dict[str, Any]) -> str:
    if a["approximate"] == "none":  # Phi(x) + x phi(x)
        phi = t.scale(_bell(t, t.scale(t.mul(x, x), 0.5)), 1 / math.sqrt(2 * math.pi))
        cumulative = t.scale(t.shift(t.op("erf", t.scale(x, math.sqrt(0.5))), 1.0), 0.5)
        return t.add(cumulative, t.mul(x, phi))
    # y = x h with h = (1 + tanh(u)) / 2, u = k (x + c x^3)
    k, c = math.sqrt(2 / math.pi), 0.044715
    square = t.mul(x, x)
    th = t.op("tanh", t.mul(t.scale(x, k), t.shift(t.scale(square, c), 1.0)))
    inner = t.mul(t.scale(x, k / 2), t.shift(t.scale(square, 3 * c), 1.0))
    return t.add(t.scale(t.shift(th, 1.0), 0.5), t.mul(inner, _one_minus(t, t.mul(th, th))))


@_slope("hard_swish")
def _hard_swish(t: Tape, x: str, y: str, a: dict[str, Any]) -> str:
    """0 up to -3, 1 from 3 on, x / 3 + 1/2 between."""
    slope = t.shift(t.scale(x, 1 / 3), 0.5)
    slope = t.where(t.compare("less", x, 3.0), slope, t.number(1.0, x))
    return t.masked(t.compare("greater", x, -3.0), slope)


@vjp("neg")
def _neg(t: Tape, op: Op, dy: Gradients) -> Gradients:
    return [t.neg(only(dy))]


@vjp("relu", "relu6", "clip")
def _clip(t: Tape, op: Op, dy: Gradients) -> Gradients:
    low, high = (op.attrs["min"], op.attrs["max"]) if op.kind == "clip" else ACTIVATION_RANGES[op.kind]
    return [t.clip_grad(only(dy), op.outputs[0], float(low), float(high))]


@vjp("hard_sigmoid")
def _hard_sigmoid(t: Tape, op: Op, dy: Gradients) -> Gradients:
    return [t.scale(t.clip_grad(only(dy), op.outputs[0], 0.0, 1.0), op.attrs["alpha"])]


@vjp("leaky_relu", "elu", "celu", "selu", "thresholded_relu")
def _two_sided(t: Tape, op: Op, dy: Gradients) -> Gradients:
    """Of functions of two halves; where alpha is above 0, y is above 0 where x is, and x can be freed."""
    (x,), y, g, alpha = op.inputs, op.outputs[0], only(dy), op.attrs["alpha"]
    assert x is not None
    if op.kind == "thresholded_relu":
        return [t.masked(t.compare("greater", x, alpha), g)]
    above = t.scale(g, op.attrs["gamma"]) if op.kind == "selu" else g
    if op.kind == "leaky_relu":
        below = t.scale(g, alpha)
    elif op.kind == "celu":  # y = alpha (exp(x / alpha) - 1)
        below = t.mul(g, t.shift(t.scale(y, 1 / alpha), 1.0))
    else:  # y = gamma alpha (exp(x) - 1)
        below = t.mul(g, t.shift(y, alpha * op.attrs.get("gamma", 1.0)))
    positive = t.compare("greater", y if alpha > 0 and op.attrs.get("gamma", 1.0) > 0 else x, 0.0)
    return [t.where(positive, above, below)]


@vjp("cast")
def _cast(t: Tape, op: Op, dy: Gradients) -> Gradients:
    """Between floats; a cast to integers or codes ends the gradient."""
    x = op.inputs[0]
    if op.attrs["to_format"] is not None or op.attrs["from_format"] is not None:
        return [None]
    return [t.cast(only(dy), t.dtype(x))]


# --- of two operands, with broadcasting ------------------------------------------------------------------------------


def _pair(*kinds: str) -> Callable[[Callable[[Tape, Op, str, str, str], tuple[str | None, str | None]]], Rule]:
    """Registers a rule that gives gradients of the broadcast operands: (tape, op, dy, a, b) -> (da, db)."""

    def register(parts: Callable[[Tape, Op, str, str, str], tuple[str | None, str | None]]) -> Rule:
        def rule(t: Tape, op: Op, dy: Gradients) -> Gradients:
            a, b = op.inputs
            assert a is not None and b is not None
            found = parts(t, op, t.before_activation(op, dy), a, b)
            return [None if g is None else t.sum_to(g, t.shape(n)) for g, n in zip(found, (a, b), strict=True)]

        return vjp(*kinds)(rule)

    return register


_pair("add")(lambda t, op, dy, a, b: (dy, dy))
_pair("sub")(lambda t, op, dy, a, b: (dy, t.neg(dy)))
_pair("mul")(lambda t, op, dy, a, b: (t.mul(dy, b), t.mul(dy, a)))
_pair("mod")(lambda t, op, dy, a, b: (dy, None))


@_pair("div")
def _div(t: Tape, op: Op, dy: str, a: str, b: str) -> tuple[str, str]:
    da = t.div(dy, b)
    return da, t.neg(t.mul(da, op.outputs[0]))


@_pair("squared_difference")
def _squared_difference(t: Tape, op: Op, dy: str, a: str, b: str) -> tuple[str, str]:
    d = t.sub(a, b)
    da = t.mul(dy, t.add(d, d))
    return da, t.neg(da)


@_pair("min", "max")
def _order(t: Tape, op: Op, dy: str, a: str, b: str) -> tuple[str, str]:
    """Equal operands: a has the gradient."""
    of_a = t.op("greater_equal" if op.kind == "max" else "less_equal", a, b)
    zero = t.number(0.0, dy)
    return t.where(of_a, dy, zero), t.where(of_a, zero, dy)


@_pair("prelu")
def _prelu(t: Tape, op: Op, dy: str, a: str, b: str) -> tuple[str, str]:
    positive = t.compare("greater", a, 0.0)
    return t.where(positive, dy, t.mul(dy, b)), t.where(positive, t.number(0.0, dy), t.mul(dy, a))


@_pair("atan2")
def _atan2(t: Tape, op: Op, dy: str, a: str, b: str) -> tuple[str, str]:
    over = t.div(dy, t.add(t.mul(a, a), t.mul(b, b)))
    return t.mul(over, b), t.neg(t.mul(over, a))


@_pair("pow")
def _pow(t: Tape, op: Op, dy: str, a: str, b: str) -> tuple[str | None, str | None]:
    """da = dy b a^(b - 1), 0 where b is 0; db = dy y log(a), 0 where y is."""
    if t.dtype(a) != t.dtype(b) and t.dtype(a) not in FLOATS:
        return None, None
    data = t.tensor(b).data
    exponent = t.cast(b, t.dtype(a))
    if data is not None and t.dtype(b) != "bfloat16":  # as is usual: then b - 1 is a constant
        wide = data.astype(np.float64)
        less, flat = t.constant(wide - 1, t.dtype(a)), bool((wide == 0).any())
    else:
        less, flat = t.shift(exponent, -1.0), True
    da = t.mul(t.mul(dy, exponent), t.op("pow", a, less))
    if flat:
        da = t.where(t.compare("equal", exponent, 0.0), t.number(0.0, da), da)
    if t.dtype(b) not in FLOATS:
        return da, None
    y = op.outputs[0]
    db = t.where(t.compare("equal", y, 0.0), t.number(0.0, dy), t.mul(dy, t.mul(y, t.op("log", a))))
    return da, t.cast(db, t.dtype(b))


@vjp("where")
def _where(t: Tape, op: Op, dy: Gradients) -> Gradients:
    condition, a, b = op.inputs
    g = only(dy)
    assert condition is not None
    zero = t.number(0.0, g)
    da, db = t.where(condition, g, zero), t.where(condition, zero, g)
    return [None, t.sum_to(da, t.shape(a)), t.sum_to(db, t.shape(b))]
