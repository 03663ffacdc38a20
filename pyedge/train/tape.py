"""Where gradient ops are written: a graph that grows at its end, and the table of gradient rules.

A rule takes the tape, a forward op and the gradients of its results (None where a result has none), adds ops, and gives
the gradient of each operand, of the operand's shape and dtype, or None where there is none. Rules may compute what
nobody wants: dead ops are taken out afterwards. They read as few forward tensors as they can, so that the planner can
free the others, and make the gradients of weights first, so that it can free a layer's input before the gradient of
that input needs memory.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from ..errors import ShapeError
from ..model.graph import Graph, Op, Tensor, array_dtype
from ..model.ops import infer_op, show
from ..model.quantmath import ACTIVATION_RANGES

Gradients = Sequence[str | None]
Rule = Callable[["Tape", Op, Gradients], Gradients]

# The rule of each kind; the families in vjp_*.py add theirs.
RULES: dict[str, Rule] = {}
# Kinds whose results are constant almost everywhere, so that gradients end there.
CONSTANT: set[str] = set()


def vjp(*kinds: str) -> Callable[[Rule], Rule]:
    """Registers the rule (vector-Jacobian product) of kinds."""

    def register(rule: Rule) -> Rule:
        RULES.update(dict.fromkeys(kinds, rule))
        return rule

    return register


def only(dy: Gradients) -> str:
    """The gradient of an op's single result, which is there where the op is visited."""
    assert len(dy) == 1 and dy[0] is not None
    return dy[0]


def reads(op: Op) -> list[str]:
    """Tensors that an op reads, those that the graphs of an "if" read from outside included."""
    names = [n for n in op.inputs if n is not None]
    for inner in (a for a in op.attrs.values() if isinstance(a, Graph)):
        found = [*(n for o in inner.ops for n in reads(o)), *inner.output_names]
        names += [n for n in found if n not in inner.tensors]
    return names


def needed(graph: Graph, result: str) -> set[str]:
    """The tensors from which one is computed, and itself."""
    found = {result}
    for op in reversed(graph.ops):
        if not found.isdisjoint(op.outputs):
            found.update(reads(op))
    return found


class Tape:
    """Adds ops behind those of a graph, in place. Tensors go by name, all shapes are fixed."""

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self._given = set(graph.tensors)
        self._taken = {*graph.tensors, *(op.name for op in graph.ops)}
        self.stem = "grad"  # of the names of ops
        self._last: dict[str, int] = {}
        self._constants: dict[tuple[str, tuple[int, ...], bytes], str] = {}

    def adopt(self, graph: Graph) -> None:
        """Goes on with the ops of a graph inside, which count as added ones; their tensors keep their names."""
        copy = graph.copy()
        self.graph.tensors.update(copy.tensors)
        self.graph.ops += copy.ops
        self._taken |= {*copy.tensors, *(op.name for op in copy.ops)}

    # --- tensors ---

    def tensor(self, name: str | None) -> Tensor:
        assert name is not None
        return self.graph.tensors[name]

    def shape(self, name: str | None) -> tuple[int, ...]:
        t = self.tensor(name)
        if None in t.shape:
            raise ShapeError(f"tensor {t.name!r} has the open shape {show(t.shape)}; gradients need fixed shapes")
        return tuple(d for d in t.shape if d is not None)

    def dtype(self, name: str | None) -> str:
        return self.tensor(name).dtype

    def unused(self, stem: str) -> str:
        """A name that no tensor and no op has."""
        name, i = stem, self._last.get(stem, 0)
        while name in self._taken:
            i += 1
            name = f"{stem}_{i}"
        self._last[stem] = i
        self._taken.add(name)
        return name

    def constant(self, value: npt.ArrayLike, dtype: str) -> str:
        """A constant; equal ones are one tensor."""
        data = np.array(value, array_dtype(dtype))
        key = dtype, data.shape, data.tobytes()
        if key not in self._constants:
            name = self.unused(f"{self.stem}/constant")
            self._constants[key] = self.graph.add_tensor(Tensor(name, data.shape, dtype, data)).name
        return self._constants[key]

    def number(self, value: float, like: str) -> str:
        """A constant of rank 0 of another tensor's dtype."""
        return self.constant(value, self.dtype(like))

    def zeros(self, shape: Sequence[int], dtype: str) -> str:
        return self.expand(self.constant(0, dtype), shape)

    def remove_dead(self, kept: Collection[str]) -> None:
        """Takes out the ops and constants of this tape that nothing needs."""
        needed, alive = {*kept, *self.graph.result_names}, []
        for op in reversed(self.graph.ops):
            if any(n in needed or n in self._given for n in op.outputs):
                alive.append(op)
                needed.update(reads(op))
        self.graph.ops[:] = reversed(alive)
        left = self._given.union(needed, *(op.outputs for op in alive))
        for name in [n for n in self.graph.tensors if n not in left]:
            del self.graph.tensors[name]

    # --- ops ---

    def ops(self, kind: str, operands: Sequence[str | None], outputs: int, **attrs: Any) -> list[str]:
        """Adds an op and gives its results."""
        stem = self.unused(f"{self.stem}/{kind}")
        names = [stem] if outputs == 1 else [f"{stem}:{i}" for i in range(outputs)]
        op = Op(kind, stem, list(operands), names, attrs)
        results = infer_op(op, [None if n is None else self.graph.tensors[n] for n in operands])
        for name, (shape, dtype) in zip(names, results, strict=True):
            self.graph.add_tensor(Tensor(name, shape, dtype))
        self.graph.ops.append(op)
        return names

    def op(self, kind: str, *operands: str | None, **attrs: Any) -> str:
        return self.ops(kind, operands, 1, **attrs)[0]

    def add(self, a: str, b: str) -> str:
        return self.op("add", a, b, activation=None)

    def sub(self, a: str, b: str) -> str:
        return self.op("sub", a, b)

    def mul(self, a: str, b: str) -> str:
        return self.op("mul", a, b)

    def div(self, a: str, b: str) -> str:
        return self.op("div", a, b)

    def neg(self, x: str) -> str:
        return self.op("neg", x)

    def scale(self, x: str, factor: float) -> str:
        """x * factor"""
        return x if factor == 1 else self.mul(x, self.number(factor, x))

    def shift(self, x: str, offset: float) -> str:
        """x + offset"""
        return self.add(x, self.number(offset, x))

    def where(self, condition: str, a: str, b: str) -> str:
        return self.op("where", condition, a, b)

    def masked(self, condition: str, x: str) -> str:
        """x where the condition holds, else 0."""
        return self.where(condition, x, self.number(0, x))

    def compare(self, kind: str, x: str, bound: float) -> str:
        return self.op(kind, x, self.number(bound, x))

    def cast(self, x: str, dtype: str) -> str:
        if self.dtype(x) == dtype:
            return x
        return self.op("cast", x, to=dtype, saturate=1, round_mode="up", from_format=None, to_format=None)

    def reshape(self, x: str, shape: Sequence[int]) -> str:
        return x if self.shape(x) == tuple(shape) else self.op("reshape", x, shape=tuple(shape))

    def transpose(self, x: str, perm: Sequence[int]) -> str:
        return x if list(perm) == sorted(perm) else self.op("transpose", x, perm=tuple(perm))

    def expand(self, x: str, shape: Sequence[int]) -> str:
        return x if self.shape(x) == tuple(shape) else self.op("expand", x, shape=tuple(shape))

    def slice(self, x: str, axis: int, start: int, end: int) -> str:
        """x[start:end] along an axis."""
        if (start, end) == (0, self.shape(x)[axis]):
            return x
        return self.op("slice", x, starts=(start,), ends=(end,), axes=(axis,), steps=(1,))

    def pad(self, x: str, pads: Sequence[tuple[int, int]]) -> str:
        """Zeros before and after x along each axis; below 0 elements are cut off."""
        return self.op("pad", x, mode="constant", pads=tuple(pads)) if any(p != (0, 0) for p in pads) else x

    def spread(self, x: str, axis: int, step: int) -> str:
        """x with step - 1 zeros behind each element of an axis."""
        if step == 1:
            return x
        shape = self.shape(x)
        outer, n, inner = math.prod(shape[:axis]), shape[axis], math.prod(shape[axis + 1 :])
        wide = self.pad(self.reshape(x, (outer, n, 1, inner)), [(0, 0), (0, 0), (0, step - 1), (0, 0)])
        return self.reshape(wide, (*shape[:axis], n * step, *shape[axis + 1 :]))

    def sum(self, x: str, axes: Sequence[int], keepdims: bool = False) -> str:
        """The sum over axes, ascending."""
        return self.op("reduce_sum", x, axes=tuple(axes), keepdims=keepdims) if axes else x

    def sum_to(self, x: str, shape: Sequence[int]) -> str:
        """The sum of x over the axes along which `shape` was broadcast to x's: the gradient of broadcasting."""
        own, missing = self.shape(x), len(self.shape(x)) - len(shape)
        axes = [i for i, d in enumerate(own) if i < missing or (shape[i - missing] == 1 and d != 1)]
        if axes and axes == list(range(len(own) - 1)) and math.prod(shape) == own[-1]:
            return self.reshape(self.op("bias_grad", x, dtype=self.dtype(x)), shape)
        return self.reshape(self.sum(x, axes), shape)

    # --- pieces that several families share ---

    def clip_grad(self, dy: str, y: str, low: float, high: float) -> str:
        """dy where low < y < high, else 0."""
        return dy if (low, high) == (-math.inf, math.inf) else self.op("clip_grad", dy, y, min=low, max=high)

    def before_activation(self, op: Op, dy: Gradients) -> str:
        """The gradient of what an op's fused activation was applied to."""
        return self.clip_grad(only(dy), op.outputs[0], *map(float, ACTIVATION_RANGES[op.attrs.get("activation")]))

    def restored(self, y: str, op: Op, axes: Sequence[int]) -> str:
        """A result of a reduction, or its gradient, with the reduced axes as 1, as it broadcasts to the operand."""
        x = self.shape(op.inputs[0])
        return self.reshape(y, [1 if i in axes else d for i, d in enumerate(x)])
