"""pyedge sign"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from ..boards import load_profile
from ..host import signing
from ..host.flash import plan_file
from ..host.updating import SignedImage
from ._common import OutputFile, console, emit, isa_option, json_option, kernels_option, load_plan

_plan = click.Path(exists=True, dir_okay=False, path_type=Path)


@click.command("sign")
@click.argument("firmware", required=False, type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--key", "-k", required=True, type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--version", "-v", required=True, metavar="1.2.3", help="Version of the firmware.")
@click.option(
    "--counter", type=click.IntRange(0, 2**32 - 1), default=0, help="Security counter: boards go back to no lower one."
)
@click.option("--whole", is_flag=True, help="Take the file as it is, for any slot: firmware of the host port.")
@click.option("--board", "-b", metavar="BOARD", help="Build the firmware of this board, for each of its slots.")
@isa_option
@click.option("--trim-to", type=_plan, metavar="PLAN", help="Build only the ops of this plan (or model).")
@click.option("--embed", type=_plan, metavar="PLAN", help="Link this plan with it, used while the flash holds none.")
@kernels_option(expose=True)
@click.option("--release", is_flag=True, help="Build without profile, states and MLPerf's protocol.")
@click.option("--boot", is_flag=True, help="Build the boot loader as well, which takes nothing by another key.")
@click.option(
    "--output",
    "-o",
    required=True,
    type=click.Path(path_type=Path),
    help="The signed image; with --board the folder of the images.",
)
@json_option
def command(
    firmware: Path | None,
    key: Path,
    version: str,
    counter: int,
    whole: bool,
    board: str | None,
    isa: str | None,
    trim_to: Path | None,
    embed: Path | None,
    kernels: tuple[Path, ...],
    release: bool,
    boot: bool,
    output: Path,
    as_json: bool,
) -> None:
    """Sign firmware that was built for a slot, or build and sign that of a board, for `pyedge flash --firmware`
    (docs/updating.md).

    \b
    Examples:
      pyedge sign -b virt-rv32 -k key.pem -v 1.2.0 --counter 3 --trim-to kws.pedge --boot -o out
      pyedge sign virt-rv32.elf -k key.pem -v 1.2.0 --counter 3 -o signed-0.bin
    """
    if (firmware is None) == (board is None):
        raise click.UsageError("give FIRMWARE, or --board to build it")
    if firmware is not None:
        if isa or trim_to or embed or kernels or release or boot:
            raise click.UsageError("FIRMWARE is built already: only --key, --version, --counter, --whole with it")
        signing.sign(firmware, key, version, counter, Path(OutputFile().convert(output, None, None)), whole)
        image = SignedImage.load(output)
        if as_json:
            emit("sign", 1, _told(output, image))
        else:
            console().print(_line(output, image))
        return
    if whole:
        raise click.UsageError("--whole is for FIRMWARE; --board knows")
    assert board is not None
    profile = load_profile(board)
    build = profile.image(isa)
    options = {"PYEDGE_RELEASE": "ON"} if release else {}
    if embed is not None:
        options["PYEDGE_PLAN"] = str(plan_file(load_plan(embed, board)))
    ops = {op.kind for op in load_plan(trim_to, board).ops} if trim_to is not None else None
    with console().status(f"building {board} {version}"):
        files = signing.build_signed(profile, build, key, version, counter, output, ops, kernels, options)
        loader = signing.build_boot_loader(profile, build, key, output) if boot else None
    if as_json:
        told = [_told(file, SignedImage.load(file)) for file in files]
        emit("sign board", 1, {"board": board, "images": told, "boot": None if loader is None else str(loader)})
        return
    for file in files:
        console().print(_line(file, SignedImage.load(file)))
    if loader is not None:
        console().print(f"{loader}: the boot loader, {loader.stat().st_size:,} bytes as a file")
    console().print(f"next: pyedge flash -b {board} --port PORT " + " ".join(f"--firmware {file}" for file in files))


def _told(file: Path, image: SignedImage) -> dict[str, Any]:
    where = {"address": image.address, "bytes": len(image.data)}
    return {"output": str(file), "version": image.version, "hash": image.hash.hex(), **where}


def _line(file: Path, image: SignedImage) -> str:
    place = "any slot" if image.address is None else f"the slot at {image.address:#x}"
    return f"{file}: {image.version} for {place}, {len(image.data):,} bytes, hash {image.hash.hex()}"
