"""Gradients of layers in turns by bands of rows: the same bytes as whole ones, in a smaller arena."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import pyedge as pe
from pyedge.model.builder import GraphBuilder
from pyedge.model.graph import Graph, Tensor
from pyedge.model.surgery import extract
from pyedge.train import gradients
from pyedge.train.precision import to_half


def network(seed: int) -> tuple[Graph, list[str]]:
    """Layers of constant weights, narrow at both ends, of any stride, dilation, padding, groups; some biases learn."""
    rng = np.random.default_rng(seed)
    b = GraphBuilder(f"network{seed}")
    h = b.input("x", (1, int(rng.integers(24, 65)), 8, 2))
    learning = ["x"]

    for i, channels in enumerate((8 if seed % 5 else 16, 16, 16, 2)):
        _, height, _, c = (int(d or 0) for d in h.shape)
        taps = int(rng.integers(1, 5)), int(rng.choice([1, 3]))
        above = int(rng.integers(3)), int(rng.integers(3))
        options: dict[str, Any] = {
            "stride": (int(rng.integers(1, 4)) if height > 16 else 1, 1),
            "dilation": (int(rng.integers(1, 3)), 1),
            "padding": "same" if rng.integers(2) or height < 8 else (above, (taps[1] // 2, taps[1] // 2)),
            "activation": [None, "relu", "relu6"][rng.integers(3)],
        }
        bias = b.constant(rng.normal(0, 0.3, channels), f"b{i}")
        learning += [bias.name] * bool(rng.integers(3))
        if channels % c == 0 and rng.integers(2):
            y = b.depthwise_conv2d(h, rng.normal(0, 0.6, (*taps, channels)), bias, **options)
        else:
            groups = int(rng.choice([1, 1, 2]))
            w = rng.normal(0, 0.4, (channels, *taps, c // groups))
            y = b.conv2d(h, w, bias, groups=groups, **options)
        h = b.add(y, h) if y.shape == h.shape and rng.integers(4) == 0 else y
    b.output("y", h)
    return b.build(), learning


def backwards(seed: int, masks: bool) -> Graph:
    """The gradients of what learns, and of x or not. Inputs: that of the result, and what the forward half left:
    results of clips, or their masks.
    """
    graph, learning = network(seed)
    if seed % 2:
        graph, _ = to_half(graph)
    y = graph.outputs[0]
    graph.add_tensor(Tensor("dy", y.shape, y.dtype))
    graph.input_names.append("dy")
    wrt = learning if seed % 3 else learning[1:] or learning
    graph, found = gradients(graph, y.name, wrt, "dy", masks=masks)
    kept = {str(op.inputs[1]) for op in graph.ops if op.kind in ("clip_grad", "mask_grad")}
    return extract(graph, ["dy", *sorted(kept)], list(found.values()))


def outputs(plan: pe.Plan, seed: int) -> list[bytes]:
    rng = np.random.default_rng(seed)
    feeds = [rng.normal(size=t.shape) if t.dtype != "uint8" else rng.integers(0, 256, t.shape) for t in plan.inputs]
    feeds = [x.astype(t.dtype) for x, t in zip(feeds, plan.inputs, strict=True)]
    return [y.tobytes() for y in pe.Session(plan).run(feeds)]


@pytest.mark.parametrize("masks", [False, True])
def test_gradients_of_random_networks_have_the_same_bytes(masks: bool) -> None:
    """In float32, in float16 by both modes; and never a larger arena, in a good part a smaller one."""
    smaller = dict.fromkeys(("conv2d_dgrad", "depthwise_dgrad", "bias_grad"), 0)
    for seed in range(40):
        graph, mode = backwards(seed, masks), ["exact", "fast16"][seed // 2 % 2]
        whole, bands = (pe.compile(graph, mode=mode, low_memory=low) for low in (False, True))
        assert outputs(bands, seed) == outputs(whole, seed), seed
        assert bands.live_bytes() <= whole.live_bytes(), seed
        parts = {op.kind.removesuffix("_f16").removesuffix("_f32") for op in bands.ops if " 1/" in op.name}
        for kind in parts.intersection(smaller) if bands.arena_bytes < whole.arena_bytes else ():
            smaller[kind] += 1
    print(smaller)
    assert min(smaller.values()) > 5
