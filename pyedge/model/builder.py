"""Graphs in Python, for scripts and tests."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from ..errors import ModelError
from .check import FIXED_SCALES, check
from .graph import Graph, Op, Quantization, State, Tensor, array_dtype
from .ops import Padding, Pair, infer_op

Side = int | tuple[int, int]


class GraphBuilder:
    """Builds a graph op by op. Each method adds one op and returns its result's Tensor, an operand of the next.

    Ops on float32 give float32. Ops on int8 (conv2d, depthwise_conv2d, linear, add, mean) need `scale` and `zero_point`
    of their result; where they are left out elsewhere the result has those of its input. int8 weights are constants
    from `constant(..., scale=)` with one scale or one a channel; the bias of int8 ops is int32. int8 weights with a
    float x make a hybrid op, asymmetric: x becomes int8 at run time. int16 with a scale stands as int8, with zero point
    0, int8 weights and a bias of int32 or int64.

        b = GraphBuilder()
        x = b.input("x", (1, 8, 8, 1), "float32")
        b.output("y", b.softmax(b.linear(b.conv2d(x, w1, b1, activation="relu"), w2, b2)))
        graph = b.build()

    A value that stays from run to run is a state: `total = b.state("total", zeros)`, read as any operand, and
    `b.update(total, b.add(total, x))`.
    """

    def __init__(self, name: str = "graph") -> None:
        self._graph = Graph(name)
        self._outer: GraphBuilder | None = None
        self._counter = 0
        self._output_names: dict[str, str] = {}  # tensor -> the name that output() asked for

    # --- tensors ---

    def input(
        self,
        name: str,
        shape: Sequence[int | None],
        dtype: str = "float32",
        scale: float | None = None,
        zero_point: int = 0,
    ) -> Tensor:
        """An input; None in shape is fixed at compile time. int8 inputs have a scale."""
        if self._outer is not None:
            raise ModelError(f"input {name!r}: the graphs of cond() have no inputs; they use tensors from outside")
        tensor = self._graph.add_tensor(Tensor(name, tuple(shape), dtype, quant=_quantization(scale, zero_point)))
        self._graph.input_names.append(name)
        return tensor

    def constant(
        self,
        value: npt.ArrayLike,
        name: str | None = None,
        scale: npt.ArrayLike | None = None,
        zero_point: int = 0,
        axis: int = 0,
        dtype: str | None = None,
    ) -> Tensor:
        """A constant array of a dtype of graphs; float64 becomes float32 unless dtype says otherwise.

        scale: one number, or one for each slice along axis.
        """
        data = self._array(value, dtype)
        quant = _quantization(scale, zero_point, axis)
        return self._graph.add_tensor(
            Tensor(name or self._unused("constant"), data.shape, dtype or str(data.dtype), data, quant)
        )

    def state(
        self,
        name: str,
        initial: npt.ArrayLike,
        scale: float | None = None,
        zero_point: int = 0,
        dtype: str | None = None,
    ) -> Tensor:
        """A value that stays from run to run, at first `initial`: ops read it, `update` says what it is next.

        initial: float64 becomes float32 unless dtype says otherwise. int8 states have a scale, as inputs do.
        """
        if self._outer is not None:
            raise ModelError(f"state {name!r}: the graphs of cond() have no states; they use those from outside")
        value = self._array(initial, dtype)
        quant = _quantization(scale, zero_point)
        tensor = self._graph.add_tensor(Tensor(name, value.shape, dtype or str(value.dtype), quant=quant))
        self._graph.states.append(State(name, name, value))
        return tensor

    def update(self, state: Tensor, value: Tensor) -> None:
        """Lets a state have this value after each run; its shape, dtype and scale are the state's.

        A state without an update keeps its initial value.
        """
        self._visible(value)
        found = [s for s in self._graph.states if s.name == state.name]
        if not found:
            raise ModelError(f"update: tensor {state.name!r} is no state of this builder")
        if found[0].next != state.name:
            raise ModelError(f"state {state.name!r} has two updates: {found[0].next!r} and {value.name!r}")
        found[0].next = value.name

    def output(self, name: str, tensor: Tensor) -> None:
        """Makes the result of an op an output of that name."""
        self._visible(tensor)
        if self._outer is not None:
            raise ModelError(f"output {name!r}: the graphs of cond() return their results")
        if tensor.name in self._graph.source_names or tensor.data is not None:
            raise ModelError(f"output {name!r}: tensor {tensor.name!r} is no op's result")
        if tensor.name in self._output_names:
            raise ModelError(
                f"output {name!r}: tensor {tensor.name!r} is output {self._output_names[tensor.name]!r} already"
            )
        self._output_names[tensor.name] = name
        self._graph.output_names.append(tensor.name)

    def build(self) -> Graph:
        """The checked graph, a copy: the builder can go on.

        Raises:
            ModelError, ShapeError: What `check` finds; names op and tensor.
        """
        return check(_renamed(self._graph, self._output_names))

    # --- ops ---

    def conv2d(
        self,
        x: Tensor,
        weight: Tensor | npt.ArrayLike,
        bias: Tensor | npt.ArrayLike | None = None,
        *,
        stride: Side = 1,
        dilation: Side = 1,
        padding: Padding = "same",
        groups: int = 1,
        activation: str | None = None,
        scale: float | None = None,
        zero_point: int = 0,
        name: str | None = None,
    ) -> Tensor:
        """x [N, H, W, C], weight [C_out, kh, kw, C / groups], bias [C_out]."""
        attrs = {**_steps(stride, dilation, padding), "groups": groups, "activation": activation}
        return self._weighted("conv2d", x, weight, bias, attrs, scale, zero_point, name)

    def depthwise_conv2d(
        self,
        x: Tensor,
        weight: Tensor | npt.ArrayLike,
        bias: Tensor | npt.ArrayLike | None = None,
        *,
        stride: Side = 1,
        dilation: Side = 1,
        padding: Padding = "same",
        activation: str | None = None,
        scale: float | None = None,
        zero_point: int = 0,
        name: str | None = None,
    ) -> Tensor:
        """x [N, H, W, C], weight [kh, kw, C_out], bias [C_out]; C_out a multiple of C."""
        attrs = {**_steps(stride, dilation, padding), "activation": activation}
        return self._weighted("depthwise_conv2d", x, weight, bias, attrs, scale, zero_point, name)

    def linear(
        self,
        x: Tensor,
        weight: Tensor | npt.ArrayLike,
        bias: Tensor | npt.ArrayLike | None = None,
        *,
        activation: str | None = None,
        keep_dims: bool = False,
        scale: float | None = None,
        zero_point: int = 0,
        name: str | None = None,
    ) -> Tensor:
        """weight [N, K], bias [N]; x is seen as [rows, K], or with keep_dims is [..., K]."""
        attrs = {"activation": activation, "keep_dims": keep_dims}
        return self._weighted("linear", x, weight, bias, attrs, scale, zero_point, name)

    def add(
        self,
        a: Tensor,
        b: Tensor,
        *,
        activation: str | None = None,
        scale: float | None = None,
        zero_point: int = 0,
        name: str | None = None,
    ) -> Tensor:
        """a + b with NumPy's broadcasting."""
        return self._op("add", [a, b], {"activation": activation}, _quantization(scale, zero_point), name)

    def avg_pool2d(
        self,
        x: Tensor,
        kernel: Side,
        *,
        stride: Side | None = None,
        padding: Padding = "valid",
        activation: str | None = None,
        name: str | None = None,
    ) -> Tensor:
        """Mean of the elements of each window that lie in the image; stride is the kernel's size if None."""
        return self._pool("avg_pool2d", x, kernel, stride, padding, activation, name)

    def max_pool2d(
        self,
        x: Tensor,
        kernel: Side,
        *,
        stride: Side | None = None,
        padding: Padding = "valid",
        activation: str | None = None,
        name: str | None = None,
    ) -> Tensor:
        """Largest element of each window; stride is the kernel's size if None."""
        return self._pool("max_pool2d", x, kernel, stride, padding, activation, name)

    def mean(
        self,
        x: Tensor,
        axes: Sequence[int],
        *,
        keepdims: bool = False,
        scale: float | None = None,
        zero_point: int = 0,
        name: str | None = None,
    ) -> Tensor:
        """Mean over axes; negative ones count from the end."""
        rank = len(x.shape)
        if any(not -rank <= a < rank for a in axes):
            raise ModelError(f"mean of tensor {x.name!r} {list(x.shape)}: no such axes {list(axes)}")
        attrs = {"axes": tuple(sorted({a % rank for a in axes})), "keepdims": keepdims}
        return self._op("mean", [x], attrs, _quantization(scale, zero_point) or x.quant, name)

    def batch_norm(
        self,
        x: Tensor,
        scale: Tensor | npt.ArrayLike,
        bias: Tensor | npt.ArrayLike,
        mean: Tensor | npt.ArrayLike,
        var: Tensor | npt.ArrayLike,
        *,
        epsilon: float = 1e-5,
        momentum: float = 0.9,
        name: str | None = None,
    ) -> Tensor:
        """(x - mean) * scale / sqrt(var + epsilon) + bias by channel, the last axis; while scale or bias learn, by the
        mean and variance of the batch, which mean and var follow: momentum is what they keep in a step."""
        operands = [x, *(self._operand(t) for t in (scale, bias, mean, var))]
        return self._op("batch_norm", operands, {"epsilon": epsilon, "momentum": momentum}, None, name)

    def softmax(self, x: Tensor, *, beta: float = 1.0, name: str | None = None) -> Tensor:
        """Over the last axis; an int8 result has scale 1/256 and zero point -128, an int16 result 1/32768 and 0."""
        fixed = FIXED_SCALES.get(("softmax", x.dtype))
        quant = None if fixed is None else _quantization(*fixed)
        return self._op("softmax", [x], {"axis": -1, "beta": float(beta)}, quant, name)

    def reshape(self, x: Tensor, shape: Sequence[int], *, name: str | None = None) -> Tensor:
        """The same elements in another shape; one size may be -1."""
        return self._op("reshape", [x], {"shape": tuple(int(d) for d in shape)}, x.quant, name)

    def quantize(
        self, x: Tensor, scale: float, zero_point: int = 0, dtype: str = "int8", *, name: str | None = None
    ) -> Tensor:
        """float32, or codes of another scale, to codes of dtype int8 or int16."""
        if dtype == "int8" and x.dtype in ("float32", "int8"):
            return self._op("quantize", [x], {}, _quantization(scale, zero_point), name)
        return self._op("rescale", [x], {"to": dtype}, _quantization(scale, zero_point), name)

    def dequantize(self, x: Tensor, *, name: str | None = None) -> Tensor:
        """int8 or int16 to float32."""
        return self._op("dequantize", [x], {}, None, name)

    def relu(self, x: Tensor, *, name: str | None = None) -> Tensor:
        """max(x, 0)"""
        return self._op("relu", [x], {}, x.quant, name)

    def relu6(self, x: Tensor, *, name: str | None = None) -> Tensor:
        """x limited to [0, 6]."""
        return self._op("relu6", [x], {}, x.quant, name)

    def clip(self, x: Tensor, min: float = -math.inf, max: float = math.inf, *, name: str | None = None) -> Tensor:
        """x limited to [min, max], real values."""
        return self._op("clip", [x], {"min": float(min), "max": float(max)}, x.quant, name)

    def any_ge(self, x: Tensor, threshold: float, *, name: str | None = None) -> Tensor:
        """bool[1]: whether some element's real value is at least threshold."""
        return self._op("any_ge", [x], {"threshold": float(threshold)}, None, name)

    def op(
        self,
        kind: str,
        *operands: Tensor | npt.ArrayLike | None,
        outputs: int = 1,
        scale: float | None = None,
        zero_point: int = 0,
        name: str | None = None,
        **attrs: Any,
    ) -> list[Tensor]:
        """An op of any kind, with all of its attributes (model/ops*.py lists them).

        Args:
            operands: Tensors, arrays (which become constants), or None where one is absent.
            outputs: How many results the op has.
            scale, zero_point: Of int8 results; those of the first operand where they are left out.

        Returns:
            The results; a single one is named as the op, several NAME:0, NAME:1 ...
        """
        given = [self._operand(t) for t in operands]
        quant = _quantization(scale, zero_point) or (given[0].quant if given and given[0] is not None else None)
        return self._results(kind, given, attrs, [quant] * outputs, name)

    def cond(
        self,
        predicate: Tensor,
        then: Callable[[GraphBuilder], Tensor | Sequence[Tensor]],
        otherwise: Callable[[GraphBuilder], Tensor | Sequence[Tensor]],
        *,
        name: str | None = None,
    ) -> list[Tensor]:
        """Runs one of two graphs: early exits and gates.

        Args:
            predicate: bool[1], as from any_ge.
            then, otherwise: Called with a builder for the branch; they may use all tensors from outside, and return the
                branch's results: as many, of the same shapes and dtypes, in both.

        Returns:
            The results, quantized as those of `then`; a single one is named as the op, several NAME:0, NAME:1 ...
        """
        self._visible(predicate)
        name = name or self._unused("if")
        attrs = {"then": self._branch(then, f"{name}/then"), "else": self._branch(otherwise, f"{name}/else")}
        first = [self._lookup(n, attrs["then"]) for n in attrs["then"].output_names]
        names = [name] if len(first) == 1 else [f"{name}:{i}" for i in range(len(first))]
        results = [
            self._graph.add_tensor(Tensor(n, t.shape, t.dtype, quant=t.quant))
            for n, t in zip(names, first, strict=True)
        ]
        self._graph.ops.append(Op("if", name, [predicate.name], [t.name for t in results], attrs))
        return results

    # --- how it works ---

    def _branch(self, make: Callable[[GraphBuilder], Tensor | Sequence[Tensor]], name: str) -> Graph:
        inner = GraphBuilder(name)
        inner._outer = self
        results = make(inner)
        for tensor in [results] if isinstance(results, Tensor) else results:
            inner._visible(tensor)
            inner._graph.output_names.append(tensor.name)
        return inner._graph

    def _lookup(self, name: str, inner: Graph) -> Tensor:
        if name in inner.tensors:
            return inner.tensors[name]
        builder: GraphBuilder | None = self
        while builder is not None and name not in builder._graph.tensors:
            builder = builder._outer
        assert builder is not None  # _visible
        return builder._graph.tensors[name]

    def _visible(self, tensor: Tensor) -> None:
        builder: GraphBuilder | None = self
        while builder is not None:
            if builder._graph.tensors.get(tensor.name) is tensor:
                return
            builder = builder._outer
        raise ModelError(f"graph {self._graph.name!r}: tensor {tensor.name!r} is not of this builder")

    def _unused(self, stem: str) -> str:
        """A name that no tensor has; those of a branch begin with the branch's name."""
        prefix = f"{self._graph.name}/" if self._outer is not None else ""
        while True:
            name = f"{prefix}{stem}_{self._counter}"
            self._counter += 1
            if name not in self._graph.tensors:
                return name

    @staticmethod
    def _array(value: npt.ArrayLike, dtype: str | None) -> np.ndarray:
        data = np.ascontiguousarray(value)
        if dtype is not None:
            data = data.astype(array_dtype(dtype))
        elif data.dtype == np.float64:
            data = data.astype(np.float32)
        return data.reshape(np.shape(value))  # ascontiguousarray makes a scalar [1]

    def _operand(self, value: Tensor | npt.ArrayLike | None) -> Tensor | None:
        if value is None or isinstance(value, Tensor):
            return value
        return self.constant(value)

    def _weighted(
        self,
        kind: str,
        x: Tensor,
        weight: Tensor | npt.ArrayLike,
        bias: Tensor | npt.ArrayLike | None,
        attrs: dict[str, Any],
        scale: float | None,
        zero_point: int,
        name: str | None,
    ) -> Tensor:
        operands = [x, self._operand(weight), self._operand(bias)]
        if x.dtype == "float32" and operands[1] is not None and operands[1].dtype == "int8":
            kind, attrs = f"{kind}_hybrid", {**attrs, "asymmetric": True}
        if x.dtype in ("float32", "float16") and operands[1] is not None and operands[1].dtype == "float16":
            kind, attrs = f"{kind}_f16", {**attrs, "dtype": x.dtype}
        return self._op(kind, operands, attrs, _quantization(scale, zero_point), name)

    def _pool(
        self,
        kind: str,
        x: Tensor,
        kernel: Side,
        stride: Side | None,
        padding: Padding,
        activation: str | None,
        name: str | None,
    ) -> Tensor:
        attrs = {"kernel": _pair(kernel), "stride": _pair(kernel if stride is None else stride), "padding": padding}
        return self._op(kind, [x], {**attrs, "activation": activation}, x.quant, name)

    def _op(
        self,
        kind: str,
        operands: Sequence[Tensor | None],
        attrs: dict[str, Any],
        quant: Quantization | None,
        name: str | None,
    ) -> Tensor:
        return self._results(kind, operands, attrs, [quant], name)[0]

    def _results(
        self,
        kind: str,
        operands: Sequence[Tensor | None],
        attrs: dict[str, Any],
        quants: Sequence[Quantization | None],
        name: str | None,
    ) -> list[Tensor]:
        """Adds an op with a result for each of quants, which int8 and int16 results take."""
        for t in operands:
            if t is not None:
                self._visible(t)
        name = name or self._unused(kind)
        names = [name] if len(quants) == 1 else [f"{name}:{i}" for i in range(len(quants))]
        op = Op(kind, name, [None if t is None else t.name for t in operands], names, attrs)
        results = [
            self._graph.add_tensor(Tensor(n, shape, dtype, quant=quant if dtype in ("int8", "int16") else None))
            for n, (shape, dtype), quant in zip(names, infer_op(op, operands), quants, strict=True)
        ]
        self._graph.ops.append(op)
        return results


def _pair(side: Side) -> Pair:
    return (side, side) if isinstance(side, int) else (side[0], side[1])


def _steps(stride: Side, dilation: Side, padding: Padding) -> dict[str, Any]:
    return {"stride": _pair(stride), "dilation": _pair(dilation), "padding": padding}


def _quantization(scale: npt.ArrayLike | None, zero_point: int, axis: int = 0) -> Quantization | None:
    if scale is None:
        return None
    scales = np.atleast_1d(np.asarray(scale, np.float32))
    return Quantization(scales, np.full(scales.shape, zero_point, np.int32), axis)


def _renamed(graph: Graph, names: dict[str, str]) -> Graph:
    """A copy in which some tensors have other names, everywhere."""
    for old, new in names.items():
        if new != old and new in graph.tensors:
            raise ModelError(f"graph {graph.name!r}: output {new!r} has the name of another tensor")

    def new_name(n: str) -> str:
        return names.get(n, n)

    copy = graph.copy()
    copy.tensors = {}
    for old, tensor in graph.copy().tensors.items():
        tensor.name = new_name(old)
        copy.add_tensor(tensor)
    for op in copy.ops:
        op.inputs = [None if n is None else new_name(n) for n in op.inputs]
        op.outputs = [new_name(n) for n in op.outputs]
        for branch in ("then", "else"):
            if branch in op.attrs:
                op.attrs[branch] = _renamed(op.attrs[branch], names)
    copy.input_names = [new_name(n) for n in copy.input_names]
    copy.rename_results(names)
    return copy
