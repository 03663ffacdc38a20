"""rounding="fp32" and the QLinear kinds have the bits of ONNX Runtime on x86-64; recurrent cells agree with it."""

import platform

import numpy as np
import pytest
from test_nn_kinds import graph_of, per_tensor

import pyedge as pe
from pyedge.model.graph import Quantization, Tensor

onnx = pytest.importorskip("onnx")
ort = pytest.importorskip("onnxruntime")
helper = pytest.importorskip("onnx.helper")
on_x86 = pytest.mark.skipif(platform.machine() not in ("x86_64", "AMD64"), reason="the bits are those of x86-64")


def run_node(op: str, arrays: list[np.ndarray | None], out: int = 1, **attrs: object) -> list[np.ndarray]:
    """One node, by ONNX Runtime."""
    names = ["" if a is None else f"i{n}" for n, a in enumerate(arrays)]
    types = helper.np_dtype_to_tensor_dtype
    node = helper.make_node(op, names, [f"o{n}" for n in range(out)], **attrs)
    inputs = [
        helper.make_tensor_value_info(n, types(a.dtype), a.shape)
        for n, a in zip(names, arrays, strict=True)
        if a is not None
    ]
    outputs = [helper.make_empty_tensor_value_info(f"o{n}") for n in range(out)]
    model = helper.make_model(
        helper.make_graph([node], "g", inputs, outputs), opset_imports=[helper.make_opsetid("", 18)], ir_version=9
    )
    session = ort.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return session.run(None, {n: a for n, a in zip(names, arrays, strict=True) if a is not None})


def codes(rng: np.random.Generator, dtype: str, *shape: int) -> np.ndarray:
    info = np.iinfo(dtype)
    return rng.integers(info.min, info.max + 1, shape).astype(dtype)


def ours(kind: str, arrays: list[np.ndarray | None], results: int = 1, **attrs: object) -> list[np.ndarray]:
    graph = graph_of(kind, arrays, results, **attrs)
    inputs = dict(zip(graph.input_names, [a for a in arrays if a is not None], strict=True))
    return list(pe.Session(pe.compile(graph)).run(inputs).values())


def first(x: np.ndarray) -> np.ndarray:
    """Channels last to channels first."""
    return np.ascontiguousarray(np.moveaxis(x, -1, 1))


@on_x86
@pytest.mark.parametrize("x_type", ["int8", "uint8"])
@pytest.mark.parametrize("per_channel", [False, True])
@pytest.mark.parametrize("scale", [2.0**-7, 0.0123, 0.21], ids=str)
def test_qlinear_conv_has_the_bits_of_onnx_runtime(x_type: str, per_channel: bool, scale: float) -> None:
    """Scales and zero points at run time; a power of two makes ties."""
    rng = np.random.default_rng(1)
    x, w = codes(rng, x_type, 2, 9, 8, 6), codes(rng, "int8", 16, 3, 3, 6)
    n = 16 if per_channel else 1
    w_scale = (rng.uniform(0.5, 2, n) * scale if per_channel else np.array([scale])).astype(np.float32)
    bias = rng.integers(-3000, 3000, 16).astype(np.int32)
    sx, sy = np.array(0.5, np.float32), np.array(1.0, np.float32)
    zx, zy, zw = codes(rng, x_type), codes(rng, x_type), np.zeros(n, np.int8)
    expected = run_node(
        "QLinearConv", [first(x), sx, zx, first(w), w_scale, zw, sy, zy, bias], pads=[1, 1, 1, 1], strides=[1, 2]
    )
    attrs = {"strides": (1, 2), "dilations": (1, 1), "pads": ((1, 1), (1, 1)), "groups": 1}
    y = ours("qlinear_conv", [x, sx.reshape(1), zx, w, w_scale, zw, sy, zy, bias], **attrs)
    assert np.array_equal(first(y[0]), expected[0])


@on_x86
@pytest.mark.parametrize("groups", [1, 8])
@pytest.mark.parametrize("scale", [2.0**-7, 0.0123, 0.21], ids=str)
def test_conv2d_rounded_as_fp32_has_the_bits_of_onnx_runtime(groups: int, scale: float) -> None:
    """conv2d and depthwise_conv2d with constant weights."""
    rng = np.random.default_rng(2)
    x, w = codes(rng, "int8", 1, 12, 12, 8), codes(rng, "int8", 32 if groups == 1 else 8, 3, 3, 8 // groups)
    n = w.shape[0]
    w_scale = (rng.uniform(0.5, 2, n) * scale).astype(np.float32)
    bias = rng.integers(-3000, 3000, n).astype(np.int32)
    sx, sy = np.array(0.5, np.float32), np.array(1.0, np.float32)
    zx, zy = np.array(7, np.int8), np.array(-11, np.int8)
    expected = run_node(
        "QLinearConv",
        [first(x), sx, zx, first(w), w_scale, np.zeros(n, np.int8), sy, zy, bias],
        pads=[1, 1, 1, 1],
        group=groups,
    )
    if groups > 1:
        w = np.ascontiguousarray(np.moveaxis(w[..., 0], 0, -1))
    kind, axis = ("conv2d", 0) if groups == 1 else ("depthwise_conv2d", 2)
    tensors = [
        Tensor("x", x.shape, "int8", quant=per_tensor(0.5, 7)),
        Tensor("w", w.shape, "int8", w, Quantization(w_scale, np.zeros(n, np.int32), axis)),
        Tensor("b", (n,), "int32", bias),
    ]
    attrs = {"stride": (1, 1), "dilation": (1, 1), "padding": ((1, 1), (1, 1)), "activation": None}
    graph = graph_of(kind, tensors, quant=per_tensor(1.0, -11), **attrs, **({"groups": 1} if groups == 1 else {}))
    y = pe.Session(pe.compile(graph, rounding="fp32")).run({"x": x})["y0"]
    assert np.array_equal(first(y), expected[0])


@on_x86
@pytest.mark.parametrize("a_type", ["int8", "uint8"])
@pytest.mark.parametrize("scale", [2.0**-7, 0.0123, 0.21], ids=str)
def test_qlinear_matmul_has_the_bits_of_onnx_runtime(a_type: str, scale: float) -> None:
    """Batched, with a scale a column."""
    rng = np.random.default_rng(3)
    a, b = codes(rng, a_type, 2, 16, 40), codes(rng, a_type, 40, 24)
    sb = np.array([scale], np.float32)
    sa, sy = np.array([0.5], np.float32), np.array([1.0], np.float32)
    za, zb, zy = (codes(rng, a_type, 1) for _ in range(3))
    arrays = [a, sa, za, b, sb, zb, sy, zy]
    expected = run_node("QLinearMatMul", [v if v.ndim > 1 else v.reshape(()) for v in arrays])
    assert np.array_equal(ours("qlinear_matmul", arrays)[0], expected[0])


CELLS = {
    "rnn": ("RNN", 1, ["Tanh"]),
    "gru": ("GRU", 3, ["Sigmoid", "Tanh"]),
    "lstm": ("LSTM", 4, ["Sigmoid", "Tanh", "Tanh"]),
}


@pytest.mark.parametrize("kind", CELLS)
@pytest.mark.parametrize("direction", ["forward", "reverse", "bidirectional"])
@pytest.mark.parametrize("clip", [None, 0.7])
def test_recurrent_cells_agree_with_onnx_runtime(kind: str, direction: str, clip: float | None) -> None:
    """Biases, lengths, first states, peepholes, clips, and the variant of each cell, within 1e-5."""
    rng = np.random.default_rng(4)
    name, gates, functions = CELLS[kind]
    steps, batch, inputs, hidden, d = 6, 3, 5, 4, 2 if direction == "bidirectional" else 1

    def normal(*shape: int) -> np.ndarray:
        return rng.normal(size=shape).astype(np.float32)

    arrays = [normal(steps, batch, inputs), normal(d, gates * hidden, inputs), normal(d, gates * hidden, hidden)]
    arrays += [normal(d, 2 * gates * hidden), np.int32([6, 2, 4]), normal(d, batch, hidden)]
    if kind == "lstm":
        arrays += [normal(d, batch, hidden), normal(d, 3 * hidden)]
    results = 3 if kind == "lstm" else 2
    theirs: dict[str, object] = {"hidden_size": hidden, "direction": direction, "activations": functions * d}
    theirs |= {} if clip is None else {"clip": clip}
    theirs |= {"linear_before_reset": 1} if kind == "gru" else {}
    expected = run_node(name, arrays, results, **theirs)
    mine: dict[str, object] = {
        "direction": direction,
        "activations": tuple(f.lower() for f in functions) * d,
        "alphas": (0.0,) * len(functions) * d,
        "betas": (0.0,) * len(functions) * d,
        "clip": clip or float("inf"),
        "batch_first": False,
    }
    mine |= {"linear_before_reset": True} if kind == "gru" else {}
    mine |= {"input_forget": False} if kind == "lstm" else {}
    for got, wanted in zip(ours(kind, arrays, results, **mine), expected, strict=True):
        np.testing.assert_allclose(got, wanted, rtol=1e-4, atol=1e-5)
