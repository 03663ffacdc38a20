"""What a step of training takes: arenas of small networks that learn whole, and of larger ones that learn in part."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import pyedge as pe

FIRMWARE = 2384  # statics and stack of virt-rv32 in a step: pyedge inspect PLAN --entry train -b virt-rv32


def digits() -> pe.Graph:
    """A CNN of 16, 32 and 64 channels for images of 8x8: 23,946 parameters."""
    rng = np.random.default_rng(0)
    b = pe.GraphBuilder("digits")
    h, before = b.input("image", (1, 8, 8, 1)), 1
    for channels in (16, 32, 64):
        weight = rng.normal(0, np.sqrt(2 / (9 * before)), (channels, 3, 3, before))
        h = b.conv2d(h, weight, np.zeros(channels), activation="relu")
        h = b.max_pool2d(h, 2) if channels < 64 else b.mean(h, (1, 2))
        before = channels
    b.output("scores", b.linear(h, rng.normal(0, 0.1, (10, 64)), np.zeros(10)))
    return b.build()


def test_a_whole_cnn_learns_in_64_kilobytes() -> None:
    trainer = pe.Trainer(digits(), optimizer=pe.SGD(0.05), precision="fp16", rounding="stochastic", in_turn=True)
    assert sum(w.size for w in trainer.weights().values()) == 23946
    plan = trainer.compile(board="virt-rv32")
    assert plan.arena_bytes + FIRMWARE <= 64 * 1024
    rng = np.random.default_rng(1)
    x, y = rng.normal(0, 1, (4, 8, 8, 1)).astype(np.float32), np.arange(4)
    history = trainer.fit(x, y, epochs=25)
    assert history.loss[-1] < history.loss[0] / 2


def test_two_layers_of_mobilenet_learn_in_256_kilobytes(data_dir: Path) -> None:
    graph = pe.load(data_dir / "models" / "mlperf_vww_mbv1_int8.tflite")
    assert isinstance(graph, pe.Graph)
    trainer = pe.Trainer(
        graph,
        optimizer=pe.SGD(0.01),
        precision="mixed:int8:fp16",
        trainable="last:2",
        rounding="stochastic",
        in_turn=True,
    )
    assert trainer.compile(board="virt-rv32").arena_bytes <= 192 * 1024


@pytest.mark.parametrize("layers", [["last:2"], ["depthwise_conv2d_25", "conv2d_26", "linear_29"]], ids=len)
def test_all_biases_and_the_last_layers_of_mobilenet_learn_in_256_kilobytes(layers: list[str], data_dir: Path) -> None:
    """Its last block as well. Of results in front of these layers a bit for each element is kept; images, results and
    gradients of the first layers are made band by band, to the bits of whole ones.
    """
    graph = pe.load(data_dir / "models" / "mlperf_vww_mbv1_int8.tflite")
    assert isinstance(graph, pe.Graph)
    trainer = pe.Trainer(
        graph,
        optimizer=pe.SGD(0.01),
        precision="mixed:int8:fp16",
        trainable=["bias", *layers],
        rounding="stochastic",
        in_turn=True,
    )
    bands, whole = (trainer.compile(board="virt-rv32", low_memory=low) for low in (True, False))
    assert bands.arena_bytes <= 256 * 1024 < whole.arena_bytes
    image = np.random.default_rng(2).integers(-128, 128, (1, 96, 96, 3), dtype=np.int8)
    sessions = [pe.Session(plan) for plan in (bands, whole)]
    losses = [session.run([image, np.ones(1, np.int32)], "train")[0] for session in sessions]
    assert losses[0] == losses[1] > 0
    before, (state, expected) = trainer.weights(), [session.state() for session in sessions]
    assert {name: value.tobytes() for name, value in state.items()} == {n: v.tobytes() for n, v in expected.items()}
    assert sum(not np.array_equal(state[name], value) for name, value in before.items()) > 25


def test_resnet8_learns_whole_in_350_kilobytes(data_dir: Path) -> None:
    """All that goes between its layers is float16, by residuals and the pool."""
    graph = pe.load(data_dir / "models" / "mlperf_ic_resnet8_f32.tflite")
    trainer = pe.Trainer(graph, optimizer=pe.SGD(0.01), precision="fp16", rounding="stochastic", in_turn=True)
    plan = trainer.compile(board="virt-rv32")
    assert plan.arena_bytes <= 350 * 1024
    forward = [t for t in plan.tensors if len(t.shape) == 4 and t.dtype == "float32"]
    assert {t.name for t in forward} == {graph.inputs[0].name}


def test_all_of_resnet_learns_in_what_lives_at_once(data_dir: Path) -> None:
    """The arena is the largest set of tensors that live at one step, and the scratch of that step's op beside it."""
    graph = pe.load(data_dir / "models" / "mlperf_ic_resnet8_f32.tflite")
    assert isinstance(graph, pe.Graph)
    trainer = pe.Trainer(graph, optimizer=pe.SGD(0.01), precision="fp16", rounding="stochastic", in_turn=True)
    plan = trainer.compile(board="virt-rv32")
    busiest = plan.busiest_op("train")
    assert busiest and plan.arena_bytes == plan.live_bytes("train") + busiest.scratch_bytes
    assert plan.arena_bytes <= 352 * 1024
