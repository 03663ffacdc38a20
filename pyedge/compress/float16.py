"""Float graphs to float16 weights, and to float16 activations between layers."""

from __future__ import annotations

from collections import Counter

import numpy as np

from ..errors import ModelError
from ..model.graph import Graph, Op, Tensor
from ..model.ops_f16 import LAYERS
from .fold import fold_activations
from .quantize import sqnr_db
from .report import Report, constant_bytes
from .rewrite import add_constant, readers, reads

_KINDS = tuple(f"{kind}_f16" for kind in LAYERS)
# What may stand between layers in float16: kinds whose operands and results have one dtype, with kernels for it.
_SAME_DTYPE = {"add", "avg_pool2d", "max_pool2d", "mean", "concat", "depth_to_space", "identity", "pad", "reshape"}
_SAME_DTYPE |= {"slice", "space_to_depth", "split", "transpose"}


def to_float16(graph: Graph, activations: str = "float32") -> tuple[Graph, Report]:
    """Return a copy of a float graph whose layers have float16 weights, rounded to nearest even; biases stay float32.

    conv2d, depthwise_conv2d, linear, and matmul by a constant matrix, which becomes linear; other ops, those in graphs
    of an "if" and weights that are no constants stay float32. Weights that were float16 in the model's file come out
    as they were. Stand-alone activations are folded into the op before them first.

    Args:
        graph: It stays as it is. Its inputs and outputs keep their dtypes.
        activations: "float16" also stores what goes from layer to layer as float16, by add, average and maximum pools,
            mean, concat, pad, reshape, slice, split, transpose or none. What another op, or one of these with a
            constant, reads or gives stays float32, so nothing is cast.

    Returns:
        The new graph; the bytes before and after, each weight's noise.

    Raises:
        ModelError: A finite weight beyond 65504, or no layer at all.
    """
    result = fold_activations(graph)
    noise: dict[str, float] = {}
    for op in result.ops:
        _round_weights(result, op, noise)
    if not noise:
        raise ModelError(f"graph {graph.name!r}: no layer with constant float32 weights; try: float32")
    if activations == "float16":
        for name in _between_layers(result):
            result.tensors[name].dtype = "float16"
        for op in result.ops:
            if op.kind in _KINDS:
                op.attrs["dtype"] = result.tensors[op.outputs[0]].dtype
    used = {n for op in result.ops for n in (*reads(op), *op.outputs)} | {*result.source_names, *result.result_names}
    result.tensors = {n: t for n, t in result.tensors.items() if n in used}
    return result, Report("float16", constant_bytes(graph), constant_bytes(result), noise)


def _round_weights(graph: Graph, op: Op, noise: dict[str, float]) -> None:
    operands = [graph.tensors.get(n or "") for n in op.inputs]
    if len(operands) < 2 or any(t is None or t.dtype != "float32" for t in operands[:2]):
        return
    weight = operands[1]
    assert weight is not None
    data = weight.data
    if data is None:
        return
    if op.kind == "matmul" and data.ndim == 2 and not op.attrs["transpose_a"]:
        data = data if op.attrs["transpose_b"] else data.T
        op.kind, op.attrs = "linear", {"activation": op.attrs["activation"], "keep_dims": True}
    if op.kind not in LAYERS:
        return
    rounded = _rounded(weight, data)
    noise[op.name] = sqnr_db(data, rounded.astype(np.float32))
    op.inputs[1] = add_constant(graph, f"{weight.name}:float16", rounded)
    op.kind, op.attrs = f"{op.kind}_f16", {**op.attrs, "dtype": "float32"}


def _rounded(weight: Tensor, data: np.ndarray) -> np.ndarray:
    with np.errstate(over="ignore"):
        rounded = data.astype(np.float16)
    if np.any(np.isinf(rounded) & np.isfinite(data)):
        largest = float(np.max(np.abs(data[np.isfinite(data)])))
        raise ModelError(f"tensor {weight.name!r}: weights up to {largest:g}, float16 ends at 65504; try: float32")
    return rounded


def _between_layers(graph: Graph) -> set[str]:
    """Tensors that only layers give and read, through other ops that have float16 or not."""
    layers, others = ([op for op in graph.ops if op.kind in kinds] for kinds in (_KINDS, _SAME_DTYPE))
    inner_readers = Counter(n for op in layers for n in {op.inputs[0]} - {*op.inputs[1:]})
    inner_readers.update(n for op in others for n in reads(op))
    all_readers = readers(graph)
    half = {n for op in (*layers, *others) for n in op.outputs if inner_readers[n] == all_readers[n]}
    half = {n for n in half if graph.tensors[n].dtype == "float32"}
    groups = [reads(op) | {*op.outputs} for op in others]
    while torn := set[str]().union(*(group for group in groups if not group <= half)) & half:
        half -= torn
    return half
