"""TFLite operators on int16 activations ("16x8"), as kinds of ops_int16.py: those of TFLM, some more of LiteRT."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
import tflite

from ..errors import ModelError
from .graph import Quantization
from .tflite_file import FileOperator, Unsupported
from .tflite_nn import sides, transposed

if TYPE_CHECKING:
    from .tflite import Importer


def takes_int16(m: Importer, op: FileOperator) -> bool:
    """Whether an operator reads or gives int16 codes that stand for real numbers."""
    wide = ("int16", "int32") if op.name == "QUANTIZE" else ("int16",)
    tensors = [m.file.tensors[i] for i in (*op.inputs, *op.outputs) if i >= 0]
    return any(t.dtype in wide and t.quant is not None for t in tensors)


def _operands(m: Importer, op: FileOperator, *numbers: int) -> list[str | None]:
    return [m.add_any(m.tensor(op, i)) for i in numbers]


def _weights(m: Importer, op: FileOperator, depthwise: bool = False, first: int = 0) -> list[str | None]:
    """Names of x, int8 weights in the graph's layout, and a bias of 16, 32 or 64 bits; first: number of x."""
    x, w = m.tensor(op, first), m.tensor(op, 1)
    value, quant = m.constant(w), w.quant
    if value.dtype != np.int8 or quant is None or quant.zero_point.any():
        raise Unsupported(f"weight {w.name!r} is {w.dtype} with zero points, or without scales")
    if depthwise:
        if value.ndim != 4 or value.shape[0] != 1:
            raise ModelError(
                f"operator {op.number} {op.name}: weight {w.name!r} {list(value.shape)} is not [1, h, w, c]"
            )
        value = value[0]
    axis = 0 if quant.scale.size == 1 else quant.axis - depthwise
    names = [m.add_any(x), m.add_constant(w, value, Quantization(quant.scale, quant.zero_point, axis))]
    number = 3 if op.name == "TRANSPOSE_CONV" else 2
    if number >= len(op.inputs) or op.inputs[number] < 0:
        return [*names, None]
    b = m.tensor(op, number)
    bias = m.constant(b)
    if bias.dtype not in (np.int16, np.int32, np.int64):
        raise Unsupported(f"bias {b.name!r} is {b.dtype}")
    if bias.dtype == np.int16 or op.name in ("TRANSPOSE_CONV", "DEPTHWISE_CONV_2D"):  # these sum to 64 bits in any case
        bias = bias.astype(np.int64)
    return [*names, m.add_constant(b, bias, b.quant)]


def _conv_2d(m: Importer, op: FileOperator) -> None:
    depthwise = op.name == "DEPTHWISE_CONV_2D"
    o = op.options(tflite.DepthwiseConv2DOptions if depthwise else tflite.Conv2DOptions)
    inputs = _weights(m, op, depthwise)
    channels, depth = m.tensor(op, 0).shape[-1], m.tensor(op, 1).shape[-1]
    if not depthwise and (channels is None or not depth or channels % depth):
        raise ModelError(f"operator {op.number} {op.name}: {channels} channels do not fit weights of {depth}")
    groups = {} if depthwise else {"groups": (channels or 0) // (depth or 1)}
    m.emit(
        op,
        "depthwise_conv2d" if depthwise else "conv2d",
        inputs,
        activation=m.activation(o.FusedActivationFunction()),
        stride=(o.StrideH(), o.StrideW()),
        dilation=(o.DilationHFactor(), o.DilationWFactor()),
        padding=m.padding(op, o.Padding()),
        **groups,
    )


def _fully_connected(m: Importer, op: FileOperator) -> None:
    o = op.options(tflite.FullyConnectedOptions)
    if o.WeightsFormat() != 0:
        raise Unsupported("shuffled weights")
    activation = m.activation(o.FusedActivationFunction())
    m.emit(op, "linear", _weights(m, op), activation=activation, keep_dims=bool(o.KeepNumDims()))


def _transpose_conv(m: Importer, op: FileOperator) -> None:
    """The file states the result's shape; the first input, which says it as well, is not read, as in TFLM."""
    inputs = _weights(m, op, first=2)
    y = m.file.tensors[op.outputs[0]]
    height, width = sides(y, 2)
    m.emit(op, "conv_transpose", inputs, **transposed(m, op, (height, width)))


def _binary(kind: str, options: Any = None) -> Callable[[Importer, FileOperator], None]:
    def convert(m: Importer, op: FileOperator) -> None:
        activation = 0 if options is None else op.options(options).FusedActivationFunction()
        if kind == "add":
            m.emit(op, kind, _operands(m, op, 0, 1), activation=m.activation(activation))
        else:
            m.emit_activated(op, kind, _operands(m, op, 0, 1), activation)

    return convert


def _unary(kind: str, **attrs: Any) -> Callable[[Importer, FileOperator], None]:
    def convert(m: Importer, op: FileOperator) -> None:
        m.emit(op, kind, _operands(m, op, 0), **attrs)

    return convert


def _leaky_relu(m: Importer, op: FileOperator) -> None:
    m.emit(op, "leaky_relu", _operands(m, op, 0), alpha=float(op.options(tflite.LeakyReluOptions).Alpha()))


def _gelu(m: Importer, op: FileOperator) -> None:
    approximate = "tanh" if op.options(tflite.GeluOptions).Approximate() else "none"
    m.emit(op, "gelu", _operands(m, op, 0), approximate=approximate)


def _pool_2d(kind: str) -> Callable[[Importer, FileOperator], None]:
    def convert(m: Importer, op: FileOperator) -> None:
        o = op.options(tflite.Pool2DOptions)
        m.emit(
            op,
            kind,
            _operands(m, op, 0),
            activation=m.activation(o.FusedActivationFunction()),
            kernel=(o.FilterHeight(), o.FilterWidth()),
            stride=(o.StrideH(), o.StrideW()),
            padding=m.padding(op, o.Padding()),
        )

    return convert


def _reduce(kind: str) -> Callable[[Importer, FileOperator], None]:
    def convert(m: Importer, op: FileOperator) -> None:
        rank, axes = len(m.tensor(op, 0).shape), m.integers(m.tensor(op, 1))
        if any(not -rank <= a < rank for a in axes):
            raise ModelError(f"operator {op.number} {op.name}: axes {axes} of a tensor of rank {rank}")
        keepdims = bool(op.options(tflite.ReducerOptions).KeepDims())
        m.emit(op, kind, _operands(m, op, 0), axes=tuple(sorted({a % rank for a in axes})), keepdims=keepdims)

    return convert


def _softmax(m: Importer, op: FileOperator) -> None:
    beta = float(op.options(tflite.SoftmaxOptions).Beta())
    m.emit(op, "softmax", _operands(m, op, 0), axis=-1, beta=beta)


def _batch_matmul(m: Importer, op: FileOperator) -> None:
    o = op.options(tflite.BatchMatMulOptions)
    transposed = {"transpose_a": bool(o.AdjX()), "transpose_b": bool(o.AdjY())}
    m.emit(op, "matmul", _operands(m, op, 0, 1), **transposed, activation=None)


def _quantize(m: Importer, op: FileOperator) -> None:
    m.emit(op, "rescale", _operands(m, op, 0), to=m.file.tensors[op.outputs[0]].dtype)


_COMPARISONS = ("EQUAL", "NOT_EQUAL", "LESS", "LESS_EQUAL", "GREATER", "GREATER_EQUAL")

INT16: dict[str, Callable[[Importer, FileOperator], None]] = {
    "ABS": _unary("abs"),
    "ADD": _binary("add", tflite.AddOptions),
    "AVERAGE_POOL_2D": _pool_2d("avg_pool2d"),
    "BATCH_MATMUL": _batch_matmul,
    "CONV_2D": _conv_2d,
    "DEPTHWISE_CONV_2D": _conv_2d,
    "DEQUANTIZE": _unary("dequantize"),
    "EXP": _unary("exp"),
    "FULLY_CONNECTED": _fully_connected,
    "GELU": _gelu,
    "LEAKY_RELU": _leaky_relu,
    "LOG": _unary("log"),
    "LOGISTIC": _unary("sigmoid"),
    "MAXIMUM": _binary("max"),
    "MAX_POOL_2D": _pool_2d("max_pool2d"),
    "MEAN": _reduce("mean"),
    "MINIMUM": _binary("min"),
    "MUL": _binary("mul", tflite.MulOptions),
    "QUANTIZE": _quantize,
    "REDUCE_MAX": _reduce("reduce_max"),
    "REDUCE_MIN": _reduce("reduce_min"),
    "RELU": _unary("relu"),
    "RELU6": _unary("relu6"),
    "RELU_N1_TO_1": _unary("clip", min=-1.0, max=1.0),
    "SOFTMAX": _softmax,
    "SQUARED_DIFFERENCE": _binary("squared_difference"),
    "SUB": _binary("sub", tflite.SubOptions),
    "SUM": _reduce("reduce_sum"),
    "TANH": _unary("tanh"),
    "TRANSPOSE_CONV": _transpose_conv,
    **{name: _binary(name.lower()) for name in _COMPARISONS},
}
