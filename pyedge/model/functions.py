"""The functions of elementwise kinds on float64 arrays: what the reference computes, and tables of int8 codes."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

Unary = Callable[[np.ndarray], np.ndarray]
Binary = Callable[[np.ndarray, np.ndarray], np.ndarray]


def _erf(x: np.ndarray) -> np.ndarray:
    return np.asarray(np.vectorize(math.erf, otypes=[np.float64])(x))


def _sigmoid(x: np.ndarray) -> np.ndarray:
    return np.asarray(np.exp(-np.logaddexp(0.0, -x)))


def _softplus(x: np.ndarray) -> np.ndarray:
    return np.asarray(np.logaddexp(0.0, x))


def _below_zero(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """y where x < 0, else x."""
    return np.asarray(np.where(x < 0, y, x))


def _f32(value: float) -> float:
    """Attributes are float32 in plans."""
    return float(np.float32(value))


def _hard_sigmoid(x: np.ndarray, alpha: float, beta: float) -> np.ndarray:
    return np.asarray(np.clip(_f32(alpha) * x + _f32(beta), 0.0, 1.0))


def _gelu_tanh(x: np.ndarray) -> np.ndarray:
    return np.asarray(0.5 * x * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3))))


_PLAIN: dict[str, Unary] = {
    "abs": np.abs,
    "neg": np.negative,
    "floor": np.floor,
    "ceil": np.ceil,
    "round": np.rint,
    "sign": np.sign,
    "square": np.square,
    "sqrt": np.sqrt,
    "rsqrt": lambda x: 1 / np.sqrt(x),
    "reciprocal": lambda x: 1 / x,
    "exp": np.exp,
    "log": np.log,
    "sin": np.sin,
    "cos": np.cos,
    "tan": np.tan,
    "asin": np.arcsin,
    "acos": np.arccos,
    "atan": np.arctan,
    "sinh": np.sinh,
    "cosh": np.cosh,
    "tanh": np.tanh,
    "asinh": np.arcsinh,
    "acosh": np.arccosh,
    "atanh": np.arctanh,
    "erf": _erf,
    "sigmoid": _sigmoid,
    "softplus": _softplus,
    "softsign": lambda x: x / (1 + np.abs(x)),
    "mish": lambda x: x * np.tanh(_softplus(x)),
    "hard_swish": lambda x: x * _hard_sigmoid(x, 1 / 6, 0.5),
    "not": np.logical_not,
    "bitwise_not": np.invert,
    "is_nan": np.isnan,
}


def unary(kind: str, attrs: Mapping[str, Any]) -> Unary:
    """The function of a unary kind."""
    if kind in _PLAIN:
        return _PLAIN[kind]
    alpha = _f32(attrs.get("alpha", 0.0))
    if kind == "is_inf":
        return lambda x: np.isinf(x) & np.where(x < 0, attrs["detect_negative"], attrs["detect_positive"]).astype(bool)
    if kind == "hard_sigmoid":
        return lambda x: _hard_sigmoid(x, alpha, attrs["beta"])
    if kind == "gelu":
        tanh = attrs["approximate"] == "tanh"
        return _gelu_tanh if tanh else lambda x: np.asarray(0.5 * x * (1 + _erf(x / math.sqrt(2))))
    functions: dict[str, Unary] = {
        "leaky_relu": lambda x: _below_zero(x, alpha * x),
        "thresholded_relu": lambda x: np.asarray(np.where(x <= alpha, 0.0, x)),
        "elu": lambda x: _below_zero(x, alpha * np.expm1(x)),
        "celu": lambda x: _below_zero(x, alpha * np.expm1(x / alpha)),
        "selu": lambda x: _f32(attrs["gamma"]) * _below_zero(x, alpha * np.expm1(x)),
        "swish": lambda x: np.asarray(x * _sigmoid(alpha * x)),
    }
    return functions[kind]


def _divide(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Integers: towards zero, 0 for a division by 0."""
    if a.dtype.kind == "f":
        return np.asarray(a / b)
    divisor = np.where(b == 0, 1, b).astype(b.dtype)
    quotient = a // divisor
    upwards = ((a < 0) != (divisor < 0)) & (quotient * divisor != a)
    return np.asarray(np.where(b == 0, 0, quotient + upwards.astype(a.dtype)).astype(a.dtype))


def _floor_divide(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return np.asarray(np.floor(a / b)) if a.dtype.kind == "f" else np.floor_divide(a, b)


def _shift(a: np.ndarray, b: np.ndarray, left: bool) -> np.ndarray:
    bits = 8 * a.dtype.itemsize
    clamped = np.minimum(b, bits - 1).astype(a.dtype)
    if left:
        return np.asarray(np.where(b < bits, a << clamped, 0))
    return np.asarray(np.where(b < bits, a >> clamped, np.where(a < 0, -1, 0).astype(a.dtype)))


def _power(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Integer powers wrap; a negative exponent leaves what an integer can hold: 0, or +-1 of +-1."""
    if a.dtype.kind == "f" or b.dtype.kind == "f":
        return np.asarray(np.power(a.astype(np.float64), b.astype(np.float64)))
    negative = np.where(np.abs(a) == 1, np.where(b % 2 == 0, 1, a), 0)
    return np.asarray(np.where(b < 0, negative, np.power(a, np.maximum(b, 0).astype(a.dtype))))


_BINARY: dict[str, Binary] = {
    "add": np.add,
    "sub": np.subtract,
    "mul": np.multiply,
    "div": _divide,
    "min": np.minimum,
    "max": np.maximum,
    "prelu": lambda a, b: np.asarray(np.where(a < 0, a * b, a)),
    "squared_difference": lambda a, b: np.square(a - b),
    "floor_div": _floor_divide,
    "pow": _power,
    "atan2": np.arctan2,
    "and": np.logical_and,
    "or": np.logical_or,
    "xor": np.logical_xor,
    "bitwise_and": np.bitwise_and,
    "bitwise_or": np.bitwise_or,
    "bitwise_xor": np.bitwise_xor,
    "equal": np.equal,
    "not_equal": np.not_equal,
    "less": np.less,
    "less_equal": np.less_equal,
    "greater": np.greater,
    "greater_equal": np.greater_equal,
}


def binary(kind: str, attrs: Mapping[str, Any]) -> Binary:
    """The function of a binary kind, on arrays of one dtype: float64, or an integer dtype, whose results wrap."""
    if kind == "mod":
        return np.fmod if attrs["fmod"] else np.mod
    if kind == "shift":
        return lambda a, b: _shift(a, b, attrs["direction"] == "LEFT")
    return _BINARY[kind]
