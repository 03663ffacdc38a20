"""Scratch beyond what an op asks for, with which the kernels of an instruction set take it."""

from __future__ import annotations

import math
import re

from . import structs
from .program import Program, Step

_WINOGRAD_WEIGHTS = 16384  # bytes of transformed weights that lie in scratch at a time


def widen_scratch(program: Program, isa: str) -> None:
    """Gives the steps of a program as much scratch as the kernels of an ISA can use.

    With less they fall back to slower ones of the same bits, so the numbers below only have to be large enough.
    """
    if not isa.startswith("rv32"):
        return
    vectors = re.search(r"_zvl(\d+)b", isa)
    for step in program.steps:
        if step.kind == "conv2d_s8" and step.inputs[1] is not None:
            wish = _rvv_conv2d_s8(program, step, int(vectors[1])) if vectors else _rv32_conv2d_s8(program, step)
            step.scratch_bytes = max(step.scratch_bytes, wish)


def _rvv_conv2d_s8(program: Program, step: Step, vlen: int) -> int:
    """csrc/kernels/rvv/conv2d_s8.c: the windows of as many pixels as eight vector registers hold words."""
    assert step.inputs[1] is not None
    _, kh, kw, depth = program.values[step.inputs[1]].dims
    _, height, width, _ = program.values[step.outputs[0]].dims
    return math.prod((kh, kw, depth, min(8 * vlen // 32, height * width)))


def _rv32_conv2d_s8(program: Program, step: Step) -> int:
    """csrc/kernels/rv32: conv2d_s8.c holds the windows of four pixels as words and a row of padding; winograd_s8.c four
    tiles of x, their products, a tile with its padding, and the weights of some channels."""
    assert step.inputs[1] is not None
    channels, kh, kw, depth = program.values[step.inputs[1]].dims
    windows = 8 * kh * kw * depth + kw * depth
    p = structs.unpack_params(step.kind, step.params)
    plain = all(p[name] == 1 for name in ("stride_h", "stride_w", "dilation_h", "dilation_w", "groups"))
    if not (plain and (kh, kw) == (3, 3) and depth % 8 == 0 and 16 <= depth <= 1024 and channels % 4 == 0):
        return windows
    quad = 2 * 16 * 4 * depth
    weights = quad * min(max(2, channels // 4), max(2, _WINOGRAD_WEIGHTS // quad))
    winograd = 16 * depth + quad + 4 * 16 * 4 * 4 + weights
    return max(windows, winograd)
