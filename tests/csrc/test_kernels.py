"""Convolution, depthwise and linear against exact integers and the C library's fmaf."""

import ctypes
import ctypes.util
import itertools
import math
import re
import shutil
import struct
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from pyedge._plan_structs import ffi

from pyedge import _core

ROOT = Path(__file__).resolve().parents[2]
KINDS = _core.op_kinds()
GUARD = 64
F32, S8, S32 = 1, 2, 3


def pack(struct_name: str, **fields: Any) -> bytes:
    """The bytes of a params struct."""
    return bytes(ffi.buffer(ffi.new(f"{struct_name} *", fields)))


def run(kind: str, params: bytes, inputs: list[npt.NDArray[Any] | None], shape: tuple[int, ...], dtype: Any) -> Any:
    """Runs one op into an output between guard bytes; the guards must survive."""
    n = math.prod(shape) * np.dtype(dtype).itemsize
    memory = np.full(n + 2 * GUARD, 0xA5, np.uint8)
    y = memory[GUARD : GUARD + n].view(dtype).reshape(shape)
    _core.op_run(KINDS[kind], params, inputs, [y])
    assert (memory[:GUARD] == 0xA5).all() and (memory[GUARD + n :] == 0xA5).all()
    return y


# The reference: int64 and Python integers.


def wrap32(x: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    return np.asarray((x + 2**31) % 2**32 - 2**31)


def requantize(acc: npt.NDArray[np.int64], multiplier: int, shift: int) -> npt.NDArray[np.int64]:
    """gemmlowp's definitions, with C's division towards zero; a right shift is > 0."""
    left, right = ((-shift) & 31, 0) if shift < 0 else (0, shift & 31)
    acc = wrap32(acc << left)
    product = acc * (multiplier & 0x7FFFFFFF)
    nudged = product + np.where(product >= 0, 2**30, 1 - 2**30)
    high = np.where(nudged >= 0, nudged // 2**31, -(-nudged // 2**31))
    remainder, mask = high & (2**right - 1), 2**right - 1
    return np.asarray((high >> right) + (remainder > (mask >> 1) + (high < 0)))


def to_s8(acc: Any, q: npt.NDArray[np.int32], zero_point: int, low: int, high: int) -> npt.NDArray[np.int8]:
    """Channels are the last axis."""
    acc = wrap32(acc + q[:, 0].astype(np.int64))
    y = np.stack([requantize(acc[..., i], int(q[i, 1]), int(q[i, 2])) for i in range(len(q))], axis=-1)
    return np.clip(y + zero_point, low, high).astype(np.int8)


def windows(x: npt.NDArray[Any], p: dict[str, Any], out: tuple[int, int], taps: tuple[int, int], fill: Any) -> Any:
    """[N, Ho, Wo, kh, kw, C], read one element at a time."""
    y = np.full((x.shape[0], *out, *taps, x.shape[3]), fill, x.dtype)
    for oy, ox, i, j in itertools.product(range(out[0]), range(out[1]), range(taps[0]), range(taps[1])):
        iy = oy * p["stride_h"] - p["pad_top"] + i * p["dilation_h"]
        ix = ox * p["stride_w"] - p["pad_left"] + j * p["dilation_w"]
        if 0 <= iy < x.shape[1] and 0 <= ix < x.shape[2]:
            y[:, oy, ox, i, j] = x[:, iy, ix]
    return y


_libm = ctypes.CDLL(ctypes.util.find_library("m"))
_libm.fmaf.restype = ctypes.c_float
_libm.fmaf.argtypes = [ctypes.c_float] * 3
fmaf = np.frompyfunc(_libm.fmaf, 3, 1)


def dot_f32(x: npt.NDArray[np.float32], w: npt.NDArray[np.float32], start: Any) -> npt.NDArray[np.float32]:
    """Sums over the last axis, fused, in ascending order."""
    acc = np.broadcast_to(np.asarray(start, np.float32), np.broadcast_shapes(x.shape, w.shape)[:-1]).astype(np.float32)
    for k in range(x.shape[-1]):
        acc = fmaf(x[..., k], w[..., k], acc).astype(np.float32)
    return acc


def channels(rng: np.random.Generator, n: int, k: int) -> npt.NDArray[np.int32]:
    """Rows of q that leave most outputs between the clamps, in the shifts that real models have and a few others."""
    q = np.empty((n, 3), np.int32)
    q[:, 0] = rng.integers(-(2**14), 2**14, n)
    q[:, 1] = rng.integers(2**30, 2**31, n)
    q[:, 2] = np.clip(6 + int(math.log2(k) / 2) + rng.integers(-1, 3, n), 0, 31)
    q[rng.random(n) < 0.1, 2] = rng.integers(-2, 2)
    return q


def edges(tile: int) -> list[int]:
    """1, tile - 1, tile, tile + 1, a prime."""
    return sorted({1, tile - 1, tile, tile + 1, 13} - {0})


# Linear.


@pytest.mark.parametrize("m, n, k", list(itertools.product(edges(2), edges(4), [*edges(4), 64])))
def test_linear_s8_equals_exact_integers(m: int, n: int, k: int) -> None:
    """Every remainder of the tile; inputs at both ends of int8."""
    rng = np.random.default_rng(m * 10000 + n * 100 + k)
    x = rng.choice(np.array([-128, -1, 0, 1, 127, 17, -90], np.int8), (m, k))
    w = rng.integers(-128, 128, (n, k), dtype=np.int8)
    q = channels(rng, n, k)
    params = pack("pe_linear_params", y_zero_point=-3, y_min=-120, y_max=127)
    expected = to_s8(x.astype(np.int64) @ w.T.astype(np.int64), q, -3, -120, 127)
    np.testing.assert_array_equal(run("linear_s8", params, [x, w, q], (m, n), np.int8), expected)


def hard_sums() -> npt.NDArray[np.int32]:
    """Sums around 0, around powers of two and their halves, and at the ends of int32."""
    powers = [s * 2**i + d for i in range(32) for d in (-2, -1, 0, 1, 2) for s in (-1, 1)]
    halves = [s * (2**i + 2 ** (i - 1)) + d for i in range(1, 31) for d in (-1, 0, 1) for s in (-1, 1)]
    rng = np.random.default_rng(5)
    sums = np.array([*powers, *halves, *rng.integers(-(2**31), 2**31, 500), *rng.integers(-(2**12), 2**12, 500)])
    return sums[(sums >= -(2**31)) & (sums < 2**31)].astype(np.int32)


@pytest.mark.parametrize("multiplier", [2**30, 2**30 + 1, 1518500250, 2**31 - 1, 0, 1, -1, -(2**31)])
@pytest.mark.parametrize("zero_point, low, high", [(0, -128, 127), (-128, -128, 127), (127, -5, 127)])
def test_requantize_is_exact_for_all_sums_and_shifts(multiplier: int, zero_point: int, low: int, high: int) -> None:
    """The sum is the bias alone: any int32, each shift from -33 to 33, bits that no compiler writes among them."""
    sums = hard_sums()
    shifts = np.array([*range(-33, 34), -(2**31), 2**31 - 1])
    q = np.array([(s, multiplier, b) for b in shifts for s in sums]).astype(np.int32)
    x, w = np.zeros((1, 1), np.int8), np.zeros((len(q), 1), np.int8)
    params = pack("pe_linear_params", y_zero_point=zero_point, y_min=low, y_max=high)
    y = run("linear_s8", params, [x, w, q], (1, len(q)), np.int8).reshape(len(shifts), len(sums))
    for row, shift in zip(y, shifts, strict=True):
        expected = np.clip(requantize(sums.astype(np.int64), multiplier, int(shift)) + zero_point, low, high)
        np.testing.assert_array_equal(row, expected, err_msg=f"shift {shift}")


def test_sums_wrap() -> None:
    """int32 sums are modulo 2^32, whatever the bias adds: here just past 2^31."""
    x, w = np.full((1, 4), 127, np.int8), np.full((1, 4), 127, np.int8)
    q = np.array([[2**31 - 1, 2**31 - 1, 24]], np.int32)
    params = pack("pe_linear_params", y_min=-128, y_max=127)
    assert run("linear_s8", params, [x, w, q], (1, 1), np.int8).item() == -128


def test_litert_reference_rounding_is_one_double_product() -> None:
    """round((double)sum * scale), halves away from zero: powers of two with ties, random scales, ends of int32."""
    sums = np.repeat(hard_sums(), 40)
    rng = np.random.default_rng(7)
    scales = np.exp2(rng.uniform(-36, 2, len(sums)))
    scales[::5] = np.exp2(rng.integers(-33, 1, len(scales[::5])))
    scales[::7] = -scales[::7]
    words = scales.view(np.uint32).reshape(-1, 2).view(np.int32)
    q = np.column_stack([sums, words[:, 0], words[:, 1]]).astype(np.int32)
    params = pack("pe_linear_params", rounding=1, y_zero_point=7, y_min=-128, y_max=127)
    x, w = np.zeros((1, 1), np.int8), np.zeros((len(q), 1), np.int8)
    y = run("linear_s8", params, [x, w, q], (1, len(q)), np.int8)[0]
    product = sums * scales
    # floor(x + 0.5) rounds x + 0.5 once more, so the half is taken from the exact fraction.
    whole = np.trunc(product)
    rounded = whole + np.where(np.abs(product - whole) >= 0.5, np.sign(product), 0)
    np.testing.assert_array_equal(y, np.clip(rounded + 7, -128, 127))


@pytest.mark.parametrize("scale", [math.inf, -math.inf, math.nan, 1e308, 5e-324, 0.0])
def test_litert_reference_rounding_is_defined_for_any_scale(scale: float) -> None:
    """Scales that no compiler writes: the result saturates or is the zero point."""
    low, high = struct.unpack("<ii", struct.pack("<d", scale))
    q = np.array([[5, low, high], [0, low, high]], np.int32)
    params = pack("pe_linear_params", rounding=1, y_zero_point=1, y_min=-128, y_max=127)
    y = run("linear_s8", params, [np.zeros((1, 1), np.int8), np.zeros((2, 1), np.int8), q], (1, 2), np.int8)
    expected = 1 if abs(scale) < 1 else -128 if math.copysign(1, scale) < 0 else 127
    assert y.tolist() == [[expected, 1]]


@pytest.mark.parametrize("m, n, k", list(itertools.product(edges(2), edges(4), [1, 4, 5, 40])))
@pytest.mark.parametrize("bias", [True, False])
def test_linear_f32_is_a_chain_of_fused_multiply_adds(m: int, n: int, k: int, bias: bool) -> None:
    """Ascending k, one rounding a step, from the bias; sums that cancel show any other order."""
    rng = np.random.default_rng(m * 10000 + n * 100 + k)
    x = (rng.standard_normal((m, k)) * np.exp2(rng.integers(-12, 12, k))).astype(np.float32)
    w = rng.standard_normal((n, k)).astype(np.float32)
    b = rng.standard_normal(n).astype(np.float32) if bias else None
    params = pack("pe_linear_params", f_min=-50.0, f_max=math.inf)
    expected = np.maximum(dot_f32(x[:, None], w[None], 0 if b is None else b), np.float32(-50))
    y = run("linear_f32", params, [x, w, b], (m, n), np.float32)
    np.testing.assert_array_equal(y.view(np.uint32), expected.view(np.uint32))


# Convolution and depthwise.

Case = tuple[tuple[int, int, int, int], int, tuple[int, int], dict[str, Any]]


def conv_cases() -> Iterator[Case]:
    """x's shape, output channels, taps, params. Output sizes and bottom padding follow from the padding given."""
    yield (1, 8, 8, 16), 16, (3, 3), {"pad_top": 1, "pad_left": 1}
    yield (1, 5, 5, 8), 8, (1, 1), {}
    yield (2, 7, 5, 8), 5, (1, 1), {"stride_h": 2, "stride_w": 2}
    yield (3, 6, 6, 4), 4, (1, 1), {"stride_h": 2}
    yield (1, 9, 7, 1), 13, (5, 2), {"pad_top": 2, "stride_h": 2, "stride_w": 2}
    yield (1, 6, 10, 3), 7, (3, 3), {"pad_left": 1, "pad_top": 1, "stride_h": 2, "stride_w": 1}
    yield (2, 9, 9, 2), 3, (3, 3), {"dilation_h": 2, "dilation_w": 3, "pad_top": 2, "pad_left": 3}
    yield (1, 1, 17, 4), 6, (1, 5), {"stride_w": 2}
    yield (1, 1, 17, 4), 6, (1, 5), {"dilation_w": 2}
    yield (1, 4, 4, 4), 5, (4, 4), {}
    yield (1, 2, 2, 3), 2, (5, 5), {"pad_top": 3, "pad_left": 4}
    yield (1, 3, 3, 2), 2, (2, 2), {"pad_top": 5, "pad_left": 4, "extra": 4}
    yield (1, 4, 3, 160), 3, (3, 3), {"pad_top": 1, "pad_left": 1}


def group_cases() -> Iterator[Case]:
    yield (2, 5, 4, 6), 4, (3, 3), {"groups": 2, "pad_top": 1, "pad_left": 1}
    yield (1, 5, 5, 8), 12, (1, 1), {"groups": 4}
    yield (2, 4, 7, 4), 8, (1, 3), {"groups": 4, "stride_w": 2, "pad_left": 1}


def depthwise_cases() -> Iterator[Case]:
    """Output channels are those of the depth multiplier."""
    yield (1, 8, 8, 16), 16, (3, 3), {"pad_top": 1, "pad_left": 1}
    yield (2, 25, 5, 7), 7, (3, 3), {"pad_top": 1, "pad_left": 1}
    yield (1, 48, 48, 3), 3, (3, 3), {"pad_top": 1, "pad_left": 1}
    yield (1, 49, 48, 2), 2, (3, 3), {"stride_h": 2, "stride_w": 2, "pad_left": 1}
    yield (1, 3, 3, 5), 5, (3, 3), {"pad_top": 1, "pad_left": 1}
    yield (1, 1, 1, 4), 4, (3, 3), {"pad_top": 1, "pad_left": 1}
    yield (1, 9, 8, 1), 8, (10, 8), {"pad_top": 4, "pad_left": 3}
    yield (2, 6, 5, 3), 12, (5, 3), {"stride_w": 2, "pad_top": 2}
    yield (1, 11, 12, 3), 6, (3, 3), {"dilation_h": 3, "dilation_w": 2, "pad_top": 2}
    yield (1, 7, 90, 1), 2, (3, 2), {"dilation_h": 40, "dilation_w": 30, "pad_top": 40, "pad_left": 9}
    yield (1, 6, 300, 1), 1, (3, 3), {"stride_w": 3, "pad_top": 1, "pad_left": 1, "dilation_h": 9, "extra": 20}
    yield (1, 70, 100, 1), 3, (2, 3), {"stride_h": 60, "stride_w": 97}
    yield (1, 5, 2500, 2), 2, (3, 3), {"pad_top": 1, "pad_left": 1}


def resolve(case: Case) -> tuple[dict[str, Any], tuple[int, int]]:
    """Params with all fields, and the output's height and width: far padding is the near one, plus extra."""
    (_, h, w, _), _, (kh, kw), given = case
    given = dict(given)
    extra = given.pop("extra", 0)
    p = {"stride_h": 1, "stride_w": 1, "dilation_h": 1, "dilation_w": 1, "pad_top": 0, "pad_left": 0, **given}
    ho = (h + 2 * p["pad_top"] + extra - (kh - 1) * p["dilation_h"] - 1) // p["stride_h"] + 1
    wo = (w + 2 * p["pad_left"] + extra - (kw - 1) * p["dilation_w"] - 1) // p["stride_w"] + 1
    return p, (ho, wo)


def scratch_limit(case: Case, element: int) -> int:
    """max(2 KiB, the rows of x that one window covers, one window)."""
    (_, _, w, c), _, (kh, kw), _ = case
    return max(2048, kh * max(w, kw) * c * element)


def check_scratch(kind: str, params: bytes, case: Case, arrays: list[npt.NDArray[Any]], y: Any, dtype: int) -> None:
    types = {np.dtype(np.float32): F32, np.dtype(np.int8): S8, np.dtype(np.int32): S32}
    tensors = [(types[a.dtype], a.shape) for a in [*arrays, y]]
    assert _core.op_check(KINDS[kind], params, tensors, len(arrays)) <= scratch_limit(case, 1 if dtype == S8 else 4)


@pytest.mark.parametrize("case", [*conv_cases(), *group_cases()], ids=str)
def test_conv2d_s8_equals_exact_integers(case: Case) -> None:
    """Strides, dilations, paddings, groups, batches; padding is x's zero point; scratch stays in its limit."""
    shape, c_out, taps, _ = case
    p, out = resolve(case)
    groups = p.setdefault("groups", 1)
    rng = np.random.default_rng(1)
    x = rng.integers(-128, 128, shape, dtype=np.int8)
    w = rng.integers(-128, 128, (c_out, *taps, shape[3] // groups), dtype=np.int8)
    q = channels(rng, c_out, w[0].size)
    p |= {"x_zero_point": -7, "y_zero_point": 5, "y_min": -100, "y_max": 110}
    seen = windows(x, p, out, taps, -7).astype(np.int64).reshape(shape[0], *out, *taps, groups, -1)
    kernels = w.astype(np.int64).reshape(groups, c_out // groups, *taps, -1)
    acc = np.einsum("nyxijgc,goijc->nyxgo", seen, kernels).reshape(shape[0], *out, c_out)
    params = pack("pe_conv2d_params", **p)
    y = run("conv2d_s8", params, [x, w, q], acc.shape, np.int8)
    np.testing.assert_array_equal(y, to_s8(acc, q, 5, -100, 110))
    check_scratch("conv2d_s8", params, case, [x, w, q], y, S8)


@pytest.mark.parametrize("case", list(depthwise_cases()), ids=str)
def test_depthwise_s8_equals_exact_integers(case: Case) -> None:
    """Also depth multipliers, planes of several bands, and planes of a single window."""
    shape, c_out, taps, _ = case
    p, out = resolve(case)
    rng = np.random.default_rng(2)
    x = rng.integers(-128, 128, shape, dtype=np.int8)
    w = rng.integers(-128, 128, (*taps, c_out), dtype=np.int8)
    q = channels(rng, c_out, taps[0] * taps[1])
    p |= {"x_zero_point": 9, "y_zero_point": -128, "y_min": -128, "y_max": 127}
    seen = np.repeat(windows(x, p, out, taps, 9).astype(np.int64), c_out // shape[3], axis=-1)
    acc = np.einsum("nyxijc,ijc->nyxc", seen, w.astype(np.int64))
    params = pack("pe_conv2d_params", **p)
    y = run("depthwise_s8", params, [x, w, q], acc.shape, np.int8)
    np.testing.assert_array_equal(y, to_s8(acc, q, -128, -128, 127))
    check_scratch("depthwise_s8", params, case, [x, w, q], y, S8)


@pytest.mark.parametrize("case", [*conv_cases(), *group_cases()], ids=str)
def test_conv2d_f32_is_a_chain_of_fused_multiply_adds(case: Case) -> None:
    """In the order rows, columns, channels of the window; padding is multiplied as +0."""
    shape, c_out, taps, _ = case
    p, out = resolve(case)
    groups = p.setdefault("groups", 1)
    rng = np.random.default_rng(3)
    x = rng.standard_normal(shape).astype(np.float32)
    w = rng.standard_normal((c_out, *taps, shape[3] // groups)).astype(np.float32)
    bias = rng.standard_normal(c_out).astype(np.float32)
    seen = windows(x, p, out, taps, 0).reshape(shape[0], *out, -1, groups, shape[3] // groups)
    seen = np.moveaxis(seen, 4, 3).reshape(shape[0], *out, groups, 1, -1)
    acc = dot_f32(seen, w.reshape(groups, c_out // groups, -1), bias.reshape(groups, -1))
    params = pack("pe_conv2d_params", **p, f_min=0.0, f_max=6.0)
    y = run("conv2d_f32", params, [x, w, bias], (shape[0], *out, c_out), np.float32)
    np.testing.assert_array_equal(y, np.clip(acc.reshape(y.shape), 0, 6))
    check_scratch("conv2d_f32", params, case, [x, w, bias], y, F32)


@pytest.mark.parametrize("case", list(depthwise_cases()), ids=str)
def test_depthwise_f32_is_a_chain_of_fused_multiply_adds(case: Case) -> None:
    """In the order rows, columns of the window; no bias starts at +0."""
    shape, c_out, taps, _ = case
    p, out = resolve(case)
    rng = np.random.default_rng(4)
    x = rng.standard_normal(shape).astype(np.float32)
    w = rng.standard_normal((*taps, c_out)).astype(np.float32)
    seen = np.repeat(windows(x, p, out, taps, 0), c_out // shape[3], axis=-1).reshape(shape[0], *out, -1, c_out)
    acc = dot_f32(np.moveaxis(seen, -1, -2), np.moveaxis(w.reshape(-1, c_out), -1, 0), 0)
    params = pack("pe_conv2d_params", **p, f_min=-math.inf, f_max=math.inf)
    y = run("depthwise_f32", params, [x, w], (shape[0], *out, c_out), np.float32)
    np.testing.assert_array_equal(y.view(np.uint32), acc.view(np.uint32))
    check_scratch("depthwise_f32", params, case, [x, w], y, F32)


GOOD: dict[str, Any] = {"stride_h": 1, "stride_w": 1, "dilation_h": 1, "dilation_w": 1, "groups": 1, "y_max": 1}


@pytest.mark.parametrize(
    "change",
    [
        {"stride_h": 0},
        {"stride_w": 32768},
        {"dilation_w": -1},
        {"dilation_h": 2**31 - 1},
        {"pad_top": -1},
        {"pad_left": 32768},
        {"groups": 0},
        {"groups": 3},
        {"groups": -2},
        {"rounding": 1},
        {"x_zero_point": 128},
        {"y_zero_point": -129},
        {"y_min": 2},
        {"y_max": 128},
        {"stride_h": 32767, "dilation_h": 32767},
    ],
    ids=str,
)
def test_conv2d_refuses_params_out_of_range(change: dict[str, Any]) -> None:
    """Each refusal says what was wrong; the same params without the change are taken."""
    tensors = [(S8, (1, 9, 9, 2)), (S8, (4, 3, 3, 2)), (S32, (4, 3)), (S8, (1, 7, 7, 4))]
    assert _core.op_check(KINDS["conv2d_s8"], pack("pe_conv2d_params", **GOOD), tensors, 3) > 0
    with pytest.raises(_core.PlanRefused, match=r"conv2d|weights"):
        _core.op_check(KINDS["conv2d_s8"], pack("pe_conv2d_params", **{**GOOD, **change}), tensors, 3)


@pytest.mark.parametrize("which, shape", [(0, (1, 9, 9, 3)), (1, (4, 3, 3, 1)), (2, (4, 2)), (3, (2, 7, 7, 4))])
def test_conv2d_refuses_shapes_that_do_not_fit(which: int, shape: tuple[int, ...]) -> None:
    tensors = [(S8, (1, 9, 9, 2)), (S8, (4, 3, 3, 2)), (S32, (4, 3)), (S8, (1, 7, 7, 4))]
    tensors[which] = (tensors[which][0], shape)
    with pytest.raises(_core.PlanRefused, match=r"conv2d|weights"):
        _core.op_check(KINDS["conv2d_s8"], pack("pe_conv2d_params", **GOOD), tensors, 3)


def test_each_kernel_of_the_list_is_named() -> None:
    """The names of the bindings are those of kernels_list.h: micro-kernels, and layer kernels of this architecture."""
    text = (ROOT / "csrc/kernels/kernels_list.h").read_text()
    fields = [re.split(r",\s*", x) for x in re.findall(r"^    X\((.*?)\)", text, re.M)]
    fields = [f for f in fields if f[1] not in ("rv32", "rvv", "zvfh")]  # no host that runs these tests
    levels = {"x86-64": ("avx2", "avx512"), "arm64": ("neon", "fp16", "dotprod", "fhm", "i8mm"), "others": ()}
    expected = []
    for names in levels.values():
        of_level = [f for f in fields if f[1] in ("portable", *names)]
        kernels = [f"{f[0]}__{f[1]}_{f[2]}x{f[3]}" for f in of_level if len(f) > 3]
        expected.append(kernels + [f"{f[0]}__{f[1]}" for f in of_level if len(f) == 3])
    assert _core.kernels() in expected
    assert _core.kernels("gemm_s8")[0] == "gemm_s8__portable_2x4"


@pytest.mark.skipif(shutil.which("cc") is None, reason="needs a C compiler")
def test_both_forms_of_fma_without_hardware_equal_the_c_library(tmp_path: Path) -> None:
    """Two million hard triples: halves, cancellation, subnormals, overflow, infinities and NaNs."""
    program, csrc = tmp_path / "fma_test", ROOT / "csrc"
    sources = [ROOT / "tests/csrc/fma_test.c", csrc / "kernels/fma.c"]
    flags = ["-O2", "-std=c11", "-ffp-contract=off", f"-I{csrc}", f"-I{csrc}/include"]
    subprocess.run(["cc", *flags, *map(str, sources), "-lm", "-o", str(program)], check=True)
    result = subprocess.run([str(program), "2"], capture_output=True, text=True)
    assert (result.returncode, result.stdout) == (0, "2000000 triples equal\n")
