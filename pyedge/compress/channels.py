"""Dead channels: those whose value is known, and those that nothing reads.

A channel is a slice of a tensor's last axis. Ops that work channel by channel tie channels of their operands and
results to each other; tied channels stay or go together. Convolutions of one group and linear layers are where channels
end: they read a channel only through weights that are not zero, and a constant one becomes part of their bias.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from ..model.graph import Graph, Op, Quantization
from ..model.ops import graph_macs, infer_shapes
from ..model.ops_elementwise import BINARY
from ..model.ops_move import slices
from .dead import remove_dead
from .ranges import ONE_OPERAND, Range, channels_of, is_padded, ranges, reshaped, weights_by_tap
from .report import Report, constant_bytes
from .rewrite import add_constant, branches, reads

_MOST = 2**19  # channels of all tensors; networks have thousands, and each one takes memory and time here
_WEIGHTED = ("conv2d", "depthwise_conv2d", "linear")
_SAME_CHANNELS = (*ONE_OPERAND, "avg_pool2d", "max_pool2d", "max_pool", "avg_pool", "lp_pool")


@dataclass(frozen=True)
class ChannelReport(Report):
    """As Report, and multiply-accumulates of a run and the channels (before, after) of each result that lost some."""

    macs_before: int = 0
    macs_after: int = 0
    channels: dict[str, tuple[int, int]] = field(default_factory=dict)

    def __str__(self) -> str:
        lines = [super().__str__(), f"  MACs {self.macs_before:,} -> {self.macs_after:,}"]
        return "\n".join(lines + [f"  {name}: {a} -> {b} channels" for name, (a, b) in self.channels.items()])


def remove_dead_channels(graph: Graph, rounding: str = "tflite") -> tuple[Graph, ChannelReport]:
    """A copy of graph without the channels that cannot change an output, to the bit, whatever its inputs are.

    Inputs and outputs keep their shapes; inner tensors keep their names. Each keeps at least one channel. int8: a
    channel of known value (ranges.py) goes into the biases of its readers; a padded convolution only takes it if the
    padding, the zero point, has the same value. float32: only zero channels and zero weights, and only where no operand
    can be infinite or NaN and a relu hides the sign of a zero; else a product with 0 is no 0. What only moves
    elements, as a slice, is followed in every dtype. Graphs of an "if" are left as they are, and so are graphs of more
    than 2^19 channels.

    Args:
        graph: Shapes fixed; it stays as it is.
        rounding: Of int8 sums, as in `compile`.
    """
    graph = remove_dead(graph)
    slim = graph
    if sum(map(channels_of, graph.tensors.values())) <= _MOST:
        ties = _Ties(graph)
        layers = _layers(graph, ties, ranges(graph, rounding))
        slim = _rewrite(graph, ties, layers, _needed(ties, layers))
    lost = {
        t.name: (channels_of(t), channels_of(slim.tensors[t.name]))
        for t in graph.tensors.values()
        if t.data is None and t.name in slim.tensors and channels_of(t) != channels_of(slim.tensors[t.name])
    }
    return slim, ChannelReport(
        "dead channels",
        constant_bytes(graph),
        constant_bytes(slim),
        macs_before=graph_macs(graph),
        macs_after=graph_macs(slim),
        channels=lost,
    )


class _Ties:
    """A number for each channel of each tensor; tied channels have one number.

    of[name]: int [C]. pinned: bool, by number: has to stay, because what reads or gives it is not understood.
    read[i]: the numbers that the weights of op i meet, for each conv2d and linear that can be cut.
    """

    def __init__(self, graph: Graph) -> None:
        self._graph = graph
        self._parent: list[int] = []
        self._pinned: list[np.ndarray] = []
        self.of: dict[str, np.ndarray] = {}
        self.read: dict[int, np.ndarray] = {}
        for t in graph.tensors.values():
            if t.data is not None or t.name in graph.source_names:
                self.of[t.name] = self._new(channels_of(t))
        for i, op in enumerate(graph.ops):
            self._add(i, op)
        for name in (*graph.source_names, *graph.result_names):
            self._pinned.append(self.of[name])
        roots = np.array([self._find(i) for i in range(len(self._parent))], np.int64)
        self.of = {name: roots[numbers] for name, numbers in self.of.items()}
        self.read = {i: roots[numbers] for i, numbers in self.read.items()}
        self.pinned = np.zeros(len(roots), bool)
        for numbers in self._pinned:
            self.pinned[roots[numbers]] = True

    def _new(self, count: int) -> np.ndarray:
        first = len(self._parent)
        self._parent.extend(range(first, first + count))
        return np.arange(first, first + count)

    def _find(self, i: int) -> int:
        while self._parent[i] != i:
            self._parent[i] = self._parent[self._parent[i]]
            i = self._parent[i]
        return i

    def _tie(self, a: np.ndarray, b: np.ndarray) -> None:
        for i, j in zip(a.tolist(), b.tolist(), strict=True):
            self._parent[self._find(i)] = self._find(j)

    def _add(self, i: int, op: Op) -> None:
        """Numbers for the results of op i."""
        found = None
        if not branches(op) and len(op.outputs) == 1 and self._one_scale(op):
            found = self._weighted(i, op) if op.kind in _WEIGHTED else self._moved(op)
        if found is not None:
            self.of[op.outputs[0]] = found
            return
        self._pinned += [self.of[n] for n in reads(op)]
        for name in op.outputs:
            self.of[name] = self._new(channels_of(self._graph.tensors[name]))
            self._pinned.append(self.of[name])

    def _one_scale(self, op: Op) -> bool:
        """Whether no activation has a scale for each channel."""
        names = (*(op.inputs[:1] if op.kind in _WEIGHTED else op.inputs), *op.outputs)
        quants = [self._graph.tensors[n].quant for n in names if n is not None]
        return all(q is None or q.scale.size == 1 for q in quants)

    def _weighted(self, i: int, op: Op) -> np.ndarray | None:
        x, constants = op.inputs[0] or "", [n for n in op.inputs[1:] if n is not None]
        if any(self._graph.tensors[n].data is None for n in constants) or op.attrs.get("groups", 1) != 1:
            return None
        self._pinned += [self.of[n] for n in constants]  # other ops may read them; layers get new ones
        channels = channels_of(self._graph.tensors[op.outputs[0]])
        if op.kind == "depthwise_conv2d":
            return np.repeat(self.of[x], channels // self.of[x].size)
        read = self._reshaped(x, channels_of(self._graph.tensors[constants[0]]))
        if read is None:
            return None
        self.read[i] = read
        return self._new(channels)

    def _reshaped(self, name: str, channels: int) -> np.ndarray | None:
        """The numbers of a tensor's channels under a last axis of another length, in row-major order."""
        numbers = self.of[name]
        if channels % numbers.size == 0:
            return np.tile(numbers, channels // numbers.size)
        if numbers.size % channels == 0:
            self._tie(numbers, np.tile(numbers[:channels], numbers.size // channels))
            return numbers[:channels]
        return None

    def _moved(self, op: Op) -> np.ndarray | None:
        """Of ops without weights of their own; None for one that mixes channels."""
        x, y = self._graph.tensors[op.inputs[0] or ""], self._graph.tensors[op.outputs[0]]
        last = len(x.shape) - 1
        if op.kind in _SAME_CHANNELS or (op.kind == "mean" and last not in op.attrs["axes"]):
            return self.of[x.name]
        if op.kind == "pad" and not any(op.attrs["pads"][-1]):
            self._pinned += [self.of[n] for n in op.inputs[1:] if n is not None]
            return self.of[x.name]
        if op.kind in BINARY or op.kind == "add":
            return self._broadcast(op, channels_of(y))
        if op.kind == "reshape":
            return self._reshaped(x.name, channels_of(y))
        if op.kind == "concat":
            parts = [self.of[n or ""] for n in op.inputs]
            if op.attrs["axis"] in (-1, last):
                return np.concatenate(parts)
            for part in parts[1:]:
                self._tie(part, parts[0])
            return parts[0]
        if op.kind == "slice":
            at = _last_slice(op, self._graph)
            return self.of[x.name][at] if at.step == 1 else None
        return None

    def _broadcast(self, op: Op, channels: int) -> np.ndarray:
        numbers = self._new(channels)
        for name in op.inputs:
            operand = self.of[name or ""]
            if operand.size == channels:
                self._tie(operand, numbers)
            else:  # one for all
                self._pinned.append(operand)
        return numbers


def _last_slice(op: Op, graph: Graph) -> slice:
    """What a slice op takes of the last axis."""
    return slices(op, tuple(int(d or 1) for d in graph.tensors[op.inputs[0] or ""].shape))[-1]


@dataclass(frozen=True)
class _Layer:
    """A conv2d or linear that can be cut.

    read, given: numbers of ties, of the C_in that its weights meet and of the C_out that it gives.
    uses: bool [C_out, C_in], whether a product has to be computed. bias: int64 [C_out, C_in], what a channel of known
    value adds to the bias without its products; 0 for others.
    """

    read: np.ndarray
    given: np.ndarray
    uses: np.ndarray
    bias: np.ndarray


def _layers(graph: Graph, ties: _Ties, known: dict[str, Range]) -> dict[int, _Layer]:
    """By number of the op."""
    found = {}
    for i, read in ties.read.items():
        op = graph.ops[i]
        found[i] = _Layer(read, ties.of[op.outputs[0]], *_products(op, graph, known[op.inputs[0] or ""]))
    return found


def _products(op: Op, graph: Graph, r: Range) -> tuple[np.ndarray, np.ndarray]:
    """uses and bias of a _Layer; r: the range of its input."""
    x, w = graph.tensors[op.inputs[0] or ""], graph.tensors[op.inputs[1] or ""].data
    assert w is not None  # _Ties._weighted
    taps = weights_by_tap(op, w)
    across = reshaped(r, taps.shape[2])
    assert across is not None  # _Ties._reshaped
    zero = (taps == 0).all(axis=1)
    if x.dtype == "int8":
        constant = across.constant
        value = np.where(constant, across.low - (x.zero_point or 0), 0).astype(np.int64)
        if op.kind == "conv2d" and is_padded(op, graph):
            constant = constant & (value == 0)  # the border reads the zero point
            value = np.zeros_like(value)
        return ~(zero | constant), taps.astype(np.int64).sum(axis=1) * value
    exact = across.finite & (op.attrs["activation"] in ("relu", "relu6")) & bool(np.isfinite(w).all())
    return ~((zero | (across.constant & (across.low == 0))) & exact), np.zeros(zero.shape, np.int64)


def _needed(ties: _Ties, layers: dict[int, _Layer]) -> np.ndarray:
    """Which numbers of ties have to stay: what outputs depend on, followed backwards until nothing changes."""
    needed: np.ndarray = ties.pinned.copy()
    while True:
        before = np.count_nonzero(needed)
        for layer in reversed(layers.values()):
            needed[layer.read[layer.uses[needed[layer.given]].any(axis=0)]] = True
        if np.count_nonzero(needed) == before:
            empty = next((numbers for numbers in ties.of.values() if not needed[numbers].any()), None)
            if empty is None:
                return needed
            needed[empty[0]] = True  # a tensor has one channel at least


def _rewrite(graph: Graph, ties: _Ties, layers: dict[int, _Layer], needed: np.ndarray) -> Graph:
    """A copy with only the needed channels."""
    slim = graph.copy()
    kept = {name: needed[numbers] for name, numbers in ties.of.items()}
    for name, mask in kept.items():
        t = slim.tensors[name]
        t.shape = (*t.shape[:-1], int(mask.sum())) if t.shape else t.shape
        t.data = t.data if t.data is None or mask.all() else np.ascontiguousarray(t.data[..., mask])
    for i, op in enumerate(slim.ops):
        rows = kept[op.outputs[0]]
        if i in layers:
            columns = needed[layers[i].read]
            _cut_weights(op, slim, rows, columns, layers[i].bias[:, ~columns].sum(axis=1))
        elif op.kind == "depthwise_conv2d" and not branches(op):
            _cut_weights(op, slim, rows, np.ones(1, bool), np.zeros(rows.size, np.int64))
        elif op.kind == "reshape":
            op.attrs["shape"] = slim.tensors[op.outputs[0]].shape
        elif op.kind == "slice" and not kept[op.inputs[0] or ""].all():
            _cut_slice(op, graph, kept[op.inputs[0] or ""])
    return remove_dead(infer_shapes(slim))


def _cut_weights(op: Op, slim: Graph, rows: np.ndarray, columns: np.ndarray, bias: np.ndarray) -> None:
    """Gives a layer new weights and a new bias of the kept rows (C_out) and columns (C_in), `bias` added."""
    if rows.all() and columns.all():
        return
    w = slim.tensors[op.inputs[1] or ""]
    assert w.data is not None
    axis = w.data.ndim - 1 if op.kind == "depthwise_conv2d" else 0
    data = np.compress(rows, w.data, axis)
    if op.kind != "depthwise_conv2d":
        data = data[..., columns]
    quant = w.quant
    if quant is not None and quant.scale.size > 1:
        quant = Quantization(quant.scale[rows], quant.zero_point[rows], quant.axis)
    old = slim.tensors[op.inputs[2]] if len(op.inputs) > 2 and op.inputs[2] is not None else None
    op.inputs = [op.inputs[0], add_constant(slim, w.name, data, quant), *op.inputs[2:]]
    if old is None and not bias.any():
        return
    start = np.zeros(rows.size, np.int32) if old is None else old.data
    assert start is not None
    total = start if start.dtype != np.int32 else (start + bias).astype(np.int32)  # modulo 2^32, as the sums
    quant = None if old is None else old.quant
    if quant is not None and quant.scale.size > 1:
        quant = Quantization(quant.scale[rows], quant.zero_point[rows], quant.axis)
    op.inputs = [*op.inputs[:2], add_constant(slim, old.name if old else f"{op.name}/bias", total[rows], quant)]


def _cut_slice(op: Op, graph: Graph, mask: np.ndarray) -> None:
    """Lets a slice take what is left of its part of the last axis."""
    rank, at = len(graph.tensors[op.inputs[0] or ""].shape), _last_slice(op, graph)
    start, end = int(mask[: at.start].sum()), int(mask[: at.stop].sum())
    others = [k for k, axis in enumerate(op.attrs["axes"]) if axis % rank != rank - 1]
    for name, last in (("starts", start), ("ends", end), ("axes", rank - 1), ("steps", 1)):
        op.attrs[name] = (*(op.attrs[name][k] for k in others), last)
