"""The reference of elementwise kinds (ops_elementwise.py): float64 rounded once, integers as they are."""

from __future__ import annotations

import numpy as np

from . import quantmath as qm
from .fixed_point import high_multiply, reciprocal, round_shift, scale_twice_rounded, wrap32
from .formats import decode, encode, format_named
from .functions import binary, unary
from .graph import Op, Tensor
from .int8_tables import table
from .ops_elementwise import BINARY, COMPARISONS, UNARY, blocks
from .reference import _FLOAT, _INT8, RULES, Arrays, Tensors


def _scaled(t: Tensor) -> bool:
    """An int8 tensor of quantized numbers."""
    return t.dtype == "int8" and t.quant is not None


def _q(t: Tensor) -> tuple[float, int]:
    assert t.scale is not None and t.zero_point is not None, t.name
    return t.scale, t.zero_point


def _wide(x: np.ndarray) -> np.ndarray:
    """Floats as float64."""
    return x if x.dtype.kind in "iub" else x.astype(np.float64)


def _unary(op: Op, v: Arrays, t: Tensors, rounding: str) -> np.ndarray:
    if _scaled(t[0]):
        return np.asarray(table(op.kind, op.attrs, _q(t[0]), _q(t[1]))[v[0].view(np.uint8)])
    x = _wide(v[0])
    if x.dtype.kind in "iu" and op.kind in ("floor", "ceil", "round"):
        return np.asarray(x)
    return np.asarray(unary(op.kind, op.attrs)(x))


def _binary(op: Op, v: Arrays, t: Tensors, rounding: str) -> np.ndarray:
    if op.kind == "add" and t[0].dtype in ("float32", "float16"):
        return np.asarray(_FLOAT["add"](op, v, t, rounding))
    if _scaled(t[0]):
        return _binary_int8(op, v, t, rounding)
    if op.kind == "pow" and v[0].dtype != v[1].dtype and "f" in (v[0].dtype.kind, v[1].dtype.kind):
        return (
            np.trunc(binary("pow", {})(_wide(v[0]), _wide(v[1]))) if v[0].dtype.kind in "iu" else binary("pow", {})(*v)
        )
    exact = op.kind == "floor_div" and v[0].dtype == np.float32  # the quotient's rounding shows
    a, b = (v[0], v[1]) if exact else (_wide(v[0]), _wide(v[1]))
    result = binary(op.kind, op.attrs)(a, b if op.kind == "pow" else b.astype(a.dtype))
    if a.dtype.kind in "iu" and op.kind in ("mod", "floor_div"):
        result = np.where(b == 0, 0, result)
    return np.asarray(result)


def _binary_int8(op: Op, v: Arrays, t: Tensors, rounding: str) -> np.ndarray:
    """TFLite's kernels; kinds that it doesn't have go by float32 and back."""
    if op.kind == "add":
        return np.asarray(_INT8["add"](op, v, t, rounding))
    p = qm.binary_params(op.kind, _q(t[0]), _q(t[1]), _q(t[2]) if op.kind not in COMPARISONS else (1.0, 0))
    if p is None:
        real = binary(op.kind, op.attrs)(*(x.dequantize(c) for x, c in zip(t, v[:2], strict=False)))
        if op.kind in COMPARISONS:
            return real
        scale, zero = _q(t[2])
        scaled = np.nan_to_num((real.astype(np.float32) / np.float32(scale)).astype(np.float64), nan=0.0)
        return np.asarray(np.clip(np.copysign(np.floor(np.abs(scaled) + 0.5), scaled) + zero, -128, 127))
    if op.kind in ("min", "max"):
        return binary(op.kind, {})(v[0], v[1])
    a, b = v[0].astype(np.int64) - p.a_zero_point, v[1].astype(np.int64) - p.b_zero_point
    if op.kind == "mul":
        result = scale_twice_rounded(a * b, *p.y)
    elif op.kind == "div":
        result = _quotient(a + 0 * b, b + 0 * a, *p.y)
    elif op.kind == "prelu":
        result = np.where(a >= 0, scale_twice_rounded(a + 0 * b, *p.a), scale_twice_rounded(a * b, *p.b))
    else:
        wide_a = scale_twice_rounded(a << p.left_shift, *p.a)
        wide_b = scale_twice_rounded(b << p.left_shift, *p.b)
        if op.kind in COMPARISONS:
            return binary(op.kind, {})(wide_a, wide_b)
        difference = wide_a - wide_b
        result = scale_twice_rounded(wrap32(difference**2 if op.kind == "squared_difference" else difference), *p.y)
    return np.asarray(np.clip(result + p.y_zero_point, -128, 127))


def _quotient(a: np.ndarray, b: np.ndarray, multiplier: int, shift: int) -> np.ndarray:
    """TFLite's div of codes: by the reciprocal of b (reference/div.h); by 0 the largest or smallest number there is."""

    def zeros(n: np.ndarray) -> np.ndarray:
        return np.array([32 - int(e).bit_length() for e in n.reshape(-1)], np.int64).reshape(n.shape)

    signed, divisor = np.where(b < 0, -a, a), np.maximum(np.abs(b), 1)
    inverse, bits = reciprocal(divisor, 31)
    room = zeros(np.where(signed < 0, -signed - 1, signed)) - 1
    right = shift + bits + room
    unscaled = high_multiply(signed << room, inverse)
    exact = np.where(right > 31, 0, round_shift(high_multiply(unscaled, multiplier), np.clip(right, 0, 31)))
    return np.asarray(np.where(b == 0, np.sign(a) << 30, exact))


def _clip(op: Op, v: Arrays, t: Tensors, rounding: str) -> np.ndarray:
    if t[0].dtype == "float32" or _scaled(t[0]):
        return np.asarray((_INT8 if _scaled(t[0]) else _FLOAT)[op.kind](op, v, t, rounding))
    low, high = (op.attrs["min"], op.attrs["max"]) if op.kind == "clip" else qm.ACTIVATION_RANGES[op.kind]
    return np.asarray(np.clip(v[0].astype(np.float64), low, high))


def _where(op: Op, v: Arrays, t: Tensors, rounding: str) -> np.ndarray:
    return np.asarray(np.where(v[0], v[1], v[2]))


def _cast(op: Op, v: Arrays, t: Tensors, rounding: str) -> np.ndarray:
    source, target = format_named(op.attrs["from_format"]), format_named(op.attrs["to_format"])
    x = decode(v[0], source.name) if source is not None and source.exponent_bits else v[0]
    if target is not None and target.exponent_bits:
        return encode(x.astype(np.float64), target.name, bool(op.attrs["saturate"]), op.attrs["round_mode"])
    to = np.dtype(op.attrs["to"]) if op.attrs["to"] != "bfloat16" else None
    if to is None or to.kind == "f":
        return np.asarray(x)
    if to.kind == "b":
        return np.asarray(x.astype(np.float64) != 0)
    if x.dtype.kind not in "iub":
        limit = np.iinfo(to if target is None else np.int32)
        x = _cut(x.astype(np.float64), int(limit.min), int(limit.max), np.uint64 if to == np.uint64 else np.int64)
    if target is None:
        return np.asarray(x.astype(to))
    bits = target.mantissa_bits
    low = x.astype(np.int64) & ((1 << bits) - 1)
    return np.asarray(low - (low >> (bits - 1) << bits if target.dtype == "int8" else 0))


def _cut(x: np.ndarray, low: int, high: int, wide: type[np.generic]) -> np.ndarray:
    """Cut off towards zero and saturated; NaN is 0."""
    inside = np.where((x > low) & (x < high), x, 0.0).astype(wide)
    return np.asarray(np.where(x >= high, np.array(high, wide), np.where(x <= low, np.array(low, wide), inside)))


def _spread(values: np.ndarray, op: Op, x: np.ndarray) -> np.ndarray:
    """Scales or zero points against the elements of x."""
    if values.size == 1 and not op.attrs["block_size"]:
        return values.reshape(())
    axis, _ = blocks(op, x.shape)
    if op.attrs["block_size"]:
        return np.repeat(values, op.attrs["block_size"], axis=axis)[tuple(slice(n) for n in x.shape)]
    return values.reshape([-1 if i == axis else 1 for i in range(x.ndim)])


def _quantize(op: Op, v: Arrays, t: Tensors, rounding: str) -> np.ndarray:
    f = format_named(op.attrs["format"])
    x = v[0].astype(np.float32) / _spread(v[1].astype(np.float32), op, v[0])
    zero = _spread(_numbers(v[2], op), op, v[0]) if len(v) > 2 and v[2] is not None else 0.0
    if f is not None:
        real = (x.astype(np.float64) if f.exponent_bits else np.rint(x).astype(np.float64)) + zero
        return encode(real, f.name, bool(op.attrs["saturate"]))
    limit = np.iinfo(op.attrs["dtype"])
    return np.asarray(np.clip(np.nan_to_num(np.rint(x).astype(np.float64) + zero, nan=0.0), limit.min, limit.max))


def _numbers(codes: np.ndarray, op: Op) -> np.ndarray:
    f = format_named(op.attrs["format"])
    return codes.astype(np.float64) if f is None else decode(codes, f.name)


def _dequantize(op: Op, v: Arrays, t: Tensors, rounding: str) -> np.ndarray:
    zero = _spread(_numbers(v[2], op), op, v[0]) if len(v) > 2 and v[2] is not None else 0.0
    return np.asarray((_numbers(v[0], op) - zero).astype(np.float32) * _spread(v[1].astype(np.float32), op, v[0]))


RULES |= dict.fromkeys(UNARY, _unary) | dict.fromkeys(BINARY, _binary)
RULES |= {"relu": _clip, "relu6": _clip, "clip": _clip, "where": _where, "cast": _cast}
RULES |= {"quantize_linear": _quantize, "dequantize_linear": _dequantize}
