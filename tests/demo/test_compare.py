"""pyedge/demo/compare.py: the digits on a board, on one that is missing, and on one that fails."""

import shutil

import numpy as np
import pytest

import pyedge as pe
from pyedge import demo
from pyedge.demo import compare


@pytest.fixture(autouse=True)
def own_state(tmp_path, monkeypatch):
    """Kept flash of the user's boards stays out of it."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    monkeypatch.delenv("PYEDGE_PORT", raising=False)


def test_python_and_the_board_agree():
    """Both give the session's outputs, digit by digit; progress counts them; the profiles name the same ops."""
    seen = []
    found = compare.run("host", digits=7, progress=seen.append)
    graph = demo.digits_int8()
    session = pe.Session(pe.compile(graph))
    expected = np.concatenate([session(x[None]) for x in graph.inputs[0].quantize(demo.heldout()[0][:7])])
    assert np.array_equal(found.here, expected)
    assert np.array_equal(found.there, expected)
    assert (found.different, found.board, found.fallback) == (0, "host", None)
    assert seen == [1, 2, 3, 4, 5, 6, 7]
    assert found.accuracy_here == found.accuracy_there == np.mean(expected.argmax(axis=1) == found.labels)
    assert [op.name for op in found.profile_here.ops] == [op.name for op in found.profile_there.ops]


def test_differences_are_counted():
    """Bytes, not digits."""
    found = compare.run("host", digits=2)
    found.there[0, :3] ^= 1
    assert found.different == 3


def test_without_an_emulator_the_firmware_runs_as_a_process(monkeypatch):
    """QEMU is not installed: the host port takes its place, and the result says why; unless the caller forbids it."""
    which = shutil.which
    monkeypatch.setattr(shutil, "which", lambda name, **where: None if "qemu" in name else which(name, **where))
    found = compare.run("virt-rv32", digits=3)
    assert found.board == "host"
    assert found.fallback is not None
    assert "qemu-system-riscv32 is not installed" in found.fallback
    assert found.different == 0
    with pytest.raises(pe.MissingToolError):
        compare.run("virt-rv32", digits=3, may_fall_back=False)


def test_a_failing_emulator_is_an_error(monkeypatch, tmp_path):
    """QEMU is installed and ends with a complaint: no other board may hide that."""
    qemu = tmp_path / "qemu-system-riscv32"
    qemu.write_text("#!/bin/sh\necho no such machine >&2\nexit 1\n")
    qemu.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    with pytest.raises(pe.ToolError, match="no such machine"):
        compare.run("virt-rv32", digits=3)


@pytest.mark.parametrize("digits", [0, 361])
def test_only_held_out_digits_are_taken(digits):
    """There are 360."""
    with pytest.raises(ValueError, match="1 to 360"):
        compare.run("host", digits=digits)
