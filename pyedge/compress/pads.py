"""Padding in front of a window becomes the window's own."""

from __future__ import annotations

from ..model.graph import Graph, Op, Tensor
from ..model.ops import resolve_padding
from .rewrite import Tensors, everywhere, makers

_WINDOWS = ("conv2d", "depthwise_conv2d")


def fold_pads(graph: Graph) -> Graph:
    """Return a copy of graph in which a pad of rows and columns of zeros (of zero points in int8) that only feeds
    convolutions is part of their padding.
    """
    return everywhere(graph, _fold)


def _fold(graph: Graph, outer: Tensors) -> None:
    tensors = {**outer, **graph.tensors}
    made = makers(graph)
    for op in graph.ops:
        pad = made.get(op.inputs[0] or "") if op.kind in _WINDOWS else None
        if pad is None or pad.kind != "pad" or not _is_zero(pad, tensors):
            continue
        x, w = tensors[pad.inputs[0] or ""], tensors[op.inputs[1] or ""]
        pads = pad.attrs["pads"]
        if len(pads) != 4 or any(pads[0]) or any(pads[3]) or None in x.shape:
            continue
        kernel = w.shape[:2] if op.kind == "depthwise_conv2d" else w.shape[1:3]
        padded = tensors[pad.outputs[0]].shape
        sides = (padded[1], padded[2]), (kernel[0], kernel[1])
        own = resolve_padding(op.attrs["padding"], *sides, op.attrs["stride"], op.attrs["dilation"])  # type: ignore[arg-type]
        op.attrs["padding"] = tuple((b + p, a + q) for (b, a), (p, q) in zip(own, pads[1:3], strict=True))
        op.inputs[0] = pad.inputs[0]


def _is_zero(pad: Op, tensors: Tensors) -> bool:
    if pad.attrs["mode"] != "constant":
        return False
    x: Tensor = tensors[pad.inputs[0] or ""]
    value = tensors[pad.inputs[1]].data if len(pad.inputs) > 1 and pad.inputs[1] is not None else None
    if len(pad.inputs) > 1 and pad.inputs[1] is not None and value is None:
        return False
    zero = x.zero_point or 0 if x.dtype == "int8" else 0
    return zero == 0 if value is None else bool((value == zero).all())
