"""QDQ graphs of ONNX become integer ops, within one step of what they say in floats."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

onnx = pytest.importorskip("onnx")
sys.path.insert(0, str(Path(__file__).parent.parent / "model"))

from onnx.reference import ReferenceEvaluator  # noqa: E402
from onnx_maker import model, rng_array  # noqa: E402

import pyedge as pe  # noqa: E402
from pyedge.compress.clean import clean_up  # noqa: E402
from pyedge.model.graph import Graph  # noqa: E402
from pyedge.model.onnx import load_onnx  # noqa: E402


def kinds(graph: Graph) -> list[str]:
    return [op.kind for op in graph.ops]


def run(graph: Graph, x: np.ndarray) -> np.ndarray:
    return pe.Session(pe.compile(graph)).run([x])[0]


def both(proto: onnx.ModelProto, x: np.ndarray) -> tuple[Graph, np.ndarray, np.ndarray]:
    """The folded graph, its result, and that of the graph as written."""
    graph = clean_up(load_onnx(proto))
    written = clean_up(load_onnx(proto, qdq="float"), qdq="float")
    exact = ReferenceEvaluator(proto).run(None, {"x": x})[0]
    np.testing.assert_allclose(run(written, x), exact, rtol=1e-4, atol=1e-5)
    return graph, run(graph, x), exact


def quantized(name: str, result: str, scale: str, zero: str) -> str:
    return (
        f"{name}_q = QuantizeLinear ({name}, {scale}, {zero})\n{result} = DequantizeLinear ({name}_q, {scale}, {zero})"
    )


NETWORK = f"""
qdq (float[2, 4, 8, 8] x) => (float[2, 10] y) {{
    {quantized("x", "xd", "s0", "z0")}
    w = DequantizeLinear <axis = 0> (wq, ws, wz)
    b = DequantizeLinear <axis = 0> (bq, bs, bz)
    c = Conv <pads = [1, 1, 1, 1]> (xd, w, b)
    r = Relu (c)
    {quantized("r", "rd", "s1", "z1")}
    p = MaxPool <kernel_shape = [2, 2], strides = [2, 2]> (rd)
    {quantized("p", "pd", "s1", "z1")}
    a = AveragePool <kernel_shape = [2, 2], strides = [2, 2]> (pd)
    {quantized("a", "ad", "s2", "z2")}
    f = Flatten (ad)
    v = DequantizeLinear (vq, vs, vz)
    g = Gemm <transB = 1> (f, v, gb)
    {quantized("g", "y", "s3", "z3")}
}}
"""


def network(dtype: type[np.integer], weight_zero: int = 0) -> onnx.ModelProto:
    """A small network; dtype: of the activations' codes. weight_zero: of the last weight."""
    r = np.random.default_rng(0)
    middle = 128 if dtype is np.uint8 else 0
    ws = r.uniform(0.002, 0.004, 6).astype(np.float32)
    s0 = np.float32(0.03)
    return model(
        NETWORK,
        19,
        s0=s0,
        z0=dtype(middle + 3),
        s1=np.float32(0.02),
        z1=dtype(middle - 128),
        s2=np.float32(0.018),
        z2=dtype(middle - 120),
        s3=np.float32(0.05),
        z3=dtype(middle + 5),
        wq=r.integers(-127, 128, (6, 4, 3, 3), dtype=np.int8),
        ws=ws,
        wz=np.zeros(6, np.int8),
        bq=r.integers(-500, 500, 6, dtype=np.int32),
        bs=(s0 * ws).astype(np.float32),
        bz=np.zeros(6, np.int32),
        vq=r.integers(-127, 128, (10, 24), dtype=np.int8),
        vs=np.float32(0.01),
        vz=np.int8(weight_zero),
        gb=rng_array((10,), 4),
    )


@pytest.mark.parametrize("dtype", [np.int8, np.uint8])
def test_a_network_computes_in_integers_from_its_first_quantize_to_its_last(dtype: type[np.integer]) -> None:
    graph, y, exact = both(network(dtype), rng_array((2, 4, 8, 8)))
    assert {t.dtype for op in graph.ops[1:-1] for t in (graph.tensors[n] for n in op.outputs)} == {"int8"}
    middle = [k for k in kinds(graph) if k not in ("transpose", "reshape")]
    assert middle == ["quantize", "conv2d", "max_pool2d", "avg_pool2d", "quantize", "linear", "dequantize"]
    assert np.abs(y - exact).max() <= 2 * 0.05 + 1e-6  # steps of the result; two roundings are before it


def test_a_weight_with_a_zero_point_stays_float() -> None:
    graph, y, exact = both(network(np.int8, weight_zero=3), rng_array((2, 4, 8, 8)))
    linear = next(op for op in graph.ops if op.kind == "linear")
    assert graph.tensors[linear.outputs[0]].dtype == "float32"
    assert np.abs(y - exact).max() <= 2 * 0.05 + 1e-6


def test_operands_of_an_add_and_a_concat_may_have_scales_of_their_own() -> None:
    text = f"""
    g (float[1, 6] x) => (float[1, 12] y) {{
        {quantized("x", "a", "s0", "z0")}
        r = Relu (a)
        {quantized("r", "b", "s1", "z1")}
        t = Add (a, b)
        {quantized("t", "c", "s2", "z2")}
        k = Concat <axis = 1> (c, b)
        {quantized("k", "y", "s3", "z3")}
    }}
    """
    scales = {f"s{i}": np.float32(s) for i, s in enumerate((0.02, 0.011, 0.03, 0.025))}
    zeros = {f"z{i}": np.int8(z) for i, z in enumerate((4, -128, 1, 0))}
    graph, y, exact = both(model(text, 19, **scales, **zeros), rng_array((1, 6)))
    assert {"add", "concat"} <= set(kinds(graph))
    assert {graph.tensors[op.outputs[0]].dtype for op in graph.ops[:-1]} == {"int8"}
    assert np.abs(y - exact).max() <= 0.03 + 0.025 + 1e-6


def test_a_float_result_that_is_read_elsewhere_stays_float() -> None:
    text = f"""
    g (float[1, 6] x) => (float[1, 6] y, float[1, 6] r) {{
        {quantized("x", "a", "s0", "z0")}
        r = Relu (a)
        {quantized("r", "y", "s0", "z0")}
    }}
    """
    proto = model(text, 19, s0=np.float32(0.02), z0=np.int8(3))
    graph = clean_up(load_onnx(proto))
    x = rng_array((1, 6))
    wanted = ReferenceEvaluator(proto).run(None, {"x": x})
    for y, e in zip(pe.Session(pe.compile(graph)).run([x]), wanted, strict=True):
        np.testing.assert_allclose(y, e, atol=1e-6)
