"""The tables of a .tflite file as plain data, every count and length checked before it is used.

A file is a FlatBuffer (magic "TFL3" at byte 4), read with the PyPI package `tflite`. Python slices and struct raise on
reads outside the file; what they don't bound is work and memory: counts, shapes and buffers are bounded here.
"""

from __future__ import annotations

import hashlib
import math
import struct
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, TypeVar

import numpy as np
import tflite
from flatbuffers import flexbuffers

from ..errors import ModelError, PyedgeError
from .graph import Quantization
from .ops import MAX_EXTENT, Shape

MAGIC = b"TFL3"
_MAX_ITEMS = 1 << 16  # tensors, operators and buffers of one model
_MAX_OPERANDS = 1 << 12  # of one operator
_MAX_RANK = 8

Options = TypeVar("Options")


def _names(enum: type) -> dict[int, str]:
    return {value: name for name, value in vars(enum).items() if isinstance(value, int)}


_OPERATORS = _names(tflite.BuiltinOperator)
_OPTIONS = _names(tflite.BuiltinOptions)
_TYPES = _names(tflite.TensorType)
_STORED = {
    "float32": "<f4",
    "float16": "<f2",
    "int8": "i1",
    "uint8": "u1",
    "int16": "<i2",
    "int32": "<i4",
    "int64": "<i8",
    "bool": "?",
}


class Unsupported(Exception):
    """A variant of an operator that pyedge doesn't have; the text says which."""


@dataclass
class FileTensor:
    """One tensor. dtype: the schema's name in lower case. flaw: why pyedge can't use it, None if nothing is wrong.
    variable: it keeps its value from run to run.
    """

    index: int
    name: str
    shape: Shape
    dtype: str
    data: np.ndarray | None
    quant: Quantization | None
    flaw: str | None
    variable: bool = False


@dataclass
class FileOperator:
    """One operator. inputs: tensor numbers, -1 for an absent one."""

    number: int
    name: str
    inputs: list[int]
    outputs: list[int]
    _table: Any
    _options: str
    custom: bytes = b""  # options of a custom operator, as they are in the file

    def options(self, kind: type[Options]) -> Options:
        """The builtin options, which must be of this kind of the schema (tflite.Conv2DOptions, ...)."""
        if self._table is None or self._options != kind.__name__:
            raise ModelError(f"operator {self.number} {self.name}: has options {self._options}, not {kind.__name__}")
        options: Any = kind()
        options.Init(self._table.Bytes, self._table.Pos)
        return options  # type: ignore[no-any-return]

    def custom_option(self, name: str) -> int:
        """An integer or bool of a custom operator's options, which are a FlexBuffer map."""
        try:
            return int(flexbuffers.GetRoot(self.custom).AsMap[name].AsInt)
        except (KeyError, ValueError, TypeError, IndexError, struct.error):
            raise ModelError(f"operator {self.number} {self.name}: its options have no number {name!r}") from None

    def custom_real(self, name: str, default: float | None = None) -> float:
        """A number of a custom operator's options; default: if it isn't there."""
        try:
            return float(flexbuffers.GetRoot(self.custom).AsMap[name].AsFloat)
        except (KeyError, ValueError, TypeError, IndexError, struct.error):
            if default is not None:
                return default
            raise ModelError(f"operator {self.number} {self.name}: its options have no number {name!r}") from None


@dataclass
class ModelFile:
    """A subgraph of a model file, by default the first."""

    description: str
    sha256: str
    subgraph: Callable[[int], ModelFile]  # reads another one
    tensors: list[FileTensor] = field(default_factory=list)
    operators: list[FileOperator] = field(default_factory=list)
    inputs: list[int] = field(default_factory=list)
    outputs: list[int] = field(default_factory=list)


@contextmanager
def damage(source: str) -> Iterator[None]:
    """Whatever reading a damaged file raises becomes one ModelError of one line."""
    try:
        yield
    except PyedgeError as e:
        kind = type(e) if isinstance(e, ModelError) else ModelError
        raise kind(f"{source}: {e}") from None
    except (struct.error, LookupError, ValueError, TypeError, ArithmeticError, AttributeError) as e:
        text = " ".join(str(e).split())
        raise ModelError(f"{source}: damaged TFLite file ({type(e).__name__}: {text})") from None


def read(data: bytes) -> ModelFile:
    """Reads a file; errors are those of `damage`, in which callers wrap this."""
    if len(data) < 16 or data[4:8] != MAGIC:
        raise ModelError('not a TFLite model: no "TFL3" at byte 4')
    model = tflite.Model.GetRootAs(data, 0)
    if model.Version() != 3:
        raise ModelError(f"TFLite schema version {model.Version()}, only 3 is known")
    return _subgraph(model, data, hashlib.sha256(data).hexdigest(), 0)


def _subgraph(model: Any, data: bytes, sha256: str, number: int) -> ModelFile:
    count = _count("subgraphs", model.SubgraphsLength())
    if not 0 <= number < count:
        raise ModelError(f"the model has {count} subgraphs, none of number {number}")
    graph = model.Subgraphs(number)
    file = ModelFile(_string(model.Description()), sha256, lambda other: _subgraph(model, data, sha256, other))
    buffers = _count("buffers", model.BuffersLength())
    stored: dict[int, bytes] = {}
    file.tensors = [
        _tensor(model, graph.Tensors(i), i, buffers, data, stored)
        for i in range(_count("tensors", graph.TensorsLength()))
    ]
    _unique_names(file.tensors)
    codes = _count("operator codes", model.OperatorCodesLength())
    names = [_operator_name(model.OperatorCodes(i)) for i in range(codes)]
    for i in range(_count("operators", graph.OperatorsLength())):
        file.operators.append(_operator(graph.Operators(i), i, names, len(file.tensors)))
    file.inputs = _numbers("inputs", graph.InputsAsNumpy(), len(file.tensors))
    file.outputs = _numbers("outputs", graph.OutputsAsNumpy(), len(file.tensors))
    return file


def _count(what: str, n: int, limit: int = _MAX_ITEMS) -> int:
    if not 0 <= n <= limit:
        raise ModelError(f"{n} {what}, more than {limit}; the file is damaged")
    return n


def _string(raw: bytes | None) -> str:
    return (raw or b"")[:4096].decode("utf-8", "replace")


def _numbers(what: str, raw: Any, tensors: int, absent: bool = False) -> list[int]:
    """A vector of tensor numbers; the tflite package gives the number 0 for a vector that is missing."""
    numbers = [] if isinstance(raw, int) else raw
    _count(what, len(numbers), _MAX_OPERANDS)
    result = [int(n) for n in numbers]
    if any(not (-1 if absent else 0) <= n < tensors for n in result):
        raise ModelError(f"{what} name tensors {result}, the file has {tensors}")
    return result


def _operator_name(code: Any) -> str:
    number = max(code.BuiltinCode(), code.DeprecatedBuiltinCode())  # the byte-wide field came first
    if number == tflite.BuiltinOperator.CUSTOM:
        return f"custom operator {_string(code.CustomCode())!r}"
    return _OPERATORS.get(number, f"operator code {number}")


def _operator(op: Any, number: int, names: list[str], tensors: int) -> FileOperator:
    code = op.OpcodeIndex()
    if code >= len(names):
        raise ModelError(f"operator {number} has code {code}, the file has {len(names)}")
    options = _OPTIONS.get(op.BuiltinOptionsType(), "?")
    name = names[code]
    return FileOperator(
        number,
        name,
        _numbers(f"operator {number} {name}: inputs", op.InputsAsNumpy(), tensors, absent=True),
        _numbers(f"operator {number} {name}: outputs", op.OutputsAsNumpy(), tensors),
        op.BuiltinOptions(),
        options,
        b"" if op.CustomOptionsIsNone() else op.CustomOptionsAsNumpy().tobytes(),
    )


def _tensor(model: Any, t: Any, index: int, buffers: int, file: bytes, stored: dict[int, bytes]) -> FileTensor:
    """stored: the buffers read so far, by number; tensors may share one."""
    rank = _count(f"axes of tensor {index}", t.ShapeLength(), _MAX_RANK)
    sizes = [int(t.Shape(i)) for i in range(rank)]
    signature = [int(t.ShapeSignature(i)) for i in range(rank)] if t.ShapeSignatureLength() == rank else sizes
    name = _string(t.Name()) or f"t{index}"
    where = f"tensor {index} {name!r}"
    if any(d < 0 for d in sizes) or math.prod(sizes) > MAX_EXTENT:
        raise ModelError(f"{where} has shape {sizes}, outside what a tensor can be")
    shape = tuple(None if s == -1 else d for s, d in zip(signature, sizes, strict=True))
    dtype = _TYPES.get(t.Type(), f"type {t.Type()}").lower()
    quant, flaw = _quantization(where, t.Quantization())
    if t.Sparsity() is not None:
        flaw = "is stored sparse"
    number = t.Buffer()
    if number >= buffers:
        raise ModelError(f"{where} is in buffer {number}, the file has {buffers}")
    data = None
    if flaw is None and dtype in _STORED:
        data = _constant(where, model.Buffers(number), number, dtype, sizes, file, stored)
    if data is not None:
        shape = tuple(sizes)
    if t.IsVariable() and data is not None:
        flaw = "is a variable and has a value"
    return FileTensor(index, name, shape, dtype, data, quant, flaw, bool(t.IsVariable()))


def _constant(
    where: str, buffer: Any, number: int, dtype: str, sizes: list[int], file: bytes, stored: dict[int, bytes]
) -> np.ndarray | None:
    """The tensor's value; None if its buffer is empty."""
    if number in stored:
        raw = np.frombuffer(stored[number], np.uint8)
    elif buffer.Offset() > 1:  # in files above 2 GiB the bytes lie behind the FlatBuffer
        start, size = buffer.Offset(), buffer.Size()
        if start + size > len(file):
            raise ModelError(f"{where}: its bytes {start} to {start + size} lie behind the end of the file")
        raw = np.frombuffer(file, np.uint8, size, start)
    elif buffer.DataLength() == 0:
        return np.zeros(sizes, _STORED[dtype]) if 0 in sizes else None  # the shape of a scalar has no elements
    else:
        raw = buffer.DataAsNumpy()
    kind = np.dtype(_STORED[dtype])
    expected = math.prod(sizes) * kind.itemsize
    if raw.size != expected:
        raise ModelError(f"{where}: {raw.size} bytes of data, {dtype}{sizes} has {expected}")
    if number not in stored:
        stored[number] = raw.tobytes()  # a copy, because a FlatBuffer's vectors need not be aligned
    value = np.frombuffer(stored[number], kind).reshape(sizes)
    return value.astype(kind.newbyteorder("="), copy=False)


def _quantization(where: str, q: Any) -> tuple[Quantization | None, str | None]:
    if q is None:
        return None, None
    if q.DetailsType() != 0:
        return None, "has custom or blockwise quantization"
    scales = q.ScaleLength()
    if scales == 0:
        return None, None
    scale = np.asarray(q.ScaleAsNumpy()).astype(np.float32)
    zero = np.zeros(scales, np.int64) if q.ZeroPointLength() == 0 else np.asarray(q.ZeroPointAsNumpy()).astype(np.int64)
    if zero.size == 1 and scales > 1:
        zero = np.repeat(zero, scales)
    if zero.size != scales:
        raise ModelError(f"{where}: {scales} scales and {zero.size} zero points")
    if not np.isfinite(scale).all() or (scale < 0).any() or (np.abs(zero) > 2**31 - 1).any():
        raise ModelError(f"{where}: a scale or zero point is out of range")
    return Quantization(scale, zero.astype(np.int32), int(q.QuantizedDimension())), None


def _unique_names(tensors: list[FileTensor]) -> None:
    """Later tensors of a name that is taken get their number behind it."""
    taken: set[str] = set()
    for t in tensors:
        name = t.name
        while name in taken:
            name = f"{name}:{t.index}"
        taken.add(name)
        t.name = name
