"""Cutting graphs, and putting others in. Graphs that come in stay as they are."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping, Sequence

from ..errors import ModelError, ShapeError
from .check import check
from .graph import Graph, Op, State, Tensor, same_codes


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


def replace(graph: Graph, node: str, subgraph: Graph, inputs: Sequence[str] | None = None) -> Graph:
    """Return a copy of graph in which a subgraph computes what an op did.

    Args:
        node: The op's name, or the name of one of its results.
        subgraph: Its outputs stand for the op's results, in order: of the same shape, dtype and quantization. Its other
            tensors keep their names where graph has none of them; a number is put behind the others.
        inputs: What the subgraph's inputs are: tensors of graph, in order. Without it the op's operands that are no
            constants.

    Returns:
        The new graph; results keep their names, constants that only the old op read are gone.

    Raises:
        ModelError: No such op or tensor, another number of inputs or outputs, other dtypes or scales; names both.
        ShapeError: Shapes that don't fit; names the tensors and their shapes.
    """
    at = next((i for i, op in enumerate(graph.ops) if node == op.name), None)
    at = next((i for i, op in enumerate(graph.ops) if node in op.outputs), None) if at is None else at
    if at is None:
        raise ModelError(f"graph {graph.name!r} has no op {node!r}")
    old = graph.ops[at]
    if inputs is None:
        inputs = [n for n in old.inputs if n is not None and graph.tensors[n].data is None]
    for name in inputs:
        if name not in graph.tensors:
            raise ModelError(f"graph {graph.name!r} has no tensor {name!r}")
    for what, ours, theirs in (("inputs", inputs, subgraph.inputs), ("outputs", old.outputs, subgraph.outputs)):
        if len(ours) != len(theirs):
            raise ModelError(f"graph {subgraph.name!r} has {len(theirs)} {what}, {old.kind} {node!r} {len(ours)}")
        for name, tensor in zip(ours, theirs, strict=True):
            _same_type(graph.tensors[name], tensor)

    names = dict(zip(subgraph.input_names, inputs, strict=True))
    made = {n for op in subgraph.ops for n in op.outputs}
    ops = []
    for name, result in zip(subgraph.output_names, old.outputs, strict=True):
        if name in made:
            names[name] = result
        else:  # an input or a constant that is given on
            ops.append(Op("identity", result, [name], [result]))
    taken = set(graph.tensors)
    for name in subgraph.tensors:
        if name not in names:
            names[name] = _unused(taken, name)
            taken.add(names[name])
    ops = [_renamed(op, names) for op in (*subgraph.ops, *ops)]

    whole = graph.copy()
    whole.ops[at : at + 1] = ops
    for name, tensor in subgraph.tensors.items():
        if names[name] not in whole.tensors:
            renamed = copy.copy(tensor)
            renamed.name = names[name]
            whole.add_tensor(renamed)
    whole.states += [State(names[s.name], names[s.next], s.initial) for s in subgraph.states]
    used = set(whole.source_names) | set(whole.result_names)
    used |= {n for op in whole.ops for n in (*_reads(op), *op.outputs)}
    whole.tensors = {n: t for n, t in whole.tensors.items() if n in used}
    return check(whole)


def _same_type(ours: Tensor, theirs: Tensor) -> None:
    if ours.dtype != theirs.dtype or not same_codes(ours.quant, theirs.quant):
        raise ModelError(
            f"tensor {ours.name!r} is {ours.dtype}, {theirs.name!r} {theirs.dtype}: dtypes and scales must be equal"
        )
    if len(ours.shape) != len(theirs.shape) or any(
        None not in (a, b) and a != b for a, b in zip(ours.shape, theirs.shape, strict=True)
    ):
        raise ShapeError(f"tensor {ours.name!r} has shape {list(ours.shape)}, {theirs.name!r} {list(theirs.shape)}")


def _unused(taken: Iterable[str], stem: str) -> str:
    name, i = stem, 0
    while name in taken:
        i += 1
        name = f"{stem}_{i}"
    return name


def _renamed(op: Op, names: Mapping[str, str]) -> Op:
    """A copy of an op that reads and gives other tensors; graphs inside it keep their own."""
    attrs = dict(op.attrs)
    for branch in ("then", "else"):
        if branch in attrs:
            inner: Graph = attrs[branch].copy()
            outside = {old: new for old, new in names.items() if old not in inner.tensors}
            inner.ops = [_renamed(o, outside) for o in inner.ops]
            inner.output_names = [outside.get(n, n) for n in inner.output_names]
            attrs[branch] = inner
    inputs = [None if n is None else names.get(n, n) for n in op.inputs]
    return Op(op.kind, op.name, inputs, [names.get(n, n) for n in op.outputs], attrs)


def _reads(op: Op) -> set[str]:
    """Names that an op reads, those inside its branches included."""
    names = {n for n in op.inputs if n is not None}
    for branch in ("then", "else"):
        if branch in op.attrs:
            inner: Graph = op.attrs[branch]
            names |= set(inner.output_names).union(*(_reads(o) for o in inner.ops)) - inner.tensors.keys()
    return names
