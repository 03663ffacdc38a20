"""pyedge power"""

from __future__ import annotations

from pathlib import Path
from typing import get_args

import click

from ..host.power import measure, model_energy
from ..host.power.energy import WINDOWS, Mark
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
from ._meters import meter_options, metered


@click.command("power")
@model_argument
@kernels_option()
@data_option
@board_option
@port_option
@isa_option
@entry_option
@click.option(
    "--model", "modelled", is_flag=True, help="Model it from the counts of a board that no meter can measure."
)
@meter_options("What measures.")
@click.option("--ampere", is_flag=True, help="The board has its own supply; a ppk2 only measures.")
@click.option(
    "--mark",
    type=click.Choice(get_args(Mark)),
    help="What marks the runs.  [default: device if it has a clock, else clock]",
)
@click.option("--pin", type=click.IntRange(0, 7), default=0, show_default=True, help="Digital input for --mark gpio.")
@click.option("--runs", "-n", type=click.IntRange(1), help="Runs of a window.  [default: as many as the edges need]")
@click.option("--windows", type=click.IntRange(1), default=WINDOWS, show_default=True, help="Windows measured.")
@store_option
@json_option
def command(
    model: Path,
    data: Path | None,
    board: str | None,
    port: str | None,
    isa: str | None,
    entry: str,
    modelled: bool,
    meter: str | None,
    meter_port: str | None,
    volts: float | None,
    ampere: bool,
    shunt: float | None,
    mark: Mark | None,
    pin: int,
    runs: int | None,
    windows: int,
    stored: bool,
    as_json: bool,
) -> None:
    """Measure the energy of an inference: gross, and net of idling.

    Windows of many runs lie between two stretches of idling. Where the edges of a window are uncertain by more than
    0.1 %, or more than 0.1 % of the samples were lost, there is no result, and the exit code is 8. Without --board the
    model runs here.

    --model takes what a board counts, and the coefficients of its profile: a modelled figure, not a measured one, and
    not stored. A board without coefficients has none.

    \b
    Examples:
      pyedge power kws.tflite --meter rapl
      pyedge power kws.tflite -b virt-rv32 --model
      pyedge power kws.tflite -b BOARD --meter ppk2 --meter-port /dev/ttyACM1 --volts 3.3 --mark gpio
    """
    if modelled is (meter is not None):
        raise click.UsageError("give one of --meter, to measure, and --model")
    if modelled and board is None:
        raise click.UsageError("--model takes what a board counts: add --board BOARD")
    plan = load_plan(model, board, entry=entry)
    inputs = load_runs(data, plan, entry)[0] if data is not None else None
    if meter is None:
        with runner(plan, board, port, isa) as target:
            found = model_energy(target, inputs, entry=entry)
        if as_json:
            emit("power", 1, {"model": model, "modelled": found.to_dict(), "run": None})
        else:
            click.echo(found.table())
        return
    with metered(meter, meter_port, volts, shunt, not ampere) as opened, runner(plan, board, port, isa) as target:
        energy = measure(opened, target, inputs, entry=entry, mark=mark, pin=pin, runs=runs, windows=windows)
    run = keep("power", energy.target, model, plan, energy.to_dict()) if stored else None
    if as_json:
        emit("power", 1, {"model": model, "energy": energy.to_dict(), "run": run})
    else:
        click.echo(energy.table())
        if run is not None:
            click.echo(f"stored: pyedge report {run}", err=True)
