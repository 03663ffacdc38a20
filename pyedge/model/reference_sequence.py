"""NumPy references of the kinds of ops_sequence.py; of int8 to the bit, after TFLite's integer reference kernels."""

from __future__ import annotations

import numpy as np

from .fixed_point import Ints, scale_twice_rounded, wrap32
from .graph import Op
from .ops_sequence import GATES, LstmNumbers, SvdfNumbers
from .quantmath import Multiplier
from .quantmath_int16 import Factor, sigmoid_table
from .reference import RULES, Arrays, Tensors, _f_activation

_TABLE = sigmoid_table().astype(np.int64)


def _argument(x: Ints, multiplier: int, shift: int) -> Ints:
    return np.asarray((x * multiplier + ((1 << shift) >> 1)) >> shift)


def _interpolated(a: Ints, bits: int) -> Ints:
    i = np.minimum(np.abs(a) >> bits, 254)
    return np.asarray((_TABLE[i] << bits) + (np.abs(a) & ((1 << bits) - 1)) * (_TABLE[i + 1] - _TABLE[i]))


def logistic_s16(x: Ints, multiplier: int = 3, shift: int = 0) -> Ints:
    """The logistic function of int16, Q0.15 (reference_integer_ops::Logistic); by default of scale 2^-12."""
    a = _argument(x, multiplier, shift)
    y = np.where(np.abs(a) >> 9 >= 255, 0x7FFF << 10, _interpolated(a, 9))
    return np.asarray(np.where(a >= 0, y + (1 << 9), (1 << 25) - y + (1 << 9) - 1) >> 10)


def tanh_s16(x: Ints, multiplier: int = 3, shift: int = 0) -> Ints:
    """tanh of int16, Q0.15 (reference_integer_ops::Tanh); by default of scale 2^-12."""
    a = _argument(x, multiplier, shift)
    y = np.where(np.abs(a) >> 8 >= 255, 0xFFFF << 8, _interpolated(a, 8)) - (1 << 23)
    return np.asarray((np.where(a >= 0, y, -y - 1) + (1 << 7)) >> 8)


def _s16(x: Ints) -> Ints:
    return np.clip(x, -(2**15), 2**15 - 1)


def _scale_sum(x: Ints, factor: Multiplier | Factor, wide: bool) -> Ints:
    """To int16; wide: of 64 bits, rounded once, halves up."""
    if wide:
        return _s16((x * factor.multiplier + ((1 << factor.shift) >> 1)) >> factor.shift)
    return _s16(scale_twice_rounded(wrap32(x), *factor))


def _lstm_step(
    p: LstmNumbers, wide: bool, x: Ints, h: Ints, c: Ints, w: Ints, r: Ints, bias: Ints
) -> tuple[Ints, Ints]:
    """One step of all sequences: x [B, I], h and c [B, H]. wide: x and h are int16."""
    gates = []
    for g in range(GATES):
        total = _scale_sum((x - p.x_zero_point) @ w[g].T + bias[g], p.x[g], wide)
        total = total + _scale_sum((h - p.h_zero_point) @ r[g].T, p.h[g], wide)
        gates.append((tanh_s16 if g == 2 else logistic_s16)(_s16(total)))
    fresh = _s16(scale_twice_rounded(gates[0] * gates[2], *p.input))
    kept = _s16(scale_twice_rounded(gates[1] * c, *p.forget))
    c = _s16(np.clip(_s16(kept + fresh), -p.clip, p.clip))
    y = scale_twice_rounded(gates[3] * tanh_s16(c, p.tanh_multiplier, p.tanh_shift), *p.output)
    return _s16(y) if wide else np.clip(y + p.h_zero_point, -128, 127), c


def _lstm_step_f32(
    clip: float, x: np.ndarray, h: np.ndarray, c: np.ndarray, w: np.ndarray, r: np.ndarray, bias: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    sums = [x @ w[g].T + h @ r[g].T + bias[g] for g in range(GATES)]
    i, f, o = (1 / (1 + np.exp(-sums[g])) for g in (0, 1, 3))
    c = np.clip(f * c + i * np.tanh(sums[2]), -clip, clip)
    return o * np.tanh(c), c


def _lstm_sequence(op: Op, v: Arrays, t: Tensors, rounding: str) -> list[np.ndarray]:
    quantized = t[0].dtype != "float32"
    x, w, r, bias, h, c = (a.astype(np.int64 if quantized else np.float64) for a in v)
    numbers = LstmNumbers(op, t) if quantized else None
    outputs = []
    for frame in x if op.attrs["time_major"] else x.swapaxes(0, 1):
        if numbers is not None:
            h, c = _lstm_step(numbers, t[0].dtype == "int16", frame, h, c, w, r, bias)
        else:
            h, c = _lstm_step_f32(op.attrs["cell_clip"], frame, h, c, w, r, bias)
        outputs.append(h)
    return [np.stack(outputs, axis=0 if op.attrs["time_major"] else 1), h, c]


def _svdf(op: Op, v: Arrays, t: Tensors, rounding: str) -> list[np.ndarray]:
    quantized = t[0].dtype == "int8"
    wide = np.int64 if quantized else np.float64
    x, feature, time, state = (v[i].astype(wide) for i in (0, 1, 2, 4))
    filters, memory = time.shape
    newest = np.asarray((x - (t[0].zero_point or 0 if quantized else 0)) @ feature.T)
    if quantized:
        p = SvdfNumbers(t)
        info = np.iinfo(t[4].dtype)
        newest = np.clip(scale_twice_rounded(wrap32(newest), *p.state), info.min, info.max) + p.state_zero_point
        newest = newest.astype(t[4].dtype).astype(np.int64)  # the sum wraps
    lines = np.concatenate([state.reshape(-1, filters, memory)[:, :, 1:], newest[:, :, None]], axis=2)
    values = lines - (p.state_zero_point if quantized else 0)
    total = (values * time).sum(axis=2).reshape(len(x), -1, op.attrs["rank"]).sum(axis=2)
    total = total if v[3] is None else total + v[3].astype(wide)
    if quantized:
        y = np.clip(scale_twice_rounded(wrap32(total), *p.y) + p.y_zero_point, -128, 127)
    else:
        y = _f_activation(op, total)
    return [y, lines.reshape(state.shape)]


RULES["lstm_sequence"] = _lstm_sequence
RULES["svdf"] = _svdf
