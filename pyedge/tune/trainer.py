"""Training in Python: the plan that a board would run, with the same bits."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from operator import index
from os import PathLike
from typing import Any

import numpy as np

from ..errors import ModelError
from ..model.check import check
from ..model.graph import Graph, State
from ..plan import Plan
from ..plan.compile import compile
from ..session import Session
from ..train.batch_norm import running_statistics
from ..train.channels import split_channels
from ..train.losses import BinaryCrossEntropy, Loss, find_loss
from ..train.optimizers import SGD, Optimizer
from ..train.parameters import Trainable, select
from ..train.precision import dequantize_tail, to_half
from ..train.prepare import SKIPPED, STEP, Settings, prepare, with_batch
from . import checkpoint
from .replay import Reservoir
from .training import Array, Facts, History, Loop, Samples, bar, evaluate, rows, samples_for

PRECISIONS = ("fp32", "fp16", "fast16", "mixed:int8", "mixed:int8:fp16")
LOSS_SCALE = 2.0**15  # at first, of float16


class Trainer:
    """Trains a graph on the host, by a plan in which forward, backward and update are one entry.

    Args:
        graph: A graph of floats; with precision "mixed:int8" one of int8. Open first axes are samples.
        loss: "cross_entropy", "bce", "mse", "l1", "huber", "kl", or a loss with options: pe.CrossEntropy(...). Where
            the graph ends in the softmax or sigmoid that goes with the loss, the loss starts before it.
        optimizer: pe.SGD, pe.Adam or pe.AdamW, whose lr may be pe.StepDecay, pe.Cosine or pe.OneCycle.
        precision: "fp32"; "fp16": weights, what goes between layers and its gradients are float16, sums float32;
            "fast16": sums of 32 products in float16 as well; "mixed:int8", "mixed:int8:fp16": an int8 graph, of
            which the layers that learn and all behind them become floats as of "fp32" or "fp16".
        trainable: "all", "last:2" (layers), "bias", layers or weights by name, or {name: (first channel, end)}.
        batch_size: Samples that go through at once.
        accumulate: Batches whose mean gradient makes a step, for more samples a step in the same arena.
        rounding: Of float16 weights: "master", from float32 values that are kept beside, or "stochastic", without.
        loss_scale: Of float16, at first: it adapts.
        recompute: Compute cheap activations again for the gradients, where a smaller arena is the gain. Same bits.
        in_turn: Each weight is updated as soon as its gradient is there, a few rows at a time, so that gradients take
            next to no memory. The same bits, but where a gradient is not finite its rows alone are left as they are.
            Without clip_norm, noise and accumulate.
        replay: Samples of `fit` that are kept, balanced over classes, and learned again beside those of later calls.
            What is kept, and learned from, is what comes out of the frozen part: int8 codes, and floats rounded to 8
            bits by a scale for each sample. Inputs that the learning part reads are kept as they are.
        seed: Of the samples' order, of gradient noise, of stochastic rounding and of which samples are kept.
        output: The output that the loss is of; the first.
        threads: As in Session; the bits are the same.

    Raises:
        ModelError: An op without gradient between a weight that learns and the loss, names it; unknown names.
        PlanError, ShapeError: As `pe.compile`.
    """

    def __init__(
        self,
        graph: Graph,
        loss: str | Loss = "cross_entropy",
        optimizer: Optimizer | None = None,
        precision: str = "fp32",
        trainable: Trainable = "all",
        batch_size: int = 1,
        accumulate: int = 1,
        rounding: str = "master",
        loss_scale: float = LOSS_SCALE,
        recompute: bool = False,
        in_turn: bool = False,
        replay: int = 0,
        seed: int = 0,
        output: str | None = None,
        threads: int = 1,
    ) -> None:
        if precision not in PRECISIONS:
            raise ModelError(f"precision={precision!r} is not known; one of {', '.join(PRECISIONS)}")
        if rounding not in ("master", "stochastic"):
            raise ModelError(f"rounding={rounding!r} is not known; 'master' or 'stochastic'")
        if isinstance(optimizer, str | type):
            raise ModelError(f"optimizer={optimizer!r} is none; try: pe.SGD(lr=0.01), pe.Adam(1e-3)")
        batch_size, accumulate, replay, seed = map(index, (batch_size, accumulate, replay, seed))
        if replay < 0 or not 0 < loss_scale < math.inf:
            raise ValueError(f"replay={replay}, loss_scale={loss_scale}: at least 0, and above 0")
        if batch_size < 1 or accumulate < 1 or not 0 <= seed < 2**32:
            raise ValueError(f"batch_size={batch_size}, accumulate={accumulate}, seed={seed}: at least 1, 1 and 0")
        self._made_of: dict[str, Any] = {
            "loss": find_loss(loss),
            "optimizer": optimizer or SGD(),
            "precision": precision,
            "trainable": trainable,
            "batch_size": batch_size,
            "accumulate": accumulate,
            "rounding": rounding,
            "loss_scale": loss_scale,
            "recompute": recompute,
            "in_turn": in_turn,
            "replay": replay,
            "seed": seed,
            "output": output,
        }
        self._given = check(graph)
        self._threads = threads
        self._kept = Reservoir(replay, seed)
        self._epoch = 0  # epochs of `fit` so far: shuffling goes on where it was
        name = graph.output_names[0] if output is None else output
        if name not in graph.output_names:
            raise ModelError(f"graph {graph.name!r} has no output {name!r}; try: {', '.join(graph.output_names)}")
        self._graph, masters, learning = _in_precision(_closed(self._given), name, precision, trainable)
        half = precision.endswith(("fp16", "fast16"))
        self._settings = Settings(
            loss=find_loss(loss),
            optimizer=optimizer or SGD(),
            learning=learning,
            output=name,
            masters={n: v for n, v in masters.items() if n in learning} if rounding == "master" else {},
            stochastic=rounding == "stochastic",
            loss_scale=loss_scale if half else None,
            batch=batch_size,
            accumulate=accumulate,
            recompute=recompute,
            in_turn=in_turn,
            seed=seed,
            latent=replay > 0,
        )
        self._entries = prepare(self._graph, self._settings)
        self._start(self._entries)

    def _start(self, entries: dict[str, Graph]) -> None:
        """A new session, whose states begin as in `entries`."""
        self._session = Session(compile(entries, mode=self.mode), self._threads)
        self._stream = self._loop(History())  # of train_on_batch

    @property
    def mode(self) -> str:
        """The `mode` of `pe.compile` that goes with the precision."""
        return "fast16" if self._made_of["precision"] == "fast16" else "exact"

    @property
    def plan(self) -> Plan:
        """The plan that runs here; beside what boards get it has the entry "evaluate"."""
        return self._session.plan

    @property
    def steps(self) -> int:
        """Steps so far, skipped ones not counted."""
        return int(self._session.state()[STEP][0])

    # --- training ---

    def fit(
        self,
        x: Samples,
        y: Array,
        epochs: int = 1,
        validation_data: tuple[Samples, Array] | None = None,
        shuffle: bool = True,
        patience: int | None = None,
        progress: bool = True,
    ) -> History:
        """Trains for some epochs.

        Args:
            x: Samples along the first axis, or arrays by input name. Real values are quantized for int8 inputs.
            y: What is expected, sample by sample: class numbers, or values in the shape of the output.
            validation_data: x and y on which the loss is measured after each epoch.
            shuffle: Another order in each epoch, a function of seed and epoch; False: as given.
            patience: Stop after as many epochs without a smaller loss, of validation_data if there are any, and go back
                to the weights and optimizer of the best one.
            progress: A bar on stderr, if that is a terminal.

        Raises:
            ShapeError: Samples that don't fit, or labels that are no class.
            TrainingError: Diverged: bad steps outnumber the others by 50; has the history.
        """
        if epochs < 1 or (patience is not None and patience < 1):
            raise ValueError(f"epochs={epochs}, patience={patience}: at least 1")
        new = self._rows(x, y)
        arrays = self._kept.beside(new)
        checked = None if validation_data is None else self._samples(*validation_data)
        history = History()
        loop = self._loop(history)
        best, best_states, since = math.inf, None, 0
        with bar(progress, epochs) as progress_of:
            for n in range(epochs):
                start = time.perf_counter()
                loop.epoch(arrays, self._settings.seed, self._epoch, shuffle, progress_of(n))
                self._epoch += 1
                if checked is not None:
                    history.validation.append(self._evaluate(checked))
                history.seconds[-1] = time.perf_counter() - start
                if patience is None:
                    continue
                found = history.loss[-1] if checked is None else history.validation[-1]["loss"]
                if found < best:
                    best, best_states, since = found, self._session.state(), 0
                else:
                    since += 1
                if since >= patience:
                    history.stopped = n + 1
                    break
        if best_states is not None and since:
            self._start(_with_values(self._entries, best_states))
        self._kept.add(new)
        return history

    @property
    def kept(self) -> list[Array]:
        """The samples kept, as rows of what "train" takes; nothing if there are none."""
        return self._kept.arrays()

    def keep(self, x: Samples, y: Array) -> None:
        """Offers samples that a board has learned to those kept, as `fit` does with its own."""
        self._kept.add(self._rows(x, y))

    def train_on_batch(self, x: Samples, y: Array) -> float:
        """One step on batch_size * accumulate samples; its loss.

        Raises:
            ShapeError: Samples that don't fit, another number of them, or labels that are no class.
        """
        return self._stream.step(self._rows(x, y))

    def replay(self, steps: int) -> History:
        """Steps on samples that were kept, each drawn at random: learning goes on without new ones. A board does the
        same without a host (`Remote.replay`).

        Raises:
            ModelError: None are kept.
            TrainingError: Diverged, as in `fit`.
        """
        if not len(self._kept):
            raise ModelError("no samples are kept; try: Trainer(replay=N), and fit")
        history = History()
        loop = self._loop(history)
        history.loss = [loop.step(self._kept.draw(loop.size)) for _ in range(steps)]
        return history

    def _loop(self, history: History) -> Loop:
        s = self._settings
        skipped = float(self._session.state()[SKIPPED][0])
        return Loop(self._session, s.batch * s.accumulate, s.accumulate, history, skipped)

    def _samples(self, x: Samples, y: Array) -> list[Array]:
        entry = self.plan.entry("evaluate")
        return samples_for(entry.inputs, x, np.asarray(y), self._classes, self._binary)

    def _rows(self, x: Samples, y: Array) -> list[Array]:
        """What a step takes of samples: with replay, what comes out of the frozen part."""
        names = [t.name for t in self.plan.entry("evaluate").inputs]
        return rows(self._session, self.plan, dict(zip(names, self._samples(x, y), strict=True)))

    @property
    def _classes(self) -> int:
        return self.plan.entry("evaluate").outputs[1].shape[-1] or 1

    # --- results ---

    def evaluate(self, x: Samples, y: Array) -> dict[str, float]:
        """Mean "loss" of samples, and their "accuracy" where y are class numbers or the loss is "bce"."""
        return self._evaluate(self._samples(x, y))

    def _evaluate(self, arrays: Sequence[Array]) -> dict[str, float]:
        return evaluate(self._session, self.plan.entry("evaluate"), arrays, self._binary)

    @property
    def _binary(self) -> bool:
        return isinstance(self._settings.loss, BinaryCrossEntropy)

    def predict(self, x: Samples) -> Array | list[Array]:
        """The model's outputs for samples along the first axis, by the entry "main": one array, or one an output."""
        entry = self.plan.entry("main")
        arrays = samples_for(entry.inputs, x, None, 0)
        size = entry.inputs[0].shape[0] or 1
        runs = []
        for first in range(0, len(arrays[0]), size):
            picked = np.arange(first, first + size).clip(max=len(arrays[0]) - 1)
            runs.append(self._session.run([a[picked] for a in arrays], "main"))
        outputs = [np.concatenate(parts)[: len(arrays[0])] for parts in zip(*runs, strict=True)]
        return outputs[0] if len(outputs) == 1 else outputs

    def weights(self) -> dict[str, Array]:
        """Copies of the weights that learn, by the name of their tensor in `graph()`."""
        states = self._session.state()
        return {name: states[name] for name in self._settings.learning}

    def graph(self) -> Graph:
        """The tuned graph, for `pe.compile`: its weights are constants again. Those of "fp16" are float16."""
        graph, states = self._graph.copy(), self._session.state()
        for name in (*self._settings.learning, *running_statistics(graph, self._settings.learning)):
            graph.tensors[name].data = states[name]
        return check(graph)

    def compile(self, board: str = "host", evaluate: bool = False, **options: Any) -> Plan:
        """The plan for a board, which goes on learning from here: entries main, train, accumulate and features if
        needed, and reset.

        What `board.load` makes of it has `fit`, `train_on_batch` and `weights`.

        Args:
            evaluate: With the entry that validation_data need.
            options: Those of `pe.compile`.
        """
        s = self._settings
        entries = _with_values(
            {n: g for n, g in self._entries.items() if evaluate or n != "evaluate"}, self._session.state()
        )
        size = self._kept.size
        facts = Facts(tuple(s.learning), s.accumulate, self._classes, s.seed, self._epoch, size, self._binary)
        entries["train"].meta["training"] = facts.text()
        return compile(entries, board, mode=self.mode, **options)

    def go_on_from(self, states: Mapping[str, Array], epoch: int) -> None:
        """Goes on where a board is that learned by a plan of `compile`: with `remote.state()`, `remote.epoch`.

        Raises:
            ModelError: A state is missing, or of another shape or dtype.
        """
        own = self._session.state()
        for name, value in own.items():
            given = states.get(name)
            if given is None or (given.shape, given.dtype) != (value.shape, value.dtype):
                raise ModelError(f"state {name!r} is {value.dtype}{list(value.shape)}, and not so among those given")
        self._epoch = epoch
        self._start(_with_values(self._entries, {name: states[name] for name in own}))

    def save(self, path: str | PathLike[str]) -> None:
        """Writes graph, weights, optimizer, counters, kept samples and a hash of all into a .npz, whole or not.

        Raises:
            ModelError: A loss or optimizer of the user's own, no such folder, or no room.
        """
        checkpoint.save(path, self._given, self._made_of, self._epoch, self._session.state(), self._kept.state())

    @classmethod
    def load(cls, path: str | PathLike[str], threads: int = 1) -> Trainer:
        """The trainer that `save` wrote: it goes on as if it had never stopped, bit for bit.

        Raises:
            ModelError: No such file, a damaged one (the hash says so), or another file.
        """
        graph, made_of, epoch, states, kept = checkpoint.load(path)
        trainer = cls(graph, **made_of, threads=threads)
        trainer._epoch = epoch
        trainer._kept.restore(kept)
        trainer._start(_with_values(trainer._entries, states))
        return trainer


def _closed(graph: Graph) -> Graph:
    """Open first axes become 1."""
    return with_batch(graph, 1) if any(t.shape[:1] == (None,) for t in graph.inputs) else graph


def _in_precision(
    graph: Graph, output: str, precision: str, trainable: Trainable
) -> tuple[Graph, dict[str, np.ndarray], tuple[str, ...]]:
    """The graph as it runs, the float32 values of its float16 weights, and the names of the weights that learn."""
    chosen = select(graph, output, trainable, int8=precision.startswith("mixed"))
    if precision.startswith("mixed"):
        learning = set(chosen)
        layers = {i for i, op in enumerate(graph.ops) if learning.intersection(n for n in op.inputs if n is not None)}
        graph = dequantize_tail(graph, layers)
    if ranges := {name: channels for name, channels in chosen.items() if channels is not None}:
        graph, names = split_channels(graph, ranges)
        chosen = {names.get(name, name): None for name in chosen}
    masters: dict[str, np.ndarray] = {}
    if precision.endswith(("fp16", "fast16")):
        graph, masters = to_half(graph)
    return graph, masters, tuple(chosen)


def _with_values(entries: dict[str, Graph], values: dict[str, np.ndarray]) -> dict[str, Graph]:
    """Copies of graphs whose states begin with other values."""
    result = {}
    for name, graph in entries.items():
        result[name] = graph.copy()
        result[name].states = [State(s.name, s.next, values[s.name]) for s in graph.states]
    return result
