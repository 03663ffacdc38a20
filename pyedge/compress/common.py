"""Common subexpressions."""

from __future__ import annotations

from ..model.graph import Graph, same_codes
from .rewrite import Tensors, branches, everywhere, replace_reads


def merge_common(graph: Graph) -> Graph:
    """Return a copy of graph in which ops of the same kind, operands and attributes are one. Equal constants too."""
    return everywhere(graph, _merge)


def _merge(graph: Graph, outer: Tensors) -> None:
    names: dict[str, str] = {}
    constants: dict[tuple[object, ...], str] = {}
    for tensor in graph.tensors.values():
        if tensor.data is not None and tensor.data.nbytes <= 4096:
            key = (tensor.dtype, tensor.shape, tensor.data.tobytes())
            first = constants.setdefault(key, tensor.name)
            if first != tensor.name and same_codes(graph.tensors[first].quant, tensor.quant):
                names[tensor.name] = first
    names = {old: new for old, new in names.items() if old not in graph.output_names}
    replace_reads(graph.ops, names)
    seen: dict[tuple[object, ...], list[str]] = {}
    kept = []
    for op in graph.ops:
        replace_reads([op], names)
        if branches(op) or set(op.outputs) & set(graph.output_names):
            kept.append(op)
            continue
        attrs = tuple(sorted((k, repr(v)) for k, v in op.attrs.items()))
        first_outputs = seen.setdefault((op.kind, tuple(op.inputs), attrs), op.outputs)
        pairs = list(zip(op.outputs, first_outputs, strict=True))
        if first_outputs is not op.outputs and all(
            same_codes(graph.tensors[a].quant, graph.tensors[b].quant) for a, b in pairs
        ):
            names.update(pairs)
        else:
            kept.append(op)
    graph.ops = kept
    replace_reads(graph.ops, names)
    for name in names:
        graph.tensors.pop(name, None)
    graph.rename_results(names)
