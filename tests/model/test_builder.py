"""pyedge/model/builder.py and check.py."""

import numpy as np
import pytest

from pyedge.errors import ModelError, ShapeError
from pyedge.model.builder import GraphBuilder
from pyedge.model.reference import run
from pyedge.model.tflite import load_tflite

RNG = np.random.default_rng(3)


def test_the_example_of_the_docstring_computes():
    """Convolution, linear and softmax on floats: each row of the result sums to 1."""
    b = GraphBuilder()
    x = b.input("x", (2, 8, 8, 1))
    h = b.conv2d(x, RNG.normal(size=(4, 3, 3, 1)), np.zeros(4), activation="relu")
    b.output("y", b.softmax(b.linear(h, RNG.normal(size=(10, 256)), np.zeros(10))))
    y = run(b.build(), {"x": RNG.normal(size=(2, 8, 8, 1)).astype(np.float32)})["y"]
    assert y.shape == (2, 10)
    assert np.abs(y.sum(axis=1) - 1).max() < 1e-6


@pytest.mark.parametrize("name", ["tinymaix_mnist_resnet_q", "tinymaix_mnist_dw_q", "mlonmcu_micro_kws_m_quantized"])
def test_an_int8_model_rebuilt_by_hand_computes_the_same(name, data_dir):
    """Every op of the file added again through the builder, with the file's scales: the same codes."""
    source = load_tflite(data_dir / "models" / f"{name}.tflite")
    b, made = GraphBuilder(), {}
    for t in source.inputs:
        made[t.name] = b.input(t.name, t.shape, t.dtype, t.scale, t.zero_point)
    for op in source.ops:
        y = source.tensors[op.outputs[0]]
        operands = []
        for n in op.inputs:
            t = source.tensors.get(n or "")
            if t is not None and t.data is not None and n not in made:
                scale = None if t.quant is None else t.quant.scale
                made[n] = b.constant(t.data, n, scale, axis=0 if t.quant is None else t.quant.axis)
            operands.append(made.get(n))
        attrs = dict(op.attrs)
        attrs.pop("axis", None)
        if op.kind in ("conv2d", "depthwise_conv2d", "linear", "add", "mean"):
            attrs |= {"scale": y.scale, "zero_point": y.zero_point}
        made[y.name] = getattr(b, op.kind)(*operands, name=y.name, **attrs)
    b.output(source.output_names[0], made[source.output_names[0]])
    x = RNG.integers(-128, 128, [1 if d is None else d for d in source.inputs[0].shape]).astype(np.int8)
    ours, theirs = run(b.build(), {source.input_names[0]: x}), run(source, {source.input_names[0]: x})
    assert np.array_equal(theirs[source.output_names[0]], ours[source.output_names[0]])


def test_a_builder_goes_on_after_build():
    """build() gives a copy."""
    b = GraphBuilder()
    h = b.relu(b.input("x", (2, 3)))
    b.output("a", h)
    first = b.build()
    b.output("b", b.softmax(h))
    assert (len(first.ops), first.output_names) == (1, ["a"])
    assert b.build().output_names == ["a", "b"]


def test_scalars_stay_scalars():
    """A constant of rank 0 broadcasts."""
    b = GraphBuilder()
    b.output("y", b.add(b.input("x", (2, 3)), b.constant(2.0)))
    assert np.array_equal(run(b.build(), {"x": np.ones((2, 3), np.float32)})["y"], np.full((2, 3), 3, np.float32))


def test_nested_branches_use_tensors_from_outside():
    """Two thresholds, three ways; the names of inner tensors don't collide."""
    b = GraphBuilder()
    x = b.input("x", (1, 4))
    low, high = b.any_ge(x, 1.0), b.any_ge(x, 2.0)

    def inner(c):
        return c.cond(
            high, lambda d: d.add(x, d.constant(np.float32(20))), lambda d: d.add(x, d.constant(np.float32(10)))
        )

    (y,) = b.cond(low, inner, lambda c: c.relu(x))
    b.output("y", y)
    graph = b.build()
    for value, added in ((0.0, 0), (1.0, 10), (2.0, 20)):
        given = np.full((1, 4), value, np.float32)
        assert np.array_equal(run(graph, {"x": given})["y"], given + added)


def two_results(c, x):
    return [c.relu(x), c.softmax(x)]


@pytest.mark.parametrize(
    "error, message, make",
    [
        (ShapeError, "'x' .* does not fit weight", lambda b, x: b.linear(x, np.zeros((3, 7)))),
        (ModelError, "'x' is not of this builder", lambda b, x: b.relu(GraphBuilder().input("x", (1, 4)))),
        (ModelError, "two tensors are named 'x'", lambda b, x: b.input("x", (1, 4))),
        (ModelError, "no such axes", lambda b, x: b.mean(x, [2])),
        (ModelError, "padding is 'full'", lambda b, x: b.max_pool2d(b.reshape(x, (1, 2, 2, 1)), 2, padding="full")),
        (ModelError, "is no op's result", lambda b, x: b.output("z", x)),
        (ShapeError, "needs one predicate", lambda b, x: b.cond(x, lambda c: x, lambda c: x)),
        (ShapeError, "branches give", lambda b, x: b.cond(b.any_ge(x, 0), lambda c: x, lambda c: two_results(c, x))),
        (ModelError, "have no inputs", lambda b, x: b.cond(b.any_ge(x, 0), lambda c: c.input("i", (1,)), lambda c: x)),
        (
            ModelError,
            "return their results",
            lambda b, x: b.cond(b.any_ge(x, 0), lambda c: c.output("i", x), lambda c: x),
        ),
    ],
)
def test_mistakes_are_named(error, message, make):
    """At the call, or at build() where only the whole graph shows it."""
    b = GraphBuilder()
    x = b.input("x", (1, 4))
    with pytest.raises(error, match=message):
        make(b, x)
        b.output("y", b.relu(x))
        b.build()


def int8_linear(b, weight_scale=0.1, **result):
    x = b.input("x", (1, 4), "int8", 0.1)
    w = b.constant(np.ones((3, 4), np.int8), "w", weight_scale)
    return b.linear(x, w, b.constant(np.zeros(3, np.int32)), **result)


@pytest.mark.parametrize(
    "message, make",
    [
        ("'linear_1' needs one scale above 0", lambda b: int8_linear(b)),
        ("one for each of 3", lambda b: int8_linear(b, [0.1, 0.2], scale=0.1)),
        ("weight 'w' needs one scale", lambda b: int8_linear(b, None, scale=0.1)),
        ("a scale is negative", lambda b: int8_linear(b, -0.1, scale=0.1)),
        ("zero point is outside int8", lambda b: int8_linear(b, scale=0.1, zero_point=128)),
        ("no output", lambda b: None),
    ],
)
def test_build_checks_quantization(message, make):
    """What TFLite's kernels check when they are prepared."""
    b = GraphBuilder()
    y = make(b)
    if y is not None:
        b.output(y.name, y)
    with pytest.raises(ModelError, match=message):
        b.build()
