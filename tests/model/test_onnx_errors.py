"""What is refused in an ONNX model is named: the model, the node, its operator, and the value that is wrong."""

from __future__ import annotations

import re

import numpy as np
import pytest
from onnx_maker import model, rng_array

import pyedge as pe
from pyedge.model.onnx import load_onnx

CONSTANTS = {
    "w": rng_array((3, 2, 3, 3)),
    "scales": np.float32([1, 1, 2, 2]),
    "lw": rng_array((1, 16, 3)),
    "lr": rng_array((1, 16, 4)),
    "zeros": np.zeros((2, 3), np.int64),
    "pads": np.int64([0, 0, 1, 1]),
    "half": np.float32(0.5),
    "yes": np.array(True),
}
IMAGE, MATRIX, SEQUENCE = "float[1,4,6,6] x", "float[2,3] x", "float[1,2,3] x"

# Operator and attributes, the input, and what the error says of it.
REFUSED = [
    ("Conv", '<auto_pad="SAME"> (x, w)', "float[1,2,6,6] x", r"auto_pad='SAME'"),
    ("Relu", "<slope=0.5> (x)", MATRIX, r"slope=0\.5"),
    ("Resize", '<mode="spline"> (x, , scales)', IMAGE, r"mode is 'spline'"),
    ("Gelu", '<approximate="fast"> (x)', MATRIX, r"approximate is 'fast'"),
    ("LSTM", '<activations=["Foo","Tanh","Tanh"], hidden_size=4> (x, lw, lr)', SEQUENCE, r"activations=\['Foo'"),
    ("LSTM", '<direction="sideways", hidden_size=4> (x, lw, lr)', SEQUENCE, r"direction is 'sideways'"),
    ("LSTM", "<layout=7, hidden_size=4> (x, lw, lr)", SEQUENCE, r"layout=7"),
    ("ScatterElements", '<reduction="xor"> (x, zeros, x)', MATRIX, r"reduction is 'xor'"),
    ("Pad", '<mode="mirror"> (x, pads)', MATRIX, r"mode='mirror'"),
    ("ArgMax", "<axis=7> (x)", MATRIX, r"no axis 7"),
    ("Softmax", "<axis=5> (x)", MATRIX, r"axis 5"),
    ("Dropout", "(x, half, yes)", MATRIX, r"training_mode=1"),
    ("DepthToSpace", '<blocksize=2, mode="XYZ"> (x)', IMAGE, r"mode 'XYZ'"),
    ("MaxPool", "<kernel_shape=[2,2], storage_order=3> (x)", IMAGE, r"storage_order=3"),
    ("Einsum", '<equation="ij->ijk"> (x)', MATRIX, r"'ij->ijk'"),
    ("Gather", "(x, pads)", "float[1,3] x", r"index that axis 0 of \[1, 3\] doesn't have"),
    ("Transpose", "<perm=[1,1]> (x)", MATRIX, r"perm \[1, 1\]"),
]


def load(text: str) -> pe.Graph:
    return load_onnx(model(text, 21, **{n: v for n, v in CONSTANTS.items() if n in text}), name="net.onnx")


@pytest.mark.parametrize("op_type, call, given, message", REFUSED)
def test_a_refusal_names_model_node_operator_and_value(op_type: str, call: str, given: str, message: str) -> None:
    with pytest.raises(pe.ModelError) as caught:
        load(f"g ({given}) => (float y) {{ [the_node] y = {op_type} {call} }}")
    text = str(caught.value)
    assert text.startswith("net.onnx: ")
    assert "'the_node'" in text
    assert op_type in text
    assert "\n" not in text
    assert re.search(message, text), text


def test_all_operators_that_are_missing_are_named_at_once() -> None:
    """Also those whose operands come from others that are missing, with their domains."""
    text = "g (float[2,3] x) => (float y) { [a] h = Foo (x) [b] g = com.microsoft.Bar (x) y = Add (h, g) }"
    with pytest.raises(pe.UnsupportedOpError, match=r"Foo \(node 'a': .*com\.microsoft:Bar \(node 'b': "):
        load(text)


def test_an_attribute_that_says_its_default_is_no_matter() -> None:
    """Exporters write attributes that an operator would have anyway, even where another operand makes them void."""
    text = "g (float[2,3] x) => (float y) { y = ReduceMean <noop_with_empty_axes=0, keepdims=1> (x, axes) }"
    proto = model(text, 21, axes=np.int64([1]))
    x = rng_array((2, 3))
    y = pe.Session(pe.compile(load_onnx(proto))).run({"x": x})["y"]
    np.testing.assert_allclose(y, x.mean(1, keepdims=True), rtol=1e-6)
