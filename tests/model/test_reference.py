"""pyedge/model/reference.py against recorded outputs of TFLM and LiteRT."""

from pathlib import Path

import numpy as np
import pytest

from pyedge.errors import ModelError, ShapeError
from pyedge.model.builder import GraphBuilder
from pyedge.model.reference import run
from pyedge.model.tflite import load_tflite

INT8 = [
    *(f"mlperf_{n}_int8" for n in ("ic_resnet8", "kws_dscnn", "vww_mbv1", "ad_fcae", "sww")),
    *(f"tinymaix_{n}_q" for n in ("cifar10", "mnist_dw", "mnist_resnet", "mnist_valid")),
    "tflm_hello_world_int8",
    "mlonmcu_micro_kws_m_quantized",
]
FLOAT = [
    *(f"mlperf_{n}_f32" for n in ("ic_resnet8", "vww_mbv1", "ad_fcae")),
    *("tflm_hello_world_f32", "tinymaix_mnist_valid_f"),
    *(f"mlonmcu_{n}" for n in ("cifar10", "magic_wand", "micro_kws_m_fp32")),
]
LAYERS = [n for n in INT8 if n.startswith("mlperf")] + ["tinymaix_mnist_resnet_q"]
GOLDEN = np.load(Path(__file__).parents[1] / "golden" / "litert_ops.npz")
CASES = sorted(k.removesuffix(".model") for k in GOLDEN if k.endswith(".model"))


def recorded(data_dir: Path, name: str) -> dict[str, np.ndarray]:
    (path,) = [*data_dir.glob(f"expected/{name}__*.npz"), *data_dir.glob(f"expected/{name}.npz")]
    return dict(np.load(path))


@pytest.mark.parametrize("name", INT8)
def test_int8_models_give_the_recorded_bytes(name, data_dir):
    """Every byte of every row is that of TFLM, where recorded, else of LiteRT's reference kernels."""
    graph, rows = load_tflite(data_dir / "models" / f"{name}.tflite"), recorded(data_dir, name)
    for x, y in zip(rows["in0"], rows.get("tflm0", rows["ref0"]), strict=True):
        assert np.array_equal(y, run(graph, {graph.input_names[0]: x})[graph.output_names[0]])


@pytest.mark.parametrize("name", LAYERS)
def test_int8_intermediates_are_those_of_the_reference_kernels(name, data_dir):
    """rounding="litert-ref": each operator's result of row 0, found by its tensor number in the file."""
    graph, rows = load_tflite(data_dir / "models" / f"{name}.tflite"), recorded(data_dir, name)
    layers = np.load(data_dir / "expected" / f"{name}.layers.npz")
    ours = run(graph, {graph.input_names[0]: rows["in0"][0]}, "litert-ref", keep=True)
    names = {t.index: t.name for t in graph.tensors.values()}
    keys = [k for k in layers if k.startswith("op")]
    assert len(keys) == len(graph.ops)
    assert [k for k in keys if not np.array_equal(layers[k], ours[names[int(k.rsplit("_t", 1)[1])]])] == []


@pytest.mark.parametrize("name", FLOAT)
def test_float_models_agree_with_the_recorded_values(name, data_dir):
    """Within 1e-5 of the largest recorded value, the issue's bound for other orders of summation."""
    graph, rows = load_tflite(data_dir / "models" / f"{name}.tflite"), recorded(data_dir, name)
    ours = [run(graph, {graph.input_names[0]: x})[graph.output_names[0]] for x in rows["in0"]]
    assert np.abs(np.stack(ours) - rows["ref0"]).max() <= 1e-5 * np.abs(rows["ref0"]).max()


@pytest.mark.parametrize("case", CASES)
def test_single_operators_give_litert_s_results(case):
    """What no real model has: groups, dilation, broadcasting, scales that differ. int8 to the bit, floats to 1e-6."""
    graph = load_tflite(GOLDEN[f"{case}.model"].tobytes(), case)
    inputs = {name: GOLDEN[f"{case}.in{i}"] for i, name in enumerate(graph.input_names)}
    ours, expected = run(graph, inputs, "litert-ref")[graph.output_names[0]], GOLDEN[f"{case}.out"]
    assert (ours.shape, ours.dtype) == (expected.shape, expected.dtype)
    tolerance = 0 if expected.dtype == np.int8 else 1e-6 * np.abs(expected).max()
    assert np.abs(ours.astype(np.float64) - expected).max() <= tolerance


def test_a_branch_runs_the_graph_that_its_predicate_chooses():
    """`then` where some element reaches the threshold, else `otherwise`; results have the names of the op."""
    b = GraphBuilder()
    x = b.input("x", (1, 3))
    (y,) = b.cond(b.any_ge(x, 1.0), lambda inner: x, lambda inner: inner.relu(x))
    b.output("y", y)
    graph = b.build()
    high, low = np.float32([[-1, 0, 1]]), np.float32([[-1, 0, 0.5]])
    assert np.array_equal(high, run(graph, {"x": high})["y"])
    assert np.array_equal(np.float32([[0, 0, 0.5]]), run(graph, {"x": low})["y"])


def test_inputs_of_another_dtype_shape_or_name_are_refused():
    """The error names the tensor and both shapes or dtypes."""
    b = GraphBuilder()
    b.output("y", b.relu(b.input("x", (1, 3))))
    graph = b.build()
    with pytest.raises(ShapeError, match="'x': float64 given, expected float32"):
        run(graph, {"x": np.zeros((1, 3))})
    with pytest.raises(ShapeError, match=r"'x': shape \[1, 4\] given, the model has \[1, 3\]"):
        run(graph, {"x": np.zeros((1, 4), np.float32)})
    with pytest.raises(ShapeError, match="'x': nothing given"):
        run(graph, {})
    with pytest.raises(ModelError, match="rounding 'up'"):
        run(graph, {"x": np.zeros((1, 3), np.float32)}, "up")
