"""Where the programs are that pyedge starts: compilers, CMake."""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import sys
from pathlib import Path


def program(*names: str) -> str | None:
    """Path of the first of these programs in PATH, or beside the Python interpreter: in a venv that is not active."""
    places = os.environ.get("PATH", os.defpath) + os.pathsep + str(Path(sys.executable).parent)
    return next((found for name in names if (found := shutil.which(name, path=places))), None)


def zig() -> str | None:
    """Path of the compiler of the PyPI package ziglang."""
    spec = importlib.util.find_spec("ziglang")
    return str(Path(spec.origin).parent / "zig") if spec and spec.origin else None


def complaint(output: bytes, lines: int = 4) -> str:
    """What a compiler or build says of its failure, as one line: from the first error on."""
    said = output.decode(errors="replace").strip().splitlines()
    words = re.compile(r"\b(?:error|undefined)\b", re.IGNORECASE)  # the linker's; not -Werror of a command line
    first = next((i for i, line in enumerate(said) if words.search(line)), max(0, len(said) - lines))
    return " | ".join(said[first : first + lines])
