"""Kinds of TFLite Micro's signal library: the fixed-point front end of audio models, and transforms.

| kind | inputs -> outputs | attributes |
|---|---|---|
| signal_frames | x[..., n] -> [..., frames, size], any dtype: windows that overlap | size, step |
| signal_window | x[..., n] weights[n] int16 -> int16: x * weights / 2^shift, saturated | shift |
| signal_auto_scale | x int16 -> x * 2^bits, bits int32 []: as large as int16 can hold it | |
| signal_rfft | x[..., k] -> [..., length + 2], pairs (re, im); k <= length, the rest is 0 | length |
| signal_irfft | x[..., length + 2] -> [..., length] | |
| signal_energy | x[2n] int16, pairs -> uint32 [n]: re^2 + im^2; 0 outside start .. end | start, end |
| signal_filter_bank | x[n] uint32, bank -> uint64 [c]: sums of overlapping triangles; or all float32 | |
| signal_square_root | x uint64, bits int32 [] -> uint32: the root / 2^bits | |
| signal_spectral_subtraction | x noise, uint32 [c] -> x less the noise, noise | smoothing, keep, ... |
| signal_pcan | x noise uint32 [c], gains[125] int16 -> uint32 [c] | shift |
| signal_log | x uint32 -> int16: factor * ln(x * 2^bits) | bits, factor |
| signal_codes | x int16 -> int8: (x * multiplier + addend) / divisor + offset, saturated | those four |
| signal_overlap_add | x[..., frames, size] buffer[..., size], int16 or float32 -> [..., frames * step], buffer | step |

A bank is five vectors: weights[w] and unweights[w], int16 or float32; starts[c + 1], weight_starts[c + 1] and
widths[c + 1], int16. Slope i covers widths[i] bins from starts[i] on, with the weights from weight_starts[i] on; it
gives to channel i - 1 by the weights and to channel i by the unweights. signal_spectral_subtraction also has
min_remaining, smoothing_bits, bits and clamping; smoothing and keep are numbers for even and odd channels.

The transforms take int16, int32 and float32; integers come out divided by the length, forwards and back.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from .check import CODES_ONLY
from .graph import Op, Tensor
from .ops import ATTRS, KINDS, MAX_EXTENT, Kind, Operands, Result, is_int, misfit, need
from .ops_move import fixed

GAIN_ELEMENTS = 125
FFT_DTYPES = ("int16", "int32", "float32")
_FFT_LENGTHS = tuple(1 << i for i in range(2, 17))


def _is_uint32(v: Any) -> bool:
    return is_int(v, 0, 2**32 - 1)


def _are_uint32(v: Any) -> bool:
    return isinstance(v, tuple) and len(v) == 2 and all(map(_is_uint32, v))


def _is_length(v: Any) -> bool:
    return is_int(v, 1, MAX_EXTENT)


_CODES = ("signal_codes.multiplier", "signal_codes.addend", "signal_codes.offset")

ATTRS |= {
    "signal_frames.size": (_is_length, "an integer >= 1"),
    "step": (_is_length, "an integer >= 1"),
    "signal_window.shift": (lambda v: is_int(v, 0, 31), "an integer from 0 to 31"),
    "signal_pcan.shift": (lambda v: is_int(v, 0, 63), "an integer from 0 to 63"),
    "length": (lambda v: v in _FFT_LENGTHS, "a power of 2 from 4 to 65536"),
    "signal_energy.start": (lambda v: is_int(v, 0, MAX_EXTENT), "an integer >= 0"),
    "signal_energy.end": (lambda v: is_int(v, 0, MAX_EXTENT), "an integer >= 0"),
    "smoothing": (_are_uint32, "two integers from 0 to 2^32 - 1"),
    "keep": (_are_uint32, "two integers from 0 to 2^32 - 1"),
    "min_remaining": (_is_uint32, "an integer from 0 to 2^32 - 1"),
    "smoothing_bits": (lambda v: is_int(v, 0, 31), "an integer from 0 to 31"),
    "bits": (lambda v: is_int(v, 0, 31), "an integer from 0 to 31"),
    "clamping": (lambda v: isinstance(v, bool), "a bool"),
    **dict.fromkeys(_CODES, (lambda v: is_int(v, -(2**15)), "an integer of 16 bits")),
    "signal_codes.divisor": (lambda v: is_int(v, 1, 2**31 - 1), "an integer >= 1"),
    "factor": (_is_uint32, "an integer from 0 to 2^32 - 1"),
}


def fft_table(length: int, dtype: str, inverse: bool) -> np.ndarray:
    """The factors of a transform, [3 * length / 4, 2]: those of the half as long complex transform, then of the split.

    e^(-2 pi i k / m) for k < m = length / 2, e^(-pi i ((k + 1) / m + 1/2)) for k < m / 2; conjugates for the inverse.
    Integers: times 2^15 - 1 or 2^31 - 1, rounded.
    """
    m = length // 2
    phase = np.concatenate([-2 * np.pi * np.arange(m) / m, -np.pi * (np.arange(1, m // 2 + 1) / m + 0.5)])
    phase = -phase if inverse else phase
    factors = np.stack([np.cos(phase), np.sin(phase)], axis=1)
    if dtype == "float32":
        return factors.astype(np.float32)
    return np.floor(0.5 + np.iinfo(dtype).max * factors).astype(dtype)


def _operand(op: Op, operands: Operands, i: int, dtype: str, shape: tuple[int, ...] | None = None) -> tuple[int, ...]:
    """The shape of an operand of this dtype, and of this shape if it is given."""
    t = need(op, operands, i)
    found = fixed(op, t)
    if t.dtype != dtype or (shape is not None and found != shape):
        raise misfit(op, t, dtype if shape is None else f"{dtype}{list(shape)}")
    return found


def _row(op: Op, t: Tensor, dtypes: tuple[str, ...] | None = None) -> tuple[int, ...]:
    shape = fixed(op, t)
    if not shape or (dtypes is not None and t.dtype not in dtypes):
        raise misfit(op, t, f"{' or '.join(dtypes or ('a tensor',))} of rank 1 or more")
    return shape


def _frames(op: Op, operands: Operands) -> Result:
    x = need(op, operands, 0)
    shape = _row(op, x)
    size, step = op.attrs["size"], op.attrs["step"]
    if shape[-1] < size:
        raise misfit(op, x, f"{size} elements or more along the last axis")
    return (*shape[:-1], (shape[-1] - size) // step + 1, size), x.dtype


def _window(op: Op, operands: Operands) -> Result:
    shape = _row(op, need(op, operands, 0), ("int16",))
    _operand(op, operands, 1, "int16", shape[-1:])
    return shape, "int16"


def _auto_scale(op: Op, operands: Operands) -> list[Result]:
    return [(_operand(op, operands, 0, "int16"), "int16"), ((), "int32")]


def _rfft(op: Op, operands: Operands) -> Result:
    x, length = need(op, operands, 0), op.attrs["length"]
    shape = _row(op, x, FFT_DTYPES)
    if shape[-1] > length:
        raise misfit(op, x, f"at most {length} elements along the last axis")
    return (*shape[:-1], length + 2), x.dtype


def _irfft(op: Op, operands: Operands) -> Result:
    x = need(op, operands, 0)
    shape = _row(op, x, FFT_DTYPES)
    if shape[-1] - 2 not in _FFT_LENGTHS:
        raise misfit(op, x, "two elements more along the last axis than a power of 2 from 4 to 65536")
    return (*shape[:-1], shape[-1] - 2), x.dtype


def _energy(op: Op, operands: Operands) -> Result:
    shape = _operand(op, operands, 0, "int16")
    if len(shape) != 1 or shape[0] % 2 or not op.attrs["start"] <= op.attrs["end"] <= shape[0] // 2:
        raise misfit(op, need(op, operands, 0), f"int16[2n] with n >= end = {op.attrs['end']} >= start")
    return (shape[0] // 2,), "uint32"


def _filter_bank(op: Op, operands: Operands) -> Result:
    integers = need(op, operands, 0).dtype != "float32"
    x, of_weights, y = ("uint32", "int16", "uint64") if integers else ("float32",) * 3
    weights, starts = _operand(op, operands, 1, of_weights), _operand(op, operands, 3, "int16")
    if len(_operand(op, operands, 0, x)) != 1 or len(weights) != 1 or len(starts) != 1 or starts[0] < 2:
        raise misfit(op, need(op, operands, 3), "vectors, and two elements or more")
    _operand(op, operands, 2, of_weights, weights)
    for i in (4, 5):
        _operand(op, operands, i, "int16", starts)
    return (starts[0] - 1,), y


def _square_root(op: Op, operands: Operands) -> Result:
    _operand(op, operands, 1, "int32", ())
    return _operand(op, operands, 0, "uint64"), "uint32"


def _spectral_subtraction(op: Op, operands: Operands) -> list[Result]:
    shape = _operand(op, operands, 0, "uint32")
    return [(shape, "uint32"), (_operand(op, operands, 1, "uint32", shape), "uint32")]


def _pcan(op: Op, operands: Operands) -> Result:
    shape = _operand(op, operands, 0, "uint32")
    _operand(op, operands, 1, "uint32", shape)
    _operand(op, operands, 2, "int16", (GAIN_ELEMENTS,))
    return shape, "uint32"


def _log(op: Op, operands: Operands) -> Result:
    return _operand(op, operands, 0, "uint32"), "int16"


def _codes(op: Op, operands: Operands) -> Result:
    return _operand(op, operands, 0, "int16"), "int8"


def _overlap_add(op: Op, operands: Operands) -> list[Result]:
    x, step = need(op, operands, 0), op.attrs["step"]
    shape = fixed(op, x)
    if x.dtype not in ("int16", "float32") or len(shape) < 2 or step > shape[-1]:
        raise misfit(op, x, f"int16 or float32 of rank 2 or more, and {step} elements or more along the last axis")
    buffer = _operand(op, operands, 1, x.dtype, (*shape[:-2], shape[-1]))
    return [((*shape[:-2], shape[-2] * step), x.dtype), (buffer, x.dtype)]


_KINDS = {
    "signal_frames": Kind(1, ("size", "step"), _frames),
    "signal_window": Kind(2, ("shift",), _window),
    "signal_auto_scale": Kind(1, (), _auto_scale),
    "signal_rfft": Kind(1, ("length",), _rfft),
    "signal_irfft": Kind(1, (), _irfft),
    "signal_energy": Kind(1, ("start", "end"), _energy),
    "signal_filter_bank": Kind(6, (), _filter_bank),
    "signal_square_root": Kind(2, (), _square_root),
    "signal_spectral_subtraction": Kind(
        2, ("smoothing", "keep", "min_remaining", "smoothing_bits", "bits", "clamping"), _spectral_subtraction
    ),
    "signal_pcan": Kind(3, ("shift",), _pcan),
    "signal_log": Kind(1, ("bits", "factor"), _log),
    "signal_codes": Kind(1, ("multiplier", "addend", "divisor", "offset"), _codes),
    "signal_overlap_add": Kind(2, ("step",), _overlap_add),
}
KINDS |= _KINDS
CODES_ONLY.update(_KINDS)
