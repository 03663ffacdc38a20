"""Plans put together record by record, so that a test can break any field of them."""

from __future__ import annotations

import zlib
from typing import Any

import numpy as np
from pyedge._plan_structs import ffi

from pyedge.plan import structs

HEADER_BYTES: int = ffi.sizeof("pe_plan_header")
_RECORDS = {"tensors": "pe_tensor", "ops": "pe_op", "entries": "pe_entry", "index": "uint32_t"}


class PlanImage:
    """The bytes of a plan with their records as cffi pointers: image.header.crc32 = 0, image.tensors[2].rank = 7."""

    def __init__(self, data: bytes) -> None:
        self.data = bytearray(data)
        self._buffer = ffi.from_buffer(self.data)
        self.header: Any = ffi.cast("pe_plan_header *", self._buffer)

    def __getattr__(self, section: str) -> Any:
        return ffi.cast(f"{_RECORDS[section]} *", self._buffer + getattr(self.header, section).offset)

    def params(self, op: int) -> Any:
        """The params struct of one op."""
        kind = structs.KIND_NAMES[self.ops[op].kind]
        struct = structs.params_struct(kind)
        return ffi.cast(f"{struct} *", self._buffer + self.header.params.offset + self.ops[op].params)

    def sealed(self) -> bytes:
        """The bytes with a right CRC."""
        end = max(16, min(self.header.file_bytes, len(self.data)))
        self.header.crc32 = zlib.crc32(bytes(self.data[16:end]))
        return bytes(self.data)


class PlanWriter:
    """Collects records and writes the file; nothing is checked. Arena tensors are placed one after the other."""

    def __init__(self) -> None:
        self.tensors, self.ops, self.entries = [], [], []
        self.index: list[int] = []
        self.params, self.consts = b"", b""
        self.strings = b"\0"
        self.arena = self.scratch = self.states = 0

    def string(self, text: str) -> int:
        offset = len(self.strings)
        self.strings += text.encode() + b"\0"
        return offset

    def tensor(self, name: str, dtype: str, dims: tuple[int, ...], data: np.ndarray | None = None) -> int:
        """A tensor record; a constant if it has data. Returns its number."""
        size = {"float32": 4, "int32": 4, "int8": 1, "bool": 1}[dtype]
        nbytes = size * int(np.prod(dims, dtype=np.int64))
        if data is None:
            offset, self.arena = self.arena, self.arena + -(-nbytes // 16) * 16
        else:
            offset = len(self.consts)
            self.consts += data.tobytes() + bytes(-nbytes % 16)
        fields = {"name": self.string(name), "dtype": structs.DTYPE_CODES[dtype], "rank": len(dims)}
        fields["kind"] = structs.TENSOR_ARENA if data is None else structs.TENSOR_CONST
        fields |= {"dims": [*dims, *[1] * (6 - len(dims))], "offset": offset, "bytes": nbytes}
        self.tensors.append(structs.pack("pe_tensor", **fields))
        return len(self.tensors) - 1

    def state(self, name: str, dtype: str, dims: tuple[int, ...]) -> int:
        """A state's record; states come before all other tensors. Returns its number."""
        number = self.tensor(name, dtype, dims)
        record = ffi.from_buffer("pe_tensor *", bytearray(self.tensors[number]))
        record.kind = structs.TENSOR_STATE
        self.tensors[number] = bytes(ffi.buffer(record))
        self.states = self.arena
        return number

    def op(self, kind: str, inputs: list[int], outputs: list[int], scratch_bytes: int = 0, **params: Any) -> int:
        """An op record with its params. Returns its number."""
        packed = structs.pack_params(kind, **params)
        scratch, self.arena = self.arena, self.arena + -(-scratch_bytes // 16) * 16
        self.scratch = max(self.scratch, scratch_bytes)
        self.ops.append(
            structs.pack(
                "pe_op",
                kind=structs.KINDS[kind],
                inputs=len(inputs),
                outputs=len(outputs),
                tensors=self._indices([*inputs, *outputs]),
                params=len(self.params),
                params_bytes=len(packed),
                scratch_offset=scratch,
                scratch_bytes=scratch_bytes,
                name=self.string(f"op {len(self.ops)}"),
                kind_name=self.string(kind),
            )
        )
        self.params += packed
        return len(self.ops) - 1

    def entry(self, name: str, first: int, count: int, inputs: list[int], outputs: list[int]) -> None:
        lists = {"inputs": self._indices(inputs), "input_count": len(inputs)}
        lists |= {"outputs": self._indices(outputs), "output_count": len(outputs)}
        self.entries.append(structs.pack("pe_entry", name=self.string(name), first_op=first, op_count=count, **lists))

    def _indices(self, numbers: list[int]) -> int:
        first = len(self.index)
        self.index += numbers
        return first

    def image(self) -> PlanImage:
        sections = {
            "tensors": b"".join(self.tensors),
            "ops": b"".join(self.ops),
            "entries": b"".join(self.entries),
            "index": np.array(self.index, "<u4").tobytes(),
            "params": self.params,
            "strings": self.strings,
            "consts": self.consts,
        }
        body, places = b"", {}
        for name, data in sections.items():
            align = 64 if name == "consts" else 4
            body += bytes(-(HEADER_BYTES + len(body)) % align)
            places[name] = {"offset": HEADER_BYTES + len(body), "bytes": len(data)}
            body += data
        header = structs.pack(
            "pe_plan_header",
            magic=structs.MAGIC,
            major=structs.MAJOR,
            minor=structs.MINOR,
            file_bytes=HEADER_BYTES + len(body),
            arena_bytes=self.arena,
            scratch_bytes=self.scratch,
            state_bytes=self.states,
            **places,
        )
        image = PlanImage(header + body)
        image.sealed()
        return image


def gated_plan() -> PlanWriter:
    """main: an early exit. f = clip(x, 0, 6); gate = any(x >= 3); if gate skip the addition of a constant; y = f.
    tail: the addition alone."""
    w = PlanWriter()
    x = w.tensor("x", "float32", (2, 3))
    f = w.tensor("f", "float32", (2, 3))
    gate = w.tensor("gate", "bool", (1,))
    bias = w.tensor("bias", "float32", (3,), np.array([1, 2, 3], np.float32))
    infinity = float("inf")
    w.op("clip_f32", [x], [f], f_min=0, f_max=6)
    w.op("any_ge_f32", [x], [gate], f_threshold=3)
    w.op("branch", [gate], [], target=4, when=1)
    w.op("add_f32", [f, bias], [f], f_min=-infinity, f_max=infinity)
    w.entry("main", 0, 4, [x], [f])
    w.entry("tail", 3, 1, [f], [f])
    return w
