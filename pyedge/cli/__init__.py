"""The command `pyedge`: one thin file a verb; everything they do can be called from Python too."""

from ._app import main

__all__ = ["main"]
