"""A bit for each element instead of results that only the gradients of clips need: the same bits in a smaller arena."""

from __future__ import annotations

import numpy as np
import pytest
from gradient_check import weighted_sum

import pyedge as pe
from pyedge.model.builder import GraphBuilder
from pyedge.model.graph import Graph, Tensor
from pyedge.train import gradients
from pyedge.train.precision import to_half


def network(seed: int) -> tuple[Graph, list[str]]:
    """Layers of constant weights with fused and separate clips, residuals and pools; their biases learn."""
    rng = np.random.default_rng(seed)
    b = GraphBuilder()
    h = b.input("x", (2, 7, 5, 3))
    learning: list[str] = []

    def bias(n: int) -> Tensor:
        learning.append(f"b{len(learning)}")
        return b.constant(rng.normal(0, 0.3, n), learning[-1])

    for _ in range(rng.integers(3, 8)):
        c = int(h.shape[3] or 0)
        activation = [None, "relu", "relu6"][rng.integers(3)]
        match rng.integers(4):
            case 0:
                n = int(rng.integers(1, 6))
                w = rng.normal(0, 1, (n, *[(1, 1), (3, 2)][rng.integers(2)], c))
                h = b.conv2d(h, w, bias(n), padding="same", activation=activation)
            case 1:
                h = b.depthwise_conv2d(h, rng.normal(0, 0.6, (3, 3, c)), bias(c), padding="same", activation=activation)
            case 2:
                left = b.conv2d(h, rng.normal(0, 1, (c, 1, 1, c)), bias(c), activation="relu")
                h = b.add(left, h, activation=activation)
            case _:
                h = b.clip(h, -0.5, 0.75) if rng.integers(2) else b.relu6(b.reshape(h, h.shape))
        if rng.integers(5) == 0:
            h = b.max_pool2d(h, 2, stride=1)  # whose gradient reads its operand
    h = b.conv2d(h, rng.normal(0, 1, (4, 1, 1, int(h.shape[3] or 0))), bias(4), activation="relu")
    b.output("loss", weighted_sum(b, [b.mean(h, (1, 2))], rng))
    return b.build(), learning


def test_gradients_of_random_networks_have_the_same_bits() -> None:
    """In float32 and float16, of odd numbers of elements, with NaN and infinities among the values."""
    masked = 0
    for seed in range(24):
        graph, learning = network(seed)
        if seed % 2:
            graph, _ = to_half(graph)
        x = np.random.default_rng(seed).normal(0, 1, (2, 7, 5, 3)).astype(np.float32)
        if seed % 4 > 1:
            x[0, 3, 2, :] = np.nan, np.inf, -np.inf
        results = []
        for masks in (False, True):
            whole, names = gradients(graph, "loss", learning, masks=masks)
            whole.output_names = list(names.values())
            found = pe.Session(pe.compile(whole)).run({"x": x})
            results.append({w: found[g].tobytes() for w, g in names.items()})
            masked += sum(op.kind == "clip_mask" for op in whole.ops)
        assert results[0] == results[1], seed
    assert masked > 24


def images(channels: int) -> Graph:
    rng = np.random.default_rng(3)
    b = GraphBuilder()
    h = b.input("x", (1, 16, 16, channels))
    for _ in range(4):
        w = rng.normal(0, 0.2, (channels, 3, 3, channels))
        h = b.conv2d(h, w, np.zeros(channels), padding="same", activation="relu")
    b.output("y", b.linear(b.mean(h, (1, 2)), rng.normal(0, 0.3, (3, channels)), np.zeros(3)))
    return b.build()


@pytest.mark.parametrize("precision", ["fp32", "fp16"])
def test_a_trainer_in_turn_keeps_masks_where_weights_are_frozen(precision: str) -> None:
    """Of four results of 16 x 16 none lives on; what is learned is the same."""
    rng = np.random.default_rng(0)
    x, y = rng.normal(0, 1, (8, 16, 16, 4)).astype(np.float32), rng.integers(0, 3, 8)
    weights, plans = [], []
    for in_turn in (False, True):
        trainer = pe.Trainer(
            images(4), optimizer=pe.SGD(0.1), precision=precision, trainable=["bias", "last:1"], in_turn=in_turn
        )
        trainer.fit(x, y, epochs=2)
        weights.append({n: w.tobytes() for n, w in trainer.weights().items()})
        plans.append(trainer.compile())
    assert weights[0] == weights[1]
    kinds = [[op.kind for op in plan.entry("train").ops] for plan in plans]
    assert [k.count("clip_mask") for k in kinds] == [0, 4] and kinds[1].count("mask_grad") == 4
    assert "clip_grad" not in kinds[1]
    result = 16 * 16 * 4 * {"fp32": 4, "fp16": 2}[precision]
    assert plans[1].live_bytes("train") < plans[0].live_bytes("train") - 2 * result


def test_a_whole_network_keeps_its_values() -> None:
    """Gradients of weights read them."""
    plan = pe.Trainer(images(4), optimizer=pe.SGD(0.1), in_turn=True).compile()
    assert "clip_mask" not in {op.kind for op in plan.entry("train").ops}
