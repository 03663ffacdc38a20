"""uint8 models against LiteRT's reference kernels (tests/golden/litert_uint8.npz)."""

from pathlib import Path

import numpy as np
import pytest

import pyedge as pe
from pyedge.model.reference import run
from pyedge.model.tflite import load_tflite

GOLDEN = np.load(Path(__file__).parents[1] / "golden" / "litert_uint8.npz")
CASES = sorted(k.removesuffix(".model") for k in GOLDEN if k.endswith(".model"))


@pytest.mark.parametrize("case", CASES)
def test_a_session_gives_litert_s_bytes(case):
    """Inputs and outputs are uint8; session and NumPy reference are equal to LiteRT to the bit."""
    graph = load_tflite(GOLDEN[f"{case}.model"].tobytes(), case)
    inputs = {name: GOLDEN[f"{case}.in{i}"] for i, name in enumerate(graph.input_names)}
    assert {t.dtype for t in (*graph.inputs, *graph.outputs)} == {"uint8"}
    (ours,) = pe.Session(pe.compile(graph)).run(inputs).values()
    np.testing.assert_array_equal(ours, GOLDEN[f"{case}.out"])
    np.testing.assert_array_equal(run(graph, inputs)[graph.output_names[0]], GOLDEN[f"{case}.out"])


def test_real_values_become_codes_of_a_uint8_input():
    """By the input's scale and zero point, saturated to 0 .. 255, before and after compiling; and back."""
    graph = load_tflite(GOLDEN["conv.model"].tobytes(), "conv")
    for t in (graph.inputs[0], pe.Session(pe.compile(graph)).inputs[0]):
        q = t.quantize(np.array([-100, 0, 0.02, 100], np.float32))
        assert (q.dtype, q.tolist()) == (np.uint8, [0, 117, 118, 255])
        np.testing.assert_allclose(t.dequantize(q[1:3]), [0, 0.02], atol=1e-7)
