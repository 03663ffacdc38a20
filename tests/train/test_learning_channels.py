"""Ranges of output channels that learn alone."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from gradient_check import computed, weighted_sum

from pyedge.errors import ModelError
from pyedge.model import reference
from pyedge.model.builder import GraphBuilder
from pyedge.model.graph import Graph
from pyedge.train import split_channels


def normal(*shape: int) -> np.ndarray:
    return np.random.default_rng(sum(shape)).normal(0, 1, shape).astype(np.float32)


LAYERS: dict[str, Any] = {
    "conv2d": lambda b, x: b.conv2d(x, b.constant(normal(6, 3, 3, 4), "w"), b.constant(normal(6), "b"), name="layer"),
    "conv2d in groups": lambda b, x: b.conv2d(
        x, b.constant(normal(6, 2, 2, 2), "w"), b.constant(normal(6), "b"), groups=2, activation="relu", name="layer"
    ),
    "depthwise": lambda b, x: b.depthwise_conv2d(
        x, b.constant(normal(3, 3, 8), "w"), b.constant(normal(8), "b"), stride=2, name="layer"
    ),
    "linear": lambda b, x: b.linear(x, b.constant(normal(5, 4), "w"), b.constant(normal(5), "b"), keep_dims=True),
}
RANGES = [("conv2d", (2, 4)), ("conv2d", (0, 1)), ("conv2d", (5, 6)), ("linear", (1, 5)), ("depthwise", (2, 4))]
RANGES += [("conv2d in groups", (3, 6)), ("conv2d in groups", (1, 2)), ("depthwise", (3, 4)), ("linear", (0, 5))]


def network(layer: str) -> Graph:
    b = GraphBuilder()
    x = b.input("x", (2, 5, 4, 4))
    first = b.conv2d(x, b.constant(normal(4, 1, 1, 4), "first"), name="front")
    b.output("loss", weighted_sum(b, [LAYERS[layer](b, first)], np.random.default_rng(0)))
    return b.build()


@pytest.mark.parametrize("layer, channels", RANGES, ids=str)
def test_values_stay_and_gradients_are_those_of_the_range(layer: str, channels: tuple[int, int]) -> None:
    graph, inputs = network(layer), {"x": normal(2, 5, 4, 4)}
    parts, names = split_channels(graph, {"w": channels, "b": channels})
    before, after = (reference.run(g, inputs, keep=True) for g in (graph, parts))
    layer_result = "layer" if "layer" in before else "linear_0"
    np.testing.assert_array_equal(after[layer_result], before[layer_result])

    whole = computed(graph, "loss", ["w", "b", "first"], inputs)
    found = computed(parts, "loss", [names["w"], names["b"], "first"], inputs)
    axis = 2 if layer == "depthwise" else 0
    cut = (slice(None),) * axis + (slice(*channels),)
    np.testing.assert_array_equal(found[names["w"]], whole["w"][cut])
    np.testing.assert_array_equal(found[names["b"]], whole["b"][slice(*channels)])
    np.testing.assert_allclose(found["first"], whole["first"], rtol=1e-5, atol=1e-5)


def test_constants_are_cut_not_copied() -> None:
    """Together the parts have the bytes of the whole."""
    graph = network("conv2d")
    parts, names = split_channels(graph, {"w": (2, 4)})
    assert names == {"w": "w[2:4]"}
    bytes_of = [sum(t.data.nbytes for t in g.tensors.values() if t.data is not None) for g in (graph, parts)]
    assert bytes_of[0] == bytes_of[1]
    assert "w" in graph.tensors and "w" not in parts.tensors


def test_a_weight_of_two_layers_is_split_in_both() -> None:
    b = GraphBuilder()
    w = b.constant(normal(4, 4), "w")
    y = b.linear(b.linear(b.input("x", (3, 4)), w), w)
    b.output("loss", weighted_sum(b, [y], np.random.default_rng(0)))
    graph = b.build()
    parts, names = split_channels(graph, {"w": (1, 3)})
    inputs = {"x": normal(3, 4)}
    found, whole = computed(parts, "loss", [names["w"]], inputs), computed(graph, "loss", ["w"], inputs)
    np.testing.assert_allclose(found["w[1:3]"], whole["w"][1:3], rtol=1e-5)


def test_what_cannot_be_split_is_refused() -> None:
    with pytest.raises(ModelError, match="no constant 'v'"):
        split_channels(network("conv2d"), {"v": (0, 1)})
    for channels in ((2, 2), (3, 9), (-1, 2)):
        with pytest.raises(ModelError, match=r"conv2d 'layer': channels .* are not among the 6 of 'w'"):
            split_channels(network("conv2d"), {"w": channels})
    with pytest.raises(ModelError, match="'layer': its weight and bias learn different channels"):
        split_channels(network("conv2d"), {"w": (0, 1), "b": (1, 2)})
    with pytest.raises(ModelError, match=r"'layer': channels 1 \.\. 5 cut through groups of 3"):
        split_channels(network("conv2d in groups"), {"w": (1, 5)})
    with pytest.raises(ModelError, match=r"mul 'mul_.*': 'constant_0' has no output channels"):
        split_channels(network("conv2d"), {"constant_0": (0, 1)})
