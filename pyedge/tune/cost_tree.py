"""Model trees: costs as sums of terms, other sums for other shapes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from .cost_rows import Row, terms, variables

Array = npt.NDArray[np.float64]

_LEAF = 8  # rows
_DEPTH = 5
_GAIN = 0.8  # a split has to bring the sum of squared errors below this share
_EXACT = 0.005  # relative error below which nothing is split
_CUTS = 12  # thresholds that are tried for a variable


@dataclass(frozen=True)
class _Node:
    """A leaf with coefficients of the terms, or a split: below `threshold` of a variable, or not."""

    coefficients: Array
    variable: int = -1
    threshold: float = 0.0
    branches: tuple[_Node, _Node] | None = None


@dataclass(frozen=True)
class Tree:
    """A model tree. names: sizes that its rows have."""

    names: tuple[str, ...]
    root: _Node

    def cost(self, row: Row) -> float:
        """The cost of an op of the kind and kernel that the tree was fitted to."""
        at, values = self.root, variables(row, self.names)
        while at.branches is not None:
            at = at.branches[0] if values[at.variable] < at.threshold else at.branches[1]
        return float(np.dot(terms(row), at.coefficients))


def fit(rows: Sequence[Row]) -> Tree:
    """The tree of rows of one kind and kernel, whose costs are above 0."""
    names = tuple(rows[0].sizes)
    costs = np.array([row.count for row in rows], float)
    parts = np.array([terms(row) for row in rows], float) / costs[:, None]
    return Tree(names, _grow(parts, np.array([variables(row, names) for row in rows], float), 0))


def _grow(a: Array, v: Array, depth: int) -> _Node:
    """a: terms / cost, [row, term], so that a right sum is 1. v: [row, variable]."""
    scale = np.maximum(a.max(axis=0), 1e-30)
    leaf, error = _least_squares(a / scale)
    tree = _Node(leaf / scale)
    if len(a) < 2 * _LEAF or depth == _DEPTH or math.sqrt(error / len(a)) < _EXACT:
        return tree
    best: tuple[float, int, float] | None = None
    for j in range(v.shape[1]):
        for threshold in _thresholds(v[:, j]):
            below = v[:, j] < threshold
            if min(below.sum(), (~below).sum()) >= _LEAF:
                both = sum(_least_squares(a[part] / scale)[1] for part in (below, ~below))
                if best is None or both < best[0]:
                    best = both, j, threshold
    if best is None or best[0] > _GAIN * error:
        return tree
    _, j, threshold = best
    below = v[:, j] < threshold
    branches = _grow(a[below], v[below], depth + 1), _grow(a[~below], v[~below], depth + 1)
    return _Node(tree.coefficients, j, threshold, branches)


def _thresholds(values: Array) -> list[float]:
    distinct = np.unique(values)
    if len(distinct) > _CUTS + 1:
        distinct = np.unique(np.quantile(values, np.linspace(0.08, 0.92, _CUTS)))
    return [float(t) for t in (distinct[1:] + distinct[:-1]) / 2]


def _least_squares(a: Array) -> tuple[Array, float]:
    """x >= 0 with the least |a x - 1|^2, and that.

    Source: Lawson and Hanson, Solving Least Squares Problems, 1974, algorithm NNLS.
    """
    n = a.shape[1]
    x, used, ones = np.zeros(n), np.zeros(n, bool), np.ones(len(a))
    for _ in range(3 * n):
        gradient = a.T @ (ones - a @ x)
        gradient[used] = -np.inf
        j = int(np.argmax(gradient))
        if gradient[j] <= 1e-9:
            break
        used[j] = True
        while True:
            s = np.zeros(n)
            s[used] = np.linalg.lstsq(a[:, used], ones, rcond=None)[0]
            negative = used & (s <= 0)
            if not negative.any():
                break
            x += np.min(x[negative] / np.maximum(x[negative] - s[negative], 1e-30)) * (s - x)
            used &= x > 1e-12
            x[~used] = 0
        x = s
    return x, float(((a @ x - ones) ** 2).sum())
