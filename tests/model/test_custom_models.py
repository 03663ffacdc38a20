"""Custom ops in model files."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnx
import pytest
from custom_kernels import register_pair, register_smooth, smooth
from onnx import parser
from tflite_maker import O, T, model

import pyedge as pe
from pyedge.model.custom import KERNELS
from pyedge.model.onnx import load_onnx
from pyedge.model.tflite import load_tflite

X = np.random.default_rng(4).standard_normal((2, 7, 3), np.float32)
HEAD = '<ir_version: 8, opset_import: ["" : 17, "my.ops" : 1]>\n'


@pytest.fixture(autouse=True)
def unregistered() -> Iterator[None]:
    """Each test begins and ends without custom ops."""
    yield
    for name in list(KERNELS):
        pe.unregister_op(name)


def onnx_model(attributes: str = "<alpha = 0.25>") -> onnx.ModelProto:
    graph = f"g (float[2,7,3] x) => (float[2,7,3] y) {{ h = Relu(x) y = my.ops.smooth {attributes} (h) }}"
    return parser.parse_model(HEAD + graph)


def test_an_onnx_node_of_a_foreign_domain(tmp_path: Path) -> None:
    """The registered op of its type, through pe.load."""
    register_smooth()
    onnx.save(onnx_model(), tmp_path / "m.onnx")
    y = pe.Session(pe.compile(pe.load(tmp_path / "m.onnx")))(X)
    assert y.tobytes() == smooth([np.maximum(X, 0)], {"alpha": 0.25}, []).tobytes()


def test_an_attribute_that_an_onnx_node_leaves_out_is_0() -> None:
    """And one that the declaration lacks is named."""
    register_smooth()
    assert load_onnx(onnx_model("")).ops[-1].attrs == {"alpha": 0.0}
    with pytest.raises(pe.UnsupportedOpError, match=r"my.ops:smooth \(node 'y': beta=1.0\)"):
        load_onnx(onnx_model("<alpha = 0.5, beta = 1.0>"))


def test_without_registration_the_onnx_node_is_named() -> None:
    """As any operator that is not supported."""
    with pytest.raises(pe.UnsupportedOpError, match=r"my.ops:smooth"):
        load_onnx(onnx_model())


def test_several_results_and_arrays_of_an_onnx_node(tmp_path: Path) -> None:
    """int8 tensors are plain codes to the importer: the kernel, which wants scales, says so."""
    register_pair(tmp_path)
    graph = "g (int32[4] a, int32[4] b) => (int32[4] y) { y = my.ops.total (a, b, a) }"
    plan = pe.compile(load_onnx(parser.parse_model(HEAD + graph)))
    a, b = np.arange(4, dtype=np.int32), np.full(4, 10, np.int32)
    np.testing.assert_array_equal(pe.Session(plan)(a, b), 2 * a + b)
    graph = "g (int8[4] x) => (int8[4] p, int8[4] q) { p, q = my.ops.split_low <shift = [1, 2], low = 90> (x) }"
    loaded = load_onnx(parser.parse_model(HEAD + graph))
    assert loaded.ops[-1].attrs == {"shift": [1, 2], "low": 90}
    with pytest.raises(pe.PlanError, match=r"split: int8 of one size, with scales"):
        pe.compile(loaded)


@pytest.mark.parametrize("options", [{"alpha": 0.25}, np.float32(0.25).tobytes()])
def test_a_tflite_custom_operator(options: dict[str, float] | bytes) -> None:
    """Options as a FlexBuffer map, or as the bytes of the params struct."""
    register_smooth()
    plan = pe.compile(load_tflite(tflite_model(options)))
    assert pe.Session(plan)(X).tobytes() == smooth([X], {"alpha": 0.25}, []).tobytes()


@pytest.mark.parametrize(
    ("options", "text"),
    [({"alpha": 0.5, "beta": 1}, "option 'beta'"), (b"\0\0\0", "3 bytes of options, its params have 4")],
)
def test_options_that_do_not_fit_are_named(options: dict[str, float] | bytes, text: str) -> None:
    """With the operator and its tensor."""
    register_smooth()
    with pytest.raises(pe.UnsupportedOpError, match=rf"custom operator 'smooth' \(operator 0, tensor 'y': {text}"):
        load_tflite(tflite_model(options))


def test_without_registration_the_tflite_operator_is_named() -> None:
    """As any operator that is not supported; options that it leaves out are 0."""
    with pytest.raises(pe.UnsupportedOpError, match=r"custom operator 'smooth'"):
        load_tflite(tflite_model({}))
    register_smooth()
    assert load_tflite(tflite_model({})).ops[0].attrs == {"alpha": 0.0}


def tflite_model(options: dict[str, float] | bytes) -> bytes:
    tensors = [T("x", (2, 7, 3)), T("y", (2, 7, 3))]
    return model(tensors, [O("smooth", [0], [1], fields=options)], [0], [1])
