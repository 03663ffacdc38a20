"""Makes litert_ops.npz: one-operator models, random inputs, and the outputs of LiteRT's reference kernels.

Run by hand, in an environment with ai-edge-litert 2.3.0 (x86-64): python tests/golden/make_litert_ops.py
Keys: CASE.model (bytes of the .tflite), CASE.in0 ..., CASE.out. The cases are what the real models don't cover:
groups, dilation, odd paddings, broadcasting, scales that differ, all activations. Seed 7.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "model"))
from tflite_maker import O, T, model

RNG = np.random.default_rng(7)
SAME, VALID = 0, 1
NONE, RELU, RELU_N1_TO_1, RELU6 = 0, 1, 2, 3


def codes(*shape: int) -> np.ndarray:
    return RNG.integers(-127, 128, shape).astype(np.int8)


def floats(*shape: int) -> np.ndarray:
    return RNG.normal(size=shape).astype(np.float32)


def conv(x, w, y, stride=(1, 1), dilation=(1, 1), padding=SAME, act=NONE, per_channel=True, depthwise=False):
    """An int8 convolution; scales so that most results are not saturated."""
    channels = w[-1] if depthwise else w[0]
    n = channels if per_channel else 1
    w_scale = (RNG.uniform(0.5, 1.5, n) * 0.01).astype(np.float32)
    x_scale, y_scale = np.float32(0.02), np.float32(0.02 * 0.01 * 73 * np.sqrt(np.prod(w) / channels) * 73 / 60)
    axis = 3 if depthwise else 0
    tensors = [
        T("x", x, "int8", scale=x_scale, zero_point=-5),
        T("w", w, "int8", codes(*w), w_scale, 0, axis),
        T("b", [channels], "int32", RNG.integers(-3000, 3000, channels).astype(np.int32), x_scale * w_scale),
        T("y", y, "int8", scale=y_scale, zero_point=9),
    ]
    fields = {
        "Padding": padding,
        "StrideH": stride[0],
        "StrideW": stride[1],
        "DilationHFactor": dilation[0],
        "DilationWFactor": dilation[1],
        "FusedActivationFunction": act,
    }
    if depthwise:
        fields["DepthMultiplier"] = w[3] // x[3]
    name, options = ("DEPTHWISE_CONV_2D", "DepthwiseConv2DOptions") if depthwise else ("CONV_2D", "Conv2DOptions")
    op = O(name, [0, 1, 2], [3], options, fields)
    return model(tensors, [op], [0], [3]), [codes(*x)]


def two(kind, options, fields, a, b, y, sa, sb, sy, za=3, zb=-7, zy=11):
    tensors = [
        T("a", a, "int8", scale=sa, zero_point=za),
        T("b", b, "int8", scale=sb, zero_point=zb),
        T("y", y, "int8", scale=sy, zero_point=zy),
    ]
    return model(tensors, [O(kind, [0, 1], [2], options, fields)], [0, 1], [2]), [codes(*a), codes(*b)]


def one(kind, options, fields, x, y, sx=0.05, zx=-10, sy=0.05, zy=-10, constants=(), dtype="int8", out="int8"):
    tensors = [
        T("x", x, dtype, scale=sx if dtype == "int8" else None, zero_point=zx),
        T("y", y, out, scale=sy if out == "int8" else None, zero_point=zy),
        *(T(f"c{i}", np.shape(c), "int32", np.asarray(c, np.int32)) for i, c in enumerate(constants)),
    ]
    op = O(kind, [0, *range(2, 2 + len(constants))], [1], options, fields)
    return model(tensors, [op], [0], [1]), [codes(*x) if dtype == "int8" else 3 * floats(*x)]


def pool(kind, x, y, kernel, stride, padding, act=NONE, dtype="int8"):
    fields = {
        "Padding": padding,
        "StrideH": stride[0],
        "StrideW": stride[1],
        "FilterHeight": kernel[0],
        "FilterWidth": kernel[1],
        "FusedActivationFunction": act,
    }
    return one(kind, "Pool2DOptions", fields, x, y, dtype=dtype, out=dtype)


def float_conv(x, w, y, groups_or_depthwise, padding, stride, dilation):
    depthwise = groups_or_depthwise == "depthwise"
    channels = w[-1] if depthwise else w[0]
    tensors = [T("x", x), T("w", w, data=floats(*w)), T("b", [channels], data=floats(channels)), T("y", y)]
    fields = {
        "Padding": padding,
        "StrideH": stride[0],
        "StrideW": stride[1],
        "DilationHFactor": dilation[0],
        "DilationWFactor": dilation[1],
        "FusedActivationFunction": RELU6,
    }
    if depthwise:
        fields["DepthMultiplier"] = w[3] // x[3]
    name, options = ("DEPTHWISE_CONV_2D", "DepthwiseConv2DOptions") if depthwise else ("CONV_2D", "Conv2DOptions")
    return model(tensors, [O(name, [0, 1, 2], [3], options, fields)], [0], [3]), [floats(*x)]


def linear(x, n, k, y, act=NONE, keep=False, channels=1):
    w_scale = (RNG.uniform(0.5, 1.5, channels) * 0.01).astype(np.float32)
    tensors = [
        T("x", x, "int8", scale=0.02, zero_point=4),
        T("w", [n, k], "int8", codes(n, k), w_scale),
        T("b", [n], "int32", RNG.integers(-3000, 3000, n).astype(np.int32), np.float32(0.02) * w_scale),
        T("y", y, "int8", scale=0.02 * 0.01 * 73 * np.sqrt(k) * 73 / 60, zero_point=-3),
    ]
    fields = {"FusedActivationFunction": act, "KeepNumDims": keep}
    op = O("FULLY_CONNECTED", [0, 1, 2], [3], "FullyConnectedOptions", fields)
    return model(tensors, [op], [0], [3]), [codes(*x)]


def cases():
    yield "conv_odd_same", conv([2, 7, 9, 3], [5, 3, 2, 3], [2, 4, 3, 5], (2, 3))
    yield "conv_dilated_valid", conv([1, 11, 10, 4], [6, 3, 3, 4], [1, 5, 4, 6], (1, 1), (3, 3), VALID, RELU)
    yield "conv_dilated_same", conv([1, 11, 10, 4], [6, 3, 3, 4], [1, 11, 10, 6], (1, 1), (2, 4), SAME, RELU6)
    yield "conv_grouped", conv([1, 6, 6, 8], [12, 3, 3, 2], [1, 6, 6, 12], act=RELU_N1_TO_1)
    yield "conv_per_tensor", conv([1, 5, 5, 7], [3, 1, 1, 7], [1, 3, 3, 3], (2, 2), per_channel=False)
    yield "conv_kernel_above_image", conv([1, 2, 3, 2], [4, 5, 5, 2], [1, 2, 3, 4])
    yield "depthwise_multiplier", conv([2, 7, 6, 3], [1, 3, 3, 6], [2, 4, 3, 6], (2, 2), depthwise=True)
    yield (
        "depthwise_dilated",
        conv([1, 9, 9, 5], [1, 3, 2, 5], [1, 5, 7, 5], (1, 1), (2, 2), VALID, RELU, depthwise=True),
    )
    yield "linear_flattens", linear([3, 2, 2, 5], 7, 10, [6, 7], RELU)
    yield "linear_keeps_dims", linear([2, 3, 10], 4, 10, [2, 3, 4], keep=True)
    add = {"FusedActivationFunction": NONE}
    yield "add_scales", two("ADD", "AddOptions", add, [2, 3, 4, 5], [2, 3, 4, 5], [2, 3, 4, 5], 0.05, 0.011, 0.037)
    yield "add_broadcast", two("ADD", "AddOptions", add, [2, 3, 4, 5], [4, 1], [2, 3, 4, 5], 0.01, 0.02, 0.03)
    relu = {"FusedActivationFunction": RELU}
    yield "add_relu", two("ADD", "AddOptions", relu, [1, 6, 5], [1, 6, 5], [1, 6, 5], 0.03, 0.03, 0.04)
    yield "avg_pool_same", pool("AVERAGE_POOL_2D", [2, 7, 8, 3], [2, 4, 3, 3], (3, 3), (2, 3), SAME)
    yield "avg_pool_relu6", pool("AVERAGE_POOL_2D", [1, 7, 8, 3], [1, 3, 3, 3], (3, 4), (2, 2), VALID, RELU6)
    yield "max_pool_same", pool("MAX_POOL_2D", [2, 7, 8, 3], [2, 4, 3, 3], (3, 3), (2, 3), SAME)
    yield "max_pool_n1_to_1", pool("MAX_POOL_2D", [1, 6, 6, 5], [1, 3, 3, 5], (2, 2), (2, 2), VALID, RELU_N1_TO_1)
    keep = {"KeepDims": True}
    flat = {"KeepDims": False}
    yield "mean_hw", one("MEAN", "ReducerOptions", keep, [2, 5, 7, 6], [2, 1, 1, 6], sy=0.02, zy=5, constants=[[1, 2]])
    yield "mean_channels", one("MEAN", "ReducerOptions", flat, [3, 4, 9], [3, 4], sy=0.031, constants=[[-1]])
    yield "mean_all", one("MEAN", "ReducerOptions", keep, [2, 3, 4, 5], [1, 1, 1, 1], constants=[[0, 1, 2, 3]])
    yield "softmax", one("SOFTMAX", "SoftmaxOptions", {"Beta": 1.0}, [5, 11], [5, 11], sx=0.07, sy=1 / 256, zy=-128)
    yield "softmax_beta", one("SOFTMAX", "SoftmaxOptions", {"Beta": 0.3}, [2, 3, 9], [2, 3, 9], 0.2, 4, 1 / 256, -128)
    yield "softmax_steep", one("SOFTMAX", "SoftmaxOptions", {"Beta": 1.0}, [4, 40], [4, 40], 1.5, 0, 1 / 256, -128)
    yield "requantize", one("QUANTIZE", "QuantizeOptions", {}, [3, 50], [3, 50], 0.05, -10, 0.023, 30)
    yield "quantize", one("QUANTIZE", "QuantizeOptions", {}, [3, 50], [3, 50], sy=0.03, zy=-4, dtype="float32")
    yield "dequantize", one("DEQUANTIZE", "DequantizeOptions", {}, [3, 50], [3, 50], 0.03, 7, out="float32")
    yield "relu_rescales", one("RELU", None, {}, [3, 50], [3, 50], 0.05, -10, 0.03, -128)
    yield "relu6", one("RELU6", None, {}, [3, 50], [3, 50], 0.06, -10, 0.06, -10)
    yield "relu_n1_to_1", one("RELU_N1_TO_1", None, {}, [3, 50], [3, 50], 0.02, 3, 0.02, 3)
    yield "reshape", one("RESHAPE", "ReshapeOptions", {}, [2, 3, 8], [4, 12], constants=[[-1, 12]])
    yield "float_conv_grouped", float_conv([1, 7, 8, 6], [4, 3, 3, 3], [1, 4, 4, 4], 2, SAME, (2, 2), (1, 1))
    yield "float_depthwise", float_conv([2, 9, 8, 3], [1, 3, 3, 6], [2, 5, 4, 6], "depthwise", VALID, (1, 1), (2, 2))
    yield "float_avg_pool", pool("AVERAGE_POOL_2D", [2, 7, 8, 3], [2, 4, 3, 3], (3, 3), (2, 3), SAME, RELU, "float32")
    yield "float_max_pool", pool("MAX_POOL_2D", [2, 7, 8, 3], [2, 4, 3, 3], (3, 3), (2, 3), SAME, NONE, "float32")
    yield (
        "float_mean",
        one("MEAN", "ReducerOptions", flat, [2, 5, 7, 6], [2, 6], constants=[[1, 2]], dtype="float32", out="float32"),
    )
    yield (
        "float_softmax",
        one("SOFTMAX", "SoftmaxOptions", {"Beta": 0.7}, [5, 11], [5, 11], dtype="float32", out="float32"),
    )
    yield "linear_per_channel", linear([4, 32], 24, 32, [4, 24], channels=24)
    yield "linear_many", linear([48, 64], 40, 64, [48, 40])


def main() -> None:
    from ai_edge_litert.interpreter import Interpreter, OpResolverType

    arrays = {}
    for name, (data, inputs) in cases():
        interpreter = Interpreter(model_content=data, experimental_op_resolver_type=OpResolverType.BUILTIN_REF)
        interpreter.allocate_tensors()
        for detail, x in zip(interpreter.get_input_details(), inputs, strict=True):
            interpreter.set_tensor(detail["index"], x)
        interpreter.invoke()
        output = interpreter.get_tensor(interpreter.get_output_details()[0]["index"])
        arrays[f"{name}.model"] = np.frombuffer(data, np.uint8)
        arrays[f"{name}.out"] = output
        arrays.update({f"{name}.in{i}": x for i, x in enumerate(inputs)})
        print(name, output.shape, f"{100 * np.mean(np.abs(output.astype(float)) >= 127):.0f} % at the ends")
    np.savez_compressed(Path(__file__).with_name("litert_ops.npz"), **arrays)


if __name__ == "__main__":
    main()
