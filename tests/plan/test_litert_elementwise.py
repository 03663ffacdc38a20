"""TFLite operators that compute, against TFLite Micro and LiteRT (tests/golden/litert_elementwise.npz)."""

from pathlib import Path

import numpy as np
import pytest

import pyedge as pe
from pyedge.model.reference import run
from pyedge.model.tflite import load_tflite

GOLDEN = np.load(Path(__file__).parents[1] / "golden" / "litert_elementwise.npz")
CASES = sorted(k.removesuffix(".model") for k in GOLDEN if k.endswith(".model"))


@pytest.mark.parametrize("case", CASES)
def test_a_session_and_the_reference_give_the_recorded_values(case):
    """Integers and bools to the bit, floats within 2e-6 of the largest."""
    graph = load_tflite(GOLDEN[f"{case}.model"].tobytes(), case)
    inputs = {name: GOLDEN[f"{case}.in{i}"] for i, name in enumerate(graph.input_names)}
    for found in (pe.Session(pe.compile(graph)).run(inputs), run(graph, inputs)):
        for i, name in enumerate(graph.output_names):
            ours, theirs = found[name], GOLDEN[f"{case}.out{i}"]
            if theirs.dtype == np.float32:
                assert ours.dtype == np.float32
                assert np.abs(ours - theirs.reshape(ours.shape)).max() <= 2e-6 * np.abs(theirs).max()
            else:
                np.testing.assert_array_equal(ours, theirs.reshape(ours.shape), strict=True)


def int8_graph(kind, x, y, **attrs):
    """One op on int8[1, n]: x and y are scale and zero point."""
    b = pe.GraphBuilder()
    t = b.input("x", (2, 5), "int8", scale=x[0], zero_point=x[1])
    b.output("y", b.op(kind, t, scale=y[0], zero_point=y[1], **attrs)[0])
    return b.build()


@pytest.mark.parametrize("kind, attrs", [("l2_norm", {}), ("log_softmax", {"axis": -1})])
def test_a_result_of_another_scale_is_refused(kind, attrs):
    """These two give numbers of one scale; another one is an error that names it."""
    with pytest.raises(pe.ModelError, match="'y' needs scale 1/1"):
        pe.compile(int8_graph(kind, (0.1, 3), (0.1, 0), **attrs))


def test_terms_of_different_scales_are_refused():
    """add_n has one scale for all terms."""
    b = pe.GraphBuilder()
    x = [b.input(f"x{i}", (4,), "int8", scale=0.1 * (i + 1), zero_point=0) for i in range(2)]
    with pytest.raises(pe.ModelError, match="'x0' and 'x1' have different scales"):
        b.op("add_n", *x, scale=0.1)


def test_int8_division_by_zero_saturates():
    """To the side of the dividend's sign; 0 / 0 is 0."""
    b = pe.GraphBuilder()
    x, y = (b.input(n, (3,), "int8", scale=0.1, zero_point=0) for n in "xy")
    b.output("z", b.op("div", x, y, scale=0.1, zero_point=5)[0])
    graph = b.build()
    inputs = {"x": np.array([3, -3, 0], np.int8), "y": np.zeros(3, np.int8)}
    for z in (pe.Session(pe.compile(graph)).run(inputs)["z"], run(graph, inputs)["z"]):
        assert z.tolist() == [127, -128, 5]


def nms_graph(**attrs):
    b = pe.GraphBuilder()
    boxes, scores = b.input("boxes", (20, 4), "float32"), b.input("scores", (20, 5), "float32")
    given = {"max_detections": 6, "per_box": 2, "per_class": 3, "classes": 4, "regular": False}
    given |= {"score_threshold": 0.3, "iou_threshold": 0.4, **attrs}
    for i, t in enumerate(b.op("multiclass_nms", boxes, scores, outputs=4, **given)):
        b.output(f"y{i}", t)
    return b.build()


@pytest.mark.parametrize("regular", [False, True])
@pytest.mark.parametrize("equal", [False, True])
def test_several_classes_of_a_box_and_equal_scores(regular, equal):
    """Two classes a box, or each class by itself; of equal scores the first box and class come first."""
    graph, rng = nms_graph(regular=regular), np.random.default_rng(4)
    corner = rng.uniform(0, 0.7, (20, 2))
    boxes = np.concatenate([corner, corner + rng.uniform(0.1, 0.3, (20, 2))], axis=1).astype(np.float32)
    scores = (rng.integers(0, 4, (20, 5)) / 4 if equal else rng.uniform(0, 1, (20, 5))).astype(np.float32)
    inputs = {"boxes": boxes, "scores": scores}
    found, expected = pe.Session(pe.compile(graph)).run(inputs), run(graph, inputs)
    for name in graph.output_names:
        np.testing.assert_array_equal(found[name], expected[name], strict=True)
    assert 0 < found["y3"][0] <= 6


def test_nothing_is_found_where_no_score_is_high_enough():
    """All rows are 0."""
    inputs = {"boxes": np.zeros((20, 4), np.float32), "scores": np.zeros((20, 5), np.float32)}
    for y in pe.Session(pe.compile(nms_graph())).run(inputs).values():
        assert not y.any()


def test_a_threshold_of_overlap_beyond_1_is_refused():
    """Its name and what is possible."""
    with pytest.raises(pe.ModelError, match=r"iou_threshold is 1\.5, expected a number above 0, at most 1"):
        nms_graph(iou_threshold=1.5)
