"""One op on NumPy arrays: what the other files are made of."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from .. import _core
from ..errors import PlanError, ShapeError
from ..model.graph import DTYPES, Graph, Op, Quantization, Tensor, array_dtype
from ..model.ops import Padding, infer_op
from ..plan.lower import lower
from ..plan.structs import KINDS, MODES

Array = npt.NDArray[Any]
Q = tuple[float, int]  # scale and zero point of an int8 tensor
Side = int | tuple[int, int]


def pair(side: Side) -> tuple[int, int]:
    return (side, side) if isinstance(side, int) else (side[0], side[1])


def window(stride: Side, padding: Padding) -> dict[str, Any]:
    return {"stride": pair(stride), "padding": padding}


def _quantization(q: Any) -> Quantization | None:
    """(scale, zero point), or scales of weights."""
    if q is None:
        return None
    scale, zero_point = q if isinstance(q, tuple) else (q, 0)
    scales = np.atleast_1d(np.asarray(scale, np.float32))
    return Quantization(scales, np.full(scales.size, zero_point, np.int32))


def check_mode(kind: str, mode: str, half: bool) -> None:
    """Raises PlanError for a mode that is not known, or not for operands without float16."""
    if mode != "exact" and not (half and mode in MODES):
        modes = ", ".join(repr(m) for m in MODES) if half else "'exact'"
        raise PlanError(f"{kind}: mode={mode!r} is not known; the modes: {modes}")


def run(
    kind: str,
    operands: dict[str, Array | None],
    attrs: dict[str, Any],
    inputs: Sequence[str],
    operand_q: Sequence[Any] = (),
    result_q: Q | None = None,
    out: Array | None = None,
    mode: str = "exact",
) -> Array:
    """One op of a graph, lowered as in a plan and run where the arrays lie; inputs: the operands that are no constants.

    Raises:
        ShapeError: An array of a wrong shape, dtype or layout; names the operand.
    """
    graph = Graph(kind)
    names: list[str | None] = []
    for i, (name, array) in enumerate(operands.items()):
        names.append(None if array is None else name)
        if array is None:
            continue
        _check_array(kind, name, array)
        q = _quantization(operand_q[i]) if i < len(operand_q) else None
        graph.add_tensor(Tensor(name, array.shape, str(array.dtype), None if name in inputs else array, q))
    graph.input_names = [name for name in inputs if name in graph.tensors]
    op = Op(kind, kind, names, ["result"], attrs)
    [(shape, dtype)] = infer_op(op, [None if n is None else graph.tensors[n] for n in names])
    y = graph.add_tensor(Tensor("result", shape, dtype, None, _quantization(result_q) if dtype == "int8" else None))
    graph.ops, graph.output_names = [op], ["result"]
    program = lower(graph, mode=mode)
    step = program.steps[0]
    result = np.empty([d or 1 for d in y.shape], array_dtype(dtype)) if out is None else out
    if out is not None:
        _check_array(kind, "out", out)
        if out.shape != y.shape or str(out.dtype) != dtype:
            raise ShapeError(f"{kind}: out is {out.dtype}{list(out.shape)}, the result {dtype}{list(y.shape)}")
    given = {**operands, "result": result}

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
