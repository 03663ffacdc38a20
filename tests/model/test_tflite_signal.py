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
