"""Emulated boards as processes: they start, restart, and never outlive us."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

import pyedge as pe
from pyedge.boards import load_profile
from pyedge.host import build
from pyedge.host.emulator import Emulator

from .conftest import needs_qemu


def processes_with(text: str) -> list[int]:
    """Processes, zombies not, that have this in their arguments."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if text in (folder / "cmdline").read_text():
                found.append(int(folder.name))
        except OSError:
            continue
    return found


def wait_for(condition: Callable[[], bool]) -> bool:
    """Whether it becomes true within 5 s."""
    until = time.monotonic() + 5
    while not condition() and time.monotonic() < until:
        time.sleep(0.02)
    return condition()


@pytest.mark.parametrize("name", ["host", pytest.param("virt-rv32", marks=needs_qemu)])
@pytest.mark.parametrize("sig", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_a_board_dies_with_its_python(tmp_path: Path, name: str, sig: signal.Signals) -> None:
    """However Python ends, also where nothing can clean up; even if it was started in a thread that has ended."""
    flash = tmp_path / f"{name}.flash"
    code = f"""
import threading, time, pyedge
thread = threading.Thread(target=lambda: boards.append(pyedge.connect({name!r}, flash={str(flash)!r})))
boards = []
thread.start()
thread.join()
boards[0].echo("still there")
print("up", flush=True)
time.sleep(60)
"""
    child = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    assert child.stdout is not None and child.stdout.readline() == "up\n"
    assert processes_with(str(flash))
    child.send_signal(sig)
    child.wait()
    child.stdout.close()
    assert wait_for(lambda: not processes_with(str(flash)))


def test_closing_a_board_leaves_neither_process_nor_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The temporary folder is empty afterwards, also when the block ends by an exception."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    with pytest.raises(ZeroDivisionError), pe.connect("host"):
        folder = next(tmp_path.glob("pyedge-*"))
        assert processes_with(str(folder))
        1 / 0  # noqa: B018
    assert not list(tmp_path.glob("pyedge-*"))
    assert not processes_with(str(folder))


def test_many_boards_run_at_a_time() -> None:
    """Each with a flash of its own."""
    opened = [pe.connect("host") for _ in range(5)]
    assert [b.echo(str(i)) for i, b in enumerate(opened)] == [str(i) for i in range(5)]
    assert len({b._emulator.flash for b in opened if b._emulator}) == 5
    for b in opened:
        b.close()


def test_a_missing_emulator_names_the_packages_of_both_debians(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """qemu-system-misc on Debian 12, qemu-system-riscv on Debian 13."""
    profile = load_profile("virt-rv32")
    image = tmp_path / "image"
    image.touch()
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(pe.ToolError, match=r"qemu-system-misc.*Debian 12.*qemu-system-riscv .*Debian 13"):
        Emulator(profile, profile.image(), image)


@needs_qemu
def test_what_the_emulator_complains_about_is_in_the_error() -> None:
    """From its standard error, in one line."""
    profile = load_profile("virt-rv32")
    assert profile.emulator is not None
    broken = replace(profile, emulator=replace(profile.emulator, args=("-M", "virtual")))
    with pytest.raises(pe.ToolError, match="machine type") as e:
        pe.connect(broken)
    assert "\n" not in str(e.value)


def test_a_board_that_cannot_be_emulated_says_so() -> None:
    """And not an assertion."""
    profile = replace(load_profile("host"), emulator=None)
    with pytest.raises(pe.UnsupportedError):
        Emulator(profile, profile.image(), Path("/bin/true"))


def test_a_given_flash_file_is_used_as_it_is(tmp_path: Path, plan: pe.Plan) -> None:
    """Made if absent; what one connection stores the next one finds; nothing else is kept."""
    flash = tmp_path / "flash.bin"
    with pe.connect("host", flash=flash) as board:
        board.load(plan, persist=True)
    with pe.connect("host", flash=flash) as board:
        assert board.use_slot() == board.slots()[0]["hash"]


@pytest.mark.parametrize("path", [os.devnull, "/bin/true"])
def test_another_program_as_image_is_a_clean_error(path: str) -> None:
    """Not executable, or one that ends at once."""
    with pytest.raises(pe.PyedgeError) as e:
        pe.connect("host", image=path)
    assert "\n" not in str(e.value)


def test_firmware_is_built_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same sources and compiler: the same file; other ops: another one; and the same bytes in another folder."""
    profile = load_profile("host")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "a"))
    first = build.firmware(profile, profile.image(), ["linear_s8"])
    stamp = first.stat().st_mtime_ns
    assert build.firmware(profile, profile.image(), ["linear_s8"]) == first and first.stat().st_mtime_ns == stamp
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "b"))
    assert build.firmware(profile, profile.image(), ["linear_s8"]).read_bytes() == first.read_bytes()
