"""Programs -> the bytes of a plan. The same programs give the same bytes."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from .. import _core
from ..errors import PlanError
from . import structs
from .arena import align
from .lifetimes import Layout
from .program import Program, Value


class _Strings:
    """The strings section: each text once, ended by NUL."""

    def __init__(self) -> None:
        self.data = bytearray()
        self.offsets: dict[str, int] = {}

    def add(self, text: str) -> int:
        text = text.replace("\0", " ")
        if text not in self.offsets:
            self.offsets[text] = len(self.data)
            self.data += text.encode("utf-8", "replace") + b"\0"
        return self.offsets[text]


class _Consts:
    """The constants section: each content once for a dtype, 16-byte aligned."""

    def __init__(self) -> None:
        self.data = bytearray()
        self.offsets: dict[tuple[object, ...], int] = {}

    def add(self, array: np.ndarray, layout: int) -> int:
        content = np.ascontiguousarray(array).astype(array.dtype.newbyteorder("<"), copy=False).tobytes()
        key = (array.dtype.name, content, *((layout, array.shape) if layout else ()))
        if key not in self.offsets:
            self.data += bytes(align(len(self.data)) - len(self.data))
            self.offsets[key] = len(self.data)
            self.data += content
        return self.offsets[key]


class _Tables:
    """The tables of a plan as they grow, one program after another."""

    def __init__(self, all_names: bool) -> None:
        self.all_names = all_names
        self.strings, self.consts = _Strings(), _Consts()
        self.tensors: list[bytes] = []
        self.shared_numbers: dict[bytes, int] = {}
        self.ops: list[bytes] = []
        self.entries: list[bytes] = []
        self.index: list[int] = []
        self.params = bytearray()

    def tensor(self, value: Value, kind: int, offset: int | None, named: bool) -> int:
        """Number of the record of a value; offset is its place in the arena, None for a constant.

        Constants and states of the same record are one: entries share them.
        """
        record = structs.pack(
            "pe_tensor",
            name=self.strings.add(value.name) if named else structs.NONE,
            dtype=structs.DTYPE_CODES[value.dtype],
            kind=kind,
            rank=len(value.dims),
            dims=[*value.dims, *(1,) * (structs.MAX_RANK - len(value.dims))],
            layout=value.layout,
            offset=self.consts.add(value.data, value.layout) if offset is None and value.data is not None else offset,
            bytes=value.bytes,
            scale=value.scale,
            zero_point=value.zero_point,
        )
        if kind != structs.TENSOR_ARENA and record in self.shared_numbers:
            return self.shared_numbers[record]
        self.tensors.append(record)
        if kind != structs.TENSOR_ARENA:
            self.shared_numbers[record] = len(self.tensors) - 1
        return len(self.tensors) - 1

    def list(self, numbers: Sequence[int]) -> int:
        """Appends tensor numbers to the index; returns where they start."""
        self.index += numbers
        return len(self.index) - len(numbers)

    def program(self, program: Program, layout: Layout) -> None:
        """Appends an entry with its tensors and ops. Values that nothing refers to are left out."""
        used = {n for s in program.steps for n in (*s.inputs, *s.outputs) if n is not None}
        used |= {*program.inputs, *program.outputs}
        used |= {program.values[n].storage for n in used}  # what a view is of, for its name and shape
        used |= set(program.states)
        named = used if self.all_names else {*program.inputs, *program.outputs}
        number: dict[int, int] = {}
        for n in sorted(used):
            value, kind = program.values[n], structs.TENSOR_ARENA
            if value.data is not None:
                kind = structs.TENSOR_CONST
            elif value.storage in program.states:
                kind = structs.TENSOR_STATE
            # Among the records of a state the one with a name is the state, the others see it in another shape.
            has_name = n in (named if kind != structs.TENSOR_STATE else program.states)
            number[n] = self.tensor(value, kind, layout.offsets.get(n), has_name)
        first_op = len(self.ops)
        for step, scratch_offset in zip(program.steps, layout.scratch, strict=True):
            params = step.params
            if step.target is not None:
                when = structs.unpack_params("branch", params)["when"]
                params = structs.pack_params("branch", target=first_op + step.target, when=when)
            tensors = [structs.NONE if n is None else number[n] for n in (*step.inputs, *step.outputs)]
            self.ops.append(
                structs.pack(
                    "pe_op",
                    kind=structs.KINDS[step.kind],
                    inputs=len(step.inputs),
                    outputs=len(step.outputs),
                    tensors=self.list(tensors),
                    params=len(self.params),
                    params_bytes=len(params),
                    scratch_offset=scratch_offset,
                    scratch_bytes=step.scratch_bytes,
                    name=self.strings.add(step.name),
                    kind_name=self.strings.add(step.kind),
                )
            )
            self.params += params
        self.entries.append(
            structs.pack(
                "pe_entry",
                name=self.strings.add(program.name),
                first_op=first_op,
                op_count=len(program.steps),
                inputs=self.list([number[n] for n in program.inputs]),
                input_count=len(program.inputs),
                outputs=self.list([number[n] for n in program.outputs]),
                output_count=len(program.outputs),
            )
        )


def write(
    programs: Sequence[Program], layouts: Sequence[Layout], meta: Mapping[str, Any], all_names: bool = False
) -> bytes:
    """The file of a plan: one entry a program, in order; entries share constants and the arena.

    Inputs and outputs have names, all tensors with all_names: the names in model files can be longer than the code.

    Raises:
        PlanError: the file or the arena would be larger than 2^30 bytes.
    """
    arena_bytes = max((layout.arena_bytes for layout in layouts), default=0)
    if arena_bytes > structs.MAX_EXTENT:
        raise PlanError(f"the arena would have {arena_bytes} bytes, more than 2^30; tensors that large can't be run")
    tables = _Tables(all_names)
    for program, layout in zip(programs, layouts, strict=True):
        tables.program(program, layout)
    sections = {
        "tensors": b"".join(tables.tensors),
        "ops": b"".join(tables.ops),
        "entries": b"".join(tables.entries),
        "index": np.array(tables.index, "<u4").tobytes(),
        "params": bytes(tables.params),
        "strings": bytes(tables.strings.data),
        "meta": json.dumps(meta, sort_keys=True, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace"),
        "signature": b"",
        "consts": bytes(tables.consts.data),
    }
    image = bytearray(len(structs.pack("pe_plan_header")))
    places: dict[str, dict[str, int]] = {}
    for name, data in sections.items():
        image += bytes(align(len(image), structs.PLAN_ALIGN if name == "consts" else 4) - len(image))
        places[name] = {"offset": len(image), "bytes": len(data)}
        image += data
    if len(image) > structs.MAX_EXTENT:
        raise PlanError(f"the plan would have {len(image)} bytes, more than 2^30")
    state_bytes = max((layout.state_bytes for layout in layouts), default=0)
    fields: dict[str, Any] = {
        "magic": structs.MAGIC,
        "major": structs.MAJOR,
        "minor": structs.MINOR_STATE if state_bytes else structs.MINOR_STATE - 1,
        "file_bytes": len(image),
        "layout": max((v.layout for p in programs for v in p.values), default=structs.LAYOUT_CANONICAL),
        "arena_bytes": arena_bytes,
        "scratch_bytes": max((s.scratch_bytes for p in programs for s in p.steps), default=0),
        "state_bytes": state_bytes,
        **places,
    }
    header = structs.pack("pe_plan_header", **fields)
    image[: len(header)] = header
    image[: len(header)] = structs.pack("pe_plan_header", **fields, crc32=_core.crc32(bytes(image[16:])))
    return bytes(image)
