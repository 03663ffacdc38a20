"""Firmware for release: what it leaves out is not there, and what it runs is the same."""

from __future__ import annotations

import subprocess

import numpy as np
import pytest

import pyedge as pe
from pyedge.host import flash

from .conftest import needs_qemu


@pytest.mark.parametrize("board", ["host", pytest.param("virt-rv32", marks=needs_qemu)])
def test_release_firmware_runs_with_the_same_bits_and_tells_no_times(board: str, plan: pe.Plan, x: np.ndarray) -> None:
    """It is what the next connection starts; profile is refused by name, the text protocol is silent."""
    flash(board, plan, trim_to=plan, release=True)
    with pe.connect(board) as b:
        remote = b.load(plan)
        assert remote.run([x])[0].tobytes() == pe.Session(plan).run([x])[0].tobytes()
        with pytest.raises(pe.BoardError, match="release firmware has no profile"):
            remote.profile([x])


def test_release_firmware_of_the_host_port_injects_no_power_cut(plan: pe.Plan) -> None:
    """--cut is an option that it does not know."""
    image = flash("host", trim_to=plan, release=True, dry_run=True).image
    assert b"--cut" not in image.read_bytes()
    refused = subprocess.run([image, "--cut", "1:none"], capture_output=True, check=False)
    assert refused.returncode == 2 and refused.stderr.startswith(b"usage:")
