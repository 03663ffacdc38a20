"""Scan and Loop, unrolled where the number of steps is known, against ONNX Runtime."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper
from onnx_maker import rng_array

import pyedge as pe
from pyedge.model.onnx import load_onnx

ort = pytest.importorskip("onnxruntime")
FLOAT, INT64, BOOL = TensorProto.FLOAT, TensorProto.INT64, TensorProto.BOOL
info, node = helper.make_tensor_value_info, helper.make_node


def whole(nodes: list[onnx.NodeProto], inputs: dict[str, tuple[int, ...]], outputs: list[str]) -> onnx.ModelProto:
    graph = helper.make_graph(
        nodes, "g", [info(n, FLOAT, s) for n, s in inputs.items()], [info(n, FLOAT, None) for n in outputs]
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def same_as_onnx_runtime(model: onnx.ModelProto) -> pe.Graph:
    """The graph, whose session gives what ONNX Runtime gives."""
    feeds = {
        i.name: rng_array(tuple(d.dim_value for d in i.type.tensor_type.shape.dim), k)
        for k, i in enumerate(model.graph.input)
    }
    expected = ort.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"]).run(None, feeds)
    graph = load_onnx(model)
    got = pe.Session(pe.compile(graph)).run(feeds)
    for output, e in zip(model.graph.output, expected, strict=True):
        assert got[output.name].shape == e.shape
        np.testing.assert_allclose(got[output.name], e, rtol=1e-5, atol=1e-6)
    return graph


def scan_body() -> onnx.GraphProto:
    """state * x[t] + y[t] is the new state; its tanh and the old state are what each step gives."""
    nodes = [
        node("Mul", ["s", "xt"], ["p"]),
        node("Add", ["p", "yt"], ["s2"]),
        node("Tanh", ["s2"], ["a"]),
        node("Identity", ["s"], ["b"]),
    ]
    return helper.make_graph(
        nodes,
        "body",
        [info(n, FLOAT, None) for n in ("s", "xt", "yt")],
        [info(n, FLOAT, None) for n in ("s2", "a", "b")],
    )


@pytest.mark.parametrize("back", [0, 1])
@pytest.mark.parametrize("axis", [0, 1, -1])
def test_scan(back: int, axis: int) -> None:
    """Two sequences along different axes and in different directions, results forward and backward."""
    scan = node(
        "Scan",
        ["s0", "x", "y"],
        ["last", "a", "b"],
        body=scan_body(),
        num_scan_inputs=2,
        scan_input_axes=[0, 1],
        scan_input_directions=[back, 1],
        scan_output_axes=[axis, 0],
        scan_output_directions=[back, 1 - back],
    )
    graph = same_as_onnx_runtime(whole([scan], {"s0": (2, 3), "x": (5, 2, 3), "y": (2, 5, 3)}, ["last", "a", "b"]))
    assert [op.kind for op in graph.ops].count("tanh") == 5


def loop_body(stop: bool) -> onnx.GraphProto:
    """v = v * step + x of outside; goes on while step < 3 if stop."""
    nodes = [
        node("Constant", [], ["three"], value_int=3),
        node("Less", ["i", "three"], ["less"]),
        node("Identity", ["less" if stop else "c"], ["c2"]),
        node("Cast", ["i"], ["f"], to=FLOAT),
        node("Mul", ["v", "f"], ["p"]),
        node("Add", ["p", "x"], ["v2"]),
        node("Neg", ["v2"], ["each"]),
    ]
    inputs = [info("i", INT64, []), info("c", BOOL, []), info("v", FLOAT, None)]
    return helper.make_graph(
        nodes, "body", inputs, [info("c2", BOOL, []), info("v2", FLOAT, None), info("each", FLOAT, None)]
    )


@pytest.mark.parametrize("trips, stop, steps", [(4, False, 4), (9, True, 4), (None, True, 4), (1, False, 1)])
def test_loop(trips: int | None, stop: bool, steps: int) -> None:
    """By a constant trip count, by a condition that follows from the step, by both."""
    nodes = [node("Constant", [], ["go"], value=helper.make_tensor("t", BOOL, [], [True]))]
    if trips is not None:
        nodes.append(node("Constant", [], ["m"], value_int=trips))
    nodes.append(node("Loop", ["m" if trips is not None else "", "go", "v0"], ["v", "all"], body=loop_body(stop)))
    graph = same_as_onnx_runtime(whole(nodes, {"v0": (2, 3), "x": (2, 3)}, ["v", "all"]))
    assert [op.kind for op in graph.ops].count("neg") == steps


def test_a_loop_without_an_end_is_refused_in_time() -> None:
    """Neither a trip count nor a condition that becomes false: the error says where the bound is."""
    nodes = [node("Loop", ["", "", "v0"], ["v", "all"], body=loop_body(False))]
    with pytest.raises(pe.ModelError, match="its functions and loops become too many nodes, over 8192"):
        load_onnx(whole(nodes, {"v0": (1,), "x": (1,)}, ["v"]))


def test_a_condition_of_run_time_is_refused() -> None:
    """A loop that stops when a value says so can't be unrolled."""
    body = loop_body(False)
    body.node[2].CopyFrom(node("Greater", ["v", "x"], ["c2"]))
    nodes = [node("Loop", ["", "", "v0"], ["v", "all"], body=body)]
    with pytest.raises(pe.UnsupportedOpError, match="a condition that is not known at load"):
        load_onnx(whole(nodes, {"v0": (1,), "x": (1,)}, ["v"]))
