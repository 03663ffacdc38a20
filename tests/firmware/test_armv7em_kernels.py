"""The kernels of Cortex-M cores with DSP on an emulated board: at every edge of their tiles the bits of the host."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import pyedge as pe
from pyedge import _core
from pyedge.plan import structs

from .conftest import COMPILERS, Build, need
from .test_rv32_kernels import GRAPHS, RNG
from .wire import PYEDGE, WRITE, Board, mps, store_elf

STORE = 0x20000000


def weights(*shape: int, axis: int = 0) -> np.ndarray:
    """Codes that mix: -128 only in the first row of a pair. The largest sums that there are, too."""
    w = RNG.integers(-127, 128, shape).astype(np.int8)
    rows = np.moveaxis(w, axis, 0)
    rows[: len(rows) // 2] = -127
    rows[0] = -128
    return w


def layer(
    x: tuple[int, ...],
    w: np.ndarray,
    *,
    channel_axis: int = 0,
    y_scale: Any = 1.0,
    zero_points: tuple[int, int] = (9, -3),
    bias: int = 30000,
    clamp: str | None = None,
    **attrs: Any,
) -> pe.Graph:
    """A layer by weights of four axes (conv2d), three (depthwise) or two; y_scale: the steps of y in those of x."""
    channels = w.shape[channel_axis]
    b = pe.GraphBuilder()
    h = b.input("x", x, "int8", scale=0.05, zero_point=zero_points[0])
    constant = b.constant(w, scale=RNG.uniform(0.005, 0.01, channels), axis=channel_axis)
    biases = RNG.integers(-bias, bias + 1, channels).astype(np.int32)
    layer = {4: b.conv2d, 3: b.depthwise_conv2d, 2: b.linear}[w.ndim]
    attrs |= {"scale": 0.05 * y_scale, "zero_point": zero_points[1]}
    b.output("y", layer(h, constant, biases, activation=clamp, **attrs))
    return b.build()


def conv(x: tuple[int, ...], channels: int, kernel: tuple[int, int], *, groups: int = 1, **options: Any) -> pe.Graph:
    return layer(x, weights(channels, *kernel, x[3] // groups), groups=groups, **options)


def linear(m: int, k: int, n: int, **options: Any) -> pe.Graph:
    return layer((m, k), weights(n, k), **options)


def depthwise(x: tuple[int, ...], kernel: tuple[int, int] = (3, 3), *, multiplier: int = 1, **options: Any) -> pe.Graph:
    return layer(x, weights(*kernel, x[3] * multiplier, axis=2), channel_axis=2, **options)


def add(
    a: tuple[int, ...], b: tuple[int, ...], scales: tuple[float, float], y_scale: float = 0.1, clamp: str | None = None
) -> pe.Graph:
    """An addition of an input and a constant."""
    builder = pe.GraphBuilder()
    x = builder.input("x", a, "int8", scale=scales[0], zero_point=-7)
    other = builder.constant(RNG.integers(-128, 128, b).astype(np.int8), scale=scales[1], zero_point=21)
    builder.output("y", builder.add(x, other, scale=y_scale, zero_point=3, activation=clamp))
    return builder.build()


MIXED = {
    "add": add((1, 3, 3, 5), (1, 3, 3, 5), (0.02, 0.07)),
    "add, the first is larger": add((1, 16), (1, 16), (0.08, 0.03)),
    "add, of one scale": add((1, 7), (1, 7), (0.05, 0.05)),
    "add, three": add((1, 3), (1, 3), (0.05, 0.0001)),
    "add, spread": add((1, 4, 4, 6), (1, 1, 1, 6), (0.05, 0.03)),
    "add, large steps": add((1, 20), (1, 20), (0.09, 0.03), 100.0),
    "add, small steps": add((1, 20), (1, 20), (0.09, 0.03), 0.00001),
    "add, clamped": add((1, 20), (1, 20), (0.09, 0.03), 0.1, "relu6"),
    "1x1": conv((1, 5, 5, 8), 6, (1, 1)),
    "1x1, k 2, one channel": conv((2, 2, 3, 2), 1, (1, 1)),
    "1x1, odd": conv((1, 4, 4, 7), 5, (1, 1)),
    "1x1, stride 2": conv((1, 7, 5, 12), 4, (1, 1), stride=2),
    "one pixel": conv((1, 1, 1, 20), 9, (1, 1)),
    "three pixels": conv((2, 1, 3, 6), 4, (1, 1)),
    "a window is one run": conv((1, 1, 30, 5), 4, (1, 6), stride=(1, 2), padding="valid"),
    "3x3, words": conv((1, 6, 7, 8), 10, (3, 3), padding="same"),
    "3x3, bytes": conv((1, 6, 7, 3), 9, (3, 3), padding="same"),
    "3x3, bytes, stride 2": conv((1, 9, 9, 3), 8, (3, 3), padding="same", stride=2),
    "10x4": conv((1, 15, 9, 1), 6, (10, 4), padding="same", stride=2),
    "dilated words": conv((1, 9, 9, 4), 4, (3, 2), dilation=(2, 3), padding="same"),
    "dilated bytes": conv((1, 9, 9, 2), 4, (3, 2), dilation=(2, 3), padding="same"),
    "wide padding": conv((1, 2, 3, 4), 4, (3, 3), padding=((4, 3), (2, 5))),
    "groups": conv((1, 5, 4, 8), 12, (3, 3), groups=2, padding="same"),
    "groups, bytes": conv((1, 5, 4, 9), 6, (2, 2), groups=3, padding="same"),
    "odd groups": conv((1, 5, 4, 8), 6, (3, 3), groups=2, padding="same"),
    "k 448": conv((1, 2, 2, 448), 4, (1, 1), bias=2**30, y_scale=20),
    "k 452": conv((1, 2, 2, 452), 4, (1, 1), y_scale=20),
    "k 963": conv((1, 2, 2, 963), 3, (1, 1), y_scale=20),
    "k 1152": conv((1, 4, 4, 128), 4, (3, 3), y_scale=20, padding="same"),
    "factors near one": conv((1, 3, 3, 4), 7, (1, 1), y_scale=0.01, bias=100),
    "factors above one": conv((1, 3, 3, 4), 7, (1, 1), y_scale=0.004, bias=10),
    "small factors": conv((1, 3, 3, 4), 7, (1, 1), y_scale=1e6, bias=2**31 - 1),
    "clamped": conv((1, 3, 3, 4), 7, (1, 1), y_scale=0.5, clamp="relu6"),
    "depthwise, tall": depthwise((1, 13, 5, 8), padding="same"),
    "depthwise, wide": depthwise((2, 5, 11, 6), padding="same"),
    "depthwise, five channels": depthwise((1, 6, 6, 5), padding="same"),
    "depthwise, stride 2": depthwise((1, 9, 13, 8), padding="same", stride=2),
    "depthwise, tall, stride 2": depthwise((1, 14, 5, 7), padding=((0, 1), (1, 1)), stride=2),
    "depthwise, stride 1 and 2": depthwise((1, 9, 9, 4), padding="same", stride=(1, 2)),
    "depthwise, stride 3 and 1": depthwise((1, 9, 9, 4), padding="same", stride=(3, 1)),
    "depthwise, stride 2 and 3": depthwise((1, 9, 9, 4), padding="same", stride=(2, 3)),
    "depthwise, one window": depthwise((1, 3, 3, 4)),
    "depthwise, wide padding": depthwise((1, 2, 3, 4), padding=((4, 3), (2, 5))),
    "depthwise, rows by some": depthwise((1, 40, 90, 4), padding="same"),
    "depthwise, two of each": depthwise((1, 5, 5, 6), padding="same", multiplier=2),
    "depthwise, clamped": depthwise((1, 5, 6, 4), y_scale=0.1, clamp="relu6"),
    "depthwise, factors near one": depthwise((1, 5, 6, 4), y_scale=0.01, bias=100),
    "linear": linear(1, 32, 8),
    "linear, rows": linear(3, 17, 10),
    "linear, k 1": linear(2, 1, 5),
    "linear, k 3": linear(1, 3, 4),
    "linear, three rows": linear(1, 12, 3),
    "linear, k 640": linear(1, 640, 8, y_scale=20),
    "linear, k 1463": linear(1, 1463, 5, y_scale=20),
    "linear, factors near one": linear(1, 20, 8, y_scale=0.01, bias=100),
    "linear, small factors": linear(1, 20, 8, y_scale=1e6, bias=2**31 - 1),
    "linear, clamped": linear(1, 20, 8, clamp="relu"),
}


def test_weights_that_do_not_mix_stay_as_they_are() -> None:
    """-128 beside a number below 0: 256 * -128 - 1 is no int16. Also a group's odd last row has no pair."""
    w = np.array([[-1, 2], [-128, 3]], np.int8).reshape(2, 1, 1, 2)
    for name, graph in {"-128": layer((1, 2, 2, 2), w), "odd": MIXED["odd groups"]}.items():
        assert pe.compile(graph, board="mps2-an386").data[16] == 0, name
    assert pe.compile(layer((1, 2, 2, 2), w[::-1].copy()), board="mps2-an386").data[16] == 1


def without_scratch(plan: pe.Plan) -> bytes:
    """The plan with the scratch that no op asks for taken away. It must be of ops that ask for none."""
    image = np.frombuffer(plan.data, np.uint8).copy()
    header = np.frombuffer(plan.data, structs.record_dtype("pe_plan_header"), 1)[0]
    start, size = (int(header["ops"][name]) for name in ("offset", "bytes"))
    image[start : start + size].view(structs.record_dtype("pe_op"))["scratch_bytes"] = 0
    image[12:16] = np.frombuffer(_core.crc32(image[16:].tobytes()).to_bytes(4, "little"), np.uint8)
    return image.tobytes()


def compare(image: Path, plan: pe.Plan, data: bytes, store: Path) -> None:
    """Runs each entry on the board, from data, and here."""
    session = pe.Session(plan)
    store.write_bytes(store_elf(data, STORE))
    with Board(mps("mps2-an386", image, store)) as board:
        assert board.ask(WRITE, PYEDGE, 8) is not None
        for number, name in enumerate(plan.entries):
            shape = [d or 1 for d in plan.entry(name).inputs[0].shape]
            for run, x in enumerate((RNG.integers(-128, 128, shape), np.full(shape, -128))):
                expected = session.run([x.astype(np.int8)], entry=name)[0]
                board.put(x.astype(np.int8).tobytes(), number)
                board.ask(WRITE, PYEDGE, 4, {"e": number, "id": 2 * number + run + 1})
                got = np.frombuffer(board.get(expected.nbytes, number), np.int8).reshape(expected.shape)
                np.testing.assert_array_equal(got, expected, name)


@pytest.mark.parametrize("graphs", ["of rv32", "mixed rows"])
@pytest.mark.parametrize("compiler", COMPILERS)
def test_every_edge_has_the_bits_of_the_host_on_a_cortex_m4(
    build: Build, tmp_path: Path, compiler: str, graphs: str
) -> None:
    """The shapes of the rv32 kernels, most with weights that do not mix; then those that the packed kernels take."""
    need("qemu-system-arm")
    plan = pe.compile(GRAPHS if graphs == "of rv32" else MIXED, board="mps2-an386")
    image = build("mps2-an386", compiler, PYEDGE_MARCH="cortex-m4f")
    compare(image, plan, bytes(plan.data), tmp_path / "store")


def test_mixed_rows_need_no_scratch(build: Build, tmp_path: Path) -> None:
    """A plan may give what ops ask for and no more."""
    need("qemu-system-arm")
    names = ("1x1", "1x1, odd", "1x1, stride 2", "a window is one run", "k 963", "linear, rows", "linear, k 1463")
    plan = pe.compile({name: MIXED[name] for name in names}, board="mps2-an386")
    image = build("mps2-an386", "clang", PYEDGE_MARCH="cortex-m4f")
    compare(image, plan, without_scratch(plan), tmp_path / "store")
