"""Layers of which only some output channels learn."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence

import numpy as np

from ..errors import ModelError
from ..model.graph import Graph, Op, Tensor
from .tape import Tape, reads

Range = tuple[int, int]

# Axis of output channels in each weight's layout.
_AXIS = {"conv2d": 0, "conv2d_f16": 0, "linear": 0, "linear_f16": 0, "conv": 0}
_AXIS |= {"depthwise_conv2d": 2, "depthwise_conv2d_f16": 2}


def split_channels(graph: Graph, ranges: Mapping[str, Range]) -> tuple[Graph, dict[str, str]]:
    """Return a copy of graph in which ranges of output channels have weights of their own, with the same values.

    A layer becomes up to three side by side, before, in and behind the range, and a concat of their results. Each
    output channel is one sum, so its bits stay. What does not learn stays a constant: no gradient, no place in RAM.

    Args:
        graph: With fixed shapes.
        ranges: (first channel, end) by the name of a constant: a weight or bias of layers. A weight and the bias of the
            same layer have one range.

    Returns:
        The new graph, and the constant that holds the range of each of `ranges`.

    Raises:
        ModelError: No such constant, one that is read by anything but a convolution or linear op, an empty range or
            one beyond the channels, two ranges in a layer, or one that cuts through a group; names op and constant.
    """
    graph = graph.copy()
    for name, (first, end) in ranges.items():
        t = graph.tensors.get(name)
        if t is None or t.data is None:
            raise ModelError(f"graph {graph.name!r} has no constant {name!r}")
        readers = [op for op in graph.ops if name in reads(op)]
        for op in readers:
            if op.kind not in _AXIS or op.inputs.index(name) == 0 or op.inputs.count(name) > 1:
                raise ModelError(f"{op.kind} {op.name!r}: {name!r} has no output channels that can be split")
            size = t.shape[_axis(op, name)] or 0
            if not 0 <= first < end <= size:
                raise ModelError(
                    f"{op.kind} {op.name!r}: channels {first} .. {end} are not among the {size} of {name!r}"
                )
    tape, ops = Tape(graph), graph.ops
    graph.ops = []
    for op in ops:
        found = {ranges[n] for n in reads(op) if n in ranges}
        if len(found) > 1:
            raise ModelError(f"{op.kind} {op.name!r}: its weight and bias learn different channels {sorted(found)}")
        if found:
            _split(tape, op, *found.pop())
        else:
            graph.ops.append(op)
    read = set(graph.result_names).union(*map(reads, graph.ops))
    graph.tensors = {n: t for n, t in graph.tensors.items() if t.data is None or n in read}
    return graph, {n: _part_name(n, *r) if n not in graph.tensors else n for n, r in ranges.items()}


def _axis(op: Op, name: str) -> int:
    """The axis of output channels of an operand: weights by their layout, of biases the only one."""
    return _AXIS[op.kind] if op.inputs.index(name) == 1 else 0


def _part_name(name: str, first: int, end: int) -> str:
    return f"{name}[{first}:{end}]"


def _split(t: Tape, op: Op, first: int, end: int) -> None:
    """Adds the layers that stand for one."""
    y = t.tensor(op.outputs[0])
    channels = t.shape(y.name)[-1]
    if (first, end) == (0, channels):
        t.graph.ops.append(op)
        return
    t.stem = op.name
    size = channels // _group_count(t, op)
    if end - first > 1 and (first // size != (end - 1) // size) and (first % size or end % size):
        raise ModelError(f"{op.kind} {op.name!r}: channels {first} .. {end} cut through groups of {size}")
    # What is frozen of the groups at the ends of the range are layers of their own.
    ends = sorted({0, first // size * size, first, end, -(-end // size) * size, channels})
    parts = [_layer(t, op, a, b, size) for a, b in itertools.pairwise(ends)]
    t.graph.ops.append(Op("concat", op.name, list(parts), [y.name], {"axis": len(y.shape) - 1}))


def _group_count(t: Tape, op: Op) -> int:
    return t.shape(op.inputs[0])[-1] if op.kind.startswith("depthwise") else int(op.attrs.get("groups", 1))


def _layer(t: Tape, op: Op, first: int, end: int, size: int) -> str:
    """The layer for output channels first .. end, which are whole groups of `size` or in one group."""
    x, operands = str(op.inputs[0]), [_constant(t, op, str(n), first, end) for n in op.inputs[1:] if n is not None]
    attrs, groups = dict(op.attrs), _group_count(t, op)
    if groups > 1:
        a, b = first // size, -(-end // size)
        depth = t.shape(x)[-1] // groups
        x = t.slice(x, len(t.shape(x)) - 1, a * depth, b * depth)
        if "groups" in attrs:
            attrs["groups"] = b - a
    return t.op(op.kind, x, *operands, **attrs)


def _constant(t: Tape, op: Op, name: str, first: int, end: int) -> str:
    """The channels first .. end of a weight or bias, a constant of its own."""
    part = _part_name(name, first, end)
    data = t.tensor(name).data
    if data is None:
        raise ModelError(f"{op.kind} {op.name!r}: {name!r} is no constant, its channels can't be split")
    if part not in t.graph.tensors:
        cut: Sequence[slice] = [slice(None)] * _axis(op, name) + [slice(first, end)]
        value = np.ascontiguousarray(data[tuple(cut)])
        t.graph.add_tensor(Tensor(part, value.shape, t.dtype(name), value))
    return part
