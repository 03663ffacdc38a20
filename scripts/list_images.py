"""Prints the firmware images of the board profiles, one a line: port;isa;file. For CMake. Usage: list_images.py BOARDS"""

import sys
from pathlib import Path

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

for path in sorted(Path(sys.argv[1]).glob("*.toml")):
    profile = tomllib.loads(path.read_text(encoding="utf-8"))
    for image in profile["images"]:
        print(profile["port"], image["isa"], image["file"], sep=";")
