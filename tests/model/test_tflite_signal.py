"""Signal operators whose options are missing, out of range or damaged."""

import contextlib
from pathlib import Path

import numpy as np
import pytest
from tflite_maker import O, T, model

import pyedge as pe
from pyedge.model.tflite import load_tflite

GOLDEN = np.load(Path(__file__).parents[1] / "golden" / "tflm_signal.npz")
CASES = sorted(k.removesuffix(".model") for k in GOLDEN if k.endswith(".model"))


@pytest.mark.parametrize("case", CASES)
def test_a_damaged_file_is_refused_or_read(case):
    """Bytes of the operator's options and tables changed at random: one error of pyedge's, or a graph."""
    rng = np.random.default_rng(len(case))
    good = GOLDEN[f"{case}.model"]
    for _ in range(40):
        bad = good.copy()
        bad[rng.integers(8, bad.size, 3)] = rng.integers(0, 256, 3)
        with contextlib.suppress(pe.PyedgeError):
            load_tflite(bad.tobytes(), case)


@pytest.mark.parametrize(
    ("name", "options", "words"),
    [
        ("SignalWindow", {}, "no number 'shift'"),
        ("SignalWindow", {"shift": 40}, "shift is 40"),
        ("SignalFramer", {"frame_size": 4, "frame_step": 3, "prefill": False}, "steps of 3"),
        ("SignalDelay", {"delay_length": -1}, "delay_length is -1"),
        ("SignalRfft", {"fft_length": 12, "T": 7}, "length is 12"),
        ("SignalStacker", {}, "no number"),
    ],
)
def test_options_that_cannot_be_are_named(name, options, words):
    tensors = [
        T("x", [8], "int16"),
        T("y", [8], "int16"),
        T("z", [], "bool"),
        T("w", [8], "int16", np.ones(8, np.int16)),
    ]
    inputs = [0, 3] if name == "SignalWindow" else [0]
    outputs = [1, 2] if name in ("SignalFramer", "SignalStacker") else [1]
    data = model(tensors, [O(name, inputs, outputs, None, options)], [0], outputs)
    with pytest.raises(pe.ModelError, match=words):
        load_tflite(data)


def rows_kept(rows: int, **options: int) -> bytes:
    tensors = [
        T("x", (1, 1, 2, 2), "int8", scale=0.5, zero_point=3),
        T("y", (1, rows, 2, 2), "int8", scale=0.5, zero_point=3),
    ]
    return model(tensors, [O("CIRCULAR_BUFFER", [0], [1], None, options)], [0], [1])


@pytest.mark.parametrize(("rows", "options"), [(3, {"cycles_max": 1}), (5, {"cycles_max": 0})])
def test_a_circular_buffer_holds_the_newest_rows(rows, options):
    """As TFLite Micro from the run on that fills it; ours begins with zeros, and after a reset."""
    session = pe.Session(pe.compile(load_tflite(rows_kept(rows, **options))))
    for _ in range(2):
        fed = [0] * rows
        for value in range(1, rows + 4):
            fed = [*fed[1:], value]
            y = session(np.full((1, 1, 2, 2), value, np.int8))
            assert (y == np.array(fed, np.int8)[None, :, None, None]).all()
        session.reset()


def test_a_circular_buffer_that_ends_runs_is_refused():
    with pytest.raises(pe.UnsupportedOpError, match="a period of 2 runs"):
        load_tflite(rows_kept(3, cycles_max=2))
