"""Graphs as ONNX models for viewers: names, shapes, types, attributes and scales are there, and the checker agrees."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper
from onnx_maker import model, rng_array

import pyedge as pe
from pyedge.model import reference
from pyedge.model.onnx import load_onnx, to_onnx
from pyedge.model.onnx.export import DOMAIN


def attributes(node: onnx.NodeProto) -> dict[str, object]:
    return {a.name: helper.get_attribute_value(a) for a in node.attribute}


def standard() -> pe.Graph:
    """Ops that ONNX has, too."""
    b = pe.GraphBuilder("standard")
    x = b.input("x", (3, 4), "float32")
    h = b.linear(x, rng_array((6, 4)), rng_array((6,), 1), name="fc")
    h = b.add(b.relu(h), b.constant(rng_array((6,), 2), "offset"), name="moved")
    b.output("y", b.softmax(b.reshape(h, (2, 9)), name="probabilities"))
    return b.build()


def test_what_onnx_has_is_onnx_and_can_be_read_again() -> None:
    """Every node is of ONNX's own domain, and the model computes the same when it is loaded."""
    graph = standard()
    proto = to_onnx(graph)
    assert [(n.domain, n.op_type) for n in proto.graph.node] == [
        ("", t) for t in ("Gemm", "Relu", "Add", "Reshape", "Softmax")
    ]
    onnx.checker.check_model(proto, full_check=True)
    x = rng_array((3, 4))
    again = load_onnx(proto)
    np.testing.assert_allclose(
        reference.run(again, {"x": x})["y"], reference.run(graph, {"x": x})["y"], rtol=1e-6, atol=1e-7
    )


REAL = [
    "mlperf_ic_resnet8_int8.tflite",
    "coral_mobilenet_v1_0p25_128_quant.tflite",
    "mlperf_kws_dscnn_dynrange.tflite",
    "mlonmcu_micro_kws_m_static_qdq.onnx",
    "dory_tcn_t.onnx",
]


@pytest.mark.parametrize("name", REAL)
def test_a_real_model_is_written_with_all_that_it_has(data_dir: Path, name: str) -> None:
    """Tensors with shapes and types, constants with values, ops with kinds, attributes and scales."""
    graph = pe.load(data_dir / "models" / name)
    assert isinstance(graph, pe.Graph)
    proto = onnx.ModelProto.FromString(to_onnx(graph).SerializeToString())
    shown = {i.name: i for i in (*proto.graph.input, *proto.graph.output, *proto.graph.value_info)}
    stored = {t.name: t for t in proto.graph.initializer}
    for t in graph.tensors.values():
        if t.data is not None:
            assert np.array_equal(numpy_helper.to_array(stored[t.name]), t.data)
        else:
            shape = shown[t.name].type.tensor_type.shape.dim
            assert tuple(d.dim_value if d.HasField("dim_value") else None for d in shape) == t.shape
    assert len(proto.graph.node) == len(graph.ops)
    for op, node in zip(graph.ops, proto.graph.node, strict=True):
        assert (node.name, list(node.output)) == (op.name, op.outputs)
        if node.domain != DOMAIN:
            continue
        found = attributes(node)
        assert node.op_type == op.kind
        assert {k for k, v in op.attrs.items() if v is not None} <= found.keys()
        for side, names in (("input", op.inputs), ("output", op.outputs)):
            for i, n in enumerate(names):
                quant = None if n is None else graph.tensors[n].quant
                if quant is not None:
                    assert np.array_equal(np.float32(found[f"{side}{i}_scale"]), quant.scale)
                    assert found[f"{side}{i}_zero_point"] == quant.zero_point.tolist()


def test_a_graph_before_its_passes_is_written_too() -> None:
    """In NCHW, with its transposes, as it was imported."""
    text = "g (float[1,3,6,6] x) => (float[1,4,4,4] y) { h = Conv(x, w) y = Relu(h) }"
    graph = load_onnx(model(text, w=rng_array((4, 3, 3, 3))))
    assert [n.op_type for n in to_onnx(graph).graph.node] == ["Transpose", "conv2d", "Transpose", "Relu"]


def test_attributes_keep_their_values() -> None:
    """Pairs of pairs as one list, texts, floats and truth values; one that is None is left out."""
    b = pe.GraphBuilder()
    x = b.input("x", (1, 6, 6, 2))
    h = b.conv2d(x, rng_array((3, 3, 3, 2)), stride=(1, 2), padding=((1, 2), (0, 1)))
    b.output("y", b.clip(b.mean(h, (1, 2), keepdims=True), -0.5, float("inf")))
    conv, mean, clip = (attributes(n) for n in to_onnx(b.build()).graph.node)
    assert conv == {"stride": [1, 2], "dilation": [1, 1], "padding": [1, 2, 0, 1], "groups": 1}
    assert mean == {"axes": [1, 2], "keepdims": 1}
    assert clip == {"min": -0.5, "max": float("inf")}


def test_branches_and_states() -> None:
    """An "if" is ONNX's If; a state is an input and an output, named in the model's properties."""
    b = pe.GraphBuilder("counter")
    x = b.input("x", (1, 3))
    total = b.state("total", np.zeros((1, 3), np.float32))
    new = b.add(total, x, name="new")
    b.update(total, new)
    (y,) = b.cond(b.any_ge(new, 4.0, name="p"), lambda i: i.add(new, x), lambda i: new, name="picked")
    b.output("y", y)
    proto = to_onnx(b.build())
    assert [n.op_type for n in proto.graph.node] == ["Add", "any_ge", "If"]
    assert [i.name for i in proto.graph.input] == ["x", "total"]
    assert {o.name for o in proto.graph.output} == {"y", "new"}
    assert {p.key: p.value for p in proto.metadata_props}["states"] == "total <- new"


def test_types_that_onnx_does_not_take_keep_the_kind() -> None:
    """`Sub` of truth values is nothing that ONNX has: the op is written as ours."""
    graph = pe.Graph("g")
    for name in "xy":
        graph.add_tensor(pe.Tensor(name, (2,), "bool"))
    graph.ops.append(pe.Op("abs", "y", ["x"], ["y"]))
    graph.input_names, graph.output_names = ["x"], ["y"]
    (node,) = to_onnx(graph).graph.node
    assert (node.domain, node.op_type) == (DOMAIN, "abs")
