"""Fixtures for all rooms."""

import os
import re
import shutil
import signal
import subprocess
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
# Firmware is built dozens of times from mostly the same files.
if shutil.which("ccache"):
    os.environ.setdefault("CMAKE_C_COMPILER_LAUNCHER", "ccache")
    os.environ.setdefault("CCACHE_DIR", str(ROOT / "build/ccache"))
    os.environ.setdefault("CCACHE_NOHASHDIR", "1")  # folders of builds are not in what is compiled

# Programs that a shell starts in the background have Ctrl-C ignored, and so have their children; some tests send it.
signal.signal(signal.SIGINT, signal.default_int_handler)

SANITIZE = ("-fsanitize=address,undefined", "-fno-sanitize-recover=all")
DATA = Path(os.environ.get("PYEDGE_TEST_DATA") or ROOT.parent / "shared" / "data")


@pytest.fixture(scope="session")
def data_dir() -> Path:
    """The folder of real models, inputs and expected outputs; tests that need it are skipped where it is absent."""
    if not (DATA / "models").is_dir():
        pytest.skip(f"no test data in {DATA}: set PYEDGE_TEST_DATA to the folder of models/, inputs/, expected/")
    return DATA


def _runtime_sources() -> list[Path]:
    """The C files of csrc/sources.cmake that every CPU has."""
    text = (ROOT / "csrc/sources.cmake").read_text(encoding="utf-8")
    every_cpu = text[text.index("set(PYEDGE_SOURCES") :].split("\n)")[0]
    return [ROOT / "csrc" / name for name in re.findall(r"^\s+(\S+\.c)$", every_cpu, re.MULTILINE)]


@pytest.fixture(scope="session")
def build_c(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """build_c("csrc/name_test.c", *flags): a program of tests/ with csrc/; under ASan and UBSan by default.

    Further C files are flags; sources takes the place of csrc/.
    """

    def build(source: str, *flags: str, sources: list[Path] | None = None, sanitize: bool = True) -> Path:
        cc = next((c for c in ("clang-19", "clang", "gcc", "cc") if shutil.which(c)), None)
        if cc is None:
            pytest.skip("needs a C compiler")
        folder = tmp_path_factory.mktemp("c")
        program = folder / Path(source).stem
        more = [Path(f) for f in flags if f.endswith(".c")]
        options = [f for f in flags if not f.endswith(".c")]
        files = [ROOT / "tests" / source, *(_runtime_sources() if sources is None else sources), *more]
        command = [
            cc,
            "-std=c11",
            "-O1" if sanitize else "-O2",
            "-g",
            "-Wall",
            "-Wextra",
            "-Werror",
            "-ffp-contract=off",
        ]
        command += [f"-I{ROOT / 'csrc/include'}", f"-I{ROOT / 'csrc'}", *(SANITIZE if sanitize else ())]
        command += [f for f in options if not f.startswith("-Wl,")]
        objects = [folder / f"{i}.o" for i in range(len(files))]
        cached = ["ccache"] if shutil.which("ccache") else []
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            jobs = [[*cached, *command, "-c", str(f), "-o", str(o)] for f, o in zip(files, objects, strict=True)]
            list(pool.map(partial(subprocess.run, check=True), jobs))
        link = [cc, *(SANITIZE if sanitize else ()), *(f for f in options if f.startswith("-Wl,"))]
        subprocess.run([*link, *map(str, objects), "-o", str(program), "-lm"], check=True)
        return program

    return build
