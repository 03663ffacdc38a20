"""Keys and signed firmware images, by MCUboot's imgtool, started as a program."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from .._programs import complaint
from ..errors import MissingToolError, PyedgeError, ToolError
from . import image_files

_HEADER_BYTES = 512  # in front of the payload; a vector table wants as much
_SLOT_BYTES = 16 << 20  # imgtool's limit, which is the board's to say


def keygen(key: Path) -> str:
    """Writes a new Ed25519 key, readable by its owner only. The public one as 64 hex digits, which are PYEDGE_KEY.

    Raises:
        ToolError: imgtool is missing or failed.
        PyedgeError: The file is there already.
    """
    if key.exists():
        raise PyedgeError(
            f"{key} is there already; boards that know it take nothing signed by another; try: another name"
        )
    before = os.umask(0o077)
    try:
        _imgtool("keygen", "-t", "ed25519", "-k", str(key))
    finally:
        os.umask(before)
    return public_key(key)


def public_key(key: Path) -> str:
    """The public key of a private one, as 64 hex digits."""
    with tempfile.TemporaryDirectory() as folder:
        der = Path(folder, "der")
        _imgtool("getpub", "-e", "raw", "-k", str(key), "-o", str(der))
        return der.read_bytes()[-32:].hex()  # RFC 8410: twelve bytes of SubjectPublicKeyInfo, then the key


def sign(firmware: Path, key: Path, version: str, counter: int, output: Path, whole: bool = False) -> None:
    """Writes a signed image of a firmware file.

    Args:
        firmware: ELF that is linked for a slot, whose address the image then has.
        version: "1.2.3" or "1.2.3+4".
        counter: Security counter: boards refuse less than that of an image that was confirmed.
        whole: The file as it is, for any slot: firmware of the host port is a program.

    Raises:
        ToolError: imgtool is missing or failed; a damaged ELF file.
    """
    with tempfile.TemporaryDirectory() as folder:
        payload, address = firmware, []
        if not whole:
            flat = image_files.flat(image_files.elf_segments(firmware))
            payload = Path(folder, "payload.bin")
            payload.write_bytes(flat.data)
            address = ["--rom-fixed", hex(flat.address - _HEADER_BYTES)]
        elif payload.suffix == ".hex":
            raise ToolError(f"{firmware}: imgtool would take it for Intel HEX; rename it")
        sizes = ["-H", str(_HEADER_BYTES), "--pad-header", "-S", str(_SLOT_BYTES), "--align", "8"]
        made = Path(folder, "signed.bin")
        options = ["-k", str(key), "-v", version, "-s", str(counter), *sizes, *address]
        _imgtool("sign", *options, str(payload), str(made))
        output.write_bytes(made.read_bytes())


def _imgtool(*args: str) -> None:
    if importlib.util.find_spec("imgtool") is None:
        raise MissingToolError("imgtool is not installed; try: pip install 'pyedge[sign]'")
    command = [sys.executable, "-m", "imgtool.main", *args]
    result = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, check=False)
    if result.returncode:
        raise ToolError(f"imgtool {args[0]} failed: {complaint(result.stderr)}")
