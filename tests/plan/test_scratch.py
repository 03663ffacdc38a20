"""Scratch that a plan gives beyond what its ops ask for."""

from __future__ import annotations

import numpy as np
import pytest

import pyedge as pe


def convolution(depth: int, channels: int, side: int = 8) -> pe.Graph:
    rng = np.random.default_rng(3)
    b = pe.GraphBuilder()
    x = b.input("x", (1, side, side, depth), "int8", scale=0.1)
    w = b.constant(rng.integers(-127, 128, (channels, 3, 3, depth)).astype(np.int8), scale=0.01)
    b.output("y", b.conv2d(x, w, scale=0.5))
    return b.build()


@pytest.mark.parametrize("depth, channels", [(3, 8), (16, 16), (24, 20), (64, 256)])
def test_plans_for_rv32_boards_have_more(depth: int, channels: int) -> None:
    """Windows of four pixels, and tiles of Winograd's; the result is the same."""
    graph = convolution(depth, channels)
    small, large = pe.compile(graph), pe.compile(graph, board="virt-rv32")
    assert small.scratch_bytes <= 2048
    assert large.scratch_bytes >= 8 * 9 * depth + 3 * depth
    x = np.random.default_rng(4).integers(-128, 128, small.inputs[0].shape).astype(np.int8)
    np.testing.assert_array_equal(pe.Session(small)(x), pe.Session(large)(x))


def test_a_board_with_little_ram_gives_what_is_asked_for() -> None:
    graph = convolution(16, 16, 10)
    assert pe.compile(graph, board="sifive-e").arena_bytes == pe.compile(graph).arena_bytes
