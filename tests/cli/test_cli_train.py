"""`pyedge train` from data to a plan, a checkpoint and back."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper

import pyedge as pe

from .conftest import needs_qemu


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """model.onnx, a linear classifier of three classes; data.npz."""
    where = tmp_path_factory.mktemp("train")
    rng = np.random.default_rng(0)
    weights = {"w1": (8, 6), "b1": (8,), "w2": (3, 8), "b2": (3,)}
    nodes = [
        helper.make_node("Gemm", ["x", "w1", "b1"], ["h"], "first", transB=1),
        helper.make_node("Relu", ["h"], ["r"]),
        helper.make_node("Gemm", ["r", "w2", "b2"], ["z"], "last", transB=1),
        helper.make_node("Softmax", ["z"], ["y"]),
    ]
    ends = [helper.make_tensor_value_info(n, TensorProto.FLOAT, [1, size]) for n, size in (("x", 6), ("y", 3))]
    constants = [numpy_helper.from_array(rng.normal(0, 0.1, s).astype(np.float32), n) for n, s in weights.items()]
    graph = helper.make_graph(nodes, "classifier", ends[:1], ends[1:], constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    (where / "model.onnx").write_bytes(model.SerializeToString())
    y = np.sort(rng.integers(0, 3, 60))
    x = (rng.normal(0, 1, (3, 6))[y] + rng.normal(0, 0.3, (60, 6))).astype(np.float32)
    np.savez(where / "data.npz", x=x, y=y)
    return where


def test_train_learns_and_writes_what_it_learned(pyedge, files, tmp_path):
    """The tuned plan classifies; the history is that of the library; the checkpoint goes on; the other plan learns."""
    tuned, state, learning = (tmp_path / name for name in ("tuned.pedge", "state.npz", "learning.pedge"))
    options = ["--lr", "0.1", "--batch-size", "4", "--epochs", "6", "--validation", "0.2", "--seed", "3", "--in-turn"]
    data = ["-d", files / "data.npz", "--json"]
    found = pyedge(
        "train", files / "model.onnx", *data, *options, "-o", tuned, "--save", state, "--plan", learning
    ).json
    history = found["history"]
    assert found["samples"] == 48 and history["steps"] == 6 * 12 and history["skipped"] == 0
    assert history["validation"][-1]["accuracy"] > 0.9 and history["loss"][-1] < history["loss"][0] / 2
    with np.load(files / "data.npz") as arrays:
        assert pe.evaluate(pe.Plan.load(tuned), arrays["x"], arrays["y"]) > 0.9
    assert set(pe.Plan.load(learning).entries) == {"main", "train", "reset"}
    trainer = pe.Trainer.load(state)
    assert trainer.steps == 72
    more = pyedge("train", state, *data, "--save", state).json
    assert more["history"]["steps"] == 15 and pe.Trainer.load(state).steps == 87


def test_train_says_each_epoch(pyedge, files):
    """For people: a line an epoch, and a sum."""
    result = pyedge("train", files / "model.onnx", "-d", files / "data.npz", "--epochs", "2", "--trainable", "last:1")
    assert (result.code, result.err) == (0, "")
    lines = result.out.splitlines()
    assert [line.split()[:3] for line in lines[:2]] == [["epoch", "1", "loss"], ["epoch", "2", "loss"]]
    assert lines[2].startswith("16 steps, 0 skipped; 27 weights, arena ")


@pytest.mark.parametrize(
    "options, code, text",
    [
        ([], 2, "which data?"),
        (["--optimizer", "adam", "--momentum", "0.5", "-d", "data.npz"], 2, "--momentum goes with --optimizer sgd"),
        (["--trainable", "middle", "-d", "data.npz"], 2, "trainable='middle' is no layer"),
        (["--loss", "mse", "-d", "data.npz"], 2, "tensor 'target' takes samples float32[3]"),
        (["--lr", "0", "-d", "data.npz"], 2, "0.0 is not in the range x>0"),
        (["--board", "host", "--patience", "2", "-d", "data.npz"], 2, "--patience is for training here"),
        (["--persist", "-d", "data.npz"], 2, "--persist goes with --board"),
        (["--isa", "rv32imac", "-d", "data.npz"], 2, "add --board BOARD"),
        (["--schedule", "onecycle", "--batch-size", "64", "-d", "data.npz"], 2, "1 steps are too few"),
    ],
)
def test_train_refuses_in_one_line(pyedge, files, options, code, text):
    """What, where, and what to do."""
    result = pyedge("train", files / "model.onnx", *(files / o if o == "data.npz" else o for o in options))
    assert result.code == code and result.out == ""
    assert text in result.err and len(result.err.splitlines()) == 1


def test_a_checkpoint_keeps_its_options(pyedge, files, tmp_path):
    """Another learning rate is refused, instead of being passed over."""
    state = tmp_path / "state.npz"
    assert pyedge("train", files / "model.onnx", "-d", files / "data.npz", "--save", state).code == 0
    result = pyedge("train", state, "-d", files / "data.npz", "--lr", "0.5")
    assert result.code == 2 and "has its own --lr" in result.err


def test_a_board_trains_to_the_same_checkpoint(pyedge, files, tmp_path):
    """What --save writes after training on a board is what it writes after training here, and goes on."""
    here, there = tmp_path / "here.npz", tmp_path / "there.npz"
    options = ["-d", files / "data.npz", "--epochs", "2", "--lr", "0.1", "--momentum", "0.5", "--json"]
    found = [
        pyedge("train", files / "model.onnx", *options, "--save", path, *board).json["history"]
        for path, board in ((here, []), (there, ["--board", "host"]))
    ]
    assert found[0]["loss"] == found[1]["loss"] and found[1]["steps"] == 16
    states = [{n: a.tobytes() for n, a in np.load(path).items()} for path in (here, there)]
    assert states[0] == states[1]
    more = pyedge("train", there, "-d", files / "data.npz", "--board", "host", "--save", there)
    assert more.code == 0 and pe.Trainer.load(there).steps == 24


def test_kept_samples_are_learned_again_here_and_on_a_board(pyedge, files, tmp_path):
    """A second run on a checkpoint made with --replay learns 10 samples more an epoch; on a board the same bits."""
    state = tmp_path / "state.npz"
    first = ["--batch-size", "4", "--replay", "10", "--save", state, "--json"]
    found = pyedge("train", files / "model.onnx", "-d", files / "data.npz", *first).json
    assert found["history"]["steps"] == 15
    digests = []
    for board in ([], ["--board", "host"], ["--board", "host", "--persist"]):
        again = tmp_path / "again.npz"
        found = pyedge("train", state, "-d", files / "data.npz", "--save", again, "--json", *board).json
        assert found["history"]["steps"] == 18
        trainer = pe.Trainer.load(again)
        assert len(trainer.kept[0]) == 10
        digests.append([a.tobytes() for a in (*trainer.kept, *trainer.weights().values())])
    assert digests[0] == digests[1] == digests[2]


@needs_qemu
def test_the_commands_of_the_examples(pyedge, folder, data_dir):
    """examples/README.md: on a board, from its checkpoint, and all of a network; each writes the plan that it names."""
    uses = {
        "kws_int8": ("mlperf_kws_dscnn_int8", "kws_mfcc49x10", ("speaker", "tuesday")),
        "images": ("mlperf_ic_resnet8_f32", "cifar32_rgb", ("photos",)),
    }
    for name, (model, inputs, data) in uses.items():
        shutil.copy(data_dir / "models" / f"{model}.tflite", folder / f"{name}.tflite")
        with np.load(data_dir / "inputs" / f"{inputs}.npz") as found:
            known = found["y"] >= 0
            x, y = found["x"][known].astype(np.float32), found["y"][known]
        for file in data:
            np.savez(folder / f"{file}.npz", x=x, y=y)
    lines = (Path(__file__).parents[2] / "examples" / "README.md").read_text().splitlines()
    commands = [line.split()[1:] for line in lines if line.startswith("    pyedge train ")]
    assert len(commands) == 3
    for command in commands:
        result = pyedge(*command)
        assert result.code == 0, result.err
        assert pe.Plan.load(folder / command[-1]).entries
