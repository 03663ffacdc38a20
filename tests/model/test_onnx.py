"""ONNX models to graphs: what they compute, what is refused and how."""

from __future__ import annotations

import contextlib
import resource
import time
from pathlib import Path

import numpy as np
import pytest

onnx = pytest.importorskip("onnx")

from onnx import TensorProto, helper, numpy_helper  # noqa: E402
from onnx_maker import model, rng_array  # noqa: E402

import pyedge as pe  # noqa: E402
from pyedge.compress.clean import clean_up  # noqa: E402
from pyedge.compress.transposes import count_transposes  # noqa: E402
from pyedge.model import reference  # noqa: E402
from pyedge.model.onnx import load_onnx  # noqa: E402


def expected(proto: onnx.ModelProto, feeds: dict[str, np.ndarray]) -> list[np.ndarray]:
    """What onnx's own reference computes."""
    from onnx.reference import ReferenceEvaluator

    return list(ReferenceEvaluator(proto).run(None, feeds))


def given(graph: pe.Graph, feeds: dict[str, np.ndarray]) -> list[np.ndarray]:
    return pe.Session(pe.compile(graph)).run([feeds[t.name] for t in graph.inputs])


def agree(proto: onnx.ModelProto, feeds: dict[str, np.ndarray], **options: object) -> pe.Graph:
    """The cleaned graph of a model, after its raw and its cleaned form have given what onnx's reference gives."""
    wanted = expected(proto, feeds)
    raw = load_onnx(proto, **options)  # type: ignore[arg-type]
    clean = clean_up(raw)
    for graph in (raw, clean):
        for y, e in zip(given(graph, feeds), wanted, strict=True):
            np.testing.assert_allclose(y, e, rtol=1e-4, atol=1e-5)
    return clean


CNN = """
cnn (float[1, 3, 12, 10] x) => (float[1, 10] y) {
    c1 = Conv <pads = [1, 1, 1, 1], strides = [2, 1]> (x, w1, b1)
    r1 = Relu (c1)
    d1 = Conv <group = 8, pads = [1, 1, 1, 1]> (r1, w2, b2)
    s1 = Add (d1, r1)
    p1 = MaxPool <kernel_shape = [2, 2], strides = [2, 2]> (s1)
    f1 = Flatten (p1)
    y = Gemm <transB = 1> (f1, w3, b3)
}
"""


def cnn() -> onnx.ModelProto:
    return model(
        CNN,
        w1=rng_array((8, 3, 3, 3), 1),
        b1=rng_array((8,), 2),
        w2=rng_array((8, 1, 3, 3), 3),
        b2=rng_array((8,), 4),
        w3=rng_array((10, 8 * 3 * 5), 5),
        b3=rng_array((10,), 6),
    )


def test_a_cnn_in_nchw_becomes_nhwc_with_no_transpose_between_its_ops() -> None:
    graph = agree(cnn(), {"x": rng_array((1, 3, 12, 10))})
    assert count_transposes(graph) == 0
    assert [op.kind for op in graph.ops] == [
        "transpose", "conv2d", "depthwise_conv2d", "add", "max_pool2d", "reshape", "linear",
    ]  # fmt: skip


def test_a_convolution_of_one_axis_is_a_picture_of_one_row() -> None:
    text = """
    g (float[2, 4, 20] x) => (float[2, 6, 9] y) {
        a = Conv <pads = [1, 1]> (x, w1, b1)
        r = Relu (a)
        y = Conv <strides = [2]> (r, w2)
    }
    """
    arrays = {"w1": rng_array((8, 4, 3), 1), "b1": rng_array((8,), 2), "w2": rng_array((6, 8, 3), 3)}
    graph = agree(model(text, **arrays), {"x": rng_array((2, 4, 20))})
    assert count_transposes(graph) == 0


def test_open_sizes_are_fixed_at_load() -> None:
    proto = model("g (float[n, t, 4] x) => (float[n, t, 4] y) { y = Relu (x) }")
    with pytest.raises(pe.ModelError, match=r"input 'x': axis 1 \(t\) is open; fix it with shapes="):
        load_onnx(proto)
    assert load_onnx(proto, shapes={"x": (2, 5, 4)}).inputs[0].shape == (2, 5, 4)
    with pytest.raises(pe.ModelError, match=r"shape \[2, 5, 3\] given, the model has 4 at axis 2"):
        load_onnx(proto, shapes={"x": (2, 5, 3)})


def test_shapes_that_are_computed_are_constants() -> None:
    text = """
    g (float[2, 3, 4] x) => (float[2, 12] y) {
        s = Shape (x)
        n = Gather <axis = 0> (s, zero)
        u = Unsqueeze (n, zeros)
        t = Concat <axis = 0> (u, minus)
        y = Reshape (x, t)
    }
    """
    proto = model(text, zero=np.int64(0), zeros=np.array([0]), minus=np.array([-1]))
    graph = agree(proto, {"x": rng_array((2, 3, 4))})
    assert [op.kind for op in graph.ops] == ["reshape"]


def branches(condition: str) -> onnx.ModelProto:
    """y = x * x if the condition holds, else x + x."""
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, [3])
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, [3])
    out = helper.make_tensor_value_info("o", TensorProto.FLOAT, [3])
    then = helper.make_graph([helper.make_node("Relu", ["x"], ["o"])], "then", [], [out])
    other = helper.make_graph([helper.make_node("Add", ["x", "x"], ["o"])], "else", [], [out])
    node = helper.make_node("If", [condition], ["y"], then_branch=then, else_branch=other, name="choose")
    inputs = [x, helper.make_tensor_value_info("c", TensorProto.BOOL, [])]
    graph = helper.make_graph([node], "g", inputs, [y], [numpy_helper.from_array(np.array(False), "no")])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])


def test_if_with_a_constant_condition_is_its_branch() -> None:
    graph = clean_up(load_onnx(branches("no")))
    assert [op.kind for op in graph.ops] == ["add"]


@pytest.mark.parametrize("condition", [True, False])
def test_if_at_run_time_takes_the_branch_of_its_condition(condition: bool) -> None:
    feeds = {"x": np.array([1, -2, 3], np.float32), "c": np.array(condition)}
    graph = clean_up(load_onnx(branches("c")))
    assert "if" in [op.kind for op in graph.ops]
    np.testing.assert_array_equal(given(graph, feeds)[0], expected(branches("c"), feeds)[0])


def test_nodes_in_any_order_are_put_in_order() -> None:
    proto, feeds = cnn(), {"x": rng_array((1, 3, 12, 10))}
    wanted = expected(proto, feeds)[0]
    nodes = list(proto.graph.node)[::-1]
    del proto.graph.node[:]
    proto.graph.node.extend(nodes)
    np.testing.assert_allclose(given(load_onnx(proto), feeds)[0], wanted, rtol=1e-4, atol=1e-5)


def test_a_function_of_the_model_is_expanded() -> None:
    proto = onnx.parser.parse_model("""
    <ir_version: 8, opset_import: ["" : 17, "own" : 1]>
    g (float[4] x) => (float[4] y) { y = own.Twice (x) }
    <domain: "own", opset_import: ["" : 17]>
    Twice (a) => (b) { t = Add (a, a) b = Relu (t) }
    """)
    graph = load_onnx(proto)
    assert [op.kind for op in graph.ops] == ["add", "relu"]


# --- what is refused -------------------------------------------------------------------------------------------------


def test_one_error_names_all_that_is_not_supported() -> None:
    text = """
    g (float[1, 2, 4, 4] x) => (float[1, 2, 4, 4] y) {
        a = NonZero (x)
        b = Conv <auto_pad = "SAME_MIDDLE"> (x, w)
        y = own.Magic <strength = 3> (b)
    }
    """
    proto = onnx.parser.parse_model(f'<ir_version: 8, opset_import: ["" : 17, "own" : 1]>\n{text}')
    proto.graph.initializer.append(numpy_helper.from_array(rng_array((2, 2, 1, 1)), "w"))
    with pytest.raises(pe.UnsupportedOpError) as error:
        load_onnx(proto, name="m.onnx")
    message = str(error.value)
    assert "m.onnx: not supported: " in message
    assert "NonZero (node 'a'" in message
    assert "Conv (node 'b': auto_pad='SAME_MIDDLE')" in message


def test_an_attribute_that_is_not_known_is_named_with_its_value() -> None:
    proto = model("g (float[4] x) => (float[4] y) { y = Relu <consumed = 7> (x) }")
    with pytest.raises(pe.UnsupportedOpError, match=r"Relu \(node 'y': consumed=7\)"):
        load_onnx(proto)


@pytest.mark.parametrize("opset", [0, 999])
def test_an_opset_that_is_too_old_or_too_new_is_refused(opset: int) -> None:
    proto = model("g (float[4] x) => (float[4] y) { y = Relu (x) }", opset=opset)
    with pytest.raises(pe.ModelError, match=f"opset {opset}; opsets 1 to "):
        load_onnx(proto)


def _huge_input() -> onnx.ModelProto:
    return model(f"g (float[{2**40}, {2**40}] x) => (float[1] y) {{ y = Relu (x) }}")


def _negative_size() -> onnx.ModelProto:
    proto = model("g (float[4] x) => (float[4] y) { y = Add (x, w) }", w=np.zeros(4, np.float32))
    proto.graph.initializer[0].dims[0] = -4
    return proto


def _huge_constant() -> onnx.ModelProto:
    proto = model("g (float[4] x) => (float[4] y) { y = Add (x, w) }", w=np.zeros(4, np.float32))
    proto.graph.initializer[0].dims[0] = 2**60
    return proto


def _cycle() -> onnx.ModelProto:
    return model("g (float[4] x) => (float[4] y) { a = Add (x, y) y = Add (a, x) }")


def _nothing_gives() -> onnx.ModelProto:
    return model("g (float[4] x) => (float[4] y) { y = Add (x, z) }")


def _given_twice() -> onnx.ModelProto:
    return model("g (float[4] x) => (float[4] y) { y = Relu (x) y = Abs (x) }")


def _huge_result() -> onnx.ModelProto:
    return model("g (float[1] x) => (float[1] y) { e = Expand (x, s) y = Relu (e) }", s=np.array([2**20, 2**20]))


def _huge_chain() -> onnx.ModelProto:
    """Constants that double: folding must stop."""
    lines = ["c0 = Concat <axis = 0> (w, w)"] + [f"c{i} = Concat <axis = 0> (c{i - 1}, c{i - 1})" for i in range(1, 40)]
    return model(f"g (float[1] x) => (float[1] y) {{ {' '.join(lines)} y = Add (x, c39) }}", w=np.zeros(9, np.float32))


def _recursion() -> onnx.ModelProto:
    return onnx.parser.parse_model("""
    <ir_version: 8, opset_import: ["" : 17, "own" : 1]>
    g (float[4] x) => (float[4] y) { y = own.F (x) }
    <domain: "own", opset_import: ["" : 17, "own" : 1]>
    F (a) => (b) { b = own.F (a) }
    """)


@pytest.mark.parametrize(
    "make",
    [
        _huge_input,
        _negative_size,
        _huge_constant,
        _cycle,
        _nothing_gives,
        _given_twice,
        _huge_result,
        _huge_chain,
        _recursion,
    ],
)
def test_a_hostile_model_is_refused_soon_and_small(make: object) -> None:
    proto = make()  # type: ignore[operator]
    before, start = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.monotonic()
    with pytest.raises(pe.PyedgeError):
        load_onnx(proto)
    assert time.monotonic() - start < 2
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 256 * 1024


@pytest.mark.parametrize("location", ["../secret.bin", "/etc/passwd", "missing.bin", "link.bin"])
def test_external_data_outside_the_folder_is_refused(tmp_path: Path, location: str) -> None:
    folder = tmp_path / "model"
    folder.mkdir()
    (tmp_path / "secret.bin").write_bytes(bytes(16))
    (folder / "link.bin").symlink_to(tmp_path / "secret.bin")
    proto = _external(location)
    (folder / "m.onnx").write_bytes(proto.SerializeToString())
    with pytest.raises(pe.ModelError, match="is no file of the model's folder"):
        pe.load(folder / "m.onnx")


def test_external_data_in_the_folder_is_read(tmp_path: Path) -> None:
    (tmp_path / "w.bin").write_bytes(np.arange(4, dtype="<f4").tobytes())
    (tmp_path / "m.onnx").write_bytes(_external("w.bin").SerializeToString())
    graph = pe.load(tmp_path / "m.onnx")
    assert isinstance(graph, pe.Graph)
    np.testing.assert_array_equal(given(graph, {"x": np.ones(4, np.float32)})[0], [1, 2, 3, 4])


def _external(location: str) -> onnx.ModelProto:
    proto = model("g (float[4] x) => (float[4] y) { y = Add (x, w) }", w=np.zeros(4, np.float32))
    tensor = proto.graph.initializer[0]
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    entry = tensor.external_data.add()
    entry.key, entry.value = "location", location
    return proto


def test_bytes_that_are_no_model_are_refused(tmp_path: Path) -> None:
    for i, data in enumerate((b"", b"not a model", bytes(100), cnn().SerializeToString()[:200])):
        path = tmp_path / f"{i}.onnx"
        path.write_bytes(data)
        with pytest.raises(pe.ModelError):
            pe.load(path)


def test_a_damaged_file_is_an_error_of_pyedge() -> None:
    """Whatever bytes of a model change, it loads or is refused."""
    files = [cnn().SerializeToString(), branches("c").SerializeToString()]
    r = np.random.default_rng(0)
    for i in range(400):
        data = bytearray(files[i % 2])
        for place in r.integers(0, min(len(data), 1500), 1 + i % 3):
            data[place] = int(r.choice([0, 1, 2, 127, 128, 255, r.integers(256)]))
        with contextlib.suppress(pe.PyedgeError):
            clean_up(load_onnx(bytes(data)))


def test_a_deep_model_loads() -> None:
    lines = " ".join(f"a{i} = Relu (a{i - 1})" for i in range(1, 3000))
    graph = load_onnx(model(f"g (float[4] a0) => (float[4] y) {{ {lines} y = Relu (a2999) }}"))
    assert len(graph.ops) == 3000


def test_the_reference_and_the_executor_agree_on_an_imported_graph() -> None:
    graph = clean_up(load_onnx(cnn()))
    x = rng_array((1, 3, 12, 10))
    y = reference.run(graph, {"x": x})
    np.testing.assert_allclose(given(graph, {"x": x})[0], y["y"], rtol=1e-5, atol=1e-5)
