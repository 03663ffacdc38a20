"""What the importer makes of recurrent operators and variables, and what it refuses by name."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from tflite_maker import O, T, model

import pyedge as pe
from pyedge.errors import ModelError, UnsupportedOpError
from pyedge.model.tflite import load_tflite

HIDDEN, INPUTS = 3, 2


def lstm(
    dtype: str = "float32", operands: dict[int, int] | None = None, fields: dict[str, Any] | None = None, **changed: Any
) -> bytes:
    """One LSTM of 2 steps. changed: attributes of tensors by name, as h={"variable": False}."""
    int8 = dtype == "int8"
    scale = {"scale": 0.1} if int8 else {}

    def tensor(name: str, shape: tuple[int, ...], type_: str = dtype, data: Any = None, **more: Any) -> T:
        return T(**{"name": name, "shape": shape, "dtype": type_, "data": data, **more, **changed.get(name, {})})

    numbers = np.int8 if int8 else np.float32
    tensors = [tensor("x", (1, 2, INPUTS), **scale)]
    tensors += [tensor(f"w{i}", (HIDDEN, INPUTS), data=np.ones((HIDDEN, INPUTS), numbers), **scale) for i in range(4)]
    tensors += [tensor(f"r{i}", (HIDDEN, HIDDEN), data=np.ones((HIDDEN, HIDDEN), numbers), **scale) for i in range(4)]
    bias = "int32" if int8 else "float32"
    tensors += [tensor(f"b{i}", (HIDDEN,), bias, np.zeros(HIDDEN, bias)) for i in range(4)]
    tensors.append(tensor("h", (1, HIDDEN), **{"variable": True, **scale, "zero_point": 7}))
    tensors.append(
        tensor("c", (1, HIDDEN), "int16" if int8 else dtype, variable=True, scale=2.0**-11 if int8 else None)
    )
    tensors.append(tensor("y", (1, 2, HIDDEN), **{**scale, "zero_point": 7}))
    tensors.append(T("extra", (HIDDEN,), dtype, np.ones(HIDDEN, numbers)))
    inputs = [*range(9), -1, -1, -1, *range(9, 13), -1, -1, 13, 14, -1, -1, -1, -1]
    for at, number in (operands or {}).items():
        inputs[at] = number
    options = {"FusedActivationFunction": 4, "TimeMajor": False, **(fields or {})}
    op = O("UNIDIRECTIONAL_SEQUENCE_LSTM", inputs, [15], "UnidirectionalSequenceLSTMOptions", options)
    return model(tensors, [op], [0], [15])


def test_variables_become_states() -> None:
    """Named as in the file; int8 begins as its zero point, int16 and floats as zeros."""
    graph = load_tflite(lstm("int8"))
    assert [(s.name, s.initial.dtype.name, s.initial.tolist()) for s in graph.states] == [
        ("h", "int8", [[7] * HIDDEN]),
        ("c", "int16", [[0] * HIDDEN]),
    ]
    assert [op.kind for op in graph.ops] == ["lstm_sequence"]
    assert graph.ops[0].outputs == ["y", *(s.next for s in graph.states)]
    assert [s.initial.tolist() for s in load_tflite(lstm()).states] == [[[0.0] * HIDDEN]] * 2


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (lstm(operands={9: 16}), "a peephole, input 9"),
        (lstm(operands={16: 16}), "a projection, input 16"),
        (lstm(operands={23: 16}), "layer normalization, input 23"),
        (lstm(operands={1: -1, 5: -1, 12: -1}), "no input gate"),
        (lstm(fields={"FusedActivationFunction": 1}), "fused activation 1, only tanh"),
        (lstm(h={"variable": False}), "'h' is no variable"),
        (lstm("int8", w2={"scale": [0.1] * HIDDEN}), "'w0' of int8 has no scale, or several"),
        (lstm(x={"dtype": "int16"}), "input 'x' is int16, weights 'w0' float32"),
    ],
)
def test_a_variant_that_tflm_has_not_is_named(data: bytes, message: str) -> None:
    """Operator, and what it has that no kernel takes."""
    with pytest.raises(UnsupportedOpError, match="UNIDIRECTIONAL_SEQUENCE_LSTM") as caught:
        load_tflite(data)
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (lstm(fields={"CellClip": -1.0}), "cell_clip is -1.0"),
        (lstm(w1={"shape": (HIDDEN, 5), "data": np.ones((HIDDEN, 5), np.float32)}), "other gates differ in shape"),
    ],
)
def test_a_contradiction_is_named(data: bytes, message: str) -> None:
    """By the importer."""
    with pytest.raises(ModelError, match=message):
        load_tflite(data)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (lstm("int8", y={"scale": 0.2}), "tensors 'h' and 'y' differ in scale or zero point"),
        (lstm("int8", c={"scale": 0.001}), "the cell 'c' needs zero point 0 and a scale that is a power of two"),
    ],
)
def test_scales_that_no_kernel_takes_are_named(data: bytes, message: str) -> None:
    """When the graph is compiled."""
    with pytest.raises(pe.PlanError, match=f"'lstm_sequence_0' .*{message}"):
        pe.compile(load_tflite(data))


def variables(init: list[O], tensors: list[T]) -> bytes:
    """y = the resource "v", which x is assigned to afterwards; a subgraph that is called once."""
    handle = O("VAR_HANDLE", [], [1], "VarHandleOptions", {"Container": "", "SharedName": "v"})
    ops = [
        O("CALL_ONCE", [], [], "CallOnceOptions", {"InitSubgraphIndex": 1}),
        handle,
        O("READ_VARIABLE", [1], [2], "ReadVariableOptions"),
        O("ASSIGN_VARIABLE", [1, 0], [], "AssignVariableOptions"),
    ]
    main = [T("x", (1, 3)), T("handle", (1,), "resource"), T("y", (1, 3))]
    return model(main, ops, [0], [2], (tensors, init, [], []))


def test_a_resource_is_a_state_with_the_value_of_call_once() -> None:
    """What is read is the value of the run before."""
    handle = O("VAR_HANDLE", [], [0], "VarHandleOptions", {"Container": "", "SharedName": "v"})
    start = T("start", (1, 3), data=np.float32([[1, 2, 3]]))
    data = variables([handle, O("ASSIGN_VARIABLE", [0, 1], [])], [T("h", (1,), "resource"), start])
    session = pe.Session(pe.compile(load_tflite(data)))
    x = np.float32([[7, 8, 9]])
    assert [session.run([x])[0].tolist() for _ in range(2)] == [[[1, 2, 3]], [[7, 8, 9]]]
    session.reset()
    assert session.run([x])[0].tolist() == [[1, 2, 3]]


def test_call_once_of_anything_else_is_refused() -> None:
    """The operator in its subgraph is named; so is a value that is no constant."""
    two = [T("a", (1, 3)), T("b", (1, 3))]
    with pytest.raises(UnsupportedOpError, match=r"CALL_ONCE .*the subgraph that it calls has RELU"):
        load_tflite(variables([O("RELU", [0], [1])], two))
    handle = O("VAR_HANDLE", [], [0], "VarHandleOptions", {"Container": "", "SharedName": "v"})
    with pytest.raises(UnsupportedOpError, match="'b', which its subgraph assigns, is not a constant"):
        load_tflite(variables([handle, O("ASSIGN_VARIABLE", [0, 1], [])], [T("a", (1,), "resource"), two[1]]))


def test_a_subgraph_that_is_not_there_is_damage() -> None:
    """CALL_ONCE names one behind the last."""
    ops = [O("CALL_ONCE", [], [], "CallOnceOptions", {"InitSubgraphIndex": 3}), O("RELU", [0], [1])]
    with pytest.raises(ModelError, match="none of number 3"):
        load_tflite(model([T("x", (1, 3)), T("y", (1, 3))], ops, [0], [1]))
