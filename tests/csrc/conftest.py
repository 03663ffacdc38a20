"""Fixtures of the C room: programs built from csrc/ under sanitizers, and the params of an op by name."""

import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SANITIZE = ("-fsanitize=address,undefined", "-fno-sanitize-recover=all")


def runtime_sources() -> list[Path]:
    """The C files of csrc/sources.cmake that every CPU has."""
    text = (ROOT / "csrc/sources.cmake").read_text(encoding="utf-8")
    every_cpu = text[text.index("set(PYEDGE_SOURCES") :].split("\n)")[0]
    return [ROOT / "csrc" / name for name in re.findall(r"^\s+(\S+\.c)$", every_cpu, re.MULTILINE)]


@pytest.fixture(scope="session")
def build_c(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """build_c("name_test.c", *flags): a program of tests/csrc/ with csrc/; under ASan and UBSan by default."""

    def build(source: str, *flags: str, sources: list[Path] | None = None, sanitize: bool = True) -> Path:
        cc = next((c for c in ("clang-19", "clang", "gcc", "cc") if shutil.which(c)), None)
        if cc is None:
            pytest.skip("needs a C compiler")
        program = tmp_path_factory.mktemp("c") / Path(source).stem
        files = [ROOT / "tests/csrc" / source, *(runtime_sources() if sources is None else sources)]
        command = [cc, "-std=c11", "-O2", "-g", "-Wall", "-Wextra", "-Werror", "-ffp-contract=off"]
        command += [f"-I{ROOT / 'csrc/include'}", f"-I{ROOT / 'csrc'}", *(SANITIZE if sanitize else ()), *flags]
        command += [*map(str, files), "-o", str(program), "-lm"]
        subprocess.run(command, check=True)
        return program

    return build
