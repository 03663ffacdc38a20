"""Losses as ops of a graph: of what a model gives and what was expected, a number for each sample."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from ..errors import ModelError
from ..model.ops import Shape
from .tape import Tape


class Loss(Protocol):
    """A loss. `after`: kind of a last op that the loss brings itself, so that it starts from that op's input."""

    @property
    def after(self) -> str | None: ...

    def target(self, shape: Shape) -> tuple[Shape, str]:
        """Shape and dtype of what is expected, for a model's output of that shape."""
        ...

    def ops(self, t: Tape, y: str, target: str) -> str:
        """Adds the ops; gives the losses, [N, ...], of which a sample's is the mean. y is float32."""
        ...


@dataclass(frozen=True)
class CrossEntropy:
    """-sum of p log softmax(y) over the last axis; y are logits, or a model's probabilities by a last softmax.

    Args:
        label_smoothing: Share of p that is spread over all classes evenly (Szegedy et al. 2016).
        distributions: Whether targets are distributions, float32 in the shape of y, instead of class numbers, int32.
    """

    label_smoothing: float = 0.0
    distributions: bool = False
    after = "softmax"

    def __post_init__(self) -> None:
        if not 0 <= self.label_smoothing < 1:
            raise ValueError(f"label_smoothing={self.label_smoothing}: it must be in 0 .. 1, without 1")

    def target(self, shape: Shape) -> tuple[Shape, str]:
        return (shape, "float32") if self.distributions else (shape[:-1], "int32")

    def ops(self, t: Tape, y: str, target: str) -> str:
        classes = t.shape(y)[-1]
        even = self.label_smoothing / classes
        if self.distributions:
            p = t.scale(target, 1 - self.label_smoothing)
            p = t.shift(p, even) if even else p
        else:
            values = t.constant([even, 1 - self.label_smoothing + even], "float32")
            p = t.op("one_hot", target, values, depth=classes, axis=-1)
        return t.neg(_last_sum(t, t.mul(p, t.op("log_softmax", y, axis=-1))))


@dataclass(frozen=True)
class BinaryCrossEntropy:
    """-(p log s + (1 - p) log(1 - s)), s = sigmoid(y); y are logits, or a model's probabilities by a last sigmoid."""

    after = "sigmoid"

    def target(self, shape: Shape) -> tuple[Shape, str]:
        return shape, "float32"

    def ops(self, t: Tape, y: str, target: str) -> str:
        return t.sub(t.op("softplus", y), t.mul(y, target))


@dataclass(frozen=True)
class MeanSquaredError:
    """(y - target)^2"""

    after = None

    def target(self, shape: Shape) -> tuple[Shape, str]:
        return shape, "float32"

    def ops(self, t: Tape, y: str, target: str) -> str:
        return t.op("square", t.sub(y, target))


@dataclass(frozen=True)
class MeanAbsoluteError:
    """|y - target|"""

    after = None

    def target(self, shape: Shape) -> tuple[Shape, str]:
        return shape, "float32"

    def ops(self, t: Tape, y: str, target: str) -> str:
        return t.op("abs", t.sub(y, target))


@dataclass(frozen=True)
class Huber:
    """With e = |y - target|: e^2 / 2 up to delta, then delta (e - delta / 2) (Huber 1964)."""

    delta: float = 1.0
    after = None

    def __post_init__(self) -> None:
        if not 0 < self.delta < math.inf:
            raise ValueError(f"delta={self.delta}: it must be above 0")

    def target(self, shape: Shape) -> tuple[Shape, str]:
        return shape, "float32"

    def ops(self, t: Tape, y: str, target: str) -> str:
        e = t.op("abs", t.sub(y, target))
        c = t.op("min", e, t.number(self.delta, e))
        return t.mul(c, t.sub(e, t.scale(c, 0.5)))


@dataclass(frozen=True)
class Distillation:
    """T^2 sum of p log(p / softmax(y / T)) over the last axis: Kullback and Leibler's divergence from a teacher
    (Hinton, Vinyals and Dean 2015). y are logits, or a model's probabilities by a last softmax.

    Args:
        temperature: T.
        logits: Whether targets are the teacher's logits, of which p = softmax(target / T), instead of p itself.
    """

    temperature: float = 1.0
    logits: bool = False
    after = "softmax"

    def __post_init__(self) -> None:
        if not 0 < self.temperature < math.inf:
            raise ValueError(f"temperature={self.temperature}: it must be above 0")

    def target(self, shape: Shape) -> tuple[Shape, str]:
        return shape, "float32"

    def ops(self, t: Tape, y: str, target: str) -> str:
        log_q = t.op("log_softmax", t.scale(y, 1 / self.temperature), axis=-1)
        if self.logits:
            log_p = t.op("log_softmax", t.scale(target, 1 / self.temperature), axis=-1)
            p = t.op("exp", log_p)
        else:  # p log p is 0 for p = 0
            p, smallest = target, t.number(float(np.finfo(np.float32).tiny), target)
            log_p = t.op("log", t.op("max", target, smallest))
        return t.scale(_last_sum(t, t.mul(p, t.sub(log_p, log_q))), self.temperature**2)


def _last_sum(t: Tape, x: str) -> str:
    return t.sum(x, (len(t.shape(x)) - 1,))


LOSSES: Mapping[str, Loss] = {
    "cross_entropy": CrossEntropy(),
    "bce": BinaryCrossEntropy(),
    "mse": MeanSquaredError(),
    "l1": MeanAbsoluteError(),
    "huber": Huber(),
    "kl": Distillation(),
}


def find_loss(loss: str | Loss) -> Loss:
    """A loss by its name, or itself."""
    if isinstance(loss, str) and loss in LOSSES:
        return LOSSES[loss]
    if isinstance(loss, str | type) or not hasattr(loss, "ops"):
        raise ModelError(f"loss {loss!r} is not known; try: {', '.join(LOSSES)}, or one with options: pe.Huber(0.5)")
    return loss


def sample_losses(t: Tape, loss: Loss, y: str, target: str) -> str:
    """Adds the ops of a loss; gives the samples' losses, [N]."""
    found = loss.ops(t, t.cast(y, "float32"), target)
    shape = t.shape(found)
    if len(shape) == 1:
        return found
    rows = t.reshape(found, (shape[0], math.prod(shape[1:])))
    return t.op("reduce_mean", rows, axes=(1,), keepdims=False)
