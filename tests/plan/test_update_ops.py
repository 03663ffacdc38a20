"""Optimizer steps: sessions against the NumPy reference, to the bit where the arithmetic is fixed."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

import pyedge as pe
from pyedge.model import reference
from pyedge.model.reference_train import philox, round_stochastic

COMMON = {"weight_decay": 0.01, "clip": 0.9, "rounding": "nearest", "seed": 3, "stream": 5, "start": 0}
EXTRA: dict[str, dict[str, Any]] = {
    "sgd_update": {},
    "momentum_update": {"momentum": 0.9, "nesterov": True},
    "adam_update": {"betas": (0.9, 0.999), "epsilon": 1e-8, "decoupled": True},
}
MOMENTS = {"sgd_update": 0, "momentum_update": 1, "adam_update": 2}


def step_graph(kind: str, w: np.ndarray, g: np.ndarray, **attrs: Any) -> pe.Graph:
    """One entry: weights and moments are states, the gradient and the rates inputs."""
    b = pe.GraphBuilder()
    operands = [b.state("w", w, dtype=str(w.dtype)), b.input("g", g.shape, str(g.dtype))]
    operands += [b.input(name, (1,)) for name in ("lr", "factor", "step")]
    moments = [b.state(name, np.zeros(g.shape)) for name in "mv"[: MOMENTS[kind]]]
    results = b.op(kind, *operands, *moments, outputs=1 + len(moments), **{**COMMON, **EXTRA[kind], **attrs})
    for state, result in zip([operands[0], *moments], results, strict=True):
        b.update(state, result)
    b.output("y", b.op("neg", operands[2])[0])
    return b.build()


def feed(g: np.ndarray, lr: float = 0.1, factor: float = 0.5, step: float = 1) -> dict[str, np.ndarray]:
    return {"g": g, **{n: np.array([v], np.float32) for n, v in (("lr", lr), ("factor", factor), ("step", step))}}


def values(n: int, dtype: str, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=n).astype(dtype)


@pytest.mark.parametrize("dtypes", [("float32", "float32"), ("float16", "float32"), ("float16", "float16")])
@pytest.mark.parametrize("rounding", ["nearest", "stochastic"])
@pytest.mark.parametrize("kind", MOMENTS)
@pytest.mark.parametrize("n", [1, 15, 16, 37])
def test_steps_have_the_bits_of_the_reference(kind: str, dtypes: tuple[str, str], rounding: str, n: int) -> None:
    """Five steps; weights and moments. Adam's correction of the bias goes by exp and log: a few ulp there."""
    graph = step_graph(kind, values(n, dtypes[0]), values(n, dtypes[1]), rounding=rounding)
    session, states = pe.Session(pe.compile(graph)), dict[str, np.ndarray]()
    for step in range(1, 6):
        inputs = feed(values(n, dtypes[1], step), step=step)
        session.run(inputs)
        reference.run(graph, inputs, states=states)
        for name, found in session.state().items():
            if kind != "adam_update":
                np.testing.assert_array_equal(found, states[name], strict=True)
            else:
                tolerance = 2e-3 if found.dtype == np.float16 else 2e-6
                np.testing.assert_allclose(found, states[name], rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("kind", MOMENTS)
def test_states_are_updated_where_they_lie(kind: str) -> None:
    """No second copy of weights or moments: the arena has the states and the inputs alone."""
    w = values(4000, "float32")
    plan = pe.compile(step_graph(kind, w, w))
    assert "copy" not in [op.kind for op in plan.entry().ops]
    assert plan.arena_bytes < (MOMENTS[kind] + 2) * w.nbytes + 512


@pytest.mark.parametrize("kind", MOMENTS)
@pytest.mark.parametrize("factor", [math.inf, math.nan])
def test_a_factor_that_is_not_finite_leaves_the_step_out(kind: str, factor: float) -> None:
    """Weights and moments keep their bits, whatever the gradient is."""
    w = values(33, "float32")
    session = pe.Session(pe.compile(step_graph(kind, w, w)))
    session.run(feed(w))
    before = session.state()
    session.run(feed(np.full_like(w, np.nan), factor=factor, step=2))
    for name, value in session.state().items():
        np.testing.assert_array_equal(value, before[name])
    session.run(feed(w, step=2))
    assert not np.array_equal(session.state()["w"], before["w"])


@pytest.mark.parametrize("start", [0, 1, 18, 30])
def test_parts_are_rounded_as_the_whole(start: int) -> None:
    """Stochastic rounding goes by the element's number in w: 7 elements from `start` get what all 37 get."""
    w, g = values(37, "float16"), values(37, "float32", 1)
    whole = pe.Session(pe.compile(step_graph("sgd_update", w, g, rounding="stochastic")))
    part = g[start : start + 7]
    one = pe.Session(pe.compile(step_graph("sgd_update", w, part, rounding="stochastic", start=start)))
    whole.run(feed(g))
    one.run(feed(part))
    inside = slice(start, start + 7)
    np.testing.assert_array_equal(one.state()["w"][inside], whole.state()["w"][inside])
    nearest = pe.Session(pe.compile(step_graph("sgd_update", w, g)))
    nearest.run(feed(g))
    assert not np.array_equal(nearest.state()["w"], whole.state()["w"])


@pytest.mark.parametrize("kind", MOMENTS)
def test_a_part_of_the_weights_moves_alone(kind: str) -> None:
    """Elements 6 .. 9 of 12 get the values that they have where they are all there is."""
    w, g = values(12, "float32"), values(4, "float32", 1)
    part = pe.Session(pe.compile(step_graph(kind, w, g, start=6)))
    alone = pe.Session(pe.compile(step_graph(kind, w[6:10], g)))
    for session in (part, alone):
        session.run(feed(g))
    moved = part.state()["w"]
    np.testing.assert_array_equal(moved[6:10], alone.state()["w"])
    np.testing.assert_array_equal(np.delete(moved, range(6, 10)), np.delete(w, range(6, 10)))


def test_philox_gives_the_words_of_its_authors() -> None:
    """The first known answer of Random123's kat_vectors for philox4x32-10."""
    zeros = philox(0, 0, np.array([0]), 0, 0)[0]
    assert [hex(w) for w in zeros] == ["0x6627e8d5", "0xe169c58d", "0xbc57ac4c", "0x9b00dbd8"]


def test_stochastic_rounding_is_right_on_average() -> None:
    """The mean of 4096 roundings is within 5 standard deviations, subnormal or not; exact numbers stay."""
    words = philox(1, 2, np.arange(1024), 1, 0).reshape(-1)
    for x in (1.0003, -3.14159, 6.2e-5, 3e-7, -2e-9, 1000.3):
        value = np.float32(x)
        rounded = round_stochastic(np.full(words.size, value), words).astype(np.float64)
        low, high = rounded.min(), rounded.max()
        bound = max(5 * (high - low) / 2 / math.sqrt(words.size), 1e-12 if low < high else 2.0**-24)
        assert abs(rounded.mean() - float(value)) <= bound
    exact = np.array([0, -0.0, 1.5, 65504, 2.0**-24, np.inf, -np.inf], np.float32)
    np.testing.assert_array_equal(round_stochastic(exact, words[:7]), exact.astype(np.float16))


@pytest.mark.parametrize("dtype", ["float32", "float16"])
@pytest.mark.parametrize("n", [1, 16, 100, 1000])
def test_sums_of_squares_have_the_bits_of_the_reference(n: int, dtype: str) -> None:
    """With and without a sum before."""
    b = pe.GraphBuilder()
    x, y = b.input("x", (n,), dtype), b.input("z", (n,), dtype)
    b.output("y", b.op("sum_squares", y, b.op("sum_squares", x, None)[0])[0])
    graph = b.build()
    inputs = {"x": values(n, dtype), "z": values(n, dtype, 1)}
    found, expected = pe.Session(pe.compile(graph)).run(inputs)["y"], reference.run(graph, inputs)["y"]
    np.testing.assert_array_equal(found, expected, strict=True)
    exact = sum(float((v.astype(np.float64) ** 2).sum()) for v in inputs.values())
    np.testing.assert_allclose(found[0], exact, rtol=1e-6)


@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_noise_is_normal_and_the_same_each_time(dtype: str) -> None:
    """Mean 0 and deviation sigma within 5 standard errors; another step has other noise, the same step the same."""
    n = 20001
    b = pe.GraphBuilder()
    g, rates = b.input("g", (n,), dtype), [b.input(name, (1,)) for name in ("factor", "sigma", "step")]
    b.output("y", b.op("gradient_noise", g, *rates, clip=0.25, seed=1, stream=2)[0])
    graph = b.build()
    session = pe.Session(pe.compile(graph))

    def run(step: int) -> np.ndarray:
        scalars = {"factor": 0.5, "sigma": 2.0, "step": step}
        inputs = {"g": np.ones(n, dtype), **{k: np.array([v], np.float32) for k, v in scalars.items()}}
        expected = reference.run(graph, inputs)["y"]
        found = session.run(inputs)["y"]
        np.testing.assert_allclose(found, expected, rtol=2e-3 if dtype == "float16" else 1e-5, atol=1e-5)
        return found

    first = run(1)
    noise = first.astype(np.float64) - 0.25
    assert abs(noise.mean()) < 5 * 2 / math.sqrt(n) and abs(noise.std() - 2) < 5 * 2 / math.sqrt(2 * n)
    np.testing.assert_array_equal(run(1), first)
    assert abs(np.corrcoef(first.astype(np.float64), run(2))[0, 1]) < 5 / math.sqrt(n)


@pytest.mark.parametrize(
    "attrs, operand, text",
    [
        ({"start": 5}, (10,), "elements of 'w' from 5"),
        ({"clip": -1.0}, (10,), "clip is -1.0"),
        ({"rounding": "up"}, (10,), "rounding is 'up'"),
    ],
)
def test_what_does_not_fit_is_refused(attrs: dict[str, Any], operand: tuple[int, ...], text: str) -> None:
    """By name and value, when the graph is built."""
    with pytest.raises(pe.PyedgeError, match=text):
        step_graph("sgd_update", np.zeros(10, np.float32), np.zeros(operand, np.float32), **attrs)


@pytest.mark.parametrize("read", [False, True])
def test_updates_of_parts_lie_on_each_other(read: bool) -> None:
    """A weight that is updated half by half has no second place, with readers before and after."""
    w, g = values(2000, "float32"), values(1000, "float32", 1)
    b = pe.GraphBuilder()
    state = b.state("w", w)
    first, second = b.input("g", (1000,)), b.input("h", (1000,))
    rates = [b.input(name, (1,)) for name in ("lr", "factor", "step")]
    old = b.op("sum_squares", state, None)[0]
    half = b.op("sgd_update", state, first, *rates, **COMMON)[0]
    new = b.op("sgd_update", half, second, *rates, **{**COMMON, "start": 1000})[0]
    b.update(state, new)
    b.output("before", old)
    b.output("after", b.op("sum_squares", new if read else first, None)[0])
    plan = pe.compile(b.build())
    assert "copy" not in [op.kind for op in plan.entry().ops]
    assert plan.arena_bytes < w.nbytes + 2 * g.nbytes + 1024
    session = pe.Session(plan)
    before, after = session.run({**feed(g), "h": g}).values()
    np.testing.assert_allclose(before, (w.astype(np.float64) ** 2).sum(), rtol=1e-6)
    if read:
        np.testing.assert_allclose(after, (session.state()["w"].astype(np.float64) ** 2).sum(), rtol=1e-6)
    assert not np.array_equal(session.state()["w"][:1000], w[:1000])
    assert not np.array_equal(session.state()["w"][1000:], w[1000:])
