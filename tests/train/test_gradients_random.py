"""Random networks: gradients against a finite difference in double, and the executor against the reference."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from gradient_check import run_double, weighted_sum

import pyedge as pe
from pyedge.model import reference
from pyedge.model.builder import GraphBuilder
from pyedge.model.graph import Graph, Tensor
from pyedge.train import gradients

_STEP = 1e-7
UNARY: dict[str, dict[str, Any]] = {
    **{kind: {} for kind in ("tanh", "sigmoid", "softplus", "relu", "relu6", "hard_swish", "square", "erf", "mish")},
    "leaky_relu": {"alpha": 0.1},
    "swish": {"alpha": 1.0},
    "gelu": {"approximate": "tanh"},
    "elu": {"alpha": 1.0},
}


class Network:
    """Adds random ops on images; each reads one of the last three results, so that many have several readers."""

    def __init__(self, seed: int) -> None:
        self.rng = np.random.default_rng(seed)
        self.b = GraphBuilder()
        self.weights: list[str] = []
        self.images = [self.b.input("x", (2, 6, 7, 4))]

    def weight(self, *shape: int) -> Tensor:
        value = self.rng.normal(0, 1 / np.sqrt(np.prod(shape[1:]) + 1), shape)
        self.weights.append(f"w{len(self.weights)}")
        return self.b.constant(value, self.weights[-1])

    def recent(self) -> Tensor:
        return self.images[-int(self.rng.integers(1, 4)) :][0]

    def pick(self, *values: Any) -> Any:
        return values[self.rng.integers(len(values))]

    def conv(self, x: Tensor) -> Tensor:
        c = int(x.shape[3] or 0)
        groups = self.pick(1, 2) if c % 2 == 0 else 1
        kernel = self.pick((1, 1), (3, 3), (2, 3))
        steps = {"stride": self.pick(1, 1, 2), "dilation": self.pick(1, 1, 2), "activation": self.pick(None, "relu")}
        w = self.weight(self.pick(4, 6), *kernel, c // groups)
        return self.b.conv2d(x, w, self.weight(int(w.shape[0] or 0)), groups=groups, padding="same", **steps)

    def depthwise(self, x: Tensor) -> Tensor:
        w = self.weight(3, 2, int(x.shape[3] or 0) * self.pick(1, 2))
        return self.b.depthwise_conv2d(x, w, stride=self.pick(1, 2), activation=self.pick(None, "relu6"))

    def unary(self, x: Tensor) -> Tensor:
        kind = self.pick(*UNARY)
        return self.b.op(kind, x, **UNARY[kind])[0]

    def binary(self, x: Tensor) -> Tensor:
        same = [t for t in self.images if t.shape == x.shape]
        other = self.pick(*same, self.weight(int(x.shape[3] or 0)))
        kind = self.pick("add", "sub", "mul", "max")
        return self.b.op(kind, x, other, **({"activation": None} if kind == "add" else {}))[0]

    def pool(self, x: Tensor) -> Tensor:
        make = self.pick(self.b.max_pool2d, self.b.avg_pool2d)
        result: Tensor = make(x, self.pick(2, 3), stride=self.pick(1, 2), padding="same")
        return result

    def norm(self, x: Tensor) -> Tensor:
        """A layer norm over the channels, of parts; or softmax."""
        if self.pick(True, False):
            return self.b.softmax(x, beta=0.7)
        centered = self.b.op("sub", x, self.b.mean(x, (3,), keepdims=True))[0]
        spread = self.b.mean(self.b.op("square", centered)[0], (3,), keepdims=True)
        root = self.b.op("rsqrt", self.b.op("add", spread, np.float32(0.1), activation=None)[0])[0]
        return self.b.op("mul", centered, root)[0]

    def move(self, x: Tensor) -> Tensor:
        shape = [int(d or 0) for d in x.shape]
        if shape[1] > 2 and self.pick(True, False):
            return self.b.op("slice", x, starts=(1,), ends=(shape[1],), axes=(1,), steps=(self.pick(1, 2),))[0]
        if self.pick(True, False):
            return self.b.op("pad", x, mode="constant", pads=((0, 0), (1, 0), (0, 1), (0, 0)))[0]
        like = [t for t in self.images if t.shape[:3] == x.shape[:3]]
        return self.b.op("concat", x, self.pick(*like), axis=3)[0]

    def linear(self, x: Tensor) -> Tensor:
        w = self.weight(4, int(x.shape[3] or 0))
        return self.b.linear(x, w, self.weight(4), keep_dims=True)

    def build(self) -> Graph:
        """5 to 15 ops and a loss."""
        kinds = (self.conv, self.depthwise, self.unary, self.binary, self.pool, self.norm, self.move, self.linear)
        self.images.append(self.conv(self.images[0]))
        for _ in range(self.rng.integers(4, 14)):
            self.images.append(self.pick(*kinds)(self.recent()))
        results = [self.b.mean(t, (1, 2)) for t in (self.images[-1], self.recent())]
        self.b.output("loss", weighted_sum(self.b, results, self.rng))
        return self.b.build()


@pytest.mark.parametrize("seed", range(40))
def test_a_random_network(seed: int) -> None:
    net = Network(seed)
    graph = net.build()
    x = net.rng.normal(0, 1, (2, 6, 7, 4)).astype(np.float32)
    needed = {"loss"}
    for op in reversed(graph.ops):
        if not needed.isdisjoint(op.outputs):
            needed.update(n for n in op.inputs if n is not None)
    wrt = [n for n in ("x", *net.weights) if n in needed]
    whole, names = gradients(graph, "loss", wrt)
    whole.output_names = ["loss", *dict.fromkeys(names.values())]
    found = reference.run(whole, {"x": x})

    again, _ = gradients(graph, "loss", wrt, recompute=True)
    again.output_names = list(whole.output_names)
    for name, value in reference.run(again, {"x": x}).items():
        np.testing.assert_array_equal(value, found[name])

    values: dict[str, np.ndarray] = {"x": x} | {n: t.data for n, t in graph.tensors.items() if t.data is not None}
    direction = {n: net.rng.normal(0, 1, values[n].shape) for n in wrt}
    high, low = (
        run_double(graph, values | {n: values[n] + s * _STEP * d for n, d in direction.items()})["loss"]
        for s in (1, -1)
    )
    slope = (high - low).reshape(()) / (2 * _STEP)
    parts = [np.sum(found[names[n]].astype(np.float64) * d) for n, d in direction.items()]
    assert sum(parts) == pytest.approx(slope, rel=1e-4, abs=1e-4 * max(map(abs, parts)))

    ran = pe.Session(pe.compile(whole)).run({"x": x})
    for name in whole.output_names:
        np.testing.assert_allclose(ran[name], found[name], rtol=0, atol=2e-5 * max(np.abs(found[name]).max(), 1e-2))
