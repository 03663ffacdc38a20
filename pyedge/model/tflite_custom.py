"""TFLite's custom operators that are ops which the user has registered."""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from flatbuffers import flexbuffers

from .custom import PARAMS, Params
from .graph import Op
from .tflite_file import FileOperator, Unsupported

if TYPE_CHECKING:
    from .tflite import Importer


def registered(op: FileOperator) -> Callable[[Importer, FileOperator], None] | None:
    """The converter of an operator that the user has registered, None for another."""
    name = next((name for name in PARAMS if op.name == f"custom operator {name!r}"), None)
    return None if name is None else lambda m, op: _convert(m, op, name)


def _convert(m: Importer, op: FileOperator, name: str) -> None:
    inputs = [None if number < 0 else m.add_any(m.file.tensors[number]) for number in op.inputs]
    outputs = [m.add_any(m.file.tensors[number]) for number in op.outputs]
    m.graph.ops.append(Op(name, f"{name}_{op.number}", inputs, outputs, _attributes(PARAMS[name], op.custom)))


def _attributes(params: Params, options: bytes) -> dict[str, Any]:
    """The fields of an op's params: from a FlexBuffer map, where those left out are 0, or the bytes of the struct."""
    try:
        stated = flexbuffers.Loads(options) if options else {}
    except (ValueError, TypeError, IndexError, KeyError, struct.error, UnicodeDecodeError):
        stated = None
    if isinstance(stated, dict) and stated.keys() <= params.fields.keys():
        return {**params.zeros(), **stated}
    if len(options) == params.size:
        return params.unpack(options)
    if isinstance(stated, dict):
        raise Unsupported(f"option {sorted(stated.keys() - params.fields.keys())[0]!r}")
    raise Unsupported(f"{len(options)} bytes of options, its params have {params.size}")
