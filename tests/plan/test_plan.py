"""Plans as files and as Python objects."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from plan_graphs import early_exit, small_cnn, two_entries

import pyedge as pe
from pyedge.plan import structs


def test_a_saved_plan_runs_as_the_one_that_was_compiled(plans: dict[str, pe.Plan], tmp_path: Path) -> None:
    """Bytes, tables and outputs survive a file."""
    for name, plan in plans.items():
        plan.save(tmp_path / f"{name}.pedge")
        loaded = pe.load(tmp_path / f"{name}.pedge")
        with pytest.raises(pe.PlanError, match="nowhere"):
            plan.save(tmp_path / "nowhere" / name)
        assert isinstance(loaded, pe.Plan)
        assert bytes(loaded.data) == bytes(plan.data)
        assert loaded.to_dict() == plan.to_dict()
        inputs = [np.zeros(t.shape, t.dtype) for t in plan.inputs]
        for a, b in zip(pe.Session(loaded).run(inputs), pe.Session(plan).run(inputs), strict=True):
            np.testing.assert_array_equal(a, b)


def test_the_same_graph_gives_the_same_bytes_in_another_process(plans: dict[str, pe.Plan]) -> None:
    """No order of a hash table, address or time gets into a plan."""
    code = (
        "import hashlib, sys; sys.path.insert(0, sys.argv[1]); import plan_graphs as g, pyedge as pe\n"
        "for graph in (g.small_cnn(), g.two_entries(), g.early_exit(), g.streaming()):\n"
        "    print(hashlib.sha256(pe.compile(graph).data).hexdigest())"
    )
    outputs = [
        subprocess.run(
            [sys.executable, "-c", code, str(Path(__file__).parent)],
            env={"PYTHONHASHSEED": seed, "PATH": ""},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("1", "2")
    ]
    assert outputs[0] == outputs[1]
    import hashlib

    assert outputs[0].split() == [hashlib.sha256(p.data).hexdigest() for p in plans.values()]


def test_entries_share_constants_and_arena(plans: dict[str, pe.Plan]) -> None:
    """A layer that two entries have is stored once; the arena is that of the larger entry; both run."""
    graphs = two_entries()
    plan = plans["two_entries"]
    alone = {name: pe.compile(g) for name, g in graphs.items()}
    assert list(plan.entries) == ["main", "head"]
    assert plan.const_bytes == alone["main"].const_bytes
    assert plan.arena_bytes == max(p.arena_bytes for p in alone.values())
    session = pe.Session(plan)
    rng = np.random.default_rng(0)
    x, h = rng.integers(-128, 128, (1, 8), np.int8), rng.integers(-128, 128, (1, 32), np.int8)
    for _ in range(2):  # one after the other, on one arena
        main = session.run({"x": x})
        head = session.run({"h": h}, entry="head")
        np.testing.assert_array_equal(main["y"], pe.Session(alone["main"]).run({"x": x})["y"])
        np.testing.assert_array_equal(head["y"], pe.Session(alone["head"])(h))
    with pytest.raises(pe.PlanError, match=r"no entry 'tail'; it has 'main', 'head'"):
        session.run({"x": x}, entry="tail")


@pytest.mark.parametrize("keep", [None, "all"])
def test_an_early_exit_skips_what_follows(keep: None) -> None:
    """Each side of an `if` gives its own outputs, and the profile counts nothing for ops that did not run."""
    session = pe.Session(pe.compile(early_exit(), keep=keep))
    certain, uncertain = np.float32([[0, 0.5, 0, 0]]), np.float32([[-1, 0.25, 0, 0.4]])
    for _ in range(2):
        y, flag = session.run([certain])
        np.testing.assert_array_equal(y, certain + 1)
        np.testing.assert_array_equal(flag, [[1]])
        y, flag = session.run([uncertain])
        np.testing.assert_array_equal(y, 2 * np.maximum(uncertain, 0) + 3)
        np.testing.assert_array_equal(flag, [[0]])
    counts = {op.name: op.count for op in session.profile([certain], runs=3).ops}
    late = [op.name for op in session.plan.ops if op.kind == "clip_f32"]
    assert len(late) == 1 and counts[late[0]] == 0 and sum(counts.values()) > 0


def test_branches_go_forward_and_end_with_their_entry(plans: dict[str, pe.Plan]) -> None:
    """The conditional jump goes behind the unconditional one that ends the first arm."""
    ops = plans["early_exit"].entry().ops
    jumps = [op for op in ops if op.kind == "branch"]
    assert [len(j.inputs) for j in jumps] == [1, 0]
    assert jumps[0].params == {"target": jumps[1].number + 1, "when": 0}
    assert jumps[0].number < jumps[1].number < jumps[1].params["target"] <= len(ops)


def test_open_sizes_are_fixed_by_batch_and_shapes() -> None:
    """batch and shapes fill open axes, 1 is the default of the first, and what contradicts the model is an error."""
    b = pe.GraphBuilder()
    b.output("y", b.relu(b.input("x", (None, None, 3), "float32")))
    graph = b.build()
    assert pe.compile(graph, shapes={"x": (2, 5, 3)}).inputs[0].shape == (2, 5, 3)
    with pytest.raises(pe.ShapeError, match=r"'x'.*\[1, None, 3\].*batch= or shapes="):
        pe.compile(graph)
    with pytest.raises(pe.ShapeError, match=r"'x'"):
        pe.compile(graph, shapes={"x": (2, 5, 4)})
    with pytest.raises(pe.ShapeError, match=r"'z'"):
        pe.compile(graph, shapes={"z": (2, 5, 3)})
    assert pe.compile(small_cnn(), batch=1).inputs[0].shape == (1, 8, 8, 3)
    with pytest.raises(pe.ShapeError, match=r"'x': batch=2.*\[1, 8, 8, 3\]"):
        pe.compile(small_cnn(), batch=2)


def test_a_plan_that_does_not_fit_a_board_says_by_how_much() -> None:
    """The FE310 has 16 KiB of RAM; the plan itself is not changed by the board."""
    b = pe.GraphBuilder()
    b.output("y", b.softmax(b.input("x", (1, 3000), "float32")))
    graph = b.build()
    assert pe.compile(graph, board="virt-rv32").arena_bytes == 24000
    with pytest.raises(pe.PlanError, match=r"sifive-e: the arena of 24000 bytes is 7616 bytes larger"):
        pe.compile(graph, board="sifive-e")
    with pytest.raises(pe.BoardNotFoundError):
        pe.compile(graph, board="no-such-board")


def test_options_that_are_not_known_are_refused() -> None:
    """rounding, keep, and a plan without graphs."""
    with pytest.raises(pe.PlanError, match=r"'tflite', 'litert-ref'|tflite, litert-ref"):
        pe.compile(small_cnn(), rounding="up")
    with pytest.raises(pe.PlanError, match="keep='some'"):
        pe.compile(small_cnn(), keep="some")  # type: ignore[arg-type]
    with pytest.raises(pe.PlanError, match="at least one graph"):
        pe.compile({})


def test_meta_carries_where_a_plan_is_from() -> None:
    """Source and licence of each graph can be read from the file, whatever characters they hold."""
    graph = small_cnn()
    graph.meta = {"source": "modèle.tflite", "license": "Apache-2.0\nlong text", "sha256": "00ff"}
    plan = pe.Plan(bytes(pe.compile(graph).data))
    assert plan.meta["graphs"]["main"] == {"name": "small_cnn", **graph.meta}
    assert plan.meta["producer"].startswith("pyedge ")
    assert "licence  Apache-2.0\n" in plan.summary()


def test_the_summary_names_what_a_plan_costs(plans: dict[str, pe.Plan]) -> None:
    """Flash, arena, scratch, MACs, and each op with its kernel."""
    plan = plans["small_cnn"]
    text = plan.summary()
    for fact in (plan.flash_bytes, plan.arena_bytes, plan.scratch_bytes, plan.macs):
        assert f"{fact:,}" in text
    for op in plan.ops:
        assert any(line.split()[:2] == [op.name, op.kind] for line in text.splitlines())
    busiest = plan.ops[1]  # from 8 x 8 x 4 to 8 x 8 x 4 floats; x has 3 channels, and the addition lies on its operand
    assert plan.busiest_op() == busiest
    assert f"largest set of live tensors {plan.live_bytes():,} B, at {busiest.kind} {busiest.name!r}" in text
    # 8 x 8 x 4 outputs of 27 taps and of 9, 5 outputs of 64
    assert plan.macs == 64 * 4 * 27 + 64 * 4 * 9 + 5 * 64
    assert plan.macs == 9536


def test_plain_data_is_json(plans: dict[str, pe.Plan]) -> None:
    """to_dict has no infinity and no NumPy number, and names its schema."""
    for plan in plans.values():
        data = json.loads(json.dumps(plan.to_dict(), allow_nan=False))
        assert data["schema"] == 1
        assert data["arena_bytes"] == plan.arena_bytes
        assert [len(e["ops"]) for e in data["entries"]] == [len(e.ops) for e in plan.entries.values()]


def test_the_drawing_has_a_rectangle_for_each_tensor(plans: dict[str, pe.Plan]) -> None:
    """Well-formed SVG; each rectangle has a width and lies inside the arena."""
    for plan in plans.values():
        for name, entry in plan.entries.items():
            svg = ElementTree.fromstring(plan.svg(name))
            rectangles = svg.findall(".//{http://www.w3.org/2000/svg}rect")
            scratch = sum(op.scratch_bytes > 0 for op in entry.ops)
            assert len(rectangles) == len(plan.lifetimes(name)) + scratch
            assert all(float(r.get("width", 0)) > 0 and float(r.get("y", -1)) >= 29.9 for r in rectangles)


def test_lifetimes_span_first_to_last_use() -> None:
    """Inputs start before the first op, outputs end behind the last, and a view belongs to what it is a view of."""
    b = pe.GraphBuilder()
    x = b.input("x", (1, 4, 4, 1), "float32")
    h = b.max_pool2d(x, 2, name="pool")
    flat = b.reshape(h, (1, 4))
    b.output("a", b.softmax(flat))
    b.output("b", b.linear(flat, np.eye(4, dtype=np.float32)))
    plan = pe.compile(b.build())
    assert [op.kind for op in plan.ops] == ["max_pool2d_f32", "softmax_f32", "linear_f32"]
    assert {(t.tensor.name, t.first, t.last) for t in plan.lifetimes()} == {
        ("x", -1, 0),
        ("pool", 0, 2),
        ("a", 1, 3),
        ("b", 2, 3),
    }


def test_struct_dtypes_are_those_of_the_header() -> None:
    """NumPy reads the tables with the layout that C has."""
    for name, size in (("pe_plan_header", 104), ("pe_tensor", 48), ("pe_op", 32), ("pe_entry", 28)):
        assert structs.record_dtype(name).itemsize == size
    image = structs.pack("pe_tensor", name=1, dtype=2, rank=3, dims=[4, 5, 6, 1, 1, 1], scale=0.5, zero_point=-7)
    record = np.frombuffer(image, structs.record_dtype("pe_tensor"))[0]
    assert record["dims"].tolist() == [4, 5, 6, 1, 1, 1]
    assert (record["name"], record["dtype"], record["rank"]) == (1, 2, 3)
    assert (record["scale"], record["zero_point"]) == (0.5, -7)
