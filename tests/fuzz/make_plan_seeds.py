"""Writes the seed corpus of fuzz_plan: small plans that together hold every op kind, entries, branches and scratch.

Usage: make_plan_seeds.py FOLDER
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

import pyedge as pe
from pyedge.model.graph import Graph, Op, Quantization, Tensor


def _rng() -> np.random.Generator:
    return np.random.default_rng(1)


def _int8_cnn(stride: int, padding: str, groups: int) -> Graph:
    """Convolution, depthwise, add, pooling, mean, linear, softmax on int8."""
    rng, b = _rng(), pe.GraphBuilder()
    x = b.input("x", (1, 6, 5, 4), "int8", scale=0.05, zero_point=3)
    w = b.constant(rng.integers(-127, 128, (8, 3, 3, 4 // groups), dtype=np.int8), scale=np.full(8, 0.01, np.float32))
    h = b.conv2d(x, w, stride=stride, padding=padding, groups=groups, scale=0.1, zero_point=-128, activation="relu")
    w = b.constant(rng.integers(-127, 128, (3, 2, 8), dtype=np.int8), scale=np.full(8, 0.02, np.float32), axis=2)
    d = b.depthwise_conv2d(h, w, padding="same", scale=0.1, zero_point=0)
    h = b.add(h, d, scale=0.15, zero_point=-5)
    h = b.max_pool2d(h, 2, stride=1, padding="same")
    m = b.mean(b.avg_pool2d(h, (2, 1), stride=1), (1, 2), scale=0.12, zero_point=1)
    w = b.constant(rng.integers(-127, 128, (5, 8), dtype=np.int8), scale=0.03)
    b.output("y", b.softmax(b.linear(m, w, scale=0.1, zero_point=0)))
    return b.build()


def _hybrid_cnn() -> Graph:
    """Layers of float32 by int8 weights."""
    rng, b = _rng(), pe.GraphBuilder()

    def weight(*shape: int) -> Tensor:
        return b.constant(rng.integers(-127, 128, shape, dtype=np.int8), scale=0.01)

    h = b.conv2d(b.input("x", (2, 5, 4, 3), "float32"), weight(4, 3, 3, 3), np.ones(4, np.float32), padding="same")
    h = b.depthwise_conv2d(h, weight(2, 2, 8), stride=2, activation="relu6")
    b.output("y", b.linear(b.reshape(h, (2, -1)), weight(5, 48)))
    return b.build()


def _f16_cnn(x: str, y: str) -> Graph:
    """Layers of float16 weights, activations of either float."""
    rng, b = _rng(), pe.GraphBuilder()

    def weight(*shape: int) -> Tensor:
        return b.constant(rng.normal(0, 1, shape).astype(np.float16))

    h = b.conv2d(b.input("x", (2, 5, 4, 4), x), weight(6, 3, 3, 2), np.ones(6, np.float32), groups=2)
    h = b.depthwise_conv2d(h, weight(2, 2, 12), stride=2, activation="relu6")
    b.output("y", b.linear(b.reshape(h, (2, -1)), weight(5, 72)))
    graph = b.build()
    graph.ops[-1].attrs["dtype"] = graph.tensors["y"].dtype = y
    return graph


def _optimizers() -> Graph:
    """A step of each optimizer on float32 and float16 weights, with clipping by norm and noise."""
    rng, b = _rng(), pe.GraphBuilder()
    g, step, rate = b.input("g", (6,)), b.input("step", (1,)), b.constant(np.array([0.1]))
    factor = b.op("sum_squares", g, b.op("sum_squares", g, None)[0])[0]
    noisy = b.op("gradient_noise", g, factor, rate, step, clip=1.0, seed=1, stream=2)[0]
    common = {"weight_decay": 0.1, "clip": 2.0, "rounding": "stochastic", "seed": 1, "start": 1}
    own: list[dict[str, Any]] = [
        {},
        {"momentum": 0.9, "nesterov": True},
        {"betas": (0.9, 0.99), "epsilon": 1e-8, "decoupled": True},
    ]
    for i, (kind, attrs) in enumerate(zip(("sgd_update", "momentum_update", "adam_update"), own, strict=True)):
        for dtype in ("float32", "float16"):
            states = [b.state(f"{kind}:{dtype}", rng.normal(0, 1, 7), dtype=dtype)]
            states += [b.state(f"{kind}:{dtype}/{k}", np.zeros(6)) for k in range(i)]
            operands = [states[0], noisy, rate, factor, step, *states[1:]]
            for state, y in zip(states, b.op(kind, *operands, outputs=1 + i, stream=i, **common, **attrs), strict=True):
                b.update(state, y)
    b.output("y", factor)
    return b.build()


def _f16_images() -> Graph:
    """What stands between layers, in float16."""
    b = pe.GraphBuilder()
    x = b.input("x", (2, 5, 4, 3), "float16")
    h = b.add(b.avg_pool2d(x, (1, 2), stride=1, padding="same"), b.max_pool2d(x, 2, stride=1, padding="same"))
    b.output("y", b.mean(b.add(h, b.mean(h, (1, 2), keepdims=True), activation="relu"), (1,)))
    return b.build()


def _uint8_cnn() -> Graph:
    """What a model that was uint8 becomes: weights with a zero point, codes shifted at both ends."""
    rng, graph = _rng(), Graph("uint8")
    steps = {"stride": (1, 1), "padding": "same"}
    conv = {**steps, "dilation": (1, 1), "activation": None}
    shapes = {"x": (1, 5, 4, 3), "a": (1, 5, 4, 3), "b": (1, 5, 4, 4), "c": (1, 5, 4, 8), "d": (1, 5, 4, 8)}
    for name, shape in {**shapes, "e": (20, 5), "y": (20, 5)}.items():
        dtype, zero = ("uint8", 128) if name in "xy" else ("int8", 0)
        quant = Quantization(np.array([0.05], np.float32), np.array([zero], np.int32))
        graph.add_tensor(Tensor(name, shape, dtype, None, quant))
    for name, shape in (("u", (4, 3, 3, 3)), ("v", (2, 2, 8)), ("w", (5, 8))):
        quant = Quantization(np.array([0.01], np.float32), np.array([7], np.int32))
        graph.add_tensor(Tensor(name, shape, "int8", rng.integers(-127, 128, shape, dtype=np.int8), quant))
    graph.ops = [
        Op("shift_codes", "in", ["x"], ["a"]),
        Op("conv2d_zero_point", "conv", ["a", "u"], ["b"], {**conv, "groups": 1}),
        Op("depthwise_conv2d_zero_point", "depthwise", ["b", "v"], ["c"], conv),
        Op("avg_pool2d_up", "pool", ["c"], ["d"], {**steps, "kernel": (2, 2), "activation": None}),
        Op("linear_zero_point", "linear", ["d", "w"], ["e"], {"activation": None, "keep_dims": False}),
        Op("shift_codes", "out", ["e"], ["y"]),
    ]
    graph.input_names, graph.output_names = ["x"], ["y"]
    return graph


def _float_cnn() -> Graph:
    """The same ops on float32, with broadcasting and clip."""
    rng, b = _rng(), pe.GraphBuilder()
    x = b.input("x", (2, 5, 4, 3), "float32")
    h = b.conv2d(x, rng.normal(0, 1, (4, 3, 3, 3)).astype(np.float32), np.ones(4, np.float32), padding="same")
    h = b.depthwise_conv2d(h, rng.normal(0, 1, (2, 2, 8)).astype(np.float32), stride=2, activation="relu6")
    h = b.clip(b.add(h, b.constant(rng.normal(0, 1, 8))), -1.0, 2.0)
    h = b.max_pool2d(b.avg_pool2d(h, (1, 2), stride=1, padding="same"), 2, stride=1, padding="same")
    h = b.linear(b.mean(h, (1, 2)), rng.normal(0, 1, (6, 8)).astype(np.float32), np.zeros(6, np.float32))
    b.output("y", b.softmax(b.reshape(h, (3, 4))))
    return b.build()


def _conversions() -> Graph:
    """Quantize, requantize, clip, dequantize; an int8 gate and an early exit."""
    b = pe.GraphBuilder()
    x = b.input("x", (3, 7), "float32")
    q = b.clip(b.quantize(b.quantize(x, 0.1, 5), 0.2, -3), -1.0, 3.0)

    def exit_early(inner: pe.GraphBuilder) -> Tensor:
        return inner.dequantize(q)

    def go_on(inner: pe.GraphBuilder) -> Tensor:
        return inner.softmax(inner.dequantize(q))

    b.output("y", b.cond(b.any_ge(q, 1.5), exit_early, go_on)[0])
    return b.build()


def _gate() -> Graph:
    b = pe.GraphBuilder()
    x = b.input("x", (9,), "float32")
    b.output("hit", b.any_ge(x, 0.5))
    b.output("same", b.reshape(x, (3, 3)))
    return b.build()


def _moves() -> Graph:
    """Strided copies, gather, scatter, resize, triangles, on elements of 1 to 8 bytes."""
    b = pe.GraphBuilder()
    x, i = b.input("x", (4, 5, 3), "float32"), b.input("i", (4, 2), "int64")
    [h] = b.op("transpose", x, perm=(2, 0, 1))
    [h] = b.op("gather", h, i, axis=1, batch_dims=0)
    b.output("gathered", b.op("trilu", h, np.int64(1), upper=True)[0])
    sizes: dict[str, Any] = {
        "sizes": (4, 7, 2),
        "scales": (1.0, 1.4, 0.7),
        "roi": (),
        "coordinates": "half_pixel",
        "nearest": "floor",
    }
    rest: dict[str, Any] = {"cubic_coeff": -0.75, "exclude_outside": False, "extrapolation": 0.0, "antialias": False}
    b.output("resized", b.op("resize", x, mode="cubic", **sizes, **rest)[0])
    codes = b.input("codes", (4, 5, 3), "int8")
    b.output("resized_codes", b.op("resize", codes, mode="linear", **sizes, **rest)[0])
    wide = b.input("wide", (4, 2), "float64")
    for reduction in ("none", "add"):
        [y] = b.op("scatter_elements", wide, i, wide, axis=0, reduction=reduction)
        b.output(
            f"scattered_{reduction}",
            b.op("reverse_sequence", y, np.array([1, 2], np.int32), batch_axis=1, time_axis=0)[0],
        )
    return b.build()


def _orders() -> Graph:
    """Reductions, order and running sums of float32 and of other dtypes."""
    b = pe.GraphBuilder()
    x, half = b.input("x", (3, 4, 2), "float32"), b.input("half", (3, 4, 2), "float16")
    for name, t in (("x", x), ("half", half)):
        for kind in ("reduce_sum_square", "reduce_log_sum_exp", "reduce_max"):
            b.output(f"{name}_{kind}", b.op(kind, t, axes=(1,), keepdims=False)[0])
        b.output(f"{name}_cumsum", b.op("cumsum", t, np.int32(1), exclusive=True, reverse=True)[0])
    index: dict[str, Any] = {"axis": 1, "dtype": "int32"}
    for n, y in enumerate(b.op("topk", half, outputs=2, k=3, largest=True, sorted=True, **index)):
        b.output(f"top_{n}", y)
    b.output("arg", b.op("arg_min", x, keepdims=True, select_last=True, **index)[0])
    return b.build()


def _layers() -> Graph:
    """Matrix products, convolutions and pools of any rank, recurrent cells, softmax along any axis."""
    rng, b = _rng(), pe.GraphBuilder()
    x, image = b.input("x", (2, 3, 4), "float32"), b.input("image", (1, 5, 6, 2), "float32")
    codes, q = b.input("codes", (2, 3, 4), "int8"), b.input("q", (2, 3, 4), "int8", scale=0.1, zero_point=2)
    scale, zero = np.ones(1, np.float32), np.zeros(1, np.int8)

    def floats(*shape: int) -> np.ndarray:
        return rng.normal(0, 1, shape).astype(np.float32)

    def out(kind: str, *operands: Tensor | np.ndarray | None, outputs: int = 1, **attrs: Any) -> None:
        name = f"{kind}_{len(found)}"
        found.extend(b.op(kind, *operands, outputs=outputs, name=name, **attrs))

    found: list[Tensor] = []
    ints = rng.integers(-9, 9, (4, 5), dtype=np.int8)
    out("matmul", x, floats(4, 5), transpose_a=False, transpose_b=False, activation=None)
    out("matmul", q, q, transpose_a=False, transpose_b=True, activation=None, scale=0.2)
    out("einsum", x, floats(4, 5), equation="abc,cd->abd")
    out("matmul_integer", codes, ints, None, None)
    out("qlinear_matmul", codes, scale, zero, ints, scale, zero, scale, zero)
    steps: dict[str, Any] = {"strides": (1, 2), "dilations": (1, 1), "pads": ((1, 0), (0, 1)), "groups": 1}
    line: dict[str, Any] = {"strides": (1,), "dilations": (1,), "pads": ((1, 0),), "groups": 1}
    out("conv", x, floats(3, 2, 4), None, **line, activation=None)
    cube: dict[str, Any] = {"strides": (1, 2, 1), "dilations": (1, 1, 1), "pads": ((0, 1),) * 3, "groups": 1}
    out("conv", b.op("reshape", image, shape=(1, 5, 2, 3, 2))[0], floats(3, 2, 2, 2, 2), None, **cube, activation=None)
    out("conv_integer", codes, ints[:, :4].reshape(2, 2, 4), None, None, **line)
    out("qlinear_conv", codes, scale, zero, ints[:, :4].reshape(2, 2, 4), scale, zero, scale, zero, None, **line)
    out("conv_transpose", x, floats(3, 2, 4), None, **line, output_padding=(0,), activation=None)
    w = b.constant(ints[:, :4].reshape(2, 2, 4), scale=0.1)
    out("conv_transpose", q, w, None, **line, output_padding=(0,), activation=None, scale=0.5)
    deform: dict[str, Any] = {
        "strides": (1, 1),
        "dilations": (1, 1),
        "pads": ((0, 0), (0, 0)),
        "groups": 1,
        "offset_groups": 1,
    }
    out("deform_conv", image, floats(3, 2, 2, 2), floats(1, 4, 5, 8), None, None, **deform)
    pool: dict[str, Any] = {"kernels": (2, 2), **{k: v for k, v in steps.items() if k != "groups"}, "ceil_mode": False}
    out("avg_pool", image, **pool, count_include_pad=True)
    out("lp_pool", image, **pool, exponent=2)
    out("max_pool", image, **pool, indices=False, column_major=False)
    out("max_pool", image, outputs=2, **pool, indices=True, column_major=False)
    out("max_unpool", found[-2], found[-1], shape=(1, 5, 6, 2))
    out("softmax", x, axis=1, beta=1.0)
    out("log_softmax", x, axis=1)
    out("hardmax", x, axis=1)
    rnn: dict[str, Any] = {"direction": "forward", "clip": float("inf"), "batch_first": False}
    for kind, gates, functions in (("rnn", 1, ("tanh",)), ("gru", 3, ("sigmoid", "tanh")), ("lstm", 4, _LSTM)):
        own: dict[str, Any] = {"gru": {"linear_before_reset": False}, "lstm": {"input_forget": False}}.get(kind, {})
        attrs: dict[str, Any] = {
            **rnn,
            "activations": functions,
            "alphas": (0.0,) * len(functions),
            "betas": (0.0,) * len(functions),
        }
        weights = floats(1, gates * 2, 4), floats(1, gates * 2, 2)
        out(kind, x, *weights, outputs=3 if kind == "lstm" else 2, **attrs, **own)
    for i, t in enumerate(found):
        b.output(f"out{i}", t)
    return b.build()


_LSTM = ("sigmoid", "tanh", "tanh")


def _apply(b: pe.GraphBuilder, kind: str, operands: list[Tensor], **attrs: Any) -> Tensor:
    """An op with one result."""
    return b.op(kind, *operands, **attrs)[0]


def _elementwise() -> Graph:
    """Each kind of elementwise op: functions, broadcasting, casts, scales, int8."""
    b = pe.GraphBuilder()
    x, q = b.input("x", (2, 3), "float32"), b.input("q", (2, 3), "int8", scale=0.1, zero_point=3)
    h = _apply(b, "exp", [_apply(b, "sin", [_apply(b, "sqrt", [_apply(b, "abs", [x])])])])
    h = _apply(b, "pow", [_apply(b, "sub", [h, b.constant(np.ones(3))]), b.constant(np.array(2.0))])
    b.output("where", _apply(b, "where", [_apply(b, "less", [x, h]), x, h]))
    half = _apply(b, "cast", [x], to="float16", saturate=1, round_mode="up", from_format=None, to_format=None)
    b.output("half", _apply(b, "mul", [_apply(b, "erf", [half]), half]))
    scales = [b.constant(np.array([0.1, 0.2, 0.3])), b.constant(np.array([1, 2, 3], np.uint8))]
    codes = _apply(
        b, "quantize_linear", [x, *scales], axis=1, block_size=0, dtype="uint8", format="float8_e4m3fn", saturate=1
    )
    b.output(
        "real", _apply(b, "dequantize_linear", [codes, *scales], axis=1, block_size=0, dtype="float32", format=None)
    )
    table = _apply(b, "hard_swish", [q], scale=0.1, zero_point=-5)
    b.output("mul", _apply(b, "mul", [table, q], scale=0.2, zero_point=1))
    return b.build()


def _states() -> Graph:
    """States: one computed in place, one of an `if`, one that is another's old value."""
    b = pe.GraphBuilder()
    x, one = b.input("x", (2, 4), "float32"), b.constant(np.ones(1))
    total, last = b.state("total", np.zeros((2, 4))), b.state("last", np.arange(8.0).reshape(2, 4))
    b.update(total, b.cond(b.any_ge(x, 1.0), lambda g: g.add(total, x), lambda g: g.add(total, one))[0])
    b.update(last, total)
    b.output("y", b.add(total, last))
    return b.build()


def _signals() -> Graph:
    """Each signal op, with the noise estimate as a state."""
    b, rng = pe.GraphBuilder(), np.random.default_rng(3)

    def vector(n: int, top: int) -> np.ndarray:
        return rng.integers(0, top, n).astype(np.int16)

    x = b.input("x", (2, 14), "int16")
    (frame,) = b.op("slice", x, starts=(0,), ends=(1,), axes=(0,), steps=(1,))
    scaled, bits = b.op("signal_auto_scale", b.op("signal_window", frame, vector(14, 4096), shift=12)[0], outputs=2)
    spectrum = b.op("reshape", b.op("signal_rfft", scaled, length=16)[0], shape=(18,))[0]
    bank = vector(12, 4096), vector(12, 4096), np.array([1, 4, 6], np.int16), np.array([0, 3, 6], np.int16)
    energy = b.op("signal_energy", spectrum, start=1, end=8)[0]
    roots = b.op("signal_square_root", b.op("signal_filter_bank", energy, *bank, vector(3, 4))[0], bits)[0]
    noise = b.state("noise", np.zeros(2, np.uint32))
    rates: dict[str, Any] = {"smoothing": (409, 983), "keep": (15975, 15401), "min_remaining": 819}
    levels = {"smoothing_bits": 10, "bits": 14, "clamping": True}
    signal, estimate = b.op("signal_spectral_subtraction", roots, noise, outputs=2, **rates, **levels)
    b.update(noise, estimate)
    log = b.op("signal_log", b.op("signal_pcan", signal, estimate, vector(125, 999), shift=6)[0], bits=3, factor=64)[0]
    b.output("codes", b.op("signal_codes", log, multiplier=256, addend=333, divisor=666, offset=-128, scale=0.1)[0])
    pairs = _apply(b, "signal_frames", [x], size=8, step=6)
    done, rest = b.op("signal_overlap_add", pairs, np.zeros((2, 8), np.int16), outputs=2, step=6)
    b.output("done", done)
    b.output("rest", rest)
    for dtype in ("int32", "float32"):
        z = b.input(dtype, (1, 10), dtype)
        b.output(f"{dtype}_back", b.op("signal_irfft", b.op("signal_rfft", z, length=16)[0])[0])
    floats = np.ones((2, 12), np.float32)
    real = b.op("reshape", b.input("real", (1, 9), "float32"), shape=(9,))[0]
    b.output("bands", b.op("signal_filter_bank", real, *floats, *bank[2:], vector(3, 4))[0])
    b.output("int16_back", b.op("signal_irfft", b.op("signal_rfft", x, length=32)[0])[0])
    return b.build()


def _int16() -> Graph:
    """Layers, elementwise functions, products and conversions of int16."""
    rng, scale = np.random.default_rng(6), 0.001
    b = pe.GraphBuilder()
    x = b.quantize(b.input("x", (1, 5, 4, 3), "float32"), scale, dtype="int16")
    w = b.constant(rng.integers(-127, 128, (2, 3, 3, 3), dtype=np.int8), scale=np.full(2, 0.01, np.float32))
    h = b.conv2d(x, w, np.array([1 << 35, -5], np.int64), stride=2, scale=0.002, activation="relu")
    b.output("narrow", b.conv2d(x, w, np.array([7, -5], np.int32), padding="valid", scale=0.002))
    w = b.constant(rng.integers(-127, 128, (2, 2, 4), dtype=np.int8), scale=0.02)
    h = b.depthwise_conv2d(h, w, scale=0.003)
    up = {"strides": (2, 2), "dilations": (1, 1), "pads": ((0, 1), (1, 0)), "groups": 1, "output_padding": (0, 0)}
    w = b.constant(rng.integers(-127, 128, (3, 2, 3, 4), dtype=np.int8), scale=0.02)
    b.output("up", _apply(b, "conv_transpose", [h, w], scale=0.01, activation=None, **up))
    b.output("max", b.max_pool2d(x, 2, padding="same"))
    h = b.add(b.avg_pool2d(h, 2, stride=1, padding="same"), h, scale=0.004)
    h = _apply(b, "mul", [_apply(b, "leaky_relu", [h], alpha=0.1), _apply(b, "tanh", [h], scale=1 / 32768)], scale=0.01)
    b.output("exp", _apply(b, "exp", [h], scale=0.01))
    b.output("less", _apply(b, "less", [h, h]))
    m = b.mean(h, (1, 2), scale=0.01)
    w = b.constant(rng.integers(-127, 128, (3, 4), dtype=np.int8), scale=0.02)
    b.output("y", b.dequantize(b.softmax(b.linear(m, w, scale=0.02))))
    product = _apply(b, "matmul", [m, m], scale=0.1, transpose_a=False, transpose_b=True, activation=None)
    b.output("code", b.quantize(product, 1.0, 3))
    return b.build()


def _int8_norms() -> Graph:
    """Sums, norms and division of int8."""
    b = pe.GraphBuilder()
    x, y = (b.input(n, (3, 8), "int8", scale=0.05, zero_point=z) for n, z in (("x", 7), ("y", -3)))
    total = b.op("add_n", x, x, x, scale=0.2, zero_point=1)[0]
    b.output("sums", b.op("cumsum", total, np.int32(1), exclusive=True, reverse=False, scale=0.5)[0])
    b.output("norms", b.op("l2_norm", x, scale=1 / 128)[0])
    b.output("logs", b.op("log_softmax", x, scale=1 / 16, zero_point=127, axis=-1)[0])
    b.output("quotients", b.op("div", x, y, scale=0.1, zero_point=2)[0])
    return b.build()


def _detections() -> Graph:
    """Non-maximum suppression, of all classes together and of each."""
    b = pe.GraphBuilder()
    boxes, scores = b.input("boxes", (9, 4), "float32"), b.input("scores", (9, 4), "float32")
    attrs: dict[str, Any] = {"max_detections": 4, "per_box": 2, "per_class": 3, "classes": 3}
    attrs |= {"score_threshold": 0.1, "iou_threshold": 0.5}
    for regular in (False, True):
        for i, t in enumerate(b.op("multiclass_nms", boxes, scores, outputs=4, regular=regular, **attrs)):
            b.output(f"{regular}:{i}", t)
    return b.build()


def _sequences() -> dict[str, Graph]:
    """TFLite's LSTM and SVDF, of floats and of codes, their states in place."""
    rng = _rng()

    def graph(quantized: bool, wide: bool = False) -> Graph:
        b = pe.GraphBuilder()
        dtype = "int8" if quantized else "float32"

        def codes(*shape: int, scale: Any = None, dtype: str = dtype) -> Tensor:
            value = rng.integers(-100, 100, shape)
            return b.constant(value.astype(dtype), scale=scale if dtype in ("int8", "int16") else None)

        x_dtype, bias = ("int16", "int64") if wide else (dtype, "int32" if quantized else dtype)
        zero_point = 3 if x_dtype == "int8" else 0
        x = b.input("x", (2, 3, 4), x_dtype, scale=0.05 if quantized else None, zero_point=zero_point)
        h = b.state("h", np.zeros((2, 5), x_dtype), scale=0.01 if quantized else None)
        c = b.state("c", np.zeros((2, 5), "int16" if quantized else dtype), scale=2.0**-12 if quantized else None)
        gates = [codes(4, 5, 4, scale=[0.01] * 4), codes(4, 5, 5, scale=[0.02] * 4)]
        gates.append(codes(4, 5, dtype=bias))
        y, *new = b.op(
            "lstm_sequence",
            x,
            *gates,
            h,
            c,
            outputs=3,
            scale=0.01 if quantized else None,
            time_major=False,
            cell_clip=3.0,
        )
        y.quant, new[0].quant, new[1].quant = h.quant, h.quant, c.quant
        b.update(h, new[0])
        b.update(c, new[1])
        b.output("y", y)
        for kind in () if wide else ("int8", "int16") if quantized else ("float32",):
            state = b.state(f"line {kind}", np.zeros((2, 12), kind), scale=0.01 if quantized else None)
            frame = b.reshape(b.op("slice", x, starts=(0,), ends=(1,), axes=(1,), steps=(1,))[0], (2, 4))
            operands = [codes(4, 4, scale=0.01), codes(4, 3, scale=0.01, dtype=kind)]
            operands.append(codes(2, dtype="int32" if quantized else dtype))
            unit, line = b.op("svdf", frame, *operands, state, outputs=2, scale=0.1, rank=2, activation="relu")
            line.quant = state.quant
            b.update(state, line)
            b.output(f"unit {kind}", unit)
        return b.build()

    return {"sequences_f32": graph(False), "sequences_s8": graph(True), "sequences_s16": graph(True, wide=True)}


def _gradients(dtype: str) -> Graph:
    """Backwards through layers and pools, by operands of one dtype and results of float32 and of dtype."""
    rng, b = _rng(), pe.GraphBuilder()
    numpy_dtype = np.dtype(dtype)

    def weight(*shape: int) -> Tensor:
        return b.constant(rng.normal(0, 1, shape).astype(numpy_dtype))

    def layer(i: int, kind: str, dy: Tensor, x: Tensor, w: Tensor, **attrs: Any) -> Tensor:
        """The weight gradient is an output, that of x goes on."""
        kernel = {} if kind == "linear" else {"kernel": w.shape[:2] if kind == "depthwise" else w.shape[1:3]}
        size = {} if kind == "linear" else {"size": x.shape[1:3]}
        size |= {"multiplier": 2} if kind == "depthwise" else {}
        b.output(f"dw{i}", b.op(f"{kind}_wgrad", dy, x, **attrs, **kernel, dtype=["float32", dtype][i % 2])[0])
        db = b.op("bias_grad", dy, dtype="float32")[0]
        b.output(f"db{i}", b.op("bias_grad", dy, db, dtype=["float32", dtype][i % 2])[0])
        return b.op(f"{kind}_dgrad", dy, w, **attrs, **size, dtype=[dtype, "float32"][i % 2])[0]

    def pooled(kind: str, *operands: Tensor, **attrs: Any) -> Tensor:
        window = {"kernels": (2, 2), "strides": (1, 2), "dilations": (1, 1), "pads": ((1, 0), (0, 1))}
        return b.op(kind, *operands, **window, **attrs, dtype=dtype)[0]

    steps: dict[str, Any] = {"dilation": (1, 1), "padding": "same"}
    dy = layer(0, "linear", b.input("dy", (2, 5), dtype), b.input("x0", (2, 24), dtype), weight(5, 24))
    dy = b.op("clip_grad", b.reshape(dy, (2, 3, 2, 4)), b.input("y0", (2, 3, 2, 4), dtype), min=0.0, max=6.0)[0]
    dy = b.op("mask_grad", dy, b.op("clip_mask", b.input("y1", (3, 2, 8), dtype), min=0.0, max=6.0)[0])[0]
    dy = pooled("max_pool_grad", dy, b.input("x1", (2, 3, 3, 4), dtype))
    dy = layer(1, "depthwise", dy, b.input("x2", (2, 5, 6, 2), dtype), weight(3, 2, 4), stride=(2, 2), **steps)
    dy = pooled("avg_pool_grad", dy, size=(5, 11), count_include_pad=True)
    dy = layer(
        2, "conv2d", dy, b.input("x3", (2, 5, 11, 4), dtype), weight(2, 3, 3, 2), stride=(1, 1), groups=2, **steps
    )
    x4 = b.input("x4", (2, 7, 21, 3), dtype)
    b.output(
        "dx", layer(3, "conv2d", dy, x4, weight(4, 2, 1, 3), stride=(1, 2), groups=1, dilation=(2, 1), padding="valid")
    )
    return b.build()


def _custom() -> Graph:
    """The op of examples/custom_op, of the source number that the fuzzer is built with."""
    root = Path(__file__).resolve().parents[2]
    with tempfile.TemporaryDirectory() as work:
        library = Path(work, "kernel.so")
        flags = ["-shared", "-fPIC", "-DPE_CUSTOM_SOURCE=1", f"-I{root / 'csrc/include'}"]
        subprocess.run(["cc", *flags, root / "examples/custom_op/kernel.c", "-o", library], check=True)
        pe.register_op(
            "smooth",
            "typedef struct { float alpha; } smooth_params;",
            shapes=lambda tensors, attrs: [(tensors[0].shape, "float32")],
            reference=lambda arrays, attrs, tensors: arrays[0],  # nobody compares
            library=library,
        )
    b = pe.GraphBuilder()
    b.output("y", b.relu(b.op("smooth", b.input("x", (2, 3, 4), "float32"), alpha=0.5)[0]))
    return b.build()


def plans() -> dict[str, pe.Plan]:
    """The seeds by name."""
    return {
        "elementwise": pe.compile(_elementwise()),
        "custom": pe.compile(_custom()),
        "cnn_s8": pe.compile(_int8_cnn(1, "same", 1)),
        "cnn_s8_strided": pe.compile(_int8_cnn(2, "valid", 2)),
        "cnn_s8_litert_ref": pe.compile(_int8_cnn(1, "same", 1), rounding="litert-ref"),
        "cnn_s8_kept": pe.compile(_int8_cnn(1, "same", 1), keep="all"),
        "cnn_hybrid": pe.compile(_hybrid_cnn()),
        "optimizers": pe.compile(_optimizers()),
        "gradients_f32": pe.compile(_gradients("float32")),
        "gradients_f16": pe.compile(_gradients("float16")),
        "gradients_fast16": pe.compile(_gradients("float16"), mode="fast16"),
        "cnn_f16": pe.compile(_f16_cnn("float32", "float16")),
        "cnn_fast16": pe.compile(_f16_cnn("float16", "float32"), mode="fast16"),
        "images_f16": pe.compile(_f16_images()),
        "cnn_uint8": pe.compile(_uint8_cnn()),
        "int16": pe.compile(_int16()),
        "cnn_f32": pe.compile(_float_cnn()),
        "cnn_f32_kept": pe.compile(_float_cnn(), keep="all"),
        "layers": pe.compile(_layers()),
        "cnn_s8_fp32": pe.compile(_int8_cnn(1, "same", 1), rounding="fp32"),
        "moves": pe.compile(_moves()),
        "orders": pe.compile(_orders()),
        "conversions": pe.compile(_conversions()),
        "norms_s8": pe.compile(_int8_norms()),
        "detections": pe.compile(_detections()),
        "states": pe.compile(_states()),
        **{name: pe.compile(graph) for name, graph in _sequences().items()},
        "signals": pe.compile(_signals()),
        "entries": pe.compile({"main": _conversions(), "gate": _gate()}),
    }


def main(folder: str) -> None:
    target = Path(folder)
    target.mkdir(parents=True, exist_ok=True)
    for name, plan in plans().items():
        plan.save(target / f"{name}.pedge")


if __name__ == "__main__":
    main(*sys.argv[1:])
