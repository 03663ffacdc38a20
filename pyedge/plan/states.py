"""States of programs: their last steps, their places, and the entry that resets them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..errors import PlanError
from ..model.graph import Graph
from .arena import align
from .lifetimes import StatePlaces
from .lower import Builder
from .program import IN_PLACE, OVER_INPUT, Program, Step
from .reader import RESET


def update_in_place(program: Program) -> None:
    """Lets a state's next value be computed where the state lies, and drops the copy at the end, if nothing reads the
    old value afterwards; and so what the next value is written over in turn. An input or output keeps memory of its
    own.
    """
    own = {program.values[n].storage for n in (*program.inputs, *program.outputs)}
    for i in range(len(program.steps) - 1, -1, -1):
        step = program.steps[i]
        if step.kind != "copy" or step.outputs[0] not in program.states or step.inputs[0] is None:
            return  # the copies stand at the end
        state, source = step.outputs[0], program.values[step.inputs[0]]
        if source.data is not None or source.storage in own or source.storage in program.states:
            continue
        others = [s for k, s in enumerate(program.steps) if k != i]
        reads = [k for k, s in enumerate(others) if _touches(program, s.inputs, state)]  # of the old value
        storage: int | None = source.storage
        while storage is not None:
            written = next(k for k, s in enumerate(others) if _touches(program, s.outputs, storage))
            last, step = reads[-1] if reads else -1, others[written]
            if last > written or (last == written and not _may_overwrite(program, step, state, storage)):
                break
            before = _overwritten(program, others, written, storage)
            for value in program.values:
                if value.data is None and value.storage == storage:
                    value.storage = state
            program.steps = others  # branches go no further than the first of the copies
            storage = None if before in own or before in program.states else before


def _overwritten(program: Program, steps: Sequence[Step], written: int, storage: int) -> int | None:
    """The storage that a step may write its result over, of that storage, if nothing else reads what is there."""
    step = steps[written]
    at = next(i for i, n in enumerate(step.outputs) if program.values[n].storage == storage)
    pair = OVER_INPUT.get(step.kind, {}).get(at)
    number = None if pair is None else step.inputs[pair]
    if number is None or program.values[number].data is not None:
        return None
    before = program.values[number].storage
    readers = [k for k, s in enumerate(steps) if _touches(program, s.inputs, before)]
    reads = [i for i, n in enumerate(step.inputs) if n is not None and program.values[n].storage == before]
    return before if readers == [written] and reads == [pair] else None


def _may_overwrite(program: Program, step: Step, state: int, storage: int) -> bool:
    """Whether a step that reads the state may write its result, of that storage, where the state lies."""
    if step.kind in IN_PLACE:
        return True
    pairs = OVER_INPUT.get(step.kind, {})
    at = next(i for i, n in enumerate(step.outputs) if program.values[n].storage == storage)
    reads = [i for i, n in enumerate(step.inputs) if n is not None and program.values[n].storage == state]
    return reads == [pairs.get(at)]


def _touches(program: Program, numbers: Sequence[int | None], storage: int) -> bool:
    return any(n is not None and program.values[n].storage == storage for n in numbers)


def place_states(programs: Sequence[Program]) -> StatePlaces:
    """Places for the states of all entries. Entries share a state of one name.

    Raises:
        PlanError: Entries have states of one name that differ.
    """
    offsets: dict[str, int] = {}
    first: dict[str, tuple[object, ...]] = {}
    end = 0
    for program in programs:
        for number, initial in program.states.items():
            v = program.values[number]
            facts = (v.dtype, v.dims, v.scale, v.zero_point, initial.tobytes())
            if facts != first.setdefault(v.name, facts):
                raise PlanError(
                    f"entry {program.name!r}: state {v.name!r} {v.dtype}{list(v.dims)} differs from an earlier entry's"
                    " in shape, dtype, scale or initial value; give it another name"
                )
            if v.name not in offsets:
                offsets[v.name] = end
                end += align(v.bytes)
    return StatePlaces(offsets, end)


def reset_program(programs: Sequence[Program]) -> Program:
    """The entry that gives the states of all programs their initial values."""
    b = Builder(Graph(RESET), RESET, rounding=0, keep=None)
    done: set[str] = set()
    for program in programs:
        for number, initial in program.states.items():
            v = program.values[number]
            if v.name in done:
                continue
            done.add(v.name)
            state = b.like(v)
            b.program.states[state] = initial
            flat = np.ascontiguousarray(initial).reshape(-1)
            if (flat.view(np.uint8).reshape(flat.size, -1) == flat[:1].view(np.uint8)).all():
                one = b.constant(v.name, flat[:1])
                b.emit("strided_copy", v.name, [one], [state], rank=1, n=[flat.size], x_stride=[0], y_stride=[1])
            else:
                b.copy(b.constant(v.name, initial), v.name, state)
    return b.program
