"""Where tensors and scratch lie in the arena.

Each block lives from one step of the schedule to another, both included; blocks that live at a common step must not
overlap. No placement can be smaller than the largest sum of blocks that live at one step. First-fit in a few orders
usually reaches that bound; where it does not, a bounded branch and bound over canonical placements goes on.

Source: the search and its pruning after Moffitt, "MiniMalloc: A Lightweight Memory Allocator for Hardware-Accelerated
Machine Learning", ASPLOS 2023.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from .structs import ARENA_ALIGN

SEARCH_NODES = (
    4000  # of the branch and bound, per block order; bounds the time (about 0.1 ms a node), not the result's validity
)
SEARCH_BLOCKS = 400  # more blocks are placed by first-fit alone; also bounds the depth of the recursion


@dataclass(frozen=True)
class Block:
    """size bytes that live from step first to step last, both included."""

    size: int
    first: int
    last: int


def align(n: int, to: int = ARENA_ALIGN) -> int:
    """n, rounded up to a multiple of `to`."""
    return -(-n // to) * to


def peak(blocks: Sequence[Block]) -> int:
    """The lower bound of any placement: the largest sum of aligned sizes that live at one step, in bytes."""
    change: dict[int, int] = {}
    for b in blocks:
        change[b.first] = change.get(b.first, 0) + align(b.size)
        change[b.last + 1] = change.get(b.last + 1, 0) - align(b.size)
    live = top = 0
    for step in sorted(change):
        live += change[step]
        top = max(top, live)
    return top


def extent(blocks: Sequence[Block], offsets: Sequence[int]) -> int:
    """Bytes up to the end of the highest block."""
    return max((o + align(b.size) for b, o in zip(blocks, offsets, strict=True)), default=0)


def place(blocks: Sequence[Block], nodes: int = SEARCH_NODES) -> list[int]:
    """An offset for each block, a multiple of 16; blocks that live together don't overlap. Deterministic.

    The result reaches `peak` if one of the first-fit orders does or the search finds it within `nodes` nodes an order.
    """
    bound = peak(blocks)
    best: list[int] = []
    for key in _ORDERS:
        offsets = _first_fit(blocks, sorted(range(len(blocks)), key=lambda i: (*key(blocks[i]), i)))
        if not best or extent(blocks, offsets) < extent(blocks, best):
            best = offsets
        if extent(blocks, best) == bound:
            return best
    if len(blocks) <= SEARCH_BLOCKS:
        for key in _ORDERS:
            order = sorted(range(len(blocks)), key=lambda i: (*key(blocks[i]), i))
            search = _Search([blocks[i] for i in order], extent(blocks, best), bound, nodes)
            if search.offsets is not None:
                best = [0] * len(blocks)
                for i, offset in zip(order, search.offsets, strict=True):
                    best[i] = offset
            if search.complete or extent(blocks, best) == bound:
                return best
    return best


def place_with_scratch(tensors: Sequence[Block], scratch: Sequence[Block]) -> tuple[list[int], list[int]]:
    """Offsets of tensors and of scratch areas.

    Tensors alone stay within their own best placement; among the ways tried the one with the smaller total wins.
    """
    apart = place(tensors)
    together = place([*tensors, *scratch])
    n = len(tensors)
    if extent(tensors, together[:n]) <= extent(tensors, apart):
        return together[:n], together[n:]
    offsets = _first_fit([*tensors, *scratch], range(n + len(scratch)), apart)
    return offsets[:n], offsets[n:]


_ORDERS: tuple[Callable[[Block], tuple[int, int]], ...] = (
    lambda b: (-b.size, b.first),  # big ones first
    lambda b: (-b.size * (b.last - b.first + 1), b.first),  # by area
    lambda b: (b.first - b.last, -b.size),  # long-lived ones first
    lambda b: (b.first, -b.size),  # as they come
)


def _first_fit(blocks: Sequence[Block], order: Sequence[int], given: Sequence[int] = ()) -> list[int]:
    """Places blocks in an order, each at the lowest free offset; the first len(given) blocks are placed already."""
    offsets = list(given) + [-1] * (len(blocks) - len(given))
    placed = list(range(len(given)))
    for i in order[len(given) :]:
        b = blocks[i]
        offset = 0
        taken = sorted((offsets[j], offsets[j] + align(blocks[j].size)) for j in placed if _together(b, blocks[j]))
        for start, end in taken:
            if start - offset >= align(b.size):
                break
            offset = max(offset, end)
        offsets[i] = offset
        placed.append(i)
    return offsets


def _together(a: Block, b: Block) -> bool:
    return a.first <= b.last and b.first <= a.last


class _Search:
    """Branch and bound for a placement lower than `best`; stops at `bound` or after `nodes` nodes.

    A placement in which no block can move to a lower free offset is canonical, and one of the smallest placements is.
    Placed in the order of their offsets, each block of a canonical placement lies exactly on its floor: the highest end
    of the blocks already placed that live with it. So the search only chooses which block comes next.
    """

    def __init__(self, blocks: Sequence[Block], best: int, bound: int, nodes: int) -> None:
        self.best, self.bound, self.nodes = best, bound, nodes
        self.offsets: list[int] | None = None
        self.size = np.array([align(b.size) for b in blocks], np.int64)
        # Only steps at which a block starts can hold a new maximum.
        steps = sorted({b.first for b in blocks})
        self.live = np.array([[b.first <= s <= b.last for s in steps] for b in blocks], bool)
        self.at = np.ascontiguousarray(self.live.T)  # the same, by step
        self.together = (self.live.astype(np.int32) @ self.live.T.astype(np.int32)) > 0
        self.place = np.zeros(len(blocks), np.int64)
        load = self.live.T.astype(np.int64) @ self.size
        self._visit(np.zeros(len(blocks), np.int64), np.ones(len(blocks), bool), load, (-1, -1))
        self.complete = self.nodes > 0

    def _visit(self, floor: np.ndarray, left: np.ndarray, load: np.ndarray, last: tuple[int, int]) -> None:
        """floor: of each block. left: those to place. load: their bytes at each step. last: offset and block before."""
        self.nodes -= 1
        if not left.any():
            self.best = int((self.place + self.size).max())
            self.offsets = [int(o) for o in self.place]
            return
        end = np.where(left, floor + self.size, np.iinfo(np.int64).max)
        if (floor + self.size)[left].max() >= self.best:
            return
        upward = np.flatnonzero(left)
        upward = upward[np.argsort(floor[upward])]
        lowest = floor[upward[self.at[:, upward].argmax(axis=1)]]  # of what is left, at each step
        if ((lowest + load >= self.best) & (load > 0)).any():
            return
        # A block that starts above another's possible end would leave room for that one: not canonical.
        following = [(int(floor[i]), int(i)) for i in np.flatnonzero(left & (floor < end.min()))]
        for offset, i in sorted(following):
            if (offset, i) <= last:
                continue
            if self.nodes <= 0 or self.best <= self.bound:
                return
            self.place[i] = offset
            rest = left.copy()
            rest[i] = False
            raised = np.where(self.together[i] & rest, np.maximum(floor, offset + self.size[i]), floor)
            self._visit(raised, rest, load - self.size[i] * self.live[i], (offset, i))
