"""Random graphs: sessions against the NumPy reference."""

import numpy as np
import pytest

import pyedge as pe
from pyedge.model.reference import run

SEEDS = range(120)


class Maker:
    """Adds random ops of one dtype to a builder; every shape, stride, padding, scale and activation is drawn."""

    def __init__(self, seed: int, dtype: str) -> None:
        self.r = np.random.default_rng(seed)
        self.b = pe.GraphBuilder(f"random{seed}")
        self.q = dtype == "int8"
        self.dtype = dtype

    def n(self, low: int, high: int) -> int:
        return int(self.r.integers(low, high + 1))

    def pick(self, *choices):
        return choices[self.r.integers(len(choices))]

    def real(self) -> float:
        return float(self.r.uniform(0.01, 0.05))

    def result(self) -> dict:
        return {"scale": self.real(), "zero_point": self.n(-128, 127)} if self.q else {}

    def weight(self, *shape: int, axis: int = 0):
        if not self.q:
            return (self.r.normal(size=shape) / np.sqrt(np.prod(shape))).astype(np.float32)
        codes = self.r.integers(-127, 128, shape).astype(np.int8)
        scale = self.r.uniform(0.001, 0.02, self.pick(1, shape[axis]))
        return self.b.constant(codes, scale=scale, axis=axis)

    def bias(self, channels: int):
        if self.n(0, 3) == 0:
            return None
        return self.r.integers(-2000, 2000, channels).astype(np.int32) if self.q else self.r.normal(size=channels)

    def steps(self, h: int, w: int) -> dict:
        padding = self.pick("same", "same", "valid", ((self.n(0, 2), self.n(0, 2)), (self.n(0, 2), self.n(0, 2))))
        return {"stride": (self.n(1, 3), self.n(1, 3)), "padding": padding, "activation": self.activation()}

    def activation(self):
        return self.pick(None, "relu", "relu6", "relu_n1_to_1")

    def image_op(self, x):
        _, h, w, c = x.shape
        kernel = self.n(1, min(h, 4)), self.n(1, min(w, 4))
        dilation = tuple(1 if (k - 1) * 2 >= n else self.n(1, 2) for k, n in zip(kernel, (h, w), strict=True))
        kind = self.n(0, 4)
        if kind == 0:
            groups = self.pick(*(g for g in (1, 2, 3) if c % g == 0))
            co = groups * self.n(1, 5)
            w8 = self.weight(co, *kernel, c // groups)
            extra = {"groups": groups, "dilation": dilation, **self.steps(h, w), **self.result()}
            return self.b.conv2d(x, w8, self.bias(co), **extra)
        if kind == 1:
            co = c * self.n(1, 3)
            w8 = self.weight(*kernel, co, axis=2)
            return self.b.depthwise_conv2d(x, w8, self.bias(co), dilation=dilation, **self.steps(h, w), **self.result())
        if kind == 2:
            steps = self.steps(h, w)
            if not isinstance(steps["padding"], str):
                steps["padding"] = tuple((0, k - 1) for k in kernel)
            return getattr(self.b, self.pick("avg_pool2d", "max_pool2d"))(x, kernel, **steps)
        if kind == 3:
            shape = [self.pick(1, d) for d in x.shape][self.n(0, 3) :]
            if self.q:
                other = self.b.constant(self.r.integers(-128, 128, shape).astype(np.int8), scale=self.real())
            else:
                other = self.b.constant(self.r.normal(size=shape))
            return self.b.add(*self.pick((x, other), (other, x)), activation=self.activation(), **self.result())
        return self.pick(self.b.relu, self.b.relu6, lambda t: self.b.clip(t, -0.3, 0.8))(x)

    def graph(self) -> pe.Graph:
        shape = (self.n(1, 2), self.n(2, 9), self.n(2, 9), self.pick(1, 2, 3, 4, 6, 8))
        x = self.b.input("x", shape, self.dtype, *((self.real(), self.n(-128, 127)) if self.q else ()))
        for _ in range(self.n(1, 5)):
            x = self.image_op(x)
            if x.shape[1] < 2 or x.shape[2] < 2:
                break
        if self.n(0, 1):
            axes = self.pick((1, 2), (3,), (1,), (0, 1, 2), (0, 1, 2, 3))
            x = self.b.mean(x, axes, keepdims=bool(self.n(0, 1)), **self.result())
        if len(x.shape) == 4:
            k = int(np.prod(x.shape[1:]))
            n = self.n(1, 9)
            x = self.b.linear(x, self.weight(n, k), self.bias(n), activation=self.activation(), **self.result())
        if x.shape and self.n(0, 1):
            x = self.b.softmax(x, beta=self.pick(1.0, 0.5))
        self.b.output("y", x)
        return self.b.build()


@pytest.mark.parametrize("seed", SEEDS)
def test_int8_graphs_have_the_reference_s_bytes(seed):
    """Every intermediate and the result, all roundings; and the result with memory shared between tensors."""
    maker = Maker(seed, "int8")
    graph = maker.graph()
    x = {"x": maker.r.integers(-128, 128, graph.inputs[0].shape).astype(np.int8)}
    for rounding in ("tflite", "litert-ref", "fp32"):
        expected = run(graph, x, rounding, keep=True)
        plan = pe.compile(graph, rounding=rounding)
        session = pe.Session(plan, keep="all")
        session.run(x)
        ours = session.tensors()
        assert [n for n in expected if not np.array_equal(expected[n], ours[n])] == []
        assert np.array_equal(pe.Session(plan).run(x)["y"], expected["y"])


@pytest.mark.parametrize("seed", SEEDS)
def test_float_graphs_agree_with_the_reference(seed):
    """Within 1e-5 of the largest value of each tensor; the result's bits don't depend on where tensors lie."""
    maker = Maker(seed, "float32")
    graph = maker.graph()
    x = {"x": maker.r.normal(size=graph.inputs[0].shape).astype(np.float32)}
    expected = run(graph, x, keep=True)
    plan = pe.compile(graph)
    session = pe.Session(plan, keep="all")
    result = session.run(x)["y"]
    ours = session.tensors()
    far = [n for n, e in expected.items() if np.abs(ours[n] - e).max() > 1e-5 * max(np.abs(e).max(), 1e-3)]
    assert far == []
    assert pe.Session(plan).run(x)["y"].tobytes() == result.tobytes()
