"""Dead code: ops whose results nobody reads, and tensors that nothing uses."""

from __future__ import annotations

from ..model.graph import Graph
from .rewrite import Tensors, everywhere, reads


def remove_dead(graph: Graph) -> Graph:
    """Return a copy of graph without the ops and constants that no output or state needs. Inputs and states stay."""
    return everywhere(graph, _remove)


def _remove(graph: Graph, outer: Tensors) -> None:
    needed, kept = set(graph.result_names), []
    for op in reversed(graph.ops):
        if needed.intersection(op.outputs):
            kept.append(op)
            needed |= reads(op)
    graph.ops = kept[::-1]
    needed |= set(graph.source_names) | {n for op in graph.ops for n in op.outputs}
    graph.tensors = {n: t for n, t in graph.tensors.items() if n in needed}
