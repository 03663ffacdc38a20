"""Reductions, order and running sums, through a session."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from test_move_ops import DTYPES, check, graph_of, values

import pyedge as pe
from pyedge.model import reference

NUMBERS = [d for d in DTYPES if d != "bool"] + ["uint64"]
AXES: list[tuple[tuple[int, ...], tuple[int, ...]]] = [
    ((2, 3, 4), (1,)), ((2, 3, 4), (0, 2)), ((2, 3, 4), ()), ((5,), (0,)), ((2, 1, 3, 2, 2, 2), (0, 3, 5)), ((), ()),
]  # fmt: skip


@pytest.mark.parametrize("keepdims", [False, True])
@pytest.mark.parametrize(("shape", "axes"), AXES, ids=str)
@pytest.mark.parametrize("dtype", NUMBERS)
def test_sums_of_every_dtype(dtype: str, shape: tuple[int, ...], axes: tuple[int, ...], keepdims: bool) -> None:
    """Integers exactly, modulo their size; floats near a sum in double, rounded once but for float32."""
    x = values(shape, dtype)
    for kind in ("sum", "mean", "prod", "l1", "sum_square"):
        graph = graph_of(f"reduce_{kind}", {"x": x}, axes=axes, keepdims=keepdims)
        found, expected = pe.Session(pe.compile(graph))(x), reference.run(graph, {"x": x})["y0"]
        assert isinstance(found, np.ndarray)
        assert found.dtype == expected.dtype == x.dtype
        if x.dtype.kind == "f":
            np.testing.assert_allclose(found, expected, rtol=np.finfo(dtype).eps * 8, atol=np.finfo(dtype).eps * 16)
        else:
            np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize(("shape", "axes"), AXES, ids=str)
def test_float32_sums_are_made_in_ascending_order(shape: tuple[int, ...], axes: tuple[int, ...]) -> None:
    """The bits of FP32 additions and products, element after element."""
    x = values(shape, "float32", 7)
    kept = [i for i in range(x.ndim) if i not in axes]
    graphs = {kind: graph_of(f"reduce_{kind}", {"x": x}, axes=axes, keepdims=False) for kind in ("sum", "prod", "l1")}
    found = {kind: np.asarray(pe.Session(pe.compile(graph))(x)) for kind, graph in graphs.items()}
    zero, one = np.zeros(found["sum"].shape, np.float32), np.ones(found["sum"].shape, np.float32)
    expected = {"sum": zero, "prod": one, "l1": zero.copy()}
    for at in np.ndindex(*shape):
        to = tuple(at[i] for i in kept)
        expected["sum"][to] += x[at]
        expected["prod"][to] *= x[at]
        expected["l1"][to] += abs(x[at])
    for kind, y in expected.items():
        np.testing.assert_array_equal(found[kind], y)


@pytest.mark.parametrize(("shape", "axes"), AXES, ids=str)
def test_norms_and_logarithms_of_sums(shape: tuple[int, ...], axes: tuple[int, ...]) -> None:
    """float32 near double; large exponents don't overflow."""
    x = np.abs(values(shape, "float32", 8)) + np.float32(0.1)
    exponents = [("log_sum_exp", x * np.float32(factor)) for factor in (1, 100, -100)]
    for kind, feed in (("l2", x), ("log_sum", x), *exponents):
        graph = graph_of(f"reduce_{kind}", {"x": feed}, axes=axes, keepdims=True)
        y = pe.Session(pe.compile(graph))(feed)
        np.testing.assert_allclose(y, reference.run(graph, {"x": feed})["y0"], rtol=2e-6, atol=1e-6)


@pytest.mark.parametrize("dtype", ["float16", "float64"])
def test_norms_and_logarithms_of_other_floats(dtype: str) -> None:
    """Within float32, or the dtype's last bit."""
    x = np.abs(values((3, 40), dtype, 14)) + np.ones((), dtype)
    for kind in ("l2", "log_sum", "log_sum_exp"):
        graph = graph_of(f"reduce_{kind}", {"x": x}, axes=(1,), keepdims=False)
        y = np.asarray(pe.Session(pe.compile(graph))(x))
        assert y.dtype == x.dtype
        np.testing.assert_allclose(y, reference.run(graph, {"x": x})["y0"], rtol=max(np.finfo(dtype).eps, 2e-6))


def test_log_sum_exp_of_infinities() -> None:
    """-inf alone gives -inf, +inf gives +inf, NaN gives NaN."""
    x = np.array([[-np.inf, -np.inf], [0, np.inf], [np.nan, 1], [-np.inf, 3]], np.float32)
    y = pe.Session(pe.compile(graph_of("reduce_log_sum_exp", {"x": x}, axes=(1,), keepdims=False)))(x)
    np.testing.assert_array_equal(y, np.array([-np.inf, np.inf, np.nan, 3], np.float32))


@pytest.mark.parametrize(("shape", "axes"), AXES, ids=str)
@pytest.mark.parametrize("dtype", [*DTYPES, "uint64"])
def test_largest_and_smallest_of_every_dtype(dtype: str, shape: tuple[int, ...], axes: tuple[int, ...]) -> None:
    """The reference's elements; bool as well."""
    for kind in ("reduce_max", "reduce_min"):
        check(kind, {"x": values(shape, dtype, 9)}, axes=axes, keepdims=False)


SPECIAL = [0.0, -0.0, 1.5, -1.5, np.inf, -np.inf, 1e-7, -1e-7]


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_nan_is_the_largest_and_the_smallest(dtype: str) -> None:
    """reduce and arg find it from both ends, the first of several; topk puts it first; both zeros are equal."""
    x = np.array([SPECIAL, SPECIAL], dtype)
    x[1, [2, 5]] = np.nan
    for kind in ("reduce_max", "reduce_min"):
        check(kind, {"x": x}, axes=(1,), keepdims=True)
    for kind in ("arg_max", "arg_min"):
        (y,) = check(kind, {"x": x}, axis=1, keepdims=False, select_last=False, dtype="int32")
        assert y.tolist() == [4 if kind == "arg_max" else 5, 2]
    for largest in (True, False):
        check("topk", {"x": x}, outputs=2, k=5, axis=1, largest=largest, sorted=True, dtype="int64")


@pytest.mark.parametrize("dtype", [*DTYPES, "uint64"])
def test_arg_and_topk_of_every_dtype(dtype: str) -> None:
    """Few different values, so that equal ones decide: the first, or the last where that is asked for."""
    x = values((3, 7, 2), dtype, 10)
    x = x.reshape(-1)[np.random.default_rng(11).integers(0, 5, x.shape)]
    for axis in (0, 1, -1):
        for last in (False, True):
            for kind in ("arg_max", "arg_min"):
                check(kind, {"x": x}, axis=axis, keepdims=last, select_last=last, dtype="int64")
    options: list[dict[str, Any]] = [{"largest": a, "sorted": b} for a in (True, False) for b in (True, False)]
    for k in (1, 3, 7):
        for option in options:
            check("topk", {"x": x}, outputs=2, k=k, axis=1, dtype="int32", **option)


@pytest.mark.parametrize("dtype", NUMBERS)
def test_running_sums(dtype: str) -> None:
    """Along an axis that is known only at run time, from either end, with or without the element itself."""
    x = values((2, 3, 4), dtype, 12)
    if x.dtype.kind == "f":
        x = np.round(x)  # so that every order of additions gives the same
    for axis in (0, 1, -1):
        for exclusive in (False, True):
            for reverse in (False, True):
                check("cumsum", {"x": x, "axis": np.array(axis)}, exclusive=exclusive, reverse=reverse)


def test_int8_sums_as_tflite() -> None:
    """With scales: requantized from the input's to the result's, saturated; reduce_mean is mean."""
    b = pe.GraphBuilder()
    x = b.input("x", (4, 6), "int8", scale=0.25, zero_point=-3)
    for kind, scale in (("reduce_sum", 0.75), ("reduce_mean", 0.2)):
        b.output(kind, b.op(kind, x, axes=(1,), keepdims=False, scale=scale, zero_point=5)[0])
    b.output("mean", b.mean(x, [1], scale=0.2, zero_point=5))
    graph, feed = b.build(), {"x": values((4, 6), "int8", 13)}
    found, expected = pe.Session(pe.compile(graph)).run(feed), reference.run(graph, feed)
    for name, y in expected.items():
        np.testing.assert_array_equal(found[name], y)
    np.testing.assert_array_equal(found["mean"], found["reduce_mean"])
    real = ((feed["x"].astype(float) + 3) * 0.25).sum(1) / 0.75 + 5
    assert (np.abs(found["reduce_sum"] - np.clip(real, -128, 127)) <= 1).all()
