"""Which constants of a graph are weights, and which of them a user lets learn."""

from __future__ import annotations

import operator
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ..errors import ModelError
from ..model.graph import Graph
from .tape import needed

Range = tuple[int, int]
Trainable = str | Sequence[str] | Mapping[str, Range]

# Operands that are weights where they are constants, and the one among them that is the bias.
_LAYERS: dict[str, tuple[tuple[int, ...], int | None]] = {
    **dict.fromkeys(("conv2d", "depthwise_conv2d", "linear", "conv", "conv_transpose"), ((1, 2), 2)),
    **dict.fromkeys(("conv2d_f16", "depthwise_conv2d_f16", "linear_f16"), ((1, 2), 2)),
    "matmul": ((0, 1), None),
    "prelu": ((1,), None),
    "batch_norm": ((1, 2), 2),
    "gather": ((0,), None),
    **dict.fromkeys(("rnn", "gru", "lstm"), ((1, 2, 3, 7), 3)),
    **dict.fromkeys(("lstm_sequence", "svdf"), ((1, 2, 3), 3)),
    # Scales and shifts of norms that were not folded; a single number is no weight.
    **dict.fromkeys(("mul", "add"), ((0, 1), None)),
}


@dataclass(frozen=True)
class Parameter:
    """A weight of a layer: the op's number in the graph, and the constant's name."""

    op: int
    name: str
    bias: bool


def parameters(graph: Graph, output: str, int8: bool = False) -> list[Parameter]:
    """The weights on which an output depends, layer by layer; with int8 those of layers of codes as well."""
    read = needed(graph, output)
    dtypes = ("float32", "float16", "int8", "int32") if int8 else ("float32", "float16")
    found, behind = [], set[str]()  # behind: what depends on a layer
    for number, op in enumerate(graph.ops):
        operands, bias = _LAYERS.get(op.kind, ((), None))
        if read.isdisjoint(op.outputs):
            operands = ()
        if op.kind in ("mul", "add") and not behind.intersection(n for n in op.inputs if n is not None):
            operands = ()  # of the input's normalization
        for i in operands:
            name = op.inputs[i] if i < len(op.inputs) else None
            t = graph.tensors.get(name or "")
            if t is None or t.data is None or t.dtype not in dtypes or (t.dtype == "int32" and i != bias):
                continue
            if op.kind not in ("mul", "add") or t.data.size > 1:
                found.append(Parameter(number, t.name, i == bias))
                behind.update(op.outputs)
        if behind.intersection(n for n in op.inputs if n is not None):
            behind.update(op.outputs)
    return found


def select(graph: Graph, output: str, trainable: Trainable, int8: bool = False) -> dict[str, Range | None]:
    """The constants that learn, by name, and the range of output channels that does, of which `split_channels` makes
    weights of their own; None: all.

    Args:
        output: The output that is learned: weights on which it does not depend are none.
        trainable: "all"; "last:2", the last two layers; "bias"; the name of a layer or weight; a list of these; or
            {layer or weight: (first channel, end)}.

    Raises:
        ModelError: A graph without weights, or a name that it doesn't have.
    """
    known = parameters(graph, output, int8)
    if not known:
        what = "floats or int8 in layers that can learn" if int8 else "floats; of int8 try: precision='mixed:int8'"
        raise ModelError(f"graph {graph.name!r} has no weights of {what}")
    items = [trainable] if isinstance(trainable, str) else list(trainable)
    names = {p.name: item for item in items for p in _named(graph, known, item)}
    if not names:
        raise ModelError(f"graph {graph.name!r}: trainable={trainable!r} names no weight; try: 'all'")
    if isinstance(trainable, Mapping):
        return {name: _range(item, trainable[item]) for name, item in names.items()}
    return {p.name: None for p in known if p.name in names}


def _range(item: str, channels: Sequence[int]) -> Range:
    try:
        first, end = map(operator.index, channels)
    except (TypeError, ValueError):
        raise ModelError(f"trainable={{{item!r}: {channels!r}}}: channels are no numbers; try: (first, end)") from None
    return first, end


def _named(graph: Graph, known: Sequence[Parameter], item: str) -> list[Parameter]:
    if item == "all":
        return list(known)
    if item == "bias":
        return [p for p in known if p.bias]
    if last := re.fullmatch(r"last:([1-9]\d*)", item):
        layers = sorted({p.op for p in known})[-int(last[1]) :]
        return [p for p in known if p.op in layers]
    found = [p for p in known if item in (p.name, graph.ops[p.op].name)]
    if not found:
        layers_ = dict.fromkeys(graph.ops[p.op].name for p in known)
        raise ModelError(
            f"graph {graph.name!r}: trainable={item!r} is no layer with weights of floats;"
            f' it has {", ".join(layers_)}; try: one of these, "all", "last:2", "bias"'
        )
    return found
