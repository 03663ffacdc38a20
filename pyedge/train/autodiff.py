"""Gradients as ops of the same graph: reverse-mode differentiation, graph to graph."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import numpy as np

from ..errors import ModelError
from ..model.graph import Graph
from ..model.ops import infer_shapes
from ..model.ops_elementwise import FLOATS
from . import batch_norm, vjp_elementwise, vjp_move, vjp_nn, vjp_reduce  # noqa: F401  they fill RULES
from .branches import differentiate_if
from .recompute import mask_clips, recompute_cheap
from .tape import CONSTANT, RULES, Tape, needed, reads
from .unroll import unroll

_BEHIND = "; try: trainable= of layers behind it"  # advice


def gradients(
    graph: Graph, loss: str, wrt: Sequence[str], seed: str | None = None, recompute: bool = False, masks: bool = False
) -> tuple[Graph, dict[str, str]]:
    """Return a copy of graph with ops behind its own that compute the gradients of a tensor.

    Only what `wrt` needs is computed. A tensor with several readers has the sum of what they give back, the last reader
    first: the order in which the parts are made, so that one running sum is all that lives. An op behind which nothing
    depends on `wrt` needs no gradient rule. States are sources: nothing flows back into the run before.

    Args:
        graph: A graph with fixed shapes.
        loss: The tensor that is differentiated. If it has several elements, their sum is.
        wrt: Tensors of floats: constants, states, inputs or results.
        seed: A tensor by which the gradients are multiplied, of the loss's dtype and of a shape that broadcasts to its
            shape: a loss scale. 1 without it.
        recompute: Compute results of cheap ops a second time where that leaves less memory alive, with the same bits.
        masks: Keep of a result that only the gradient of its clip (relu, relu6) needs a bit for each element, where
            such results are at least half of what lives on into the backward half; with the same bits.

    Returns:
        The new graph, and for each of wrt the name of its gradient, a tensor of its shape and dtype.

    Raises:
        ModelError: A name that graph doesn't have, a tensor of `wrt` that is no float or that the loss doesn't depend
            on, or an op on the way that has no gradient; names tensor, op and kind.
        ShapeError: An open shape; names the tensor.
    """
    graph = infer_shapes(graph)
    for name in (loss, *wrt, *([] if seed is None else [seed])):
        if name not in graph.tensors:
            raise ModelError(f"graph {graph.name!r} has no tensor {name!r}")
        if graph.tensors[name].dtype not in FLOATS:
            raise ModelError(f"tensor {name!r} is {graph.tensors[name].dtype}; only floats have gradients")
    graph = unroll(graph, _dependent(graph, wrt) & needed(graph, loss))
    tape, forward = Tape(graph), len(graph.ops)
    found = _backward(tape, loss, _dependent(graph, wrt), seed)
    for name in wrt:
        if name not in found:
            raise ModelError(
                f"{loss!r} does not depend on {name!r} by ops that have a gradient{_end(graph, loss, name)}"
            )
    tape.remove_dead([found[name] for name in wrt])
    if masks:
        graph, forward = mask_clips(graph, forward)
    if recompute:
        graph = recompute_cheap(graph, forward, [found[name] for name in wrt])
    return graph, {name: found[name] for name in wrt}


def _dependent(graph: Graph, wrt: Collection[str]) -> set[str]:
    """The tensors through which gradients flow: those of wrt and all that is computed from them."""
    found = set(wrt)
    for op in graph.ops:
        if op.kind not in CONSTANT and not found.isdisjoint(reads(op)):
            found.update(n for n in op.outputs if op.kind not in RULES or graph.tensors[n].dtype in FLOATS)
    return found


def _end(graph: Graph, loss: str, name: str) -> str:
    """Where the gradients of a tensor on the way to the loss would have to pass and can't, for a message."""
    flow, behind = _dependent(graph, [name]), needed(graph, loss)
    for op in graph.ops:
        if not flow.isdisjoint(reads(op)) and flow.isdisjoint(op.outputs) and not behind.isdisjoint(op.outputs):
            return f": they end at {op.kind} {op.name!r}{_BEHIND}"
    return ""


def _backward(tape: Tape, loss: str, dependent: Collection[str], seed: str | None) -> dict[str, str]:
    """Adds the gradient ops; gives the gradient of every tensor that has one."""
    if loss not in dependent:
        return {}
    tape.stem = f"{loss}/grad"
    one = seed if seed is not None else tape.constant(np.ones(()), tape.dtype(loss))
    found = {loss: tape.expand(one, tape.shape(loss))}
    _propagate(tape, found, dependent)
    return found


def _propagate(tape: Tape, found: dict[str, str], dependent: Collection[str]) -> None:
    """Adds the gradient ops of the tape's ops, the last first. found: gradients by tensor; gets those of operands."""
    graph = tape.graph
    for op in reversed(list(graph.ops)):
        given = [found.get(n) for n in op.outputs]
        wanted = [n for n in reads(op) if n in dependent]
        if not wanted or all(g is None for g in given):
            continue
        tape.stem = f"{op.name}/grad"
        if op.kind == "if":
            parts = list(differentiate_if(tape, op, given, wanted, _propagate, _dependent).items())
        else:
            rule = RULES.get(op.kind)
            made = [] if rule is None else rule(tape, op, given)
            parts = [(str(n), part) for n, part in zip(op.inputs, made, strict=False) if n in dependent and part]
        missing = set(wanted).difference(n for n, _ in parts)
        if missing:
            raise ModelError(
                f"{op.kind} {op.name!r} has no gradient with respect to its operand {min(missing)!r}{_BEHIND}"
            )
        for name, part in parts:
            t, g = graph.tensors[name], graph.tensors[part]
            assert (t.shape, t.dtype) == (g.shape, g.dtype), (op, t, g)
            found[name] = tape.add(found[name], part) if name in found else part
