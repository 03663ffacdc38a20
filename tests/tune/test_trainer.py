"""The Trainer: it learns, stops, resumes bit for bit, and refuses what does not fit."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import pyedge as pe
from pyedge.tune import checkpoint
from pyedge.tune.training import BAD_STEPS, batches, order

RNG = np.random.default_rng(5)
CENTRES = RNG.normal(0, 1, (4, 6, 6, 2))


def samples(n: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Noisy images of four classes."""
    rng = np.random.default_rng(seed)
    y = rng.integers(0, 4, n)
    return (CENTRES[y] + rng.normal(0, 0.7, (n, 6, 6, 2))).astype(np.float32), y


def network(seed: int = 1, batch: int | None = None) -> pe.Graph:
    rng = np.random.default_rng(seed)

    def weight(*shape: int) -> np.ndarray:
        return rng.normal(0, 0.3, shape).astype(np.float32)

    b = pe.GraphBuilder("network")
    h = b.input("x", (batch, 6, 6, 2))
    h = b.conv2d(h, weight(8, 3, 3, 2), np.zeros(8), activation="relu", name="conv")
    h = b.depthwise_conv2d(h, weight(3, 3, 8), np.zeros(8), activation="relu6", name="depthwise")
    h = b.reshape(b.max_pool2d(h, 2), (-1 if batch is None else batch, 72))
    b.output("y", b.softmax(b.linear(h, weight(4, 72), np.zeros(4), name="fc")))
    return b.build()


X, Y = samples(64)
XV, YV = samples(200, 9)


def states(trainer: pe.Trainer) -> dict[str, bytes]:
    session = pe.Session(trainer.compile())
    return {name: value.tobytes() for name, value in session.state().items()}


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"precision": "fp16"},
        {"precision": "fp16", "rounding": "stochastic"},
        {"precision": "fast16"},
        {"accumulate": 4, "batch_size": 2},
        {"optimizer": pe.AdamW(0.01)},
        {"optimizer": pe.SGD(pe.OneCycle(0.1, 80), momentum=0.9, clip_norm=1.0, noise=1e-4)},
        {"loss": pe.CrossEntropy(label_smoothing=0.1)},
        {"trainable": "last:1"},
        {"trainable": {"conv": (2, 6), "fc": (0, 4)}},
    ],
    ids=str,
)
def test_a_network_learns(options: dict[str, Any]) -> None:
    """From chance to nine in ten; nothing is skipped, and what is not to learn stays."""
    graph = network()
    trainer = pe.Trainer(graph, **{"batch_size": 8, "optimizer": pe.SGD(0.05, momentum=0.9), **options})
    before = trainer.weights()
    history = trainer.fit(X, Y, epochs=10, validation_data=(XV, YV))
    assert history.loss[-1] < history.loss[0] / 2
    assert history.validation[-1]["accuracy"] > 0.9
    assert (history.steps, history.skipped, len(history.loss)) == (80, 0, 10)
    assert trainer.steps == 80
    for name, value in trainer.weights().items():
        assert not np.array_equal(value, before[name]), name
    frozen = {n: t.data for n, t in trainer.graph().tensors.items() if t.data is not None and n not in before}
    for name, data in frozen.items():
        if name in graph.tensors:
            np.testing.assert_array_equal(data, graph.tensors[name].data)


@pytest.mark.parametrize("precision", ["fp32", "fp16", "fast16"])
def test_the_tuned_graph_is_what_main_computes(precision: str) -> None:
    """predict(), graph() compiled anew, and the plan for a board give the same bytes."""
    trainer = pe.Trainer(network(), precision=precision, batch_size=8)
    trainer.fit(X, Y)
    mode = "fast16" if precision == "fast16" else "exact"
    found = trainer.predict(XV[:3])
    alone, board = pe.Session(pe.compile(trainer.graph(), mode=mode)), pe.Session(trainer.compile())
    for i in range(3):
        np.testing.assert_array_equal(alone.run([XV[i : i + 1]])[0], found[i : i + 1])
        np.testing.assert_array_equal(board.run([XV[i : i + 1]])[0], found[i : i + 1])


@pytest.mark.parametrize("accumulate", [1, 2])
def test_a_plan_for_a_board_goes_on_with_the_trainer_s_bits(accumulate: int) -> None:
    """Its entries, run by hand, make the same step as train_on_batch."""
    trainer = pe.Trainer(network(), optimizer=pe.Adam(0.01), batch_size=4, accumulate=accumulate)
    trainer.fit(X, Y)
    plan = trainer.compile()
    assert set(plan.entries) == {"main", "train", "reset", *(["accumulate"] if accumulate > 1 else [])}
    session, size = pe.Session(plan), 4 * accumulate
    for part in range(accumulate):
        arrays = [X[4 * part : 4 * part + 4], Y[4 * part : 4 * part + 4].astype(np.int32)]
        session.run(arrays, "train" if part == accumulate - 1 else "accumulate")
    trainer.train_on_batch(X[:size], Y[:size])
    assert {name: value.tobytes() for name, value in session.state().items()} == states(trainer)


@pytest.mark.parametrize(
    "options",
    [
        {"optimizer": pe.AdamW(pe.Cosine(0.01, 40))},
        {"precision": "fp16", "rounding": "stochastic", "optimizer": pe.SGD(0.05, momentum=0.9, noise=0.01)},
        {"trainable": {"conv": (2, 6)}, "accumulate": 2, "batch_size": 4},
        {"loss": pe.Distillation(3.0, logits=True), "trainable": ["fc", "conv"]},
    ],
    ids=str,
)
def test_training_resumes_bit_for_bit(options: dict[str, Any], tmp_path: Path) -> None:
    """Five epochs are two, a file, and three: weights, optimizer, counters and the order of samples."""
    y = RNG.normal(size=(64, 4)) if "loss" in options else Y
    whole, first = (pe.Trainer(network(), **{"batch_size": 8, "seed": 7, **options}) for _ in range(2))
    whole.fit(X, y, epochs=5)
    first.fit(X, y, epochs=2)
    first.save(tmp_path / "state.npz")
    second = pe.Trainer.load(tmp_path / "state.npz")
    assert states(second) == states(first)
    second.fit(X, y, epochs=3)
    assert states(second) == states(whole)
    assert list(tmp_path.iterdir()) == [tmp_path / "state.npz"]


def test_threads_change_no_bit() -> None:
    """Two threads."""
    trainers = [pe.Trainer(network(), batch_size=8, threads=n) for n in (1, 2)]
    for trainer in trainers:
        trainer.fit(X, Y)
    assert states(trainers[0]) == states(trainers[1])


def test_a_damaged_checkpoint_is_refused(tmp_path: Path) -> None:
    """A flipped byte anywhere, half a file, another file, no file."""
    path = tmp_path / "state.npz"
    pe.Trainer(network()).save(path)
    data = path.read_bytes()
    for at in range(0, len(data), len(data) // 97):
        path.write_bytes(data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :])
        try:  # bytes between the arrays say nothing
            trainer = pe.Trainer.load(path)
        except pe.ModelError as error:
            assert "damaged" in str(error)
        else:
            assert states(trainer) == states(pe.Trainer(network()))
    path.write_bytes(data[: len(data) // 2])
    with pytest.raises(pe.ModelError, match="damaged"):
        pe.Trainer.load(path)
    np.savez(path, x=np.zeros(3))
    with pytest.raises(pe.ModelError, match="no checkpoint"):
        pe.Trainer.load(path)
    with pytest.raises(pe.ModelError, match="No such file"):
        pe.Trainer.load(tmp_path / "nothing.npz")


def test_a_hash_guards_every_array(tmp_path: Path) -> None:
    """A file whose zip archive is whole, with one weight changed."""
    path = tmp_path / "state.npz"
    pe.Trainer(network()).save(path)
    with np.load(path) as file:
        arrays = {name: file[name] for name in file.files}
    name = next(n for n in arrays if n.startswith("state/"))
    arrays[name] = arrays[name] + 1
    np.savez(path, **arrays)
    with pytest.raises(pe.ModelError, match="SHA-256"):
        checkpoint.load(path)


def test_a_failed_save_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whole, and no other file beside it."""
    path = tmp_path / "state.npz"
    trainer = pe.Trainer(network())
    trainer.save(path)
    before = path.read_bytes()

    def full(*args: Any, **options: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(np, "savez", full)
    with pytest.raises(pe.ModelError, match=r"state\.npz: No space left"):
        trainer.save(path)
    assert path.read_bytes() == before and list(tmp_path.iterdir()) == [path]
    with pytest.raises(pe.ModelError, match=r"nowhere/state\.npz: No such file"):
        trainer.save(tmp_path / "nowhere" / "state.npz")


def test_a_checkpoint_has_the_rights_of_any_file(tmp_path: Path) -> None:
    """And a link to it stays one."""
    other, link = tmp_path / "other", tmp_path / "state.npz"
    other.write_bytes(b"")
    link.symlink_to(other)
    pe.Trainer(network()).save(link)
    assert link.is_symlink() and pe.Trainer.load(other).steps == 0
    (tmp_path / "new").write_bytes(b"")
    assert other.stat().st_mode == (tmp_path / "new").stat().st_mode


def test_every_sample_comes_in_every_epoch() -> None:
    """In another order each time, the last step filled up from the start; more samples a step than there are, too."""
    for count, size in ((10, 3), (8, 8), (3, 8), (1, 1)):
        seen = [np.concatenate(list(batches(count, size, 1, epoch))) for epoch in range(3)]
        for numbers in seen:
            assert set(numbers) == set(range(count)) and len(numbers) == -(-count // size) * size
            np.testing.assert_array_equal(numbers, np.resize(numbers[:count], len(numbers)))
    assert not np.array_equal(order(100, 1, 0), order(100, 1, 1))
    assert not np.array_equal(order(100, 1, 0), order(100, 2, 0))
    np.testing.assert_array_equal(order(100, 1, 0, shuffle=False), np.arange(100))
    assert order(8, 3, 2).tolist() == [6, 0, 2, 4, 1, 3, 7, 5]  # for ever: checkpoints rely on it


def test_early_stop_goes_back_to_the_best_epoch() -> None:
    """Labels without sense: the validation loss soon grows, and the weights are those of its lowest point."""
    wrong = np.random.default_rng(0).integers(0, 4, 64)
    trainer = pe.Trainer(network(), optimizer=pe.SGD(0.1, momentum=0.9), batch_size=8)
    history = trainer.fit(X, wrong, epochs=60, validation_data=(XV, YV), patience=3)
    losses = [v["loss"] for v in history.validation]
    assert history.stopped == len(losses) < 60
    assert len(losses) - 1 - int(np.argmin(losses)) == 3
    assert trainer.evaluate(XV, YV) == history.validation[int(np.argmin(losses))]


def test_a_step_that_is_not_finite_is_skipped_and_counted() -> None:
    """One sample is infinite: its step leaves all weights, and the next one learns."""
    trainer = pe.Trainer(network(), optimizer=pe.Adam(0.01))
    x = X[:3].copy()
    x[1] = np.inf
    before = trainer.weights()
    history = trainer.fit(x, Y[:3], shuffle=False)
    assert (history.steps, history.skipped, trainer.steps) == (3, 1, 2)
    assert all(np.isfinite(value).all() for value in trainer.weights().values())
    trainer.train_on_batch(x[1:2], Y[1:2])
    assert trainer.steps == 2
    assert not np.array_equal(trainer.weights()["constant_1"], before["constant_1"])


def test_the_loss_scale_of_float16_finds_its_size() -> None:
    """From far too large: halved at each overflow, each such step skipped, until gradients fit."""
    trainer = pe.Trainer(network(), precision="fp16", loss_scale=2.0**24, optimizer=pe.SGD(0.01), batch_size=8)
    history = trainer.fit(X * 100, Y, epochs=4)
    scale = pe.Session(trainer.compile()).state()["train/scale"][0]
    assert 0 < history.skipped < history.steps
    assert scale == 2.0 ** (24 - history.skipped)


def test_a_training_that_diverges_stops() -> None:
    """With the number of the step, and the history of the epochs before."""
    trainer = pe.Trainer(network(), optimizer=pe.SGD(lr=1e30), batch_size=8)
    with pytest.raises(pe.TrainingError, match=r"step \d+: most steps have .*; try: a lower") as caught:
        trainer.fit(X, Y, epochs=100)
    history = caught.value.history
    assert isinstance(history, pe.History)
    step = int(re.findall(r"step (\d+)", str(caught.value))[0])
    assert history.steps == step >= BAD_STEPS
    assert all(np.isfinite(value).all() for value in trainer.weights().values())


def test_a_fixed_batch_becomes_another() -> None:
    """A graph for one sample trains with eight at once, to the same weights as the open one."""
    fixed, open_ = (pe.Trainer(network(batch=b), batch_size=8) for b in (1, None))
    for trainer in (fixed, open_):
        trainer.fit(X, Y)
    assert states(fixed) == states(open_)


def test_an_autoencoder_learns_its_input() -> None:
    """Values as targets, by input name."""
    b = pe.GraphBuilder()
    h = b.linear(b.input("sound", (None, 8)), RNG.normal(0, 0.3, (3, 8)), np.zeros(3), activation="relu")
    b.output("y", b.linear(h, RNG.normal(0, 0.3, (8, 3)), np.zeros(8)))
    x = np.repeat(RNG.normal(size=(64, 2)), 4, axis=1)
    trainer = pe.Trainer(b.build(), loss="mse", optimizer=pe.Adam(0.02), batch_size=4)
    before = trainer.evaluate({"sound": x}, x)
    trainer.fit({"sound": x}, x, epochs=20)
    after = trainer.evaluate({"sound": x}, x)
    assert set(after) == {"loss"} and after["loss"] < before["loss"] / 4


@pytest.mark.parametrize(
    "x, y, text",
    [
        (X[:, :5], Y, r"tensor 'x' takes samples float32\[6, 6, 2\], given was float32\[64, 5, 6, 2\]"),
        (X.astype(np.int64), Y, r"given was int64\[64, 6, 6, 2\]"),
        (X, Y[:60], "as many of each: x 64, target 60"),
        (X[:0], Y[:0], "needs samples"),
        (X, Y + 1, r"label 4 of sample \d+ is no class: there are 0 .. 3"),
        (X, -Y - 1, r"label -\d of sample 0 is no class"),
        (X, Y + 2**40, r"of sample 0 is no class"),
        (X, np.eye(4)[Y], r"tensor 'target' takes samples int32\[\], .*CrossEntropy\(distributions=True\)"),
        ({"z": X}, Y, "input 'x' is missing; given: z"),
        ({"x": X, "z": X}, Y, "no input 'z'"),
    ],
)
def test_samples_that_do_not_fit_are_refused(x: Any, y: np.ndarray, text: str) -> None:
    """Before anything has been learned."""
    trainer = pe.Trainer(network(), batch_size=8)
    before = states(trainer)
    with pytest.raises(pe.ShapeError, match=text):
        trainer.fit(x, y)
    assert states(trainer) == before


def test_a_batch_of_another_size_is_refused() -> None:
    with pytest.raises(pe.ShapeError, match="5 samples given, a step takes 8"):
        pe.Trainer(network(), batch_size=4, accumulate=2).train_on_batch(X[:5], Y[:5])


@pytest.mark.parametrize(
    "options, text",
    [
        ({"loss": "mean"}, "loss 'mean' is not known"),
        ({"precision": "fp8"}, "precision='fp8' is not known; one of fp32, fp16"),
        ({"rounding": "up"}, "rounding='up' is not known"),
        ({"trainable": "conv2"}, "trainable='conv2' is no layer .* it has conv, depthwise, fc"),
        ({"trainable": []}, "names no weight"),
        ({"trainable": {}}, "names no weight"),
        ({"trainable": {"conv": (6, 9)}}, "channels 6 .. 9"),
        ({"trainable": {"conv": 6}}, "try: .first, end."),
        ({"output": "z"}, "has no output 'z'; try: y"),
        ({"loss": pe.Huber}, "loss <class .*Huber'> is not known"),
        ({"optimizer": "adam"}, r"optimizer='adam' is none; try: pe.SGD"),
    ],
)
def test_what_is_not_known_is_named(options: dict[str, Any], text: str) -> None:
    with pytest.raises(pe.ModelError, match=text):
        pe.Trainer(network(), **options)


def test_an_op_without_gradient_in_the_trained_part_is_named() -> None:
    """Nothing is said of it where it lies before all that learns."""
    rng = np.random.default_rng(0)
    b = pe.GraphBuilder()
    h = b.linear(b.input("x", (1, 4)), rng.normal(size=(4, 4)), name="first")
    h = b.op("quantize_linear", h, np.float32(0.1), None, axis=1, block_size=0, dtype="int8", format=None, saturate=1)
    h = b.op("dequantize_linear", h[0], np.float32(0.1), None, axis=1, block_size=0, dtype="float32", format=None)
    b.output("y", b.linear(h[0], rng.normal(size=(3, 4)), name="last"))
    graph = b.build()
    with pytest.raises(pe.ModelError, match=r"^dequantize_linear '\S+' has no gradient .*; try: trainable="):
        pe.Trainer(graph, trainable="all")
    pe.Trainer(graph, trainable="last:1")


def test_bits_do_not_hang_on_the_batch_of_evaluation() -> None:
    """evaluate() of a number of samples that is no multiple of the batch: the mean over the samples alone."""
    trainer = pe.Trainer(network(), batch_size=8)
    parts = [trainer.evaluate(XV[i : i + 1], YV[i : i + 1]) for i in range(13)]
    whole = trainer.evaluate(XV[:13], YV[:13])
    for key in ("loss", "accuracy"):
        assert whole[key] == pytest.approx(np.mean([p[key] for p in parts]), rel=1e-6)


@pytest.mark.parametrize(
    "options",
    [
        {"optimizer": pe.SGD(0.05)},
        {"optimizer": pe.AdamW(0.01)},
        {"optimizer": pe.SGD(0.05, momentum=0.9), "precision": "fp16"},
        {"optimizer": pe.SGD(0.05, clip_value=0.1), "precision": "fp16", "rounding": "stochastic"},
    ],
    ids=str,
)
def test_updates_in_turn_have_the_same_bits(options: dict[str, Any]) -> None:
    """With wide layers, which are updated in parts: the same weights from a smaller arena, no weight in two places."""
    rng = np.random.default_rng(2)
    b = pe.GraphBuilder()
    h = b.linear(b.input("x", (None, 72)), rng.normal(0, 0.1, (200, 72)), np.zeros(200), activation="relu", name="wide")
    b.output("y", b.softmax(b.linear(h, rng.normal(0, 0.1, (4, 200)), np.zeros(4))))
    graph, x = b.build(), X.reshape(64, 72)
    once, turns = (pe.Trainer(graph, batch_size=4, in_turn=turn, **options) for turn in (False, True))
    for trainer in (once, turns):
        trainer.fit(x, Y, epochs=2)
    for name, value in once.weights().items():
        np.testing.assert_array_equal(turns.weights()[name], value)
    saved = once.plan.tensor_bytes("train") - turns.plan.tensor_bytes("train")
    assert saved > 72 * 200 * (2 if "precision" in options else 4) / 2
    assert sum(op.kind.startswith("linear_wgrad") for op in turns.plan.entry("train").ops) > 5
    weights = max(value.nbytes for value in turns.weights().values())
    plan = turns.plan
    for op in plan.entry("train").ops:
        assert op.kind != "copy" or all(plan.tensors[n].bytes < weights for n in op.outputs)


def test_updates_in_turn_leave_out_what_is_not_finite() -> None:
    """A step with an infinite sample is counted as skipped, and no weight becomes NaN."""
    trainer = pe.Trainer(network(), in_turn=True)
    x = X[:3].copy()
    x[1] = np.inf
    history = trainer.fit(x, Y[:3], shuffle=False)
    assert (history.skipped, trainer.steps) == (1, 2)
    assert all(np.isfinite(value).all() for value in trainer.weights().values())


@pytest.mark.parametrize("options", [{"optimizer": pe.SGD(clip_norm=1.0)}, {"accumulate": 2}])
def test_what_needs_all_gradients_does_not_go_in_turn(options: dict[str, Any]) -> None:
    with pytest.raises(pe.ModelError, match="no clip_norm, noise or accumulate"):
        pe.Trainer(network(), in_turn=True, **options)


@pytest.mark.parametrize("precision", ["mixed:int8", "mixed:int8:fp16"])
@pytest.mark.parametrize("trainable", ["last:1", "last:2", "all", {"fc": (0, 2)}])
def test_an_int8_model_learns_with_a_float_tail(precision: str, trainable: Any) -> None:
    """Its outputs are nearly the same before; then it learns other classes, and what is frozen stays int8."""
    int8 = pe.quantize(network(batch=1), X)
    trainer = pe.Trainer(int8, precision=precision, trainable=trainable, batch_size=1, optimizer=pe.SGD(0.02))
    session = pe.Session(pe.compile(int8))
    codes = int8.inputs[0].quantize(XV[:20])
    before = [int8.outputs[0].dequantize(session.run([x[None]])[0]) for x in codes]
    np.testing.assert_allclose(trainer.predict(XV[:20]), np.concatenate(before), atol=0.04)
    kinds = [op.kind for op in trainer.graph().ops]
    assert kinds.count("dequantize") == 1
    learned = trainer.fit(X, (Y + 1) % 4, epochs=8)
    assert learned.loss[-1] < learned.loss[0] / 2
    assert learned.skipped <= (2 if "fp16" in precision else 0)  # until the loss scale fits
    graph = trainer.graph()
    frozen = [t for t in graph.tensors.values() if t.data is not None and t.dtype == "int8"]
    assert len(frozen) == {"last:1": 2, "last:2": 1, "all": 0}.get(str(trainable), 2)
    for t in frozen:
        np.testing.assert_array_equal(t.data, int8.tensors[t.name].data)


def int8_network() -> pe.Graph:
    """Of int8, by ops that converters leave beside layers: padding, resizing, activations with weights, blocks."""
    rng = np.random.default_rng(3)
    b = pe.GraphBuilder()

    def weight(*shape: int) -> Any:
        return b.constant(rng.integers(-127, 128, shape).astype(np.int8), scale=np.full(shape[0], 0.002))

    h = b.op("pad", b.input("x", (1, 6, 6, 2), "int8", 0.05, 3), mode="constant", pads=((0, 0), (0, 1), (0, 1), (0, 0)))
    h = [b.conv2d(h[0], weight(4, 3, 3, 2), np.zeros(4, np.int32), stride=2, padding="valid", scale=0.03, name="conv")]
    h = b.op("gather", h[0], np.array([0, 0, 1, 1, 2, 2], np.int32), axis=1, batch_dims=0)
    left, right = b.op("split", h[0], outputs=2, axis=3, sizes=(2, 2))
    left = b.op("prelu", left, b.constant(np.array([[[20, 40]]], np.int8), scale=0.01), scale=0.03)[0]
    h = b.op("tile", b.op("sub", left, right, scale=0.03)[0], repeats=(1, 1, 2, 2))
    h = b.op("reduce_max", b.op("depth_to_space", h[0], block=2, mode="DCR")[0], axes=(1,), keepdims=False)
    y = b.linear(b.reshape(h[0], (1, 12)), weight(3, 12), np.zeros(3, np.int32), scale=0.02, name="fc")
    b.output("y", b.softmax(y))
    return b.build()


def test_an_int8_model_s_tail_has_the_ops_between_its_layers() -> None:
    int8 = int8_network()
    trainer = pe.Trainer(int8, precision="mixed:int8", optimizer=pe.SGD(0.1))
    session = pe.Session(pe.compile(int8))
    before = [int8.outputs[0].dequantize(session.run([int8.inputs[0].quantize(x[None])])[0]) for x in X]
    np.testing.assert_allclose(trainer.predict(X), np.concatenate(before), atol=0.04)
    assert [op.kind for op in trainer.graph().ops][:2] == ["pad", "dequantize"]  # what is before the first layer stays
    loss = trainer.fit(X, Y % 3, epochs=4).loss
    assert loss[-1] < 0.8 * loss[0]


def test_an_int8_model_says_what_it_needs() -> None:
    """As it is it has nothing that can learn; where there are only codes of another type, nor as mixed:int8."""
    with pytest.raises(pe.ModelError, match="try: precision='mixed:int8'"):
        pe.Trainer(pe.quantize(network(batch=1), X))
    b = pe.GraphBuilder()
    b.output("y", b.relu(b.input("x", (1, 4), "int8", 0.1)))
    with pytest.raises(pe.ModelError, match="no weights of floats or int8"):
        pe.Trainer(b.build(), precision="mixed:int8")


@pytest.mark.parametrize(
    "model, loss, lr",
    [("mlperf_ad_fcae_f32", "mse", 1e-7), ("mlperf_ic_resnet8_f32", "cross_entropy", 1e-7)],
)
@pytest.mark.parametrize("precision", ["fp32", "fp16"])
def test_real_models_learn(data_dir: Path, model: str, loss: str, lr: float, precision: str) -> None:
    """Eight steps on inputs that come with the models: less loss on them, nothing skipped in float32."""
    graph = pe.load(data_dir / "models" / f"{model}.tflite")
    trainer = pe.Trainer(graph, loss=loss, precision=precision, optimizer=pe.SGD(lr), loss_scale=2.0**6)
    shape = trainer.plan.entry("main").inputs[0].shape
    rng = np.random.default_rng(0)
    x = rng.uniform(0, 200, (4, *shape[1:])) if "resnet" in model else rng.normal(0, 10, (4, *shape[1:]))
    y = x if loss == "mse" else rng.integers(0, 10, 4)
    before = trainer.evaluate(x, y)["loss"]
    history = trainer.fit(x, y, epochs=2)
    assert trainer.evaluate(x, y)["loss"] < before
    assert history.skipped == 0 or precision == "fp16"


def test_weights_that_learn_lie_in_ram_once() -> None:
    """Plain SGD: the states are the weights and two counters; a frozen layer is in flash alone."""
    whole = pe.Trainer(network()).compile()
    last = pe.Trainer(network(), trainable="last:1").compile()
    sizes = {name: value.nbytes for name, value in pe.Session(whole).state().items()}
    assert set(sizes) - {"train/step", "train/skipped"} == set(pe.Trainer(network()).weights())
    assert whole.arena_bytes > last.arena_bytes
    copies = [op.name for op in whole.entry("train").ops if op.kind == "copy"]
    assert not [name for name in copies if sizes.get(name, 0) > 4]
    assert len(pe.Session(last).state()) == 4
