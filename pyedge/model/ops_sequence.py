"""Kinds of TFLite's recurrent operators. What they keep from run to run goes in and out, as the value of a state.

| kind | inputs -> outputs | attributes |
|---|---|---|
| lstm_sequence | x[B,T,I] w[4,H,I] r[4,H,H] bias[4,H] h[B,H] c[B,H] -> y[B,T,H] h c | time_major, cell_clip |
| svdf | x[B,I] feature[F,I] time[F,M] bias[U] or None state[B,F*M] -> y[B,U] state, U = F / rank | rank, activation |

lstm_sequence: gates in the order input, forget, cell, output; time_major: x[T,B,I], y[T,B,H]; cell_clip bounds the
cell, infinity for no bound. All float32; or x, w, r, h and y int8, bias int32, c int16 of a scale 2^n, and one scale
of w and of r for each gate, along axis 0; or x, h and y int16 with zero point 0 and bias int64. svdf: all float32; or
x, feature and y int8, bias int32, time and state both int8 or int16. The state holds the last M results of each
filter's feature vector, the newest last.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from ..errors import ModelError
from . import quantmath as qm
from .check import CODES_ONLY, INT16_CODES
from .graph import Op, Tensor
from .ops import ATTRS, KINDS, MAX_EXTENT, Kind, Operands, Result, Shape, is_int, is_real, misfit, need
from .quantmath_int16 import Factor, wide_factor

GATES = 4  # of an LSTM: input, forget, cell, output
GATE_SCALE = 2.0**-12  # of a gate's sums
_ONE = 2.0**-15  # scale of what gates and tanh give
_BIASES = {"float32": "float32", "int8": "int32", "int16": "int64"}  # dtype of x -> of the biases of an LSTM


def _expect(op: Op, t: Tensor, dtype: str, shape: Shape) -> None:
    fits = len(t.shape) == len(shape) and all(
        a is None or b is None or a == b for a, b in zip(t.shape, shape, strict=True)
    )
    if t.dtype != dtype or not fits:
        raise misfit(op, t, f"{dtype}[{', '.join('?' if d is None else str(d) for d in shape)}]")


def _lstm_sequence(op: Op, operands: Operands) -> list[Result]:
    x, w, r, bias, h, c = (need(op, operands, i) for i in range(6))
    if len(x.shape) != 3 or x.dtype not in _BIASES:
        raise misfit(op, x, "float32, int8 or int16 [B, T, I]")
    if len(h.shape) != 2:
        raise misfit(op, h, f"{x.dtype} [B, H]")
    hidden, batch = h.shape[1], x.shape[1 if op.attrs["time_major"] else 0]
    is_float = x.dtype == "float32"
    _expect(op, w, "float32" if is_float else "int8", (GATES, hidden, x.shape[2]))
    _expect(op, r, w.dtype, (GATES, hidden, hidden))
    _expect(op, bias, _BIASES[x.dtype], (GATES, hidden))
    _expect(op, h, x.dtype, (batch, hidden))
    _expect(op, c, "float32" if is_float else "int16", h.shape)
    return [((*x.shape[:2], hidden), x.dtype), (h.shape, h.dtype), (c.shape, c.dtype)]


def _svdf(op: Op, operands: Operands) -> list[Result]:
    x, feature, time, state = (need(op, operands, i) for i in (0, 1, 2, 4))
    rank = op.attrs["rank"]
    if len(x.shape) != 2 or x.dtype not in ("float32", "int8"):
        raise misfit(op, x, "float32 or int8 [B, I]")
    if len(feature.shape) != 2 or feature.shape[0] is None or feature.shape[0] % rank:
        raise misfit(op, feature, f"[F, I] with F a multiple of the rank {rank}")
    filters = feature.shape[0]
    if len(time.shape) != 2 or time.shape[1] is None:
        raise misfit(op, time, "[F, M]")
    is_float = x.dtype == "float32"
    if state.dtype not in (("float32",) if is_float else ("int8", "int16")):
        raise misfit(op, state, "float32" if is_float else "int8 or int16")
    _expect(op, feature, x.dtype, (filters, x.shape[1]))
    _expect(op, time, state.dtype, (filters, time.shape[1]))
    _expect(op, state, state.dtype, (x.shape[0], filters * time.shape[1]))
    if operands[3] is not None:
        _expect(op, operands[3], "float32" if is_float else "int32", (filters // rank,))
    return [((x.shape[0], filters // rank), x.dtype), (state.shape, state.dtype)]


ATTRS["time_major"] = (lambda v: isinstance(v, bool), "a bool")
ATTRS["cell_clip"] = (lambda v: is_real(v) and v > 0, "a number > 0, or infinity")
ATTRS["rank"] = (lambda v: is_int(v, 1, MAX_EXTENT), "an integer >= 1")
KINDS["lstm_sequence"] = Kind(6, ("time_major", "cell_clip"), _lstm_sequence)
KINDS["svdf"] = Kind(5, ("rank", "activation"), _svdf)
CODES_ONLY |= {"lstm_sequence", "svdf"}  # their scales are checked below
INT16_CODES.add("lstm_sequence")


# --- int8 -----------------------------------------------------------------------------------------------------------


def _scale(t: Tensor) -> float:
    if t.scale is None or not t.scale > 0:
        raise ModelError(f"tensor {t.name!r} needs one scale above 0 and a zero point")
    return t.scale


def _same(a: Tensor, b: Tensor) -> None:
    if _scale(a) != _scale(b) or a.zero_point != b.zero_point:
        raise ModelError(f"tensors {a.name!r} and {b.name!r} differ in scale or zero point")


def _gate_factors(x: Tensor, w: Tensor) -> list[qm.Multiplier] | list[Factor]:
    q = w.quant
    if q is None or q.scale.size != GATES or q.axis != 0 or q.zero_point.any():
        raise ModelError(f"weight {w.name!r} needs a scale for each gate and zero point 0")
    factors = [float(qm.linear_scales(_scale(x), s, GATE_SCALE)[0]) for s in q.scale]
    return [wide_factor(f) for f in factors] if x.dtype == "int16" else [qm.quantize_multiplier(f) for f in factors]


class LstmNumbers:
    """Integer parameters of an lstm_sequence of int8 or int16 (TFLM's PrepareGateParametersInteger and LstmStep).

    tensors: the six operands, then the results. Raises ModelError, which names no op, for scales that don't fit.
    """

    def __init__(self, op: Op, tensors: Sequence[Tensor]) -> None:
        x, w, r, _, h, c, y = tensors[:7]
        _same(h, y)
        _same(h, tensors[7])
        _same(c, tensors[8])
        self.x, self.h = _gate_factors(x, w), _gate_factors(h, r)
        self.x_zero_point, self.h_zero_point = int(x.zero_point or 0), int(h.zero_point or 0)
        if x.dtype == "int16" and (self.x_zero_point or self.h_zero_point):
            raise ModelError(f"int16 tensors {x.name!r} and {h.name!r} need zero point 0")
        cell, hidden = float(np.float32(_scale(c))), float(np.float32(_scale(h)))
        exponent = round(math.log2(cell))
        if abs(math.log2(cell) - exponent) > 1e-3 or c.zero_point != 0 or not -27 <= exponent <= 1:
            raise ModelError(
                f"the cell {c.name!r} needs zero point 0 and a scale that is a power of two"
                f" from 2^-27 to 2, it has {cell:g}"
            )
        self.forget = qm.quantize_multiplier(_ONE * cell / cell)
        self.input = qm.quantize_multiplier(_ONE * _ONE / cell)
        self.output = qm.quantize_multiplier(_ONE * _ONE / hidden)
        self.tanh_multiplier, self.tanh_shift = 3 << max(exponent + 12, 0), max(-12 - exponent, 0)
        bound = op.attrs["cell_clip"]
        self.clip = 2**15 if bound == math.inf else int(min(float(np.float32(bound)) / cell, 2.0**15 - 1))


class SvdfNumbers:
    """Integer parameters of an int8 svdf (TFLM's PrepareSvdf).

    tensors: the five operands, then the results. Raises ModelError, which names no op, for scales that don't fit.
    """

    def __init__(self, tensors: Sequence[Tensor]) -> None:
        x, feature, time, _, state, y = tensors[:6]
        _same(state, tensors[6])
        for t in (feature, time):
            if t.zero_point != 0:
                raise ModelError(f"weight {t.name!r} needs one scale and zero point 0")
        of_x, of_feature, of_state, of_time, of_y = (_scale(t) for t in (x, feature, state, time, y))
        self.state = qm.quantize_multiplier(of_x * of_feature / of_state)
        self.y = qm.quantize_multiplier(of_state * of_time / of_y)
        self.x_zero_point, self.state_zero_point = int(x.zero_point or 0), int(state.zero_point or 0)
        self.y_zero_point = int(y.zero_point or 0)
