"""Checks what a wheel carries: all that it must, nothing that it must not, no path of the computer that built it.

Usage: check_wheel.py WHEEL
"""

from __future__ import annotations

import io
import re
import sys
import tarfile
import zipfile
from pathlib import Path

from list_images import images

ROOT = Path(__file__).resolve().parent.parent
# Not in the wheel: what is not Python's, what would be there twice, and kernels that no board's firmware has.
FORBIDDEN = re.compile(
    r"^bench/|(^|/)(tests?|docs|bindings|__pycache__|\.git\w*)/|\.(pyc|o|a|cpp)$|prebuilt\.cmake$"
    r"|/csrc/kernels/(avx2|avx512|x86|dotprod|fhm|fp16|i8mm|neon)/"
)
SOURCES = "pyedge/_firmware/src.tar.bz2"  # its files are checked as if they lay in a folder of this name
# Bytes without firmware images: what makes a wheel grow is to be seen.
LIMIT = 1_700_000
PATHS = re.compile(rb"/(?:home|root|tmp|work|build|var|Users)/[\w.+-]+/[\w./+-]*")


def faults(wheel: Path) -> list[str]:
    """One line for each thing that is wrong."""
    sources = [p for top in ("csrc", "firmware") for p in (ROOT / top).rglob("*") if p.is_file()]
    must = {
        "pyedge/py.typed",
        "pyedge/_core.pyi",
        "pyedge/_plan_structs.py",
        *(p.relative_to(ROOT).as_posix() for p in (ROOT / "pyedge").rglob("*.py")),
        *(f"pyedge/_boards/{p.relative_to(ROOT / 'boards').as_posix()}" for p in (ROOT / "boards").rglob("*.*")),
        *(f"pyedge/_firmware/prebuilt/{file}" for _, _, file, _ in images(ROOT / "boards")),
        *(f"{SOURCES}/{p.relative_to(ROOT).as_posix()}" for p in sources),
    }
    must = {name for name in must if not FORBIDDEN.search(name)}
    with zipfile.ZipFile(wheel) as z:
        files = {name: z.read(name) for name in z.namelist()}
        size = size_without_images(wheel, z)
    if SOURCES in files:
        with tarfile.open(fileobj=io.BytesIO(files[SOURCES])) as tar:
            for member in tar:
                if content := tar.extractfile(member):
                    files[f"{SOURCES}/{member.name}"] = content.read()
    names = sorted(files)
    found = [f"{name} is missing" for name in sorted(must.difference(files))]
    found += [f"{name} does not belong there" for name in names if FORBIDDEN.search(name)]
    found += [f"{n}: holds the path {p.decode()}" for n in names for p in sorted(set(PATHS.findall(files[n])))]
    if size > LIMIT:
        found.append(f"{size:,} bytes without firmware images, more than {LIMIT:,}")
    if sum(name.startswith("pyedge/_core.") and name.endswith(".so") for name in names) != 1:
        found.append("not exactly one extension module")
    if not any(name.endswith("licenses/LICENSE") for name in names):
        found.append("the licence is missing")
    return found


def size_without_images(wheel: Path, z: zipfile.ZipFile) -> int:
    """Bytes of the file less the compressed firmware images."""
    return wheel.stat().st_size - sum(i.compress_size for i in z.infolist() if "/_firmware/prebuilt/" in i.filename)


def main() -> int:
    wheel = Path(sys.argv[1])
    found = faults(wheel)
    with zipfile.ZipFile(wheel) as z:
        size = f"{wheel.stat().st_size:,} bytes, {size_without_images(wheel, z):,} without firmware images"
    print("\n".join(found) or f"{wheel.name}: {size}, nothing missing, nothing too much")
    return bool(found)


if __name__ == "__main__":
    sys.exit(main())
