"""Gradients of float16 graphs have the dtypes of their tensors, and the values of float32 but for roundings."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from gradient_check import computed, weighted_sum

import pyedge as pe
from pyedge.model.builder import GraphBuilder
from pyedge.model.graph import Graph, Tensor
from pyedge.train import gradients

RNG = np.random.default_rng(2)
VALUES = {
    "x": RNG.normal(0, 1, (2, 6, 6, 4)),
    "conv": RNG.normal(0, 0.3, (6, 3, 3, 4)),
    "conv/b": RNG.normal(0, 1, 6),
    "depthwise": RNG.normal(0, 0.5, (3, 3, 6)),
    "slope": RNG.normal(0, 1, 6),
    "linear": RNG.normal(0, 0.5, (5, 6)),
    "linear/b": RNG.normal(0, 1, 5),
    "table": RNG.normal(0, 1, (7, 5)),
}


def network(dtype: str) -> Graph:
    """Weights and activations of a dtype, biases float32."""
    b = GraphBuilder()
    x = b.input("x", (2, 6, 6, 4), dtype)

    def constant(name: str) -> Tensor:
        return b.constant(VALUES[name], name, dtype="float32" if name.endswith("/b") else dtype)

    def op(kind: str, *operands: Any, **attrs: Any) -> Tensor:
        return b.op(kind, *operands, **attrs)[0]

    h = b.conv2d(x, constant("conv"), constant("conv/b"), activation="relu")
    h = b.depthwise_conv2d(h, constant("depthwise"))
    h = op("mul", op("tanh", h), constant("slope"))
    pool = {"kernels": (2, 2), "strides": (2, 2), "dilations": (1, 1), "pads": ((0, 0), (0, 0)), "ceil_mode": False}
    h = op("max_pool", op("add", h, op("relu6", h), activation=None), **pool, indices=False, column_major=False)
    h = op("reduce_mean", h, axes=(1, 2), keepdims=False)
    y = b.linear(h, constant("linear"), constant("linear/b"))
    y = op("sub", y, op("gather", constant("table"), np.array([3, 3]), axis=0, batch_dims=0))
    y = op("concat", op("softmax", y, axis=-1, beta=1.0), op("log_softmax", y, axis=-1), axis=1)
    attrs = {"to": "float32", "saturate": 1, "round_mode": "up", "from_format": None, "to_format": None}
    b.output("loss", weighted_sum(b, [op("cast", y, **attrs)], np.random.default_rng(0)))
    return b.build()


WRT = list(VALUES)


def test_gradients_have_the_dtype_of_their_tensor_and_the_values_of_float32() -> None:
    half, single = (
        computed(network(dtype), "loss", WRT, {"x": VALUES["x"].astype(dtype)}) for dtype in ("float16", "float32")
    )
    for name in WRT:
        assert half[name].dtype == ("float32" if name.endswith("/b") else "float16"), name
        tolerance = 0.02 * np.abs(single[name]).max()
        np.testing.assert_allclose(half[name].astype(np.float32), single[name], rtol=0, atol=tolerance)


@pytest.mark.parametrize("mode", ["exact", "fast16"])
def test_the_executor_computes_them(mode: str) -> None:
    graph = network("float16")
    whole, names = gradients(graph, "loss", WRT)
    whole.output_names = list(names.values())
    x = VALUES["x"].astype(np.float16)
    ran = pe.Session(pe.compile(whole, mode=mode)).run({"x": x})
    expected = computed(graph, "loss", WRT, {"x": x})
    for name in WRT:
        tolerance = 0.01 * np.abs(expected[name].astype(np.float32)).max()
        np.testing.assert_allclose(ran[names[name]].astype(np.float32), expected[name], rtol=0, atol=tolerance)
