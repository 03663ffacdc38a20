"""Networks of the usual families, with random weights: for benchmarks that need no model file."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from ..model.builder import GraphBuilder
from ..model.graph import Graph
from ..tensor import Tensor
from .single_ops import input_tensor, result_scale, weights


class _Net:
    """A builder with the parts of which networks are made; activations are rectified."""

    def __init__(self, name: str, shape: tuple[int, ...], dtype: str, seed: int) -> None:
        self.b, self.dtype, self.rng = GraphBuilder(name), dtype, np.random.default_rng(seed)
        self.x = input_tensor(self.b, "x", shape, dtype)

    def conv(
        self, c_out: int, kernel: tuple[int, int] = (1, 1), stride: int = 1, activation: str | None = "relu"
    ) -> Tensor:
        w, bias = weights(self.b, self.rng, (c_out, *kernel, self.channels), 0, self.dtype)
        scale = result_scale(self.dtype)
        self.x = self.b.conv2d(self.x, w, bias, stride=stride, activation=activation, **scale)
        return self.x

    def depthwise(self, kernel: tuple[int, int] = (3, 3), stride: int = 1) -> Tensor:
        w, bias = weights(self.b, self.rng, (*kernel, self.channels), 2, self.dtype)
        scale = result_scale(self.dtype)
        self.x = self.b.depthwise_conv2d(self.x, w, bias, stride=stride, activation="relu", **scale)
        return self.x

    def linear(self, n: int, activation: str | None = None) -> Tensor:
        w, bias = weights(self.b, self.rng, (n, int(np.prod([d or 1 for d in self.x.shape[1:]]))), 0, self.dtype)
        self.x = self.b.linear(self.x, w, bias, activation=activation, **result_scale(self.dtype))
        return self.x

    def residual(self, c_out: int, stride: int) -> Tensor:
        """Two convolutions of 3x3, and what went in added."""
        before = self.x
        shortcut = before
        if stride != 1 or c_out != self.channels:
            shortcut = self.conv(c_out, stride=stride, activation=None)
            self.x = before
        self.conv(c_out, (3, 3), stride)
        self.conv(c_out, (3, 3), activation=None)
        self.x = self.b.add(self.x, shortcut, activation="relu", **result_scale(self.dtype))
        return self.x

    def classes(self, n: int) -> Graph:
        """Mean over the image, a linear layer, probabilities."""
        if len(self.x.shape) == 4:
            self.x = self.b.mean(self.x, (1, 2))
        self.linear(n)
        self.b.output("y", self.b.softmax(self.x))
        return self.b.build()

    @property
    def channels(self) -> int:
        n = self.x.shape[-1]
        assert n is not None
        return n


def resnet8(dtype: str = "int8") -> Graph:
    """32x32x3, three residual blocks of 16, 32 and 64 channels: 12.5 M MACs, the shape of MLPerf Tiny's classifier."""
    net = _Net(f"resnet8 {dtype}", (1, 32, 32, 3), dtype, 1)
    net.conv(16, (3, 3))
    for c_out, stride in ((16, 1), (32, 2), (64, 2)):
        net.residual(c_out, stride)
    return net.classes(10)


def ds_cnn(dtype: str = "int8") -> Graph:
    """49x10x1, four separable convolutions of 64 channels: 2.7 M MACs, the shape of MLPerf Tiny's keyword spotter."""
    net = _Net(f"ds-cnn {dtype}", (1, 49, 10, 1), dtype, 2)
    net.conv(64, (10, 4), 2)
    for _ in range(4):
        net.depthwise()
        net.conv(64)
    return net.classes(12)


def mobilenet(dtype: str = "int8", side: int = 96, width: float = 0.25) -> Graph:
    """MobileNetV1: 96x96x3 at a quarter of the width is the shape of MLPerf Tiny's visual wake words, 7.5 M MACs.

    Source: Howard et al., MobileNets, 2017, table 1.
    """
    net = _Net(f"mobilenet-{width:g}-{side} {dtype}", (1, side, side, 3), dtype, 3)
    net.conv(int(32 * width), (3, 3), 2)
    blocks = [(64, 1), (128, 2), (128, 1), (256, 2), (256, 1), (512, 2), *[(512, 1)] * 5, (1024, 2), (1024, 1)]
    for c_out, stride in blocks:
        net.depthwise(stride=stride)
        net.conv(int(c_out * width))
    return net.classes(2)


def autoencoder(dtype: str = "int8") -> Graph:
    """640 to 8 and back by ten linear layers: 0.26 M MACs, the shape of MLPerf Tiny's anomaly detector."""
    net = _Net(f"autoencoder {dtype}", (1, 640), dtype, 4)
    for n in (128, 128, 128, 128, 8, 128, 128, 128, 128):
        net.linear(n, "relu")
    net.linear(640)
    net.b.output("y", net.x)
    return net.b.build()


BUILT_IN: tuple[Callable[[str], Graph], ...] = (resnet8, ds_cnn, mobilenet, autoencoder)


def random_network(seed: int, dtype: str = "int8") -> Graph:
    """A residual, separable or plain convolutional network, or an MLP; all its sizes are drawn from a seed."""
    rng = np.random.default_rng(seed)
    family = rng.integers(4)

    def draw(*choices: int) -> int:
        return int(rng.choice(choices))

    name = f"random-{seed} {dtype}"
    if family == 3:
        net = _Net(name, (1, draw(60, 128, 256, 490)), dtype, seed)
        for _ in range(draw(2, 3, 5)):
            net.linear(draw(16, 24, 40, 64, 100, 128), "relu")
        return net.classes(draw(2, 5, 10, 35))
    side, c = draw(16, 20, 24, 32), draw(8, 12, 16, 24)
    net = _Net(name, (1, side, draw(side, side, side // 2), draw(1, 3)), dtype, seed)
    net.conv(c, (draw(3, 5), 3), draw(1, 2))
    for stage in range(draw(2, 3)):
        wide = c * (1 + stage)
        if family == 0:
            net.residual(wide, 1 + (stage > 0))
        elif family == 1:
            for i in range(draw(1, 2)):
                net.depthwise((3, 3) if rng.random() < 0.7 else (5, 5), 2 if i == 0 and stage else 1)
                net.conv(wide)
        else:
            net.conv(wide, (3, 3) if rng.random() < 0.7 else (1, 1))
            pool = net.b.max_pool2d if rng.random() < 0.5 else net.b.avg_pool2d
            net.x = pool(net.x, 2, padding="same")
    return net.classes(draw(2, 4, 10))
