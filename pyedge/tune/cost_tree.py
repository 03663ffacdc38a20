"""Costs as sums of terms, other sums in other cases: a model tree (Quinlan, Learning with continuous classes, 1992)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from .cost_rows import Row
from .cost_terms import cases, terms

Array = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]

_LEAF = 8  # rows at least
_DEPTH = 5
_GAIN = 0.7  # a split has to bring the sum of squared errors below this share
_EXACT = 0.003  # relative error below which nothing is split
_MOST_TERMS = 40
_REACH = 4  # errors of the trunk
_SHARE = 3  # rows for a term


@dataclass(frozen=True)
class Tree:
    """A leaf with the coefficients of the terms, or a split: whether a case holds not, or holds.

    error: relative, root of the mean square.
    """

    coefficients: Array
    error: float
    case: int = -1
    branches: tuple[Tree, Tree] | None = None

    def cost(self, row: Row) -> float:
        """The cost of an op of the kind and kernel that the tree was fitted to.

        A branch has seen fewer rows, so it is believed as far as it stays near what the trunk says.
        """
        at, holds, parts = self, cases(row), terms(row)
        cost = float(np.dot(parts, at.coefficients))
        while at.branches is not None:
            reach = _REACH * at.error
            at = at.branches[holds[at.case]]
            cost = min(max(float(np.dot(parts, at.coefficients)), cost * max(0.0, 1 - reach)), cost * (1 + reach))
        return cost


def fit(rows: Sequence[Row]) -> Tree:
    """The tree of rows of one kind and kernel, whose costs are above 0."""
    costs = np.array([row.count for row in rows], float)
    parts = np.array([terms(row) for row in rows], float) / costs[:, None]
    return _grow(parts, np.array([cases(row) for row in rows], bool).reshape(len(rows), -1), 0)


def _grow(a: Array, holds: Mask, depth: int) -> Tree:
    """a: terms / cost, [row, term], so that a right sum is 1. holds: [row, case]."""
    leaf = _least_squares(a)
    error = _error(a, leaf)
    mean = math.sqrt(error / len(a))
    if depth == _DEPTH or mean < _EXACT:
        return Tree(leaf, mean)
    best, least = -1, _GAIN * error
    for case in range(holds.shape[1]):
        parts = a[~holds[:, case]], a[holds[:, case]]
        if min(map(len, parts)) >= _LEAF:
            both = sum(_error(part, _least_squares(part)) for part in parts)
            if both < least:
                best, least = case, both
    if best < 0:
        return Tree(leaf, mean)
    no, yes = (_grow(a[part], holds[part], depth + 1) for part in (~holds[:, best], holds[:, best]))
    return Tree(leaf, mean, best, (no, yes))


def _error(a: Array, x: Array) -> float:
    return float(((a @ x - 1) ** 2).sum())


def _least_squares(a: Array) -> Array:
    """x >= 0 with the least |a x - 1|^2, of so few terms that they fit the kernel, not the rows.

    Source: Lawson and Hanson, Solving Least Squares Problems, 1974, algorithm NNLS; on the normal equations.
    """
    scale = np.maximum(a.max(axis=0), 1e-30)
    a = a / scale
    squares, ones = a.T @ a, a.sum(axis=0)
    squares[np.diag_indices(len(ones))] += 1e-9  # terms may be multiples of each other
    x, used = np.zeros(len(ones)), list[int]()
    most = max(6, min(_MOST_TERMS, len(a) // _SHARE))
    for _ in range(3 * most):
        gradient = ones - x[used] @ squares[used]  # symmetric
        gradient[used] = -np.inf
        best = int(np.argmax(gradient))
        if len(used) == most or gradient[best] <= 1e-6:
            break
        used.append(best)
        while True:
            found = np.linalg.solve(squares[np.ix_(used, used)], ones[used])
            before, negative = x[used], found <= 0
            if not negative.any():
                break
            step = np.min(before[negative] / np.maximum(before[negative] - found[negative], 1e-30))
            between = before + step * (found - before)
            x[used] = np.where(between > 1e-12, between, 0)
            used = [j for j in used if x[j] > 0]
        x[used] = found
    coefficients: Array = x / scale
    return coefficients
