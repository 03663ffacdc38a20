"""The gradient of an "if": an if on the same predicate, in which each branch is computed again and then backwards."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence

from ..model.graph import Graph, Op, Tensor
from .tape import Gradients, Tape

# Adds the gradient ops of a tape's ops: (tape, gradients of results so far, tensors that gradients flow through).
Backward = Callable[[Tape, dict[str, str], Collection[str]], None]
# The tensors that depend on some, these among them.
Dependent = Callable[[Graph, Collection[str]], set[str]]


def differentiate_if(
    t: Tape, op: Op, dy: Gradients, wanted: Sequence[str], backward: Backward, dependent: Dependent
) -> dict[str, str]:
    """Adds the if; gives the gradient of each of wanted, tensors from outside that its branches read. A branch that
    does not read one of them gives zeros.
    """
    wanted = list(dict.fromkeys(wanted))
    branches = {
        name: _branch(t, op.attrs[name], f"{t.stem}/{name}", dy, wanted, backward, dependent)
        for name in ("then", "else")
    }
    name = t.unused(f"{t.stem}/if")
    results = [t.unused(f"{name}:{i}") for i in range(len(wanted))]
    for result, source in zip(results, wanted, strict=True):
        t.graph.add_tensor(Tensor(result, t.shape(source), t.dtype(source)))
    t.graph.ops.append(Op("if", name, list(op.inputs), results, branches))
    return dict(zip(wanted, results, strict=True))


def _branch(
    t: Tape,
    forward: Graph,
    name: str,
    dy: Gradients,
    wanted: Sequence[str],
    backward: Backward,
    dependent: Dependent,
) -> Graph:
    """One branch: its ops as far as gradients need them, then theirs."""
    graph = Graph(name)
    graph.tensors = dict(t.graph.tensors)
    tape = Tape(graph)
    tape.adopt(forward)
    found: dict[str, str] = {}
    for result, g in zip(forward.output_names, dy, strict=True):
        if g is not None:
            found[result] = tape.add(found[result], g) if result in found else g
    backward(tape, found, dependent(graph, wanted))
    tape.stem = name
    graph.output_names = [found[n] if n in found else tape.zeros(tape.shape(n), tape.dtype(n)) for n in wanted]
    tape.remove_dead([])
    graph.tensors = {n: tensor for n, tensor in graph.tensors.items() if n not in t.graph.tensors}
    return graph
