"""NumPy references of the kinds of ops_nn.py: floats in double and rounded once, integers to the bit."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from . import quantmath as qm
from .fixed_point import scale_twice_rounded, wrap32
from .graph import Op
from .ops_nn import RNN_GATES
from .reference import RULES, Arrays, Tensors

Array = np.ndarray[Any, Any]


def _wide(x: Array) -> Array:
    """Values to compute with: doubles for floats, int64 for integers."""
    return x.astype(np.int64 if x.dtype.kind in "iub" else np.float64)


def _activated(op: Op, x: Array) -> Array:
    return np.asarray(np.clip(x, *qm.ACTIVATION_RANGES[op.attrs["activation"]]))


# --- matrix products ------------------------------------------------------------------------------------------------


def _matmul(op: Op, v: Arrays, t: Tensors, rounding: str) -> Array:
    a, b = _wide(v[0]), _wide(v[1])
    quantized = t[0].dtype == "int8" and t[0].scale is not None
    if quantized:
        a, b = a - t[0].zero_point, b - t[1].zero_point
    a = np.swapaxes(a, -1, -2) if op.attrs["transpose_a"] else a
    b = np.swapaxes(b, -1, -2) if op.attrs["transpose_b"] else b
    total = np.asarray(np.matmul(a, b))
    if not quantized:
        return _activated(op, total) if op.attrs["activation"] else total
    y = t[-1]
    factor = qm.quantize_multiplier(float(qm.linear_scales(t[0].scale, t[1].scale, y.scale)[0]))
    codes = scale_twice_rounded(wrap32(total), *factor) + y.zero_point
    return np.asarray(np.clip(codes, *qm.activation_range(op.attrs["activation"], y.scale, y.zero_point)))


def _einsum(op: Op, v: Arrays, t: Tensors, rounding: str) -> Array:
    return np.asarray(np.einsum(op.attrs["equation"], *(_wide(x) for x in v)))


def _per(x: Array | None, rows: bool) -> Array:
    """A scale or zero point that stretches over rows or columns of a matrix."""
    if x is None:
        return np.zeros((), np.int64)
    flat = x.reshape(-1)
    if flat.size == 1:
        return np.asarray(flat[0])
    return flat[:, None] if rows else flat


def _fp32(total: Array, a_scale: Array, b_scale: Array, y_scale: Array, zero: Array, dtype: str) -> Array:
    """int32 sums to codes: a float32 factor and product, halves to even."""
    info = np.iinfo(dtype)
    factor = a_scale.astype(np.float32) * b_scale.astype(np.float32) / y_scale.reshape(-1)[0].astype(np.float32)
    y = np.rint(wrap32(total).astype(np.float32) * factor)
    return np.asarray(np.clip(y.astype(np.float64) + int(zero.reshape(-1)[0]), info.min, info.max))


def _matmul_integer(op: Op, v: Arrays, t: Tensors, rounding: str) -> Array:
    a_zero, b_zero = (v[i] if len(v) > i else None for i in (2, 3))
    total = np.matmul(_wide(v[0]) - _wide(_per(a_zero, True)), _wide(v[1]) - _wide(_per(b_zero, False)))
    return np.asarray(wrap32(total))


def _qlinear_matmul(op: Op, v: Arrays, t: Tensors, rounding: str) -> Array:
    total = np.matmul(_wide(v[0]) - _wide(_per(v[2], True)), _wide(v[3]) - _wide(_per(v[5], False)))
    return _fp32(np.asarray(total), _per(v[1], True), _per(v[4], False), v[6], v[7], t[-1].dtype)


# --- windows --------------------------------------------------------------------------------------------------------


def _index(axes: Sequence[int | slice]) -> tuple[int | slice, ...]:
    """All of the first axis, then axes."""
    return (slice(None), *axes)


def _taps(op: Op, x: Array, kernel: tuple[int, ...], out: tuple[int, ...], fill: Any) -> Iterator[tuple[Any, Array]]:
    """For each tap of the window, in rows, the elements [N, O.., C] that it meets; fill outside the image."""
    strides, dilations = op.attrs["strides"], op.attrs["dilations"]
    reach = [(o - 1) * s + (k - 1) * d + 1 for o, s, k, d in zip(out, strides, kernel, dilations, strict=True)]
    pads = [(p[0], max(0, r - n - p[0])) for p, r, n in zip(op.attrs["pads"], reach, x.shape[1:-1], strict=True)]
    padded = np.pad(x, ((0, 0), *pads, (0, 0)), constant_values=fill)
    for tap in itertools.product(*(range(k) for k in kernel)):
        starts = [i * d for i, d in zip(tap, dilations, strict=True)]
        at = [slice(b, b + (o - 1) * s + 1, s) for b, o, s in zip(starts, out, strides, strict=True)]
        yield tap, padded[_index(at)]


def _conv_sum(op: Op, x: Array, w: Array, out: tuple[int, ...]) -> Array:
    groups = op.attrs["groups"]
    per_group, depth = w.shape[0] // groups, w.shape[-1]
    total = np.zeros((x.shape[0], *out, w.shape[0]), x.dtype)
    for tap, values in _taps(op, x, w.shape[1:-1], out, 0):
        for g in range(groups):
            rows = slice(g * per_group, (g + 1) * per_group)
            total[..., rows] += values[..., g * depth : (g + 1) * depth] @ w[rows][_index(tap)].T
    return total


def _quantized(op: Op, total: Array, v: Arrays, t: Tensors, rounding: str) -> Array:
    """int8 with constant scales: as conv2d."""
    x, w, y = t[0], t[1], t[-1]
    if len(v) > 2 and v[2] is not None:
        total = total + v[2].astype(np.int64)
    if rounding == "fp32":
        codes = qm.round_fp32(wrap32(total), qm.fp32_scales(x.scale, w.quant.scale, y.scale)) + y.zero_point
    else:
        factors = qm.quantize_multipliers(qm.channel_scales(x.scale, w.quant.scale, y.scale))
        codes = scale_twice_rounded(wrap32(total), *factors) + y.zero_point
    return np.asarray(np.clip(codes, *qm.activation_range(op.attrs["activation"], y.scale, y.zero_point)))


def _conv(op: Op, v: Arrays, t: Tensors, rounding: str) -> Array:
    x = _wide(v[0]) - (t[0].zero_point if t[0].dtype == "int8" else 0)
    total = _conv_sum(op, x, _wide(v[1]), t[-1].shape[1:-1])
    if t[0].dtype == "int8":
        return _quantized(op, total, v, t, rounding)
    return _activated(op, total if len(v) < 3 or v[2] is None else total + v[2])


def _deform_conv(op: Op, v: Arrays, t: Tensors, rounding: str) -> Array:
    """Each tap read between pixels, bilinearly; pixels outside the image are 0."""
    x, w, offset = (_wide(a) for a in v[:3])
    images, ho, wo, _ = t[-1].shape
    co, kh, kw, depth = w.shape
    taps, height, width = kh * kw, x.shape[1], x.shape[2]
    offset = offset.reshape(images, ho, wo, op.attrs["offset_groups"], taps, 2)
    mask = np.ones(offset.shape[:-1]) if len(v) < 5 or v[4] is None else _wide(v[4]).reshape(offset.shape[:-1])
    samples = np.zeros((images, ho, wo, taps, x.shape[3]))
    per_offset = x.shape[3] // op.attrs["offset_groups"]
    for n, oy, ox, g, tap in np.ndindex(*offset.shape[:-1]):
        row, column = (
            o * s - p[0] + i * d + shift
            for o, s, p, i, d, shift in zip(
                (oy, ox), op.attrs["strides"], op.attrs["pads"], divmod(tap, kw), op.attrs["dilations"],
                offset[n, oy, ox, g, tap], strict=True,
            )
        )  # fmt: skip
        channels = slice(g * per_offset, (g + 1) * per_offset)
        for r in (math.floor(row), math.floor(row) + 1):
            for k in (math.floor(column), math.floor(column) + 1):
                if 0 <= r < height and 0 <= k < width:
                    share = (1 - abs(row - r)) * (1 - abs(column - k)) * mask[n, oy, ox, g, tap]
                    samples[n, oy, ox, tap, channels] += share * x[n, r, k, channels]
    groups = op.attrs["groups"]
    parts = [
        np.einsum(
            "nhwtc,otc->nhwo",
            samples[..., g * depth : (g + 1) * depth],
            w[g * (co // groups) : (g + 1) * (co // groups)].reshape(co // groups, taps, depth),
        )
        for g in range(groups)
    ]
    total = np.concatenate(parts, axis=-1)
    return total if len(v) < 4 or v[3] is None else np.asarray(total + v[3])


def _conv_integer(op: Op, v: Arrays, t: Tensors, rounding: str) -> Array:
    zeros = [_wide(_per(v[i], False)) if len(v) > i and v[i] is not None else 0 for i in (2, 3)]
    w = np.moveaxis(np.moveaxis(_wide(v[1]), 0, -1) - zeros[1], -1, 0)
    return np.asarray(wrap32(_conv_sum(op, _wide(v[0]) - zeros[0], w, t[-1].shape[1:-1])))


def _qlinear_conv(op: Op, v: Arrays, t: Tensors, rounding: str) -> Array:
    w = np.moveaxis(np.moveaxis(_wide(v[3]), 0, -1) - _wide(_per(v[5], False)), -1, 0)
    total = _conv_sum(op, _wide(v[0]) - _wide(_per(v[2], False)), w, t[-1].shape[1:-1])
    if len(v) > 8 and v[8] is not None:
        total = total + v[8].astype(np.int64)
    return _fp32(total, _per(v[1], False), _per(v[4], False), v[6], v[7], t[-1].dtype)


def _conv_transpose(op: Op, v: Arrays, t: Tensors, rounding: str) -> Array:
    """Each pixel of x adds a window of products to the result."""
    x, w, out = _wide(v[0]) - (t[0].zero_point if t[0].dtype == "int8" else 0), _wide(v[1]), t[-1].shape[1:-1]
    groups, strides, dilations = op.attrs["groups"], op.attrs["strides"], op.attrs["dilations"]
    per_group, depth, size = w.shape[0] // groups, w.shape[-1], x.shape[1:-1]
    room = [
        max((n - 1) * s + (k - 1) * d + 1, o + p[0])
        for n, s, k, d, o, p in zip(size, strides, w.shape[1:-1], dilations, out, op.attrs["pads"], strict=True)
    ]
    full = np.zeros((x.shape[0], *room, w.shape[0]), x.dtype)
    for tap in itertools.product(*(range(k) for k in w.shape[1:-1])):
        starts = [i * d for i, d in zip(tap, dilations, strict=True)]
        at = [slice(b, b + (n - 1) * s + 1, s) for b, n, s in zip(starts, size, strides, strict=True)]
        for g in range(groups):
            rows = slice(g * per_group, (g + 1) * per_group)
            full[_index([*at, rows])] += x[..., g * depth : (g + 1) * depth] @ w[rows][_index(tap)].T
    total = full[_index([slice(p[0], p[0] + o) for p, o in zip(op.attrs["pads"], out, strict=True)])]
    if t[0].dtype == "int8":
        return _quantized(op, total, v, t, "tflite")
    return _activated(op, total if len(v) < 3 or v[2] is None else total + v[2])


def _avg_pool(op: Op, v: Arrays, t: Tensors, rounding: str) -> Array:
    out = t[-1].shape[1:-1]
    ones = np.ones_like(v[0], np.float64)
    if op.attrs["count_include_pad"]:
        ones = np.pad(ones, ((0, 0), *op.attrs["pads"], (0, 0)), constant_values=1.0)
        counted = Op(op.kind, op.name, [], [], {**op.attrs, "pads": ((0, 0),) * len(out)})
    else:
        counted = op
    total = sum(tap for _, tap in _taps(op, _wide(v[0]), op.attrs["kernels"], out, 0.0))
    return np.asarray(total / sum(tap for _, tap in _taps(counted, ones, op.attrs["kernels"], out, 0.0)))


def _lp_pool(op: Op, v: Arrays, t: Tensors, rounding: str) -> Array:
    p = op.attrs["exponent"]
    taps = _taps(op, np.abs(_wide(v[0])), op.attrs["kernels"], t[-1].shape[1:-1], 0.0)
    return np.asarray(np.asarray(sum(tap**p for _, tap in taps)) ** (1.0 / p))


def _max_pool(op: Op, v: Arrays, t: Tensors, rounding: str) -> Array | list[Array]:
    x, out = v[0], t[1].shape[1:-1]
    lowest = np.iinfo(x.dtype).min if x.dtype.kind in "iu" else -math.inf
    values = np.stack([tap for _, tap in _taps(op, _wide(x), op.attrs["kernels"], out, lowest)])
    if not op.attrs["indices"]:
        return np.asarray(values.max(axis=0))
    images, *size, channels = x.shape
    order = "F" if op.attrs["column_major"] else "C"
    places = np.arange(math.prod(size)).reshape(size, order=order)  # type: ignore[call-overload]
    numbers = np.arange(images * channels).reshape(images, *[1] * len(size), channels) * math.prod(size)
    numbers = numbers + places[..., None]
    taps = np.stack([tap for _, tap in _taps(op, numbers, op.attrs["kernels"], out, -1)])
    first = np.where(taps < 0, -math.inf, values.astype(np.float64)).argmax(axis=0)
    return [np.asarray(values.max(axis=0)), np.take_along_axis(taps, first[None], 0)[0]]


def _max_unpool(op: Op, v: Arrays, t: Tensors, rounding: str) -> Array:
    y = np.zeros(math.prod(op.attrs["shape"]), v[0].dtype)
    y[v[1].reshape(-1)] = v[0].reshape(-1)
    return y


# --- along an axis --------------------------------------------------------------------------------------------------


def log_softmax(op: Op, v: Arrays, t: Tensors, rounding: str) -> Array:
    x = _wide(v[0])
    d = x - x.max(axis=op.attrs["axis"], keepdims=True)
    return np.asarray(d - np.log(np.exp(d).sum(axis=op.attrs["axis"], keepdims=True)))


def _hardmax(op: Op, v: Arrays, t: Tensors, rounding: str) -> Array:
    axis = op.attrs["axis"] % v[0].ndim
    best = np.expand_dims(_wide(v[0]).argmax(axis=axis), axis)
    places = np.arange(v[0].shape[axis]).reshape([-1 if i == axis else 1 for i in range(v[0].ndim)])
    return np.asarray(places == best)


# --- recurrent cells ------------------------------------------------------------------------------------------------


def _activation(name: str, alpha: float, beta: float, x: Array) -> Array:
    with np.errstate(over="ignore"):
        table: dict[str, Any] = {
            "sigmoid": lambda: 1 / (1 + np.exp(-x)),
            "tanh": lambda: np.tanh(x),
            "relu": lambda: np.maximum(x, 0),
            "affine": lambda: alpha * x + beta,
            "leaky_relu": lambda: np.where(x < 0, alpha * x, x),
            "thresholded_relu": lambda: np.where(x > alpha, x, 0),
            "scaled_tanh": lambda: alpha * np.tanh(beta * x),
            "hard_sigmoid": lambda: np.clip(alpha * x + beta, 0, 1),
            "elu": lambda: np.where(x < 0, alpha * np.expm1(x), x),
            "softsign": lambda: x / (1 + np.abs(x)),
            "softplus": lambda: np.logaddexp(0, x),
        }
        return np.asarray(table[name]())


def _recurrent(op: Op, v: Arrays, t: Tensors, rounding: str) -> list[Array]:
    x, w, r = (_wide(a) for a in v[:3])
    bias, lengths, h0, c0, peepholes = [None if a is None else _wide(a) for a in v[3:]] + [None] * (8 - len(v))
    if op.attrs["batch_first"]:
        x = np.swapaxes(x, 0, 1)
        h0, c0 = (None if a is None else np.swapaxes(a, 0, 1) for a in (h0, c0))
    steps, batch, _ = x.shape
    directions, hidden, gates = r.shape[0], r.shape[2], RNN_GATES[op.kind]
    y, h_last = np.zeros((steps, directions, batch, hidden)), np.zeros((directions, batch, hidden))
    c_last = np.zeros_like(h_last)
    functions = {"rnn": 1, "gru": 2, "lstm": 3}[op.kind]
    for d in range(directions):

        def f(i: int, z: Array, d: int = d) -> Array:
            n = d * functions + i
            if i < 2:  # the sum of a gate
                z = np.clip(z, -op.attrs["clip"], op.attrs["clip"])
            return _activation(op.attrs["activations"][n], op.attrs["alphas"][n], op.attrs["betas"][n], z)

        bw, br = np.zeros((2, gates * hidden)) if bias is None else bias[d].reshape(2, -1)
        p = np.zeros((3, hidden)) if peepholes is None else peepholes[d].reshape(3, hidden)
        for b in range(batch):
            h = np.zeros(hidden) if h0 is None else h0[d, b].copy()
            c = np.zeros(hidden) if c0 is None else c0[d, b].copy()
            length = steps if lengths is None else min(max(int(lengths[b]), 0), steps)
            backward = op.attrs["direction"] == "reverse" or d == 1
            for s in range(length - 1, -1, -1) if backward else range(length):
                gx, gh = np.split(x[s, b] @ w[d].T + bw, gates), np.split(h @ r[d].T + br, gates)
                if op.kind == "rnn":
                    h = f(0, gx[0] + gh[0])
                elif op.kind == "gru":
                    z, reset = f(0, gx[0] + gh[0]), f(0, gx[1] + gh[1])
                    if op.attrs["linear_before_reset"]:
                        n = f(1, gx[2] + reset * gh[2])
                    else:
                        n = f(1, gx[2] + (reset * h) @ r[d, 2 * hidden :].T + br[2 * hidden :])
                    h = (1 - z) * n + z * h
                else:
                    i = f(0, gx[0] + gh[0] + p[0] * c)
                    forget = 1 - i if op.attrs["input_forget"] else f(0, gx[2] + gh[2] + p[2] * c)
                    c = forget * c + i * f(1, gx[3] + gh[3])
                    h = f(0, gx[1] + gh[1] + p[1] * c) * f(2, c)
                y[s, d, b] = h
            h_last[d, b], c_last[d, b] = h, c
    results = [y, h_last, c_last][: 3 if op.kind == "lstm" else 2]
    if op.attrs["batch_first"]:
        return [np.transpose(y, (2, 0, 1, 3)), *(np.swapaxes(a, 0, 1) for a in results[1:])]
    return results


RULES.update(
    {
        "matmul": _matmul,
        "einsum": _einsum,
        "matmul_integer": _matmul_integer,
        "qlinear_matmul": _qlinear_matmul,
        "conv": _conv,
        "deform_conv": _deform_conv,
        "conv_integer": _conv_integer,
        "qlinear_conv": _qlinear_conv,
        "conv_transpose": _conv_transpose,
        "avg_pool": _avg_pool,
        "lp_pool": _lp_pool,
        "max_pool": _max_pool,
        "max_unpool": _max_unpool,
        "log_softmax": log_softmax,
        "hardmax": _hardmax,
        "rnn": _recurrent,
        "gru": _recurrent,
        "lstm": _recurrent,
    }
)
