"""Quantized operators: QuantizeLinear and DequantizeLinear, QLinear* of ONNX and of com.microsoft."""

from __future__ import annotations

from typing import Any

from onnx import TensorProto

from ..graph import Tensor
from .elementwise import PLAIN_CAST
from .formats import element
from .importer import Importer
from .nn import any_rank, binary, kernel_of, sizes, window
from .node import Node, Unsupported
from .table import MICROSOFT, Table, registrar

CONVERTERS: Table = {}
converts = registrar(CONVERTERS)


# --- products and convolutions ---------------------------------------------------------------------------------------


def _codes_last(m: Importer, x: Tensor, w: Tensor, name: str) -> tuple[Tensor, Tensor]:
    rank = len(w.shape)
    return m.channels_last(x, name), m.transpose(w, (0, *range(2, rank), 1), f"{name}/w")


def _padded(operands: list[Tensor | None]) -> list[Tensor | None]:
    while operands and operands[-1] is None:
        operands.pop()
    return operands


@converts("QLinearConv")
def _qlinear_conv(m: Importer, n: Node) -> None:
    operands: list[Tensor | None] = [m.operand(n, i) for i in range(8)]
    x, w = m.operand(n, 0), m.operand(n, 3)
    attrs = {**any_rank(window(n, sizes(x)[2:], kernel_of(n, w))), "groups": int(n.attr("group", 1))}
    operands[0], operands[3] = _codes_last(m, x, w, n.name)
    operands.append(m.optional(n, 8))
    m.bind(n, m.channels_first(m.one("qlinear_conv", _padded(operands), n.name, **attrs), n.outputs[0]))


@converts("ConvInteger")
def _conv_integer(m: Importer, n: Node) -> None:
    x, w = m.operand(n, 0), m.operand(n, 1)
    attrs = {**any_rank(window(n, sizes(x)[2:], kernel_of(n, w))), "groups": int(n.attr("group", 1))}
    operands = _padded([*_codes_last(m, x, w, n.name), m.optional(n, 2), m.optional(n, 3)])
    m.bind(n, m.channels_first(m.one("conv_integer", operands, n.name, **attrs), n.outputs[0]))


@converts("QLinearMatMul")
def _qlinear_matmul(m: Importer, n: Node) -> None:
    m.bind(n, m.one("qlinear_matmul", [m.operand(n, i) for i in range(8)], n.outputs[0]))


@converts("MatMulInteger")
def _matmul_integer(m: Importer, n: Node) -> None:
    operands = _padded([m.optional(n, i) for i in range(4)])
    m.bind(n, m.one("matmul_integer", operands, n.outputs[0]))


@converts("QGemm", domain=MICROSOFT)
def _qgemm(m: Importer, n: Node) -> None:
    """A product with a bias, as a convolution of rows of one pixel; float where y has no scale."""
    a, a_scale, a_zero, b, b_scale, b_zero = (m.operand(n, i) for i in range(6))
    c, y_scale = m.optional(n, 6), m.optional(n, 7)
    if n.attr("transA", 0):
        a = m.transpose(a, (1, 0), f"{n.name}/a")
    if not n.attr("transB", 0):
        b = m.transpose(b, (1, 0), f"{n.name}/b")
    if float(n.attr("alpha", 1.0)) != 1:
        a_scale = binary(m, "mul", a_scale, float(n.attr("alpha")), f"{n.name}/alpha")
    (rows, k), columns = sizes(a), sizes(b)[0]
    x, w = m.reshape(a, (rows, 1, k), f"{n.name}/x"), m.reshape(b, (columns, 1, k), f"{n.name}/w")
    if c is not None and sizes(c) not in ([columns], [1, columns]):
        raise Unsupported(f"a bias of the shape {sizes(c)} for {columns} columns")
    bias = None if c is None else m.reshape(c, (columns,), f"{n.name}/bias")
    attrs = {"strides": (1,), "dilations": (1,), "pads": ((0, 0),), "groups": 1}
    if y_scale is not None:
        operands = [x, a_scale, a_zero, w, b_scale, b_zero, y_scale, m.operand(n, 8), bias]
        y = m.one("qlinear_conv", _padded(operands), f"{n.name}/product", **attrs)
    else:
        y = m.one("conv_integer", [x, w, a_zero, b_zero], f"{n.name}/product", **attrs)
        y = y if bias is None else m.one("add", [y, bias], f"{n.name}/sum", activation=None)
        scale = m.one("mul", [a_scale, b_scale], f"{n.name}/scale")
        y = m.one("mul", [m.one("cast", [y], f"{n.name}/real", to="float32", **PLAIN_CAST), scale], f"{n.name}/scaled")
    m.bind(n, m.reshape(y, (rows, columns), n.outputs[0]))


# --- com.microsoft: as its documentation has it, dequantize, the float op, quantize ----------------------------------


def _real(m: Importer, n: Node, i: int) -> Tensor:
    """Operand i, with its scale and zero point behind it, as float."""
    x, scale, zero = m.operand(n, i), m.operand(n, i + 1), m.optional(n, i + 2)
    return dequantized(m, x, scale, zero, f"{n.name}/x{i}")


def dequantized(m: Importer, x: Tensor, scale: Tensor, zero: Tensor | None, name: str) -> Tensor:
    operands = [x, scale, *([] if zero is None else [zero])]
    return m.one("dequantize_linear", operands, name, axis=0, block_size=0, dtype="float32", format=None)


def quantized(m: Importer, x: Tensor, scale: Tensor, zero: Tensor | None, name: str, dtype: str = "uint8") -> Tensor:
    operands = [x, scale, *([] if zero is None else [zero])]
    to = dtype if zero is None else zero.dtype
    return m.one("quantize_linear", operands, name, axis=0, block_size=0, dtype=to, format=None, saturate=True)


def _result(m: Importer, n: Node, y: Tensor, i: int) -> None:
    """Binds y, quantized with scale and zero point from operands i and i + 1."""
    m.bind(n, quantized(m, y, m.operand(n, i), m.optional(n, i + 1), n.outputs[0]))


@converts("QLinearAdd", "QLinearMul", domain=MICROSOFT)
def _qlinear_binary(m: Importer, n: Node) -> None:
    kind, more = ("add", {"activation": None}) if n.op_type == "QLinearAdd" else ("mul", {})
    y = m.one(kind, [_real(m, n, 0), _real(m, n, 3)], f"{n.name}/real", **more)
    _result(m, n, y, 6)


@converts("QLinearLeakyRelu", "QLinearSigmoid", domain=MICROSOFT)
def _qlinear_unary(m: Importer, n: Node) -> None:
    more: dict[str, Any] = {"alpha": float(n.attr("alpha", 0.01))} if n.op_type == "QLinearLeakyRelu" else {}
    kind = "leaky_relu" if more else "sigmoid"
    _result(m, n, m.one(kind, [_real(m, n, 0)], f"{n.name}/real", **more), 3)


@converts("QLinearSoftmax", domain=MICROSOFT)
def _qlinear_softmax(m: Importer, n: Node) -> None:
    x = _real(m, n, 0)
    rank = len(x.shape)
    opset, axis = int(n.attr("opset", 13)), int(n.attr("axis", -1)) % rank
    if opset < 13 and axis != rank - 1:
        raise Unsupported(f"axis={axis} with opset={opset}")
    y = m.one("softmax", [x], f"{n.name}/real", axis=-1 if axis == rank - 1 else axis, beta=1.0)
    _result(m, n, y, 3)


@converts("QLinearGlobalAveragePool", domain=MICROSOFT)
def _qlinear_global_pool(m: Importer, n: Node) -> None:
    x = _real(m, n, 0)
    rank, last = len(x.shape), bool(n.attr("channels_last", 0))
    axes = tuple(range(1, rank - 1)) if last else tuple(range(2, rank))
    _result(m, n, m.one("mean", [x], f"{n.name}/real", axes=axes, keepdims=True), 3)


@converts("QLinearAveragePool", domain=MICROSOFT)
def _qlinear_pool(m: Importer, n: Node) -> None:
    x = _real(m, n, 0)
    last = bool(n.attr("channels_last", 0))
    kernel = [int(v) for v in n.attr("kernel_shape")]
    image = sizes(x)[1:-1] if last else sizes(x)[2:]
    ceil, count = bool(n.attr("ceil_mode", 0)), bool(n.attr("count_include_pad", 0))
    steps = window(n, image, kernel)
    picture = x if last else m.channels_last(x, n.name)
    padded = any(v for pair in steps["padding"] for v in pair)
    if len(kernel) == 2 and steps["dilation"] == (1, 1) and not ceil and not (count and padded):
        more = {"stride": steps["stride"], "padding": steps["padding"], "activation": None}
        y = m.one("avg_pool2d", [picture], f"{n.name}/real", kernel=tuple(kernel), **more)
    else:
        attrs = {"kernels": tuple(kernel), **any_rank(steps), "ceil_mode": ceil, "count_include_pad": count}
        y = m.one("avg_pool", [picture], f"{n.name}/real", **attrs)
    _result(m, n, y if last else m.channels_first(y, f"{n.name}/nchw"), 3)


@converts("QLinearConcat", domain=MICROSOFT)
def _qlinear_concat(m: Importer, n: Node) -> None:
    """y_scale, y_zero_point, then triples."""
    parts = [_real(m, n, i) for i in range(2, len(n.inputs), 3)]
    axis = int(n.attr("axis")) % len(parts[0].shape)
    _result(m, n, m.one("concat", parts, f"{n.name}/real", axis=axis) if len(parts) > 1 else parts[0], 0)


# --- quantize and dequantize ----------------------------------------------------------------------------------------


@converts("QuantizeLinear")
def _quantize_linear(m: Importer, n: Node) -> None:
    """The result's type is the zero point's, else output_dtype, else uint8."""
    x, scale, zero = m.operand(n, 0), m.operand(n, 1), m.optional(n, 2)
    wanted = int(n.attr("output_dtype", 0))
    found = element(wanted or TensorProto.UINT8)
    if zero is not None:
        found = zero.dtype, m.format(zero)
    if found is None:
        raise Unsupported(f"output_dtype={wanted}")
    precision = int(n.attr("precision", 0))
    if precision not in (0, TensorProto.FLOAT) and element(precision) != (scale.dtype, None):
        raise Unsupported(f"precision={precision}")
    attrs = {"axis": _axis(n, x), "block_size": int(n.attr("block_size", 0)), "saturate": bool(n.attr("saturate", 1))}
    operands = [x, scale, *([] if zero is None else [zero])]
    y = m.one("quantize_linear", operands, n.outputs[0], dtype=found[0], format=found[1], **attrs)
    m.set_format(y, found[1])
    m.bind(n, y)


@converts("DequantizeLinear")
def _dequantize_linear(m: Importer, n: Node) -> None:
    x, scale, zero = m.operand(n, 0), m.operand(n, 1), m.optional(n, 2)
    wanted = int(n.attr("output_dtype", 0))
    found = element(wanted) if wanted else (scale.dtype, None)
    if found is None or found[1] is not None:
        raise Unsupported(f"output_dtype={wanted}")
    attrs = {"axis": _axis(n, x), "block_size": int(n.attr("block_size", 0)), "format": m.format(x)}
    operands = [x, scale, *([] if zero is None else [zero])]
    m.bind(n, m.one("dequantize_linear", operands, n.outputs[0], dtype=found[0], **attrs))


def _axis(n: Node, x: Tensor) -> int:
    rank = max(len(x.shape), 1)
    return int(n.attr("axis", 1)) % rank
