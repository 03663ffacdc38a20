"""Compiled single operators against LiteRT's reference kernels (tests/golden/litert_ops.npz)."""

from pathlib import Path

import numpy as np
import pytest

import pyedge as pe
from pyedge.model.reference import run
from pyedge.model.tflite import load_tflite

GOLDEN = np.load(Path(__file__).parents[1] / "golden" / "litert_ops.npz")
CASES = sorted(k.removesuffix(".model") for k in GOLDEN if k.endswith(".model"))

INT8 = [c for c in CASES if GOLDEN[f"{c}.in0"].dtype == GOLDEN[f"{c}.out"].dtype == np.int8]


@pytest.mark.parametrize("case", CASES)
def test_a_session_gives_litert_s_results(case):
    """int8 to the bit; floats, which sum in another order, to 2e-6 of the largest value."""
    graph = load_tflite(GOLDEN[f"{case}.model"].tobytes(), case)
    inputs = {name: GOLDEN[f"{case}.in{i}"] for i, name in enumerate(graph.input_names)}
    expected = GOLDEN[f"{case}.out"]
    (ours,) = pe.Session(pe.compile(graph, rounding="litert-ref")).run(inputs).values()
    assert (ours.shape, ours.dtype) == (expected.shape, expected.dtype)
    tolerance = 0 if expected.dtype == np.int8 else 2e-6 * np.abs(expected).max()
    assert np.abs(ours.astype(np.float64) - expected).max() <= tolerance


@pytest.mark.parametrize("case", INT8)
def test_a_session_gives_the_reference_s_codes(case):
    """Fed with random codes, both roundings: session and NumPy reference agree to the bit."""
    graph = load_tflite(GOLDEN[f"{case}.model"].tobytes(), case)
    rng = np.random.default_rng(11)
    for rounding in ("tflite", "litert-ref"):
        session = pe.Session(pe.compile(graph, rounding=rounding))
        for _ in range(20):
            x = {t.name: rng.integers(-128, 128, t.shape).astype(np.int8) for t in graph.inputs}
            name = graph.output_names[0]
            assert np.array_equal(session.run(x)[name], run(graph, x, rounding)[name])
