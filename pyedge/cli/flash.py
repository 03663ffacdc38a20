"""pyedge flash"""

from __future__ import annotations

import shlex
from pathlib import Path

import click

from .. import Graph, Plan, compile, load
from ..boards import load_profile
from ..host.board import connect
from ..host.flash import flash
from ..host.flashers import write_firmware
from ..host.updating import update
from ._common import OutputFile, console, emit, isa_option, json_option, kernels_option, port_option, progress, table


@click.command("flash")
@click.argument(
    "plan_file", metavar="[PLAN]", required=False, type=click.Path(exists=True, dir_okay=False, path_type=Path)
)
@click.option("--board", "-b", required=True, metavar="BOARD", help="Board to flash; see `pyedge boards`.")
@port_option
@isa_option
@click.option(
    "--trim-to",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    metavar="PLAN",
    help="Build a firmware that has only the ops of this plan (or model).",
)
@kernels_option(expose=True)
@click.option("--toolchain", type=click.Choice(["clang", "gcc", "zig", "native"]), help="Build with this compiler.")
@click.option(
    "--image",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Write this firmware (ELF, raw or UF2) to a real board, by its flasher.",
)
@click.option(
    "--firmware",
    "signed",
    multiple=True,
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Update over the link by this signed image (one for each slot: given twice), and confirm it when it runs.",
)
@click.option("--release", is_flag=True, help="Build firmware without profile, states and MLPerf's protocol.")
@click.option("--output", "-o", type=OutputFile(), help="Also write the image to this file.")
@click.option("--dry-run", is_flag=True, help="Build and show, with the flasher's command, but touch no board.")
@json_option
def command(
    plan_file: Path | None,
    board: str,
    port: str | None,
    isa: str | None,
    trim_to: Path | None,
    kernels: tuple[Path, ...],
    toolchain: str | None,
    image: Path | None,
    signed: tuple[Path, ...],
    release: bool,
    output: Path | None,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Build the firmware of a board, start it there, and put a plan into the board's flash.

    The plan (.pedge or .tflite) is written into the inactive slot, becomes the active one, and is read back by its hash
    after a reset. On an emulated board the flash is kept for later commands, and so is firmware with custom ops,
    or for release.

    A real board is flashed by the program that its profile names (esptool, openocd, dfu-util, wlink, bflb-mcu-tool,
    picotool), or by copying to the drive that it shows: then --port is its folder. Small ones need --trim-to.

    With --image a firmware file of your own is written there in the same way.

    \b
    Examples:
      pyedge flash kws.pedge -b virt-rv32
      pyedge flash -b virt-rv32 --trim-to kws.pedge --dry-run
      pyedge flash smooth.pedge -b virt-rv32 --with kernel.c
      pyedge flash -b esp32-c3 --image firmware.elf --dry-run
    """
    if image is not None:
        if plan_file or isa or trim_to or kernels or toolchain or output or release:
            raise click.UsageError("--image is firmware that is built already: only --board, --port, --dry-run with it")
        _write(image, board, port, dry_run, as_json)
        return
    if signed:
        if plan_file or isa or trim_to or kernels or toolchain or output or release or dry_run:
            raise click.UsageError("--firmware is built and signed already: only --board and --port with it")
        _update(signed, board, port, as_json)
        return
    plan, trim = _plan(plan_file, board), _plan(trim_to, board)
    with progress(f"flashing {board}", len(plan.data) if plan else 1) as done:
        report = flash(board, plan, port, isa, trim, toolchain, dry_run, lambda at, total: done(at), kernels, release)
    if output is not None:
        output.write_bytes(report.image.read_bytes())
    if as_json:
        emit("flash", 1, report.to_dict())
        return
    size = report.size
    click.echo(
        f"{report.image} ({report.isa}" + (f", only {', '.join(report.ops)})" if report.ops is not None else ")")
    )
    rows = [
        ("code", size.code),
        ("read-only data", size.rodata),
        ("initialized data", size.data),
        ("zeroed data, stack", size.bss),
    ]
    table(
        ("firmware", "bytes"), [*rows, ("flash: all but zeroed data", size.code + size.rodata + size.data)], right=(1,)
    )
    for line in report.commands if dry_run else ():
        click.echo(shlex.join(line))
    if dry_run:
        console().print("\ndry run: no board was touched")
    elif not report.answered:
        console().print(f"\n{board}: the firmware is in its flash; no port to ask it; see: pyedge boards {board}")
    elif plan is not None:
        console().print(
            f"\n{board}: the plan of {plan.flash_bytes:,} bytes is in flash, its hash read back after a reset"
        )
    else:
        console().print(f"\n{board}: the firmware starts and answers")


def _write(image: Path, board: str, port: str | None, dry_run: bool, as_json: bool) -> None:
    with progress(f"flashing {board}", 100) as done:
        commands = write_firmware(load_profile(board), image, port, dry_run, lambda at, total: done(at))
    if as_json:
        emit("flash image", 1, {"board": board, "image": str(image), "commands": commands, "dry_run": dry_run})
        return
    for command in commands if dry_run else ():
        click.echo(shlex.join(command))
    said = "dry run: no board was touched" if dry_run else f"{board}: {image} is in its flash"
    console().print(said)


def _update(signed: tuple[Path, ...], board: str, port: str | None, as_json: bool) -> None:
    size = signed[0].stat().st_size
    with connect(board, port) as b, progress(f"updating {board}", size) as done:
        report = update(b, signed, lambda at, total: done(at))
    if as_json:
        emit("flash firmware", 1, report.to_dict())
        return
    console().print(
        f"{board}: {report.version} runs from slot {report.slot}, is confirmed, and was read back: {report.hash}"
    )


def _plan(file: Path | None, board: str) -> Plan | None:
    if file is None:
        return None
    loaded = load(file)
    return compile(loaded, board=board) if isinstance(loaded, Graph) else loaded
