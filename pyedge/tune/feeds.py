"""Samples, cut into the runs of an entry."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from ..errors import ShapeError
from ..model.graph import array_dtype
from ..plan import Entry

Array = npt.NDArray[Any]


def feeds(entry: Entry, samples: Mapping[str, Array]) -> list[dict[str, Array]]:
    """Arguments of `run`, one for each run.

    Args:
        entry: Of the plan that will run.
        samples: For each input, by name, an array of the input's shape (one run), or samples along the first axis: as
            many a run as the input's first size. Real values are quantized for an int8 input.

    Raises:
        ShapeError: An array that doesn't fit its input, or inputs with different numbers of runs; names the tensor.
    """
    cut: dict[str, list[Array]] = {}
    for t in entry.inputs:
        if t.name not in samples:
            raise ShapeError(f"input {t.name!r} is missing; given: {', '.join(samples) or 'nothing'}")
        x = np.asarray(samples[t.name])
        if t.dtype in ("int8", "uint8") and np.issubdtype(x.dtype, np.floating):
            x = t.quantize(x)
        shape = tuple(d or 1 for d in t.shape)
        size = int(np.prod(shape))
        if x.dtype != array_dtype(t.dtype) or size == 0 or x.size == 0 or x.size % size or not _fits(x.shape, shape):
            raise ShapeError(
                f"tensor {t.name!r} is {t.dtype}{list(shape)}, given was {x.dtype}{list(x.shape)};"
                " expected that shape, or samples along the first axis"
            )
        cut[t.name] = list(x.reshape(-1, *shape))
    counts = {name: len(runs) for name, runs in cut.items()}
    if len(set(counts.values())) > 1:
        raise ShapeError(f"inputs have different numbers of samples: {counts}")
    return [dict(zip(cut, runs, strict=True)) for runs in zip(*cut.values(), strict=True)]


def _fits(given: Sequence[int], shape: Sequence[int]) -> bool:
    """Whether `given` is `shape`, or many of them along a first axis; axes of size 1 don't count."""
    one, sample = [n for n in shape if n != 1], [n for n in shape[1:] if n != 1]
    rest = [n for n in given[1:] if n != 1]
    return [n for n in given if n != 1] == one or rest in (sample, one)
