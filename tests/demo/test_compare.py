"""pyedge/demo/compare.py: the demo on a board that is missing, and on one that fails."""

import shutil
from pathlib import Path

import pytest

import pyedge as pe
from pyedge.demo import compare


def test_without_an_emulator_the_firmware_runs_as_a_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """QEMU is not installed: the host port takes its place, and the result says why."""
    which = shutil.which
    monkeypatch.setattr(shutil, "which", lambda name, **where: None if "qemu" in name else which(name, **where))
    found = compare.run("virt-rv32", digits=3)
    assert found.board == "host"
    assert found.fallback is not None
    assert "qemu-system-riscv32 is not installed" in found.fallback
    assert found.different == 0


def test_a_failing_emulator_is_an_error(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """QEMU is installed and ends with a complaint: no other board may hide that."""
    qemu = tmp_path / "qemu-system-riscv32"
    qemu.write_text("#!/bin/sh\necho no such machine >&2\nexit 1\n")
    qemu.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    with pytest.raises(pe.ToolError, match="no such machine"):
        compare.run("virt-rv32", digits=3)
