"""What has crashed other readers of .tflite files, a test for each class; it names the advisories where it was found.

The same classes in ONNX files are in test_hostile_files.py, in plans in tests/csrc/test_verify.py.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import tflite
from tflite_maker import O, T, model

import pyedge as pe
from pyedge.model.tflite import load_tflite

POOL = {"Padding": 1, "FilterHeight": 2, "FilterWidth": 2}
CONV = {"Padding": 1, "StrideH": 1, "StrideW": 1, "DilationHFactor": 1, "DilationWFactor": 1}


def layer(bias: T | None = None, name: str = "CONV_2D", options: str = "Conv2DOptions", **fields: Any) -> bytes:
    """A convolution or depthwise convolution of an 8x8 image of 4 channels."""
    w = (4, 3, 3, 4) if name == "CONV_2D" else (1, 3, 3, 4)
    weight = T("w", w, data=np.arange(np.prod(w), dtype=np.float32))
    tensors = [T("x", (1, 8, 8, 4)), weight, T("y", (1, 6, 6, 4)), *([] if bias is None else [bias])]
    inputs = [0, 1] if bias is None else [0, 1, 3]
    return model(tensors, [O(name, inputs, [2], options, {**CONV, **fields})], [0], [2])


def moved(name: str, options: str | None, fields: dict[str, Any], constants: list[T], shape: tuple[int, ...]) -> bytes:
    """An operator on a [4, 4, 4, 4] tensor and constants."""
    tensors = [T("x", (4, 4, 4, 4)), *constants, T("y", shape)]
    last = len(tensors) - 1
    return model(tensors, [O(name, list(range(last)), [last], options, fields)], [0], [last])


def field_at(table: Any, slot: int) -> int:
    """Where a field of a FlatBuffer's table lies in the file."""
    offset = table._tab.Offset(slot)
    assert offset, "the file leaves this field out"
    return int(table._tab.Pos + offset)


def word(data: bytes, at: int, value: int) -> bytes:
    """The file with one 32-bit word changed."""
    return data[:at] + (value % 2**32).to_bytes(4, "little") + data[at + 4 :]


def refused(data: bytes, message: str) -> None:
    """The file is an error of one line that says what is wrong."""
    with pytest.raises(pe.PyedgeError, match=message) as caught:
        load_tflite(data)
    assert "\n" not in str(caught.value)


def graph_of(data: bytes) -> Any:
    return tflite.Model.GetRootAs(data, 0).Subgraphs(0)


def test_overflow_in_the_shape_product() -> None:
    """CVE-2022-23558: sizes whose product is small modulo 2^32 and 2^64, with as many bytes as that."""
    for sizes in [(65536, 65537), (2**16, 2**16, 2**16, 2**16), (2**31 - 1,) * 8]:
        refused(model([T("x", sizes), T("y", sizes)], [O("RELU", [0], [1])], [0], [1]), "outside what a tensor can be")
    constant = T("c", (2**24 + 1, 2**8), data=np.zeros(64, np.float32))
    refused(model([T("x", (1,)), constant, T("y", (1,))], [O("ADD", [0, 1], [2], "AddOptions")], [0], [2]), "'c'")


@pytest.mark.parametrize("field", ["StrideH", "StrideW", "DilationHFactor", "DilationWFactor"])
@pytest.mark.parametrize("value", [0, -1])
def test_stride_of_zero(field: str, value: int) -> None:
    """CVE-2022-21741: a divisor of zero in a convolution, a depthwise one and a pool."""
    refused(layer(**{field: value}), "CONV_2D|conv2d")
    depthwise = {"DepthMultiplier": 1, field: value}
    refused(layer(name="DEPTHWISE_CONV_2D", options="DepthwiseConv2DOptions", **depthwise), "DEPTHWISE|depthwise")
    if field.startswith("Stride"):
        steps = {**POOL, "StrideH": 1, "StrideW": 1, field: value}
        image = [T("x", (1, 4, 4, 1)), T("y", (1, 3, 3, 1))]
        refused(model(image, [O("MAX_POOL_2D", [0], [1], "Pool2DOptions", steps)], [0], [1]), "MAX_POOL|max_pool")


@pytest.mark.parametrize("block", [0, -2, 3, 2**31 - 1])
def test_block_of_zero(block: int) -> None:
    """GHSA-j7rm-8ww4-xx2g: blocks that divide nothing."""
    for name, options in (
        ("SPACE_TO_DEPTH", "SpaceToDepthOptions"),
        ("DEPTH_TO_SPACE", "DepthToSpaceOptions"),
    ):
        refused(moved(name, options, {"BlockSize": block}, [], (4, 2, 2, 16)), f"{name.lower()}.*(block is|multiple)")
    sizes = T("b", (2,), "int32", np.full(2, block, np.int32))
    none = T("p", (2, 2), "int32", np.zeros((2, 2), np.int32))
    for name in ("SPACE_TO_BATCH_ND", "BATCH_TO_SPACE_ND"):
        refused(moved(name, None, {}, [sizes, none], (4, 4, 4, 4)), name)


def test_bias_without_elements() -> None:
    """CVE-2022-23557: a bias of size zero, and one of another size than the channels."""
    refused(layer(T("b", (0,), data=np.zeros(0, np.float32))), "'b'")
    refused(layer(T("b", (3,), data=np.zeros(3, np.float32))), "'b'")


@pytest.mark.parametrize(
    "name, options",
    [("DIV", "DivOptions"), ("FLOOR_DIV", "FloorDivOptions"), ("FLOOR_MOD", "FloorModOptions")],
)
def test_integer_division_by_zero(name: str, options: str) -> None:
    """CVE-2021-37683: no trap, whatever the divisor is at run time; -2^31 / -1 too."""
    tensors = [T(n, (4,), "int32") for n in "aby"]
    session = pe.Session(pe.compile(load_tflite(model(tensors, [O(name, [0, 1], [2], options)], [0, 1], [2]))))
    a, b = np.int32([1, -(2**31), 0, 7]), np.int32([0, -1, 0, 2])
    y = session.run([a, b])[0]
    assert y[3] == {"DIV": 3, "FLOOR_DIV": 3, "FLOOR_MOD": 1}[name]
    assert np.array_equal(y, session.run([a, b])[0])  # defined: the same again


@pytest.mark.parametrize("number", [3, 1000, 2**31 - 1, -2, -(2**31)])
def test_tensor_index(number: int) -> None:
    """A tensor that the file doesn't have: in the operands, the results, and the graph's inputs and outputs."""
    data = layer()
    operator, graph = graph_of(data).Operators(0), graph_of(data)
    for table, slot in ((operator, 6), (operator, 8), (graph, 6), (graph, 8)):
        start = table._tab.Vector(table._tab.Offset(slot))
        refused(word(data, start, number), r"name tensors \[")


@pytest.mark.parametrize("number", [5, 2**31, 2**32 - 1])
def test_buffer_and_operator_code_index(number: int) -> None:
    """A buffer, and an operator code, that the file doesn't have."""
    data = layer()
    refused(word(data, field_at(graph_of(data).Tensors(1), 8), number), rf"tensor 1 'w' is in buffer {number}")
    data = model([T(n, (2,)) for n in "xyz"], [O("RELU", [0], [1]), O("RELU6", [1], [2])], [0], [2])
    refused(word(data, field_at(graph_of(data).Operators(1), 4), number), rf"operator 1 has code {number}")


@pytest.mark.parametrize("offset", [0, 1, 3, 2**16, 2**31 - 1, 2**31, 2**32 - 1, 2**32 - 8])
def test_root_offset(offset: int) -> None:
    """The first word of the file leads outside, or back to itself."""
    refused(word(layer(), 0, offset), "model")


def test_misaligned_vector() -> None:
    """tensorflow #121217: weights at an odd place of the file are the same weights."""
    data = layer()
    buffer = tflite.Model.GetRootAs(data, 0).Buffers(graph_of(data).Tensors(1).Buffer())
    at = field_at(buffer, 4)
    start, size = buffer._tab.Vector(buffer._tab.Offset(4)), buffer.DataLength()
    odd = data + bytes(-len(data) % 4 + 1)
    moved = word(odd + size.to_bytes(4, "little") + data[start : start + size], at, len(odd) - at)
    assert (len(odd) + 4) % 4 == 1
    x = np.random.default_rng(0).normal(size=(1, 8, 8, 4)).astype(np.float32)
    expected, got = (pe.Session(pe.compile(load_tflite(d))).run({"x": x})["y"] for d in (data, moved))
    assert np.array_equal(expected, got)


def test_null_data() -> None:
    """Weights, a bias and a shape whose buffers are empty are no constants: the error names them."""
    tensors = [T("x", (1, 8, 8, 4)), T("w", (4, 3, 3, 4)), T("b", (4,)), T("y", (1, 6, 6, 4))]
    refused(model(tensors, [O("CONV_2D", [0, 1, 2], [3], "Conv2DOptions", CONV)], [0], [3]), "'w'|'b'")
    tensors = [T("x", (2, 4)), T("w", (3, 4)), T("y", (2, 3))]
    refused(model(tensors, [O("FULLY_CONNECTED", [0, 1], [2], "FullyConnectedOptions")], [0], [2]), "'w'")
    refused(moved("TRANSPOSE", "TransposeOptions", {}, [T("p", (4,), "int32")], (4, 4, 4, 4)), "'p'")
    refused(layer(T("b", (0,))), "'b'")


def test_huge_dims() -> None:
    """tflite-micro #3072: sizes at the ends of 32 bits, alone and in a constant."""
    for sizes in [(2**31 - 1, 2), (2**30, 4), (-1, 2**31 - 1), (-(2**31),)]:
        refused(model([T("x", sizes), T("y", sizes)], [O("RELU", [0], [1])], [0], [1]), "outside what a tensor can be")


def test_cyclic_graph() -> None:
    """Operators that wait for each other, and one that reads its own result."""
    add = ("ADD", "AddOptions")
    tensors = [T(n, (2,)) for n in "xab"]
    two = [O(add[0], [0, 2], [1], add[1]), O("RELU", [1], [2])]
    refused(model(tensors, two, [0], [2]), "'b'")
    refused(model(tensors, [O(add[0], [0, 1], [1], add[1])], [0], [1]), "'a'")
