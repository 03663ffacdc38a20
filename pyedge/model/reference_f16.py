"""NumPy references of the kinds of ops_f16.py, to the bit, in both modes (docs/arithmetic.md, "float16")."""

from __future__ import annotations

import numpy as np

from . import quantmath as qm
from .graph import Op
from .reference import BY_MODE, RULES, Arrays, Tensors, _taps

_RUN = 32  # products whose sum is float16 in fast16


def _fma32(x: np.ndarray, w: np.ndarray, c: np.ndarray) -> np.ndarray:
    """x * w + c of float32, rounded once. The product is exact in a double; the sum is rounded to odd (Boldo and
    Melquiond 2008), so that its rounding to float32 is the only one that counts."""
    product, addend = x.astype(np.float64) * w, c.astype(np.float64)
    total = np.asarray(product + addend)
    part = total - product
    error = (product - (total - part)) + (addend - part)
    bits = total.view(np.int64)
    odd = (bits - ((error < 0) != (total < 0))) | 1
    return np.where(np.nan_to_num(error) != 0, odd, bits).view(np.float64).astype(np.float32)


def _fma16(x: np.ndarray, w: np.ndarray, c: np.ndarray) -> np.ndarray:
    """x * w + c of float16, rounded once.

    Where the sum is not exact in a double, x * w is below 2^-29 of c, or the result is infinite.
    """
    return np.asarray(x.astype(np.float64) * w + c.astype(np.float64)).astype(np.float16)


def _dot(x: np.ndarray, w: np.ndarray, bias: np.ndarray | float, mode: str) -> np.ndarray:
    """Sums over the last axis of x[..., K] and w[..., K], which broadcast, in ascending order; float32."""
    acc = np.broadcast_to(np.float32(bias), np.broadcast_shapes(x.shape, w.shape)[:-1]).astype(np.float32)
    if mode == "exact":
        for k in range(x.shape[-1]):
            acc = _fma32(x[..., k], w[..., k], acc)
        return acc
    x = x.astype(np.float16)
    for first in range(0, x.shape[-1], _RUN):
        run = np.zeros(acc.shape, np.float16)
        for k in range(first, min(first + _RUN, x.shape[-1])):
            run = _fma16(x[..., k], w[..., k], run)
        acc = acc + run.astype(np.float32)
    return acc


def _f16(op: Op, v: Arrays, t: Tensors, mode: str) -> np.ndarray:
    x, w = v[0], v[1]
    bias = v[2] if len(v) > 2 and v[2] is not None else 0.0
    if op.kind == "linear_f16":
        y = _dot(x.reshape(-1, 1, w.shape[1]), w, bias, mode)
    elif op.kind == "depthwise_conv2d_f16":
        repeated = np.repeat(x, w.shape[2] // x.shape[3], axis=3)
        taps = _taps(op, repeated, (w.shape[0], w.shape[1]), t[-1], 0.0)
        y = _dot(np.stack(list(taps.values()), axis=-1), np.moveaxis(w.reshape(-1, w.shape[2]), 0, -1), bias, mode)
    else:
        groups, channels, depth = op.attrs["groups"], w.shape[0], w.shape[3]
        taps = _taps(op, x, (w.shape[1], w.shape[2]), t[-1], 0.0)
        seen = np.stack([tap.reshape(*tap.shape[:3], groups, depth) for tap in taps.values()], axis=-2)
        seen = seen.reshape(*seen.shape[:4], 1, -1)
        biases = np.broadcast_to(bias, channels).reshape(groups, -1)
        y = _dot(seen, w.reshape(groups, channels // groups, -1), biases, mode)
    return np.asarray(np.clip(y, *map(np.float32, qm.ACTIVATION_RANGES[op.attrs["activation"]])))


for _kind in ("conv2d", "depthwise_conv2d", "linear"):
    RULES[f"{_kind}_f16"] = _f16
    BY_MODE.add(f"{_kind}_f16")
