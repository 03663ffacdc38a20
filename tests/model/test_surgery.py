"""pyedge/model/surgery.py."""

import numpy as np
import pytest

import pyedge as pe
from pyedge.errors import ModelError, ShapeError
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


def layers():
    """x -> linear -> relu6 -> y, with names that a subgraph may have too."""
    b = GraphBuilder("layers")
    x = b.input("x", (2, 4))
    h = b.linear(x, b.constant(np.arange(12, dtype=np.float32).reshape(3, 4) / 8, "w"), name="h")
    b.output("y", b.relu6(h, name="act"))
    return b.build()


def halves():
    """A linear layer in two steps: what stands for `h`. It has an x, a w and an h of its own."""
    b = GraphBuilder("halves")
    x = b.input("x", (2, 4))
    w = np.arange(12, dtype=np.float32).reshape(3, 4) / 8
    h = b.linear(x, b.constant(w / 2, "w"), name="h")
    b.output("both", b.add(h, h, name="sum"))
    return b.build()


def test_a_subgraph_takes_the_place_of_an_op():
    """The result keeps its name, the old weight is gone, names that are taken get a number; the values are the same."""
    graph, part = layers(), halves()
    before = repr(graph), [repr(op) for op in graph.ops], repr(part), [repr(op) for op in part.ops]
    made = graph.replace("h", part)
    assert before == (repr(graph), [repr(op) for op in graph.ops], repr(part), [repr(op) for op in part.ops])
    assert [op.kind for op in made.ops] == ["linear", "add", "relu6"]
    assert sum(t.data is not None for t in made.tensors.values()) == 1
    x = np.random.default_rng(0).normal(size=(2, 4)).astype(np.float32)
    assert np.array_equal(run(made, {"x": x})["y"], run(graph, {"x": x})["y"])
    session = pe.Session(pe.compile(made))
    assert np.allclose(session.run({"x": x})["y"], run(graph, {"x": x})["y"], rtol=1e-6)


def test_a_part_of_a_graph_put_back_is_the_graph(data_dir):
    """DS-CNN with its third op replaced by that op cut out: the same bytes, though all else has been renamed."""
    graph = load_tflite(data_dir / "models" / "mlperf_kws_dscnn_int8.tflite")
    op = graph.ops[2]
    made = graph.replace(op.outputs[0], graph.extract([op.inputs[0]], op.outputs))
    x = np.random.default_rng(0).integers(-128, 128, (1, 49, 10, 1)).astype(np.int8)
    assert (
        run(made, {graph.input_names[0]: x})["Identity"].tobytes()
        == run(graph, {graph.input_names[0]: x})["Identity"].tobytes()
    )


def test_inputs_may_be_other_tensors_and_outputs_may_be_inputs():
    """A residual: the op's replacement also reads the graph's input; and one that gives on what it is given."""
    graph = layers()
    b = GraphBuilder("skip")
    h, x = b.input("a", (2, 3)), b.input("b", (2, 4))
    b.output("c", b.add(h, b.mean(x, (1,), keepdims=True)))
    made = graph.replace("y", b.build(), inputs=["h", "x"])
    x = np.random.default_rng(0).normal(size=(2, 4)).astype(np.float32)
    values = run(graph, {"x": x}, keep=True)
    np.testing.assert_allclose(run(made, {"x": x})["y"], values["h"] + x.mean(1, keepdims=True), rtol=1e-5)

    same = pe.Graph("same")
    same.add_tensor(pe.Tensor("t", (2, 3), "float32"))
    same.input_names, same.output_names = ["t"], ["t"]
    assert np.array_equal(run(graph.replace("y", same), {"x": x})["y"], values["h"])


def test_a_subgraph_brings_its_branches_and_its_state():
    """An "if" inside reads renamed tensors; a state inside is a state of the whole."""
    b = GraphBuilder("counter")
    x = b.input("x", (2, 3))
    total = b.state("h", np.zeros((2, 3), np.float32))
    new = b.add(total, x, name="w")
    b.update(total, new)
    (y,) = b.cond(b.any_ge(new, 4.0), lambda i: i.add(new, new), lambda i: new, name="picked")
    b.output("y", y)
    graph = layers()
    made = graph.replace("y", b.build())
    session = pe.Session(pe.compile(made))
    x = np.full((2, 4), 0.5, np.float32)
    h = run(graph, {"x": x}, keep=True)["h"]
    for step in range(1, 5):
        total = step * h
        expected = 2 * total if (total >= 4).any() else total
        np.testing.assert_allclose(session.run({"x": x})["y"], expected, rtol=1e-6)


def wider():
    b = GraphBuilder("wider")
    b.output("z", b.relu(b.input("x", (2, 5))))
    return b.build()


def codes():
    b = GraphBuilder("codes")
    b.output("z", b.relu(b.input("x", (2, 3), "int8", 0.5, 3)))
    return b.build()


@pytest.mark.parametrize(
    "node, part, inputs, message",
    [
        ("nothing", halves, None, "no op 'nothing'"),
        ("h", halves, ["z"], "no tensor 'z'"),
        ("h", halves, ["x", "x"], "1 inputs, linear 'h' 2"),
        ("h", halves, ["h"], r"'h' has shape \[2, 3\], 'x' \[2, 4\]"),
        ("h", wider, None, r"'x' has shape \[2, 4\], 'x' \[2, 5\]"),
        ("y", codes, None, "'h' is float32, 'x' int8: dtypes and scales must be equal"),
    ],
)
def test_a_replacement_that_does_not_fit_is_named(node, part, inputs, message):
    """Each error names the op or the tensors, and what differs."""
    with pytest.raises((ModelError, ShapeError), match=message):
        layers().replace(node, part(), inputs)
