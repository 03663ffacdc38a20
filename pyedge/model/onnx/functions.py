"""Operators that ONNX defines as functions of others: their bodies, and how one takes the place of a node."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import onnx
from onnx import helper

from ...errors import ModelError
from .file import MAX_NESTING, STANDARD
from .formats import elem_type
from .node import Node, Unsupported

if TYPE_CHECKING:
    from .importer import Importer


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
    return helper.get_attribute_value(attribute)


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


def expand(m: Importer, n: Node) -> None:
    """Puts the function that ONNX defines for an operator in the place of a node."""
    found = body(n, [_type_of(m, n, i) for i in range(len(n.proto.input))])
    if found is None:
        raise Unsupported("no such operator here")
    inline(m, n, found)


def inline(m: Importer, n: Node, function: onnx.FunctionProto) -> None:
    """The nodes of a function in the place of one node that calls it; its names are its own."""
    if m.depth >= MAX_NESTING:
        raise ModelError(f"{m.file.source}: functions nest more than {MAX_NESTING} deep")
    inner = f"{n.name}/"
    attributes = {a.name: a for a in function.attribute_proto} | defaults(n) | n.attributes
    opsets = {"" if o.domain in STANDARD else o.domain: o.version for o in function.opset_import}
    names: dict[str, str] = {}
    for formal, actual in zip(function.input, [*n.proto.input, *[""] * len(function.input)], strict=False):
        names[formal] = actual
    results = dict(zip(function.output, n.proto.output, strict=False))
    m.depth += 1
    missing = len(m.unsupported)
    for node in function.node:
        copy = onnx.NodeProto()
        copy.CopyFrom(node)
        for outputs in copy.output:
            if outputs:
                names[outputs] = results.get(outputs) or f"{inner}{outputs}"
        substitute(copy, names, attributes)
        m.node(copy, opsets, inner)
    m.depth -= 1
    n.read |= set(n.attributes)
    if len(m.unsupported) > missing:
        reasons = m.unsupported[missing:]
        del m.unsupported[missing:]
        raise Unsupported(f"its function needs {reasons[0]}")


def _type_of(m: Importer, n: Node, i: int) -> onnx.TypeProto:
    """The ONNX type of an operand; empty for one that is absent."""
    t = m.optional(n, i)
    if t is None:
        return onnx.TypeProto()
    return helper.make_tensor_type_proto(elem_type(t.dtype, m.format(t)), t.shape)
