"""What `gradients` adds to a graph, and what it refuses."""

from __future__ import annotations

import numpy as np
import pytest
from gradient_check import check_gradients, computed, weighted_sum

from pyedge.errors import ModelError, ShapeError
from pyedge.model.builder import GraphBuilder
from pyedge.model.graph import Graph, Tensor
from pyedge.train import gradients


def normal(*shape: int) -> np.ndarray:
    return np.random.default_rng(3).normal(0, 1, shape).astype(np.float32)


def layers(batch: int | None = 2) -> Graph:
    """Two layers, of weights w1 and w2, and a squared error."""
    b = GraphBuilder()
    h = b.linear(b.input("x", (batch, 5)), b.constant(normal(4, 5), "w1"), b.constant(normal(4), "b1"), name="l1")
    y = b.linear(b.relu(h), b.constant(normal(3, 4), "w2"), b.constant(normal(3), "b2"), name="l2")
    square = b.op("square", b.op("sub", y, b.input("target", (batch, 3)))[0])[0]
    b.output("loss", b.op("reduce_sum", square, axes=(0, 1), keepdims=False)[0])
    return b.build()


def test_the_graph_that_came_in_is_untouched() -> None:
    graph = layers()
    before = repr(graph), list(graph.tensors), [repr(op) for op in graph.ops]
    gradients(graph, "loss", ["w1"])
    assert (repr(graph), list(graph.tensors), [repr(op) for op in graph.ops]) == before


def test_forward_ops_stay_as_they_are_and_in_front() -> None:
    graph = layers()
    whole, _ = gradients(graph, "loss", ["w1", "x"])
    assert whole.ops[: len(graph.ops)] == graph.ops


def test_only_what_is_asked_for_is_computed() -> None:
    """The gradient of the last bias needs neither weights nor activations of the layers before."""
    whole, names = gradients(layers(), "loss", ["b2"])
    added = whole.ops[len(layers().ops) :]
    read = {n for op in added for n in op.inputs}
    assert not read & {"x", "w1", "w2", "l1", "relu_0"}
    assert [op.kind for op in added][-1] == "bias_grad"
    assert list(names) == ["b2"]
    kinds = {op.kind for op in gradients(layers(), "loss", ["w2"])[0].ops}
    assert "linear_wgrad" in kinds and "linear_dgrad" not in kinds


def test_no_op_and_no_constant_is_without_a_reader() -> None:
    graph = layers()
    whole, names = gradients(graph, "loss", ["w1"])
    read = {n for op in whole.ops for n in op.inputs} | set(names.values()) | {"loss"}
    assert set(whole.tensors) - read == set()


def test_relu_reads_its_result() -> None:
    """So that what it was applied to can be freed."""
    whole, _ = gradients(layers(), "loss", ["w1"])
    clips = [op for op in whole.ops if op.kind == "clip_grad"]
    assert [op.inputs[1] for op in clips] == ["relu_0"]


def test_the_gradient_of_weights_comes_before_that_of_the_input() -> None:
    whole, _ = gradients(layers(), "loss", ["x", "w1", "w2"])
    kinds = [op.kind for op in whole.ops if op.kind.startswith("linear_")]
    assert kinds == ["linear_wgrad", "linear_dgrad"] * 2


def test_several_readers_are_added_up_from_the_last_on() -> None:
    """x is read three times, once by an op that reads it twice."""

    def make(b: GraphBuilder, v: dict[str, Tensor]) -> list[Tensor]:
        x = v["x"]
        return [b.op("exp", x)[0], b.op("mul", x, x)[0], b.op("sin", x)[0]]

    graph = check_gradients(make, {"x": normal(2, 3)})
    whole, _ = gradients(graph, "loss", ["x"])
    behind = whole.ops[len(graph.ops) :]
    sums = [op for op in behind if op.kind == "add"]
    made = {n: op for op in behind for n in op.outputs}
    assert len(sums) == 3
    assert made[str(sums[0].inputs[0])].name.startswith("sin")
    assert [op.inputs[0] for op in sums[1:]] == [op.outputs[0] for op in sums[:-1]]


def test_seed_multiplies_the_gradients() -> None:
    graph = layers()
    graph.add_tensor(Tensor("scale", (), "float32", np.array(8, np.float32)))
    inputs = {"x": normal(2, 5), "target": normal(2, 3)}
    plain, scaled = (computed(graph, "loss", ["w1"], inputs, seed=s)["w1"] for s in (None, "scale"))
    np.testing.assert_array_equal(scaled, 8 * plain)


def test_states_are_sources() -> None:
    """A state that the loss reads has a gradient; none flows into what its next value is made of."""
    b = GraphBuilder()
    w = b.state("w", normal(3))
    h = b.state("h", normal(3))
    x = b.input("x", (3,))
    b.update(h, b.op("mul", x, w)[0])
    b.output("loss", weighted_sum(b, b.op("mul", h, w), np.random.default_rng(0)))
    graph = b.build()
    found = computed(graph, "loss", ["w", "h"], {"x": normal(3)})
    weight = next(t.data for t in graph.tensors.values() if t.data is not None and t.shape == (3,))
    assert weight is not None
    np.testing.assert_array_equal(found["w"], weight * normal(3))
    with pytest.raises(ModelError, match="does not depend on 'x'"):
        gradients(graph, "loss", ["x"])


def test_gradients_go_around_what_is_constant_almost_everywhere() -> None:
    """x - floor(x) has the slope of x; a condition has none."""

    def make(b: GraphBuilder, v: dict[str, Tensor]) -> list[Tensor]:
        x = v["x"]
        fraction = b.op("sub", x, b.op("floor", x)[0])[0]
        above = b.op("greater", x, np.float32(0.1))[0]
        return b.op("where", above, fraction, b.op("square", x)[0])

    check_gradients(make, {"x": normal(3, 4)})


def test_a_cast_between_floats_keeps_the_gradient() -> None:
    attrs = {"saturate": 1, "round_mode": "up", "from_format": None, "to_format": None}

    def make(b: GraphBuilder, v: dict[str, Tensor]) -> list[Tensor]:
        half = b.op("cast", v["x"], to="float16", **attrs)[0]
        return [b.op("cast", b.op("square", half)[0], to="float32", **attrs)[0]]

    check_gradients(make, {"x": normal(3, 4)}, tolerance=1e-3)


def test_an_int8_part_in_front_ends_the_gradient() -> None:
    """A frozen int8 backbone: dequantize needs no gradient where nothing before it is asked for."""
    b = GraphBuilder()
    codes = b.input("x", (2, 4), "int8", scale=0.1)
    h = b.linear(codes, b.constant(np.ones((4, 4), np.int8), scale=0.1), scale=0.2, activation="relu")
    y = b.linear(b.dequantize(h), b.constant(normal(3, 4), "w"))
    b.output("loss", weighted_sum(b, [y], np.random.default_rng(0)))
    found = computed(b.build(), "loss", ["w"], {"x": np.full((2, 4), 20, np.int8)})
    assert np.abs(found["w"]).min() > 0


def test_an_op_without_a_gradient_is_named() -> None:
    b = GraphBuilder()
    x = b.input("x", (1, 4))
    y = b.dequantize(b.quantize(x, 0.1, name="codes"), name="real")
    b.output("loss", weighted_sum(b, [y], np.random.default_rng(0)))
    with pytest.raises(ModelError, match="dequantize 'real' has no gradient with respect to its operand 'codes'"):
        gradients(b.build(), "loss", ["x"])
    b = GraphBuilder()
    steps = b.op("floor", b.op("mul", b.input("x", (1, 4)), np.float32(3))[0], name="steps")
    b.output("loss", weighted_sum(b, steps, np.random.default_rng(0)))
    with pytest.raises(
        ModelError, match=r"'loss' does not depend on 'x' .*: they end at floor 'steps'; try: trainable="
    ):
        gradients(b.build(), "loss", ["x"])


def test_names_dtypes_and_open_shapes_are_checked() -> None:
    graph = layers()
    with pytest.raises(ModelError, match="no tensor 'w3'"):
        gradients(graph, "loss", ["w1", "w3"])
    graph.add_tensor(Tensor("other", (1,), "float32", np.zeros(1, np.float32)))
    with pytest.raises(ModelError, match="'loss' does not depend on 'other'"):
        gradients(graph, "loss", ["w1", "other"])
    b = GraphBuilder()
    b.output("loss", b.dequantize(b.input("x", (1,), "int8", scale=1.0)))
    with pytest.raises(ModelError, match="tensor 'x' is int8; only floats have gradients"):
        gradients(b.build(), "loss", ["x"])
    with pytest.raises(ShapeError, match="has the open shape"):
        gradients(layers(None), "loss", ["w1"])
