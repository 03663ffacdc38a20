"""TFLite's recurrent operators and variables, as kinds of ops_sequence.py and states.

A variable is a tensor that operators change in place (`is_variable`), or a resource with a name.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
import tflite

from ..errors import ModelError
from .graph import Op, Quantization, Tensor
from .ops_sequence import GATES
from .tflite_file import FileOperator, FileTensor, ModelFile, Unsupported

if TYPE_CHECKING:
    from .tflite import Importer

Converter = Callable[["Importer", FileOperator], None]

# Inputs of UNIDIRECTIONAL_SEQUENCE_LSTM: gates in the order input, forget, cell, output.
_X_WEIGHTS, _H_WEIGHTS, _BIASES = (1, 2, 3, 4), (5, 6, 7, 8), (12, 13, 14, 15)
_HIDDEN, _CELL = 18, 19
_ABSENT = {"a peephole": (9, 10, 11), "a projection": (16, 17), "layer normalization": (20, 21, 22, 23)}
_TANH = 4  # of the fused activations
_WEIGHTS = {"float32": "float32", "int8": "int8", "int16": "int8"}  # dtype of x -> of weights


def _has(op: FileOperator, i: int) -> bool:
    return i < len(op.inputs) and op.inputs[i] >= 0


def _variable(m: Importer, op: FileOperator, i: int) -> FileTensor:
    t = m.tensor(op, i)
    if not t.variable:
        raise Unsupported(f"{t.name!r} is no variable")
    return t


def _gates(m: Importer, op: FileOperator, numbers: tuple[int, ...]) -> str:
    """The constants of the four gates as one, a gate after the other; of int8 with the scale of each."""
    parts = [m.tensor(op, i) for i in numbers]
    values = [m.constant(t) for t in parts]
    if any(v.shape != values[0].shape or v.dtype != values[0].dtype for v in values):
        raise ModelError(f"operator {op.number} {op.name}: {parts[0].name!r} and other gates differ in shape or type")
    quant = None
    if values[0].dtype == np.int8:
        scales = [t.quant for t in parts if t.quant is not None and t.quant.scale.size == 1]
        if len(scales) != GATES:
            raise Unsupported(f"{parts[0].name!r} of int8 has no scale, or several")
        zeros = np.concatenate([q.zero_point for q in scales])
        quant = Quantization(np.concatenate([q.scale for q in scales]), zeros)
    name = f"{parts[0].name}:gates"
    while name in m.graph.tensors:
        name += ":"
    stacked = np.stack(values)
    m.graph.add_tensor(Tensor(name, stacked.shape, str(stacked.dtype), stacked, quant))
    return name


def _emit(
    m: Importer, op: FileOperator, kind: str, inputs: list[str | None], states: list[FileTensor], **attrs: object
) -> None:
    """An op that gives the operator's output and the new values of states."""
    if len(op.outputs) != 1:
        raise ModelError(f"operator {op.number} {op.name}: {len(op.outputs)} outputs, expected 1")
    names = [m.add(m.file.tensors[op.outputs[0]], ("float32", "int8", "int16"))]
    for t in states:
        state = m.state(t.index, t)
        state.next = f"{state.name}:{op.number}"
        while state.next in m.graph.tensors:
            state.next += ":"
        m.graph.add_tensor(Tensor(state.next, t.shape, t.dtype, None, t.quant))
        names.append(state.next)
    m.graph.ops.append(Op(kind, f"{kind}_{op.number}", inputs, names, dict(attrs)))


def _lstm(m: Importer, op: FileOperator) -> None:
    """As TFLM has it: four gates, biases, tanh; no peephole, projection or layer normalization."""
    o = op.options(tflite.UnidirectionalSequenceLSTMOptions)
    for what, numbers in _ABSENT.items():
        if any(_has(op, i) for i in numbers):
            raise Unsupported(f"{what}, input {next(i for i in numbers if _has(op, i))}")
    if not _has(op, 1) or not _has(op, 5):
        raise Unsupported("no input gate (CIFG)")
    if o.FusedActivationFunction() != _TANH:
        raise Unsupported(f"fused activation {o.FusedActivationFunction()}, only tanh is possible")
    x, hidden, cell = m.tensor(op, 0), _variable(m, op, _HIDDEN), _variable(m, op, _CELL)
    weights = m.tensor(op, 1)
    if _WEIGHTS.get(x.dtype) != weights.dtype or x.index in m.shifted:
        raise Unsupported(f"input {x.name!r} is {x.dtype}, weights {weights.name!r} {weights.dtype}")
    clip = float(o.CellClip())
    if not clip >= 0:
        raise ModelError(f"operator {op.number} {op.name}: cell_clip is {clip}, expected 0 or more")
    states: list[str | None] = [m.add(hidden, tuple(_WEIGHTS)), m.add(cell, ("float32", "int16"))]
    inputs = [
        m.add(x, tuple(_WEIGHTS)),
        _gates(m, op, _X_WEIGHTS),
        _gates(m, op, _H_WEIGHTS),
        _gates(m, op, _BIASES),
        *states,
    ]
    attrs = {"time_major": bool(o.TimeMajor()), "cell_clip": clip or math.inf}
    _emit(m, op, "lstm_sequence", inputs, [hidden, cell], **attrs)


def _svdf(m: Importer, op: FileOperator) -> None:
    o = op.options(tflite.SVDFOptions)
    x, state = m.tensor(op, 0), _variable(m, op, 4)
    if x.index in m.shifted or m.tensor(op, 1).dtype != x.dtype:
        raise Unsupported(f"input {x.name!r} is {x.dtype}, weights {m.tensor(op, 1).name!r} {m.tensor(op, 1).dtype}")
    activation = m.activation(o.FusedActivationFunction())
    if x.dtype == "int8" and activation not in (None, "relu"):
        raise Unsupported(f"fused activation {activation} of int8")  # TFLM and LiteRT apply none to int8
    kinds = ("float32", "int8", "int16")
    bias = m.add(m.tensor(op, 3), ("float32", "int32")) if _has(op, 3) else None
    inputs = [m.add(x), m.add(m.tensor(op, 1)), m.add(m.tensor(op, 2), kinds), bias, m.add(state, kinds)]
    _emit(m, op, "svdf", inputs, [state], rank=int(o.Rank()), activation=activation)


# --- resources --------------------------------------------------------------------------------------------------------


def _handle(file: ModelFile, op: FileOperator) -> tuple[str, str]:
    """Container and name of the resource whose handle is the first input of an operator of a file."""
    maker = [o for o in file.operators if o.name == "VAR_HANDLE" and op.inputs and op.inputs[0] in o.outputs]
    if len(maker) != 1:
        raise Unsupported("its handle is not that of one VAR_HANDLE")
    o = maker[0].options(tflite.VarHandleOptions)
    return (o.Container() or b"").decode("utf-8", "replace"), (o.SharedName() or b"").decode("utf-8", "replace")


def _var_handle(m: Importer, op: FileOperator) -> None:
    """Read by those who use the handle."""


def _read_variable(m: Importer, op: FileOperator) -> None:
    if len(op.outputs) != 1:
        raise ModelError(f"operator {op.number} {op.name}: {len(op.outputs)} outputs, expected 1")
    state = m.state(_handle(m.file, op), m.file.tensors[op.outputs[0]])
    m.emit(op, "identity", [state.next])


def _assign_variable(m: Importer, op: FileOperator) -> None:
    value = m.tensor(op, 1)
    m.state(_handle(m.file, op), value).next = m.add_any(value)


def _call_once(m: Importer, op: FileOperator) -> None:
    """The subgraph gives variables their initial values; a reset does so again."""
    init = m.file.subgraph(int(op.options(tflite.CallOnceOptions).InitSubgraphIndex()))
    for o in init.operators:
        if o.name == "VAR_HANDLE":
            continue
        if o.name != "ASSIGN_VARIABLE" or len(o.inputs) != 2:
            raise Unsupported(f"the subgraph that it calls has {o.name}; only constants can be assigned there")
        value = init.tensors[o.inputs[1]]
        if value.data is None:
            raise Unsupported(f"{value.name!r}, which its subgraph assigns, is not a constant")
        m.initial[_handle(init, o)] = value.data


SEQUENCES: dict[str, Converter] = {
    "ASSIGN_VARIABLE": _assign_variable,
    "CALL_ONCE": _call_once,
    "READ_VARIABLE": _read_variable,
    "SVDF": _svdf,
    "UNIDIRECTIONAL_SEQUENCE_LSTM": _lstm,
    "VAR_HANDLE": _var_handle,
}
