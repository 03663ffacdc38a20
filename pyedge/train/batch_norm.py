"""Batch norms that learn: by the statistics of the batch, with running statistics for inference.

A graph has one op, batch_norm, for both. In a graph that infers it reads mean and variance; in one that trains it is
made of ops that compute those of the batch and let the running ones, states that both graphs share, follow.
"""

from __future__ import annotations

import math
from collections.abc import Collection

from ..errors import ModelError
from ..model.graph import Graph, Op
from .tape import Gradients, Tape, only, vjp


def learning_norms(graph: Graph, learning: Collection[str]) -> list[Op]:
    """The batch norms whose scale or bias is among `learning`; the others are frozen, statistics too."""
    return [op for op in graph.ops if op.kind == "batch_norm" and not {*op.inputs[1:3]}.isdisjoint(learning)]


def running_statistics(graph: Graph, learning: Collection[str]) -> list[str]:
    """Names of the means and variances that change in training: they must be states of the graphs of a plan."""
    found = [str(n) for op in learning_norms(graph, learning) for n in op.inputs[3:5]]
    return list(dict.fromkeys(found))


def with_batch_statistics(graph: Graph, learning: Collection[str]) -> Graph:
    """Return a copy in which batch norms that learn use the mean and variance of x, over all axes but the last.

    Their running statistics become momentum * old + (1 - momentum) * that of the batch, of variances the unbiased one
    of n / (n - 1), as in PyTorch, whose momentum is 1 minus this one.

    Args:
        graph: With fixed shapes; `running_statistics` are states of it.
        learning: Names of the tensors that learn.

    Raises:
        ModelError: A statistic that is no state, or that two batch norms share, or a batch with one value a channel;
            names op and tensor.
    """
    norms = learning_norms(graph, learning)
    ops, graph = graph.ops, graph.copy()
    states = {s.name: s for s in graph.states}
    graph.ops = []
    t = Tape(graph)
    for op in ops:
        if op not in norms:
            graph.ops.append(op)
            continue
        x, scale, bias, mean, var = (str(n) for n in op.inputs)
        for name in (mean, var):
            if name not in states or states[name].next != name:
                problem = "is no state" if name not in states else "has an update already"
                raise ModelError(f"batch_norm {op.name!r}: the running statistic {name!r} {problem}")
        t.stem = op.name
        if math.prod(t.shape(x)[:-1]) < 2:
            raise ModelError(
                f"batch_norm {op.name!r}: a batch of {x!r} {list(t.shape(x))} has one value a channel and no variance;"
                " try: a larger batch"
            )
        y, now, spread, unbiased = _normalized(t, op, x, scale, bias)
        graph.ops.append(Op("identity", op.name, [y], list(op.outputs)))
        states[mean].next = _follow(t, mean, now, op.attrs["momentum"])
        states[var].next = _follow(t, var, t.scale(spread, unbiased), op.attrs["momentum"])
    return graph


def _normalized(t: Tape, op: Op, x: str, scale: str, bias: str) -> tuple[str, str, str, float]:
    """The result, mean and variance of x, and what makes the variance unbiased."""
    *axes, _ = range(len(t.shape(x)))
    count = math.prod(t.shape(x)[:-1])
    mean = _mean(t, x, axes)
    centered = t.sub(x, mean)
    var = _mean(t, t.mul(centered, centered), axes)
    factor = t.mul(t.op("rsqrt", t.shift(var, op.attrs["epsilon"])), scale)
    return t.add(t.mul(centered, factor), bias), mean, var, count / (count - 1)


def _mean(t: Tape, x: str, axes: list[int]) -> str:
    return t.op("reduce_mean", x, axes=tuple(axes), keepdims=False)


def _follow(t: Tape, old: str, now: str, momentum: float) -> str:
    return t.add(t.scale(old, momentum), t.scale(now, 1 - momentum))


@vjp("batch_norm")
def _frozen(t: Tape, op: Op, dy: Gradients) -> Gradients:
    """With mean and variance as they are; these have no gradient."""
    x, scale, _, mean, var = (str(n) for n in op.inputs)
    g = only(dy)
    inverse = t.op("rsqrt", t.shift(var, op.attrs["epsilon"]))
    normal = t.mul(t.sub(x, mean), inverse)
    dscale, dbias = (t.sum_to(part, t.shape(scale)) for part in (t.mul(g, normal), g))
    return [t.mul(g, t.mul(scale, inverse)), dscale, dbias]
