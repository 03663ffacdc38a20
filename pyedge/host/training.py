"""Training on a board: the loop of `Trainer`, fed through the link. The steps themselves are ops of the plan."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np

from ..errors import PlanError
from ..plan import Plan
from ..train.prepare import SKIPPED
from ..tune.replay import Reservoir
from ..tune.trainer import Trainer
from ..tune.training import Array, Facts, History, Loop, Samples, bar, evaluate, rows, sample_inputs, samples_for


class Kept(Protocol):
    """Samples kept, rows of what the entry "train" takes: a Reservoir, here or in a board's flash."""

    def __len__(self) -> int: ...
    def add(self, arrays: Sequence[Array]) -> None: ...
    def arrays(self) -> list[Array]: ...


class Learner(ABC):
    """What a plan of `Trainer.compile` can do on a board beside running: learn, with the bits of the Trainer.

    Attributes:
        plan: The plan that is on the board.
        epoch: Number of the next epoch of `fit`, which with the plan's seed gives the order of samples. It begins where
            the Trainer was when it compiled the plan; who goes on with what a board has learned before sets it.
    """

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        try:
            self.epoch = Facts.of(plan).epoch
        except PlanError:  # it does not learn; fit says so
            self.epoch = 0
        self._stream: Loop | None = None  # of train_on_batch
        self._kept: Kept | None = None

    @abstractmethod
    def run(self, inputs: Sequence[Array], entry: str = "main") -> Any:
        """Runs an entry."""

    @abstractmethod
    def state(self, names: Sequence[str] | None = None) -> dict[str, Array]:
        """Copies of states."""

    def fit(
        self,
        x: Samples,
        y: Array,
        epochs: int = 1,
        validation_data: tuple[Samples, Array] | None = None,
        shuffle: bool = True,
        progress: bool = True,
    ) -> History:
        """Trains on the board; afterwards all states there are those of `Trainer.fit` with the same arguments.

        A plan of Trainer(replay=N) learns the samples kept once more, and keeps some of the new ones: in the board's
        flash if the plan is there (`board.load(plan, persist=True)`), else here.

        Args:
            x, y, epochs, validation_data, shuffle, progress: As of `Trainer.fit`. For validation_data the plan needs
                its entry: `trainer.compile(board, evaluate=True)`.

        Raises:
            PlanError: A plan that does not learn, or has no room for the samples to keep.
            ShapeError, TrainingError: As `Trainer.fit`.
            VerificationError, LinkError, BoardError: As `run`. Steps that were done are still on the board, unless it
                was reset.
        """
        if epochs < 1:
            raise ValueError(f"epochs={epochs}: at least 1")
        facts, history = Facts.of(self.plan), History()
        checked = None if validation_data is None else self._checked(*validation_data)
        new = self._rows(x, y)
        kept = self.kept.arrays()
        arrays = [np.concatenate(pair) for pair in zip(new, kept, strict=True)] if kept else new
        loop = self._loop(history)
        with bar(progress, epochs) as progress_of:
            for n in range(epochs):
                loop.epoch(arrays, facts.seed, self.epoch, shuffle, progress_of(n))
                self.epoch += 1
                if checked is not None:
                    entry = self.plan.entry("evaluate")
                    history.validation.append(evaluate(self, entry, checked, facts.binary))
        if facts.replay:
            self.kept.add(new)
        return history

    def train_on_batch(self, x: Samples, y: Array) -> float:
        """One step on the board, on batch_size * accumulate samples; its loss.

        Raises:
            PlanError, ShapeError, TrainingError, VerificationError, LinkError, BoardError: As `fit`.
        """
        arrays = self._rows(x, y)
        self._stream = self._stream or self._loop(History())
        return self._stream.step(arrays)

    @property
    def kept(self) -> Kept:
        """The samples kept: `len`, and `arrays()`, rows of what the plan's entry "train" takes."""
        if self._kept is None:
            self._kept = self._open_kept(Facts.of(self.plan))
        return self._kept

    def _open_kept(self, facts: Facts) -> Kept:
        return Reservoir(facts.replay, facts.seed)

    def weights(self) -> dict[str, Array]:
        """Copies of the weights that learn, as they are on the board now, named as by `Trainer.weights`.

        Raises:
            PlanError: A plan that does not learn.
            VerificationError, LinkError, BoardError: As `state`.
        """
        return self.state(Facts.of(self.plan).weights)

    def _samples(self, x: Samples, y: Array) -> dict[str, Array]:
        facts, inputs = Facts.of(self.plan), sample_inputs(self.plan)
        found = samples_for(inputs, x, np.asarray(y), facts.classes, facts.binary)
        return dict(zip((t.name for t in inputs), found, strict=True))

    def _rows(self, x: Samples, y: Array) -> list[Array]:
        return rows(self, self.plan, self._samples(x, y))

    def _checked(self, x: Samples, y: Array) -> list[Array]:
        """Samples for the entry "evaluate"."""
        if "evaluate" not in self.plan.entries:
            raise PlanError("the plan can't validate; try: trainer.compile(board, evaluate=True)")
        facts, inputs = Facts.of(self.plan), self.plan.entry("evaluate").inputs
        return samples_for(inputs, x, np.asarray(y), facts.classes, facts.binary)

    def _loop(self, history: History) -> Loop:
        accumulate = Facts.of(self.plan).accumulate
        batch = self.plan.entry("train").inputs[0].shape[0] or 1
        skipped = float(self.state([SKIPPED])[SKIPPED][0])
        return Loop(self, batch * accumulate, accumulate, history, skipped)


def fit_there(
    trainer: Trainer,
    learner: Learner,
    x: Samples,
    y: Array,
    epochs: int = 1,
    validation_data: tuple[Samples, Array] | None = None,
) -> History:
    """`Trainer.fit` on a board that has the trainer's plan: what was kept goes there first, if it has no samples yet,
    and what was learned comes back. Arguments and errors are those of `Learner.fit`.
    """
    if trainer.kept and not len(learner.kept):
        learner.kept.add(trainer.kept)
    history = learner.fit(x, y, epochs, validation_data)
    trainer.go_on_from(learner.state(), learner.epoch)
    trainer.keep(x, y)
    return history
