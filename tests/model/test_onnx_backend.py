"""pyedge.onnx_backend: the adapter, and a part of ONNX's node suite (scripts/operators_table.py runs all of it)."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

onnx = pytest.importorskip("onnx")
ROOT = Path(__file__).parent.parent.parent
sys.path[:0] = [str(Path(__file__).parent), str(ROOT / "scripts")]

from onnx_maker import model, rng_array  # noqa: E402

import pyedge.onnx_backend as backend  # noqa: E402
from pyedge.errors import ModelError  # noqa: E402

PART = (
    "^test_(relu|add_bcast|concat_3d_axis_1|cast_FLOAT_to_INT4|cast_FLOAT8E5M2_to_FLOAT|quantizelinear_float4e2m1|"
    "dequantizelinear_e4m3fn|lstm_defaults|attention_4d|basic_conv_with_padding|maxpool_2d_ceil|clip|"
    "resize_upsample_scales_cubic|layer_normalization_2d_axis0|qlinearmatmul_2D_uint8_float32|gather_1|softmax_axis_0)$"
)


def test_a_part_of_the_node_suite_passes() -> None:
    from operators_table import cases

    done = list(cases(PART))
    assert len(done) == PART.count("|") + 1
    assert [(case.name, case.reason) for case in done if case.reason or not case.data] == []


def test_the_table_of_the_whole_suite_says_a_thousand() -> None:
    text = (ROOT / "docs" / "operators.md").read_text()
    assert int(text.split("**")[1].split()[0]) >= 1000


def test_inputs_that_fix_no_shape_stay_inputs_of_the_plan() -> None:
    rep = backend.prepare(model("g (float[3, 4] x, int64[2] s) => (float[6, 2] y) { y = Reshape (x, s) }"))
    x = rng_array((3, 4))
    (y,) = rep.run([x, np.array([6, 2])])
    np.testing.assert_array_equal(y, x.reshape(6, 2))
    assert rep.plan is not None
    assert [t.name for t in rep.plan.inputs] == ["x", "s"]
    first = rep.plan
    rep.run([-x, np.array([6, 2])])
    assert rep.plan is first
    rep.run([x, np.array([2, 6])])
    assert rep.plan is not first


def test_nothing_is_folded_not_even_a_constant() -> None:
    (y,) = backend.run_model(model("g () => (float[2] y) { y = Relu (k) }", k=np.array([-1, 2], np.float32)), [])
    np.testing.assert_array_equal(y, [0, 2])
    rep = backend.prepare(
        model("g (float[2] x) => (float[2] y) { a = Relu (k) y = Mul (x, a) }", k=np.ones(2, np.float32))
    )
    rep.run({"x": np.ones(2, np.float32)})
    assert rep.plan is not None
    assert len(rep.plan.ops) == 2


def test_only_the_cpu_is_a_device() -> None:
    assert backend.supports_device("CPU")
    assert not backend.supports_device("CUDA")
    with pytest.raises(ModelError, match="device 'CUDA'"):
        backend.prepare(model("g (float[4] x) => (float[4] y) { y = Relu (x) }"), "CUDA")
