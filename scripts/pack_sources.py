"""Packs the sources to rebuild any firmware, in the layout of the repository: one archive, for the wheel.

Usage: pack_sources.py OUTPUT.tar.bz2

Left out are the bindings, and kernels of CPUs that no board's firmware is for. The same sources give the same bytes.
"""

import bz2
import io
import re
import sys
import tarfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
LEFT_OUT = re.compile(
    r"^csrc/(bindings|kernels/(avx2|avx512|x86|dotprod|fhm|fp16|i8mm|neon))/|(^|/)__pycache__/|^firmware/prebuilt\.cmake$"
)


def main(output: str) -> None:
    names = [
        p.relative_to(ROOT).as_posix() for top in ("csrc", "firmware") for p in (ROOT / top).rglob("*") if p.is_file()
    ]
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for name in sorted(name for name in names if not LEFT_OUT.search(name)):
            member = tarfile.TarInfo(name)  # of nobody, of no time
            data = (ROOT / name).read_bytes()
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
    Path(output).write_bytes(bz2.compress(content.getvalue()))


if __name__ == "__main__":
    main(*sys.argv[1:])
