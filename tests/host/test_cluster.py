"""Kinds of cores, profiled apart and together; this computer's CPUs stand for them."""

from __future__ import annotations

import json
import os
import time
from functools import partial
from pathlib import Path

import numpy as np
import pytest

import pyedge as pe
from pyedge import clocks
from pyedge.cli import _app as app
from pyedge.host import Board, cluster
from pyedge.host.cluster import Clusters, measure_handover, profile_clusters
from pyedge.host.link import Link
from pyedge.host.power.trace import PolledMeter

from .test_ssh import Loop, here  # noqa: F401  the fixture


@pytest.fixture
def kinds(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, tuple[int, ...]]]:
    """The first and the last CPU, as if they were of two kinds; on a computer with one CPU they are the same."""
    cpus = clocks.allowed()
    found = [(2000, (max(cpus),)), (1000, (min(cpus),))]
    monkeypatch.setattr(clocks, "clusters", lambda: found)
    return found


@pytest.fixture(scope="module")
def deep() -> pe.Plan:
    """Eight equal layers, some 100 us each."""
    b = pe.GraphBuilder()
    h = b.input("x", (1, 512), "float32")
    for _ in range(8):
        h = b.linear(h, np.full((512, 512), 1e-3, np.float32))
    b.output("y", h)
    return pe.compile(b.build())


def check(found: Clusters) -> None:
    """Two kinds of one CPU each, and both together; stages that cover the network."""
    assert [(row.name, row.threads) for row in found.rows][:2] == [("1 x 2000 MHz", 1), ("1 x 1000 MHz", 1)]
    assert found.rows[2].name == "together" and len(found.rows) == 3
    assert found.split is not None and found.split.stages[-1].last == len(found.rows[0].profile.ops)
    assert found.split.period <= min(sum(op.count for op in row.profile.ops) for row in found.rows[:2])


def test_kinds_here_and_the_best_split(deep: pe.Plan, kinds: object) -> None:
    """Each row says on which CPUs it was, and this thread is where it was before."""
    before = os.sched_getaffinity(0)
    found = profile_clusters(pe.Session(deep), runs=5)
    assert os.sched_getaffinity(0) == before
    check(found)
    assert found.handover.measured and found.handover.fixed_ns > 0
    text = found.table()
    assert "best split" in text and "handing over" in text and "measured" in text
    json.dumps(found.to_dict())


def test_kinds_at_the_other_end_of_a_link(here, deep: pe.Plan, kinds: object) -> None:  # noqa: F811
    """The board stays on the CPUs that it is told; handing over is not measured there, which is said."""
    before = os.sched_getaffinity(0)
    try:
        remote = Board(here, Link(Loop()), None, 10).load(deep)
        found = profile_clusters(remote, runs=3)
    finally:
        os.sched_setaffinity(0, before)
    check(found)
    assert found.rows[0].profile.conditions["cpus"] == found.rows[0].cpus
    assert not found.handover.measured and "handing over: taken as 0" in found.table()


def test_power_of_each_kind(plan: pe.Plan, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two watts all the time."""
    one = [{min(clocks.allowed())}]
    monkeypatch.setattr(cluster, "measure", partial(cluster.measure, windows=1))
    meter = PolledMeter("steady", "two watts", 1e-4, joules=lambda: 2 * time.monotonic())
    found = profile_clusters(pe.Session(plan), cpus=one, runs=3, meter=meter)
    energy = found.rows[0].energy
    assert energy is not None and energy.gross_j / energy.seconds == pytest.approx(2, rel=1e-3)
    assert f"{2000:,}" in found.table() and found.split is None


def test_handing_over_more_takes_longer() -> None:
    """A fixed part, and one by the byte."""
    cpus = clocks.allowed()
    found = measure_handover({min(cpus)}, {max(cpus)})
    assert found.ns(None) == float("inf") and found.ns(10**6) >= found.ns(0) > 0


def test_the_command(plan: pe.Plan, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A table of this computer's kinds; sets that overlap, and a meter without clusters, are refused."""
    plan.save(tmp_path / "m.pedge")
    call = ["profile", str(tmp_path / "m.pedge"), "-n", "3"]
    assert app.run([*call, "--clusters", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)["clusters"]
    assert found["rows"][-1]["threads"] == len(clocks.allowed()) or len(clocks.clusters()) > 1
    assert app.run([*call, "--clusters", "--cpus", "0-1", "--cpus", "1"]) == 2
    assert app.run([*call, "--meter", "rapl"]) == 2
    assert app.run([*call, "--clusters", "--cpus", "4000"]) == 9
    assert "this program may use" in capsys.readouterr().err
