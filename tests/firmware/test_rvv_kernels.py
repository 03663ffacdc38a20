"""The RISC-V vector kernels on the emulated board against the host, to the bit, whatever the length of a vector."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import pyedge as pe

from .conftest import Build, need
from .test_rv32_kernels import GRAPHS, WIDE, conv, depthwise, linear
from .wire import PYEDGE, READ, WRITE, Board, virt

MARCH = "rv32imafc_zve32f_zvl128b"
RNG = np.random.default_rng(12)


def floats(*shape: int) -> np.ndarray:
    """Over many magnitudes, zeros of both signs among them."""
    x = (RNG.standard_normal(shape) * 2.0 ** RNG.integers(-12, 12, shape)).astype(np.float32)
    x[RNG.random(shape) < 0.1] = 0
    return np.where(RNG.random(shape) < 0.5, -x, x)


def conv_f32(x: tuple[int, ...], channels: int, kernel: tuple[int, int], bias: bool, **attrs: Any) -> pe.Graph:
    b = pe.GraphBuilder()
    w = floats(channels, *kernel, x[3] // attrs.get("groups", 1))
    b.output("y", b.conv2d(b.input("x", x, "float32"), w, floats(channels) if bias else None, **attrs))
    return b.build()


def depthwise_f32(x: tuple[int, ...], kernel: tuple[int, int], **attrs: Any) -> pe.Graph:
    b = pe.GraphBuilder()
    h = b.input("x", x, "float32")
    b.output("y", b.depthwise_conv2d(h, floats(*kernel, x[3]), floats(x[3]), **attrs))
    return b.build()


def linear_f32(m: int, k: int, n: int) -> pe.Graph:
    b = pe.GraphBuilder()
    b.output("y", b.linear(b.input("x", (m, k), "float32"), floats(n, k), floats(n), activation="relu6"))
    return b.build()


MORE = {
    # blocks of pixels that begin and end within a row, and more pixels or channels than the longest vector has elements
    "13 pixels": conv((1, 1, 13, 3), 4, (1, 1)),
    "5 wide, same": conv((2, 25, 5, 4), 7, (3, 3)),
    "5 wide, stride 2": conv((1, 33, 10, 3), 6, (10, 4), stride=2),
    "150 pixels": conv((1, 10, 15, 6), 3, (1, 1), activation="relu"),
    "far dilation": conv((1, 16, 9, 2), 5, (3, 2), dilation=(5, 7), padding=((5, 5), (7, 0))),
    "two groups": conv((1, 12, 7, 6), 8, (3, 3), groups=2, stride=(1, 2)),
    "mostly padding": conv((1, 3, 3, 2), 5, (3, 3), padding=((6, 6), (6, 6))),
    "factors near one, many pixels": conv((1, 6, 6, 4), 8, (1, 1), y_scale=0.002),
    "depthwise, 150 channels": depthwise((1, 4, 5, 150), (3, 3)),
    "depthwise, 5x5 of 40": depthwise((2, 7, 6, 40), (5, 5), stride=2),
    "depthwise, taps beyond x": depthwise((1, 2, 3, 9), (5, 7)),
    "depthwise dilated, 70": depthwise((1, 9, 9, 70), (3, 4), dilation=(2, 3)),
    "linear 1 x 300 x 70": linear(1, 300, 70),
    "linear 3 x 33 x 129": linear(3, 33, 129, 0.002),
    "conv f32": conv_f32((1, 5, 6, 3), 9, (3, 3), True, stride=2),
    "conv f32, 70 channels": conv_f32((1, 3, 3, 5), 70, (1, 1), False, activation="relu"),
    "conv f32, groups": conv_f32((2, 4, 4, 6), 4, (2, 2), True, groups=2),
    "depthwise f32": depthwise_f32((1, 6, 7, 3), (3, 3), activation="relu6"),
    "depthwise f32, 70 wide": depthwise_f32((1, 3, 70, 2), (3, 3), stride=2, dilation=1),
    "linear f32": linear_f32(1, 17, 70),
    "linear f32, 6 rows": linear_f32(6, 9, 5),
}


@pytest.mark.parametrize("compiler, vlen", [("clang", 128), ("clang", 256), ("clang", 512), ("zig", 128), ("gcc", 128)])
def test_every_edge_has_the_bits_of_the_host(build: Build, compiler: str, vlen: int) -> None:
    """GCC 12 has no vector intrinsics: its image for the same board has the kernels of a core without."""
    need("qemu-system-riscv32")
    plan = pe.compile({**GRAPHS, **MORE}, board="virt-rv32-v")
    session = pe.Session(plan)
    image = build("virt-rv32", compiler, PYEDGE_MARCH=MARCH)
    with Board(virt(image, cpu=f"rv32,v=true,vlen={vlen}")) as board:
        hello = board.ask(READ, PYEDGE, 0)
        assert hello is not None and hello["board"] == "virt-rv32-v"
        assert board.upload(PYEDGE, bytes(plan.data)) == {"off": len(plan.data), "match": True}
        for number, name in enumerate(plan.entries):
            (x_tensor,) = plan.entry(name).inputs
            shape = x_tensor.shape
            feeds = [floats(*shape)] if x_tensor.dtype == "float32" else [RNG.integers(-128, 128, shape, dtype=np.int8),
                                                                         np.full(shape, -128, np.int8)]  # fmt: skip
            for run, x in enumerate(feeds):
                expected = session.run([x], entry=name)[0]
                board.put(x.tobytes(), number)
                board.ask(WRITE, PYEDGE, 4, {"e": number, "id": 2 * number + run + 1})
                actual = np.frombuffer(board.get(expected.nbytes, number), np.uint8)
                np.testing.assert_array_equal(actual, expected.reshape(-1).view(np.uint8), name)


def test_a_plan_for_the_board_is_computed_with_vectors(build: Build) -> None:
    """Instructions for each MAC of whole ops, by the board's counter."""
    need("qemu-system-riscv32")
    limits = {"conv": (conv((1, 8, 8, 64), 64, (3, 3)), 0.18), "depthwise": (depthwise((1, 25, 5, 64), (3, 3)), 0.85),
              "linear": (linear(1, 640, 128), 0.27)}  # fmt: skip
    plan = pe.compile({**{name: graph for name, (graph, _) in limits.items()}, "wide": WIDE}, board="virt-rv32-v")
    with Board(virt(build("virt-rv32", "clang", PYEDGE_MARCH=MARCH), cpu="rv32,v=true,vlen=128")) as board:
        board.upload(PYEDGE, bytes(plan.data))
        for number, (name, (_, limit)) in enumerate(limits.items()):
            entry = plan.entry(name)
            board.put(bytes(entry.inputs[0].bytes), number)
            board.ask(WRITE, PYEDGE, 4, {"e": number, "id": number + 1, "prof": True})
            profile = board.ask(READ, PYEDGE, 6, {"off": 0})
            assert profile is not None
            assert sum(profile["ops"]) / sum(op.macs for op in entry.ops) < limit, name
