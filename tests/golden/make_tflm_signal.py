"""Makes tflm_signal.npz: signal operators of TFLite Micro alone, random inputs, and what TFLM gives, run by run.

Run by hand, in an environment with tflite-micro 0.dev20261023182759 (x86-64) and the package tflite:
    python tests/golden/make_tflm_signal.py
Keys: CASE.model (bytes of the .tflite), CASE.in0, ..., CASE.out0, ..., each with one row a run; state is kept over the
runs of a case. Inputs have all magnitudes, most of all what saturates and wraps. Seed 17.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from tflite_micro import runtime

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "model"))
from tflite_maker import O, T, model

RNG = np.random.default_rng(17)
RUNS = 6
T_INT16, T_INT32, T_FLOAT32 = 7, 2, 0  # the schema's numbers of types, in the operators' option "T"

Case = tuple[str, bytes, list[np.ndarray], int]  # name, model, inputs, number of outputs


def integers(dtype: str, *shape: int) -> np.ndarray:
    """Of every magnitude, one for each run, with a few extremes."""
    info = np.iinfo(dtype)
    x = RNG.integers(info.min, info.max, (RUNS, *shape), dtype=dtype, endpoint=True)
    x >>= RNG.integers(0, info.bits - 2, (RUNS, *[1] * len(shape))).astype(dtype)
    return np.where(RNG.random(x.shape) < 0.01, RNG.choice(np.array([info.min, info.max], dtype), x.shape), x)


def values(dtype: str, *shape: int) -> np.ndarray:
    return RNG.normal(size=(RUNS, *shape)).astype(np.float32) if dtype == "float32" else integers(dtype, *shape)


def case(name: str, kind: str, inputs: list[Any], outputs: list[tuple[Any, str]], **options: Any) -> Case:
    """inputs: arrays with one row a run, or T for constants; outputs: shapes and dtypes."""
    tensors = [x if isinstance(x, T) else T(f"x{i}", x.shape[1:], str(x.dtype)) for i, x in enumerate(inputs)]
    fed = [i for i, x in enumerate(inputs) if not isinstance(x, T)]
    given = list(range(len(inputs), len(inputs) + len(outputs)))
    tensors += [T(f"y{i}", shape, dtype) for i, (shape, dtype) in enumerate(outputs)]
    data = model(tensors, [O(kind, range(len(inputs)), given, None, options)], fed, given)
    return name, data, [inputs[i] for i in fed], len(outputs)


def constant(name: str, value: np.ndarray) -> T:
    return T(name, value.shape, str(value.dtype), value)


def transforms() -> Iterator[Case]:
    for length, count in ((16, 16), (32, 20), (64, 64), (512, 480)):
        for dtype, number in (("int16", T_INT16), ("int32", T_INT32), ("float32", T_FLOAT32)):
            rows = 2 if length < 100 else 1
            options = {"T": number, "fft_length": length}
            y, x = [((rows, length + 2), dtype)], values(dtype, rows, count)
            yield case(f"rfft_{dtype}_{length}", "SignalRfft", [x], y, **options)
            y, x = [((rows, length), dtype)], values(dtype, rows, length + 2)
            yield case(f"irfft_{dtype}_{length}", "SignalIrfft", [x], y, **options)


def front_end() -> Iterator[Case]:
    weights = constant("weights", RNG.integers(-(2**15), 2**15, 24).astype(np.int16))
    for shift in (0, 12, 15):
        yield case(
            f"window_{shift}", "SignalWindow", [integers("int16", 3, 24), weights], [((3, 24), "int16")], shift=shift
        )
    scaled = [((50,), "int16"), ((), "int32")]
    yield case("auto_scale", "SignalFftAutoScale", [integers("int16", 50)], scaled)
    low = integers("int16", 50) >> 4
    low[:, 20] = -(2**15)
    yield case("auto_scale_lowest", "SignalFftAutoScale", [low], scaled)
    yield case("energy", "SignalEnergy", [integers("int16", 66)], [((33,), "uint32")], start_index=0, end_index=33)
    starts = np.array([2, 5, 9, 9, 20, 30], np.int16)
    widths = np.array([3, 4, 0, 11, 10, 10], np.int16)
    taps = np.concatenate([[0], np.cumsum(widths)[:-1]]).astype(np.int16)
    bank = [
        *(constant(n, RNG.integers(-100, 2**12, 38).astype(np.int16)) for n in ("weights", "unweights")),
        *(constant(n, v) for n, v in (("starts", starts), ("taps", taps), ("widths", widths))),
    ]
    yield case("filter_bank", "SignalFilterBank", [integers("uint32", 40), *bank], [((5,), "uint64")], num_channels=5)
    bits = RNG.integers(0, 32, RUNS).astype(np.int32)
    x = integers("uint64", 60)
    x[:, :6] = [0, 1, 2**32 - 1, 2**32, 2**64 - 1, 0xFFFF * 0x10000]
    yield case("square_root", "SignalFilterBankSquareRoot", [x, bits], [((60,), "uint32")])
    for clamping in (False, True):
        yield case(
            f"spectral_subtraction_{clamping}",
            "SignalFilterBankSpectralSubtraction",
            [integers("uint32", 21)],
            [((21,), "uint32"), ((21,), "uint32")],
            alternate_one_minus_smoothing=15401,
            alternate_smoothing=983,
            clamping=clamping,
            min_signal_remaining=819,
            num_channels=21,
            one_minus_smoothing=15975,
            smoothing=409,
            smoothing_bits=10,
            spectral_subtraction_bits=14,
        )
    for shift in (6, 20):
        gains = constant("gains", RNG.integers(-(2**13), 2**13, 125).astype(np.int16))
        levels = [integers("uint32", 60), integers("uint32", 60)]
        yield case(f"pcan_{shift}", "SignalPCAN", [*levels, gains], [((60,), "uint32")], snr_shift=shift)
    for bits, scale in ((0, 1600), (3, 64), (5, 2**20 + 7)):
        logs = [((80,), "int16")]
        options = {"input_correction_bits": bits, "output_scale": scale}
        yield case(f"log_{bits}", "SignalFilterBankLog", [integers("uint32", 80)], logs, **options)


def streams() -> Iterator[Case]:
    frames = [((2, 3, 10), "int16"), ((), "bool")]
    options = {"frame_size": 10, "frame_step": 4}
    yield case("framer_prefill", "SignalFramer", [integers("int16", 2, 12)], frames, **options, prefill=True)
    one = [((1, 10), "int16"), ((), "bool")]
    yield case("framer", "SignalFramer", [integers("int16", 4)], one, **options, prefill=False)
    two = [((2, 10), "int16"), ((), "bool")]
    yield case("framer_two", "SignalFramer", [integers("int16", 8)], two, **options, prefill=False)
    short = [((3, 3), "int16"), ((), "bool")]
    yield case("framer_gaps", "SignalFramer", [integers("int16", 15)], short, frame_size=3, frame_step=5, prefill=False)
    for left, right, step in ((2, 1, 1), (0, 2, 2), (3, 0, 3), (0, 0, 1)):
        stack = [((3 * (left + right + 1),), "int16"), ((), "bool")]
        options = {"stacker_left_context": left, "stacker_right_context": right, "stacker_step": step}
        yield case(
            f"stacker_{left}_{right}_{step}", "SignalStacker", [integers("int16", 3)], stack, num_channels=3, **options
        )
    for delay in (3, 7, 20):
        yield case(f"delay_{delay}", "SignalDelay", [integers("int16", 2, 7)], [((2, 7), "int16")], delay_length=delay)
    x = integers("int16", 2, 3, 8)
    yield case("overlap_add", "SignalOverlapAdd", [x], [((2, 9), "int16")], T=T_INT16, frame_step=3)
    yield case(
        "overlap_add_float",
        "SignalOverlapAdd",
        [values("float32", 3, 8)],
        [((24,), "float32")],
        T=T_FLOAT32,
        frame_step=8,
    )


def main() -> None:
    vectors: dict[str, np.ndarray] = {}
    for cases in (transforms(), front_end(), streams()):
        for name, data, inputs, outputs in cases:
            interpreter = runtime.Interpreter.from_bytes(data, arena_size=1 << 20)
            rows: list[list[np.ndarray]] = []
            for i in range(RUNS):
                for k, x in enumerate(inputs):
                    interpreter.set_input(x[i], k)
                interpreter.invoke()
                rows.append([np.array(interpreter.get_output(k)) for k in range(outputs)])
            vectors[f"{name}.model"] = np.frombuffer(data, np.uint8)
            vectors |= {f"{name}.in{k}": x for k, x in enumerate(inputs)}
            vectors |= {f"{name}.out{k}": np.stack(values) for k, values in enumerate(zip(*rows, strict=True))}
    np.savez_compressed(Path(__file__).with_name("tflm_signal.npz"), **vectors)


if __name__ == "__main__":
    main()
