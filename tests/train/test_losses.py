"""Losses against PyTorch's: the value of each sample, and the gradient of the mean."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import pyedge as pe
from pyedge.model import reference
from pyedge.model.graph import Tensor
from pyedge.train.autodiff import gradients
from pyedge.train.losses import (
    LOSSES,
    BinaryCrossEntropy,
    CrossEntropy,
    Distillation,
    Huber,
    Loss,
    MeanAbsoluteError,
    MeanSquaredError,
    find_loss,
    sample_losses,
)
from pyedge.train.tape import Tape

torch = pytest.importorskip("torch")
F = torch.nn.functional

CLASSES = np.array([0, 4, 2], np.int32)


def floats(shape: tuple[int, ...] = (3, 5), seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(0, 2, shape).astype(np.float32)


def distributions() -> np.ndarray:
    p = np.exp(floats(seed=1))
    p[0, 1] = 0  # p log p is 0 there
    return np.asarray(p / p.sum(axis=1, keepdims=True))


def of_teacher(y: Any, t: Any, temperature: float, logits: bool) -> Any:
    p = F.softmax(t / temperature, 1) if logits else t
    return temperature**2 * F.kl_div(F.log_softmax(y / temperature, 1), p, reduction="none").sum(1)


CASES: dict[str, tuple[Loss, np.ndarray, Callable[[Any, Any], Any]]] = {
    "cross_entropy": (CrossEntropy(), CLASSES, lambda y, t: F.cross_entropy(y, t.long(), reduction="none")),
    "smoothed": (
        CrossEntropy(label_smoothing=0.2),
        CLASSES,
        lambda y, t: F.cross_entropy(y, t.long(), reduction="none", label_smoothing=0.2),
    ),
    "distributions": (
        CrossEntropy(0.1, distributions=True),
        distributions(),
        lambda y, t: F.cross_entropy(y, t, reduction="none", label_smoothing=0.1),
    ),
    "bce": (
        BinaryCrossEntropy(),
        (floats(seed=1) > 0).astype(np.float32),
        lambda y, t: F.binary_cross_entropy_with_logits(y, t, reduction="none").mean(1),
    ),
    "mse": (MeanSquaredError(), floats(seed=1), lambda y, t: F.mse_loss(y, t, reduction="none").mean(1)),
    "l1": (MeanAbsoluteError(), floats(seed=1), lambda y, t: F.l1_loss(y, t, reduction="none").mean(1)),
    "huber": (
        Huber(1.5),
        floats(seed=1),
        lambda y, t: F.huber_loss(y, t, reduction="none", delta=1.5).mean(1),
    ),
    "kl": (Distillation(), distributions(), lambda y, t: of_teacher(y, t, 1, False)),
    "kl_of_logits": (Distillation(4.0, logits=True), floats(seed=1), lambda y, t: of_teacher(y, t, 4, True)),
}


def loss_graph(loss: Loss, shape: tuple[int, ...], dtype: str = "float32") -> pe.Graph:
    """y and target -> losses [N] and the gradient of y by their mean."""
    b = pe.GraphBuilder()
    y = b.op("identity", b.input("y", shape, dtype), name="z")[0]
    b.output("z", y)
    graph = b.build()
    of_target, of_dtype = loss.target(shape)
    graph.add_tensor(Tensor("target", of_target, of_dtype))
    graph.input_names.append("target")
    t = Tape(graph)
    losses = sample_losses(t, loss, "z", "target")
    mean = t.op("reduce_mean", losses, axes=(0,), keepdims=True)
    graph, found = gradients(graph, mean, ["z"])
    graph.output_names = [losses, found["z"]]
    return graph


@pytest.mark.parametrize("case", CASES)
def test_losses_and_gradients_are_those_of_torch(case: str) -> None:
    """Of the session and of the reference, within 1e-6."""
    loss, target, expected = CASES[case]
    graph, y = loss_graph(loss, (3, 5)), floats()
    inputs = {"y": y, "target": target}
    of_y = torch.tensor(y, requires_grad=True)
    losses = expected(of_y, torch.tensor(target))
    losses.mean().backward()
    for outputs in (pe.Session(pe.compile(graph)).run(inputs), reference.run(graph, inputs)):
        found, gradient = outputs.values()
        np.testing.assert_allclose(found, losses.detach().numpy(), rtol=1e-6, atol=1e-6)
        np.testing.assert_allclose(gradient, of_y.grad.numpy(), rtol=1e-6, atol=1e-6)


def test_a_sample_s_loss_is_the_mean_over_its_places() -> None:
    """Class numbers for each of 4 places of 2 samples."""
    y, target = floats((2, 4, 5)), np.arange(8, dtype=np.int32).reshape(2, 4) % 5
    graph = loss_graph(CrossEntropy(), y.shape)
    found = next(iter(reference.run(graph, {"y": y, "target": target}).values()))
    places = F.cross_entropy(torch.tensor(y.reshape(8, 5)), torch.tensor(target.reshape(8)).long(), reduction="none")
    np.testing.assert_allclose(found, places.numpy().reshape(2, 4).mean(1), rtol=1e-6)


def test_large_logits_stay_finite() -> None:
    """Where exp would overflow."""
    y = np.array([[1e4, -1e4, 0, 3, 4]] * 3, np.float32)
    for case in ("cross_entropy", "bce", "kl"):
        loss, target, _ = CASES[case]
        for value in reference.run(loss_graph(loss, (3, 5)), {"y": y, "target": target}).values():
            assert np.isfinite(value).all()


def test_losses_have_names() -> None:
    """And an unknown one is told what there is."""
    assert {name: find_loss(name) for name in LOSSES} == LOSSES
    with pytest.raises(pe.ModelError, match="loss 'mean' is not known; try: cross_entropy, bce"):
        find_loss("mean")
    for wrong in (lambda: CrossEntropy(1.0), lambda: Huber(0.0), lambda: Distillation(-1.0)):
        with pytest.raises(ValueError):
            wrong()
