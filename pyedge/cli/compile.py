"""pyedge compile"""

from __future__ import annotations

from pathlib import Path

import click

from .. import Graph, load, quantize
from .. import compile as compile_graph
from ..boards import load_profile
from ._common import OutputFile, console, emit, json_option, parse_pair, parse_shapes


@click.command("compile")
@click.argument("models", metavar="MODEL...", nargs=-1, required=True)
@click.option("--output", "-o", type=OutputFile(), help="Default: MODEL.pedge, beside it.")
@click.option("--board", "-b", default="host", show_default=True, help="Board to compile for.")
@click.option("--batch", type=click.IntRange(1), help="Size of the first axis, where the model leaves it open.")
@click.option("--shape", "shapes", multiple=True, metavar="NAME=1,49,10,1", help="Sizes of an input's open axes.")
@click.option("--rounding", type=click.Choice(["tflite", "litert-ref", "fp32"]), default="tflite", show_default=True)
@click.option("--weights", type=click.Choice(["float16"]), help="float16: half the bytes of a float32 model's weights.")
@click.option(
    "--activations",
    type=click.Choice(["float32", "float16"]),
    help="With --weights float16: what goes from layer to layer.  [default: float32]",
)
@click.option(
    "--mode",
    type=click.Choice(["exact", "fast16"]),
    default="exact",
    show_default=True,
    help="Sums of float16 weights.",
)
@click.option("--low-memory", is_flag=True, help="Layers in turns, by bands of rows: less RAM for some more time.")
@click.option("--keep", type=click.Choice(["all"]), help="all: give each intermediate tensor memory of its own.")
@json_option
def command(
    models: tuple[str, ...],
    output: Path | None,
    board: str,
    batch: int | None,
    shapes: tuple[str, ...],
    rounding: str,
    weights: str | None,
    activations: str | None,
    mode: str,
    low_memory: bool,
    keep: str | None,
    as_json: bool,
) -> None:
    """Compile a model file into a plan.

    Several models become named entries of one plan, each given as ENTRY=FILE; they share weights and memory.

    \b
    Examples:
      pyedge compile kws.tflite -o kws.pedge
      pyedge compile kws.onnx --weights float16 --mode fast16
      pyedge compile main=kws.tflite wake=wake.tflite -o both.pedge -b virt-rv32
    """
    if len(models) == 1 and (Path(models[0]).exists() or "=" not in models[0]):
        files = {"main": Path(models[0])}
    else:
        pairs = [parse_pair(m, "with several models, each") for m in models]
        files = {name: Path(path) for name, path in pairs}
        if len(files) < len(pairs):
            raise click.UsageError("two models have the same entry name")
    if output is None:
        if len(files) > 1:
            raise click.UsageError("several models: say where the plan goes, with --output FILE")
        output = OutputFile().convert(files["main"].with_suffix(".pedge"), None, click.get_current_context())
    if activations and not weights:
        raise click.UsageError("--activations goes with --weights float16")
    graphs = {}
    for name, path in files.items():
        graph = load(path)
        if not isinstance(graph, Graph):
            raise click.UsageError(f"{path} is a plan already")
        graphs[name] = quantize(graph, weights=weights, activations=activations) if weights else graph
    plan = compile_graph(
        graphs,
        board=board,
        batch=batch,
        shapes=parse_shapes(shapes),
        rounding=rounding,
        mode=mode,
        low_memory=low_memory,
        keep="all" if keep else None,
    )
    plan.save(output)
    if as_json:
        emit("compile", 1, {"file": output, "plan": plan.to_dict()})
    else:
        console().print(plan.summary(), markup=False)
        profile = load_profile(board)
        console().print(f"\nfits {profile.name} ({profile.description}; {profile.status})", markup=False)
        console().print(f"written to {output}", markup=False)
