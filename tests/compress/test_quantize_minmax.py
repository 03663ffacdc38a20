"""pyedge/compress: min-max quantization and the folding of activations. Ranges come from the reference here."""

import math

import numpy as np
import pytest

from pyedge.compress.fold import fold_activations
from pyedge.compress.quantize import quantize_minmax
from pyedge.errors import ModelError
from pyedge.model.builder import GraphBuilder
from pyedge.model.graph import Graph
from pyedge.model.reference import run


def network(seed: int = 0) -> Graph:
    """Every op that the quantizer knows, with activations that fold."""
    r = np.random.default_rng(seed)
    b = GraphBuilder()
    x = b.input("x", (1, 8, 8, 3))
    h = b.relu(b.conv2d(x, r.normal(size=(8, 3, 3, 3)) / 5, r.normal(size=8), name="conv"))
    d = b.relu6(b.depthwise_conv2d(h, r.normal(size=(3, 3, 8)) / 3, r.normal(size=8), name="depthwise"))
    s = b.add(h, d, activation="relu", name="sum")
    s = b.add(s, b.constant(r.normal(size=(8,))), name="shifted")
    s = b.clip(b.max_pool2d(s, 2, name="max"), -0.5, 2.0, name="clipped")
    m = b.mean(b.avg_pool2d(s, 2, name="avg"), (1, 2), name="mean")
    b.output("y", b.softmax(b.linear(m, r.normal(size=(5, 8)), None, name="linear")))
    return b.build()


def samples(n: int = 20) -> list[np.ndarray]:
    return list(np.random.default_rng(1).normal(size=(n, 1, 8, 8, 3)).astype(np.float32))


def measured(graph: Graph) -> dict[str, tuple[float, float]]:
    found: dict[str, tuple[float, float]] = {}
    for x in samples():
        for name, value in run(graph, {"x": x}, keep=True).items():
            old = found.get(name, (math.inf, -math.inf))
            found[name] = (min(old[0], float(value.min())), max(old[1], float(value.max())))
    return found


def test_an_int8_graph_stays_close_to_its_float_graph():
    """Probabilities within 8 steps of 1/256 of the float ones on the calibration data."""
    graph = network()
    quantized, _ = quantize_minmax(graph, measured(graph))
    x, y = quantized.inputs[0], quantized.outputs[0]
    assert (x.dtype, y.dtype) == ("int8", "int8")
    worst = 0.0
    for sample in samples():
        codes = run(quantized, {"x": x.quantize(sample)})["y"]
        worst = max(worst, float(np.abs(y.dequantize(codes) - run(graph, {"x": sample})["y"]).max()))
    assert worst < 8 / 256


def test_the_float_graph_is_untouched():
    """A pass gives a new graph; the arrays of the old one keep their values and types."""
    graph = network()
    before = {n: (t.dtype, t.data.copy()) for n, t in graph.tensors.items() if t.data is not None}
    ops = [(op.kind, list(op.inputs), dict(op.attrs)) for op in graph.ops]
    quantize_minmax(graph, measured(graph))
    assert ops == [(op.kind, op.inputs, op.attrs) for op in graph.ops]
    for name, (dtype, value) in before.items():
        assert graph.tensors[name].dtype == dtype
        assert np.array_equal(graph.tensors[name].data, value)


def test_scales_are_those_of_the_specification():
    """Weights: per channel, symmetric, largest is 127. Bias: scale x * w. Zero has a code. Softmax: 1/256, -128."""
    graph = network()
    quantized, report = quantize_minmax(graph, measured(graph))
    conv = quantized.ops[0]
    w, b = quantized.tensors[conv.inputs[1]], quantized.tensors[conv.inputs[2]]
    assert (w.dtype, b.dtype, w.quant.scale.shape, w.quant.axis) == ("int8", "int32", (8,), 0)
    assert np.array_equal(np.abs(w.data).max(axis=(1, 2, 3)), np.full(8, 127))
    assert np.array_equal(b.quant.scale, np.float32(quantized.inputs[0].scale) * w.quant.scale)
    assert (quantized.outputs[0].scale, quantized.outputs[0].zero_point) == (1 / 256, -128)
    for t in quantized.tensors.values():
        if t.dtype == "int8" and t.scale is not None:
            assert t.quantize(np.zeros(1))[0] == t.zero_point
    assert set(report.weight_sqnr_db) == {"conv", "depthwise", "linear"}
    assert min(report.weight_sqnr_db.values()) > 35  # 40 dB is usual for int8 on normal weights
    assert report.weight_bytes_after < report.weight_bytes_before / 2


def test_pools_keep_the_scale_of_their_input():
    """They move codes, so input and output mean the same."""
    graph = network()
    quantized, _ = quantize_minmax(graph, measured(graph))
    for op in quantized.ops:
        if op.kind in ("max_pool2d", "avg_pool2d"):
            x, y = quantized.tensors[op.inputs[0]], quantized.tensors[op.outputs[0]]
            assert (x.scale, x.zero_point) == (y.scale, y.zero_point)


def test_a_channel_of_zeros_keeps_its_bias():
    """Its weights have no range to give a scale; the bias still arrives, to a fraction of an output step."""
    b = GraphBuilder()
    w = np.float32([[0, 0, 0], [1, -1, 2]])
    b.output("y", b.linear(b.input("x", (1, 3)), w, np.float32([1.5, -0.5])))
    graph = b.build()
    quantized, _ = quantize_minmax(graph, {"x": (-1, 1), "y": (-4, 4)})
    y = quantized.outputs[0]
    real = y.dequantize(run(quantized, {"x": quantized.inputs[0].quantize(np.zeros((1, 3)))})["y"])
    assert np.abs(real - [[1.5, -0.5]]).max() <= y.scale / 2 + 1e-6


def test_a_bias_far_above_its_weights_does_not_overflow():
    """The channel's scale grows until the bias fits int32."""
    b = GraphBuilder()
    b.output("y", b.linear(b.input("x", (1, 1)), np.float32([[1e-9]]), np.float32([3.0])))
    graph = b.build()
    quantized, _ = quantize_minmax(graph, {"x": (-1, 1), "y": (0, 4)})
    real = quantized.outputs[0].dequantize(run(quantized, {"x": np.zeros((1, 1), np.int8)})["y"])
    assert abs(real[0, 0] - 3.0) < 4 / 255


def test_one_weight_of_two_ops_is_quantized_for_each():
    """Their inputs differ in scale, so their biases do; both results are right."""
    b = GraphBuilder()
    x = b.input("x", (1, 4))
    w, bias = b.constant(np.float32(np.eye(4)), "w"), b.constant(np.float32([1, 2, 3, 4]), "b")
    h = b.linear(x, w, bias, name="first")
    b.output("y", b.linear(h, w, bias, name="second"))
    graph = b.build()
    quantized, _ = quantize_minmax(graph, {"x": (-1, 1), "first": (-5, 5), "y": (-9, 9)})
    q = quantized.inputs[0].quantize(np.float32([[1, 0.5, 0, -1]]))
    real = quantized.outputs[0].dequantize(run(quantized, {"x": q})["y"])
    assert np.abs(real - [[3, 4.5, 6, 7]]).max() < 0.1


@pytest.mark.parametrize(
    "ranges, message",
    [
        ({}, "'x' has no range"),
        ({"x": (-1, 1)}, "'y' has no range"),
        ({"x": (-1, math.inf), "y": (0, 1)}, "'x' has the range"),
        ({"x": (-1, 1), "y": (math.nan, math.nan)}, "'y' has the range"),
    ],
)
def test_missing_or_infinite_ranges_are_named(ranges, message):
    """Rather than a scale made up."""
    b = GraphBuilder()
    b.output("y", b.linear(b.input("x", (1, 1)), np.float32([[1]])))
    with pytest.raises(ModelError, match=message):
        quantize_minmax(b.build(), ranges)


def test_what_cannot_be_quantized_is_named():
    """An int8 graph, and a branch."""
    graph = network()
    quantized, _ = quantize_minmax(graph, measured(graph))
    with pytest.raises(ModelError, match="'x' is int8 already"):
        quantize_minmax(quantized, measured(graph))
    b = GraphBuilder()
    x = b.input("x", (1, 4))
    (y,) = b.cond(b.any_ge(x, 0), lambda c: x, lambda c: c.relu(x))
    b.output("y", y)
    with pytest.raises(ModelError, match=r"if 'if_.*cannot be quantized"):
        quantize_minmax(b.build(), {"x": (-1, 1), "y": (0, 1)})


def test_activations_fold_only_where_nobody_else_reads():
    """relu after conv becomes part of it; with a second reader, or with another activation inside, it stays."""
    b = GraphBuilder()
    x = b.input("x", (1, 4))
    eye = np.float32(np.eye(4))
    folds = b.relu6(b.linear(x, eye), name="folds")
    read_twice = b.linear(x, eye, name="read_twice")
    b.output("y", b.add(b.add(b.relu(read_twice), read_twice), b.clip(b.relu(b.linear(folds, eye)), 0.0, 6.0)))
    graph = b.build()
    folded = fold_activations(graph)
    assert [op.kind for op in graph.ops].count("linear") == 3
    assert [op.kind for op in folded.ops] == ["linear", "linear", "relu", "add", "linear", "clip", "add"]
    assert [op.attrs.get("activation") for op in folded.ops if op.kind == "linear"] == ["relu6", None, "relu"]
    given = {"x": np.float32([[-3, 0.5, 2, 9]])}
    assert np.array_equal(run(folded, given)["y"], run(graph, given)["y"])
