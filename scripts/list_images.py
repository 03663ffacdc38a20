"""The firmware images of a wheel, one a line, port;isa;file;family;mark: for CMake. Usage: list_images.py BOARDS

Those of the emulated boards. Firmware of a real one is built when it is flashed, mostly for the ops of its plans alone.

family: the toolchain files of firmware/cmake, <compiler>-<family>.cmake. mark: PYEDGE_MARK of firmware/CMakeLists.txt.
"""

import sys
from pathlib import Path

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib


def images(boards: Path) -> list[tuple[str, str, str, str]]:
    """(port, ISA, file, mark) of each image, in the order of the profiles' names."""
    profiles = [tomllib.loads(path.read_text(encoding="utf-8")) for path in sorted(boards.glob("*.toml"))]
    emulated = [p for p in profiles if "emulator" in p]
    return [(p["port"], i["isa"], i["file"], str(p.get("mark", ""))) for p in emulated for i in p["images"]]


def family(isa: str) -> str:
    """What the toolchain files for an ISA are called; "native": none."""
    return "cortexm" if isa.startswith("cortex-m") else isa if isa == "native" else "rv32"


if __name__ == "__main__":
    for port, isa, file, mark in images(Path(sys.argv[1])):
        print(port, isa, file, family(isa), mark, sep=";")
