"""The gate on instruction counts: what it lets through and what it says."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

import pyedge as pe
from pyedge.bench.single_ops import SingleOp, mlperf_tiny_layers, random_inputs

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def counts() -> ModuleType:
    spec = importlib.util.spec_from_file_location("counts", ROOT / "bench/counts.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def rows(**instructions: int) -> dict[str, Any]:
    return {name: {"kernel": "conv2d_s8", "instructions": n, "per_mac": None} for name, n in instructions.items()}


def test_two_percent_more_pass_and_a_little_more_does_not(counts: ModuleType) -> None:
    assert counts.differences("virt-rv32", rows(a=1000), rows(a=1020)) == []
    (line,) = counts.differences("virt-rv32", rows(a=1000), rows(a=1021))
    for part in ("virt-rv32", "conv2d_s8", "a:", "1,021", "1,000", "counts.py --write --only"):
        assert part in line


def test_a_row_on_one_side_only_is_named(counts: ModuleType) -> None:
    assert len(counts.differences("virt-rv32", rows(a=1, gone=1), rows(a=1, new=1))) == 2


@pytest.fixture
def one_section(counts: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> Callable[[str, int], int]:
    """Runs the script with a section that counts what we say, by the compiler that we say."""
    monkeypatch.setattr(counts, "FILE", tmp_path / "counts.json")

    def run(compiler: str, instructions: int, *arguments: str) -> int:
        monkeypatch.setattr(counts, "SECTIONS", {"board": lambda: (compiler, rows(a=instructions))})
        monkeypatch.setattr("sys.argv", ["counts.py", *arguments])
        return int(counts.main())

    return run


def test_what_was_written_is_compared_with(one_section: Any, capsys: pytest.CaptureFixture[str]) -> None:
    assert one_section("gcc 12", 1000) == 1
    assert "not in counts.json" in capsys.readouterr().out
    assert one_section("gcc 12", 1000, "--write") == 0
    assert one_section("gcc 12", 1000) == 0
    assert one_section("gcc 12", 1100) == 1
    assert "1,100 instructions, 1,000 in" in capsys.readouterr().out


def test_another_compiler_is_said_and_not_compared(one_section: Any, capsys: pytest.CaptureFixture[str]) -> None:
    one_section("gcc 12", 1000, "--write")
    assert one_section("gcc 14", 2000) == 0
    assert "not compared: counts.json is of gcc 12, here is gcc 14" in capsys.readouterr().out


def test_the_committed_file_has_every_section_and_shape(counts: ModuleType) -> None:
    kept = json.loads((ROOT / "bench/counts.json").read_text())
    assert kept["sections"].keys() == counts.SECTIONS.keys()
    names = {op.name for op in mlperf_tiny_layers("int8")}
    for section in kept["sections"].values():
        assert names <= section["counts"].keys()


@pytest.mark.parametrize("dtype", ["int8", "float32"])
def test_single_ops_have_names_of_their_own_and_run(dtype: str) -> None:
    ops = list(mlperf_tiny_layers(dtype))
    assert len({op.name for op in ops}) == len(ops)
    for op in ops:
        plan = pe.compile(op.graph())
        first, second = (pe.Session(plan)(*random_inputs(plan.entry("main"), seed)) for seed in (0, 1))
        assert (first != second).any(), op.name


@pytest.mark.parametrize("kind", ["mul", "concat", "pad", "relu", "sigmoid", "tanh", "dequantize", "max_pool2d"])
def test_other_kinds_have_graphs_too(kind: str) -> None:
    plan = pe.compile(SingleOp(kind, 8, 8, 4, kernel=(2, 2) if kind == "max_pool2d" else (1, 1)).graph())
    pe.Session(plan).run(random_inputs(plan.entry("main")))
