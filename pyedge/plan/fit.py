"""Does a plan fit a board's memories, and if not, by how many bytes?"""

from __future__ import annotations

from dataclasses import dataclass

from ..boards import Profile
from .plan import Plan


@dataclass(frozen=True)
class Room:
    """The most that a board has for a plan, bytes. What firmware or an operating system takes is not known here."""

    ram: int  # the largest RAM, as the arena lies in one piece
    plan: int | None  # a slot, or the largest flash; None: no flash to execute from, the plan lies in RAM, too


def room(board: Profile) -> Room | None:
    """The room of a board; None where it has no fixed size: what "native" means, this computer."""
    if board.isa == "native":
        return None
    ram = max((m.size_bytes for m in board.memories if m.kind == "ram"), default=0)
    if board.store:
        return Room(ram, board.store.slot_bytes)
    return Room(ram, max((m.size_bytes for m in board.memories if m.kind == "flash"), default=None))


def shortages(plan: Plan, board: Profile) -> list[str]:
    """What does not fit, each with the bytes that are missing; empty if the plan fits."""
    has = room(board)
    if has is None:
        return []
    found = []
    if has.plan is None:
        over = plan.arena_bytes + plan.flash_bytes - has.ram
        if over > 0:
            found.append(
                f"the arena of {plan.arena_bytes} and the plan of {plan.flash_bytes} bytes are {over} bytes larger"
                f" than the RAM of {has.ram}"
            )
        return found
    if (over := plan.arena_bytes - has.ram) > 0:
        found.append(f"the arena of {plan.arena_bytes} bytes is {over} bytes larger than the RAM of {has.ram}")
    if (over := plan.flash_bytes - has.plan) > 0:
        found.append(f"the plan of {plan.flash_bytes} bytes is {over} bytes larger than its place of {has.plan}")
    return found
