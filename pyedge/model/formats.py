"""Number formats of at most 8 bits: 8-bit and 4-bit floats, 4-bit and 2-bit integers.

A tensor holds one code in each byte: uint8, or int8 for signed integers, whose codes are their values. Floats are sign,
exponent e, mantissa m; e = 0: 2^(1 - bias) m / 2^M, else 2^(e - bias) (1 + m / 2^M). What the highest codes mean:

| format | E, M | bias | largest | specials |
|---|---|---|---|---|
| float8_e4m3fn | 4, 3 | 7 | 448 | all ones: NaN |
| float8_e4m3fnuz | 4, 3 | 8 | 240 | the code of -0: NaN |
| float8_e5m2 | 5, 2 | 15 | 57344 | as IEEE: infinity and NaN |
| float8_e5m2fnuz | 5, 2 | 16 | 57344 | the code of -0: NaN |
| float8_e8m0fnu | 8, 0 | 127 | 2^127 | 2^(code - 127), no sign, no zero; 255: NaN |
| float4_e2m1fn | 2, 1 | 1 | 6 | none |

Sources: OCP 8-bit Floating Point Specification 1.0, OCP Microscaling Formats 1.0, ONNX's Cast.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np

from ..errors import ModelError


@dataclass(frozen=True)
class Format:
    """A number format. code: pe_format of plan_structs.h; dtype: of the bytes that hold codes."""

    name: str
    code: int
    dtype: str
    exponent_bits: int = 0  # 0: an integer of mantissa_bits bits
    mantissa_bits: int = 0
    bias: int = 0
    specials: str = "none"  # "fn", "fnuz", "ieee", "scale"


FORMATS = {
    f.name: f
    for f in (
        Format("float8_e4m3fn", 1, "uint8", 4, 3, 7, "fn"),
        Format("float8_e4m3fnuz", 2, "uint8", 4, 3, 8, "fnuz"),
        Format("float8_e5m2", 3, "uint8", 5, 2, 15, "ieee"),
        Format("float8_e5m2fnuz", 4, "uint8", 5, 2, 16, "fnuz"),
        Format("float8_e8m0fnu", 5, "uint8", 8, 0, 127, "scale"),
        Format("float4_e2m1fn", 6, "uint8", 2, 1, 1),
        Format("int4", 7, "int8", 0, 4),
        Format("uint4", 8, "uint8", 0, 4),
        Format("int2", 9, "int8", 0, 2),
        Format("uint2", 10, "uint8", 0, 2),
    )
}


def format_named(name: str | None) -> Format | None:
    """The format of that name; None for None. Raises ModelError for an unknown name."""
    if name is not None and name not in FORMATS:
        raise ModelError(f"number format {name!r} is unknown; known: {', '.join(FORMATS)}")
    return None if name is None else FORMATS[name]


@cache
def values(name: str) -> np.ndarray:
    """The float64 values of all codes of a floating-point format, in the order of the codes."""
    f = FORMATS[name]
    codes = np.arange(1 << (f.exponent_bits + f.mantissa_bits))
    if f.specials == "scale":
        return np.append(2.0 ** (codes[:-1] - f.bias), np.nan)
    e, m = codes >> f.mantissa_bits, codes & ((1 << f.mantissa_bits) - 1)
    x = np.ldexp(np.where(e > 0, (1 << f.mantissa_bits) + m, m), np.maximum(e, 1) - f.bias - f.mantissa_bits)
    if f.specials == "fn":
        x[-1] = np.nan
    elif f.specials == "ieee":
        x[e == e.max()] = np.where(m[e == e.max()] > 0, np.nan, np.inf)
    both = np.concatenate([x, -x])
    if f.specials == "fnuz":
        both[codes.size] = np.nan
    return both


def decode(codes: np.ndarray, name: str) -> np.ndarray:
    """Codes, any shape, to their float64 values."""
    return np.asarray(codes, np.float64) if not FORMATS[name].exponent_bits else values(name)[codes.astype(np.int64)]


def encode(x: np.ndarray, name: str, saturate: bool = True, round_mode: str = "nearest") -> np.ndarray:
    """Real values, any shape, to the nearest codes; ties go to the even code.

    saturate: Values beyond the largest number give it; else infinity, or NaN where the format has none. A format
        without NaN gives -0 for it.
    round_mode: Of float8_e8m0fnu: "up", "down" or "nearest"; 0 and negative values give its lowest code.
    Integers are to be rounded already; they are saturated.
    """
    f = FORMATS[name]
    x = np.asarray(x, np.float64)
    if not f.exponent_bits:
        low = -(1 << (f.mantissa_bits - 1)) if f.dtype == "int8" else 0
        return np.asarray(np.clip(np.nan_to_num(x), low, low + (1 << f.mantissa_bits) - 1).astype(f.dtype))
    if f.specials == "scale":
        return _encode_scale(x, saturate, round_mode)
    positive = values(name)[: 1 << (f.exponent_bits + f.mantissa_bits)]
    finite = positive[np.isfinite(positive)]
    beyond = 2 * finite[-1] - finite[-2]  # one step more decides what still rounds to the largest
    points = np.append(finite, beyond)
    a = np.where(np.isnan(x), 0.0, np.abs(x))
    middles = (points[1:] + points[:-1]) / 2
    code = np.searchsorted(middles, a, side="left")
    tie = (code < middles.size) & (a == middles[np.minimum(code, middles.size - 1)])
    code = code + (tie & (code % 2 == 1))
    sign = np.signbit(x) * positive.size
    nan = {"fn": positive.size - 1, "fnuz": positive.size, "ieee": finite.size + (1 << max(f.mantissa_bits - 1, 0))}
    over = code >= finite.size
    if saturate or f.specials == "none":
        code = np.where(over, finite.size - 1, code) + sign
    elif f.specials == "fnuz":
        code = np.where(over, nan["fnuz"], code + sign)
    else:
        code = np.where(over, finite.size if f.specials == "ieee" else nan["fn"], code) + sign
    if f.specials == "fnuz":
        code = np.where(code == positive.size, np.where(over, positive.size, 0), code)
    return np.asarray(np.where(np.isnan(x), nan.get(f.specials, positive.size), code).astype(np.uint8))


def _encode_scale(x: np.ndarray, saturate: bool, round_mode: str) -> np.ndarray:
    mantissa, exponent = np.frexp(np.where(np.isfinite(x) & (x > 0), x, 1.0))  # mantissa in [1/2, 1)
    exponent = exponent - 1
    if round_mode == "up":
        exponent = exponent + (mantissa > 0.5)
    elif round_mode == "nearest":
        exponent = exponent + (mantissa >= 0.75)
    exponent = np.where(np.isinf(x), 1024, exponent)
    code = np.where(exponent > 127, 254 if saturate else 255, np.maximum(exponent + 127, 0))
    code = np.where((x <= 0) | (np.isfinite(x) & (np.abs(x) < 2.0**-127)), 0, code)
    return np.asarray(np.where(np.isnan(x), 255, code).astype(np.uint8))
