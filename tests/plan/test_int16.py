"""int16 activations against TFLite Micro (tests/golden/tflm_int16.npz), and what is refused."""

from pathlib import Path

import numpy as np
import pytest

import pyedge as pe
from pyedge.model import quantmath_int16 as q16
from pyedge.model.reference import run
from pyedge.model.tflite import load_tflite

GOLDEN = np.load(Path(__file__).parents[1] / "golden" / "tflm_int16.npz")
CASES = sorted(k.removesuffix(".model") for k in GOLDEN if k.endswith(".model"))


def load(case: str) -> tuple[pe.Graph, dict[str, np.ndarray]]:
    graph = load_tflite(GOLDEN[f"{case}.model"].tobytes(), case)
    return graph, {name: GOLDEN[f"{case}.in{i}"] for i, name in enumerate(graph.input_names)}


@pytest.mark.parametrize("case", CASES)
def test_a_session_gives_tflite_micro_s_bytes(case: str) -> None:
    """Session and NumPy reference, to the bit."""
    graph, inputs = load(case)
    (ours,) = pe.Session(pe.compile(graph)).run(inputs).values()
    np.testing.assert_array_equal(ours, GOLDEN[f"{case}.out"])
    np.testing.assert_array_equal(run(graph, inputs)[graph.output_names[0]], GOLDEN[f"{case}.out"])


def network(bias: str = "int64") -> pe.Graph:
    """float32 in and out, int16 inside: convolution, residual add, pooling, linear, softmax."""
    rng = np.random.default_rng(3)
    b = pe.GraphBuilder()
    x = b.quantize(b.input("x", (2, 6, 6, 3), "float32"), 0.0001, dtype="int16")
    w = b.constant(rng.integers(-127, 128, (4, 3, 3, 3), np.int8), scale=np.full(4, 0.01, np.float32))
    h = b.conv2d(x, w, rng.integers(-999, 999, 4).astype(bias), scale=0.0004, activation="relu")
    w = b.constant(rng.integers(-127, 128, (3, 3, 4), np.int8), scale=np.full(4, 0.01, np.float32), axis=2)
    h = b.add(b.depthwise_conv2d(h, w, scale=0.002), h, scale=0.002)
    h = b.mean(b.max_pool2d(h, 2), (1, 2), scale=0.002)
    w = b.constant(rng.integers(-127, 128, (5, 4), np.int8), scale=0.01)
    b.output("y", b.dequantize(b.softmax(b.linear(h, w, scale=0.001))))
    return b.build()


@pytest.mark.parametrize("bias", ["int32", "int64"])
def test_a_built_network_is_its_reference(bias: str) -> None:
    """And close to what floats give: rows sum to 1 within a few steps of 2^-15."""
    graph = network(bias)
    x = {"x": np.random.default_rng(4).normal(0, 1, (2, 6, 6, 3)).astype(np.float32)}
    (y,) = pe.Session(pe.compile(graph)).run(x).values()
    np.testing.assert_array_equal(y, run(graph, x)["y"])
    np.testing.assert_allclose(y.sum(axis=-1), 1, atol=1e-3)


def test_real_values_become_int16_codes() -> None:
    """By the input's scale, saturated, before and after compiling; and back."""
    graph, _ = load("conv")
    scale = graph.inputs[0].scale
    assert scale is not None
    for t in (graph.inputs[0], pe.Session(pe.compile(graph)).inputs[0]):
        q = t.quantize(np.array([-1e9, 0, 1000 * scale, 1e9], np.float32))
        assert (q.dtype, q.tolist()) == (np.int16, [-32768, 0, 1000, 32767])
        np.testing.assert_allclose(t.dequantize(q[1:3]), [0, 1000 * scale], rtol=1e-6)


def test_sums_beyond_32_bits_are_exact() -> None:
    """A linear layer whose sums pass 2^31 gives what 64-bit sums give."""
    k = 4096
    b = pe.GraphBuilder()
    w = b.constant(np.full((2, k), 127, np.int8), scale=0.01)
    bias = np.array([0, -(2**38)], np.int64)
    b.output("y", b.linear(b.input("x", (1, k), "int16", scale=0.001), w, bias, scale=100.0))
    graph, x = b.build(), {"x": np.full((1, k), 32767, np.int16)}
    (y,) = pe.Session(pe.compile(graph)).run(x).values()
    multiplier, shift = q16.wide_factor(float(np.float32(0.001) * np.float32(0.01)) / 100.0)
    sums = 32767 * 127 * k + bias
    np.testing.assert_array_equal(y[0], (sums * multiplier + (1 << (shift - 1))) >> shift)
    np.testing.assert_array_equal(y, run(graph, x)["y"])


@pytest.mark.parametrize("kind", ["sigmoid", "tanh"])
def test_sigmoid_and_tanh_of_every_code_are_close(kind: str) -> None:
    """All 65536 codes within 4 steps of 2^-15, whatever the scale."""
    x = np.arange(-32768, 32768, dtype=np.int32).astype(np.int16)
    for scale in (1 / 4096, 1 / 2048, 0.0011, 3e-5):
        b = pe.GraphBuilder()
        b.output("y", b.op(kind, b.input("x", x.shape, "int16", scale=scale), scale=1 / 32768)[0])
        (y,) = pe.Session(pe.compile(b.build())).run({"x": x}).values()
        real = x * float(np.float32(scale))
        exact = np.tanh(real) if kind == "tanh" else 1 / (1 + np.exp(-real))
        assert np.abs(y / 32768 - exact).max() < 4 / 32768


def test_what_int16_cannot_do_is_refused_by_name() -> None:
    """A zero point, several scales, a kind without a kernel, a wrong scale of the result."""

    def refused(kind: str, **scales: tuple[float, int]) -> str:
        b = pe.GraphBuilder()
        operands = [b.input(name, (4,), "int16", scale=s, zero_point=zero) for name, (s, zero) in scales.items()]
        with pytest.raises(pe.PyedgeError) as error:
            b.output("y", b.op(kind, *operands, scale=0.1)[0])
            pe.compile(b.build())
        return str(error.value)

    assert "'z' needs the zero point 0, not 1" in refused("mul", x=(0.1, 0), z=(0.1, 1))
    assert "one scale" in refused("max", x=(0.1, 0), z=(0.2, 0))
    assert "no kernel" in refused("div", x=(0.1, 0), z=(0.1, 0))
    assert "scale 1/32768" in refused("tanh", x=(0.1, 0))
