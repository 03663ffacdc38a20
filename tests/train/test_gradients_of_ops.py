"""The gradient rule of each kind against finite differences in double."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from gradient_check import check_gradients


def real(*shape: int, low: float = -2.0, high: float = 2.0) -> np.ndarray:
    return np.random.default_rng(math.prod(shape) + len(shape)).uniform(low, high, shape).astype(np.float32)


def ints(*values: Any) -> np.ndarray:
    return np.array(values, np.int32)


UNARY: dict[str, tuple[float, float, dict[str, Any]]] = {
    **{kind: (-2, 2, {}) for kind in ("abs", "neg", "square", "exp", "sin", "cos", "atan", "sinh", "cosh", "tanh")},
    **{kind: (-2, 2, {}) for kind in ("asinh", "erf", "sigmoid", "softplus", "softsign", "mish", "relu")},
    **{kind: (0.2, 3, {}) for kind in ("sqrt", "rsqrt", "log", "reciprocal")},
    **{kind: (-0.9, 0.9, {}) for kind in ("asin", "acos", "atanh")},
    "tan": (-1.2, 1.2, {}),
    "acosh": (1.2, 4, {}),
    "relu6": (-4, 10, {}),
    "clip": (-2, 2, {"min": -1.5, "max": 0.5}),
    "hard_swish": (-5, 5, {}),
    "hard_sigmoid": (-5, 5, {"alpha": 0.2, "beta": 0.5}),
    "selu": (-2, 2, {"alpha": 1.6732, "gamma": 1.0507}),
    "thresholded_relu": (-2, 2, {"alpha": 0.7}),
    "swish": (-3, 3, {"alpha": 1.5}),
    "celu": (-2, 2, {"alpha": 0.8}),
}


@pytest.mark.parametrize("kind", UNARY)
def test_functions_of_one_operand(kind: str) -> None:
    low, high, attrs = UNARY[kind]
    check_gradients(lambda b, v: b.op(kind, v["x"], **attrs), {"x": real(3, 7, low=low, high=high)})


@pytest.mark.parametrize("kind", ["leaky_relu", "elu"])
@pytest.mark.parametrize("alpha", [0.3, -0.5, 1.7])
def test_functions_of_two_halves(kind: str, alpha: float) -> None:
    """A negative alpha turns the sign of y, which then doesn't tell that of x."""
    check_gradients(lambda b, v: b.op(kind, v["x"], alpha=alpha), {"x": real(4, 5)})


@pytest.mark.parametrize("approximate", ["none", "tanh"])
def test_gelu(approximate: str) -> None:
    check_gradients(lambda b, v: b.op("gelu", v["x"], approximate=approximate), {"x": real(4, 5)})


SHAPES = [((2, 3), (2, 3)), ((2, 3, 4), (4,)), ((3, 1), (2, 1, 4)), ((2, 3), ()), ((1, 2, 2, 3), (3,))]


@pytest.mark.parametrize("shapes", SHAPES, ids=str)
@pytest.mark.parametrize(
    "kind", ["add", "sub", "mul", "div", "min", "max", "prelu", "squared_difference", "pow", "atan2"]
)
def test_functions_of_two_operands(kind: str, shapes: tuple[tuple[int, ...], tuple[int, ...]]) -> None:
    """With broadcasting in both directions."""
    low = 0.3 if kind in ("pow", "div", "atan2") else -2.0
    attrs: dict[str, Any] = {"activation": None} if kind == "add" else {}
    a, b = real(*shapes[0], low=low), real(*shapes[1], low=low, high=1.9)
    check_gradients(lambda g, v: g.op(kind, v["a"], v["b"], **attrs), {"a": a, "b": b})


def test_the_same_tensor_twice() -> None:
    check_gradients(lambda b, v: b.op("mul", v["x"], v["x"]), {"x": real(2, 3)})


@pytest.mark.parametrize("exponent", [2.0, 0.0, -1.5, 1.0])
def test_pow_of_negative_numbers_by_a_constant(exponent: float) -> None:
    """A whole exponent takes any base; the exponent's gradient isn't asked for."""
    low = -2.0 if exponent == round(exponent) else 0.2
    power = np.float32(exponent)
    check_gradients(lambda b, v: b.op("pow", v["x"], power), {"x": real(3, 4, low=low)})


def test_mod_has_a_gradient_of_its_first_operand() -> None:
    divisor = np.array([0.7, -1.1, 1.3], np.float32)
    for fmod in (0, 1):
        check_gradients(lambda b, v, f=fmod: b.op("mod", v["x"], divisor, fmod=f), {"x": real(4, 3)})


def test_where() -> None:
    condition = np.array([[True], [False]])
    check_gradients(lambda b, v: b.op("where", v["c"], v["a"], v["b"]), {"c": condition, "a": real(3), "b": real(2, 3)})


MOVES: dict[str, tuple[Any, tuple[int, ...]]] = {
    "identity": (lambda b, x: b.op("identity", x), (2, 3)),
    "reshape": (lambda b, x: b.reshape(x, (3, -1)), (2, 3, 2)),
    "transpose": (lambda b, x: b.op("transpose", x, perm=(2, 0, 3, 1)), (2, 3, 4, 2)),
    "slice": (
        lambda b, x: b.op("slice", x, starts=(1, -4), ends=(3, 99), axes=(0, 2), steps=(1, 1)),
        (4, 2, 5),
    ),
    "slice with steps": (
        lambda b, x: b.op("slice", x, starts=(0, 1, 6), ends=(9, 6, -99), axes=(0, 1, 2), steps=(2, 3, -3)),
        (5, 7, 7),
    ),
    "slice backwards": (lambda b, x: b.op("slice", x, starts=(3,), ends=(0,), axes=(0,), steps=(-1,)), (5, 2)),
    "pad": (lambda b, x: b.op("pad", x, mode="constant", pads=((1, 2), (-1, 3), (0, -2))), (2, 3, 4)),
    "pad reflect": (lambda b, x: b.op("pad", x, mode="reflect", pads=((0, 0), (3, 2), (1, 0))), (2, 4, 3)),
    "pad symmetric": (lambda b, x: b.op("pad", x, mode="symmetric", pads=((2, 3), (0, 0))), (3, 2)),
    "pad edge": (lambda b, x: b.op("pad", x, mode="edge", pads=((2, 3), (1, 0))), (3, 2)),
    "pad wrap": (lambda b, x: b.op("pad", x, mode="wrap", pads=((-1, 3), (1, 0))), (4, 2)),
    "expand": (lambda b, x: b.op("expand", x, shape=(3, 2, 4)), (2, 1)),
    "tile": (lambda b, x: b.op("tile", x, repeats=(2, 1, 3)), (2, 3, 2)),
    "reverse": (lambda b, x: b.op("reverse", x, axes=(0, 2)), (2, 3, 2)),
    "reverse_sequence": (
        lambda b, x: b.op("reverse_sequence", x, ints(2, 4, 1), batch_axis=1, time_axis=0),
        (4, 3, 2),
    ),
    "gather rows": (lambda b, x: b.op("gather", x, np.array([[1, 0], [-1, 1]]), axis=0, batch_dims=0), (4, 3)),
    "gather columns": (lambda b, x: b.op("gather", x, np.array([[1, 0], [2, 1]]), axis=1, batch_dims=0), (2, 3, 2)),
    "gather one": (lambda b, x: b.op("gather", x, np.array(2), axis=1, batch_dims=0), (2, 3, 2)),
    "gather by batch": (
        lambda b, x: b.op("gather", x, np.array([[1, 0, 1], [2, 2, -1]]), axis=2, batch_dims=1),
        (2, 2, 3, 2),
    ),
    "gather_elements": (
        lambda b, x: b.op("gather_elements", x, np.array([[0, 2, 2], [1, -1, 0]]), axis=0),
        (3, 3),
    ),
    "gather_nd": (lambda b, x: b.op("gather_nd", x, np.array([[0, 1], [2, 0], [0, 1]]), batch_dims=0), (3, 2, 2)),
    "depth_to_space": (lambda b, x: b.op("depth_to_space", x, block=2, mode="CRD"), (1, 2, 3, 8)),
    "space_to_depth": (lambda b, x: b.op("space_to_depth", x, block=2, mode="DCR"), (2, 4, 2, 3)),
    "trilu": (lambda b, x: b.op("trilu", x, np.array(1), upper=True), (2, 3, 4)),
    "cumsum": (lambda b, x: b.op("cumsum", x, np.array(1), exclusive=True, reverse=False), (2, 4)),
    "cumsum backwards": (lambda b, x: b.op("cumsum", x, np.array(0), exclusive=False, reverse=True), (4, 2)),
}


@pytest.mark.parametrize("case", MOVES)
def test_moves(case: str) -> None:
    make, shape = MOVES[case]
    check_gradients(lambda b, v: make(b, v["x"]), {"x": real(*shape)})


def test_parts_and_wholes() -> None:
    """split and unpack, one of whose results nobody reads, and concat and pack."""

    def make(b: Any, v: Any) -> Any:
        parts = b.op("split", v["x"], outputs=3, axis=1, sizes=(1, 2, 1))
        rows = b.op("unpack", v["y"], outputs=2, axis=0)
        joined = b.op("concat", parts[2], parts[1], v["x"], axis=-1)[0]
        return [joined, *b.op("pack", rows[1], v["z"], axis=1)]

    check_gradients(make, {"x": real(3, 4), "y": real(2, 3), "z": real(3)})


@pytest.mark.parametrize("reduction", ["none", "add"])
def test_scatters(reduction: str) -> None:
    def make(b: Any, v: Any) -> Any:
        at = np.array([[1, 0, 2], [2, 1, 0]])
        first = b.op("scatter_elements", v["x"], at, v["u"], axis=0, reduction=reduction)[0]
        return b.op("scatter_nd", first, np.array([[2], [0]]), v["w"], reduction=reduction)

    check_gradients(make, {"x": real(3, 3), "u": real(2, 3), "w": real(2, 3)})


def test_topk_gives_back_to_the_largest() -> None:
    def make(b: Any, v: Any) -> Any:
        return b.op("topk", v["x"], outputs=2, k=2, axis=1, largest=True, sorted=True, dtype="int64")[:1]

    check_gradients(make, {"x": real(3, 5)})


@pytest.mark.parametrize("mode", ["nearest", "linear", "cubic"])
@pytest.mark.parametrize("sizes", [(6, 5), (2, 3)], ids=str)
def test_resize(mode: str, sizes: tuple[int, int]) -> None:
    attrs = {
        "sizes": (-1, *sizes, -1),
        "scales": (1.0, sizes[0] / 3, sizes[1] / 4, 1.0),
        "mode": mode,
        "coordinates": "half_pixel",
        "nearest": "round_prefer_floor",
        "cubic_coeff": -0.75,
        "exclude_outside": False,
        "extrapolation": 0.0,
        "antialias": mode != "nearest",
        "roi": (),
    }
    check_gradients(lambda b, v: b.op("resize", v["x"], **attrs), {"x": real(2, 3, 4, 2)})


REDUCTIONS = (
    *("reduce_sum", "reduce_mean", "reduce_l1", "reduce_l2", "reduce_sum_square", "reduce_log_sum"),
    *("reduce_log_sum_exp", "reduce_max", "reduce_min", "mean"),
)


@pytest.mark.parametrize("keepdims", [False, True])
@pytest.mark.parametrize("axes", [(1,), (0, 2), (0, 1, 2)], ids=str)
@pytest.mark.parametrize("kind", REDUCTIONS)
def test_reductions(kind: str, axes: tuple[int, ...], keepdims: bool) -> None:
    low = 0.5 if kind == "reduce_log_sum" else -2.0
    check_gradients(lambda b, v: b.op(kind, v["x"], axes=axes, keepdims=keepdims), {"x": real(2, 3, 4, low=low)})


@pytest.mark.parametrize("axis", [-1, 1])
def test_softmax(axis: int) -> None:
    check_gradients(
        lambda b, v: [*b.op("softmax", v["x"], axis=axis, beta=0.7), *b.op("log_softmax", v["x"], axis=axis)],
        {"x": real(2, 3, 4)},
    )


@pytest.mark.parametrize("activation", [None, "relu", "relu6", "relu_n1_to_1"])
@pytest.mark.parametrize("bias", [True, False])
def test_linear(activation: str | None, bias: bool) -> None:
    def make(b: Any, v: Any) -> Any:
        flat = b.linear(v["x"], v["w"], v.get("b"), activation=activation)
        return [flat, b.linear(v["x"], v["w"], v.get("b"), keep_dims=True)]

    operands = {"x": real(2, 3, 5), "w": real(4, 5), "b": real(4)}
    if not bias:
        del operands["b"]
    check_gradients(make, operands, constants=("w", "b"))


MATMULS = [((3, 4), (4, 2)), ((2, 3, 4), (4, 2)), ((3, 4), (2, 4, 5)), ((2, 1, 3, 4), (3, 4, 2))]
MATMULS += [((4,), (4, 3)), ((2, 3, 4), (4,)), ((4,), (4,)), ((4,), (2, 4, 3))]


@pytest.mark.parametrize("transpose_b", [False, True])
@pytest.mark.parametrize("transpose_a", [False, True])
@pytest.mark.parametrize("shapes", MATMULS, ids=str)
def test_matmul(shapes: tuple[tuple[int, ...], tuple[int, ...]], transpose_a: bool, transpose_b: bool) -> None:
    """A vector has no second axis to swap."""
    a, b = (list(s) for s in shapes)
    transpose_a, transpose_b = transpose_a and len(a) > 1, transpose_b and len(b) > 1
    a[-2:] = a[:-3:-1] if transpose_a else a[-2:]
    b[-2:] = b[:-3:-1] if transpose_b else b[-2:]
    attrs = {"transpose_a": transpose_a, "transpose_b": transpose_b, "activation": "relu"}
    check_gradients(lambda g, v: g.op("matmul", v["a"], v["b"], **attrs), {"a": real(*a), "b": real(*b)})


EINSUMS = {
    "ij,jk->ik": ((2, 3), (3, 4)),
    "bij,bkj->bik": ((2, 3, 4), (2, 2, 4)),
    "...i,ij->...j": ((2, 3, 4), (4, 2)),
    "ij,k->k": ((2, 3), (4,)),
    "ij->j": ((2, 3),),
    "i,i,i->": ((4,), (4,), (4,)),
    "ij,ij->ij": ((2, 1), (2, 3)),
    "Ab,bC": ((2, 3), (3, 4)),
}


@pytest.mark.parametrize("equation", EINSUMS)
def test_einsum(equation: str) -> None:
    operands = {f"x{i}": real(*s) + np.float32(i / 10) for i, s in enumerate(EINSUMS[equation])}
    check_gradients(lambda b, v: b.op("einsum", *v.values(), equation=equation), operands)


CONVOLUTIONS = [
    # x, w, stride, dilation, padding, groups
    ((2, 5, 6, 3), (4, 3, 3, 3), (1, 1), (1, 1), "same", 1),
    ((1, 6, 5, 4), (6, 3, 2, 2), (2, 1), (1, 2), "same", 2),
    ((1, 7, 7, 2), (3, 3, 3, 2), (2, 3), (1, 1), "valid", 1),
    ((2, 4, 4, 3), (5, 1, 1, 3), (1, 1), (1, 1), "valid", 1),
    ((1, 5, 6, 2), (2, 3, 3, 1), (3, 2), (1, 1), ((2, 0), (1, 3)), 2),
    ((1, 6, 6, 2), (3, 1, 1, 2), (3, 2), (1, 1), ((0, 0), (0, 1)), 1),
]


@pytest.mark.parametrize("x, w, stride, dilation, padding, groups", CONVOLUTIONS, ids=str)
def test_conv2d(x: Any, w: Any, stride: Any, dilation: Any, padding: Any, groups: int) -> None:
    attrs = {"stride": stride, "dilation": dilation, "padding": padding, "groups": groups, "activation": "relu"}
    operands = {"x": real(*x), "w": real(*w), "b": real(w[0])}
    check_gradients(lambda b, v: b.conv2d(v["x"], v["w"], v["b"], **attrs), operands, constants=("w", "b"))


@pytest.mark.parametrize("multiplier", [1, 2])
@pytest.mark.parametrize("stride, dilation, padding", [((1, 1), (1, 1), "same"), ((2, 1), (1, 2), ((1, 0), (2, 1)))])
def test_depthwise_conv2d(multiplier: int, stride: Any, dilation: Any, padding: Any) -> None:
    attrs = {"stride": stride, "dilation": dilation, "padding": padding, "activation": "relu6"}
    operands = {"x": real(2, 5, 6, 3), "w": real(3, 2, 3 * multiplier), "b": real(3 * multiplier)}
    check_gradients(lambda b, v: b.depthwise_conv2d(v["x"], v["w"], v["b"], **attrs), operands, constants=("w", "b"))


LINES: list[Any] = [
    ((2, 8, 3), (4, 3, 3), {"strides": (2,), "dilations": (2,), "pads": ((1, 2),), "groups": 1}),
    ((1, 5, 6, 4), (6, 2, 3, 2), {"strides": (1, 2), "dilations": (1, 1), "pads": ((1, 0), (2, 1)), "groups": 2}),
]


@pytest.mark.parametrize("x, w, attrs", LINES, ids=str)
def test_conv(x: Any, w: Any, attrs: Any) -> None:
    operands = {"x": real(*x), "w": real(*w), "b": real(w[0])}
    check_gradients(lambda b, v: b.op("conv", *v.values(), **attrs, activation="relu"), operands)


VOLUMES: list[Any] = [
    (
        (2, 4, 3, 5, 4),
        (2, 2, 3, 2, 2),
        {"strides": (2, 1, 2), "dilations": (1, 1, 2), "pads": ((1, 0), (1, 1), (0, 1)), "groups": 2},
    ),
    (
        (1, 3, 2, 3, 4, 2),
        (3, 2, 1, 2, 2, 2),
        {"strides": (1, 2, 1, 1), "dilations": (2, 1, 1, 1), "pads": ((0, 1), (0, 0), (1, 0), (0, 0)), "groups": 1},
    ),
]


@pytest.mark.parametrize("x, w, attrs", VOLUMES, ids=str)
def test_conv_over_three_and_four_axes(x: Any, w: Any, attrs: Any) -> None:
    operands = {"x": real(*x), "w": real(*w), "b": real(w[0])}
    check_gradients(lambda b, v: b.op("conv", *v.values(), **attrs, activation="relu"), operands)


@pytest.mark.parametrize("output_padding", [0, 1])
@pytest.mark.parametrize("x, w, attrs", [*LINES, *VOLUMES], ids=str)
def test_conv_transpose(x: Any, w: Any, attrs: Any, output_padding: int) -> None:
    operands = {"x": real(*x), "w": real(*w), "b": real(w[0])}
    extra = tuple(output_padding if s > 1 else 0 for s in attrs["strides"])
    attrs = {**attrs, "output_padding": extra, "activation": None}
    check_gradients(lambda b, v: b.op("conv_transpose", *v.values(), **attrs), operands)


@pytest.mark.parametrize("padding", ["same", "valid", ((1, 0), (1, 1))], ids=str)
@pytest.mark.parametrize("kind", ["avg_pool2d", "max_pool2d"])
def test_pools_of_images(kind: str, padding: Any) -> None:
    attrs = {"kernel": (2, 3), "stride": (2, 1), "padding": padding, "activation": "relu"}
    check_gradients(lambda b, v: b.op(kind, v["x"], **attrs), {"x": real(2, 5, 6, 3)})


@pytest.mark.parametrize("ceil_mode", [False, True])
def test_pools_of_any_rank(ceil_mode: bool) -> None:
    line = {"kernels": (3,), "strides": (2,), "dilations": (2,), "pads": ((2, 1),), "ceil_mode": ceil_mode}
    cube = {
        "kernels": (2, 1, 2),
        "strides": (2, 1, 1),
        "dilations": (1, 1, 1),
        "pads": ((0, 1), (0, 0), (1, 1)),
        "ceil_mode": ceil_mode,
    }

    def make(b: Any, v: Any) -> Any:
        largest = b.op("max_pool", v["line"], **line, indices=False, column_major=False)
        averages = [
            b.op("avg_pool", v[n], **a, count_include_pad=c)[0]
            for n, a in (("line", line), ("cube", cube))
            for c in (True, False)
        ]
        pooled = b.op("max_pool", v["cube"], outputs=2, **cube, indices=True, column_major=False)[:1]
        return [*largest, *averages, *pooled]

    check_gradients(make, {"line": real(2, 8, 2), "cube": real(1, 3, 2, 4, 2)})
