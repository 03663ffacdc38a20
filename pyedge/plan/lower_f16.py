"""Lowerings of the kinds of model/ops_f16.py."""

from __future__ import annotations

from ..model.graph import Op
from .lower import Builder, lowers
from .lower_conv import lower_conv2d, lower_linear


@lowers("conv2d_f16", "depthwise_conv2d_f16")
def _conv2d(b: Builder, op: Op) -> None:
    kind = "depthwise_f16" if op.kind.startswith("depthwise") else "conv2d_f16"
    lower_conv2d(b, op, kind, rounding=b.mode)


@lowers("linear_f16")
def _linear(b: Builder, op: Op) -> None:
    lower_linear(b, op, "linear_f16", rounding=b.mode)
