"""Audio front ends: samples to the features that a model takes, on a board with the same bits.

    codes = pe.audio.features(samples)                    # int8 [frames, 40], those of TFLite Micro's micro_speech
    graph = pe.audio.attach(pe.load("kws.tflite"))        # 320 samples a run -> the model's outputs
    energies = pe.audio.features(samples, pe.audio.LogMel(), channels=32)

A front end is plain settings. `graph` makes a graph of them, which compiles as any other, `features` runs it over a
clip, and `attach` puts it in front of a model, with the last frames as a state.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from .errors import ModelError, ShapeError
from .model.builder import GraphBuilder
from .model.graph import Graph, Op, Tensor
from .model.ops_signal import GAIN_ELEMENTS
from .model.surgery import replace as replace_op
from .plan.compile import compile
from .session import Session

_WINDOW_BITS = 12  # fraction bits of window and filter bank
_NOISE_BITS = 14  # of rates of the noise estimate
_SMOOTHING_BITS = 10  # of the noise estimate itself
_SNR_BITS = 12
_LOG_SHIFT = 6


@dataclass(frozen=True)
class MicroSpeech:
    """The fixed-point front end of TFLite Micro's micro_speech: int16 samples to int8 features.

    Hann window, FFT, mel filter bank, noise reduction, PCAN gain control (Wang et al. 2017) and logarithm. The defaults
    are micro_speech's, to the bit. A code q stands for 26 / 256 * (q + 128).

    noise_rates: part of the new noise estimate that comes from a frame, for even and odd channels. noise_floor: part of
    the signal that noise reduction leaves. pcan_strength, pcan_offset: of the gain, (noise + offset)^-strength.
    """

    sample_rate: int = 16000
    window_ms: float = 30
    step_ms: float = 20
    channels: int = 40
    lower_hz: float = 125.0
    upper_hz: float = 7500.0
    noise_rates: tuple[float, float] = (0.025, 0.06)
    noise_floor: float = 0.05
    pcan_strength: float = 0.95
    pcan_offset: float = 80.0


@dataclass(frozen=True)
class LogMel:
    """Logarithms of mel energies in float32, 0 .. 1: the front end of MLPerf Tiny's streaming wakeword.

    Pre-emphasis, Hamming window, power spectrum, mel filter bank; then (10 log10(energy) + offset_db) / range_db,
    clipped. Samples count as -1 .. 1. upper_hz: None is half the sample rate.
    """

    sample_rate: int = 16000
    window_ms: float = 64
    step_ms: float = 32
    channels: int = 40
    lower_hz: float = 0.0
    upper_hz: float | None = None
    preemphasis: float = 1 - 2**-5
    offset_db: float = 52.0
    range_db: float = 64.0


FrontEnd = MicroSpeech | LogMel
MICRO_SPEECH = MicroSpeech()


def features(samples: npt.ArrayLike, front_end: FrontEnd = MICRO_SPEECH, **changes: Any) -> np.ndarray:
    """The features of a clip: of windows that begin a step apart, from the first sample on, as long as they are full.

    Args:
        samples: int16 [n], mono, at the front end's sample rate.
        changes: Settings of the front end to change, such as channels=32.

    Returns:
        [frames, channels]: int8 of MicroSpeech, float32 of LogMel.

    Raises:
        ShapeError: Samples that are no int16 vector, or fewer than a window.
        ModelError: Settings that don't fit together; names them.
    """
    front_end = replace(front_end, **changes)
    x = np.asarray(samples)
    window, step = _sizes(front_end)
    if x.ndim != 1 or x.dtype != np.int16 or x.size < window:
        raise ShapeError(f"samples are {x.dtype}{list(x.shape)}, expected int16 [n] with n >= {window}")
    session = Session(compile(graph(front_end)))
    before = _before(front_end)
    x = np.concatenate([np.zeros(before, np.int16), x])
    starts = range(0, x.size - window - before + 1, step)
    return np.stack([session.run({"samples": x[s : s + window + before]})["features"] for s in starts])


def graph(front_end: FrontEnd = MICRO_SPEECH, stream: bool = False, **changes: Any) -> Graph:
    """A front end as a graph: input "samples" int16, output "features" [channels].

    Args:
        stream: False: each run takes the samples of one window; LogMel with pre-emphasis the one before them as well.
            True: each run takes the samples of one step, and those before them are a state, zeros at first.
        changes: Settings of the front end to change.

    Returns:
        The graph. MicroSpeech keeps a noise estimate from run to run, so frames are fed in order.

    Raises:
        ModelError: Settings that don't fit together; names them.
    """
    b = GraphBuilder("audio")
    front_end = replace(front_end, **changes)
    b.output("features", _features(b, front_end, _samples(b, front_end, stream)))
    return b.build()


def attach(model: Graph, front_end: FrontEnd = MICRO_SPEECH, features: bool = False, **changes: Any) -> Graph:
    """Return a graph that takes the samples of one step a run and gives the model's outputs for the frames up to now.

    Args:
        model: Its one input holds frames times channels numbers, the oldest frame first: [1, 49, 40, 1], [1, 1960] ...
            It is float32, or int8 with a scale, to which features are rounded. Before the first run all frames are 0.
        features: True: the newest frame is an output too, the last one, "features" [channels], as the model takes it.
        changes: Settings of the front end to change.

    Raises:
        ModelError: A model with other inputs; settings that don't fit together.
    """
    front_end = replace(front_end, **changes)
    x = model.inputs[0] if len(model.inputs) == 1 else None
    shape = () if x is None else tuple(1 if d is None else d for d in x.shape)
    channels = front_end.channels
    if (
        x is None
        or x.dtype not in ("float32", "int8")
        or (x.dtype == "int8" and not x.scale)
        or math.prod(shape) % max(channels, 1)
    ):
        inputs = ", ".join(f"{t.name!r} {t.dtype}{list(t.shape)}" for t in model.inputs)
        raise ModelError(
            f"graph {model.name!r} has the inputs {inputs}; expected one of float32 or int8 with a scale that holds "
            f"frames of {channels} channels"
        )
    b = GraphBuilder("audio")
    newest = _converted(b, _features(b, front_end, _samples(b, front_end, stream=True)), x)
    rest = math.prod(shape) - channels
    frames = newest
    if rest:
        zero = x.zero_point or 0
        history = b.state("frames", np.full(rest, zero, x.dtype), x.scale, zero)
        frames = b.op("concat", history, newest, axis=0)[0]
        b.update(history, _part(b, frames, channels, channels + rest))
    b.output("window", b.reshape(frames, shape))
    if features:
        b.output("features", b.reshape(newest, (channels,)))
    front = b.build()
    # The front end takes the place of an op that gives the model's input; names that both have are told apart there.
    whole = model.copy()
    whole.tensors[x.name].shape = shape
    samples = _add(whole, replace(front.inputs[0], name="samples"))
    whole.input_names = [samples]
    newest_names = [_add(whole, t) for t in front.outputs[1:]]
    whole.output_names += newest_names
    whole.ops.insert(0, Op("audio", "audio", [samples], [x.name, *newest_names]))
    return replace_op(whole, "audio", front)


def _add(graph: Graph, like: Tensor) -> str:
    """Adds a tensor, under another name if there is one of that name already."""
    name = like.name
    while name in graph.tensors:
        name += ":"
    graph.add_tensor(replace(like, name=name))
    return name


# --- samples ----------------------------------------------------------------------------------------------------------


def _sizes(f: FrontEnd) -> tuple[int, int]:
    """Samples of a window and of a step."""
    window, step = (round(ms * f.sample_rate / 1000) for ms in (f.window_ms, f.step_ms))
    if not 0 < step <= window <= 2**15:
        raise ModelError(
            f"window_ms {f.window_ms} and step_ms {f.step_ms} at {f.sample_rate} Hz are {window} and {step} samples"
        )
    return window, step


def _before(f: FrontEnd) -> int:
    """Samples that are needed before a window."""
    return int(isinstance(f, LogMel) and f.preemphasis != 0)


def _part(b: GraphBuilder, x: Tensor, start: int, end: int) -> Tensor:
    return b.op("slice", x, starts=(start,), ends=(end,), axes=(0,), steps=(1,))[0]


def _samples(b: GraphBuilder, f: FrontEnd, stream: bool) -> Tensor:
    """A window, and what is needed before it."""
    window, step = _sizes(f)
    needed = window + _before(f)
    if not stream or step == needed:
        return b.input("samples", (needed,), "int16")
    x = b.input("samples", (step,), "int16")
    history = b.state("history", np.zeros(needed - step, np.int16))
    whole = b.op("concat", history, x, axis=0)[0]
    b.update(history, _part(b, whole, step, needed))
    return whole


def _features(b: GraphBuilder, f: FrontEnd, samples: Tensor) -> Tensor:
    top = f.sample_rate / 2 if f.upper_hz is None else f.upper_hz
    if not (0 <= f.lower_hz < top <= f.sample_rate / 2) or not 1 <= f.channels <= 1024:
        raise ModelError(
            f"{f.channels} channels from {f.lower_hz} to {top} Hz at {f.sample_rate} Hz: expected 1 to 1024 channels, "
            "0 <= lower_hz < upper_hz <= sample_rate / 2"
        )
    return _log_mel(b, f, samples) if isinstance(f, LogMel) else _micro_speech(b, f, samples)


def _converted(b: GraphBuilder, x: Tensor, wanted: Tensor) -> Tensor:
    """Features as numbers of the model's input."""
    if wanted.dtype == "float32":
        return b.dequantize(x) if x.dtype == "int8" else x
    assert wanted.scale is not None and wanted.zero_point is not None
    if x.dtype == "int8" and (x.scale, x.zero_point) == (wanted.scale, wanted.zero_point):
        return x
    return b.quantize(x, wanted.scale, wanted.zero_point)


def _mel(hz: npt.ArrayLike) -> np.ndarray:
    """In float32, as the C code from which micro_speech's tables come."""
    return np.asarray(np.float32(1127) * np.log1p(np.asarray(hz, np.float32) / np.float32(700)))


def _slopes(edges: np.ndarray, mels: np.ndarray, first: int) -> tuple[np.ndarray, ...]:
    """Triangles between edges[i], edges[i + 1] and edges[i + 2] as slopes from edge to edge, which fall and rise.

    Args:
        edges: In mel, ascending, two more than triangles.
        mels: Of each bin of the spectrum.
        first: Bin from which on they count.

    Returns:
        The falling and the rising weight of each bin from `first` on, and of each slope its first bin, the place of its
        weights and the number of its bins: the operands of signal_filter_bank.
    """
    ends = np.maximum(np.searchsorted(mels, edges[1:], "right"), first)
    starts = np.concatenate([[first], ends[:-1]])
    slope = np.repeat(np.arange(starts.size), ends - starts)
    falling = (edges[slope + 1] - mels[first : ends[-1]]) / (edges[1:] - edges[:-1])[slope]
    return falling, 1 - falling, *(v.astype(np.int16) for v in (starts, starts - first, ends - starts))


def _fft_length(window: int) -> int:
    return 1 << max(window - 1, 3).bit_length()


# --- MicroSpeech ------------------------------------------------------------------------------------------------------


def _micro_speech(b: GraphBuilder, f: MicroSpeech, samples: Tensor) -> Tensor:
    window, _ = _sizes(f)
    length = _fft_length(window)
    correction = length.bit_length() - 1 - _LOG_SHIFT  # bits by which the FFT has scaled down, less those of the log
    if correction < 0:
        raise ModelError(f"a window of {window} samples is too short; expected more than 32")
    bank, start, end = _filter_bank(f, length)
    hann = 0.5 - 0.5 * np.cos(2 * np.pi * (np.arange(window) + 0.5) / window)
    weights = np.floor(hann * 2**_WINDOW_BITS + 0.5).astype(np.int16)
    x = b.op("signal_window", samples, weights, shift=_WINDOW_BITS)[0]
    x, bits = b.op("signal_auto_scale", x, outputs=2)
    x = b.op("signal_energy", b.op("signal_rfft", x, length=length)[0], start=start, end=end)[0]
    x = b.op("signal_square_root", b.op("signal_filter_bank", x, *bank)[0], bits)[0]
    one = 1 << _NOISE_BITS
    even, odd = (int(rate * one) for rate in f.noise_rates)
    noise = b.state("noise", np.zeros(f.channels, np.uint32))
    x, estimate = b.op(
        "signal_spectral_subtraction",
        x,
        noise,
        outputs=2,
        smoothing=(even, odd),
        keep=(one - even, one - odd),
        min_remaining=int(f.noise_floor * one),
        smoothing_bits=_SMOOTHING_BITS,
        bits=_NOISE_BITS,
        clamping=False,
    )
    b.update(noise, estimate)
    gain_bits = 21
    gains = _gains(f, _SMOOTHING_BITS - correction, gain_bits)
    x = b.op("signal_pcan", x, estimate, gains, shift=gain_bits - correction - _SNR_BITS)[0]
    x = b.op("signal_log", x, bits=correction, factor=1 << _LOG_SHIFT)[0]
    # The log is 0 .. 666 for 0 .. 26, which become -128 .. 127.
    scale: dict[str, Any] = {"multiplier": 256, "addend": 333, "divisor": 666, "offset": -128}
    return b.op("signal_codes", x, scale=26 / 256, zero_point=-128, **scale)[0]


def _cast(b: GraphBuilder, x: Tensor, to: str, **quant: Any) -> Tensor:
    return b.op("cast", x, to=to, saturate=1, round_mode="up", from_format=None, to_format=None, **quant)[0]


def _filter_bank(f: MicroSpeech, length: int) -> tuple[tuple[np.ndarray, ...], int, int]:
    """The operands of signal_filter_bank, and the first bin and the one behind the last that it reads."""
    hz = f.sample_rate / length  # from bin to bin
    lower = _mel(f.lower_hz)
    spacing = (_mel(f.upper_hz) - lower) / np.float32(f.channels + 1)
    edges = lower + spacing * np.arange(f.channels + 2, dtype=np.float32)
    first = round(1 + f.lower_hz / hz)  # without the constant part
    falling, rising, *where = _slopes(edges, _mel(np.arange(length // 2 + 2) * hz), first)
    end = first + falling.size
    if end > length // 2:
        raise ModelError(f"upper_hz {f.upper_hz} is too close to half of the sample rate, {f.sample_rate / 2}")
    weights, unweights = ((w * 2**_WINDOW_BITS).astype(np.int16) for w in (falling, rising))
    return (weights, unweights, *where), first, end


def _gains(f: MicroSpeech, noise_bits: int, gain_bits: int) -> np.ndarray:
    """The operand of signal_pcan: parabolas through the gain at both ends and the middle of [2^(i - 1), 2^i]."""

    def gain(noise: npt.ArrayLike) -> np.ndarray:
        x = np.asarray(noise, np.float32) / np.float32(2.0**noise_bits)
        value = np.float32(1 << gain_bits) * (x + np.float32(f.pcan_offset)) ** np.float32(-f.pcan_strength)
        return np.where(value > 2**15 - 1, 2**15 - 1, np.floor(value + np.float32(0.5))).astype(np.int64)

    table = np.zeros(GAIN_ELEMENTS + 1, np.int64)
    table[:2] = gain([0, 1])
    low = 2 ** np.arange(1, 32, dtype=np.int64)
    start = gain(low)
    middle, end = gain(low + low // 2) - start, gain(np.minimum(2 * low, 2**32 - 1)) - start
    slope = 4 * middle - end
    table[2:].reshape(-1, 4)[:, :3] = np.stack([start, slope, end - slope], 1)
    return table[:GAIN_ELEMENTS].astype(np.int16)


# --- LogMel -----------------------------------------------------------------------------------------------------------


def _log_mel(b: GraphBuilder, f: LogMel, samples: Tensor) -> Tensor:
    window, _ = _sizes(f)
    length = _fft_length(window)
    x = _cast(b, samples, "float32")
    if _before(f):
        old = b.op("mul", _part(b, x, 0, window), np.float32(f.preemphasis))[0]
        x = b.op("sub", _part(b, x, 1, window + 1), old)[0]
    hamming = 0.54 - 0.46 * np.cos(2 * np.pi * np.arange(window) / max(window - 1, 1))
    x = b.op("mul", x, (hamming / 2**15).astype(np.float32))[0]
    x = b.reshape(b.op("signal_rfft", x, length=length)[0], (length // 2 + 1, 2))
    power = b.op("reduce_sum_square", x, axes=(1,), keepdims=False)[0]
    energy = b.op("signal_filter_bank", power, *_mel_bank(f, length, window))[0]
    log = b.op("log", b.op("max", energy, np.float32(1e-30))[0])[0]
    level = b.op("mul", log, np.float32(10 / math.log(10) / f.range_db))[0]
    return b.clip(b.add(level, b.constant(np.float32(f.offset_db / f.range_db))), 0.0, 1.0)


def _mel_bank(f: LogMel, length: int, window: int) -> tuple[np.ndarray, ...]:
    """The operands of signal_filter_bank: triangles of height 1 / window, without the constant part of the spectrum."""
    top = f.sample_rate / 2 if f.upper_hz is None else f.upper_hz
    lower, upper = 1127 * np.log1p(np.array([f.lower_hz, top]) / 700)
    mels = 1127 * np.log1p(np.arange(length // 2 + 1) * f.sample_rate / length / 700)
    first = max(1, int(np.searchsorted(mels, lower)))
    falling, rising, *where = _slopes(np.linspace(lower, upper, f.channels + 2), mels, first)
    return ((falling / window).astype(np.float32), (rising / window).astype(np.float32), *where)
