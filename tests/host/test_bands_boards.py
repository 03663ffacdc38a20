"""Layers by bands of rows on emulated boards, whose kernels see views: the bytes of whole layers."""

from __future__ import annotations

import numpy as np
import pytest

import pyedge as pe
from pyedge.train import gradients
from pyedge.train.precision import to_half

from .conftest import CORTEX_M, needs_qemu


def residual() -> pe.Graph:
    """Layers of each kind that boards have kernels of their own for."""
    rng = np.random.default_rng(4)
    b = pe.GraphBuilder()
    quant = {"scale": 0.3, "zero_point": -7}

    def weight(*shape: int, axis: int = 0) -> pe.Tensor:
        scales = rng.uniform(0.004, 0.01, shape[axis])
        return b.constant(rng.integers(-127, 128, shape, dtype=np.int8), scale=scales, axis=axis)

    def bias(n: int) -> np.ndarray:
        return rng.integers(-2000, 2000, n, dtype=np.int32)

    x = b.conv2d(b.input("x", (1, 24, 24, 3), "int8", scale=0.05, zero_point=3), weight(16, 3, 3, 3), bias(16), **quant)
    h = b.conv2d(x, weight(16, 3, 3, 16), bias(16), activation="relu", **quant)
    h = b.add(b.conv2d(h, weight(16, 3, 3, 16), bias(16), **quant), x, **quant)
    h = b.depthwise_conv2d(b.conv2d(h, weight(48, 1, 1, 16), bias(48), **quant), weight(3, 3, 48, axis=2), **quant)
    h = b.max_pool2d(b.conv2d(h, weight(8, 1, 1, 48), bias(8), stride=2, **quant), 2)
    b.output("y", h)
    return b.build()


@pytest.mark.parametrize(
    "name", [*(pytest.param(board, marks=needs_qemu) for board in ("virt-rv32", "virt-rv32-v")), *CORTEX_M]
)
def test_bands_have_the_bytes_of_whole_layers(name: str) -> None:
    graph = residual()
    whole, bands = pe.compile(graph, board=name), pe.compile(graph, board=name, low_memory=True)
    assert bands.arena_bytes < 0.8 * whole.arena_bytes
    x = np.random.default_rng(5).integers(-128, 128, (1, 24, 24, 3), dtype=np.int8)
    (expected,) = pe.Session(pe.compile(graph)).run([x])
    assert len(np.unique(expected)) > 20
    with pe.connect(name) as board:
        np.testing.assert_array_equal(board.load(bands).run([x])[0], expected)


def frozen() -> pe.Graph:
    """The gradients of the biases of layers with frozen float16 weights."""
    rng = np.random.default_rng(6)
    b = pe.GraphBuilder()

    def bias(i: int) -> pe.Tensor:
        return b.constant(rng.normal(0, 0.3, 8), f"b{i}")

    h = b.conv2d(b.input("x", (1, 32, 16, 1)), rng.normal(0, 0.3, (8, 3, 3, 1)), bias(0), activation="relu")
    h = b.depthwise_conv2d(h, rng.normal(0, 0.4, (3, 3, 8)), bias(1), stride=2, activation="relu6")
    h = b.conv2d(h, rng.normal(0, 0.4, (8, 1, 1, 8)), bias(2), activation="relu")
    b.output("y", b.mean(h, (1, 2)))
    graph, _ = to_half(b.build())
    graph, found = gradients(graph, graph.output_names[0], ["b0", "b1", "b2"], masks=True)
    graph.output_names = list(found.values())
    return graph


@needs_qemu
@pytest.mark.parametrize("name", ["virt-rv32", "virt-rv32-v"])
def test_gradients_by_bands_have_the_bytes_of_whole_ones(name: str) -> None:
    graph = frozen()
    whole, bands = pe.compile(graph, board=name), pe.compile(graph, board=name, low_memory=True)
    assert bands.arena_bytes < whole.arena_bytes
    assert any(op.kind == "bias_grad" and len(op.inputs) == 2 for op in bands.ops)
    x = np.random.default_rng(7).normal(0, 1, (1, 32, 16, 1)).astype(np.float32)
    expected = pe.Session(pe.compile(graph)).run([x])
    assert all(np.abs(y).max() > 0 for y in expected)
    with pe.connect(name) as board:
        for y, value in zip(board.load(bands).run([x]), expected, strict=True):
            np.testing.assert_array_equal(y, value)
