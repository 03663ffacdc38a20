"""Where the files lie that belong to the package but are not Python: board profiles, firmware."""

import sys
from pathlib import Path

# In a source tree these lie elsewhere than in the installed package.
_IN_TREE = {("_boards",): ("boards",), ("_firmware", "src"): ()}


def find(*parts: str) -> Path | None:
    """Path of a file or folder of the package, or None: find("_boards"), find("_firmware", "prebuilt", "host").

    `find("_firmware", "src")` holds csrc/ and firmware/. An editable install has two roots, the source tree and
    site-packages (for what CMake made). What lies in the source tree is taken from there, so an edit counts at once.
    """
    roots = [Path(p) for p in sys.modules["pyedge"].__path__]
    places = [root.joinpath(*parts) for root in roots]
    for prefix, folder in _IN_TREE.items():
        if parts[: len(prefix)] == prefix:
            trees = [root.parent for root in roots if (root.parent / "csrc" / "sources.cmake").is_file()]
            places = [tree.joinpath(*folder, *parts[len(prefix) :]) for tree in trees] + places
    return next((place for place in places if place.exists()), None)
