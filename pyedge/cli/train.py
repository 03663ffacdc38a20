"""pyedge train"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click
import numpy as np

from .. import SGD, Adam, AdamW, Cosine, Graph, OneCycle, Trainer, load
from .. import compile as compile_graph
from ..host import Remote
from ..host.training import fit_there
from ..train.losses import LOSSES
from ..tune.trainer import PRECISIONS
from ._common import (
    OutputFile,
    check_board,
    console,
    data_option,
    emit,
    isa_option,
    json_option,
    load_data,
    model_argument,
    port_option,
    runner,
)

_ABOVE_0 = click.FloatRange(0, min_open=True)
_COUNT = click.IntRange(1)


@click.command("train")
@model_argument
@data_option
@click.option("--output", "-o", type=OutputFile(), help="Write a plan of the tuned model here.")
@click.option("--plan", "plan_file", type=OutputFile(), help="Write a plan that goes on learning into this file.")
@click.option("--board", "-b", metavar="BOARD", help="Train on this board, with the same bits; without it, here.")
@port_option
@isa_option
@click.option(
    "--persist", is_flag=True, help="In the board's flash: the plan, what it learns, and the samples of --replay."
)
@click.option("--for", "plans_for", metavar="BOARD", help="Board that the plans are for.  [default: --board, or host]")
@click.option("--save", type=OutputFile(), help="Write a checkpoint (.npz) here in the end, to go on from.")
@click.option("--loss", type=click.Choice(list(LOSSES)), default="cross_entropy", show_default=True)
@click.option("--optimizer", type=click.Choice(["sgd", "adam", "adamw"]), default="sgd", show_default=True)
@click.option("--lr", type=_ABOVE_0, default=0.01, show_default=True, help="Learning rate.")
@click.option(
    "--schedule", type=click.Choice(["constant", "cosine", "onecycle"]), default="constant", show_default=True
)
@click.option("--momentum", type=click.FloatRange(0, 1, max_open=True), default=0.0, help="Of sgd.")
@click.option("--weight-decay", type=click.FloatRange(0), default=0.0)
@click.option("--clip-norm", type=_ABOVE_0, help="Bound of the norm of all gradients.")
@click.option("--precision", type=click.Choice(PRECISIONS), default="fp32", show_default=True)
@click.option(
    "--rounding",
    type=click.Choice(["master", "stochastic"]),
    default="master",
    show_default=True,
    help="Of float16 weights: from float32 values beside them, or at random without these.",
)
@click.option("--in-turn", is_flag=True, help="Update weights one after the other, for a smaller arena.")
@click.option(
    "--trainable", multiple=True, metavar="WHAT", help="all, last:N, bias, or a layer; several times.  [default: all]"
)
@click.option("--batch-size", type=_COUNT, default=8, show_default=True, help="Samples at once.")
@click.option("--accumulate", type=_COUNT, default=1, show_default=True, help="Batches of a step.")
@click.option("--recompute", is_flag=True, help="Cheap activations twice, for a smaller arena; the same bits.")
@click.option(
    "--replay",
    type=click.IntRange(0),
    default=0,
    metavar="N",
    help="Keep N samples, balanced over classes, and learn them again beside those that come later.",
)
@click.option("--epochs", type=_COUNT, default=1, show_default=True)
@click.option(
    "--validation", type=click.FloatRange(0, 1, max_open=True), default=0.0, help="Share kept for validation."
)
@click.option("--patience", type=_COUNT, help="Stop after so many epochs without progress.")
@click.option("--seed", type=click.IntRange(0, 2**32 - 1), default=0, show_default=True)
@json_option
@click.pass_context
def command(
    context: click.Context,
    /,
    model: Path,
    data: Path | None,
    output: Path | None,
    plan_file: Path | None,
    board: str | None,
    port: str | None,
    isa: str | None,
    persist: bool,
    plans_for: str | None,
    save: Path | None,
    epochs: int,
    validation: float,
    patience: int | None,
    as_json: bool,
    **options: Any,
) -> None:
    """Train a model, or go on from a checkpoint that --save wrote.

    The data file has samples as x (or under the input's name) and as y labels, or values in the shape of the output.
    Of a checkpoint all but epochs, validation, patience and outputs is as it was.

    \b
    Examples:
      pyedge train kws.tflite -d commands.npz --trainable last:2 --epochs 5 -o tuned.pedge
      pyedge train kws_int8.tflite -d commands.npz --precision mixed:int8 --trainable last:1 --save state.npz
      pyedge train state.npz -d commands.npz --epochs 3 --save state.npz
      pyedge train kws.tflite -d monday.npz --replay 200 --save state.npz
      pyedge train kws.tflite -d commands.npz --board virt-rv32 --trainable last:1 -o tuned.pedge
      pyedge train kws.tflite -d commands.npz --board virt-rv32 --trainable last:1 --replay 200 --persist
    """
    if data is None:
        raise click.UsageError("which data? --data FILE.npz, with samples x and labels y")
    check_board(board, port, isa)
    if persist and board is None:
        raise click.UsageError("--persist goes with --board")
    if board is not None and patience:
        raise click.UsageError("--patience is for training here; without --board")
    arrays = load_data(data)
    if "y" not in arrays:
        raise click.UsageError(f"{data}: no array 'y'; it has {', '.join(arrays)}")
    y = arrays.pop("y")
    kept = int(len(y) * validation)
    if len(y) - kept < 1:
        raise click.UsageError(f"{data}: {len(y)} samples, none is left to train on")
    if model.suffix == ".npz":
        given = [p for p in options if context.get_parameter_source(p) is click.core.ParameterSource.COMMANDLINE]
        if given:
            raise click.UsageError(f"{model} is a checkpoint, which has its own --{given[0].replace('_', '-')}")
        trainer = Trainer.load(model)
    else:
        graph = load(model)
        if not isinstance(graph, Graph):
            raise click.UsageError(f"{model} is a plan, which has no graph; give the model that it was made of")
        trainer = _trainer(graph, len(y) - kept, epochs, options)
    inputs = {t.name for t in trainer.plan.entry("main").inputs}
    x = {n: a for n, a in arrays.items() if n in inputs}
    if not x and "x" in arrays:
        x = {next(iter(inputs)): arrays["x"]}
    # The samples kept are every so many, as files are often sorted by class.
    held = np.zeros(len(y), bool)
    held[np.linspace(0, len(y) - 1, kept).astype(int)] = True

    def part(of: np.ndarray) -> tuple[dict[str, np.ndarray], np.ndarray]:
        return {name: a[of] for name, a in x.items() if len(a) == len(y)} or x, y[of]

    checked = part(held) if kept else None
    if board is None:
        history = trainer.fit(*part(~held), epochs, checked, patience=patience)
    else:
        plan = trainer.compile(board, evaluate=checked is not None)
        with runner(plan, board, port, isa, persist) as there:
            if not isinstance(there, Remote):  # the board is this machine
                history = trainer.fit(*part(~held), epochs, checked)
            else:
                history = fit_there(trainer, there, *part(~held), epochs, checked)
                if persist:
                    there.keep()
    if save is not None:
        trainer.save(save)
    target = plans_for or board or "host"
    if output is not None:
        compile_graph(trainer.graph(), board=target, mode=trainer.mode).save(output)
    if plan_file is not None:
        trainer.compile(target).save(plan_file)
    weights = sum(w.size for w in trainer.weights().values())
    arena = trainer.plan.tensor_bytes("train")
    if as_json:
        facts = {"model": model, "samples": len(y) - kept, "weights": weights, "arena_bytes": arena}
        emit("train", 1, {**facts, "history": dataclasses.asdict(history)})
        return
    for n, loss in enumerate(history.loss):
        checks = "".join(f"  validation {k} {v:.4f}" for k, v in (history.validation or [{}] * (n + 1))[n].items())
        console().print(f"epoch {n + 1}  loss {loss:.4f}{checks}  {history.seconds[n]:.1f} s", markup=False)
    console().print(f"{history.steps} steps, {history.skipped} skipped; {weights:,} weights, arena {arena:,} bytes")
    for file in filter(None, (save, output, plan_file)):
        console().print(f"written to {file}", markup=False)


def _trainer(graph: Graph, samples: int, epochs: int, options: dict[str, Any]) -> Trainer:
    """A trainer from the options of the command line."""
    size = options["batch_size"] * options["accumulate"]
    steps = max(epochs * -(-samples // size), 1)
    lr = options["lr"]
    if options["schedule"] == "cosine":
        lr = Cosine(lr, steps)
    elif options["schedule"] == "onecycle":
        if steps < 4:
            raise click.UsageError(f"--schedule onecycle: {steps} steps are too few for it; try: --epochs")
        lr = OneCycle(lr, steps)
    common = {"lr": lr, "weight_decay": options["weight_decay"], "clip_norm": options["clip_norm"]}
    if options["optimizer"] == "sgd":
        optimizer: SGD | Adam = SGD(momentum=options["momentum"], **common)
    elif options["momentum"]:
        raise click.UsageError("--momentum goes with --optimizer sgd")
    else:
        optimizer = (AdamW if options["optimizer"] == "adamw" else Adam)(**common)
    trainable: Sequence[str] = options["trainable"] or ("all",)
    names = ("loss", "precision", "rounding", "batch_size", "accumulate", "recompute", "in_turn", "replay", "seed")
    return Trainer(graph, optimizer=optimizer, trainable=trainable, **{name: options[name] for name in names})
