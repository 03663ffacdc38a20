"""Ops that give back what they are given."""

from __future__ import annotations

from ..model.graph import Graph, Op, Tensor, same_codes
from .rewrite import Tensors, bypass, everywhere, makers


def remove_identities(graph: Graph) -> Graph:
    """Return a copy of graph without ops that change nothing: identity, a reshape, transpose, cast, expand, pad or
    slice to what its operand is, a requantization to the same scale. A reshape of a reshape becomes one.

    An op between an input or a constant and an output stays: outputs need an op that gives them.
    """
    return everywhere(graph, _remove)


def _remove(graph: Graph, outer: Tensors) -> None:
    tensors = {**outer, **graph.tensors}
    for op in list(graph.ops):
        made = makers(graph)
        before = made.get(op.inputs[0] or "") if op.inputs else None
        if op.kind == "reshape" and before is not None and before.kind == "reshape":
            op.inputs = list(before.inputs)
        if op.inputs and op.inputs[0] is not None and _is_identity(op, tensors[op.inputs[0]], tensors[op.outputs[0]]):
            bypass(graph, op, op.inputs[0])


_MOVES = ("identity", "reshape", "expand", "pad", "tile")


def _is_identity(op: Op, x: Tensor, y: Tensor) -> bool:
    if len(op.outputs) != 1 or x.shape != y.shape or x.dtype != y.dtype:
        return False
    if y.quant is not None and not same_codes(x.quant, y.quant):
        return False
    if op.kind == "transpose":
        return list(op.attrs["perm"]) == list(range(len(x.shape)))
    if op.kind == "slice":
        return all(s == 1 for s in op.attrs.get("steps", (-1,)))
    if op.kind == "quantize":
        return x.dtype == "int8"
    return op.kind in _MOVES or (
        op.kind == "cast" and not op.attrs.get("to_format") and not op.attrs.get("from_format")
    )
