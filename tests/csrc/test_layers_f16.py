"""Layer kernels of float16 weights against the portable code of the same plan, to the bit, in both modes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pytest

import pyedge as pe
from pyedge import _core

Array = npt.NDArray[Any]
LEVELS = (["avx2", "avx512"], ["neon", "fp16", "dotprod", "i8mm"])  # of an architecture, from the lowest up
BEST = _core.cpu_features()[0]
USABLE = next((levels[: levels.index(BEST) + 1] for levels in LEVELS if BEST in levels), [])
pytestmark = pytest.mark.skipif(not USABLE, reason="no layer kernels of float16 weights on this CPU")
ODD = np.array([0, -0.0, 6e-8, -6e-8, 3e-5, 65504, -65504, np.inf, -np.inf, np.nan], np.float32)
FLOATS = ("float32", "float16")


def numbers(rng: np.random.Generator, shape: Any, dtype: Any, odd: float) -> Array:
    x = rng.normal(0, 1, shape)
    return np.asarray(np.where(rng.random(shape) < odd, rng.choice(ODD, shape), x)).astype(dtype)


def result(plan: pe.Plan, isa: str, *values: Array) -> tuple[bytes, str | None]:
    """The output's bytes, whose NaNs are canonical, and the layer kernel."""
    session, entry = _core.Session(_core.Plan(plan.data, isa=isa)), plan.entry("main")
    for tensor, value in zip(entry.inputs, values, strict=True):
        session.tensor(tensor.number)[:] = value.reshape(-1).view(np.uint8)
    assert session.run(entry.number)
    return session.tensor(entry.outputs[0].number).tobytes(), session.kernel(0)


def kernel_of(op: str, mode: str, isa: str, x_dtype: str) -> str | None:
    """x86-64 has one kernel for both modes; on arm64 each has its own, and fast16 needs arithmetic in float16.

    Level i8mm multiplies float16 by float16 into float32 (FEAT_FHM).
    """
    if isa not in LEVELS[1]:
        return f"{op}__{isa}"
    if isa == "i8mm" and mode == "exact" and x_dtype == "float16" and op != "depthwise_f16":
        return f"{op}__fhm"
    arch = "neon" if mode == "exact" else "fp16"
    return f"{op}__{arch}" if LEVELS[1].index(isa) >= LEVELS[1].index(arch) else None


def learning_plan(graph: pe.Graph, mode: Literal["exact", "fast16"]) -> tuple[pe.Plan, list[Array]]:
    """A plan in which weights and biases are inputs, and their values."""
    graph = graph.copy()
    constants = {name: t.data for name, t in graph.tensors.items() if t.data is not None}
    for name in constants:
        graph.tensors[name].data = None
        graph.input_names.append(name)
    return pe.compile(graph, mode=mode), list(constants.values())


def check(kind: str, shape: tuple[int, ...], weights: tuple[int, ...], **options: Any) -> None:
    """All dtypes, modes and levels agree, with and without zeros, subnormals, infinities and NaN among the numbers.

    Weights are constants, or in the arena, as those that learn: then kernels of x86-64 alone take them.
    """
    rng = np.random.default_rng([*shape, *weights])
    op, channels = ("depthwise_f16", weights[-1]) if kind == "depthwise_conv2d" else (f"{kind}_f16", weights[0])
    for i, (x_dtype, y_dtype) in enumerate((x, y) for x in FLOATS for y in FLOATS):
        odd = (0.0, 0.02)[i % 2]
        b = pe.GraphBuilder()
        x = b.input("x", shape, x_dtype)
        bias = numbers(rng, channels, np.float32, odd) if i < 3 else None
        activation = [None, "relu", "relu6", "relu_n1_to_1"][i]
        w = numbers(rng, weights, np.float16, odd)
        b.output("y", getattr(b, kind)(x, w, bias, activation=activation, **options))
        graph = b.build()
        graph.ops[0].attrs["dtype"] = graph.tensors["y"].dtype = y_dtype
        value = numbers(rng, shape, x_dtype, odd)
        for mode in ("exact", "fast16"):
            plan = pe.compile(graph, mode=mode)
            expected, none = result(plan, "portable", value)
            assert none is None
            learning, values = learning_plan(graph, mode) if USABLE[0] in LEVELS[0] else (plan, [])
            for isa in USABLE:
                actual, kernel = result(plan, isa, value)
                assert kernel == kernel_of(op, mode, isa, x_dtype)
                assert actual == expected, (isa, mode, x_dtype, y_dtype)
                if values:
                    assert result(learning, isa, value, *values) == (expected, kernel), (isa, mode, x_dtype, y_dtype)


@pytest.mark.parametrize("m", [1, 2, 3, 5, 14, 27, 28, 33, 61])
@pytest.mark.parametrize("n, k", [(1, 1), (7, 3), (16, 31), (17, 32), (31, 33), (64, 40), (65, 64), (130, 100)])
def test_linear_has_the_portable_bits(m: int, n: int, k: int) -> None:
    """Rows and channels around every tile, few rows and many; products around a run of 32."""
    check("linear", (m, k), (n, k))


def test_panels_of_a_large_product_join() -> None:
    """More rows than a panel has, and more products than weights are widened for."""
    check("linear", (150, 1100), (33, 1100))
    check("linear", (40, 4100), (3, 4100))


def convolutions() -> Iterator[tuple[tuple[int, ...], tuple[int, ...], dict[str, Any]]]:
    image = (2, 7, 8, 6)
    for padding in ("same", "valid", ((2, 1), (3, 4))):
        for stride, dilation in ((1, 1), (2, 1), ((1, 3), (2, 1)), (1, (1, 3))):
            if padding != "valid" or dilation == 1:
                yield image, (17, 3, 2, 6), {"padding": padding, "stride": stride, "dilation": dilation}
    for groups in (2, 3, 6):
        yield image, (6 * groups, 3, 3, 6 // groups), {"groups": groups}
    yield (1, 12, 12, 3), (16, 3, 3, 3), {"stride": 2}
    yield (1, 3, 3, 2), (4, 2, 2, 2), {"padding": ((5, 5), (5, 5))}  # windows in the padding alone
    yield (1, 40, 40, 64), (20, 3, 3, 64), {"padding": "valid"}  # several panels
    yield (3, 5, 5, 32), (64, 1, 1, 32), {}
    yield (1, 4, 4, 8), (5, 4, 4, 8), {"padding": "valid"}  # one pixel


@pytest.mark.parametrize("shape, weights, options", list(convolutions()), ids=str)
def test_conv2d_has_the_portable_bits(
    shape: tuple[int, ...], weights: tuple[int, ...], options: dict[str, Any]
) -> None:
    check("conv2d", shape, weights, **options)


def depthwise_convolutions() -> Iterator[tuple[tuple[int, ...], tuple[int, ...], dict[str, Any]]]:
    for channels in (1, 2, 7, 8, 15, 16, 17, 40):
        for stride in (1, 2):
            yield (2, 7, 9, channels), (3, 3, channels), {"stride": stride}
        yield (2, 7, 9, channels), (3, 2, channels), {"stride": (2, 1), "padding": "valid"}
        yield (2, 7, 9, channels), (7, 6, channels), {"padding": ((5, 6), (7, 5)), "stride": 2}
        yield (2, 7, 9, channels), (2, 3, channels), {"dilation": (3, 2)}
    yield (1, 7, 8, 5), (2, 3, 5), {"padding": ((2, 1), (3, 4)), "stride": (2, 1), "dilation": (1, 3)}
    yield (1, 9, 14, 4), (6, 6, 4), {}  # more taps than a run of float16 sums
    yield (1, 8, 8, 19), (8, 8, 19), {"padding": "valid"}  # two runs, one pixel
    yield (1, 3, 3, 2), (2, 2, 2), {"padding": ((5, 5), (5, 5))}  # windows in the padding alone
    yield (1, 50, 20, 32), (3, 3, 32), {}  # several bands of rows


@pytest.mark.parametrize("shape, weights, options", list(depthwise_convolutions()), ids=str)
def test_depthwise_has_the_portable_bits(
    shape: tuple[int, ...], weights: tuple[int, ...], options: dict[str, Any]
) -> None:
    check("depthwise_conv2d", shape, weights, **options)


@pytest.mark.parametrize("threads", [2, 3])
def test_threads_change_no_bit(threads: int) -> None:
    """Shares of pixels, and of channels where there is one pixel; of weights that learn each packs its own."""
    rng = np.random.default_rng(threads)
    for m, n, k in ((400, 130, 300), (1, 1500, 1000)):
        b = pe.GraphBuilder()
        b.output("y", b.linear(b.input("x", (m, k), "float16"), rng.normal(size=(n, k)).astype(np.float16)))
        graph, x = b.build(), rng.normal(size=(m, k)).astype(np.float16)
        expected = pe.Session(pe.compile(graph))(x)
        for plan, values in ((pe.compile(graph), []), learning_plan(graph, "exact")):
            session = pe.Session(plan, threads=threads)
            for _ in range(3):
                np.testing.assert_array_equal(session(x, *values), expected)
