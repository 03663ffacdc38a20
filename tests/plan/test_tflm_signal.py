"""Signal operators against TFLite Micro's, run by run (tests/golden/tflm_signal.npz), and against the reference."""

from pathlib import Path

import numpy as np
import pytest

import pyedge as pe
from pyedge.model.reference import run
from pyedge.model.tflite import load_tflite

GOLDEN = np.load(Path(__file__).parents[1] / "golden" / "tflm_signal.npz")
CASES = sorted(k.removesuffix(".model") for k in GOLDEN if k.endswith(".model"))


def rows(case, prefix):
    count = sum(k.startswith(f"{case}.{prefix}") for k in GOLDEN)
    return list(zip(*(GOLDEN[f"{case}.{prefix}{i}"] for i in range(count)), strict=True))


@pytest.mark.parametrize("case", CASES)
def test_a_session_gives_tflm_s_bits(case):
    """Floats too. What an operator says is not valid yet is not compared: TFLM leaves it unset."""
    graph = load_tflite(GOLDEN[f"{case}.model"].tobytes(), case)
    session = pe.Session(pe.compile(graph))
    seen = 0
    for inputs, expected in zip(rows(case, "in"), rows(case, "out"), strict=True):
        ours = list(session.run(dict(zip(graph.input_names, inputs, strict=True))).values())
        assert [(y.shape, y.dtype) for y in ours] == [(y.shape, y.dtype) for y in expected]
        if ours[-1].dtype == bool:
            assert ours[-1] == expected[-1]
        if ours[-1].dtype != bool or expected[-1]:
            seen += 1
            assert [y.tobytes() for y in ours] == [y.tobytes() for y in expected]
    assert seen > 0


@pytest.mark.parametrize("case", CASES)
def test_the_reference_gives_tflm_s_results(case):
    """Integers to the bit; floats, which the reference sums in double, to 1e-6 of the largest value."""
    graph = load_tflite(GOLDEN[f"{case}.model"].tobytes(), case)
    states = {}
    for inputs, expected in zip(rows(case, "in"), rows(case, "out"), strict=True):
        ours = list(run(graph, dict(zip(graph.input_names, inputs, strict=True)), states=states).values())
        if ours[-1].dtype == bool and not expected[-1]:
            continue
        for y, wanted in zip(ours, expected, strict=True):
            tolerance = 1e-6 * np.abs(wanted).max() if y.dtype == np.float32 else 0
            assert np.abs(y.astype(np.float64) - wanted.astype(np.float64)).max() <= tolerance


@pytest.mark.parametrize(
    "case", [c for c in CASES if c.startswith(("delay", "framer_p", "overlap", "spectral", "stack"))]
)
def test_a_reset_starts_again(case):
    """After a reset the runs give what they gave at first."""
    graph = load_tflite(GOLDEN[f"{case}.model"].tobytes(), case)
    session = pe.Session(pe.compile(graph))
    feeds = [dict(zip(graph.input_names, x, strict=True)) for x in rows(case, "in")]
    first = [[y.tobytes() for y in session.run(x).values()] for x in feeds]
    session.reset()
    assert [[y.tobytes() for y in session.run(x).values()] for x in feeds] == first


def test_the_audio_front_end_gives_tflm_s_features(data_dir):
    """The preprocessor of TFLM's micro_speech: 48 frames of speech in order, the noise estimate kept."""
    graph = pe.load(data_dir / "models" / "tflm_audio_pre_int8.tflite")
    session = pe.Session(pe.compile(graph))
    expected = np.load(data_dir / "expected" / "tflm_audio_pre_int8.npz")
    ours = [session.run({graph.input_names[0]: x})[graph.output_names[0]] for x in expected["in0"]]
    assert np.array_equal(ours, expected["tflm0"])
