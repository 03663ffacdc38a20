"""Builds the wheels that are published, for every CPU and CPython, on one x86-64 or arm64 computer.

    build_wheels.py [--arch ARCH ...] [--python 3.13 ...] [--compiler zig] [--out dist] [--work build/wheels]

The compiler is Zig's clang (PyPI package ziglang), with a C library as old as is asked for. CPython's headers come
from Debian's packages (needs mmdebstrap), or from an installed python3.X where Debian has none. Wheels of a Python that
is to be had nowhere are left out with a line that says so.

--compiler debian: clang-19 for C and Debian's cross g++ for C++, which are quick because their libraries are built.
Such wheels need a C library as new as this computer's, and so are for tests, not to be published.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PYTHONS = ("3.10", "3.11", "3.12", "3.13", "3.14")
SUITES = {"3.11": "bookworm", "3.13": "trixie"}  # where Debian has libpython3.X-dev
SUITES_OF_ARCH = {"riscv64": {"3.13": "trixie"}}


@dataclass(frozen=True)
class Arch:
    """debian: its name there; triple: of its compilers and of CPython's files; glibc: the oldest; cpu: Zig's name."""

    debian: str
    triple: str
    glibc: str
    cpu: str
    tag: str  # platform of the wheel


ARCHS = {
    "x86_64": Arch("amd64", "x86_64-linux-gnu", "2.17", "x86_64", "manylinux_2_17_x86_64.manylinux2014_x86_64"),
    "aarch64": Arch("arm64", "aarch64-linux-gnu", "2.17", "generic", "manylinux_2_17_aarch64.manylinux2014_aarch64"),
    "armv7l": Arch(
        "armhf", "arm-linux-gnueabihf", "2.17", "generic+v7a+vfp3d16", "manylinux_2_17_armv7l.manylinux2014_armv7l"
    ),
    "armv6l": Arch("armhf", "arm-linux-gnueabihf", "2.17", "arm1176jzf_s", "linux_armv6l"),
    "riscv64": Arch("riscv64", "riscv64-linux-gnu", "2.31", "baseline_rv64", "manylinux_2_31_riscv64"),
}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--arch", nargs="+", choices=ARCHS, default=list(ARCHS))
    parser.add_argument("--python", nargs="+", choices=PYTHONS, default=PYTHONS)
    parser.add_argument("--compiler", choices=("zig", "debian"), default="zig")
    parser.add_argument("--out", type=Path, default=ROOT / "dist")
    parser.add_argument("--work", type=Path, default=ROOT / "build" / "wheels")
    given = parser.parse_args()
    given.out.mkdir(parents=True, exist_ok=True)
    compilers = zig_programs(given.work.resolve() / "zig") if given.compiler == "zig" else None
    missing = 0
    for arch in given.arch:
        for python in given.python:
            headers = find_headers(arch, python, given.work.resolve())
            if headers is None:
                print(f"{arch}, Python {python}: no headers: Debian has none and python{python} is not installed here")
                missing += 1
                continue
            wheel = build(arch, python, headers, compilers, given.work.resolve(), given.out.resolve())
            print(f"{wheel.name}: {wheel.stat().st_size:,} bytes", flush=True)
    return int(missing == len(given.arch) * len(given.python))


def zig_programs(folder: Path) -> Path:
    """A folder of zcc, zc++, zar, zranlib: CMake wants programs without a first argument."""
    found = importlib.util.find_spec("ziglang")
    if found is None or found.origin is None:
        sys.exit("build_wheels.py: no compiler; try: pip install ziglang")
    zig = Path(found.origin).with_name("zig")
    folder.mkdir(parents=True, exist_ok=True)
    for name in ("cc", "c++", "ar", "ranlib"):
        script = folder / f"z{name}"
        script.write_text(f'#!/bin/sh\nexec "{zig}" {name} "$@"\n')
        script.chmod(0o755)
    return folder


def find_headers(arch: str, python: str, work: Path) -> Path | None:
    """The include folder of CPython for an arch, or None."""
    suite = SUITES_OF_ARCH.get(arch, SUITES).get(python)
    if suite and shutil.which("mmdebstrap"):
        return debian_headers(ARCHS[arch], python, suite, work)
    # pyconfig.h of one 64-bit Linux serves them all; a 32-bit one has other sizes.
    program = shutil.which(f"python{python}")
    if program and not arch.startswith("arm"):
        asked = "import sysconfig; print(sysconfig.get_path('include'))"
        include = Path(
            subprocess.run([program, "-c", asked], capture_output=True, text=True, check=True).stdout.strip()
        )
        return include if (include / "Python.h").exists() else None
    return None


def debian_headers(arch: Arch, python: str, suite: str, work: Path) -> Path:
    root = work / f"headers-{arch.debian}-{python}"
    include = root / "usr" / "include" / f"python{python}"
    if not (include / "Python.h").exists():
        unpack_debian(arch.debian, suite, [f"libpython{python}-dev"], root)
        # Debian's own pyconfig.h only names the arch's; the build has no such search path.
        shutil.copy(root / "usr" / "include" / arch.triple / f"python{python}" / "pyconfig.h", include)
    return include


def unpack_debian(arch: str, suite: str, packages: Sequence[str], root: Path) -> None:
    """Unpacks Debian packages of an arch and what they depend on into a new folder, from the mirror that apt uses here.

    The main archive alone: those of updates don't have every arch.
    """
    asked = ["apt-get", "indextargets", "--format", "$(REPO_URI)", "Created-By: Packages"]
    mirrors = subprocess.run(asked, capture_output=True, text=True, check=True).stdout.split()
    mirror = next((m for m in mirrors if m.rstrip("/").endswith("/debian")), None)
    if mirror is None:
        sys.exit("no Debian mirror in apt's sources; this runs on Debian")
    root.parent.mkdir(parents=True, exist_ok=True)  # mmdebstrap makes the last folder alone
    options = ["-q", "--variant=extract", f"--arch={arch}", f"--include={','.join(packages)}"]
    command = ["mmdebstrap", *options, suite, str(root), f"deb {mirror} {suite} main"]
    subprocess.run(command, check=True, stdin=subprocess.DEVNULL)


def zig_toolchain(name: str, programs: Path) -> str:
    arch = ARCHS[name]
    target = f"{arch.triple}.{arch.glibc}"
    return (
        f"set(CMAKE_C_COMPILER {programs}/zcc)\nset(CMAKE_CXX_COMPILER {programs}/zc++)\n"
        f"set(CMAKE_AR {programs}/zar)\nset(CMAKE_RANLIB {programs}/zranlib)\n"
        f"set(CMAKE_C_COMPILER_TARGET {target})\nset(CMAKE_CXX_COMPILER_TARGET {target})\n"
        f"set(CMAKE_C_FLAGS_INIT -mcpu={arch.cpu})\nset(CMAKE_CXX_FLAGS_INIT -mcpu={arch.cpu})\n"
    )


def debian_toolchain(name: str) -> str:
    triple = ARCHS[name].triple
    gxx = f"{triple}-g++"
    if missing := [program for program in ("clang-19", gxx) if not shutil.which(program)]:
        sys.exit(f"build_wheels.py: no {' and no '.join(missing)}; try: apt-get install clang-19 g++-{triple}")
    return (
        f"set(CMAKE_C_COMPILER clang-19)\nset(CMAKE_C_COMPILER_TARGET {triple})\nset(CMAKE_CXX_COMPILER {gxx})\n"
        f"set(CMAKE_AR {triple}-ar)\nset(CMAKE_RANLIB {triple}-ranlib)\n"
    )


def build(name: str, python: str, headers: Path, zig: Path | None, work: Path, out: Path) -> Path:
    """Builds one wheel with the Python that runs this, and gives it the tags of the Python that it is for."""
    arch = ARCHS[name]
    toolchain = work / f"{name}.cmake"
    toolchain.write_text(
        f"set(CMAKE_SYSTEM_NAME Linux)\nset(CMAKE_SYSTEM_PROCESSOR {name})\n"
        + (zig_toolchain(name, zig) if zig else debian_toolchain(name))
        + "set(CMAKE_FIND_ROOT_PATH_MODE_PROGRAM NEVER)\n"
    )
    tag = "cp" + python.replace(".", "")
    fresh = work / f"wheel-{name}-{tag}"
    shutil.rmtree(fresh, ignore_errors=True)
    defines = {
        "CMAKE_TOOLCHAIN_FILE": toolchain,
        "Python_INCLUDE_DIR": headers,
        "PYTHON_MODULE_EXTENSION": f".cpython-{tag[2:]}-{arch.triple}.so",
    }
    options = [f"-Ccmake.define.{key}={value}" for key, value in defines.items()]
    command = [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "-w", str(fresh), *options, str(ROOT)]
    # What is set for the compiler of this computer does not fit the other.
    environment = {k: v for k, v in os.environ.items() if k not in ("CFLAGS", "CXXFLAGS", "LDFLAGS", "CC", "CXX")}
    subprocess.run(command, check=True, env={**environment, "PIP_DISABLE_PIP_VERSION_CHECK": "1"})
    (wheel,) = fresh.glob("*.whl")
    platform = arch.tag if zig else f"linux_{name}"
    tags = ["--python-tag", tag, "--abi-tag", tag, "--platform-tag", platform]
    subprocess.run(
        [sys.executable, "-m", "wheel", "tags", "--remove", *tags, wheel], check=True, stdout=subprocess.DEVNULL
    )
    (wheel,) = fresh.glob("*.whl")
    return Path(shutil.move(wheel, out / wheel.name))


if __name__ == "__main__":
    sys.exit(main())
