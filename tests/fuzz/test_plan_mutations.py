"""Truncated and mutated plans under ASan and UBSan: refused or executed, never out of bounds."""

import re
import subprocess
from collections.abc import Callable
from pathlib import Path

import make_plan_seeds
import pytest

ROOT = Path(__file__).resolve().parents[2]
MUTATIONS = 20_000  # of each plan, half of them with a new CRC


@pytest.fixture(scope="module")
def seeds(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("seeds")
    make_plan_seeds.main(str(folder))
    return folder


@pytest.fixture(scope="module")
def replay(build_c: Callable[..., Path]) -> Path:
    """The fuzz target as an ordinary program."""
    flags = [f'-DPE_CUSTOM_HEADER="{ROOT / "tests/fuzz/custom_ops.h"}"', "-DPE_CUSTOM_SOURCE=1"]
    return build_c(
        "fuzz/replay_plan.c",
        *flags,
        *(f"{ROOT / f}" for f in ("tests/fuzz/fuzz_plan.c", "examples/custom_op/kernel.c")),
    )


def test_mutated_plans_are_refused_or_run(replay: Path, seeds: Path) -> None:
    """At least 20 % of the mutations with a right CRC get past the header, and some are executed."""
    plans = [
        seeds / f"{name}.pedge"
        for name in (
            "cnn_s8",
            "cnn_f32",
            "cnn_f16",
            "cnn_fast16",
            "entries",
            "moves",
            "orders",
            "layers",
            "states",
            "sequences_s8",
            "sequences_s16",
            "custom",
        )
    ]
    done = subprocess.run([replay, str(MUTATIONS), *plans], capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stdout + done.stderr
    shares = re.search(r"past the header ([\d.]+) %, verified ([\d.]+) %, executed ([\d.]+) %", done.stderr)
    assert shares, done.stderr
    assert float(shares[1]) >= 20
    assert float(shares[3]) >= 5


def test_the_seeds_hold_every_op_kind(seeds: Path) -> None:
    """So that the fuzzer starts from each."""
    from pyedge import _core

    everything = b"".join(p.read_bytes() for p in seeds.iterdir())
    assert [k for k in _core.op_kinds() if f"\0{k}\0".encode() not in everything] == []
