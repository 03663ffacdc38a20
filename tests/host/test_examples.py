"""The examples do what they say."""

from __future__ import annotations

import runpy
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import pyedge as pe

from .conftest import needs_qemu

EXAMPLES = Path(__file__).parents[2] / "examples"


@pytest.fixture(scope="module")
def customise() -> dict[str, Any]:
    """The functions of customise_digits.py."""
    return runpy.run_path(str(EXAMPLES / "customise_digits.py"))


def test_a_local_expert_learns_a_user_and_the_generic_one_stays(customise: dict[str, Any]) -> None:
    found = customise["experiment"](seed=7)
    user, generic = found["generic expert"]
    user_now, generic_now = found["with local expert and gate"]
    assert user_now >= user + 15 and generic_now >= generic - 2
    assert found["local expert without gate"][1] < generic_now - 15  # which is what the gate is for
    assert found["full fine-tuning"][1] < generic_now - 15
    assert max(customise["overhead"]()) <= 3


@needs_qemu
def test_experts_learn_on_a_board_as_here(customise: dict[str, Any]) -> None:
    x, y, *_ = customise["digits"](seed=3)
    generic = customise["generic_expert"](customise["initial"](np.random.default_rng(3)))
    user = customise["handwriting"](x[:4]), y[:4]
    here, there = (
        customise["customise"](generic, user, x[-4:], seed=3, board=board, epochs=2) for board in (None, "virt-rv32")
    )
    assert pe.compile(here).data == pe.compile(there).data
    gate = next(op for op in there.ops if op.name == "gate")
    assert np.abs(there.tensors[str(gate.inputs[1])].data).max() > 0
