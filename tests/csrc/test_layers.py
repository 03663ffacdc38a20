"""Layer kernels (csrc/kernels/layers.h) against the ordinary code of the same plan: every tensor, to the bit."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

import pyedge as pe
from pyedge import _core

Array = npt.NDArray[Any]
LEVELS = (
    ["avx2", "avx512"],
    ["neon", "fp16", "dotprod", "i8mm"],
    ["rvv", "zvfh"],
)  # of an architecture, from the lowest up
BEST = _core.cpu_features()[0]
USABLE = next((levels[: levels.index(BEST) + 1] for levels in LEVELS if BEST in levels), [])
pytestmark = pytest.mark.skipif(not USABLE, reason="no layer kernels for this CPU")


def tensors_after(plan: pe.Plan, core: _core.Plan, feeds: list[Array]) -> tuple[dict[str, bytes], list[str | None]]:
    """All arena tensors after a run, and the layer kernel of each op."""
    session = _core.Session(core)
    entry = plan.entry("main")
    for t, x in zip(entry.inputs, feeds, strict=True):
        session.tensor(t.number)[:] = x.reshape(-1).view(np.uint8)
    assert session.run(entry.number)
    seen = {t.name: session.tensor(t.number).tobytes() for t in plan.tensors if not t.constant}
    return seen, [session.kernel(op.number) for op in plan.ops]


def check(graph: pe.Graph, rng: np.random.Generator, flips: int = 0) -> list[str | None]:
    """All levels agree on random inputs; flips: bits of constants to turn before. Returns the best level's kernels."""
    plan = pe.compile(graph, keep="all")
    data = bytearray(plan.data)
    constants = [t for t in plan.tensors if t.constant]
    at = int(np.frombuffer(plan.data, np.uint32, 1, 96)[0])  # header.consts.offset
    for _ in range(flips):
        t = constants[int(rng.integers(len(constants)))]
        data[at + t.offset + int(rng.integers(t.bytes))] ^= 1 << int(rng.integers(8))
    feeds = [
        rng.integers(-128, 128, t.shape, dtype=np.int8) if t.dtype == "int8" else floats(rng, t.shape)
        for t in plan.inputs
    ]
    image = bytes(data)
    types = {t.name: t.dtype for t in plan.tensors}
    expected, none = tensors_after(plan, _core.Plan(image, True, "portable"), feeds)
    assert set(none) == {None}
    kernels: list[str | None] = []
    for isa in USABLE:
        actual, kernels = tensors_after(plan, _core.Plan(image, True, isa), feeds)
        for name, y in expected.items():
            np.testing.assert_array_equal(bits(actual[name], types[name]), bits(y, types[name]), f"{isa} {name}")
    return kernels


def floats(rng: np.random.Generator, shape: tuple[int, ...]) -> Array:
    """Over all magnitudes whose products neither vanish nor overflow, with zeros of both signs among them."""
    x = (rng.standard_normal(shape) * 2.0 ** rng.integers(-20, 20, shape)).astype(np.float32)
    x[rng.random(shape) < 0.1] = 0
    return np.where(rng.random(shape) < 0.5, -x, x)


def bits(data: bytes, dtype: str) -> Array:
    """Of a NaN within a run only that it is one is specified."""
    x = np.frombuffer(data, np.uint32 if dtype == "float32" else np.uint8).copy()
    if dtype == "float32":
        x[np.isnan(x.view(np.float32))] = 0x7FC00000
    return x


def layer(name: str, pixels: int = 2) -> str | None:
    """The layer kernel of that name on the best level that this CPU can run; None: there is none.

    pixels: in a row of the output. those of rvv and zvfh are sets (kernels.h), below the layers; i8mm takes two.
    """
    levels = [level for level in USABLE if level not in ("rvv", "zvfh") and (level != "i8mm" or pixels > 1)]
    names = {f"{name}__{level}" for level in levels} & set(_core.kernels())
    return max(names, key=lambda n: USABLE.index(n.split("__")[1]), default=None)


def quant(rng: np.random.Generator, taps: int) -> dict[str, Any]:
    """Scale and zero point of a result, from saturated everywhere to zero everywhere."""
    scale = float(2.0 ** rng.uniform(-6, 4)) * 0.02 * taps**0.5
    return {"scale": scale, "zero_point": int(rng.choice([-128, -128, 127, 0, 5, -100]))}


def weights(rng: np.random.Generator, shape: tuple[int, ...], channel_axis: int) -> tuple[Array, list[float]]:
    w = rng.integers(-128, 128, shape, dtype=np.int8)
    if rng.random() < 0.3:
        w[rng.random(shape) < 0.9] = 0
    return w, [float(s) for s in rng.uniform(0.001, 0.02, shape[channel_axis])]


def activation(rng: np.random.Generator) -> str | None:
    return [None, "relu", "relu6"][int(rng.integers(3))]


def conv_graph(rng: np.random.Generator, case: dict[str, Any]) -> pe.Graph:
    n, h, w, c, co, kh, kw = (case[k] for k in ("n", "h", "w", "c", "co", "kh", "kw"))
    b = pe.GraphBuilder()
    x = b.input("x", (n, h, w, c), "int8", scale=0.05, zero_point=int(rng.choice([-128, -128, 0, 127, 3])))
    kernel, scales = weights(rng, (co, kh, kw, c), 0)
    bias = rng.integers(-(2**12), 2**12, co, dtype=np.int32)
    if rng.random() < 0.2:
        bias[:] = rng.integers(-(2**31), 2**31, co, dtype=np.int32)
    y = b.conv2d(
        x,
        b.constant(kernel, scale=scales),
        bias,
        stride=case.get("stride", 1),
        dilation=case.get("dilation", 1),
        padding=case.get("padding", "same"),
        activation=activation(rng),
        **quant(rng, kh * kw * c),
    )
    b.output("y", y)
    return b.build()


def conv_cases() -> Iterator[dict[str, Any]]:
    """Edges of tiles in pixels and channels, first layers, strides, paddings, and images that take several bands."""
    base = {"n": 1, "h": 5, "w": 7, "c": 16, "co": 16, "kh": 3, "kw": 3}
    for co in (1, 2, 8, 15, 16, 17, 31, 32, 33, 47, 48, 49, 63, 64, 65, 130):
        yield {**base, "co": co}
    for w in range(1, 34):
        for co in (16, 32, 48, 64):
            yield {**base, "h": 2, "w": w, "co": co, "c": 4}
    for c in (1, 2, 3, 5, 8, 13, 64):
        yield {**base, "c": c, "stride": 2}
        yield {**base, "c": c, "kh": 1, "kw": 1}
        yield {**base, "c": c, "kh": 1, "kw": 1, "stride": 2, "n": 2}
        yield {**base, "c": c, "kh": 10, "kw": 4, "stride": (2, 1), "h": 12, "n": 3}
        yield {**base, "c": c, "padding": "valid", "n": 2}
        yield {**base, "c": c, "padding": ((3, 0), (2, 5)), "stride": 3}
    yield {**base, "dilation": (3, 1), "h": 11}
    yield {**base, "padding": ((4, 4), (4, 4))}
    yield {**base, "kh": 1, "kw": 7, "c": 5}
    yield {**base, "h": 120, "w": 40, "c": 16, "co": 8}
    yield {**base, "h": 120, "w": 40, "c": 16, "co": 8, "padding": ((20, 1), (30, 1))}


@pytest.mark.parametrize("case", list(conv_cases()), ids=lambda c: "-".join(f"{k}{v}" for k, v in c.items()))
def test_conv2d_s8_has_the_portable_bits(case: dict[str, Any]) -> None:
    """For ordinary constants and for some with bits turned; the input and other tensors stay as they are."""
    rng = np.random.default_rng(list(map(ord, repr(case))))
    for flips in (0, 0, 3, 40):
        graph = conv_graph(rng, case)
        kernels = check(graph, rng, flips)
    assert kernels == [layer("conv2d_s8", graph.outputs[0].shape[2])]


def depthwise_graph(rng: np.random.Generator, case: dict[str, Any]) -> pe.Graph:
    n, h, w, c, kh, kw = (case[k] for k in ("n", "h", "w", "c", "kh", "kw"))
    b = pe.GraphBuilder()
    x = b.input("x", (n, h, w, c), "int8", scale=0.05, zero_point=int(rng.choice([-128, -128, 0, 127, 3])))
    kernel, scales = weights(rng, (kh, kw, c), 2)
    y = b.depthwise_conv2d(
        x,
        b.constant(kernel, scale=scales, axis=2),
        rng.integers(-(2**12), 2**12, c, dtype=np.int32),
        stride=case.get("stride", 1),
        dilation=case.get("dilation", 1),
        padding=case.get("padding", "same"),
        activation=activation(rng),
        **quant(rng, kh * kw),
    )
    b.output("y", y)
    return b.build()


def depthwise_cases() -> Iterator[dict[str, Any]]:
    """Each width of vectors with full and odd channels, all ways to walk, and columns that end inside a step."""
    base = {"n": 1, "h": 5, "w": 7, "kh": 3, "kw": 3}
    for c in (1, 3, 8, 9, 16, 21, 32, 33, 64, 65, 128, 150):
        yield {**base, "c": c, "n": 2}
        yield {**base, "c": c, "stride": 2, "h": 8}
        yield {**base, "c": c, "stride": (1, 2)}
        yield {**base, "c": c, "stride": (2, 1)}
        yield {**base, "c": c, "padding": "valid"}
        yield {**base, "c": c, "padding": ((2, 1), (3, 4)), "kw": 4}
        yield {**base, "c": c, "kh": 1, "kw": 5, "stride": (1, 3)}
        yield {**base, "c": c, "kh": 5, "kw": 9, "w": 12, "dilation": (2, 1), "h": 13}
    for c in (8, 16, 32, 64):
        for w in range(1, 20):
            yield {**base, "c": c, "w": w, "stride": 1 + w % 2}
    yield {**base, "c": 16, "h": 100, "w": 40}
    yield {**base, "c": 70, "h": 60, "w": 20, "stride": 2}


@pytest.mark.parametrize("case", list(depthwise_cases()), ids=lambda c: "-".join(f"{k}{v}" for k, v in c.items()))
def test_depthwise_s8_has_the_portable_bits(case: dict[str, Any]) -> None:
    rng = np.random.default_rng(list(map(ord, repr(case))))
    for flips in (0, 0, 3, 40):
        kernels = check(depthwise_graph(rng, case), rng, flips)
    assert kernels == [layer("depthwise_s8")]


@pytest.mark.parametrize("m", [1, 2, 5, 17])
@pytest.mark.parametrize("n, k", [(1, 1), (2, 3), (12, 64), (16, 4), (65, 33), (128, 640), (129, 128), (260, 31)])
def test_linear_s8_has_the_portable_bits(m: int, n: int, k: int) -> None:
    rng = np.random.default_rng([m, n, k])
    for flips in (0, 0, 2, 30):
        b = pe.GraphBuilder()
        x = b.input("x", (m, k), "int8", scale=0.05, zero_point=int(rng.integers(-128, 128)))
        w, scales = weights(rng, (n, k), 0)
        scale = scales if rng.random() < 0.5 else scales[:1]
        bias = rng.integers(-(2**12), 2**12, n, dtype=np.int32)
        y = b.linear(x, b.constant(w, scale=scale), bias, activation=activation(rng), **quant(rng, k))
        b.output("y", y)
        kernels = check(b.build(), rng, flips)
    assert kernels[-1] == ((layer("linear_row_s8") if m == 1 else None) or layer("linear_s8", m))


@pytest.mark.parametrize("n", [1, 15, 64, 65, 500])
@pytest.mark.parametrize("scales", ["equal", "halves", "random", "extreme"])
def test_add_s8_has_the_portable_bits(n: int, scales: str) -> None:
    """Also in place, and where scales make ties or leave no room for one shift."""
    rng = np.random.default_rng([n, len(scales)])
    for turn in range(8):
        a_scale, b_scale, y_scale = {
            "equal": (0.1, 0.1, 0.1),
            "halves": (0.1, 0.2, 0.4),
            "random": tuple(float(s) for s in rng.uniform(0.01, 0.2, 3)),
            "extreme": tuple(float(s) for s in 2.0 ** rng.uniform(-9, 9, 3)),
        }[scales]
        b = pe.GraphBuilder()
        zero = [int(rng.choice([-128, -128, 0, 127, 17])) for _ in range(3)]
        x = b.input("x", (1, n), "int8", scale=a_scale, zero_point=zero[0])
        y = b.input("y", (1, n), "int8", scale=b_scale, zero_point=zero[1])
        z = b.add(x, y, scale=y_scale, zero_point=zero[2], activation=activation(rng))
        b.output("z", b.add(z, x, scale=y_scale, zero_point=zero[2]) if turn % 2 else z)
        kernels = check(b.build(), rng)
    assert set(kernels) == {layer("add_s8")}


@pytest.mark.parametrize("c", [1, 7, 8, 16, 33, 200])
def test_mul_s8_has_the_portable_bits(c: int) -> None:
    """Of one shape, in place too, and by a factor for each channel, variable or constant, on either side."""
    rng = np.random.default_rng(c)
    for case in ("same", "channels", "constant", "left", "column"):
        b = pe.GraphBuilder()
        x = b.input("x", (2, 3, 5, c), "int8", scale=0.1, zero_point=int(rng.integers(-128, 128)))
        if case == "constant":
            z = b.constant(rng.integers(-128, 128, c, dtype=np.int8), scale=0.05, zero_point=3)
        else:
            shape = {"same": (2, 3, 5, c), "column": (2, 3, 5, 1)}.get(case, (1, 1, 1, c))
            z = b.input("z", shape, "int8", scale=0.05, zero_point=int(rng.integers(-128, 128)))
        y = b.op("mul", *((z, x) if case == "left" else (x, z)), **quant(rng, 1))[0]
        b.output("y", b.op("mul", y, x, **quant(rng, 1))[0])
        kernels = check(b.build(), rng)
        taken = case == "same" or (case == "column" and c == 1) or (case != "column" and c >= 16)
        if taken or c < 8:  # which of 8 lanes or more are enough for depends on the level
            assert kernels == [layer("mul_s8") if taken else None, layer("mul_s8")]


@pytest.mark.parametrize("op", ["avg_pool2d", "max_pool2d"])
@pytest.mark.parametrize("c", [1, 10, 64, 65, 200])
def test_pools_of_s8_have_the_portable_bits(op: str, c: int) -> None:
    """Windows inside and over the edge, several images, windows of one element and of 256."""
    rng = np.random.default_rng([c, len(op)])
    for (h, w), kernel, stride, padding in [
        ((8, 8), 8, None, "valid"),
        ((16, 16), 16, None, "valid"),
        ((9, 7), (3, 2), (2, 1), "same"),
        ((9, 7), 1, 1, "valid"),
        ((5, 5), 3, 1, ((2, 1), (1, 2))),
    ]:
        b = pe.GraphBuilder()
        x = b.input("x", (2, h, w, c), "int8", scale=0.1, zero_point=int(rng.integers(-128, 128)))
        y = getattr(b, op)(x, kernel, stride=stride, padding=padding, activation=activation(rng))
        b.output("y", y)
        kernels = check(b.build(), rng)
        assert kernels == [layer(f"{op}_s8")]


@pytest.mark.parametrize("c", [1, 10, 64, 130])
def test_mean_s8_over_an_image_has_the_portable_bits(c: int) -> None:
    rng = np.random.default_rng(c)
    for h, w in [(1, 1), (7, 5), (16, 16)]:
        b = pe.GraphBuilder()
        x = b.input("x", (2, h, w, c), "int8", scale=0.1, zero_point=int(rng.integers(-128, 128)))
        b.output("y", b.mean(x, (1, 2), **quant(rng, 1)))
        kernels = check(b.build(), rng)
        assert kernels == [layer("mean_s8")]


@pytest.mark.parametrize("n", [1, 2, 12, 1000])
def test_softmax_s8_has_the_portable_bits(n: int) -> None:
    """From rows where all differences count to rows where only the maximum does."""
    rng = np.random.default_rng(n)
    for scale in (2.0**-8, 0.1, 0.5, 8.0):
        b = pe.GraphBuilder()
        x = b.input("x", (3, n), "int8", scale=scale, zero_point=4)
        b.output("y", b.softmax(x))
        kernels = check(b.build(), rng)
        assert kernels == [layer("softmax_s8")]


@pytest.mark.parametrize("zero_point, activation", [(-128, "relu"), (4, None), (127, None)])
@pytest.mark.parametrize("scale", [0.05, 1e-6, 1e9], ids=["ordinary", "multipliers above 1", "shifts beyond 31"])
def test_requantization_far_from_ordinary_has_the_portable_bits(
    zero_point: int, activation: str | None, scale: float
) -> None:
    """Sums against zero points at both ends, with and without a clamp there."""
    rng = np.random.default_rng(5)
    b = pe.GraphBuilder()
    x = b.input("x", (1, 6, 6, 20), "int8", scale=0.05, zero_point=-128)
    w = b.constant(rng.integers(-128, 128, (70, 3, 3, 20), dtype=np.int8), scale=[0.01] * 70)
    b.output("y", b.conv2d(x, w, None, activation=activation, scale=scale, zero_point=zero_point))
    for flips in range(4):
        check(b.build(), rng, flips)


@pytest.mark.parametrize("case", list(conv_cases()), ids=lambda c: "-".join(f"{k}{v}" for k, v in c.items()))
def test_conv2d_f32_has_the_portable_bits(case: dict[str, Any]) -> None:
    """With and without bias and clamp; turned bits make infinities, NaNs and subnormals of weights."""
    rng = np.random.default_rng(list(map(ord, repr(case))))
    n, h, w, c, co, kh, kw = (case[k] for k in ("n", "h", "w", "c", "co", "kh", "kw"))
    for flips in (0, 0, 3, 40):
        b = pe.GraphBuilder()
        y = b.conv2d(
            b.input("x", (n, h, w, c), "float32"),
            b.constant(floats(rng, (co, kh, kw, c))),
            floats(rng, (co,)) if rng.random() < 0.7 else None,
            stride=case.get("stride", 1),
            dilation=case.get("dilation", 1),
            padding=case.get("padding", "same"),
            activation=activation(rng),
        )
        b.output("y", y)
        kernels = check(b.build(), rng, flips)
        assert kernels == [layer("conv2d_f32")]


@pytest.mark.parametrize("m", [1, 2, 5, 17])
@pytest.mark.parametrize("n, k", [(1, 1), (2, 3), (12, 64), (16, 4), (65, 33), (128, 640), (260, 31)])
def test_linear_f32_has_the_portable_bits(m: int, n: int, k: int) -> None:
    rng = np.random.default_rng([m, n, k])
    for flips in (0, 0, 2, 30):
        b = pe.GraphBuilder()
        x, w = b.input("x", (m, k), "float32"), b.constant(floats(rng, (n, k)))
        b.output("y", b.linear(x, w, floats(rng, (n,)) if rng.random() < 0.7 else None, activation=activation(rng)))
        kernels = check(b.build(), rng, flips)
        assert kernels == [layer("linear_f32")]


@pytest.mark.parametrize("case", list(depthwise_cases()), ids=lambda c: "-".join(f"{k}{v}" for k, v in c.items()))
def test_depthwise_f32_has_the_portable_bits(case: dict[str, Any]) -> None:
    rng = np.random.default_rng(list(map(ord, repr(case))))
    n, h, w, c, kh, kw = (case[k] for k in ("n", "h", "w", "c", "kh", "kw"))
    for flips in (0, 0, 3, 40):
        b = pe.GraphBuilder()
        y = b.depthwise_conv2d(
            b.input("x", (n, h, w, c), "float32"),
            b.constant(floats(rng, (kh, kw, c))),
            floats(rng, (c,)) if rng.random() < 0.7 else None,
            stride=case.get("stride", 1),
            dilation=case.get("dilation", 1),
            padding=case.get("padding", "same"),
            activation=activation(rng),
        )
        b.output("y", y)
        one = layer("depthwise_one_f32") if c == 1 else None
        assert check(b.build(), rng, flips) == [one or layer("depthwise_f32")]
