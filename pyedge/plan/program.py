"""A lowered entry: what the plan will hold, with nothing placed yet."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from .. import _core
from ..errors import PlanError
from ..tensor import array_dtype
from . import structs

Keep = Literal["all"] | None

# Kinds whose output may lie on an input of the same size: each output element depends on the same element alone.
IN_PLACE = frozenset(
    {"add_s8", "add_f32", "add_f16", "clip_s8", "clip_f32", "requantize_s8", "copy", "clip_grad", "mask_grad"}
)

# Of kinds that give a state's next value: output -> the input, the old value, on which it may lie.
OVER_INPUT = {
    "lstm_sequence_f32": {1: 4, 2: 5},
    "lstm_sequence_s8": {1: 4, 2: 5},
    "lstm_sequence_s16": {1: 4, 2: 5},
    "svdf_f32": {1: 4},
    "svdf_s8": {1: 4},
    "sgd_update": {0: 0},
    "momentum_update": {0: 0, 1: 5},
    "adam_update": {0: 0, 1: 5, 2: 6},
}


@dataclass
class Value:
    """A tensor of a program.

    storage: number of the value whose memory it uses, its own number unless it is a view; offset: bytes into that.
    """

    name: str
    dtype: str
    dims: tuple[int, ...]
    storage: int
    data: np.ndarray | None = None
    scale: float = 0.0
    zero_point: int = 0
    layout: int = 0  # pe_layout of a constant
    offset: int = 0

    @property
    def bytes(self) -> int:
        return math.prod(self.dims) * array_dtype(self.dtype).itemsize


@dataclass
class Step:
    """An op of a program. inputs and outputs are numbers of values; target: step to jump to, of a branch."""

    kind: str
    name: str
    inputs: list[int | None]
    outputs: list[int]
    params: bytes = b""
    scratch_bytes: int = 0
    target: int | None = None


def ask(step: Step, values: Sequence[Value]) -> None:
    """Asks the C code whether a step's tensors and params fit together, and notes the scratch that it needs.

    Raises:
        PlanError: They don't; names the op, its shapes, and why.
    """
    tensors = [None if i is None else values[i] for i in (*step.inputs, *step.outputs)]
    described = [None if v is None else (structs.DTYPE_CODES[v.dtype], v.dims, v.scale, v.zero_point) for v in tensors]
    try:
        step.scratch_bytes = _core.op_check(structs.KINDS[step.kind], step.params, described, len(step.inputs))
    except _core.PlanRefused as error:
        shapes = ", ".join("none" if v is None else f"{v.dtype}{list(v.dims)}" for v in tensors)
        raise PlanError(f"op {step.name!r} ({step.kind}, {shapes}): {error.args[4]}") from None


@dataclass
class Program:
    """One lowered entry. Steps run in order; a branch only goes forward.

    states: the values that stay from run to run, by number, and what each is at first.
    """

    name: str
    values: list[Value] = field(default_factory=list)
    steps: list[Step] = field(default_factory=list)
    inputs: list[int] = field(default_factory=list)
    outputs: list[int] = field(default_factory=list)
    states: dict[int, np.ndarray] = field(default_factory=dict)
