"""Ops that move elements, through a session: the NumPy reference's bits, for elements of every size."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import pyedge as pe
from pyedge import _core
from pyedge.model import reference
from pyedge.model.graph import Graph, Tensor
from pyedge.plan import structs

DTYPES = ("bool", "int8", "uint8", "int16", "float16", "int32", "float32", "int64", "float64")


def values(shape: tuple[int, ...], dtype: str, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    if dtype == "bool":
        return rng.random(shape) < 0.5
    if np.dtype(dtype).kind == "f":
        return rng.normal(0, 3, shape).astype(dtype)
    info = np.iinfo(dtype)
    return rng.integers(max(info.min, -(10**9)), min(info.max, 10**9), shape, dtype=dtype, endpoint=True)


def graph_of(kind: str, feeds: dict[str, np.ndarray], outputs: int = 1, **attrs: Any) -> Graph:
    b = pe.GraphBuilder()
    operands: list[Tensor] = [b.input(n, v.shape, v.dtype.name) for n, v in feeds.items()]
    for i, y in enumerate(b.op(kind, *operands, outputs=outputs, **attrs)):
        b.output(f"y{i}", y)
    return b.build()


def check(kind: str, feeds: dict[str, np.ndarray], outputs: int = 1, **attrs: Any) -> list[np.ndarray]:
    """Runs one op in a session; its results, which are those of the reference to the bit."""
    graph = graph_of(kind, feeds, outputs, **attrs)
    expected = reference.run(graph, feeds)
    found = pe.Session(pe.compile(graph)).run(feeds)
    for name, y in expected.items():
        assert found[name].dtype == y.dtype
        np.testing.assert_array_equal(found[name], y)
    return [found[f"y{i}"] for i in range(outputs)]


MOVES: list[tuple[str, tuple[int, ...], dict[str, Any]]] = [
    ("transpose", (2, 3, 4), {"perm": (2, 0, 1)}),
    ("transpose", (2, 3, 1, 4, 2, 3), {"perm": (5, 3, 1, 0, 2, 4)}),
    ("transpose", (6,), {"perm": (0,)}),
    ("slice", (5, 6, 7), {"starts": (1, -1), "ends": (4, -9), "axes": (0, 2), "steps": (2, -3)}),
    ("slice", (5,), {"starts": (-(2**62),), "ends": (2**62,), "axes": (-1,), "steps": (2**40,)}),
    ("slice", (4, 3), {"starts": (), "ends": (), "axes": (), "steps": ()}),
    ("reverse", (3, 4, 5), {"axes": (0, 2)}),
    ("reverse", (9,), {"axes": (0,)}),
    ("expand", (3, 1, 2), {"shape": (2, 1, 4, 1)}),
    ("expand", (), {"shape": (3, 2)}),
    ("tile", (2, 1, 3), {"repeats": (2, 3, 2)}),
    ("tile", (4,), {"repeats": (1,)}),
    ("pad", (3, 4), {"mode": "reflect", "pads": ((2, 1), (0, 3))}),
    ("pad", (3, 4), {"mode": "edge", "pads": ((2, 0), (5, 1))}),
    ("pad", (3, 4), {"mode": "wrap", "pads": ((4, 0), (-1, 2))}),
    ("pad", (3, 4), {"mode": "constant", "pads": ((1, -1), (-2, 3))}),
    ("depth_to_space", (2, 2, 3, 8), {"block": 2, "mode": "DCR"}),
    ("depth_to_space", (1, 2, 3, 18), {"block": 3, "mode": "CRD"}),
    ("space_to_depth", (2, 4, 6, 3), {"block": 2, "mode": "DCR"}),
    ("space_to_depth", (1, 4, 6, 3), {"block": 2, "mode": "CRD"}),
    ("identity", (2, 3), {}),
]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("kind", "shape", "attrs"), MOVES, ids=lambda v: v if isinstance(v, str) else str(v)[:40])
def test_elements_go_where_the_reference_puts_them(
    kind: str, shape: tuple[int, ...], attrs: dict[str, Any], dtype: str
) -> None:
    """Every kind with one operand, elements of 1, 2, 4 and 8 bytes."""
    check(kind, {"x": values(shape, dtype)}, **attrs)


@pytest.mark.parametrize("dtype", DTYPES)
def test_parts_are_put_together_and_taken_apart(dtype: str) -> None:
    """concat and split, pack and unpack, along every axis; split of concat gives the parts back."""
    a, b, c = (values(s, dtype, i) for i, s in enumerate([(2, 3, 4), (2, 1, 4), (2, 5, 4)]))
    (whole,) = check("concat", {"a": a, "b": b, "c": c}, axis=1)
    parts = check("split", {"x": whole}, outputs=3, axis=-2, sizes=(3, 1, 5))
    for part, given in zip(parts, (a, b, c), strict=True):
        np.testing.assert_array_equal(part, given)
    for axis in range(-4, 4):
        (packed,) = check("pack", {"a": a, "b": a[::-1].copy()}, axis=axis)
        np.testing.assert_array_equal(packed, np.stack([a, a[::-1]], axis))
    for axis in range(3):
        check("unpack", {"x": a}, outputs=a.shape[axis], axis=axis)


def test_concat_takes_more_operands_than_one_op_of_a_plan() -> None:
    """40 parts: each is copied by a step of its own."""
    check("concat", {f"x{i}": values((1, i % 3 + 1), "int16", i) for i in range(40)}, axis=1)


@pytest.mark.parametrize("index_dtype", ["int32", "int64"])
@pytest.mark.parametrize("dtype", DTYPES)
def test_gather_finds_elements_by_index(dtype: str, index_dtype: str) -> None:
    """Along an axis, for each element, and by tuples; with batch axes; negative indices count from the end."""
    x = values((3, 4, 5), dtype)
    rng = np.random.default_rng(1)

    def indices(n: int, *shape: int) -> np.ndarray:
        return rng.integers(-n, n, shape).astype(index_dtype)

    check("gather", {"x": x, "i": indices(4, 2, 3)}, axis=1, batch_dims=0)
    check("gather", {"x": x, "i": indices(5, 3, 4, 2)}, axis=2, batch_dims=2)
    check("gather", {"x": x, "i": indices(3)}, axis=0, batch_dims=0)
    check("gather_elements", {"x": x, "i": indices(4, 2, 9, 5)}, axis=1)
    check("gather_nd", {"x": x, "i": indices(3, 2, 2)}, batch_dims=0)
    check("gather_nd", {"x": x, "i": indices(4, 3, 6, 2)}, batch_dims=1)


@pytest.mark.parametrize("dtype", DTYPES)
def test_scatter_writes_elements_by_index(dtype: str) -> None:
    """The rest stays; the last of several updates holds; the operand itself is left alone."""
    x, rng = values((4, 5), dtype), np.random.default_rng(2)
    check("scatter_elements", {"x": x, "i": rng.integers(-4, 4, (3, 5)), "u": values((3, 5), dtype, 3)},
          axis=0, reduction="none")  # fmt: skip
    check("scatter_nd", {"x": x, "i": rng.integers(-4, 4, (6, 1)).astype(np.int32), "u": values((6, 5), dtype, 4)},
          reduction="none")  # fmt: skip


@pytest.mark.parametrize("reduction", ["add", "mul", "max", "min"])
@pytest.mark.parametrize("dtype", [d for d in DTYPES if d != "bool"] + ["uint64"])
def test_scatter_joins_updates_with_what_is_there(dtype: str, reduction: str) -> None:
    """One update after the other, in their order, each rounded to the dtype; integers modulo their size."""
    x, i, u = values((4, 5), dtype), np.random.default_rng(5).integers(-4, 4, (7, 5)), values((7, 5), dtype, 6)
    with np.errstate(all="ignore"):
        check("scatter_elements", {"x": x, "i": i[:4], "u": u[:4]}, axis=0, reduction=reduction)
        check("scatter_nd", {"x": x, "i": i[:, :1], "u": u}, reduction=reduction)


def test_one_hot_leaves_out_what_is_beyond_the_depth() -> None:
    """Indices from -depth to depth - 1; others give `off` everywhere."""
    for axis in (-1, 0, 1):
        feeds = {"i": np.array([[0, -1, 9], [3, -4, -5]]), "values": np.array([7, -3], np.int16)}
        check("one_hot", feeds, depth=4, axis=axis)


def test_any_index_is_memory_safe() -> None:
    """Indices are clamped, whatever their bits: of gather, of scatter, of resize's tables, axes and lengths."""
    wild = np.array([2**63 - 1, -(2**63), 5, -6, 0], np.int64)
    x = np.arange(5, dtype=np.float32)
    (y,) = check("gather", {"x": x, "i": wild}, axis=0, batch_dims=0)
    assert y.tolist() == [4, 0, 4, 0, 0]
    check("scatter_nd", {"x": x, "i": wild[:, None], "u": x + 10}, reduction="none")
    check("reverse_sequence", {"x": x.reshape(5, 1), "n": wild}, batch_axis=0, time_axis=1)
    check("cumsum", {"x": x, "axis": wild[0]}, exclusive=False, reverse=False)
    check("trilu", {"x": x.reshape(5, 1), "k": wild[1]}, upper=True)
    index = np.array([[-(2**31), 2**31 - 1]], np.int32)
    found = np.empty(1, np.float32)
    params = structs.pack_params("resample_f32", axis=0)
    _core.op_run(structs.KINDS["resample_f32"], params, [x, index, np.array([[1, 10]], np.float32)], [found])
    assert found[0] == 40


BAD = [  # what is wrong with a strided_copy of x[6] to y[6]
    {"rank": 1, "n": [7], "x_stride": [0], "y_stride": [0]},
    {"rank": 1, "n": [6], "x_stride": [1], "y_stride": [1], "x_start": 1},
    {"rank": 1, "n": [6], "x_stride": [-1], "y_stride": [1], "x_start": 4},
    {"rank": 1, "n": [3], "x_stride": [1], "y_stride": [3]},
    {"rank": 2, "n": [2, 2], "x_stride": [2**31 - 1, 2**31 - 1], "y_stride": [1, 1]},
    {"rank": 2, "n": [3, 3], "x_stride": [0, 0], "y_stride": [0, 0]},
    {"rank": 9, "n": [1], "x_stride": [1], "y_stride": [1]},
    {"rank": 1, "n": [0], "x_stride": [1], "y_stride": [1]},
    {"rank": 0, "y_start": -1},
    {"rank": 0, "x_start": 6},
]


@pytest.mark.parametrize("params", BAD, ids=str)
def test_a_copy_that_leaves_its_tensors_is_refused(params: dict[str, Any]) -> None:
    """Before it runs: every first and last element is checked, and that no more is moved than y holds."""
    x = (structs.DTYPE_CODES["float32"], (6,))
    with pytest.raises(_core.PlanRefused):
        _core.op_check(structs.KINDS["strided_copy"], structs.pack_params("strided_copy", **params), [x, x], 1)


GOOD = {"rank": 1, "n": [3], "table_stride": [0], "index_stride": [1], "components": 1, "size": [6], "stride": [1]}


@pytest.mark.parametrize(
    "change",
    [
        {"n": [2]}, {"n": [4]}, {"n": [0]}, {"table_stride": [1]}, {"table_stride": [-1]}, {"index_stride": [2]},
        {"size": [7]}, {"size": [0]}, {"stride": [2]}, {"components": 0}, {"components": 7}, {"inner": 2}, {"inner": 0},
        {"rank": 7}, {"components": 2, "size": [1, 1], "stride": [0, 0]},
    ],
    ids=str,
)  # fmt: skip
def test_a_gather_that_could_leave_its_table_is_refused(change: dict[str, Any]) -> None:
    """x[6], indices[3], y[3]; the largest index that a component allows is checked."""
    tensors = [(structs.DTYPE_CODES[d], s) for d, s in (("int8", (6,)), ("int32", (3,)), ("int8", (3,)))]
    _core.op_check(structs.KINDS["gather"], structs.pack_params("gather", **GOOD, inner=1), tensors, 2)
    params = structs.pack_params("gather", **{**GOOD, "inner": 1, **change})
    with pytest.raises(_core.PlanRefused):
        _core.op_check(structs.KINDS["gather"], params, tensors, 2)


def test_col2im_is_the_transpose_of_im2col() -> None:
    """Overlapping blocks add up; what falls into the padding is left out."""
    attrs: dict[str, Any] = {
        "image": (5, 6),
        "block": (2, 3),
        "dilations": (2, 1),
        "pads": ((1, 0), (0, 2)),
        "strides": (1, 2),
    }
    check("col2im", {"x": values((2, 3 * 6, 4 * 3), "int32")}, **attrs)


def test_range_is_start_and_steps() -> None:
    """At run time, of integers and floats."""
    for dtype in ("int32", "float32", "int64"):
        feeds = {"a": np.array(3, dtype), "b": np.array(0, dtype), "d": np.array(-2, dtype)}
        (y,) = check("range", feeds, size=5)
        assert y.tolist() == [3, 1, -1, -3, -5]


DEFAULTS: dict[str, Any] = {"nearest": "floor", "cubic_coeff": -0.75, "extrapolation": 0.0}
DEFAULTS |= {"exclude_outside": False, "antialias": False}


def resize(x: np.ndarray, sizes: tuple[int, ...], mode: str, coordinates: str) -> np.ndarray:
    """Through a session, near the reference."""
    scales = tuple(m / n for m, n in zip(sizes, x.shape, strict=True))
    attrs: dict[str, Any] = {"sizes": sizes, "scales": scales, "mode": mode, "coordinates": coordinates, "roi": ()}
    graph = graph_of("resize", {"x": x}, **attrs, **DEFAULTS)
    y = pe.Session(pe.compile(graph)).run({"x": x})["y0"]
    expected = reference.run(graph, {"x": x})["y0"]
    if x.dtype == np.float32 and mode != "nearest":
        np.testing.assert_allclose(y, expected, rtol=0, atol=1e-5)
    else:
        np.testing.assert_array_equal(y, expected)
    return np.asarray(y)


@pytest.mark.parametrize("coordinates", ["half_pixel", "align_corners", "asymmetric"])
@pytest.mark.parametrize("mode", ["nearest", "linear", "cubic"])
def test_resize_up_and_down(mode: str, coordinates: str) -> None:
    """Weighted sums axis by axis, near a sum in double; a constant stays what it is."""
    x = values((2, 5, 4, 3), "float32")
    for h, w in ((7, 9), (3, 4), (1, 1)):
        resize(x, (2, h, w, 3), mode, coordinates)
    np.testing.assert_allclose(resize(np.full((3, 3), 2, np.float32), (8, 2), mode, coordinates), 2, atol=1e-6)


@pytest.mark.parametrize("coordinates", ["half_pixel", "align_corners", "asymmetric"])
def test_resize_of_int8_is_exact(coordinates: str) -> None:
    """Fixed point, one rounding at the end: the reference's codes."""
    x = values((1, 6, 5, 3), "int8")
    for h, w in ((11, 9), (4, 7), (12, 5)):
        resize(x, (1, h, w, 3), "linear", coordinates)
        resize(x, (1, h, w, 3), "nearest", coordinates)
