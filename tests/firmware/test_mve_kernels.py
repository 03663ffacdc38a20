"""The kernels of Cortex-M cores with integer vectors (MVE) on an emulated board: to the bit those of the host."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import pyedge as pe

from .conftest import COMPILERS, Build, need
from .test_rv32_kernels import GRAPHS, conv, depthwise, linear
from .wire import PYEDGE, READ, WRITE, Board, mps, store_elf

BOARD, STORE = "mps3-an547", 0x28000000
ENTRIES = 60  # of a plan
RNG = np.random.default_rng(13)


def add(
    shape: tuple[int, ...],
    b_shape: tuple[int, ...] | None = None,
    b_scale: float = 0.013,
    y_scale: float = 0.05,
    **attrs: str,
) -> pe.Graph:
    b = pe.GraphBuilder()
    x = b.input("x", shape, "int8", scale=0.04, zero_point=-7)
    other = b.constant(RNG.integers(-128, 128, b_shape or shape).astype(np.int8), scale=b_scale, zero_point=100)
    b.output("y", b.add(x, other, scale=y_scale, zero_point=5, **attrs))
    return b.build()


def twice(shape: tuple[int, ...]) -> pe.Graph:
    """Runs in place where the plan lets it: y is the memory of one of the operands."""
    b = pe.GraphBuilder()
    x = b.input("x", shape, "int8", scale=0.04, zero_point=-128)
    b.output("y", b.add(b.add(x, x, scale=0.07, zero_point=0), x, scale=0.1, zero_point=127))
    return b.build()


def pool(op: str, shape: tuple[int, ...], kernel: tuple[int, int], **attrs: object) -> pe.Graph:
    b = pe.GraphBuilder()
    x = b.input("x", shape, "int8", scale=0.05, zero_point=3)
    b.output("y", getattr(b, op)(x, kernel, **attrs))
    return b.build()


def random_graphs(count: int) -> dict[str, pe.Graph]:
    """Convolutions and depthwise of any sizes, strides, dilations and padding; scales whose factors reach 1."""

    def pair(choices: Sequence[int]) -> tuple[int, int]:
        first, second = RNG.choice(choices, 2)
        return int(first), int(second)

    graphs = {}
    for i in range(count):
        size, kernel = pair(range(1, 12)), pair(range(1, 6))
        stride, dilation = pair([1, 1, 2, 3]), pair([1, 1, 2, 3])
        before = tuple((k - 1) * d for k, d in zip(kernel, dilation, strict=True))
        attrs: dict[str, Any] = {"stride": stride, "dilation": dilation, "activation": [None, "relu", "relu6"][i % 3]}
        attrs["padding"] = tuple(zip(before, pair(range(4)), strict=True))
        depth = int(RNG.integers(1, 40))
        if i % 2:
            graphs[f"random {i}: depthwise"] = depthwise((1 + i % 3 // 2, *size, depth), kernel, **attrs)
        else:
            groups = 2 if i % 8 == 0 else 1
            attrs.update(groups=groups, y_scale=float(RNG.choice([0.5, 0.1, 0.002])))
            channels = groups * int(RNG.integers(1, 12))
            graphs[f"random {i}: conv"] = conv((1, *size, groups * depth), channels, kernel, **attrs)
    return graphs


MORE = {
    # k around the 16 of a step, few channels, rows that are no multiple of 3
    **{
        f"linear {m} {k} {n}": linear(m, k, n)
        for m, k, n in ((1, 15, 4), (2, 16, 5), (4, 17, 3), (7, 32, 2), (5, 33, 1))
    },
    "conv 1 channel": conv((1, 5, 6, 3), 1, (3, 3)),
    "conv 9 channels, 2 windows": conv((1, 1, 2, 19), 9, (2, 3)),
    # depthwise: channels around 16 and 4, blocks of taps, both ways of lying, several rows at a time
    **{f"depthwise {c} channels": depthwise((1, 5, 4, c), (3, 3)) for c in (1, 3, 4, 15, 16, 17, 40)},
    **{
        f"depthwise {h}x{w} taps": depthwise((1, 7, 9, 6), (h, w))
        for h, w in ((1, 1), (2, 3), (4, 4), (5, 5), (1, 9), (9, 2))
    },
    "depthwise, tall": depthwise((2, 21, 3, 20), (3, 2), stride=(1, 2)),
    "depthwise, wide": depthwise((1, 3, 40, 20), (2, 3), activation="relu"),
    "depthwise, one row": depthwise((1, 1, 30, 5), (1, 4)),
    "depthwise, mostly padding": depthwise((1, 2, 2, 5), (3, 3), padding=((5, 6), (7, 5))),
    "depthwise, far dilation": depthwise((1, 12, 9, 5), (2, 3), dilation=(7, 5), padding=((7, 3), (8, 2))),
    "depthwise, 17 blocks": depthwise((1, 6, 6, 3), (1, 65), padding=((0, 0), (32, 32))),
    "add": add((1, 3, 5, 7)),
    "add, relu": add((33,), activation="relu"),
    "add, one element": add((1,)),
    "add, larger scale second": add((5, 6), b_scale=0.3, y_scale=0.3),
    "add, one scale": add((2, 3, 5), b_scale=0.04),
    "add, factors above one": add((2, 9), y_scale=0.0001),
    "add, broadcast": add((2, 3, 4, 5), (1, 1, 1, 5)),
    "add, in place": twice((1, 4, 4, 9)),
    "avg": pool("avg_pool2d", (1, 8, 8, 18), (8, 8)),
    "avg, same": pool("avg_pool2d", (2, 7, 5, 3), (3, 2), stride=2, padding="same", activation="relu"),
    "avg, one": pool("avg_pool2d", (1, 3, 3, 5), (1, 1)),
    "avg, 5776": pool("avg_pool2d", (1, 77, 78, 2), (76, 76), stride=1),
    "avg, 5700": pool("avg_pool2d", (1, 77, 77, 2), (76, 75), stride=1),
    "max": pool("max_pool2d", (1, 6, 6, 33), (2, 2)),
    "max, same": pool("max_pool2d", (2, 5, 7, 17), (3, 3), stride=2, padding="same", activation="relu6"),
    **random_graphs(40),
}
ALL = {**GRAPHS, **MORE}


@pytest.mark.parametrize("compiler, target", [*((c, BOARD) for c in COMPILERS), ("clang", "host")])
def test_every_edge_has_the_bits_of_the_host_on_a_cortex_m55(
    build: Build, tmp_path: Path, compiler: str, target: str
) -> None:
    """The shapes of the rv32 kernels and more, by plans with and without the scratch that the kernels want."""
    need("qemu-system-arm")
    image = build(BOARD, compiler, PYEDGE_MARCH="cortex-m55")
    names = list(ALL)
    for first in range(0, len(names), ENTRIES):
        plan = pe.compile({name: ALL[name] for name in names[first : first + ENTRIES]}, board=target)
        session = pe.Session(plan)
        (tmp_path / "store").write_bytes(store_elf(bytes(plan.data), STORE))
        with Board(mps(BOARD, image, tmp_path / "store")) as board:
            assert board.ask(WRITE, PYEDGE, 8) is not None
            for number, name in enumerate(plan.entries):
                shape = [d or 1 for d in plan.entry(name).inputs[0].shape]
                for run, x in enumerate((RNG.integers(-128, 128, shape), np.full(shape, -128))):
                    expected = session.run([x.astype(np.int8)], entry=name)[0]
                    board.put(x.astype(np.int8).tobytes(), number)
                    board.ask(WRITE, PYEDGE, 4, {"e": number, "id": 2 * number + run + 1})
                    got = np.frombuffer(board.get(expected.nbytes, number), np.int8).reshape(expected.shape)
                    np.testing.assert_array_equal(got, expected, f"{name}, {target}")


def counts(build: Build, tmp_path: Path, graphs: dict[str, pe.Graph]) -> dict[str, int]:
    """Instructions of graphs of one op, by the board's counter, with the plan for it; inputs are zeros."""
    need("qemu-system-arm")
    plan = pe.compile(graphs, board=BOARD)
    (tmp_path / "store").write_bytes(store_elf(bytes(plan.data), STORE))
    found = {}
    with Board(mps(BOARD, build(BOARD, "clang", PYEDGE_MARCH="cortex-m55"), tmp_path / "store")) as board:
        board.ask(WRITE, PYEDGE, 8)
        for number, name in enumerate(graphs):
            board.put(bytes(plan.entry(name).inputs[0].bytes), number)
            board.ask(WRITE, PYEDGE, 4, {"e": number, "id": number + 1, "prof": True})
            profile = board.ask(READ, PYEDGE, 6, {"off": 0})
            assert profile is not None
            found[name] = profile["ops"][number]
    return found


@pytest.mark.parametrize(
    "graph, macs, most",
    [
        pytest.param(conv((1, 16, 16, 32), 32, (3, 3)), 256 * 32 * 288, 0.2, id="3x3"),
        pytest.param(conv((1, 8, 8, 64), 64, (1, 1)), 64 * 64 * 64, 0.24, id="1x1"),
        pytest.param(linear(1, 640, 128), 640 * 128, 0.2, id="linear"),
        pytest.param(depthwise((1, 25, 5, 64), (3, 3)), 125 * 64 * 9, 1.0, id="depthwise"),
        pytest.param(depthwise((1, 24, 24, 16), (3, 3), stride=2), 144 * 16 * 9, 1.2, id="depthwise, stride 2"),
        pytest.param(depthwise((1, 16, 16, 16), (5, 5)), 256 * 16 * 25, 1.1, id="depthwise 5x5"),
    ],
)
def test_a_plan_for_the_board_is_fast_there(
    build: Build, tmp_path: Path, graph: pe.Graph, macs: int, most: float
) -> None:
    """Instructions for each MAC of a whole op, of which the portable kernels take several times as many."""
    assert counts(build, tmp_path, {"main": graph})["main"] < most * macs


def test_the_counter_counts_each_instruction_once(build: Build, tmp_path: Path) -> None:
    """Of gemm_s8.S: 32 turns more of a loop of 10 instructions, for each of 32 blocks of channels."""
    found = counts(build, tmp_path, {"short": linear(1, 128, 128), "long": linear(1, 640, 128)})
    assert abs(found["long"] - found["short"] - 10 * 32 * 32) <= 2
