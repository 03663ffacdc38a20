"""Lowering of elementwise kinds (model/ops_elementwise.py).

float32 has kinds of its own, quantized int8 a table or binary_s8; every other dtype goes to unary_any and binary_any,
so that firmware without them has no float64 and no int64 code.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from ..errors import PlanError
from ..model import quantmath
from ..model.formats import format_named
from ..model.graph import Op, Tensor, array_dtype
from ..model.int8_tables import table
from ..model.ops_elementwise import BINARY, COMPARISONS, UNARY, blocks
from . import structs
from .lower import Builder, lowering_of, lowers

_GELU = {"none": "gelu", "tanh": "gelu_tanh"}
_MOD = {0: "mod", 1: "fmod"}
_SHIFT = {"LEFT": "shift_left", "RIGHT": "shift_right"}
_GROUPS = (  # first number of pe_function that belongs to the next group
    (40, "unary_f32"),
    (70, "exponential_f32"),
    (80, "trigonometric_f32"),
    (110, "binary_f32"),
    (1 << 16, "power_f32"),
)
_SCALE_ROUNDING = {"up": 0, "down": 1, "nearest": 2}


def _function(kind: str, attrs: Mapping[str, Any]) -> dict[str, Any]:
    """pe_function_params of a kind."""
    if kind == "gelu":
        return {"function": structs.FUNCTIONS[_GELU[attrs["approximate"]]]}
    if kind == "mod":
        return {"function": structs.FUNCTIONS[_MOD[int(attrs["fmod"])]]}
    if kind == "shift":
        return {"function": structs.FUNCTIONS[_SHIFT[attrs["direction"]]]}
    if kind == "hard_swish":
        return {"function": structs.FUNCTIONS[kind], "alpha": 1 / 6, "beta": 0.5}
    names = UNARY[kind][0] if kind in UNARY else ()
    return {"function": structs.FUNCTIONS[kind]} | {
        field: float(attrs[name]) for field, name in zip(("alpha", "beta"), names, strict=False)
    }


def emit_function(b: Builder, kind: str, name: str, inputs: list[int], y: int, attrs: Mapping[str, Any]) -> None:
    """A function of float32 or of any dtype."""
    params = _function(kind, attrs)
    step = next(group for limit, group in _GROUPS if params["function"] < limit)
    if b.program.values[inputs[0]].dtype != "float32":
        step = "unary_any" if kind in UNARY else "binary_any"
    b.emit(step, name, inputs, [y], **params)


def _is_scaled(b: Builder, number: int) -> bool:
    v = b.program.values[number]
    return v.dtype == "int8" and v.scale > 0


def _temporary(b: Builder, like: int, name: str, dtype: str) -> int:
    return b.add(Tensor(name, b.program.values[like].dims, dtype), name)


@lowers(*UNARY)
def _unary(b: Builder, op: Op) -> None:
    x, y = b.input(op, 0), b.result(op)
    if not _is_scaled(b, x):
        emit_function(b, op.kind, op.name, [x], y, op.attrs)
        return
    if b.program.values[y].dtype != "int8":
        raise PlanError(f"op {op.name!r} ({op.kind}): no kernel takes quantized int8")
    codes = b.constant(f"{op.name}:table", table(op.kind, op.attrs, b.scale(op, x), b.scale(op, y)))
    b.emit("lookup", op.name, [x, codes], [y])


_float_add = lowering_of("add")
_float_clip = lowering_of("clip")


@lowers(*BINARY)
def _binary(b: Builder, op: Op) -> None:
    x0, x1, y = b.input(op, 0), b.input(op, 1), b.result(op)
    values = b.program.values
    if op.kind == "add":
        if values[x0].dtype in ("float32", "float16") or _is_scaled(b, x0):
            _float_add(b, op)
            return
        if op.attrs["activation"] is not None:
            raise PlanError(f"op {op.name!r} (add): no activation on {values[x0].dtype}")
    if op.kind == "pow" and values[x0].dtype != values[x1].dtype:
        _mixed_power(b, op, x0, x1, y)
    elif _is_scaled(b, x0) or _is_scaled(b, x1):
        _quantized(b, op, x0, x1, y)
    else:
        emit_function(b, op.kind, op.name, [x0, x1], y, op.attrs)


def _quantized(b: Builder, op: Op, x0: int, x1: int, y: int) -> None:
    """int8: TFLite's kernels, else by float32 and back."""
    sy = (1.0, 0) if op.kind in COMPARISONS else b.scale(op, y)
    p = quantmath.binary_params(op.kind, b.scale(op, x0), b.scale(op, x1), sy)
    if p is None:
        reals = [_temporary(b, x, f"{op.name}:{i}", "float32") for i, x in enumerate((x0, x1))]
        for x, real in zip((x0, x1), reals, strict=True):
            scale, zero_point = b.scale(op, x)
            b.emit("dequantize_s8_f32", op.name, [x], [real], scale=scale, x_zero_point=zero_point)
        result = y if op.kind in COMPARISONS else _temporary(b, y, f"{op.name}:y", "float32")
        emit_function(b, op.kind, op.name, reals, result, op.attrs)
        if result != y:
            b.emit("quantize_f32_s8", op.name, [result], [y], scale=sy[0], y_zero_point=sy[1], y_min=-128, y_max=127)
        return
    params: dict[str, Any] = {f"{c}_zero_point": z for c, z in zip("aby", p[:3], strict=True)}
    for letter, factor in zip("aby", p[4:], strict=True):
        params |= {f"{letter}_multiplier": factor.multiplier, f"{letter}_shift": factor.shift}
    params |= {"left_shift": p.left_shift, "y_min": -128, "y_max": 127, "function": structs.FUNCTIONS[op.kind]}
    b.emit("binary_s8", op.name, [x0, x1], [y], **params)


def _mixed_power(b: Builder, op: Op, x0: int, x1: int, y: int) -> None:
    """a to the power of b of another dtype: in a's if it is a float, or both are integers; else in float32."""
    values = b.program.values
    base, exponent = array_dtype(values[x0].dtype), array_dtype(values[x1].dtype)
    floats = [d for d in (values[x0].dtype, values[x1].dtype) if "float" in d]
    common = values[x0].dtype if "float" in values[x0].dtype or not floats else "float32"
    if not floats and base.itemsize < exponent.itemsize:
        common = values[x1].dtype
    operands = [x if values[x].dtype == common else _cast_to(b, op, x, common) for x in (x0, x1)]
    if values[y].dtype == common:
        emit_function(b, "pow", op.name, operands, y, {})
        return
    result = _temporary(b, y, f"{op.name}:y", common)
    emit_function(b, "pow", op.name, operands, result, {})
    b.emit("cast", op.name, [result], [y])


def _cast_to(b: Builder, op: Op, x: int, dtype: str) -> int:
    number = _temporary(b, x, f"{op.name}:{b.program.values[x].name}", dtype)
    b.emit("cast", op.name, [x], [number])
    return number


@lowers("relu", "relu6", "clip")
def _clip(b: Builder, op: Op) -> None:
    """Of other dtypes than float32 and quantized int8: max, then min, with the bounds that the dtype can hold."""
    x, y = b.input(op, 0), b.result(op)
    dtype = b.program.values[x].dtype
    if dtype == "float32" or _is_scaled(b, x):
        _float_clip(b, op)
        return
    low, high = (op.attrs["min"], op.attrs["max"]) if op.kind == "clip" else quantmath.ACTIVATION_RANGES[op.kind]
    steps = []
    if "float" not in dtype:
        limit = np.iinfo(dtype)
        low, high = max(math.ceil(max(low, limit.min)), limit.min), min(math.floor(min(high, limit.max)), limit.max)
        steps += [("max", low)] if low > limit.min else []
        steps += [("min", high)] if high < limit.max else []
    else:
        steps += [("max", low)] if low > -math.inf else []
        steps += [("min", high)] if high < math.inf else []
    if not steps:
        b.copy(x, op.name, y)
    for i, (kind, bound) in enumerate(steps):
        to = y if i == len(steps) - 1 else _temporary(b, x, f"{op.name}:{kind}", dtype)
        constant = b.add(Tensor(f"{op.name}:{i}", (), dtype, np.array(bound, array_dtype(dtype))), f"{op.name}:{i}")
        emit_function(b, kind, op.name, [x, constant], to, {})
        x = to


@lowers("where")
def _where(b: Builder, op: Op) -> None:
    x = [b.input(op, i) for i in range(3)]
    y = b.result(op)
    for number in x[1:]:
        if _is_scaled(b, y) or _is_scaled(b, number):
            b.same_scale(op, number, y)
    b.emit("where", op.name, x, [y])


@lowers("cast")
def _cast(b: Builder, op: Op) -> None:
    x, y = b.input(op, 0), b.result(op)
    formats = [format_named(op.attrs[name]) for name in ("from_format", "to_format")]
    if b.program.values[x].dtype == b.program.values[y].dtype and formats[0] is formats[1]:
        b.copy(x, op.name, y)
        return
    codes = [0 if f is None else f.code for f in formats]
    rounding = _SCALE_ROUNDING[op.attrs["round_mode"]]
    params = {"saturate": int(op.attrs["saturate"]), "rounding": rounding}
    b.emit("cast", op.name, [x], [y], x_format=codes[0], y_format=codes[1], **params)


@lowers("quantize_linear", "dequantize_linear")
def _scales(b: Builder, op: Op) -> None:
    x, scale, zero, y = b.input(op, 0), b.input(op, 1), b.optional_input(op, 2), b.result(op)
    dims, f = b.program.values[x].dims, format_named(op.attrs["format"])
    axis, _ = blocks(op, dims)
    params = {
        "format": 0 if f is None else f.code,
        "outer": math.prod(dims[:axis]),
        "axis": dims[axis] if dims else 1,
        "inner": math.prod(dims[axis + 1 :]),
        "block": op.attrs["block_size"],
        "saturate": int(op.attrs.get("saturate", 0)),
    }
    kind = "quantize_any" if op.kind == "quantize_linear" else "dequantize_any"
    b.emit(kind, op.name, [x, scale, zero], [y], **params)
