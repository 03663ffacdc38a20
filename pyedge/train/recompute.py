"""Less memory for more work: forward tensors that the backward half reads are computed there again, or kept as bits."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping

from ..model.graph import Graph, Op, array_dtype
from .tape import Tape, reads

# Kinds that cost no more than reading and writing their tensors: no sums, no elementary functions.
CHEAP = {
    *("relu", "relu6", "clip", "leaky_relu", "thresholded_relu", "prelu", "hard_sigmoid", "hard_swish"),
    *("add", "sub", "mul", "neg", "abs", "square", "min", "max", "where", "cast", "squared_difference", "batch_norm"),
    *("expand", "tile", "concat", "pack", "slice", "pad", "transpose", "reverse", "reshape", "identity"),
    *("depth_to_space", "space_to_depth", "gather"),
}
# Ops that may be computed again for one tensor: chains, as those of a recurrent cell's steps, are kept in between.
LONGEST = 8
# Kinds whose result may lie on an operand that ends there.
_OVER_OPERAND = {"add", "relu", "relu6", "clip", "clip_grad", "mask_grad"}
_WORK = 200_000  # ops looked at in all: of large graphs only the largest tensors are tried


def recompute_cheap(graph: Graph, forward: int, results: Collection[str]) -> Graph:
    """Return a copy in which ops from number `forward` on read results of cheap ops that are computed again there.

    A tensor, the largest first, is computed again where fewer bytes then live between the halves and the largest set of
    live tensors does not grow: where what it is made of is read by the backward half anyway, as by swish, whose
    gradient reads x, or is smaller, as before a cast. The graph itself is returned where that set does not fall in the
    end. Values stay as they are, to the bit.

    results: tensors that are read after the last op, beside the graph's own results.
    """
    halves = _Halves(graph, forward)
    best, peak = graph, _peak(graph, results)
    chosen: set[str] = set()
    for name in halves.candidates()[: _WORK // max(len(graph.ops), 1)]:
        made, leaves = halves.cut(name)
        if not made:
            continue
        trial = _rewritten(graph, forward, chosen | made)
        if (now := _peak(trial, results)) <= peak:
            best, peak = trial, now
            chosen |= made
            halves.kept = (halves.kept - {name}) | leaves
    return best if peak < _peak(graph, results) else graph


def mask_clips(graph: Graph, forward: int) -> tuple[Graph, int]:
    """Return a copy that keeps a bit for each element of values that the backward half needs for clip_grad alone.

    So it is where layers don't learn, or by their biases alone: no gradient of a weight reads what lies between them.
    A mask is one more pass over the values, so a graph in which these are less than half of the bytes that live on into
    the backward half is returned as it is. Gradients stay as they are, to the bit.

    forward: number of the ops of the forward half.

    Returns:
        The graph and the number of the ops of its forward half.
    """
    halves = _Halves(graph, forward)
    readers = [(op, i, n) for op in graph.ops[forward:] for i, n in enumerate(op.inputs) if n in halves.here]
    values = {halves.base(str(n)) for op, i, n in readers if (op.kind, i) != ("clip_grad", 1)}
    masked = halves.kept.intersection(halves.makers) - values - halves.fixed
    of_masked, of_all = (sum(_bytes(graph, n) for n in names) for names in (masked, halves.kept))
    if not masked or 2 * of_masked < of_all:
        return graph, forward

    bounds: dict[str, list[tuple[float, float]]] = {}  # by value
    for op, _, n in readers:
        if (y := halves.base(str(n))) in masked:
            bounds.setdefault(y, []).append((op.attrs["min"], op.attrs["max"]))
    graph = graph.copy()
    front, back, graph.ops = graph.ops[:forward], graph.ops[forward:], []
    tape, bits = Tape(graph), {}
    for op in front:
        graph.ops.append(op)
        tape.stem = op.name
        for y in op.outputs:
            for low, high in dict.fromkeys(bounds.get(y, [])):
                bits[y, low, high] = tape.op("clip_mask", y, min=low, max=high)
    forward = len(graph.ops)
    for op in back:
        if op.kind == "clip_grad" and (y := halves.base(str(op.inputs[1]))) in masked:
            found = bits[y, op.attrs["min"], op.attrs["max"]]
            op = Op("mask_grad", op.name, [op.inputs[0], found], op.outputs)
        graph.ops.append(op)
    return graph, forward


class _Halves:
    """Which forward tensors live on into the backward half. Reshapes are views: they count as what they are of.

    Attributes:
        kept: Tensors that the backward half reads.
    """

    def __init__(self, graph: Graph, forward: int) -> None:
        front, back = graph.ops[:forward], graph.ops[forward:]
        self.graph = graph
        self.makers = {n: op for op in front for n in op.outputs}
        self.here = {*self.makers, *graph.input_names}
        self.kept = {self.base(n) for op in back for n in op.inputs if n in self.here}
        # These stay whatever happens: results, and what the branches of an if read.
        stay = [*graph.result_names, *(n for op in back if op.kind == "if" for n in reads(op))]
        self.fixed = {self.base(n) for n in stay}

    def base(self, name: str) -> str:
        return _base(name, self.makers)

    def is_cheap(self, name: str) -> bool:
        op = self.makers.get(name)
        return op is not None and op.kind in CHEAP and len(op.outputs) == 1

    def candidates(self) -> list[str]:
        order = {n: i for i, n in enumerate(self.makers)}
        found = filter(self.is_cheap, self.kept - self.fixed)
        return sorted(found, key=lambda n: (-_bytes(self.graph, n), order[n]))

    def made_of(self, name: str) -> set[str]:
        return {self.base(n) for n in self.makers[name].inputs if n is not None} & self.here

    def cut(self, name: str) -> tuple[set[str], set[str]]:
        """What is computed for a tensor, and from what, with the fewest bytes that live on only for that; nothing where
        these are no fewer than its own."""
        made, leaves = {name}, self.made_of(name)
        cost, best = _bytes(self.graph, name), (set[str](), set[str]())
        while True:
            added = leaves - self.kept - self.fixed
            size = sum(_bytes(self.graph, n) for n in added)
            if size < cost:
                cost, best = size, (set(made), set(leaves))
            through = sorted(filter(self.is_cheap, added))
            if not through or len(made) == LONGEST:
                return best
            made.add(through[0])
            leaves = (leaves - {through[0]}) | self.made_of(through[0])


def _rewritten(graph: Graph, forward: int, chosen: Collection[str]) -> Graph:
    """A copy in which the backward half computes some tensors again, each in front of its first reader."""
    graph = graph.copy()
    front, back = graph.ops[:forward], graph.ops[forward:]
    makers = {n: op for op in front for n in op.outputs}
    graph.ops = front
    tape = Tape(graph)
    again: dict[str, str] = {}  # tensor -> the same, computed again

    def renewed(name: str) -> str:
        op = makers.get(name)
        if name not in again:
            again[name] = name
            view = op is not None and op.kind == "reshape" and renewed(str(op.inputs[0])) != op.inputs[0]
            if op is not None and (view or name in chosen):
                operands = [None if n is None else renewed(n) for n in op.inputs]
                tape.stem = op.name
                again[name] = tape.ops(op.kind, operands, 1, **op.attrs)[0]
        return again[name]

    for op in back:
        op.inputs = [None if n is None else renewed(n) for n in op.inputs]
        graph.ops.append(op)
    return graph


def _base(name: str, makers: Mapping[str, Op]) -> str:
    """The tensor whose memory a reshape shows."""
    while name in makers and makers[name].kind == "reshape":
        name = str(makers[name].inputs[0])
    return name


def _peak(graph: Graph, results: Collection[str]) -> int:
    """Bytes of the largest set of tensors that live at once, in the order of the ops."""
    makers = {n: op for op in graph.ops for n in op.outputs}
    last = {_base(n, makers): i for i, op in enumerate(graph.ops) for n in reads(op)}
    last |= {_base(n, makers): len(graph.ops) for n in (*graph.result_names, *results)}
    live = {n: _bytes(graph, n) for n in graph.input_names}
    now = peak = sum(live.values())
    for i, op in enumerate(graph.ops):
        if op.kind == "reshape":
            continue
        made = {n: _bytes(graph, n) for n in op.outputs}
        ending = [n for n in {_base(n, makers) for n in reads(op)} if n in live and last[n] == i]
        over = op.kind in _OVER_OPERAND and any(live[n] == made[op.outputs[0]] for n in ending)
        peak = max(peak, now + (0 if over else sum(made.values())))
        live |= made
        gone = [*ending, *(n for n in made if n not in last)]
        now += sum(made.values()) - sum(live.pop(n) for n in gone)
    return peak


def _bytes(graph: Graph, name: str) -> int:
    t = graph.tensors[name]
    return math.prod(d or 0 for d in t.shape) * array_dtype(t.dtype).itemsize
