"""The graph: typed tensors and ops with the field's standard meaning. The one form between model files and plans.

A graph is plain data. Ops are listed in an order in which they can run. Kinds, attributes and shape rules: ops.py.
Layouts: activations NHWC, conv weights [C_out, kh, kw, C_in / groups], depthwise weights [kh, kw, C_out],
linear weights [C_out, C_in].
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ..errors import ModelError, ShapeError
from ..tensor import DTYPES as DTYPES
from ..tensor import Quantization as Quantization
from ..tensor import Tensor as Tensor
from ..tensor import array_dtype as array_dtype


@dataclass
class Op:
    """One operation. inputs may hold None for an absent optional operand."""

    kind: str
    name: str
    inputs: list[str | None]
    outputs: list[str]
    attrs: dict[str, Any] = field(default_factory=dict)


@dataclass
class State:
    """A value that stays from run to run. Ops read tensor `name` as any other and never write it; after a run it takes
    the value of tensor `next`, of the same shape, dtype and quantization. initial: its value before the first run.
    """

    name: str
    next: str
    initial: np.ndarray


class Graph:
    """Tensors by name, ops in execution order, the names of inputs and outputs, and states.

    `graph.inputs[i]` and `graph.outputs[i]` are Tensors; the name lists are input_names and output_names.
    Graphs with the same state, by name, share it as entries of one plan. The graphs of an "if" have none of their own.
    meta: free text facts that go into the plan: "source", "sha256", "license", "producer".
    """

    def __init__(self, name: str = "graph") -> None:
        self.name = name
        self.tensors: dict[str, Tensor] = {}
        self.ops: list[Op] = []
        self.input_names: list[str] = []
        self.output_names: list[str] = []
        self.states: list[State] = []
        self.meta: dict[str, str] = {}

    @property
    def inputs(self) -> list[Tensor]:
        return [self.tensors[n] for n in self.input_names]

    @property
    def outputs(self) -> list[Tensor]:
        return [self.tensors[n] for n in self.output_names]

    @property
    def source_names(self) -> list[str]:
        """Tensors that are there before the first op: inputs and states."""
        return [*self.input_names, *(s.name for s in self.states)]

    @property
    def result_names(self) -> list[str]:
        """Tensors that are read after the last op: outputs and the next values of states."""
        return [*self.output_names, *(s.next for s in self.states)]

    def rename_results(self, names: Mapping[str, str]) -> None:
        """Lets outputs and states be given by other tensors: old name -> new name."""
        self.output_names = [names.get(n, n) for n in self.output_names]
        for state in self.states:
            state.next = names.get(state.next, state.next)

    def extract(self, inputs: Sequence[str], outputs: Sequence[str]) -> Graph:
        """The part between some of its tensors; arguments and errors: `surgery.extract`."""
        from . import surgery

        return surgery.extract(self, inputs, outputs)

    def split(self, at: str) -> tuple[Graph, Graph]:
        """The graph up to a tensor, and the rest; errors: `surgery.split`."""
        from . import surgery

        return surgery.split(self, at)

    def replace(self, node: str, subgraph: Graph, inputs: Sequence[str] | None = None) -> Graph:
        """A copy in which a subgraph computes what an op did; arguments and errors: `surgery.replace`."""
        from . import surgery

        return surgery.replace(self, node, subgraph, inputs)

    def make_state(self, input: str, output: str, initial: np.ndarray | None = None) -> Graph:
        """Return a copy in which an input is a state whose next value is what `output` gives; neither is left outside.

        For models that take their state as an input and give it back as an output, as streaming ONNX models do.

        Args:
            initial: Value before the first run, of the input's shape and dtype; zeros (the zero point of codes with
                a scale) if not given. Its shape fixes open axes.

        Raises:
            ModelError: No input or output of that name, or their dtypes or scales differ; names both.
            ShapeError: Their shapes, or that of initial, don't fit; names the tensor and the shapes.
        """
        if input not in self.input_names or output not in self.output_names:
            raise ModelError(
                f"graph {self.name!r}: make_state takes an input ({', '.join(self.input_names)})"
                f" and an output ({', '.join(self.output_names)}), not {input!r} and {output!r}"
            )
        graph = self.copy()
        x = graph.tensors[input]
        if initial is None:
            if any(d is None for d in x.shape):
                raise ShapeError(f"tensor {input!r} has shape {list(x.shape)}; give make_state an initial value")
            initial = np.full([d or 1 for d in x.shape], x.zero_point or 0).astype(array_dtype(x.dtype))
        if len(initial.shape) != len(x.shape) or any(
            d is not None and d != n for d, n in zip(x.shape, initial.shape, strict=True)
        ):
            raise ShapeError(f"tensor {input!r} has shape {list(x.shape)}, its initial value {list(initial.shape)}")
        x.shape = tuple(initial.shape)
        graph.states.append(State(input, output, initial))
        graph.input_names.remove(input)
        graph.output_names.remove(output)
        check_state(graph, graph.states[-1])
        return graph

    def add_tensor(self, tensor: Tensor) -> Tensor:
        """Adds a tensor under its name; a second one of that name is an error."""
        if tensor.name in self.tensors:
            raise ModelError(f"graph {self.name!r}: two tensors are named {tensor.name!r}")
        self.tensors[tensor.name] = tensor
        return tensor

    def copy(self) -> Graph:
        """A copy whose tensors and ops can be changed; constant arrays are shared, never written in place."""
        g = Graph(self.name)
        g.tensors = {n: copy.copy(t) for n, t in self.tensors.items()}
        g.ops = [Op(o.kind, o.name, list(o.inputs), list(o.outputs), dict(o.attrs)) for o in self.ops]
        g.input_names, g.output_names, g.meta = list(self.input_names), list(self.output_names), dict(self.meta)
        g.states = [copy.copy(s) for s in self.states]
        return g

    def __repr__(self) -> str:
        def text(name: str) -> str:  # the graphs of an "if" may give tensors from outside
            t = self.tensors.get(name)
            return name if t is None else f"{name}{list(t.shape)}:{t.dtype}"

        inputs, outputs = (", ".join(map(text, names)) for names in (self.input_names, self.output_names))
        return f"Graph({self.name!r}, {len(self.ops)} ops, {inputs} -> {outputs})"


def check_state(graph: Graph, state: State) -> None:
    """Raises ModelError or ShapeError if a state's next or initial value is no value of it; open sizes fit all."""
    x, y = graph.tensors[state.name], graph.tensors[state.next]
    if x.dtype != y.dtype or not same_codes(x.quant, y.quant):
        raise ModelError(
            f"state {x.name!r} is {_codes(x)}, its next value {y.name!r} {_codes(y)}: dtypes and scales must be equal"
        )
    if len(x.shape) != len(y.shape) or any(
        None not in (a, b) and a != b for a, b in zip(x.shape, y.shape, strict=True)
    ):
        raise ShapeError(f"state {x.name!r} has shape {list(x.shape)}, its next value {y.name!r} {list(y.shape)}")
    if state.initial.shape != x.shape or state.initial.dtype != array_dtype(x.dtype):
        raise ShapeError(
            f"state {x.name!r} is {x.dtype}{list(x.shape)}, its initial value"
            f" {state.initial.dtype}{list(state.initial.shape)}"
        )


def _codes(t: Tensor) -> str:
    return t.dtype if t.scale is None else f"{t.dtype} (scale {t.scale:g}, zero point {t.zero_point})"


def same_codes(a: Quantization | None, b: Quantization | None) -> bool:
    """Whether codes mean the same values."""
    if a is None or b is None:
        return a is b
    return (
        a.scale.shape == b.scale.shape
        and bool((a.scale == b.scale).all())
        and bool((a.zero_point == b.zero_point).all())
        and (a.scale.size == 1 or a.axis == b.axis)
    )
