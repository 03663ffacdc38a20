"""What passes that rewrite a graph share: who reads what, names, constants, the graphs inside an "if"."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping

import numpy as np

from ..model.graph import Graph, Op, Quantization, Tensor

Tensors = Mapping[str, Tensor]
Rewrite = Callable[[Graph, Tensors], None]


def everywhere(graph: Graph, rewrite: Rewrite) -> Graph:
    """A copy of graph after `rewrite(graph, outer)` has changed it in place, and then each graph of its "if" ops.

    outer: the tensors that an inner graph sees from outside.
    """
    graph = graph.copy()
    _walk(graph, {}, rewrite)
    return graph


def _walk(graph: Graph, outer: Tensors, rewrite: Rewrite) -> None:
    for op in graph.ops:
        for branch in branches(op):
            op.attrs[branch] = op.attrs[branch].copy()
    rewrite(graph, outer)
    for op in graph.ops:
        for branch in branches(op):
            _walk(op.attrs[branch], {**outer, **graph.tensors}, rewrite)


def branches(op: Op) -> list[str]:
    """Names of the attributes of an op that are graphs."""
    return [b for b in ("then", "else") if b in op.attrs]


def reads(op: Op) -> set[str]:
    """Names that an op reads, those that its graphs take from outside included."""
    names = {n for n in op.inputs if n is not None}
    for branch in branches(op):
        inner: Graph = op.attrs[branch]
        names |= set(inner.output_names).union(*(reads(o) for o in inner.ops)) - inner.tensors.keys()
    return names


def readers(graph: Graph) -> Counter[str]:
    """How many ops, outputs and states of a graph read each tensor; an "if" counts for all that its graphs read."""
    count = Counter(n for op in graph.ops for n in reads(op))
    count.update(graph.result_names)
    return count


def makers(graph: Graph) -> dict[str, Op]:
    """The op that gives each result."""
    return {n: op for op in graph.ops for n in op.outputs}


def replace_reads(ops: Iterable[Op], names: Mapping[str, str]) -> None:
    """Lets ops read other tensors, those in their graphs included; outputs of the outermost graph keep their names."""
    for op in ops:
        op.inputs = [None if n is None else names.get(n, n) for n in op.inputs]
        for branch in branches(op):
            inner: Graph = op.attrs[branch]
            outside = {old: new for old, new in names.items() if old not in inner.tensors}
            replace_reads(inner.ops, outside)
            inner.output_names = [outside.get(n, n) for n in inner.output_names]


def bypass(graph: Graph, op: Op, source: str) -> bool:
    """Takes an op with one result out and lets its readers read `source`, of the same shape, dtype and quantization.

    False, with nothing changed, where its result is an output and source cannot take its name: an input of the graph,
    a constant, another output, or a tensor from outside.
    """
    result = op.outputs[0]
    if result in graph.output_names:
        maker = makers(graph).get(source)
        if maker is None or maker is op or source in graph.output_names:
            return False
        graph.ops.remove(op)
        replace_reads(graph.ops, {source: result})
        graph.rename_results({source: result})
        maker.outputs = [result if n == source else n for n in maker.outputs]
        del graph.tensors[source]
        return True
    graph.ops.remove(op)
    replace_reads(graph.ops, {result: source})
    graph.rename_results({result: source})
    del graph.tensors[result]
    return True


def unused(tensors: Tensors, stem: str) -> str:
    """A name that no tensor has."""
    name, i = stem, 0
    while name in tensors:
        i += 1
        name = f"{stem}_{i}"
    return name


def add_constant(graph: Graph, stem: str, value: np.ndarray, quant: Quantization | None = None) -> str:
    """Adds a constant under a name of its own, and gives the name."""
    data = np.ascontiguousarray(value).reshape(value.shape)
    name = unused(graph.tensors, stem)
    graph.add_tensor(Tensor(name, data.shape, str(data.dtype), data, quant))
    return name
