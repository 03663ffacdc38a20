"""Makes litert_hybrid.npz: layers of float activations by int8 weights, and the outputs of LiteRT's reference kernels.

Run by hand, in an environment with ai-edge-litert 2.3.0 (x86-64): python tests/golden/make_litert_hybrid.py
Keys: CASE.model (bytes of the .tflite), CASE.in0, CASE.out. Seed 11.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "model"))
from tflite_maker import O, T, model

RNG = np.random.default_rng(11)
SAME, VALID = 0, 1
NONE, RELU, RELU6 = 0, 1, 3


def layer(name, options, x, w, y, scales, axis=0, bias=True, low=-3.0, high=4.0, **fields):
    """low, high: what x lies between; rows of different range, so that each has a scale of its own."""
    channels = w[-1] if axis == 3 else w[0]
    weights = RNG.integers(-127, 128, w).astype(np.int8)
    w_scale = RNG.uniform(0.005, 0.02, scales).astype(np.float32)
    tensors = [
        T("x", x),
        T("w", w, "int8", weights, w_scale, 0, axis),
        T("y", y),
        T("b", [channels], data=RNG.normal(size=channels).astype(np.float32)),
    ]
    values = RNG.uniform(low, high, x) * RNG.uniform(0.2, 2, (x[0],) + (1,) * (len(x) - 1))
    op = O(name, [0, 1, 3 if bias else -1], [2], options, fields)
    return model(tensors, [op], [0], [2]), values.astype(np.float32)


def conv(x, w, y, scales, stride=1, dilation=1, padding=SAME, act=NONE, **more):
    steps = {"StrideH": stride, "StrideW": stride, "DilationHFactor": dilation, "DilationWFactor": dilation}
    fields = {"Padding": padding, **steps, "FusedActivationFunction": act}
    return layer("CONV_2D", "Conv2DOptions", x, w, y, scales, **fields, **more)


def depthwise(x, w, y, stride=1, dilation=1, padding=SAME, act=NONE, **more):
    steps = {"StrideH": stride, "StrideW": stride, "DilationHFactor": dilation, "DilationWFactor": dilation}
    fields = {"Padding": padding, **steps, "FusedActivationFunction": act, "DepthMultiplier": w[3] // x[3]}
    return layer("DEPTHWISE_CONV_2D", "DepthwiseConv2DOptions", x, w, y, w[3], 3, **fields, **more)


def linear(x, w, y, asymmetric, scales=1, act=NONE, **more):
    fields = {"FusedActivationFunction": act, "AsymmetricQuantizeInputs": asymmetric}
    return layer("FULLY_CONNECTED", "FullyConnectedOptions", x, w, y, scales, **fields, **more)


def cases():
    yield "conv", conv([3, 7, 6, 5], [4, 3, 3, 5], [3, 4, 3, 4], 1, stride=2)
    yield "conv_relu", conv([1, 7, 6, 5], [4, 3, 2, 5], [1, 5, 5, 4], 1, padding=VALID, act=RELU)
    yield "conv_channels", conv([3, 7, 6, 5], [4, 3, 3, 5], [3, 7, 6, 4], 4, act=RELU6)
    yield "conv_channels_positive", conv([2, 7, 6, 5], [4, 3, 3, 5], [2, 7, 6, 4], 4, low=0.5, high=2.0)
    yield "conv_channels_dilated", conv([1, 9, 9, 2], [3, 3, 3, 2], [1, 9, 9, 3], 3, dilation=2, low=-6, high=-1)
    yield "depthwise", depthwise([2, 7, 6, 3], [1, 3, 3, 6], [2, 4, 3, 6], stride=2)
    yield "depthwise_positive", depthwise([1, 7, 6, 3], [1, 3, 2, 3], [1, 5, 5, 3], padding=VALID, low=0, high=1)
    yield "linear", linear([4, 20], [7, 20], [4, 7], False)
    yield "linear_no_bias", linear([4, 20], [7, 20], [4, 7], False, bias=False, act=RELU)
    yield "linear_zero", linear([2, 20], [7, 20], [2, 7], False, low=0, high=0)
    yield "linear_asymmetric", linear([4, 20], [7, 20], [4, 7], True)
    yield "linear_asymmetric_positive", linear([4, 20], [7, 20], [4, 7], True, low=2, high=3)


def main() -> None:
    from ai_edge_litert.interpreter import Interpreter, OpResolverType

    found: dict[str, np.ndarray] = {}
    for name, (data, x) in cases():
        engine = Interpreter(model_content=data, experimental_op_resolver_type=OpResolverType.BUILTIN_REF)
        engine.allocate_tensors()
        engine.set_tensor(engine.get_input_details()[0]["index"], x)
        engine.invoke()
        found[f"{name}.model"] = np.frombuffer(data, np.uint8)
        found[f"{name}.in0"] = x
        found[f"{name}.out"] = engine.get_tensor(engine.get_output_details()[0]["index"])
    np.savez_compressed(Path(__file__).with_name("litert_hybrid.npz"), **found)


if __name__ == "__main__":
    main()
