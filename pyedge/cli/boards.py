"""pyedge boards"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click

from .. import Graph, Plan, load
from .. import compile as compile_graph
from ..boards import Cluster, Profile, list_profiles, load_profile
from ..demo import digits_int8
from ..plan.fit import room, shortages
from ._common import console, emit, json_option, table


@click.command("boards")
@click.argument("board", required=False)
@click.option(
    "--model",
    "-m",
    "models",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    multiple=True,
    metavar="MODEL",
    help="Does this model or plan fit the board? Can be given several times.  [default: the demo's digits]",
)
@json_option
def command(board: str | None, models: tuple[Path, ...], as_json: bool) -> None:
    """List the boards that pyedge knows, or all facts about one and what fits on it.

    BOARD is a name from the list, or the path of a .toml file.

    \b
    Examples:
      pyedge boards
      pyedge boards sifive-e
      pyedge boards esp32-c3 -m kws.tflite
    """
    if board is None:
        if models:
            raise click.UsageError("--model is for one board: pyedge boards BOARD --model MODEL")
        _list(as_json)
        return
    profile = load_profile(board)
    fits = list(_fits(profile, models))
    if as_json:
        emit("boards", 1, {"boards": [{**_facts(profile), "fits": fits}]})
    else:
        _show(profile, fits)


def _list(as_json: bool) -> None:
    profiles = list_profiles()
    if as_json:
        emit("boards", 1, {"boards": [_facts(p) for p in profiles]})
        return
    rows = [(p.name, p.status, p.isa, _size(p, "ram"), _size(p, "flash"), p.description) for p in profiles]
    table(("board", "status", "ISA", "RAM", "flash", "what it is"), rows, right=(3, 4))


def _facts(profile: Profile) -> dict[str, Any]:
    has = room(profile)
    return {**dataclasses.asdict(profile), "room": dataclasses.asdict(has) if has else None}


def _fits(profile: Profile, models: tuple[Path, ...]) -> Iterator[dict[str, Any]]:
    """One row a model: its bytes when compiled (for no board, so that it compiles at all), and what is missing."""
    sources: list[tuple[str, Graph | Plan]] = [(str(path), load(path)) for path in models]
    for name, loaded in sources or [("the demo's digits", digits_int8())]:
        plan = compile_graph(loaded) if isinstance(loaded, Graph) else loaded
        yield {
            "model": name,
            "plan_bytes": plan.flash_bytes,
            "arena_bytes": plan.arena_bytes,
            "missing": shortages(plan, profile),
        }


def _show(profile: Profile, fits: list[dict[str, Any]]) -> None:
    say = console().print
    say(f"[bold]{profile.name}[/]: {profile.description} ({profile.path})")
    for name, value in _lines(profile):
        say(f"{name:10} {value}", markup=False)
    if profile.clusters:
        rows = [
            (c.core, c.cores, f"{c.clock_hz / 1e6:g} MHz" if c.clock_hz else "-", _listed(c.features), *_peaks(c))
            for c in profile.clusters
        ]
        table(("cores", "number", "clock", "also has", "MAC/cycle, one core", "peak GMAC/s, all"), rows, right=(1, 2))
    table(
        ("memory", "kind", "address", "bytes"),
        [(m.name, m.kind, f"{m.address:#x}", m.size_bytes) for m in profile.memories],
        right=(2, 3),
    )
    if profile.images:
        table(("firmware for", "file", "CPU"), [(i.isa, i.file, i.cpu or "-") for i in profile.images])
    if has := room(profile):
        place = "beside it in RAM" if has.plan is None else f"of up to {has.plan:,} bytes"
        say(f"Room, what firmware or system takes not counted: an arena of up to {has.ram:,} bytes, a plan {place}.\n")
    verdicts = [(f["model"], f["plan_bytes"], f["arena_bytes"], "; ".join(f["missing"]) or "fits") for f in fits]
    table(("model", "plan bytes", "arena bytes", "does it fit?"), verdicts, right=(1, 2))
    say("\nKnown from:")
    for fact, source in profile.sources.items():
        say(f"{fact:10} {source}", markup=False)


def _lines(profile: Profile) -> Iterator[tuple[str, str]]:
    yield "status", profile.status
    yield "ISA", " ".join((profile.isa, *profile.features))
    yield "layout", f"{profile.layout} constants in plans"
    if profile.link:
        usb = f", USB {', '.join(profile.link.usb)}" if profile.link.usb else ""
        yield "link", f"{profile.link.baud} baud{usb}"
        if profile.link.wiring:
            yield "wiring", profile.link.wiring
    if profile.flasher:
        usb = f", USB {', '.join(profile.flash_usb)}" if profile.flash_usb else ""
        yield "flasher", f"{profile.flasher}{usb}"
    if profile.reset:
        yield "reset", {"dtr-rts": "by DTR and RTS", "button": "by hand", "debugger": "by the probe"}[profile.reset]
    if profile.meter:
        yield "meter", profile.meter
    if profile.mark is not None:
        yield "mark", f"pin {profile.mark}, high during runs, for pyedge power --mark gpio"
    if profile.linux:
        yield "system", f"{profile.linux.system}, Python {profile.linux.python}"
        yield "install", profile.linux.install


def _peaks(cluster: Cluster) -> tuple[str, str]:
    """MACs per cycle, and with the clock per second, by type."""
    macs = cluster.macs_per_cycle
    per_cycle = ", ".join(f"{kind} {n}" for kind, n in macs.items())
    rate = cluster.cores * (cluster.clock_hz or 0) / 1e9
    per_second = ", ".join(f"{kind} {n * rate:g}" for kind, n in macs.items() if rate)
    return per_cycle or "-", per_second or "-"


def _listed(names: tuple[str, ...]) -> str:
    return ", ".join(names) or "-"


def _size(profile: Profile, kind: str) -> str:
    """All memory of a kind, to three digits; "-" if there is none."""
    size = sum(m.size_bytes for m in profile.memories if m.kind == kind)
    unit, name = next(((u, n) for u, n in ((1 << 30, "GiB"), (1 << 20, "MiB")) if size >= u), (1 << 10, "KiB"))
    return f"{size / unit:.3g} {name}" if size else "-"
