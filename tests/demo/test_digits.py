"""pyedge/demo: the digits model, its accuracy and its size."""

import numpy as np

import pyedge as pe
from pyedge.demo import calibration, digits_graph, digits_int8, heldout
from pyedge.model.reference import run


def test_held_out_digits_are_recognized():
    """At least 96 % in float and in int8 (97.5 and 97.8 when the weights were made), 98 % the same answer."""
    x, labels = heldout()
    quantized = digits_int8()
    exact, small = pe.Session(pe.compile(digits_graph())), pe.Session(pe.compile(quantized))
    float_classes = np.array([exact(i[None]).argmax() for i in x])
    int8_classes = np.array([small(i[None]).argmax() for i in quantized.inputs[0].quantize(x)])
    assert len(x) == 360
    assert np.mean(float_classes == labels) >= 0.96
    assert np.mean(int8_classes == labels) >= 0.96
    assert np.mean(int8_classes == float_classes) >= 0.98


def test_the_session_gives_the_reference_s_bytes():
    """Kernels against NumPy on 60 digits."""
    graph = digits_int8()
    session = pe.Session(pe.compile(graph))
    for image in graph.inputs[0].quantize(heldout()[0][:60]):
        assert np.array_equal(run(graph, {"image": image[None]})["probabilities"], session(image[None]))


def test_quantizing_twice_gives_the_same_plan():
    """Calibration and compilation are deterministic to the byte."""
    assert bytes(pe.compile(digits_int8()).data) == bytes(pe.compile(digits_int8()).data)


def test_it_fits_the_smallest_board():
    """Plan below 64 KiB, arena at most 4 KiB: the FE310 has 16 KiB of RAM in all."""
    plan = pe.compile(digits_int8())
    assert plan.flash_bytes < 64 * 1024
    assert plan.arena_bytes <= 4 * 1024


def test_calibration_digits_are_not_held_out_ones():
    """No image is in both sets."""
    held = {i.tobytes() for i in heldout()[0]}
    assert len(calibration()) == 64
    assert not [i for i in calibration() if i.tobytes() in held]
