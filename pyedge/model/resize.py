"""Resize as one weighted sum for each output element, axis by axis: which elements, and their weights.

Any mode of ONNX's Resize is separable, so a table of indices and weights for each axis says all of it. A mode "nearest"
has one tap of weight 1, which is a gather. int8 has TFLite's bilinear kernel in fixed point.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from .graph import Op

MODES = ("nearest", "linear", "cubic")
COORDINATES = (
    *("half_pixel", "half_pixel_symmetric", "pytorch_half_pixel", "align_corners", "asymmetric"),
    "tf_crop_and_resize",
)
NEAREST = ("round_prefer_floor", "round_prefer_ceil", "floor", "ceil")
INTEGER_BITS = 10  # of a weight of int8 along one axis


@dataclass(frozen=True)
class Taps:
    """y[j] along an axis = sum over t of weight[j, t] * x[index[j, t]]. outside: positions j beyond x, or None."""

    index: np.ndarray  # int32 [m, taps], inside the axis
    weight: np.ndarray  # float64 or, for int8, int32 [m, taps]
    outside: np.ndarray | None = None  # bool [m]


def taps(op: Op, axis: int, n: int, integer: bool = False) -> Taps | None:
    """The table of one axis of n elements; None where the axis stays as it is."""
    a = op.attrs
    m, scale = a["sizes"][axis], a["scales"][axis]
    if m == -1:
        return None
    crop = a["coordinates"] == "tf_crop_and_resize"
    rank = len(a["sizes"])
    if m == n and scale == 1 and (not crop or (a["roi"][axis], a["roi"][rank + axis]) == (0, 1)):
        return None
    if integer and a["mode"] == "linear":
        return _integer_linear(a["coordinates"], n, m)
    x = _coordinates(a["coordinates"], n, m, scale, (a["roi"][axis], a["roi"][rank + axis]) if crop else (0.0, 1.0))
    outside = (x < 0) | (x > n - 1) if crop else None
    if a["mode"] == "nearest":
        return Taps(_nearest(a["nearest"], x, n)[:, None], np.ones((m, 1)), outside)
    index, weight = _weights(a["mode"], x, min(scale, 1.0) if a["antialias"] else 1.0, a["cubic_coeff"])
    if a["exclude_outside"]:
        weight = np.where((index < 0) | (index >= n), 0.0, weight)
        weight = weight / weight.sum(axis=1, keepdims=True)
    return Taps(np.clip(index, 0, n - 1).astype(np.int32), weight, outside)


def _coordinates(mode: str, n: int, m: int, scale: float, roi: tuple[float, float]) -> np.ndarray:
    """Where each output element lies on the input's axis, float64 [m]."""
    j = np.arange(m, dtype=np.float64)
    if mode == "align_corners":
        last = scale * n - 1  # of the size that the scale means, which need not be whole
        return j * (n - 1) / last if m > 1 else j
    if mode == "asymmetric":
        return j / scale
    if mode == "tf_crop_and_resize":
        start, end = roi
        return start * (n - 1) + j * (end - start) * (n - 1) / (m - 1) if m > 1 else (start + end) * (n - 1) / 2 + j
    if mode == "pytorch_half_pixel" and m == 1:
        return np.full(1, -0.5)
    x = (j + 0.5) / scale - 0.5
    if mode == "half_pixel_symmetric":
        return n / 2 * (1 - m / (scale * n)) + x
    return x


def _nearest(mode: str, x: np.ndarray, n: int) -> np.ndarray:
    rounded = {
        "round_prefer_floor": np.ceil(x - 0.5),
        "round_prefer_ceil": np.floor(x + 0.5),
        "floor": np.floor(x),
        "ceil": np.ceil(x),
    }[mode]
    return np.asarray(np.clip(rounded, 0, n - 1), np.int32)


def _weights(mode: str, x: np.ndarray, stretch: float, a: float) -> tuple[np.ndarray, np.ndarray]:
    """Indices, not yet clamped, and weights of the taps around x. stretch < 1 widens the kernel (antialias)."""
    reach = 1 if mode == "linear" else 2
    if stretch == 1.0:  # the element at or before x, and its neighbors
        index = np.floor(x)[:, None] + np.arange(1 - reach, reach + 1)
        return index.astype(np.int64), _kernel(mode, x[:, None] - index, a)
    width = math.ceil(reach / stretch)
    index = np.floor(x)[:, None] + np.arange(-width, width + 1)
    weight = _kernel(mode, (x[:, None] - index) * stretch, a)
    return index.astype(np.int64), weight / weight.sum(axis=1, keepdims=True)


def _kernel(mode: str, distance: np.ndarray, a: float) -> np.ndarray:
    d = np.abs(distance)
    if mode == "linear":
        return np.asarray(np.maximum(1 - d, 0))
    near = (a + 2) * d**3 - (a + 3) * d**2 + 1
    far = a * d**3 - 5 * a * d**2 + 8 * a * d - 4 * a
    return np.where(d <= 1, near, np.where(d < 2, far, 0.0))


def _integer_linear(mode: str, n: int, m: int) -> Taps:
    """Weights in steps of 2^-10, as TFLite's ResizeBilinearInteger. C division cuts off towards zero."""
    one = 1 << INTEGER_BITS
    last = 1 if mode == "align_corners" and m > 1 else 0  # from corner to corner there is one step less
    step = (one * (n - last) + (m - last) // 2) // (m - last)
    at = np.arange(m, dtype=np.int64) * step
    if mode == "half_pixel":
        at += step // 2 - one // 2
    low = np.maximum(at // one, 0)
    high = np.minimum((at + one - 1) // one, n - 1)
    fraction = at - one * low
    low = np.minimum(low, n - 1)
    index, weight = np.stack([low, high], axis=1), np.stack([one - fraction, fraction], axis=1)
    return Taps(index.astype(np.int32), weight.astype(np.int32))
