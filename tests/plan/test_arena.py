"""Placement: valid, deterministic, and as small as it can be."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from pyedge.plan.arena import Block, extent, peak, place, place_with_scratch


def overlaps(blocks: list[Block], offsets: list[int]) -> list[tuple[int, int]]:
    """Pairs of blocks that live at a common step and share a byte."""
    pairs = itertools.combinations(range(len(blocks)), 2)
    return [
        (i, j)
        for i, j in pairs
        if blocks[i].first <= blocks[j].last
        and blocks[j].first <= blocks[i].last
        and offsets[i] < offsets[j] + blocks[j].size
        and offsets[j] < offsets[i] + blocks[i].size
    ]


def random_blocks(seed: int, n: int, steps: int = 8, sizes: int = 6) -> list[Block]:
    rng = np.random.default_rng(seed)
    firsts, lasts = np.sort(rng.integers(0, steps, (n, 2)), axis=1).T
    return [
        Block(16 * int(s), int(f), int(e)) for s, f, e in zip(rng.integers(1, sizes, n), firsts, lasts, strict=True)
    ]


def smallest(blocks: list[Block]) -> int:
    """The smallest extent, by trying every order of first-fit: one of them is optimal."""
    best = sum(b.size for b in blocks)
    for order in itertools.permutations(range(len(blocks))):
        offsets: dict[int, int] = {}
        for i in order:
            taken = sorted(
                (offsets[j], offsets[j] + blocks[j].size)
                for j in offsets
                if blocks[i].first <= blocks[j].last and blocks[j].first <= blocks[i].last
            )
            at = 0
            for start, end in taken:
                if start - at >= blocks[i].size:
                    break
                at = max(at, end)
            offsets[i] = at
        best = min(best, max(offsets[i] + blocks[i].size for i in offsets))
    return best


@pytest.mark.parametrize("seed", range(60))
def test_small_sets_get_the_smallest_arena(seed: int) -> None:
    """For up to 6 blocks the result is that of trying everything."""
    blocks = random_blocks(seed, 3 + seed % 4)
    offsets = place(blocks)
    assert overlaps(blocks, offsets) == []
    assert extent(blocks, offsets) == smallest(blocks)


def test_a_gap_that_first_fit_by_size_leaves_is_found() -> None:
    """The search improves on every first-fit order where those miss the bound."""
    found = 0
    for seed in range(400):
        blocks = random_blocks(seed, 12, steps=10, sizes=9)
        first_fit, searched = extent(blocks, place(blocks, nodes=0)), extent(blocks, place(blocks))
        assert peak(blocks) <= searched <= first_fit
        found += searched < first_fit
    assert found >= 5


@pytest.mark.parametrize("n", [1, 40, 150, 500])
def test_large_sets_are_valid_and_near_the_bound(n: int) -> None:
    """Odd sizes are aligned, nothing overlaps, and the same input gives the same places."""
    rng = np.random.default_rng(n)
    blocks = [Block(int(rng.integers(1, 5000)), i, min(n - 1, i + int(rng.choice([1, 1, 1, 2, 5])))) for i in range(n)]
    offsets = place(blocks)
    assert overlaps(blocks, offsets) == []
    assert all(o % 16 == 0 for o in offsets)
    assert peak(blocks) <= extent(blocks, offsets) <= 1.3 * peak(blocks)
    assert place(blocks) == offsets


def test_peak_is_the_largest_sum_of_one_step() -> None:
    """Both ends of a life count, and sizes are rounded up to 16."""
    assert peak([Block(1, 0, 2), Block(17, 2, 3), Block(32, 3, 3), Block(160, 5, 5)]) == 160
    assert peak([Block(1, 0, 2), Block(17, 2, 3), Block(32, 3, 3)]) == 64
    assert peak([]) == 0


@pytest.mark.parametrize("seed", range(30))
def test_scratch_does_not_lift_the_tensors(seed: int) -> None:
    """Tensors keep to their own best extent, and scratch overlaps nothing that lives at its step."""
    tensors = random_blocks(seed, 8)
    scratch = [Block(16 * (1 + (seed + i) % 5), i, i) for i in range(0, 8, 2)]
    places, scratch_places = place_with_scratch(tensors, scratch)
    assert extent(tensors, places) == extent(tensors, place(tensors))
    assert overlaps([*tensors, *scratch], [*places, *scratch_places]) == []
    total = extent([*tensors, *scratch], [*places, *scratch_places])
    assert total <= extent(tensors, places) + max(b.size for b in scratch)
