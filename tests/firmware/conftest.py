"""Fixtures of the firmware room: images built from firmware/ by each compiler, and plans to run on them."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from pyedge.host import monocypher

from .slots import Images, imgtool

ROOT = Path(__file__).resolve().parents[2]
FIRMWARE = ROOT / "firmware"
COMPILERS = ("clang", "gcc", "zig")
ZVFH_CPU = "rv32,v=true,zfh=true,zvfh=true"


def need(*programs: str) -> None:
    """Skips the test if one of the programs is not installed."""
    for program in programs:
        if shutil.which(program) is None:
            pytest.skip(f"needs {program}")


def need_zvfh() -> None:
    """Debian 12's QEMU has no Zvfh, Debian 13's has."""
    need("qemu-system-riscv32")
    command = ["qemu-system-riscv32", "-M", "virt", "-bios", "none", "-cpu", ZVFH_CPU, "-S", "-display", "none"]
    tried = subprocess.run(
        [*command, "-monitor", "stdio"], input=b"quit\n", capture_output=True, timeout=60, check=False
    )
    if tried.returncode:
        pytest.skip("this qemu-system-riscv32 has no Zvfh; that of Debian 13 has")


def need_compiler(compiler: str, gcc: str = "riscv64-unknown-elf-gcc") -> None:
    """Skips the test if a cross compiler is not installed. gcc: the one of the cores."""
    if compiler == "zig":
        pytest.importorskip("ziglang")
    else:
        need(*{"clang": ("clang-19", "ld.lld-19"), "gcc": ()}[compiler], gcc)


Build = Callable[..., Path]


@pytest.fixture(scope="session")
def build(tmp_path_factory: pytest.TempPathFactory) -> Build:
    """build("virt-rv32", "gcc", PYEDGE_MARCH="rv32imafc"): the image; the same arguments build once."""
    done: dict[tuple[object, ...], Path] = {}

    def configure_and_build(board: str, compiler: str = "", source: Path = FIRMWARE, **options: str) -> Path:
        need("cmake", "ninja")
        key = (board, compiler, source, *sorted(options.items()))
        if key not in done:
            folder = tmp_path_factory.mktemp(f"{board}-{compiler}")
            command = ["cmake", "-S", str(source), "-B", str(folder), "-G", "Ninja", f"-DPYEDGE_BOARD={board}"]
            if compiler:
                arm = options.get("PYEDGE_MARCH", "").startswith("cortex-m")
                need_compiler(compiler, "arm-none-eabi-gcc" if arm else "riscv64-unknown-elf-gcc")
                family = "cortexm" if arm else "rv32"
                command.append(f"-DCMAKE_TOOLCHAIN_FILE={FIRMWARE}/cmake/{compiler}-{family}.cmake")
            if compiler == "zig":
                command.append(f"-DPYEDGE_PYTHON={sys.executable}")  # ziglang may be in this venv only
            command += [f"-D{name}={value}" for name, value in options.items()]
            subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
            subprocess.run(["ninja", "-C", str(folder), "-j2", "--quiet"], check=True)
            (done[key],) = [p for p in folder.iterdir() if p.name in ("host", "example") or p.suffix == ".elf"]
        return done[key]

    return configure_and_build


@pytest.fixture(scope="session")
def host_firmware(build: Build) -> Path:
    """The host port under ASan and UBSan."""
    return build("host", PYEDGE_SANITIZE="address,undefined")


def sign_board(name: str, folder: Path) -> Images:
    """As users do: a key, `pyedge sign --board`, with a plan linked. Nothing is kept but in the folder."""
    from .test_server import small_plan

    key, plan, curve = folder / "key.pem", folder / "plan.pedge", monocypher.sources()
    imgtool("keygen", "-k", key, "-t", "ed25519")
    plan.write_bytes(small_plan(0.5))
    shutil.copytree(curve, folder / "cache" / "pyedge" / curve.name)
    options = ["-k", key, "-v", "1.0.0", "--counter", "1", "--trim-to", plan, "--embed", plan, "--boot"]
    command = [sys.executable, "-m", "pyedge.cli", "sign", "-b", name, *map(str, options), "-o", str(folder / "out")]
    subprocess.run(command, check=True, env={**os.environ, "XDG_CACHE_HOME": str(folder / "cache")})
    (boot,) = (folder / "out").glob(f"{name}-boot*")
    return Images(folder, boot, sorted((folder / "out").glob("*.bin")), key)


@pytest.fixture(scope="session")
def host_images(tmp_path_factory: pytest.TempPathFactory) -> Images:
    """The host port. One image is for both slots."""
    return sign_board("host", tmp_path_factory.mktemp("host-slots"))


@pytest.fixture(scope="session")
def virt_images(tmp_path_factory: pytest.TempPathFactory) -> Images:
    """A boot loader of at most 16 KiB, its linker script says so, and firmware linked for each slot."""
    need("qemu-system-riscv32", "riscv64-unknown-elf-gcc")
    return sign_board("virt-rv32", tmp_path_factory.mktemp("virt-slots"))
