"""Optimizers and learning rates: plain data, and the ops that they become (model/ops_train.py)."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Protocol, SupportsFloat

from .tape import Tape


class Schedule(Protocol):
    """A learning rate that changes."""

    def ops(self, t: Tape, step: str) -> str:
        """Adds the ops; gives the rate, float32[1], after `step` steps, float32[1]."""
        ...


def _positive(**values: float) -> None:
    for name, value in values.items():
        if not 0 < value < math.inf:
            raise ValueError(f"{name}={value}: it must be above 0")


@dataclass(frozen=True)
class StepDecay:
    """lr, times factor after each `every` steps."""

    lr: float
    every: int
    factor: float = 0.1

    def __post_init__(self) -> None:
        _positive(lr=self.lr, every=self.every, factor=self.factor)

    def ops(self, t: Tape, step: str) -> str:
        times = t.op("floor_div", step, t.number(self.every, step))
        return t.scale(t.op("pow", t.constant([self.factor], "float32"), times), self.lr)


@dataclass(frozen=True)
class Cosine:
    """From lr to end along half a cosine in `steps` steps, then end (Loshchilov and Hutter 2017, without restarts)."""

    lr: float
    steps: int
    end: float = 0.0

    def __post_init__(self) -> None:
        _positive(lr=self.lr, steps=self.steps)

    def ops(self, t: Tape, step: str) -> str:
        return _half_cosine(t, step, 0, self.steps, self.lr, self.end)


@dataclass(frozen=True)
class OneCycle:
    """From lr / start_factor up to lr in the first `rise` of the steps, then down to lr / start_factor / end_factor,
    both along half a cosine (Smith and Topin 2018, as PyTorch's OneCycleLR).
    """

    lr: float
    steps: int
    rise: float = 0.3
    start_factor: float = 25.0
    end_factor: float = 1e4

    def __post_init__(self) -> None:
        _positive(lr=self.lr, start_factor=self.start_factor, end_factor=self.end_factor)
        if not (0 < self.rise < 1 and self.steps * self.rise > 1 and self.steps >= 2):
            raise ValueError(f"steps={self.steps}, rise={self.rise}: the rise must take more than one step, and end")

    def ops(self, t: Tape, step: str) -> str:
        top, low = self.rise * self.steps - 1, self.lr / self.start_factor
        up = _half_cosine(t, step, 0, top, low, self.lr)
        down = _half_cosine(t, step, top, self.steps - 1, self.lr, low / self.end_factor)
        return t.where(t.compare("less_equal", step, top), up, down)


def _half_cosine(t: Tape, step: str, first: float, last: float, start: float, end: float) -> str:
    """start at step `first` and before, end at `last` and after."""
    share = t.scale(t.shift(step, -first) if first else step, 1 / (last - first))
    share = t.op("clip", share, min=0.0, max=1.0)
    wave = t.op("cos", t.scale(share, math.pi))
    return t.shift(t.scale(wave, (start - end) / 2), (start + end) / 2)


class Optimizer(Protocol):
    """What makes new weights of gradients. lr may be a schedule.

    kind, attrs, moments: of the op that updates a weight, and how many states it has. Common to all: clip_norm bounds
    the norm of all gradients together, clip_value each element. noise: eta of gradient noise with the variance
    eta / (1 + step)^0.55, step from 0 (Neelakantan et al. 2015).
    """

    @property
    def lr(self) -> float | Schedule: ...
    @property
    def clip_norm(self) -> float | None: ...
    @property
    def clip_value(self) -> float | None: ...
    @property
    def noise(self) -> float | None: ...
    @property
    def kind(self) -> str: ...
    @property
    def attrs(self) -> dict[str, Any]: ...
    @property
    def moments(self) -> int: ...


def _check(o: Optimizer, weight_decay: float) -> None:
    _positive(**{n: v for n in ("clip_norm", "clip_value", "noise") if (v := getattr(o, n)) is not None})
    if isinstance(o.lr, SupportsFloat):
        _positive(lr=float(o.lr))
    elif isinstance(o.lr, type) or not hasattr(o.lr, "ops"):
        raise ValueError(f"lr={o.lr!r}: a number, pe.StepDecay, pe.Cosine or pe.OneCycle")
    if not 0 <= weight_decay < math.inf:
        raise ValueError(f"weight_decay={weight_decay}: it must be 0 or above")


def _share(**values: float) -> None:
    for name, value in values.items():
        if not 0 <= value < 1:
            raise ValueError(f"{name}={value}: it must be in 0 .. 1, without 1")


@dataclass(frozen=True)
class SGD:
    """Stochastic gradient descent, as PyTorch's: d = g + weight_decay w, m = momentum m + d, w = w - lr m."""

    lr: float | Schedule = 0.01
    momentum: float = 0.0
    nesterov: bool = False
    weight_decay: float = 0.0
    clip_norm: float | None = None
    clip_value: float | None = None
    noise: float | None = None

    def __post_init__(self) -> None:
        _check(self, self.weight_decay)
        _share(momentum=self.momentum)
        if self.nesterov and not self.momentum:
            raise ValueError("nesterov=True: it needs a momentum")

    @property
    def kind(self) -> str:
        return "momentum_update" if self.momentum else "sgd_update"

    @property
    def attrs(self) -> dict[str, Any]:
        own = {"momentum": self.momentum, "nesterov": self.nesterov} if self.momentum else {}
        return {"weight_decay": self.weight_decay, **own}

    @property
    def moments(self) -> int:
        return int(self.momentum > 0)


@dataclass(frozen=True)
class Adam:
    """Adam (Kingma and Ba 2015); weight_decay is added to the gradient."""

    lr: float | Schedule = 1e-3
    betas: tuple[float, float] = (0.9, 0.999)
    epsilon: float = 1e-8
    weight_decay: float = 0.0
    clip_norm: float | None = None
    clip_value: float | None = None
    noise: float | None = None

    def __post_init__(self) -> None:
        _check(self, self.weight_decay)
        _share(beta1=self.betas[0], beta2=self.betas[1])

    kind = "adam_update"
    moments = 2

    @property
    def attrs(self) -> dict[str, Any]:
        decoupled = isinstance(self, AdamW)
        own = {"betas": tuple(self.betas), "epsilon": self.epsilon, "decoupled": decoupled}
        return {"weight_decay": self.weight_decay, **own}


@dataclass(frozen=True)
class AdamW(Adam):
    """Adam with decoupled weight decay: w = w - lr weight_decay w beside Adam's step (Loshchilov and Hutter 2019)."""

    weight_decay: float = 0.01
