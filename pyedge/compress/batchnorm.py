"""Batch norms, and what is left of them, go into the weights before them."""

from __future__ import annotations

import numpy as np

from ..model.graph import Graph, Op, Tensor
from .rewrite import Tensors, add_constant, everywhere, makers, readers

# Axis of output channels in each weight's layout.
_CHANNEL_AXIS = {"conv2d": 0, "depthwise_conv2d": 2, "linear": 0, "conv": 0, "conv_transpose": 0}


def fold_batch_norm(graph: Graph) -> Graph:
    """Return a copy of a float graph in which batch_norm, and mul, div, add and sub by a constant per channel, are part
    of the weight and bias of the convolution or linear op before them, where nothing else reads its result.

    Products are computed in double and rounded once; the result differs by roundings from what was written.
    """
    return everywhere(graph, _fold)


def _fold(graph: Graph, outer: Tensors) -> None:
    for op in list(graph.ops):
        tensors = {**outer, **graph.tensors}
        made, read = makers(graph), readers(graph)
        for i in (0, 1):
            source = op.inputs[i] if i < len(op.inputs) else None
            layer = made.get(source or "")
            if layer is None or layer.kind not in _CHANNEL_AXIS or layer.attrs["activation"] is not None:
                continue
            if read[layer.outputs[0]] != 1 or tensors[layer.outputs[0]].dtype != "float32":
                continue
            if tensors[layer.outputs[0]].shape != tensors[op.outputs[0]].shape:
                continue
            channels = tensors[layer.outputs[0]].shape[-1]
            affine = _affine(op, i, int(channels or 0), tensors)
            weight = tensors[layer.inputs[1] or ""]
            bias = tensors[layer.inputs[2]] if len(layer.inputs) > 2 and layer.inputs[2] is not None else None
            if affine is None or weight.data is None or (bias is not None and bias.data is None):
                continue
            _scale(graph, layer, weight, bias, *affine)
            graph.ops.remove(op)
            del graph.tensors[layer.outputs[0]]
            layer.outputs = list(op.outputs)
            break


def _affine(op: Op, i: int, channels: int, tensors: Tensors) -> tuple[np.ndarray, np.ndarray] | None:
    """op as factor * x + offset per channel, float64 [channels]; None where it is none."""
    if op.kind == "batch_norm" and i == 0:
        values = [tensors[n or ""].data for n in op.inputs[1:5]]
        if any(v is None for v in values):
            return None
        scale, bias, mean, var = (np.asarray(v, np.float64) for v in values)
        factor = scale / np.sqrt(var + op.attrs["epsilon"])
        return factor, bias - mean * factor
    if op.kind not in ("add", "sub", "mul", "div") or len(op.inputs) != 2 or op.attrs.get("activation") is not None:
        return None
    other = tensors[op.inputs[1 - i] or ""]
    if (
        other.data is None
        or other.data.size not in (1, channels)
        or (other.data.size > 1 and other.shape[-1] != channels)
    ):
        return None
    value = np.broadcast_to(other.data.reshape(-1).astype(np.float64), channels)
    one, zero = np.ones(channels), np.zeros(channels)
    if op.kind == "add":
        return one, value
    if op.kind == "sub":
        return (one, -value) if i == 0 else (-one, value)
    if op.kind == "mul":
        return value, zero
    return (1 / value, zero) if i == 0 and value.all() else None


def _scale(
    graph: Graph, layer: Op, weight: Tensor, bias: Tensor | None, factor: np.ndarray, offset: np.ndarray
) -> None:
    """The layer's constants times factor, plus offset."""
    assert weight.data is not None
    along = [1] * weight.data.ndim
    along[_CHANNEL_AXIS[layer.kind]] = -1
    if (factor != 1).any():
        scaled = (weight.data.astype(np.float64) * factor.reshape(along)).astype(np.float32)
        layer.inputs[1] = add_constant(graph, f"{weight.name}:folded", scaled)
    old = np.zeros(factor.size) if bias is None or bias.data is None else bias.data.astype(np.float64)
    new = add_constant(graph, f"{layer.name}:bias", (old * factor + offset).astype(np.float32))
    layer.inputs = [layer.inputs[0], layer.inputs[1], new]
