"""pyedge/demo/compare.py: the digits on a board, and where its emulator is missing."""

import numpy as np
import pytest

import pyedge as pe
from pyedge import demo


@pytest.fixture(autouse=True)
def own_state(tmp_path, monkeypatch):
    """Kept flash of the user's boards stays out of it."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    monkeypatch.delenv("PYEDGE_PORT", raising=False)


def test_python_and_the_board_agree():
    """The outputs of both sides are the session's, digit by digit; progress counts them; both profiles name the same ops."""
    seen = []
    found = demo.run("host", digits=7, progress=seen.append)
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
    found = demo.run("host", digits=2)
    found.there[0, :3] ^= 1
    assert found.different == 3


def test_without_an_emulator_the_host_port_stands_in(monkeypatch):
    """Only if the caller allows it, and the reason is told."""
    real = demo.compare.connect

    def without_qemu(board, **options):
        if board != "host":
            raise pe.ToolError("qemu-system-riscv32 is not installed")
        return real(board, **options)

    monkeypatch.setattr(demo.compare, "connect", without_qemu)
    found = demo.run("virt-rv32", digits=1)
    assert (found.board, found.fallback) == ("host", "qemu-system-riscv32 is not installed")
    with pytest.raises(pe.ToolError):
        demo.run("virt-rv32", digits=1, may_fall_back=False)


@pytest.mark.parametrize("digits", [0, 361])
def test_only_held_out_digits_are_taken(digits):
    """There are 360."""
    with pytest.raises(ValueError, match="1 to 360"):
        demo.run("host", digits=digits)
