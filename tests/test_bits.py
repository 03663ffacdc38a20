"""Real models: every byte of every recorded row, every intermediate tensor, and what the arena needs."""

from __future__ import annotations

import os
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import numpy as np
import pytest

import pyedge as pe
from pyedge.plan import PlanOp

# Recorded outputs are those of TensorFlow Lite Micro ("tflmK") where they differ from LiteRT's reference ("refK").
INT8 = {
    "mlperf_ic_resnet8_int8": "cifar32_rgb",
    "mlperf_kws_dscnn_int8": "kws_mfcc49x10",
    "mlperf_vww_mbv1_int8": "vww96_rgb",
    "mlperf_ad_fcae_int8": "ad_logmel640",
    "mlperf_sww_int8": "sww_lfbe30x40",
    "tflm_hello_world_int8": None,
    "tinymaix_cifar10_q": "cifar32_rgb",
    "tinymaix_mnist_dw_q": "mnist28",
    "tinymaix_mnist_resnet_q": "mnist28",
    "tinymaix_mnist_valid_q": "mnist28",
    "mlonmcu_micro_kws_m_quantized": "micro_features49x40",
    "coral_mobilenet_v1_0p25_128_quant": "photo128_rgb",
}
FLOAT = {
    "mlperf_ic_resnet8_f32": "cifar32_rgb",
    "mlperf_vww_mbv1_f32": "vww96_rgb",
    "mlperf_ad_fcae_f32": "ad_logmel640",
    "tflm_hello_world_f32": None,
    "tinymaix_mnist_valid_f": "mnist28",
    "mlonmcu_cifar10": "cifar32_rgb",
    "mlonmcu_magic_wand": "accel128x3",
    "mlonmcu_micro_kws_m_fp32": "micro_features49x40",
}
LAYERS = [
    "mlperf_ic_resnet8_int8",
    "mlperf_kws_dscnn_int8",
    "mlperf_vww_mbv1_int8",
    "mlperf_ad_fcae_int8",
    "mlperf_sww_int8",
    "tinymaix_mnist_resnet_q",
]
# Bytes of the largest set of live tensors, and what TFLM's arena alone takes.
MEMORY = {
    "mlperf_ic_resnet8_int8": (49152, 55004),
    "mlperf_kws_dscnn_int8": (16000, 22828),
    "mlperf_vww_mbv1_int8": (55296, 100716),
    "mlperf_ad_fcae_int8": (768, 2684),
}


@cache
def graph_of(data: Path, model: str) -> pe.Graph:
    graph = pe.load(data / "models" / f"{model}.tflite")
    assert isinstance(graph, pe.Graph)
    return graph


def recorded(data: Path, model: str, inputs: str | None) -> tuple[np.ndarray, np.ndarray]:
    """Inputs [rows, ...] as fed, and the outputs to be equal to."""
    name = model if inputs is None else f"{model}__{inputs}"
    with np.load(data / "expected" / f"{name}.npz") as columns:
        return columns["in0"], columns["tflm0" if "tflm0" in columns.files else "ref0"]


def test_int16_layers_give_every_recorded_byte(data_dir: Path) -> None:
    """The 66 operators of SeaNet, int16 activations with int8 weights."""
    models = sorted((data_dir / "models" / "seanet").glob("*.tflite"))
    assert len(models) == 66
    with np.load(data_dir / "expected" / "seanet.npz") as columns:
        for path in models:
            session = pe.Session(pe.compile(pe.load(path)))
            x = [columns[f"{path.stem}.in{i}"].reshape(t.shape) for i, t in enumerate(session.inputs)]
            np.testing.assert_array_equal(session.run(x)[0].ravel(), columns[f"{path.stem}.golden"], path.stem)


@pytest.mark.parametrize("model", INT8)
def test_int8_models_give_every_recorded_byte(data_dir: Path, model: str) -> None:
    """All rows, on one session."""
    x, expected = recorded(data_dir, model, INT8[model])
    session = pe.Session(pe.compile(graph_of(data_dir, model)))
    shape = session.inputs[0].shape
    y = np.concatenate([session.run([row.reshape(shape)])[0] for row in x])
    assert (y.dtype, y.size) == (expected.dtype, expected.size)
    np.testing.assert_array_equal(y, expected.reshape(y.shape))


@pytest.mark.parametrize("model", FLOAT)
def test_float_models_are_within_1e5_of_the_largest_value(data_dir: Path, model: str) -> None:
    """Per row, against LiteRT's reference kernels, which sum in another order."""
    x, expected = recorded(data_dir, model, FLOAT[model])
    session = pe.Session(pe.compile(graph_of(data_dir, model)))
    shape = session.inputs[0].shape
    for row, reference in zip(x, expected, strict=True):
        y = session.run([row.reshape(shape)])[0]
        assert np.abs(y.reshape(-1) - reference.reshape(-1)).max() <= 1e-5 * np.abs(reference).max()


def recorded_rows(data: Path, model: str) -> Iterator[tuple[list[np.ndarray], list[np.ndarray]]]:
    """Of a model of several inputs or outputs: inputs and expected outputs, row by row."""
    with np.load(data / "expected" / f"{model}.npz") as columns:
        files = dict(columns)
    inputs = sorted(k for k in files if k.startswith("in"))
    outputs = [f"tflm{k[3:]}" if f"tflm{k[3:]}" in files else k for k in sorted(files) if k.startswith("ref")]
    for row in range(len(files["in0"])):
        yield [files[k][row] for k in inputs], [files[k][row] for k in outputs]


def test_gated_recurrent_cells_of_elementwise_ops_give_every_recorded_byte(data_dir: Path) -> None:
    """Sigmoid, tanh, mul, sub and split on int8, four inputs and five outputs."""
    session = pe.Session(pe.compile(graph_of(data_dir, "mlonmcu_rnnoise_INT8")))
    for inputs, expected in recorded_rows(data_dir, "mlonmcu_rnnoise_INT8"):
        given = session.run([x.reshape(t.shape) for x, t in zip(inputs, session.inputs, strict=True)])
        for y, reference in zip(given, expected, strict=True):
            np.testing.assert_array_equal(y, reference.reshape(y.shape), strict=True)


def test_an_lstm_of_elementwise_ops_is_within_1e6(data_dir: Path) -> None:
    """Float activations, int8 weights; the state goes in and comes out."""
    session = pe.Session(pe.compile(graph_of(data_dir, "dtln_model_quant_1")))
    for inputs, expected in recorded_rows(data_dir, "dtln_model_quant_1"):
        given = session.run([x.reshape(t.shape) for x, t in zip(inputs, session.inputs, strict=True)])
        for y, reference in zip(given, expected, strict=True):
            assert np.abs(y - reference.reshape(y.shape)).max() <= 1e-6 * np.abs(reference).max()


def test_a_dynamic_range_model_is_within_1e6(data_dir: Path) -> None:
    """Its convolutions quantize their input as LiteRT's reference kernels do; what is left is the sums of float layers.
    Engines that don't, differ from it by 0.11."""
    session = pe.Session(pe.compile(graph_of(data_dir, "mlperf_kws_dscnn_dynrange")))
    with np.load(data_dir / "expected" / "mlperf_kws_dscnn_dynrange__kws_mfcc49x10.npz") as columns:
        for x, reference in zip(columns["in0"], columns["ref0"], strict=True):
            y = session.run([x.reshape(session.inputs[0].shape)])[0]
            assert np.abs(y - reference.reshape(y.shape)).max() <= 1e-6


@pytest.mark.parametrize("model", LAYERS)
def test_every_intermediate_tensor_has_the_recorded_bytes(data_dir: Path, model: str) -> None:
    """keep="all" and LiteRT's rounding: each operator's output, found by its number in the model file."""
    graph = graph_of(data_dir, model)
    session = pe.Session(pe.compile(graph, rounding="litert-ref"), keep="all")
    with np.load(data_dir / "expected" / f"{model}.layers.npz") as layers:
        session.run([layers["in0"].reshape(session.inputs[0].shape)])
        tensors = session.tensors()
        by_number = {graph.tensors[n].index: t for n, t in tensors.items() if n in graph.tensors}
        outputs = [key for key in layers.files if key.startswith("op")]
        assert len(outputs) >= len(graph.ops)
        for key in outputs:
            value = by_number[int(key.rpartition("_t")[2])]
            np.testing.assert_array_equal(value, layers[key].reshape(value.shape), key)


@pytest.mark.parametrize("model", [*INT8, *FLOAT])
def test_the_arena_reaches_the_largest_set_of_live_tensors(data_dir: Path, model: str) -> None:
    """Tensors at their lower bound; all of it, scratch included, within that and the largest scratch."""
    plan = pe.compile(graph_of(data_dir, model))
    assert plan.tensor_bytes() <= plan.live_bytes()
    assert plan.arena_bytes <= plan.live_bytes() + plan.scratch_bytes + 15
    if model in MEMORY:
        bound, tflm = MEMORY[model]
        assert plan.tensor_bytes() <= bound
        assert plan.arena_bytes < tflm


def scratch_limit(plan: pe.Plan, op: PlanOp) -> int:
    """2 KiB, or the rows of the input that one window of a convolution covers."""
    if not op.kind.startswith(("conv2d", "depthwise")) or op.inputs[0] is None or op.inputs[1] is None:
        return 2048
    x, w = plan.tensors[op.inputs[0]], plan.tensors[op.inputs[1]]
    kernel_rows = w.shape[1] if op.kind.startswith("conv2d") else w.shape[0]
    return max(2048, (kernel_rows or 1) * (x.bytes // ((x.shape[0] or 1) * (x.shape[1] or 1))))


@pytest.mark.parametrize("model", [*INT8, *FLOAT])
def test_scratch_is_at_most_a_window_of_rows(data_dir: Path, model: str) -> None:
    """Of each op, 2 KiB or one window of input rows."""
    plan = pe.compile(graph_of(data_dir, model))
    assert [(op.name, op.scratch_bytes) for op in plan.ops if op.scratch_bytes > scratch_limit(plan, op)] == []


@pytest.mark.parametrize("batch", [1, 3])
def test_a_batch_gives_the_bytes_of_single_rows(data_dir: Path, batch: int) -> None:
    """compile(batch=3) on models whose first axis is open."""
    model = "mlperf_kws_dscnn_int8"
    x, expected = recorded(data_dir, model, INT8[model])
    session = pe.Session(pe.compile(graph_of(data_dir, model), batch=batch))
    y = session.run([x[:batch].reshape(session.inputs[0].shape)])[0]
    np.testing.assert_array_equal(y, expected[:batch].reshape(y.shape))


def test_the_data_folder_is_there_when_it_is_named() -> None:
    """PYEDGE_TEST_DATA that points nowhere is a failure, not a skip."""
    named = os.environ.get("PYEDGE_TEST_DATA")
    assert named is None or (Path(named) / "models").is_dir()
