"""Layer kernels of what a step of training does besides products, on float16 and floats, against the portable code."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

import pyedge as pe
from pyedge import _core

Array = npt.NDArray[Any]
LEVELS = ["avx2", "avx512"]
USABLE = LEVELS[: LEVELS.index(level) + 1] if (level := _core.cpu_features()[0]) in LEVELS else []
pytestmark = pytest.mark.skipif(not USABLE, reason="no layer kernels of training on this CPU")
ODD = np.array([0, -0.0, 6e-8, -6e-8, 3e-5, 1e-40, -1e-45, 65504, -65519, 65520, 3e38, np.inf, -np.inf, np.nan])
FLOATS = ("float32", "float16")
SIZES = [1, 7, 16, 17, 100]


def numbers(rng: np.random.Generator, shape: Any, dtype: str, odd: float) -> Array:
    x = rng.normal(0, 1, shape)
    with np.errstate(over="ignore"):
        return np.asarray(np.where(rng.random(shape) < odd, rng.choice(ODD, shape), x).astype(np.float32).astype(dtype))


def outputs_of(plan: pe.Plan, isa: str, feeds: list[Array]) -> tuple[list[bytes], list[str | None]]:
    """Outputs, whose NaNs are canonical, and the layer kernel of each op."""
    session, entry = _core.Session(_core.Plan(plan.data, isa=isa)), plan.entry("main")
    for t, x in zip(entry.inputs, feeds, strict=True):
        session.tensor(t.number)[:] = x.reshape(-1).view(np.uint8)
    assert session.run(entry.number)
    kernels = [session.kernel(op.number) for op in plan.ops]
    return [session.tensor(t.number).tobytes() for t in entry.outputs], kernels


def check(graph: pe.Graph, rng: np.random.Generator, kernel: str | None) -> None:
    """All levels agree on ordinary numbers, and with zeros, subnormals, infinities and NaN among them."""
    plan = pe.compile(graph, keep="all")
    for odd in (0.0, 0.2):
        feeds = [numbers(rng, t.shape, t.dtype, odd) for t in plan.inputs]
        expected, none = outputs_of(plan, "portable", feeds)
        assert set(none) == {None}
        for isa in USABLE:
            actual, kernels = outputs_of(plan, isa, feeds)
            assert kernels == [kernel and f"{kernel}__{isa}"]
            assert actual == expected, isa


@pytest.mark.parametrize("n", SIZES)
@pytest.mark.parametrize("dtypes", [("float32", "float16"), ("float16", "float32")], ids="-".join)
def test_casts_have_the_portable_bits(n: int, dtypes: tuple[str, str]) -> None:
    b = pe.GraphBuilder()
    options: dict[str, Any] = {"saturate": 1, "round_mode": "up", "from_format": None, "to_format": None}
    b.output("y", b.op("cast", b.input("x", (n,), dtypes[0]), to=dtypes[1], **options)[0])
    check(b.build(), np.random.default_rng(n), "cast")


@pytest.mark.parametrize("n", SIZES)
@pytest.mark.parametrize("activation", [None, "relu", "relu_n1_to_1"])
def test_add_f16_has_the_portable_bits(n: int, activation: Any) -> None:
    b = pe.GraphBuilder()
    x, y = b.input("a", (2, n), "float16"), b.input("b", (2, n), "float16")
    b.output("y", b.add(x, y, activation=activation))
    check(b.build(), np.random.default_rng(n), "add_f16")


@pytest.mark.parametrize("dtypes", [(a, b) for a in FLOATS for b in FLOATS], ids="-".join)
@pytest.mark.parametrize("shape", [(1, 1), (7, 5), (5, 16), (3, 33), (9, 130)], ids=str)
def test_gradients_of_clips_and_biases_have_the_portable_bits(shape: Any, dtypes: tuple[str, str]) -> None:
    rng = np.random.default_rng(shape)
    b = pe.GraphBuilder()
    dy, y = b.input("dy", shape, dtypes[0]), b.input("y", shape, dtypes[1])
    b.output("dx", b.op("clip_grad", dy, y, min=0.0, max=1.0)[0])
    check(b.build(), rng, "clip_grad")
    b = pe.GraphBuilder()
    b.output("db", b.op("bias_grad", b.input("dy", shape, dtypes[0]), dtype=dtypes[1])[0])
    check(b.build(), rng, "bias_grad")
    b = pe.GraphBuilder()
    dy, before = b.input("dy", shape, dtypes[0]), b.input("before", shape[1:])
    b.output("db", b.op("bias_grad", dy, before, dtype=dtypes[1])[0])
    check(b.build(), rng, "bias_grad")


@pytest.mark.parametrize("n", SIZES)
def test_sum_squares_of_float16_has_the_portable_bits(n: int) -> None:
    b = pe.GraphBuilder()
    b.output("sum", b.op("sum_squares", b.input("x", (n,), "float16"), None)[0])
    check(b.build(), np.random.default_rng(n), "sum_squares")


UPDATES: dict[str, dict[str, Any]] = {
    "sgd_update": {},
    "momentum_update": {"momentum": 0.9, "nesterov": True},
    "adam_update": {"betas": (0.9, 0.999), "epsilon": 1e-8, "decoupled": True},
}


@pytest.mark.parametrize("dtypes", [(a, b) for a in FLOATS for b in FLOATS], ids="-".join)
@pytest.mark.parametrize("kind", UPDATES)
@pytest.mark.parametrize("clip, decay, start", [(np.inf, 0.0, 0), (0.5, 0.01, 5)])
def test_updates_have_the_portable_bits(
    clip: float, decay: float, start: int, kind: str, dtypes: tuple[str, str]
) -> None:
    """Weights of floats, by gradients of either; float16 weights are the portable code's, as it may round by chance."""
    for options in (UPDATES[kind], UPDATES[kind] | ({"decoupled": False} if kind == "adam_update" else {})):
        b = pe.GraphBuilder()
        given = [b.input("w", (100,), dtypes[0]), b.input("g", (33,), dtypes[1])]
        given += [b.input(name, (1,)) for name in ("lr", "factor", "step")]
        given += [b.input(name, (33,)) for name in "mv"[: list(UPDATES).index(kind)]]
        attrs: dict[str, Any] = {
            "weight_decay": decay,
            "clip": clip,
            "rounding": "nearest",
            "seed": 0,
            "stream": 0,
            "start": start,
        }
        for i, y in enumerate(b.op(kind, *given, outputs=len(given) - 4, **attrs, **options)):
            b.output(f"y{i}", y)
        check(b.build(), np.random.default_rng(start), kind if dtypes[0] == "float32" else None)
