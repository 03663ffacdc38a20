"""TFLite's IF and WHILE: other subgraphs of the file become arms of an `if`, or steps of a loop that is written out."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import tflite

from ..errors import ModelError
from .graph import Graph, Op
from .tflite_file import FileOperator, Unsupported

if TYPE_CHECKING:
    from .tflite import Importer


def _if(m: Importer, op: FileOperator) -> None:
    """The arms read the operator's inputs under their names in the graph around them."""
    o = op.options(tflite.IfOptions)
    condition = m.add_any(m.tensor(op, 0))
    inputs = [m.add_any(m.tensor(op, i)) for i in range(1, len(op.inputs))]
    if m.graph.tensors[condition].shape != (1,):
        condition = m.between(op, "reshape", [condition], shape=(1,))
    outputs = [m.add_any(m.file.tensors[number]) for number in op.outputs]
    arms = {}
    for arm, number in (("then", o.ThenSubgraphIndex()), ("else", o.ElseSubgraphIndex())):
        graph = Graph(f"{outputs[0]}/{arm}")
        graph.output_names = m.include(op, number, inputs, graph, graph.name)
        arms[arm] = graph
    m.graph.ops.append(Op("if", f"{m.prefix}if_{op.number}", [condition], outputs, arms))


def _while(m: Importer, op: FileOperator) -> None:
    """A loop whose number of steps follows from constants and shapes; one without end uses up what may be included."""
    o = op.options(tflite.WhileOptions)
    values = [m.add_any(m.tensor(op, i)) for i in range(len(op.inputs))]
    step = 0
    while True:
        prefix = f"{m.file.tensors[op.outputs[0]].name}/{step}"
        (condition,) = m.include(op, o.CondSubgraphIndex(), values, m.graph, f"{prefix}/condition")
        holds = m.graph.tensors[condition].data
        if holds is None:
            raise Unsupported("the number of its steps depends on the input")
        if not holds.any():
            break
        values = m.include(op, o.BodySubgraphIndex(), values, m.graph, f"{prefix}/body")
        step += 1
    if len(values) != len(op.outputs):
        raise ModelError(f"operator {op.number} WHILE: {len(values)} values, {len(op.outputs)} outputs")
    for i, number in enumerate(op.outputs):
        result = m.graph.tensors[m.add_any(m.file.tensors[number])]
        shape = tuple(-1 if d is None else d for d in result.shape)
        m.graph.ops.append(
            Op("reshape", f"{m.prefix}while_{op.number}:{i}", [values[i]], [result.name], {"shape": shape})
        )


CONTROL: dict[str, Callable[[Importer, FileOperator], None]] = {"IF": _if, "WHILE": _while}
