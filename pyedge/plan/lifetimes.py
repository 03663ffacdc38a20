"""From a program to places: which values share memory, how long each lives, where it lies.

Lifetimes are taken in the order of the steps, as if both arms of an `if` ran: every path is a part of that order, so
they are long enough on each.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import accumulate

from .arena import Block, align, extent, peak, place_with_scratch
from .program import IN_PLACE, Keep, Program


@dataclass(frozen=True)
class StatePlaces:
    """Where the states of all entries lie, by name: in the first `bytes` bytes of the arena."""

    offsets: dict[str, int] = field(default_factory=dict)
    bytes: int = 0


_NO_STATES = StatePlaces()


@dataclass
class Layout:
    """Places of one program, in bytes. offsets: by number of value, arena values only; scratch: by step."""

    offsets: dict[int, int]
    scratch: list[int]
    arena_bytes: int
    state_bytes: int  # the start of the arena, which states alone use
    tensor_bytes: int  # extent of the tensors alone
    peak_bytes: int  # the largest set of live tensors: no layout of the tensors can be smaller


def layout(program: Program, keep: Keep = None, states: StatePlaces = _NO_STATES) -> Layout:
    """Places all values of a program.

    Args:
        keep: "all": each value has memory of its own for the whole run.
        states: Of all entries; everything else lies behind them.
    """
    first, last, root = _lifetimes(program, keep)
    roots = sorted(r for r in first if root[r] == r)
    tensors = [Block(program.values[r].bytes, first[r], last[r]) for r in roots]
    busy = [i for i, step in enumerate(program.steps) if step.scratch_bytes]
    scratch = [Block(program.steps[i].scratch_bytes, i, i) for i in busy]
    offsets, scratch_offsets = place_with_scratch(tensors, scratch)
    by_root = {r: states.bytes + offset for r, offset in zip(roots, offsets, strict=True)}
    by_step = {i: states.bytes + offset for i, offset in zip(busy, scratch_offsets, strict=True)}
    places = {
        number: by_root[_find(root, value.storage)] + value.offset
        for number, value in enumerate(program.values)
        if value.data is None and value.storage in root
    }
    for number, value in enumerate(program.values):
        if value.data is None and value.storage in program.states:
            places[number] = states.offsets[program.values[value.storage].name]
    return Layout(
        places,
        [by_step.get(i, 0) for i in range(len(program.steps))],
        states.bytes + extent([*tensors, *scratch], [*offsets, *scratch_offsets]),
        states.bytes,
        states.bytes + extent(tensors, offsets),
        states.bytes + peak(tensors),
    )


def live_bytes(program: Program) -> list[int]:
    """The sum of the tensors that live at each step, states apart: no arena can be smaller than the largest."""
    first, last, root = _lifetimes(program, None)
    change = [0] * (len(program.steps) + 3)
    for r in (r for r in first if root[r] == r):
        change[first[r] + 1] += align(program.values[r].bytes)
        change[last[r] + 2] -= align(program.values[r].bytes)
    return list(accumulate(change))[1 : len(program.steps) + 1]


def free_room(program: Program, layout: Layout, arena_bytes: int) -> list[tuple[int, int]]:
    """Offset and bytes, at each step, of the largest part of an arena where no tensor lies that lives then."""
    first, last, root = _lifetimes(program, None)
    blocks = [
        (layout.offsets[r], layout.offsets[r] + align(program.values[r].bytes), first[r], last[r])
        for r in first
        if root[r] == r
    ]
    found = []
    for i in range(len(program.steps)):
        largest, start = (layout.state_bytes, 0), layout.state_bytes
        for begin, end, *_ in sorted(b for b in blocks if b[2] <= i <= b[3]):
            largest = max(largest, (start, begin - start), key=lambda part: part[1])
            start = max(start, end)
        found.append(max(largest, (start, arena_bytes - start), key=lambda part: part[1]))
    return found


def _find(root: dict[int, int], storage: int) -> int:
    while root[storage] != storage:
        storage = root[storage]
    return storage


def _lifetimes(program: Program, keep: Keep) -> tuple[dict[int, int], dict[int, int], dict[int, int]]:
    """First and last step of each storage in the arena, and the storage that it was merged into by running in place.

    Without those of states, which stay for ever.
    """
    end = len(program.steps)
    first: dict[int, int] = {}
    last: dict[int, int] = {}

    def touch(number: int, step: int) -> None:
        value = program.values[number]
        if value.data is None and value.storage not in program.states:
            first[value.storage] = min(first.get(value.storage, step), step)
            last[value.storage] = max(last.get(value.storage, step), step)

    for number in program.inputs:
        touch(number, -1)
    for i, step in enumerate(program.steps):
        for tensor in (*step.inputs, *step.outputs):
            if tensor is not None:
                touch(tensor, i)
    for number in program.outputs:
        touch(number, end)
    root = {storage: storage for storage in first}
    if keep == "all":
        return dict.fromkeys(first, -1), dict.fromkeys(first, end), root
    for i, step in enumerate(program.steps):
        if step.kind not in IN_PLACE:
            continue
        y = program.values[step.outputs[0]]
        if y.storage in program.states:
            continue
        for number in (n for n in step.inputs if n is not None):
            x = program.values[number]
            if x.data is not None or x.bytes != y.bytes or x.storage in program.states:
                continue
            source = _find(root, x.storage)
            if last[source] == i and first[y.storage] == i and source != y.storage:
                root[y.storage] = source
                last[source] = last[y.storage]
                break
    return first, last, root
