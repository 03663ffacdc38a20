"""References of the kinds of ops_signal.py: the arithmetic of TFLite Micro's signal library and of KISS FFT.

Integer results are exact; the float transforms are NumPy's, in double.
"""

from __future__ import annotations

import math

import numpy as np

from .fixed_point import Ints
from .graph import Op
from .ops_signal import fft_table
from .reference import RULES, Arrays, Rule, Tensors

Complex = tuple[Ints, Ints]  # real and imaginary parts


def _frames(op: Op, v: Arrays, t: Tensors, rounding: str) -> np.ndarray:
    windows = np.lib.stride_tricks.sliding_window_view(v[0], op.attrs["size"], axis=-1)
    return np.asarray(windows[..., :: op.attrs["step"], :])


def _window(op: Op, v: Arrays, t: Tensors, rounding: str) -> np.ndarray:
    return np.asarray(np.clip((v[0].astype(np.int64) * v[1]) >> op.attrs["shift"], -(2**15), 2**15 - 1))


def _auto_scale(op: Op, v: Arrays, t: Tensors, rounding: str) -> list[np.ndarray]:
    """The largest magnitude is found in int16, where that of -32768 is -32768; then any later element is larger."""
    x = v[0].astype(np.int64)
    largest = 0
    for e in x.reshape(-1).tolist():
        largest = e if e > largest else -e if -e > largest else largest
        largest = -(2**15) if largest == 2**15 else largest
    bits = max(15 - largest.bit_length(), 0) if largest > 0 else 0
    return [np.asarray(x << bits).astype(np.int16), np.array(bits)]


# --- transforms of integers -----------------------------------------------------------------------------------------


class _Fixed:
    """Fixed-point numbers of a dtype: sums wrap, products are rounded halves up."""

    def __init__(self, dtype: str) -> None:
        self.dtype = np.dtype(dtype)
        self.top = int(np.iinfo(self.dtype).max)
        self.fraction = self.top.bit_length()

    def wrap(self, x: np.ndarray) -> Ints:
        return x.astype(self.dtype).astype(np.int64)

    def rounded(self, x: np.ndarray) -> Ints:
        return self.wrap((x + (1 << (self.fraction - 1))) >> self.fraction)

    def shrink(self, a: Complex, k: int) -> Complex:
        return self.rounded(a[0] * (self.top // k)), self.rounded(a[1] * (self.top // k))

    def add(self, a: Complex, b: Complex) -> Complex:
        return self.wrap(a[0] + b[0]), self.wrap(a[1] + b[1])

    def sub(self, a: Complex, b: Complex) -> Complex:
        return self.wrap(a[0] - b[0]), self.wrap(a[1] - b[1])

    def mul(self, a: Complex, b: Complex) -> Complex:
        return self.rounded(a[0] * b[0] - a[1] * b[1]), self.rounded(a[0] * b[1] + a[1] * b[0])

    def conj(self, a: Complex) -> Complex:
        return a[0], self.wrap(-a[1])

    def transform(self, z: Complex, table: np.ndarray, inverse: bool) -> Complex:
        """Decimation in time, radix 4 first: the transform of each residue class, then butterflies over all of them."""
        m = z[0].shape[-1]
        if m == 1:
            return z
        radix = 2 if m % 4 else 4
        step = len(table) // m
        parts = [
            self.transform((z[0][..., q::radix], z[1][..., q::radix]), table, inverse) for q in range(radix)
        ]  # fmt: skip
        factor = [table[np.arange(m // radix) * step * q].T for q in range(radix)]
        turned = [self.shrink(p, radix) for p in parts]
        turned[1:] = [self.mul(p, (f[0], f[1])) for p, f in zip(turned[1:], factor[1:], strict=True)]
        if radix == 2:
            found = [self.add(*turned), self.sub(*turned)]
        else:
            a, b, c, d = turned
            even, odd, both = self.add(a, c), self.sub(a, c), self.add(b, d)
            quarter = self.sub(b, d)
            quarter = (-quarter[1], quarter[0]) if inverse else (quarter[1], -quarter[0])
            found = [self.add(even, both), self.add(odd, quarter), self.sub(even, both), self.sub(odd, quarter)]
        return np.concatenate([f[0] for f in found], -1), np.concatenate([f[1] for f in found], -1)

    def split(self, a: Complex, mirrored: Complex, table: np.ndarray) -> tuple[Complex, Complex]:
        """Even and odd part of elements 1 .. m / 2 and of those that mirror them."""
        first, second = self.shrink(a, 2), self.shrink(self.conj(mirrored), 2)
        return self.add(first, second), self.mul(self.sub(first, second), (table[:, 0], table[:, 1]))


def _halves(x: Ints, m: int) -> tuple[Ints, Ints]:
    """Elements 1 .. m / 2 along the last axis, and m - 1 down to m / 2."""
    return x[..., 1 : m // 2 + 1], x[..., m - 1 : m // 2 - 1 : -1]


def _rfft(op: Op, v: Arrays, t: Tensors, rounding: str) -> np.ndarray:
    length = op.attrs["length"]
    x = np.concatenate([v[0], np.zeros((*v[0].shape[:-1], length - v[0].shape[-1]), v[0].dtype)], -1)
    if x.dtype == np.float32:
        y = np.fft.rfft(x.astype(np.float64), axis=-1)
        return np.stack([y.real, y.imag], -1)
    m, n = length // 2, _Fixed(str(x.dtype))
    table = fft_table(length, str(x.dtype), False).astype(np.int64)
    x = x.astype(np.int64)
    z = n.transform((x[..., ::2], x[..., 1::2]), table[:m], False)
    (re, mirrored_re), (im, mirrored_im) = _halves(z[0], m), _halves(z[1], m)
    even, odd = n.split((re, im), (mirrored_re, mirrored_im), table[m:])
    y = np.zeros((*x.shape[:-1], m + 1, 2), np.int64)
    first = n.shrink((z[0][..., 0], z[1][..., 0]), 2)
    y[..., 0, 0], y[..., m, 0] = n.wrap(first[0] + first[1]), n.wrap(first[0] - first[1])
    # int16 is added in 32 bits before it is halved, int32 in 32 as well
    low, high = np.int32(even[0] + odd[0]) >> 1, np.int32(even[1] + odd[1]) >> 1
    y[..., 1 : m // 2 + 1, :] = np.stack([low, high], -1)
    low, high = np.int32(even[0] - odd[0]) >> 1, np.int32(odd[1] - even[1]) >> 1
    y[..., m - 1 : m // 2 - 1 : -1, :] = np.stack([low, high], -1)
    return y


def _irfft(op: Op, v: Arrays, t: Tensors, rounding: str) -> np.ndarray:
    pairs = v[0].reshape(*v[0].shape[:-1], -1, 2)
    m = pairs.shape[-2] - 1
    if v[0].dtype == np.float32:
        spectrum = pairs[..., 0].astype(np.float64) + 1j * pairs[..., 1].astype(np.float64)
        return np.asarray(np.fft.irfft(spectrum, 2 * m, axis=-1))
    n = _Fixed(str(v[0].dtype))
    table = fft_table(2 * m, str(v[0].dtype), True).astype(np.int64)
    re, im = pairs[..., 0].astype(np.int64), pairs[..., 1].astype(np.int64)
    (a_re, b_re), (a_im, b_im) = _halves(re, m), _halves(im, m)
    even, odd = n.split((a_re, a_im), (b_re, b_im), table[m:])
    z = np.zeros((2, *re.shape[:-1], m), np.int64)
    first = n.shrink((n.wrap(re[..., 0] + re[..., m]), n.wrap(re[..., 0] - re[..., m])), 2)
    z[0][..., 0], z[1][..., 0] = first
    z[0][..., 1 : m // 2 + 1], z[1][..., 1 : m // 2 + 1] = n.add(even, odd)
    z[0][..., m - 1 : m // 2 - 1 : -1], z[1][..., m - 1 : m // 2 - 1 : -1] = n.conj(n.sub(even, odd))
    y = n.transform((z[0], z[1]), table[:m], True)
    return np.stack(y, -1)


# --- the front end --------------------------------------------------------------------------------------------------


def _energy(op: Op, v: Arrays, t: Tensors, rounding: str) -> np.ndarray:
    pairs = v[0].astype(np.int64).reshape(-1, 2)
    y = (pairs * pairs).sum(1)
    index = np.arange(y.size)
    return np.asarray(np.where((index >= op.attrs["start"]) & (index < op.attrs["end"]), y, 0))


def _filter_bank(op: Op, v: Arrays, t: Tensors, rounding: str) -> np.ndarray:
    """Python's numbers; integers are taken modulo 2^64 at the end."""
    x, weights, unweights = (a.tolist() for a in v[:3])
    sums, below = [], 0
    for start, tap, width in zip(*(a.tolist() for a in v[3:]), strict=True):
        taps = [j for j in range(width) if 0 <= start + j < len(x) and 0 <= tap + j < len(weights)]
        sums.append(below + sum(weights[tap + j] * x[start + j] for j in taps))
        below = sum(unweights[tap + j] * x[start + j] for j in taps)
    if v[0].dtype == np.float32:
        return np.array(sums[1:])
    return np.array([s % 2**64 for s in sums[1:]], np.uint64)


def _square_root(op: Op, v: Arrays, t: Tensors, rounding: str) -> np.ndarray:
    def root(x: int) -> int:
        found = math.isqrt(x)
        largest = 2**16 - 1 if x < 2**32 else 2**32 - 1
        return found + (x - found * found > found and found != largest)

    return np.array([root(x) >> (int(v[1]) & 31) for x in v[0].reshape(-1).tolist()], np.uint32)


def _spectral_subtraction(op: Op, v: Arrays, t: Tensors, rounding: str) -> list[np.ndarray]:
    a, (x, noise) = op.attrs, (u.astype(np.uint64) for u in v)
    odd = np.arange(x.size).reshape(x.shape) % 2
    signal = (x << np.uint64(a["smoothing_bits"])) & np.uint64(2**32 - 1)
    smoothing, keep = (np.array(a[name], np.uint64)[odd] for name in ("smoothing", "keep"))
    estimate = ((signal * smoothing + noise * keep) >> np.uint64(a["bits"])) & np.uint64(2**32 - 1)
    subtracted = (signal - np.minimum(estimate, signal)) >> np.uint64(a["smoothing_bits"])
    least = ((x * np.uint64(a["min_remaining"])) >> np.uint64(a["bits"])) & np.uint64(2**32 - 1)
    return [np.maximum(subtracted, least), np.minimum(estimate, signal) if a["clamping"] else estimate]


def _gain(noise: int, gains: list[int]) -> int:
    """A parabola on each interval between powers of 2: three numbers at 4 * its number."""
    if noise <= 2:
        return gains[noise]
    length = noise.bit_length()
    start, slope, bend = gains[4 * length - 6 : 4 * length - 3]
    fraction = (noise << 11 >> length) & 0x3FF
    rise = (((bend * fraction) >> 5) + (slope << 5)) * fraction
    rise = int(np.array(rise + (1 << 14)).astype(np.int32)) >> 15
    return int(np.array(rise + start).astype(np.int16))


def _pcan(op: Op, v: Arrays, t: Tensors, rounding: str) -> np.ndarray:
    def shrink(x: int) -> int:
        return (x * x % 2**32) >> 20 if x < 2 << 12 else (x >> 6) - 64

    gains = v[2].tolist()
    pairs = zip(v[0].reshape(-1).tolist(), v[1].reshape(-1).tolist(), strict=True)
    found = [shrink(((x * (_gain(noise, gains) % 2**32)) % 2**64 >> op.attrs["shift"]) % 2**32) for x, noise in pairs]
    return np.array(found, np.uint32)


def _log(op: Op, v: Arrays, t: Tensors, rounding: str) -> np.ndarray:
    """log2 by straight lines between 1 + i / 128, in 16 fraction bits."""
    grid = np.arange(129) / 128
    bends = np.floor(65536 * (np.log2(1 + grid) - grid) + 0.5).astype(np.int64).tolist()

    def log(x: int) -> int:
        x = (x << op.attrs["bits"]) % 2**32
        if x <= 1:
            return 0
        exponent = x.bit_length() - 1
        fraction = (x << 16 >> exponent) - 65536
        low, high = bends[fraction >> 9 : (fraction >> 9) + 2]
        log2 = (exponent << 16) + fraction + low + (((high - low) * (fraction & 511)) >> 16)
        natural = (45426 * log2 + 32768) >> 16
        return min(int(op.attrs["factor"] * natural + 32768) % 2**32 >> 16, 2**15 - 1)

    return np.array([log(x) for x in v[0].reshape(-1).tolist()])


def _codes(op: Op, v: Arrays, t: Tensors, rounding: str) -> np.ndarray:
    a = op.attrs
    total = v[0].astype(np.int64) * a["multiplier"] + a["addend"]
    return np.asarray(np.clip(np.sign(total) * (np.abs(total) // a["divisor"]) + a["offset"], -128, 127))


def _overlap_add(op: Op, v: Arrays, t: Tensors, rounding: str) -> list[np.ndarray]:
    step, done = op.attrs["step"], []
    buffer = v[1].copy()
    for frame in np.moveaxis(v[0], -2, 0):
        if buffer.dtype == np.int16:
            buffer = np.clip(buffer.astype(np.int64) + frame, -(2**15), 2**15 - 1).astype(np.int16)
        else:
            buffer = buffer + frame
        done.append(buffer[..., :step])
        buffer = np.concatenate([buffer[..., step:], np.zeros_like(buffer[..., :step])], -1)
    return [np.concatenate(done, -1), buffer]


_RULES: dict[str, Rule] = {
    "signal_frames": _frames,
    "signal_window": _window,
    "signal_auto_scale": _auto_scale,
    "signal_rfft": _rfft,
    "signal_irfft": _irfft,
    "signal_energy": _energy,
    "signal_filter_bank": _filter_bank,
    "signal_square_root": _square_root,
    "signal_spectral_subtraction": _spectral_subtraction,
    "signal_pcan": _pcan,
    "signal_log": _log,
    "signal_codes": _codes,
    "signal_overlap_add": _overlap_add,
}
RULES |= _RULES
