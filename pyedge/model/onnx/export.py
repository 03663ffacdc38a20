"""to_onnx: a graph as an ONNX model, for viewers such as Netron.

An op that means what an ONNX operator means, on types that this one takes and without quantization, becomes that
operator. Every other one is a node of the domain "pyedge" with the op's kind, operands and attributes as they are;
scales and zero points of its tensors are attributes: `input0_scale`, `output0_zero_point` and so on.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib.metadata import version
from typing import Any

import numpy as np
import onnx
from onnx import AttributeProto, TensorProto, helper, numpy_helper

from ...errors import ModelError
from ..graph import Graph, Op, Tensor
from .formats import elem_type

DOMAIN = "pyedge"
_OPSET, _IR = 20, 9

# Kinds whose operands are the operator's, without attributes; and those with attributes, under ONNX's names.
_NAMES = (
    "relu abs neg floor ceil round sign exp log sin cos tan asin acos atan sinh cosh tanh asinh acosh atanh erf",
    "sigmoid softplus mish sqrt reciprocal softsign hard_swish not bitwise_not sub mul div min max pow and or xor",
    "bitwise_and bitwise_or bitwise_xor equal less greater where identity size",
)
_PLAIN = {kind: kind.title().replace("_", "") for line in _NAMES for kind in line.split()}
_PLAIN |= {"less_equal": "LessOrEqual", "greater_equal": "GreaterOrEqual", "is_nan": "IsNaN"}
_RENAMED: dict[str, tuple[str, dict[str, str]]] = {
    "leaky_relu": ("LeakyRelu", {"alpha": "alpha"}),
    "thresholded_relu": ("ThresholdedRelu", {"alpha": "alpha"}),
    "elu": ("Elu", {"alpha": "alpha"}),
    "celu": ("Celu", {"alpha": "alpha"}),
    "hard_sigmoid": ("HardSigmoid", {"alpha": "alpha", "beta": "beta"}),
    "selu": ("Selu", {"alpha": "alpha", "gamma": "gamma"}),
    "transpose": ("Transpose", {"perm": "perm"}),
    "concat": ("Concat", {"axis": "axis"}),
    "log_softmax": ("LogSoftmax", {"axis": "axis"}),
    "hardmax": ("Hardmax", {"axis": "axis"}),
    "gather_elements": ("GatherElements", {"axis": "axis"}),
    "gather_nd": ("GatherND", {"batch_dims": "batch_dims"}),
    "cumsum": ("CumSum", {"exclusive": "exclusive", "reverse": "reverse"}),
    "trilu": ("Trilu", {"upper": "upper"}),
    "einsum": ("Einsum", {"equation": "equation"}),
}


def to_onnx(graph: Graph) -> onnx.ModelProto:
    """Return a graph as an ONNX model: the same names, with shapes and types of all tensors.

    A state is an input under its name and an output under that of its next value; the model's property "states" lists
    them.

    Raises:
        ModelError: A name that an op gives twice, or another contradiction that ONNX's checker finds.
    """
    proto = _graph(graph, {}, graph.name)
    made = helper.make_model(
        proto,
        producer_name="pyedge",
        producer_version=version("pyedge"),
        ir_version=_IR,
        opset_imports=[helper.make_opsetid("", _OPSET), helper.make_opsetid(DOMAIN, 1)],
    )
    facts = dict(graph.meta)
    if graph.states:
        facts["states"] = ", ".join(f"{s.name} <- {s.next}" for s in graph.states)
    helper.set_model_props(made, facts)
    try:
        onnx.checker.check_model(made)
    except onnx.checker.ValidationError as e:
        raise ModelError(f"graph {graph.name!r} can't be written as ONNX: {' '.join(str(e).split())}") from None
    return made


def _graph(graph: Graph, outer: Mapping[str, Tensor], name: str) -> onnx.GraphProto:
    tensors = {**outer, **graph.tensors}
    made = {n for op in graph.ops for n in op.outputs}
    result = onnx.GraphProto(name=name or "graph")
    for op in graph.ops:
        result.node.append(_node(op, tensors, result))
    result.initializer.extend(
        numpy_helper.from_array(t.data, t.name) for t in graph.tensors.values() if t.data is not None
    )
    result.input.extend(_info(tensors[n]) for n in graph.source_names)
    if outer:  # a branch: what it gives may be a constant or a tensor from outside
        for i, n in enumerate(graph.output_names):
            given = Tensor(f"{name}/{i}", tensors[n].shape, tensors[n].dtype)
            result.node.append(helper.make_node("Identity", [n], [given.name], name=given.name))
            result.output.append(_info(given))
    else:
        result.output.extend(_info(tensors[n]) for n in dict.fromkeys(graph.result_names))
    shown = {v.name for v in (*result.input, *result.output)}
    result.value_info.extend(_info(t) for n, t in graph.tensors.items() if n in made - shown)
    return result


def _node(op: Op, tensors: Mapping[str, Tensor], graph: onnx.GraphProto) -> onnx.NodeProto:
    """An op as a node; constants that only ONNX's operator needs go into the graph."""
    operands = [None if n is None else tensors[n] for n in op.inputs]
    results = [tensors[n] for n in op.outputs]
    inputs = [n or "" for n in op.inputs]
    if op.kind == "if":
        bodies = {f"{b}_branch": _graph(op.attrs[b], tensors, f"{op.name}/{b}") for b in ("then", "else")}
        return helper.make_node("If", inputs, op.outputs, name=op.name, **bodies)
    standard = _standard(op, operands)
    if standard is not None and _takes(standard[0], [*operands, *results]):
        op_type, attributes = standard
        if op.kind == "reshape":
            shape = np.array([-1 if d is None else d for d in results[0].shape], np.int64)
            graph.initializer.append(numpy_helper.from_array(shape, f"{op.outputs[0]}/shape"))
            inputs.append(graph.initializer[-1].name)
        return helper.make_node(op_type, inputs, op.outputs, name=op.name, **attributes)
    node = helper.make_node(op.kind, inputs, op.outputs, name=op.name, domain=DOMAIN)
    for name, value in op.attrs.items():
        if value is not None:
            node.attribute.append(_attribute(name, value))
    for side, side_tensors in (("input", operands), ("output", results)):
        for i, t in enumerate(side_tensors):
            if t is not None and t.quant is not None:
                node.attribute.append(_attribute(f"{side}{i}_scale", t.quant.scale.tolist()))
                node.attribute.append(_attribute(f"{side}{i}_zero_point", t.quant.zero_point.tolist()))
                if t.quant.scale.size > 1:
                    node.attribute.append(_attribute(f"{side}{i}_axis", t.quant.axis))
    return node


def _standard(op: Op, operands: Sequence[Tensor | None]) -> tuple[str, dict[str, Any]] | None:
    """The ONNX operator that an op is, with its attributes."""
    attrs = op.attrs
    if op.kind in _PLAIN:
        return _PLAIN[op.kind], {}
    if op.kind in _RENAMED:
        op_type, names = _RENAMED[op.kind]
        return op_type, {theirs: _plain(attrs[ours]) for ours, theirs in names.items()}
    if op.kind == "reshape" and sum(d is None for d in attrs["shape"]) <= 1:
        return "Reshape", {}
    if op.kind == "cast" and not (attrs["from_format"] or attrs["to_format"]):
        return "Cast", {"to": elem_type(attrs["to"], None)}
    if op.kind == "add" and attrs["activation"] is None:
        return "Add", {}
    if op.kind == "softmax" and attrs["beta"] == 1:
        return "Softmax", {"axis": attrs["axis"]}
    if op.kind == "gather" and not attrs["batch_dims"]:
        return "Gather", {"axis": attrs["axis"]}
    if op.kind == "matmul" and not (attrs["transpose_a"] or attrs["transpose_b"] or attrs["activation"]):
        return "MatMul", {}
    x = operands[0] if operands else None
    if op.kind == "linear" and attrs["activation"] is None and x is not None and len(x.shape) == 2:
        return "Gemm", {"transB": 1}
    return None


def _takes(op_type: str, tensors: Sequence[Tensor | None]) -> bool:
    """Whether an operator is defined for these operands and results: without scales, of types that it takes."""
    present = [t for t in tensors if t is not None]
    constraints = onnx.defs.get_schema(op_type, _OPSET).type_constraints
    allowed = {name for c in constraints for name in c.allowed_type_strs}
    names = {f"tensor({TensorProto.DataType.Name(elem_type(t.dtype, None)).lower()})" for t in present}
    return all(t.quant is None for t in present) and names <= allowed


def _info(t: Tensor) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(t.name, elem_type(t.dtype, None), t.shape)


def _plain(value: Any) -> Any:
    return int(value) if isinstance(value, bool) else value


def _attribute(name: str, value: Any) -> onnx.AttributeProto:
    """An attribute of the graph; pairs of pairs become one list, what ONNX has no type for becomes text."""
    if isinstance(value, Sequence) and not isinstance(value, str):
        flat = _flat(value)
        if all(isinstance(v, int) for v in flat):
            return helper.make_attribute(name, flat, attr_type=AttributeProto.INTS)
        if all(isinstance(v, int | float) for v in flat):
            return helper.make_attribute(name, [float(v) for v in flat], attr_type=AttributeProto.FLOATS)
        return helper.make_attribute(name, [str(v) for v in flat], attr_type=AttributeProto.STRINGS)
    return helper.make_attribute(name, _plain(value) if isinstance(value, int | float | str) else str(value))


def _flat(values: Sequence[Any]) -> list[Any]:
    found: list[Any] = []
    for v in values:
        found += _flat(v) if isinstance(v, Sequence) and not isinstance(v, str) else [_plain(v)]
    return found
