"""Layers of float activations by int8 weights against LiteRT's reference kernels (tests/golden/litert_hybrid.npz)."""

from pathlib import Path

import numpy as np
import pytest

import pyedge as pe
from pyedge.errors import PlanError, ShapeError
from pyedge.model.graph import Graph, Op, Quantization, Tensor
from pyedge.model.reference import run
from pyedge.model.tflite import load_tflite

GOLDEN = np.load(Path(__file__).parents[1] / "golden" / "litert_hybrid.npz")
CASES = sorted(k.removesuffix(".model") for k in GOLDEN if k.endswith(".model"))


@pytest.mark.parametrize("case", CASES)
def test_a_session_gives_litert_s_floats(case):
    """To the bit, and so does the NumPy reference; every row or image has a scale of its own."""
    graph = load_tflite(GOLDEN[f"{case}.model"].tobytes(), case)
    assert [op.kind.endswith("_hybrid") for op in graph.ops] == [True]
    inputs = {graph.input_names[0]: GOLDEN[f"{case}.in0"]}
    (ours,) = pe.Session(pe.compile(graph)).run(inputs).values()
    np.testing.assert_array_equal(ours, GOLDEN[f"{case}.out"])
    np.testing.assert_array_equal(run(graph, inputs)[graph.output_names[0]], GOLDEN[f"{case}.out"])


def linear(asymmetric: bool = False, scale: float | None = 0.5, zero_point: int = 0, dtype: str = "float32") -> Graph:
    """y[2, 3] = x[2, 4] * w, w counting from -6."""
    graph = Graph("linear")
    graph.add_tensor(Tensor("x", (2, 4), dtype))
    w = np.arange(-6, 6, dtype=np.int8).reshape(3, 4)
    quant = None
    if scale is not None:
        quant = Quantization(np.array([scale], np.float32), np.array([zero_point], np.int32))
    graph.add_tensor(Tensor("w", (3, 4), "int8", w, quant))
    graph.add_tensor(Tensor("y", (2, 3), "float32"))
    attrs = {"activation": None, "keep_dims": False, "asymmetric": asymmetric}
    graph.ops.append(Op("linear_hybrid", "fc", ["x", "w"], ["y"], attrs))
    graph.input_names, graph.output_names = ["x"], ["y"]
    return graph


@pytest.mark.parametrize("asymmetric", [False, True])
def test_what_is_not_finite_stays_in_its_row(asymmetric):
    """Infinities, NaN, subnormals and the largest floats give some floats, and the other row what it gives alone."""
    session = pe.Session(pe.compile(linear(asymmetric)))
    alone = session.run([np.array([[0, 0, 0, 0], [1, -2, 3, 4]], np.float32)])[0]
    largest = np.finfo(np.float32).max
    for odd in ([np.inf, 1, 2, 3], [-np.inf, np.inf, 0, 1], [np.nan] * 4, [np.nan, 5, 1, 0], [1e-45, 0, 0, 0]):
        together = session.run([np.array([odd, [1, -2, 3, 4]], np.float32)])[0]
        np.testing.assert_array_equal(together[1], alone[1])
    extremes = session.run([np.array([[largest, -largest, 0, 0], [1, -2, 3, 4]], np.float32)])[0]
    np.testing.assert_array_equal(extremes[1], alone[1])


@pytest.mark.parametrize(
    "fields, error, word",
    [
        ({"scale": None}, PlanError, "scale"),
        ({"zero_point": 3}, PlanError, "zero point"),
        ({"dtype": "int8"}, ShapeError, "float32"),
    ],
)
def test_weights_and_x_must_fit(fields, error, word):
    """Weights without scale or with a zero point, and int8 x, are errors that name the op."""
    with pytest.raises(error, match=word) as caught:
        pe.compile(linear(**fields))
    assert "'fc'" in str(caught.value)
