"""`pyedge bench`: figures of this computer, and peers that compute the same."""

from __future__ import annotations

import json

import numpy as np
import pytest

import pyedge as pe
from pyedge.bench import peers, run
from pyedge.bench.machine import Peaks, measure_peaks
from pyedge.bench.networks import BUILT_IN, random_network
from pyedge.bench.single_ops import SingleOp, random_inputs


def test_peaks_are_of_the_levels_in_use_and_above_the_portable_one() -> None:
    found = measure_peaks(seconds=0.01)
    levels = list(found.levels)
    assert levels[0] == "portable"
    assert set(levels[1:]) <= {*pe.cpu_features().features}
    assert all(rate > 1e8 for rates in found.levels.values() for rate in rates)
    assert all(rate > 1e8 for rate in found.reads.values())


def test_a_roof_is_the_lower_of_peak_and_memory() -> None:
    peaks = Peaks({"portable": (100.0, 200.0), "avx2": (400.0, 800.0)}, {1000: 50.0, 10**6: 10.0})
    assert peaks.peak("portable", True) == 200
    assert peaks.peak("a level without loops of its own", False) == 400
    assert peaks.roof("avx2", False, intensity=1, moved=1000) == 50
    assert peaks.roof("avx2", False, intensity=1, moved=5000) == 10
    assert peaks.roof("avx2", False, intensity=100, moved=10**9) == 400


def test_engines_take_turns() -> None:
    order: list[str] = []
    found = run.interleaved({name: lambda name=name: order.append(name) for name in "ab"}, blocks=2)  # type: ignore[misc]
    assert {name: len(times) for name, times in found.items()} == {"a": 2, "b": 2}
    turns = [name for i, name in enumerate(order) if i == 0 or order[i - 1] != name]
    assert turns[:6] == ["a", "b", "a", "b", "a", "b"]


@pytest.mark.parametrize("name", peers.installed())
def test_a_peer_that_is_installed_computes_the_same(name: str) -> None:
    prepare = peers.installed()[name][1]
    graphs = [f("float32") for f in BUILT_IN] + [random_network(seed, "float32") for seed in range(8)]
    ran = 0
    for graph in graphs:
        plan = pe.compile(graph)
        (x,) = random_inputs(plan.entry("main"))
        try:
            y = prepare(graph, None, x)()
        except peers.Unable:
            continue
        np.testing.assert_allclose(y.reshape(-1), pe.Session(plan)(x).reshape(-1), rtol=1e-2, atol=1e-3)
        ran += 1
    assert ran >= 6


def test_result_has_ratios_of_installed_peers_and_reasons_of_others() -> None:
    ops = [SingleOp("linear", 1, 1, 64, 32), SingleOp("conv2d", 8, 8, 4, 8, (3, 3), dtype="float32")]
    graph = random_network(3)
    found = run.bench([("mine", graph, None)], peers=True, blocks=2, ops=ops)
    json.dumps(found)
    assert [row["name"] for row in found["networks"]] == ["mine"]
    assert [row["name"] for row in found["layers"]] == [op.name for op in ops]
    assert found["conditions"]["kernels"] == pe.cpu_features().isa
    for row in (*found["networks"], *found["layers"]):
        assert {*row["ratio"], *row["unable"]} == set(peers.installed())
        assert row["us"][run.OURS] > 0 and row["run_us"] > 0 and row["of_peak"] > 0
    if "torch" in peers.installed():
        assert found["layers"][0]["unable"]["torch"] == "float32 only"


def test_a_plot_needs_matplotlib_and_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    from pyedge.bench import roofline

    monkeypatch.setitem(__import__("sys").modules, "matplotlib", None)
    with pytest.raises(pe.MissingToolError, match=r"pip install 'pyedge\[plot\]'"):
        roofline.require_matplotlib()
