"""Which values the channels of a tensor can take: interval arithmetic (Moore, "Interval Analysis", 1966) on a graph.

A channel is a slice of a tensor's last axis. Bounds of int8 are codes and exact: where both are equal, every element of
the channel has that code in every run. Bounds of floats hold every rounding; channels that may hold an infinity or a
NaN have none (-inf, inf), even behind a clip, which lets NaN pass.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from ..model import quantmath, reference
from ..model.graph import Graph, Op, Tensor
from ..model.ops import resolve_padding
from ..model.ops_elementwise import UNARY
from ..model.ops_move import slices

ONE_OPERAND = (*UNARY, "relu", "relu6", "clip", "quantize", "dequantize", "identity")  # element by element
_INT32 = 2.0**31
_FLOAT_MAX = 3e38  # below the largest float32


@dataclass(frozen=True)
class Range:
    """Bounds of each channel, float64 [C]."""

    low: np.ndarray
    high: np.ndarray

    @property
    def finite(self) -> np.ndarray:
        return np.asarray(np.isfinite(self.low) & np.isfinite(self.high))

    @property
    def constant(self) -> np.ndarray:
        """Whether all elements of a channel are equal; the sign of a float zero is left open."""
        return np.asarray(self.low == self.high)


def ranges(graph: Graph, rounding: str = "tflite") -> dict[str, Range]:
    """The range of every tensor of a graph whose shapes are fixed; inputs can hold anything.

    rounding: of int8 sums, as in `compile`. Tensors in the graphs of an "if" are not looked at.
    """
    found = {t.name: _of_constant(t) if t.data is not None else anything(t) for t in graph.tensors.values()}
    for op in graph.ops:
        rule = _RULES.get(op.kind) or (_one_operand if op.kind in ONE_OPERAND else None)
        if rule is not None and _per_tensor(op, graph):
            found[op.outputs[0]] = rule(op, graph, found, rounding) or found[op.outputs[0]]
    return found


def anything(t: Tensor) -> Range:
    """The range of a tensor of which nothing is known."""
    bounds = (-128.0, 127.0) if t.dtype == "int8" else (-math.inf, math.inf)
    channels = channels_of(t)
    return Range(np.full(channels, bounds[0]), np.full(channels, bounds[1]))


def channels_of(t: Tensor) -> int:
    """Length of the last axis; 1 of a scalar."""
    return int(t.shape[-1] or 1) if t.shape else 1


def is_padded(op: Op, graph: Graph) -> bool:
    """Whether a window of a convolution reaches beyond the image."""
    x, w = graph.tensors[op.inputs[0] or ""], graph.tensors[op.inputs[1] or ""]
    kernel = w.shape[:2] if op.kind == "depthwise_conv2d" else w.shape[1:3]
    sides = (x.shape[1], x.shape[2]), (kernel[0], kernel[1])
    pads = resolve_padding(op.attrs["padding"], *sides, op.attrs["stride"], op.attrs["dilation"])  # type: ignore[arg-type]
    return any(map(any, pads))


def _of_constant(t: Tensor) -> Range:
    assert t.data is not None
    if t.dtype not in ("int8", "float32") or not np.isfinite(t.data).all():
        return anything(t)
    rows = t.data.reshape(-1, channels_of(t)).astype(np.float64)
    return Range(rows.min(axis=0), rows.max(axis=0))


def _per_tensor(op: Op, graph: Graph) -> bool:
    """Whether activations have at most one scale; the rules below count on it."""
    operands = (*op.inputs[:1], *(op.inputs[1:] if op.kind in ("add", "concat") else ()), *op.outputs)
    quants = [graph.tensors[n].quant for n in operands if n is not None and n in graph.tensors]
    return len(quants) == len(operands) and all(q is None or q.scale.size == 1 for q in quants)


def _evaluate(op: Op, graph: Graph, *operands: np.ndarray, rounding: str = "tflite") -> np.ndarray:
    """The op on arrays [..., C] in the place of its activations, by the reference, as float64."""
    ins = [graph.tensors[n] for n in op.inputs[: len(operands)] if n is not None]
    y = graph.tensors[op.outputs[0]]
    arrays = [a.astype(t.dtype) for a, t in zip(operands, ins, strict=True)]
    tensors = [Tensor(t.name, a.shape, t.dtype, None, t.quant) for a, t in zip(arrays, ins, strict=True)]
    shape = np.broadcast_shapes(*(a.shape for a in arrays))
    if op.kind == "mean":
        shape = tuple(1 if i in op.attrs["axes"] else d for i, d in enumerate(shape))
    result = Tensor(y.name, shape, y.dtype, None, y.quant)
    return np.asarray(reference.evaluate(op, arrays, tensors, [result], rounding)[0], np.float64)


def _clipped(op: Op, graph: Graph, low: np.ndarray, high: np.ndarray) -> Range:
    """Bounds after the op's activation. Floats beyond float32 have none."""
    y = graph.tensors[op.outputs[0]]
    kept = np.isfinite(low) & np.isfinite(high)
    if op.kind in ("relu", "relu6", "clip"):
        bounds = (op.attrs["min"], op.attrs["max"]) if op.kind == "clip" else quantmath.ACTIVATION_RANGES[op.kind]
    else:
        bounds = quantmath.ACTIVATION_RANGES[op.attrs["activation"]]
    if y.dtype == "int8":
        if y.scale is None or y.zero_point is None:
            return anything(y)
        bounds = quantmath.clip_range(bounds[0], bounds[1], y.scale, y.zero_point)
    else:
        kept &= (np.abs(low) < _FLOAT_MAX) & (np.abs(high) < _FLOAT_MAX)
    return _where(kept, np.clip(low, *bounds), np.clip(high, *bounds), y)


def _where(known: np.ndarray, low: np.ndarray, high: np.ndarray, y: Tensor) -> Range:
    """Bounds of the known channels, those of anything of the others."""
    unknown = anything(y)
    return Range(np.where(known, low, unknown.low), np.where(known, high, unknown.high))


# --- rules: None where nothing is known -----------------------------------------------------------------------------

Known = dict[str, Range]


def _one_operand(op: Op, graph: Graph, known: Known, rounding: str) -> Range | None:
    x, y = graph.tensors[op.inputs[0] or ""], graph.tensors[op.outputs[0]]
    r = known[x.name]
    if op.kind == "identity":
        return r
    if x.dtype == "int8" and x.quant is not None and y.dtype == "int8":
        codes = np.arange(-128, 128)
        table = _evaluate(op, graph, codes)
        spans = [table[int(a) + 128 : int(b) + 129] for a, b in zip(r.low, r.high, strict=True)]
        return Range(np.array([s.min() for s in spans]), np.array([s.max() for s in spans]))
    if op.kind == "dequantize" and x.dtype == "int8":
        return Range(_evaluate(op, graph, r.low), _evaluate(op, graph, r.high))
    if op.kind == "quantize" and x.dtype == "float32":
        low, high = (_evaluate(op, graph, np.where(r.finite, b, 0)) for b in (r.low, r.high))
        return _where(r.finite, low, high, y)
    if op.kind in ("relu", "relu6", "clip") and x.dtype == "float32":
        return _clipped(op, graph, r.low, r.high)
    return None


def _add(op: Op, graph: Graph, known: Known, rounding: str) -> Range | None:
    a, b, y = (graph.tensors[n or ""] for n in (*op.inputs, *op.outputs))
    ra, rb = known[a.name], known[b.name]
    if y.dtype == "int8" and None not in (a.scale, b.scale, y.scale):
        # Rounded products of both operands grow with them, unless the last step shifts left beyond int32.
        if 2 * max(a.scale or 0, b.scale or 0) >= 2.0**20 * (y.scale or 0):
            return None
        return Range(_evaluate(op, graph, ra.low, rb.low), _evaluate(op, graph, ra.high, rb.high))
    if y.dtype != "float32":
        return None
    with np.errstate(all="ignore"):  # one rounding, which keeps the order
        low, high = (np.float32(p + q).astype(np.float64) for p, q in ((ra.low, rb.low), (ra.high, rb.high)))
    return _clipped(op, graph, low, high)


def _weighted(op: Op, graph: Graph, known: Known, rounding: str) -> Range | None:
    """conv2d of one group, depthwise_conv2d, linear."""
    x, w, y = graph.tensors[op.inputs[0] or ""], graph.tensors[op.inputs[1] or ""], graph.tensors[op.outputs[0]]
    bias = graph.tensors[op.inputs[2]] if len(op.inputs) > 2 and op.inputs[2] is not None else None
    if w.data is None or (bias is not None and bias.data is None) or op.attrs.get("groups", 1) != 1:
        return None
    if x.dtype == "int8" and (w.quant is None or w.quant.zero_point.any() or x.scale is None or y.scale is None):
        return None
    taps = weights_by_tap(op, w.data).astype(np.float64)
    r: Range | None = known[x.name]
    if op.kind == "linear":
        r = reshaped(known[x.name], taps.shape[2])
    elif op.kind == "depthwise_conv2d":
        r = Range(*(np.repeat(b, taps.shape[0] // b.size) for b in (known[x.name].low, known[x.name].high)))
    if r is None or not (r.finite.all() and np.isfinite(taps).all()):
        return None
    zero_point = x.zero_point or 0 if x.dtype == "int8" else 0
    low, high = r.low - zero_point, r.high - zero_point
    if op.kind != "linear" and is_padded(op, graph):
        low, high = np.minimum(low, 0), np.maximum(high, 0)
    up, down = np.maximum(taps, 0).sum(axis=1), np.minimum(taps, 0).sum(axis=1)
    start = np.zeros(taps.shape[0]) if bias is None else np.asarray(bias.data, np.float64)

    def sums(a: np.ndarray, b: np.ndarray) -> np.ndarray:
        if op.kind == "depthwise_conv2d":
            return np.asarray(start + up[:, 0] * a + down[:, 0] * b)
        return np.asarray(start + up @ a + down @ b)

    if x.dtype == "int8":
        return _rescaled(op, graph, sums(low, high), sums(high, low), rounding)
    most = np.maximum(np.abs(low), np.abs(high))
    products = sums(most, -most) - start  # of magnitudes
    terms = taps.shape[1] * taps.shape[2] + 2
    slack = np.where(products > 0, (products + np.abs(start)) * terms * 2.0**-23 + terms * 2.0**-149, 0)
    return _clipped(op, graph, sums(low, high) - slack, sums(high, low) + slack)


def weights_by_tap(op: Op, w: np.ndarray) -> np.ndarray:
    """Weights as [C_out, taps, C_in]; C_in is 1 of depthwise_conv2d."""
    if op.kind == "depthwise_conv2d":
        return np.asarray(w.reshape(-1, w.shape[-1]).T[:, :, None])
    return w.reshape(w.shape[0], -1, w.shape[-1])


def _rescaled(op: Op, graph: Graph, low: np.ndarray, high: np.ndarray, rounding: str) -> Range:
    """int8 results of int32 sums: the op itself, of these sums as its bias and of weights 0."""
    x, w, y = graph.tensors[op.inputs[0] or ""], graph.tensors[op.inputs[1] or ""], graph.tensors[op.outputs[0]]
    assert w.quant is not None and x.scale is not None and y.scale is not None
    # Scaling keeps the order of sums, as long as nothing wraps: neither they nor their left shift for factors above 1.
    exponent = np.frexp(np.float64(x.scale) * w.quant.scale.astype(np.float64) / y.scale)[1]
    room = _INT32 / 2.0 ** np.maximum(exponent + 1, 0)
    kept = np.broadcast_to((low >= -room) & (high < room), low.shape)
    channels, rank = low.size, 2 if op.kind == "linear" else 4
    kind = "linear" if op.kind == "linear" else "conv2d"
    attrs = {"activation": op.attrs["activation"]}
    steps = {"stride": (1, 1), "dilation": (1, 1), "padding": "valid", "groups": 1}
    attrs |= {"keep_dims": False} if kind == "linear" else steps
    one = Op(kind, op.name, ["x", "w", "b"], ["y"], attrs)
    zero = np.zeros((1,) * rank, np.int8)
    weight = np.zeros((channels, *(1,) * (rank - 1)), np.int8)
    tensors = [Tensor("x", zero.shape, "int8", None, x.quant), Tensor("w", weight.shape, "int8", weight, w.quant)]
    tensors.append(Tensor("b", (channels,), "int32"))
    result = Tensor("y", (*(1,) * (rank - 1), channels), "int8", None, y.quant)

    def codes(sums: np.ndarray) -> np.ndarray:
        bias = np.where(kept, sums, 0).astype(np.int32)
        found: np.ndarray = reference.evaluate(one, [zero, weight, bias], tensors, [result], rounding)[0]
        return found.reshape(-1).astype(np.float64)

    return _where(kept, codes(low), codes(high), result)


def _pool2d(op: Op, graph: Graph, known: Known, rounding: str) -> Range | None:
    """A maximum or mean of int8 codes lies between them; FP32 sums are off by their roundings."""
    r, y = known[op.inputs[0] or ""], graph.tensors[op.outputs[0]]
    slack = np.zeros(r.low.size)
    if op.kind == "avg_pool2d" and y.dtype == "float32":
        slack = np.maximum(np.abs(r.low), np.abs(r.high)) * ((math.prod(op.attrs["kernel"]) + 2) * 2.0**-23)
    return _clipped(op, graph, r.low - slack, r.high + slack)


def _mean(op: Op, graph: Graph, known: Known, rounding: str) -> Range | None:
    x, y, axes = graph.tensors[op.inputs[0] or ""], graph.tensors[op.outputs[0]], op.attrs["axes"]
    if len(x.shape) - 1 in axes or x.dtype != "int8" or x.scale is None or y.scale is None:
        return None
    if x.scale >= y.scale * 2.0**20:  # a left shift could wrap
        return None
    shape = [int(d or 1) if i in axes else 1 for i, d in enumerate(x.shape[:-1])]
    r = known[x.name]
    low, high = (_evaluate(op, graph, np.broadcast_to(b, (*shape, b.size))) for b in (r.low, r.high))
    return Range(low.reshape(-1), high.reshape(-1))


def reshaped(r: Range, channels: int) -> Range | None:
    """Of the same elements in row-major order under a last axis of another length."""
    if channels % r.low.size == 0:
        return Range(*(np.tile(b, channels // r.low.size) for b in (r.low, r.high)))
    if r.low.size % channels == 0:
        return Range(r.low.reshape(-1, channels).min(axis=0), r.high.reshape(-1, channels).max(axis=0))
    return None


def _reshape(op: Op, graph: Graph, known: Known, rounding: str) -> Range | None:
    return reshaped(known[op.inputs[0] or ""], channels_of(graph.tensors[op.outputs[0]]))


def _concat(op: Op, graph: Graph, known: Known, rounding: str) -> Range | None:
    parts = [known[n or ""] for n in op.inputs]
    if op.attrs["axis"] in (-1, len(graph.tensors[op.outputs[0]].shape) - 1):
        return Range(np.concatenate([p.low for p in parts]), np.concatenate([p.high for p in parts]))
    return Range(np.minimum.reduce([p.low for p in parts]), np.maximum.reduce([p.high for p in parts]))


def _pad(op: Op, graph: Graph, known: Known, rounding: str) -> Range | None:
    x, r = graph.tensors[op.inputs[0] or ""], known[op.inputs[0] or ""]
    if any(op.attrs["pads"][-1]):
        return None
    if op.attrs["mode"] != "constant":
        return r
    value = known[op.inputs[1]] if len(op.inputs) > 1 and op.inputs[1] is not None else None
    low, high = (value.low, value.high) if value is not None else (x.zero_point or 0, x.zero_point or 0)
    return Range(np.minimum(r.low, low), np.maximum(r.high, high))


def _slice(op: Op, graph: Graph, known: Known, rounding: str) -> Range | None:
    x, r = graph.tensors[op.inputs[0] or ""], known[op.inputs[0] or ""]
    taken = slices(op, tuple(int(d or 1) for d in x.shape))[-1]
    at = list(range(taken.start, taken.stop, taken.step))
    return Range(r.low[at], r.high[at])


_RULES: dict[str, Callable[[Op, Graph, Known, str], Range | None]] = {
    "add": _add,
    "conv2d": _weighted,
    "depthwise_conv2d": _weighted,
    "linear": _weighted,
    "avg_pool2d": _pool2d,
    "max_pool2d": _pool2d,
    "mean": _mean,
    "reshape": _reshape,
    "concat": _concat,
    "pad": _pad,
    "slice": _slice,
}
