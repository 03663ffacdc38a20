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


@pytest.mark.parametrize(("channels", "size"), [(16, 32), (32, 16), (64, 8), (24, 13)])
def test_scratch_of_rv32_lies_where_nothing_lives_and_takes_little_more_arena(channels: int, size: int) -> None:
    """All scratch is apart from what lives at that step; the arena grows by the windows of eight pixels, and 1/16."""
    graph = residual(channels, size)
    here, board = pe.compile(graph), pe.compile(graph, board="virt-rv32")
    assert board.arena_bytes <= (here.arena_bytes + 16 + 9 * channels * 9) * 17 / 16
    assert board.scratch_bytes > here.scratch_bytes
    live = board.lifetimes()
    for i, op in enumerate(board.ops):
        end = op.scratch_offset + op.scratch_bytes
        for t in (lifetime.tensor for lifetime in live if lifetime.first <= i <= lifetime.last):
            assert op.scratch_bytes == 0 or t.offset + t.bytes <= op.scratch_offset or end <= t.offset, op.name


def test_an_arena_grows_for_speed_only_on_a_board_that_has_the_room(tmp_path: Path) -> None:
    """ResNet8's largest step, of 48 KiB of tensors: Winograd needs some KiB more than the windows of eight pixels do."""
    graph = residual(16, 32)
    grown = pe.compile(graph, board="virt-rv32")
    text = (Path(__file__).parents[2] / "boards" / "virt-rv32.toml").read_text()
    small = tmp_path / "small.toml"
    small.write_text(text.replace("size_bytes = 33554432", f"size_bytes = {grown.arena_bytes - 1}", 1))
    assert small.read_text() != text
    fits = pe.compile(graph, board=str(small))
    assert fits.arena_bytes < grown.arena_bytes
    assert [op.scratch_bytes for op in fits.ops] < [op.scratch_bytes for op in grown.ops]
    small.write_text(text.replace("size_bytes = 33554432", f"size_bytes = {fits.arena_bytes - 1}", 1))
    with pytest.raises(pe.PlanError, match="larger than the RAM"):
        pe.compile(graph, board=str(small))
