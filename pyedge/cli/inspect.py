"""pyedge inspect"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from .. import Graph, Plan, estimate, load
from ..host import Remote
from ..plan import RESET
from ._common import (
    OutputFile,
    console,
    emit,
    graph_facts,
    isa_option,
    json_option,
    kernels_option,
    parse_shapes,
    planned,
    port_option,
    runner,
    table,
    zeros,
)

# Rows about a board's RAM: key in JSON, and in words.
_MEMORY = {
    "arena": "arena",
    "tensors": "  tensors in it",
    "scratch": "  scratch in it, of the op that needs most",
    "statics": "statics of the firmware, with the link's buffers",
    "stack": "stack, high-water mark",
    "sum": "sum: arena + statics + stack",
    "plan": "plan, if it was loaded into RAM",
}
_STEPS = 60  # columns of a lifetime bar at most


@click.command("inspect")
@click.argument("model", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@kernels_option()
@click.option("--svg", type=OutputFile(), help="Draw the arena into this file.")
@click.option(
    "--onnx", "onnx_file", type=OutputFile(), help="Write the model's graph here, for viewers such as Netron."
)
@click.option("--entry", help="Entry to draw.  [default: the first]")
@click.option("--batch", type=click.IntRange(1), help="Size of the first axis, where the model leaves it open.")
@click.option("--shape", "shapes", multiple=True, metavar="NAME=1,49,10,1", help="Sizes of an input's open axes.")
@click.option(
    "--estimate", "estimated", metavar="BOARD", help="Estimate a run there, without it; or by a file of bench --table."
)
@click.option("--board", "-b", metavar="BOARD", help="Load it there too, and say what RAM it really takes.")
@port_option
@isa_option
@json_option
def command(
    model: Path,
    svg: Path | None,
    onnx_file: Path | None,
    entry: str | None,
    batch: int | None,
    shapes: tuple[str, ...],
    estimated: str | None,
    board: str | None,
    port: str | None,
    isa: str | None,
    as_json: bool,
) -> None:
    """Show what is in a model file or plan: tensors, ops, MACs, flash, and the arena with the lifetime of each tensor.

    A model is compiled (not saved) to show what it will take. With --board statics and stack of the firmware are
    measured there after one run. With --estimate each op has its cost from a table of what ops cost on that board.

    \b
    Examples:
      pyedge inspect kws.tflite
      pyedge inspect kws.pedge --svg arena.svg
      pyedge inspect kws.tflite --onnx kws.onnx
      pyedge inspect kws.pedge -b virt-rv32
      pyedge inspect kws.tflite --estimate virt-rv32
    """
    loaded = load(model)
    if onnx_file is not None:
        if not isinstance(loaded, Graph):
            raise click.UsageError(f"--onnx: {model} is a plan, which has no graph; give the model that it was made of")
        from ..model.onnx import to_onnx

        onnx_file.write_bytes(to_onnx(loaded).SerializeToString())
    plan = planned(loaded, model, board, batch, shapes, entry)
    drawn = entry or next(iter(plan.entries))
    if svg is not None:
        svg.write_text(plan.svg(drawn), encoding="utf-8")
    costs = None
    if estimated is not None:
        name, costs_file = (None, estimated) if estimated.endswith(".json") else (estimated, None)
        costs = estimate(loaded, name, costs_file, drawn, batch, parse_shapes(shapes))
    memory = _measure(plan, drawn, board, port, isa) if board is not None else None
    if as_json:
        facts: dict[str, Any] = {"model": model}
        if isinstance(loaded, Graph):
            facts["graph"] = graph_facts(loaded)
        if memory is not None:
            facts["memory"] = memory
        if costs is not None:
            facts["estimate"] = costs.to_dict()
        emit("inspect", 1, {**facts, "plan": plan.to_dict()})
        return
    if isinstance(loaded, Graph):
        constants = sum(t.data.nbytes for t in loaded.tensors.values() if t.data is not None)
        click.echo(f"{model}: {len(loaded.ops)} ops, {len(loaded.tensors)} tensors, {constants:,} bytes of constants")
        click.echo("compiled:")
    click.echo(plan.summary())
    shown = [name for name in plan.entries if not (plan.states and name == RESET)]
    for name in shown if entry is None else [entry]:
        click.echo(f"\narena while {name} runs ({len(plan.entry(name).ops)} ops)")
        _lifetimes(plan, name)
    if costs is not None:
        click.echo(f"\n{costs.table()}")
    if memory is not None and board is not None:
        click.echo(f"\n{board}, after one run")
        rows = [(label, "unknown" if memory[key] is None else memory[key]) for key, label in _MEMORY.items()]
        table(("RAM", "bytes"), rows, right=(1,))
    for file in filter(None, (svg, onnx_file)):
        console().print(f"\nwritten to {file}", markup=False)


def _measure(plan: Plan, entry: str, board: str, port: str | None, isa: str | None) -> dict[str, Any]:
    """RAM of the board in bytes, after one run on zeros; None for what it cannot tell."""
    with runner(plan, board, port, isa) as remote:
        assert isinstance(remote, Remote)
        remote.run(zeros(plan, entry), entry)
        found = remote.memory()
    stack = found.stack or None
    return {
        "board": board,
        "arena": found.arena,
        "tensors": plan.tensor_bytes(entry),
        "scratch": max((op.scratch_bytes for op in plan.entry(entry).ops), default=0),
        "statics": found.static,
        "stack": stack,
        "sum": found.arena + found.static + stack if stack else None,
        "stack_size": found.stack_size,
        "plan": found.plan,
        "free": found.free,
    }


def _lifetimes(plan: Plan, entry: str) -> None:
    """A row for each tensor in the arena: place, size, and a bar from the op that writes it to its last reader."""
    ops = len(plan.entry(entry).ops)
    scale = min(1.0, _STEPS / (ops + 2))

    def bar(first: int, last: int) -> str:
        begin, end = int((first + 1) * scale), int((last + 1) * scale)
        return "." * begin + "#" * (end - begin + 1) + "." * (int((ops + 1) * scale) - end)

    rows = [
        (
            t.tensor.name,
            f"{t.tensor.dtype}{list(t.tensor.shape)}",
            t.tensor.offset,
            t.tensor.bytes,
            bar(t.first, t.last),
        )
        for t in sorted(plan.lifetimes(entry), key=lambda t: (t.first, t.tensor.offset))
    ]
    table(("tensor", "type", "offset", "bytes", "input, op by op, output"), rows, right=(2, 3))
