"""pyedge demo"""

from __future__ import annotations

import click
import numpy as np

from .. import VerificationError
from .. import demo as digits_demo
from ._common import console, emit, json_option, port_option, progress, table

_SHADES = " .:-=+*#%@"


@click.command("demo")
@click.option("--board", "-b", help="Board to use.  [default: virt-rv32, or host where there is no QEMU]")
@port_option
@click.option(
    "--digits", "-n", type=click.IntRange(1, 360), default=360, show_default=True, help="Held-out digits to classify."
)
@json_option
def command(board: str | None, port: str | None, digits: int, as_json: bool) -> None:
    """Classify handwritten digits in Python and on an emulated RISC-V board: every output byte is the same.

    A small CNN, quantized to int8, sees digits that it was not trained on. Exit code 7 if one byte differs.

    \b
    Examples:
      pyedge demo
      pyedge demo --board sifive-e
    """
    with progress("digits", digits) as done:
        found = digits_demo.run(board or "virt-rv32", port, digits, may_fall_back=board is None, progress=done)
    if as_json:
        emit(
            "demo",
            1,
            {
                "board": found.board,
                "isa": found.isa,
                "fallback": found.fallback,
                "digits": len(found.labels),
                "output_bytes": found.here.size,
                "different_bytes": found.different,
                "accuracy": {"python": found.accuracy_here, "board": found.accuracy_there},
                "flash_bytes": found.plan.flash_bytes,
                "arena_bytes": found.plan.arena_bytes,
                "profiles": {"python": found.profile_here.to_dict(), "board": found.profile_there.to_dict()},
            },
        )
    else:
        _print(found)
    if found.different:
        where = np.argwhere(found.here != found.there)[:4].tolist()
        what = f"{found.different} of {found.here.size} output bytes differ from Python's"
        raise VerificationError(f"{found.board}: {what}, first at [digit, class] {where}")


def _print(found: digits_demo.Comparison) -> None:
    out = console()
    if found.fallback:
        out.print(
            f"On the host port of the firmware, for want of the board: {found.fallback}\n", markup=False, soft_wrap=True
        )
    image = digits_demo.heldout()[0][0, :, :, 0]
    for row in image:
        out.print("  " + "".join(_SHADES[int(v * (len(_SHADES) - 1))] * 2 for v in row), markup=False)
    answers = f"Python says {found.here[0].argmax()}, {found.board} says {found.there[0].argmax()}"
    out.print(f"  {answers}, it is a {found.labels[0]}.\n")
    here, there = found.profile_here, found.profile_there
    table(
        ("op", "kernel", "MACs", f"Python, ns (median of {here.runs})", f"{found.board} ({found.isa}), {there.unit}"),
        [
            *((a.name, a.kind, a.macs, a.count, b.count) for a, b in zip(here.ops, there.ops, strict=True)),
            ("total", "", sum(op.macs for op in here.ops), here.total, there.total),
        ],
        right=(2, 3, 4),
    )
    out.print(
        f"\n{len(found.labels)} digits that the model has never seen: accuracy {100 * found.accuracy_here:.1f} %"
        f" in Python, {100 * found.accuracy_there:.1f} % on {found.board}.",
        soft_wrap=True,
    )
    out.print(f"Plan {found.plan.flash_bytes:,} bytes, arena {found.plan.arena_bytes:,} bytes.")
    if not found.different:
        out.print(f"[bold green]All {found.here.size:,} output bytes are equal.[/]")
