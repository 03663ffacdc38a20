"""Constant folding."""

from __future__ import annotations

import math

import numpy as np

from ..model import reference
from ..model.graph import Graph, Op, Tensor
from .rewrite import Tensors, branches, everywhere

_LARGEST = 2**24  # elements of a constant that this pass makes, beyond those of its operands


def fold_constants(graph: Graph) -> Graph:
    """Return a copy of graph in which ops on constants are computed, by the NumPy reference, and an "if" of a constant
    predicate is the ops of its branch. An op that gives an output stays.

    A result that is larger than 2^24 elements and than its operands stays an op.
    """
    return everywhere(graph, _fold)


def _fold(graph: Graph, outer: Tensors) -> None:
    tensors = {**outer, **graph.tensors}
    ops = list(graph.ops)
    kept: list[Op] = []
    while ops:
        op = ops.pop(0)
        operands = [None if n is None else tensors[n] for n in op.inputs]
        known = all(t is None or t.data is not None for t in operands)
        if not known or (set(op.outputs) & set(graph.output_names) and not branches(op)):
            kept.append(op)
        elif branches(op):
            predicate = operands[0]
            assert predicate is not None and predicate.data is not None  # known
            taken: Graph = op.attrs["then" if predicate.data.any() else "else"]
            if set(taken.tensors) & set(graph.tensors):
                kept.append(op)
                continue
            graph.tensors.update(taken.tensors)
            tensors.update(taken.tensors)
            for name, source in zip(op.outputs, taken.output_names, strict=True):
                link = Op("reshape", name, [source], [name], {"shape": graph.tensors[name].shape})
                ops.insert(0, link)
            ops[:0] = taken.ops
        elif not _too_large(op, operands, tensors):
            for name, value in evaluate(op, tensors).items():
                tensors[name].data = value
        else:
            kept.append(op)
    graph.ops = kept


def _too_large(op: Op, operands: list[Tensor | None], tensors: Tensors) -> bool:
    def size(t: Tensor | None) -> int:
        return 0 if t is None else math.prod(d or 1 for d in t.shape)

    return sum(size(tensors[n]) for n in op.outputs) > max(_LARGEST, sum(map(size, operands)))


def evaluate(op: Op, tensors: Tensors) -> dict[str, np.ndarray]:
    """The results of an op whose operands are constants."""
    graph = Graph("constants")
    for name in dict.fromkeys(n for n in (*op.inputs, *op.outputs) if n is not None):
        t = tensors[name]
        graph.add_tensor(Tensor(t.name, t.shape, t.dtype, t.data, t.quant))
    graph.ops = [op]
    graph.output_names = list(op.outputs)
    return reference.run(graph, {})
