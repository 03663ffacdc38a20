"""pyedge evaluate"""

from __future__ import annotations

from pathlib import Path

import click

from .. import ShapeError, evaluate
from ._common import (
    board_option,
    console,
    data_option,
    emit,
    entry_option,
    isa_option,
    json_option,
    kernels_option,
    load_data,
    load_plan,
    model_argument,
    port_option,
    runner,
)


@click.command("evaluate")
@model_argument
@kernels_option()
@data_option
@click.option("--metric", type=click.Choice(["accuracy", "auc", "mse"]), default="accuracy", show_default=True)
@board_option
@port_option
@isa_option
@entry_option
@json_option
def command(
    model: Path,
    data: Path | None,
    metric: str,
    board: str | None,
    port: str | None,
    isa: str | None,
    entry: str,
    as_json: bool,
) -> None:
    """Measure how good a model is on labelled data, here or on a board.

    The data file has samples as x (or under the input's name) and labels as y.

    \b
    Examples:
      pyedge evaluate digits.pedge -d digits.npz
      pyedge evaluate ad.tflite -d windows.npz --metric auc -b virt-rv32
    """
    if data is None:
        raise click.UsageError("which data? --data FILE.npz, with samples x and labels y")
    plan = load_plan(model, board, entry=entry)
    arrays = load_data(data)
    name = plan.entry(entry).inputs[0].name if plan.entry(entry).inputs else "x"
    x = arrays.get(name, arrays.get("x"))
    if x is None:
        raise click.UsageError(f"{data}: no array {name!r} or 'x'; it has {', '.join(arrays)}")
    with runner(plan, board, port, isa) as target:
        try:
            value = evaluate(target, x, arrays.get("y"), metric=metric, entry=entry)
        except ShapeError as error:
            raise ShapeError(f"{data}: {error}; it has {', '.join(arrays)}") from None
    if as_json:
        emit(
            "evaluate",
            1,
            {"model": model, "target": board or "python", "metric": metric, "value": value, "samples": len(x)},
        )
    else:
        console().print(f"{metric} {value:.6g} on {len(x)} samples, {board or 'python'}")
