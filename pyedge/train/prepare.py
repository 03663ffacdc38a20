"""A graph, a loss and an optimizer -> the graphs of a plan that learns: forward, backward and update in one entry.

Entries share the weights that learn, their moments and the counters as states. Nothing is computed here.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import SupportsFloat

import numpy as np

from ..errors import ModelError, ShapeError
from ..model.graph import Graph, Op, State, Tensor, array_dtype
from ..model.ops import infer_shapes, show
from ..model.surgery import extract
from .autodiff import gradients
from .batch_norm import running_statistics, with_batch_statistics
from .latent import FEATURES, cut, features, from_features
from .losses import Loss, sample_losses
from .optimizers import Optimizer
from .tape import Tape, reads

# Names of states beside those of weights and moments.
STEP, SKIPPED, SCALE, GOOD = "train/step", "train/skipped", "train/scale", "train/good"
LARGEST_SCALE = 2.0**24
GROW_AFTER = 2000  # good steps
_PARTS, _PART_BYTES = 16, 2048  # of a weight that is updated in turn: at most so many, of so many bytes at least
_NOISE_DECAY = 0.55  # of the variance of gradient noise, Neelakantan et al. 2015


@dataclass(frozen=True)
class Settings:
    """How a graph learns.

    Attributes:
        learning: Names of the constants that learn.
        masters: float32 values of float16 weights: they are updated, and rounded into the weights.
        stochastic: float16 weights without such a value are rounded stochastically.
        loss_scale: What the loss is multiplied by at first; it adapts. None: by nothing, ever.
        batch: Samples that go through at once.
        accumulate: Batches whose mean gradient makes a step: the first of them run the entry "accumulate".
        in_turn: Each weight is updated as soon as its gradient is there, a few rows at a time, and rows whose gradient
            is not finite are left out instead of the whole step. With masks, as in `gradients`.
        seed: Of noise and stochastic rounding.
        output: Name of the output that the loss is of.
        recompute: As in `gradients`, with masks.
        latent: The frozen part is an entry of its own; "train" and "accumulate" take what it gives (`latent.features`).
    """

    loss: Loss
    optimizer: Optimizer
    learning: Sequence[str]
    output: str
    masters: Mapping[str, np.ndarray]
    stochastic: bool = False
    loss_scale: float | None = None
    batch: int = 1
    accumulate: int = 1
    in_turn: bool = False
    seed: int = 0
    recompute: bool = False
    latent: bool = False


def prepare(graph: Graph, s: Settings) -> dict[str, Graph]:
    """The entries: "main", the graph itself, and those that take inputs and targets of a batch: "train" -> loss
    float32[1] and the number of skipped steps float32[1]; "accumulate", if s.accumulate is above 1, -> loss; "evaluate"
    -> losses[batch] and what they were computed of. With s.latent, where there is a frozen part: "features", of one
    sample.

    A step whose gradients are not all finite changes nothing but the loss scale and the number of skipped steps, and
    in_turn the rows of weights whose gradients are finite.

    Raises:
        ModelError: An op without gradient on the way to a weight that learns, or a graph that can't have another batch.
    """
    o = s.optimizer
    if s.in_turn and (o.clip_norm is not None or o.noise is not None or s.accumulate > 1):
        raise ModelError(
            "in_turn=True updates weights before all gradients are known: no clip_norm, noise or accumulate;"
            " try: without one of these"
        )
    statistics = running_statistics(graph, s.learning)
    main = _with_states(graph, [*s.learning, *statistics])
    forward, target = _with_target(main, s)
    evaluate = forward.copy()
    losses = sample_losses(Tape(evaluate), s.loss, forward.output_names[0], target)
    evaluate.output_names = [_renamed(evaluate, losses, "losses"), *forward.output_names]
    entries = {"main": main, "evaluate": evaluate}
    if s.latent and (border := cut(forward, s.learning)):
        entries[FEATURES] = features(with_batch(main, 1), border)
        forward = from_features(forward, border)
    forward = with_batch_statistics(forward, s.learning)
    entries["train"] = _train(forward, target, statistics, s)
    if s.accumulate > 1:
        entries["accumulate"] = _accumulate(forward, target, statistics, s)
    return entries


def _with_states(graph: Graph, names: Sequence[str]) -> Graph:
    """A copy in which constants are states that nothing changes."""
    graph = graph.copy()
    for name in names:
        t = graph.tensors[name]
        assert t.data is not None
        graph.states.append(State(name, name, t.data))
        t.data = None
    return graph


def with_batch(graph: Graph, batch: int) -> Graph:
    """A copy that takes `batch` samples at once: the first axis of inputs, and of reshapes that keep it.

    Raises:
        ModelError: A graph that is made for one size of it; names the output or the op.
    """
    old = {t.shape[0] if t.shape else 0 for t in graph.inputs}
    if len(old) != 1 or old == {0}:
        raise ModelError(f"graph {graph.name!r}: its inputs have no first axis in common for samples")
    (size,) = old
    wider = graph.copy()
    for t in wider.inputs:
        t.shape = (batch, *t.shape[1:])
    if size not in (None, batch):
        for op in wider.ops:
            shape = op.attrs.get("shape", ())
            if op.kind == "reshape" and shape[:1] == (size,) and graph.tensors[op.inputs[0] or ""].shape[:1] == (size,):
                op.attrs["shape"] = (batch, *shape[1:])
    try:
        wider = infer_shapes(wider)
        bad = [t for t in wider.outputs if t.shape[:1] != (batch,)]
        if bad:
            raise ModelError(f"output {bad[0].name!r} becomes {show(bad[0].shape)}")
    except (ModelError, ShapeError) as error:
        raise ModelError(
            f"graph {graph.name!r} takes no {batch} samples at once: {error}; try: batch_size={size}, and accumulate="
        ) from None
    return wider


def _with_target(main: Graph, s: Settings) -> tuple[Graph, str]:
    """The graph for a batch, up to what the loss starts from, its only output; and a new input for the targets."""
    maker = next((op for op in main.ops if s.output in op.outputs), None)
    y = s.output
    if maker is not None and maker.kind == s.loss.after and maker.attrs.get("beta", 1.0) == 1.0:
        last = len(main.tensors[y].shape) - 1
        if maker.attrs.get("axis", -1) in (-1, last):
            y = str(maker.inputs[0])
    forward = extract(with_batch(main, s.batch), main.input_names, [y])
    t = Tape(forward)
    shape, dtype = s.loss.target(t.shape(y))
    name = t.unused("target")
    forward.add_tensor(Tensor(name, shape, dtype))
    forward.input_names.append(name)
    return forward, name


def _backward(forward: Graph, target: str, s: Settings) -> tuple[Tape, str, dict[str, str]]:
    """Forward and backward: a tape to go on, the loss, float32[1], and the gradient of each weight."""
    graph = forward.copy()
    t = Tape(graph)
    t.stem = "loss"
    losses = sample_losses(t, s.loss, forward.output_names[0], target)
    loss = t.op("reduce_mean", losses, axes=(0,), keepdims=True)
    scale = _state(t, SCALE, np.full(1, s.loss_scale)) if s.loss_scale is not None else None
    graph.output_names = [loss]
    graph, found = gradients(graph, loss, s.learning, scale, s.recompute, masks=s.in_turn or s.recompute)
    t = Tape(graph)
    t.stem = "train"
    order = {name: i for i, op in enumerate(graph.ops) for name in op.outputs}
    first = sorted(found, key=lambda weight: order.get(found[weight], -1))  # as they come, so that each is read at once
    return t, loss, {weight: found[weight] for weight in first}


def _state(t: Tape, name: str, initial: np.ndarray, dtype: str = "float32") -> str:
    """A state; whoever adds it says what it is next."""
    if name in t.graph.tensors:
        return name
    value = np.ascontiguousarray(initial, dtype)
    t.graph.add_tensor(Tensor(name, value.shape, dtype))
    t.graph.states.append(State(name, name, value))
    return name


def _update(t: Tape, state: str, value: str) -> None:
    next(s for s in t.graph.states if s.name == state).next = value


def _accumulate(forward: Graph, target: str, statistics: Sequence[str], s: Settings) -> Graph:
    t, loss, found = _backward(forward, target, s)
    if statistics:
        _follow_if(t, t.compare("less", _sum_squares(t, found.values()), math.inf), statistics)
    for weight, total in _totals(t, found).items():
        _update(t, f"{weight}/gradient", total)
    t.graph.output_names = [_renamed(t.graph, loss, "loss")]
    return t.graph


def _totals(t: Tape, found: Mapping[str, str]) -> dict[str, str]:
    """The sums of gradients so far, in float32, with those of this batch."""
    totals = {}
    for weight, gradient in found.items():
        state = _state(t, f"{weight}/gradient", np.zeros(t.shape(gradient)))
        totals[weight] = t.add(state, t.cast(gradient, "float32"))
    return totals


def _train(forward: Graph, target: str, statistics: Sequence[str], s: Settings) -> Graph:
    t, loss, found = _backward(forward, target, s)
    if s.accumulate > 1:
        found = _totals(t, found)
        for weight, total in found.items():
            _update(t, f"{weight}/gradient", t.zeros(t.shape(total), "float32"))
    good = _updates_in_turn(t, found, s) if s.in_turn else _updates(t, found, s)
    skipped = _count(t, good, statistics, s)
    t.graph.output_names = [_renamed(t.graph, loss, "loss"), _renamed(t.graph, skipped, "skipped")]
    return t.graph


def _updates(t: Tape, found: Mapping[str, str], s: Settings) -> str:
    """The updates of all weights, if all gradients are finite; gives whether they are, bool[1]."""
    square = _sum_squares(t, found.values())
    good = t.compare("less", square, math.inf)
    lr, step = _rate(t, s)
    factor = _unless(t, good, _clipped(t, square, _unscaled(t, s), s))
    clip, noise = _clip_value(s), None
    if s.optimizer.noise is not None:  # which comes after clipping: what is left to the update is whether it is done
        decayed = t.op("pow", step, t.constant([-_NOISE_DECAY / 2], "float32"))
        noise = t.scale(decayed, math.sqrt(s.optimizer.noise))
        done = _unless(t, good, t.constant([1], "float32"))
    for weight, gradient in found.items():
        if noise is None:
            _step(t, s, weight, gradient, (lr, factor, step), clip)
        else:
            stream = s.learning.index(weight)
            operands = (gradient, factor, noise, step)
            noisy = t.op("gradient_noise", *operands, clip=clip, seed=s.seed, stream=stream)
            _step(t, s, weight, noisy, (lr, done, step), math.inf)
    return good


def _updates_in_turn(t: Tape, found: Mapping[str, str], s: Settings) -> str:
    """As _updates, each weight behind the last op that reads it and a few rows at a time, so that no two gradients live
    at once. Rows whose gradient is not finite are left as they are.
    """
    graph = t.graph
    body, graph.ops = graph.ops, []
    lr, step = _rate(t, s)
    factor, total = _unscaled(t, s), t.constant([0], "float32")
    before, behind, replaced = graph.ops, dict[int, list[Op]](), set[int]()
    makers = {name: i for i, op in enumerate(body) for name in op.outputs}
    last = {w: max([makers[g], *(i for i, op in enumerate(body) if w in reads(op))]) for w, g in found.items()}
    for weight in sorted(found, key=lambda name: last[name]):
        gradient, graph.ops = found[weight], []
        clip, parts = _clip_value(s), _row_gradients(t, body[makers[gradient]])
        update = _Update(t, s, weight)
        for first, rows in parts:  # one after the other, so that one gradient at a time lives
            part = rows()
            square = t.op("sum_squares", part, None)
            total = t.add(total, square)
            update.step(first, part, (lr, _unless(t, t.compare("less", square, math.inf), factor), step), clip)
        update.end()
        if len(parts) > 1:
            replaced.add(makers[gradient])
            del graph.tensors[gradient]
        behind.setdefault(last[weight], []).extend(graph.ops)
    graph.ops = before
    for i, op in enumerate(body):
        graph.ops += [*([] if i in replaced else [op]), *behind.get(i, [])]
    return t.compare("less", total, math.inf)


def _row_gradients(t: Tape, op: Op) -> list[tuple[int, Callable[[], str]]]:
    """The gradient of a weight as parts of some rows, made of parts of dy: the first row, and what adds the ops. Whole
    if it is small, or its rows are no channels of dy.
    """
    gradient = op.outputs[0]
    rows = t.shape(gradient)[0] if t.shape(gradient) else 1
    whole = op.kind not in ("conv2d_wgrad", "linear_wgrad") or op.attrs.get("groups", 1) != 1
    if whole:
        return [(0, lambda: gradient)]
    row_bytes = math.prod(t.shape(gradient)[1:]) * array_dtype(t.dtype(gradient)).itemsize
    dy, axis, size = (
        str(op.inputs[0]),
        len(t.shape(op.inputs[0])) - 1,
        max(-(-rows // _PARTS), _PART_BYTES // row_bytes),
    )
    if size >= rows:
        return [(0, lambda: gradient)]

    def part(first: int) -> str:
        cut = t.slice(dy, axis, first, min(first + size, rows))
        return t.op(op.kind, cut, *op.inputs[1:], **op.attrs)

    return [(first, partial(part, first)) for first in range(0, rows, size)]


def _sum_squares(t: Tape, gradients: Iterable[str]) -> str:
    """The sum of the squares of all elements, float32[1]; no finite number unless all gradients are."""
    square: str | None = None
    for gradient in gradients:
        square = t.op("sum_squares", gradient, square)
    assert square is not None
    return square


def _rate(t: Tape, s: Settings) -> tuple[str, str]:
    """The learning rate of this step, and its number from 1."""
    before, lr = _state(t, STEP, np.zeros(1)), s.optimizer.lr
    rate = t.constant([float(lr)], "float32") if isinstance(lr, SupportsFloat) else lr.ops(t, before)
    return rate, t.shift(before, 1)


def _clip_value(s: Settings) -> float:
    return math.inf if s.optimizer.clip_value is None else float(s.optimizer.clip_value)


def _unscaled(t: Tape, s: Settings) -> str:
    """What gradients are multiplied by: 1 / (loss scale * batches)."""
    factor = t.constant([1 / s.accumulate], "float32")
    return factor if s.loss_scale is None else t.div(factor, SCALE)


def _clipped(t: Tape, square: str, factor: str, s: Settings) -> str:
    """The factor, smaller where the norm of all gradients is above its bound; as PyTorch's clip_grad_norm_."""
    if s.optimizer.clip_norm is None:
        return factor
    norm = t.shift(t.mul(t.op("sqrt", square), factor), 1e-6)
    bound = t.div(t.constant([s.optimizer.clip_norm], "float32"), norm)
    return t.mul(factor, t.op("min", bound, t.constant([1], "float32")))


def _unless(t: Tape, good: str, factor: str) -> str:
    """A factor that leaves the update out unless gradients are good."""
    return t.where(good, factor, t.constant([math.nan], "float32"))


def _count(t: Tape, good: str, statistics: Sequence[str], s: Settings) -> str:
    """What a step that is good, or is not, changes besides weights: counters, running statistics, the loss scale. Gives
    the number of skipped steps.
    """
    before, skipped = _state(t, STEP, np.zeros(1)), _state(t, SKIPPED, np.zeros(1))
    more = t.where(good, skipped, t.shift(skipped, 1))
    _update(t, STEP, t.where(good, t.shift(before, 1), before))
    _update(t, SKIPPED, more)
    _follow_if(t, good, statistics)
    if s.loss_scale is not None:
        counted = t.shift(_state(t, GOOD, np.zeros(1)), 1)
        full = t.compare("greater_equal", counted, GROW_AFTER)
        grown = t.op("min", t.scale(SCALE, 2), t.constant([LARGEST_SCALE], "float32"))
        halved = t.op("max", t.scale(SCALE, 0.5), t.constant([2.0**-24], "float32"))
        zero = t.constant([0], "float32")
        _update(t, SCALE, t.where(good, t.where(full, grown, SCALE), halved))
        _update(t, GOOD, t.where(good, t.where(full, zero, counted), zero))
    return more


def _follow_if(t: Tape, good: str, statistics: Sequence[str]) -> None:
    """Running statistics keep their values where gradients are not good."""
    for name in statistics:
        _update(t, name, t.where(good, next(state.next for state in t.graph.states if state.name == name), name))


def _step(t: Tape, s: Settings, weight: str, gradient: str, rates: Sequence[str], clip: float) -> None:
    """The update of a whole weight."""
    update = _Update(t, s, weight)
    update.step(0, gradient, rates, clip)
    update.end()


class _Update:
    """The update of a weight, of the float32 value behind it if it has one, and of its moments, at once or by rows."""

    def __init__(self, t: Tape, s: Settings, weight: str) -> None:
        self.t, self.s, self.weight = t, s, weight
        self.own = _state(t, f"{weight}/master", s.masters[weight]) if weight in s.masters else weight
        self.value = self.own

    def step(self, first: int, gradient: str, rates: Sequence[str], clip: float) -> None:
        """Rows from `first` on, as many as the gradient has. rates: learning rate, factor and step."""
        t, s, own = self.t, self.s, self.own
        stem = self.weight if t.shape(gradient) == t.shape(own) else f"{self.weight}[{first}:]"
        moments = [_state(t, f"{stem}/{m}", np.zeros(t.shape(gradient))) for m in "mv"[: s.optimizer.moments]]
        attrs = {
            **s.optimizer.attrs,
            "clip": clip,
            "rounding": "stochastic" if s.stochastic and t.dtype(own) == "float16" else "nearest",
            "seed": s.seed,
            "stream": s.learning.index(self.weight),
            "start": first * math.prod(t.shape(own)[1:]),
        }
        operands = [self.value, gradient, *rates, *moments]
        self.value, *following = t.ops(s.optimizer.kind, operands, 1 + len(moments), **attrs)
        for state, value in zip(moments, following, strict=True):
            _update(t, state, value)

    def end(self) -> None:
        """The states' next values."""
        _update(self.t, self.own, self.value)
        if self.own != self.weight:
            _update(self.t, self.weight, self.t.cast(self.value, self.t.dtype(self.weight)))


def _renamed(graph: Graph, old: str, stem: str) -> str:
    """Gives a result of an op another name, in place; that name, or one like it if it is taken."""
    new = Tape(graph).unused(stem)
    t = graph.tensors.pop(old)
    t.name = new
    graph.add_tensor(t)
    for op in graph.ops:
        op.inputs = [new if n == old else n for n in op.inputs]
        op.outputs = [new if n == old else n for n in op.outputs]
    graph.rename_results({old: new})
    return new
