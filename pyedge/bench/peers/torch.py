"""torch, eager, float32: the functional ops on channels_last tensors, without gradients."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F

from ...model.graph import Graph, Op
from ...model.ops import resolve_padding
from . import Array, Call, Unable, only

Step = Callable[[dict[str, Any]], None]
_ACTIVATIONS: dict[str | None, Callable[[Any], Any]] = {None: lambda y: y, "relu": F.relu_, "relu6": F.relu6}


def prepare(graph: Graph, file: Path | None, x: Array) -> Call:
    """See `peers`."""
    only(graph, "float32")
    steps = [_step(graph, op) for op in graph.ops]
    source, result = graph.input_names[0], graph.output_names[0]
    feed = torch.from_numpy(x)
    if x.ndim == 4:
        feed = feed.permute(0, 3, 1, 2)  # a view: NHWC is channels_last
    torch.set_num_threads(1)

    def run() -> Array:
        with torch.inference_mode():
            values = {source: feed}
            for step in steps:
                step(values)
            y = values[result]
            return np.asarray((y.permute(0, 2, 3, 1) if y.ndim == 4 else y).numpy())

    return run


def _step(graph: Graph, op: Op) -> Step:
    """A function that takes its operands from the values and puts its result there."""
    tensors = [graph.tensors[n] for n in op.inputs if n is not None]
    constants: list[Any] = [None if t.data is None else torch.from_numpy(np.array(t.data)) for t in tensors]
    if any(c is not None and c.dtype == torch.float16 for c in constants):
        raise Unable("float32 only")
    x_name, y_name, a = tensors[0].name, op.outputs[0], op.attrs
    activation = a.get("activation")
    if activation not in _ACTIVATIONS:
        raise Unable(f"no activation {activation}")
    rectified, bias = _ACTIVATIONS[activation], constants[2] if len(constants) > 2 else None
    run: Callable[[Any, dict[str, Any]], Any]
    if op.kind in ("conv2d", "depthwise_conv2d"):
        w = constants[1]
        if w is None:
            raise Unable("no convolution with computed weights")
        if op.kind == "conv2d":
            w, groups, kernel = w.permute(0, 3, 1, 2), a["groups"], tuple(w.shape[1:3])
        else:
            if w.shape[2] != tensors[0].shape[3]:
                raise Unable("no depthwise multiplier")
            w, groups, kernel = w.permute(2, 0, 1)[:, None], int(w.shape[2]), tuple(w.shape[:2])
        w = w.contiguous(memory_format=torch.channels_last)
        pad, even = _padding(graph, op, kernel)
        step, dilation = a["stride"], a["dilation"]

        def run(x: Any, values: dict[str, Any]) -> Any:
            x = x if even is not None else F.pad(x, pad)
            return F.conv2d(x, w, bias, step, even or 0, dilation, groups)
    elif op.kind == "linear":
        w = constants[1]

        def run(x: Any, values: dict[str, Any]) -> Any:
            x = x.permute(0, 2, 3, 1) if x.ndim == 4 else x
            return F.linear(x.reshape(-1, w.shape[1]), w, bias)
    elif op.kind == "add":
        other = tensors[1].name

        def run(x: Any, values: dict[str, Any]) -> Any:
            return x + values[other]
    elif op.kind in ("avg_pool2d", "max_pool2d"):
        pad, even = _padding(graph, op, a["kernel"])
        if even != (0, 0):
            raise Unable("no padded pooling")
        pool = F.avg_pool2d if op.kind == "avg_pool2d" else F.max_pool2d

        def run(x: Any, values: dict[str, Any]) -> Any:
            return pool(x, a["kernel"], a["stride"])
    elif op.kind == "mean" and tuple(a["axes"]) == (1, 2) and len(tensors[0].shape) == 4:

        def run(x: Any, values: dict[str, Any]) -> Any:
            return x.mean((2, 3), keepdim=a["keepdims"])
    elif op.kind == "softmax" and a["beta"] == 1:

        def run(x: Any, values: dict[str, Any]) -> Any:
            return F.softmax(x, -1)
    elif op.kind == "reshape":
        shape = tuple(d or 1 for d in graph.tensors[y_name].shape)

        def run(x: Any, values: dict[str, Any]) -> Any:
            return (x.permute(0, 2, 3, 1) if x.ndim == 4 else x).reshape(shape)
    else:
        raise Unable(f"no {op.kind} for torch")

    def step_(values: dict[str, Any]) -> None:
        values[y_name] = rectified(run(values[x_name], values))

    return step_


def _padding(graph: Graph, op: Op, kernel: Any) -> tuple[list[int], tuple[int, int] | None]:
    """For F.pad, and as an argument of the op where both sides are alike."""
    x = graph.tensors[str(op.inputs[0])]
    size = int(x.shape[1] or 1), int(x.shape[2] or 1)
    dilation = op.attrs.get("dilation", (1, 1))
    (top, bottom), (left, right) = resolve_padding(op.attrs["padding"], size, kernel, op.attrs["stride"], dilation)
    return [left, right, top, bottom], (top, left) if top == bottom and left == right else None
