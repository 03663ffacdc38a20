"""Writes small .tflite models: what the importer's tests need and no real model has."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import flatbuffers
import numpy as np
import tflite
from flatbuffers import flexbuffers

TYPES = {
    "float32": tflite.TensorType.FLOAT32,
    "float16": tflite.TensorType.FLOAT16,
    "int8": tflite.TensorType.INT8,
    "uint8": tflite.TensorType.UINT8,
    "int16": tflite.TensorType.INT16,
    "int32": tflite.TensorType.INT32,
    "uint32": tflite.TensorType.UINT32,
    "uint64": tflite.TensorType.UINT64,
    "int64": tflite.TensorType.INT64,
    "bool": tflite.TensorType.BOOL,
    "resource": tflite.TensorType.RESOURCE,
}


@dataclass
class T:
    """A tensor; data makes it a constant, variable one that keeps its value."""

    name: str
    shape: Sequence[int]
    dtype: str = "float32"
    data: Any = None
    scale: Any = None
    zero_point: Any = 0
    axis: int = 0
    signature: Sequence[int] | None = None
    variable: bool = False


@dataclass
class O:  # noqa: E742  (one letter beside T)
    """An operator: the schema's name, tensor numbers, and its options table with its fields.

    A name that the schema doesn't have is a custom operator; its fields become a FlexBuffer map, or are its bytes.
    """

    name: str
    inputs: Sequence[int]
    outputs: Sequence[int]
    options: str | None = None
    fields: dict[str, Any] | bytes = field(default_factory=dict)


Subgraph = tuple[Sequence[T], Sequence[O], Sequence[int], Sequence[int]]


def model(
    tensors: Sequence[T], operators: Sequence[O], inputs: Sequence[int], outputs: Sequence[int], *more: Subgraph
) -> bytes:
    """The bytes of a model; more: subgraphs behind the first, each of tensors, operators, inputs and outputs."""
    b = flatbuffers.Builder(1024)
    graphs = [(tensors, operators, inputs, outputs), *more]
    names = list(dict.fromkeys(o.name for g in graphs for o in g[1]))
    buffers = [_buffer(b, None)] + [_buffer(b, t.data) for g in graphs for t in g[0]]
    starts = [1 + sum(len(g[0]) for g in graphs[:i]) for i in range(len(graphs))]
    subgraphs = _offsets(b, [_subgraph(b, g, names, start) for g, start in zip(graphs, starts, strict=True)])
    code_offsets = [_code(b, name) for name in names]
    codes, buffer_vector = _offsets(b, code_offsets), _offsets(b, buffers)
    description = b.CreateString("made by a test")
    tflite.ModelStart(b)
    tflite.ModelAddVersion(b, 3)
    tflite.ModelAddOperatorCodes(b, codes)
    tflite.ModelAddSubgraphs(b, subgraphs)
    tflite.ModelAddDescription(b, description)
    tflite.ModelAddBuffers(b, buffer_vector)
    b.Finish(tflite.ModelEnd(b), b"TFL3")
    return bytes(b.Output())


def _subgraph(b: Any, graph: Subgraph, names: Sequence[str], first_buffer: int) -> int:
    tensors, operators, inputs, outputs = graph
    tensor_offsets = [_tensor(b, t, first_buffer + i) for i, t in enumerate(tensors)]
    operator_offsets = [_operator(b, o, names.index(o.name)) for o in operators]
    tensor_vector = _offsets(b, tensor_offsets)
    operator_vector = _offsets(b, operator_offsets)
    input_vector, output_vector = _numbers(b, inputs), _numbers(b, outputs)
    tflite.SubGraphStart(b)
    tflite.SubGraphAddTensors(b, tensor_vector)
    tflite.SubGraphAddInputs(b, input_vector)
    tflite.SubGraphAddOutputs(b, output_vector)
    tflite.SubGraphAddOperators(b, operator_vector)
    return int(tflite.SubGraphEnd(b))


def _offsets(b: Any, items: Sequence[int]) -> int:
    b.StartVector(4, len(items), 4)
    for item in reversed(items):
        b.PrependUOffsetTRelative(item)
    return int(b.EndVector())


def _numbers(b: Any, items: Sequence[int]) -> int:
    return int(b.CreateNumpyVector(np.asarray(items, np.int32)))


def _buffer(b: Any, data: Any) -> int:
    vector = None
    if data is not None:
        raw = np.frombuffer(np.ascontiguousarray(data).tobytes(), np.uint8)
        b.StartVector(1, len(raw), 16)
        b.head -= len(raw)
        b.Bytes[b.head : b.head + len(raw)] = raw.tobytes()
        vector = b.EndVector()
    tflite.BufferStart(b)
    if vector is not None:
        tflite.BufferAddData(b, vector)
    return int(tflite.BufferEnd(b))


def _tensor(b: Any, t: T, buffer: int) -> int:
    name, shape = b.CreateString(t.name), _numbers(b, t.shape)
    signature = None if t.signature is None else _numbers(b, t.signature)
    quantization = None
    if t.scale is not None:
        scale = np.atleast_1d(np.asarray(t.scale, np.float32))
        zero = np.broadcast_to(np.asarray(t.zero_point, np.int64), scale.shape)
        scales, zeros = b.CreateNumpyVector(scale), b.CreateNumpyVector(np.ascontiguousarray(zero))
        tflite.QuantizationParametersStart(b)
        tflite.QuantizationParametersAddScale(b, scales)
        tflite.QuantizationParametersAddZeroPoint(b, zeros)
        tflite.QuantizationParametersAddQuantizedDimension(b, t.axis)
        quantization = tflite.QuantizationParametersEnd(b)
    tflite.TensorStart(b)
    tflite.TensorAddShape(b, shape)
    tflite.TensorAddType(b, TYPES[t.dtype])
    tflite.TensorAddBuffer(b, buffer)
    tflite.TensorAddName(b, name)
    if t.variable:
        tflite.TensorAddIsVariable(b, True)
    if signature is not None:
        tflite.TensorAddShapeSignature(b, signature)
    if quantization is not None:
        tflite.TensorAddQuantization(b, quantization)
    return int(tflite.TensorEnd(b))


def _operator(b: Any, o: O, code: int) -> int:
    inputs, outputs = _numbers(b, o.inputs), _numbers(b, o.outputs)
    options = custom = None
    if not hasattr(tflite.BuiltinOperator, o.name):
        raw = o.fields if isinstance(o.fields, bytes) else bytes(flexbuffers.Dumps(o.fields))
        custom = b.CreateByteVector(raw)
    elif o.options is not None:
        vectors = {k: _numbers(b, v) for k, v in o.fields.items() if isinstance(v, list)}
        vectors |= {k: b.CreateString(v) for k, v in o.fields.items() if isinstance(v, str)}
        getattr(tflite, o.options + "Start")(b)
        for key, value in o.fields.items():
            getattr(tflite, f"{o.options}Add{key}")(b, vectors.get(key, value))
        options = getattr(tflite, o.options + "End")(b)
    tflite.OperatorStart(b)
    tflite.OperatorAddOpcodeIndex(b, code)
    tflite.OperatorAddInputs(b, inputs)
    tflite.OperatorAddOutputs(b, outputs)
    if custom is not None:
        tflite.OperatorAddCustomOptions(b, custom)
    if options is not None:
        tflite.OperatorAddBuiltinOptionsType(b, getattr(tflite.BuiltinOptions, o.options))
        tflite.OperatorAddBuiltinOptions(b, options)
    return int(tflite.OperatorEnd(b))


def _code(b: Any, name: str) -> int:
    number = getattr(tflite.BuiltinOperator, name, tflite.BuiltinOperator.CUSTOM)
    custom = b.CreateString(name) if number == tflite.BuiltinOperator.CUSTOM else None
    tflite.OperatorCodeStart(b)
    if custom is not None:
        tflite.OperatorCodeAddCustomCode(b, custom)
    tflite.OperatorCodeAddDeprecatedBuiltinCode(b, min(number, 127))
    tflite.OperatorCodeAddBuiltinCode(b, number)
    tflite.OperatorCodeAddVersion(b, 2 if name == "BROADCAST_TO" else 1)  # its first version in LiteRT
    return int(tflite.OperatorCodeEnd(b))
