"""Makes litert_uint8.npz: one-operator uint8 models, random inputs, and the outputs of LiteRT's reference kernels.

Run by hand, in an environment with ai-edge-litert 2.3.0 (x86-64): python tests/golden/make_litert_uint8.py
Keys: CASE.model (bytes of the .tflite), CASE.in0 ..., CASE.out. Seed 13.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "model"))
from tflite_maker import O, T, model

RNG = np.random.default_rng(13)
SAME, VALID = 0, 1
NONE, RELU, RELU6 = 0, 1, 3


def codes(*shape: int) -> np.ndarray:
    return RNG.integers(0, 256, shape).astype(np.uint8)


def layer(name, options, x, w, y, zero, **fields):
    """Scales so that few results are saturated."""
    channels = w[-1] if name.startswith("DEPTHWISE") else w[0]
    y_scale = 0.02 * 0.01 * 73 * np.sqrt(np.prod(w) / channels) * 73 / 60
    bias = RNG.integers(-3000, 3000, channels).astype(np.int32)
    tensors = [
        T("x", x, "uint8", scale=0.02, zero_point=117),
        T("w", w, "uint8", codes(*w), 0.01, zero),
        T("b", [channels], "int32", bias, np.float32(0.02) * np.float32(0.01)),
        T("y", y, "uint8", scale=y_scale, zero_point=130),
    ]
    return model(tensors, [O(name, [0, 1, 2], [3], options, fields)], [0], [3]), [codes(*x)]


def conv(x, w, y, zero, stride=1, dilation=1, padding=SAME, act=NONE, depthwise=False):
    steps = {"StrideH": stride, "StrideW": stride, "DilationHFactor": dilation, "DilationWFactor": dilation}
    fields = {"Padding": padding, **steps, "FusedActivationFunction": act}
    if depthwise:
        fields["DepthMultiplier"] = w[3] // x[3]
        return layer("DEPTHWISE_CONV_2D", "DepthwiseConv2DOptions", x, w, y, zero, **fields)
    return layer("CONV_2D", "Conv2DOptions", x, w, y, zero, **fields)


def linear(x, w, y, zero, act=NONE):
    return layer("FULLY_CONNECTED", "FullyConnectedOptions", x, w, y, zero, FusedActivationFunction=act)


def pool(kind, x, y, kernel, stride, padding, act=NONE):
    fields = {
        "Padding": padding,
        "StrideH": stride,
        "StrideW": stride,
        "FilterHeight": kernel,
        "FilterWidth": kernel,
        "FusedActivationFunction": act,
    }
    tensors = [T("x", x, "uint8", scale=0.05, zero_point=100), T("y", y, "uint8", scale=0.05, zero_point=100)]
    return model(tensors, [O(kind, [0], [1], "Pool2DOptions", fields)], [0], [1]), [codes(*x)]


def add(a, b, y, act=NONE):
    scaled = [("a", a, 0.05, 100), ("b", b, 0.011, 140), ("y", y, 0.06, 120)]
    tensors = [T(name, shape, "uint8", scale=s, zero_point=z) for name, shape, s, z in scaled]
    op = O("ADD", [0, 1], [2], "AddOptions", {"FusedActivationFunction": act})
    return model(tensors, [op], [0, 1], [2]), [codes(*a), codes(*b)]


def softmax(shape):
    tensors = [T("x", shape, "uint8", scale=0.07, zero_point=100), T("y", shape, "uint8", scale=1 / 256, zero_point=0)]
    return model(tensors, [O("SOFTMAX", [0], [1], "SoftmaxOptions", {"Beta": 1.0})], [0], [1]), [codes(*shape)]


def cases():
    yield "conv", conv([2, 7, 6, 5], [4, 3, 3, 5], [2, 4, 3, 4], 121, stride=2)
    yield "conv_relu", conv([1, 9, 9, 3], [4, 3, 2, 3], [1, 5, 7, 4], 0, dilation=2, padding=VALID, act=RELU)
    yield "conv_zero_point_128", conv([1, 7, 6, 5], [4, 1, 1, 5], [1, 7, 6, 4], 128, act=RELU6)
    yield "depthwise", conv([1, 7, 6, 3], [1, 3, 3, 6], [1, 7, 6, 6], 140, depthwise=True)
    yield "linear", linear([4, 33], [7, 33], [4, 7], 255)
    yield "avg_pool", pool("AVERAGE_POOL_2D", [2, 8, 8, 3], [2, 4, 4, 3], 2, 2, VALID)
    yield "avg_pool_same", pool("AVERAGE_POOL_2D", [2, 7, 8, 3], [2, 4, 4, 3], 3, 2, SAME, RELU)
    yield "max_pool", pool("MAX_POOL_2D", [2, 7, 8, 3], [2, 4, 4, 3], 3, 2, SAME, RELU6)
    yield "add", add([2, 3, 4], [2, 3, 4], [2, 3, 4])
    yield "add_broadcast_relu", add([2, 3, 4], [3, 1], [2, 3, 4], RELU)
    yield "softmax", softmax([5, 11])


def main() -> None:
    from ai_edge_litert.interpreter import Interpreter, OpResolverType

    found: dict[str, np.ndarray] = {}
    for name, (data, inputs) in cases():
        engine = Interpreter(model_content=data, experimental_op_resolver_type=OpResolverType.BUILTIN_REF)
        engine.allocate_tensors()
        for detail, x in zip(engine.get_input_details(), inputs, strict=True):
            engine.set_tensor(detail["index"], x)
        engine.invoke()
        found[f"{name}.model"] = np.frombuffer(data, np.uint8)
        found[f"{name}.out"] = engine.get_tensor(engine.get_output_details()[0]["index"])
        found.update({f"{name}.in{i}": x for i, x in enumerate(inputs)})
    np.savez_compressed(Path(__file__).with_name("litert_uint8.npz"), **found)


if __name__ == "__main__":
    main()
