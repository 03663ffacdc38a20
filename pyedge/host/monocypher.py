"""Monocypher's C, with which firmware checks signatures: from PyPI's pymonocypher, pinned, kept in the cache folder.

`python -m pyedge.host.monocypher` prints the folder, for firmware/CMakeLists.txt's PYEDGE_MONOCYPHER.
"""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

from .._programs import complaint
from ..errors import ToolError, VerificationError
from . import folders

_VERSION = "4.0.3.4"  # holds Monocypher 4.0.3
_SDIST_SHA256 = "5e56e3d3eb770a53e0b9f6274146663c11a11f3d0de5cd48e3be0428d1b07a4a"
_FILES = ("monocypher.c", "monocypher.h", "LICENSE.txt")


def sources() -> Path:
    """The folder with Monocypher's sources; fetched with pip the first time.

    Raises:
        ToolError: pip is missing, or the package index can't be reached.
        VerificationError: What came is not the archive that is pinned here.
    """
    place = folders.cache_folder() / f"monocypher-{_SDIST_SHA256[:16]}"
    if place.is_dir():
        return place
    place.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=place.parent) as work:
        whole = Path(work, "whole")
        whole.mkdir()
        _unpack(_download(Path(work)), whole)
        try:
            os.rename(whole, place)  # all of it or nothing
        except OSError:
            if not place.is_dir():  # else someone else was first
                raise
    return place


def _download(work: Path) -> Path:
    # --ignore-requires-python: that is for its Python part.
    options = [
        "--no-deps",
        "--no-binary",
        "pymonocypher",
        "--ignore-requires-python",
        "--disable-pip-version-check",
        "-q",
    ]
    command = [sys.executable, "-m", "pip", "download", *options, f"pymonocypher=={_VERSION}"]
    result = subprocess.run(command, cwd=work, stdin=subprocess.DEVNULL, capture_output=True, check=False)
    if result.returncode:
        raise ToolError(f"fetching Monocypher (pip download pymonocypher) failed: {complaint(result.stderr)}")
    (archive,) = work.glob("*.tar.gz")
    digest = hashlib.sha256(archive.read_bytes()).hexdigest()
    if digest != _SDIST_SHA256:
        raise VerificationError(f"{archive.name} from the package index has the SHA-256 {digest}, not the pinned one")
    return archive


def _unpack(archive: Path, to: Path) -> None:
    with tarfile.open(archive) as tar:
        for name in _FILES:
            content = tar.extractfile(f"pymonocypher-{_VERSION}/{name}")
            assert content is not None
            (to / name).write_bytes(content.read())


if __name__ == "__main__":
    print(sources())
