"""Kinds that work element by element, on every dtype, with ONNX's meaning; add, relu, relu6 and clip (ops.py) too.

| kind | inputs -> output | attributes |
|---|---|---|
| abs, neg, floor, ceil, round, sign, square, bitwise_not, not | x -> y | |
| sqrt, rsqrt, reciprocal, softsign, hard_swish, exp, log, sigmoid, softplus, mish, erf | x -> y | |
| sin, cos, tan, asin, acos, atan, sinh, cosh, tanh, asinh, acosh, atanh | x -> y | |
| leaky_relu, thresholded_relu, elu, celu, swish | x -> y | alpha |
| selu | x -> y | alpha, gamma |
| hard_sigmoid | x -> y | alpha, beta |
| gelu | x -> y | approximate: "none" or "tanh" |
| is_nan | x -> bool | |
| is_inf | x -> bool | detect_negative, detect_positive |
| sub, mul, div, min, max, prelu, squared_difference, floor_div, pow, atan2 | a b -> y, NumPy broadcasting | |
| mod | a b -> y | fmod: the sign of a (C's fmod), else of b (Python's %) |
| and, or, xor, bitwise_and, bitwise_or, bitwise_xor | a b -> y | |
| shift | a b -> y | direction: "LEFT" or "RIGHT" |
| equal, not_equal, less, less_equal, greater, greater_equal | a b -> bool | |
| where | condition[bool] a b -> y | |
| cast | x -> y | to, saturate, round_mode, from_format, to_format |
| quantize_linear | x scale [zero point] -> codes | axis, block_size, dtype, format, saturate |
| dequantize_linear | codes scale [zero point] -> y | axis, block_size, dtype, format |

round: halves to even. div of integers: towards zero. pow: a and b may have different dtypes, y has a's. int8 tensors
with a scale are quantized numbers (TFLite's arithmetic), else plain integers. cast of floats to integers cuts off
and saturates; a format (formats.py) names what the codes in a byte tensor mean. quantize_linear: one scale, or one for
each slice of axis, or with block_size one for each block along it.
"""

from __future__ import annotations

from collections.abc import Callable

from ..errors import ShapeError
from .check import CODES_ONLY
from .formats import FORMATS
from .graph import DTYPES, Op
from .ops import ATTRS, KINDS, Kind, Operands, Result, Shape, is_int, is_real, misfit, need, show

FLOATS = ("float32", "float16", "float64", "bfloat16")
INTEGERS = ("int8", "uint8", "int16", "uint16", "int32", "uint32", "int64", "uint64")
NUMBERS = (*FLOATS, *INTEGERS)
_REALS = (*FLOATS, "int8", "int16")  # int8 and int16 with a scale

_ELEMENTARY = (
    *("exp", "log", "sin", "cos", "tan", "asin", "acos", "atan", "sinh", "cosh", "tanh", "asinh", "acosh", "atanh"),
    *("erf", "sigmoid", "softplus", "mish", "sqrt", "rsqrt", "reciprocal", "softsign", "hard_swish"),
)
_WITH_ALPHA = ("leaky_relu", "thresholded_relu", "elu", "celu", "swish")
_ARITHMETIC = ("sub", "mul", "div", "min", "max", "prelu", "squared_difference", "floor_div", "pow")

# Functions of x: attributes, in the order of alpha and beta of pe_function_params, and the dtypes.
UNARY: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    **dict.fromkeys(("abs", "neg", "floor", "ceil", "round", "sign", "square"), ((), NUMBERS)),
    **dict.fromkeys(_ELEMENTARY, ((), _REALS)),
    **dict.fromkeys(_WITH_ALPHA, (("alpha",), _REALS)),
    "hard_sigmoid": (("alpha", "beta"), _REALS),
    "selu": (("alpha", "gamma"), _REALS),
    "gelu": (("approximate",), _REALS),
    "not": ((), ("bool",)),
    "bitwise_not": ((), INTEGERS),
    "is_nan": ((), FLOATS),
    "is_inf": (("detect_negative", "detect_positive"), FLOATS),
}
COMPARISONS = ("equal", "not_equal", "less", "less_equal", "greater", "greater_equal")
BINARY: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    **dict.fromkeys(_ARITHMETIC, ((), NUMBERS)),
    "add": (("activation",), NUMBERS),
    "mod": (("fmod",), NUMBERS),
    "atan2": ((), FLOATS),
    **dict.fromkeys(("and", "or", "xor"), ((), ("bool",))),
    **dict.fromkeys(("bitwise_and", "bitwise_or", "bitwise_xor"), ((), INTEGERS)),
    "shift": (("direction",), INTEGERS),
    **dict.fromkeys(COMPARISONS, ((), (*NUMBERS, "bool"))),
}


def _unary(dtypes: tuple[str, ...], result: str | None) -> Callable[[Op, Operands], Result]:
    def rule(op: Op, operands: Operands) -> Result:
        x = need(op, operands, 0)
        if x.dtype not in dtypes or (x.dtype in ("int8", "int16") and "uint8" not in dtypes and x.quant is None):
            scaled = "" if "uint8" in dtypes else " (int8 and int16 with a scale)"
            raise misfit(op, x, "one of " + ", ".join(dtypes) + (scaled if "int8" in dtypes else ""))
        return x.shape, result or x.dtype

    return rule


def broadcast(op: Op, operands: Operands) -> Shape:
    """The shape that the operands broadcast to, as NumPy does it; an open size meets what stands against it."""
    tensors = [need(op, operands, i) for i in range(len(operands))]
    rank = max(len(t.shape) for t in tensors)
    shape: list[int | None] = [1] * rank
    for t in tensors:
        for i, d in enumerate(t.shape, rank - len(t.shape)):
            if shape[i] == 1 or (shape[i] is None and d not in (None, 1)):
                shape[i] = d
            elif d not in (None, 1) and shape[i] != d:
                names = " and ".join(f"{u.name!r} {show(u.shape)}" for u in tensors)
                raise ShapeError(f"{op.kind} {op.name!r}: tensors {names} don't broadcast")
    return tuple(shape)


def _binary(dtypes: tuple[str, ...], result: str | None) -> Callable[[Op, Operands], Result]:
    def rule(op: Op, operands: Operands) -> Result:
        a, b = need(op, operands, 0), need(op, operands, 1)
        if a.dtype not in dtypes:
            raise misfit(op, a, "one of " + ", ".join(dtypes))
        if b.dtype not in dtypes or (op.kind != "pow" and a.dtype != b.dtype):
            raise misfit(op, b, f"{a.dtype} as tensor {a.name!r}")
        return broadcast(op, operands), result or a.dtype

    return rule


def _where(op: Op, operands: Operands) -> Result:
    condition, a, b = (need(op, operands, i) for i in range(3))
    if condition.dtype != "bool":
        raise misfit(op, condition, "bool")
    if a.dtype != b.dtype:
        raise misfit(op, b, f"{a.dtype} as tensor {a.name!r}")
    return broadcast(op, operands), a.dtype


def _check_format(op: Op, name: str, dtype: str) -> None:
    if op.attrs[name] is not None and FORMATS[op.attrs[name]].dtype != dtype:
        raise ShapeError(f"{op.kind} {op.name!r}: codes of {op.attrs[name]} are not {dtype}")


def _cast(op: Op, operands: Operands) -> Result:
    x = need(op, operands, 0)
    _check_format(op, "from_format", x.dtype)
    _check_format(op, "to_format", op.attrs["to"])
    return x.shape, op.attrs["to"]


def blocks(op: Op, shape: Shape) -> tuple[int, tuple[int | None, ...]]:
    """The axis of scales, not negative, and their shape if there is one for each slice or block."""
    axis, block = op.attrs["axis"], op.attrs["block_size"]
    if not -max(len(shape), 1) <= axis < max(len(shape), 1):
        axis = 0  # one scale: the axis says nothing
    axis %= max(len(shape), 1)
    if not shape or not block:
        return axis, tuple(shape[axis : axis + 1])
    size = shape[axis]
    return axis, (*shape[:axis], None if size is None else -(-size // block), *shape[axis + 1 :])


def _check_scales(op: Op, operands: Operands) -> None:
    x, scale = need(op, operands, 0), need(op, operands, 1)
    zero = operands[2] if len(operands) > 2 else None
    axis, expected = blocks(op, x.shape)
    one = all(d == 1 for d in scale.shape) and not op.attrs["block_size"]
    if scale.dtype not in FLOATS or not (
        one
        or (
            len(scale.shape) == len(expected)
            and all(a in (None, b) or b is None for a, b in zip(scale.shape, expected, strict=True))
        )
    ):
        raise misfit(op, scale, f"a float, one or {show(expected)} along axis {axis}")
    if zero is not None and zero.shape != scale.shape and not (one and all(d == 1 for d in zero.shape)):
        raise misfit(op, zero, f"the shape of scale {scale.name!r}, {show(scale.shape)}")


def _quantize(op: Op, operands: Operands) -> Result:
    x = need(op, operands, 0)
    zero = operands[2] if len(operands) > 2 else None
    _check_scales(op, operands)
    _check_format(op, "format", op.attrs["dtype"])
    if x.dtype not in (*FLOATS, "int32") or op.attrs["dtype"] not in INTEGERS:
        raise misfit(op, x, "a float or int32 that becomes an integer or a number format")
    if zero is not None and zero.dtype != op.attrs["dtype"]:
        raise misfit(op, zero, f"{op.attrs['dtype']} as the result")
    return x.shape, op.attrs["dtype"]


def _dequantize(op: Op, operands: Operands) -> Result:
    x = need(op, operands, 0)
    zero = operands[2] if len(operands) > 2 else None
    _check_scales(op, operands)
    _check_format(op, "format", x.dtype)
    if x.dtype not in INTEGERS or op.attrs["dtype"] not in FLOATS:
        raise misfit(op, x, "integers or codes that become a float")
    if zero is not None and zero.dtype != x.dtype:
        raise misfit(op, zero, f"{x.dtype} as tensor {x.name!r}")
    return x.shape, op.attrs["dtype"]


_FLAG = (lambda v: v in (0, 1), "0 or 1")
_FORMAT = (lambda v: v is None or v in FORMATS, "None or a number format: " + ", ".join(FORMATS))
_DTYPE = (lambda v: v in DTYPES, "one of " + ", ".join(DTYPES))

ATTRS.update(
    {
        "alpha": (is_real, "a number"),
        "gamma": (is_real, "a number"),
        "hard_sigmoid.beta": (is_real, "a number"),
        "approximate": (lambda v: v in ("none", "tanh"), '"none" or "tanh"'),
        "detect_negative": _FLAG,
        "detect_positive": _FLAG,
        "fmod": _FLAG,
        "shift.direction": (lambda v: v in ("LEFT", "RIGHT"), '"LEFT" or "RIGHT"'),
        "to": _DTYPE,
        "saturate": _FLAG,
        "round_mode": (lambda v: v in ("up", "down", "nearest"), '"up", "down" or "nearest"'),
        "from_format": _FORMAT,
        "to_format": _FORMAT,
        "format": _FORMAT,
        "block_size": (lambda v: is_int(v, 0, 2**30), "an integer >= 0"),
        **{f"{kind}.dtype": _DTYPE for kind in ("quantize_linear", "dequantize_linear")},
        **{
            f"{kind}.axis": (lambda v: is_int(v, -6, 5), "an axis") for kind in ("quantize_linear", "dequantize_linear")
        },
    }
)

for _kind, (_attrs, _dtypes) in UNARY.items():
    KINDS[_kind] = Kind(1, _attrs, _unary(_dtypes, "bool" if _kind in ("is_nan", "is_inf") else None))
for _kind, (_attrs, _dtypes) in BINARY.items():
    KINDS[_kind] = Kind(2, _attrs, _binary(_dtypes, "bool" if _kind in COMPARISONS else None))
for _kind in ("relu", "relu6", "clip"):
    KINDS[_kind] = Kind(1, KINDS[_kind].attrs, _unary(NUMBERS, None))
KINDS["where"] = Kind(3, (), _where)
KINDS["cast"] = Kind(1, ("to", "saturate", "round_mode", "from_format", "to_format"), _cast)
KINDS["quantize_linear"] = Kind(3, ("axis", "block_size", "dtype", "format", "saturate"), _quantize, (2,))
KINDS["dequantize_linear"] = Kind(3, ("axis", "block_size", "dtype", "format"), _dequantize, (2,))
CODES_ONLY.update([*UNARY, *BINARY, "relu", "relu6", "clip", "where", "cast", "quantize_linear", "dequantize_linear"])
