"""Cutting graphs."""

from __future__ import annotations

from collections.abc import Sequence

from ..errors import ModelError
from .check import check
from .graph import Graph, Op


def extract(graph: Graph, inputs: Sequence[str], outputs: Sequence[str]) -> Graph:
    """Return the part of graph between some of its tensors, as a graph of its own.

    Args:
        inputs: Tensors that are fed instead of computed; inputs of graph that nothing needs any more are left out.
        outputs: Tensors that are given, in this order.

    Returns:
        The ops that outputs need, in their order, the constants and states that they read, and what updates these.

    Raises:
        ModelError: A name that graph doesn't have, an input that is a constant, or an output that needs an input of
            graph that is not among inputs; names the tensor.
    """
    for name in (*inputs, *outputs):
        if name not in graph.tensors:
            raise ModelError(f"graph {graph.name!r} has no tensor {name!r}")
    needed, before = set(outputs), set[str]()
    kept: list[int] = []
    while before != needed:  # a state that is read needs its next value, which may read another state
        before = set(needed)
        needed |= {s.next for s in graph.states if s.name in needed and s.name not in inputs}
        kept = []
        for i, op in reversed(list(enumerate(graph.ops))):
            if any(name in needed and name not in inputs for name in op.outputs):
                kept.insert(0, i)
                needed |= _reads(op)
    part = graph.copy()
    part.ops = [part.ops[i] for i in kept]
    part.states = [s for s in part.states if s.name in needed and s.name not in inputs]
    results = {name for op in part.ops for name in op.outputs}
    part.tensors = {n: t for n, t in part.tensors.items() if n in needed | results | set(inputs)}
    part.input_names, part.output_names = list(inputs), list(outputs)
    missing = [n for n in graph.input_names if n in needed and n not in inputs]
    if missing:
        raise ModelError(
            f"graph {graph.name!r}: {', '.join(outputs)} need input {missing[0]!r}, which is not among inputs"
        )
    return check(part)


def split(graph: Graph, at: str) -> tuple[Graph, Graph]:
    """Return the graph up to tensor `at`, whose only output it is, and the rest, whose only input it is.

    Raises:
        ModelError: The rest needs more than that tensor.
    """
    return extract(graph, graph.input_names, [at]), extract(graph, [at], graph.output_names)


def _reads(op: Op) -> set[str]:
    """Names that an op reads, those inside its branches included."""
    names = {n for n in op.inputs if n is not None}
    for branch in ("then", "else"):
        if branch in op.attrs:
            inner: Graph = op.attrs[branch]
            names |= set(inner.output_names).union(*(_reads(o) for o in inner.ops)) - inner.tensors.keys()
    return names
