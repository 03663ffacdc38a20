"""Where pyedge keeps files of its own, after the XDG base directory specification."""

from __future__ import annotations

import os
from pathlib import Path


def _folder(variable: str, default: str) -> Path:
    base = os.environ.get(variable, "")
    return (Path(base) if base.startswith("/") else Path.home() / default) / "pyedge"


def cache_folder() -> Path:
    """For what can be made again: firmware that was built here."""
    return _folder("XDG_CACHE_HOME", ".cache")


def state_folder() -> Path:
    """For what lasts: the flash of emulated boards."""
    return _folder("XDG_STATE_HOME", ".local/state")
