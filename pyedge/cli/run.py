"""pyedge run"""

from __future__ import annotations

from pathlib import Path

import click
import numpy as np

from .. import Session, VerificationError
from ._common import (
    OutputFile,
    board_option,
    console,
    data_option,
    emit,
    entry_option,
    isa_option,
    json_option,
    kernels_option,
    load_plan,
    load_runs,
    model_argument,
    port_option,
    progress,
    runner,
    table,
    zeros,
)


@click.command("run")
@model_argument
@kernels_option()
@data_option
@board_option
@port_option
@isa_option
@entry_option
@click.option("--output", "-o", type=OutputFile(), help="Write all outputs to this .npz file.")
@click.option("--compare", is_flag=True, help="Also run here, and fail (exit 7) if one byte differs.")
@click.option("--reset", is_flag=True, help="Reset the model's states before each run: the samples are no sequence.")
@click.option("--batch", type=click.IntRange(1), help="Size of the first axis, where the model leaves it open.")
@click.option("--shape", "shapes", multiple=True, metavar="NAME=1,49,10,1", help="Sizes of an input's open axes.")
@json_option
def command(
    model: Path,
    data: Path | None,
    board: str | None,
    port: str | None,
    isa: str | None,
    entry: str,
    output: Path | None,
    compare: bool,
    reset: bool,
    batch: int | None,
    shapes: tuple[str, ...],
    as_json: bool,
) -> None:
    """Run a model or plan on data, here or on a board.

    MODEL is a .tflite or .pedge file. Without --data the inputs are zeros. Samples are a sequence: a model with states
    (a recurrent or streaming one) keeps them from one to the next, unless --reset is given.

    \b
    Examples:
      pyedge run kws.tflite -d samples.npz -o outputs.npz
      pyedge run kws.tflite -d samples.npz -b virt-rv32 --compare
    """
    plan = load_plan(model, board, batch, shapes, entry)
    e = plan.entry(entry)
    runs = load_runs(data, plan, entry) if data is not None else [zeros(plan, entry)]
    local = Session(plan) if compare else None
    results: list[dict[str, np.ndarray]] = []
    different = 0
    with runner(plan, board, port, isa) as target, progress("running", len(runs)) as done:
        for i, inputs in enumerate(runs):
            if reset:
                target.reset()
            results.append(target.run(inputs, entry))
            if local is not None:
                if reset:
                    local.reset()
                here = local.run(inputs, entry)
                different += sum(_bytes_different(a, results[-1][name]) for name, a in here.items())
            done(i + 1)
    outputs = {t.name: np.stack([r[t.name] for r in results]) for t in e.outputs}
    if output is not None:
        with output.open("wb") as file:  # savez would add a suffix to a name without one
            np.savez(file, allow_pickle=False, **{name: _joined(y) for name, y in outputs.items()})
    total = sum(y.nbytes for y in outputs.values())
    if as_json:
        facts = {"compared_bytes": total, "different_bytes": different} if compare else {}
        listed = {} if output is not None else {"outputs": {name: _joined(y) for name, y in outputs.items()}}
        emit(
            "run",
            1,
            {"model": model, "target": board or "python", "entry": entry, "runs": len(runs), **facts, **listed},
        )
    else:
        rows = [(t.name, f"{t.dtype}{list(t.shape)}", _shown(outputs[t.name][0])) for t in e.outputs]
        table(("output", "type", "first run"), rows)
        console().print(
            f"{len(runs)} {'run' if len(runs) == 1 else 'runs'} on {board or 'python'}"
            + (f", written to {output}" if output else ""),
            markup=False,
        )
        if compare:
            console().print(f"{total - different:,} of {total:,} output bytes are those of Python")
    if different:
        raise VerificationError(f"{board or 'python'}: {different} of {total} output bytes differ from Python's")


def _bytes_different(a: np.ndarray, b: np.ndarray) -> int:
    """Number of bytes that differ between two arrays of one shape and dtype; NaN payloads count."""
    return int(np.count_nonzero(np.frombuffer(a.tobytes(), np.uint8) != np.frombuffer(b.tobytes(), np.uint8)))


def _joined(y: np.ndarray) -> np.ndarray:
    """[runs, batch, ...] as [runs * batch, ...]."""
    return y.reshape(-1, *y.shape[2:]) if y.ndim > 1 else y


def _shown(y: np.ndarray) -> str:
    """The first values of an array, on one line."""
    flat = y.reshape(-1)
    text = " ".join(f"{v:.6g}" if flat.dtype.kind == "f" else str(v) for v in flat[:12].tolist())
    return text + (" ..." if flat.size > 12 else "")
