"""Signal kinds: a session's bits are the reference's, for any numbers, tables that point outside included."""

import numpy as np
import pytest

import pyedge as pe
from pyedge.model.reference import run

RNG = np.random.default_rng(5)


def integers(dtype, *shape):
    """Of every magnitude."""
    info = np.iinfo(dtype)
    x = RNG.integers(info.min, info.max, shape, dtype=dtype, endpoint=True)
    return x >> RNG.integers(0, info.bits - 1, shape).astype(dtype)


def agree(kind, *operands, outputs=1, tolerance=0.0, **attrs):
    b = pe.GraphBuilder()
    inputs = {f"x{i}": x for i, x in enumerate(operands)}
    results = b.op(kind, *(b.input(n, x.shape, str(x.dtype)) for n, x in inputs.items()), outputs=outputs, **attrs)
    for i, t in enumerate(results):
        b.output(f"y{i}", t)
    graph = b.build()
    ours, expected = pe.Session(pe.compile(graph)).run(inputs), run(graph, inputs)
    for name, y in expected.items():
        assert (ours[name].shape, ours[name].dtype) == (y.shape, y.dtype)
        if tolerance:
            assert np.abs(ours[name] - y).max() <= tolerance * np.abs(y).max()
        else:
            assert np.array_equal(ours[name], y)


@pytest.mark.parametrize("length", [4, 8, 16, 128, 1024, 8192])
@pytest.mark.parametrize("dtype", ["int16", "int32", "float32"])
def test_transforms(length, dtype):
    """Both ways, with fewer samples than the transform has, and several rows."""
    float_ = dtype == "float32"
    tolerance = 1e-6 if float_ else 0.0

    def values(*shape):
        return RNG.standard_normal(shape).astype(np.float32) if float_ else integers(dtype, *shape)

    for count in (length, length - 3, 1):
        agree("signal_rfft", values(2, count), tolerance=tolerance, length=length)
    spectrum = values(2, 3, length + 2)
    spectrum[..., [1, -1]] = 0
    agree("signal_irfft", spectrum, tolerance=tolerance)


@pytest.mark.parametrize("trial", range(5))
def test_the_front_end(trial):
    agree("signal_frames", integers("int16", 2, 33), size=10, step=4)
    agree("signal_frames", RNG.standard_normal((1, 9)).astype(np.float32), size=3, step=3)
    agree("signal_window", integers("int16", 3, 7), integers("int16", 7), shift=int(RNG.integers(0, 32)))
    agree("signal_auto_scale", integers("int16", 50) >> trial, outputs=2)
    agree("signal_energy", integers("int16", 40), start=3, end=15)
    agree("signal_square_root", integers("uint64", 400), np.array(RNG.integers(-40, 40), np.int32))
    rates = {"smoothing": (409, 2**32 - 1), "keep": (15975, 0), "min_remaining": 819, "smoothing_bits": 10, "bits": 14}
    levels = integers("uint32", 41), integers("uint32", 41)
    agree("signal_spectral_subtraction", *levels, outputs=2, **rates, clamping=trial % 2 == 0)
    agree("signal_pcan", *levels, integers("int16", 125), shift=int(RNG.integers(0, 64)))
    agree("signal_log", levels[0], bits=int(RNG.integers(0, 32)), factor=int(RNG.integers(0, 2**32)))
    numbers = dict(zip(("multiplier", "addend", "offset"), RNG.integers(-(2**15), 2**15, 3).tolist(), strict=True))
    agree(
        "signal_codes",
        integers("int16", 60),
        **numbers,
        divisor=int(RNG.integers(1, 2**31) >> RNG.integers(0, 31)) or 1,
    )
    agree("signal_codes", integers("int16", 60), multiplier=256, addend=333, divisor=666, offset=-128)
    agree("signal_overlap_add", integers("int16", 2, 3, 8), integers("int16", 2, 8), outputs=2, step=3)


@pytest.mark.parametrize("trial", range(20))
def test_filter_banks_with_any_table(trial):
    """Slopes that lie outside the bins or the weights, in part or as a whole, count nothing there."""
    table = [RNG.integers(-40, 90, 7).astype(np.int16) for _ in range(3)]
    agree("signal_filter_bank", integers("uint32", 50), integers("int16", 60), integers("int16", 60), *table)
    real = [RNG.standard_normal(n).astype(np.float32) for n in (50, 60, 60)]
    agree("signal_filter_bank", *real, *table, tolerance=1e-5)


@pytest.mark.parametrize("x", [[0, 0, 0], [5, -32768, 3, 1], [-32768], [-32768, -32768], [1], [-1], [32767, 1]])
def test_auto_scale_of_extremes(x):
    agree("signal_auto_scale", np.array(x, np.int16), outputs=2)


@pytest.mark.parametrize(
    ("kind", "shapes", "attrs", "words"),
    [
        ("signal_rfft", [("int16", 20)], {"length": 12}, "power of 2"),
        ("signal_rfft", [("int16", 20)], {"length": 16}, "at most 16"),
        ("signal_irfft", [("int16", 16)], {}, "two elements more"),
        ("signal_window", [("int16", 8), ("int16", 7)], {"shift": 3}, r"int16\[8\]"),
        ("signal_energy", [("int16", 8)], {"start": 0, "end": 5}, "end = 5"),
        ("signal_pcan", [("uint32", 8), ("uint32", 8), ("int16", 124)], {"shift": 3}, r"int16\[125\]"),
        ("signal_frames", [("int16", 8)], {"size": 9, "step": 1}, "9 elements"),
    ],
)
def test_what_does_not_fit_is_named(kind, shapes, attrs, words):
    b = pe.GraphBuilder()
    with pytest.raises((pe.ShapeError, pe.ModelError), match=words):
        b.op(kind, *(b.input(f"x{i}", (n,), dtype) for i, (dtype, n) in enumerate(shapes)), **attrs)
