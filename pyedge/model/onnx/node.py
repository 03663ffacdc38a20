"""One node of an ONNX model as converters see it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import onnx
from onnx import helper

from ...errors import ModelError
from . import file as onnx_file

_UNSET = object()


class Unsupported(Exception):
    """An operator, attribute or operand that pyedge doesn't have; the text says which and its value."""


class Node:
    """One ONNX node as converters see it. inputs: None where absent. version: of the operator, not of the opset."""

    def __init__(self, proto: onnx.NodeProto, opset: int, name: str) -> None:
        self.proto, self.opset, self.name = proto, opset, name
        self.op_type, self.domain = proto.op_type, "" if proto.domain in onnx_file.STANDARD else proto.domain
        self.inputs = [n or None for n in proto.input]
        while self.inputs and self.inputs[-1] is None:
            self.inputs.pop()
        self.outputs = list(proto.output)
        self.attributes = {a.name: a for a in proto.attribute}
        self.read: set[str] = set()

    def attr(self, name: str, default: Any = _UNSET) -> Any:
        """An attribute's value: int, float, str, list of them, TensorProto or GraphProto."""
        self.read.add(name)
        if name not in self.attributes:
            if default is _UNSET:
                raise ModelError(f"node {self.name!r} ({self.op_type}): attribute {name!r} is missing")
            return default
        value = helper.get_attribute_value(self.attributes[name])
        if isinstance(value, bytes):
            return value.decode("utf-8", "replace")
        if isinstance(value, Sequence) and not isinstance(value, str):
            return [v.decode("utf-8", "replace") if isinstance(v, bytes) else v for v in value]
        return value

    def one_of(self, name: str, *allowed: Any) -> Any:
        """The value of an attribute, which must be among those allowed; allowed[0] is the default."""
        value = self.attr(name, allowed[0])
        if value not in allowed:
            raise Unsupported(f"{name}={value!r}")
        return value

    def only(self, name: str, *allowed: Any) -> None:
        """Refuses an attribute that is there with another value; allowed[0] is the default."""
        self.one_of(name, *allowed)
