"""Plans on boards: the bits of Session, profiles, memory, flash."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

import pyedge as pe
from pyedge.boards import load_profile
from pyedge.host import emulator, store

from .conftest import BOARDS, needs_qemu

# Models of data/models with rows of data/expected; the last file says how many rows (all with PYEDGE_TEST_ALL_ROWS=1).
INT8 = [
    "mlperf_ad_fcae_int8", "mlperf_ic_resnet8_int8", "mlperf_kws_dscnn_int8", "mlperf_sww_int8", "mlperf_vww_mbv1_int8",
    "mlonmcu_magic_wand", "mlonmcu_micro_kws_m_quantized", "tflm_hello_world_int8",
    "tinymaix_cifar10_q", "tinymaix_mnist_dw_q", "tinymaix_mnist_resnet_q", "tinymaix_mnist_valid_q",
]  # fmt: skip
FLOAT = [
    "mlperf_ad_fcae_f32", "mlperf_ic_resnet8_f32", "mlperf_vww_mbv1_f32", "mlonmcu_cifar10", "mlonmcu_micro_kws_m_fp32",
    "tflm_hello_world_f32", "tinymaix_mnist_valid_f",
]  # fmt: skip
ROWS = 10**9 if os.environ.get("PYEDGE_TEST_ALL_ROWS") else 2


def rows_of(data_dir: Path, model: str, plan: pe.Plan) -> list[list[np.ndarray]]:
    """Real inputs of a model: the first rows of its first expected file."""
    path = next(p for p in sorted((data_dir / "expected").glob(f"{model}*.npz")) if ".layers." not in p.name)
    with np.load(path) as file:
        columns = [file[f"in{i}"] for i in range(len(plan.inputs))]
    count = min(ROWS, len(columns[0]))
    shapes = [t.shape for t in plan.inputs]
    return [[c[row].reshape(s) for c, s in zip(columns, shapes, strict=True)] for row in range(count)]


@needs_qemu
@pytest.mark.parametrize("isa", ["rv32imac", "rv32imafc"])
@pytest.mark.parametrize("model", INT8 + FLOAT)
def test_every_byte_on_virt_rv32_is_that_of_session(data_dir: Path, tmp_path: Path, model: str, isa: str) -> None:
    """All outputs of real models, soft float and hard float. The plan is executed in place from flash."""
    plan = pe.compile(pe.load(data_dir / "models" / f"{model}.tflite"), board="virt-rv32", batch=1)
    session = pe.Session(plan)
    flash = tmp_path / "flash.bin"
    emulator.write_flash(flash, load_profile("virt-rv32"), bytes(plan.data))  # quicker than over the line
    with pe.connect("virt-rv32", isa=isa, flash=flash) as board:
        remote = board.load(plan, persist=True)
        for row in rows_of(data_dir, model, plan):
            here, there = session.run(row), remote.run(row)
            assert [a.tobytes() for a in there] == [a.tobytes() for a in here]


@needs_qemu
@pytest.mark.parametrize("model", ["tflm_hello_world_int8", "mlperf_ad_fcae_int8"])
def test_every_byte_on_sifive_e_is_that_of_session(data_dir: Path, model: str) -> None:
    """In 16 KiB of RAM in all, the plan in the flash image."""
    plan = pe.compile(pe.load(data_dir / "models" / f"{model}.tflite"), board="sifive-e", batch=1)
    session = pe.Session(plan)
    with pe.connect("sifive-e") as board:
        remote = board.load(plan)
        memory = remote.memory()
        assert memory.plan == 0 and 0 < memory.stack < memory.stack_size
        assert memory.arena + memory.static + memory.stack_size + memory.free <= 16384
        for row in rows_of(data_dir, model, plan):
            assert [a.tobytes() for a in remote.run(row)] == [a.tobytes() for a in session.run(row)]


@pytest.mark.parametrize("name", BOARDS)
def test_a_digit_like_network_runs_from_ram_and_flash(
    name: str, plan: pe.Plan, other_plan: pe.Plan, x: np.ndarray
) -> None:
    """Loaded in turn, each gives its own bits; a dict gives a dict, a call one array."""
    with pe.connect(name) as board:
        for p, persist in ((other_plan, False), (plan, True), (other_plan, True), (other_plan, False)):
            if name == "sifive-e":
                p = other_plan
            remote, session = board.load(p, persist=persist), pe.Session(p)
            assert remote.run([x])[0].tobytes() == session.run([x])[0].tobytes()
            assert remote.run({"x": x})["y"].tobytes() == remote(x).tobytes() == session(x).tobytes()


@pytest.mark.parametrize("name", BOARDS)
def test_entries_and_branches_run_on_a_board(name: str) -> None:
    """A plan of two entries, one of which leaves early or not: both arms give Session's bits."""
    random = np.random.default_rng(2)
    w, deep = random.standard_normal((6, 16), np.float32), random.standard_normal((6, 6), np.float32)
    b = pe.GraphBuilder()
    h = b.linear(b.input("x", (1, 16), "float32"), w)
    b.output("y", b.cond(b.any_ge(h, 4.0), lambda i: i.relu(h), lambda i: i.linear(i.linear(h, deep), deep))[0])
    head = pe.GraphBuilder()
    head.output("y", head.linear(head.input("x", (1, 16), "float32"), w))
    plan = pe.compile({"main": b.build(), "head": head.build()})
    session = pe.Session(plan)
    with pe.connect(name) as board:
        remote = board.load(plan)
        early = 0
        for x in (np.zeros((1, 16), np.float32), *random.standard_normal((6, 1, 16), np.float32)):
            early += bool(session.run([x], "head")[0].max() >= 4)
            for entry in ("main", "head"):
                assert remote.run([x], entry)[0].tobytes() == session.run([x], entry)[0].tobytes()
        assert 0 < early < 7  # both arms were taken
        with pytest.raises(pe.PlanError, match="no entry 'tail'"):
            remote.run([x], "tail")


def test_a_wrong_input_is_refused_before_it_is_sent(plan: pe.Plan) -> None:
    """Shape, dtype, name."""
    with pe.connect("host") as board:
        remote = board.load(plan)
        for bad in ([np.zeros((1, 63), np.float32)], [np.zeros((1, 64))], {"z": np.zeros((1, 64), np.float32)}, []):
            with pytest.raises(pe.ShapeError):
                remote.run(bad)


@needs_qemu
@pytest.mark.parametrize("name", ["virt-rv32", "sifive-e"])
def test_instructions_are_the_same_in_every_run(name: str, other_plan: pe.Plan, x: np.ndarray) -> None:
    """In repeated runs, and after a restart."""
    totals = []
    for _ in range(2):
        with pe.connect(name) as board:
            profile = board.load(other_plan).profile([x], runs=7)
            assert profile.unit == "instructions" and profile.interval is None
            assert profile.total == sum(op.count for op in profile.ops)
            totals.append(profile.total)
    assert totals[0] == totals[1] > 0


def test_the_host_port_counts_nanoseconds_with_an_interval(plan: pe.Plan) -> None:
    """Median and 95 % interval of each op."""
    with pe.connect("host") as board:
        profile = board.load(plan).profile(runs=20)
    assert (profile.unit, profile.target, profile.runs) == ("ns", "host", 20)
    assert [op.kind for op in profile.ops] == [op.kind for op in plan.entry().ops]
    assert all(op.count > 0 for op in profile.ops)


def test_a_kept_plan_is_there_at_the_next_connection(plan: pe.Plan, other_plan: pe.Plan) -> None:
    """persist=True is kept between connections, RAM is not; the two slots take turns."""
    with pe.connect("host") as board:
        board.load(other_plan)
        assert board.slots() == []
        board.load(plan, persist=True)
        board.load(other_plan, persist=True)
    with pe.connect("host") as board:
        assert [(s["slot"], s["active"]) for s in board.slots()] == [(0, False), (1, True)]
        with pytest.raises(pe.BoardError):
            board._running_sha()
        assert board.use_slot() == board.slots()[1]["hash"]


def test_what_a_board_cannot_take_is_a_plan_error(plan: pe.Plan) -> None:
    """A plan that is damaged behind the SHA-256, and one that is larger than a slot."""
    with pe.connect("host") as board:
        damaged = bytearray(plan.data)
        damaged[8:12] = bytes(4)

        class Bad:
            data, arena_bytes, ops = bytes(damaged), 0, ()

        with pytest.raises(pe.PlanError, match="refused"):
            board.load(Bad())  # type: ignore[arg-type]
        assert board.load(plan).memory().plan == len(plan.data)
    with pytest.raises(pe.PlanError, match="does not fit into a slot"):
        store.compose(load_profile("sifive-e").store, bytes(5 << 20))  # type: ignore[arg-type]
