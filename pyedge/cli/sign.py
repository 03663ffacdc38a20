"""pyedge sign"""

from __future__ import annotations

from pathlib import Path

import click

from ..host import signing
from ..host.updating import SignedImage
from ._common import OutputFile, console, emit, json_option


@click.command("sign")
@click.argument("firmware", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--key", "-k", required=True, type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--version", "-v", required=True, metavar="1.2.3", help="Version of the firmware.")
@click.option(
    "--counter", type=click.IntRange(0, 2**32 - 1), default=0, help="Security counter: boards go back to no lower one."
)
@click.option("--whole", is_flag=True, help="Take the file as it is, for any slot: firmware of the host port.")
@click.option("--output", "-o", required=True, type=OutputFile(), help="The signed image.")
@json_option
def command(firmware: Path, key: Path, version: str, counter: int, whole: bool, output: Path, as_json: bool) -> None:
    """Sign firmware that was built for a slot (docs/updating.md), for `pyedge flash --firmware`.

    \b
    Example:
      pyedge sign virt-rv32.elf -k key.pem -v 1.2.0 --counter 3 -o signed-0.bin
    """
    signing.sign(firmware, key, version, counter, output, whole)
    image = SignedImage.load(output)
    if as_json:
        where = {"address": image.address, "bytes": len(image.data)}
        emit("sign", 1, {"output": str(output), "version": image.version, "hash": image.hash.hex(), **where})
        return
    place = "any slot" if image.address is None else f"the slot at {image.address:#x}"
    console().print(f"{output}: {image.version} for {place}, {len(image.data):,} bytes, hash {image.hash.hex()}")
