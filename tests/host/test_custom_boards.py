"""Custom ops on boards: compiled into the firmware, Session's bits, clear words where they are missing."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from custom_kernels import SMOOTH, feed, pair_plan, register_pair, register_smooth, smooth_plan

import pyedge as pe
from pyedge import custom
from pyedge.boards import load_profile
from pyedge.host import build, flash
from pyedge.model.custom import KERNELS

from .conftest import BOARDS

EXAMPLE = SMOOTH.with_name("smooth.py")


@pytest.fixture(autouse=True)
def unregistered() -> Iterator[None]:
    """Each test begins and ends without custom ops."""
    yield
    for name in list(KERNELS):
        pe.unregister_op(name)


@pytest.mark.parametrize("board", BOARDS)
def test_a_board_with_the_kernels_gives_the_bits_of_session(board: str, tmp_path: Path) -> None:
    """Two files, three ops; the board says what it has, and keeps its firmware until it is flashed again."""
    register_smooth()
    pair = register_pair(tmp_path)
    plans = [smooth_plan(board), pair_plan(board)]
    with (
        pe.connect(board) as b,
        pytest.raises(
            pe.PlanError,
            match=rf"{board}: the firmware lacks the custom op 'smooth'; try: pyedge flash .*--with .*kernel.c",
        ),
    ):
        b.load(plans[0])
    flash(board, plans[0], kernels=[SMOOTH, pair])
    with pe.connect(board) as b:
        assert b.custom_ops() == {
            "smooth": custom.source_number(SMOOTH),
            "split_low": custom.source_number(pair),
            "total": custom.source_number(pair),
        }
        b.use_slot()
        for plan in plans:
            there = b.load(plan).run(feed(plan))
            assert [y.tobytes() for y in there] == [y.tobytes() for y in pe.Session(plan).run(feed(plan))]
    flash(board)
    with pe.connect(board) as b:
        assert b.custom_ops() == {}


def test_a_board_with_another_source_refuses_the_plan(tmp_path: Path) -> None:
    """By name, before anything is sent."""
    pair = register_pair(tmp_path)
    plan = pair_plan()
    (tmp_path / "offset.h").write_text("#define OFFSET 99\n")
    report = flash("host", kernels=[pair])
    with (
        pe.connect("host", image=report.image) as b,
        pytest.raises(pe.PlanError, match=r"the firmware has another source of the custom op 'split_low'"),
    ):
        b.load(plan)


def test_the_board_itself_refuses_what_it_lacks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """When a host does not ask first: the board checks name and source."""
    register_smooth()
    plan = smooth_plan()
    with pe.connect("host") as b:
        monkeypatch.setattr(type(b), "_check_custom", lambda self, plan: None)
        with pytest.raises(pe.PlanError, match=r"smooth"):
            b.load(plan)


def test_many_ops_come_in_several_answers(tmp_path: Path) -> None:
    """More than one message holds, with the longest names."""
    text = SMOOTH.read_text()
    start, end = text.index("PE_CUSTOM_OP"), len(text)
    names = [f"a_very_long_name_of_a_kernel_{i:02}" for i in range(60)]
    assert max(map(len, names)) == 31
    source = tmp_path / "many.c"
    lines = "\n".join(text[start:end].replace("(smooth,", f"({name},") for name in names)
    source.write_text(text[:start] + lines)
    report = flash("host", kernels=[source], trim_to=_trivial(), dry_run=True)
    with pe.connect("host", image=report.image) as b:
        assert b.custom_ops() == dict.fromkeys(names, custom.source_number(source))


def _trivial() -> pe.Plan:
    b = pe.GraphBuilder()
    b.output("y", b.relu(b.input("x", (1,), "float32")))
    return pe.compile(b.build())


def test_one_op_in_two_files_is_refused(tmp_path: Path) -> None:
    """Both are named."""
    other = tmp_path / "other.c"
    other.write_text(SMOOTH.read_text())
    with pytest.raises(pe.ModelError, match=r"custom op 'smooth' is in more than one file: .*kernel.c, .*other.c"):
        build.firmware(load_profile("host"), load_profile("host").image(), kernels=[SMOOTH, other])


def test_a_kernel_that_needs_libc_is_refused_by_the_build(tmp_path: Path) -> None:
    """With the linker's words, in one line."""
    source = tmp_path / "kernel.c"
    source.write_text("int getpid_(void);\n" + SMOOTH.read_text().replace("p->alpha * (", "getpid_() * p->alpha * ("))
    with pytest.raises(pe.ToolError, match=r"getpid_") as e:
        build.firmware(load_profile("host"), load_profile("host").image(), kernels=[source])
    assert "\n" not in str(e.value)


@pytest.mark.parametrize("board", BOARDS[:2])
def test_the_example_runs(board: str) -> None:
    """examples/custom_op/smooth.py, as its README says."""
    done = subprocess.run([sys.executable, EXAMPLE, "--board", board], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert "kernel and reference agree" in done.stdout and f"{board} gives the same bits" in done.stdout


def test_the_command_line_knows_kernels(tmp_path: Path) -> None:
    """flash, run --compare, profile and inspect of a plan with a custom op; without --with the op is named."""
    register_smooth()
    plan = smooth_plan()
    plan.save(tmp_path / "smooth.pedge")
    np.savez(tmp_path / "x.npz", x=feed(plan)[0][None])

    def pyedge(*args: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "pyedge.cli", *args]
        return subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, timeout=300)

    kernel = ("--with", str(SMOOTH))
    done = pyedge("flash", "smooth.pedge", "-b", "host", *kernel)
    assert done.returncode == 0, done.stderr
    done = pyedge("run", "smooth.pedge", "-b", "host", "--data", "x.npz", "--compare", *kernel)
    assert done.returncode == 0, done.stderr
    for verb in ("profile", "inspect"):
        done = pyedge(verb, "smooth.pedge", "-b", "host", *kernel)
        assert done.returncode == 0, done.stderr
        assert "custom" in done.stdout
    done = pyedge("run", "smooth.pedge", "--data", "x.npz")
    assert done.returncode == 7
    assert "custom op 'smooth', which is not registered" in done.stderr
