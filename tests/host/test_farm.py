"""Many boards at once: work goes to sisters of boards that fail, here and through Dask."""

import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import pyedge as pe
from pyedge.boards import ProfileError, Stand, read_bench
from pyedge.host import farm
from pyedge.host.farm import Job, profile_all, profile_on_farm, resources


def graph() -> pe.Graph:
    b = pe.GraphBuilder()
    w = np.random.default_rng(0).normal(size=(4, 8)).astype(np.float32)
    b.output("y", b.linear(b.input("x", (1, 8), "float32"), w))
    return b.build()


@pytest.fixture(scope="module")
def plan() -> pe.Plan:
    return pe.compile(graph(), board="host")


def test_all_stands_share_the_work(plan: pe.Plan) -> None:
    """Six jobs, two processes of the host port; the outcomes come in the order of the jobs."""
    jobs = [Job(f"m{i}", "host", plan, {"runs": 3}) for i in range(6)]
    seen: list[str] = []
    outcomes = profile_all(jobs, [Stand("a", "host"), Stand("b", "host")], lambda o: seen.append(o.job.model))
    assert [o.job.model for o in outcomes] == [f"m{i}" for i in range(6)] == sorted(seen)
    for o in outcomes:
        assert o.profile is not None and o.profile.runs == 3 and not o.failures
    assert {o.stand for o in outcomes} == {"a", "b"}


def test_a_sister_does_the_work_of_a_board_that_is_gone(plan: pe.Plan, tmp_path: Path) -> None:
    jobs = [Job(f"m{i}", "host", plan, {"runs": 1}) for i in range(4)]
    stands = [Stand("gone", "host", port=str(tmp_path / "no-such-port")), Stand("there", "host")]
    outcomes = profile_all(jobs, stands)
    assert all(o.profile is not None and o.stand == "there" for o in outcomes)
    failures = [f for o in outcomes for f in o.failures]
    assert len(failures) == 1 and failures[0][0] == "gone" and "no-such-port" in failures[0][1]


def test_jobs_that_nobody_can_do_say_why(plan: pe.Plan, tmp_path: Path) -> None:
    """No sister left; no stand with the board; a plan that the board refuses, which kills no stand."""
    large = pe.GraphBuilder()
    large.output("y", large.relu(large.input("x", (1, 4096, 4096), "float32")))
    refused = pe.compile(large.build())
    stands = [Stand("gone", "sifive-e", port=str(tmp_path / "none")), Stand("there", "host")]
    jobs = [Job("a", "sifive-e", plan), Job("b", "mps2-an386", plan), Job("c", "host", refused), Job("d", "host", plan)]
    a, b, c, d = profile_all([*jobs[:3], Job("d", "host", plan, {"runs": 1})], stands)
    assert jobs[3].model == d.job.model
    assert [f[0] for f in a.failures] == ["gone"] and not a.refused
    assert b.failures == [("mps2-an386", "no stand has a mps2-an386")]
    assert c.refused and "does not fit" in c.failures[0][1]
    assert d.profile is not None


def test_a_bench_file_is_checked(tmp_path: Path) -> None:
    file = tmp_path / "bench.toml"
    file.write_text('[[stand]]\nname = "a"\nboard = "host"\n[[stand]]\nname = "b"\nboard = "host"\nport = "/dev/x"\n')
    assert read_bench(file) == [Stand("a", "host"), Stand("b", "host", "/dev/x")]
    assert resources(read_bench(file)) == {"pyedge-host": 2}
    for text, match in {
        '[[stand]]\nname = "a"\nbord = "host"\n': "did you mean 'board'",
        '[[stand]]\nname = "a"\nboard = "host"\n' * 2: "2 stands are named 'a'",
        '[[stand]]\nname = "a"\nboard = "hots"\n': "did you mean host",
        "stand = 3": "expected an array",
        "[[": "bench.toml",
    }.items():
        file.write_text(text)
        with pytest.raises(pe.PyedgeError, match=match):
            read_bench(file)
    with pytest.raises(ProfileError, match="absent"):
        read_bench(tmp_path / "absent.toml")


@pytest.fixture
def cluster() -> Iterator[Any]:
    distributed = pytest.importorskip("distributed")
    with distributed.LocalCluster(n_workers=0, processes=True, dashboard_address=None) as made:
        yield made


def add_worker(cluster: Any, name: str, bench: str, folder: Path) -> Any:
    """A worker process with a bench file of its own; it offers the resources of its stands."""
    import os
    import subprocess
    import sys

    file = folder / f"{name}.toml"
    file.write_text(bench)
    offered = " ".join(f"{k}={v}" for k, v in resources(read_bench(file)).items())
    command = [sys.executable, "-m", "distributed.cli.dask_worker", cluster.scheduler_address, "--name", name]
    command += ["--no-nanny", "--no-dashboard", "--nthreads", "2", "--resources", offered]
    environment = {**os.environ, farm.BENCH_VARIABLE: str(file)}
    return subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def test_a_farm_gives_the_work_of_a_dead_board_to_another_computer(cluster: Any, plan: pe.Plan, tmp_path: Path) -> None:
    """Two workers; the board of one does not answer. All jobs end on the other, and the failure is told."""
    from distributed import Client

    good = add_worker(cluster, "good", '[[stand]]\nname = "g"\nboard = "host"\n', tmp_path)
    bad = add_worker(cluster, "bad", f'[[stand]]\nname = "b"\nboard = "host"\nport = "{tmp_path}/none"\n', tmp_path)
    try:
        with Client(cluster.scheduler_address) as client:
            client.wait_for_workers(2, timeout=60)
        jobs = [Job(f"m{i}", "host", plan, {"runs": 2}) for i in range(4)] + [Job("x", "sifive-e", plan)]
        *outcomes, nobody = profile_on_farm(jobs, cluster.scheduler_address)
    finally:
        for worker in (good, bad):
            worker.kill()
            worker.wait()
    for o in outcomes:
        assert o.profile is not None and (o.stand or "").startswith("g of tcp://"), o.failures
    failures = [error for o in outcomes for _, error in o.failures]
    assert failures and all("cannot open" in error for error in failures)
    assert nobody.failures[0][1] == "no worker has the resource pyedge-sifive-e"


def test_without_a_scheduler_there_is_one_clear_error(plan: pe.Plan, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("distributed")
    monkeypatch.setattr(farm, "_FARM_S", 0.5)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        address = f"tcp://127.0.0.1:{probe.getsockname()[1]}"
    with pytest.raises(pe.PyedgeError, match="no Dask scheduler answers"):
        profile_on_farm([Job("m", "host", plan)], address)
    assert threading.active_count() < 50
