"""The order of ops that needs the least memory.

Source: the search over sets of executed ops after Liberis and Lane, "Neural networks on microcontrollers: saving
memory at inference via operator reordering", 2019; here with the smallest peak first, and bounded.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Iterable

import numpy as np

from ..model.graph import Graph, Op
from .arena import align

SEARCH_STATES = 20000  # sets of executed ops looked at; beyond it the model's own order stays


def schedule(graph: Graph) -> Graph:
    """A graph with its ops in an order whose largest set of live tensors is smallest; the given order if it is as good.

    Shapes must be fixed. Deterministic. Reshapes count as the tensor that they are of.
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
    """A graph as sets of op numbers, bit masks: who makes and who reads each buffer."""

    def __init__(self, graph: Graph) -> None:
        alias: dict[str, str] = {}  # output of a reshape -> what it is a view of
        for op in graph.ops:
            if op.kind == "reshape" and op.inputs[0] is not None:
                alias[op.outputs[0]] = alias.get(op.inputs[0], op.inputs[0])
        n = len(graph.ops)
        self.all = (1 << n) - 1
        self.needs = [0] * n  # ops that must run before
        self.bytes: dict[str, int] = {}
        self.readers: dict[str, int] = {}  # ops that read a buffer; beyond all ops for an output
        self.makes: list[list[str]] = [[] for _ in range(n)]
        maker: dict[str, int] = {}
        for i, op in enumerate(graph.ops):
            maker.update(dict.fromkeys(op.outputs, i))
        for name in graph.input_names:
            self._buffer(graph, name)
        for i, op in enumerate(graph.ops):
            for name in op.outputs:
                if name not in alias:
                    self._buffer(graph, name)
                    self.makes[i].append(name)
        for i, op in enumerate(graph.ops):
            for name in _reads(op):
                if name in maker:
                    self.needs[i] |= 1 << maker[name]
                if (buffer := alias.get(name, name)) in self.readers:
                    self.readers[buffer] |= 1 << i
        for name in graph.output_names:
            if (buffer := alias.get(name, name)) in self.readers:
                self.readers[buffer] |= 1 << n

    def _buffer(self, graph: Graph, name: str) -> None:
        t = graph.tensors[name]
        self.bytes[name] = align(math.prod(d or 1 for d in t.shape) * np.dtype(t.dtype).itemsize)
        self.readers[name] = 0

    def run(self, done: int, live: frozenset[str], i: int) -> tuple[int, frozenset[str]]:
        """Bytes that live while op i runs, and what lives after it."""
        during = live.union(self.makes[i])
        left = ~(done | 1 << i)
        return sum(self.bytes[b] for b in during), frozenset(b for b in during if self.readers[b] & left)


def _search(graph: Graph) -> list[int] | None:
    """Numbers of the ops in the best order; None if the given order is as good or the search is too large."""
    sets = _Sets(graph)
    live = start = frozenset(graph.input_names)
    done = given = 0
    for i in range(len(graph.ops)):
        size, live = sets.run(done, live, i)
        given, done = max(given, size), done | 1 << i
    # Smallest peak first; then the most ops done, so that ties cost nothing; then the lowest set, for determinism.
    heap: list[tuple[int, int, int, frozenset[str], tuple[int, ...]]] = [(0, 0, 0, start, ())]
    seen: set[int] = set()
    while heap:
        top, _, done, live, order = heapq.heappop(heap)
        if done == sets.all or top >= given:
            return list(order) if top < given else None
        if done in seen:
            continue
        seen.add(done)
        if len(seen) > SEARCH_STATES:
            return None
        for i in range(len(graph.ops)):
            if not done >> i & 1 and sets.needs[i] & ~done == 0:
                size, after = sets.run(done, live, i)
                if max(top, size) < given and done | 1 << i not in seen:
                    heapq.heappush(heap, (max(top, size), -len(order) - 1, done | 1 << i, after, (*order, i)))
    return None
