"""The rv32 kernels on an emulated board against the host: every edge of their tiles, to the bit."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import pyedge as pe

from .conftest import COMPILERS, Build, need
from .wire import PYEDGE, READ, WRITE, Board, virt

RNG = np.random.default_rng(11)


def weights(b: pe.GraphBuilder, *shape: int, axis: int = 0) -> pe.Tensor:
    """All codes, -128 in runs among them, and a scale for each channel."""
    w = RNG.integers(-128, 128, shape).astype(np.int8)
    w.reshape(-1)[: w.size // 4] = -128
    return b.constant(w, scale=RNG.uniform(0.001, 0.02, shape[axis]), axis=axis)


def bias(channels: int) -> np.ndarray:
    return RNG.integers(-30000, 30000, channels).astype(np.int32)


def conv(
    x: tuple[int, ...],
    channels: int,
    kernel: tuple[int, int],
    *,
    groups: int = 1,
    y_scale: float = 0.5,
    zero_point: int = -3,
    **attrs: Any,
) -> pe.Graph:
    b = pe.GraphBuilder()
    h = b.input("x", x, "int8", scale=0.05, zero_point=9)
    w = weights(b, channels, *kernel, x[3] // groups)
    b.output("y", b.conv2d(h, w, bias(channels), groups=groups, scale=y_scale, zero_point=zero_point, **attrs))
    return b.build()


def depthwise(x: tuple[int, ...], kernel: tuple[int, int], *, multiplier: int = 1, **attrs: Any) -> pe.Graph:
    b = pe.GraphBuilder()
    h = b.input("x", x, "int8", scale=0.05, zero_point=-128)
    w = weights(b, *kernel, x[3] * multiplier, axis=2)
    b.output("y", b.depthwise_conv2d(h, w, bias(x[3] * multiplier), scale=0.2, zero_point=127, **attrs))
    return b.build()


def linear(m: int, k: int, n: int, y_scale: float = 0.5) -> pe.Graph:
    b = pe.GraphBuilder()
    h = b.input("x", (m, k), "int8", scale=0.05, zero_point=1)
    b.output("y", b.linear(h, weights(b, n, k), bias(n), scale=y_scale, zero_point=-128))
    return b.build()


WIDE = conv((1, 32, 32, 32), 32, (1, 1))  # an entry with larger tensors gives others room for scratch in the arena
GRAPHS = {
    "wide": WIDE,
    # channels, pixels and k that are no multiples of the tile
    "1x1": conv((1, 3, 3, 8), 8, (1, 1)),
    "1x1, five channels, odd k": conv((2, 2, 3, 5), 5, (1, 1)),
    "k 1": conv((1, 2, 2, 1), 4, (1, 1)),
    "k 2": conv((1, 1, 7, 2), 6, (1, 1), activation="relu6"),
    "k 3": conv((1, 5, 1, 3), 7, (1, 1), activation="relu"),
    "3x3 same": conv((1, 6, 7, 3), 9, (3, 3)),
    "3x3 wide": conv((1, 4, 12, 4), 4, (3, 3), zero_point=127),
    "3x3 stride 2": conv((1, 7, 9, 6), 10, (3, 3), stride=2, zero_point=-128),
    "10x4 valid": conv((1, 12, 6, 1), 11, (10, 4), padding="valid"),
    "dilated": conv((1, 9, 8, 2), 8, (3, 2), dilation=(2, 3), padding=((2, 1), (3, 3))),
    "groups": conv((1, 4, 5, 12), 15, (2, 2), groups=3),
    "all padding": conv((1, 2, 2, 3), 5, (3, 3), padding=((4, 4), (4, 4))),
    "lone pixel": conv((2, 3, 3, 16), 13, (1, 1)),
    "lone pixel, stride 2": conv((1, 5, 5, 9), 16, (1, 1), stride=2, padding="valid", groups=1),
    # Winograd: tiles that reach beyond the image, fewer than four, two parts of the channels
    "winograd": conv((1, 8, 8, 16), 16, (3, 3)),
    "winograd, odd sides": conv((2, 5, 7, 24), 20, (3, 3), activation="relu6"),
    "winograd, valid": conv((1, 8, 7, 16), 4, (3, 3), padding="valid"),
    "winograd, one row": conv((1, 1, 17, 16), 8, (3, 3), zero_point=127),
    "winograd, wide padding": conv((1, 4, 3, 16), 8, (3, 3), padding=((3, 2), (0, 3))),
    "no winograd: too few tiles": conv((1, 3, 4, 16), 4, (3, 3)),
    "no winograd: depth": conv((1, 7, 7, 20), 8, (3, 3)),
    # cases for the portable kernel
    "three channels": conv((1, 4, 4, 3), 3, (3, 3)),
    "three pixels": conv((1, 1, 3, 8), 8, (1, 1)),
    "factors near one": conv((1, 3, 3, 4), 8, (1, 1), y_scale=0.002),
    "depthwise": depthwise((1, 6, 5, 7), (3, 3)),
    "depthwise, one column": depthwise((2, 4, 1, 3), (3, 3)),
    "depthwise, two columns": depthwise((1, 1, 2, 3), (3, 3), activation="relu"),
    "depthwise, three and four": depthwise((1, 3, 4, 2), (3, 3), padding="valid"),
    "depthwise stride 2": depthwise((1, 9, 8, 5), (3, 3), stride=2),
    "depthwise stride 2, odd": depthwise((1, 5, 3, 4), (3, 3), stride=2, padding="valid"),
    "depthwise strides": depthwise((1, 8, 9, 3), (3, 3), stride=(1, 2), multiplier=2),
    "depthwise stride 3": depthwise((1, 9, 9, 3), (3, 3), stride=3),
    "depthwise dilated": depthwise((1, 9, 9, 3), (3, 3), dilation=2),
    "depthwise 5x5": depthwise((1, 6, 6, 3), (5, 5)),
    "linear 12": linear(1, 16, 12),
    "linear 8": linear(2, 1, 8),
    "linear 9": linear(1, 15, 9),
    "linear 12 and 8": linear(3, 17, 20),
    "linear 12 and 1": linear(1, 33, 25),
    "linear 12 and 11": linear(1, 40, 35),
    "linear 7": linear(1, 20, 7),
    "linear, factors near one": linear(1, 20, 12, 0.002),
}
# For rv32 alone: a plan has 64 entries at most, which these and those of vectors would exceed.
ONE_PIXEL = {
    "one pixel": conv((2, 1, 1, 16), 13, (1, 1)),
    "one pixel, groups": conv((1, 1, 1, 6), 18, (1, 1), groups=2),
}


@pytest.mark.parametrize("compiler", COMPILERS)
def test_every_edge_has_the_bits_of_the_host(build: Build, compiler: str) -> None:
    need("qemu-system-riscv32")
    plan = pe.compile({**GRAPHS, **ONE_PIXEL}, board="virt-rv32")
    session = pe.Session(plan)
    with Board(virt(build("virt-rv32", compiler))) as board:
        assert board.upload(PYEDGE, bytes(plan.data)) == {"off": len(plan.data), "match": True}
        for number, name in enumerate(plan.entries):
            shape = plan.entry(name).inputs[0].shape
            for run, x in enumerate((RNG.integers(-128, 128, shape), np.full(shape, -128))):
                expected = session.run([x.astype(np.int8)], entry=name)[0]
                board.put(x.astype(np.int8).tobytes(), number)
                board.ask(WRITE, PYEDGE, 4, {"e": number, "id": 2 * number + run + 1})
                np.testing.assert_array_equal(
                    np.frombuffer(board.get(expected.nbytes, number), np.int8).reshape(expected.shape), expected, name
                )


@pytest.mark.parametrize("stride, most", [(1, 2.0), (2, 2.8)])
def test_a_plan_for_the_board_gives_convolutions_the_scratch_that_makes_them_fast(
    build: Build, stride: int, most: float
) -> None:
    """Instructions for each MAC of the whole op, by the board's counter: Winograd, pairs, and the portable kernel."""
    need("qemu-system-riscv32")
    graphs = {"main": conv((1, 16, 16, 32), 32, (3, 3), stride=stride), "wide": WIDE}
    counts = {}
    with Board(virt(build("virt-rv32", "clang"))) as board:
        for number, target in enumerate(("virt-rv32", "host")):
            plan = pe.compile(graphs, board=target)
            board.upload(PYEDGE, bytes(plan.data))
            board.put(bytes(plan.inputs[0].bytes))
            board.ask(WRITE, PYEDGE, 4, {"e": 0, "id": number + 1, "prof": True})
            profile = board.ask(READ, PYEDGE, 6, {"off": 0})
            assert profile is not None
            counts[target] = profile["ops"][0] / plan.ops[0].macs
    assert counts["virt-rv32"] < most < 3 < counts["host"]
