"""Operators that run graphs: If."""

from __future__ import annotations

from ...errors import ModelError
from ..graph import Op, Tensor
from .importer import Importer
from .node import Node, Unsupported
from .table import Table, registrar

CONVERTERS: Table = {}
converts = registrar(CONVERTERS)


@converts("If")
def _if(m: Importer, n: Node) -> None:
    """The branch that a constant condition takes, or an `if` for a condition that comes at run time."""
    condition = m.operand(n, 0)
    bodies = {"then": n.attr("then_branch"), "else": n.attr("else_branch")}
    if condition.data is not None:
        m.inline_graph(n, bodies["then" if condition.data.any() else "else"])
        return
    predicate = m.reshape(condition, (1,), f"{n.name}/condition")
    attrs = {name: m.branch(n, body, name) for name, body in bodies.items()}
    given = [[m.visible(attrs[name], output) for output in attrs[name].output_names] for name in bodies]
    if len(given[0]) != len(given[1]) or len(given[0]) != len(n.outputs):
        raise ModelError(f"node {n.name!r} (If): its branches give {len(given[0])} and {len(given[1])} results")
    for a, b in zip(*given, strict=True):
        if (a.shape, a.dtype) != (b.shape, b.dtype):
            raise Unsupported(f"branches of different types, {a.dtype}{list(a.shape)} and {b.dtype}{list(b.shape)}")
    results = [Tensor(m.fresh(f"{n.name}/result"), t.shape, t.dtype, quant=t.quant) for t in given[0]]
    op = Op("if", n.name, [predicate.name], [t.name for t in results], dict(attrs))
    for t in results:
        m.graph.add_tensor(t)
        m.makers[t.name] = op
    m.graph.ops.append(op)
    m.bind(n, *results)
