"""Models with states on the command line: samples are a sequence, and what inspect says of states."""

from __future__ import annotations

import numpy as np
import pytest

import pyedge as pe

from .conftest import needs_qemu


@pytest.fixture
def counter(tmp_path):
    """A plan that counts its runs in steps of x, from 10 on, and three samples."""
    b = pe.GraphBuilder("counter")
    x, n = b.input("x", (1, 1), "float32"), b.state("n", np.full((1, 1), 10.0))
    new = b.add(n, x)
    b.update(n, new)
    b.output("y", b.relu(new))
    pe.compile(b.build()).save(tmp_path / "counter.pedge")
    np.savez(tmp_path / "x.npz", x=np.float32([[1], [2], [3]]))
    return tmp_path


@pytest.mark.parametrize("board", [None, "host", pytest.param("virt-rv32", marks=needs_qemu)])
def test_samples_are_a_sequence_unless_reset_is_given(pyedge, counter, board):
    """The state goes from one to the next; with --reset each begins anew. Here and on boards."""
    args = ["run", counter / "counter.pedge", "-d", counter / "x.npz", "--json", *(["-b", board] if board else [])]
    assert pyedge(*args).json["outputs"] == {"y": [[11], [13], [16]]}
    assert pyedge(*args, "--reset").json["outputs"] == {"y": [[11], [12], [13]]}
    assert pyedge(*args, "--compare", "--reset").json["different_bytes"] == 0


def test_inspect_shows_states_and_their_bytes(pyedge, counter):
    """In words and in JSON; the entry that resets them is no entry to look at."""
    result = pyedge("inspect", counter / "counter.pedge")
    assert "16 B   of the arena, kept from run to run: n float32[1, 1]" in result.out
    assert "reset" not in result.out
    plan = pyedge("inspect", counter / "counter.pedge", "--json").json["plan"]
    assert plan["state_bytes"] == 16
    assert [plan["tensors"][n]["name"] for n in plan["states"]] == ["n"]


def test_evaluate_begins_each_sample_anew(counter):
    """Rows with labels are samples of their own."""
    x, plan = np.float32([[1], [2], [3]]), pe.Plan.load(counter / "counter.pedge")
    assert pe.evaluate(plan, x, x + 10, metric="mse") == 0
