"""The executor, seen from Python."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, overload

import numpy as np

from . import _core
from .errors import BusyError, PlanError, ShapeError
from .plan import RESET, Entry, Plan, PlanTensor
from .tensor import array_dtype

if TYPE_CHECKING:
    from .plan import Keep, Profile

Array = np.ndarray[Any, Any]

_COPIED_BYTES = 16 << 10  # of an input or output: below, a copy costs less than a microsecond


@dataclass(frozen=True)
class CpuFeatures:
    """What the kernels of this process may use.

    Attributes:
        isa: Level of the kernels that sessions run: "portable"; x86-64 "avx2", "avx512"; arm64 "neon", "fp16",
            "dotprod", "i8mm"; riscv64 "rvv", "zvfh". All give the same bits.
        features: What the CPU has, for those who wonder why it is not more.
    """

    isa: str
    features: tuple[str, ...]


def cpu_features() -> CpuFeatures:
    """The level of the kernels, chosen at import: the best of this CPU, or what PYEDGE_ISA names if that is lower."""
    isa, features = _core.cpu_features()
    return CpuFeatures(isa, tuple(features))


class Session:
    """One arena on a plan, and one set of its states. Many sessions share a plan; a session does one thing at a time.

    Args:
        plan: A Plan, or the bytes of one.
        threads: At most that many run the large layers, 1 to 64; the bits are the same. An entry that takes less than
            1 ms stays on one thread, and so do layers without a kernel that can be split: docs/architecture.md.
        keep: "all" compiles the plan's graphs again so that `tensors()` gives every intermediate tensor.

    Raises:
        ValueError: threads out of range.
        PlanError: bytes that are no plan; `keep` on a plan from a file, which has no graph.
    """

    def __init__(self, plan: Plan | bytes | bytearray | memoryview, threads: int = 1, keep: Keep = None) -> None:
        if not isinstance(plan, Plan):
            plan = Plan(plan)
        self.plan = plan if keep is None else plan.recompile(keep)
        self._core = _core.Session(self.plan.core, threads)
        entry = self.plan.entry("main" if "main" in self.plan.entries else next(iter(self.plan.entries)))
        self._entry = entry.name
        bound = self._bound(entry)
        self._call = self._core.caller(entry.number, _places(entry.inputs, bound), _places(entry.outputs, bound))

    @property
    def inputs(self) -> tuple[PlanTensor, ...]:
        """Inputs of the first entry."""
        return self.plan.inputs

    @property
    def outputs(self) -> tuple[PlanTensor, ...]:
        """Outputs of the first entry."""
        return self.plan.outputs

    def __call__(self, *arrays: Array) -> Array | list[Array]:
        """Runs "main", or the first entry, on an array for each input; one array, or a list for several outputs."""
        result: Array | list[Array] | None = self._call(arrays)  # the common case; None for any other
        if result is not None:
            return result
        outputs = self.run(arrays, self._entry)
        return outputs[0] if len(outputs) == 1 else outputs

    @overload
    def run(self, inputs: Mapping[str, Array], entry: str = "main") -> dict[str, Array]: ...
    @overload
    def run(self, inputs: Sequence[Array], entry: str = "main") -> list[Array]: ...
    def run(self, inputs: Mapping[str, Array] | Sequence[Array], entry: str = "main") -> dict[str, Array] | list[Array]:
        """Runs an entry.

        Args:
            inputs: Arrays by input name, or in the entry's order, of exactly each tensor's shape and dtype.
            entry: Name of the entry.

        Returns:
            New arrays: a dict by output name for a dict, a list in the entry's order for a sequence.

        Raises:
            ShapeError: An input of another shape or dtype, missing or unknown; names tensor, expected and given.
            BusyError: Another thread is using this session.
            PlanError: No entry of that name.
        """
        e = self.plan.entry(entry)
        arrays = match_inputs(e, inputs)
        with _Claim(self._core):
            self._execute(e, arrays, None)
            outputs = [self._view(t).copy() for t in e.outputs]
        if isinstance(inputs, Mapping):
            return {t.name: y for t, y in zip(e.outputs, outputs, strict=True)}
        return outputs

    def reset(self) -> None:
        """Gives all states their initial values: a new sequence begins. Nothing happens if the plan has none.

        Raises:
            BusyError: Another thread is using this session.
        """
        with _Claim(self._core):
            self._reset()

    def state(self) -> dict[str, Array]:
        """Copies of the states, by name.

        Raises:
            BusyError: Another thread is using this session.
        """
        with _Claim(self._core):
            return {t.name: self._view(t).copy() for t in self.plan.states}

    def tensors(self, entry: str = "main") -> dict[str, Array]:
        """Copies of all tensors of an entry after a run, constants left out, by name; of a state its new value.

        Raises:
            PlanError: The plan was not compiled with keep="all", so tensors have overwritten each other.
        """
        if self.plan.meta.get("keep") != "all":
            raise PlanError("intermediate tensors are not kept; use Session(plan, keep='all')")
        e = self.plan.entry(entry)
        numbers = {n for op in e.ops for n in (*op.inputs, *op.outputs) if n is not None}
        numbers |= {t.number for t in (*e.inputs, *e.outputs)}
        numbers |= {t.number for t in self.plan.tensors if any(_same_memory(t, self.plan.tensors[n]) for n in numbers)}
        found: dict[str, Array] = {}
        with _Claim(self._core):
            for number in sorted(numbers):
                t = self.plan.tensors[number]
                if not t.constant:
                    found.setdefault(t.name, self._view(t).copy())
        return found

    def profile(
        self,
        inputs: Mapping[str, Array] | Sequence[Array] | None = None,
        runs: int | None = None,
        warmup: int = 5,
        entry: str = "main",
    ) -> Profile:
        """Times an entry in nanoseconds, op by op. States are as after a reset when it ends.

        Args:
            inputs: As for `run`; zeros if not given.
            runs: Timed runs; if not given, as many as bring the 95 % interval of the median within 1 % of it, up to
                2000 runs or 20 s.
            warmup: Runs before them that are not counted.
        """
        from . import clocks
        from .plan.profile import Profile, collect, uncounted

        e = self.plan.entry(entry)
        zeros = [np.zeros(_shape(t), array_dtype(t.dtype)) for t in e.inputs]
        arrays = match_inputs(e, zeros if inputs is None else inputs)
        counts = np.zeros(len(self.plan.ops), np.uint64)

        def once() -> Array:
            counts[:] = 0
            self._execute(e, arrays, counts)
            return counts[e.first_op : e.first_op + len(e.ops)].astype(np.int64)

        with _Claim(self._core):
            before = clocks.read_clock()
            samples = collect(once, runs, warmup)
            after = clocks.read_clock()
            self._reset()
        conditions = {"threads": self._core.threads, **clocks.placement(), **clocks.conditions(before, after)}
        flags = clocks.doubts(before, after)
        ops = uncounted(e, self.plan.tensors)
        return Profile.from_samples(samples, ops, "ns", "host", entry, conditions, _core.clock_cost(), flags)

    def timed(
        self, inputs: Mapping[str, Array] | Sequence[Array], entry: str = "main"
    ) -> tuple[list[Array], tuple[int, int, int, int]]:
        """As run(), with the nanoseconds that writing the inputs, computing, nothing, and copying the outputs took.

        On a board there is a third time (`Remote.timed`).
        """
        from time import perf_counter_ns

        e = self.plan.entry(entry)
        arrays = match_inputs(e, inputs)
        with _Claim(self._core):
            marks = [perf_counter_ns()]
            for tensor, array in zip(e.inputs, arrays, strict=True):
                self._view(tensor)[...] = array
            marks.append(perf_counter_ns())
            self._core.run(e.number, None)
            marks.append(perf_counter_ns())
            outputs = [self._view(t).copy() for t in e.outputs]
            marks.append(perf_counter_ns())
        return outputs, (marks[1] - marks[0], marks[2] - marks[1], 0, marks[3] - marks[2])

    def _bound(self, entry: Entry) -> set[int]:
        """Numbers of inputs and outputs that are worth no copy: calls have them in the caller's arrays."""
        large = [t for t in (*entry.inputs, *entry.outputs) if t.bytes >= _COPIED_BYTES]
        if not large or self.plan.meta.get("keep") == "all" or any(op.kind == "branch" for op in entry.ops):
            return set()
        return {t.number for t in large if self._binds(entry, t)}

    def _binds(self, entry: Entry, t: PlanTensor) -> bool:
        """Whether all that touches t in an entry without branches finds it outside the arena as well.

        Other tensors lie on its bytes: in the arena they see what is left of it, under another number. So they may be
        read before an output is written, and of those on an input what a kernel has written whole.
        """
        inputs, outputs = ([o.number for o in tensors] for tensors in (entry.inputs, entry.outputs))
        is_input = t.number in inputs
        written = False  # an output; of an input: its bytes in the arena would be gone
        whole: set[int] = set()
        for op in entry.ops:
            for place, number in enumerate(op.inputs):
                if number == t.number:
                    if written is is_input or place or not self._core.binds(op.number):
                        return False
                elif number is not None and self._overlap(t, number) and (number not in whole if is_input else written):
                    return False
            for number in op.outputs:
                if number == t.number:
                    if is_input or written or not self._core.binds(op.number):
                        return False
                    written = True
                elif self._overlap(t, number):
                    if written and not is_input:
                        return False
                    written = is_input
                    if self._core.kernel(op.number) is not None:
                        whole.add(number)
        ends = [n for n in outputs if n not in whole] + inputs if is_input else outputs
        return (written or is_input) and sum(self._overlap(t, n) for n in ends) == 1  # with t itself

    def _overlap(self, t: PlanTensor, number: int) -> bool:
        other = self.plan.tensors[number]
        return not other.constant and other.offset < t.offset + t.bytes and t.offset < other.offset + other.bytes

    def _reset(self) -> None:
        if self.plan.states:
            self._execute(self.plan.entry(RESET), (), None)

    def _execute(self, entry: Entry, arrays: Sequence[Array], counts: Array | None) -> None:
        for tensor, array in zip(entry.inputs, arrays, strict=True):
            self._view(tensor)[...] = array
        if not self._core.run(entry.number, counts):
            raise BusyError("this session is running in another thread; give each thread a session of its own")

    def _view(self, tensor: PlanTensor) -> Array:
        return self._core.tensor(tensor.number).view(array_dtype(tensor.dtype)).reshape(_shape(tensor))


class _Claim:
    """Claims a session, or raises BusyError at once."""

    def __init__(self, core: _core.Session) -> None:
        self.core = core

    def __enter__(self) -> None:
        if not self.core.acquire():
            raise BusyError("this session is in use by another thread; give each thread a session of its own")

    def __exit__(self, *_: object) -> None:
        self.core.release()


def match_inputs(entry: Entry, inputs: Mapping[str, Array] | Sequence[Array]) -> list[Array]:
    """The arrays of a dict or sequence in the order of the entry's inputs, checked. Raises ShapeError."""
    expected = ", ".join(f"{t.name!r} {t.dtype}{list(t.shape)}" for t in entry.inputs)
    if isinstance(inputs, Mapping):
        names = {t.name for t in entry.inputs}
        if unknown := [n for n in inputs if n not in names]:
            raise ShapeError(f"entry {entry.name!r} has no input {unknown[0]!r}; its inputs: {expected}")
        if missing := [t.name for t in entry.inputs if t.name not in inputs]:
            raise ShapeError(f"entry {entry.name!r}: input {missing[0]!r} is missing; its inputs: {expected}")
        inputs = [inputs[t.name] for t in entry.inputs]
    if len(inputs) != len(entry.inputs):
        raise ShapeError(f"entry {entry.name!r}: {len(inputs)} inputs given, it takes {len(entry.inputs)}: {expected}")
    arrays = [np.asarray(x) for x in inputs]
    for t, x in zip(entry.inputs, arrays, strict=True):
        if x.shape != t.shape or x.dtype != array_dtype(t.dtype):
            raise ShapeError(f"tensor {t.name!r} is {t.dtype}{list(t.shape)}, given was {x.dtype}{list(x.shape)}")
    return arrays


def _shape(tensor: PlanTensor) -> tuple[int, ...]:
    return tuple(d or 1 for d in tensor.shape)


def _places(tensors: Sequence[PlanTensor], bound: set[int]) -> list[tuple[int, np.dtype[Any], tuple[int, ...], bool]]:
    return [(t.number, array_dtype(t.dtype), _shape(t), t.number in bound) for t in tensors]


def _same_memory(a: PlanTensor, b: PlanTensor) -> bool:
    return not a.constant and not b.constant and (a.offset, a.bytes) == (b.offset, b.bytes)
