"""Scratch of depthwise layers and convolutions in plans for a board with MVE."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import pyedge as pe

PLANES = 4096  # bytes that a depthwise layer may ask for


def separable(height: int, width: int, channels: int, kernel: tuple[int, int], **attrs: Any) -> pe.Graph:
    """A convolution 3x3, a depthwise layer, a mean."""
    rng = np.random.default_rng(height * width * channels)
    b = pe.GraphBuilder()
    x = b.input("x", (1, height, width, 3), "int8", scale=0.05, zero_point=1)

    def weights(*shape: int, axis: int) -> pe.Tensor:
        w = rng.integers(-127, 128, shape).astype(np.int8)
        return b.constant(w, scale=np.full(shape[axis], 0.01), axis=axis)

    zeros = np.zeros(channels, np.int32)
    h = b.conv2d(x, weights(channels, 3, 3, 3, axis=0), zeros, padding="same", scale=0.1, zero_point=-3)
    h = b.depthwise_conv2d(h, weights(*kernel, channels, axis=2), zeros, scale=0.1, zero_point=0, **attrs)
    b.output("y", b.mean(h, axes=(1, 2), scale=0.1, zero_point=0))
    return b.build()


@pytest.mark.parametrize(
    "graph",
    [
        separable(25, 5, 64, (3, 3), padding="same"),
        separable(48, 48, 8, (3, 3), padding="same", stride=2),
        separable(16, 12, 24, (5, 5), padding="valid"),
        separable(40, 40, 4, (2, 3), padding="valid", dilation=(9, 12)),
    ],
)
def test_scratch_of_mve_lies_where_nothing_lives_and_takes_little_more_arena(graph: pe.Graph) -> None:
    """Both layers get more than they must have; the arena grows by no more than the larger of what they ask for."""
    here, board = pe.compile(graph), pe.compile(graph, board="mps3-an547")
    assert board.arena_bytes <= here.arena_bytes + PLANES
    live = board.lifetimes()
    for i, (op, least) in enumerate(zip(board.ops, here.ops, strict=True)):
        if op.kind in ("conv2d_s8", "depthwise_s8"):
            assert op.scratch_bytes > least.scratch_bytes
        end = op.scratch_offset + op.scratch_bytes
        for t in (lifetime.tensor for lifetime in live if lifetime.first <= i <= lifetime.last):
            assert op.scratch_bytes == 0 or t.offset + t.bytes <= op.scratch_offset or end <= t.offset, op.name


def test_a_depthwise_layer_of_far_dilation_asks_for_no_more_than_others() -> None:
    """Its planes would be large: portable code takes it, in the scratch that any board gives."""
    graph = separable(4, 900, 4, (1, 2), padding="valid", dilation=(1, 800))
    here, board = pe.compile(graph), pe.compile(graph, board="mps3-an547")
    assert [op.scratch_bytes for op in board.ops if op.kind == "depthwise_s8"] <= [
        max(op.scratch_bytes, PLANES) for op in here.ops if op.kind == "depthwise_s8"
    ]
    assert board.arena_bytes <= here.arena_bytes + PLANES
