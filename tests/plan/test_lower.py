"""Each kind of op, as a plan, gives what the NumPy reference gives: int8 to the bit, float within rounding."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import pyedge as pe
from pyedge.model import reference
from pyedge.model.graph import Graph, Op, Quantization, Tensor
from pyedge.plan import structs

Build = Callable[[pe.GraphBuilder, pe.Tensor, np.random.Generator, dict[str, Any]], pe.Tensor]
X = (2, 9, 7, 4)


def weight(b: pe.GraphBuilder, x: pe.Tensor, rng: np.random.Generator, shape: tuple[int, ...], channels: int) -> Any:
    """Weights and a bias that fit the dtype of x, one scale for each channel in two of three cases."""
    if x.dtype == "float32":
        return rng.normal(size=shape), rng.normal(size=channels)
    axis = shape.index(channels)
    scale = rng.uniform(0.002, 0.01, channels if rng.integers(3) else 1)
    w = b.constant(rng.integers(-127, 128, shape, np.int8), scale=scale, axis=axis)
    return w, rng.integers(-3000, 3000, channels, np.int32)


def conv(**attrs: Any) -> Build:
    def build(b: pe.GraphBuilder, x: pe.Tensor, rng: np.random.Generator, q: dict[str, Any]) -> pe.Tensor:
        groups = attrs.get("groups", 1)
        kernel = attrs.get("kernel", (3, 3))
        w, bias = weight(b, x, rng, (8, *kernel, 4 // groups), 8)
        rest = {k: v for k, v in attrs.items() if k != "kernel"}
        return b.conv2d(x, w, bias if rng.integers(4) else None, **rest, **q)

    return build


def depthwise(multiplier: int = 1, **attrs: Any) -> Build:
    def build(b: pe.GraphBuilder, x: pe.Tensor, rng: np.random.Generator, q: dict[str, Any]) -> pe.Tensor:
        w, bias = weight(b, x, rng, (3, 2, 4 * multiplier), 4 * multiplier)
        return b.depthwise_conv2d(x, w, bias, **attrs, **q)

    return build


def linear(shape: tuple[int, ...], **attrs: Any) -> Build:
    def build(b: pe.GraphBuilder, x: pe.Tensor, rng: np.random.Generator, q: dict[str, Any]) -> pe.Tensor:
        h = b.reshape(x, shape)
        w, bias = weight(b, x, rng, (6, shape[-1]), 6)
        return b.linear(h, w, bias, **attrs, **q)

    return build


def broadcast(shape: tuple[int, ...]) -> Build:
    def build(b: pe.GraphBuilder, x: pe.Tensor, rng: np.random.Generator, q: dict[str, Any]) -> pe.Tensor:
        if x.dtype == "int8":
            other = b.constant(rng.integers(-128, 128, shape, np.int8), scale=0.07, zero_point=-9)
        else:
            other = b.constant(rng.normal(size=shape))
        return b.add(other, x, activation="relu6", **q)

    return build


BOTH: dict[str, Build] = {
    "conv same": conv(),
    "conv valid stride": conv(padding="valid", stride=(2, 3), activation="relu"),
    "conv dilation": conv(dilation=(2, 3), activation="relu6"),
    "conv same even stride": conv(kernel=(4, 2), stride=2, activation="relu_n1_to_1"),
    "conv explicit padding": conv(padding=((2, 0), (1, 3)), stride=(1, 2)),
    "conv groups": conv(groups=2),
    "conv groups of one": conv(groups=4, stride=2),
    "pointwise": conv(kernel=(1, 1)),
    "pointwise stride": conv(kernel=(1, 1), stride=2),
    "depthwise": depthwise(),
    "depthwise multiplier": depthwise(3, stride=2, activation="relu"),
    "depthwise dilation": depthwise(2, dilation=2, padding="valid"),
    "depthwise explicit padding": depthwise(padding=((0, 2), (3, 1)), activation="relu6"),
    "linear": linear((2, 252)),
    "linear flattens": linear((1, 6, 84), activation="relu"),
    "linear keeps axes": linear((2, 3, 84), keep_dims=True),
    "add same": broadcast(X),
    "add channels": broadcast((4,)),
    "add row": broadcast((1, 7, 1)),
    "add both ways": lambda b, x, r, q: b.add(
        b.mean(x, (2,), keepdims=True, **q), b.mean(x, (1,), keepdims=True, **q), **q
    ),
    "add itself": lambda b, x, r, q: b.add(x, x, **q),
    "avg_pool": lambda b, x, r, q: b.avg_pool2d(x, (3, 2), stride=2, padding="same", activation="relu"),
    "avg_pool explicit": lambda b, x, r, q: b.avg_pool2d(x, 3, stride=1, padding=((1, 2), (0, 1))),
    "max_pool": lambda b, x, r, q: b.max_pool2d(x, 2, activation="relu6"),
    "max_pool same": lambda b, x, r, q: b.max_pool2d(x, (4, 3), stride=(1, 2), padding="same"),
    "mean image": lambda b, x, r, q: b.mean(x, (1, 2), **q),
    "mean all": lambda b, x, r, q: b.mean(x, (0, 1, 2, 3), **q),
    "mean channels": lambda b, x, r, q: b.mean(x, (-1,), keepdims=True, **q),
    "mean outer and inner": lambda b, x, r, q: b.mean(x, (0, 2), **q),
    "softmax": lambda b, x, r, q: b.softmax(x, beta=1.5),
    "reshape": lambda b, x, r, q: b.relu(b.reshape(x, (7, -1))),
    "relu6": lambda b, x, r, q: b.relu6(x),
    "clip": lambda b, x, r, q: b.clip(x, -0.3, 1.1),
    "clip below": lambda b, x, r, q: b.clip(x, min=0.2),
    "any_ge": lambda b, x, r, q: b.any_ge(x, 1.9),
    "any_ge never": lambda b, x, r, q: b.any_ge(x, 1e6),
}
INT8: dict[str, Build] = {
    "requantize": lambda b, x, r, q: b.quantize(x, **q),
    "dequantize": lambda b, x, r, q: b.dequantize(x),
}


def graph_of(build: Build, dtype: str, seed: int) -> pe.Graph:
    rng = np.random.default_rng(seed)
    b = pe.GraphBuilder()
    scale, zero_point = float(rng.uniform(0.005, 0.05)), int(rng.integers(-128, 128))
    x = b.input("x", X, dtype, scale=scale if dtype == "int8" else None, zero_point=zero_point)
    q = {"scale": float(rng.uniform(0.01, 0.1)), "zero_point": int(rng.integers(-128, 128))} if dtype == "int8" else {}
    b.output("y", build(b, x, rng, q))
    return b.build()


@pytest.mark.parametrize("keep", [None, "all"])
@pytest.mark.parametrize("rounding", ["tflite", "litert-ref"])
@pytest.mark.parametrize("name", [*BOTH, *INT8])
def test_int8_has_the_bits_of_the_reference(name: str, rounding: str, keep: Any) -> None:
    """Random scales, zero points and codes; every element equal."""
    for seed in range(4):
        graph = graph_of({**BOTH, **INT8}[name], "int8", seed)
        session = pe.Session(pe.compile(graph, rounding=rounding, keep=keep))
        rng = np.random.default_rng(seed)
        for x in (rng.integers(-128, 128, X, np.int8), np.full(X, 127, np.int8), np.full(X, -128, np.int8)):
            expected = reference.run(graph, {"x": x}, rounding)
            np.testing.assert_array_equal(session.run({"x": x})["y"], expected["y"])


@pytest.mark.parametrize("name", BOTH)
def test_float_is_the_reference_within_rounding(name: str) -> None:
    """At most 1e-5 of the largest value: sums of some hundred terms in float32."""
    for seed in range(4):
        graph = graph_of(BOTH[name], "float32", seed)
        x = np.random.default_rng(seed).normal(size=X).astype(np.float32)
        y, expected = pe.Session(pe.compile(graph)).run([x])[0], reference.run(graph, {"x": x})["y"]
        assert y.dtype == expected.dtype and y.shape == expected.shape
        if y.dtype == np.bool_:
            np.testing.assert_array_equal(y, expected)
        else:
            assert np.abs(y - expected).max() <= 1e-5 * np.abs(expected).max()


def test_quantize_rounds_as_the_reference() -> None:
    """Floats in steps of half a code, far values and infinities."""
    b = pe.GraphBuilder()
    b.output("y", b.quantize(b.input("x", (1, 2002), "float32"), 0.25, -7))
    graph = b.build()
    x = np.concatenate([np.arange(-1000, 1000) * np.float32(0.125), np.float32([np.inf, -np.inf])]).astype(np.float32)
    expected = reference.run(graph, {"x": x[None]})["y"]
    np.testing.assert_array_equal(pe.Session(pe.compile(graph)).run([x[None]])[0], expected)


@pytest.mark.parametrize("threshold", [-3.3, -0.05, 0.0, 0.049, 0.05, 6.3, 6.4, 1e30])
def test_any_ge_compares_real_values(threshold: float) -> None:
    """For each code alone: the answer is that of its real value."""
    b = pe.GraphBuilder()
    x = b.input("x", (1,), "int8", scale=0.05, zero_point=2)
    b.output("y", b.any_ge(x, threshold))
    session = pe.Session(pe.compile(b.build()))
    for code in range(-128, 128):
        # Lowering works in double on the float32 scale, so the real value is compared in double, too.
        real = float(np.float32(0.05)) * (code - 2)
        assert session(np.array([code], np.int8)) == [real >= threshold]


def test_the_bias_fold_wraps() -> None:
    """A bias near 2^31 and a zero point give the wrapped sum, as int32 arithmetic does."""
    b = pe.GraphBuilder()
    x = b.input("x", (1, 4), "int8", scale=0.1, zero_point=-128)
    w = b.constant(np.full((1, 4), 127, np.int8), scale=0.1)
    b.output("y", b.linear(x, w, np.array([2**31 - 1], np.int32), scale=1e6))
    plan = pe.compile(b.build())
    q = next(t for t in plan.tensors if t.dtype == "int32")
    assert q.data is not None and q.data.shape == (1, 3)
    assert q.data[0, 0] == np.int64(2**31 - 1 + 128 * 4 * 127) - 2**32


def test_litert_ref_stores_the_factor_as_a_double() -> None:
    """Words a and b of linear's q are the double; conv2d keeps multiplier and shift."""
    b = pe.GraphBuilder()
    x = b.input("x", (1, 1, 1, 4), "int8", scale=0.5)
    w = b.constant(np.ones((2, 4), np.int8), scale=[0.25, 3.0])
    b.output(
        "y", b.linear(b.conv2d(x, b.constant(np.ones((4, 1, 1, 4), np.int8), scale=0.5), scale=0.25), w, scale=0.125)
    )
    plan = pe.compile(b.build(), rounding="litert-ref")
    tables = [t.data for t in plan.tensors if t.dtype == "int32" and t.data is not None]
    assert [list(t[0, 1:]) for t in tables[:1]] == [[1 << 30, -1]]  # 0.5 * 0.5 / 0.25 = 1
    assert np.ascontiguousarray(tables[1][:, 1:]).view(np.float64).reshape(-1).tolist() == [0.5, 6.0]
    assert [op.params["rounding"] for op in plan.ops] == [structs.ROUNDING["tflite"], structs.ROUNDING["litert-ref"]]


def raw_graph(op: Op, *tensors: Tensor) -> Graph:
    graph = Graph("raw")
    for t in tensors:
        graph.add_tensor(t)
    graph.ops, graph.input_names, graph.output_names = [op], ["x"], ["y"]
    return graph


def scaled(scale: float, zero_point: int = 0) -> Quantization:
    return Quantization(np.array([scale], np.float32), np.array([zero_point], np.int32))


def test_what_no_kernel_takes_is_an_error_that_names_it() -> None:
    """Wrong scales, weights that change, and a tensor that is too large: each names op and tensor."""
    x, y = Tensor("x", (1, 4), "int8", quant=scaled(0.1)), Tensor("y", (1, 4), "int8", quant=scaled(0.2))
    softmax = Op("softmax", "soft", ["x"], ["y"], {"axis": -1, "beta": 1.0})
    with pytest.raises(pe.PlanError, match=r"'soft'.*1/256"):
        pe.compile(raw_graph(softmax, x, y))
    pool = Op(
        "max_pool2d", "pool", ["x"], ["y"], {"kernel": (1, 1), "stride": (1, 1), "padding": "valid", "activation": None}
    )
    x4, y4 = (Tensor(t.name, (1, 1, 1, 4), "int8", quant=t.quant) for t in (x, y))
    with pytest.raises(pe.PlanError, match=r"'pool'.*different scales"):
        pe.compile(raw_graph(pool, x4, y4))
    linear_op = Op("linear", "fc", ["x", "x", None], ["y"], {"activation": None, "keep_dims": True})
    with pytest.raises(pe.PlanError, match=r"'fc'.*constant int8 weights"):
        pe.compile(raw_graph(linear_op, Tensor("x", (4, 4), "int8", quant=scaled(0.1)), Tensor("y", (4, 4), "int8")))
    relu = Op("relu", "relu", ["x"], ["y"], {})
    big = (1 << 15, 1 << 14)
    with pytest.raises(pe.PlanError, match=r"'x'.*2\^30"):
        pe.compile(raw_graph(relu, Tensor("x", big, "float32"), Tensor("y", big, "float32")))
    with pytest.raises(pe.PlanError, match="'x' has 7 axes"):
        pe.compile(raw_graph(relu, Tensor("x", (1,) * 7, "float32"), Tensor("y", (1,) * 7, "float32")))
    no_scale = Op("quantize", "requantize", ["x"], ["y"], {})
    with pytest.raises(pe.PlanError, match=r"'requantize'.*'x' has no per-tensor scale"):
        pe.compile(raw_graph(no_scale, Tensor("x", (4,), "int8"), Tensor("y", (4,), "int8")))


def test_arms_of_different_scales_are_refused() -> None:
    """Both arms write the same tensor, which has one scale."""
    b = pe.GraphBuilder()
    x = b.input("x", (1, 4), "int8", scale=0.1)
    y = b.cond(b.any_ge(x, 0), lambda i: i.quantize(x, 0.2), lambda i: i.quantize(x, 0.3))[0]
    b.output("y", y)
    with pytest.raises(pe.PlanError, match=r"\(if\).*different shapes, dtypes or scales"):
        pe.compile(b.build())
