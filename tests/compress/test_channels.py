"""Dead channels go, and no bit of an output changes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import pyedge as pe
from pyedge.compress.channels import ChannelReport, remove_dead_channels
from pyedge.compress.ranges import ranges
from pyedge.model import reference
from pyedge.model.ops import infer_shapes

Make = Callable[[pe.GraphBuilder, pe.Tensor], pe.Tensor]
Q: dict[str, Any] = {"scale": 0.05, "zero_point": 4}


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def codes(b: pe.GraphBuilder, *shape: int, seed: int = 0, axis: int = 0, dead: Any = None) -> pe.Tensor:
    """int8 weights with a scale for each slice of axis; those of `dead` are zero."""
    w = rng(seed).integers(-127, 128, shape).astype(np.int8)
    if dead is not None:
        w[dead] = 0
    return b.constant(w, scale=rng(seed + 1).uniform(0.002, 0.01, shape[axis]), axis=axis)


def outputs(graph: pe.Graph, seed: int, nan: bool = False, rounding: str = "tflite") -> list[np.ndarray]:
    """What the executor gives for random inputs, as bits; nan: infinities and NaNs among them."""
    r = rng(seed)
    feeds = []
    for t in graph.inputs:
        if t.dtype == "int8":
            feeds.append(r.integers(-128, 128, t.shape).astype(np.int8))
            continue
        x = r.normal(size=t.shape).astype(np.float32) * 3
        if nan:
            x.flat[r.integers(0, x.size, 1 + x.size // 8)] = r.choice([np.nan, np.inf, -np.inf, -0.0], 1 + x.size // 8)
        feeds.append(x)
    return [y.view(np.uint8) for y in pe.Session(pe.compile(graph, keep="all", rounding=rounding)).run(feeds)]


def slimmed(graph: pe.Graph, nan: bool = False, rounding: str = "tflite") -> tuple[pe.Graph, ChannelReport]:
    """The pass on a graph: same names, shapes and bits outside, and the graph that came in untouched."""
    before = repr(graph), [repr(op) for op in graph.ops], {n: t.shape for n, t in graph.tensors.items()}
    slim, report = remove_dead_channels(graph, rounding)
    after = repr(graph), [repr(op) for op in graph.ops], {n: t.shape for n, t in graph.tensors.items()}
    assert before == after
    for old, new in zip((*graph.inputs, *graph.outputs), (*slim.inputs, *slim.outputs), strict=True):
        assert (old.name, old.shape, old.dtype) == (new.name, new.shape, new.dtype)
    for seed in range(3):
        for a, b in zip(outputs(graph, seed, nan, rounding), outputs(slim, seed, nan, rounding), strict=True):
            np.testing.assert_array_equal(a, b)
    return slim, report


def planted(middle: Make, bias: int = 0, dead: Any = (1, 4)) -> pe.Graph:
    """A convolution "first" with two channels that are constant, what `middle` makes of them, a 1x1 convolution."""
    b = pe.GraphBuilder()
    x = b.input("x", (1, 6, 7, 3), "int8", scale=0.02, zero_point=-3)
    start = rng(7).integers(-900, 900, 6).astype(np.int32)
    start[list(dead)] = bias
    h = b.conv2d(x, codes(b, 6, 3, 3, 3, dead=list(dead)), start, **Q, name="first")
    h = middle(b, h)
    shape = h.shape if len(h.shape) == 4 else (1, 1, 1, int(np.prod([d or 1 for d in h.shape])))
    h = b.reshape(h, shape) if shape != h.shape else h
    b.output("y", b.conv2d(h, codes(b, 5, 1, 1, shape[-1] or 0, seed=3), scale=0.3, zero_point=1, name="last"))
    return b.build()


def weight_channels(graph: pe.Graph, name: str) -> int:
    (op,) = (op for op in graph.ops if op.name == name)
    return int(graph.tensors[op.inputs[1] or ""].shape[0] or 0)


def _depthwise(padding: str) -> Make:
    return lambda b, h: b.depthwise_conv2d(h, codes(b, 3, 3, 12, axis=2, seed=5), padding=padding, **Q)


def _linear(b: pe.GraphBuilder, h: pe.Tensor) -> pe.Tensor:
    return b.linear(b.reshape(h, (1, 252)), codes(b, 8, 252, seed=2), scale=0.2, zero_point=-9)


def _add(b: pe.GraphBuilder, h: pe.Tensor) -> pe.Tensor:
    return b.add(h, b.constant(rng(2).integers(-128, 128, (1, 6)).astype(np.int8), scale=0.03), **Q, activation="relu6")


def _padded(b: pe.GraphBuilder, h: pe.Tensor) -> pe.Tensor:
    return b.op("pad", h, mode="constant", pads=((0, 0), (1, 2), (0, 1), (0, 0)))[0]


def _concat(b: pe.GraphBuilder, h: pe.Tensor) -> pe.Tensor:
    other = b.conv2d(h, codes(b, 3, 1, 1, 6, seed=8), **Q, name="other")
    return b.op("concat", h, other, h, axis=-1)[0]


MIDDLES: dict[str, Make] = {
    "conv": lambda b, h: b.conv2d(h, codes(b, 4, 3, 3, 6, seed=9), scale=0.3, zero_point=2),
    "depthwise": _depthwise("valid"),
    "padded depthwise": _depthwise("same"),
    "linear": _linear,
    "add": _add,
    "residual": lambda b, h: b.add(h, b.relu(h), scale=0.1, zero_point=-7),
    "avg_pool": lambda b, h: b.avg_pool2d(h, (2, 3), padding="same"),
    "max_pool": lambda b, h: b.max_pool2d(h, 3, stride=2),
    "pad": _padded,
    "mean": lambda b, h: b.mean(h, (1, 2), scale=0.05, zero_point=4),
    "relu": lambda b, h: b.relu(h),
    "quantize": lambda b, h: b.quantize(h, 0.08, 11),
    "concat": _concat,
    "reshape": lambda b, h: b.reshape(h, (1, 7, 6, 6)),
    "nothing": lambda b, h: h,
}


@pytest.mark.parametrize("rounding", ["tflite", "litert-ref", "fp32"])
@pytest.mark.parametrize("middle", MIDDLES)
def test_a_constant_channel_goes_through_each_kind(middle: str, rounding: str) -> None:
    """Its value is the zero point, so that padding has it, too."""
    slim, report = slimmed(planted(MIDDLES[middle]), rounding=rounding)
    assert weight_channels(slim, "first") == 4
    assert report.channels["first"] == (6, 4)
    assert report.macs_after < report.macs_before and report.weight_bytes_after < report.weight_bytes_before


@pytest.mark.parametrize("middle", [m for m in MIDDLES if m not in ("conv", "padded depthwise", "pad")])
def test_a_constant_that_is_not_zero_goes_where_nothing_is_padded(middle: str) -> None:
    slim, _ = slimmed(planted(MIDDLES[middle], bias=2000))
    assert weight_channels(slim, "first") == 4


@pytest.mark.parametrize("middle", ["conv", "padded depthwise", "pad"])
def test_a_constant_that_is_not_zero_stays_where_the_border_differs(middle: str) -> None:
    slim, _ = slimmed(planted(MIDDLES[middle], bias=2000))
    assert weight_channels(slim, "first") == 6


def test_a_channel_is_constant_where_its_activation_cuts_off_every_sum() -> None:
    b = pe.GraphBuilder()
    x = b.input("x", (1, 5, 5, 2), "int8", scale=0.02, zero_point=7)
    bias = np.array([-300000, 0, 300000, 5], np.int32)
    h = b.conv2d(x, codes(b, 4, 3, 3, 2), bias, activation="relu6", scale=0.02, zero_point=-128, name="first")
    b.output("y", b.conv2d(h, codes(b, 3, 1, 1, 4), scale=0.5, name="last"))
    slim, _ = slimmed(b.build())
    assert weight_channels(slim, "first") == 2


def test_channels_that_nobody_reads_go_back_to_where_they_begin() -> None:
    b = pe.GraphBuilder()
    x = b.input("x", (2, 6, 6, 3), "int8", scale=0.02)
    h = b.conv2d(x, codes(b, 8, 3, 3, 3), **Q, name="first")
    h = b.depthwise_conv2d(h, codes(b, 3, 3, 8, axis=2), activation="relu", **Q)
    h = b.conv2d(h, codes(b, 6, 1, 1, 8, dead=np.s_[..., :4]), **Q, name="second")  # does not read 0 .. 3
    b.output("y", b.conv2d(h, codes(b, 4, 1, 1, 6, dead=np.s_[..., 1]), scale=0.4))
    slim, report = slimmed(b.build())
    assert weight_channels(slim, "first") == 4
    assert weight_channels(slim, "second") == 5
    assert sum(report.channels["first"]) == 12


def test_a_channel_that_an_output_or_an_unknown_op_reads_stays() -> None:
    b = pe.GraphBuilder()
    x = b.input("x", (1, 4, 4, 3), "int8", scale=0.02)
    h = b.conv2d(x, codes(b, 4, 1, 1, 3, dead=[0]), **Q, name="shown")
    b.output("shown", h)
    h = b.conv2d(h, codes(b, 4, 1, 1, 4, dead=[2]), **Q, name="mixed")
    h = b.op("transpose", h, perm=(0, 3, 1, 2))[0]
    b.output("y", b.conv2d(h, codes(b, 2, 1, 1, 4), scale=0.4))
    slim, report = slimmed(b.build())
    assert report.channels == {}
    assert (weight_channels(slim, "shown"), weight_channels(slim, "mixed")) == (4, 4)


def test_a_layer_that_reads_only_constants_keeps_one_channel() -> None:
    slim, _ = slimmed(planted(MIDDLES["nothing"], dead=range(6)))
    assert weight_channels(slim, "first") == 1


def test_a_shared_weight_is_cut_for_each_layer_of_its_own() -> None:
    b = pe.GraphBuilder()
    x = b.input("x", (1, 4, 4, 4), "int8", scale=0.02)
    w = codes(b, 4, 1, 1, 4, dead=[0])
    h = b.conv2d(b.conv2d(x, w, **Q, name="one"), w, **Q, name="two")
    b.output("y", h)
    slim, _ = slimmed(b.build())
    assert (weight_channels(slim, "one"), weight_channels(slim, "two")) == (3, 4)


def test_a_state_keeps_its_channels() -> None:
    b = pe.GraphBuilder()
    x = b.input("x", (1, 4), "int8", scale=0.02)
    s = b.state("s", np.zeros((1, 4), np.int8), scale=0.05, zero_point=4)
    h = b.add(b.linear(x, codes(b, 4, 4, dead=[1]), **Q, name="first"), s, **Q)
    b.update(s, h)
    b.output("y", b.linear(h, codes(b, 3, 4, dead=np.s_[:, 2]), scale=0.3))
    assert remove_dead_channels(b.build())[1].channels == {}


# --- floats -----------------------------------------------------------------------------------------------------------


def float_layers(x_is_finite: bool, activation: str | None) -> pe.Graph:
    """Channel 1 has weights and bias 0, channel 3 is read by weights of 0."""
    b = pe.GraphBuilder()
    if x_is_finite:
        x = b.dequantize(b.input("x", (1, 5, 5, 3), "int8", scale=0.02, zero_point=9))
    else:
        x = b.relu6(b.input("x", (1, 5, 5, 3)))
    w, v = rng(1).normal(size=(5, 3, 3, 3)), rng(2).normal(size=(4, 3, 3, 5))
    bias = rng(3).normal(size=5)
    w[1], bias[1], v[..., 3] = 0, 0, 0
    h = b.conv2d(x, w, bias, activation="relu", name="first")
    b.output("y", b.conv2d(h, v, activation=activation, name="last"))
    return b.build()


def test_float_channels_go_where_no_operand_is_infinite_and_a_relu_hides_the_sign_of_zero() -> None:
    slim, _ = slimmed(float_layers(True, "relu"))
    assert weight_channels(slim, "first") == 3


@pytest.mark.parametrize("finite, activation", [(False, "relu"), (True, None), (True, "relu_n1_to_1")])
def test_float_channels_stay_where_a_product_with_zero_shows(finite: bool, activation: str | None) -> None:
    slim, _ = slimmed(float_layers(finite, activation), nan=True)
    assert weight_channels(slim, "first") == 5


def test_what_a_slice_leaves_out_goes_in_floats_too() -> None:
    b = pe.GraphBuilder()
    h = b.conv2d(b.input("x", (1, 5, 5, 3)), rng(1).normal(size=(6, 3, 3, 3)), name="first")
    h = b.op("slice", b.relu(h), starts=(1, 2), ends=(5, 4), axes=(1, -1), steps=(1, 1))[0]
    b.output("y", b.conv2d(h, rng(2).normal(size=(4, 1, 1, 2))))
    slim, _ = slimmed(b.build(), nan=True)
    assert weight_channels(slim, "first") == 2


# --- random graphs ----------------------------------------------------------------------------------------------------


class Random:
    """int8 layers that hypothesis chooses, with rows, columns and taps of zeros and biases beyond any sum."""

    def __init__(self, data: st.DataObject) -> None:
        self.data = data
        self.b = pe.GraphBuilder()
        self.r = rng(data.draw(st.integers(0, 2**20)))

    def pick(self, *choices: Any) -> Any:
        return self.data.draw(st.sampled_from(choices))

    def quant(self) -> dict[str, Any]:
        return {"scale": float(self.r.uniform(0.02, 0.1)), "zero_point": self.pick(-128, 0, 5, 127)}

    def activation(self) -> str | None:
        return self.pick(None, "relu", "relu6")

    def some(self, n: int) -> np.ndarray:
        return self.r.random(n) < self.pick(0, 0.3, 0.7)

    def weights(self, co: int, *taps: int, c: int) -> tuple[pe.Tensor, np.ndarray]:
        w = self.r.integers(-127, 128, (co, *taps, c)).astype(np.int8)
        rows = self.some(co)
        w[rows] = 0
        w[..., self.some(c)] = 0
        bias = self.r.integers(-2000, 2000, co)
        bias[self.some(co)] = self.pick(0, -(10**6), 10**6)
        scale = self.r.uniform(0.001, 0.02, self.pick(1, co))
        return self.b.constant(w, scale=scale), bias.astype(np.int32)

    def layer(self, h: pe.Tensor) -> pe.Tensor:
        _, height, width, c = (d or 0 for d in h.shape)
        kind = self.pick("conv", "conv", "depthwise", "add", "concat", "pool", "relu", "pad")
        steps = {"padding": self.pick("same", "valid"), "activation": self.activation()}
        side = self.pick(1, min(2, height, width), min(3, height, width))
        if kind == "conv":
            w, bias = self.weights(self.pick(1, 4, 7), side, side, c=c)
            return self.b.conv2d(h, w, self.pick(None, bias), stride=self.pick(1, 2), **steps, **self.quant())
        if kind == "depthwise":
            co = c * self.pick(1, 2)
            w = self.r.integers(-127, 128, (side, side, co)).astype(np.int8)
            w[..., self.some(co)] = 0
            scaled = self.b.constant(w, scale=self.r.uniform(0.001, 0.02, co), axis=2)
            bias = self.r.integers(-2000, 2000, co).astype(np.int32)
            return self.b.depthwise_conv2d(h, scaled, self.pick(None, bias), **steps, **self.quant())
        if kind == "add":
            w, bias = self.weights(c, 1, 1, c=c)
            other = self.b.conv2d(h, w, bias, **self.quant())
            return self.b.add(h, other, activation=self.activation(), **self.quant())
        if kind == "concat":
            w, bias = self.weights(3, 1, 1, c=c)
            q = self.quant()
            a, other = self.b.quantize(h, **q), self.b.conv2d(h, w, bias, **q)
            return self.b.op("concat", a, other, axis=self.pick(3, -1))[0]
        if kind == "pool":
            return getattr(self.b, self.pick("avg_pool2d", "max_pool2d"))(h, side, stride=1, **steps)
        if kind == "pad":
            return self.b.op("pad", h, mode="constant", pads=((0, 0), (1, 0), (0, 1), (0, 0)))[0]
        return self.pick(self.b.relu, self.b.relu6)(h)

    def graph(self) -> pe.Graph:
        h = self.b.input("x", (1, self.pick(1, 4), self.pick(3, 5), 3), "int8", **self.quant())
        for _ in range(self.data.draw(st.integers(1, 5))):
            h = self.layer(h)
        if self.pick(True, False):
            h = self.b.mean(h, (1, 2), **self.quant())
        w, bias = self.weights(4, c=int(np.prod([d or 1 for d in h.shape])))
        flat = self.b.reshape(h, (1, -1))
        self.b.output("y", self.b.linear(flat, w, bias, activation=self.activation(), **self.quant()))
        return self.b.build()


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_random_graphs_keep_every_bit(data: st.DataObject) -> None:
    slimmed(Random(data).graph(), rounding=data.draw(st.sampled_from(["tflite", "litert-ref", "fp32"])))


@settings(max_examples=100, deadline=None)
@given(st.data())
def test_every_value_lies_in_its_range(data: st.DataObject) -> None:
    graph = Random(data).graph()
    known = ranges(graph)
    x = graph.inputs[0]
    shape = tuple(d or 1 for d in x.shape)
    feeds = (rng(1).integers(-128, 128, shape), np.full(shape, -128), np.full(shape, 127))
    for feed in feeds:
        for name, y in reference.run(graph, {x.name: feed.astype(np.int8)}, keep=True).items():
            rows = y.reshape(-1, y.shape[-1])
            assert (rows >= known[name].low).all() and (rows <= known[name].high).all(), name


def test_int16_has_no_bounds() -> None:
    """Its codes are not those of int8: what is dequantized from them can be anything."""
    b = pe.GraphBuilder()
    b.output("y", b.relu(b.dequantize(b.input("x", (1, 3), "int16", scale=0.5))))
    known = ranges(b.build())["y"]
    assert (known.low <= 0).all() and (known.high >= 32767 * 0.5).all()


# --- a real model -----------------------------------------------------------------------------------------------------


def test_half_of_the_person_detection_model_is_dead(data_dir: Path) -> None:
    graph = pe.load(data_dir / "models" / "mlperf_vww_mbv1_int8.tflite")
    assert isinstance(graph, pe.Graph)
    graph = infer_shapes(graph, {t.name: tuple(d or 1 for d in t.shape) for t in graph.inputs})
    _, report = slimmed(graph)
    assert report.macs_before == 7_489_664
    assert report.macs_after <= 3_730_000
    assert "7,489,664 -> 3,7" in str(report)
    whole, plan = pe.compile(graph, keep="all"), pe.compile(graph)
    assert plan.macs == report.macs_after
    saved = plan.meta["dead_channels"]
    assert saved["macs"] == whole.macs - plan.macs
    assert saved["flash_bytes"] > 190_000
    assert saved["channels"] == sum(a - b for a, b in report.channels.values())
    assert f"{saved['macs']:,} MACs, {saved['flash_bytes']:,} B of flash" in plan.summary()


def test_compile_says_nothing_where_nothing_is_dead() -> None:
    b = pe.GraphBuilder()
    b.output("y", b.linear(b.input("x", (1, 4), "int8", scale=0.1), codes(b, 3, 4), scale=0.5))
    plan = pe.compile(b.build())
    assert "dead_channels" not in plan.meta
    assert "saved" not in plan.summary()


def test_compile_counts_flash_and_arena_that_dead_channels_would_take() -> None:
    graph = planted(MIDDLES["nothing"])
    plan = pe.compile(graph)
    saved = plan.meta["dead_channels"]
    assert saved["channels"] == 2
    assert saved["arena_bytes"] == 6 * 7 * 2 // 16 * 16
    whole = pe.compile(graph, keep="all")
    assert whole.macs - plan.macs == saved["macs"] == 6 * 7 * 2 * (27 + 5)
