"""What gradients become in a plan: their kinds, roundings and scratch, and what the checks in C refuse."""

from __future__ import annotations

from typing import Any

import pytest

import pyedge as pe
from pyedge import _core
from pyedge.model.ops import op_macs
from pyedge.plan import structs
from pyedge.plan.lower import lower

CONV: dict[str, Any] = {"stride": (1, 1), "dilation": (1, 1), "padding": "same", "groups": 1}


def one(kind: str, *shapes: tuple[int, ...], dtypes: str = "fff", **attrs: Any) -> pe.Graph:
    """dtypes: of the two operands and the result, f: float32, h: float16."""
    names = {"f": "float32", "h": "float16"}
    b = pe.GraphBuilder()
    inputs = [b.input(f"x{i}", s, names[d]) for i, (s, d) in enumerate(zip(shapes, dtypes, strict=False))]
    if "min" not in attrs:
        attrs["dtype"] = names[dtypes[2]]
    b.output("y", b.op(kind, *inputs, **attrs)[0])
    return b.build()


@pytest.mark.parametrize("dtypes, kind, fast", [("fff", "f32", False), ("ffh", "f16", False), ("hff", "f16", True),
                                                ("fhf", "f16", True), ("hhh", "f16", True)])  # fmt: skip
def test_a_gradient_with_a_float16_is_of_the_float16_kind(dtypes: str, kind: str, fast: bool) -> None:
    """Products of two float32 are exact in fast16 too."""
    shapes = {"linear_dgrad": ((2, 3), (3, 4)), "linear_wgrad": ((2, 3), (2, 4))}
    for name, operands in shapes.items():
        [step] = lower(one(name, *operands, dtypes=dtypes), mode="fast16").steps
        assert step.kind == f"{name}_{kind}"
        rounding = structs.unpack_params(step.kind, step.params)["rounding"]
        assert rounding == structs.MODES["fast16" if fast else "exact"]


@pytest.mark.parametrize("dtypes, exact, fast16", [("fff", 2560, 2560), ("hhh", 4352, 14336)])
def test_layers_of_small_networks_need_little_scratch(dtypes: str, exact: int, fast16: int) -> None:
    """Of ResNet8: a row with its padding, 10 x 64 elements; of float16 sums of 4 channels, 3 taps, 64 as well. fast16:
    4 rows, and sums and runs of 8 channels, because leaving off costs more."""
    x, w = (1, 8, 8, 64), (64, 3, 3, 64)
    for mode, most in (("exact", exact), ("fast16", fast16)):
        dgrad = one("conv2d_dgrad", x, w, dtypes=dtypes, **CONV, size=(8, 8))
        wgrad = one("conv2d_wgrad", x, x, dtypes=dtypes, **CONV, kernel=(3, 3))
        for graph in (dgrad, wgrad):
            [step] = lower(graph, mode=mode).steps
            assert 0 < step.scratch_bytes <= most
    one_pixel = {**CONV, "size": (8, 8)}
    [step] = lower(one("conv2d_dgrad", x, (64, 1, 1, 64), **one_pixel)).steps
    assert step.scratch_bytes == 0


def test_the_gradient_of_an_activation_lies_on_that_of_its_result() -> None:
    """clip_grad and mask_grad write over dy, which nothing reads afterwards."""
    for kind, size, dtype, of in (
        ("clip_grad", 1000, "float32", {"min": 0.0, "max": 6.0}),
        ("mask_grad", 125, "uint8", {}),
    ):
        b = pe.GraphBuilder()
        dy = b.add(b.input("dy", (1, 1000)), b.input("more", (1, 1000)))
        b.output("dx", b.op(kind, dy, b.input("y", (1, 1000) if of else (size,), dtype), **of)[0])
        assert pe.compile(b.build()).arena_bytes <= 2 * 4000 + size * (4 if of else 1) + 64


def test_a_plan_counts_the_macs_of_the_graph() -> None:
    """Strides, groups, a multiplier, several rows: as many as the kinds' own rules say, float32 and float16."""
    strided = {**CONV, "stride": (2, 2), "groups": 2}
    wide = {k: v for k, v in CONV.items() if k != "groups"}
    for dtypes in ("fff", "hhh"):
        for graph in (
            one("linear_dgrad", (5, 3), (3, 4), dtypes=dtypes),
            one("linear_wgrad", (5, 3), (5, 4), dtypes=dtypes),
            one("conv2d_dgrad", (2, 4, 4, 6), (6, 3, 3, 2), dtypes=dtypes, **strided, size=(8, 8)),
            one("conv2d_wgrad", (2, 4, 4, 6), (2, 8, 8, 4), dtypes=dtypes, **strided, kernel=(3, 3)),
            one("depthwise_dgrad", (1, 8, 8, 6), (3, 3, 6), dtypes=dtypes, **wide, size=(8, 8), multiplier=2),
            one("depthwise_wgrad", (1, 8, 8, 6), (1, 8, 8, 3), dtypes=dtypes, **wide, kernel=(3, 3)),
        ):
            [op] = graph.ops
            assert pe.compile(graph).entry("main").macs == op_macs(op, graph.tensors) > 0, op.kind


REFUSED: list[tuple[str, list[tuple[str, tuple[int, ...]]], dict[str, Any], str]] = [
    ("linear_dgrad_f32", [("float32", (2, 3)), ("float32", (4, 5)), ("float32", (2, 5))], {}, "do not fit together"),
    ("linear_wgrad_f32", [("float32", (2, 3)), ("float16", (2, 5)), ("float32", (3, 5))], {}, "kind's types"),
    ("linear_wgrad_f16", [("float16", (2, 3)), ("float16", (2, 5)), ("float16", (3, 5))], {"rounding": 2}, "rounding"),
    ("conv2d_dgrad_f32", [("float32", (1, 4, 4, 2)), ("float32", (2, 3, 3, 1)), ("float32", (2, 4, 4, 1))], {}, "fit"),
    ("conv2d_dgrad_f32", [("float32", (1, 4, 4, 2)), ("float32", (2, 3, 3, 1)), ("float32", (1, 4, 4, 1))],
     {"stride_h": 0}, "out of range"),
    ("depthwise_wgrad_f32", [("float32", (1, 4, 4, 3)), ("float32", (1, 4, 4, 2)), ("float32", (3, 3, 3))],
     {"groups": 0}, "channels"),
    ("max_pool_grad", [("float32", (1, 2, 1)), ("float32", (1, 5, 1)), ("float32", (1, 4, 1))], {}, "differ in shape"),
    ("avg_pool_grad", [("float32", (1, 2, 1)), ("int8", (1, 4, 1))], {}, "neither float32 nor float16"),
    ("bias_grad", [("float32", (2, 3)), ("float32", (4,))], {}, "do not fit"),
    ("bias_grad", [("float32", (2, 3)), ("float16", (3,)), ("float32", (3,))], {}, "goes on from"),
    ("clip_grad", [("float32", (4,)), ("float32", (4,)), ("float32", (4,))], {"f_min": 1.0, "f_max": 0.0}, "no range"),
    ("clip_mask", [("float32", (9,)), ("uint8", (1,))], {"f_max": 6.0}, "a bit for each element"),
    ("clip_mask", [("int8", (8,)), ("uint8", (1,))], {"f_max": 6.0}, "neither float32 nor float16"),
    ("clip_mask", [("float16", (9,)), ("uint8", (2,))], {"f_min": 1.0, "f_max": 0.0}, "no range"),
    ("mask_grad", [("float16", (9,)), ("uint8", (3,)), ("float16", (9,))], {}, "a bit for each element"),
    ("mask_grad", [("float16", (9,)), ("int8", (2,)), ("float16", (9,))], {}, "a bit for each element"),
    ("mask_grad", [("float16", (9,)), ("uint8", (2,)), ("float32", (9,))], {}, "differ in size or dtype"),
]  # fmt: skip


@pytest.mark.parametrize("kind, tensors, params, text", REFUSED, ids=[f"{r[0]}-{i}" for i, r in enumerate(REFUSED)])
def test_what_does_not_fit_is_refused_in_c(kind: str, tensors: Any, params: dict[str, Any], text: str) -> None:
    if kind.startswith(("conv2d", "depthwise")):
        params = {"stride_h": 1, "stride_w": 1, "dilation_h": 1, "dilation_w": 1, "groups": 1} | params
    if "pool" in kind:
        params = {"axes": 1, "kernel": [2], "stride": [2], "dilation": [1]}
    described = [(structs.DTYPE_CODES[dtype], shape, 0.0, 0) for dtype, shape in tensors]
    with pytest.raises(_core.PlanRefused, match=text):
        _core.op_check(structs.KINDS[kind], structs.pack_params(kind, **params), described, len(tensors) - 1)
