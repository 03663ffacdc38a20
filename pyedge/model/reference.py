"""A NumPy reference of every op: the meaning of a graph, and the oracle of the kernels' tests.

int8 results are exact to the bit, written from TFLite's definitions and not from csrc/; float results are computed in
double and rounded once, so they agree with the kernels within a tolerance. Slow.

rounding: "tflite" rounds the sum of conv2d, depthwise_conv2d and linear twice, as TFLM and CMSIS-NN do; "litert-ref"
does linear as LiteRT's reference kernel: sum * (double) factor, rounded once, halves away from zero; "fp32" does all
three as ONNX Runtime and XNNPACK: (float) sum * (float) factor, halves to even. Layers with float16 weights take their
mode instead: "exact" or "fast16".
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from ..errors import ModelError, ShapeError
from . import quantmath as qm
from .fixed_point import Ints, exp_negative, high_multiply, reciprocal, round_shift, scale_twice_rounded, wrap32
from .graph import Graph, Op, Tensor, array_dtype
from .ops import Pair, infer_shapes, resolve_padding
from .quantmath_int16 import is_int16

ROUNDINGS = ("tflite", "litert-ref", "fp32")

Arrays = list[Any]  # the values of an op's operands; None where one is absent
Tensors = list[Any]  # their Tensors, then those of the results
Rule = Callable[[Op, Arrays, Tensors, str], np.ndarray | list[np.ndarray]]

# Rules for every dtype of a kind; the families in reference_*.py add theirs. Other kinds: _FLOAT and _INT8 below.
RULES: dict[str, Rule] = {}
# Kinds whose rules take the mode of sums over float16 in place of the rounding.
BY_MODE: set[str] = set()
# Rules for int16 codes that have a scale, before those above: reference_int16.py.
INT16: dict[str, Rule] = {}


def run(
    graph: Graph,
    inputs: Mapping[str, np.ndarray],
    rounding: str = "tflite",
    keep: bool = False,
    states: dict[str, np.ndarray] | None = None,
    mode: str = "exact",
) -> dict[str, np.ndarray]:
    """Computes a graph.

    Args:
        inputs: One array per input, by name, of the input's dtype; their shapes fix the graph's open sizes.
        states: Values of the graph's states by name, those after the run when it returns. Empty: initial values. Keep
            the dict from run to run; without one each run starts from the initial values.
        mode: How layers with float16 weights sum: "exact" or "fast16".
        keep: Return every tensor that is no constant, not only the outputs. Of an "if" only what it gives.

    Returns:
        Arrays by tensor name.

    Raises:
        ShapeError: An input that is missing, or of another shape or dtype.
    """
    if rounding not in ROUNDINGS:
        raise ModelError(f"rounding {rounding!r} is unknown; known: {', '.join(ROUNDINGS)}")
    for t in graph.inputs:
        if t.name not in inputs or inputs[t.name].dtype != array_dtype(t.dtype):
            given = inputs[t.name].dtype if t.name in inputs else "nothing"
            raise ShapeError(f"tensor {t.name!r}: {given} given, expected {t.dtype}")
    graph = infer_shapes(graph, {name: inputs[name].shape for name in graph.input_names})
    states = {} if states is None else states
    values = {**inputs, **{s.name: states.get(s.name, s.initial) for s in graph.states}}
    _run(graph, {}, values, rounding, mode)
    states.update({s.name: values[s.next] for s in graph.states})
    if keep:
        return {n: v for n, v in values.items() if n in graph.tensors and graph.tensors[n].data is None}
    return {n: values[n] for n in graph.output_names}


def run_op(
    op: Op, operands: Sequence[Tensor | None], values: Sequence[np.ndarray | None], results: Sequence[Tensor]
) -> dict[str, np.ndarray]:
    """The results of one op by name, their shapes inferred; values are those of its operands."""
    graph = Graph(op.name)
    for t, v in zip(operands, values, strict=True):
        if t is not None and t.name not in graph.tensors:
            graph.add_tensor(Tensor(t.name, t.shape, t.dtype, v, t.quant))
    for t in results:
        graph.add_tensor(Tensor(t.name, t.shape, t.dtype, quant=t.quant))
    graph.ops, graph.output_names = [op], list(op.outputs)
    return run(graph, {})


def _run(graph: Graph, outer: Mapping[str, Tensor], values: dict[str, np.ndarray], rounding: str, mode: str) -> None:
    tensors = {**outer, **graph.tensors}
    values.update((n, t.data) for n, t in graph.tensors.items() if t.data is not None)
    for op in graph.ops:
        if op.kind == "if":
            branch = op.attrs["then" if values[op.inputs[0] or ""].any() else "else"]
            inner = dict(values)
            _run(branch, tensors, inner, rounding, mode)
            values.update(zip(op.outputs, (inner[n] for n in branch.output_names), strict=True))
            continue
        operands = [None if n is None else tensors[n] for n in op.inputs]
        arrays = [None if n is None else values[n] for n in op.inputs]
        results = [tensors[n] for n in op.outputs]
        rule = mode if op.kind in BY_MODE else rounding
        for y, value in zip(results, evaluate(op, arrays, operands, results, rule), strict=True):
            values[y.name] = value


def evaluate(
    op: Op, arrays: Arrays, operands: Sequence[Tensor | None], results: Sequence[Tensor], rounding: str = "tflite"
) -> Arrays:
    """The values of an op's results, of their shapes and dtypes; any kind but "if"."""
    rule = INT16.get(op.kind) if is_int16(operands[0], results[0]) else None
    rule = rule or RULES.get(op.kind)
    if rule is None:
        quantized = any(t is not None and t.dtype == "int8" for t in (operands[0], results[0]))
        rule = (_INT8 if quantized else _FLOAT)[op.kind]
    with np.errstate(all="ignore"):
        real = [v if t is None else _decoded(v, t) for v, t in zip(arrays, operands, strict=True)]
        found = rule(op, real, [*operands, *results], rounding)
        values = found if isinstance(found, list) else [found]
        return [_stored(np.asarray(v).reshape(t.shape), t) for v, t in zip(values, results, strict=True)]


def _decoded(v: Any, t: Tensor) -> Any:
    """The values of a tensor's array: of bfloat16 codes, as they come without ml_dtypes, as double."""
    if t.dtype != "bfloat16" or array_dtype(t.dtype) != np.uint16:
        return v
    return (v.astype(np.uint32) << 16).view(np.float32).astype(np.float64)


def _stored(v: np.ndarray, t: Tensor) -> np.ndarray:
    """An array of a tensor's dtype: bfloat16 by float32, halves to even."""
    dtype = array_dtype(t.dtype)
    if t.dtype != "bfloat16" or dtype != np.uint16:
        return v.astype(dtype)
    bits = np.asarray(v, np.float32).reshape(-1).view(np.uint32)
    rounded = (bits + 0x7FFF + (bits >> 16 & 1)) >> 16
    nan = (bits & 0x7FFFFFFF) > 0x7F800000
    return np.where(nan, (bits >> 16 & 0x8000) | 0x7FC0, rounded).astype(dtype).reshape(v.shape)


# --- windows --------------------------------------------------------------------------------------------------------


def _taps(op: Op, x: np.ndarray, kernel: Pair, y: Tensor, fill: float) -> dict[Pair, np.ndarray]:
    """For each tap of the window the elements [N, Ho, Wo, C] of x that it meets; fill outside the image."""
    stride, dilation = op.attrs["stride"], op.attrs.get("dilation", (1, 1))
    padding = resolve_padding(op.attrs["padding"], (x.shape[1], x.shape[2]), kernel, stride, dilation)
    padded = np.pad(x, ((0, 0), *padding, (0, 0)), constant_values=fill)
    _, ho, wo, _ = y.shape
    assert ho is not None and wo is not None
    taps = {}
    for i in range(kernel[0]):
        for j in range(kernel[1]):
            top, left = i * dilation[0], j * dilation[1]
            rows = slice(top, top + (ho - 1) * stride[0] + 1, stride[0])
            taps[i, j] = padded[:, rows, left : left + (wo - 1) * stride[1] + 1 : stride[1], :]
    return taps


def _conv2d_sum(op: Op, x: np.ndarray, w: np.ndarray, y: Tensor) -> np.ndarray:
    """Sums of x * w in double: exact for int8, since they stay below 2^53."""
    groups = op.attrs["groups"]
    per_group, depth = w.shape[0] // groups, w.shape[3]
    total = np.zeros(())
    for (i, j), tap in _taps(op, x.astype(np.float64), (w.shape[1], w.shape[2]), y, 0.0).items():
        parts = [
            tap[..., g * depth : (g + 1) * depth] @ w[g * per_group : (g + 1) * per_group, i, j, :].T.astype(np.float64)
            for g in range(groups)
        ]
        total = total + np.concatenate(parts, axis=-1)
    return total


def _depthwise_sum(op: Op, x: np.ndarray, w: np.ndarray, y: Tensor) -> np.ndarray:
    repeated = np.repeat(x.astype(np.float64), w.shape[2] // x.shape[3], axis=3)
    total = np.zeros(())
    for (i, j), tap in _taps(op, repeated, (w.shape[0], w.shape[1]), y, 0.0).items():
        total = total + tap * w[i, j].astype(np.float64)
    return total


def _linear_sum(op: Op, x: np.ndarray, w: np.ndarray, y: Tensor) -> np.ndarray:
    return np.asarray(x.reshape(-1, w.shape[1]).astype(np.float64) @ w.T.astype(np.float64))


_SUMS: dict[str, Callable[[Op, np.ndarray, np.ndarray, Tensor], np.ndarray]] = {
    "conv2d": _conv2d_sum,
    "depthwise_conv2d": _depthwise_sum,
    "linear": _linear_sum,
}

# --- float32 --------------------------------------------------------------------------------------------------------


def _f_activation(op: Op, x: np.ndarray) -> np.ndarray:
    return np.asarray(np.clip(x, *qm.ACTIVATION_RANGES[op.attrs["activation"]]))


def _f_weighted(op: Op, v: Arrays, t: Tensors, rounding: str) -> np.ndarray:
    total = _SUMS[op.kind](op, v[0], v[1], t[-1])
    if len(v) > 2 and v[2] is not None:
        total = total + v[2]
    return _f_activation(op, total)


def _f_add(op: Op, v: Arrays, t: Tensors, rounding: str) -> np.ndarray:
    return _f_activation(op, v[0] + v[1])


def _f_avg_pool2d(op: Op, v: Arrays, t: Tensors, rounding: str) -> np.ndarray:
    taps = _taps(op, v[0].astype(np.float64), op.attrs["kernel"], t[-1], 0.0)
    counts = _taps(op, np.ones_like(v[0], np.float64), op.attrs["kernel"], t[-1], 0.0)
    return _f_activation(op, np.asarray(sum(taps.values())) / np.asarray(sum(counts.values())))


def _f_max_pool2d(op: Op, v: Arrays, t: Tensors, rounding: str) -> np.ndarray:
    taps = _taps(op, v[0], op.attrs["kernel"], t[-1], -math.inf)
    return _f_activation(op, np.maximum.reduce(list(taps.values())))


def _f_mean(op: Op, v: Arrays, t: Tensors, rounding: str) -> np.ndarray:
    return np.asarray(v[0].astype(np.float64).mean(axis=op.attrs["axes"]))


def _f_softmax(op: Op, v: Arrays, t: Tensors, rounding: str) -> np.ndarray:
    x = v[0].astype(np.float64)
    axis = op.attrs["axis"]
    e = np.exp((x - x.max(axis=axis, keepdims=True)) * np.float64(np.float32(op.attrs["beta"])))
    return np.asarray(e / e.sum(axis=axis, keepdims=True))


def _f_clip(low: float, high: float) -> Rule:
    return lambda op, v, t, rounding: np.clip(v[0], np.float32(low), np.float32(high))


def _same(op: Op, v: Arrays, t: Tensors, rounding: str) -> np.ndarray:
    return np.asarray(v[0])


_FLOAT: dict[str, Rule] = {
    "conv2d": _f_weighted,
    "depthwise_conv2d": _f_weighted,
    "linear": _f_weighted,
    "add": _f_add,
    "avg_pool2d": _f_avg_pool2d,
    "max_pool2d": _f_max_pool2d,
    "mean": _f_mean,
    "softmax": _f_softmax,
    "reshape": _same,
    "relu": _f_clip(0.0, math.inf),
    "relu6": _f_clip(0.0, 6.0),
    "clip": lambda op, v, t, rounding: np.clip(v[0], np.float32(op.attrs["min"]), np.float32(op.attrs["max"])),
    "any_ge": lambda op, v, t, rounding: np.array([(v[0] >= np.float32(op.attrs["threshold"])).any()]),
}

# --- int8 -----------------------------------------------------------------------------------------------------------


def _scale(t: Tensor) -> float:
    assert t.scale is not None, t.name  # check.py
    return t.scale


def _zero(t: Tensor) -> int:
    assert t.zero_point is not None, t.name
    return int(t.zero_point)


def _ints(v: np.ndarray | None, t: Tensor) -> Ints:
    """Codes without their zero point."""
    assert v is not None
    return v.astype(np.int64) - _zero(t)


def _codes(op: Op, x: Ints, y: Tensor) -> np.ndarray:
    """Scaled sums to codes of y: zero point added, fused activation applied."""
    return np.asarray(np.clip(x + _zero(y), *qm.activation_range(op.attrs.get("activation"), _scale(y), _zero(y))))


def _round_half_away(x: np.ndarray) -> np.ndarray:
    return np.asarray(np.copysign(np.floor(np.abs(x) + 0.5), x))


def _q_weighted(op: Op, v: Arrays, t: Tensors, rounding: str) -> np.ndarray:
    x, w, y = t[0], t[1], t[-1]
    assert w.quant is not None
    total = _SUMS[op.kind](op, _ints(v[0], x), v[1], y).astype(np.int64)
    if len(v) > 2 and v[2] is not None:
        total = total + v[2].astype(np.int64)
    total = wrap32(total)
    scales = _scale(x), w.quant.scale, _scale(y)
    if rounding == "fp32":
        return _codes(op, qm.round_fp32(total, qm.fp32_scales(*scales)), y)
    if op.kind == "linear" and rounding == "litert-ref":
        return _codes(op, _round_half_away(total * qm.channel_scales(*scales)).astype(np.int64), y)
    factors = qm.linear_scales(*scales) if op.kind == "linear" else qm.channel_scales(*scales)
    multiplier, shift = qm.quantize_multipliers(factors)
    return _codes(op, scale_twice_rounded(total, multiplier, shift), y)


def _q_add(op: Op, v: Arrays, t: Tensors, rounding: str) -> np.ndarray:
    a, b, y = t
    p = qm.add_params(_scale(a), _scale(b), _scale(y))
    total = scale_twice_rounded(_ints(v[0], a) << p.left_shift, *p.a)
    total = total + scale_twice_rounded(_ints(v[1], b) << p.left_shift, *p.b)
    return _codes(op, scale_twice_rounded(total, *p.y), y)


def _q_avg_pool2d(op: Op, v: Arrays, t: Tensors, rounding: str) -> np.ndarray:
    """Of the codes themselves, halves away from zero."""
    total = np.asarray(sum(_taps(op, v[0].astype(np.int64), op.attrs["kernel"], t[-1], 0).values()))
    count = np.asarray(sum(_taps(op, np.ones_like(v[0], np.int64), op.attrs["kernel"], t[-1], 0).values()))
    mean = np.sign(total) * ((np.abs(total) + count // 2) // count)
    return _codes(op, mean - _zero(t[-1]), t[-1])


def _q_max_pool2d(op: Op, v: Arrays, t: Tensors, rounding: str) -> np.ndarray:
    taps = _taps(op, v[0].astype(np.int64), op.attrs["kernel"], t[-1], -128)
    return _codes(op, np.maximum.reduce(list(taps.values())) - _zero(t[-1]), t[-1])


def _q_mean(op: Op, v: Arrays, t: Tensors, rounding: str) -> np.ndarray:
    axes = op.attrs["axes"]
    count = math.prod(v[0].shape[a] for a in axes)
    total = np.asarray(_ints(v[0], t[0]).sum(axis=axes))
    return _codes(op, scale_twice_rounded(total, *qm.mean_multiplier(_scale(t[0]), _scale(t[-1]), count)), t[-1])


def _q_softmax(op: Op, v: Arrays, t: Tensors, rounding: str) -> np.ndarray:
    """exp in Q0.31, summed with 12 integer bits, times the reciprocal of the sum (TFLite reference/softmax.h)."""
    p = qm.softmax_params(op.attrs["beta"], _scale(t[0]))
    x = v[0].astype(np.int64)
    d = x - x.max(axis=-1, keepdims=True)
    counted = d >= p.diff_min
    exps = exp_negative(high_multiply(np.where(counted, d, 0) << -p.shift, p.multiplier))
    total = np.where(counted, round_shift(exps, 12), 0).sum(axis=-1, keepdims=True)
    inverse, bits = reciprocal(total, 12)
    result = round_shift(high_multiply(inverse, exps), bits + 31 - 8) - 128
    return np.asarray(np.where(counted, np.clip(result, -128, 127), -128))


def _q_quantize(op: Op, v: Arrays, t: Tensors, rounding: str) -> np.ndarray:
    """Of floats: x / scale in float32, halves away from zero, NaN as 0; of codes: as relu without a bound."""
    x, y = t
    if x.dtype == "int8":
        return _q_rescale(v, t, -math.inf, math.inf)
    quotient = np.nan_to_num((v[0] / np.float32(_scale(y))).astype(np.float64), nan=0.0)
    q = _round_half_away(quotient) + _zero(y)
    return np.asarray(np.clip(q, -128, 127))


def _q_rescale(v: Arrays, t: Tensors, low: float, high: float) -> np.ndarray:
    x, y = t
    scaled = scale_twice_rounded(_ints(v[0], x), *qm.rescale_multiplier(_scale(x), _scale(y)))
    return np.asarray(np.clip(scaled + _zero(y), *qm.clip_range(low, high, _scale(y), _zero(y))))


def _q_any_ge(op: Op, v: Arrays, t: Tensors, rounding: str) -> np.ndarray:
    return np.array([(v[0] >= qm.threshold_code(op.attrs["threshold"], _scale(t[0]), _zero(t[0]))).any()])


_INT8: dict[str, Rule] = {
    "conv2d": _q_weighted,
    "depthwise_conv2d": _q_weighted,
    "linear": _q_weighted,
    "add": _q_add,
    "avg_pool2d": _q_avg_pool2d,
    "max_pool2d": _q_max_pool2d,
    "mean": _q_mean,
    "softmax": _q_softmax,
    "reshape": _same,
    "quantize": _q_quantize,
    "dequantize": lambda op, v, t, rounding: t[0].dequantize(v[0]),
    "relu": lambda op, v, t, rounding: _q_rescale(v, t, 0.0, math.inf),
    "relu6": lambda op, v, t, rounding: _q_rescale(v, t, 0.0, 6.0),
    "clip": lambda op, v, t, rounding: _q_rescale(v, t, op.attrs["min"], op.attrs["max"]),
    "any_ge": _q_any_ge,
}
