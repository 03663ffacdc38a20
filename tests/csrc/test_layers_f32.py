"""Layer kernels of float32 against the portable code of the same plan: every tensor, to the bit, NaNs as NaNs."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

import pyedge as pe
from pyedge import _core
from pyedge.model.ops import resolve_padding

Array = npt.NDArray[Any]
LEVELS = ["avx2", "avx512"]
USABLE = LEVELS[: LEVELS.index(level) + 1] if (level := _core.cpu_features()[0]) in LEVELS else []
pytestmark = pytest.mark.skipif(not USABLE, reason="no layer kernels of float32 on this CPU")


def tensors_after(plan: pe.Plan, isa: str, feeds: list[Array]) -> tuple[dict[str, Array], list[str | None]]:
    """All tensors of the arena after a run at a level, NaNs made one, and the layer kernel of each op."""
    session = _core.Session(_core.Plan(plan.data, isa=isa))
    entry = plan.entry("main")
    for t, x in zip(entry.inputs, feeds, strict=True):
        session.tensor(t.number)[:] = x.reshape(-1).view(np.uint8)
    assert session.run(entry.number)
    seen = {}
    for t in plan.tensors:
        if not t.constant:
            y = session.tensor(t.number).view(np.float32).copy()
            y[np.isnan(y)] = np.nan
            seen[t.name] = y.view(np.uint32)
    return seen, [session.kernel(op.number) for op in plan.ops]


def check(graph: pe.Graph, rng: np.random.Generator, kernel: str | list[str | None] | None) -> None:
    """All levels agree on ordinary numbers, and with zeros of both signs, subnormals, infinities and NaN among them."""
    plan = pe.compile(graph, keep="all")
    for odd in (0.0, 0.05):
        feeds = [numbers(rng, t.shape, odd) for t in plan.inputs]
        expected, none = tensors_after(plan, "portable", feeds)
        assert set(none) == {None}
        for isa in USABLE:
            actual, kernels = tensors_after(plan, isa, feeds)
            names = kernel if isinstance(kernel, list) else [kernel] * len(kernels)
            assert kernels == [name and f"{name}__{isa}" for name in names]
            for name, y in expected.items():
                np.testing.assert_array_equal(actual[name], y, f"{isa} {name}")


def numbers(rng: np.random.Generator, shape: Any, odd: float) -> Array:
    x = rng.normal(0, 1, shape).astype(np.float32)
    special = np.array([0.0, -0.0, 1e-40, -1e-45, np.inf, -np.inf, np.nan, 3e38], np.float32)
    return np.asarray(np.where(rng.random(shape) < odd, rng.choice(special, shape), x), np.float32)


def operand(b: pe.GraphBuilder, name: str, value: Array, learns: bool) -> Any:
    """Weights: a constant, or in the arena, as those that learn."""
    return b.input(name, value.shape, "float32") if learns else value


def activation(rng: np.random.Generator) -> str | None:
    return [None, "relu", "relu6"][int(rng.integers(3))]


def shape_id(case: dict[str, Any]) -> str:
    return "-".join(f"{k}{v}" for k, v in case.items())


def conv_cases() -> Iterator[dict[str, Any]]:
    """Edges of tiles in pixels and channels, strides, dilations, groups, paddings, and images of several bands."""
    base = {"n": 1, "h": 5, "w": 7, "c": 4, "co": 16, "kh": 3, "kw": 3}
    for co in (1, 7, 8, 9, 15, 16, 17, 24, 31, 32, 33, 48, 49, 64, 65, 130):
        yield {**base, "co": co}
        yield {**base, "co": co, "w": 1, "h": 1, "kh": 1, "kw": 1}
    for w in range(1, 34):
        for co in (8, 16, 32, 64):
            yield {**base, "h": 1, "w": w, "co": co, "c": 3, "kh": 1, "kw": 1}
    for w in range(2, 36):  # pixels that share a vector
        yield {**base, "w": w, "co": 1 + w % 8, "stride": 1 + w % 2, "padding": "valid" if w % 3 == 0 else "same"}
    yield {**base, "co": 8, "n": 2, "h": 70, "w": 41, "stride": (3, 1)}
    yield {**base, "co": 3, "n": 2, "kh": 1, "kw": 5, "dilation": (1, 2)}
    for c in (1, 3, 8):
        yield {**base, "c": c, "stride": 2}
        yield {**base, "c": c, "kh": 1, "kw": 1, "stride": 2, "n": 2}
        yield {**base, "c": c, "kh": 10, "kw": 4, "stride": (2, 1), "h": 12, "n": 3}
        yield {**base, "c": c, "padding": "valid", "n": 2}
        yield {**base, "c": c, "padding": "valid", "h": 20, "w": 9, "dilation": 2}
        yield {**base, "c": c, "padding": ((3, 0), (2, 5)), "stride": 3}
        yield {**base, "c": c, "dilation": (3, 2), "h": 11, "w": 12}
    yield {**base, "c": 6, "co": 30, "groups": 3}
    yield {**base, "c": 6, "co": 36, "groups": 2, "padding": "valid", "n": 2, "stride": 2}
    yield {**base, "padding": ((4, 4), (4, 4))}
    yield {**base, "h": 100, "w": 30, "c": 16, "co": 8}
    yield {**base, "h": 100, "w": 30, "c": 16, "co": 8, "padding": ((20, 1), (30, 1)), "n": 2}


@pytest.mark.parametrize("learns", [False, True], ids=["", "learns"])
@pytest.mark.parametrize("case", list(conv_cases()), ids=shape_id)
def test_conv2d_f32_has_the_portable_bits(case: dict[str, Any], learns: bool) -> None:
    rng = np.random.default_rng(list(map(ord, repr(case))))
    n, h, w, c, co, kh, kw = (case[k] for k in ("n", "h", "w", "c", "co", "kh", "kw"))
    b = pe.GraphBuilder()
    x = b.input("x", (n, h, w, c), "float32")
    weight = operand(b, "w", numbers(rng, (co, kh, kw, c // case.get("groups", 1)), 0.01), learns)
    bias = operand(b, "bias", numbers(rng, co, 0.1), learns) if rng.random() < 0.7 else None
    options = {k: case[k] for k in ("stride", "dilation", "groups") if k in case}
    b.output("y", b.conv2d(x, weight, bias, padding=case.get("padding", "same"), activation=activation(rng), **options))
    check(b.build(), rng, "conv2d_f32")


def depthwise_cases() -> Iterator[dict[str, Any]]:
    """Each way to fill vectors, with full and odd channels and columns that end inside one; one channel to many."""
    base = {"n": 1, "h": 5, "w": 7, "kh": 3, "kw": 3}
    for w in range(1, 20):  # read where they are
        for stride in (1, 2, 3):
            padding = "same" if stride < 3 else (((1, 0), (0, 1)) if w > 1 else ((1, 1), (1, 1)))
            yield {**base, "c": 32, "w": w, "stride": stride, "padding": padding}
    yield {**base, "c": 16, "h": 1, "w": 1}
    yield {**base, "c": 64, "h": 40, "w": 30, "n": 3, "padding": ((3, 2), (1, 1))}
    for c in (1, 2, 3, 4, 8, 9, 16, 21, 32, 70):
        yield {**base, "c": c, "n": 2}
        yield {**base, "c": c, "stride": 2, "h": 8}
        yield {**base, "c": c, "stride": (2, 1)}
        yield {**base, "c": c, "padding": "valid"}
        yield {**base, "c": c, "padding": ((2, 1), (3, 4)), "kw": 4}
        yield {**base, "c": c, "kh": 5, "kw": 3, "w": 12, "dilation": (2, 3), "h": 13}
    for c in (1, 4, 8, 16):
        for w in range(1, 20):
            yield {**base, "c": c, "w": w, "stride": 1 + w % 2}
    yield {**base, "c": 16, "h": 100, "w": 40}
    yield {**base, "c": 1, "multiplier": 20}
    yield {**base, "c": 3, "multiplier": 4}


@pytest.mark.parametrize("learns", [False, True], ids=["", "learns"])
@pytest.mark.parametrize("case", list(depthwise_cases()), ids=shape_id)
def test_depthwise_f32_has_the_portable_bits(case: dict[str, Any], learns: bool) -> None:
    rng = np.random.default_rng(list(map(ord, repr(case))))
    n, h, w, c, kh, kw = (case[k] for k in ("n", "h", "w", "c", "kh", "kw"))
    multiplier = case.get("multiplier", 1)
    b = pe.GraphBuilder()
    x = b.input("x", (n, h, w, c), "float32")
    bias = operand(b, "bias", numbers(rng, c * multiplier, 0.1), learns) if rng.random() < 0.7 else None
    options = {k: case[k] for k in ("stride", "dilation") if k in case}
    y = b.depthwise_conv2d(
        x,
        operand(b, "w", numbers(rng, (kh, kw, c * multiplier), 0.01), learns),
        bias,
        padding=case.get("padding", "same"),
        activation=activation(rng),
        **options,
    )
    b.output("y", y)
    one = "depthwise_one_f32" if c == 1 else None
    check(b.build(), rng, one if one or multiplier > 1 else "depthwise_f32")


@pytest.mark.parametrize("learns", [(False, False), (True, True), (True, False), (False, True)], ids=str)
@pytest.mark.parametrize("m", [1, 2, 5, 17, 130])
@pytest.mark.parametrize("n, k", [(1, 1), (2, 3), (12, 64), (16, 4), (65, 33), (128, 64), (129, 12), (260, 31)])
def test_linear_f32_has_the_portable_bits(m: int, n: int, k: int, learns: tuple[bool, bool]) -> None:
    rng = np.random.default_rng([m, n, k])
    b = pe.GraphBuilder()
    x = b.input("x", (m, k), "float32")
    w = operand(b, "w", numbers(rng, (n, k), 0.01), learns[0])
    bias = operand(b, "bias", numbers(rng, n, 0.1), learns[1])
    b.output("y", b.linear(x, w, bias, activation=activation(rng)))
    check(b.build(), rng, "linear_row_f32" if m == 1 and learns[0] else "linear_f32")


@pytest.mark.parametrize("n", [1, 7, 8, 15, 16, 17, 500])
def test_add_f32_has_the_portable_bits(n: int) -> None:
    rng = np.random.default_rng(n)
    for shape, kernel in [((1, n), "add_f32"), ((3, n), None if n > 1 else "add_f32")]:
        b = pe.GraphBuilder()
        x, y = b.input("x", (shape[0], n), "float32"), b.input("y", (1 if kernel is None else shape[0], n), "float32")
        b.output("z", b.add(x, y, activation=activation(rng)))
        check(b.build(), rng, kernel)


@pytest.mark.parametrize("c", [1, 8, 10, 16, 65])
def test_avg_pool2d_f32_has_the_portable_bits(c: int) -> None:
    rng = np.random.default_rng(c)
    cases: list[tuple[tuple[int, int], Any, Any, Any]] = [
        ((8, 8), 8, None, "valid"),
        ((9, 7), (3, 2), (2, 1), "same"),
        ((5, 5), 3, 1, ((2, 1), (1, 2))),
    ]
    for (h, w), kernel, stride, padding in cases:
        b = pe.GraphBuilder()
        x = b.input("x", (2, h, w, c), "float32")
        b.output("y", b.avg_pool2d(x, kernel, stride=stride, padding=padding, activation=activation(rng)))
        check(b.build(), rng, "avg_pool2d_f32")


@pytest.mark.parametrize("axes, kernel", [((1, 2), True), ((0,), True), ((0, 1, 2), True), ((1,), True), ((3,), False)])
@pytest.mark.parametrize("c", [16, 21, 64])
def test_mean_f32_has_the_portable_bits(axes: tuple[int, ...], kernel: bool, c: int) -> None:
    rng = np.random.default_rng([c, *axes])
    b = pe.GraphBuilder()
    x = b.input("x", (2, 5, 3, c), "float32")
    b.output("y", b.mean(x, axes))
    check(b.build(), rng, "mean_f32" if kernel else None)


@pytest.mark.parametrize("n", [1, 2, 7, 8, 16, 17, 100])
def test_softmax_f32_has_the_portable_bits(n: int) -> None:
    rng = np.random.default_rng(n)
    b = pe.GraphBuilder()
    b.output("y", b.softmax(b.input("x", (3, n), "float32")))
    check(b.build(), rng, "softmax_f32")


@pytest.mark.parametrize("low, high", [(0.0, 6.0), (-1.0, 0.0), (0.0, 0.0), (-2.0, 3.0), (-0.0, 1.0), (-1.0, -0.0)])
def test_clamps_at_zeros_have_the_portable_bits(low: float, high: float) -> None:
    """Of either sign, in the plan's bytes; operands are zeros of both signs, too. -0 is left to the portable code."""
    rng = np.random.default_rng(0)
    b = pe.GraphBuilder()
    x, y = b.input("x", (1, 200), "float32"), b.input("y", (1, 200), "float32")
    b.output("z", b.add(x, y, activation="relu6"))
    plan = pe.compile(b.build(), keep="all")
    data = bytearray(plan.data)
    old, new = (np.array(v, np.float32).tobytes() for v in ((0, 6), (low, high)))
    assert data.count(old) == 1
    data[data.index(old) : data.index(old) + 8] = new
    feeds = [np.float32(rng.choice([0.0, -0.0, 1.0, -1.0, 5.0, np.nan, np.inf], (1, 200))) for _ in range(2)]
    results, kernels = [], []
    for isa in ("portable", *USABLE):
        session = _core.Session(_core.Plan(bytes(data), True, isa))
        for t, f in zip(plan.inputs, feeds, strict=True):
            session.tensor(t.number)[:] = f.reshape(-1).view(np.uint8)
        assert session.run(0)
        results.append(session.tensor(plan.outputs[0].number).tobytes())
        kernels.append(session.kernel(0))
    assert results.count(results[0]) == len(results)
    is_left = any(v == 0 and np.signbit(v) for v in (low, high))
    assert kernels == [None] + [None if is_left else f"add_f32__{isa}" for isa in USABLE]


@pytest.mark.parametrize("case", list(conv_cases()), ids=shape_id)
def test_conv2d_gradients_have_the_portable_bits(case: dict[str, Any]) -> None:
    """Of x by a layer kernel where windows have no steps between, else by micro-kernels."""
    rng = np.random.default_rng(list(map(ord, repr(case))))
    n, h, w, c, co, kh, kw = (case[k] for k in ("n", "h", "w", "c", "co", "kh", "kw"))
    groups, stride, dilation = case.get("groups", 1), pair(case.get("stride", 1)), pair(case.get("dilation", 1))
    attrs: dict[str, Any] = {
        "stride": stride,
        "dilation": dilation,
        "groups": groups,
        "padding": case.get("padding", "same"),
    }
    b = pe.GraphBuilder()
    x, weight = b.input("x", (n, h, w, c), "float32"), b.input("w", (co, kh, kw, c // groups), "float32")
    y = b.conv2d(x, weight, **attrs)
    dy = b.input("dy", tuple(d or 1 for d in y.shape), "float32")
    b.output("dx", b.op("conv2d_dgrad", dy, weight, **attrs, size=(h, w), dtype="float32")[0])
    b.output("dw", b.op("conv2d_wgrad", dy, x, **attrs, kernel=(kh, kw), dtype="float32")[0])
    dgrad = "conv2d_dgrad_f32" if takes_dgrad(attrs, h, w, kh, kw) else None
    check(b.build(), rng, ["conv2d_f32", dgrad, "conv2d_wgrad_f32"])


@pytest.mark.parametrize("case", list(depthwise_cases()), ids=shape_id)
def test_depthwise_gradients_have_the_portable_bits(case: dict[str, Any]) -> None:
    """By layer kernels with one channel of y for each of x."""
    rng = np.random.default_rng(list(map(ord, repr(case))))
    n, h, w, c, kh, kw = (case[k] for k in ("n", "h", "w", "c", "kh", "kw"))
    multiplier, stride, dilation = case.get("multiplier", 1), pair(case.get("stride", 1)), pair(case.get("dilation", 1))
    attrs: dict[str, Any] = {"stride": stride, "dilation": dilation, "padding": case.get("padding", "same")}
    b = pe.GraphBuilder()
    x, weight = b.input("x", (n, h, w, c), "float32"), b.input("w", (kh, kw, c * multiplier), "float32")
    y = b.depthwise_conv2d(x, weight, **attrs)
    dy = b.input("dy", tuple(d or 1 for d in y.shape), "float32")
    size = {"size": (h, w), "multiplier": multiplier}
    b.output("dx", b.op("depthwise_dgrad", dy, weight, **attrs, **size, dtype="float32")[0])
    b.output("dw", b.op("depthwise_wgrad", dy, x, **attrs, kernel=(kh, kw), dtype="float32")[0])
    forward = "depthwise_one_f32" if c == 1 else "depthwise_f32" if multiplier == 1 else None
    dgrad = "depthwise_dgrad_f32" if multiplier == 1 and takes_dgrad(attrs, h, w, kh, kw) else None
    check(b.build(), rng, [forward, dgrad, "depthwise_wgrad_f32" if multiplier == 1 else None])


def pair(x: int | tuple[int, int]) -> tuple[int, int]:
    return x if isinstance(x, tuple) else (x, x)


def takes_dgrad(attrs: dict[str, Any], h: int, w: int, kh: int, kw: int) -> bool:
    """A convolution of dy: without steps, and padding only as far as windows reach."""
    padding = resolve_padding(attrs["padding"], (h, w), (kh, kw), attrs["stride"], attrs["dilation"])
    reach = [(k - 1) * d for k, d in zip((kh, kw), attrs["dilation"], strict=True)]
    return attrs["stride"] == (1, 1) and all(p[0] <= r for p, r in zip(padding, reach, strict=True))


@pytest.mark.parametrize("m, n, k", [(1, 1, 1), (1, 130, 640), (3, 7, 5), (16, 64, 300), (5, 33, 17), (300, 20, 50)])
def test_linear_gradients_have_the_portable_bits(m: int, n: int, k: int) -> None:
    """Rows and columns that end inside tiles, sums of more products than a block has."""
    b = pe.GraphBuilder()
    dy, x, w = b.input("dy", (m, n), "float32"), b.input("x", (m, k), "float32"), b.input("w", (n, k), "float32")
    b.output("dx", b.op("linear_dgrad", dy, w, dtype="float32")[0])
    b.output("dw", b.op("linear_wgrad", dy, x, dtype="float32")[0])
    check(b.build(), np.random.default_rng([m, n, k]), None)


@pytest.mark.parametrize("rows, channels", [(1, 1), (7, 3), (2, 16), (9, 65), (5, 150)])
def test_gradients_of_clips_and_biases_have_the_portable_bits(rows: int, channels: int) -> None:
    b = pe.GraphBuilder()
    dy, y = b.input("dy", (rows, channels), "float32"), b.input("y", (rows, channels), "float32")
    b.output("dx", b.op("clip_grad", dy, y, min=0.0, max=1.0)[0])
    b.output("db", b.op("bias_grad", dy, dtype="float32")[0])
    check(b.build(), np.random.default_rng([rows, channels]), ["clip_grad", "bias_grad"])


@pytest.mark.parametrize("n", [1, 15, 16, 17, 1000])
@pytest.mark.parametrize("before", [False, True])
def test_sum_squares_has_the_portable_bits(n: int, before: bool) -> None:
    b = pe.GraphBuilder()
    x, others = b.input("x", (n,), "float32"), b.input("before", (1,), "float32")
    b.output("sum", b.op("sum_squares", x, others if before else None)[0])
    check(b.build(), np.random.default_rng(n), "sum_squares")


@pytest.mark.parametrize("clip", [np.inf, 0.5, 0.0])
@pytest.mark.parametrize("decay", [0.0, 0.01])
@pytest.mark.parametrize("n, start, count", [(1, 0, 1), (100, 0, 100), (100, 5, 33)])
def test_updates_have_the_portable_bits(clip: float, decay: float, n: int, start: int, count: int) -> None:
    """Of all weights and of a part; results beside what they follow. A clip of zero is left to the portable code."""
    for momentum, nesterov in ((None, False), (0.9, False), (0.9, True)):
        b = pe.GraphBuilder()
        w, g = b.input("w", (n,), "float32"), b.input("g", (count,), "float32")
        numbers_of_step = [b.input(name, (1,), "float32") for name in ("lr", "factor", "step")]
        attrs: dict[str, Any] = {
            "weight_decay": decay,
            "clip": clip,
            "rounding": "nearest",
            "seed": 0,
            "stream": 0,
            "start": start,
        }
        kind = "sgd_update" if momentum is None else "momentum_update"
        attrs |= {} if momentum is None else {"momentum": momentum, "nesterov": nesterov}
        m = [] if momentum is None else [b.input("m", (count,), "float32")]
        for i, y in enumerate(b.op(kind, w, g, *numbers_of_step, *m, outputs=1 + len(m), **attrs)):
            b.output(f"y{i}", y)
        check(b.build(), np.random.default_rng([n, start]), kind if clip else None)
