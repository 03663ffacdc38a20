"""Graphs of one op, for measuring kernels: shapes of real networks, and shapes around them."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..model.builder import GraphBuilder
from ..model.graph import Graph
from ..plan import Entry
from ..tensor import Tensor, array_dtype


@dataclass(frozen=True)
class SingleOp:
    """An op on an image [1, height, width, c], or on [height, c] for "linear".

    kind: of graphs: "conv2d", "depthwise_conv2d", "linear", "add", "avg_pool2d" ...
    c_out: of conv2d and linear; of depthwise_conv2d a multiple of c, or 0 for c; else 0.
    kernel, stride: of windows. padding: "same" or "valid".
    dtype: "int8", "float32", or "float16" for float32 with weights of float16.
    activation: of conv2d, depthwise_conv2d, linear and add, as in graphs. groups, dilation: of conv2d.
    scale: of the second operand of add, sub and mul in int8; the first has 0.02.
    broadcast: the second operand of add, sub, mul and div has one pixel.
    """

    kind: str
    height: int
    width: int
    c: int
    c_out: int = 0
    kernel: tuple[int, int] = (1, 1)
    stride: int = 1
    dtype: str = "int8"
    padding: str = "same"
    activation: str | None = None
    groups: int = 1
    dilation: int = 1
    scale: float = 0.02
    broadcast: bool = False

    @property
    def name(self) -> str:
        """Unique among all that differ: "conv2d 3x3/2 16-32 32x32 int8"."""
        window = f" {self.kernel[0]}x{self.kernel[1]}" if self.kernel != (1, 1) or self.kind == "conv2d" else ""
        stride = f"/{self.stride}" if self.stride > 1 else ""
        channels = f"{self.c}-{self.c_out}" if self.c_out else str(self.c)
        size = f" {self.height}x{self.width}"
        if self.kind == "linear":
            size = f" {self.height} rows" if self.height > 1 else ""
        rest = " valid" if self.padding == "valid" else ""
        rest += f" {self.activation}" if self.activation else ""
        rest += f" of {self.groups} groups" if self.groups > 1 else ""
        rest += f" dilated by {self.dilation}" if self.dilation > 1 else ""
        rest += f" scale {self.scale:g}" if self.scale != 0.02 else ""
        rest += " one pixel" if self.broadcast else ""
        return f"{self.kind}{window}{stride} {channels}{size} {self.dtype}{rest}"

    def graph(self, seed: int = 0) -> Graph:
        """The op with random constants; x is its input, y its output."""
        rng = np.random.default_rng(seed)
        b = GraphBuilder(self.name)
        shape = (self.height, self.c) if self.kind == "linear" else (1, self.height, self.width, self.c)
        x = input_tensor(b, "x", shape, self.dtype)
        kh, kw = self.kernel
        result: dict[str, Any] = {"activation": self.activation, **result_scale(self.dtype)}
        where = {"stride": self.stride, "padding": self.padding, **result}
        if self.kind == "conv2d":
            w, bias = weights(b, rng, (self.c_out, kh, kw, self.c // self.groups), 0, self.dtype)
            y = b.conv2d(x, w, bias, groups=self.groups, dilation=self.dilation, **where)
        elif self.kind == "depthwise_conv2d":
            w, bias = weights(b, rng, (kh, kw, self.c_out or self.c), 2, self.dtype)
            y = b.depthwise_conv2d(x, w, bias, **where)
        elif self.kind == "linear":
            w, bias = weights(b, rng, (self.c_out, self.c), 0, self.dtype)
            y = b.linear(x, w, bias, **result)
        elif self.kind in ("add", "sub", "mul", "div"):
            one = (1, 1, 1, self.c)
            other = input_tensor(b, "x2", one if self.broadcast else shape, self.dtype, self.scale)
            y = b.op(self.kind, x, other, **(result if self.kind == "add" else result_scale(self.dtype)))[0]
        elif self.kind in ("avg_pool2d", "max_pool2d"):
            y = getattr(b, self.kind)(x, self.kernel, stride=self.stride, padding=self.padding)
        elif self.kind == "mean":
            y = b.mean(x, (1, 2))
        elif self.kind == "softmax":
            y = b.softmax(x)
        elif self.kind == "quantize":
            y = b.quantize(x, **result_scale("int8"))
        elif self.kind == "dequantize":
            y = b.dequantize(x)
        elif self.kind == "concat":
            y = b.op("concat", x, input_tensor(b, "x2", shape, self.dtype), axis=3)[0]
        elif self.kind == "pad":
            y = b.op("pad", x, None, pads=((0, 0), (1, 1), (1, 1), (0, 0)), mode="constant")[0]
        elif self.kind == "transpose":
            y = b.op("transpose", x, perm=(0, 3, 1, 2))[0]
        else:
            y = b.op(self.kind, x)[0]
        b.output("y", y)
        return b.build()


def input_tensor(b: GraphBuilder, name: str, shape: tuple[int, ...], dtype: str, scale: float = 0.02) -> Tensor:
    """An input of a builder; the scale of int8 is that of activations between -2.6 and 2.6."""
    return b.input(name, shape, dtype, scale, 3) if dtype == "int8" else b.input(name, shape, "float32")


def random_inputs(entry: Entry, seed: int = 0, rectified: bool = True) -> list[np.ndarray[Any, Any]]:
    """Arrays for an entry's inputs: codes of all values; floats of spread 1, as activations are.

    What soft floats cost depends on the values. rectified: the negative ones are 0.
    """
    rng = np.random.default_rng(seed)
    arrays: list[np.ndarray[Any, Any]] = []
    for t in entry.inputs:
        dtype, shape = array_dtype(t.dtype), tuple(d or 1 for d in t.shape)
        if dtype.kind in "iu":
            limits = np.iinfo(dtype)
            arrays.append(rng.integers(limits.min, limits.max, shape, dtype, endpoint=True))
        else:
            values = rng.standard_normal(shape)
            arrays.append((np.maximum(values, 0) if rectified else values).astype(dtype))
    return arrays


def result_scale(dtype: str) -> dict[str, Any]:
    """Scale and zero point for the result of an op on input_tensor and weights; none for floats."""
    return {"scale": 0.05, "zero_point": -4} if dtype == "int8" else {}


def weights(
    b: GraphBuilder, rng: np.random.Generator, shape: tuple[int, ...], axis: int, dtype: str
) -> tuple[Tensor, Tensor]:
    """Random weights and bias, their channels along `axis`; sums of products have a spread of about 1."""
    n = shape[axis]
    k = math.prod(shape) // n
    if dtype != "int8":
        w = rng.standard_normal(shape) / math.sqrt(k)
        return b.constant(w.astype(array_dtype(dtype))), b.constant((rng.standard_normal(n) / 10).astype(np.float32))
    scales = ((0.5 + rng.random(n)) / (74 * math.sqrt(k))).astype(np.float32)
    codes = rng.integers(-127, 128, shape, np.int8)
    return b.constant(codes, scale=scales, axis=axis), b.constant(rng.integers(-2000, 2000, n, np.int32))


def mlperf_tiny_layers(dtype: str = "int8") -> Iterator[SingleOp]:
    """Layers of the four MLPerf Tiny networks: image classification, keyword spotting, visual wake words, anomalies."""

    def conv(side: tuple[int, int], c: int, c_out: int, kernel: tuple[int, int] = (1, 1), stride: int = 1) -> SingleOp:
        return SingleOp("conv2d", *side, c, c_out, kernel, stride, dtype)

    def depthwise(side: tuple[int, int], c: int, stride: int = 1) -> SingleOp:
        return SingleOp("depthwise_conv2d", *side, c, 0, (3, 3), stride, dtype)

    yield conv((32, 32), 3, 16, (3, 3))
    yield conv((32, 32), 16, 16, (3, 3))
    yield conv((32, 32), 16, 32, (3, 3), 2)
    yield conv((8, 8), 64, 64, (3, 3))
    yield conv((16, 16), 32, 64, (1, 1), 2)
    yield conv((49, 10), 1, 64, (10, 4), 2)
    yield conv((25, 5), 64, 64)
    yield depthwise((25, 5), 64)
    yield conv((96, 96), 3, 8, (3, 3), 2)
    yield depthwise((48, 48), 8)
    yield conv((48, 48), 8, 16)
    yield depthwise((48, 48), 16, 2)
    yield conv((24, 24), 16, 32)
    yield depthwise((6, 6), 128)
    yield conv((6, 6), 128, 128)
    yield conv((3, 3), 256, 256)
    yield SingleOp("linear", 1, 1, 64, 12, dtype=dtype)
    yield SingleOp("linear", 1, 1, 640, 128, dtype=dtype)
    yield SingleOp("linear", 1, 1, 128, 128, dtype=dtype)
    yield SingleOp("add", 32, 32, 16, dtype=dtype)
    yield SingleOp("avg_pool2d", 8, 8, 64, 0, (8, 8), 8, dtype, "valid")
    yield SingleOp("mean", 6, 6, 128, dtype=dtype)
    yield SingleOp("softmax", 1, 1, 12, dtype=dtype)
