"""Real ONNX models against recorded outputs of ONNX Runtime."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("onnx")

import pyedge as pe
from pyedge.compress.transposes import count_transposes
from pyedge.model.graph import Graph


def load(data_dir: Path, name: str, **options: object) -> tuple[Graph, dict[str, np.ndarray]]:
    graph = pe.load(data_dir / "models" / f"{name}.onnx", **options)
    assert isinstance(graph, Graph)
    return graph, dict(np.load(data_dir / "expected" / f"{name}.onnx.npz"))


# The largest difference of a result. kws in integers: steps of 1/256 of a softmax, after layers that round once more or
# less than ONNX Runtime's, which computes QDQ graphs in floats.
@pytest.mark.parametrize(
    "name, largest",
    [
        ("mlonmcu_micro_kws_m_static_fp32", 1e-6),
        ("mlonmcu_micro_kws_m_static_qdq", 6 / 256),
        ("mlonmcu_micro_kws_m_static_qoperator", 6 / 256),
        ("dory_eegnet_dw_1xw", 0),
        ("dory_tcn_t", 0),
    ],
)
def test_a_model_gives_what_onnx_runtime_gives(data_dir: Path, name: str, largest: float) -> None:
    graph, recorded = load(data_dir, name)
    assert count_transposes(graph) == 0
    session, x = pe.Session(pe.compile(graph)), graph.inputs[0]
    for row, expected in zip(recorded["in0"], recorded["ref0"], strict=True):
        y = session.run([row.astype(x.dtype).reshape(x.shape)])[0].reshape(-1)
        assert np.abs(y - expected.reshape(-1)).max() <= largest
        assert expected.reshape(-1)[np.argmax(y)] >= expected.max() - 2 * largest


def test_a_qdq_model_as_written_is_what_onnx_runtime_computes(data_dir: Path) -> None:
    graph, recorded = load(data_dir, "mlonmcu_micro_kws_m_static_qdq", qdq="float")
    session, x = pe.Session(pe.compile(graph)), graph.inputs[0]
    for row, expected in zip(recorded["in0"], recorded["ref0"], strict=True):
        assert np.abs(session.run([row.reshape(x.shape)])[0] - expected.reshape(1, -1)).max() <= 2 / 256


def test_voice_activity_with_its_state_fed_back(data_dir: Path) -> None:
    """An LSTM, an STFT by a convolution, and branches on the sample rate."""
    shapes = {"input": (1, 576), "state": (2, 1, 128)}
    graph, recorded = load(data_dir, "silero_vad_16k_op15", shapes=shapes)
    session = pe.Session(pe.compile(graph))
    for row in range(len(recorded["in0"])):
        y, state = session.run([recorded[f"in{i}"][row] for i in range(3)])
        np.testing.assert_allclose(y, recorded["ref0"][row], atol=1e-5)
        np.testing.assert_allclose(state, recorded["ref1"][row], atol=1e-4)


def test_brevitas_nodes_are_named(data_dir: Path) -> None:
    with pytest.raises(pe.UnsupportedOpError, match=r"onnx\.brevitas:Quant \(node"):
        pe.load(data_dir / "models" / "qonnx_tfc_2w2a.onnx")
