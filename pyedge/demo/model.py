"""A small CNN for handwritten digits: its graph, float and int8, and digits that it never saw.

Weights and images are in digits.npz, which train_digits.py wrote.
"""

from __future__ import annotations

from functools import cache
from importlib import resources

import numpy as np

from ..model.builder import GraphBuilder
from ..model.graph import Graph
from ..tune.quantize import quantize

Array = np.ndarray


@cache
def _data() -> dict[str, Array]:
    with resources.files(__package__).joinpath("digits.npz").open("rb") as f, np.load(f) as arrays:
        return {name: arrays[name] for name in arrays}


def _real(images: Array) -> Array:
    """Images [N, 8, 8] of levels 0 to 16 as the model's input, float32 [N, 8, 8, 1] in [0, 1]."""
    return np.asarray((images[..., None] / 16).astype(np.float32))


def heldout() -> tuple[Array, Array]:
    """360 digits that were not trained on: x float32 [360, 8, 8, 1] in [0, 1], labels [360] of 0 to 9."""
    return _real(_data()["images"]), _data()["labels"].astype(np.int64)


def calibration() -> Array:
    """64 of the training digits, float32 [64, 8, 8, 1]."""
    return _real(_data()["calibration"])


def digits_graph() -> Graph:
    """The float model: input "image" [1, 8, 8, 1], output "probabilities" [1, 10]; 2,298 parameters."""
    p = _data()
    b = GraphBuilder("digits")
    h = b.input("image", (1, 8, 8, 1), "float32")
    h = b.conv2d(h, p["conv_w"], p["conv_b"], activation="relu", name="conv")
    h = b.depthwise_conv2d(h, p["dw1_w"], p["dw1_b"], activation="relu", name="depthwise1")
    h = b.conv2d(h, p["pw1_w"], p["pw1_b"], activation="relu", name="pointwise1")
    h = b.max_pool2d(h, 2, name="max_pool")
    h = b.depthwise_conv2d(h, p["dw2_w"], p["dw2_b"], activation="relu", name="depthwise2")
    h = b.conv2d(h, p["pw2_w"], p["pw2_b"], activation="relu", name="pointwise2")
    h = b.avg_pool2d(h, 2, name="avg_pool")
    h = b.linear(h, p["fc_w"], p["fc_b"], name="linear")
    b.output("probabilities", b.softmax(h, name="softmax"))
    graph = b.build()
    graph.meta = {
        "source": "pyedge/demo/train_digits.py",
        "license": "Apache-2.0; trained on the UCI digits by Alpaydin and Kaynak, CC BY 4.0",
    }
    return graph


def digits_int8() -> Graph:
    """The int8 model: digits_graph quantized by pe.quantize on the calibration digits."""
    return quantize(digits_graph(), calibration())
