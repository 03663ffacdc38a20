"""Every real model that fits an emulated board gives the bytes of Session there; docs/models.md names them all."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

import pyedge as pe
from pyedge.boards import load_profile
from pyedge.host import emulator, timing
from pyedge.model.graph import array_dtype
from pyedge.plan import PlanTensor

from .conftest import CORTEX_M, needs_qemu

ROOT = Path(__file__).resolve().parents[2]
sys.path.append(str(ROOT / "scripts"))

from models_table import compiled, model_files, name_of  # noqa: E402

MODELS = model_files()
RUN_S, BUSY_S = 900.0, 60.0  # of one run in soft float, and of any other command, on a busy computer


def random_input(t: PlanTensor, random: np.random.Generator) -> np.ndarray:
    """Any codes of integers, floats around 0."""
    dtype = array_dtype(t.dtype)
    if dtype.kind in "iu":
        info = np.iinfo(dtype)
        return random.integers(info.min, info.max, t.shape, dtype, endpoint=True)
    if dtype.kind == "b":
        return random.integers(0, 2, t.shape).astype(bool)
    return random.standard_normal(t.shape).astype(dtype)


@pytest.mark.parametrize("board_name", [pytest.param("virt-rv32", marks=needs_qemu), *CORTEX_M])
@pytest.mark.parametrize("path", MODELS or [Path("absent")], ids=[name_of(p) for p in MODELS] or ["absent"])
def test_a_model_that_fits_has_the_bytes_of_session(
    path: Path, board_name: str, data_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two runs on random inputs, so that states have moved; the plan is executed in place from flash."""
    try:
        plan = compiled(path, board_name)
    except (pe.UnsupportedOpError, pe.PlanError) as e:
        assert path.name in str(e) or board_name in str(e)  # it is not read, or does not fit: docs/models.md says so
        return
    monkeypatch.setattr(timing, "COMMAND_S", BUSY_S)
    flash = tmp_path / "flash.bin"
    emulator.write_flash(flash, load_profile(board_name), bytes(plan.data))
    random, session = np.random.default_rng(8), pe.Session(plan)
    with pe.connect(board_name, flash=flash, timeout=RUN_S) as board:
        assert plan.arena_bytes <= board.hello.pool
        remote = board.load(plan, persist=True)
        for _ in range(2):
            feeds = [random_input(t, random) for t in plan.inputs]
            here, there = session.run(feeds), remote.run(feeds)
            assert [y.tobytes() for y in there] == [y.tobytes() for y in here]


def test_the_document_has_a_row_for_each_model(data_dir: Path) -> None:
    """When models come in: python scripts/models_table.py --write."""
    text = (ROOT / "docs" / "models.md").read_text(encoding="utf-8")
    assert [name_of(p) for p in MODELS if f"| `{name_of(p)}` |" not in text] == []
