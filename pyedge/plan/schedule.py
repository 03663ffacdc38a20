"""The order of ops that needs the least memory.

Source: the search over sets of executed ops after Liberis and Lane, "Neural networks on microcontrollers: saving
memory at inference via operator reordering", 2019; here with the smallest peak first, and bounded.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Iterable, Iterator

from ..model.graph import Graph, Op, array_dtype
from .arena import align
from .program import OVER_INPUT

SEARCH_STATES = 20000  # sets of executed ops looked at; beyond it the model's own order stays
SEARCH_OPS = 2_000_000  # the same as ops looked at, each set over: a bound of the time for graphs of hundreds of ops


def schedule(graph: Graph) -> Graph:
    """A graph with its ops in an order whose largest set of live tensors is smallest; the given order if it is as good.

    Shapes must be fixed. Deterministic. Reshapes count as the tensor that they are of, updates as what they
    are written over.
    """
    order = _search(graph)
    if order is None:
        return graph
    result = graph.copy()
    result.ops = [result.ops[i] for i in order]
    return result


def _reads(op: Op) -> Iterable[str]:
    """Names of all tensors that an op reads, those that the arms of an `if` read from outside included."""
    yield from (name for name in op.inputs if name is not None)
    for arm in (a for a in op.attrs.values() if isinstance(a, Graph)):
        yield from (name for inner in arm.ops for name in _reads(inner))
        yield from arm.output_names


class _Sets:
    """A graph as sets of op numbers, bit masks: what runs before an op, and who reads each buffer that it touches."""

    def __init__(self, graph: Graph) -> None:
        n = len(graph.ops)
        alias: dict[str, str] = {}  # output of a reshape or update -> the buffer that it is a view of, or lies on
        for op in graph.ops:
            pairs = (
                {0: 0} if op.kind == "reshape" else OVER_INPUT.get(op.kind, {})
            )  # updates are lowered to their own kind
            for to, of in pairs.items():
                if (name := op.inputs[of]) is not None:
                    alias[op.outputs[to]] = alias.get(name, name)
        maker = {name: i for i, op in enumerate(graph.ops) for name in op.outputs}
        buffers = [name for name in (*graph.input_names, *maker) if name not in alias]
        size = {name: _bytes(graph, name) for name in buffers}
        readers = dict.fromkeys(buffers, 0)
        self.needs = [0] * n  # ops that must run before op i
        reading: dict[str, int] = {}  # ops that read a tensor under this name
        for i, op in enumerate(graph.ops):
            for name in _reads(op):
                reading[name] = reading.get(name, 0) | 1 << i
                if name in maker:
                    self.needs[i] |= 1 << maker[name]
                if (buffer := alias.get(name, name)) in readers:
                    readers[buffer] |= 1 << i
        for i, op in enumerate(graph.ops):  # what reads a value before it is updated still does
            for of in OVER_INPUT.get(op.kind, {}).values():
                self.needs[i] |= reading.get(op.inputs[of] or "", 0) & ((1 << i) - 1)
        for name in graph.output_names:
            if (buffer := alias.get(name, name)) in readers:
                readers[buffer] |= 1 << n  # an op that never runs: outputs stay
        self.all = (1 << n) - 1
        self.ready = sum(1 << i for i, needs in enumerate(self.needs) if not needs)  # ops that can run first
        self.followers: list[list[int]] = [[] for _ in range(n)]
        for i, needs in enumerate(self.needs):
            for j in _members(needs):
                self.followers[j].append(i)
        self.start = sum(size[name] for name in graph.input_names)
        self.made = [sum(size[name] for name in op.outputs if name in size) for op in graph.ops]
        touched = [{alias.get(name, name) for name in (*_reads(op), *op.outputs)} for op in graph.ops]
        self.touched = [sorted((readers[b], size[b]) for b in t if b in readers) for t in touched]

    def ready_after(self, ready: int, done: int, i: int) -> int:
        """Ops that can run after the set `done`, of which op i was the last; ready: before it."""
        return ready & ~(1 << i) | sum(1 << j for j in self.followers[i] if not self.needs[j] & ~done)

    def run(self, done: int, live: int, i: int) -> tuple[int, int]:
        """Bytes that live while op i runs after the set `done`, and after it; live: bytes before it."""
        left = ~(done | 1 << i)
        during = live + self.made[i]
        return during, during - sum(size for readers, size in self.touched[i] if not readers & left)


def _members(ops: int) -> Iterator[int]:
    """The numbers in a set, ascending."""
    while ops:
        yield (ops & -ops).bit_length() - 1
        ops &= ops - 1


def _bytes(graph: Graph, name: str) -> int:
    t = graph.tensors[name]
    return align(math.prod(d or 1 for d in t.shape) * array_dtype(t.dtype).itemsize)


def _search(graph: Graph) -> list[int] | None:
    """Numbers of the ops in the best order; None if the given order is as good or the search is too large."""
    sets = _Sets(graph)
    live, done, given = sets.start, 0, 0
    for i in range(len(graph.ops)):
        during, live = sets.run(done, live, i)
        given, done = max(given, during), done | 1 << i
    # Smallest peak first; then the most ops done, so that ties cost nothing; then the lowest set, for determinism.
    heap: list[tuple[int, int, int, int, tuple[int, ...], int]] = [(0, 0, 0, sets.start, (), sets.ready)]
    seen: set[int] = set()
    limit = min(SEARCH_STATES, SEARCH_OPS // max(len(graph.ops), 1))
    while heap and len(seen) < limit:
        top, _, done, live, order, ready = heapq.heappop(heap)
        if done == sets.all:
            return list(order)
        if done in seen:
            continue
        seen.add(done)
        moves = [(i, *sets.run(done, live, i)) for i in _members(ready)]
        # An op that neither lifts the peak nor leaves more behind can as well run now: any order with it later is no
        # smaller, because what it frees stays until it runs.
        free = [move for move in moves if move[1] <= top and move[2] <= live][:1]
        for i, during, after in free or moves:
            then = done | 1 << i
            if during < given and then not in seen:
                now = sets.ready_after(ready, then, i)
                heapq.heappush(heap, (max(top, during), -len(order) - 1, then, after, (*order, i), now))
    return None
