"""The bytes of a plan -> its tables, as Python records. The C code has verified the bytes before."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from ..tensor import Quantization, Tensor, array_dtype
from . import structs

RESET = "reset"  # name of the entry that gives states their initial values; PE_RESET_ENTRY of pyedge.h


@dataclass
class PlanTensor(Tensor):
    """A tensor of a plan. offset: into the arena, or into the constants; number: its place in the tensor table.

    state: it lies in the memory of a state, which stays from run to run.
    """

    number: int = 0
    constant: bool = False
    offset: int = 0
    bytes: int = 0
    state: bool = False


@dataclass(frozen=True)
class PlanOp:
    """An op of a plan. inputs and outputs are numbers of tensors, None for an absent input."""

    number: int
    kind: str
    name: str
    inputs: tuple[int | None, ...]
    outputs: tuple[int, ...]
    params: dict[str, Any]
    scratch_offset: int
    scratch_bytes: int
    macs: int


@dataclass(frozen=True)
class Entry:
    """A named list of ops with its own inputs and outputs; ops are first_op .. first_op + len(ops) of the plan."""

    number: int
    name: str
    first_op: int
    ops: tuple[PlanOp, ...]
    inputs: tuple[PlanTensor, ...]
    outputs: tuple[PlanTensor, ...]

    @property
    def macs(self) -> int:
        """Multiply-accumulates of the ops, both arms of an `if` counted."""
        return sum(op.macs for op in self.ops)


class Tables(NamedTuple):
    """Everything in a plan but the constants' bytes."""

    tensors: tuple[PlanTensor, ...]
    ops: tuple[PlanOp, ...]
    entries: tuple[Entry, ...]
    meta: dict[str, Any]
    states: tuple[PlanTensor, ...]


def read_header(data: memoryview) -> dict[str, Any]:
    """The fields of pe_plan_header of a verified plan; sections as (offset, bytes)."""
    header = np.frombuffer(data, structs.record_dtype("pe_plan_header"), 1)[0]
    names = header.dtype.names or ()
    return {n: (int(header[n][0]), int(header[n][1])) if header.dtype[n].names else int(header[n]) for n in names}


def read(data: memoryview) -> Tables:
    """The tables of a verified plan. Text may be any bytes, and meta that is not a JSON object reads as {}."""
    header = read_header(data)

    def section(name: str) -> memoryview:
        offset, size = header[name]
        return data[offset : offset + size]

    def table(name: str, struct: str) -> np.ndarray:
        return np.frombuffer(section(name), structs.record_dtype(struct))

    strings, params = bytes(section("strings")), bytes(section("params"))
    consts = section("consts")
    index = np.frombuffer(section("index"), "<u4").tolist()

    def text(offset: int) -> str:
        return "" if offset == structs.NONE else strings[offset : strings.index(0, offset)].decode("utf-8", "replace")

    def tensor(number: int, r: Any) -> PlanTensor:
        shape, dtype = tuple(int(d) for d in r["dims"][: r["rank"]]), structs.DTYPES[int(r["dtype"])]
        kind, offset, size = int(r["kind"]), int(r["offset"]), int(r["bytes"])
        constant, state = kind == structs.TENSOR_CONST, kind == structs.TENSOR_STATE
        content = np.frombuffer(consts[offset : offset + size], array_dtype(dtype)).reshape(shape) if constant else None
        scale, zero_point = np.array([r["scale"]], np.float32), np.array([r["zero_point"]], np.int32)
        quant = Quantization(scale, zero_point) if scale[0] > 0 else None
        name = text(int(r["name"]))
        return PlanTensor(name, shape, dtype, content, quant, None, number, constant, offset, size, state)

    tensors = tuple(tensor(i, r) for i, r in enumerate(table("tensors", "pe_tensor")))
    states = tuple({t.name: t for t in reversed(tensors) if t.state and t.name}.values())[::-1]

    def op(number: int, r: Any) -> PlanOp:
        first, n = int(r["tensors"]), int(r["inputs"])
        numbers = index[first : first + n + int(r["outputs"])]
        kind, inputs = structs.KIND_NAMES[int(r["kind"])], tuple(None if t == structs.NONE else t for t in numbers[:n])
        values = structs.unpack_params(kind, params[int(r["params"]) : int(r["params"]) + int(r["params_bytes"])])
        places = int(r["scratch_offset"]), int(r["scratch_bytes"])
        macs = _macs(kind, [None if t is None else tensors[t] for t in inputs], [tensors[t] for t in numbers[n:]])
        return PlanOp(number, kind, text(int(r["name"])), inputs, tuple(numbers[n:]), values, *places, macs)

    ops = tuple(op(i, r) for i, r in enumerate(table("ops", "pe_op")))
    for o in ops:  # a tensor without a name is called after an op
        for t in o.outputs:
            tensors[t].name = tensors[t].name or o.name
    for o in ops:
        for i, number in enumerate(o.inputs):
            if number is not None:
                tensors[number].name = tensors[number].name or f"{o.name}:{i}"

    def entry(number: int, r: Any) -> Entry:
        first, count = int(r["first_op"]), int(r["op_count"])
        lists = [
            tuple(tensors[t] for t in index[int(r[name]) : int(r[name]) + int(r[size])])
            for name, size in (("inputs", "input_count"), ("outputs", "output_count"))
        ]
        return Entry(number, text(int(r["name"])), first, ops[first : first + count], lists[0], lists[1])

    entries = tuple(entry(i, r) for i, r in enumerate(table("entries", "pe_entry")))
    return Tables(tensors, ops, entries, _meta(bytes(section("meta"))), states)


def _meta(data: bytes) -> dict[str, Any]:
    try:
        meta = json.loads(data.decode("utf-8", "replace"))
    except (ValueError, RecursionError):
        return {}
    return meta if isinstance(meta, dict) else {}


def _macs(kind: str, inputs: Sequence[PlanTensor | None], outputs: Sequence[PlanTensor]) -> int:
    """Multiply-accumulates of layers with weights, and of their gradients: the elements of the layer's output times the
    weights that each takes.
    """
    if not kind.startswith(("conv2d_", "depthwise_", "linear_", "conv_nd_", "conv_integer", "qlinear_conv")):
        return 0
    weight = inputs[3 if kind == "qlinear_conv" else 1]
    if weight is None:
        return 0
    result = outputs[0]
    if "_dgrad_" in kind or "_wgrad_" in kind:  # dy and the weights, or dy and x
        if inputs[0] is None:
            return 0
        result, weight = inputs[0], outputs[0] if "_wgrad_" in kind else weight
    taps = weight.shape[:-1] if kind.startswith("depthwise_") else weight.shape[1:]
    return math.prod(d or 0 for d in (*result.shape, *taps))
