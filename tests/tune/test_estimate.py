"""Estimates from tables of costs."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

import pyedge as pe
from pyedge.bench.networks import autoencoder, resnet8
from pyedge.bench.single_ops import SingleOp
from pyedge.tensor import Tensor
from pyedge.tune.cost_rows import Row
from pyedge.tune.density import densities
from pyedge.tune.estimate import Table, load_table, rows_of

BOARDS = sorted(p.stem for p in (Path(__file__).parents[2] / "boards/tables").glob("*.json"))
MEASURED = [board for board in BOARDS if board != "sifive-e"]


def linear(channels: int, depth: int, cost: float) -> Row:
    return Row("linear_s8", "", {"rows": 1, "channels": channels, "depth": depth, "clip": 0}, round(cost))


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


def test_a_run_is_copied_by_words_where_both_ends_are_aligned() -> None:
    b = pe.GraphBuilder()
    for dtype in ("int8", "float32"):
        x = b.input(dtype, (1, 4, 6, 5), dtype, *((0.1, 0) if dtype == "int8" else ()))
        b.output(f"{dtype}.part", b.op("slice", x, starts=(0, 4), ends=(4, 6), axes=(1, 2), steps=(1, 1))[0])
        b.output(f"{dtype}.turned", b.op("transpose", x, perm=(0, 2, 3, 1))[0])
    plan = pe.compile(b.build(), board="virt-rv32")
    sizes = {tuple(row.sizes.values()) for row in rows_of(plan, plan.entry("main"))}
    # elements, runs, bytes of an element, whole, words. Runs of a part begin at 20, 50, 80, 110 and 0, 10, 20, 30.
    assert sizes == {(40, 4, 1, 1, 2), (120, 30, 1, 0, 8), (40, 4, 4, 1, 4), (120, 30, 4, 0, 30)}


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
        '{"schema": 1, "board": "b", "unit": "ns", "conditions": {}, "costs": []}',
        '{"schema": 99, "board": "b", "unit": "ns", "conditions": {}, "costs": []}',
        '{"schema": 3, "board": "b", "unit": "ns", "conditions": {}, "costs": [{}]}',
        '{"schema": 3, "board": "b", "unit": "ns", "conditions": {}, "costs": 5}',
        '{"schema": 3, "board": "b", "unit": "ns", "conditions": {}, '
        '"costs": [{"kind": "k", "kernel": "", "columns": {"a": [1], "cost": [0]}}]}',
        '{"schema": 3, "board": "b", "unit": "ns", "conditions": {}, '
        '"costs": [{"kind": "k", "kernel": "", "columns": {"a": [1], "cost": [2, 3]}}]}',
        '{"schema": 3, "board": "b", "unit": "ns", "conditions": {}, '
        '"costs": [{"kind": "k", "kernel": "", "columns": [["a", "cost"], [1, 2]]}]}',
        '{"board": "b", "same_as": "t"}',
        '{"board": "b", "same_as": "no-such"}',
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
    for board in ("esp32-c3", "host"):
        with pytest.raises(pe.UnsupportedError, match=rf"{board}: .*virt-rv32.*pyedge bench --board {board} --table"):
            pe.estimate(resnet8(), board)
    with pytest.raises(pe.BoardNotFoundError):
        pe.estimate(resnet8(), "no-such-board")


def test_a_table_of_another_board_is_refused() -> None:
    with pytest.raises(pe.UnsupportedError, match="of virt-rv32, not of host"):
        pe.estimate(resnet8(), "host", table=load_table("virt-rv32"))


@pytest.mark.parametrize("board", MEASURED)
def test_rows_that_are_left_out_of_a_table_are_found_from_the_others(board: str) -> None:
    table = load_table(board)
    rows = list({(r.kind, *r.sizes.values()): r for r in table.rows}.values())  # a shape may be there twice
    left_out = set(range(0, len(rows), 5))
    others = Table(board, table.unit, {}, tuple(r for i, r in enumerate(rows) if i not in left_out))
    for kind in ("conv2d_s8", "depthwise_s8", "linear_s8", "conv2d_f32", "depthwise_f32", "linear_f32"):
        errors = [abs(others.cost(rows[i]) / rows[i].count - 1) for i in left_out if rows[i].kind == kind]
        assert len(errors) > 8 and np.median(errors) < 0.1 and np.quantile(errors, 0.8) < 0.25, (kind, errors)


@pytest.mark.parametrize("board", BOARDS)
def test_boards_with_a_table_have_costs_of_usual_networks(board: str) -> None:
    network = autoencoder if board == "sifive-e" else resnet8
    for dtype in ("int8", "float32"):
        found = pe.estimate(network(dtype), board)
        plan = pe.compile(network(dtype), board=board)
        assert (found.arena_bytes, found.flash_bytes) == (plan.arena_bytes, plan.flash_bytes)
        assert found.total == sum(op.count for op in found.ops) > 100_000
        assert [op.kind for op in found.ops] == [op.kind for op in plan.entry("main").ops]
        assert "estimated" in found.table()
        assert json.loads(json.dumps(found.to_dict()))["estimated"] is True


def test_there_are_tables_for_the_emulated_boards() -> None:
    assert {"virt-rv32", "virt-rv32-v", "mps2-an386", "mps3-an547", "sifive-e"} <= set(BOARDS)


def test_a_board_may_have_the_table_of_another() -> None:
    """sifive-e runs the kernels of virt-rv32, with less memory."""
    graph = SingleOp("conv2d", 8, 8, 8, 8, (3, 3)).graph()
    small, large = (pe.estimate(graph, board) for board in ("sifive-e", "virt-rv32"))
    assert small.board == "sifive-e" and small.arena_bytes < 16384
    assert small.unit == large.unit and small.total > 10_000


def test_the_share_of_zeros_is_that_of_a_run() -> None:
    """What a plan's ops tell of them, and what they are with images and random weights."""
    rng = np.random.default_rng(0)
    b = pe.GraphBuilder()
    x = b.input("x", (1, 24, 24, 3), "float32")

    def conv(x: Tensor, activation: str | None) -> Tensor:
        return b.conv2d(x, rng.standard_normal((64, 3, 3, 3), np.float32), activation=activation)

    rectified, plain = conv(x, "relu"), conv(x, None)
    added = b.add(rectified, plain, activation="relu")
    pooled = b.max_pool2d(rectified, 2)
    tensors = {"x": x, "rectified": rectified, "plain": plain, "added": added, "pooled": pooled}
    for name, tensor in tensors.items():
        b.output(f"{name} again", b.op("sqrt", tensor)[0])  # an op that reads it
        if name != "x":
            b.output(name, tensor)
    plan = pe.compile(b.build())
    entry = plan.entry("main")
    found = dict(zip((op.name for op in entry.ops), densities(plan, entry), strict=True))
    given = rng.random((1, 24, 24, 3), np.float32)
    values = {"x": given, **pe.Session(plan).run({"x": given})}
    shares = [share for name, share in found.items() if "sqrt" in name]
    for (name, _), share in zip(tensors.items(), shares, strict=True):
        assert share == pytest.approx(np.mean(values[name] != 0), abs=0.1), name
