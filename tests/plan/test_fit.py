"""What a board's memories hold, and by how many bytes a plan is too large for them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

import pyedge as pe
from pyedge.boards import Memory, Profile, load_profile
from pyedge.plan.fit import Room, room, shortages


@pytest.fixture(scope="module")
def plan() -> pe.Plan:
    """Some KiB of weights, and an arena that is smaller."""
    b = pe.GraphBuilder()
    b.output("y", b.linear(b.input("x", (1, 64), "float32"), np.ones((40, 64), np.float32)))
    return pe.compile(b.build())


def board(ram: tuple[int, ...], flash: tuple[int, ...] = ()) -> Profile:
    """A board with memories of these sizes, and no slots for plans."""
    kinds = [("ram", n) for n in ram] + [("flash", n) for n in flash]
    memories = tuple(Memory(f"m{i}", kind, 0, n) for i, (kind, n) in enumerate(kinds))  # type: ignore[arg-type]
    return replace(load_profile("esp32-c3"), name="kit", memories=memories, store=None)


def test_room_is_one_ram_and_a_slot_or_a_flash() -> None:
    """An arena lies in one piece; a board without flash executes from RAM; this computer has no fixed size."""
    assert room(board((100, 300, 200), (50, 70))) == Room(300, 70)
    assert room(board((100,))) == Room(100, None)
    assert room(load_profile("sifive-e")) == Room(16384, 4194304)
    assert room(load_profile("host")) is None


def test_a_plan_that_just_fits_and_one_byte_less(plan: pe.Plan) -> None:
    """Both memories are named, each with its missing bytes."""
    arena, size = plan.arena_bytes, plan.flash_bytes
    assert shortages(plan, board((arena,), (size,))) == []
    few_ram, few_flash = shortages(plan, board((arena - 1,), (size - 1,)))
    assert f"the arena of {arena} bytes is 1 bytes larger than the RAM of {arena - 1}" in few_ram
    assert f"the plan of {size} bytes is 1 bytes larger than its place of {size - 1}" in few_flash


def test_without_flash_the_plan_shares_the_ram(plan: pe.Plan) -> None:
    """As on a Linux board."""
    both = plan.arena_bytes + plan.flash_bytes
    assert shortages(plan, board((both,))) == []
    (one,) = shortages(plan, board((both - 5,)))
    assert "are 5 bytes larger than the RAM" in one


def test_compile_says_by_how_many_bytes_a_linux_board_is_too_small() -> None:
    """An arena beyond all memory, which nobody allocates."""
    b = pe.GraphBuilder()
    b.output("y", b.relu(b.input("x", (1, 1 << 28), "float32")))
    with pytest.raises(
        pe.PlanError, match=r"^raspberry-pi-zero-2w: the arena .* bytes larger than the RAM of 536870912"
    ):
        pe.compile(b.build(), board="raspberry-pi-zero-2w")
