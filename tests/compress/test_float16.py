"""float16 weights and activations: what changes, what stays, and what that saves."""

from __future__ import annotations

import math

import numpy as np
import pytest

import pyedge as pe
from pyedge.compress.float16 import to_float16
from pyedge.model import reference

rng = np.random.default_rng(5)


def numbers(*shape: int) -> np.ndarray:
    return rng.normal(0, 1, shape).astype(np.float32)


def weights(*shape: int) -> np.ndarray:
    """Sums stay around 1, as in a trained network."""
    return numbers(*shape) / np.float32(math.sqrt(math.prod(shape[1:])))


def network() -> pe.Graph:
    """A layer of each kind, an add between two of them, a pool, activations alone."""
    b = pe.GraphBuilder()
    x = b.input("x", (None, 12, 12, 8), "float32")
    h = b.relu(b.conv2d(x, weights(32, 3, 3, 8), numbers(32), name="first"))
    h = b.depthwise_conv2d(h, weights(3, 3, 32), numbers(32), name="deep")
    h = b.conv2d(h, weights(32, 1, 1, 32), name="point")
    h = b.add(h, b.conv2d(h, weights(32, 1, 1, 32), name="side"), name="sum")
    h = b.conv2d(h, weights(16, 1, 1, 32), name="last")
    h = b.linear(b.reshape(h, (-1, 2304), name="flat"), weights(24, 2304), name="wide")
    b.output("y", b.op("matmul", h, weights(24, 5), transpose_a=False, transpose_b=False, activation=None)[0])
    return b.build()


def dtypes(graph: pe.Graph) -> dict[str, str]:
    return {t.name: t.dtype for t in graph.tensors.values() if t.data is None}


def test_weights_alone_change_no_activation() -> None:
    """float32 in and between; biases too; the graph that came in is untouched."""
    graph = network()
    half = pe.quantize(graph, weights="float16")
    assert set(dtypes(half).values()) == {"float32"}
    kinds = [op.kind for op in half.ops]
    assert kinds.count("linear_f16") == 2 and kinds.count("conv2d_f16") == 4 and "relu" not in kinds
    constants = {t.dtype for t in half.tensors.values() if t.data is not None and t.data.ndim > 1}
    assert constants == {"float16"}
    assert {t.dtype for t in half.tensors.values() if t.data is not None and t.data.ndim == 1} == {"float32"}
    assert {op.kind for op in graph.ops} & {"conv2d", "relu", "matmul"} == {"conv2d", "relu", "matmul"}


def test_only_what_goes_in_and_out_stays_float32() -> None:
    """Layers, activations and an add are all that stands between; nothing is cast."""
    half = pe.quantize(network(), weights="float16", activations="float16")
    assert {n for n, dtype in dtypes(half).items() if dtype == "float32"} == {"x", "y"}
    assert "cast" not in {op.kind for op in half.ops}


def moves() -> pe.Graph:
    """Everything that float16 goes through, between two layers."""
    b = pe.GraphBuilder()
    h = b.conv2d(b.input("x", (1, 8, 8, 4), "float32"), weights(8, 3, 3, 4), name="first")
    h = b.add(b.max_pool2d(h, 2, activation="relu"), b.avg_pool2d(h, 2))
    [h] = b.op("concat", h, h, axis=3)
    [h] = b.op("pad", h, mode="constant", pads=((0, 0), (1, 1), (0, 0), (0, 0)))
    [h] = b.op("slice", h, starts=(1,), ends=(5,), axes=(1,), steps=(1,))
    [h] = b.op("space_to_depth", h, block=2, mode="DCR")
    [h] = b.op("depth_to_space", h, block=2, mode="DCR")
    [h] = b.op("transpose", h, perm=(0, 2, 1, 3))
    [h] = b.op("identity", h)
    h, _ = b.op("split", h, axis=3, sizes=(12, 4), outputs=2)
    b.output("y", b.linear(b.reshape(b.mean(h, (1,)), (1, 48)), weights(5, 48)))
    return b.build()


def test_float16_goes_through_pools_and_moves() -> None:
    graph = moves()
    half = pe.quantize(graph, weights="float16", activations="float16")
    assert {n for n, dtype in dtypes(half).items() if dtype == "float32"} == {"x", "y"}
    x = numbers(1, 8, 8, 4)
    full, y = (pe.Session(pe.compile(g))(x) for g in (graph, half))
    np.testing.assert_allclose(y, full, rtol=0, atol=0.005 * np.abs(full).max())


def test_what_other_ops_meet_stays_float32() -> None:
    """A tensor that tanh reads, an add to what is no layer's, one of a constant: with all that these meet."""
    b = pe.GraphBuilder()
    x = b.input("x", (1, 8, 8, 4), "float32")
    h = b.conv2d(x, weights(4, 3, 3, 4), name="a")
    h = b.add(h, b.op("tanh", h)[0], name="b")
    h = b.max_pool2d(b.conv2d(h, weights(4, 3, 3, 4), name="c"), 2, name="d")
    h = b.add(b.add(h, b.constant(numbers(4)), name="e"), h, name="f")
    h = b.avg_pool2d(b.conv2d(h, weights(4, 3, 3, 4), name="g"), 2, name="h")
    b.output("y", b.conv2d(h, weights(4, 1, 1, 4)))
    half = pe.quantize(b.build(), weights="float16", activations="float16")
    assert {n for n, dtype in dtypes(half).items() if dtype == "float16"} == {"g", "h"}


@pytest.mark.parametrize("activations", ["float32", "float16"])
@pytest.mark.parametrize("mode", ["exact", "fast16"])
def test_a_session_has_the_references_bits_and_half_the_bytes(activations: str, mode: str) -> None:
    """And both stay near the float32 graph."""
    graph = network()
    x = numbers(2, 12, 12, 8)
    half = pe.quantize(graph, weights="float16", activations=activations)
    plan = pe.compile(half, batch=2, mode=mode)
    y = pe.Session(plan)(x)
    np.testing.assert_array_equal(y, reference.run(half, {"x": x}, mode=mode)["y"])
    full = pe.compile(graph, batch=2)
    exact = pe.Session(full)(x)
    assert np.abs(y - exact).max() < 0.02 * np.abs(exact).max()
    assert plan.flash_bytes < 0.51 * full.flash_bytes
    if activations == "float16":
        assert plan.arena_bytes < full.arena_bytes


def test_a_chain_of_layers_takes_half_the_arena() -> None:
    b = pe.GraphBuilder()
    h = b.input("x", (1, 8, 8, 4), "float32")
    for _ in range(3):
        h = b.conv2d(h, numbers(32, 1, 1, h.shape[3] or 1))
    b.output("y", b.linear(b.reshape(h, (1, -1)), numbers(3, 2048)))
    graph = b.build()
    full, half = pe.compile(graph), pe.compile(pe.quantize(graph, weights="float16", activations="float16"))
    assert full.arena_bytes == 2 * 8 * 8 * 32 * 4
    assert half.arena_bytes == full.arena_bytes // 2


def test_weights_that_were_float16_come_out_as_they_were() -> None:
    """Rounding a value that float16 holds changes nothing: no noise, and the outputs of float32."""
    w = numbers(3, 4).astype(np.float16)
    b = pe.GraphBuilder()
    b.output("y", b.linear(b.input("x", (2, 4), "float32"), w.astype(np.float32), name="fc"))
    half, report = to_float16(b.build())
    assert report.weight_sqnr_db == {"fc": float("inf")}
    [stored] = [t.data for t in half.tensors.values() if t.data is not None]
    np.testing.assert_array_equal(stored, w)
    x = numbers(2, 4)
    np.testing.assert_array_equal(pe.Session(pe.compile(half))(x), pe.Session(pe.compile(b.build()))(x))


def test_what_float16_cannot_hold_is_refused() -> None:
    """Large weights, no layers, formats that don't go together, int8 without data."""
    b = pe.GraphBuilder()
    b.output("y", b.linear(b.input("x", (1, 2), "float32"), np.float32([[1, 70000]])))
    with pytest.raises(pe.ModelError, match=r"'constant_0': weights up to 70000, float16 ends at 65504"):
        pe.quantize(b.build(), weights="float16")
    b = pe.GraphBuilder()
    b.output("y", b.relu(b.input("x", (1, 2), "float32")))
    with pytest.raises(pe.ModelError, match="no layer with constant float32 weights"):
        pe.quantize(b.build(), weights="float16")
    with pytest.raises(pe.UnsupportedError, match="weights='int4': the formats are int8, float16"):
        pe.quantize(network(), weights="int4")
    with pytest.raises(pe.UnsupportedError, match="with weights='float16' they are float32 or float16"):
        pe.quantize(network(), weights="float16", activations="int8")
    with pytest.raises(pe.ModelError, match="weights='int8' needs data"):
        pe.quantize(network())
