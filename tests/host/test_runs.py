"""Stored runs: kept whole, read back, shown as a page and as a trace."""

import json
import re
import shutil
import sqlite3
import subprocess
from itertools import pairwise
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest

import pyedge as pe
from pyedge.host import report, runs
from pyedge.host.power.energy import Energy, Window
from pyedge.plan import Plan
from pyedge.plan.profile import EMULATOR_FLAG, origin


@pytest.fixture(scope="module")
def plan() -> Plan:
    rng = np.random.default_rng(0)
    b = pe.GraphBuilder()
    h = b.conv2d(b.input("x", (1, 8, 8, 3), "float32"), rng.normal(size=(4, 3, 3, 3)).astype(np.float32))
    b.output("y", b.relu(h))
    return pe.compile(b.build())


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "deep" / "runs.sqlite"


def store_profile(plan: Plan, file: Path, model: str = "m.tflite", n: int = 100) -> int:
    return runs.store("profile", "host", model, plan, pe.Session(plan).profile(runs=n).to_dict(), file)


def energy() -> Energy:
    windows = tuple(Window(1.0 + i, 1.5 + i, 1e-4, 2e-3) for i in range(6))
    power = tuple((0.5 + 0.1 * i, 1e-3 * (1 + i % 5)) for i in range(70))
    return Energy(
        "python", "main", "ppk2", "all <of> it", "gpio", 10, 2e-4, 1e-4, (1.9e-4, 2.1e-4), 1e-6, 1e-7, 0.05, 1e-3, 1e-3,
        0.0, windows, power,
    )  # fmt: skip


def test_a_run_is_read_back_as_it_was_measured(plan: Plan, file: Path) -> None:
    data = pe.Session(plan).profile(runs=40).to_dict()
    number = runs.store("profile", "host", "m.tflite", plan, data, file)
    run = runs.load([number], file)[0]
    assert run.data == json.loads(json.dumps(data)) and len(run.data["totals"]) == 40
    assert (run.kind, run.board, run.model) == ("profile", "host", "m.tflite")
    assert run.plan["arena_bytes"] == plan.arena_bytes
    again = store_profile(plan, file)
    assert [r.id for r in runs.newest(5, file)] == [again, number]
    assert [r.id for r in runs.load([-1, number, -2], file)] == [again, number, number]


def test_runs_that_are_not_there_and_damaged_files_are_named(plan: Plan, file: Path) -> None:
    with pytest.raises(pe.PyedgeError, match="no run 1; stored: none yet"):
        runs.load([1], file)
    store_profile(plan, file)
    with pytest.raises(pe.PyedgeError, match="no run -2; stored: 1 to 1"):
        runs.load([-2], file)
    with sqlite3.connect(file) as connection:
        connection.execute("pragma user_version = 99")
    connection.close()
    with pytest.raises(pe.PyedgeError, match="newer pyedge"):
        runs.newest(1, file)
    file.write_bytes(b"no database at all" * 100)
    with pytest.raises(pe.PyedgeError, match=re.escape(str(file))):
        runs.newest(1, file)


def test_a_page_needs_nothing_from_elsewhere(plan: Plan, file: Path) -> None:
    """One file, no script, nothing fetched; what a model calls itself is escaped; drawings are well-formed."""
    store_profile(plan, file, "<script>alert(1)</script>.tflite")
    runs.store("power", "python", "m.tflite", plan, energy().to_dict(), file)
    page = report.html(runs.load([1, 2], file))
    assert "<script" not in page
    assert not re.search(r"(src|href)=|url\(|@import", page)
    drawings = re.findall(r"<svg.*?</svg>", page, re.S)
    assert len(drawings) == 5  # histogram, ops and arena; power and arena
    for drawing in drawings:
        assert "viewBox" in ElementTree.fromstring(drawing).attrib  # else a narrow page cuts it off
    assert "all &lt;of&gt; it" in page and "Side by side" in page
    assert page.count("window 5: 0.002 J") == 1


def test_what_an_emulator_gave_is_called_that_and_compared_with_nothing_else(plan: Plan, file: Path) -> None:
    """Instructions, and times with an emulator in them, are of no real part; a ratio is to a figure of its kind."""
    here = pe.Session(plan).profile(runs=9).to_dict()
    counted = here | {"unit": "instructions", "flags": []}
    through = here | {"conditions": {"sent_bytes": 4}, "flags": [EMULATOR_FLAG], "total": 7 * here["total"]}
    for board, data in (("host", here), ("virt-rv32", counted), ("virt-rv32", through)):
        runs.store("profile", board, "m.tflite", plan, data, file)
    page = report.html(runs.load([1, 2, 3], file))
    table = page.partition("</table>")[0]
    assert table.count("no time of a real part") == 2 and "the network, measured<" in table
    assert table.count(">1.000<") == 3 and ">7.000<" not in table
    assert origin("ns", []) == "measured" and "counted in an emulator" in origin("instructions", [])
    alone = report.html(runs.load([2], file))
    assert "counted in an emulator" in alone and ">median, instructions<" in alone and "Side by side" not in alone
    assert re.search(r">[\d,]+ ns</text>", report.html(runs.load([1], file)))


def test_the_histogram_holds_every_run() -> None:
    values = [*range(1000, 1100), 50_000]
    bars = re.findall(r"<title>(\d+) runs from", report.histogram(values, "ns"))
    assert sum(map(int, bars)) == len(values)
    assert sum(map(int, re.findall(r"<title>(\d+) runs from", report.histogram([7, 7, 7], "ns")))) == 3
    assert " ns and more<" in report.histogram(values, "ns") and "more" not in report.histogram([7, 7, 9], "ns")


def test_a_trace_lays_the_ops_end_to_end(plan: Plan, file: Path) -> None:
    store_profile(plan, file)
    run = runs.load([1], file)[0]
    events = report.trace(run)["traceEvents"]
    ops = [e for e in events if e["ph"] == "X"]
    assert [e["name"] for e in ops] == [op["name"] for op in run.data["ops"]]
    for a, b in pairwise(ops):
        assert b["ts"] == pytest.approx(a["ts"] + a["dur"])
    assert sum(e["dur"] for e in ops) == pytest.approx(sum(op["count"] for op in run.data["ops"]) / 1000)
    live = [e["args"]["tensors"] for e in events if e["ph"] == "C"]
    assert max(live) <= plan.arena_bytes and len(live) == len(ops)


def test_a_browser_shows_the_page(plan: Plan, file: Path, tmp_path: Path) -> None:
    """Headless Chromium, with the net out of reach, lays out every drawing."""
    browser = shutil.which("chromium") or shutil.which("google-chrome")
    assert browser, "needs chromium; try: ./setup test"
    store_profile(plan, file)
    runs.store("power", "python", "m.tflite", plan, energy().to_dict(), file)
    page = tmp_path / "page.html"
    page.write_text(report.html(runs.load([1, 2], file)), encoding="utf-8")
    picture = tmp_path / "page.png"
    flags = ["--headless", "--no-sandbox", "--disable-gpu", "--window-size=1000,3000", "--proxy-server=127.0.0.1:9"]
    command = [browser, *flags, f"--user-data-dir={tmp_path / 'profile'}", f"--screenshot={picture}", page.as_uri()]
    subprocess.run(command, check=True, capture_output=True, timeout=120)
    assert len(set(picture.read_bytes())) > 200 and picture.stat().st_size > 30_000
