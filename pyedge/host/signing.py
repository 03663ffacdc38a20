"""Keys and signed firmware images, by MCUboot's imgtool, started as a program."""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from .._programs import complaint
from ..boards import Image, Profile, Slots
from ..errors import MissingToolError, PyedgeError, ToolError, UnsupportedError
from . import build, image_files, monocypher

_HEADER_BYTES = 512  # in front of the payload; a vector table wants as much
_TRAILER_BYTES = 512  # behind it: hash, key and signature
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


def build_signed(
    profile: Profile,
    image: Image,
    key: Path,
    version: str,
    counter: int,
    folder: Path,
    ops: Iterable[str] | None = None,
    kernels: Sequence[Path] = (),
    options: Mapping[str, str] | None = None,
) -> list[Path]:
    """Builds the firmware of a board that updates itself, and signs it.

    Args:
        key, version, counter: As sign; the firmware takes later ones by this key.
        folder: Of the files: BOARD-VERSION-slot0.bin and -slot1.bin; BOARD-VERSION.bin if one is for both.
        ops, kernels, options: As build.firmware.

    Raises:
        UnsupportedError: The board has no slots.
        ToolError: As build.firmware and sign.
    """
    slots, options = _slots(profile), {**(options or {}), **_options(key)}
    folder.mkdir(parents=True, exist_ok=True)
    if slots.address is None:
        made = build.firmware(profile, image, ops, None, kernels, options)
        output = folder / f"{profile.name}-{version}.bin"
        sign(made, key, version, counter, output, whole=True)
        return [output]
    outputs = []
    for slot in range(2):
        code = slots.address + slot * slots.slot_bytes + _HEADER_BYTES
        options["PYEDGE_CODE"] = f"{code:#x},{slots.slot_bytes - _HEADER_BYTES - _TRAILER_BYTES}"
        made = build.firmware(profile, image, ops, None, kernels, options)
        outputs.append(folder / f"{profile.name}-{version}-slot{slot}.bin")
        sign(made, key, version, counter, outputs[-1])
    return outputs


def build_boot_loader(profile: Profile, image: Image, key: Path, folder: Path) -> Path:
    """Builds the boot loader that starts what is signed by the key: BOARD-boot.elf, or BOARD-boot. Raises as above."""
    slots = _slots(profile)
    options = {**_options(key), "PYEDGE_BOOT": "ON"}
    if slots.address is not None:
        options["PYEDGE_CODE"] = f"{slots.boot_address:#x},{slots.boot_bytes}"
    # GCC's are the smallest: others don't fit.
    made = build.firmware(profile, image, None, None if image.isa == "native" else "gcc", (), options)
    output = folder / f"{profile.name}-boot{made.suffix}"
    shutil.copy(made, output)
    return output


def _slots(profile: Profile) -> Slots:
    if profile.slots is None:
        raise UnsupportedError(
            f"{profile.name}: its firmware has no slots, it comes from a flasher; try: pyedge flash -b {profile.name}"
        )
    return profile.slots


def _options(key: Path) -> dict[str, str]:
    return {"PYEDGE_SLOTS": "ON", "PYEDGE_MONOCYPHER": str(monocypher.sources()), "PYEDGE_KEY": public_key(key)}


def _imgtool(*args: str) -> None:
    if importlib.util.find_spec("imgtool") is None:
        raise MissingToolError("imgtool is not installed; try: pip install 'pyedge[sign]'")
    command = [sys.executable, "-m", "imgtool.main", *args]
    result = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, check=False)
    if result.returncode:
        raise ToolError(f"imgtool {args[0]} failed: {complaint(result.stderr)}")
