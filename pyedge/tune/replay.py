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

Array = npt.NDArray[Any]


class Reservoir:
    """At most `size` samples of all that it was given. Which ones is a function of these, their order and the seed.

    A sample is a row of several arrays, the last of which are targets: classes if they are int32, else all one class.
    """

    def __init__(self, size: int, seed: int) -> None:
        self.size, self.seed = size, seed
        self._samples: list[tuple[Array, ...]] = []
        self._seen: Counter[int] = Counter()  # samples given, by class
        self._full: set[int] = set()  # classes that were the largest when there was no room

    def add(self, arrays: Sequence[Array]) -> None:
        """Offers samples, rows of arrays, one after the other."""
        for sample in zip(*arrays, strict=True):
            self._offer(tuple(np.array(a) for a in sample))

    def _offer(self, sample: tuple[Array, ...]) -> None:
        own = _class(sample)
        self._seen[own] += 1
        if len(self._samples) < self.size:
            self._samples.append(sample)
            return
        if not self.size:
            return
        kept = [_class(s) for s in self._samples]
        counts = Counter(kept)
        largest = max(counts.values())
        self._full |= {c for c, n in counts.items() if n == largest}
        chance, choice = (w / 2**64 for w in self._words())
        if own not in self._full:
            places = [i for i, c in enumerate(kept) if counts[c] == largest]
        elif chance < counts[own] / self._seen[own]:
            places = [i for i, c in enumerate(kept) if c == own]
        else:
            return
        self._samples[places[int(choice * len(places))]] = sample

    def _words(self) -> list[int]:
        """Two random words of 64 bits for the sample offered last, in a stream apart from that of samples' order."""
        counter = [0, 0, 1, self._seen.total()]
        return [int(w) for w in np.random.Philox(key=self.seed, counter=counter).random_raw(2)]

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
        return {"seen": np.array(counts, np.int64).reshape(-1, 3), **kept}

    def restore(self, state: Mapping[str, Array]) -> None:
        """Goes on where another one of the same size and seed was."""
        columns = [state[str(i)] for i in range(len(state) - 1)]
        self._samples = [tuple(np.array(a) for a in sample) for sample in zip(*columns, strict=True)]
        self._seen = Counter({int(c): int(n) for c, n, _ in state["seen"]})
        self._full = {int(c) for c, _, full in state["seen"] if full}


def _class(sample: Sequence[Array]) -> int:
    target = sample[-1]
    return int(target) if target.dtype == np.int32 and target.size == 1 else 0
