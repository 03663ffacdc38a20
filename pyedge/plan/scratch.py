"""Scratch beyond what an op asks for, with which the kernels of an instruction set take it; else slower ones do."""

from __future__ import annotations

import math
import re

from . import structs
from .lifetimes import Layout, free_room
from .program import Program, Step

_WINOGRAD_WEIGHTS = 16384  # bytes of transformed weights that lie in scratch at a time


def ask_scratch(program: Program, isa: str) -> None:
    """Gives convolutions the scratch without which the kernels of an ISA do not take them: the windows of 8 pixels."""
    if not isa.startswith("rv32"):
        return
    for step in _convolutions(program):
        _, kh, kw, depth = _dims(program, step)
        step.scratch_bytes = max(step.scratch_bytes, 8 * kh * kw * depth + kw * depth)


def fill_room(program: Program, layout: Layout, arena_bytes: int, isa: str) -> None:
    """Gives them more where the arena has the room anyway, for kernels that are faster with it, of the same bits.

    arena_bytes: what the plan takes, for the largest of its entries.
    """
    if not isa.startswith("rv32"):
        return
    vectors = re.search(r"_zvl(\d+)b", isa)
    rooms = free_room(program, layout, arena_bytes)
    for i, step in enumerate(program.steps):
        offset, room = rooms[i]
        if step.kind != "conv2d_s8" or step.inputs[1] is None:
            continue
        use = _rvv_pixels(program, step, room, int(vectors[1])) if vectors else _rv32_winograd(program, step, room)
        if step.scratch_bytes < use <= room:
            step.scratch_bytes, layout.scratch[i] = use, offset


def _convolutions(program: Program) -> list[Step]:
    return [s for s in program.steps if s.kind == "conv2d_s8" and s.inputs[1] is not None]


def _dims(program: Program, step: Step) -> tuple[int, ...]:
    """Of a convolution's weights: channels, kh, kw, depth."""
    assert step.inputs[1] is not None
    return program.values[step.inputs[1]].dims


def _rvv_pixels(program: Program, step: Step, room: int, vlen: int) -> int:
    """csrc/kernels/rvv/conv2d_s8.c: the windows of as many pixels as eight vector registers hold words."""
    window = math.prod(_dims(program, step)[1:])
    _, height, width, _ = program.values[step.outputs[0]].dims
    return window * min(8 * vlen // 32, height * width, room // window)


def _rv32_winograd(program: Program, step: Step, room: int) -> int:
    """csrc/kernels/rv32/winograd_s8.c: four tiles of x, their products, a padded tile, some channels' weights."""
    channels, kh, kw, depth = _dims(program, step)
    p = structs.unpack_params(step.kind, step.params)
    plain = all(p[name] == 1 for name in ("stride_h", "stride_w", "dilation_h", "dilation_w", "groups"))
    if not (plain and (kh, kw) == (3, 3) and depth % 8 == 0 and 16 <= depth <= 1024 and channels % 4 == 0):
        return 0
    quad = 2 * 16 * 4 * depth
    fixed = 16 * depth + quad + 4 * 16 * 4 * 4
    quads = min(max(2, channels // 4), max(2, _WINOGRAD_WEIGHTS // quad), (room - fixed) // quad)
    return fixed + quads * quad if quads >= 2 else 0
