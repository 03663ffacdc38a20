"""Each kernel on NumPy arrays: the same C code that sessions and boards run, one op at a time.

Activations are NHWC, conv weights [C_out, kh, kw, C_in / groups], depthwise weights [kh, kw, C_out], linear weights
[C_out, C_in]. float32 arrays give float32. int8 arrays need their scales: `x_q` and `y_q` are (scale, zero point) of
input and result, `w_scale` one scale or one for each output channel, a bias is int32 of scale x_scale * w_scale.
float16 weights go with float16 or float32 activations and a float32 bias; the result has the dtype of `out`, `y_dtype`
or x.

Arrays are used where they lie, so they must be C-contiguous, and `out` takes the result if it is given. Kernels of the
CPU get weights in a layout of their own, which each call makes anew: a Session does that once. mode="exact" is the
arithmetic of docs/arithmetic.md, mode="fast16", for float16 weights, sums in float16. All functions raise ShapeError
for an array of a wrong shape, dtype or layout, naming the operand.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from . import _core
from .errors import PlanError, ShapeError
from .model.graph import DTYPES, Graph, Op, Quantization, Tensor, array_dtype
from .model.ops import Padding, infer_op
from .model.ops_f16 import FLOATS, LAYERS
from .plan.lower import lower
from .plan.structs import KINDS, MODES

Array = npt.NDArray[Any]
Q = tuple[float, int]  # scale and zero point of an int8 tensor
Side = int | tuple[int, int]

__all__ = [
    "add",
    "any_ge",
    "avg_pool2d",
    "clip",
    "conv2d",
    "depthwise_conv2d",
    "dequantize",
    "linear",
    "matmul",
    "max_pool2d",
    "mean",
    "quantize",
    "requantize",
    "softmax",
]


def linear(
    x: Array,
    weight: Array,
    bias: Array | None = None,
    *,
    activation: str | None = None,
    x_q: Q | None = None,
    w_scale: npt.ArrayLike | None = None,
    y_q: Q | None = None,
    y_dtype: str | None = None,
    out: Array | None = None,
    mode: str = "exact",
) -> Array:
    """x [..., K] times weight [N, K], plus bias [N] -> [..., N]."""
    attrs = {"activation": activation, "keep_dims": True}
    return _run("linear", {"x": x, "weight": weight, "bias": bias}, attrs, [x_q, w_scale], y_q, out, mode, y_dtype)


def matmul(a: Array, b: Array, *, y_dtype: str | None = None, out: Array | None = None, mode: str = "exact") -> Array:
    """a [M, K] times b [K, N] -> [M, N], float32 or float16.

    The kernel reads b by columns: a column-major b, such as `weight.T` of a linear weight, is used where it lies, any
    other is packed into a copy first.
    """
    for name, x in (("a", a), ("b", b)):
        if not isinstance(x, np.ndarray) or x.ndim != 2:
            raise ShapeError(f"matmul: {name} has the shape {list(np.shape(x))}, expected an array of two axes")
    b = np.asfortranarray(b)
    operands: dict[str, Array | None] = {"a": a, "b": b.T, "bias": None}
    return _run("linear", operands, {"activation": None, "keep_dims": True}, [], None, out, mode, y_dtype)


def conv2d(
    x: Array,
    weight: Array,
    bias: Array | None = None,
    *,
    stride: Side = 1,
    dilation: Side = 1,
    padding: Padding = "same",
    groups: int = 1,
    activation: str | None = None,
    x_q: Q | None = None,
    w_scale: npt.ArrayLike | None = None,
    y_q: Q | None = None,
    y_dtype: str | None = None,
    out: Array | None = None,
    mode: str = "exact",
) -> Array:
    """x [N, H, W, C] with weight [C_out, kh, kw, C / groups] -> [N, Ho, Wo, C_out]."""
    attrs = {**_window(stride, padding), "dilation": _pair(dilation), "groups": groups, "activation": activation}
    return _run("conv2d", {"x": x, "weight": weight, "bias": bias}, attrs, [x_q, w_scale], y_q, out, mode, y_dtype)


def depthwise_conv2d(
    x: Array,
    weight: Array,
    bias: Array | None = None,
    *,
    stride: Side = 1,
    dilation: Side = 1,
    padding: Padding = "same",
    activation: str | None = None,
    x_q: Q | None = None,
    w_scale: npt.ArrayLike | None = None,
    y_q: Q | None = None,
    y_dtype: str | None = None,
    out: Array | None = None,
    mode: str = "exact",
) -> Array:
    """x [N, H, W, C] with weight [kh, kw, C_out] -> [N, Ho, Wo, C_out]; C_out is a multiple of C."""
    attrs = {**_window(stride, padding), "dilation": _pair(dilation), "activation": activation}
    return _run(
        "depthwise_conv2d", {"x": x, "weight": weight, "bias": bias}, attrs, [x_q, w_scale], y_q, out, mode, y_dtype
    )


def add(
    a: Array,
    b: Array,
    *,
    activation: str | None = None,
    a_q: Q | None = None,
    b_q: Q | None = None,
    y_q: Q | None = None,
    out: Array | None = None,
    mode: str = "exact",
) -> Array:
    """a + b, with NumPy's broadcasting."""
    return _run("add", {"a": a, "b": b}, {"activation": activation}, [a_q, b_q], y_q, out, mode)


def avg_pool2d(
    x: Array,
    kernel: Side,
    *,
    stride: Side | None = None,
    padding: Padding = "valid",
    activation: str | None = None,
    x_q: Q | None = None,
    out: Array | None = None,
    mode: str = "exact",
) -> Array:
    """Mean of what lies in the image of each window of x [N, H, W, C]; stride is the kernel's size if None."""
    return _pool("avg_pool2d", x, kernel, stride, padding, activation, x_q, out, mode)


def max_pool2d(
    x: Array,
    kernel: Side,
    *,
    stride: Side | None = None,
    padding: Padding = "valid",
    activation: str | None = None,
    x_q: Q | None = None,
    out: Array | None = None,
    mode: str = "exact",
) -> Array:
    """Largest element of each window of x [N, H, W, C]; stride is the kernel's size if None."""
    return _pool("max_pool2d", x, kernel, stride, padding, activation, x_q, out, mode)


def mean(
    x: Array,
    axes: Sequence[int],
    *,
    keepdims: bool = False,
    x_q: Q | None = None,
    y_q: Q | None = None,
    out: Array | None = None,
    mode: str = "exact",
) -> Array:
    """Mean of x over axes; negative ones count from the end."""
    if any(not -x.ndim <= a < x.ndim for a in axes):
        raise ShapeError(f"mean: x {list(x.shape)} has no axes {list(axes)}")
    attrs = {"axes": tuple(sorted({a % x.ndim for a in axes})), "keepdims": keepdims}
    return _run("mean", {"x": x}, attrs, [x_q], y_q or x_q, out, mode)


def softmax(
    x: Array, *, beta: float = 1.0, x_q: Q | None = None, out: Array | None = None, mode: str = "exact"
) -> Array:
    """Softmax of beta * x over the last axis. An int8 result has scale 1/256 and zero point -128."""
    return _run("softmax", {"x": x}, {"axis": -1, "beta": beta}, [x_q], x_q and (1 / 256, -128), out, mode)


def quantize(x: Array, y_q: Q, *, out: Array | None = None, mode: str = "exact") -> Array:
    """float32 to int8 codes."""
    return _run("quantize", {"x": x}, {}, [], y_q, out, mode)


def dequantize(x: Array, x_q: Q, *, out: Array | None = None, mode: str = "exact") -> Array:
    """int8 codes to float32."""
    return _run("dequantize", {"x": x}, {}, [x_q], None, out, mode)


def requantize(x: Array, x_q: Q, y_q: Q, *, out: Array | None = None, mode: str = "exact") -> Array:
    """int8 codes to those of another scale and zero point."""
    return _run("quantize", {"x": x}, {}, [x_q], y_q, out, mode)


def clip(
    x: Array, low: float, high: float, *, x_q: Q | None = None, out: Array | None = None, mode: str = "exact"
) -> Array:
    """x limited to [low, high], real values."""
    return _run("clip", {"x": x}, {"min": low, "max": high}, [x_q], x_q, out, mode)


def any_ge(x: Array, threshold: float, *, x_q: Q | None = None, out: Array | None = None, mode: str = "exact") -> Array:
    """bool[1]: whether some element is at least threshold, a real value."""
    return _run("any_ge", {"x": x}, {"threshold": threshold}, [x_q], None, out, mode)


def _pool(
    kind: str,
    x: Array,
    kernel: Side,
    stride: Side | None,
    padding: Padding,
    activation: str | None,
    q: Q | None,
    out: Array | None,
    mode: str,
) -> Array:
    window = {"kernel": _pair(kernel), **_window(kernel if stride is None else stride, padding)}
    return _run(kind, {"x": x}, {**window, "activation": activation}, [q], q, out, mode)


def _pair(side: Side) -> tuple[int, int]:
    return (side, side) if isinstance(side, int) else (side[0], side[1])


def _window(stride: Side, padding: Padding) -> dict[str, Any]:
    return {"stride": _pair(stride), "padding": padding}


def _quantization(q: Any) -> Quantization | None:
    """(scale, zero point), or scales of weights."""
    if q is None:
        return None
    scale, zero_point = q if isinstance(q, tuple) else (q, 0)
    scales = np.atleast_1d(np.asarray(scale, np.float32))
    return Quantization(scales, np.full(scales.size, zero_point, np.int32))


def _run(
    kind: str,
    operands: dict[str, Array | None],
    attrs: dict[str, Any],
    operand_q: Sequence[Any],
    result_q: Q | None,
    out: Array | None,
    mode: str,
    y_dtype: str | None = None,
) -> Array:
    """One op of a graph, lowered as in a plan and run where the arrays lie.

    What is no input of the graph, weights and biases, is packed for a layer kernel if the CPU has one for the case.
    """
    weight = list(operands.values())[1] if kind in LAYERS else None
    half = isinstance(weight, np.ndarray) and weight.dtype == np.float16
    if half:
        known = [str(a.dtype) for a in (out, next(iter(operands.values()))) if isinstance(a, np.ndarray)]
        possible = [y_dtype] if y_dtype else [dtype for dtype in known if dtype in FLOATS]
        kind, attrs = f"{kind}_f16", {**attrs, "dtype": possible[0] if possible else "float32"}
    elif y_dtype is not None:
        raise ShapeError(f"{kind}: y_dtype={y_dtype!r} goes with float16 weights only")
    if mode != "exact" and not (half and mode in MODES):
        modes = ", ".join(repr(m) for m in MODES) if half else "'exact'"
        raise PlanError(f"{kind}: mode={mode!r} is not known; the modes: {modes}")
    graph = Graph(kind)
    names: list[str | None] = []
    for i, (name, array) in enumerate(operands.items()):
        names.append(None if array is None else name)
        if array is None:
            continue
        _check_array(kind, name, array)
        q = _quantization(operand_q[i]) if i < len(operand_q) else None
        first = name == next(iter(operands))
        is_input = first or kind == "add"
        graph.add_tensor(Tensor(name, array.shape, str(array.dtype), None if is_input else array, q))
        if is_input:
            graph.input_names.append(name)
    op = Op(kind, kind, names, ["y"], attrs)
    [(shape, dtype)] = infer_op(op, [None if n is None else graph.tensors[n] for n in names])
    y = graph.add_tensor(Tensor("y", shape, dtype, None, _quantization(result_q) if dtype == "int8" else None))
    graph.ops, graph.output_names = [op], ["y"]
    program = lower(graph, mode=mode)
    step = program.steps[0]
    result = np.empty([d or 1 for d in y.shape], array_dtype(dtype)) if out is None else out
    if out is not None:
        _check_array(kind, "out", out)
        if out.shape != y.shape or str(out.dtype) != dtype:
            raise ShapeError(f"{kind}: out is {out.dtype}{list(out.shape)}, the result {dtype}{list(y.shape)}")
    given = {**operands, "y": result}

    def array_of(number: int | None) -> Array | None:
        if number is None:
            return None
        value = program.values[number]
        data = value.data if value.data is not None else given[value.name]
        return data.reshape(value.dims) if data is not None else None

    constants = sum(1 << i for i, n in enumerate(step.inputs) if n is not None and program.values[n].data is not None)
    outputs = [a for a in (array_of(n) for n in step.outputs) if a is not None]
    try:
        _core.op_run(KINDS[step.kind], step.params, [array_of(n) for n in step.inputs], outputs, constants)
    except ValueError as error:  # out overlaps an operand
        raise ShapeError(f"{kind}: {error}") from None
    return result


def _check_array(kind: str, name: str, array: Array) -> None:
    if not isinstance(array, np.ndarray) or str(array.dtype) not in DTYPES:
        given = f"{array.dtype} array" if isinstance(array, np.ndarray) else type(array).__name__
        raise ShapeError(f"{kind}: {name} must be an array of a dtype of graphs, not {given}")
    if not array.flags.c_contiguous:
        raise ShapeError(f"{kind}: {name} {list(array.shape)} is not C-contiguous; pass np.ascontiguousarray({name})")
    if name == "out" and not array.flags.writeable:
        raise ShapeError(f"{kind}: out {list(array.shape)} is read-only")
