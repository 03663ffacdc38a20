"""A graph as JSON and arrays, for files that hold one: `from_arrays(to_arrays(graph))` is the same graph."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import numpy as np

from ..errors import ModelError
from .check import check
from .graph import Graph, Op, Quantization, State, Tensor

_GRAPH = "graph"  # key of the JSON text, and what keys of arrays begin with


def to_arrays(graph: Graph) -> dict[str, np.ndarray]:
    """Arrays by key; the text is UTF-8 bytes among them."""
    arrays: dict[str, np.ndarray] = {}
    text = json.dumps(_plain_graph(graph, arrays), separators=(",", ":"))
    return {_GRAPH: np.frombuffer(text.encode(), np.uint8), **arrays}


def from_arrays(arrays: Mapping[str, np.ndarray]) -> Graph:
    """The graph, checked.

    Raises:
        ModelError: Arrays that are no graph, or a damaged one; ShapeError: one whose shapes contradict each other.
    """
    try:
        graph = _graph(json.loads(arrays[_GRAPH].tobytes()), arrays)
    except (KeyError, TypeError, ValueError, AttributeError, RecursionError) as error:
        raise ModelError(f"no graph, or a damaged one: {type(error).__name__} {error}") from None
    return check(graph)


def _plain_graph(graph: Graph, arrays: dict[str, np.ndarray]) -> dict[str, Any]:
    def key(value: np.ndarray) -> str:
        name = f"{_GRAPH}/{len(arrays)}"
        arrays[name] = value
        return name

    def plain(value: Any) -> Any:
        if isinstance(value, Graph):
            return {"graph": _plain_graph(value, arrays)}
        if isinstance(value, tuple):
            return {"tuple": [plain(v) for v in value]}
        if isinstance(value, list):
            return [plain(v) for v in value]
        if isinstance(value, np.ndarray):
            return {"array": key(value)}
        return value.item() if isinstance(value, np.generic) else value

    def quantization(q: Quantization | None) -> Any:
        return None if q is None else {"scale": key(q.scale), "zero_point": key(q.zero_point), "axis": q.axis}

    return {
        "name": graph.name,
        "meta": graph.meta,
        "inputs": graph.input_names,
        "outputs": graph.output_names,
        "states": [[s.name, s.next, key(s.initial)] for s in graph.states],
        "tensors": [
            [t.name, t.shape, t.dtype, None if t.data is None else key(t.data), quantization(t.quant)]
            for t in graph.tensors.values()
        ],
        "ops": [
            [op.kind, op.name, op.inputs, op.outputs, {name: plain(value) for name, value in op.attrs.items()}]
            for op in graph.ops
        ],
    }


def _graph(facts: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> Graph:
    def real(value: Any) -> Any:
        if isinstance(value, list):
            return [real(v) for v in value]
        if not isinstance(value, dict):
            return value
        if "graph" in value:
            return _graph(value["graph"], arrays)
        return arrays[value["array"]] if "array" in value else tuple(real(v) for v in value["tuple"])

    graph = Graph(str(facts["name"]))
    graph.meta = {str(k): str(v) for k, v in facts["meta"].items()}
    for name, shape, dtype, data, quant in facts["tensors"]:
        q = None if quant is None else Quantization(arrays[quant["scale"]], arrays[quant["zero_point"]], quant["axis"])
        graph.add_tensor(Tensor(name, tuple(shape), dtype, None if data is None else arrays[data], q))
    for kind, name, inputs, outputs, attrs in facts["ops"]:
        graph.ops.append(Op(kind, name, inputs, outputs, {k: real(v) for k, v in attrs.items()}))
    graph.input_names, graph.output_names = list(facts["inputs"]), list(facts["outputs"])
    graph.states = [State(name, following, arrays[initial]) for name, following, initial in facts["states"]]
    return graph
