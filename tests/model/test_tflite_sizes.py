"""Sizes that a TFLite model computes, and sizes that it leaves open."""

import numpy as np
import pytest
from tflite_maker import O, T, model

import pyedge as pe
from pyedge.errors import UnsupportedOpError
from pyedge.model.tflite import load_tflite

RNG = np.random.default_rng(3)


def ints(name, values) -> T:
    return T(name, np.shape(values), "int32", np.asarray(values, np.int32))


def open_batch(name, *shape, dtype="float32", **quant) -> T:
    return T(name, [1, *shape], dtype, signature=[-1, *shape], **quant)


def flattened() -> bytes:
    """What converters make of a flatten: SHAPE, STRIDED_SLICE, PACK, RESHAPE."""
    tensors = [
        open_batch("x", 2, 3),
        T("shape", [3], "int32"),
        *(ints("begin", [0]), ints("end", [1]), ints("step", [1])),
        T("batch", [], "int32"),
        ints("six", 6),
        T("target", [2], "int32"),
        open_batch("y", 6),
    ]
    ops = [
        O("SHAPE", [0], [1], "ShapeOptions", {"OutType": 2}),
        O("STRIDED_SLICE", [1, 2, 3, 4], [5], "StridedSliceOptions", {"ShrinkAxisMask": 1}),
        O("PACK", [5, 6], [7], "PackOptions", {"ValuesCount": 2}),
        O("RESHAPE", [0, 7], [8], "ReshapeOptions"),
    ]
    return model(tensors, ops, [0], [8])


def test_a_computed_shape_becomes_an_attribute_and_the_batch_stays_open():
    """Nothing of the arithmetic is left in the graph."""
    graph = load_tflite(flattened())
    assert [op.kind for op in graph.ops] == ["reshape"]
    assert (graph.inputs[0].shape, graph.outputs[0].shape) == ((None, 2, 3), (None, 6))
    x = RNG.normal(size=(4, 2, 3)).astype(np.float32)
    (y,) = pe.Session(pe.compile(graph, batch=4)).run([x])
    np.testing.assert_array_equal(y, x.reshape(4, 6))


def test_a_size_that_depends_on_the_batch_is_computed_with_it():
    """[batch * 2, 3] by MUL and CONCATENATION."""
    tensors = [
        open_batch("x", 2, 3),
        T("shape", [3], "int32"),
        *(ints("begin", [0]), ints("size", [1])),
        T("batch", [1], "int32"),
        ints("two", [2]),
        T("rows", [1], "int32"),
        ints("three", [3]),
        T("target", [2], "int32"),
        T("y", [2, 3], signature=[-1, 3]),
    ]
    ops = [
        O("SHAPE", [0], [1], "ShapeOptions", {"OutType": 2}),
        O("SLICE", [1, 2, 3], [4], "SliceOptions"),
        O("MUL", [4, 5], [6], "MulOptions"),
        O("CONCATENATION", [6, 7], [8], "ConcatenationOptions"),
        O("RESHAPE", [0, 8], [9], "ReshapeOptions"),
    ]
    graph = load_tflite(model(tensors, ops, [0], [9]))
    assert [op.kind for op in graph.ops] == ["reshape"]
    assert pe.compile(graph, batch=5).outputs[0].shape == (10, 3)


def test_a_shape_that_is_an_output_is_computed_at_compile_time():
    """SHAPE of an open batch: its value is that of the compiled shape."""
    tensors = [open_batch("x", 3), T("y", [2], "int32")]
    graph = load_tflite(model(tensors, [O("SHAPE", [0], [1], "ShapeOptions", {"OutType": 2})], [0], [1]))
    (y,) = pe.Session(pe.compile(graph, batch=7)).run([np.zeros((7, 3), np.float32)])
    assert (y.dtype, y.tolist()) == (np.int32, [7, 3])


def test_a_fill_of_an_open_shape_is_refused_by_name():
    """Its shape would have to be an attribute."""
    tensors = [open_batch("x", 3), T("shape", [2], "int32"), T("zero", [], data=np.float32(0)), open_batch("y", 3)]
    ops = [O("SHAPE", [0], [1], "ShapeOptions", {"OutType": 2}), O("FILL", [1, 2], [3], "FillOptions")]
    with pytest.raises(UnsupportedOpError, match=r"FILL .*open shape \[-1, 3\]"):
        load_tflite(model(tensors, ops, [0], [3]))


MOVES = {
    "CONCATENATION": ("ConcatenationOptions", {"Axis": 3}, [], [4, 4, 8]),
    "STRIDED_SLICE": (
        "StridedSliceOptions",
        {"BeginMask": 1, "EndMask": 1},
        [[0, 1, 0, 0], [0, 4, 4, 4], [1, 2, 1, 1]],
        [2, 4, 4],
    ),
    "PAD": ("PadOptions", {}, [[[0, 0], [1, 1], [0, 2], [0, 0]]], [6, 6, 4]),
    "SPACE_TO_DEPTH": ("SpaceToDepthOptions", {"BlockSize": 2}, [], [2, 2, 16]),
    "DEPTH_TO_SPACE": ("DepthToSpaceOptions", {"BlockSize": 2}, [], [8, 8, 1]),
    "RESIZE_BILINEAR": ("ResizeBilinearOptions", {"HalfPixelCenters": True}, [[6, 8]], [6, 8, 4]),
    "RESIZE_NEAREST_NEIGHBOR": ("ResizeNearestNeighborOptions", {}, [[6, 8]], [6, 8, 4]),
    "TILE": ("TileOptions", {}, [[1, 2, 1, 1]], [8, 4, 4]),
    "EXPAND_DIMS": ("ExpandDimsOptions", {}, [1], [1, 4, 4, 4]),
    "REVERSE_V2": ("ReverseV2Options", {}, [[1]], [4, 4, 4]),
    "MIRROR_PAD": ("MirrorPadOptions", {"Mode": 1}, [[[0, 0], [2, 1], [0, 0], [0, 0]]], [7, 4, 4]),
    "ARG_MAX": ("ArgMaxOptions", {"OutputType": 2}, [3], [4, 4]),
    "TRANSPOSE": ("TransposeOptions", {}, [[0, 2, 1, 3]], [4, 4, 4]),
}


@pytest.mark.parametrize("name", MOVES)
def test_an_open_batch_gives_the_rows_of_single_runs(name):
    """The same file, compiled for one row and for three."""
    options, fields, constants, shape = MOVES[name]
    x = open_batch("x", 4, 4, 4)
    operands = [x, *(ints(f"c{i}", c) for i, c in enumerate(constants))]
    dtype = "int32" if name == "ARG_MAX" else "float32"
    given = [0, 0] if name == "CONCATENATION" else list(range(len(operands)))
    op = O(name, given, [len(operands)], options, fields)
    graph = load_tflite(model([*operands, open_batch("y", *shape, dtype=dtype)], [op], [0], [len(operands)]))
    rows = RNG.normal(size=(3, 4, 4, 4)).astype(np.float32)
    (y,) = pe.Session(pe.compile(graph, batch=3)).run([rows])
    single = pe.Session(pe.compile(graph, batch=1))
    np.testing.assert_array_equal(y, np.concatenate([single.run([row[None]])[0] for row in rows]))
    assert y.shape == (3, *shape)


def test_blocks_of_space_become_a_batch_and_return():
    """SPACE_TO_BATCH_ND with padding, then BATCH_TO_SPACE_ND with crops, is the identity on any batch."""
    tensors = [
        open_batch("x", 3, 4, 2),
        ints("block", [2, 3]),
        ints("pads", [[1, 0], [0, 2]]),
        T("blocks", [6, 2, 2, 2], signature=[-1, 2, 2, 2]),
        open_batch("y", 3, 4, 2),
    ]
    ops = [O("SPACE_TO_BATCH_ND", [0, 1, 2], [3]), O("BATCH_TO_SPACE_ND", [3, 1, 2], [4])]
    graph = load_tflite(model(tensors, ops, [0], [4]))
    x = RNG.normal(size=(2, 3, 4, 2)).astype(np.float32)
    (y,) = pe.Session(pe.compile(graph, batch=2)).run([x])
    np.testing.assert_array_equal(y, x)
