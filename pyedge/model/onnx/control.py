"""Operators that run graphs: If, and loops whose number of steps is known."""

from __future__ import annotations

import numpy as np
import onnx

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
        results = m.inline_graph(n, bodies["then" if condition.data.any() else "else"])
        m.names.update(zip(n.outputs, results, strict=True))
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


def _step(m: Importer, n: Node, body: onnx.GraphProto, operands: list[Tensor]) -> list[Tensor]:
    """One step of a loop, unrolled."""
    m.count()
    return m.inline_graph(n, body, operands)


def _stacked(m: Importer, n: Node, steps: list[Tensor], axis: int) -> Tensor:
    """What each step gives, along a new axis."""
    rank = len(steps[0].shape) + 1
    if not -rank <= axis < rank:
        raise ModelError(f"node {n.name!r} ({n.op_type}): results along axis {axis} of {rank}")
    axis %= rank
    one = [m.reshape(t, (*t.shape[:axis], 1, *t.shape[axis:]), f"{n.name}/step") for t in steps]  # type: ignore[arg-type]
    return one[0] if len(one) == 1 else m.one("concat", one, f"{n.name}/steps", axis=axis)


@converts("Scan")
def _scan(m: Importer, n: Node) -> None:
    """Unrolled over its sequences, whose lengths are known as all shapes are."""
    if n.opset < 9:
        raise Unsupported(f"opset {n.opset}")
    body, count = n.attr("body"), int(n.attr("num_scan_inputs"))
    given = [m.operand(n, i) for i in range(len(n.inputs))]
    states = given[: len(given) - count]
    found = len(n.outputs) - len(states)
    axes = n.attr("scan_input_axes", [0] * count)
    backward = n.attr("scan_input_directions", [0] * count)
    axes_out = n.attr("scan_output_axes", [0] * found)
    backward_out = n.attr("scan_output_directions", [0] * found)
    wrong = ModelError(f"node {n.name!r} (Scan): its inputs, outputs, axes and directions contradict each other")
    if not 1 <= count <= len(given) or found < 0 or {len(axes), len(backward)} != {count}:
        raise wrong
    if {len(axes_out), len(backward_out)} != {found} or len(body.input) != len(given):
        raise wrong
    sequences = []
    for x, axis in zip(given[len(states) :], axes, strict=True):
        if not -len(x.shape) <= axis < len(x.shape):
            raise wrong
        sequences.append((x, axis % len(x.shape)))
    lengths = {x.shape[axis] or 0 for x, axis in sequences}
    if len(lengths) != 1:
        raise wrong
    (length,) = lengths
    collected: list[list[Tensor]] = [[] for _ in range(found)]
    for step in range(length):
        parts = [
            _part(m, n, x, axis, length - 1 - step if back else step)
            for (x, axis), back in zip(sequences, backward, strict=True)
        ]
        results = _step(m, n, body, [*states, *parts])
        if len(results) != len(states) + found:
            raise wrong
        states = results[: len(states)]
        for steps, result in zip(collected, results[len(states) :], strict=True):
            steps.append(result)
    ordered = [steps[::-1] if back else steps for steps, back in zip(collected, backward_out, strict=True)]
    m.bind(n, *states, *(_stacked(m, n, steps, axis) for steps, axis in zip(ordered, axes_out, strict=True)))


def _part(m: Importer, n: Node, x: Tensor, axis: int, at: int) -> Tensor:
    """x[at] along an axis, which goes."""
    y = m.one("slice", [x], f"{n.name}/at", quants=[x.quant], starts=(at,), ends=(at + 1,), axes=(axis,), steps=(1,))
    return m.reshape(y, [d or 1 for i, d in enumerate(y.shape) if i != axis], f"{n.name}/part")


@converts("Loop")
def _loop(m: Importer, n: Node) -> None:
    """Unrolled, where trip count and conditions follow from constants."""
    body = n.attr("body")
    trips = m.constant(n, 0)
    going = m.constant(n, 1)
    states = [m.operand(n, i) for i in range(2, len(n.inputs))]
    wrong = ModelError(f"node {n.name!r} (Loop): its inputs and outputs contradict those of its body")
    found = len(n.outputs) - len(states)
    if found < 0 or len(body.input) != len(states) + 2 or len(body.output) != len(n.outputs) + 1:
        raise wrong
    collected: list[list[Tensor]] = [[] for _ in range(found)]
    step = 0
    condition = m.const(np.array(True), f"{n.name}/going")
    while (trips is None or step < trips) and (going is None or going.any()):
        at = m.const(np.array(step, np.int64), f"{n.name}/step")
        condition, *results = _step(m, n, body, [at, condition, *states])
        going = m.value(condition)
        if going is None:
            raise Unsupported("a condition that is not known at load")
        states = results[: len(states)]
        for steps, result in zip(collected, results[len(states) :], strict=True):
            steps.append(result)
        step += 1
    if found and not step:
        raise Unsupported("no step, and so empty results")
    m.bind(n, *states, *(_stacked(m, n, steps, 0) for steps in collected))
