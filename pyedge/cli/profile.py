"""pyedge profile"""

from __future__ import annotations

from pathlib import Path

import click

from ._common import (
    board_option,
    data_option,
    emit,
    entry_option,
    isa_option,
    json_option,
    keep,
    kernels_option,
    load_plan,
    load_runs,
    model_argument,
    port_option,
    runner,
    store_option,
)


@click.command("profile")
@model_argument
@kernels_option()
@data_option
@board_option
@port_option
@isa_option
@entry_option
@click.option(
    "--runs",
    "-n",
    type=click.IntRange(1),
    help="Measured runs.  [default: until the median is known to 1 %; 1 where instructions are counted]",
)
@click.option(
    "--warmup", type=click.IntRange(0), help="Runs before them.  [default: 5; 0 where instructions are counted]"
)
@store_option
@json_option
def command(
    model: Path,
    data: Path | None,
    board: str | None,
    port: str | None,
    isa: str | None,
    entry: str,
    runs: int | None,
    warmup: int | None,
    stored: bool,
    as_json: bool,
) -> None:
    """Measure each op: nanoseconds here, the board's own unit on a board.

    Emulated RISC-V boards count instructions, which are the same in each run; an instruction is not a cycle. Times are
    medians with a 95 % interval; what speaks against them is said: throttling, two speeds, a free clock. Without --data
    the inputs are zeros; of several samples the first is used. Runs are stored: pyedge report, pyedge trace.

    \b
    Examples:
      pyedge profile kws.tflite --runs 200
      pyedge profile kws.tflite -b virt-rv32 --json
    """
    plan = load_plan(model, board, entry=entry)
    inputs = load_runs(data, plan, entry)[0] if data is not None else None
    limits = {k: v for k, v in {"runs": runs, "warmup": warmup}.items() if v is not None}
    with runner(plan, board, port, isa) as target:
        profile = target.profile(inputs, entry=entry, **limits)
    run = keep("profile", profile.target, model, plan, profile.to_dict()) if stored else None
    if as_json:
        emit("profile", 1, {"model": model, "profile": profile.to_dict(), "run": run})
    else:
        click.echo(profile.table())
        if run is not None:
            click.echo(f"stored: pyedge report {run}", err=True)
