"""The passes of compress.clean_up: each leaves the result as it is, and does what it is for."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("onnx")
sys.path.insert(0, str(Path(__file__).parent.parent / "model"))

from onnx_maker import model, rng_array

import pyedge as pe
from pyedge.compress.batchnorm import fold_batch_norm
from pyedge.compress.common import merge_common
from pyedge.compress.constants import fold_constants
from pyedge.compress.dead import remove_dead
from pyedge.compress.fold import fold_activations
from pyedge.compress.identity import remove_identities
from pyedge.compress.pads import fold_pads
from pyedge.compress.transposes import eliminate_transposes
from pyedge.model import reference
from pyedge.model.graph import Graph, Op, Tensor
from pyedge.model.onnx.load import import_onnx
from pyedge.model.ops import infer_op

Pass = Callable[[Graph], Graph]


class Maker:
    """A graph op by op, any kind."""

    def __init__(self) -> None:
        self.graph = Graph("made")

    def input(self, name: str, shape: tuple[int, ...], dtype: str = "float32") -> str:
        self.graph.add_tensor(Tensor(name, shape, dtype))
        self.graph.input_names.append(name)
        return name

    def const(self, name: str, value: np.ndarray) -> str:
        self.graph.add_tensor(Tensor(name, value.shape, str(value.dtype), value))
        return name

    def op(self, name: str, kind: str, *inputs: str | None, **attrs: object) -> str:
        op = Op(kind, name, list(inputs), [name], dict(attrs))
        shape, dtype = infer_op(op, [None if n is None else self.graph.tensors[n] for n in inputs])[0]
        self.graph.add_tensor(Tensor(name, shape, dtype))
        self.graph.ops.append(op)
        return name

    def done(self, *outputs: str) -> Graph:
        self.graph.output_names = list(outputs)
        return self.graph


def kinds(graph: Graph) -> list[str]:
    return [op.kind for op in graph.ops]


def by_reference(graph: Graph, feeds: dict[str, np.ndarray]) -> list[np.ndarray]:
    return list(reference.run(graph, feeds).values())


def by_executor(graph: Graph, feeds: dict[str, np.ndarray]) -> list[np.ndarray]:
    return pe.Session(pe.compile(graph)).run([feeds[t.name] for t in graph.inputs])


def unchanged(graph: Graph, rewrite: Pass, exact: bool = True) -> Graph:
    """What the pass makes of a graph; it computes the same, by the reference and by the executor, on two inputs."""
    before = repr(graph), [repr(op) for op in graph.ops], set(graph.tensors)
    after = rewrite(graph)
    assert before == (repr(graph), [repr(op) for op in graph.ops], set(graph.tensors)), "the graph that came in changed"
    for seed in (0, 1):
        feeds = {t.name: rng_array(tuple(d or 1 for d in t.shape), seed) for t in graph.inputs}
        for run in (by_reference, by_executor):
            for a, b in zip(run(graph, feeds), run(after, feeds), strict=True):
                if exact:
                    np.testing.assert_array_equal(a, b)
                else:
                    np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)
    return after


CONV: dict[str, object] = {
    "stride": (1, 1),
    "dilation": (1, 1),
    "padding": ((0, 0), (0, 0)),
    "groups": 1,
    "activation": None,
}


def conv(m: Maker, name: str, x: str, channels: int = 4, out: int = 6, **attrs: object) -> str:
    w = m.const(f"{name}/w", rng_array((out, 3, 3, channels), len(name)))
    b = m.const(f"{name}/b", rng_array((out,), len(name) + 1))
    return m.op(name, "conv2d", x, w, b, **{**CONV, **attrs})


def test_dead_ops_and_constants_go() -> None:
    m = Maker()
    x = m.input("x", (2, 3))
    m.const("unused", np.ones(3, np.float32))
    m.op("dead", "relu", m.op("deader", "relu6", x))
    y = m.op("y", "relu", x)
    graph = unchanged(m.done(y), remove_dead)
    assert kinds(graph) == ["relu"]
    assert set(graph.tensors) == {"x", "y"}


def test_identities_go_and_reshapes_of_reshapes_become_one() -> None:
    m = Maker()
    x = m.input("x", (2, 3, 4))
    h = m.op("same", "identity", m.op("r0", "relu", x))
    h = m.op("t", "transpose", h, perm=(0, 1, 2))
    h = m.op("b", "reshape", m.op("a", "reshape", h, shape=(6, 4)), shape=(3, 8))
    y = m.op("last", "identity", m.op("r1", "relu6", h))
    graph = unchanged(m.done(y), lambda g: remove_dead(remove_identities(g)))
    assert kinds(graph) == ["relu", "reshape", "relu6"]
    assert graph.output_names == ["last"]


def test_an_identity_between_input_and_output_stays() -> None:
    m = Maker()
    graph = unchanged(m.done(m.op("y", "identity", m.input("x", (2, 3)))), remove_identities)
    assert kinds(graph) == ["identity"]


def test_common_subexpressions_are_one() -> None:
    m = Maker()
    x = m.input("x", (2, 3))
    one, two = m.const("one", np.ones(3, np.float32)), m.const("two", np.ones(3, np.float32))
    a, b = m.op("a", "add", x, one, activation=None), m.op("b", "add", x, two, activation=None)
    c = m.op("c", "add", x, two, activation="relu")
    y = m.op("y", "add", m.op("ab", "add", a, b, activation=None), c, activation=None)
    assert kinds(unchanged(m.done(y), merge_common)) == ["add"] * 4


def test_constants_are_folded_but_not_an_output() -> None:
    m = Maker()
    x = m.input("x", (2, 3))
    c = m.op("c", "relu", m.const("k", np.array([-1, 0, 2], np.float32)))
    out = m.op("out", "relu", m.const("k2", np.array([-1, 0, 2], np.float32)))
    y = m.op("y", "add", x, c, activation=None)
    assert kinds(unchanged(m.done(y, out), fold_constants)) == ["relu", "add"]


def test_an_if_of_a_constant_is_its_branch() -> None:
    b = pe.GraphBuilder()
    x = b.input("x", (1, 3))
    b.output("y", b.cond(b.constant(np.array([True])), lambda i: i.relu(x), lambda i: i.relu6(x))[0])
    graph = unchanged(b.build(), lambda g: remove_identities(fold_constants(g)))
    assert kinds(graph) == ["relu"]


def test_a_pad_in_front_of_a_convolution_is_its_padding() -> None:
    m = Maker()
    x = m.input("x", (1, 6, 6, 4))
    p = m.op("p", "pad", x, mode="constant", pads=((0, 0), (1, 2), (0, 3), (0, 0)))
    y = conv(m, "y", p, padding=((1, 0), (0, 1)))
    graph = unchanged(m.done(y), lambda g: remove_dead(fold_pads(g)))
    assert kinds(graph) == ["conv2d"]
    assert graph.ops[0].attrs["padding"] == ((2, 2), (0, 4))


@pytest.mark.parametrize("mode, value", [("edge", None), ("constant", 1.0)])
def test_a_pad_that_is_not_of_zeros_stays(mode: str, value: float | None) -> None:
    m = Maker()
    x = m.input("x", (1, 6, 6, 4))
    operands = [x] if value is None else [x, m.const("v", np.array(value, np.float32))]
    p = m.op("p", "pad", *operands, mode=mode, pads=((0, 0), (1, 1), (1, 1), (0, 0)))
    assert kinds(unchanged(m.done(conv(m, "y", p)), fold_pads)) == ["pad", "conv2d"]


def test_activations_are_fused() -> None:
    m = Maker()
    y = m.op("y", "relu", conv(m, "c", m.input("x", (1, 6, 6, 4))))
    assert kinds(unchanged(m.done(y), fold_activations)) == ["conv2d"]


@pytest.mark.parametrize("steps", [("mul", "add"), ("sub", "div"), ("add", "sub", "mul")])
def test_what_a_batch_norm_is_made_of_goes_into_the_weight(steps: tuple[str, ...]) -> None:
    m = Maker()
    h = conv(m, "c", m.input("x", (1, 6, 6, 4)))
    for i, kind in enumerate(steps):
        more = {"activation": None} if kind == "add" else {}
        k = m.const(f"k{i}", rng_array((6,), i + 7) + np.float32(3))
        h = m.op(f"h{i}", kind, h, k, **more)
    assert kinds(unchanged(m.done(h), fold_batch_norm, exact=False)) == ["conv2d"]


def test_a_convolution_that_is_read_twice_keeps_its_weight() -> None:
    m = Maker()
    c = conv(m, "c", m.input("x", (1, 6, 6, 4)))
    y = m.op("y", "add", c, m.const("k", np.ones(6, np.float32)), activation=None)
    assert kinds(unchanged(m.done(y, m.op("z", "relu", c)), fold_batch_norm)) == ["conv2d", "add", "relu"]


# --- transposes -------------------------------------------------------------------------------------------------------

NCHW, NHWC = (0, 3, 1, 2), (0, 2, 3, 1)


def between(middle: Callable[[Maker, str], str]) -> Graph:
    """Two convolutions with transposes around what stands between them in NCHW."""
    m = Maker()
    h = m.op("t0", "transpose", conv(m, "c0", m.input("x", (1, 9, 8, 4))), perm=NCHW)
    h = middle(m, h)
    h = m.op("t1", "transpose", h, perm=NHWC)
    return m.done(conv(m, "c1", h, channels=m.graph.tensors[h].shape[3] or 0))


def _relu(m: Maker, h: str) -> str:
    return m.op("r", "relu", h)


def _shifted(m: Maker, h: str) -> str:
    return m.op("s", "add", h, m.const("k", rng_array((6, 1, 1), 3)), activation=None)


def _concat(m: Maker, h: str) -> str:
    return m.op("cat", "concat", h, m.op("r", "relu", h), m.const("k", rng_array((1, 2, 7, 6), 3)), axis=1)


def _pad(m: Maker, h: str) -> str:
    return m.op("p", "pad", h, mode="edge", pads=((0, 0), (1, 0), (2, 1), (0, 3)))


def _slice(m: Maker, h: str) -> str:
    return m.op("s", "slice", h, starts=(1, 4), ends=(6, 0), axes=(2, 1), steps=(1, -1))


def _mean(m: Maker, h: str) -> str:
    return m.op("s", "add", h, m.op("m", "mean", h, axes=(2, 3), keepdims=True), activation=None)


def _reshape(m: Maker, h: str) -> str:
    wide = m.op("wide", "reshape", h, shape=(1, 1, 6, 7, 6))
    return m.op("back", "reshape", m.op("r", "relu", wide), shape=(1, 6, 7, 6))


@pytest.mark.parametrize("middle", [_relu, _shifted, _concat, _pad, _slice, _mean, _reshape])
def test_transposes_around_ops_cancel(middle: Callable[[Maker, str], str]) -> None:
    assert "transpose" not in kinds(unchanged(between(middle), eliminate_transposes))


def test_a_mean_without_its_axes_is_followed_by_what_is_left_of_the_transpose() -> None:
    m = Maker()
    h = m.op("t0", "transpose", conv(m, "c0", m.input("x", (2, 9, 8, 4))), perm=NCHW)
    y = m.op("y", "mean", h, axes=(2, 3), keepdims=False)
    assert kinds(unchanged(m.done(y), eliminate_transposes)) == ["conv2d", "mean"]


def test_a_transpose_in_front_of_a_linear_goes_into_its_weight() -> None:
    m = Maker()
    h = m.op("t0", "transpose", conv(m, "c0", m.input("x", (2, 5, 6, 4))), perm=NCHW)
    h = m.op("flat", "reshape", h, shape=(2, 72))
    y = m.op("y", "linear", h, m.const("w", rng_array((5, 72), 2)), None, activation=None, keep_dims=True)
    graph = unchanged(m.done(y), eliminate_transposes, exact=False)
    assert kinds(graph) == ["conv2d", "reshape", "linear"]


def test_transposes_of_different_kinds_stay() -> None:
    m = Maker()
    x, y = m.input("x", (2, 3, 4)), m.input("y", (3, 2, 4))
    a, b = m.op("a", "transpose", x, perm=(0, 2, 1)), m.op("b", "transpose", y, perm=(1, 2, 0))
    graph = unchanged(m.done(m.op("s", "add", a, b, activation=None)), eliminate_transposes)
    assert sorted(kinds(graph)) == ["add", "transpose", "transpose"]


def test_transposes_at_the_border_stay() -> None:
    proto = model("g (float[1, 2, 6, 6] x) => (float[1, 3, 4, 4] y) { y = Conv (x, w) }", w=rng_array((3, 2, 3, 3)))
    graph = unchanged(import_onnx(proto)[0], eliminate_transposes)
    assert kinds(graph) == ["transpose", "conv2d", "transpose"]
