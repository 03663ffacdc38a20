"""What the cost of an op depends on: the numbers of its shapes, as rows of a table of costs."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..plan import Plan, structs
from ..plan.reader import PlanOp
from ..tensor import array_dtype

Shape = tuple[int, ...]

_FUNCTION_NAMES = {number: name for name, number in structs.FUNCTIONS.items()}


@dataclass(frozen=True)
class Row:
    """An op and its cost.

    kind: of plans, with the function where it has one: "conv2d_s8", "unary_f32 sqrt". kernel: the layer kernel that
    took it, "" for its ordinary code. sizes: what the cost depends on.
    """

    kind: str
    kernel: str
    sizes: dict[str, int]
    count: int = 0


def row_of(plan: Plan, op: PlanOp, kernel: str | None = None, dense: float = 1.0) -> Row:
    """The row of an op of a plan, without its cost.

    dense: the share of its first input's elements that are not 0; floats in software are faster on zeros.
    """

    def shape(number: int) -> Shape:
        return tuple(d or 1 for d in plan.tensors[number].shape)

    inputs = [() if i is None else shape(i) for i in op.inputs]
    sizes = _sizes(plan, op, inputs, shape(op.outputs[0]) if op.outputs else ())
    if op.kind.endswith("_f32"):
        sizes["dense"] = round(100 * dense)
    function = _FUNCTION_NAMES.get(op.params.get("function", -1))
    return Row(f"{op.kind} {function}" if function else op.kind, kernel or "", sizes)


def family(kind: str) -> str:
    """What kinds of the same sizes have in common, "" for the rest."""
    if "grad" in kind:
        return ""
    for name in ("conv2d", "depthwise", "linear", "strided_copy", "mean"):
        if kind.startswith(name):
            return name
    return "pool2d" if kind.startswith(("avg_pool2d", "max_pool2d", "avg_up_pool2d")) else ""


def _sizes(plan: Plan, op: PlanOp, inputs: list[Shape], y: Shape) -> dict[str, int]:
    x = inputs[0] if inputs else ()
    name = family(op.kind)
    if name == "conv2d":
        channels, kh, kw, depth = inputs[1]
        sizes = {"channels": channels, "depth": depth, "groups": op.params["groups"]}
        return {**_windows(op, x, y, kh, kw), **sizes, "scratch": op.scratch_bytes, "clip": _clips(op.params)}
    if name == "depthwise":
        kh, kw, channels = inputs[1]
        sizes = {"channels": channels, "depth": x[3], "scratch": op.scratch_bytes, "clip": _clips(op.params)}
        return {**_windows(op, x, y, kh, kw), **sizes}
    if name == "linear":
        return {"rows": math.prod(y[:-1]), "channels": y[-1], "depth": inputs[1][-1], "clip": _clips(op.params)}
    if name == "pool2d":
        return {**_windows(op, x, y, op.params["kernel_h"], op.params["kernel_w"]), "channels": y[3]}
    if name == "strided_copy":
        return _runs(op.params, array_dtype(plan.tensors[op.inputs[0] or 0].dtype).itemsize)
    sizes = {"elements": math.prod(y), "inputs": math.prod(x), "rows": math.prod(y[:-1]), "macs": op.macs}
    sizes["others"] = sum(math.prod(shape) for shape in inputs[1:])
    if "a_multiplier" in op.params:
        sizes["clip"] = _clips(op.params)
        sizes["alike"] = int(all(op.params[f"a_{name}"] == op.params[f"b_{name}"] for name in ("multiplier", "shift")))
    return sizes


def _runs(params: dict[str, Any], element_bytes: int) -> dict[str, int]:
    """whole: 1 if the elements of a run lie side by side. words: runs that begin at multiples of 4 bytes."""
    rank = params["rank"]
    n, strides = params["n"][:rank], [params[name][:rank] for name in ("x_stride", "y_stride")]
    at = np.array([[params["x_start"]], [params["y_start"]]]) * element_bytes % 4  # [x or y, run]
    for i, count in enumerate(n[:-1]):
        steps = np.array([stride[i] for stride in strides]) * element_bytes % 4
        at = ((at[:, :, None] + steps[:, None, None] * np.arange(count)) % 4).reshape(2, -1)
    return {
        "elements": math.prod(n),
        "runs": math.prod(n[:-1]),
        "bytes": element_bytes,
        "whole": int(all(stride[-1:] in ([], [1]) for stride in strides)),
        "words": int((at == 0).all(0).sum()),
    }


def _windows(op: PlanOp, x: Shape, y: Shape, kh: int, kw: int) -> dict[str, int]:
    p = op.params
    return {
        "images": x[0],
        "in_h": x[1],
        "in_w": x[2],
        "h": y[1],
        "w": y[2],
        "kh": kh,
        "kw": kw,
        "stride_h": p["stride_h"],
        "stride_w": p["stride_w"],
        "dilation_h": p.get("dilation_h", 1),
        "dilation_w": p.get("dilation_w", 1),
        "top": p["pad_top"],
        "left": p["pad_left"],
    }


def _clips(params: dict[str, Any]) -> int:
    """1 if the outputs of a layer are clipped, else 0."""
    codes = params.get("y_min", 0), params.get("y_max", 0)  # 0 and 0 in a layer of floats
    floats = params.get("f_min", -math.inf), params.get("f_max", math.inf)
    return int(floats != (-math.inf, math.inf) if codes == (0, 0) else codes != (-128, 127))
