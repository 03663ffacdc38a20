"""The firmware images of the board profiles, one a line, port;isa;file: for CMake. Usage: list_images.py BOARDS"""

import sys
from pathlib import Path

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib


def images(boards: Path) -> list[tuple[str, str, str]]:
    """(port, ISA, file) of each image, in the order of the profiles' names."""
    profiles = [tomllib.loads(path.read_text(encoding="utf-8")) for path in sorted(boards.glob("*.toml"))]
    return [(profile["port"], image["isa"], image["file"]) for profile in profiles for image in profile["images"]]


if __name__ == "__main__":
    for image in images(Path(sys.argv[1])):
        print(*image, sep=";")
