"""pyedge/model/surgery.py."""

import numpy as np
import pytest

from pyedge.errors import ModelError
from pyedge.model.builder import GraphBuilder
from pyedge.model.reference import run
from pyedge.model.surgery import extract, split
from pyedge.model.tflite import load_tflite


def test_two_halves_compute_what_the_whole_does(data_dir):
    """DS-CNN cut after its seventh op: feeding the first half's result to the second gives the same bytes."""
    graph = load_tflite(data_dir / "models" / "mlperf_kws_dscnn_int8.tflite")
    at = graph.ops[6].outputs[0]
    head, tail = split(graph, at)
    assert (len(head.ops), len(tail.ops)) == (7, 6)
    x = np.random.default_rng(0).integers(-128, 128, (1, 49, 10, 1)).astype(np.int8)
    middle = run(head, {graph.input_names[0]: x})[at]
    assert np.array_equal(run(graph, {graph.input_names[0]: x})["Identity"], run(tail, {at: middle})["Identity"])


def residual():
    b = GraphBuilder()
    x = b.input("x", (1, 4))
    h = b.relu(x, name="h")
    (c,) = b.cond(b.any_ge(h, 1.0, name="p"), lambda i: h, lambda i: i.add(h, x), name="c")
    b.output("y", b.add(c, b.constant(np.float32([1, 2, 3, 4]), "k"), name="sum"))
    b.output("unused", b.softmax(x))
    return b.build()


def test_only_what_the_outputs_need_stays():
    """Ops, tensors and constants of other outputs go; what a branch reads stays."""
    part = extract(residual(), ["x"], ["c"])
    assert "unused" not in part.tensors
    assert [op.kind for op in part.ops] == ["relu", "any_ge", "if"]
    x = np.float32([[0.5, -1, 0, 0]])
    whole = run(residual(), {"x": x}, keep=True)
    assert np.array_equal(run(part, {"x": x})[part.output_names[0]], whole[part.output_names[0]])


@pytest.mark.parametrize(
    "inputs, outputs, message",
    [
        (["x"], ["z"], "no tensor 'z'"),
        (["h"], ["y"], "need input 'x'"),
        (["k"], ["y"], "need input 'x'"),
        (["x", "k"], ["y"], "input 'k' is a constant"),
        (["x"], [], "no output"),
    ],
)
def test_an_impossible_cut_is_named(inputs, outputs, message):
    """The error names the tensor that is missing."""
    with pytest.raises(ModelError, match=message):
        extract(residual(), inputs, outputs)
