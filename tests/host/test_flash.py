"""Firmware builds, trimming, flashing."""

from __future__ import annotations

import shutil
from contextlib import nullcontext
from pathlib import Path

import numpy as np
import pytest

import pyedge as pe
from pyedge.boards import load_profile
from pyedge.host import build, flash

from .conftest import needs_qemu

MISSING = {t.name: bool(t.missing) for t in build.toolchains("rv32imac")}
BUILDS = [
    pytest.param(isa, name, marks=pytest.mark.skipif(MISSING[name], reason=f"{name} is not installed"))
    for isa, name in (("rv32imac", "clang"), ("rv32imac", "gcc"), ("rv32imac", "zig"), ("rv32imafc", "clang"))
]


@pytest.mark.parametrize("isa, toolchain", BUILDS)
@needs_qemu
def test_trimmed_firmware_runs_its_plan(plan: pe.Plan, x: np.ndarray, isa: str, toolchain: str) -> None:
    """Built by each compiler, with only the plan's ops, it gives Session's bits, and is smaller than the whole."""
    report = flash("virt-rv32", plan, isa=isa, trim_to=plan, toolchain=toolchain)
    assert report.ops == ("linear_f32",)
    assert report.size.code + report.size.rodata < 40_000
    with pe.connect("virt-rv32", isa=isa, image=report.image) as board:
        assert board.hello.ops == 1
        assert board.load(plan).run([x])[0].tobytes() == pe.Session(plan).run([x])[0].tobytes()


def test_a_trimmed_firmware_refuses_another_plan_by_the_name_of_the_op(plan: pe.Plan, tmp_path: Path) -> None:
    """And says what to do."""
    b = pe.GraphBuilder()
    b.output("y", b.softmax(b.input("x", (1, 4), "float32")))
    plan.save(tmp_path / "p.pedge")
    report = flash("host", trim_to=tmp_path / "p.pedge")
    with (
        pe.connect("host", image=report.image) as board,
        pytest.raises(pe.PlanError, match=r"softmax_f32.*pyedge flash"),
    ):
        board.load(pe.compile(b.build()))


@needs_qemu
@pytest.mark.parametrize("board", ["virt-rv32", "sifive-e", "host"])
def test_a_flashed_plan_is_on_the_board_at_the_next_connection(board: str, other_plan: pe.Plan) -> None:
    """Whether it writes its own flash or the host makes the image; a dry run leaves no trace."""
    assert flash(board, other_plan, dry_run=True).dry_run
    with pe.connect(board) as b, pytest.raises(pe.BoardError):
        b.use_slot()
    report = flash(board, other_plan)
    with pe.connect(board) as b:
        assert b.use_slot().hex() == report.plan_sha256


def test_a_toolchain_that_is_not_known_is_named_with_those_that_are() -> None:
    """For the ISA of the image."""
    with pytest.raises(pe.ToolError, match="there is clang, gcc, zig"):
        build.choose_toolchain("rv32imac", "msvc")


def test_without_a_compiler_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """By pip and by apt."""
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr("sys.executable", str(tmp_path / "python"))
    monkeypatch.setattr(build, "_zig", lambda: None)
    with pytest.raises(pe.ToolError, match=r"pip install 'pyedge\[firmware\]'.*apt install"):
        build.choose_toolchain("rv32imac")


@pytest.mark.parametrize("content", [b"", b"\x7fELF", b"\x7fELF\x01\x01" + b"\xff" * 60, b"MZ" * 40])
def test_a_damaged_elf_file_is_a_tool_error(tmp_path: Path, content: bytes) -> None:
    """Of any size."""
    path = tmp_path / "image.elf"
    path.write_bytes(content)
    with pytest.raises(pe.ToolError):
        build.image_size(path)


def test_a_compile_error_is_one_line_with_the_compilers_words(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An op kind that does not exist leaves an empty firmware; a broken source says where."""
    profile = load_profile("host")
    tree = tmp_path / "src"
    with build.sources() as folder:
        for top in ("csrc", "firmware"):
            shutil.copytree(folder / top, tree / top)
    (tree / "firmware" / "core" / "frame.c").write_text("#error broken by a test\n")
    monkeypatch.setattr(build, "sources", lambda: nullcontext(tree))
    with pytest.raises(pe.ToolError, match="broken by a test") as e:
        build.firmware(profile, profile.image())
    assert "\n" not in str(e.value)
