"""`pyedge profile` where pyedge runs on the board itself: which board, which CPUs, which peaks."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest

import pyedge as pe
from pyedge import clocks
from pyedge.boards import load_profile
from pyedge.cli import _app as app
from pyedge.host import commands, frame, local
from pyedge.host.board import Board
from pyedge.host.link import GROUP_PYEDGE, Link
from pyedge.host.roofs import told_roofs

from .test_ssh import Loop, here  # noqa: F401  the fixture


def cpu(sys: Path, number: int, mhz: int = 0, related: str = "", **files: object) -> None:
    """A CPU as sysfs shows it."""
    folder = sys / f"devices/system/cpu/cpu{number}"
    (folder / "cpufreq").mkdir(parents=True)
    (folder / "regs/identification").mkdir(parents=True)
    for name, value in files.items():
        (folder / name.replace("midr", "regs/identification/midr_el1")).write_text(f"{value}\n")
    if mhz:
        (folder / "cpufreq/cpuinfo_max_freq").write_text(f"{1000 * mhz}\n")
        (folder / "cpufreq/related_cpus").write_text(f"{related or number}\n")


@pytest.fixture
def six(monkeypatch: pytest.MonkeyPatch) -> None:
    """Six CPUs, all of which this process may use."""
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(6)))


def test_big_and_little_cores(tmp_path: Path, six: None) -> None:
    """RK3399: four Cortex-A53, two Cortex-A72, clocked apart; the fast ones come first, whatever their numbers."""
    for n in range(4):
        cpu(tmp_path, n, 1416, "0 1 2 3", cpu_capacity=485, midr="0x410fd034")
    for n in (4, 5):
        cpu(tmp_path, n, 1800, "4 5", cpu_capacity=1024, midr="0x410fd082")
    assert clocks.clusters(tmp_path) == [(1800, (4, 5)), (1416, (0, 1, 2, 3))]


def test_kinds_of_equal_clock_differ_in_their_identity(tmp_path: Path, six: None) -> None:
    """Jetson TX2: Denver 2 at 1 and 2, Cortex-A57 else, each CPU with a policy of its own."""
    for n in range(6):
        cpu(tmp_path, n, 2035, midr="0x4e0f0030" if n in (1, 2) else "0x411fd073")
    assert clocks.clusters(tmp_path) == [(2035, (0, 3, 4, 5)), (2035, (1, 2))]


def test_hybrid_x86(tmp_path: Path, six: None) -> None:
    """Two kinds by the performance monitors; favoured cores of one kind are no kind of their own."""
    for n in range(6):
        cpu(tmp_path, n, (5100, 5200, 3900, 3900, 3900, 3900)[n])
    for name, cpus in (("cpu_core", "0-1"), ("cpu_atom", "2-5")):
        (tmp_path / "devices" / name).mkdir()
        (tmp_path / "devices" / name / "cpus").write_text(f"{cpus}\n")
    assert clocks.clusters(tmp_path) == [(5200, (0, 1)), (3900, (2, 3, 4, 5))]


def test_a_machine_that_tells_nothing_has_one_kind(tmp_path: Path, six: None) -> None:
    """As in a container."""
    assert clocks.clusters(tmp_path) == [(0, tuple(range(6)))]


@pytest.mark.parametrize("text, cpus", [("3", {3}), ("0-2,5", {0, 1, 2, 5}), ("4 5", {4, 5}), ("", set())])
def test_lists_of_cpus(text: str, cpus: set[int]) -> None:
    """As Linux writes them; back as text."""
    assert clocks.parse_cpus(text) == cpus
    assert clocks.parse_cpus(clocks.name_cpus(cpus)) == cpus


@pytest.mark.parametrize("text", ["x", "1-", "3-1", "-1", "0-99999999", "1.5"])
def test_no_list_of_cpus(text: str) -> None:
    """Refused, and no memory spent on it."""
    with pytest.raises(ValueError, match="is no"):
        clocks.parse_cpus(text)


def test_this_is_the_board_if_its_device_tree_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The architecture alone is not enough where the profile knows the model's names."""
    monkeypatch.setattr("platform.machine", lambda: "aarch64")
    file = tmp_path / "model"
    file.write_bytes(b"Raspberry Pi 5 Model B Rev 1.0\0")
    assert local.require_here(load_profile("raspberry-pi-5"), file) == "Raspberry Pi 5 Model B Rev 1.0"
    with pytest.raises(pe.UnsupportedError, match=r"raspberry-pi-4b: .*another one \(Raspberry Pi 5 .*ssh:USER@HOST"):
        local.require_here(load_profile("raspberry-pi-4b"), file)
    unnamed = load_profile("raspberry-pi-4b")
    assert unnamed.linux
    unnamed = replace(unnamed, linux=replace(unnamed.linux, models=()))
    assert local.require_here(unnamed, tmp_path / "absent") == "aarch64"


def test_profile_on_the_board_itself(
    plan: pe.Plan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Pinned to a CPU, and says so; elsewhere one line with the way there."""
    plan.save(tmp_path / "m.pedge")
    call = ["profile", str(tmp_path / "m.pedge"), "-b", "raspberry-pi-5", "-n", "2", "--no-store"]
    monkeypatch.setattr(local, "model_name", lambda file: "a PC")
    assert app.run(call) == 9
    assert "another one (a PC" in capsys.readouterr().err
    monkeypatch.setattr(local, "model_name", lambda file: "Raspberry Pi 5 Model B Rev 1.0")
    monkeypatch.setattr("platform.machine", lambda: "aarch64")
    before = os.sched_getaffinity(0)
    assert app.run(call) == 0
    out = capsys.readouterr().out
    assert out.startswith("raspberry-pi-5, entry main, 2 runs")
    assert f"cpus {max(clocks.clusters()[0][1])}" in out.splitlines()[0] or len(before) == 1
    assert "peaks measured, one core" in out
    assert os.sched_getaffinity(0) == before


def test_cpus_and_peaks_over_the_link(here, plan: pe.Plan) -> None:  # noqa: F811
    """A board with Linux tells its kinds of cores, stays where it is told to, and measures its peaks."""
    before = os.sched_getaffinity(0)
    board = Board(here, Link(Loop()), None, 10)
    try:
        assert board.clusters() == clocks.clusters()
        chosen = {max(before)}
        board.pin(chosen, threads=2)
        assert os.sched_getaffinity(0) == chosen
        assert board.load(plan).profile(runs=2).conditions["cpus"] == clocks.name_cpus(chosen)
        with pytest.raises(pe.UnsupportedError, match="cpus '4000'"):
            board.pin({4000})
        roofs = board.roofs()
        assert roofs is not None and roofs.macs["int8"] > 0.01 and min(roofs.reads.values()) > 0.01
    finally:
        os.sched_setaffinity(0, before)
    board.link.stream.server._commands[GROUP_PYEDGE, commands.CPUS, frame.READ] = lambda q: {"clusters": [1]}
    with pytest.raises(pe.LinkError, match="clusters is"):
        board.clusters()


def test_an_older_pyedge_on_the_board(here) -> None:  # noqa: F811
    """It has none of the commands: peaks are the profile's, and pinning is refused with what to do."""
    loop = Loop()
    for key in [key for key in loop.server._commands if key[1] in (commands.PEAKS, commands.CPUS)]:
        del loop.server._commands[key]
    board = Board(here, Link(loop), None, 10)
    assert board.roofs() is None
    with pytest.raises(pe.UnsupportedError, match="pip install --upgrade pyedge"):
        board.pin({0})


def test_peaks_that_a_profile_tells() -> None:
    """In nanoseconds by the clock, in cycles without; of the kind of core that the CPUs are; none of instructions."""
    profile = load_profile("raspberry-pi-5")
    roofs = told_roofs(profile, "ns")
    assert roofs is not None and roofs.macs["int8"] == pytest.approx(32 * 2.4) and not roofs.reads
    cycles = told_roofs(profile, "cycles")
    assert cycles is not None and cycles.macs == {"int8": 32, "fp16": 16, "fp32": 8}
    assert told_roofs(profile, "instructions") is None and told_roofs(load_profile("host"), "cycles") is None
    big, little = profile.clusters[0], replace(profile.clusters[0], core="little", clock_hz=10**9, cpus=(0, 1, 2, 3))
    two = replace(profile, clusters=(replace(big, cpus=(4, 5, 6, 7)), little))
    found = told_roofs(two, "ns", {1})
    assert found is not None and "little" in found.source and found.macs["fp32"] == pytest.approx(8)
