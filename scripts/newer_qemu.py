"""Debian 13's qemu-system-riscv32 on Debian 12 as well: its float16 vectors (Zvfh) are what QEMU 7.2 lacks.

    newer_qemu.py FOLDER

Unpacks it into FOLDER and writes FOLDER/bin/qemu-system-riscv32, which starts it by its own loader; put FOLDER/bin in
front of PATH. Needs mmdebstrap.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from build_wheels import unpack_debian


def main() -> int:
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    folder = Path(sys.argv[1]).resolve()
    root, program = folder / "root", folder / "bin" / "qemu-system-riscv32"
    if not (root / "usr" / "bin" / program.name).exists():
        asked = subprocess.run(["dpkg", "--print-architecture"], capture_output=True, text=True, check=True)
        unpack_debian(asked.stdout.strip(), "trixie", ["qemu-system-riscv"], root)
    (loader,) = root.glob("usr/lib*/ld-linux-*.so.*")
    (libraries,) = {path.parent for path in root.glob("usr/lib/*/libc.so.6")}
    program.parent.mkdir(exist_ok=True)
    program.write_text(
        f'#!/bin/sh\nexport QEMU_MODULE_DIR="{libraries}/qemu"\n'
        f'exec "{loader}" --library-path "{libraries}" "{root}/usr/bin/{program.name}" \\\n'
        f'  -L "{root}/usr/share/qemu" "$@"\n'
    )
    program.chmod(0o755)
    said = subprocess.run([program, "--version"], capture_output=True, text=True, check=True)
    print(f"{program}: {said.stdout.splitlines()[0]}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
