"""Estimates from tables of costs."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

import pyedge as pe
from pyedge.bench.networks import resnet8
from pyedge.bench.single_ops import SingleOp
from pyedge.tune.cost_rows import Row
from pyedge.tune.estimate import Table, load_table

BOARDS = sorted(p.stem for p in (Path(__file__).parents[2] / "boards/tables").glob("*.json"))


def linear(channels: int, depth: int, cost: float) -> Row:
    return Row("linear_s8", "", {"rows": 1, "channels": channels, "depth": depth}, round(cost))


def linear_rows(rng: np.random.Generator, n: int) -> list[Row]:
    """A kernel that takes rows of four by another way than what is left."""
    rows = []
    for _ in range(n):
        channels, depth = int(rng.integers(1, 130)), int(rng.integers(8, 600))
        each, fixed = (2.0, 300) if channels % 4 == 0 else (3.5, 500)
        rows.append(linear(channels, depth, each * channels * depth + 20 * channels + fixed))
    return rows


def test_costs_of_shapes_between_those_of_the_table_are_found() -> None:
    rng = np.random.default_rng(0)
    table = Table("virt-rv32", "instructions", {}, tuple(linear_rows(rng, 120)))
    for row in linear_rows(rng, 50):
        assert table.cost(row) == pytest.approx(row.count, rel=0.02), row


def test_one_row_is_a_table_of_its_own() -> None:
    table = Table("virt-rv32", "instructions", {}, (linear(8, 8, 1000),))
    assert table.cost(linear(8, 8, 0)) == pytest.approx(1000)
    assert table.cost(linear(64, 64, 0)) > 1000


def test_a_table_survives_its_file(tmp_path: Path) -> None:
    rows = (*linear_rows(np.random.default_rng(1), 3), Row("add_s8", "add_s8__avx512", {"elements": 5}, 70))
    table = Table("host", "ns", {"cpu": "a b"}, rows)
    table.save(tmp_path / "t.json")
    assert Table.load(tmp_path / "t.json") == table


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{}",
        '{"schema": 99, "board": "b", "unit": "ns", "conditions": {}, "costs": []}',
        '{"schema": 1, "board": "b", "unit": "ns", "conditions": {}, "costs": [{}]}',
        '{"schema": 1, "board": "b", "unit": "ns", "conditions": {}, "costs": 5}',
        '{"schema": 1, "board": "b", "unit": "ns", "conditions": {}, '
        '"costs": [{"kind": "k", "kernel": "", "columns": ["a", "cost"], "rows": [[1, 0]]}]}',
        '{"schema": 1, "board": "b", "unit": "ns", "conditions": {}, '
        '"costs": [{"kind": "k", "kernel": "", "columns": ["a", "cost"], "rows": [[1, 2, 3]]}]}',
    ],
)
def test_a_file_that_is_no_table_is_refused(tmp_path: Path, text: str) -> None:
    file = tmp_path / "t.json"
    file.write_text(text)
    with pytest.raises(pe.PlanError, match=r"t\.json: "):
        Table.load(file)


def test_ops_that_the_table_lacks_are_named() -> None:
    graph = SingleOp("sigmoid", 4, 4, 4).graph()
    table = Table("virt-rv32", "instructions", {}, (linear(8, 8, 1000),))
    with pytest.raises(
        pe.UnsupportedError, match=r"no costs of lookup \(sigmoid.*pyedge bench --board virt-rv32 --table"
    ):
        pe.estimate(graph, table=table)


def test_a_board_without_a_table_says_how_to_measure_one() -> None:
    with pytest.raises(pe.UnsupportedError, match=r"esp32-c3: .*pyedge bench --board esp32-c3 --table"):
        pe.estimate(resnet8(), "esp32-c3")
    with pytest.raises(pe.BoardNotFoundError):
        pe.estimate(resnet8(), "no-such-board")


def test_a_table_of_another_board_is_refused() -> None:
    with pytest.raises(pe.UnsupportedError, match="of virt-rv32, not of host"):
        pe.estimate(resnet8(), "host", table=load_table("virt-rv32"))


@pytest.mark.parametrize("board", BOARDS)
def test_boards_with_a_table_have_costs_of_usual_networks(board: str) -> None:
    for dtype in ("int8", "float32"):
        found = pe.estimate(resnet8(dtype), board)
        plan = pe.compile(resnet8(dtype), board=board)
        assert (found.arena_bytes, found.flash_bytes) == (plan.arena_bytes, plan.flash_bytes)
        assert found.total == sum(op.count for op in found.ops) > 100_000
        assert [op.kind for op in found.ops] == [op.kind for op in plan.entry("main").ops]
        assert "estimated" in found.table()
        assert json.loads(json.dumps(found.to_dict()))["estimated"] is True


def test_there_are_tables_for_the_emulated_boards() -> None:
    assert {"virt-rv32", "virt-rv32-v", "mps2-an386", "mps3-an547"} <= set(BOARDS)
