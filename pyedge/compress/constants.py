"""Constant folding."""

from __future__ import annotations

from ..model import reference
from ..model.graph import Graph, Op
from ..model.limits import Budget
from .rewrite import Tensors, branches, everywhere


def fold_constants(graph: Graph) -> Graph:
    """Return a copy of graph in which ops on constants are computed, by the NumPy reference, and an "if" of a constant
    predicate is the ops of its branch. An op that gives an output stays.

    What would take too much memory or time here stays an op (`model.limits`).
    """
    budget = Budget(graph.tensors.values(), growth=1)
    return everywhere(graph, lambda inner, outer: _fold(inner, outer, budget))


def _fold(graph: Graph, outer: Tensors, budget: Budget) -> None:
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
        elif budget.allows(op, operands, results := [tensors[n] for n in op.outputs]):
            found = reference.run_op(op, operands, [None if t is None else t.data for t in operands], results)
            for name, value in found.items():
                tensors[name].data = value
        else:
            kept.append(op)
    graph.ops = kept
