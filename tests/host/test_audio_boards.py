"""Sound on an emulated board, frame by frame, state kept there: the host's bits."""

import numpy as np
import pytest

import pyedge as pe
from pyedge.host import connect

from .conftest import needs_qemu

FRAMES = 312  # of 32 ms: the whole sound


@pytest.mark.parametrize("front_end", [pe.audio.MicroSpeech(), pe.audio.LogMel()])
@pytest.mark.parametrize("board", ["host", pytest.param("virt-rv32", marks=needs_qemu)])
def test_a_front_end_runs_on_a_board(board, front_end):
    """Ten steps of noise, a reset, and the same again."""
    graph = pe.audio.graph(front_end, stream=True, channels=20)
    plan = pe.compile(graph, board=board)
    x = np.random.default_rng(4).integers(-9000, 9000, (10, *graph.inputs[0].shape)).astype(np.int16)
    session = pe.Session(plan)
    expected = [session.run({"samples": part})["features"].tobytes() for part in x]
    with connect(board) as b:
        remote = b.load(plan)
        for _ in range(2):
            assert [remote.run({"samples": part})["features"].tobytes() for part in x] == expected
            remote.reset()


@needs_qemu
def test_the_streaming_wakeword_runs_on_a_board(data_dir):
    """Front end and model on ten seconds of sound."""
    graph = pe.audio.attach(pe.load(data_dir / "models" / "mlperf_sww_int8.tflite"), pe.audio.LogMel())
    plan = pe.compile(graph, board="virt-rv32")
    sound = np.load(data_dir / "inputs" / "audio16k.npz")["short_wav"]
    parts = sound[: FRAMES * 512].reshape(FRAMES, 512)
    session = pe.Session(plan)
    with connect("virt-rv32") as board:
        remote = board.load(plan)
        for part in parts:
            (ours,), (expected,) = remote.run({"samples": part}).values(), session.run({"samples": part}).values()
            assert ours.tobytes() == expected.tobytes()


@needs_qemu
def test_the_audio_preprocessor_of_tflm_runs_on_a_board(data_dir):
    """Its 48 recorded frames: TFLM's features."""
    plan = pe.compile(pe.load(data_dir / "models" / "tflm_audio_pre_int8.tflite"), board="virt-rv32")
    recorded = np.load(data_dir / "expected" / "tflm_audio_pre_int8.npz")
    with connect("virt-rv32") as board:
        remote = board.load(plan)
        for x, expected in zip(recorded["in0"], recorded["tflm0"], strict=True):
            assert np.array_equal(remote.run([x])[0], expected)
