"""int16 activations on an emulated board: every recorded case, real layers, and a firmware trimmed to one."""

from __future__ import annotations

from pathlib import Path

import numpy as np

import pyedge as pe
from pyedge.host import flash
from pyedge.model.tflite import load_tflite

from .conftest import needs_qemu

GOLDEN = Path(__file__).parents[1] / "golden" / "tflm_int16.npz"
REAL = ("add10", "sub2", "conv0", "conv10", "transpose_conv4", "leaky_relu20", "pad16", "strided_slice28", "quantize0")


@needs_qemu
def test_every_recorded_int16_case_gives_its_bytes_on_virt_rv32() -> None:
    """One connection, plan after plan."""
    golden = np.load(GOLDEN)
    with pe.connect("virt-rv32") as board:
        for case in [k.removesuffix(".model") for k in golden.files if k.endswith(".model")]:
            graph = load_tflite(golden[f"{case}.model"].tobytes(), case)
            x = [golden[f"{case}.in{i}"] for i in range(len(graph.inputs))]
            (y,) = board.load(pe.compile(graph, board="virt-rv32")).run(x)
            np.testing.assert_array_equal(y, golden[f"{case}.out"], case)


@needs_qemu
def test_real_int16_layers_give_their_bytes_on_virt_rv32(data_dir: Path) -> None:
    """Some of each operator."""
    recorded = np.load(data_dir / "expected" / "seanet.npz")
    with pe.connect("virt-rv32") as board:
        for case in REAL:
            plan = pe.compile(pe.load(data_dir / "models" / "seanet" / f"{case}.tflite"), board="virt-rv32")
            x = [recorded[f"{case}.in{i}"].reshape(t.shape) for i, t in enumerate(plan.inputs)]
            (y,) = board.load(plan).run(x)
            np.testing.assert_array_equal(y.ravel(), recorded[f"{case}.golden"], case)


@needs_qemu
def test_a_firmware_trimmed_to_an_int16_layer_holds_it_alone() -> None:
    """The int8 and float kernels are not in it."""
    golden = np.load(GOLDEN)
    plan = pe.compile(load_tflite(golden["conv.model"].tobytes(), "conv"), board="virt-rv32")
    report = flash("virt-rv32", plan, trim_to=plan)
    assert report.ops == ("conv2d_s16",)
    assert report.size.code + report.size.rodata < 40_000
    with pe.connect("virt-rv32", image=report.image) as board:
        np.testing.assert_array_equal(board.load(plan).run([golden["conv.in0"]])[0], golden["conv.out"])
