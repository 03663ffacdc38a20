"""TFLite operators that move elements, against LiteRT (tests/golden/litert_moves.npz) and TFLM's SeaNet cases."""

from pathlib import Path

import numpy as np
import pytest

import pyedge as pe
from pyedge.model.reference import run
from pyedge.model.tflite import load_tflite

GOLDEN = np.load(Path(__file__).parents[1] / "golden" / "litert_moves.npz")
CASES = sorted(k.removesuffix(".model") for k in GOLDEN if k.endswith(".model"))
SEANET = [*(f"pad{i}" for i in range(0, 20, 2)), *(f"strided_slice{i}" for i in range(0, 34, 2))]


@pytest.mark.parametrize("case", CASES)
def test_a_session_gives_litert_s_bytes(case):
    """Every output of every operator, from the session and from the NumPy reference."""
    graph = load_tflite(GOLDEN[f"{case}.model"].tobytes(), case)
    inputs = {name: GOLDEN[f"{case}.in{i}"] for i, name in enumerate(graph.input_names)}
    expected = [GOLDEN[f"{case}.out{i}"] for i in range(len(graph.output_names))]
    for found in (pe.Session(pe.compile(graph)).run(inputs), run(graph, inputs)):
        for name, y in zip(graph.output_names, expected, strict=True):
            np.testing.assert_array_equal(found[name], y, strict=True)


@pytest.mark.parametrize("case", SEANET)
def test_seanet_s_paddings_and_slices_are_golden(case, data_dir):
    """int16; TFLM's own record."""
    session = pe.Session(pe.compile(pe.load(data_dir / "models" / "seanet" / f"{case}.tflite")))
    with np.load(data_dir / "expected" / "seanet.npz") as columns:
        (y,) = session.run([columns[f"{case}.in0"].reshape(session.inputs[0].shape)])
        np.testing.assert_array_equal(y.reshape(-1), columns[f"{case}.golden"].reshape(-1))


def test_a_split_and_joined_uint8_model_gives_every_recorded_byte(data_dir):
    """coral_split_concat: three inputs, five outputs."""
    session = pe.Session(pe.compile(pe.load(data_dir / "models" / "coral_split_concat.tflite")))
    with np.load(data_dir / "expected" / "coral_split_concat.npz") as columns:
        for row in range(len(columns["in0"])):
            inputs = [columns[f"in{i}"][row].reshape(t.shape) for i, t in enumerate(session.inputs)]
            for i, y in enumerate(session.run(inputs)):
                np.testing.assert_array_equal(y, columns[f"ref{i}"][row].reshape(y.shape))
