"""Front ends: settings, features of a clip, streams, and what stands in front of a model."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import pyedge as pe
from pyedge.model.reference import run


def sound(count, seed=1):
    """Loud noise in bursts over a hum."""
    rng = np.random.default_rng(seed)
    t = np.arange(count)
    x = 3000 * np.sin(t * 0.1) + 12000 * rng.standard_normal(count) * (np.sin(t / 3000) > 0.5)
    return np.clip(x, -32768, 32767).astype(np.int16)


def model(shape, dtype="float32", outputs=3):
    """A linear layer over a whole window of features."""
    b = pe.GraphBuilder("model")
    quant = {"scale": 0.1, "zero_point": -100} if dtype == "int8" else {}
    x = b.input("features", shape, dtype, **quant)
    w = np.random.default_rng(2).standard_normal((outputs, np.prod(shape))).astype(np.float32)
    flat = b.reshape(b.dequantize(x) if dtype == "int8" else x, (1, -1))
    b.output("samples", b.linear(flat, w))  # the name that a front end's input would have
    return b.build()


@pytest.mark.parametrize(
    ("front_end", "changes", "window", "step"),
    [
        (pe.audio.MicroSpeech(), {}, 480, 320),
        (pe.audio.MicroSpeech(), {"sample_rate": 8000, "channels": 13, "upper_hz": 3800.0, "window_ms": 25}, 200, 160),
        (pe.audio.MicroSpeech(), {"window_ms": 4, "step_ms": 4, "channels": 2, "lower_hz": 500.0}, 64, 64),
        (pe.audio.MicroSpeech(), {"window_ms": 200, "step_ms": 100, "channels": 120}, 3200, 1600),
        (pe.audio.LogMel(), {}, 1024, 512),
        (pe.audio.LogMel(), {"sample_rate": 22050, "window_ms": 20, "step_ms": 10, "channels": 64}, 441, 220),
        (pe.audio.LogMel(), {"preemphasis": 0.0, "lower_hz": 300.0, "upper_hz": 3000.0, "step_ms": 64}, 1024, 1024),
    ],
)
def test_features_are_those_of_the_reference(front_end, changes, window, step):
    """Frame by frame, states kept: int8 to the bit, float32 to 1e-5."""
    count = 5
    x = sound(window + (count - 1) * step + step - 1)
    ours = pe.audio.features(x, front_end, **changes)
    graph = pe.audio.graph(front_end, **changes)
    before = graph.inputs[0].shape[0] - window
    padded = np.concatenate([np.zeros(before, np.int16), x])
    states = {}
    frames = [padded[i * step : i * step + window + before] for i in range(count)]
    expected = np.stack([run(graph, {"samples": f}, states=states)["features"] for f in frames])
    assert (ours.shape, ours.dtype) == (expected.shape, expected.dtype)
    assert len(np.unique(ours)) > 3
    if ours.dtype == np.int8:
        assert np.array_equal(ours, expected)
    else:
        assert np.abs(ours - expected).max() <= 1e-5


@pytest.mark.parametrize("front_end", [pe.audio.MicroSpeech(), pe.audio.LogMel()])
def test_a_stream_gives_the_features_of_the_sound_with_silence_before_it(front_end):
    """Step by step: the first windows reach back into zeros. A reset begins anew."""
    graph = pe.audio.graph(front_end, stream=True)
    (step,) = graph.inputs[0].shape
    window = round(front_end.window_ms * 16)
    x = sound(step * 6)
    session = pe.Session(pe.compile(graph))
    for _ in range(2):
        ours = [session.run({"samples": part})["features"] for part in x.reshape(6, step)]
        expected = pe.audio.features(np.concatenate([np.zeros(window - step, np.int16), x]), front_end)
        assert np.array_equal(ours, expected)
        session.reset()


def test_log_mel_is_the_formula_in_numpy():
    """Pre-emphasis, Hamming, power spectrum, triangles in mel, decibels: written out in double."""
    x = sound(4000)
    ours = pe.audio.features(x, pe.audio.LogMel())
    y = x / 2**15
    y = y - (1 - 2**-5) * np.concatenate([[0], y[:-1]])
    frames = np.stack([y[s : s + 1024] for s in range(0, 4000 - 1023, 512)]) * np.hamming(1024)
    power = np.abs(np.fft.rfft(frames)) ** 2 / 1024
    mel = 1127 * np.log1p(np.arange(513) * 16000 / 1024 / 700)
    edges = np.linspace(0, 1127 * np.log1p(8000 / 700), 42)
    rise = (mel[None] - edges[:-2, None]) / np.diff(edges)[:-1, None]
    fall = (edges[2:, None] - mel[None]) / np.diff(edges)[1:, None]
    weights = np.maximum(0, np.minimum(rise, fall))
    weights[:, 0] = 0
    energy = np.maximum(power @ weights.T, 1e-30)
    assert np.abs(ours - np.clip((10 * np.log10(energy) + 52) / 64, 0, 1)).max() < 1e-5


@pytest.mark.parametrize("features", [False, True])
@pytest.mark.parametrize("dtype", ["float32", "int8"])
@pytest.mark.parametrize("front_end", [pe.audio.MicroSpeech(), pe.audio.LogMel()])
def test_a_model_behind_a_front_end_sees_the_last_frames(front_end, dtype, features):
    """Each run: the model's output for the features so far, zeros before them; the newest ones too, where asked for."""
    behind = model((1, 4, 10, 1), dtype)
    graph = pe.audio.attach(behind, front_end, features, channels=10)
    (step,) = graph.inputs[0].shape
    session, alone = pe.Session(pe.compile(graph)), pe.Session(pe.compile(behind))
    stream = pe.Session(pe.compile(pe.audio.graph(front_end, stream=True, channels=10)))
    x = behind.inputs[0]
    zero = x.zero_point or 0
    seen = np.full((4, 10), zero, x.dtype)
    for part in sound(step * 6).reshape(6, step):
        frame = stream.run({"samples": part})["features"]
        real = (26 / 256 * (frame.astype(np.float32) + 128)) if frame.dtype == np.int8 else frame
        seen = np.concatenate([seen[1:], (x.quantize(real) if dtype == "int8" else real.astype(np.float32))[None]])
        ours = session.run({graph.input_names[0]: part})
        expected = alone.run({"features": seen.reshape(1, 4, 10, 1)})["samples"]
        assert list(ours) == (["samples", "features:"] if features else ["samples"])  # the model has a "features"
        assert np.abs(ours["samples"] - expected).max() <= (0.5 if dtype == "int8" else 1e-4)
        if features:
            newest = ours["features:"]
            assert newest.dtype == x.dtype and newest.shape == (10,)
            assert np.abs(newest.astype(np.float64) - seen[-1]).max() <= (1 if dtype == "int8" else 1e-5)


@pytest.mark.parametrize(
    ("front_end", "changes", "words"),
    [
        (pe.audio.MicroSpeech(), {"step_ms": 40}, "step_ms 40"),
        (pe.audio.MicroSpeech(), {"window_ms": 2, "step_ms": 2}, "too short"),
        (pe.audio.MicroSpeech(), {"upper_hz": 9000.0}, "9000.0 Hz"),
        (pe.audio.MicroSpeech(), {"upper_hz": 8000.0}, "too close"),
        (pe.audio.MicroSpeech(), {"channels": 0}, "0 channels"),
        (pe.audio.MicroSpeech(), {"noise_rates": (2.0, 0.1)}, "keep"),
        (pe.audio.LogMel(), {"lower_hz": 8000.0}, "8000.0"),
        (pe.audio.LogMel(), {"window_ms": 5000}, "80000"),
    ],
)
def test_settings_that_do_not_fit_are_named(front_end, changes, words):
    with pytest.raises(pe.ModelError, match=words):
        pe.audio.graph(front_end, **changes)


def test_samples_and_models_that_do_not_fit_are_named():
    with pytest.raises(pe.ShapeError, match=r"float64\[500\]"):
        pe.audio.features(np.zeros(500))
    with pytest.raises(pe.ShapeError, match="n >= 480"):
        pe.audio.features(np.zeros(479, np.int16))
    with pytest.raises(pe.ModelError, match="frames of 40 channels"):
        pe.audio.attach(model((1, 50)))


def test_the_example_runs():
    """A clip and a stream."""
    example = Path(__file__).resolve().parents[1] / "examples" / "audio_features.py"
    done = subprocess.run([sys.executable, example], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert "49 frames of 40 channels" in done.stdout


def test_the_features_are_those_of_micro_speech(data_dir):
    """Six recorded clips through TFLM's own front end."""
    inputs = data_dir / "inputs"
    sounds, expected = np.load(inputs / "audio16k.npz"), np.load(inputs / "micro_features49x40.npz")
    for row, origin in zip(expected["x"], expected["origin"], strict=True):
        name, first = origin.split("@")
        assert np.array_equal(pe.audio.features(sounds[name][int(first) :][:16000]), row.reshape(49, 40))


def test_the_streaming_wakeword_is_heard(data_dir):
    """MLPerf Tiny's model behind its front end fires for each of three words, up to 1 s after it, and nowhere else."""
    graph = pe.audio.attach(pe.load(data_dir / "models" / "mlperf_sww_int8.tflite"), pe.audio.LogMel())
    session = pe.Session(pe.compile(graph))
    sounds = np.load(data_dir / "inputs" / "audio16k.npz")
    parts = sounds["short_wav"][: 160000 // 512 * 512].reshape(-1, 512)
    scores = [session.run({"samples": part})[graph.output_names[0]].reshape(-1) for part in parts]
    heard = np.array([(i + 1) * 0.032 for i, s in enumerate(scores) if s.argmax() == 0])
    windows = sounds["sww_windows"]
    assert all(((heard >= start) & (heard <= end + 1)).any() for start, end in windows)
    assert sum(((heard >= start) & (heard <= end + 1)).sum() for start, end in windows) == len(heard)
