"""What the cost of an op depends on: numbers of its shapes, and the terms of which its kernel's loops are made."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..plan import Plan
from ..plan.reader import PlanOp

Shape = tuple[int, ...]


@dataclass(frozen=True)
class Row:
    """An op and its cost.

    kernel: the layer kernel that took it, "" for its ordinary code. sizes: what the cost depends on.
    """

    kind: str
    kernel: str
    sizes: dict[str, int]
    count: int = 0


def row_of(plan: Plan, op: PlanOp, kernel: str | None = None, count: int = 0) -> Row:
    """The row of an op of a plan."""

    def shape(number: int) -> Shape:
        return tuple(d or 1 for d in plan.tensors[number].shape)

    inputs = [() if i is None else shape(i) for i in op.inputs]
    return Row(op.kind, kernel or "", _sizes(op, inputs, shape(op.outputs[0]) if op.outputs else ()), count)


def _family(kind: str) -> str:
    for family in ("conv2d", "depthwise", "linear", "strided_copy"):
        if kind.startswith(family):
            return family
    return "pool2d" if kind.startswith(("avg_pool2d", "max_pool2d", "avg_up_pool2d")) else ""


def _sizes(op: PlanOp, inputs: list[Shape], y: Shape) -> dict[str, int]:
    x = inputs[0] if inputs else ()
    family = _family(op.kind)
    if family == "conv2d":
        channels, kh, kw, depth = inputs[1]
        return {**_windows(op, x, y, kh, kw), "depth": depth, "channels": channels, "scratch": op.scratch_bytes}
    if family == "depthwise":
        kh, kw, channels = inputs[1]
        sizes = {"channels": channels, "multiplier": channels // x[3], "scratch": op.scratch_bytes}
        return {**_windows(op, x, y, kh, kw), **sizes}
    if family == "linear":
        return {"rows": math.prod(y[:-1]), "channels": y[-1], "depth": inputs[1][-1]}
    if family == "pool2d":
        return {**_windows(op, x, y, op.params["kernel_h"], op.params["kernel_w"]), "channels": y[3]}
    if family == "strided_copy":
        n = op.params["n"][: op.params["rank"]]
        return {"elements": math.prod(n), "runs": math.prod(n[:-1])}
    others = sum(math.prod(shape) for shape in inputs[1:])
    return {
        "elements": math.prod(y),
        "inputs": math.prod(x),
        "others": others,
        "rows": math.prod(y[:-1]),
        "macs": op.macs,
    }


def _windows(op: PlanOp, x: Shape, y: Shape, kh: int, kw: int) -> dict[str, int]:
    """inside: taps that lie in the image, of all windows."""

    def inside(size: int, outputs: int, taps: int, axis: str, before: int) -> int:
        step, dilation = op.params[f"stride_{axis}"], op.params.get(f"dilation_{axis}", 1)
        at = np.arange(outputs)[:, None] * step - before + np.arange(taps) * dilation
        return int(((at >= 0) & (at < size)).sum())

    high = inside(x[1], y[1], kh, "h", op.params["pad_top"])
    wide = inside(x[2], y[2], kw, "w", op.params["pad_left"])
    return {
        "pixels": y[0] * y[1] * y[2],
        "rows": y[0] * y[1],
        "taps": kh * kw,
        "inside": y[0] * high * wide,
        "stride": op.params["stride_h"] * op.params["stride_w"],
    }


def terms(row: Row) -> list[float]:
    """How often each part of the loops runs; the cost is a sum of them, each with a coefficient >= 0."""
    s, family = row.sizes, _family(row.kind)
    if family == "conv2d":
        pixels, channels, k = s["pixels"], s["channels"], s["taps"] * s["depth"]
        return [
            pixels * k * channels,
            s["inside"] * s["depth"] * channels,  # soft floats cost less on the zeros of padding
            pixels * k,  # gathered
            pixels * channels,  # rounded and stored
            k * channels,  # weights packed at run time
            pixels * k * (channels % 4),  # what is left of a tile
            (pixels % 4) * k * channels,
            pixels,
            channels,
            s["rows"],
            1,
        ]
    if family == "depthwise":
        pixels, channels, taps = s["pixels"], s["channels"], s["taps"]
        outputs = pixels * channels
        return [
            outputs * taps,
            s["inside"] * channels,
            outputs,
            s["rows"] * channels,
            channels * taps,
            channels,
            pixels,
            1,
        ]
    if family == "linear":
        rows, channels, k = s["rows"], s["channels"], s["depth"]
        return [rows * channels * k, rows * (channels % 4) * k, rows * channels, rows * k, 1]
    if family == "pool2d":
        return [s["inside"] * s["channels"], s["pixels"] * s["channels"], s["inside"], s["pixels"], 1]
    if family == "strided_copy":
        return [s["elements"], s["runs"], 1]
    return [s["elements"], s["inputs"], s["others"], s["rows"], s["macs"], 1]


def variables(row: Row, names: Sequence[str]) -> list[float]:
    """What may decide which way a kernel takes: the sizes of these names, ratios and remainders of them."""
    s, family = row.sizes, _family(row.kind)
    found = [float(s[name]) for name in names]
    if family == "conv2d":
        found += [
            s["scratch"] / (s["taps"] * s["depth"]),
            s["depth"] % 4 > 0,
            s["depth"] % 8 > 0,
            s["channels"] % 4 > 0,
        ]
    elif family in ("depthwise", "linear"):
        found.append(s["channels"] % 4 > 0)
    elif family == "strided_copy":
        found.append(s["elements"] / s["runs"])
    return found
