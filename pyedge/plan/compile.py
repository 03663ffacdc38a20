"""graph -> plan."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..boards import load_profile
from ..compress.channels import ChannelReport, remove_dead_channels
from ..errors import PlanError, ShapeError
from ..model.graph import Graph
from ..model.ops import infer_shapes
from .bands import in_bands
from .fit import shortages
from .layouts import lay_out
from .lifetimes import layout
from .lower import lower
from .plan import Plan
from .program import Keep
from .reader import RESET
from .schedule import schedule
from .scratch import SPARE, ask_scratch, fill_room
from .states import place_states, reset_program, update_in_place
from .writer import write

Shapes = Mapping[str, Sequence[int]]


@dataclass(frozen=True)
class _Source:
    """What a plan was compiled from, so that it can be compiled again another way."""

    graphs: dict[str, Graph]
    options: dict[str, Any]

    def recompile(self, keep: Keep) -> Plan:
        return compile(self.graphs, **{**self.options, "keep": keep})


def compile(
    graph: Graph | Mapping[str, Graph],
    board: str = "host",
    batch: int | None = None,
    shapes: Shapes | None = None,
    rounding: str = "tflite",
    keep: Keep = None,
    mode: str = "exact",
    low_memory: bool = False,
) -> Plan:
    """Compile a graph, or several as named entries of one plan, for a board.

    Args:
        graph: A graph, which becomes the entry "main", or graphs by entry name. Entries share constants and the arena.
        board: Name of a board profile. A plan that does not fit its memories is an error.
        batch: Size of the first axis of every input, where the model leaves it open; 1 if not given.
        shapes: Sizes of open axes, by input name.
        rounding: How int8 sums are rounded: "tflite", "litert-ref" or "fp32" (docs/arithmetic.md, "requantize").
        mode: How layers with float16 weights sum: "exact", in float32, or "fast16", 32 products at a time in float16
            (docs/arithmetic.md, "float16").
        low_memory: Layers in turns, a band of rows at a time, wherever that makes the arena smaller (plan/bands.py):
            the same bits for some more instructions. A plan that does not fit its board else is made so in any case.
        keep: "all" gives each intermediate tensor memory of its own, for `Session.tensors()`, and keeps dead channels,
            which are left out otherwise (compress/channels.py): `meta["dead_channels"]` says what that saved.

    Returns:
        The plan. The same arguments give the same bytes.

    Raises:
        ShapeError: shapes that don't fit the graph, or an open one; names the tensor.
        PlanError: an op that no kernel takes, or a plan too large for the board; says by how many bytes.
    """
    graphs = {"main": graph} if isinstance(graph, Graph) else dict(graph)
    if not graphs:
        raise PlanError("nothing to compile: give at least one graph")
    if keep not in (None, "all"):
        raise PlanError(f"keep={keep!r} is not known; None or 'all'")
    profile = load_profile(board)
    fixed = {
        name: infer_shapes(g, _input_shapes(g, batch, shapes, alone=len(graphs) == 1)) for name, g in graphs.items()
    }
    meta: dict[str, Any] = {
        "producer": f"pyedge {_version()}",
        "board": board,
        "rounding": rounding,
        "keep": keep,
        "graphs": {name: {"name": g.name, **g.meta} for name, g in graphs.items()},
    }
    if mode != "exact":
        meta["mode"] = mode
    if keep is None:
        slim = {name: remove_dead_channels(g, rounding) for name, g in fixed.items()}
        reports = [report for _, report in slim.values()]
        if any(report.channels for report in reports):
            whole = Plan(_image(fixed, rounding, keep, mode, meta))
            meta["dead_channels"] = _saved(whole, Plan(_image(_graphs(slim), rounding, keep, mode, meta)), reports)
        fixed = _graphs(slim)
    options = {"board": board, "batch": batch, "shapes": shapes, "rounding": rounding, "keep": keep, "mode": mode}
    source = _Source(graphs, {**options, "low_memory": low_memory})
    # The fastest way that fits: with more room for scratch, without, in bands.
    free = keep is None
    for spare, bands in dict.fromkeys([(SPARE, low_memory and free), (0, low_memory and free), (0, free)]):
        if bands:
            meta["low_memory"] = True
        plan = Plan(_image(fixed, rounding, keep, mode, meta, profile.isa, spare, profile.layout, bands), source)
        if not (missing := shortages(plan, profile)):
            return plan
    raise PlanError(f"{profile.name}: {'; '.join(missing)}; try: a smaller model, or another of `pyedge boards`")


def _graphs(slim: Mapping[str, tuple[Graph, ChannelReport]]) -> dict[str, Graph]:
    return {name: graph for name, (graph, _) in slim.items()}


def _saved(whole: Plan, slim: Plan, reports: Sequence[ChannelReport]) -> dict[str, int]:
    """What a plan without dead channels takes less; MACs of all entries, flash and arena in bytes."""
    return {
        "channels": sum(before - after for report in reports for before, after in report.channels.values()),
        "macs": sum(report.macs_before - report.macs_after for report in reports),
        "flash_bytes": whole.flash_bytes - slim.flash_bytes,
        "arena_bytes": whole.arena_bytes - slim.arena_bytes,
    }


def _image(
    graphs: Mapping[str, Graph],
    rounding: str,
    keep: Keep,
    mode: str,
    meta: Mapping[str, Any],
    isa: str = "",
    spare: float = 0,
    constants: str = "canonical",
    bands: bool = False,
) -> bytes:
    """The bytes of a plan of graphs whose shapes are fixed, by entry name.

    isa, spare: as in fill_room. constants: the layout of those for which a board has kernels. bands: as in_bands.
    """
    programs = []
    for name, graph in graphs.items():
        programs.append(lower(graph if keep == "all" else schedule(graph), name, rounding, keep, mode))
        if keep is None:
            update_in_place(programs[-1])
            if bands:
                programs[-1] = in_bands(programs[-1])
            lay_out(programs[-1], constants)
            ask_scratch(programs[-1], isa)
    if any(p.states for p in programs):
        if RESET in graphs:
            raise PlanError(f"entry {RESET!r}: a plan with states has one of that name itself; call yours otherwise")
        programs.append(reset_program(programs))
    states = place_states(programs)
    layouts = [layout(p, keep, states) for p in programs]
    if keep is None:
        arena_bytes = max(places.arena_bytes for places in layouts)
        for program, places in zip(programs, layouts, strict=True):
            fill_room(program, places, arena_bytes, isa, spare)
    return write(programs, layouts, meta, keep == "all")


def _version() -> str:
    from importlib.metadata import version

    return version("pyedge")


def _input_shapes(
    graph: Graph, batch: int | None, shapes: Shapes | None, alone: bool
) -> dict[str, tuple[int | None, ...]]:
    """The shapes to infer with. A name in `shapes` that the graph lacks is an error if there is no other graph."""
    if batch is not None and batch < 1:
        raise ShapeError(f"batch={batch}: must be 1 or more")
    fixed: dict[str, tuple[int | None, ...]] = {}
    for tensor in graph.inputs:
        first, rest = tensor.shape[:1], tensor.shape[1:]
        if batch is not None and first and first[0] not in (None, batch):
            raise ShapeError(
                f"tensor {tensor.name!r}: batch={batch}, but the model fixes its shape at {list(tensor.shape)}"
            )
        fixed[tensor.name] = (*((batch or 1) if d is None else d for d in first), *rest)
    for name, given in (shapes or {}).items():
        if name in fixed or alone:
            fixed[name] = tuple(given)
    return fixed
