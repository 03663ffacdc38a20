"""A compiled plan: its bytes, verified, and what is in them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from os import PathLike
from typing import TYPE_CHECKING, Any, Protocol

from .. import _core
from ..errors import PlanError
from .reader import Entry, PlanOp, PlanTensor, read, read_header
from .structs import LAYOUT_CANONICAL

if TYPE_CHECKING:
    from ..model.custom import Kernel
    from .program import Keep


class Source(Protocol):
    """What a plan was compiled from."""

    def recompile(self, keep: Keep) -> Plan: ...


@dataclass(frozen=True)
class Lifetime:
    """A tensor's place in the arena (bytes) and its time: from step `first` to step `last` of the entry's ops, both
    included. Inputs start at -1, outputs end at the number of ops."""

    tensor: PlanTensor
    first: int
    last: int


class Plan:
    """A verified plan. Any number of sessions can share it.

    data: the bytes of the file, read-only. tensors, ops, entries: its tables. states: tensors that stay from run to
    run, shared by all entries; the entry "reset" gives them their initial values. meta: facts: producer, source,
    licence. flash_bytes: size of the file; arena_bytes: RAM that a session needs; state_bytes and scratch_bytes, of the
    states and of the op with the largest scratch, are parts of it; const_bytes: constants.
    """

    def __init__(self, data: bytes | bytearray | memoryview, source: Source | None = None) -> None:
        """Verifies the bytes of a plan.

        Raises:
            PlanError: bytes that are no plan, or a damaged one; says what and where.
        """
        core = _verified(data)
        self.data: memoryview = core.data
        self._source = source
        header = read_header(self.data)
        # What runs here has no kernels for layouts of boards: it takes the same constants in the canonical one.
        self.core = core if header["layout"] == LAYOUT_CANONICAL else _verified(_canonical(self.data))
        tables = read(self.core.data)
        _check_custom(tables.ops)
        self.tensors, self.ops, self.meta = tables.tensors, tables.ops, tables.meta
        self.states = tables.states
        self.entries: dict[str, Entry] = {}
        for entry in tables.entries:
            self.entries.setdefault(entry.name, entry)
        self.version = (int(header["major"]), int(header["minor"]))
        self.crc32 = int(header["crc32"])
        self.flash_bytes = int(header["file_bytes"])
        self.arena_bytes = int(header["arena_bytes"])
        self.scratch_bytes = int(header["scratch_bytes"])
        self.state_bytes = int(header["state_bytes"])
        self.const_bytes = int(header["consts"][1])

    @classmethod
    def load(cls, path: str | PathLike[str]) -> Plan:
        """The plan in a file. Raises PlanError."""
        try:
            with open(path, "rb") as file:
                return cls(file.read())
        except OSError as error:
            raise PlanError(f"{path}: {error.strerror or error}") from None
        except PlanError as error:
            raise PlanError(f"{path}: {error}") from None

    def save(self, path: str | PathLike[str]) -> None:
        """Writes the plan to a file. Raises PlanError."""
        try:
            with open(path, "wb") as file:
                file.write(self.data)
        except OSError as error:
            raise PlanError(f"{path}: {error.strerror or error}") from None

    def recompile(self, keep: Keep) -> Plan:
        """The same graphs compiled with another `keep`. Raises PlanError for a plan from a file: it has no graph."""
        if self._source is None:
            raise PlanError("a plan from a file has no graph to compile again; compile it with keep='all' instead")
        return self._source.recompile(keep)

    def entry(self, name: str = "main") -> Entry:
        """The entry of that name. Raises PlanError with the names that there are."""
        if name not in self.entries:
            raise PlanError(f"the plan has no entry {name!r}; it has {', '.join(map(repr, self.entries))}")
        return self.entries[name]

    @property
    def inputs(self) -> tuple[PlanTensor, ...]:
        """Inputs of the first entry."""
        return next(iter(self.entries.values())).inputs

    @property
    def outputs(self) -> tuple[PlanTensor, ...]:
        """Outputs of the first entry."""
        return next(iter(self.entries.values())).outputs

    @property
    def macs(self) -> int:
        """Multiply-accumulates of the first entry; both arms of an `if` are counted."""
        return next(iter(self.entries.values())).macs

    def lifetimes(self, entry: str = "main") -> list[Lifetime]:
        """Places and times of the tensors in the arena that an entry uses, in the order of the tensor table.

        A view (a reshape, the rows that linear sees, a band of rows) counts for the tensor that was written there
        before; one that was written in parts lives from the first of them on. States live all the time.
        """
        e = self.entry(entry)
        spans: dict[int, tuple[int, int]] = {}
        writer: dict[tuple[int, int], int] = {}  # of each place, the tensor written last

        def touch(number: int | None, step: int, write: bool) -> None:
            if number is None or self.tensors[number].constant:
                return
            begin, end = self.tensors[number].offset, self.tensors[number].offset + self.tensors[number].bytes
            if write and not self.tensors[number].state:
                for place in [(o, b) for o, b in writer if o < end and begin < o + b]:
                    if not self.tensors[writer[place]].state:
                        del writer[place]
                writer[begin, end - begin] = number
            whole = [n for (o, b), n in writer.items() if o <= begin and end <= o + b]
            parts = [spans[n][0] for (o, b), n in writer.items() if begin <= o and o + b <= end and n in spans]
            number = whole[-1] if whole else number
            first, last = spans.get(number, (min(parts, default=step), step))
            spans[number] = (min(first, step), max(last, step))

        for t in self.states:
            writer[t.offset, t.bytes] = t.number
            spans[t.number] = (-1, len(e.ops))
        for t in e.inputs:
            touch(t.number, -1, write=True)
        for step, op in enumerate(e.ops):
            for n in op.inputs:
                touch(n, step, write=False)
            for n in op.outputs:
                touch(n, step, write=True)
        for t in e.outputs:
            touch(t.number, len(e.ops), write=False)
        return [Lifetime(self.tensors[n], *span) for n, span in sorted(spans.items())]

    def tensor_bytes(self, entry: str = "main") -> int:
        """Extent of the arena that an entry's tensors take, without scratch."""
        return max((t.tensor.offset + t.tensor.bytes for t in self.lifetimes(entry)), default=0)

    def live_bytes(self, entry: str = "main") -> int:
        """The largest set of an entry's tensors that live at one step; memory that tensors share is counted once."""
        return max(self._live(entry))

    def busiest_op(self, entry: str = "main") -> PlanOp | None:
        """The op of an entry, the first of several, while which most lives: what decides its arena. None: no ops."""
        ops, live = self.entry(entry).ops, self._live(entry)[1:-1]
        return ops[live.index(max(live))] if ops else None

    def _live(self, entry: str) -> list[int]:
        """Bytes that live before an entry, at each of its ops, and behind it."""
        from .arena import align

        lifetimes, found = self.lifetimes(entry), []
        for step in range(-1, len(self.entry(entry).ops) + 1):
            used, end = 0, 0
            for t in sorted((t for t in lifetimes if t.first <= step <= t.last), key=lambda t: t.tensor.offset):
                after = t.tensor.offset + align(t.tensor.bytes)
                used, end = used + max(after - max(end, t.tensor.offset), 0), max(end, after)
            found.append(used)
        return found

    def summary(self) -> str:
        """A table for people: memory, then each op with kernel, output, MACs and scratch."""
        from .report import summary

        return summary(self)

    def to_dict(self) -> dict[str, Any]:
        """The same facts, and lifetimes, as plain data for JSON."""
        from .report import to_dict

        return to_dict(self)

    def svg(self, entry: str = "main") -> str:
        """A drawing of the arena: time to the right, address upwards, a rectangle for each tensor."""
        from .report import svg

        return svg(self.to_dict(), self.entry(entry).name)

    def __repr__(self) -> str:
        names = ", ".join(self.entries)
        return f"Plan({names}: {len(self.ops)} ops, flash {self.flash_bytes} B, arena {self.arena_bytes} B)"


def _verified(data: bytes | bytearray | memoryview) -> _core.Plan:
    try:
        return _core.Plan(data, any_layout=True)
    except _core.PlanRefused as error:
        _, status, op, tensor, text = error.args
    where = "" if op is None else f", op {op}"
    where += "" if tensor is None else f", tensor {tensor}"
    if status == "unknown custom op":
        raise PlanError(f"the plan needs {_unknown_custom(text)}")
    if status == "unknown op":
        raise PlanError(f"the plan needs an op that this version of pyedge does not have: {text}{where}")
    raise PlanError(f"not a valid plan: {status}{where}: {text}")


def _canonical(data: memoryview) -> bytes:
    from .layouts import canonical

    return canonical(data)


def _check_custom(ops: Sequence[PlanOp]) -> None:
    """Refuses custom ops that are not registered now: the executor knows all that ever were."""
    for op in ops:
        if op.kind == "custom":
            kernel = _kernels().get(str(op.params["name"]))
            if kernel is None or kernel.source != op.params["source"]:
                raise PlanError(f"the plan needs {_unknown_custom(str(op.params['name']))}")


def _unknown_custom(name: str) -> str:
    if kernel := _kernels().get(name):
        return (
            f"another source of the custom op {name!r} than {kernel.file}, which is registered; register that"
            " one, or compile the plan again"
        )
    return f"the custom op {name!r}, which is not registered; try: pyedge.register_op({name!r}, ...)"


def _kernels() -> dict[str, Kernel]:
    """The registered ones. Few plans need them, and with them the graph's side of the package."""
    from ..model.custom import KERNELS

    return KERNELS
