"""Less memory for more work: forward tensors that the backward half reads are computed there again."""

from __future__ import annotations

import math
from collections.abc import Iterable

from ..model.graph import Graph, array_dtype
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


def recompute_cheap(graph: Graph, forward: int) -> None:
    """Lets ops from number `forward` on read results of cheap ops that are computed again before them, in place.

    A result is computed again where that leaves fewer bytes alive between the halves: where what it is made of is read
    by the backward half anyway, as by swish, whose gradient reads x, or is smaller, as before a cast. The largest go
    first. Values stay as they are, to the bit.
    """
    chosen = _choose(graph, forward)
    if not chosen:
        return
    front, back = graph.ops[:forward], graph.ops[forward:]
    makers = {n: op for op in front for n in op.outputs}
    graph.ops = list(front)
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


def _choose(graph: Graph, forward: int) -> set[str]:
    """The results of forward ops that are computed again. Reshapes are views: they count as what they are of."""
    front, back = graph.ops[:forward], graph.ops[forward:]
    makers = {n: op for op in front for n in op.outputs}
    here = {*makers, *graph.input_names}

    def base(name: str) -> str:
        while name in makers and makers[name].kind == "reshape":
            name = str(makers[name].inputs[0])
        return name

    def is_cheap(name: str) -> bool:
        return name in makers and makers[name].kind in CHEAP and len(makers[name].outputs) == 1

    def size(names: Iterable[str]) -> int:
        return sum(_bytes(graph, n) for n in names)

    def made_of(name: str) -> set[str]:
        return {base(n) for n in makers[name].inputs if n is not None} & here

    kept = {base(n) for op in back for n in op.inputs if n in here}
    # These stay whatever happens: results, and what the branches of an if read.
    results = {base(n) for n in graph.result_names} | {base(n) for op in back if op.kind == "if" for n in reads(op)}
    order = {n: i for i, n in enumerate(makers)}
    chosen: set[str] = set()
    for name in sorted(filter(is_cheap, kept - results), key=lambda n: (-_bytes(graph, n), order[n])):
        made, leaves = {name}, made_of(name)  # what is computed for it, and from what
        cost, best = _bytes(graph, name), (set[str](), set[str]())
        while True:
            added = leaves - kept - results
            if size(added) < cost:
                cost, best = size(added), (set(made), set(leaves))
            through = sorted(filter(is_cheap, added))
            if not through or len(made) == LONGEST:
                break
            made.add(through[0])
            leaves = (leaves - {through[0]}) | made_of(through[0])
        if best[0]:
            kept = (kept - {name}) | best[1]
            chosen |= best[0]
    return chosen


def _bytes(graph: Graph, name: str) -> int:
    t = graph.tensors[name]
    return math.prod(d or 0 for d in t.shape) * array_dtype(t.dtype).itemsize
