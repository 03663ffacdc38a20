"""TFLite's recurrent operators and variables, against TFLite Micro (tests/golden/tflm_sequence.npz), run by run."""

from pathlib import Path

import numpy as np
import pytest

import pyedge as pe
from pyedge.model import reference
from pyedge.model.tflite import load_tflite

GOLDEN = np.load(Path(__file__).parents[1] / "golden" / "tflm_sequence.npz")
CASES = sorted(k.removesuffix(".model") for k in GOLDEN if k.endswith(".model"))


def graph_of(case: str) -> pe.Graph:
    return load_tflite(GOLDEN[f"{case}.model"].tobytes(), case)


@pytest.mark.parametrize("case", CASES)
def test_every_run_of_a_sequence_gives_tflm_s_bytes(case: str) -> None:
    """From the session, with its states kept, and from the NumPy reference; floats within 1e-6."""
    graph = graph_of(case)
    session, states = pe.Session(pe.compile(graph)), dict[str, np.ndarray]()
    (x_name,), (y_name,) = graph.input_names, graph.output_names
    for x, y in zip(GOLDEN[f"{case}.in0"], GOLDEN[f"{case}.out0"], strict=True):
        for found in (session.run({x_name: x}), reference.run(graph, {x_name: x}, states=states)):
            if y.dtype != np.float32:
                np.testing.assert_array_equal(found[y_name], y, strict=True)
            else:
                np.testing.assert_allclose(found[y_name], y, rtol=1e-6, atol=1e-6)
        for name, value in session.state().items():
            if np.issubdtype(value.dtype, np.integer):
                np.testing.assert_array_equal(value, states[name], strict=True)


@pytest.mark.parametrize("case", CASES)
def test_a_reset_begins_the_sequence_again(case: str) -> None:
    """The first outputs come again, and they are not those of the second run."""
    session = pe.Session(pe.compile(graph_of(case)))
    runs = GOLDEN[f"{case}.in0"]
    first = session.run([runs[0]])[0]
    before = session.state()
    session.reset()
    assert any(not np.array_equal(value, before[name]) for name, value in session.state().items())
    np.testing.assert_array_equal(session.run([runs[0]])[0], first)


@pytest.mark.parametrize("case", [c for c in CASES if c != "resource"])
def test_new_states_are_written_over_the_old_ones(case: str) -> None:
    """No copy of a state, and the same bytes where every tensor has memory of its own."""
    graph = graph_of(case)
    plan, kept = pe.compile(graph), pe.compile(graph, keep="all")
    assert "copy" not in [op.kind for op in plan.entry().ops]
    assert "copy" in [op.kind for op in kept.entry().ops]
    a, b = pe.Session(plan), pe.Session(kept)
    for x in GOLDEN[f"{case}.in0"]:
        np.testing.assert_array_equal(a.run([x])[0], b.run([x])[0])


@pytest.mark.parametrize("model", ["tflm_mnist_lstm_int8", "tflm_mnist_lstm_f32"])
def test_an_lstm_over_pictures_gives_every_recorded_row(data_dir: Path, model: str) -> None:
    """Reset before each row."""
    session = pe.Session(pe.compile(pe.load(data_dir / "models" / f"{model}.tflite")))
    with np.load(data_dir / "expected" / f"{model}__mnist28.npz") as columns:
        x, expected = columns["in0"], columns["tflm0" if "tflm0" in columns.files else "ref0"]
    for row, y in zip(x, expected, strict=True):
        session.reset()
        found = session.run([row])[0]
        if found.dtype == np.int8:
            np.testing.assert_array_equal(found, y, strict=True)
        else:
            np.testing.assert_allclose(found, y, atol=1e-7)


def test_an_int8_lstm_is_within_1_of_litert_s(data_dir: Path) -> None:
    """Of the first row, its outputs over all steps; LiteRT rounds a gate's two sums as one, TFLM each by itself."""
    graph = pe.load(data_dir / "models" / "tflm_mnist_lstm_int8.tflite")
    assert isinstance(graph, pe.Graph)
    session = pe.Session(pe.compile(graph, keep="all"))
    with np.load(data_dir / "expected" / "tflm_mnist_lstm_int8__mnist28.npz") as columns:
        session.run([columns["in0"][0]])
    found = session.tensors()
    indices = {t.index: t.name for t in graph.tensors.values() if t.name in found}
    with np.load(data_dir / "expected" / "tflm_mnist_lstm_int8.layers.npz") as layers:
        (key,) = (k for k in layers.files if "LSTM" in k)
        y = found[indices[int(key.rpartition("_t")[2])]].astype(np.int32)
        assert np.abs(y.reshape(-1) - layers[key].reshape(-1)).max() <= 1


def test_a_noise_suppressor_gives_every_recorded_frame(data_dir: Path) -> None:
    """Two int8 LSTMs, 60 frames, reset once; then again."""
    session = pe.Session(pe.compile(pe.load(data_dir / "models" / "tflm_dtln_ns.tflite")))
    with np.load(data_dir / "expected" / "tflm_dtln_ns.npz") as columns:
        x, expected = columns["in0"], columns["tflm0"]
    for _ in range(2):
        session.reset()
        for frame, y in zip(x, expected, strict=True):
            np.testing.assert_array_equal(session.run([frame])[0], y, strict=True)
