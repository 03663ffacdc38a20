"""pe.ops: each kernel on arrays."""

from __future__ import annotations

import ctypes
import hashlib
import mmap
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import pyedge as pe

rng = np.random.default_rng(0)
X = rng.normal(size=(2, 6, 5, 4)).astype(np.float32)
W = rng.normal(size=(3, 3, 3, 4)).astype(np.float32)
Q = rng.integers(-128, 128, (2, 6, 5, 4), np.int8)


def test_matmul_and_linear_are_products() -> None:
    """Against float64; matmul takes b in either order."""
    a, w, bias = (rng.normal(size=s).astype(np.float32) for s in ((7, 20), (5, 20), (5,)))
    expected = a.astype(np.float64) @ w.T
    np.testing.assert_allclose(pe.ops.linear(a, w), expected, rtol=0, atol=1e-5)
    np.testing.assert_array_equal(pe.ops.matmul(a, w.T), pe.ops.linear(a, w))
    np.testing.assert_allclose(pe.ops.linear(a, w, bias, activation="relu"), np.maximum(expected + bias, 0), atol=1e-5)
    np.testing.assert_array_equal(pe.ops.matmul(a, np.ascontiguousarray(w.T)), pe.ops.linear(a, w))
    with pytest.raises(pe.ShapeError, match=r"matmul: b has the shape \[5\]"):
        pe.ops.matmul(a, bias)


def test_out_takes_the_result() -> None:
    """The same array comes back; one that does not fit, overlaps or is read-only is an error."""
    out = np.empty((2, 6, 5, 3), np.float32)
    assert pe.ops.conv2d(X, W, out=out) is out
    np.testing.assert_array_equal(out, pe.ops.conv2d(X, W))
    with pytest.raises(pe.ShapeError, match=r"out is float32\[2, 6, 5, 2\], the result float32\[2, 6, 5, 3\]"):
        pe.ops.conv2d(X, W, out=out[..., :2].copy())
    with pytest.raises(pe.ShapeError, match=r"out .* not C-contiguous"):
        pe.ops.conv2d(X, W, out=np.empty((2, 6, 5, 6), np.float32)[..., ::2])
    with pytest.raises(pe.ShapeError, match=r"clip: .*overlaps"):
        pe.ops.clip(out, 0.0, 1.0, out=out)
    out.flags.writeable = False
    with pytest.raises(pe.ShapeError, match="read-only"):
        pe.ops.conv2d(X, W, out=out)


def test_nothing_is_copied_behind_the_callers_back() -> None:
    """A layout that the kernels don't take is an error that says what to do."""
    for bad in (X[:, ::2], np.asfortranarray(X), X.transpose(0, 2, 1, 3)):
        with pytest.raises(pe.ShapeError, match=r"x .* not C-contiguous; pass np.ascontiguousarray\(x\)"):
            pe.ops.max_pool2d(bad, 2)
    with pytest.raises(pe.ShapeError, match=r"weight.* is float64"):
        pe.ops.conv2d(X, W.astype(np.float64))
    with pytest.raises(pe.ShapeError, match=r"x must be .* not list"):
        pe.ops.softmax([1.0, 2.0])  # type: ignore[arg-type]


def test_each_op_has_the_bits_of_a_session() -> None:
    """One op alone and the same op in a plan give equal arrays, int8 and float."""
    q, y_q = (0.05, -3), (0.1, 7)
    wq = rng.integers(-127, 128, (3, 3, 3, 4), np.int8)
    dw, dwq = W[..., 0].copy(), rng.integers(-127, 128, (3, 2, 8), np.int8)
    bias = rng.integers(-999, 999, 3, np.int32)
    scales = np.float32([0.01, 0.02, 0.03])
    row, three = X[:, :1].copy(), X[..., :3].copy()
    fc = rng.integers(-127, 128, (3, 4), np.int8)

    def run(make: object, x: np.ndarray) -> np.ndarray:
        b = pe.GraphBuilder()
        int8 = x.dtype == np.int8
        t = b.input("x", x.shape, str(x.dtype), scale=q[0] if int8 else None, zero_point=q[1])
        b.output("y", make(b, t))  # type: ignore[operator]
        y = pe.Session(pe.compile(b.build()))(x)
        assert isinstance(y, np.ndarray)
        return y

    s = {"scale": y_q[0], "zero_point": y_q[1]}
    kw = {"x_q": q, "y_q": y_q}
    pairs = [
        (
            pe.ops.conv2d(Q, wq, bias, stride=2, w_scale=scales, **kw),
            lambda b, t: b.conv2d(t, b.constant(wq, scale=scales), bias, stride=2, **s),
            Q,
        ),
        (
            pe.ops.depthwise_conv2d(Q, dwq, padding="valid", w_scale=0.02, **kw),
            lambda b, t: b.depthwise_conv2d(t, b.constant(dwq, scale=0.02), padding="valid", **s),
            Q,
        ),
        (
            pe.ops.linear(Q, fc, w_scale=0.02, **kw),
            lambda b, t: b.linear(t, b.constant(fc, scale=0.02), keep_dims=True, **s),
            Q,
        ),
        (
            pe.ops.add(Q, Q[:1], a_q=q, b_q=q, y_q=y_q),
            lambda b, t: b.add(t, b.constant(Q[:1], scale=q[0], zero_point=q[1]), **s),
            Q,
        ),
        (pe.ops.avg_pool2d(Q, 2, x_q=q), lambda b, t: b.avg_pool2d(t, 2), Q),
        (
            pe.ops.max_pool2d(Q, 3, stride=1, padding="same", x_q=q),
            lambda b, t: b.max_pool2d(t, 3, stride=1, padding="same"),
            Q,
        ),
        (pe.ops.mean(Q, (1, -2), **kw), lambda b, t: b.mean(t, (1, 2), **s), Q),
        (pe.ops.softmax(Q, x_q=q), lambda b, t: b.softmax(t), Q),
        (pe.ops.requantize(Q, q, y_q), lambda b, t: b.quantize(t, *y_q), Q),
        (pe.ops.dequantize(Q, q), lambda b, t: b.dequantize(t), Q),
        (pe.ops.clip(Q, -1.0, 2.0, x_q=q), lambda b, t: b.clip(t, -1.0, 2.0), Q),
        (pe.ops.any_ge(Q, 1.0, x_q=q), lambda b, t: b.any_ge(t, 1.0), Q),
        (pe.ops.quantize(X, y_q), lambda b, t: b.quantize(t, *y_q), X),
        (pe.ops.conv2d(X, W, dilation=2), lambda b, t: b.conv2d(t, W, dilation=2), X),
        (pe.ops.depthwise_conv2d(three, dw), lambda b, t: b.depthwise_conv2d(t, dw), three),
        (pe.ops.add(X, row, activation="relu"), lambda b, t: b.add(t, b.constant(row), activation="relu"), X),
        (pe.ops.softmax(X, beta=0.5), lambda b, t: b.softmax(t, beta=0.5), X),
        (pe.ops.mean(X, (3,), keepdims=True), lambda b, t: b.mean(t, (3,), keepdims=True), X),
        (pe.ops.avg_pool2d(X, (2, 3), padding="same"), lambda b, t: b.avg_pool2d(t, (2, 3), padding="same"), X),
    ]
    for i, (alone, make, x) in enumerate(pairs):
        np.testing.assert_array_equal(alone, run(make, x), f"pair {i}")


@pytest.mark.parametrize("mode", ["exact", "fast16"])
@pytest.mark.parametrize("x_dtype", ["float32", "float16"])
def test_float16_weights_have_the_bits_of_a_session(mode: str, x_dtype: str) -> None:
    """The result has x's dtype, or that of out, or y_dtype; matmul takes b in either order."""
    a, w, bias = X.reshape(60, 4).astype(x_dtype), W.reshape(27, 4).astype(np.float16), np.arange(27, dtype=np.float32)
    x, deep = X.astype(x_dtype), W[..., 0].repeat(4, axis=2)[..., :8].astype(np.float16)

    def session(kind: str, value: np.ndarray, *operands: np.ndarray) -> np.ndarray:
        b = pe.GraphBuilder()
        b.output("y", getattr(b, kind)(b.input("x", value.shape, x_dtype), *operands))
        y = pe.Session(pe.compile(b.build(), mode=mode))(value)
        assert isinstance(y, np.ndarray)
        return y

    expected = session("linear", a, w, bias)
    same(pe.ops.linear(a, w, bias, mode=mode), expected)
    same(pe.ops.matmul(a, w.T, mode=mode), session("linear", a, w))
    same(pe.ops.matmul(a, w.T.copy(), mode=mode), session("linear", a, w))
    same(pe.ops.conv2d(x, W.astype(np.float16), mode=mode), session("conv2d", x, W.astype(np.float16)))
    same(pe.ops.depthwise_conv2d(x, deep, mode=mode), session("depthwise_conv2d", x, deep))
    for dtype in ("float32", "float16"):
        result = pe.ops.linear(a, w, bias, mode=mode, y_dtype=dtype)
        out = np.empty((60, 27), dtype)
        assert pe.ops.linear(a, w, bias, mode=mode, out=out) is out
        same(out, result)
        same(result.astype(np.float16), expected.astype(np.float16))
    with pytest.raises(pe.PlanError, match="mode='fast' is not known; the modes: 'exact', 'fast16'"):
        pe.ops.linear(a, w, mode="fast")
    with pytest.raises(pe.ShapeError, match="out is int8"):
        pe.ops.linear(a, w, out=np.empty((60, 27), np.int8))
    with pytest.raises(pe.ShapeError, match="y_dtype='float16' goes with float16 weights only"):
        pe.ops.linear(X, W[..., 0, 0, :].copy(), y_dtype="float16")


def same(actual: np.ndarray, expected: np.ndarray) -> None:
    assert (actual.dtype, actual.shape) == (expected.dtype, expected.shape)
    assert actual.tobytes() == expected.tobytes()


BITS = "5b84bc9430f08f5d3080b177b54bf0158215a00d1cb60c055979cb801f05efde"  # of hash_of_ops(), on every CPU


def hash_of_ops() -> str:
    """Of a case of each op and dtype that layer kernels take, NaN among the floats, in arrays that end with a page."""
    numbers = np.random.default_rng(7)
    digest = hashlib.sha256()
    pages = []

    def at_the_end(x: np.ndarray) -> np.ndarray:
        """A copy of x before a page that must not be touched."""
        page, size = mmap.PAGESIZE, -(-x.nbytes // mmap.PAGESIZE) * mmap.PAGESIZE
        memory = mmap.mmap(-1, size + page)
        address = ctypes.addressof(ctypes.c_char.from_buffer(memory))
        assert ctypes.CDLL(None).mprotect(ctypes.c_void_p(address + size), ctypes.c_size_t(page), 0) == 0
        pages.append(memory)
        first = (size - x.nbytes) // 16 * 16
        copy = np.frombuffer(memory, x.dtype, x.size, first).reshape(x.shape)
        copy[...] = x
        return copy

    def floats(*shape: int, dtype: str = "float32") -> np.ndarray:
        x = numbers.normal(0, 1, shape)
        return at_the_end(np.where(numbers.random(shape) < 0.01, np.nan, x).astype(dtype))

    def codes(*shape: int) -> np.ndarray:
        return at_the_end(numbers.integers(-127, 128, shape, np.int8))

    q = {"x_q": (0.05, -3), "y_q": (0.7, 5)}
    for dtype in ("float32", "float16"):
        for mode in ("exact", "fast16") if dtype == "float16" else ("exact",):
            for m in (1, 3, 40):
                a, w = floats(m, 100, dtype=dtype), floats(50, 100, dtype=dtype)
                out = at_the_end(np.zeros((m, 50), np.float32))
                digest.update(pe.ops.linear(a, w, floats(50), out=out if dtype == "float16" else None, mode=mode))
            x = floats(2, 9, 8, 16, dtype=dtype)
            digest.update(pe.ops.conv2d(x, floats(20, 3, 3, 16, dtype=dtype), stride=2, mode=mode))
            digest.update(pe.ops.depthwise_conv2d(x, floats(3, 3, 16, dtype=dtype), activation="relu6", mode=mode))
    for x in (floats(2, 9, 8, 16), floats(1, 7, 7, 5)):
        digest.update(pe.ops.add(x, x))
        digest.update(pe.ops.avg_pool2d(x, 2))
        digest.update(pe.ops.mean(x, (1, 2)))
    for m in (1, 3, 40):
        digest.update(pe.ops.linear(codes(m, 100), codes(50, 100), w_scale=0.01, **q))
    for x in (codes(2, 9, 8, 16), codes(1, 8, 8, 3)):
        c = x.shape[3]
        digest.update(pe.ops.conv2d(x, codes(20, 3, 3, c), stride=2, w_scale=0.01, **q))
        digest.update(pe.ops.depthwise_conv2d(x, codes(3, 3, c), w_scale=0.01, **q))
        digest.update(pe.ops.add(x, x, a_q=(0.05, 1), b_q=(0.05, 1), y_q=(0.1, 0)))
        digest.update(pe.ops.avg_pool2d(x, 2, x_q=(0.05, 1)))
        digest.update(pe.ops.max_pool2d(x, 2, x_q=(0.05, 1)))
        digest.update(pe.ops.mean(x, (1, 2), x_q=(0.05, 1)))
        digest.update(pe.ops.softmax(x, x_q=(0.05, 1)))
    return digest.hexdigest()


def test_this_cpu_gives_the_bits_of_every_other() -> None:
    """And nothing is read or written beyond an array."""
    assert hash_of_ops() == BITS


def test_each_level_of_the_cpu_gives_the_same_bits() -> None:
    """Processes with PYEDGE_ISA, for the levels below the CPU's own."""
    levels = {"avx2": ["portable"], "avx512": ["portable", "avx2"]}.get(pe.cpu_features().isa, [])
    code = "import test_pe_ops; print(test_pe_ops.hash_of_ops())"
    for level in levels:
        found = subprocess.run(
            [sys.executable, "-c", code], cwd=Path(__file__).parent,  # where no folder hides the installed package
            env={**os.environ, "PYEDGE_ISA": level}, check=True, capture_output=True, text=True,
        )  # fmt: skip
        assert found.stdout.strip() == BITS, level


def test_arrays_far_apart_go_through_copies() -> None:
    """Further than a plan's offsets reach, 2^31 bytes."""
    room = np.empty(2**31 + 2**20, np.uint8)  # pages that nothing touches take no memory
    first = -room.ctypes.data % 64
    x, out = (room[at : at + 16000].view(np.float32).reshape(40, 100) for at in (first, first + 2**31 + 4096))
    x[...] = rng.normal(size=x.shape)
    w = rng.normal(size=(100, 100)).astype(np.float32)
    same(pe.ops.linear(x, w, out=out), pe.ops.linear(x.copy(), w))


def test_what_does_not_fit_is_an_error() -> None:
    """Shapes, missing scales, an unknown mode."""
    with pytest.raises(pe.ShapeError, match="conv2d"):
        pe.ops.conv2d(X, W[..., :3].copy())
    with pytest.raises(pe.PlanError, match="conv2d"):
        pe.ops.conv2d(Q, rng.integers(-127, 128, (3, 3, 3, 4), np.int8))
    with pytest.raises(pe.PlanError, match="mode='fast16'"):
        pe.ops.softmax(X, mode="fast16")
    with pytest.raises(pe.ShapeError, match=r"no axes \[4\]"):
        pe.ops.mean(X, (4,))


def test_gradients_are_those_of_the_layers() -> None:
    """<dy, layer(x, w)> = <dgrad(dy, w), x> = <wgrad(dy, x), w> for each layer, which is linear in both."""

    def dot(a: np.ndarray, b: np.ndarray) -> float:
        return float((a.astype(np.float64) * b).sum())

    def close(dy: np.ndarray, y: np.ndarray, *pairs: tuple[np.ndarray, np.ndarray]) -> None:
        for gradient, x in pairs:
            assert gradient.shape == x.shape and gradient.dtype == np.float32
            assert dot(gradient, x) == pytest.approx(dot(dy, y), rel=1e-4)

    ops = pe.ops
    steps = {"stride": (2, 1), "dilation": 1, "padding": ((1, 0), (1, 2))}
    y = ops.conv2d(X, W, **steps)
    dy = rng.normal(size=y.shape).astype(np.float32)
    close(dy, y, (ops.conv2d_dgrad(dy, W, (6, 5), **steps), X), (ops.conv2d_wgrad(dy, X, 3, **steps), W))
    w = rng.normal(size=(3, 3, 8)).astype(np.float32)
    y = ops.depthwise_conv2d(X, w, **steps)
    dy = rng.normal(size=y.shape).astype(np.float32)
    dx = ops.depthwise_conv2d_dgrad(dy, w, (6, 5), multiplier=2, **steps)
    close(dy, y, (dx, X), (ops.depthwise_conv2d_wgrad(dy, X, 3, **steps), w))
    w = rng.normal(size=(7, 4)).astype(np.float32)
    y = ops.linear(X, w)
    dy = rng.normal(size=y.shape).astype(np.float32)
    close(dy, y, (ops.linear_dgrad(dy, w), X), (ops.linear_wgrad(dy, X), w))
    np.testing.assert_allclose(ops.bias_grad(dy), dy.sum(axis=(0, 1, 2)), rtol=1e-4)
    pool = {"stride": 2, "padding": "same"}
    y = ops.avg_pool2d(X, 3, **pool)
    dy = rng.normal(size=y.shape).astype(np.float32)
    close(dy, y, (ops.avg_pool2d_grad(dy, (6, 5), 3, **pool), X))
    close(dy, ops.max_pool2d(X, 3, **pool), (ops.max_pool2d_grad(dy, X, 3, **pool), X))
    np.testing.assert_array_equal(ops.clip_grad(X, X, -0.5, 0.5), np.where(np.abs(X) < 0.5, X, 0))


def test_gradients_take_float16_and_its_modes() -> None:
    """The result has the dtype of out, y_dtype or dy; a mode needs a float16."""
    dy, w = rng.normal(size=(3, 40)).astype(np.float16), rng.normal(size=(40, 5)).astype(np.float32)
    exact = pe.ops.linear_dgrad(dy, w, y_dtype="float32")
    assert pe.ops.linear_dgrad(dy, w).dtype == np.float16
    np.testing.assert_array_equal(pe.ops.linear_dgrad(dy, w), exact.astype(np.float16))
    np.testing.assert_array_equal(exact, pe.ops.linear_dgrad(dy.astype(np.float32), w))
    out = np.empty((3, 5), np.float32)
    assert pe.ops.linear_dgrad(dy, w, out=out, mode="fast16") is out and (out != exact).any()
    np.testing.assert_allclose(out, exact, rtol=0, atol=0.05)
    with pytest.raises(pe.PlanError, match="linear_dgrad: mode='fast16' is not known; the modes: 'exact'"):
        pe.ops.linear_dgrad(w, w.T.copy(), mode="fast16")
    with pytest.raises(pe.ShapeError, match=r"linear_dgrad.*'dy' is float16\[3, 40\], expected \[..., 5\]"):
        pe.ops.linear_dgrad(dy, w.T.copy())
    with pytest.raises(pe.ShapeError, match=r"max_pool_grad.*'x' is float32\[3, 40\]"):
        pe.ops.max_pool2d_grad(np.zeros((1, 2, 2, 1), np.float32), np.zeros((3, 40), np.float32), 2)
