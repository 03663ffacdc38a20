"""The loop of training: which samples go when, through whatever runs the entries, here or on a board."""

from __future__ import annotations

import json
import math
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from ..errors import PlanError, ShapeError, TrainingError
from ..model.graph import array_dtype
from ..plan import Entry, Plan, PlanTensor
from ..train.latent import FEATURES
from ..train.prepare import SKIPPED

Array = npt.NDArray[Any]
Samples = Array | Mapping[str, Array]

# A training has diverged when bad steps outnumber the others by so many: those with a loss or gradients that are not
# finite, and those with a loss so many times the first one (or 1).
BAD_STEPS = 50
BAD_LOSS = 1000.0


class Runner(Protocol):
    """A Session, or a plan on a board."""

    def run(self, inputs: Sequence[Array], entry: str) -> list[Array]: ...


@dataclass(frozen=True)
class Facts:
    """What a plan that learns says of its training, for whoever feeds it: text in the meta of its entry "train".

    Attributes:
        weights: Names of the states that are weights.
        accumulate: Batches of a step.
        classes: How many there are, where labels are class numbers.
        seed: Of the order of samples.
        epoch: Number of the next epoch.
        replay: Samples that are kept.
        binary: Outputs above 0 mean that a target is above 0.5.
    """

    weights: tuple[str, ...]
    accumulate: int
    classes: int
    seed: int
    epoch: int
    replay: int
    binary: bool

    def text(self) -> str:
        """What `of` reads."""
        return json.dumps(asdict(self), sort_keys=True)

    @classmethod
    def of(cls, plan: Plan) -> Facts:
        """The facts in a plan. Raises PlanError for a plan that is not of `Trainer.compile`."""
        try:
            read = json.loads(plan.meta["graphs"]["train"]["training"])
            numbers = {name: int(read[name]) for name in ("accumulate", "classes", "seed", "epoch", "replay")}
            facts = cls(tuple(read["weights"]), **numbers, binary=bool(read["binary"]))
        except (KeyError, TypeError, ValueError):
            raise PlanError("the plan does not learn; try: pe.Trainer(graph, ...).compile(board=...)") from None
        entries = ("train", "accumulate") if facts.accumulate > 1 else ("train",)
        if not {SKIPPED, *facts.weights} <= {t.name for t in plan.states} or not set(entries) <= set(plan.entries):
            raise PlanError("the plan says that it learns, and lacks states or entries for it")
        return facts


@dataclass
class History:
    """What happened, epoch by epoch.

    Attributes:
        loss: Mean of the steps' losses; NaN if none was finite.
        validation: What `Trainer.evaluate` said after each epoch, {"loss": .., "accuracy": ..}; empty without data.
        steps, skipped: Of all epochs together; skipped: steps whose gradients were not finite.
        seconds: Of each epoch, validation included.
        stopped: Number of the epoch, from 1, after which nothing got better; None: all were run.
    """

    loss: list[float] = field(default_factory=list)
    validation: list[dict[str, float]] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)
    steps: int = 0
    skipped: int = 0
    stopped: int | None = None


def order(samples: int, seed: int, epoch: int, shuffle: bool = True) -> npt.NDArray[np.intp]:
    """Numbers of the samples in the order of an epoch: a function of these arguments alone, on every machine.

    Sorted by the raw words of NumPy's Philox, key seed, at the epoch's place; the order given without shuffle.
    """
    if not shuffle:
        return np.arange(samples)
    words = np.random.Philox(key=seed, counter=[0, 0, 0, epoch]).random_raw(samples)
    return np.argsort(words, kind="stable")


def batches(samples: int, size: int, seed: int, epoch: int, shuffle: bool = True) -> Iterator[npt.NDArray[np.intp]]:
    """The numbers of the samples of each step of an epoch. The last step is filled up from the epoch's start."""
    numbers = order(samples, seed, epoch, shuffle)
    steps = -(-samples // size)
    yield from np.resize(numbers, steps * size).reshape(steps, size)


def step(runner: Runner, arrays: Sequence[Array], accumulate: int) -> tuple[float, float]:
    """A step on samples: `accumulate` times the entries' batch. Its loss, and how many steps were skipped so far."""
    parts = [arrays]
    if accumulate > 1:
        parts = list(zip(*(np.split(a, accumulate) for a in arrays), strict=True))
    losses = [float(runner.run(part, "accumulate")[0][0]) for part in parts[:-1]]
    loss, skipped = runner.run(parts[-1], "train")
    return (sum(losses) + float(loss[0])) / accumulate, float(skipped[0])


Progress = Callable[[int, int, float], None]


@dataclass
class Loop:
    """Steps that are counted, and stopped when they lead nowhere.

    size: samples of a step. progress: called with the steps done, those of this call of `epoch`, and the last loss.
    """

    runner: Runner
    size: int
    accumulate: int
    history: History
    skipped: float = 0.0  # before
    bad: int = 0
    bound: float = math.inf  # of a loss that is no bad one

    def step(self, arrays: Sequence[Array]) -> float:
        """One step on `size` samples.

        Raises:
            ShapeError: Another number of them.
            TrainingError: The training has diverged.
        """
        if len(arrays[0]) != self.size:
            raise ShapeError(f"{len(arrays[0])} samples given, a step takes {self.size}: batch_size * accumulate")
        loss, skipped = step(self.runner, arrays, self.accumulate)
        self.count(1, loss, skipped)
        return loss

    def count(self, steps: int, loss: float, skipped: float) -> None:
        """Takes note of steps that were done, of the last one's loss, and of how many were skipped so far.

        Raises:
            TrainingError: The training has diverged.
        """
        self.history.steps += steps
        self.history.skipped += int(max(skipped - self.skipped, 0))
        bad = skipped > self.skipped or not loss <= self.bound or loss == math.inf
        self.bad = max(self.bad + (steps if bad else -steps), 0)
        if self.bound == math.inf and math.isfinite(loss):
            self.bound = BAD_LOSS * max(loss, 1.0)
        self.skipped = skipped
        if self.bad >= BAD_STEPS:
            raise TrainingError(
                f"step {self.history.steps}: most steps have a loss or gradients that are not finite, or a loss"
                f" {BAD_LOSS:g} times the first; try: a lower learning rate, or clip_norm",
                self.history,
            )

    def epoch(self, arrays: Sequence[Array], seed: int, epoch: int, shuffle: bool, progress: Progress) -> None:
        """One epoch; adds its mean loss to the history."""
        start, losses = time.perf_counter(), []
        total = -(-len(arrays[0]) // self.size)
        for picked in batches(len(arrays[0]), self.size, seed, epoch, shuffle):
            losses.append(self.step([a[picked] for a in arrays]))
            progress(len(losses), total, losses[-1])
        finite = [loss for loss in losses if math.isfinite(loss)]
        self.history.loss.append(float(np.mean(finite)) if finite else math.nan)
        self.history.seconds.append(time.perf_counter() - start)


def sample_inputs(plan: Plan) -> list[PlanTensor]:
    """The tensors that a sample of training is given for: the last one is its target."""
    inputs = plan.entry("train").inputs
    return [*plan.entry(FEATURES).inputs, inputs[-1]] if FEATURES in plan.entries else list(inputs)


def rows(runner: Runner, plan: Plan, samples: Mapping[str, Array]) -> list[Array]:
    """What "train" takes of samples, by the name of their input, the target last: with "features" what these give."""
    if FEATURES not in plan.entries:
        return list(samples.values())
    target = list(samples)[-1]
    used = [samples[t.name] for t in plan.entry(FEATURES).inputs]
    found = [runner.run([a[i : i + 1] for a in used], FEATURES) for i in range(len(samples[target]))]
    return [*(np.concatenate(parts) for parts in zip(*found, strict=True)), samples[target]]


def evaluate(runner: Runner, entry: Entry, arrays: Sequence[Array], binary: bool) -> dict[str, float]:
    """Mean "loss" of samples by the entry "evaluate", and their "accuracy" where targets are classes, or binary."""
    count, size = len(arrays[0]), entry.inputs[0].shape[0] or 1
    losses, right = [], []
    for first in range(0, count, size):
        picked = np.arange(first, first + size).clip(max=count - 1)  # the last batch is filled up
        part = [a[picked] for a in arrays]
        loss, y = runner.run(part, entry.name)
        losses.append(loss[: count - first])
        if part[-1].dtype == np.int32:
            right.append((y.argmax(axis=-1) == part[-1])[: count - first])
        elif binary:
            right.append(((y > 0) == (part[-1] > 0.5))[: count - first])
    result = {"loss": float(np.concatenate(losses).astype(np.float64).mean())}
    if right:
        result["accuracy"] = float(np.concatenate(right).mean())
    return result


def samples_for(
    tensors: Sequence[PlanTensor], x: Samples, y: Array | None, classes: int, binary: bool = False
) -> list[Array]:
    """Arrays for some inputs, samples along the first axis: x by name or alone, and y for the last input.

    Args:
        classes: How many there are, where y are class numbers.
        binary: y are in 0 .. 1.

    Raises:
        ShapeError: Missing or empty arrays, samples of another shape or dtype, other numbers of them, or labels that
            are no class or not in 0 .. 1; names the tensor.
    """
    given = dict(x) if isinstance(x, Mapping) else {tensors[0].name: x}
    if y is not None:  # values to learn may be integers or bools, such as 0 and 1
        exact = y.dtype.kind in "biu" and tensors[-1].dtype == "float32"
        given[tensors[-1].name] = y.astype(np.float32) if exact else y
    if missing := [t.name for t in tensors if t.name not in given]:
        raise ShapeError(f"input {missing[0]!r} is missing; given: {', '.join(given)}")
    if unknown := [n for n in given if n not in {t.name for t in tensors}]:
        raise ShapeError(f"there is no input {unknown[0]!r}; the inputs: {', '.join(t.name for t in tensors)}")
    arrays = [_samples(t, np.asarray(given[t.name])) for t in tensors]
    if len({len(a) for a in arrays}) != 1 or not len(arrays[0]):
        counts = ", ".join(f"{t.name} {len(a)}" for t, a in zip(tensors, arrays, strict=True))
        raise ShapeError(f"needs samples, as many of each: {counts}")
    if y is not None and tensors[-1].dtype == "int32":
        labels = arrays[-1]
        if (wrong := np.argwhere((labels < 0) | (labels >= classes))).size:
            at = wrong[0]
            raise ShapeError(f"label {labels[tuple(at)]} of sample {at[0]} is no class: there are 0 .. {classes - 1}")
    elif y is not None and binary and (wrong := np.argwhere((arrays[-1] < 0) | (arrays[-1] > 1))).size:
        at = wrong[0]
        raise ShapeError(f"target {arrays[-1][tuple(at)]} of sample {at[0]} is not in 0 .. 1, as bce takes them")
    return arrays


def _samples(t: PlanTensor, x: Array) -> Array:
    """x as samples of a tensor, whose first axis is the batch."""
    sample = tuple(d or 1 for d in t.shape[1:])
    dtype = array_dtype(t.dtype)
    if np.issubdtype(x.dtype, np.floating):
        if t.dtype in ("int8", "uint8", "int16") and t.scale is not None:
            x = t.quantize(x)
        elif np.issubdtype(dtype, np.floating):
            x = x.astype(dtype)
    elif dtype == np.int32 and np.issubdtype(x.dtype, np.integer):
        limit = np.iinfo(np.int32)
        x = x.clip(limit.min, limit.max).astype(np.int32)  # a label beyond it is no class in any case
    size = math.prod(sample)
    fits = (
        x.ndim > 0 and x.size == len(x) * size and [n for n in x.shape[1:] if n != 1] == [n for n in sample if n != 1]
    )
    if not fits or x.dtype != dtype:
        hint = ""
        if t.dtype == "int32" and np.issubdtype(x.dtype, np.floating):
            hint = "; distributions take pe.CrossEntropy(distributions=True)"
        raise ShapeError(
            f"tensor {t.name!r} takes samples {t.dtype}{list(sample)}, given was {x.dtype}{list(x.shape)}{hint}"
        )
    return np.ascontiguousarray(x.reshape(len(x), *sample))


@contextmanager
def bar(shown: bool, epochs: int) -> Iterator[Callable[[int], Progress]]:
    """A progress bar on stderr, if that is a terminal: a function from the number of an epoch to its Progress."""
    if not (shown and sys.stderr.isatty()):
        yield lambda epoch: lambda done, total, loss: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as rich:
        task = rich.add_task("training", total=None)

        def of_epoch(epoch: int) -> Any:
            def update(done: int, total: int, loss: float) -> None:
                text = f"epoch {epoch + 1}/{epochs} loss {loss:.4f}"
                rich.update(task, description=text, completed=done + epoch * total, total=total * epochs)

            return update

        yield of_epoch
