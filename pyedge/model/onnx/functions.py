"""Operators that ONNX defines as functions of others: their bodies, and how one takes the place of a node."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import onnx

from .node import Node


def _schema(n: Node) -> Any:  # an OpSchema, or None; its stubs lack the functions
    try:
        return onnx.defs.get_schema(n.op_type, n.opset, n.domain)
    except onnx.defs.SchemaError:
        return None


def has_body(n: Node) -> bool:
    """Whether ONNX defines the operator as a function."""
    schema = _schema(n)
    return schema is not None and bool(schema.has_function or schema.has_context_dependent_function)


def defaults(n: Node) -> dict[str, onnx.AttributeProto]:
    """Values of attributes that a node leaves out."""
    schema = _schema(n)
    if schema is None:
        return {}
    return {k: a.default_value for k, a in schema.attributes.items() if a.default_value.name}


def at_default(n: Node) -> set[str]:
    """Attributes of a node that say what would hold without them."""
    given = defaults(n)
    return {name for name, a in n.attributes.items() if name in given and _value(a) == _value(given[name])}


def _value(attribute: onnx.AttributeProto) -> Any:
    return onnx.helper.get_attribute_value(attribute)


def body(n: Node, types: Sequence[onnx.TypeProto]) -> onnx.FunctionProto | None:
    """The function of a node whose operands have these types; None if it has none, or none for them."""
    schema = _schema(n)
    if schema is None:
        return None
    if schema.has_function:
        found: onnx.FunctionProto = schema.function_body
        return found
    if not schema.has_context_dependent_function:
        return None
    given = [t.SerializeToString() for t in types]
    function = onnx.FunctionProto()
    function.ParseFromString(schema.get_context_dependent_function(n.proto.SerializeToString(), given))
    return function if function.node else None


def substitute(node: onnx.NodeProto, names: Mapping[str, str], attributes: Mapping[str, onnx.AttributeProto]) -> None:
    """Actual names and attributes in the place of a function's formal ones, in graphs inside as well."""
    for i, name in enumerate(node.input):
        node.input[i] = names.get(name, name)
    for i, name in enumerate(node.output):
        node.output[i] = names.get(name, name)
    kept = []
    for a in node.attribute:
        if a.ref_attr_name:
            if a.ref_attr_name not in attributes:
                continue
            actual = onnx.AttributeProto()
            actual.CopyFrom(attributes[a.ref_attr_name])
            actual.name = a.name
            kept.append(actual)
        else:
            kept.append(a)
    for a in kept:
        for graph in (*((a.g,) if a.type == onnx.AttributeProto.GRAPH else ()), *a.graphs):
            for inner in graph.node:
                substitute(inner, names, attributes)
            for info in graph.output:
                info.name = names.get(info.name, info.name)
    copies = [onnx.AttributeProto.FromString(a.SerializeToString()) for a in kept]
    del node.attribute[:]
    node.attribute.extend(copies)
