"""TFLite operators that compute element by element or along axes, as kinds of ops_elementwise.py and ops_reduce.py."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
import tflite

from ..errors import ModelError
from .graph import DTYPES
from .tflite_file import FileOperator, FileTensor, Unsupported

if TYPE_CHECKING:
    from .tflite import Importer

Converter = Callable[["Importer", FileOperator], None]

_EPSILON = np.float32(1e-6)  # of L2_NORMALIZATION


def axis_of(op: FileOperator, axis: int, rank: int) -> int:
    if not -rank <= axis < rank:
        raise ModelError(f"operator {op.number} {op.name}: there is no axis {axis} among {rank}")
    return axis % rank


def is_codes(t: FileTensor) -> bool:
    """Whether an int8 tensor stands for real numbers."""
    return t.dtype == "int8" and t.quant is not None


def _unary(kind: str, **attrs: Any) -> Converter:
    def convert(m: Importer, op: FileOperator) -> None:
        m.emit(op, kind, [m.add_number(m.tensor(op, 0))], **attrs)

    return convert


def _binary(kind: str, options: type | None = None, **attrs: Any) -> Converter:
    """options: the table that holds the fused activation."""

    def convert(m: Importer, op: FileOperator) -> None:
        inputs: list[str | None] = [m.add_number(m.tensor(op, i)) for i in range(2)]
        activation = 0 if options is None else op.options(options).FusedActivationFunction()
        m.emit_activated(op, kind, inputs, activation, **attrs)

    return convert


def _add(m: Importer, op: FileOperator) -> None:
    inputs: list[str | None] = [m.add_number(m.tensor(op, i)) for i in range(2)]
    number = op.options(tflite.AddOptions).FusedActivationFunction()
    if m.graph.tensors[str(inputs[0])].dtype in ("float32", "int8"):
        m.emit(op, "add", inputs, activation=m.activation(number))
    else:
        m.emit_activated(op, "add", inputs, number, activation=None)


def _add_n(m: Importer, op: FileOperator) -> None:
    """Floats: from the first on, one after the other."""
    inputs = [m.add_number(m.tensor(op, i)) for i in range(len(op.inputs))]
    if is_codes(m.tensor(op, 0)):
        m.emit(op, "add_n", [*inputs])
        return
    total = inputs[0]
    for x in inputs[1:-1]:
        total = m.between(op, "add", [total, x], activation=None)
    m.emit(op, "add", [total, inputs[-1]], activation=None)


def _leaky_relu(m: Importer, op: FileOperator) -> None:
    alpha = float(op.options(tflite.LeakyReluOptions).Alpha())
    m.emit(op, "leaky_relu", [m.add_number(m.tensor(op, 0))], alpha=alpha)


def _gelu(m: Importer, op: FileOperator) -> None:
    approximate = "tanh" if op.options(tflite.GeluOptions).Approximate() else "none"
    m.emit(op, "gelu", [m.add_number(m.tensor(op, 0))], approximate=approximate)


def _cast(m: Importer, op: FileOperator) -> None:
    y = m.file.tensors[op.outputs[0]]
    if y.dtype not in DTYPES or y.index in m.shifted:
        raise Unsupported(f"to {y.dtype}")
    attrs = {"saturate": 1, "round_mode": "up", "from_format": None, "to_format": None}
    m.emit(op, "cast", [m.add_plain(m.tensor(op, 0))], to=y.dtype, **attrs)


def _select(m: Importer, op: FileOperator) -> None:
    """SELECT's condition may be a vector that chooses along the first axis; else as SELECT_V2, with broadcasting."""
    condition, a, b = (m.tensor(op, i) for i in range(3))
    name = m.add_any(condition)
    if op.name == "SELECT" and len(condition.shape) == 1 and len(a.shape) > 1:
        name = m.between(op, "reshape", [name], shape=(-1, *[1] * (len(a.shape) - 1)))
    m.emit(op, "where", [name, m.add_any(a), m.add_any(b)])


def _axes(m: Importer, op: FileOperator) -> tuple[int, ...]:
    rank = len(m.tensor(op, 0).shape)
    return tuple(sorted({axis_of(op, a, rank) for a in m.integers(m.tensor(op, 1))}))


def _reduce(kind: str, codes: bool) -> Converter:
    """codes: whether it takes quantized int8."""

    def convert(m: Importer, op: FileOperator) -> None:
        x = m.tensor(op, 0)
        if is_codes(x) and not codes:
            raise Unsupported(f"{x.name!r} is quantized")
        keepdims = bool(op.options(tflite.ReducerOptions).KeepDims())
        m.emit(op, kind, [m.add_number(x)], axes=_axes(m, op), keepdims=keepdims)

    return convert


def _mean(m: Importer, op: FileOperator) -> None:
    x = m.tensor(op, 0)
    kind = "mean" if x.dtype == "float32" or is_codes(x) else "reduce_mean"
    _reduce(kind, True)(m, op)


def _arg(kind: str) -> Converter:
    def convert(m: Importer, op: FileOperator) -> None:
        x, y = m.tensor(op, 0), m.file.tensors[op.outputs[0]]
        axis = axis_of(op, m.integers(m.tensor(op, 1))[0], len(x.shape))
        m.emit(op, kind, [m.add_number(x)], axis=axis, keepdims=False, select_last=False, dtype=y.dtype)

    return convert


def _topk(m: Importer, op: FileOperator) -> None:
    x, k = m.tensor(op, 0), m.integers(m.tensor(op, 1))[0]
    indices = m.file.tensors[op.outputs[1]].dtype
    m.emit(op, "topk", [m.add_number(x)], k=k, axis=-1, largest=True, sorted=True, dtype=indices)


def _cumsum(m: Importer, op: FileOperator) -> None:
    o = op.options(tflite.CumsumOptions)
    inputs: list[str | None] = [m.add_number(m.tensor(op, 0)), m.add_plain(m.tensor(op, 1))]
    m.emit(op, "cumsum", inputs, exclusive=bool(o.Exclusive()), reverse=bool(o.Reverse()))


def _l2_normalization(m: Importer, op: FileOperator) -> None:
    """x / max(its L2 norm, 1e-6), along the last axis."""
    if op.options(tflite.L2NormOptions).FusedActivationFunction() != 0:
        raise Unsupported("a fused activation")
    x = m.tensor(op, 0)
    if is_codes(x):
        m.emit(op, "l2_norm", [m.add(x)])
        return
    name = m.add(x, ["float32"])
    norm = m.between(op, "reduce_l2", [name], axes=(len(x.shape) - 1,), keepdims=True)
    norm = m.between(op, "max", [norm, m.literal(op, np.array(_EPSILON))])
    m.emit(op, "div", [name, norm])


def _integers(kind: str, **attrs: Any) -> Converter:
    """Of integers, which quantized tensors are not."""

    def convert(m: Importer, op: FileOperator) -> None:
        m.emit(op, kind, [m.add_plain(m.tensor(op, i)) for i in range(len(op.inputs))], **attrs)

    return convert


MATH: dict[str, Converter] = {
    "ABS": _unary("abs"),
    "ADD": _add,
    "ADD_N": _add_n,
    "ARG_MAX": _arg("arg_max"),
    "ARG_MIN": _arg("arg_min"),
    "ATAN2": _binary("atan2"),
    "BITWISE_XOR": _integers("bitwise_xor"),
    "CAST": _cast,
    "CEIL": _unary("ceil"),
    "COS": _unary("cos"),
    "CUMSUM": _cumsum,
    "DIV": _binary("div", tflite.DivOptions),
    "ELU": _unary("elu", alpha=1.0),
    "EQUAL": _binary("equal"),
    "EXP": _unary("exp"),
    "FLOOR": _unary("floor"),
    "FLOOR_DIV": _binary("floor_div"),
    "FLOOR_MOD": _binary("mod", fmod=0),
    "GELU": _gelu,
    "GREATER": _binary("greater"),
    "GREATER_EQUAL": _binary("greater_equal"),
    "HARD_SWISH": _unary("hard_swish"),
    "L2_NORMALIZATION": _l2_normalization,
    "LEAKY_RELU": _leaky_relu,
    "LESS": _binary("less"),
    "LESS_EQUAL": _binary("less_equal"),
    "LOG": _unary("log"),
    "LOGICAL_AND": _binary("and"),
    "LOGICAL_NOT": _unary("not"),
    "LOGICAL_OR": _binary("or"),
    "LOGISTIC": _unary("sigmoid"),
    "MAXIMUM": _binary("max"),
    "MEAN": _mean,
    "MINIMUM": _binary("min"),
    "MUL": _binary("mul", tflite.MulOptions),
    "NEG": _unary("neg"),
    "NOT_EQUAL": _binary("not_equal"),
    "POW": _binary("pow"),
    "PRELU": _binary("prelu"),
    "REDUCE_ALL": _reduce("reduce_min", False),
    "REDUCE_ANY": _reduce("reduce_max", False),
    "REDUCE_MAX": _reduce("reduce_max", True),
    "REDUCE_MIN": _reduce("reduce_min", True),
    "REDUCE_PROD": _reduce("reduce_prod", False),
    "RELU": _unary("relu"),
    "RELU6": _unary("relu6"),
    "RELU_0_TO_1": _unary("clip", min=0.0, max=1.0),
    "RELU_N1_TO_1": _unary("clip", min=-1.0, max=1.0),
    "RIGHT_SHIFT": _integers("shift", direction="RIGHT"),
    "ROUND": _unary("round"),
    "RSQRT": _unary("rsqrt"),
    "SELECT": _select,
    "SELECT_V2": _select,
    "SIGN": _unary("sign"),
    "SIN": _unary("sin"),
    "SQRT": _unary("sqrt"),
    "SQUARE": _unary("square"),
    "SQUARED_DIFFERENCE": _binary("squared_difference"),
    "SUB": _binary("sub", tflite.SubOptions),
    "SUM": _reduce("reduce_sum", True),
    "TANH": _unary("tanh"),
    "TOPK_V2": _topk,
}
