"""Scratch beyond what an op asks for, with which the kernels of an instruction set take it; else slower ones do."""

from __future__ import annotations

import math
import re
from collections.abc import Callable

from . import structs
from .arena import align
from .lifetimes import Layout, free_room
from .program import Program, Step

SPARE = 1 / 16  # how much larger an arena may be for the sake of speed
_RVV_ROWS = 4  # windows that a tile of csrc/kernels/rvv/gemm_f32.c and csrc/kernels/zvfh takes
_PLANES = 2048  # bytes of planes of depthwise layers that a plan gives in any case
_MVE_PLANES = 4096  # the same with MVE
_WINOGRAD_WEIGHTS = 16384  # bytes of transformed weights that lie in scratch at a time


def ask_scratch(program: Program, isa: str) -> None:
    """Gives ops the scratch without which the kernels of an ISA do not take them: on rv32, the windows of 8 pixels.

    With vectors, convolutions of floats as many windows as a tile has rows.
    """
    if "+mve" in isa:
        _ask_mve(program)
    if isa == "armv7e-m":
        _ask_armv7em(program)
    if not isa.startswith("rv32"):
        return
    for step in _convolutions(program):
        _, kh, kw, depth = _dims(program, step)
        step.scratch_bytes = max(step.scratch_bytes, 8 * kh * kw * depth + kw * depth)
    if "_zvl" in isa:
        for step in program.steps:
            x = step.inputs[0]
            if step.kind in ("conv2d_f32", "conv2d_f16") and step.scratch_bytes and x is not None:
                element = 4 if program.values[x].dtype == "float32" else 2
                window = math.prod(_dims(program, step)[1:]) * element
                step.scratch_bytes = max(step.scratch_bytes, _RVV_ROWS * window)


def fill_room(program: Program, layout: Layout, arena_bytes: int, isa: str, spare: float = 0) -> None:
    """Gives them more where the arena has the room anyway, for kernels that are faster with it, of the same bits.

    arena_bytes: what the plan takes, for the largest of its entries. spare: by what part of it the arena may grow, for
    kernels of rv32: to the least that Winograd asks for, to whole vectors of pixels.
    """
    if "+mve" in isa:
        _fill_planes(program, layout, arena_bytes, _mve_depthwise)
    if isa == "armv7e-m":
        _fill_planes(program, layout, arena_bytes, _armv7em_planes)
    if not isa.startswith("rv32"):
        return
    vectors = re.search(r"_zvl(\d+)b", isa)
    vlen = int(vectors[1]) if vectors else 0

    def use(step: Step, room: int) -> int:
        return _rvv_pixels(program, step, room, vlen) if vlen else _rv32_winograd(program, step, room)

    most = int(arena_bytes * (1 + spare))
    arena_bytes = _grown(program, layout, arena_bytes, most, lambda step, room: use(step, room if vlen else 0))
    if vlen:
        _fill_windows(program, layout, arena_bytes, vlen)
    for i, (offset, room) in enumerate(free_room(program, layout, arena_bytes)):
        step = program.steps[i]
        if step.kind == "conv2d_s8" and step.inputs[1] is not None and step.scratch_bytes < use(step, room) <= room:
            step.scratch_bytes, layout.scratch[i] = use(step, room), offset
            layout.arena_bytes = max(layout.arena_bytes, align(offset + step.scratch_bytes))


def _grown(program: Program, layout: Layout, arena_bytes: int, most: int, wanted: Callable[[Step, int], int]) -> int:
    """The arena with which convolutions have what they want of `most` bytes, wherever those give it to them.

    wanted: of a room of so many bytes. Winograd: the least that it asks for; vectors: as many pixels as fit.
    """
    rooms = zip(free_room(program, layout, arena_bytes), free_room(program, layout, most), strict=True)
    grown = arena_bytes
    for step, ((_, room), (offset, most_room)) in zip(program.steps, rooms, strict=True):
        if step.kind != "conv2d_s8" or step.inputs[1] is None:
            continue
        if room < (use := wanted(step, most_room)) <= most_room:
            grown = max(grown, align(offset + use))
    return grown


def _ask_armv7em(program: Program) -> None:
    """csrc/kernels/armv7em: four windows as words, and a row of padding or their bytes; a row of weights as words."""
    for step in program.steps:
        use = _armv7em_planes(program, step, _PLANES) if step.kind == "depthwise_s8" else 0
        if step.kind in ("conv2d_s8", "linear_s8") and step.inputs[1] is not None:
            if not program.values[step.inputs[1]].layout:
                continue
            channels, *taps, depth = _dims(program, step)
            window = math.prod(taps) * depth
            use = 2 * window
            if taps:
                in_bytes = align(4 * window, 4) if depth % 4 else taps[1] * depth
                use = 8 * window + in_bytes + channels % 2 * 2 * window
        step.scratch_bytes = max(step.scratch_bytes, use)


def _armv7em_planes(program: Program, step: Step, room: int) -> int:
    """csrc/kernels/armv7em/depthwise_s8.c: planes of four channels, of as many rows as fit but of three at least.

    0: not a case that it takes.
    """
    if step.inputs[1] is None or step.inputs[0] is None:
        return 0
    p = structs.unpack_params(step.kind, step.params)
    height, width = program.values[step.outputs[0]].dims[1:3]
    plain = p["dilation_h"] == p["dilation_w"] == 1 and _dims(program, step)[:2] == (3, 3)
    if not plain or program.values[step.inputs[0]].dims[3] < 4:
        return 0
    rows, columns = height, width
    down, along = int(p["stride_h"]), int(p["stride_w"])
    if along > 2 or (down <= 2 and width * -(-height // 4) < height * -(-width // 4)):
        rows, columns, down, along = width, height, along, down
    if along > 2:
        return 0
    row_bytes = 8 * (-(-columns // 4) * 4 * along + 2)
    band = min(rows, max(1, (room // row_bytes - 3) // down + 1))
    return row_bytes * ((band - 1) * down + 3)


def _ask_mve(program: Program) -> None:
    """csrc/kernels/mve: the windows of 3 pixels, where they are copied at all; some windows of a depthwise."""
    for step in program.steps:
        if step.kind == "conv2d_s8" and step.scratch_bytes and step.inputs[1] is not None:
            step.scratch_bytes = max(step.scratch_bytes, 3 * math.prod(_dims(program, step)[1:]))
        elif step.kind == "depthwise_s8":
            step.scratch_bytes = max(step.scratch_bytes, _mve_depthwise(program, step, _MVE_PLANES))


def _fill_planes(
    program: Program, layout: Layout, arena_bytes: int, planes: Callable[[Program, Step, int], int]
) -> None:
    """More of a depthwise at a time. planes: the bytes that a kernel uses of a room."""
    for i, (offset, room) in enumerate(free_room(program, layout, arena_bytes)):
        step = program.steps[i]
        if step.kind == "depthwise_s8" and step.scratch_bytes < (use := planes(program, step, room)) <= room:
            step.scratch_bytes, layout.scratch[i] = use, offset


def _mve_depthwise(program: Program, step: Step, room: int) -> int:
    """csrc/kernels/mve/depthwise_s8.c: planes of the rows that windows cover, weights, sums.

    For as many windows as there is room for; 0: none, or not a case that it takes.
    """
    if step.inputs[1] is None or step.inputs[0] is None:
        return 0
    x, w, y = (program.values[v].dims for v in (step.inputs[0], step.inputs[1], step.outputs[0]))
    if x[3] != w[2]:
        return 0
    p = structs.unpack_params(step.kind, step.params)
    sides = [(y[1], w[0], p["stride_h"], p["dilation_h"]), (y[2], w[1], p["stride_w"], p["dilation_w"])]
    (height, rows, down, apart), (width, taps, stride, dilation) = sides if y[1] <= y[2] else reversed(sides)
    passes = min(5 - rows if rows < 4 and down == apart == 1 else 1, height)
    groups, blocks = -(-rows // 4), -(-taps // 4)
    weights = max(256 * passes * groups * blocks, 64 * (4 * blocks - taps) * dilation)
    fixed, each = 64 * groups * ((taps - 1) * dilation + 1 - stride) + weights, 64 * groups * stride + 16
    windows = min(width, (room - fixed) // each)
    return fixed + each * windows if windows > 0 else 0


def _fill_windows(program: Program, layout: Layout, arena_bytes: int, vlen: int) -> None:
    """csrc/kernels/zvfh/gemm_fast16.c: windows for a vector of pixels, where channels do not fill one."""
    lanes = 4 * vlen // 16
    for i, (offset, room) in enumerate(free_room(program, layout, arena_bytes)):
        step = program.steps[i]
        if step.kind != "conv2d_f16" or not step.scratch_bytes or step.inputs[0] is None or step.inputs[1] is None:
            continue
        channels, kh, kw, depth = _dims(program, step)
        p = structs.unpack_params(step.kind, step.params)
        window = kh * kw * depth * (4 if program.values[step.inputs[0]].dtype == "float32" else 2)
        use = lanes * window
        few = p["rounding"] == structs.MODES["fast16"] and channels // p["groups"] < lanes
        if few and step.scratch_bytes < use <= room:
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
    """csrc/kernels/rv32/winograd_s8.c: a row of four tiles, its products; four channels' weights and sums or more.

    At least what it needs, however little room there is; 0: not a case that it takes.
    """
    channels, kh, kw, depth = _dims(program, step)
    _, height, width, _ = program.values[step.outputs[0]].dims
    p = structs.unpack_params(step.kind, step.params)
    plain = all(p[name] == 1 for name in ("stride_h", "stride_w", "dilation_h", "dilation_w", "groups"))
    if not (plain and (kh, kw) == (3, 3) and depth % 8 == 0 and 16 <= depth <= 1024 and channels % 4 == 0):
        return 0
    if (height + 1) // 2 * ((width + 1) // 2) < 8:
        return 0
    fixed = depth + 2 * 4 * 4 * depth + 4 * 4 * 4 * 4
    weights = 2 * 4 * 4 * 4 * depth
    quad = weights + 4 * 4 * 4 * 4
    quads = min(channels // 4, max(1, _WINOGRAD_WEIGHTS // weights), max(1, (room - fixed) // quad))
    return fixed + quads * quad
