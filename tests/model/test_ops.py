"""pyedge/model/ops.py and check.py: shape rules and what they refuse."""

import importlib
import pkgutil

import numpy as np
import pytest

import pyedge.model
from pyedge.errors import ModelError, ShapeError
from pyedge.model.builder import GraphBuilder
from pyedge.model.graph import Graph, Op, Tensor
from pyedge.model.ops import KINDS, graph_macs, infer_op, infer_shapes, resolve_padding


def infer(kind, *operands, **attrs):
    tensors = [None if o is None else Tensor(f"t{i}", tuple(o[0]), o[1]) for i, o in enumerate(operands)]
    op = Op(kind, "op", [None if t is None else t.name for t in tensors], ["y"], attrs)
    return infer_op(op, tensors)[0]


F, Q = "float32", "int8"
CONV = {"stride": (1, 1), "dilation": (1, 1), "padding": "same", "groups": 1, "activation": None}
DEPTHWISE = {k: v for k, v in CONV.items() if k != "groups"}
POOL = {"kernel": (2, 2), "stride": (2, 2), "padding": "valid", "activation": None}
LINEAR = {"activation": None, "keep_dims": False}


@pytest.mark.parametrize("size", range(1, 12))
@pytest.mark.parametrize(
    "kernel, stride, dilation", [(1, 1, 1), (3, 1, 1), (3, 2, 1), (2, 2, 1), (5, 3, 1), (3, 1, 2), (2, 3, 3)]
)
def test_same_padding_gives_ceil_windows_and_the_odd_pixel_at_the_end(size, kernel, stride, dilation):
    """TFLite's SAME: ceil(size / stride) windows, least padding for them, at most one more after than before."""
    (top, bottom), _ = resolve_padding("same", (size, 1), (kernel, 1), (stride, 1), (dilation, 1))
    windows, reach = -(-size // stride), (kernel - 1) * dilation + 1
    assert top + bottom == max((windows - 1) * stride + reach - size, 0)
    assert 0 <= bottom - top <= 1


@pytest.mark.parametrize(
    "expected, kind, operands, attrs",
    [
        ((2, 8, 8, 5), "conv2d", [((2, 8, 8, 3), F), ((5, 3, 3, 3), F), None], CONV),
        ((2, 3, 4, 5), "conv2d", [((2, 8, 8, 3), F), ((5, 3, 3, 3), F), ((5,), F)], {**CONV, "stride": (3, 2)}),
        (
            (1, 4, 2, 6),
            "conv2d",
            [((1, 8, 8, 4), Q), ((6, 3, 3, 2), Q), ((6,), "int32")],
            {**CONV, "groups": 2, "dilation": (2, 3), "padding": "valid"},
        ),
        ((1, 9, 7, 1), "conv2d", [((1, 8, 8, 1), F), ((1, 2, 2, 1), F), None], {**CONV, "padding": ((1, 1), (0, 0))}),
        ((None, 8, None, 5), "conv2d", [((None, 8, None, 3), F), ((5, 3, 3, 3), F)], CONV),
        ((1, 8, 8, 6), "depthwise_conv2d", [((1, 8, 8, 3), F), ((3, 3, 6), F), None], DEPTHWISE),
        ((6, 7), "linear", [((3, 2, 2, 5), F), ((7, 10), F), ((7,), F)], LINEAR),
        ((2, 3, 7), "linear", [((2, 3, 10), F), ((7, 10), F)], {**LINEAR, "keep_dims": True}),
        ((None, 7), "linear", [((None, 10), Q), ((7, 10), Q)], LINEAR),
        ((2, 3, 4), "add", [((3, 1), F), ((2, 1, 4), F)], {"activation": None}),
        ((None, 4), "add", [((None, 4), F), ((1, 4), F)], {"activation": None}),
        ((1, 4, 4, 3), "max_pool2d", [((1, 8, 9, 3), Q)], POOL),
        ((1, 4, 5, 3), "avg_pool2d", [((1, 8, 9, 3), Q)], {**POOL, "padding": "same"}),
        ((2, 5), "mean", [((2, 3, 4, 5), F)], {"axes": (1, 2), "keepdims": False}),
        ((2, 1, 1, 5), "mean", [((2, 3, 4, 5), F)], {"axes": (1, 2), "keepdims": True}),
        ((4, 12), "reshape", [((2, 3, 8), "int32")], {"shape": (-1, 12)}),
        ((None, 24), "reshape", [((None, 3, 8), F)], {"shape": (-1, 24)}),
        ((2, 5), "softmax", [((2, 5), Q)], {"axis": -1, "beta": 1.0}),
    ],
)
def test_shape_of_the_result(expected, kind, operands, attrs):
    """Open sizes pass through as None."""
    assert infer(kind, *operands, **attrs)[0] == expected


@pytest.mark.parametrize(
    "kind, operands, dtype",
    [
        ("quantize", [((2,), F)], Q),
        ("quantize", [((2,), Q)], Q),
        ("dequantize", [((2,), Q)], F),
        ("relu", [((2,), Q)], Q),
    ],
)
def test_dtype_of_the_result(kind, operands, dtype):
    """Elementwise ops keep their shape."""
    assert infer(kind, *operands) == ((2,), dtype)


@pytest.mark.parametrize(
    "message, kind, operands, attrs",
    [
        (r"'t0' \[1, 8, 8, 3\] and weight 't1' \[5, 3, 3, 4\]", "conv2d", [((1, 8, 8, 3), F), ((5, 3, 3, 4), F)], CONV),
        (r"'t1' is int8\[5, 3, 3, 3\], expected float32", "conv2d", [((1, 8, 8, 3), F), ((5, 3, 3, 3), Q)], CONV),
        (
            r"'t2' is float32\[5\], expected int32\[5\]",
            "conv2d",
            [((1, 8, 8, 3), Q), ((5, 3, 3, 3), Q), ((5,), F)],
            CONV,
        ),
        (
            r"'t2' is float32\[4\], expected float32\[5\]",
            "conv2d",
            [((1, 8, 8, 3), F), ((5, 3, 3, 3), F), ((4,), F)],
            CONV,
        ),
        (
            r"'t0' is float32\[8, 8, 3\], expected .* \[N, H, W, C\]",
            "conv2d",
            [((8, 8, 3), F), ((5, 3, 3, 3), F)],
            CONV,
        ),
        (
            r"smaller than the window of 5",
            "conv2d",
            [((1, 4, 4, 1), F), ((1, 5, 5, 1), F)],
            {**CONV, "padding": "valid"},
        ),
        (r"no multiple of the channels", "depthwise_conv2d", [((1, 8, 8, 3), F), ((3, 3, 4), F)], DEPTHWISE),
        (r"'t0' \[3, 5\] does not fit weight 't1' \[7, 10\]", "linear", [((3, 5), F), ((7, 10), F)], LINEAR),
        (r"'t0' \[2, 3\] and 't1' \[4\] don't broadcast", "add", [((2, 3), F), ((4,), F)], {"activation": None}),
        (r"'t1' is int8\[3\], expected float32", "add", [((3,), F), ((3,), Q)], {"activation": None}),
        (r"with axes \[4\]", "mean", [((2, 3, 4, 5), F)], {"axes": (4,), "keepdims": False}),
        (r"'t0' \[2, 3\] does not fit \[4, 2\]", "reshape", [((2, 3), F)], {"shape": (4, 2)}),
        (r"last axis is 0", "softmax", [((2, 5), Q)], {"axis": 0, "beta": 1.0}),
        (r"windows of kernel \(2, 2\) empty", "avg_pool2d", [((1, 4, 4, 1), F)], {**POOL, "padding": ((2, 0), (0, 0))}),
        (r"more than 2\^30 elements", "add", [((2**16, 1), F), ((1, 2**16), F)], {"activation": None}),
    ],
)
def test_operands_that_do_not_fit_are_named(message, kind, operands, attrs):
    """The error names the op, the tensors and their shapes."""
    with pytest.raises(ShapeError, match=message) as caught:
        infer(kind, *operands, **attrs)
    assert str(caught.value).startswith(f"{kind} 'op': ")


@pytest.mark.parametrize(
    "message, kind, attrs",
    [
        ("unknown kind 'conv3d'", "conv3d", {}),
        ("attributes", "relu", {"alpha": 1}),
        ("stride is \\(0, 1\\), expected two integers >= 1", "max_pool2d", {**POOL, "stride": (0, 1)}),
        ("padding is 'full'", "max_pool2d", {**POOL, "padding": "full"}),
        ("activation is 'gelu'", "max_pool2d", {**POOL, "activation": "gelu"}),
        ("beta is 0", "softmax", {"axis": -1, "beta": 0}),
        ("axes is \\(2, 1\\)", "mean", {"axes": (2, 1), "keepdims": False}),
        ("shape is \\(-1, -1\\)", "reshape", {"shape": (-1, -1)}),
    ],
)
def test_bad_kinds_and_attributes_are_named(message, kind, attrs):
    """The error says which attribute, its value, and what is expected."""
    with pytest.raises(ModelError, match=message):
        infer(kind, ((1, 4, 4, 1), F), **attrs)


def test_the_documented_table_has_every_kind():
    """The tables at the top of ops.py and its families are the reference for authors of graphs."""
    modules = [m.name for m in pkgutil.iter_modules(pyedge.model.__path__) if m.name.startswith("ops")]
    table = "".join(importlib.import_module(f"pyedge.model.{name}").__doc__ for name in modules)
    assert [kind for kind in KINDS if f"{kind} |" not in table and f"{kind}, " not in table] == []


def small_graph():
    b = GraphBuilder()
    h = b.conv2d(b.input("x", (None, 8, 8, 3)), np.zeros((4, 3, 3, 3)), stride=2)
    b.output("y", b.linear(b.reshape(h, (-1, 64)), np.zeros((10, 64))))
    return b.build()


def test_infer_shapes_fixes_open_sizes_everywhere_and_leaves_the_graph_alone():
    """A copy with batch 5 in every tensor; the MACs follow."""
    graph = small_graph()
    fixed = infer_shapes(graph, {"x": (5, 8, 8, 3)})
    assert [fixed.tensors[op.outputs[0]].shape for op in fixed.ops] == [(5, 4, 4, 4), (5, 64), (5, 10)]
    assert graph.outputs[0].shape == (None, 10)
    assert graph_macs(fixed) == 5 * (4 * 4 * 4 * 27 + 640)


def test_infer_shapes_refuses_what_the_graph_fixes():
    """A fixed size, another rank, an unknown input."""
    for shapes, message in (
        ({"x": (5, 9, 8, 3)}, r"'x': shape \[5, 9, 8, 3\] given, the model has \[\?, 8, 8, 3\]"),
        ({"x": (8, 8, 3)}, r"shape \[8, 8, 3\] given"),
        ({"x": (0, 8, 8, 3)}, r"shape \[0, 8, 8, 3\] given"),
        ({"z": (1,)}, "no input 'z'; its inputs: x"),
    ):
        with pytest.raises(ShapeError, match=message):
            infer_shapes(small_graph(), shapes)


def test_macs_of_open_shapes_are_an_error():
    """There is no number to give."""
    with pytest.raises(ShapeError, match="open sizes"):
        graph_macs(small_graph())


def test_an_output_that_nothing_gives_is_refused():
    """Also an op whose result is no tensor of the graph."""
    graph = Graph("g")
    graph.output_names = ["y"]
    with pytest.raises(ModelError, match="output 'y' is given by no op"):
        infer_shapes(graph)
    graph.add_tensor(Tensor("x", (2,), "float32"))
    graph.input_names = ["x"]
    graph.ops.append(Op("relu", "r", ["x"], ["y"]))
    with pytest.raises(ModelError, match="'y' is not among the graph's tensors"):
        infer_shapes(graph)
