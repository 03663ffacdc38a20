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
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

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
    return run(prepare(given.wheel, given.work.resolve()), given.cpu, given.arguments)


@dataclass(frozen=True)
class Place:
    """Where a wheel is installed: qemu, python: their programs' names; site: of the wheel and what it needs."""

    arch: str
    qemu: str
    root: Path
    python: str
    site: Path


def prepare(wheel: Path, work: Path) -> Place:
    """Installs a wheel beside a root folder of its CPU."""
    _, _, python, _, platforms = wheel.name.removesuffix(".whl").split("-")
    (arch,) = {a for a in ARCHS for p in platforms.split(".") if p.endswith(a)}
    if python not in SUITES:
        sys.exit(f"{wheel.name}: there is a Debian root for {' and '.join(SUITES)} alone")
    root = debian_root(ARCHS[arch].debian, SUITES[python], work)
    site = install(wheel, work / f"site-{arch}-{python}")
    qemu = newer_qemu(QEMU[arch], work) if arch == "riscv64" else f"qemu-{QEMU[arch]}-static"
    return Place(arch, qemu, root, f"python3.{python[3:]}", site)


def newer_qemu(name: str, work: Path) -> str:
    """Debian 13's emulator, for Debian 12 as well: riscv_hwprobe, which tells of vectors, is known from QEMU 8.2 on."""
    root = work / "qemu-trixie"
    program = root / "usr" / "bin" / f"qemu-{name}"
    if not program.exists():
        asked = subprocess.run(["dpkg", "--print-architecture"], capture_output=True, text=True, check=True)
        unpack_debian(asked.stdout.strip(), "trixie", ["qemu-user"], root)
    return str(program)


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
    if not site.exists():
        install_pure(PYPI, site)
        for compiled in site.glob("_cffi_backend*.so"):  # of this computer; the root has its own
            compiled.unlink()
    shutil.rmtree(site / "pyedge", ignore_errors=True)
    subprocess.run(["unzip", "-q", "-o", str(wheel), "-d", str(site)], check=True)
    return site


def install_pure(packages: Sequence[str], site: Path) -> None:
    """Packages from PyPI that have no compiled code, or some that is removed afterwards."""
    pip = [sys.executable, "-m", "pip", "install", "-q", "--disable-pip-version-check", "--no-deps"]
    subprocess.run([*pip, "--target", str(site), *packages], check=True)


def run(place: Place, cpu: str | None, arguments: Sequence[str], output: IO[str] | None = None) -> int:
    """Python with these arguments on a CPU of QEMU; its exit status. What it says goes to output if that is given."""
    root = place.root
    model = ["-cpu", cpu] if cpu else []
    program = [place.qemu, "-L", str(root), *model, str(root / "usr" / "bin" / place.python)]
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(root / "root"),
        "PYTHONPATH": f"{place.site}:{root}/usr/lib/python3/dist-packages",
        "PYTHONDONTWRITEBYTECODE": "1",
        **{k: v for k, v in os.environ.items() if k.startswith("PYEDGE_")},
    }
    command = [*program, *arguments]
    return subprocess.run(command, env=environment, cwd="/", stdout=output, stderr=output, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
