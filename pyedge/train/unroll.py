"""Recurrent ops as ops that have gradients: one set for each time step.

Values agree with those of the op within float tolerance: the sums of x and of h are made apart and added, where the
kernels go on with one sum.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence, Set

from ..model.graph import Graph, Op
from ..model.ops_nn import RNN_GATES
from ..model.quantmath import ACTIVATION_RANGES
from .tape import Tape, reads

_FUNCTIONS = {"rnn": 1, "gru": 2, "lstm": 3}  # activations of a direction

Unroll = Callable[[Tape, Op], Sequence[str]]  # gives the values of the op's results
Function = Callable[[int, str], str]  # number of the activation, sum -> value
Cell = Callable[[str, str, str | None], tuple[str, str | None]]  # sums of x, h, c -> h, c


def unroll(graph: Graph, on_the_way: Set[str]) -> Graph:
    """A copy of graph in which the recurrent ops that give one of these tensors are made of other ops; results that
    nothing reads are left out."""
    chosen = [op for op in graph.ops if op.kind in _UNROLLED and not on_the_way.isdisjoint(op.outputs)]
    if not chosen:
        return graph
    ops, graph = graph.ops, graph.copy()
    graph.ops = []
    tape = Tape(graph)
    read = set(graph.result_names).union(*map(reads, ops))
    for op in ops:
        if op not in chosen:
            graph.ops.append(op)
            continue
        tape.stem = op.name
        for name, value in zip(op.outputs, _UNROLLED[op.kind](tape, op), strict=True):
            if name in read:
                graph.ops.append(Op("identity", name, [value], [name]))
            else:
                del graph.tensors[name]
    tape.remove_dead(read)
    return graph


def _sums(t: Tape, rows: str, w: str, bias: str | None) -> str:
    return t.op("linear", rows, w, bias, activation=None, keep_dims=True)


def _gates(t: Tape, x: str, count: int) -> list[str]:
    """The parts of x[B, count * H], each [B, H]."""
    if count == 1:
        return [x]
    return t.ops("split", [x], count, axis=1, sizes=(t.shape(x)[1] // count,) * count)


def _steps(t: Tape, x: str, order: Sequence[int]) -> list[str]:
    """x[T, B, C] as T tensors [B, C], in an order of steps."""
    parts = t.ops("unpack", [x], t.shape(x)[0], axis=0)
    return [parts[i] for i in order]


# --- ONNX's cells -----------------------------------------------------------------------------------------------------


def _activation(t: Tape, name: str, alpha: float, beta: float, x: str) -> str:
    if name == "affine":
        return t.shift(t.scale(x, alpha), beta)
    if name == "scaled_tanh":
        return t.scale(t.op("tanh", t.scale(x, beta)), alpha)
    attrs = {"alpha": alpha} if name in ("leaky_relu", "thresholded_relu", "elu", "hard_sigmoid") else {}
    if name == "hard_sigmoid":
        attrs["beta"] = beta
    return t.op(name, x, **attrs)


def _function(t: Tape, op: Op, direction: int) -> Function:
    """The activations of a direction; the first two are of sums of gates, which are clipped."""
    a = op.attrs

    def apply(i: int, x: str) -> str:
        n = direction * _FUNCTIONS[op.kind] + i
        if i < 2 and a["clip"] < math.inf:
            x = t.op("clip", x, min=-a["clip"], max=a["clip"])
        return _activation(t, a["activations"][n], a["alphas"][n], a["betas"][n], x)

    return apply


def _rnn_cell(t: Tape, f: Function, r: str, bias: str | None) -> Cell:
    return lambda x, h, c: (f(0, t.add(x, _sums(t, h, r, bias))), c)


def _gru_cell(t: Tape, f: Function, r: str, bias: str | None, linear_before_reset: bool) -> Cell:
    hidden = t.shape(r)[1]
    if not linear_before_reset:  # the reset gate comes before the product of the third gate
        parts = [(0, 2 * hidden), (2 * hidden, 3 * hidden)]
        weights = [t.slice(r, 0, *p) for p in parts]
        biases = [None if bias is None else t.slice(bias, 0, *p) for p in parts]

    def cell(x: str, h: str, c: str | None) -> tuple[str, str | None]:
        gx = _gates(t, x, 3)
        if linear_before_reset:
            gh = _gates(t, _sums(t, h, r, bias), 3)
        else:
            gh = _gates(t, _sums(t, h, weights[0], biases[0]), 2)
        update, reset = f(0, t.add(gx[0], gh[0])), f(0, t.add(gx[1], gh[1]))
        third = t.mul(reset, gh[2]) if linear_before_reset else _sums(t, t.mul(reset, h), weights[1], biases[1])
        fresh = f(1, t.add(gx[2], third))
        return t.add(t.mul(t.sub(t.number(1.0, update), update), fresh), t.mul(update, h)), c

    return cell


def _lstm_cell(
    t: Tape, f: Function, r: str, bias: str | None, peepholes: Sequence[str] | None, input_forget: bool
) -> Cell:
    def peeped(x: str, i: int, c: str) -> str:
        return x if peepholes is None else t.add(x, t.mul(c, peepholes[i]))

    def cell(x: str, h: str, c: str | None) -> tuple[str, str | None]:
        assert c is not None
        i, o, forget, fresh = _gates(t, t.add(x, _sums(t, h, r, bias)), 4)
        i = f(0, peeped(i, 0, c))
        forget = t.sub(t.number(1.0, i), i) if input_forget else f(0, peeped(forget, 2, c))
        c = t.add(t.mul(forget, c), t.mul(i, f(1, fresh)))
        return t.mul(f(0, peeped(o, 1, c)), f(2, c)), c

    return cell


def _cell(t: Tape, op: Op, d: int, r: str, bias: str | None, peepholes: str | None) -> Cell:
    f = _function(t, op, d)
    if op.kind == "rnn":
        return _rnn_cell(t, f, r, bias)
    if op.kind == "gru":
        return _gru_cell(t, f, r, bias, op.attrs["linear_before_reset"])
    hidden = t.shape(r)[1]
    parts = None if peepholes is None else [t.slice(peepholes, 0, i * hidden, (i + 1) * hidden) for i in range(3)]
    return _lstm_cell(t, f, r, bias, parts, op.attrs["input_forget"])


def _recurrent(t: Tape, op: Op) -> list[str]:
    x, w, r = (str(n) for n in op.inputs[:3])
    bias, lengths, h0, c0, peepholes = (op.inputs[i] if i < len(op.inputs) else None for i in range(3, 8))
    batch_first = op.attrs["batch_first"]
    if batch_first:
        x = t.transpose(x, (1, 0, 2))
        h0, c0 = (None if n is None else t.transpose(n, (1, 0, 2)) for n in (h0, c0))
    steps, batch, _ = t.shape(x)
    directions, rows, hidden = t.shape(r)

    def of(name: str | None, d: int) -> str | None:
        """The part of a direction."""
        return None if name is None else t.reshape(t.slice(name, 0, d, d + 1), t.shape(name)[1:])

    outputs: list[list[str]] = []  # of each direction: y [T, B, H], h, and c of an LSTM
    for d in range(directions):
        both, both_r = of(bias, d), str(of(r, d))
        of_x = None if both is None else t.slice(both, 0, 0, rows)
        of_h = None if both is None else t.slice(both, 0, rows, 2 * rows)
        sums = _sums(t, x, str(of(w, d)), of_x)
        cell = _cell(t, op, d, both_r, of_h, of(peepholes, d))
        h = of(h0, d) or t.zeros((batch, hidden), t.dtype(x))
        c = (of(c0, d) or t.zeros((batch, hidden), t.dtype(x))) if op.kind == "lstm" else None
        order = range(steps - 1, -1, -1) if op.attrs["direction"] == "reverse" or d == 1 else range(steps)
        found: dict[int, str] = {}
        for s, part in zip(order, _steps(t, sums, order), strict=True):
            now, cell_now = cell(part, h, c)
            if lengths is None:
                h, c, found[s] = now, cell_now, now
                continue
            here = t.reshape(t.op("less", t.constant(s, t.dtype(lengths)), lengths), (batch, 1))
            h, found[s] = t.where(here, now, h), t.masked(here, now)
            c = t.where(here, cell_now, c) if c is not None and cell_now is not None else None
        y = t.op("pack", *(found[s] for s in range(steps)), axis=0)
        outputs.append([y, h, *([] if c is None else [c])])
    whole = [t.op("pack", *parts, axis=1 if i == 0 else 0) for i, parts in enumerate(zip(*outputs, strict=True))]
    if batch_first:
        whole = [t.transpose(whole[0], (2, 0, 1, 3)), *(t.transpose(n, (1, 0, 2)) for n in whole[1:])]
    return whole


# --- TFLite's ---------------------------------------------------------------------------------------------------------


def _lstm_sequence(t: Tape, op: Op) -> list[str]:
    x, w, r, bias, h, c = (str(n) for n in op.inputs)
    hidden, bound = t.shape(h)[1], op.attrs["cell_clip"]
    x = x if op.attrs["time_major"] else t.transpose(x, (1, 0, 2))
    wide = t.reshape(w, (4 * hidden, t.shape(x)[2])), t.reshape(r, (4 * hidden, hidden))
    sums = _sums(t, x, wide[0], t.reshape(bias, (4 * hidden,)))
    found = []
    for part in _steps(t, sums, range(t.shape(x)[0])):
        i, forget, fresh, o = _gates(t, t.add(part, _sums(t, h, wide[1], None)), 4)
        kept = t.mul(t.op("sigmoid", forget), c)
        c = t.add(kept, t.mul(t.op("sigmoid", i), t.op("tanh", fresh)))
        c = c if bound == math.inf else t.op("clip", c, min=-bound, max=bound)
        h = t.mul(t.op("sigmoid", o), t.op("tanh", c))
        found.append(h)
    return [t.op("pack", *found, axis=0 if op.attrs["time_major"] else 1), h, c]


def _svdf(t: Tape, op: Op) -> list[str]:
    x, feature, time, bias, state = op.inputs
    filters, memory = t.shape(time)
    batch, rank = t.shape(x)[0], op.attrs["rank"]
    newest = t.reshape(_sums(t, str(x), str(feature), None), (batch, filters, 1))
    lines = newest
    if memory > 1:
        lines = t.op("concat", t.slice(t.reshape(str(state), (batch, filters, memory)), 2, 1, memory), newest, axis=2)
    weighted = t.reshape(t.mul(lines, str(time)), (batch, filters // rank, rank * memory))
    y = t.sum(weighted, (2,))
    y = y if bias is None else t.add(y, bias)
    if op.attrs["activation"] is not None:
        low, high = ACTIVATION_RANGES[op.attrs["activation"]]
        y = t.op("clip", y, min=float(low), max=float(high))
    return [y, t.reshape(lines, (batch, filters * memory))]


_UNROLLED: dict[str, Unroll] = {
    **dict.fromkeys(RNN_GATES, _recurrent),
    "lstm_sequence": _lstm_sequence,
    "svdf": _svdf,
}
