"""Stand-alone activations become part of the op before them."""

from __future__ import annotations

from collections import Counter

from ..model.graph import Graph, Op
from ..model.ops import KINDS

_CLIPS = {(0.0, float("inf")): "relu", (0.0, 6.0): "relu6", (-1.0, 1.0): "relu_n1_to_1"}


def fold_activations(graph: Graph) -> Graph:
    """Return a copy of graph in which each relu, relu6 and matching clip that follows an op with an `activation`
    attribute, and is the only reader of its result, is that op's fused activation.

    The result keeps the activation's tensor and name. Graphs of an "if" are left as they are.
    """
    graph = graph.copy()
    readers = Counter(n for op in graph.ops for n in op.inputs if n is not None)
    readers.update(graph.result_names)
    for op in graph.ops:
        for branch in ("then", "else"):
            if branch in op.attrs:
                readers.update(_names_read(op.attrs[branch]))
    makers: dict[str, Op] = {}
    kept: list[Op] = []
    for op in graph.ops:
        activation = _activation(op)
        maker = makers.get(op.inputs[0] or "") if op.inputs else None
        fits = (
            activation is not None
            and maker is not None
            and "activation" in KINDS[maker.kind].attrs
            and maker.attrs["activation"] is None
            and readers[maker.outputs[0]] == 1
            and graph.tensors[maker.outputs[0]].quant is None  # int8: the activation may change the scale
        )
        if fits and maker is not None:
            del graph.tensors[maker.outputs[0]]
            maker.attrs["activation"] = activation
            maker.outputs = list(op.outputs)
            op = maker
        else:
            kept.append(op)
        makers.update((name, op) for name in op.outputs)
    graph.ops = kept
    return graph


def _activation(op: Op) -> str | None:
    if op.kind in ("relu", "relu6"):
        return op.kind
    return _CLIPS.get((op.attrs["min"], op.attrs["max"])) if op.kind == "clip" else None


def _names_read(graph: Graph) -> set[str]:
    names = {n for op in graph.ops for n in op.inputs if n is not None} | set(graph.output_names)
    for op in graph.ops:
        for branch in ("then", "else"):
            if branch in op.attrs:
                names |= _names_read(op.attrs[branch])
    return names
