"""The public face."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

import pyedge as pe


def test_import_loads_nothing_that_may_not_be_needed() -> None:
    """No graph, model format, serial port, command line or subprocess is loaded before it is used."""
    code = "import sys, pyedge; print([m for m in sys.argv[1:] if m in sys.modules])"
    heavy = ["pyedge.model", "pyedge.compress", "pyedge.plan.compile", "pyedge.boards"]
    heavy += ["tflite", "flatbuffers", "serial", "click", "rich", "pyedge.host", "pyedge.cli", "subprocess", "sklearn"]
    out = subprocess.run([sys.executable, "-c", code, *heavy], capture_output=True, text=True, check=True).stdout
    assert out.strip() == "[]"


def test_all_names_are_there() -> None:
    """__all__, the version, and the C ABI."""
    assert [name for name in pe.__all__ if not hasattr(pe, name)] == []
    assert pe.__version__.split(".")[0].isdigit()
    assert pe.pe_abi_version() == 1
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = pe.nothing


def test_every_error_is_a_pyedge_error() -> None:
    """One base, with an exit code for the command line."""
    classes = [c for c in vars(pe.errors).values() if isinstance(c, type) and issubclass(c, Exception)]
    assert len(classes) >= 10
    assert all(issubclass(c, pe.PyedgeError) and 1 <= c.exit_code <= 9 for c in classes)


def test_load_says_what_a_file_is_not(tmp_path: Path) -> None:
    """A missing file, a foreign one, an empty one, and damaged ones of both formats."""
    with pytest.raises(pe.ModelError, match=r"gone.tflite: No such file"):
        pe.load(tmp_path / "gone.tflite")
    for name, data, error in (
        ("notes.txt", b"hello", pe.ModelError),
        ("empty.bin", b"", pe.ModelError),
        ("model.tflite", b"junk", pe.ModelError),
        ("renamed.bin", b"\x18\0\0\0TFL3junk", pe.ModelError),
        ("plan.pedge", b"junk", pe.PlanError),
        ("renamed.bin", b"PEDGjunk", pe.PlanError),
    ):
        (tmp_path / name).write_bytes(data)
        with pytest.raises(error, match=name):
            pe.load(tmp_path / name)


def test_pyedge_isa_lowers_the_level_and_refuses_other_names() -> None:
    """The level below the CPU's is taken, a higher one is not, and a name that is none stops the import in one line."""
    code = "import pyedge; print(pyedge.cpu_features().isa)"

    def level(isa: str) -> tuple[int, str, str]:
        run = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, env={**os.environ, "PYEDGE_ISA": isa}
        )
        return run.returncode, run.stdout.strip(), run.stderr.strip().splitlines()[-1] if run.stderr else ""

    best = level("")[1]
    assert level("portable") == (0, "portable", "")
    assert level("avx512") == (0, best, "")
    code_of_error, _, error = level("sse9")
    assert code_of_error == 1
    assert (
        "'sse9' is no ISA level; the levels are portable, avx2, avx512, neon, fp16, dotprod, i8mm, rvv, zvfh" in error
    )
