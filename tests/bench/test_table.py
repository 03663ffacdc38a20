"""Tables of costs: what is measured, and what the committed ones are worth."""

from __future__ import annotations

import numpy as np
import pytest

import pyedge as pe
from pyedge.bench import table
from pyedge.bench.networks import random_network
from pyedge.bench.single_ops import SingleOp, input_tensor, random_inputs, result_scale, weights
from pyedge.tensor import Tensor
from pyedge.tune.estimate import rows_of


def few(dtype: str, most_macs: int) -> list[SingleOp]:
    return [SingleOp("linear", 1, 1, 16 * n, 8, dtype=dtype) for n in (1, 2, 3)] + [SingleOp("conv2d", 4, 4, 4, 8)]


def test_a_table_measured_here_estimates_here(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(table, "sampled_ops", few)
    model = SingleOp("sigmoid", 4, 4, 4).graph()
    seen: list[tuple[int, int]] = []
    found = table.measure("host", [model], progress=lambda done, total: seen.append((done, total)))
    assert found.board == "host" and found.unit == "ns" and found.conditions["kernels"] == pe.cpu_features().isa
    assert seen == sorted(seen) and {total for _, total in seen} == {9} and seen[-1] == (9, 9)
    assert {"lookup", "linear_s8", "linear_f32", "conv2d_s8"} <= {row.kind for row in found.rows}
    assert pe.estimate(few("int8", 0)[0].graph(), "host", found).total > 0
    assert pe.estimate(model, table=found).total > 0


@pytest.mark.parametrize("dtype", ["int8", "float32"])
@pytest.mark.parametrize("most_macs", [100_000, 800_000])
def test_the_sample_is_the_same_in_each_run_and_of_many_kinds(dtype: str, most_macs: int) -> None:
    ops = list(table.sampled_ops(dtype, most_macs))
    assert ops == list(table.sampled_ops(dtype, most_macs))
    assert all(op.graph().inputs for op in ops)
    assert {"conv2d", "depthwise_conv2d", "linear", "add", "mean", "softmax", "max_pool2d"} <= {op.kind for op in ops}


def test_operands_of_one_scale_and_of_two_are_told_apart() -> None:
    """Kernels of TFLite's addition may leave out a factor."""
    plan = pe.compile({f"{scale}": SingleOp("add", 4, 4, 4, scale=scale).graph() for scale in (0.02, 0.03)})
    alike = [rows_of(plan, entry)[0].sizes["alike"] for entry in plan.entries.values()]
    assert alike == [1, 0]


@pytest.mark.parametrize("dtype", ["int8", "float32"])
def test_estimates_of_networks_are_within_ten_percent_of_the_emulated_board(dtype: str) -> None:
    """More networks and boards: bench/estimate_error.py."""
    with pe.connect("virt-rv32") as board:
        for seed in (101, 102, 105, 109, 113):
            graph = random_network(seed, dtype)
            plan = pe.compile(graph, board="virt-rv32")
            measured = board.load(plan).profile(random_inputs(plan.entry("main"), rectified=False)).total
            assert pe.estimate(graph, "virt-rv32").total == pytest.approx(measured, rel=0.1), seed


def test_layers_that_networks_have_less_often_are_estimated_within_ten_percent_too() -> None:
    """Several outputs of a channel, fewer channels than a tile, a gate of one pixel, copies that are not aligned."""
    rng = np.random.default_rng(5)
    b = pe.GraphBuilder()

    def constant(shape: tuple[int, ...], axis: int) -> tuple[Tensor, Tensor]:
        return weights(b, rng, shape, axis, "int8")

    x = input_tensor(b, "x", (1, 21, 19, 3), "int8")
    y = b.depthwise_conv2d(x, *constant((5, 3, 9), 2), activation="relu", **result_scale("int8"))
    few = b.conv2d(y, *constant((2, 3, 3, 9), 0), **result_scale("int8"))
    gate = b.conv2d(b.mean(y, (1, 2), keepdims=True), *constant((9, 1, 1, 9), 0), **result_scale("int8"))
    gated = b.op("mul", y, gate, **result_scale("int8"))[0]
    b.output("y", b.op("concat", gated, few, axis=3, **result_scale("int8"))[0])
    graph = b.build()
    plan = pe.compile(graph, board="virt-rv32")
    with pe.connect("virt-rv32") as board:
        measured = board.load(plan).profile(random_inputs(plan.entry("main"))).ops
    counts = [
        (op.name, op.count, found.count) for op, found in zip(measured, pe.estimate(plan, "virt-rv32").ops, strict=True)
    ]
    large = [(name, count, found) for name, count, found in counts if count > 3000]
    assert len(large) > 5
    for name, count, found in large:
        assert found == pytest.approx(count, rel=0.1), name
