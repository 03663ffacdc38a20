"""Where the files lie that belong to the package but are not Python: board profiles, firmware."""

import sys
from pathlib import Path


def find(*parts: str) -> Path | None:
    """Path of a file or folder of the package, or None: find("_boards"), find("_firmware", "prebuilt", "host").

    An editable install has two roots, the source tree and site-packages (for what CMake made). The profiles of boards
    are taken from the source tree, so an edit counts at once.
    """
    places = [root.joinpath(*parts) for root in _roots()]
    working_copy = tree()
    if working_copy is not None and parts[0] == "_boards":
        places.insert(0, working_copy.joinpath("boards", *parts[1:]))
    return next((place for place in places if place.exists()), None)


def tree() -> Path | None:
    """The working copy that the package is run from, or None: it is installed."""
    trees = (root.parent for root in _roots() if (root.parent / "csrc" / "sources.cmake").is_file())
    return next(trees, None)


def _roots() -> list[Path]:
    return [Path(p) for p in sys.modules["pyedge"].__path__]
