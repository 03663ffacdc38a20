"""Elementwise kinds through plans and sessions, against the NumPy reference, on every dtype."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

import pyedge as pe
from pyedge.model import reference
from pyedge.model.formats import FORMATS, decode, encode, values
from pyedge.model.graph import Tensor, array_dtype
from pyedge.model.ops_elementwise import BINARY, COMPARISONS, FLOATS, UNARY

ATTRS: dict[str, Any] = {
    "alpha": 0.3,
    "beta": 0.4,
    "gamma": 1.1,
    "approximate": "tanh",
    "detect_negative": 1,
    "detect_positive": 0,
    "activation": None,
    "fmod": 0,
    "direction": "RIGHT",
}
SPECIAL = np.array(
    [np.nan, np.inf, -np.inf, 0.0, -0.0, 1.0, -1.0, 0.5, 2.5, -3.5, 1e-30, -1e-42, 3e38, 88.8, -104.0, 1e6]
)
TOLERANCE = {"float32": 1e-6, "float16": 1e-3, "bfloat16": 8e-3, "float64": 1e-15}


def apply(b: pe.GraphBuilder, kind: str, operands: list[Tensor], **attrs: Any) -> Tensor:
    """An op with one result."""
    return b.op(kind, *operands, **attrs)[0]


def sample(dtype: str, size: int = 400) -> np.ndarray:
    """Special values first, then some of all magnitudes."""
    rng = np.random.default_rng(size)
    if dtype == "bool":
        return rng.integers(0, 2, size).astype(bool)
    if "float" in dtype:
        drawn = rng.normal(0, 1, size - SPECIAL.size) * 10.0 ** rng.integers(-3, 3, size - SPECIAL.size)
        with np.errstate(over="ignore"):
            return np.concatenate([SPECIAL, drawn]).astype(array_dtype(dtype))
    limit = np.iinfo(dtype)
    drawn = rng.integers(-20, 20, size - 4) % 200 if limit.min == 0 else rng.integers(-20, 20, size - 4)
    return np.concatenate([np.array([limit.min, limit.max, 0, 1], dtype), drawn.astype(dtype)])


def compare(graph: pe.Graph, feeds: dict[str, np.ndarray], tolerance: float = 0.0) -> np.ndarray:
    """The session's only result, after it was found equal to the reference's."""
    [y] = pe.Session(pe.compile(graph)).run(feeds).values()
    with np.errstate(all="ignore"):
        [expected] = reference.run(graph, feeds).values()
    assert (y.dtype, y.shape) == (expected.dtype, expected.shape)
    if y.dtype.kind in "iub":
        np.testing.assert_array_equal(y, expected)
    else:
        wide = [a.astype(np.float64) for a in (y, expected)]
        np.testing.assert_allclose(*wide, rtol=tolerance, atol=tolerance / 8)
    return y


@pytest.mark.parametrize("kind", UNARY)
def test_functions_of_one_operand(kind: str) -> None:
    """Every dtype that has the kind; NaN, infinities and the ends of integers among the values."""
    attrs = {name: ATTRS[name] for name in UNARY[kind][0]}
    for dtype in UNARY[kind][1]:
        b = pe.GraphBuilder()
        zero_points = {} if "uint8" in UNARY[kind][1] else {"int8": -3, "int16": 0}
        quant = {"scale": 0.05, "zero_point": zero_points[dtype]} if dtype in zero_points else {}
        x = b.input("x", (400,), dtype, **quant)
        if dtype == "int16" and kind in ("sigmoid", "tanh"):
            quant["scale"] = 1 / 32768
        b.output("y", apply(b, kind, [x], **quant, **attrs))
        try:
            compare(b.build(), {"x": sample(dtype)}, TOLERANCE.get(dtype, 0.0))
        except pe.PlanError as error:
            assert dtype == "float64", error  # no elementary functions of float64


@pytest.mark.parametrize("kind", BINARY)
def test_functions_of_two_operands(kind: str) -> None:
    """Every dtype, broadcast over rows and columns; integers to the bit."""
    attrs = {name: ATTRS[name] for name in BINARY[kind][0]}
    for dtype in BINARY[kind][1]:
        b = pe.GraphBuilder()
        x, z = b.input("x", (20, 20), dtype), b.input("z", (20, 1), dtype)
        b.output("y", apply(b, kind, [x, z], **attrs))
        right = sample(dtype)[:20] if dtype != "bool" else sample(dtype, 20)
        if kind == "pow" and "float" not in dtype:
            right = np.abs(right.astype(np.int64) % 5).astype(dtype)
        try:
            compare(
                b.build(), {"x": sample(dtype).reshape(20, 20), "z": right.reshape(20, 1)}, TOLERANCE.get(dtype, 0.0)
            )
        except pe.PlanError as error:
            assert dtype == "float64" and kind in ("pow", "atan2"), error


@pytest.mark.parametrize("kind", [k for k, (_, dtypes) in BINARY.items() if {"float32", "int8"} <= {*dtypes}])
def test_quantized_operands_of_different_scales(kind: str) -> None:
    """All pairs of 64 codes; comparisons give bool."""
    b = pe.GraphBuilder()
    x = b.input("x", (64, 1), "int8", scale=0.05, zero_point=-3)
    z = b.input("z", (64,), "int8", scale=0.02, zero_point=7)
    quant = {} if kind in COMPARISONS else {"scale": 0.04, "zero_point": 5}
    b.output("y", apply(b, kind, [x, z], **quant, **{name: ATTRS[name] for name in BINARY[kind][0]}))
    codes = np.linspace(-128, 127, 64).astype(np.int8)
    compare(b.build(), {"x": codes.reshape(64, 1), "z": codes[::-1].copy()})


def test_where_takes_any_dtype_and_broadcasts() -> None:
    """Condition, a and b of different shapes."""
    for dtype in ("float32", "int64", "bool", "float16"):
        b = pe.GraphBuilder()
        c, x, z = b.input("c", (4, 1), "bool"), b.input("x", (5,), dtype), b.input("z", (4, 5), dtype)
        b.output("y", apply(b, "where", [c, x, z]))
        c_value = np.array([[True], [False], [True], [False]])
        x_value, z_value = sample(dtype, 20)[:5], sample(dtype, 20).reshape(4, 5)
        y = pe.Session(pe.compile(b.build()))(c_value, x_value, z_value)
        np.testing.assert_array_equal(y, np.where(c_value, x_value, z_value))


@pytest.mark.parametrize("source", [*FLOATS, "int8", "uint8", "int16", "uint32", "int64", "uint64", "bool"])
@pytest.mark.parametrize("to", [*FLOATS, "int8", "uint16", "int32", "uint32", "int64", "uint64", "bool", *FORMATS])
def test_casts(source: str, to: str) -> None:
    """From each dtype to each dtype and number format."""
    b = pe.GraphBuilder()
    f = FORMATS.get(to)
    attrs = {"saturate": 0, "round_mode": "up", "from_format": None, "to_format": f.name if f else None}
    b.output("y", apply(b, "cast", [b.input("x", (400,), source)], to=f.dtype if f else to, **attrs))
    compare(b.build(), {"x": sample(source)})


@pytest.mark.parametrize("name", FORMATS)
def test_codes_of_every_format_come_back(name: str) -> None:
    """Each code to float32 and back is itself; NaN stays NaN."""
    f = FORMATS[name]
    bits = 1 + f.exponent_bits + f.mantissa_bits if f.exponent_bits else f.mantissa_bits
    count = 1 << min(bits, 8)
    codes = (
        np.arange(count).astype(np.uint8) if f.dtype == "uint8" else np.arange(-count // 2, count // 2).astype(np.int8)
    )
    b = pe.GraphBuilder()
    x = b.input("x", codes.shape, f.dtype)
    attrs: dict[str, Any] = {"saturate": 0, "round_mode": "nearest"}
    real = apply(b, "cast", [x], to="float32", from_format=name, to_format=None, **attrs)
    b.output("real", real)
    b.output("back", apply(b, "cast", [real], to=f.dtype, from_format=None, to_format=name, **attrs))
    outputs = pe.Session(pe.compile(b.build())).run({"x": codes})
    np.testing.assert_array_equal(outputs["real"].astype(np.float64), decode(codes, name))
    back = decode(outputs["back"], name)
    np.testing.assert_array_equal(back, decode(codes, name))


@pytest.mark.parametrize("name", [n for n, f in FORMATS.items() if f.exponent_bits and n != "float8_e8m0fnu"])
@pytest.mark.parametrize("saturate", [False, True])
def test_encoding_rounds_to_the_nearest_code(name: str, saturate: bool) -> None:
    """Codes, points half way, their float32 neighbours and overflow: the C codec, the NumPy one and ml_dtypes."""
    exact = values(name)
    exact = np.unique(exact[np.isfinite(exact)])
    middles = ((exact[1:] + exact[:-1]) / 2).astype(np.float32)
    beyond = np.float32(exact[-1]) * np.array(
        [1.01, 1.03, 1.0625, 1.07, 1.125, 1.2, 1.25, 1.3, 2, 100, math.inf], np.float32
    )
    infinity = np.float32(math.inf)
    near = [
        np.nextafter(middles, infinity),
        np.nextafter(middles, -infinity),
        beyond,
        -beyond,
        np.float32([math.nan, 0, -0.0]),
    ]
    x = np.concatenate([exact.astype(np.float32), middles, *near])
    b = pe.GraphBuilder()
    attrs = {"saturate": int(saturate), "round_mode": "up", "from_format": None, "to_format": name}
    b.output("y", apply(b, "cast", [b.input("x", x.shape, "float32")], to="uint8", **attrs))
    y = compare(b.build(), {"x": x})
    if not saturate:
        ml_dtypes = pytest.importorskip("ml_dtypes")
        with np.errstate(all="ignore"):
            theirs = x.astype(getattr(ml_dtypes, name)).astype(np.float64)
        np.testing.assert_array_equal(decode(y, name), theirs)


@pytest.mark.parametrize("to", ["uint8", "int16", *(n for n in FORMATS if n != "float8_e8m0fnu")])
@pytest.mark.parametrize(("axis", "block", "scales"), [(1, 0, ()), (1, 0, (6,)), (1, 4, (3, 2, 5)), (-1, 2, (3, 6, 3))])
def test_quantize_and_dequantize_linear(to: str, axis: int, block: int, scales: tuple[int, ...]) -> None:
    """One scale, one for each slice, one for each block (the last of them short); with zero points and without."""
    rng = np.random.default_rng(5)
    f = FORMATS.get(to)
    dtype = f.dtype if f else to
    attrs = {"axis": axis, "block_size": block, "format": f.name if f else None}
    for with_zero in (False, True) if not f or not f.exponent_bits else (False,):
        b = pe.GraphBuilder()
        operands = [b.input("x", (3, 6, 5), "float32"), b.input("s", scales, "float32")]
        feeds = {
            "x": rng.normal(0, 4, (3, 6, 5)).astype(np.float32),
            "s": rng.uniform(0.1, 2, scales).astype(np.float32),
        }
        feeds["s"] = np.asarray(feeds["s"], np.float32)
        if with_zero:
            operands.append(b.input("z", scales, dtype))
            feeds["z"] = np.asarray(rng.integers(0, 2, scales), dtype)
        codes = apply(b, "quantize_linear", operands, dtype=dtype, saturate=1, **attrs)
        b.output("codes", codes)
        b.output("y", apply(b, "dequantize_linear", [codes, *operands[1:]], dtype="float32", **attrs))
        graph = b.build()
        outputs, expected = pe.Session(pe.compile(graph)).run(feeds), reference.run(graph, feeds)
        for name in outputs:
            np.testing.assert_array_equal(outputs[name], expected[name])


def test_scales_round_as_asked() -> None:
    """E8M0 up, down and to the nearest; 0 and negative numbers give the lowest code, NaN NaN."""
    x = np.array([1.0, 1.25, 1.5, 1.75, 0.75, 3e38, 0.0, -2.0, 1e-45, math.inf, math.nan], np.float32)
    expected = {
        "up": [127, 128, 128, 128, 127, 255, 0, 0, 0, 255, 255],
        "down": [127, 127, 127, 127, 126, 254, 0, 0, 0, 255, 255],
        "nearest": [127, 127, 128, 128, 127, 255, 0, 0, 0, 255, 255],
    }
    for mode, codes in expected.items():
        assert encode(x, "float8_e8m0fnu", False, mode).tolist() == codes
        b = pe.GraphBuilder()
        attrs = {"saturate": 0, "round_mode": mode, "from_format": None, "to_format": "float8_e8m0fnu"}
        b.output("y", apply(b, "cast", [b.input("x", x.shape)], to="uint8", **attrs))
        assert pe.Session(pe.compile(b.build()))(x).tolist() == codes


def test_a_power_of_mixed_dtypes_has_the_type_of_the_base() -> None:
    """float32 to an int64, int64 to a float32, int32 to an int64."""
    cases = [("float32", "int64"), ("int64", "float32"), ("int32", "int64")]
    for base, exponent in cases:
        b = pe.GraphBuilder()
        b.output("y", apply(b, "pow", [b.input("x", (3,), base), b.input("z", (3,), exponent)]))
        y = pe.Session(pe.compile(b.build()))(np.array([1, 2, 3], base), np.array([4, 5, 6], exponent))
        assert y.dtype == base
        np.testing.assert_allclose(y, [1, 32, 729], rtol=1e-6)
