"""Layers in turns by bands of rows: the same bytes as whole layers, in a smaller arena."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from plan_graphs import random_graph

import pyedge as pe
from pyedge.boards import load_profile
from pyedge.plan import compile as compile_module
from pyedge.plan.bands import in_bands
from pyedge.plan.lifetimes import live_bytes
from pyedge.plan.lower import lower


def chain(seed: int, dtype: str) -> pe.Graph:
    """Layers of windows of every kind, stride, dilation and padding, one after the other, some with a second reader."""
    rng = np.random.default_rng(seed)
    b = pe.GraphBuilder(f"chain{seed}")
    quant: dict[str, Any] = {"scale": 0.1, "zero_point": 3} if dtype == "int8" else {}
    h = b.input("x", (1, int(rng.integers(9, 40)), 16, 4), dtype, **quant)
    earlier = h

    def weight(*shape: int) -> Any:
        if dtype == "int8":
            return b.constant(rng.integers(-127, 128, shape, dtype=np.int8), scale=0.01)
        return rng.normal(size=shape).astype(np.float32) / 4

    for _ in range(6):
        kind = int(rng.integers(5))
        _, height, width, c = h.shape
        taps = int(rng.integers(1, 5)), int(rng.integers(1, 4))
        dilation = int(rng.integers(1, 3)), 1
        same = bool(rng.integers(2)) or height < 12 or width < 4
        edges = ((int(rng.integers(3)), int(rng.integers(3))), (0, 1))
        options: dict[str, Any] = {
            "stride": (int(rng.integers(1, 4)) if height > 8 else 1, 1),
            "padding": "same" if same else edges if rng.integers(2) else "valid",
        }
        if kind <= 1:
            h = b.conv2d(h, weight(int(rng.choice([4, 8, 16])), *taps, c), dilation=dilation, **options, **quant)
        elif kind == 2:
            h = b.depthwise_conv2d(h, weight(*taps, c), dilation=dilation, **options, **quant)
        elif kind == 3:
            h = getattr(b, ["avg_pool2d", "max_pool2d"][int(rng.integers(2))])(h, (3, 2), **options)
        elif h.shape == earlier.shape and h is not earlier:
            h = b.add(h, earlier, **quant)
        earlier = h if rng.integers(3) == 0 else earlier
    b.output("y", b.relu(h))
    return b.build()


def outputs(plan: pe.Plan, seed: int) -> list[bytes]:
    rng = np.random.default_rng(seed)
    feeds = [
        rng.integers(-128, 128, t.shape, dtype=np.int8) if t.dtype == "int8" else rng.normal(size=t.shape)
        for t in plan.inputs
    ]
    feeds = [x.astype(t.dtype) for x, t in zip(feeds, plan.inputs, strict=True)]
    return [y.tobytes() for y in pe.Session(plan).run(feeds)]


@pytest.mark.parametrize("dtype", ["int8", "float32"])
def test_random_chains_have_the_same_bytes(dtype: str) -> None:
    """And never a larger arena; in a good part a smaller one."""
    smaller = 0
    for seed in range(150):
        graph = chain(seed, dtype)
        whole, bands = pe.compile(graph), pe.compile(graph, low_memory=True)
        assert outputs(bands, seed) == outputs(whole, seed), seed
        assert bands.live_bytes() <= whole.live_bytes(), seed
        assert bands.macs == whole.macs, seed
        smaller += bands.arena_bytes < whole.arena_bytes
    assert smaller > 40


def test_graphs_with_branches_and_several_readers_keep_their_bytes() -> None:
    for seed in range(60):
        graph = random_graph(seed)
        assert outputs(pe.compile(graph, low_memory=True), seed) == outputs(pe.compile(graph), seed), seed


def test_a_step_behind_a_branch_is_still_its_target() -> None:
    """The layers in the arms are split, so the targets move."""
    rng = np.random.default_rng(3)
    b = pe.GraphBuilder()
    x = b.input("x", (1, 32, 16, 4))

    def arm(inner: pe.GraphBuilder, channels: int) -> pe.Tensor:
        h = inner.conv2d(x, rng.normal(size=(channels, 3, 3, 4)))
        h = inner.conv2d(h, rng.normal(size=(2, 3, 3, channels)), stride=2)
        return inner.relu(h)

    b.output("y", b.cond(b.any_ge(x, 2.5), lambda g: arm(g, 16), lambda g: arm(g, 24))[0])
    graph = b.build()
    whole, bands = pe.compile(graph), pe.compile(graph, low_memory=True)
    assert bands.arena_bytes < 0.8 * whole.arena_bytes
    for value in (0.0, 3.0):
        feed = np.full((1, 32, 16, 4), value, np.float32)
        assert pe.Session(bands).run([feed])[0].tobytes() == pe.Session(whole).run([feed])[0].tobytes()


def test_the_largest_live_set_is_what_falls() -> None:
    """Two convolutions: input, output and a few rows, instead of the tensor between."""
    b = pe.GraphBuilder()
    h = b.conv2d(b.input("x", (1, 64, 16, 1)), np.ones((16, 3, 3, 1), np.float32))
    b.output("y", b.conv2d(h, np.ones((1, 3, 3, 16), np.float32)))
    program = lower(b.build(), "main", "tflite", None, "exact")
    assert max(live_bytes(program)) == 4 * 64 * 16 * (16 + 1)
    row = 4 * 16 * 16
    assert max(live_bytes(in_bands(program))) <= 2 * 4 * 64 * 16 + 8 * row


def test_codes_become_floats_a_band_of_rows_at_a_time() -> None:
    """Layers of floats behind an int8 part: the floats between are never whole. And codes behind floats."""
    rng = np.random.default_rng(1)
    b = pe.GraphBuilder()
    x = b.input("x", (1, 48, 16, 4), "int8", scale=0.1, zero_point=3)
    h = b.conv2d(b.op("dequantize", x)[0], rng.normal(size=(2, 3, 3, 4)).astype(np.float32))
    b.output("y", b.max_pool2d(h, 2, padding="same"))
    graph = b.build()
    whole, bands = pe.compile(graph), pe.compile(graph, low_memory=True)
    assert bands.arena_bytes < 0.6 * whole.arena_bytes
    assert outputs(bands, 1) == outputs(whole, 1)


def test_a_plan_that_does_not_fit_is_made_in_bands(monkeypatch: pytest.MonkeyPatch) -> None:
    """And says so."""
    b = pe.GraphBuilder()
    h = b.conv2d(b.input("x", (1, 64, 16, 1)), np.ones((16, 3, 3, 1), np.float32))
    b.output("y", b.conv2d(h, np.ones((1, 3, 3, 16), np.float32)))
    graph = b.build()
    assert "low_memory" not in pe.compile(graph, board="virt-rv32").meta
    board = load_profile("virt-rv32")
    small = tuple(replace(m, size_bytes=30_000) if m.kind == "ram" else m for m in board.memories)
    whole = pe.compile(graph)
    monkeypatch.setattr(compile_module, "load_profile", lambda name: replace(board, memories=small))
    plan = pe.compile(graph, board="virt-rv32")
    assert plan.meta["low_memory"] is True
    assert plan.arena_bytes <= 30_000 < whole.arena_bytes
    assert outputs(plan, 1) == outputs(whole, 1)


def test_resnet8_takes_a_quarter_less(data_dir: Path) -> None:
    graph = pe.load(data_dir / "models" / "mlperf_ic_resnet8_int8.tflite")
    whole, bands = pe.compile(graph), pe.compile(graph, low_memory=True)
    assert bands.arena_bytes < 0.74 * whole.arena_bytes
    assert outputs(bands, 1) == outputs(whole, 1)
