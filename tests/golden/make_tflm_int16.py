"""Makes tflm_int16.npz: one-operator models with int16 activations, random inputs, and TFLite Micro's outputs.

Run by hand, with tflite-micro and ai-edge-litert 2.3.0 (x86-64): python tests/golden/make_tflm_int16.py
LiteRT's reference kernels stand in where TFLM has none or one that ignores its input (LITERT). Where both have one,
main() shows how many elements differ. Keys: CASE.model (bytes of the .tflite), CASE.in0 ..., CASE.out. Seed 16.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "model"))
from tflite_maker import O, T, model

RNG = np.random.default_rng(16)
SAME, VALID = 0, 1
NONE, RELU, RELU_N1_TO_1, RELU6 = 0, 1, 2, 3
COMPARISONS = ("EQUAL", "NOT_EQUAL", "LESS", "LESS_EQUAL", "GREATER", "GREATER_EQUAL")
LITERT = ("exp", "log", "gelu", "reduce_max", "reduce_min", *(name.lower() for name in COMPARISONS))
Case = tuple[bytes, list[np.ndarray]]


def codes(*shape: int, dtype: str = "int16") -> np.ndarray:
    limit = np.iinfo(dtype)
    return RNG.integers(limit.min, limit.max + 1, shape).astype(dtype)


def layer(
    name: str, options: str, x, w, y, bias: str | None = "int64", scales: int = 1, axis: int = 0, **fields
) -> Case:
    """scales: of the weights; those of y are chosen so that few results are saturated."""
    channels = w[3] if name == "DEPTHWISE_CONV_2D" else w[0]
    w_scale = np.linspace(0.01, 0.03, scales).astype(np.float32)
    y_scale = 0.0007 * w_scale.mean() * 73 * np.sqrt(np.prod(w) / channels) * 18000 / 12000
    tensors = [
        T("x", x, "int16", scale=0.0007),
        T("w", w, "int8", RNG.integers(-127, 128, w).astype(np.int8), w_scale, axis=axis),
        T("b", [channels], bias or "int64", None, np.float32(0.0007) * w_scale),
        T("y", y, "int16", scale=y_scale),
    ]
    if bias is not None:
        tensors[2].data = RNG.integers(-2_000_000 if bias != "int16" else -30_000, 30_000, channels).astype(bias)
    inputs = [0, 1] if bias is None else [0, 1, 2]
    if name == "TRANSPOSE_CONV":
        tensors.append(T("shape", [4], "int32", np.array(y, np.int32)))
        inputs = [4, 1, 0, *inputs[2:]]
    elif name == "FULLY_CONNECTED" and bias is None:
        inputs = [0, 1, -1]
    return model(tensors, [O(name, inputs, [3], options, fields)], [0], [3]), [codes(*x)]


def conv(x, w, y, stride=1, dilation=1, padding=SAME, act=NONE, **rest) -> Case:
    steps = {"StrideH": stride, "StrideW": stride, "DilationHFactor": dilation, "DilationWFactor": dilation}
    fields = {"Padding": padding, **steps, "FusedActivationFunction": act}
    return layer("CONV_2D", "Conv2DOptions", x, w, y, **fields, **rest)


def depthwise(x, w, y, stride=1, padding=SAME, act=NONE, **rest) -> Case:
    steps = {"StrideH": stride, "StrideW": stride, "DilationHFactor": 1, "DilationWFactor": 1}
    fields = {"Padding": padding, **steps, "FusedActivationFunction": act, "DepthMultiplier": w[3] // x[3]}
    return layer("DEPTHWISE_CONV_2D", "DepthwiseConv2DOptions", x, w, y, axis=3, **fields, **rest)


def linear(x, w, y, act=NONE, **rest) -> Case:
    return layer("FULLY_CONNECTED", "FullyConnectedOptions", x, w, y, FusedActivationFunction=act, **rest)


def transpose_conv(x, w, y, stride, padding, **rest) -> Case:
    fields = {"Padding": padding, "StrideH": stride, "StrideW": stride}
    return layer("TRANSPOSE_CONV", "TransposeConvOptions", x, w, y, **fields, **rest)


def unary(name, x_scale, y_scale, options=None, shape=(2, 150), **fields) -> Case:
    tensors = [T("x", shape, "int16", scale=x_scale), T("y", shape, "int16", scale=y_scale)]
    return model(tensors, [O(name, [0], [1], options, fields)], [0], [1]), [codes(*shape)]


def binary(name, a, b, y, scales, options=None, dtype="int16", act=NONE) -> Case:
    tensors = [T("a", a, "int16", scale=scales[0]), T("b", b, "int16", scale=scales[1])]
    tensors += [T("y", y, dtype, scale=scales[2] if dtype == "int16" else None)]
    fields = {"FusedActivationFunction": act} if options else {}
    return model(tensors, [O(name, [0, 1], [2], options, fields)], [0, 1], [2]), [codes(*a), codes(*b)]


def compare(name) -> Case:
    data, (a, b) = binary(name, [3, 40], [3, 40], [3, 40], (0.1, 0.1), dtype="bool")
    return data, [a, np.where(RNG.integers(0, 2, a.shape) == 1, a, b).astype(np.int16)]


def pool(name, x, y, kernel, stride, padding, act=NONE) -> Case:
    fields = {"Padding": padding, "StrideH": stride, "StrideW": stride, "FilterHeight": kernel, "FilterWidth": kernel}
    tensors = [T("x", x, "int16", scale=0.0003), T("y", y, "int16", scale=0.0003)]
    op = O(name, [0], [1], "Pool2DOptions", {**fields, "FusedActivationFunction": act})
    return model(tensors, [op], [0], [1]), [codes(*x)]


def reduce(name, x, y, axes, scales, keep=True) -> Case:
    tensors = [T("x", x, "int16", scale=scales[0]), T("axes", [len(axes)], "int32", np.array(axes, np.int32))]
    tensors += [T("y", y, "int16", scale=scales[1])]
    op = O(name, [0, 1], [2], "ReducerOptions", {"KeepDims": keep})
    return model(tensors, [op], [0], [2]), [codes(*x)]


def quantize(x, y, x_scale, y_scale, x_zero=0, y_zero=0, name="QUANTIZE") -> Case:
    tensors = [T("x", [2, 200], x, scale=None if x == "float32" else x_scale, zero_point=x_zero)]
    tensors += [T("y", [2, 200], y, scale=None if y == "float32" else y_scale, zero_point=y_zero)]
    value = RNG.normal(0, 1, (2, 200)).astype(np.float32) if x == "float32" else codes(2, 200, dtype=x)
    return model(tensors, [O(name, [0], [1])], [0], [1]), [value]


def matmul(a, b, y, scales, **fields) -> Case:
    tensors = [T(n, s, "int16", scale=k) for n, s, k in zip("aby", (a, b, y), scales, strict=True)]
    op = O("BATCH_MATMUL", [0, 1], [2], "BatchMatMulOptions", fields)
    return model(tensors, [op], [0, 1], [2]), [codes(*a), codes(*b)]


def cases():
    yield "conv", conv([2, 7, 6, 5], [4, 3, 3, 5], [2, 4, 3, 4], stride=2, scales=4)
    yield "conv_relu_dilated", conv([1, 9, 9, 3], [4, 3, 2, 3], [1, 5, 7, 4], dilation=2, padding=VALID, act=RELU)
    yield "conv_bias_int32", conv([1, 7, 6, 5], [4, 3, 3, 5], [1, 7, 6, 4], bias="int32", scales=4, act=RELU6)
    yield "conv_no_bias", conv([1, 7, 6, 300], [2, 1, 1, 300], [1, 7, 6, 2], bias=None, scales=2)
    yield "depthwise", depthwise([1, 7, 6, 3], [1, 3, 3, 6], [1, 7, 6, 6], scales=6)
    yield "depthwise_relu", depthwise([1, 7, 7, 4], [1, 3, 2, 4], [1, 3, 3, 4], 2, VALID, RELU, scales=4)
    yield "linear", linear([4, 333], [7, 333], [4, 7])
    yield "linear_channels_relu", linear([4, 33], [7, 33], [4, 7], RELU, scales=7)
    yield "linear_no_bias", linear([4, 33], [7, 33], [4, 7], bias=None)
    yield "transpose_conv", transpose_conv([1, 4, 5, 3], [4, 3, 3, 3], [1, 9, 11, 4], 2, VALID, scales=4)
    yield "transpose_conv_same", transpose_conv([2, 4, 5, 3], [4, 3, 4, 3], [2, 7, 10, 4], 2, SAME, scales=4)
    yield "transpose_conv_bias_int16", transpose_conv([1, 3, 3, 2], [2, 2, 2, 2], [1, 6, 6, 2], 2, VALID, bias="int16")
    yield "transpose_conv_no_bias", transpose_conv([1, 3, 3, 2], [2, 5, 5, 2], [1, 3, 3, 2], 1, SAME, bias=None)
    yield "add", binary("ADD", [2, 3, 40], [2, 3, 40], [2, 3, 40], (1 / 4096, 1 / 5000, 1 / 3000), "AddOptions")
    yield (
        "add_broadcast_relu",
        binary("ADD", [2, 3, 40], [3, 1], [2, 3, 40], (0.1, 0.011, 0.09), "AddOptions", act=RELU),
    )
    yield "sub", binary("SUB", [2, 3, 40], [40], [2, 3, 40], (0.001, 0.0000087, 0.0006), "SubOptions")
    yield "sub_relu6", binary("SUB", [2, 40], [2, 40], [2, 40], (0.001, 0.0007, 0.001), "SubOptions", act=RELU6)
    yield "mul", binary("MUL", [2, 3, 40], [3, 1], [2, 3, 40], (0.001, 0.002, 0.03), "MulOptions")
    yield "mul_n1", binary("MUL", [2, 40], [2, 40], [2, 40], (0.001, 0.002, 0.001), "MulOptions", act=RELU_N1_TO_1)
    yield "squared_difference", binary("SQUARED_DIFFERENCE", [2, 40], [2, 40], [2, 40], (0.001, 0.0008, 0.09))
    yield "maximum", binary("MAXIMUM", [2, 40], [40], [2, 40], (0.1, 0.1, 0.1))
    yield "minimum", binary("MINIMUM", [2, 40], [2, 40], [2, 40], (0.1, 0.1, 0.1))
    for name in COMPARISONS:
        yield name.lower(), compare(name)
    yield "avg_pool", pool("AVERAGE_POOL_2D", [2, 7, 8, 3], [2, 4, 4, 3], 3, 2, SAME, RELU6)
    yield "max_pool", pool("MAX_POOL_2D", [2, 7, 8, 3], [2, 3, 3, 3], 3, 2, VALID, RELU)
    yield "mean", reduce("MEAN", [2, 3, 4, 5], [2, 1, 1, 5], [1, 2], (0.1, 0.06))
    yield "mean_of_one_scale", reduce("MEAN", [2, 3, 4, 5], [2, 5], [1, 2], (0.1, 0.1), False)
    yield "mean_of_a_middle_axis", reduce("MEAN", [2, 7, 5], [2, 5], [1], (0.1, 0.03), False)
    yield "sum", reduce("SUM", [2, 3, 4, 5], [2, 3, 4, 1], [3], (0.1, 0.31))
    yield "reduce_max", reduce("REDUCE_MAX", [2, 3, 4, 5], [2, 1, 1, 5], [1, 2], (0.1, 0.1))
    yield "reduce_min", reduce("REDUCE_MIN", [2, 3, 4, 5], [2, 3, 5], [2], (0.1, 0.1), False)
    yield "softmax", unary("SOFTMAX", 1 / 3000, 1 / 32768, "SoftmaxOptions", (4, 10), Beta=1.0)
    yield "softmax_flat", unary("SOFTMAX", 1 / 200000, 1 / 32768, "SoftmaxOptions", (2, 500), Beta=0.7)
    yield "softmax_steep", unary("SOFTMAX", 1 / 50, 1 / 32768, "SoftmaxOptions", (20, 3), Beta=1.0)
    for name, scales in (
        ("LOGISTIC", (1 / 4096, 1 / 5000, 0.0017, 1e-6)),
        ("TANH", (1 / 4096, 1 / 2048, 0.0011, 3e-6)),
    ):
        for i, scale in enumerate(scales):
            yield f"{name.lower()}_{i}", unary(name, scale, 1 / 32768)
    yield "exp", unary("EXP", 1 / 8192, 1 / 600)
    yield "log", unary("LOG", 1 / 4096, 1 / 4096)
    yield "gelu", unary("GELU", 1 / 4096, 1 / 4000, "GeluOptions")
    yield "leaky_relu", unary("LEAKY_RELU", 1 / 4096, 1 / 3000, "LeakyReluOptions", Alpha=0.1)
    yield "leaky_relu_same_scale", unary("LEAKY_RELU", 0.1, 0.1, "LeakyReluOptions", Alpha=0.3)
    yield "relu", unary("RELU", 1 / 4096, 1 / 3000)
    yield "relu6", unary("RELU6", 1 / 4096, 1 / 4096)
    yield "abs", unary("ABS", 1 / 4096, 1 / 7000)
    yield "abs_same_scale", unary("ABS", 0.1, 0.1)
    yield "batch_matmul", matmul([2, 3, 40], [40, 5], [2, 3, 5], (0.001, 0.002, 3.0))
    yield "batch_matmul_adjoint", matmul([2, 40, 3], [2, 5, 40], [2, 3, 5], (0.001, 0.002, 4.0), AdjX=True, AdjY=True)
    yield "quantize_float32", quantize("float32", "int16", None, 0.00009)
    yield "quantize_float32_zero_point", quantize("float32", "int16", None, 0.0001, y_zero=77)
    yield "quantize_int8", quantize("int8", "int16", 0.1, 0.0007, x_zero=-3)
    yield "quantize_int8_int32", quantize("int8", "int32", 0.1, 0.00001, x_zero=-3)
    yield "quantize_int16_int8", quantize("int16", "int8", 0.1, 21.0, x_zero=300, y_zero=5)
    yield "quantize_int16", quantize("int16", "int16", 0.1, 0.13)
    yield "quantize_int16_int32", quantize("int16", "int32", 0.1, 0.0003)
    yield "quantize_int32", quantize("int32", "int16", 1e-8, 0.0006)
    yield "quantize_int32_int8", quantize("int32", "int8", 1e-8, 0.15, y_zero=-9)
    yield "dequantize", quantize("int16", "float32", 0.0013, None, name="DEQUANTIZE")
    yield "dequantize_zero_point", quantize("int16", "float32", 0.0013, None, x_zero=-1000, name="DEQUANTIZE")


def tflm(data: bytes, inputs: list[np.ndarray]) -> np.ndarray:
    from tflite_micro.python.tflite_micro import runtime

    engine = runtime.Interpreter.from_bytes(data, arena_size=1 << 20)
    for i, x in enumerate(inputs):
        engine.set_input(x, i)
    engine.invoke()
    return np.asarray(engine.get_output(0))


def litert(data: bytes, inputs: list[np.ndarray]) -> np.ndarray:
    from ai_edge_litert.interpreter import Interpreter, OpResolverType

    engine = Interpreter(model_content=data, experimental_op_resolver_type=OpResolverType.BUILTIN_REF)
    engine.allocate_tensors()
    for detail, x in zip(engine.get_input_details(), inputs, strict=True):
        engine.set_tensor(detail["index"], x)
    engine.invoke()
    return np.asarray(engine.get_tensor(engine.get_output_details()[0]["index"]))


def main() -> None:
    found: dict[str, np.ndarray] = {}
    for name, (data, inputs) in cases():
        out = (litert if name in LITERT else tflm)(data, inputs)
        if name not in LITERT:
            try:
                other = litert(data, inputs)
                if (out != other).any():
                    print(f"{name}: TFLM and LiteRT differ on {int((out != other).sum())} of {out.size}")
            except (RuntimeError, ValueError) as error:
                print(f"{name}: LiteRT: {str(error).splitlines()[0][:80]}")
        found[f"{name}.model"] = np.frombuffer(data, np.uint8)
        found[f"{name}.out"] = out
        found.update({f"{name}.in{i}": x for i, x in enumerate(inputs)})
    np.savez_compressed(Path(__file__).with_name("tflm_int16.npz"), **found)


if __name__ == "__main__":
    main()
