"""Training on a board: the loop of `Trainer`, fed through the link. The steps themselves are ops of the plan."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

import numpy as np

from ..errors import PlanError
from ..plan import Plan
from ..train.prepare import SKIPPED
from ..tune.training import Array, Facts, History, Loop, Samples, bar, samples_for


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

    @abstractmethod
    def run(self, inputs: Sequence[Array], entry: str = "main") -> Any:
        """Runs an entry."""

    @abstractmethod
    def state(self, names: Sequence[str] | None = None) -> dict[str, Array]:
        """Copies of states."""

    def fit(self, x: Samples, y: Array, epochs: int = 1, shuffle: bool = True, progress: bool = True) -> History:
        """Trains on the board; afterwards all states there are those of `Trainer.fit` with the same arguments.

        Args:
            x, y, epochs, shuffle, progress: As of `Trainer.fit`.

        Raises:
            PlanError: A plan that does not learn.
            ShapeError, TrainingError: As `Trainer.fit`.
            VerificationError, LinkError, BoardError: As `run`. Steps that were done are still on the board, unless it
                was reset.
        """
        if epochs < 1:
            raise ValueError(f"epochs={epochs}: at least 1")
        facts, arrays, history = Facts.of(self.plan), self._samples(x, y), History()
        loop = self._loop(history)
        with bar(progress, epochs) as progress_of:
            for n in range(epochs):
                loop.epoch(arrays, facts.seed, self.epoch, shuffle, progress_of(n))
                self.epoch += 1
        return history

    def train_on_batch(self, x: Samples, y: Array) -> float:
        """One step on the board, on batch_size * accumulate samples; its loss.

        Raises:
            PlanError, ShapeError, TrainingError, VerificationError, LinkError, BoardError: As `fit`.
        """
        arrays = self._samples(x, y)
        self._stream = self._stream or self._loop(History())
        return self._stream.step(arrays)

    def weights(self) -> dict[str, Array]:
        """Copies of the weights that learn, as they are on the board now, named as by `Trainer.weights`.

        Raises:
            PlanError: A plan that does not learn.
            VerificationError, LinkError, BoardError: As `state`.
        """
        return self.state(Facts.of(self.plan).weights)

    def _samples(self, x: Samples, y: Array) -> list[Array]:
        classes = Facts.of(self.plan).classes
        return samples_for(self.plan.entry("train"), x, np.asarray(y), classes)

    def _loop(self, history: History) -> Loop:
        accumulate = Facts.of(self.plan).accumulate
        batch = self.plan.entry("train").inputs[0].shape[0] or 1
        skipped = float(self.state([SKIPPED])[SKIPPED][0])
        return Loop(self, batch * accumulate, accumulate, history, skipped)
