"""Graphs for the tests of plans: small ones that together use every part of the format."""

from __future__ import annotations

import numpy as np

import pyedge as pe


def small_cnn(seed: int = 0) -> pe.Graph:
    """Float: a convolution, a residual add, pooling, a flatten, a linear layer and a softmax."""
    rng = np.random.default_rng(seed)
    b = pe.GraphBuilder("small_cnn")
    x = b.input("x", (1, 8, 8, 3), "float32")
    h = b.conv2d(x, rng.normal(size=(4, 3, 3, 3)), rng.normal(size=4), activation="relu")
    h = b.add(b.depthwise_conv2d(h, rng.normal(size=(3, 3, 4))), h, activation="relu6")
    h = b.reshape(b.max_pool2d(h, 2), (1, 64))
    b.output("y", b.softmax(b.linear(h, rng.normal(size=(5, 64)), rng.normal(size=5))))
    return b.build()


def early_exit() -> pe.Graph:
    """Float: gives (x + 1, certain) where some x >= 0.5, else (twice relu(x) + 3, uncertain)."""
    b = pe.GraphBuilder("early_exit")
    x = b.input("x", (1, 4), "float32")

    def early(inner: pe.GraphBuilder) -> list[pe.Tensor]:
        return [inner.add(x, inner.constant(np.float32([[1, 1, 1, 1]]))), inner.constant(np.float32([[1]]))]

    def late(inner: pe.GraphBuilder) -> list[pe.Tensor]:
        h = inner.relu(x)
        h = inner.add(inner.add(h, h), inner.constant(np.float32([[3, 3, 3, 3]])))
        return [h, inner.constant(np.float32([[0]]))]

    y, certain = b.cond(b.any_ge(x, 0.5), early, late)
    b.output("y", y)
    b.output("certain", certain)
    return b.build()


def two_entries() -> dict[str, pe.Graph]:
    """int8: "main" with a layer that "head" has, too, so that its constants are stored once."""
    rng = np.random.default_rng(1)
    weight, bias = rng.integers(-127, 128, (16, 32), np.int8), rng.integers(-1000, 1000, 16, np.int32)

    def head(b: pe.GraphBuilder, x: pe.Tensor) -> pe.Tensor:
        w = b.constant(weight, scale=np.linspace(0.01, 0.02, 16))
        return b.linear(x, w, bias, activation="relu", scale=0.3, zero_point=-128)

    b = pe.GraphBuilder("main")
    x = b.input("x", (1, 8), "int8", scale=0.1, zero_point=3)
    w = b.constant(rng.integers(-127, 128, (32, 8), np.int8), scale=0.02)
    b.output("y", head(b, b.linear(x, w, scale=0.2, zero_point=-5)))
    main = b.build()
    b = pe.GraphBuilder("head")
    b.output("y", head(b, b.input("h", (1, 32), "int8", scale=0.2, zero_point=-5)))
    return {"main": main, "head": b.build()}


def random_graph(seed: int) -> pe.Graph:
    """Ten ops on random earlier results, with long lives, views, broadcasts, a branch, and outputs taken midway."""
    rng = np.random.default_rng(seed)
    b = pe.GraphBuilder(f"random{seed}")
    live = [b.input("x0", (1, 6, 6, 2), "float32"), b.input("x1", (1, 6, 6, 2), "float32")]

    def pick() -> pe.Tensor:
        return live[int(rng.integers(max(0, len(live) - 5), len(live)))]

    def grow(builder: pe.GraphBuilder, x: pe.Tensor, y: pe.Tensor) -> pe.Tensor:
        kind = int(rng.integers(6))
        if kind == 0:
            return builder.conv2d(x, rng.normal(size=(2, 3, 3, 2)) / 4, activation="relu")
        if kind == 1:
            return builder.add(x, y)
        if kind == 2:
            return builder.clip(x, -1.0, 1.0)
        if kind == 3:
            return builder.reshape(builder.reshape(x, (12, 6)), (1, 6, 6, 2))
        if kind == 4:
            return builder.add(x, builder.constant(rng.normal(size=2)))
        return builder.max_pool2d(x, 3, stride=1, padding="same")

    for i in range(10):
        x, y = pick(), pick()
        if i == 5:
            predicate = b.any_ge(x, 0.8)
            live += b.cond(
                predicate,
                lambda inner, x=x, y=y: grow(inner, grow(inner, x, y), x),
                lambda inner, x=x, y=y: grow(inner, y, x),
            )
        else:
            live.append(grow(b, x, y))
    b.output("y", live[-1])
    if live[6] is not live[-1]:
        b.output("midway", live[6])
    return b.build()


def streaming() -> pe.Graph:
    """A delay line of three frames, a running sum behind a gate, and the sum of the frame before."""
    b = pe.GraphBuilder("streaming")
    x = b.input("x", (1, 4), "float32")
    line = b.state("line", np.arange(12).reshape(3, 4) / 8)
    total, last = b.state("total", np.zeros((1, 4))), b.state("last", np.full((1, 4), -1.0))
    b.update(line, b.op("concat", b.op("slice", line, starts=(1,), ends=(3,), axes=(0,), steps=(1,))[0], x, axis=0)[0])
    gate = b.any_ge(x, 0.5)
    b.update(total, b.cond(gate, lambda g: g.add(total, x), lambda g: g.relu(total), name="gate")[0])
    b.update(last, total)
    b.output("y", b.add(b.mean(line, (0,), keepdims=True), last))
    return b.build()
