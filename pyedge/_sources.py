"""The C sources of the runtime and of firmware, to compile from: a working copy's own, or those that the wheel carries.

The wheel has them as one archive (scripts/pack_sources.py), of half the size that they have one by one.
"""

from __future__ import annotations

import bz2
import io
import tarfile
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from . import _resources
from .errors import ToolError

_REPAIR = "try: pip install --force-reinstall pyedge"


@contextmanager
def sources() -> Iterator[Path]:
    """A folder that holds csrc/ and firmware/, to be read as long as the block runs.

    Raises ToolError if this installation has none, or a damaged archive.
    """
    tree = _resources.tree()
    if tree is not None:
        yield tree
        return
    archive = _resources.find("_firmware", "src.tar.bz2")
    if archive is None:
        raise ToolError(f"this installation has no firmware sources; {_REPAIR}")
    with tempfile.TemporaryDirectory(prefix="pyedge-") as folder:
        _unpack(archive, Path(folder))
        yield Path(folder)


def _unpack(archive: Path, folder: Path) -> None:
    try:
        with tarfile.open(fileobj=io.BytesIO(bz2.decompress(archive.read_bytes())), mode="r:") as tar:
            for member in tar:
                content = tar.extractfile(member)
                assert content  # files alone, of our own making; a checksum is over all
                path = folder / member.name
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(content.read())
    except (ValueError, tarfile.TarError, OSError) as e:  # cut or changed; a full disk
        raise ToolError(f"cannot unpack {archive}: {e}; {_REPAIR}") from None
