"""pyedge/tune: calibration in a session, and pe.quantize."""

import numpy as np
import pytest

import pyedge as pe
from pyedge.tune.calibrate import ranges


def graph(batch: int | None = 1) -> pe.Graph:
    b = pe.GraphBuilder()
    h = b.relu(b.linear(b.input("x", (batch, 3)), np.float32([[1, 2, 3], [-1, 0, 1]]), np.float32([0, 1])), name="h")
    b.output("y", b.softmax(h))
    return b.build()


DATA = np.float32([[1, 0, 0], [0, 1, 0], [0, 0, -2], [0.5, 0.5, 0.5]])


@pytest.mark.parametrize("batch", [1, 2, None])
def test_ranges_are_the_extremes_over_all_samples(batch):
    """Of inputs and of every result, after activations are folded: the linear's own result is not among them."""
    found = ranges(graph(batch), DATA)
    assert found["x"] == (-2.0, 1.0)
    assert found["h"] == (0.0, 3.0)
    assert "linear_0" not in found
    assert 0 < found["y"][0] < 0.5 < found["y"][1] < 1


def test_data_that_do_not_fit_are_refused():
    """Another shape, no samples, a broken batch, an unknown name."""
    for data, message in (
        (np.zeros((4, 2), np.float32), r"'x' is float32\[2, 3\], given was float32\[4, 2\]"),
        (np.zeros((0, 3), np.float32), r"float32\[0, 3\]"),
        (np.zeros((3, 3), np.float32), r"given was float32\[3, 3\]"),
        ({"z": DATA}, "'x' is missing; given: z"),
    ):
        with pytest.raises(pe.ShapeError, match=message):
            ranges(graph(2), data)


def test_quantize_joins_calibration_and_the_pass():
    """The int8 graph runs, and its classes are the float graph's."""
    quantized = pe.quantize(graph(), DATA)
    session, exact = pe.Session(pe.compile(quantized)), pe.Session(pe.compile(graph()))
    for x in DATA:
        codes = session(quantized.inputs[0].quantize(x[None]))
        assert codes.argmax() == exact(x[None]).argmax()
    with pytest.raises(pe.UnsupportedError, match="int4"):
        pe.quantize(graph(), DATA, weights="int4")
