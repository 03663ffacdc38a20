"""pyedge bench"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from .. import Graph, load
from ..bench import table as costs
from ..bench.run import OURS, SCHEMA, bench
from ._common import OutputFile, console, emit, json_option, port_option, progress, table


@click.command("bench")
@click.argument("models", nargs=-1, type=click.Path(exists=True, dir_okay=False, path_type=Path), metavar="[MODEL]...")
@click.option(
    "--peers", is_flag=True, help="Run LiteRT, ONNX Runtime, torch and ncnn too, as far as they are installed."
)
@click.option("--built-in", is_flag=True, help="Run the built-in networks too; without a MODEL they are run anyway.")
@click.option("--blocks", type=click.IntRange(1), default=11, show_default=True, help="Turns of each engine.")
@click.option("--svg", type=OutputFile(), help="Draw the roofline into this file (needs pyedge[plot]).")
@click.option("--board", "-b", metavar="BOARD", help="With --table: measure this board; host is this computer.")
@click.option("--table", "table_file", type=OutputFile(), help="Write what ops cost on a board, for pe.estimate.")
@port_option
@json_option
def command(
    models: tuple[Path, ...],
    peers: bool,
    built_in: bool,
    blocks: int,
    svg: Path | None,
    board: str | None,
    table_file: Path | None,
    port: str | None,
    as_json: bool,
) -> None:
    """What this computer can do, and how much of it the kernels and networks have; or what ops cost on a board.

    Networks are the given models, or built-in ones. Engines take turns in short blocks: a ratio is the time of pyedge
    by that of a peer in the same run, below 1 where pyedge is faster. All run on one thread. With --table each op is
    measured in many shapes, and the ops of the given models too.

    \b
    Examples:
      pyedge bench
      pyedge bench --peers kws.tflite --json > bench.json
      pyedge bench --board virt-rv32 --table virt-rv32.json
    """
    if (board is None) != (table_file is None):
        raise click.UsageError("--board and --table go together: pyedge bench --board BOARD --table FILE.json")
    if table_file is not None and (peers or svg):
        raise click.UsageError("--peers and --svg are for this computer, without --board")
    graphs = [(path, _graph(path)) for path in models]
    if board is not None and table_file is not None:
        with progress(f"measuring {board}") as done:
            found = costs.measure(board, [graph for _, graph in graphs], port, done)
        found.save(table_file)
        if as_json:
            emit("bench-table", 1, {"board": board, "unit": found.unit, "rows": len(found.rows), "file": table_file})
        else:
            console().print(
                f"{board}: costs of {len(found.rows)} ops in {found.unit}, written to {table_file}", markup=False
            )
        return
    if svg is not None:
        from ..bench.roofline import require_matplotlib

        require_matplotlib()
    with progress("measuring") as done:
        result = bench([(path.stem, graph, path) for path, graph in graphs], peers, built_in, blocks, progress=done)
    if svg is not None:
        from ..bench.roofline import roofline

        svg.write_text(roofline(result), encoding="utf-8")
    if as_json:
        emit("bench", SCHEMA, {key: value for key, value in result.items() if key != "schema"})
        return
    _print(result)
    if svg is not None:
        console().print(f"\nwritten to {svg}", markup=False)


def _graph(path: Path) -> Graph:
    loaded = load(path)
    if not isinstance(loaded, Graph):
        raise click.UsageError(f"{path} is a plan; bench takes models")
    return loaded


def _print(result: dict[str, Any]) -> None:
    facts = result["conditions"]
    click.echo(f"{facts['cpu']}, kernels {facts['kernels']}, one thread, load {facts['load']}")
    click.echo(f"pyedge {facts['pyedge']}, {facts['compiler']}, {facts['date']}\n")
    levels = [
        (name, f"{peak['f32_gflops']:.1f}", f"{peak['s8_gops']:.1f}")
        for name, peak in result["peaks"]["levels"].items()
    ]
    table(("peak of one core", "float32, GFLOP/s", "int8, GOP/s"), levels, right=(1, 2))
    reads = [(f"{int(size) >> 10:,} KiB", f"{rate:.1f}") for size, rate in result["peaks"]["read_gbps"].items()]
    click.echo()
    table(("memory read", "GB/s"), reads, right=(1,))
    peers = list(facts["peers"])
    for what in ("networks", "layers"):
        click.echo()
        rows = []
        for row in result[what]:
            shares = [f"{100 * row[k]:.0f} %" if k in row else "-" for k in ("of_peak", "of_roof")]
            rate = f"{row['gops']:.0f}" if "gops" in row else "-"
            ratios = [f"{row['ratio'][p]:.2f}" if p in row["ratio"] else "-" for p in peers]
            rows.append((row["name"], f"{row['us'][OURS]:.1f}", f"{row['run_us']:.1f}", rate, *shares, *ratios))
        names = (what[:-1], "call, us", "run, us", "GOP/s", "of peak", "of roof", *(f"ratio to {p}" for p in peers))
        table(names, rows, right=range(1, len(names)))
    if peers:
        click.echo(
            f"\n{', '.join(f'{name} {number}' for name, number in facts['peers'].items())}; ratio: below 1 is faster"
        )
    unable = sorted(
        {
            f"{peer}: {why}"
            for what in ("networks", "layers")
            for row in result[what]
            for peer, why in row["unable"].items()
        }
    )
    for line in unable:
        click.echo(f"not run: {line}")
