"""Float graphs to int8, by the smallest and largest value of each tensor."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np

from ..errors import ModelError
from ..model.check import check
from ..model.graph import Graph, Op, Quantization, Tensor
from .fold import fold_activations
from .report import Report, constant_bytes

# Axis of output channels in each weight's layout.
_CHANNEL_AXIS = {"conv2d": 0, "depthwise_conv2d": 2, "linear": 0}
# Results that keep the scale of their input: these ops move or compare codes.
_KEEPS_SCALE = ("avg_pool2d", "max_pool2d", "reshape")
_ASYMMETRIC = (*_CHANNEL_AXIS, "add", "mean", "relu", "relu6", "clip")

Range = tuple[float, float]


def quantize_minmax(graph: Graph, ranges: Mapping[str, Range]) -> tuple[Graph, Report]:
    """Return an int8 copy of a float graph: int8 inputs, outputs, weights and activations, int32 biases.

    Activations: per tensor, asymmetric, [-128, 127] spread over the range, which always contains 0. Weights: per output
    channel, symmetric, [-127, 127]. Stand-alone activations are folded into the op before them first. Softmax gives
    scale 1/256 and zero point -128.

    Args:
        graph: All tensors float32; ops of the table in model/ops.py but "if", quantize and dequantize.
        ranges: (smallest, largest) value of each float tensor that is no constant, by name; from `tune.ranges`.

    Returns:
        The new graph, which shares no changed array with the old one; the bytes before and after, each weight's noise.

    Raises:
        ModelError: A tensor without a finite range, an op or a tensor that is not float, a state.

    Source: Jacob et al. 2018, "Quantization and Training of Neural Networks"; the ranges of weights as in the TFLite
    quantization specification.
    """
    if graph.states:
        raise ModelError(f"graph {graph.name!r} has a state, {graph.states[0].name!r}: it cannot be quantized")
    folded = fold_activations(graph)
    result = folded.copy()
    for name in result.input_names:
        _float(result.tensors[name])
        result.tensors[name] = _coded(result.tensors[name], _asymmetric(name, ranges))
    noise: dict[str, float] = {}
    for op in result.ops:
        _quantize_op(result, op, ranges, noise)
    used = {n for op in result.ops for n in op.inputs if n is not None} | set(result.source_names)
    used |= {n for op in result.ops for n in op.outputs}
    result.tensors = {n: t for n, t in result.tensors.items() if n in used}
    result = check(result)
    return result, Report("quantize_minmax", constant_bytes(graph), constant_bytes(result), noise)


def _quantize_op(graph: Graph, op: Op, ranges: Mapping[str, Range], noise: dict[str, float]) -> None:
    y = graph.tensors[op.outputs[0]]
    if op.kind == "any_ge":
        return
    if op.kind == "softmax":
        quant = Quantization(np.array([1 / 256], np.float32), np.array([-128], np.int32))
    elif op.kind in _KEEPS_SCALE:
        quant = _operand(graph, op, 0)
    elif op.kind in _ASYMMETRIC:
        quant = _asymmetric(y.name, ranges)
    else:
        raise ModelError(f"{op.kind} {op.name!r}: cannot be quantized")
    graph.tensors[y.name] = _coded(_float(y), quant)
    if op.kind in _CHANNEL_AXIS:
        _quantize_weights(graph, op, noise)
    else:
        for i in range(len(op.inputs)):
            _operand(graph, op, i)


def _operand(graph: Graph, op: Op, i: int) -> Quantization:
    """Quantization of an activation operand; a constant one is quantized here, by its own range."""
    t = graph.tensors[op.inputs[i] or ""]
    if t.quant is None and t.data is not None:
        _float(t)
        quant = _asymmetric(t.name, {t.name: (float(t.data.min()), float(t.data.max()))})
        coded = _coded(t, quant)
        coded.data = coded.quantize(t.data)
        graph.tensors[t.name] = t = coded
    if t.quant is None:
        raise ModelError(f"{op.kind} {op.name!r}: tensor {t.name!r} is not quantized")
    return t.quant


def _quantize_weights(graph: Graph, op: Op, noise: dict[str, float]) -> None:
    """The constants of one op, under names of their own: two ops may share a weight and differ in scale."""
    axis = _CHANNEL_AXIS[op.kind]
    weight = graph.tensors[op.inputs[1] or ""]
    bias = graph.tensors[op.inputs[2]] if len(op.inputs) > 2 and op.inputs[2] is not None else None
    w = _constant(weight)
    b = np.zeros(w.shape[axis]) if bias is None else _constant(bias).astype(np.float64)
    x_scale = float(_operand(graph, op, 0).scale[0])
    y_quant = graph.tensors[op.outputs[0]].quant
    assert y_quant is not None  # set above

    others = tuple(i for i in range(w.ndim) if i != axis)
    largest = np.abs(w).max(axis=others).astype(np.float64)
    # A channel of zeros still has a bias, which needs a scale: 1/256 step of the output. No bias may pass 2^30.
    floor = np.where(largest == 0, float(y_quant.scale[0]) / (256 * x_scale), 0)
    scale = np.maximum.reduce([largest / 127, floor, np.abs(b) / (x_scale * 2**30)]).astype(np.float32)
    along = [1] * w.ndim
    along[axis] = -1
    codes = np.clip(np.rint(w / scale.reshape(along)), -127, 127).astype(np.int8)
    noise[op.name] = sqnr_db(w, codes * scale.reshape(along))
    op.inputs[1] = _replace_constant(
        graph, weight, op, codes, Quantization(scale, np.zeros(scale.size, np.int32), axis)
    )
    if bias is not None:
        bias_scale = (np.float32(x_scale) * scale).astype(np.float32)
        b_codes = np.rint(b / (x_scale * scale.astype(np.float64))).astype(np.int32)
        quant = Quantization(bias_scale, np.zeros(scale.size, np.int32))
        op.inputs[2] = _replace_constant(graph, bias, op, b_codes, quant)


def _replace_constant(graph: Graph, old: Tensor, op: Op, value: np.ndarray, quant: Quantization) -> str:
    name = old.name
    if old.name in graph.tensors and sum(old.name in o.inputs for o in graph.ops) > 1:
        name = f"{old.name}:{op.name}"
    graph.tensors[name] = Tensor(name, value.shape, str(value.dtype), value, quant, old.index)
    return name


def sqnr_db(exact: np.ndarray, rounded: np.ndarray) -> float:
    noise = float(np.square(exact - rounded).sum(dtype=np.float64))
    signal = float(np.square(exact).sum(dtype=np.float64))
    return 10 * math.log10(signal / noise) if noise > 0 and signal > 0 else math.inf


def _float(t: Tensor) -> Tensor:
    if t.dtype != "float32":
        raise ModelError(f"tensor {t.name!r} is {t.dtype} already; only float32 graphs can be quantized")
    return t


def _constant(t: Tensor) -> np.ndarray:
    if _float(t).data is None:
        raise ModelError(f"tensor {t.name!r} is a weight or bias and not a constant")
    assert t.data is not None
    return t.data


def _coded(t: Tensor, quant: Quantization) -> Tensor:
    return Tensor(t.name, t.shape, "int8", None, quant, t.index)


def _asymmetric(name: str, ranges: Mapping[str, Range]) -> Quantization:
    """[-128, 127] over the range widened to contain 0, which has a code of its own."""
    if name not in ranges:
        raise ModelError(f"tensor {name!r} has no range; calibrate on this graph")
    low, high = min(ranges[name][0], 0.0), max(ranges[name][1], 0.0)
    if not (math.isfinite(low) and math.isfinite(high)):
        raise ModelError(f"tensor {name!r} has the range {ranges[name]}; the calibration data give infinities or NaN")
    scale = np.float32(max((high - low) / 255, 2.0**-100))  # all zeros: any scale will do
    zero_point = int(np.clip(round(-128 - low / float(scale)), -128, 127))
    return Quantization(np.array([scale], np.float32), np.array([zero_point], np.int32))
