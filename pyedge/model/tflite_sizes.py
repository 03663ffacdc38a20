"""Sizes that a TFLite model computes from the shapes of its tensors, such as the new shape of a RESHAPE.

Where nothing but the batch is open, converters still write SHAPE, STRIDED_SLICE, PACK and RESHAPE. Here small integer
tensors are followed while the file is read: they are computed once for each of a few values of the open sizes. An
element that is the same each time is a constant; the others are open.
"""

from __future__ import annotations

import math

import numpy as np

from .graph import Graph, Op, Tensor
from .reference import RULES, evaluate

_PROBES = (1, 2, 3, 10007)  # what an open size is taken for
_LARGEST = 64  # elements of a tensor that is followed
_DTYPES = ("int32", "int64", "bool")


class Sizes:
    """The values of small integer tensors of a graph that follow from shapes and constants."""

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self._known: dict[str, list[np.ndarray]] = {}  # a value for each probe
        self._ops: list[Op] = []  # that gave them

    def get(self, name: str) -> np.ndarray | None:
        """The value of a tensor, -1 where it is open; None if the tensor is not followed."""
        probes = self._known.get(name)
        return None if probes is None else np.asarray(np.where(_is_fixed(probes), probes[0], -1))

    def follow(self, first: int) -> None:
        """Computes the results of the graph's ops from number `first` on, where their operands are known."""
        for op in self.graph.ops[first:]:
            y = self.graph.tensors[op.outputs[0]]
            if len(op.outputs) > 1 or y.dtype not in _DTYPES or None in y.shape or _elements(y) > _LARGEST:
                continue
            found = self._shape(op) if op.kind == "shape" else self._computed(op)
            if found is not None:
                self._known[y.name] = found
                self._ops.append(op)
                if _is_fixed(found).all():
                    y.data = found[0].astype(y.dtype)

    def _shape(self, op: Op) -> list[np.ndarray]:
        shape = self.graph.tensors[str(op.inputs[0])].shape[op.attrs["start"] : op.attrs["end"]]
        return [np.array([probe if d is None else d for d in shape], np.int64) for probe in _PROBES]

    def _computed(self, op: Op) -> list[np.ndarray] | None:
        operands = [None if n is None else self.graph.tensors[n] for n in op.inputs]
        if op.kind not in (*RULES, "reshape"):
            return None
        values = []
        for t in operands:
            if t is not None and t.data is None and t.name not in self._known:
                return None
            values.append([None] * len(_PROBES) if t is None else self._known.get(t.name, [t.data] * len(_PROBES)))
        results = [self.graph.tensors[n] for n in op.outputs]
        try:
            return [evaluate(op, list(of_probe), operands, results)[0] for of_probe in zip(*values, strict=True)]
        except ValueError:  # shapes that contradict each other: check() will say so
            return None

    def prune(self) -> None:
        """Drops the ops that nothing reads any more, because their results became constants or attributes."""
        graph = self.graph
        followed = {id(op) for op in self._ops}
        needed = set(graph.output_names)
        kept: list[Op] = []
        for op in reversed(graph.ops):
            y = graph.tensors[op.outputs[0]]
            if id(op) in followed and y.name not in graph.output_names:
                if y.data is not None or y.name not in needed:
                    continue
            elif id(op) in followed:
                y.data = None  # an output of the graph is no constant
            kept.append(op)
            needed.update(n for n in op.inputs if n is not None)
        graph.ops = kept[::-1]


def _is_fixed(probes: list[np.ndarray]) -> np.ndarray:
    """Of each element, whether it is the same whatever the open sizes are."""
    return np.asarray(np.all([p == probes[0] for p in probes], axis=0))


def _elements(t: Tensor) -> int:
    return math.prod(d or 1 for d in t.shape)
