"""Scratch beyond what an op asks for, with which the kernels of an instruction set take it."""

from __future__ import annotations

import math

from .program import Program


def widen_scratch(program: Program, isa: str) -> None:
    """Gives the steps of a program as much scratch as the kernels of an ISA can use.

    rv32: conv2d_s8 holds the windows of four pixels, 8 bytes for each element of one, and a row of padding
    (csrc/kernels/rv32/conv2d_s8.c). With less it falls back to the portable kernel: the bits are the same.
    """
    for step in program.steps:
        if isa.startswith("rv32") and step.kind == "conv2d_s8" and step.inputs[1] is not None:
            _, *kernel, depth = program.values[step.inputs[1]].dims
            wished = 8 * math.prod(kernel) * depth + kernel[1] * depth
            step.scratch_bytes = max(step.scratch_bytes, wished)
