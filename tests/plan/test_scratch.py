"""Scratch that kernels of an ISA are given beyond what an op asks for."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import pyedge as pe


def residual(channels: int, size: int) -> pe.Graph:
    """Two int8 convolutions 3x3 with a skip connection, after one, before a mean."""
    rng = np.random.default_rng(channels * size)
    b = pe.GraphBuilder()

    def conv(x: pe.Tensor, depth: int = channels) -> pe.Tensor:
        w = rng.normal(size=(channels, 3, 3, depth)).astype(np.float32) / 10
        return b.conv2d(x, w, np.zeros(channels, np.float32), padding="same", activation="relu")

    x = conv(b.input("x", (1, size, size, 8), "float32"), 8)
    y = b.add(x, conv(conv(x)))
    b.output("y", b.mean(y, axes=(1, 2)))
    return pe.quantize(b.build(), rng.normal(size=(4, size, size, 8)).astype(np.float32))


@pytest.mark.parametrize("target", ["virt-rv32", "virt-rv32-v"])
@pytest.mark.parametrize(("channels", "size"), [(16, 32), (32, 16), (64, 8), (24, 13)])
def test_scratch_of_rv32_lies_where_nothing_lives_and_takes_little_more_arena(
    channels: int, size: int, target: str
) -> None:
    """All scratch is apart from what lives at that step; the arena grows by the windows of eight pixels, and 1/16."""
    graph = residual(channels, size)
    here, board = pe.compile(graph), pe.compile(graph, board=target)
    assert board.arena_bytes <= (here.arena_bytes + 16 + 9 * channels * 9) * 17 / 16
    assert board.scratch_bytes > here.scratch_bytes
    live = board.lifetimes()
    for i, op in enumerate(board.ops):
        end = op.scratch_offset + op.scratch_bytes
        for t in (lifetime.tensor for lifetime in live if lifetime.first <= i <= lifetime.last):
            assert op.scratch_bytes == 0 or t.offset + t.bytes <= op.scratch_offset or end <= t.offset, op.name


@pytest.mark.parametrize("target", ["virt-rv32", "virt-rv32-v"])
def test_an_arena_grows_for_speed_only_on_a_board_that_has_the_room(tmp_path: Path, target: str) -> None:
    """ResNet8's largest step, of 48 KiB of tensors: Winograd and vectors need more than windows of eight pixels."""
    graph = residual(16, 32)
    grown = pe.compile(graph, board=target)
    text = (Path(__file__).parents[2] / "boards" / f"{target}.toml").read_text()
    small = tmp_path / "small.toml"
    small.write_text(text.replace("size_bytes = 33554432", f"size_bytes = {grown.arena_bytes - 1}", 1))
    assert small.read_text() != text
    fits = pe.compile(graph, board=str(small))
    assert fits.arena_bytes < grown.arena_bytes
    assert [op.scratch_bytes for op in fits.ops] < [op.scratch_bytes for op in grown.ops]
    small.write_text(text.replace("size_bytes = 33554432", f"size_bytes = {fits.arena_bytes - 1}", 1))
    assert pe.compile(graph, board=str(small)).arena_bytes < fits.arena_bytes  # in bands of rows


def test_vectors_have_whole_blocks_of_pixels_where_a_sixteenth_more_arena_gives_them() -> None:
    """1x1 as in DS-CNN: x and y leave room for windows of nine pixels, with which no vector kernel takes it."""
    rng = np.random.default_rng(2)
    b = pe.GraphBuilder()
    x = b.input("x", (1, 25, 5, 64), "float32")
    for name in ("a", "b"):
        x = b.conv2d(x, rng.normal(size=(64, 1, 1, 64)).astype(np.float32), np.zeros(64, np.float32), name=name)
    b.output("y", x)
    graph = pe.quantize(b.build(), rng.normal(size=(4, 25, 5, 64)).astype(np.float32))
    without = pe.compile(graph, board="virt-rv32").arena_bytes
    plan = pe.compile(graph, board="virt-rv32-v")
    assert [op.scratch_bytes // 64 for op in plan.ops if op.kind == "conv2d_s8"] == [25, 25]
    assert without < plan.arena_bytes <= without * 17 // 16


@pytest.mark.parametrize(("size", "channels"), [((25, 5), 64), ((48, 48), 8), ((6, 6), 57), ((3, 3), 25)])
@pytest.mark.parametrize("stride", [1, 2])
def test_scratch_of_cortex_m4_lies_where_nothing_lives(size: tuple[int, int], channels: int, stride: int) -> None:
    """Windows and planes of 16 bits; those of a depthwise take no more than 2 KiB of arena beyond its tensors."""
    rng = np.random.default_rng(channels)
    b = pe.GraphBuilder()
    x = b.input("x", (1, *size, channels), "float32")
    w = rng.normal(size=(3, 3, channels)).astype(np.float32)
    x = b.depthwise_conv2d(x, w, np.zeros(channels, np.float32), padding="same", stride=stride)
    w = rng.normal(size=(channels, 1, 1, channels)).astype(np.float32)
    b.output("y", b.conv2d(x, w, np.zeros(channels, np.float32)))
    graph = pe.quantize(b.build(), rng.normal(size=(4, *size, channels)).astype(np.float32))
    plan = pe.compile(graph, board="mps2-an386")
    depthwise, conv = plan.ops
    assert plan.arena_bytes <= plan.tensor_bytes() + max(2048, 24 * 50 * stride, conv.scratch_bytes)
    assert conv.scratch_bytes >= 8 * channels
    assert depthwise.scratch_bytes >= 8 * 3 * (4 * stride + 2)  # three rows of four outputs, of four channels
    for i, op in enumerate(plan.ops):
        end = op.scratch_offset + op.scratch_bytes
        for t in (life.tensor for life in plan.lifetimes() if life.first <= i <= life.last):
            assert t.offset + t.bytes <= op.scratch_offset or end <= t.offset, op.name
