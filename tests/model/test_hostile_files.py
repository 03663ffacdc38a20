"""Files made to hurt: each is refused, or read, within 2 seconds of processor time and 256 MB beyond an idle Python."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import numpy as np
import onnx
import pytest
import tflite
from onnx import TensorProto, helper, numpy_helper
from tflite_maker import O, T, model

FLOAT, INT64 = TensorProto.FLOAT, TensorProto.INT64
info, node = helper.make_tensor_value_info, helper.make_node

# Loads and compiles each file in a process of its own, after the imports, under the limits. Prints what became of each.
CHILD = """
import json, os, resource, signal, sys
import pyedge as pe, pyedge.model.onnx, pyedge.model.tflite, pyedge.compress.clean

def outcome(path):
    try:
        graph = pe.load(path)
        pe.compile(graph)
        return "read"
    except pe.PyedgeError as e:
        return f"{type(e).__name__}: {e}"
    except BaseException as e:
        return f"NOT REFUSED: {type(e).__name__}: {str(e)[:300]}"

outcomes = {}
for path in sys.argv[1:]:
    r, w = os.pipe()
    child = os.fork()
    if child == 0:
        used = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (used + (256 << 20),) * 2)
        signal.setitimer(signal.ITIMER_PROF, 2.0)
        os.write(w, outcome(path).encode()[:4000])
        os._exit(0)
    os.close(w)
    said = b"".join(iter(lambda: os.read(r, 4096), b"")).decode(errors="replace")
    os.close(r)
    status = os.waitpid(child, 0)[1]
    outcomes[os.path.basename(path)] = said or f"NOT REFUSED: ended with status {status} (27: out of time)"
print(json.dumps(outcomes))
"""


def graph(nodes: list[onnx.NodeProto], *initializers: onnx.TensorProto, shape: object = (2, 3)) -> bytes:
    """A model with an input x and an output y."""
    made = helper.make_graph(nodes, "g", [info("x", FLOAT, shape)], [info("y", FLOAT, None)], list(initializers))
    return whole(made)


def whole(made: onnx.GraphProto, functions: list[onnx.FunctionProto] | None = None) -> bytes:
    imports = [helper.make_opsetid("", 17), helper.make_opsetid("own", 1)]
    return helper.make_model(made, opset_imports=imports, functions=functions or []).SerializeToString()


def constant(name: str, value: object, dtype: str = "int64") -> onnx.TensorProto:
    return numpy_helper.from_array(np.asarray(value, dtype), name)


def claimed(dims: list[int], raw: bytes = b"", kind: int = FLOAT) -> onnx.TensorProto:
    """An initializer w that says what shape it has."""
    tensor = TensorProto(name="w", data_type=kind, raw_data=raw)
    tensor.dims.extend(dims)
    return tensor


def beside(location: str, **facts: int) -> bytes:
    """A model whose constant w lies in another file."""
    tensor = TensorProto(name="w", data_type=FLOAT, data_location=TensorProto.EXTERNAL)
    tensor.dims.extend([2, 3])
    for key, value in {"location": location, **facts}.items():
        tensor.external_data.add(key=key, value=str(value))
    return graph([ADD], tensor)


ADD = node("Add", ["x", "w"], ["y"])


def chain(count: int, op_type: str = "Concat", **attributes: object) -> bytes:
    """A constant that every node doubles."""
    nodes = [node(op_type, [f"c{i}"] * 2, [f"c{i + 1}"], **attributes) for i in range(count)]
    nodes += [node("ReduceMax", [f"c{count}"], ["m"], keepdims=0), node("Add", ["x", "m"], ["y"])]
    return graph(nodes, constant("c0", np.ones(64), "float32"))


def filled(elements: int, then: str, **attributes: object) -> bytes:
    """An op on two constants that are only a shape and a value in the file."""
    side = int(elements**0.5)
    nodes = [node("ConstantOfShape", ["shape"], [n]) for n in ("a", "b")]
    nodes += [node(then, ["a", "b"], ["c"], **attributes), node("ReduceMax", ["c"], ["m"], keepdims=0)]
    return graph([*nodes, node("Add", ["x", "m"], ["y"])], constant("shape", [side, side]))


def nested(levels: int) -> bytes:
    """If in if in if, as bytes: the protobuf library itself would refuse to write it."""

    def field(number: int, data: bytes) -> bytes:
        return varint(number << 3 | 2) + varint(len(data)) + data

    def varint(n: int) -> bytes:
        return bytes([n]) if n < 128 else bytes([n & 127 | 128]) + varint(n >> 7)

    body = helper.make_graph([node("Identity", ["x"], ["y"])], "b", [], [info("y", FLOAT, None)]).SerializeToString()
    for level in range(levels):
        branch = b"".join(
            field(5, field(1, name) + varint(20 << 3) + varint(onnx.AttributeProto.GRAPH) + field(6, body))
            for name in (b"then_branch", b"else_branch")[: 2 if level < 8 else 1]
        )
        outputs = info("y", FLOAT, None).SerializeToString()
        body = field(1, field(1, b"c") + field(2, b"y") + field(4, b"If") + branch) + field(12, outputs)
    return field(7, body) + field(8, varint(2 << 3) + varint(17))


def laughs(levels: int, calls: int) -> bytes:
    """Functions that call the one before several times: levels ** calls nodes."""
    functions = []
    for level in range(levels):
        inner = [(node("Abs", ["a"], ["b"]))]
        if level:
            names = ["a", *(f"t{i}" for i in range(calls - 1)), "b"]
            inner = [node(f"f{level - 1}", [a], [b], domain="own") for a, b in pairwise(names)]
        opsets = [helper.make_opsetid("", 17), helper.make_opsetid("own", 1)]
        functions.append(helper.make_function("own", f"f{level}", ["a"], ["b"], inner, opsets))
    made = helper.make_graph(
        [node(f"f{levels - 1}", ["x"], ["y"], domain="own")],
        "g",
        [info("x", FLOAT, (2, 3))],
        [info("y", FLOAT, None)],
    )
    return whole(made, functions)


def endless() -> bytes:
    """A function that calls itself."""
    opsets = [helper.make_opsetid("own", 1)]
    own = helper.make_function("own", "f", ["a"], ["b"], [node("f", ["a"], ["b"], domain="own")], opsets)
    made = helper.make_graph(
        [node("f", ["x"], ["y"], domain="own")], "g", [info("x", FLOAT, (2,))], [info("y", FLOAT, None)]
    )
    return whole(made, [own])


def loop(trips: int | None) -> bytes:
    body = helper.make_graph(
        [node("Abs", ["v"], ["v2"]), node("Identity", ["c"], ["c2"])],
        "b",
        [info("i", INT64, []), info("c", TensorProto.BOOL, []), info("v", FLOAT, None)],
        [info("c2", TensorProto.BOOL, []), info("v2", FLOAT, None)],
    )
    counts = [] if trips is None else [constant("trips", trips)]
    return graph([node("Loop", ["trips" if counts else "", "", "x"], ["y"], body=body)], *counts)


def listed_twice() -> bytes:
    made = helper.make_graph(
        [ADD], "g", [info("x", FLOAT, (2,))] * 2, [info("y", FLOAT, None)], [claimed([1], bytes(4))]
    )
    return whole(made)


CONV = {"kernel_shape": [3, 3]}
PICTURE = (1, 4, 8, 8)
WEIGHT = numpy_helper.from_array(np.ones((4, 4, 3, 3), np.float32), "w")


def conv(**attributes: object) -> bytes:
    return graph([node("Conv", ["x", "w"], ["y"], **attributes)], WEIGHT, shape=PICTURE)


def shaped(op_type: str, *values: object) -> bytes:
    """An operator whose result's shape is in the file."""
    operands = [constant(f"k{i}", v) for i, v in enumerate(values)]
    return graph([node(op_type, ["x", *(k.name for k in operands)], ["y"])], *operands)


# File -> (its bytes, what becomes of it). "read" where it is no more than unusual.
ONNX: dict[str, tuple[Callable[[], bytes], str]] = {
    "huge_input": (lambda: graph([node("Abs", ["x"], ["y"])], shape=(2**40, 2**40)), r"ModelError: input 'x'"),
    "negative_input": (lambda: graph([node("Abs", ["x"], ["y"])], shape=(-5, 3)), r"ModelError: input 'x'"),
    "huge_by_shape_only": (lambda: graph([ADD], claimed([2**20, 2**20])), r"tensor 'w' has the shape"),
    "product_that_overflows": (lambda: graph([ADD], claimed([2**32, 2**32])), r"tensor 'w' has the shape"),
    "product_that_overflows_to_24": (
        lambda: graph([ADD], claimed([2**61 + 3, 8], bytes(96))),
        r"tensor 'w' has the shape",
    ),
    "negative_size": (lambda: graph([ADD], claimed([-1, 3], bytes(12))), r"tensor 'w' has the shape \[-1, 3\]"),
    "two_negative_sizes": (lambda: graph([ADD], claimed([-2, -3], bytes(24))), r"tensor 'w' has the shape"),
    "too_few_bytes": (lambda: graph([ADD], claimed([2, 3], bytes(8))), r"tensor 'w' \[2, 3\] is damaged"),
    "no_bytes": (lambda: graph([ADD], claimed([2, 3])), r"tensor 'w' \[2, 3\] is damaged"),
    "strings": (
        lambda: graph([ADD], TensorProto(name="w", data_type=TensorProto.STRING, string_data=[b"a"] * 6, dims=[2, 3])),
        r"tensor 'w' has elements of type 8",
    ),
    "string_input": (
        lambda: whole(
            helper.make_graph(
                [node("Identity", ["x"], ["y"])], "g", [info("x", TensorProto.STRING, (2,))], [info("y", 8, None)]
            )
        ),
        r"input 'x' of element type 8",
    ),
    "unknown_type": (lambda: graph([ADD], claimed([2, 3], bytes(24), 99)), r"tensor 'w'"),
    "cycle": (
        lambda: graph([node("Add", ["x", "b"], ["a"]), node("Abs", ["a"], ["b"]), node("Abs", ["b"], ["y"])]),
        r"needs its own result .*: a cycle",
    ),
    "own_result": (lambda: graph([node("Add", ["x", "y"], ["y"])]), r"needs its own result 'y': a cycle"),
    "missing_input": (lambda: graph([ADD]), r"reads 'w', which nothing gives"),
    "given_twice": (lambda: graph([node("Abs", ["x"], ["y"]), node("Neg", ["x"], ["y"])]), r"'y' is given twice"),
    "input_given_again": (lambda: graph([node("Abs", ["x"], ["x"])]), r"'x' is given twice"),
    "input_listed_twice": (listed_twice, r"ModelError: .*'x'"),
    "output_of_nothing": (lambda: graph([node("Abs", ["x"], ["z"])]), r"output 'y' is given by no node"),
    "external_above": (lambda: beside("../outside.bin"), r"'\.\./outside\.bin' is no file of the model's folder"),
    "external_absolute": (lambda: beside("/etc/passwd"), r"is no file of the model's folder"),
    "external_by_link": (lambda: beside("link.bin"), r"'link\.bin' is no file of the model's folder"),
    "external_folder": (lambda: beside("."), r"is no file of the model's folder"),
    "external_with_zero_byte": (lambda: beside("a\0b"), r"ModelError"),
    "external_beyond_its_end": (lambda: beside("inside.bin", offset=16, length=24), r"are not in 'inside\.bin'"),
    "external_at_a_negative_offset": (lambda: beside("inside.bin", offset=-8, length=24), r"are not in 'inside\.bin'"),
    "external_that_is_longer": (lambda: beside("sparse.bin"), r"'sparse\.bin', its shape has 24"),
    "nested_100": (lambda: nested(20), r"ModelError"),
    "nested_3000": (lambda: nested(3000), r"not an ONNX model, or a damaged one"),
    "functions_of_functions": (lambda: laughs(12, 8), "become too many nodes"),
    "deep_functions": (lambda: laughs(40, 1), r"functions nest more than 16 deep"),
    "function_of_itself": (endless, r"functions nest more than 16 deep"),
    "loop_without_end": (lambda: loop(None), "become too many nodes"),
    "long_loop": (lambda: loop(2**62), "become too many nodes"),
    "negative_loop": (lambda: loop(-3), r"read"),
    "doubling": (lambda: chain(60, axis=0), r"ShapeError|ModelError"),
    "doubling_in_memory": (lambda: chain(23, axis=0), r"PlanError: .*more than 2\^30"),
    "many_large_constants": (lambda: chain(400, "Sum"), r"read"),
    "filled_1_GB": (lambda: filled(2**28, "Add"), r"PlanError: .*more than 2\^30"),
    "filled_8_GB": (lambda: filled(2**31, "Add"), r"ModelError"),
    "product_of_large_constants": (lambda: filled(2**21, "MatMul"), r"read"),
    "einsum_of_large_constants": (lambda: filled(2**16, "Einsum", equation="ab,cd->"), r"PlanError: .*2\^30"),
    "expand": (lambda: shaped("Expand", [2**40, 2, 3]), r"ModelError.*Expand"),
    "tile": (lambda: shaped("Tile", [2**40, 1]), r"ModelError.*Tile"),
    "tile_negative": (lambda: shaped("Tile", [-1, 1]), r"ModelError.*Tile"),
    "reshape": (lambda: shaped("Reshape", [2**40, -1]), r"ModelError.*Reshape|reshape"),
    "pad": (lambda: shaped("Pad", [2**40, 0, 0, 0]), r"ModelError.*Pad"),
    "one_hot": (
        lambda: graph(
            [node("OneHot", ["i", "d", "v"], ["h"]), node("Add", ["x", "h"], ["y"])],
            constant("i", [0, 1]), constant("d", 2**50), constant("v", [0, 1], "float32"),
        ),
        r"ModelError.*OneHot",
    ),
    "range": (
        lambda: graph(
            [node("Range", ["a", "b", "c"], ["h"]), node("Add", ["x", "h"], ["y"])],
            *(constant(n, v, "float32") for n, v in (("a", 0), ("b", np.inf), ("c", 1e-30))),
        ),
        r"ModelError.*Range",
    ),
    "dft": (lambda: shaped("DFT", 2**40), r"Error: "),
    "stride_of_zero": (lambda: conv(**CONV, strides=[0, 1]), r"Error: .*Conv.*|conv"),
    "negative_stride": (lambda: conv(**CONV, strides=[1, -1]), r"Error: "),
    "huge_stride": (lambda: conv(**CONV, strides=[2**40, 1]), r"Error: "),
    "no_groups": (lambda: conv(**CONV, group=0), r"Error: "),
    "negative_groups": (lambda: conv(**CONV, group=-2), r"Error: "),
    "huge_dilation": (lambda: conv(**CONV, dilations=[2**60, 1]), r"Error: "),
    "negative_padding": (lambda: conv(**CONV, pads=[-9, -9, -9, -9]), r"Error: "),
    "huge_padding": (lambda: conv(**CONV, pads=[2**40] * 4), r"Error: "),
    "kernel_of_zero": (
        lambda: graph([node("MaxPool", ["x"], ["y"], kernel_shape=[0, 0])], shape=PICTURE),
        r"Error: ",
    ),
    "huge_kernel": (
        lambda: graph([node("AveragePool", ["x"], ["y"], kernel_shape=[2**40, 1])], shape=PICTURE),
        r"Error: ",
    ),
    "block_of_zero": (
        lambda: graph([node("DepthToSpace", ["x"], ["y"], blocksize=0)], shape=PICTURE),
        r"Error: ",
    ),
    "axis_that_is_not_there": (lambda: graph([node("Softmax", ["x"], ["y"], axis=9)]), r"Error: "),
    "perm_that_is_none": (lambda: graph([node("Transpose", ["x"], ["y"], perm=[0, 0])]), r"Error: .*Transpose"),
    "split_of_negative_parts": (
        lambda: graph([node("Split", ["x", "s"], ["y", "z"], axis=1)], constant("s", [-1, 4])),
        r"Error: .*Split",
    ),
    "index_that_is_not_there": (
        lambda: graph(
            [node("Gather", ["t", "i"], ["h"]), node("Add", ["x", "h"], ["y"])],
            constant("t", [1, 2, 3], "float32"), constant("i", 99),
        ),
        r"ModelError: .*Gather",
    ),
    "wrong_number_of_operands": (lambda: graph([node("Add", ["x"], ["y"])]), r"Error: .*Add"),
    "attribute_of_another_type": (lambda: conv(kernel_shape="3x3"), r"Error: "),
    "empty": (lambda: b"", r"not an ONNX model"),
    "noise": (lambda: np.random.default_rng(0).bytes(4096), r"not an ONNX model"),
}  # fmt: skip


def image(**steps: object) -> bytes:
    """A convolution with these options."""
    fields = {"Padding": 0, "StrideH": 1, "StrideW": 1, "DilationHFactor": 1, "DilationWFactor": 1, **steps}
    tensors = [
        T("x", (1, 8, 8, 4)),
        T("w", (4, 3, 3, 4), data=np.ones((4, 3, 3, 4), np.float32)),
        T("y", (1, 6, 6, 4)),
    ]
    return model(tensors, [O("CONV_2D", [0, 1], [2], "Conv2DOptions", fields)], [0], [2])


def abs_of(shape: tuple[int, ...], count: int = 1) -> bytes:
    tensors = [T(f"t{i}", shape) for i in range(count + 1)]
    return model(tensors, [O("RELU", [i], [i + 1]) for i in range(count)], [0], [count])


TFLITE: dict[str, tuple[Callable[[], bytes], str]] = {
    "huge": (lambda: abs_of((2**30, 2**30)), r"outside what a tensor can be"),
    "product_that_overflows": (lambda: abs_of((2**16, 2**16, 2**16, 2**16)), r"outside what a tensor can be"),
    "negative_size": (lambda: abs_of((-1, -4)), r"outside what a tensor can be"),
    "rank_9": (lambda: abs_of((1,) * 9), r"9 axes"),
    "large_but_possible": (lambda: abs_of((1, 2**29)), r"PlanError: .*more than 2\^30"),
    "stride_of_zero": (lambda: image(StrideH=0), r"Error: "),
    "dilation_of_zero": (lambda: image(DilationWFactor=0), r"Error: "),
    "cycle": (
        lambda: model(
            [T(n, (2,)) for n in "xab"], [O("ADD", [0, 2], [1], "AddOptions"), O("RELU", [1], [2])], [0], [2]
        ),
        r"reads tensor 'b'|'b', which nothing",
    ),
    "own_result": (lambda: model([T(n, (2,)) for n in "xy"], [O("ADD", [0, 1], [1], "AddOptions")], [0], [1]), r"'y'"),
    "given_twice": (
        lambda: model([T(n, (2,)) for n in "xy"], [O("RELU", [0], [1]), O("RELU6", [0], [1])], [0], [1]),
        r"Error: .*'y'",
    ),
    "long_chain": (lambda: abs_of((2,), 3000), r"read"),
    "noise": (lambda: b"\x10\0\0\0TFL3" + np.random.default_rng(0).bytes(4096), r"Error: "),
}


def shared_buffer() -> bytes:
    """Two thousand constants of 1 MB in one buffer."""
    value = np.ones(2**18, np.float32)
    count = 2000
    tensors = [T("x", (2**18,)), T("y", (2**18,)), T("c", (2**18,), data=value)]
    data = bytearray(
        model(
            [*tensors, *(T(f"c{i}", (2**18,)) for i in range(count))], [O("ADD", [0, 2], [1], "AddOptions")], [0], [1]
        )
    )
    graph = tflite.Model.GetRootAs(data, 0).Subgraphs(0)
    for i in range(3, 3 + count):
        field = graph.Tensors(i)._tab
        at = field.Pos + field.Offset(8)
        data[at : at + 4] = (3).to_bytes(4, "little")
    return bytes(data)


TFLITE["constants_in_one_buffer"] = (shared_buffer, r"read")


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """What becomes of each file, by its name."""
    folder = tmp_path_factory.mktemp("hostile") / "models"
    folder.mkdir()
    (folder.parent / "outside.bin").write_bytes(bytes(24))
    (folder / "link.bin").symlink_to(folder.parent / "outside.bin")
    (folder / "inside.bin").write_bytes(bytes(24))
    (folder / "sparse.bin").touch()
    os.truncate(folder / "sparse.bin", 2**30)
    names = []
    for suffix, files in ((".onnx", ONNX), (".tflite", TFLITE)):
        for name, (make, _) in files.items():
            names.append(f"{name}{suffix}")
            (folder / names[-1]).write_bytes(make())
    done = subprocess.run(
        [sys.executable, "-c", CHILD, *names], cwd=folder, capture_output=True, text=True, timeout=600
    )
    assert done.returncode == 0, done.stderr
    result: dict[str, str] = json.loads(done.stdout)
    return result


@pytest.mark.parametrize("name", [f"{n}.onnx" for n in ONNX] + [f"{n}.tflite" for n in TFLITE])
def test_a_hostile_file_is_refused_in_time_and_memory(outcomes: dict[str, str], name: str) -> None:
    """By one line of the right error, or it is read: never more than 2 s of the processor or 256 MB."""
    stem, suffix = Path(name).stem, Path(name).suffix
    expected = (ONNX if suffix == ".onnx" else TFLITE)[stem][1]
    assert "NOT REFUSED" not in outcomes[name]
    assert re.search(expected, outcomes[name]), outcomes[name]
    assert "\n" not in outcomes[name]
