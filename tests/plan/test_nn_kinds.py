"""Matrix products, convolutions and pools of any rank, recurrent cells: sessions against the NumPy reference."""

import math
from collections.abc import Sequence

import numpy as np
import pytest

import pyedge as pe
from pyedge.model.check import check
from pyedge.model.graph import Graph, Op, Quantization, Tensor
from pyedge.model.ops import infer_op
from pyedge.model.reference import run

EXACT = ("int8", "uint8", "int32", "int64", "uint32", "uint64")


def graph_of(
    kind: str,
    operands: Sequence[np.ndarray | Tensor | None],
    results: int = 1,
    quant: Quantization | None = None,
    **attrs: object,
) -> Graph:
    """One op. Arrays are its inputs; a Tensor brings its own quantization, and its data if it is a constant."""
    graph = Graph(kind)
    names: list[str | None] = []
    for i, value in enumerate(operands):
        if value is None:
            names.append(None)
            continue
        tensor = value if isinstance(value, Tensor) else Tensor(f"in{i}", value.shape, str(value.dtype))
        graph.add_tensor(tensor)
        names.append(tensor.name)
        if tensor.data is None:
            graph.input_names.append(tensor.name)
    graph.output_names = [f"y{i}" for i in range(results)]
    op = Op(kind, kind, names, list(graph.output_names), attrs)
    inferred = infer_op(op, [None if n is None else graph.tensors[n] for n in names])
    for name, (shape, dtype) in zip(graph.output_names, inferred, strict=True):
        graph.add_tensor(Tensor(name, shape, dtype, quant=quant))
    graph.ops.append(op)
    return check(graph)


def compare(graph: Graph, arrays: Sequence[np.ndarray | None], rounding: str = "tflite", bound: float = 2e-6) -> None:
    """Integers to the bit; floats within bound of the largest value of each result."""
    inputs = dict(zip(graph.input_names, [a for a in arrays if a is not None], strict=True))
    ours = pe.Session(pe.compile(graph, rounding=rounding)).run(inputs)
    for name, expected in run(graph, inputs, rounding).items():
        assert ours[name].dtype == expected.dtype
        assert ours[name].shape == expected.shape
        if str(expected.dtype) in EXACT:
            assert np.array_equal(ours[name], expected)
        else:
            error = np.abs(ours[name].astype(np.float64) - expected.astype(np.float64))
            assert error.max() <= bound * max(np.abs(expected.astype(np.float64)).max(), 1.0)


def normal(rng: np.random.Generator, *shape: int, dtype: object = np.float32) -> np.ndarray:
    return rng.normal(size=shape).astype(dtype)


def per_tensor(scale: float, zero_point: int) -> Quantization:
    return Quantization(np.float32([scale]), np.int32([zero_point]))


MATMULS = [
    ((2, 3), (3, 4)),
    ((1, 7), (7, 1)),
    ((5, 9), (9, 6)),
    ((2, 3, 4, 5), (2, 3, 5, 7)),
    ((2, 1, 4, 5), (3, 5, 2)),
    ((4,), (4,)),
    ((4,), (2, 4, 3)),
    ((2, 3, 4), (4,)),
]


@pytest.mark.parametrize(("a", "b"), MATMULS, ids=str)
@pytest.mark.parametrize("dtype", ["float32", "float64", "float16", "int32", "int64", "uint32", "uint64"])
def test_matmul_is_numpy_s(a: tuple[int, ...], b: tuple[int, ...], dtype: str) -> None:
    """Batches broadcast, vectors are rows and columns; integers wrap."""
    rng = np.random.default_rng(1)
    arrays = [(10 * rng.normal(size=s)).astype(np.int64).astype(dtype) for s in (a, b)]
    if dtype.startswith("float"):
        arrays = [rng.normal(size=s).astype(dtype) for s in (a, b)]
    graph = graph_of("matmul", arrays, transpose_a=False, transpose_b=False, activation=None)
    compare(graph, arrays, bound=1e-3 if dtype == "float16" else 2e-6)


@pytest.mark.parametrize("ta", [False, True])
@pytest.mark.parametrize("tb", [False, True])
def test_matmul_sums_in_ascending_k_by_fma(ta: bool, tb: bool) -> None:
    """The bits are those of linear, which is one chain of FMAs, whatever lies across in memory."""
    rng = np.random.default_rng(2)
    a, b = normal(rng, 5, 37), normal(rng, 37, 6)
    builder = pe.GraphBuilder()
    builder.output("y", builder.linear(builder.input("x", a.shape, "float32"), b.T.copy()))
    expected = pe.Session(pe.compile(builder.build())).run({"x": a})["y"]
    arrays = [a.T.copy() if ta else a, b.T.copy() if tb else b]
    graph = graph_of("matmul", arrays, transpose_a=ta, transpose_b=tb, activation=None)
    ours = pe.Session(pe.compile(graph)).run(dict(zip(graph.input_names, arrays, strict=True)))["y0"]
    assert ours.tobytes() == expected.tobytes()


@pytest.mark.parametrize("ta", [False, True])
@pytest.mark.parametrize("tb", [False, True])
def test_int8_matmul_takes_zero_points_of_both_sides(ta: bool, tb: bool) -> None:
    """A product of two activations."""
    rng = np.random.default_rng(3)
    a, b = (rng.integers(-128, 128, s).astype(np.int8) for s in ((2, 3, 8), (2, 8, 5)))
    a, b = (np.swapaxes(v, 1, 2).copy() if t else v for v, t in ((a, ta), (b, tb)))
    tensors = [
        Tensor("a", a.shape, "int8", quant=per_tensor(0.02, 7)),
        Tensor("b", b.shape, "int8", quant=per_tensor(0.01, -9)),
    ]
    quant = per_tensor(0.05, 3)
    graph = graph_of("matmul", tensors, quant=quant, transpose_a=ta, transpose_b=tb, activation="relu")
    compare(graph, [a, b])


@pytest.mark.parametrize(
    ("equation", "shapes"),
    [
        ("ij,jk->ik", [(2, 3), (3, 4)]),
        ("ij,jk", [(2, 3), (3, 4)]),
        ("...ii->...i", [(2, 3, 3)]),
        ("ii", [(4, 4)]),
        ("ij->ji", [(2, 3)]),
        ("i,j->ij", [(2,), (3,)]),
        ("bij,bjk->bik", [(2, 3, 4), (2, 4, 5)]),
        ("...ij,...jk->...ik", [(1, 2, 3, 4), (5, 1, 4, 2)]),
        ("ij,jk,kl->il", [(2, 3), (3, 4), (4, 5)]),
        ("ij->", [(2, 3)]),
    ],
)
@pytest.mark.parametrize("dtype", ["float32", "float64", "int32"])
def test_einsum_is_numpy_s(equation: str, shapes: list[tuple[int, ...]], dtype: str) -> None:
    """Diagonals, dots, results without labels, up to three operands."""
    rng = np.random.default_rng(4)
    arrays = [(5 * rng.normal(size=s)).astype(dtype) for s in shapes]
    graph = graph_of("einsum", arrays, equation=equation)
    assert graph.outputs[0].shape == np.einsum(equation, *arrays).shape
    compare(graph, arrays)


def codes(rng: np.random.Generator, dtype: str, *shape: int) -> np.ndarray:
    info = np.iinfo(dtype)
    return rng.integers(info.min, info.max + 1, shape).astype(dtype)


@pytest.mark.parametrize("a_type", ["int8", "uint8"])
@pytest.mark.parametrize("b_type", ["int8", "uint8"])
@pytest.mark.parametrize("per", [False, True])
def test_integer_products(a_type: str, b_type: str, per: bool) -> None:
    """int32 sums and 8-bit results, with one zero point and scale, or one a row and a column."""
    rng = np.random.default_rng(5)
    m, n = 6, 5
    a, b = codes(rng, a_type, 2, m, 9), codes(rng, b_type, 9, n)
    za, zb = codes(rng, a_type, m if per else 1), codes(rng, b_type, n if per else 1)
    compare(graph_of("matmul_integer", [a, b]), [a, b])
    compare(graph_of("matmul_integer", [a, b, za, zb]), [a, b, za, zb])
    scales = [rng.uniform(0.001, 0.05, s).astype(np.float32) for s in (m if per else 1, n if per else 1, 1)]
    zy = codes(rng, a_type, 1)
    arrays = [a, scales[0], za, b, scales[1], zb, scales[2], zy]
    compare(graph_of("qlinear_matmul", arrays), arrays)


CONVS = [  # size, kernel, strides, dilations, pads, groups
    ((9,), (3,), (2,), (1,), ((1, 1),), 1),
    ((12,), (3,), (1,), (3,), ((2, 4),), 2),
    ((6, 7), (3, 2), (2, 1), (1, 2), ((1, 0), (2, 1)), 1),
    ((4, 5, 6), (2, 3, 3), (1, 2, 1), (2, 1, 1), ((1, 1), (0, 1), (1, 1)), 2),
    ((3, 2, 4, 3), (2, 2, 2, 3), (1, 1, 2, 1), (1, 1, 1, 1), ((0, 0), (1, 1), (0, 0), (1, 1)), 1),
]
CONV_IDS = [f"{len(c[0])}d-{i}" for i, c in enumerate(CONVS)]


def conv_attrs(case: tuple) -> dict:
    _, _, strides, dilations, pads, groups = case
    return {"strides": strides, "dilations": dilations, "pads": pads, "groups": groups}


@pytest.mark.parametrize("case", CONVS, ids=CONV_IDS)
@pytest.mark.parametrize("with_bias", [False, True])
def test_float_conv_of_any_rank(case: tuple, with_bias: bool) -> None:
    """Strides, dilations, padding and groups along each axis."""
    rng = np.random.default_rng(6)
    size, kernel, groups = case[0], case[1], case[5]
    x, w = normal(rng, 2, *size, 2 * groups), normal(rng, 3 * groups, *kernel, 2)
    arrays = [x, w, normal(rng, 3 * groups) if with_bias else None]
    compare(graph_of("conv", arrays, activation="relu", **conv_attrs(case)), arrays)


@pytest.mark.parametrize("case", CONVS[:3], ids=CONV_IDS[:3])
@pytest.mark.parametrize("rounding", ["tflite", "fp32"])
def test_int8_conv_of_one_and_two_axes(case: tuple, rounding: str) -> None:
    """As conv2d: scales a channel, both roundings."""
    rng = np.random.default_rng(7)
    size, kernel, groups = case[0], case[1], case[5]
    x, w = codes(rng, "int8", 2, *size, 2 * groups), codes(rng, "int8", 3 * groups, *kernel, 2)
    scales = rng.uniform(0.001, 0.02, 3 * groups).astype(np.float32)
    tensors = [
        Tensor("x", x.shape, "int8", quant=per_tensor(0.03, -5)),
        Tensor("w", w.shape, "int8", w, Quantization(scales, np.zeros(3 * groups, np.int32))),
        Tensor("b", (3 * groups,), "int32", rng.integers(-500, 500, 3 * groups).astype(np.int32)),
    ]
    graph = graph_of("conv", tensors, quant=per_tensor(0.04, 11), activation="relu6", **conv_attrs(case))
    compare(graph, [x], rounding)


@pytest.mark.parametrize("case", CONVS, ids=CONV_IDS)
@pytest.mark.parametrize("per", [False, True])
def test_conv_with_zero_points_at_run_time(case: tuple, per: bool) -> None:
    """conv_integer and qlinear_conv, uint8 by int8, with a scale and zero point a channel or one for all."""
    rng = np.random.default_rng(8)
    size, kernel, groups = case[0], case[1], case[5]
    n = 3 * groups
    x, w = codes(rng, "uint8", 2, *size, 2 * groups), codes(rng, "int8", n, *kernel, 2)
    zx, zw = codes(rng, "uint8", 1), codes(rng, "int8", n if per else 1)
    compare(graph_of("conv_integer", [x, w, zx, zw], **conv_attrs(case)), [x, w, zx, zw])
    sx, sw, sy = (rng.uniform(0.001, 0.05, k).astype(np.float32) for k in (1, n if per else 1, 1))
    bias = rng.integers(-500, 500, n).astype(np.int32)
    arrays = [x, sx, zx, w, sw, zw, sy, codes(rng, "uint8", 1), bias]
    compare(graph_of("qlinear_conv", arrays, **conv_attrs(case)), arrays)
    compare(graph_of("qlinear_conv", arrays[:8], **conv_attrs(case)), arrays[:8])


@pytest.mark.parametrize("case", CONVS, ids=CONV_IDS)
@pytest.mark.parametrize("padding", [0, 1])
def test_conv_transpose_is_the_gradient_of_conv(case: tuple, padding: int) -> None:
    """Floats and int8; output_padding adds pixels at the end."""
    rng = np.random.default_rng(9)
    size, kernel, groups = case[0], case[1], case[5]
    attrs = {**conv_attrs(case), "output_padding": (padding,) * len(size)}
    x, w = normal(rng, 2, *size, 2 * groups), normal(rng, 3 * groups, *kernel, 2)
    arrays = [x, w, normal(rng, 3 * groups)]
    compare(graph_of("conv_transpose", arrays, activation=None, **attrs), arrays)
    xq, wq = codes(rng, "int8", *x.shape), codes(rng, "int8", *w.shape)
    scales = rng.uniform(0.001, 0.02, 3 * groups).astype(np.float32)
    tensors = [
        Tensor("x", x.shape, "int8", quant=per_tensor(0.03, -5)),
        Tensor("w", w.shape, "int8", wq, Quantization(scales, np.zeros(3 * groups, np.int32))),
        Tensor("b", (3 * groups,), "int32", rng.integers(-500, 500, 3 * groups).astype(np.int32)),
    ]
    graph = graph_of("conv_transpose", tensors, quant=per_tensor(0.04, 11), activation=None, **attrs)
    compare(graph, [xq])


@pytest.mark.parametrize("groups", [1, 2])
@pytest.mark.parametrize("optional", [False, True])
def test_deform_conv(groups: int, optional: bool) -> None:
    """Offsets that lead between pixels and far outside, two offset groups, with and without bias and mask."""
    rng = np.random.default_rng(13)
    x, w = normal(rng, 2, 6, 5, 4), normal(rng, 6, 2, 3, 4 // groups)
    offset = 2 * normal(rng, 2, 3, 5, 2 * 6 * 2)
    offset[0, 0, 0, :4] = [1e9, -1e9, 3, -0.5]
    arrays = [x, w, offset] + ([normal(rng, 6), normal(rng, 2, 3, 5, 2 * 6)] if optional else [])
    steps = {"strides": (2, 1), "dilations": (2, 1), "pads": ((1, 0), (1, 1)), "groups": groups, "offset_groups": 2}
    compare(graph_of("deform_conv", arrays, **steps), arrays, bound=1e-5)


POOLS = [  # size, kernels, strides, dilations, pads
    ((9,), (3,), (2,), (1,), ((1, 1),)),
    ((8, 7), (3, 2), (2, 2), (1, 1), ((1, 1), (0, 1))),
    ((8, 9), (2, 3), (3, 2), (2, 2), ((0, 0), (1, 1))),
    ((5, 4, 6), (2, 2, 3), (2, 1, 2), (1, 2, 1), ((0, 1), (0, 0), (1, 1))),
]
POOL_IDS = [f"{len(c[0])}d-{i}" for i, c in enumerate(POOLS)]


@pytest.mark.parametrize("case", POOLS, ids=POOL_IDS)
@pytest.mark.parametrize("ceil_mode", [False, True])
@pytest.mark.parametrize("include", [False, True])
def test_pools_of_any_rank(case: tuple, ceil_mode: bool, include: bool) -> None:
    """Average with and without padding, norms, maxima with their places, and back."""
    size, kernels, strides, dilations, pads = case
    rng = np.random.default_rng(10)
    x = normal(rng, 2, *size, 3)
    attrs = {"kernels": kernels, "strides": strides, "dilations": dilations, "pads": pads, "ceil_mode": ceil_mode}
    compare(graph_of("avg_pool", [x], count_include_pad=include, **attrs), [x])
    for exponent in (1, 2, 3):
        compare(graph_of("lp_pool", [x], exponent=exponent, **attrs), [x])
    for values in (x, x.astype(np.float16), x.astype(np.float64), codes(rng, "uint8", *x.shape)):
        compare(graph_of("max_pool", [values], 1, indices=False, column_major=False, **attrs), [values])
    graph = graph_of("max_pool", [x], 2, indices=True, column_major=include, **attrs)
    compare(graph, [x])


def test_max_unpool_puts_values_where_they_came_from() -> None:
    """All else is zero; an index beyond the result is left out."""
    x, places = np.float32([[1, 2], [3, 4]]), np.int64([[5, 0], [2, 7]])
    graph = graph_of("max_unpool", [x, places], shape=(2, 4))
    compare(graph, [x, places])
    session = pe.Session(pe.compile(graph))
    y = session.run({"in0": x, "in1": np.int64([[8, -1], [2**40, 7]])})["y0"]
    assert y.tolist() == [[0, 0, 0, 0], [0, 0, 0, 4]]


@pytest.mark.parametrize("axis", [0, 1, 2, -1])
@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_softmax_and_its_like_over_any_axis(axis: int, dtype: str) -> None:
    """float16 is computed in float32; hardmax marks the first largest."""
    rng = np.random.default_rng(11)
    x = normal(rng, 3, 4, 5, dtype=dtype)
    x[0, 0, 0] = x[0, 0, 1] = x[0, 1, 0] = x[1, 0, 0] = 7
    bound = 1e-3 if dtype == "float16" else 2e-6
    compare(graph_of("softmax", [x], axis=axis, beta=1.0), [x], bound=bound)
    compare(graph_of("log_softmax", [x], axis=axis), [x], bound=bound)
    compare(graph_of("hardmax", [x], axis=axis), [x], bound=0)


def recurrent(kind: str, direction: str, batch_first: bool, extra: dict, optional: bool) -> None:
    rng = np.random.default_rng(12)
    steps, batch, inputs, hidden = 5, 3, 4, 6
    d, gates = 2 if direction == "bidirectional" else 1, {"rnn": 1, "gru": 3, "lstm": 4}[kind]
    x = normal(rng, *((batch, steps) if batch_first else (steps, batch)), inputs)
    state = (batch, d, hidden) if batch_first else (d, batch, hidden)
    arrays: list[np.ndarray | None] = [
        x,
        normal(rng, d, gates * hidden, inputs),
        normal(rng, d, gates * hidden, hidden),
    ]
    if optional:
        arrays += [normal(rng, d, 2 * gates * hidden), np.int32([5, 0, 3]), normal(rng, *state)]
        if kind == "lstm":
            arrays += [normal(rng, *state), normal(rng, d, 3 * hidden)]
    functions = {"rnn": ("tanh",), "gru": ("sigmoid", "tanh"), "lstm": ("sigmoid", "tanh", "tanh")}[kind] * d
    attrs = {"activations": functions, "alphas": (0.3,) * len(functions), "betas": (0.6,) * len(functions)}
    attrs |= {"direction": direction, "clip": math.inf, "batch_first": batch_first}
    attrs |= {"linear_before_reset": False} if kind == "gru" else {}
    attrs |= {"input_forget": False} if kind == "lstm" else {}
    graph = graph_of(kind, arrays, 3 if kind == "lstm" else 2, **{**attrs, **extra})
    compare(graph, arrays, bound=1e-5)


@pytest.mark.parametrize("kind", ["rnn", "gru", "lstm"])
@pytest.mark.parametrize("direction", ["forward", "reverse", "bidirectional"])
@pytest.mark.parametrize("batch_first", [False, True])
@pytest.mark.parametrize("optional", [False, True])
def test_recurrent_cells(kind: str, direction: str, batch_first: bool, optional: bool) -> None:
    """With and without biases, lengths, first states and peepholes."""
    recurrent(kind, direction, batch_first, {}, optional)


@pytest.mark.parametrize(
    "name",
    ["relu", "affine", "leaky_relu", "thresholded_relu", "scaled_tanh", "hard_sigmoid", "elu", "softsign", "softplus"],
)
def test_recurrent_activations(name: str) -> None:
    """Each with its alpha and beta, and a clip of what goes in."""
    recurrent("rnn", "forward", False, {"activations": (name,), "clip": 1.5}, True)


def test_variants_of_gru_and_lstm() -> None:
    """linear_before_reset and input_forget."""
    recurrent("gru", "bidirectional", False, {"linear_before_reset": True}, True)
    recurrent("lstm", "bidirectional", True, {"input_forget": True, "clip": 0.8}, True)


def test_misfits_are_named() -> None:
    """The op, the tensors and their shapes."""
    with pytest.raises(pe.ShapeError, match=r"'in0' \[2, 3\] and 'in1' \[4, 5\]"):
        a, b = np.zeros((2, 3), np.float32), np.zeros((4, 5), np.float32)
        graph_of("matmul", [a, b], transpose_a=False, transpose_b=False, activation=None)
    with pytest.raises(pe.ShapeError, match="label 'j' is 3 and 4"):
        graph_of("einsum", [np.zeros((2, 3), np.float32), np.zeros((4, 5), np.float32)], equation="ij,jk->ik")
    with pytest.raises(pe.ModelError, match="the result repeats"):
        graph_of("einsum", [np.zeros((2, 3), np.float32)], equation="ij->kk")
