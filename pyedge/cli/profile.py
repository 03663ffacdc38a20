"""pyedge profile"""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from functools import partial
from pathlib import Path

import click
import numpy as np
from click.core import ParameterSource

from .. import Plan, Session
from ..boards import Stand, load_profile, read_bench
from ..clocks import parse_cpus
from ..errors import BoardError, UnsupportedError
from ..host import Remote
from ..host.cluster import Clusters, profile_clusters
from ..host.end_to_end import end_to_end
from ..host.farm import Job, Outcome, profile_all, profile_on_farm
from ..host.local import fastest_cpu, placed, roofs
from ..host.power import BUILT_IN
from ..plan import Profile
from ._common import (
    data_option,
    emit,
    entry_option,
    isa_option,
    json_option,
    keep,
    kernels_option,
    load_plan,
    load_runs,
    load_samples,
    port_option,
    progress,
    runner,
    store_option,
    table,
)
from ._meters import meter_options, metered


def _cpus(ctx: click.Context, param: click.Parameter, texts: tuple[str, ...]) -> tuple[set[int], ...]:
    try:
        found = tuple(parse_cpus(text) for text in texts)
    except ValueError as error:
        raise click.UsageError(f"--cpus: {error}") from None
    if not all(found) or sum(map(len, found)) > len(set().union(*found)):
        raise click.UsageError("--cpus: sets that are empty or overlap")
    return found


@click.command("profile")
@click.argument(
    "models", nargs=-1, required=True, metavar="MODEL...", type=click.Path(exists=True, dir_okay=False, path_type=Path)
)
@kernels_option()
@data_option
@click.option(
    "--board", "-b", "boards", metavar="BOARD", multiple=True, help="Run on this board; several: on all of them."
)
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
@click.option(
    "--bench",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="A TOML file that says which boards hang where: use all of these.",
)
@click.option("--farm", metavar="ADDRESS", help="Use the boards of a Dask cluster's workers, tcp://HOST:8786.")
@click.option(
    "--cpus",
    multiple=True,
    metavar="LIST",
    callback=_cpus,
    help="Stay on these CPUs, as 4-5 or 0,2; on a board with Linux: on its fastest.",
)
@click.option("--end-to-end", "whole", is_flag=True, help="Time the stages from the file of --data to the answer.")
@click.option(
    "--clusters", is_flag=True, help="Profile each kind of cores apart, and all together; --cpus names kinds."
)
@meter_options("With --clusters: measure the energy as well.")
@store_option
@json_option
def command(
    models: tuple[Path, ...],
    data: Path | None,
    boards: tuple[str, ...],
    port: str | None,
    isa: str | None,
    entry: str,
    runs: int | None,
    warmup: int | None,
    bench: Path | None,
    farm: str | None,
    cpus: tuple[set[int], ...],
    whole: bool,
    clusters: bool,
    meter: str | None,
    meter_port: str | None,
    volts: float | None,
    shunt: float | None,
    stored: bool,
    as_json: bool,
) -> None:
    """Measure each op: nanoseconds here, the board's own unit on a board.

    Emulated RISC-V boards count instructions, which are the same in each run; an instruction is not a cycle. Times are
    medians with a 95 % interval; what speaks against them is said: throttling, two speeds, a free clock. Without --data
    the inputs are zeros; of several samples the first is used. Runs are stored: pyedge report, pyedge trace.

    Each op is set against the peaks of what it ran on, arithmetic and memory, where these are known: measured where
    pyedge runs, told by a board's profile elsewhere. An emulated board has none.

    --end-to-end times what is around the network: reading and decoding the samples, quantizing, the way to the board
    and back, each with its share; by this computer's clock.

    --clusters profiles one core of each kind, all of each, and all together (big.LITTLE), with the best split of the
    network between the kinds; each --cpus names a kind in their place.

    Several models or boards, a bench file or a farm: each model on each board, all boards at once. A board that fails
    is named, and a sister, another stand of the same board, does its work (docs/measuring.md).

    \b
    Examples:
      pyedge profile kws.tflite --runs 200
      pyedge profile kws.tflite -b virt-rv32 --json
      pyedge profile kws.tflite ic.tflite -b virt-rv32 -b mps2-an386
      pyedge profile kws.tflite -d kws.npz --end-to-end
      pyedge profile kws.tflite -b jetson-tx2 -p ssh:me@tx2 --clusters
      pyedge profile kws.tflite --bench bench.toml
    """
    limits = {k: v for k, v in {"runs": runs, "warmup": warmup}.items() if v is not None}
    if len(models) > 1 or len(boards) > 1 or bench or farm:
        if port is not None and click.get_current_context().get_parameter_source("port") is ParameterSource.COMMANDLINE:
            raise click.UsageError("--port is for one board: a bench file says where several are")
        if cpus or whole or clusters:
            raise click.UsageError("--cpus, --clusters and --end-to-end are for one model on one board")
        _profile_many(models, data, boards, isa, entry, limits, bench, farm, stored, as_json)
        return
    if whole and data is None:
        raise click.UsageError("--end-to-end needs --data: reading the samples is a part of it")
    model, board = models[0], boards[0] if boards else None
    plan = load_plan(model, board, entry=entry)
    inputs = load_runs(data, plan, entry)[0] if data is not None else None
    if clusters:
        found = _clusters(plan, inputs, board, port, isa, entry, limits, cpus, (meter, meter_port, volts, shunt))
        if as_json:
            emit("clusters", 1, {"model": model, "clusters": found.to_dict()})
        else:
            click.echo(found.table())
        return
    if meter is not None or len(cpus) > 1:
        raise click.UsageError("--meter, and several --cpus, are for --clusters; try: pyedge power")
    with runner(plan, board, port, isa) as target, _placed(target, board, cpus[0] if cpus else None):
        if whole and data is not None:
            profile = end_to_end(target, partial(load_samples, data, plan, entry), entry=entry, **limits)
        else:
            profile = replace(target.profile(inputs, entry=entry, **limits), roofs=roofs(target))
        profile = replace(profile, target=board or profile.target)
    run = keep("profile", profile.target, model, plan, profile.to_dict()) if stored else None
    if as_json:
        emit("profile", 1, {"model": model, "profile": profile.to_dict(), "run": run})
    else:
        click.echo(profile.table())
        if profile.roofs is None and not whole:
            click.echo(f"bound by: not known, there are no peaks of {profile.target}")
        if run is not None:
            click.echo(f"stored: pyedge report {run}", err=True)


def _placed(target: Session | Remote, board: str | None, cpus: set[int] | None) -> AbstractContextManager[None]:
    """On the CPUs that are asked for; without a word on one of the fastest of a board with Linux."""
    if cpus is None and board is not None and load_profile(board).linux:
        try:
            cpus = fastest_cpu(target)
        except UnsupportedError:  # an older pyedge there
            return nullcontext()
    return nullcontext() if cpus is None else placed(target, cpus)


def _clusters(
    plan: Plan,
    inputs: dict[str, np.ndarray] | None,
    board: str | None,
    port: str | None,
    isa: str | None,
    entry: str,
    limits: dict[str, int],
    cpus: tuple[set[int], ...],
    meter: tuple[str | None, str | None, float | None, float | None],
) -> Clusters:
    """Each kind of cores that there is, or that was named; here, or on a board with Linux."""
    name, place, volts, ohm = meter
    with runner(plan, board, port, isa) as target:
        if isinstance(target, Remote) and name in BUILT_IN:
            raise click.UsageError(f"--meter {name} is of this computer: call pyedge on the board to use its own")
        with nullcontext() if name is None else metered(name, place, volts, ohm) as opened:
            return profile_clusters(target, inputs, cpus=cpus, entry=entry, meter=opened, **limits)


def _profile_many(
    models: tuple[Path, ...],
    data: Path | None,
    boards: tuple[str, ...],
    isa: str | None,
    entry: str,
    limits: dict[str, int],
    bench: Path | None,
    farm: str | None,
    stored: bool,
    as_json: bool,
) -> None:
    """Models x boards, as a table of totals. The command fails if a job did."""
    if farm and (bench or not boards):
        raise click.UsageError("--farm takes boards by --board; its workers have bench files of their own")
    stands = read_bench(bench) if bench else [Stand(board, board, isa=isa) for board in boards]
    wanted = list(dict.fromkeys(boards or (stand.board for stand in stands)))
    if not wanted:
        raise click.UsageError("name the boards: --board BOARD, or --bench FILE")
    jobs = []
    for model in models:
        for board in wanted:
            plan = load_plan(model, board, entry=entry)
            inputs = load_runs(data, plan, entry)[0] if data is not None else None
            jobs.append(Job(str(model), board, plan, {"inputs": inputs, "entry": entry, **limits}))
    with progress("profiling", len(jobs)) as bar:
        ended: list[Outcome] = []

        def done(outcome: Outcome) -> None:
            ended.append(outcome)
            bar(len(ended))

        outcomes = profile_on_farm(jobs, farm, done) if farm else profile_all(jobs, stands, done)
    kept = {
        id(o): keep("profile", o.job.board, Path(o.job.model), o.job.plan, o.profile.to_dict())
        for o in outcomes
        if stored and o.profile is not None
    }
    if as_json:
        found = [
            {
                "model": o.job.model,
                "board": o.job.board,
                "stand": o.stand,
                "profile": None if o.profile is None else o.profile.to_dict(),
                "failures": [{"stand": stand, "error": error} for stand, error in o.failures],
                "run": kept.get(id(o)),
            }
            for o in outcomes
        ]
        emit("profiles", 1, {"profiles": found})
    else:
        rows = [
            (Path(o.job.model).name, o.job.board, o.stand or "-", *_total(o.profile), kept.get(id(o)) or "-")
            for o in outcomes
        ]
        table(("model", "board", "stand", "median", "unit", "95 % of it", "run"), rows, right=(3, 5, 6))
        for o in outcomes:
            for stand, error in o.failures:
                click.echo(f"pyedge: {Path(o.job.model).name} on {stand}: {error}", err=True)
    if any(o.profile is None for o in outcomes):
        raise click.exceptions.Exit(BoardError.exit_code)


def _total(profile: Profile | None) -> tuple[object, str, str]:
    if profile is None:
        return "failed", "", ""
    interval = "all equal" if profile.interval is None else "{:,} .. {:,}".format(*profile.interval)
    return profile.total, profile.unit, interval
