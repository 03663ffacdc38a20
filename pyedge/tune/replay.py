"""Samples kept from earlier training, so that what they taught is not forgotten: a bounded set, balanced over classes.

Source: class-balancing reservoir sampling, algorithm 1 of Chrysakis and Moens, "Online Continual Learning from
Imbalanced Data", ICML 2020. While there is one class it is reservoir sampling, Vitter 1985.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from ..model.reference_train import philox

Array = npt.NDArray[Any]


# What random words are for, beside those of ops (csrc/ops/philox.h).
KEEP, DRAW = 2, 3
_WORD = 32


class Reservoir:
    """At most `size` samples of all that it was given. Which ones is a function of these, their order and the seed, the
    same as on a board (firmware/core/reservoir.c).

    A sample is a row of several arrays, the last of which are targets: classes if they are int32, else all one class.
    """

    def __init__(self, size: int, seed: int) -> None:
        self.size, self.seed = size, seed
        self._samples: list[tuple[Array, ...]] = []
        self._seen: Counter[int] = Counter()  # samples given, by class
        self._full: set[int] = set()  # classes that were the largest when there was no room
        self._drawn = 0

    def __len__(self) -> int:
        return len(self._samples)

    def add(self, arrays: Sequence[Array]) -> None:
        """Offers samples, rows of arrays, one after the other."""
        if not self.size:
            return
        words = self._words(self._seen.total() + 1, len(arrays[0]), 0, KEEP)
        for sample, word in zip(zip(*arrays, strict=True), words, strict=True):
            self._offer(tuple(np.array(a) for a in sample), word)

    def _offer(self, sample: tuple[Array, ...], word: Sequence[int]) -> None:
        own = _class(sample)
        self._seen[own] += 1
        if len(self._samples) < self.size:
            self._samples.append(sample)
            return
        kept = [_class(s) for s in self._samples]
        counts = Counter(kept)
        largest = max(counts.values())
        self._full |= {c for c, n in counts.items() if n == largest}
        if own not in self._full:
            places = [i for i, c in enumerate(kept) if counts[c] == largest]
        elif word[0] * self._seen[own] < counts[own] << _WORD:  # with probability counts / seen
            places = [i for i, c in enumerate(kept) if c == own]
        else:
            return
        self._samples[places[word[1] * len(places) >> _WORD]] = sample

    def draw(self, count: int) -> list[Array]:
        """Samples kept, each drawn at random from all of them, as rows of arrays."""
        words = self._words(self._drawn, count, self._seen.total(), DRAW)
        self._drawn += count
        picked = [word[0] * len(self._samples) >> _WORD for word in words]
        return [column[picked] for column in self.arrays()]

    def _words(self, first: int, count: int, step: int, use: int) -> list[list[int]]:
        """Random words of 32 bits, a row for each number from `first` on."""
        numbers = np.arange(first, first + count, dtype=np.uint64) & np.uint64(0xFFFFFFFF)
        return [[int(w) for w in row] for row in philox(self.seed, 0, numbers, step & 0xFFFFFFFF, use)]

    def arrays(self) -> list[Array]:
        """The samples kept, as rows of arrays; no arrays if there are none."""
        return [np.stack(column) for column in zip(*self._samples, strict=True)]

    def beside(self, arrays: Sequence[Array]) -> list[Array]:
        """Other samples, followed by those kept."""
        kept = self.arrays()
        return [np.concatenate(pair) for pair in zip(arrays, kept, strict=True)] if kept else list(arrays)

    def state(self) -> dict[str, Array]:
        """All that `restore` needs, by name."""
        counts = [[c, n, c in self._full] for c, n in sorted(self._seen.items())]
        kept = {str(i): column for i, column in enumerate(self.arrays())}
        seen = np.array(counts, np.int64).reshape(-1, 3)
        return {"seen": seen, "drawn": np.array(self._drawn, np.int64), **kept}

    def restore(self, state: Mapping[str, Array]) -> None:
        """Goes on where another one of the same size and seed was."""
        columns = [state[str(i)] for i in range(len(state) - 2)]
        self._samples = [tuple(np.array(a) for a in sample) for sample in zip(*columns, strict=True)]
        self._seen = Counter({int(c): int(n) for c, n, _ in state["seen"]})
        self._full = {int(c) for c, _, full in state["seen"] if full}
        self._drawn = int(state["drawn"])


def _class(sample: Sequence[Array]) -> int:
    target = sample[-1]
    return int(target) if target.dtype == np.int32 and target.size == 1 else 0
