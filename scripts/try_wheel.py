"""Runs an installed wheel on an emulated CPU: a Debian root folder of that CPU with Python and numpy, and no compiler.

    try_wheel.py WHEEL [--cpu cortex-a72] [--work build/wheels] [--] [ARGUMENT of Python ...]

Without arguments it runs `pyedge demo`. Needs mmdebstrap and qemu-user-static. The emulated RISC-V board of the demo is
this computer's own qemu-system-riscv32: an emulated program may start a native one, but no other of its own kind, so
what starts child processes of Python does not work here.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
from pathlib import Path

from build_wheels import ARCHS, unpack_debian

ROOT = Path(__file__).resolve().parent.parent
SUITES = {"cp311": "bookworm", "cp313": "trixie"}
QEMU = {"x86_64": "x86_64", "aarch64": "aarch64", "armv7l": "arm", "armv6l": "arm", "riscv64": "riscv64"}
DEBIAN = ("python3", "python3-numpy", "python3-cffi-backend", "python3-serial", "libstdc++6")
PYPI = ("cffi", "click", "flatbuffers", "markdown-it-py", "mdurl", "pycparser", "pygments", "rich", "tflite")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("wheel", type=Path)
    parser.add_argument("--cpu")
    parser.add_argument("--work", type=Path, default=ROOT / "build" / "wheels")
    parser.add_argument("arguments", nargs="*", default=["-m", "pyedge.cli", "demo"])
    given = parser.parse_args()
    _, _, python, _, platforms = given.wheel.name.removesuffix(".whl").split("-")
    (arch,) = {a for a in ARCHS for p in platforms.split(".") if p.endswith(a)}
    if python not in SUITES:
        sys.exit(f"{given.wheel.name}: there is a Debian root for {' and '.join(SUITES)} alone")
    work = given.work.resolve()
    root = debian_root(ARCHS[arch].debian, SUITES[python], work)
    site = install(given.wheel, work / f"site-{arch}-{python}")
    return run(QEMU[arch], given.cpu, root, f"python3.{python[3:]}", site, given.arguments)


def debian_root(arch: str, suite: str, work: Path) -> Path:
    """A folder with Debian's Python of an arch, unpacked but not configured; made once."""
    root = work / f"root-{arch}-{suite}"
    if not (root / "usr" / "bin" / "python3").exists():
        unpack_debian(arch, suite, DEBIAN, root)
        shutil.rmtree(root / "dev")  # QEMU would look there first, and a node of another ptmx opens nothing
        if not (root / "lib").exists():
            (root / "lib").symlink_to("usr/lib")
        for library in ("blas/libblas.so.3", "lapack/liblapack.so.3"):  # what update-alternatives would do
            for found in root.glob(f"usr/lib/*/{library}"):
                (found.parent.parent / found.name).symlink_to(library)
    return root


def install(wheel: Path, site: Path) -> Path:
    """The wheel and what it needs from PyPI, all pure Python, in a folder of their own."""
    pip = [
        sys.executable,
        "-m",
        "pip",
        "install",
        "-q",
        "--disable-pip-version-check",
        "--no-deps",
        "--target",
        str(site),
    ]
    if not site.exists():
        subprocess.run([*pip, *PYPI], check=True)
        for compiled in site.glob("_cffi_backend*.so"):  # of this computer; the root has its own
            compiled.unlink()
    shutil.rmtree(site / "pyedge", ignore_errors=True)
    subprocess.run(["unzip", "-q", "-o", str(wheel), "-d", str(site)], check=True)
    return site


def run(qemu: str, cpu: str | None, root: Path, python: str, site: Path, arguments: list[str]) -> int:
    program = [
        f"qemu-{qemu}-static",
        "-L",
        str(root),
        *(["-cpu", cpu] if cpu else []),
        str(root / "usr" / "bin" / python),
    ]
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(root / "root"),
        "PYTHONPATH": f"{site}:{root}/usr/lib/python3/dist-packages",
        "PYTHONDONTWRITEBYTECODE": "1",
        **{k: v for k, v in os.environ.items() if k.startswith("PYEDGE_")},
    }
    return subprocess.run([*program, *arguments], env=environment, cwd="/", check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
