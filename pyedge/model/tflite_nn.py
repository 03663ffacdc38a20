"""TFLite operators of layers: products, convolutions, pools, resizing, and what stands between types."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
import tflite

from ..errors import ModelError
from .graph import Quantization
from .ops import resolve_padding
from .tflite_file import FileOperator, FileTensor, Unsupported
from .tflite_math import is_codes

if TYPE_CHECKING:
    from .tflite import Importer

Converter = Callable[["Importer", FileOperator], None]


def sides(t: FileTensor, axes: int) -> tuple[int, ...]:
    """The sizes of an image [N, axes .., C], which must be known."""
    found = tuple(d for d in t.shape[1:-1] if d is not None)
    if len(t.shape) != axes + 2 or len(found) != axes:
        raise Unsupported(f"{t.name!r} is {list(t.shape)}, not an image of {axes} fixed sides")
    return found


def _same_dtype(a: FileTensor, b: FileTensor) -> None:
    if a.dtype != b.dtype:
        raise Unsupported(f"{b.name!r} is {b.dtype}, {a.name!r} {a.dtype}")


def _dense(m: Importer, op: FileOperator, activation: str | None, keep_dims: bool) -> None:
    """FULLY_CONNECTED with weights that are computed: a matrix product."""
    x, w = m.tensor(op, 0), m.tensor(op, 1)
    _same_dtype(x, w)
    a, b = m.add(x), m.add(w)
    bias = m.tensor(op, 2) if len(op.inputs) > 2 and op.inputs[2] >= 0 else None
    if not keep_dims:
        a = m.between(op, "reshape", [a], shape=(-1, w.shape[1]))
    attrs: dict[str, Any] = {"transpose_a": False, "transpose_b": True}
    if bias is None:
        m.emit(op, "matmul", [a, b], **attrs, activation=activation)
    elif x.dtype == "float32":
        product = m.between(op, "matmul", [a, b], **attrs, activation=None)
        m.emit(op, "add", [product, m.add(bias)], activation=activation)
    else:
        raise Unsupported(f"weights {w.name!r} of int8 that are computed, with a bias")


def _dequantized(t: FileTensor, value: np.ndarray) -> np.ndarray:
    """float32 values of a constant of codes, per tensor or per channel."""
    q = t.quant
    if q is None:
        raise ModelError(f"tensor {t.name!r} is {t.dtype} and has no scale")
    scale, zero = q.scale, q.zero_point
    if scale.size > 1:
        if not 0 <= q.axis < value.ndim or value.shape[q.axis] != scale.size:
            raise ModelError(f"tensor {t.name!r} {list(value.shape)}: {scale.size} scales along axis {q.axis}")
        along = [1] * value.ndim
        along[q.axis] = scale.size
        scale, zero = scale.reshape(along), zero.reshape(along)
    return np.asarray((value.astype(np.int32) - zero).astype(np.float32) * scale)


def _conv_2d(m: Importer, op: FileOperator) -> None:
    o = op.options(tflite.Conv2DOptions)
    x, w = m.tensor(op, 0), m.constant(m.tensor(op, 1))
    quant = m.tensor(op, 1).quant
    channels = x.shape[-1] if x.shape else None
    if channels is None or w.ndim != 4 or w.shape[3] == 0 or channels % w.shape[3]:
        raise ModelError(f"operator {op.number} CONV_2D: input {list(x.shape)} does not fit weight {list(w.shape)}")
    m.emit_weighted(
        op,
        "conv2d",
        quant is not None and quant.scale.size == w.shape[0],
        stride=(o.StrideH(), o.StrideW()),
        dilation=(o.DilationHFactor(), o.DilationWFactor()),
        padding=m.padding(op, o.Padding()),
        groups=channels // w.shape[3],
        activation=m.activation(o.FusedActivationFunction()),
    )


def _depthwise_conv_2d(m: Importer, op: FileOperator) -> None:
    o = op.options(tflite.DepthwiseConv2DOptions)  # its depth multiplier follows from the shapes
    m.emit_weighted(
        op,
        "depthwise_conv2d",
        True,
        stride=(o.StrideH(), o.StrideW()),
        dilation=(o.DilationHFactor(), o.DilationWFactor()),
        padding=m.padding(op, o.Padding()),
        activation=m.activation(o.FusedActivationFunction()),
    )


def _fully_connected(m: Importer, op: FileOperator) -> None:
    o = op.options(tflite.FullyConnectedOptions)
    if o.WeightsFormat() != 0:
        raise Unsupported("shuffled weights")
    activation, asymmetric = m.activation(o.FusedActivationFunction()), bool(o.AsymmetricQuantizeInputs())
    if m.tensor(op, 1).index not in m.values:
        _dense(m, op, activation, bool(o.KeepNumDims()))
        return
    m.emit_weighted(op, "linear", asymmetric, activation=activation, keep_dims=bool(o.KeepNumDims()))


def _pool_2d(kind: str) -> Converter:
    def convert(m: Importer, op: FileOperator) -> None:
        o = op.options(tflite.Pool2DOptions)
        x = m.tensor(op, 0)
        m.emit(
            op,
            "avg_pool2d_up" if kind == "avg_pool2d" and x.index in m.shifted else kind,
            [m.add(x)],
            kernel=(o.FilterHeight(), o.FilterWidth()),
            stride=(o.StrideH(), o.StrideW()),
            padding=m.padding(op, o.Padding()),
            activation=m.activation(o.FusedActivationFunction()),
        )

    return convert


def _reshape(m: Importer, op: FileOperator) -> None:
    """The new shape is a constant input, or in old files an option."""
    if len(op.inputs) > 1:
        shape = m.integers(m.tensor(op, 1))
    else:
        o = op.options(tflite.ReshapeOptions)
        shape = [int(o.NewShape(i)) for i in range(min(o.NewShapeLength(), 9))]
    m.emit(op, "reshape", [m.add_any(m.tensor(op, 0))], shape=tuple(shape))


def _softmax(m: Importer, op: FileOperator) -> None:
    beta = float(op.options(tflite.SoftmaxOptions).Beta())
    m.emit(op, "softmax", [m.add(m.tensor(op, 0))], axis=-1, beta=beta)


def _dequantize(m: Importer, op: FileOperator) -> None:
    """Of a constant (float16 or int8 storage of a float model): folded."""
    x = m.tensor(op, 0)
    value = m.values.get(x.index)
    if value is None:
        m.emit(op, "dequantize", [m.add(x)])
        return
    if value.dtype not in (np.float16, np.int8) or len(op.outputs) != 1:
        raise Unsupported(f"constant {x.name!r} is {x.dtype}")
    output = m.file.tensors[op.outputs[0]]
    if output.index in m.values or output.name in m.graph.tensors:
        raise ModelError(f"operator {op.number} DEQUANTIZE: its output {output.name!r} is given twice")
    m.values[output.index] = value.astype(np.float32) if value.dtype == np.float16 else _dequantized(x, value)


def _quantize(m: Importer, op: FileOperator) -> None:
    m.emit(op, "quantize", [m.add(m.tensor(op, 0))])


def _batch_matmul(m: Importer, op: FileOperator) -> None:
    o = op.options(tflite.BatchMatMulOptions)
    a, b = m.tensor(op, 0), m.tensor(op, 1)
    _same_dtype(a, b)
    attrs = {"transpose_a": bool(o.AdjX()), "transpose_b": bool(o.AdjY()), "activation": None}
    m.emit(op, "matmul", [m.add_number(a), m.add_number(b)], **attrs)


def transposed(m: Importer, op: FileOperator, wide: tuple[int, int]) -> dict[str, Any]:
    """The attributes of a TRANSPOSE_CONV whose result has the sides `wide`. Padding is that of the convolution from
    the result's size to x's."""
    o = op.options(tflite.TransposeConvOptions)
    kernel, strides = sides(m.tensor(op, 1), 2), (o.StrideH(), o.StrideW())
    padding = resolve_padding(m.padding(op, o.Padding()), wide, (kernel[0], kernel[1]), strides, (1, 1))
    pads, rest = [], []
    for n, k, s, to, (before, _) in zip(sides(m.tensor(op, 2), 2), kernel, strides, wide, padding, strict=True):
        after = (n - 1) * s + k - before - to
        pads.append((before, max(after, 0)))
        rest.append(max(-after, 0))
    return {
        "strides": strides,
        "dilations": (1, 1),
        "pads": tuple(pads),
        "groups": 1,
        "output_padding": tuple(rest),
        "activation": m.activation(o.FusedActivationFunction()),
    }


def _transpose_conv(m: Importer, op: FileOperator) -> None:
    """Operands: the result's shape, weights [C_out, kh, kw, C], x, bias."""
    w, x, y = m.tensor(op, 1), m.tensor(op, 2), m.file.tensors[op.outputs[0]]
    value = m.constant(w)
    shape = m.integers(m.tensor(op, 0))
    if value.ndim != 4 or len(shape) != 4 or value.dtype not in (np.float32, np.int8):
        raise ModelError(f"operator {op.number} TRANSPOSE_CONV: weight {w.name!r} {list(value.shape)} for {shape}")
    if y.dtype not in ("float32", "int8") or str(value.dtype) != x.dtype:
        raise Unsupported(f"{x.dtype} with weights {w.dtype}")
    inputs: list[str | None] = [m.add(x), m.add_constant(w, value, _per_channel(w.quant)), _bias(m, op, 3)]
    m.emit(op, "conv_transpose", inputs, **transposed(m, op, (shape[1], shape[2])))


def _per_channel(quant: Quantization | None) -> Quantization | None:
    """One scale counts for axis 0."""
    return Quantization(quant.scale, quant.zero_point, 0) if quant is not None and quant.scale.size == 1 else quant


def _bias(m: Importer, op: FileOperator, i: int) -> str | None:
    if len(op.inputs) <= i or op.inputs[i] < 0:
        return None
    b = m.tensor(op, i)
    value = m.constant(b)
    if value.dtype not in (np.int32, np.float32):
        raise Unsupported(f"bias {b.name!r} is {b.dtype}")
    return m.add_constant(b, value, b.quant if value.dtype == np.int32 else None)


def _conv_3d(m: Importer, op: FileOperator) -> None:
    """Weights [kd, kh, kw, C, C_out]."""
    o = op.options(tflite.Conv3DOptions)
    x, w = m.tensor(op, 0), m.tensor(op, 1)
    value = m.constant(w)
    if x.dtype != "float32" or value.dtype != np.float32:
        raise Unsupported(f"{x.dtype} with weights {w.dtype}")
    if value.ndim != 5:
        raise ModelError(f"operator {op.number} CONV_3D: weight {w.name!r} {list(value.shape)} is not of rank 5")
    strides = (o.StrideD(), o.StrideH(), o.StrideW())
    dilations = (o.DilationDFactor(), o.DilationHFactor(), o.DilationWFactor())
    pads = []
    for n, k, s, d in zip(sides(x, 3), value.shape, strides, dilations, strict=False):
        reach = (k - 1) * d + 1
        total = max((-(-n // s) - 1) * s + reach - n, 0) if m.padding(op, o.Padding()) == "same" else 0
        pads.append((total // 2, total - total // 2))
    weight = m.add_constant(w, np.ascontiguousarray(value.transpose(4, 0, 1, 2, 3)), None)
    m.emit(
        op,
        "conv",
        [m.add(x), weight, _bias(m, op, 2)],
        strides=strides,
        dilations=dilations,
        pads=tuple(pads),
        groups=1,
        activation=m.activation(o.FusedActivationFunction()),
    )


def _l2_pool_2d(m: Importer, op: FileOperator) -> None:
    """The root of the mean square of each window."""
    o = op.options(tflite.Pool2DOptions)
    square = m.between(op, "square", [m.add(m.tensor(op, 0), ["float32"])])
    mean = m.between(
        op,
        "avg_pool2d",
        [square],
        kernel=(o.FilterHeight(), o.FilterWidth()),
        stride=(o.StrideH(), o.StrideW()),
        padding=m.padding(op, o.Padding()),
        activation=None,
    )
    m.emit_activated(op, "sqrt", [mean], o.FusedActivationFunction())


def _log_softmax(m: Importer, op: FileOperator) -> None:
    m.emit(op, "log_softmax", [m.add(m.tensor(op, 0))], axis=-1)


def _embedding_lookup(m: Importer, op: FileOperator) -> None:
    """Rows of a table; of an int8 table their real values where the result is float32."""
    table, y = m.tensor(op, 1), m.file.tensors[op.outputs[0]]
    inputs: list[str | None] = [m.add_any(table), m.add_plain(m.tensor(op, 0))]
    if not is_codes(table) or y.dtype == "int8":
        m.emit(op, "gather", inputs, axis=0, batch_dims=0)
        return
    if table.quant is None or table.quant.scale.size != 1:
        raise Unsupported(f"{table.name!r} has several scales")
    m.emit(op, "dequantize", [m.between(op, "gather", inputs, axis=0, batch_dims=0)])


def _target(m: Importer, op: FileOperator) -> tuple[int, int]:
    size = m.integers(m.tensor(op, 1))
    if len(size) != 2 or min(size) < 1:
        raise Unsupported(f"to {size}")
    return size[0], size[1]


def _resize_bilinear(m: Importer, op: FileOperator) -> None:
    o = op.options(tflite.ResizeBilinearOptions)
    x = m.tensor(op, 0)
    target = _target(m, op)
    coordinates = "half_pixel" if o.HalfPixelCenters() else "align_corners" if o.AlignCorners() else "asymmetric"
    m.emit(
        op,
        "resize",
        [m.add(x)],
        sizes=(-1, *target, -1),
        scales=(1.0, *(to / n for to, n in zip(target, sides(x, 2), strict=True)), 1.0),
        mode="linear",
        coordinates=coordinates,
        nearest="floor",
        cubic_coeff=-0.75,
        exclude_outside=False,
        extrapolation=0.0,
        antialias=False,
        roi=(),
    )


def _nearest(n: int, to: int, align_corners: bool, half_pixel: bool) -> np.ndarray:
    """int32 [to]: the element that each one takes, in TFLite's float32 (reference/resize_nearest_neighbor.h)."""
    scale = np.float32(n - 1) / np.float32(to - 1) if align_corners and to > 1 else np.float32(n) / np.float32(to)
    at = (np.arange(to).astype(np.float32) + np.float32(0.5 if half_pixel else 0.0)) * scale
    nearest = np.floor(at + np.float32(0.5)) if align_corners else np.floor(at)
    return np.asarray(np.minimum(nearest, n - 1), np.int32)


def _resize_nearest(m: Importer, op: FileOperator) -> None:
    """A choice of rows, then one of columns."""
    o = op.options(tflite.ResizeNearestNeighborOptions)
    x = m.tensor(op, 0)
    rows, columns = (
        m.literal(op, _nearest(n, to, bool(o.AlignCorners()), bool(o.HalfPixelCenters())))
        for n, to in zip(sides(x, 2), _target(m, op), strict=True)
    )
    part = m.between(op, "gather", [m.add_any(x), rows], axis=1, batch_dims=0)
    m.emit(op, "gather", [part, columns], axis=2, batch_dims=0)


def _real(m: Importer, op: FileOperator, i: int) -> str:
    """Operand i as float32."""
    t = m.tensor(op, i)
    name = m.add(t)
    return name if t.dtype == "float32" else m.between(op, "dequantize", [name])


def _detection_postprocess(m: Importer, op: FileOperator) -> None:
    """Boxes from their offsets (y, x, h, w) to anchors, in float32, then non-maximum suppression.

    Of several classes a box the results stand as LiteRT writes them; TFLite Micro leaves gaps.
    """
    shape, names = m.tensor(op, 0).shape, [_real(m, op, i) for i in range(3)]
    if len(op.outputs) != 4 or len(shape) != 3 or shape[0] != 1 or None in shape:
        raise ModelError(f"operator {op.number} {op.name}: {len(op.outputs)} outputs, encodings {list(shape)}")

    def columns(x: str, first: int) -> str:
        attrs = {"starts": (first,), "ends": (first + 2,), "axes": (1,), "steps": (1,)}
        return m.between(op, "slice", [x], None, **attrs)

    encoded = m.between(op, "reshape", [names[0]], shape=shape[1:])
    anchors = names[2]
    scales = np.array([[op.custom_real(f"{c}_scale") for c in "yxhw"]], np.float32)
    at = m.between(op, "div", [columns(encoded, 0), m.literal(op, scales[:, :2])])
    at = m.between(op, "mul", [at, columns(anchors, 2)])
    at = m.between(op, "add", [at, columns(anchors, 0)], activation=None)
    half = m.between(op, "exp", [m.between(op, "div", [columns(encoded, 2), m.literal(op, scales[:, 2:])])])
    half = m.between(op, "mul", [half, m.literal(op, np.array(0.5, np.float32))])
    half = m.between(op, "mul", [half, columns(anchors, 2)])
    corners = [m.between(op, "sub", [at, half]), m.between(op, "add", [at, half], activation=None)]
    boxes = m.between(op, "concat", [*corners], axis=1)
    scores = m.between(op, "reshape", [names[1]], shape=m.tensor(op, 1).shape[1:])
    attrs = {
        "max_detections": op.custom_option("max_detections"),
        "per_box": op.custom_option("max_classes_per_detection"),
        "per_class": int(op.custom_real("detections_per_class", 100)),
        "classes": op.custom_option("num_classes"),
        "regular": bool(op.custom_real("use_regular_nms", 0)),
        "score_threshold": op.custom_real("nms_score_threshold"),
        "iou_threshold": op.custom_real("nms_iou_threshold"),
    }
    m.emit(op, "multiclass_nms", [boxes, scores], **attrs)


LAYERS: dict[str, Converter] = {
    "AVERAGE_POOL_2D": _pool_2d("avg_pool2d"),
    "BATCH_MATMUL": _batch_matmul,
    "CONV_2D": _conv_2d,
    "CONV_3D": _conv_3d,
    "DEPTHWISE_CONV_2D": _depthwise_conv_2d,
    "DEQUANTIZE": _dequantize,
    "EMBEDDING_LOOKUP": _embedding_lookup,
    "FULLY_CONNECTED": _fully_connected,
    "L2_POOL_2D": _l2_pool_2d,
    "LOG_SOFTMAX": _log_softmax,
    "MAX_POOL_2D": _pool_2d("max_pool2d"),
    "QUANTIZE": _quantize,
    "RESHAPE": _reshape,
    "RESIZE_BILINEAR": _resize_bilinear,
    "RESIZE_NEAREST_NEIGHBOR": _resize_nearest,
    "SOFTMAX": _softmax,
    "TRANSPOSE_CONV": _transpose_conv,
    "custom operator 'TFLite_Detection_PostProcess'": _detection_postprocess,
}
