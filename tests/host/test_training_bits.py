"""ResNet8, DS-CNN and the autoencoder learn on boards what tests/tune/test_learned_bits.py learns on this computer."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

import pyedge as pe
from pyedge.boards import load_profile
from pyedge.host import emulator

from .conftest import needs_qemu

sys.path.append(str(Path(__file__).parent.parent / "golden"))

from learned_models import CASES, STEPS, digest, recorded, samples, trainer_of

BOARD_STEPS = STEPS if os.environ.get("PYEDGE_TEST_ALL_ROWS") else 2


@needs_qemu
@pytest.mark.parametrize("isa", ["rv32imafc", "rv32imac"])
@pytest.mark.parametrize("name, precision", CASES)
def test_virt_rv32_learns_the_same(data_dir: Path, tmp_path: Path, name: str, precision: str, isa: str) -> None:
    """Hard and soft floats: two steps, or 20 with PYEDGE_TEST_ALL_ROWS=1."""
    trainer = trainer_of(data_dir, name, precision)
    plan = trainer.compile(board="virt-rv32")
    emulator.write_flash(tmp_path / "flash", load_profile("virt-rv32"), bytes(plan.data))  # quicker than over the line
    with pe.connect("virt-rv32", isa=isa, flash=tmp_path / "flash", timeout=900) as board:
        remote = board.load(plan, persist=True)
        for _, (x, y) in zip(range(BOARD_STEPS), samples(data_dir, name, trainer), strict=False):
            remote.train_on_batch(x, y)
        assert digest(remote.weights()) == recorded(name, precision)[BOARD_STEPS - 1]
