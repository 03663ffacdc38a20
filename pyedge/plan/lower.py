"""A graph with fixed shapes -> typed op records, and constants in the layout of the kernels.

`lower` gives a Program: values (tensors to be), steps (ops to be), nothing placed yet. What an op of the graph becomes
is one function below, found by its kind; integer parameters come from model/quantmath.py, and what fits together is
decided by the C code alone (`program.ask`).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from ..errors import PlanError, PyedgeError, ShapeError
from ..model import quantmath
from ..model.custom import PARAMS
from ..model.graph import Graph, Op, State, Tensor, array_dtype, check_state
from ..model.ops import resolve_padding
from ..model.quantmath_int16 import is_int16
from . import structs
from .program import Keep, Program, Step, Value, ask


def lower(
    graph: Graph, entry: str = "main", rounding: str = "tflite", keep: Keep = None, mode: str = "exact"
) -> Program:
    """Lowers a graph whose shapes are all known.

    Args:
        graph: Ops in execution order.
        entry: Name of the entry that the program becomes.
        rounding: "tflite"; "litert-ref" for the single rounding of LiteRT's reference fully connected kernel;
            "fp32" for the float rounding of ONNX Runtime and XNNPACK.
        mode: Of layers with float16 weights: "exact" or "fast16".
        keep: "all" keeps a reshape as a copy, so that its output has a place of its own; else it is a view.

    Raises:
        PlanError: An op or tensor that no kernel takes; names it.
        ShapeError: A tensor with an open size.
    """
    from . import lowerings as lowerings  # here, because they import this module

    if rounding not in structs.ROUNDING:
        raise PlanError(f"rounding {rounding!r} is not known; one of {', '.join(structs.ROUNDING)}")
    if mode not in structs.MODES:
        raise PlanError(f"mode {mode!r} is not known; one of {', '.join(structs.MODES)}")
    build = Builder(graph, entry, structs.ROUNDING[rounding], keep, structs.MODES[mode])
    for tensor in graph.inputs:
        build.program.inputs.append(build.new(tensor))
    for state in graph.states:
        check_state(graph, state)
        build.program.states[build.new(graph.tensors[state.name])] = state.initial
    build.ops(graph)
    for tensor in graph.outputs:
        build.program.outputs.append(build.output(tensor.name))
    build.update(graph.states)
    return build.program


class Builder:
    """Collects values and steps. Names are looked up in the innermost graph first (the arms of an `if` nest)."""

    def __init__(self, graph: Graph, entry: str, rounding: int, keep: Keep, mode: int = structs.MODES["exact"]) -> None:
        self.program = Program(entry)
        self.rounding, self.keep, self.mode = rounding, keep, mode
        self.graphs = [graph]  # from outermost to innermost
        self.numbers: list[dict[str, int]] = [{}]  # of the values made so far, a scope each

    # values

    def tensor(self, name: str) -> Tensor:
        """The graph's tensor of that name, seen from the innermost graph."""
        for graph in reversed(self.graphs):
            if name in graph.tensors:
                return graph.tensors[name]
        raise PlanError(f"graph {self.graphs[0].name!r}: no tensor {name!r}")

    def new(self, tensor: Tensor) -> int:
        """A value with memory of its own for a tensor of the innermost graph."""
        number = self.add(tensor, tensor.name)
        self.numbers[-1][tensor.name] = number
        return number

    def add(self, tensor: Tensor, name: str) -> int:
        """A value like a tensor, bound to no name of the graph."""
        dims = tuple(int(d) for d in tensor.shape if d is not None and d >= 1)
        if len(dims) != len(tensor.shape):
            raise ShapeError(f"tensor {tensor.name!r} has shape {list(tensor.shape)}; fix it with batch= or shapes=")
        if len(tensor.shape) > structs.MAX_RANK:
            raise PlanError(
                f"tensor {tensor.name!r} has {len(tensor.shape)} axes, at most {structs.MAX_RANK} are possible"
            )
        if math.prod(dims) * array_dtype(tensor.dtype).itemsize > structs.MAX_EXTENT:
            raise PlanError(f"tensor {tensor.name!r} {list(dims)} has more than 2^30 bytes")
        per_tensor = tensor.dtype in ("int8", "uint8", "int16", "int32") and tensor.scale is not None
        number = len(self.program.values)
        self.program.values.append(
            Value(
                name,
                tensor.dtype,
                dims,
                number,
                tensor.data,
                float(tensor.scale or 0.0) if per_tensor else 0.0,
                int(tensor.zero_point or 0) if per_tensor else 0,
            )
        )
        return number

    def like(self, value: Value) -> int:
        """A value of the same name, dtype, dims and scale, with memory of its own."""
        number = len(self.program.values)
        self.program.values.append(replace(value, storage=number))
        return number

    def value(self, name: str) -> int:
        """The value that holds a tensor: made by an earlier op, an input, or a constant."""
        for graph, numbers in zip(reversed(self.graphs), reversed(self.numbers), strict=True):
            if name in numbers:
                return numbers[name]
            if name in graph.tensors and graph.tensors[name].data is not None:
                numbers[name] = self.add(graph.tensors[name], name)
                return numbers[name]
        raise PlanError(f"tensor {name!r} is read before anything has written it")

    def output(self, name: str) -> int:
        """As value; a constant or state is copied, because outputs lie in the arena and hold until the next run."""
        number = self.value(name)
        value = self.program.values[number]
        if value.data is None and value.storage not in self.program.states:
            return number
        return self.copy(number, name)

    def update(self, states: Sequence[State]) -> None:
        """The last steps of an entry: a copy of its next value into each state.

        All states change at once, so what is the value of another state now goes through a copy before the first does.
        """
        copies: list[tuple[int, int]] = []
        for state in states:
            number, to = self.value(state.next), self.value(state.name)
            source = self.program.values[number]
            if number == to:
                continue
            if source.data is None and source.storage in self.program.states:
                number = self.copy(number, state.next)
            copies.append((number, to))
        for number, to in copies:
            self.copy(number, self.program.values[to].name, to)

    def constant(self, name: str, data: np.ndarray) -> int:
        """A value for a constant that lowering has made."""
        return self.add(Tensor(name, data.shape, str(data.dtype), data), name)

    def view(self, number: int, dims: Sequence[int]) -> int:
        """The same memory with other dims."""
        old = self.program.values[number]
        if tuple(dims) == old.dims:
            return number
        data = None if old.data is None else old.data.reshape(dims)
        view = Value(old.name, old.dtype, tuple(dims), old.storage, data, old.scale, old.zero_point)
        if data is not None:
            view.storage = len(self.program.values)  # constants are stored by content
        self.program.values.append(view)
        return len(self.program.values) - 1

    # steps

    def emit(self, kind: str, name: str, inputs: Sequence[int | None], outputs: Sequence[int], **params: Any) -> None:
        """Adds a step; the C code says whether it fits together and how much scratch it needs."""
        if kind not in structs.KINDS:
            raise PlanError(f"op {name!r}: there is no kernel {kind}")
        self.emit_packed(kind, name, inputs, outputs, structs.pack_params(kind, **params))

    def emit_packed(
        self, kind: str, name: str, inputs: Sequence[int | None], outputs: Sequence[int], packed: bytes
    ) -> None:
        """As emit, with the bytes of the params."""
        step = Step(kind, name, list(inputs), list(outputs), packed)
        ask(step, self.program.values)
        self.program.steps.append(step)

    def copy(self, number: int, name: str, to: int | None = None) -> int:
        """Copies a value to `to`, or to a new value of that name."""
        old = self.program.values[number]
        if to is None:
            to = len(self.program.values)
            self.program.values.append(Value(name, old.dtype, old.dims, to, None, old.scale, old.zero_point))
        self.emit("copy", name, [number], [to])
        return to

    def branch(self, name: str, predicate: int | None, when: int = 0) -> Step:
        """Adds a jump whose target is set later; returns the step."""
        self.program.steps.append(Step("branch", name, [] if predicate is None else [predicate], []))
        step = self.program.steps[-1]
        step.params = structs.pack_params("branch", when=when)
        return step

    def ops(self, graph: Graph) -> None:
        """Lowers the ops of a graph, in order."""
        for op in graph.ops:
            operands = [self.tensor(name) for name in (*op.inputs[:1], *op.outputs[:1]) if name is not None]
            lowering = _INT16.get(op.kind) if is_int16(*operands) else None
            lowering = lowering or _LOWERINGS.get("custom" if op.kind in PARAMS else op.kind)
            if lowering is None:
                raise PlanError(f"op {op.name!r}: there is no kernel for {op.kind!r}")
            try:
                lowering(self, op)
            except (PlanError, ShapeError):
                raise
            except PyedgeError as error:  # of quantmath: names no op
                raise PlanError(f"op {op.name!r} ({op.kind}): {error}") from None

    # what lowerings ask about an op

    def input(self, op: Op, i: int) -> int:
        name = op.inputs[i] if i < len(op.inputs) else None
        if name is None:
            raise PlanError(f"op {op.name!r} ({op.kind}) has no input {i}")
        return self.value(name)

    def optional_input(self, op: Op, i: int) -> int | None:
        return self.input(op, i) if i < len(op.inputs) and op.inputs[i] is not None else None

    def result(self, op: Op, i: int = 0) -> int:
        """The i-th value that the op writes: bound already if it is the output of an `if`, else a new one."""
        name = op.outputs[i]
        return self.numbers[-1][name] if name in self.numbers[-1] else self.new(self.tensor(name))

    def results(self, op: Op) -> list[int]:
        """The values that an op of several results writes."""
        known = self.numbers[-1]
        return [known[name] if name in known else self.new(self.tensor(name)) for name in op.outputs]

    def variant(self, family: str, op: Op, number: int) -> str:
        """The op kind of a family for the dtype of a value, such as "conv2d_s8"."""
        dtype = self.program.values[number].dtype
        kind = f"{family}_{_ENDINGS.get(dtype)}"
        if kind not in structs.KINDS:
            raise PlanError(f"op {op.name!r} ({op.kind}): no kernel takes {dtype}")
        return kind

    def scale(self, op: Op, number: int) -> tuple[float, int]:
        """Scale and zero point of an int8 value."""
        v = self.program.values[number]
        if v.dtype != "int8" or not v.scale > 0:
            raise PlanError(f"op {op.name!r} ({op.kind}): tensor {v.name!r} has no per-tensor scale")
        return v.scale, v.zero_point

    def same_scale(self, op: Op, x: int, y: int) -> None:
        """Refuses an int8 op that cannot rescale between tensors of different scale."""
        if self.program.values[x].dtype == "int8" and self.scale(op, x) != self.scale(op, y):
            raise PlanError(f"op {op.name!r} ({op.kind}): input and output have different scales")


_ENDINGS = {"float32": "f32", "float16": "f16", "int8": "s8"}  # of op kinds
_LOWERINGS: dict[str, Callable[[Builder, Op], None]] = {}


def lowers(*kinds: str) -> Callable[[Callable[[Builder, Op], None]], Callable[[Builder, Op], None]]:
    def register(function: Callable[[Builder, Op], None]) -> Callable[[Builder, Op], None]:
        for kind in kinds:
            _LOWERINGS[kind] = function
        return function

    return register


_INT16: dict[str, Callable[[Builder, Op], None]] = {}  # where int16 codes with a scale go in or out, before the others


def lowers_int16(*kinds: str) -> Callable[[Callable[[Builder, Op], None]], Callable[[Builder, Op], None]]:
    """As lowers, for int16 codes that have a scale."""

    def register(function: Callable[[Builder, Op], None]) -> Callable[[Builder, Op], None]:
        _INT16.update(dict.fromkeys(kinds, function))
        return function

    return register


def lowering_of(kind: str) -> Callable[[Builder, Op], None]:
    """The function that lowers a kind, for one that takes over some of its cases."""
    return _LOWERINGS[kind]


def clamps(b: Builder, op: Op, y: int) -> dict[str, Any]:
    """y_min .. f_max of a fused activation."""
    activation = op.attrs.get("activation")
    if activation not in quantmath.ACTIVATION_RANGES:
        raise PlanError(f"op {op.name!r} ({op.kind}): no kernel has the activation {activation!r}")
    return bounds(b, op, y, *quantmath.ACTIVATION_RANGES[activation])


def bounds(b: Builder, op: Op, y: int, low: float, high: float) -> dict[str, Any]:
    if b.program.values[y].dtype == "int8":
        y_min, y_max = quantmath.clip_range(low, high, *b.scale(op, y))
        return {"y_min": y_min, "y_max": y_max}
    return {"f_min": low, "f_max": high}


def windows2d(op: Op, x: Value, kernel: Sequence[int]) -> dict[str, int]:
    """Params of the windows of an op over x [N, H, W, C]: stride, dilation if it has one, padding before them."""
    stride, dilation = op.attrs["stride"], op.attrs.get("dilation")
    size, window = (x.dims[1], x.dims[2]), (kernel[0], kernel[1])
    (top, _), (left, _) = resolve_padding(op.attrs["padding"], size, window, stride, dilation or (1, 1))
    params = {"stride_h": stride[0], "stride_w": stride[1], "pad_top": top, "pad_left": left}
    return params | ({"dilation_h": dilation[0], "dilation_w": dilation[1]} if dilation else {})


@lowers("add")
def _add(b: Builder, op: Op) -> None:
    x0, x1, y = b.input(op, 0), b.input(op, 1), b.result(op)
    params = clamps(b, op, y)
    kind = b.variant("add", op, x0)
    if kind == "add_s8":
        (sa, za), (sb, zb), (sy, zy) = b.scale(op, x0), b.scale(op, x1), b.scale(op, y)
        p = quantmath.add_params(sa, sb, sy)
        params |= {"a_zero_point": za, "b_zero_point": zb, "y_zero_point": zy, "left_shift": p.left_shift}
        for letter, factor in (("a", p.a), ("b", p.b), ("y", p.y)):
            params |= {f"{letter}_multiplier": factor.multiplier, f"{letter}_shift": factor.shift}
    b.emit(kind, op.name, [x0, x1], [y], **params)


@lowers("avg_pool2d", "max_pool2d")
def _pool2d(b: Builder, op: Op) -> None:
    x, y = b.input(op, 0), b.result(op)
    b.same_scale(op, x, y)
    in_dims, out_dims = b.program.values[x].dims, b.program.values[y].dims
    if len(in_dims) != 4 or len(out_dims) != 4:
        raise PlanError(f"op {op.name!r} ({op.kind}): input {list(in_dims)} is not NHWC")
    kernel = op.attrs["kernel"]
    params = {"kernel_h": kernel[0], "kernel_w": kernel[1], **windows2d(op, b.program.values[x], kernel)}
    b.emit(b.variant(op.kind, op, x), op.name, [x], [y], **params, **clamps(b, op, y))


@lowers("mean")
def _mean(b: Builder, op: Op) -> None:
    x, y = b.input(op, 0), b.result(op)
    params: dict[str, Any] = {"axes": sum(1 << axis for axis in op.attrs["axes"])}
    kind = b.variant("mean", op, x)
    if kind == "mean_s8":
        (sx, zx), (sy, zy) = b.scale(op, x), b.scale(op, y)
        count = math.prod(b.program.values[x].dims[axis] for axis in op.attrs["axes"])
        factor = quantmath.mean_multiplier(sx, sy, count)
        params |= {"x_zero_point": zx, "y_zero_point": zy, "multiplier": factor.multiplier, "shift": factor.shift}
    b.emit(kind, op.name, [x], [y], **params)


@lowers("softmax")
def _softmax(b: Builder, op: Op) -> None:
    x, y = b.input(op, 0), b.result(op)
    rank, dtype = len(b.program.values[x].dims), b.program.values[x].dtype
    if dtype != "int8" and (op.attrs["axis"] % rank != rank - 1 or dtype != "float32"):
        if op.attrs["beta"] != 1:
            raise PlanError(f"op {op.name!r} (softmax): beta is possible over the last axis of float32 and int8 only")
        b.emit("softmax_axis", op.name, [x], [y], axis=op.attrs["axis"] % rank)
        return
    kind = b.variant("softmax", op, x)
    if kind == "softmax_f32":
        b.emit(kind, op.name, [x], [y], beta=op.attrs["beta"])
        return
    if b.scale(op, y) != (1 / 256, -128):
        raise PlanError(f"op {op.name!r} (softmax): an int8 output has the scale 1/256 and the zero point -128")
    p = quantmath.softmax_params(op.attrs["beta"], b.scale(op, x)[0])
    b.emit(kind, op.name, [x], [y], multiplier=p.multiplier, shift=p.shift, diff_min=p.diff_min)


@lowers("reshape")
def _reshape(b: Builder, op: Op) -> None:
    x, name = b.input(op, 0), op.outputs[0]
    if name in b.numbers[-1] or b.keep == "all":
        b.copy(x, op.name, b.result(op))
        return
    dims = [int(d) for d in b.tensor(name).shape if d is not None]
    number = b.view(x, dims)
    if number == x:  # same dims: a second record, for the name
        v = b.program.values[x]
        number = len(b.program.values)
        storage = v.storage if v.data is None else number
        b.program.values.append(Value(name, v.dtype, v.dims, storage, v.data, v.scale, v.zero_point))
    b.program.values[number].name = name
    b.numbers[-1][name] = number


@lowers("quantize")
def _quantize(b: Builder, op: Op) -> None:
    x, y = b.input(op, 0), b.result(op)
    if b.program.values[x].dtype == "int8":
        _requantize(b, op, x, y, -math.inf, math.inf)
        return
    scale, zero_point = b.scale(op, y)
    b.emit("quantize_f32_s8", op.name, [x], [y], scale=scale, y_zero_point=zero_point, y_min=-128, y_max=127)


def _requantize(b: Builder, op: Op, x: int, y: int, low: float, high: float) -> None:
    (sx, zx), (sy, zy) = b.scale(op, x), b.scale(op, y)
    factor = quantmath.rescale_multiplier(sx, sy)
    b.emit(
        "requantize_s8",
        op.name,
        [x],
        [y],
        x_zero_point=zx,
        y_zero_point=zy,
        multiplier=factor.multiplier,
        shift=factor.shift,
        **bounds(b, op, y, low, high),
    )


@lowers("dequantize")
def _dequantize(b: Builder, op: Op) -> None:
    x, y = b.input(op, 0), b.result(op)
    scale, zero_point = b.scale(op, x)
    b.emit("dequantize_s8_f32", op.name, [x], [y], scale=scale, x_zero_point=zero_point)


@lowers("relu", "relu6", "clip")
def _clip(b: Builder, op: Op) -> None:
    low, high = (op.attrs["min"], op.attrs["max"]) if op.kind == "clip" else quantmath.ACTIVATION_RANGES[op.kind]
    x, y = b.input(op, 0), b.result(op)
    if b.program.values[x].dtype == "int8" and b.scale(op, x) != b.scale(op, y):
        _requantize(b, op, x, y, low, high)
        return
    b.emit(b.variant("clip", op, x), op.name, [x], [y], **bounds(b, op, y, low, high))


@lowers("any_ge")
def _any_ge(b: Builder, op: Op) -> None:
    x, threshold = b.input(op, 0), float(op.attrs["threshold"])
    kind = b.variant("any_ge", op, x)
    if kind == "any_ge_f32":
        b.emit(kind, op.name, [x], [b.result(op)], f_threshold=threshold)
        return
    scale, zero_point = b.scale(op, x)
    # The smallest code whose value is at least the threshold; 128 is above all codes, -128 below or at all.
    code = math.ceil(min(max(threshold / scale, -1e6), 1e6)) + zero_point
    b.emit(kind, op.name, [x], [b.result(op)], threshold=min(max(code, -128), 128))


@lowers("if")
def _if(b: Builder, op: Op) -> None:
    """branch over the then-arm unless the predicate holds; both arms write the op's outputs."""
    predicate = b.input(op, 0)
    outputs = [b.numbers[-1].get(name) for name in op.outputs]
    numbers = [b.new(b.tensor(n)) if v is None else v for n, v in zip(op.outputs, outputs, strict=True)]
    to_else = b.branch(op.name, predicate, when=0)
    _arm(b, op, op.attrs["then"], numbers)
    to_end = b.branch(op.name, None)
    to_else.target = len(b.program.steps)
    _arm(b, op, op.attrs["else"], numbers)
    to_end.target = len(b.program.steps)


def _arm(b: Builder, op: Op, graph: Graph, outputs: Sequence[int]) -> None:
    """The ops of one arm; its outputs go to the values `outputs`, by a copy if no op of the arm can write there."""
    if len(graph.output_names) != len(outputs):
        raise PlanError(f"op {op.name!r} (if): an arm has {len(graph.output_names)} outputs, the op {len(outputs)}")
    b.graphs.append(graph)
    b.numbers.append({})
    written = {name for inner in graph.ops for name in inner.outputs}
    bound: set[int] = set()
    for i, name in enumerate(graph.output_names):
        if name in written and name not in b.numbers[-1]:
            b.numbers[-1][name] = outputs[i]
            bound.add(i)
    b.ops(graph)
    for i, name in enumerate(graph.output_names):
        given, wanted = b.tensor(name), b.program.values[outputs[i]]
        scale = (given.scale, given.zero_point) if given.dtype == "int8" else (0.0, 0)
        if (given.dtype, tuple(given.shape), *scale) != (wanted.dtype, wanted.dims, wanted.scale, wanted.zero_point):
            raise PlanError(f"op {op.name!r} (if): the arms give output {i} with different shapes, dtypes or scales")
        if i not in bound:
            b.copy(b.value(name), name, outputs[i])
    b.graphs.pop()
    b.numbers.pop()
