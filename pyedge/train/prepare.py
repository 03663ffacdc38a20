"""A graph, a loss and an optimizer -> the graphs of a plan that learns: forward, backward and update in one entry.

Entries share the weights that learn, their moments and the counters as states. Nothing is computed here.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from ..errors import ModelError, ShapeError
from ..model.graph import Graph, State, Tensor
from ..model.ops import infer_shapes, show
from ..model.surgery import extract
from .autodiff import gradients
from .batch_norm import running_statistics, with_batch_statistics
from .losses import Loss, sample_losses
from .optimizers import Optimizer
from .tape import Tape

# Names of states beside those of weights and moments.
STEP, SKIPPED, SCALE, GOOD = "train/step", "train/skipped", "train/scale", "train/good"
LARGEST_SCALE = 2.0**24
GROW_AFTER = 2000  # good steps
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
        seed: Of noise and stochastic rounding.
        output: Name of the output that the loss is of.
        recompute: As in `gradients`.
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
    seed: int = 0
    recompute: bool = False


def prepare(graph: Graph, s: Settings) -> dict[str, Graph]:
    """The entries: "main", the graph itself, and those that take inputs and targets of a batch: "train" -> loss
    float32[1] and the number of skipped steps float32[1]; "accumulate", if s.accumulate is above 1, -> loss; "evaluate"
    -> losses[batch] and what they were computed of.

    A step whose gradients are not all finite changes nothing but the loss scale and the number of skipped steps.

    Raises:
        ModelError: An op without gradient on the way to a weight that learns, or a graph that can't have another batch.
    """
    statistics = running_statistics(graph, s.learning)
    main = _with_states(graph, [*s.learning, *statistics])
    forward, target = _with_target(main, s)
    evaluate = forward.copy()
    losses = sample_losses(Tape(evaluate), s.loss, forward.output_names[0], target)
    evaluate.output_names = [_renamed(evaluate, losses, "losses"), *forward.output_names]
    forward = with_batch_statistics(forward, s.learning)
    entries = {"main": main, "train": _train(forward, target, statistics, s), "evaluate": evaluate}
    if s.accumulate > 1:
        entries["accumulate"] = _accumulate(forward, target, s)
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
    graph, found = gradients(graph, loss, s.learning, scale, s.recompute)
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


def _accumulate(forward: Graph, target: str, s: Settings) -> Graph:
    t, loss, found = _backward(forward, target, s)
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
    one, zeros = t.constant([1], "float32"), np.zeros(1)
    before, skipped = _state(t, STEP, zeros), _state(t, SKIPPED, zeros)
    square: str | None = None
    for gradient in found.values():
        square = t.op("sum_squares", gradient, square)
    assert square is not None
    good = t.compare("less", square, math.inf)
    step = t.add(before, one)
    more = t.where(good, skipped, t.add(skipped, one))
    _update(t, STEP, t.where(good, step, before))
    _update(t, SKIPPED, more)
    for name in statistics:
        _update(t, name, t.where(good, next(state.next for state in t.graph.states if state.name == name), name))
    factor = _factor(t, square, good, s)
    rate = s.optimizer.lr
    lr = t.constant([rate], "float32") if isinstance(rate, float | int) else rate.ops(t, before)
    clip = math.inf if s.optimizer.clip_value is None else float(s.optimizer.clip_value)
    noise = None
    if s.optimizer.noise is not None:  # which comes after clipping: what is left to the update is whether it is done
        decayed = t.op("pow", step, t.constant([-_NOISE_DECAY / 2], "float32"))
        noise = t.scale(decayed, math.sqrt(s.optimizer.noise))
        done = t.where(good, one, t.constant([math.nan], "float32"))
    for weight, gradient in found.items():
        stream = s.learning.index(weight)
        if noise is None:
            _step(t, s, weight, gradient, stream, (lr, factor, step), clip)
        else:
            operands = (gradient, factor, noise, step)
            noisy = t.op("gradient_noise", *operands, clip=clip, seed=s.seed, stream=stream)
            _step(t, s, weight, noisy, stream, (lr, done, step), math.inf)
    t.graph.output_names = [_renamed(t.graph, loss, "loss"), _renamed(t.graph, more, "skipped")]
    return t.graph


def _factor(t: Tape, square: str, good: str, s: Settings) -> str:
    """What gradients are multiplied by: 1 / (loss scale * batches), and to clip their norm; NaN leaves the step out."""
    factor = t.constant([1 / s.accumulate], "float32")
    if s.loss_scale is not None:
        factor = t.div(factor, SCALE)
        counted = t.shift(_state(t, GOOD, np.zeros(1)), 1)
        full = t.compare("greater_equal", counted, GROW_AFTER)
        grown = t.op("min", t.scale(SCALE, 2), t.constant([LARGEST_SCALE], "float32"))
        halved = t.op("max", t.scale(SCALE, 0.5), t.constant([2.0**-24], "float32"))
        zero = t.constant([0], "float32")
        _update(t, SCALE, t.where(good, t.where(full, grown, SCALE), halved))
        _update(t, GOOD, t.where(good, t.where(full, zero, counted), zero))
    if s.optimizer.clip_norm is not None:
        norm = t.shift(t.mul(t.op("sqrt", square), factor), 1e-6)  # as PyTorch's clip_grad_norm_
        bound = t.div(t.constant([s.optimizer.clip_norm], "float32"), norm)
        factor = t.mul(factor, t.op("min", bound, t.constant([1], "float32")))
    return t.where(good, factor, t.constant([math.nan], "float32"))


def _step(t: Tape, s: Settings, weight: str, gradient: str, stream: int, rates: Sequence[str], clip: float) -> None:
    """The update of a weight, of the float32 value behind it if it has one, and of its moments."""
    own = weight
    if weight in s.masters:
        own = _state(t, f"{weight}/master", s.masters[weight])
    moments = [_state(t, f"{weight}/{m}", np.zeros(t.shape(gradient))) for m in "mv"[: s.optimizer.moments]]
    rounding = "stochastic" if s.stochastic and t.dtype(own) == "float16" else "nearest"
    attrs = {**s.optimizer.attrs, "clip": clip, "rounding": rounding, "seed": s.seed, "stream": stream, "start": 0}
    results = t.ops(s.optimizer.kind, [own, gradient, *rates, *moments], 1 + len(moments), **attrs)
    for state, value in zip([own, *moments], results, strict=True):
        _update(t, state, value)
    if own != weight:
        _update(t, weight, t.cast(results[0], t.dtype(weight)))


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
