"""pyedge selftest: what it finds on boards that are right and on boards that are not, and what its file proves."""

from __future__ import annotations

import dataclasses
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

import pyedge as pe
from pyedge.boards import read_profile
from pyedge.errors import PyedgeError
from pyedge.host import Remote, golden
from pyedge.host.emulator import Emulator
from pyedge.host.selftest import _clock, _flash, _golden, _link, selftest

from .conftest import needs_qemu
from .proxy import Proxy

EVERY = 40  # of the golden cases: all of them run in test_golden_bits_boards.py
ROOT = Path(__file__).parents[2]


def test_the_packed_hashes_are_those_recorded() -> None:
    """golden.bin is the beginning of each hash in bits.json, in order."""
    record = json.loads((ROOT / "tests" / "golden" / "bits.json").read_text())
    packed = {case.name: digest.hex() for case, digest in golden.recorded()}
    assert packed == {name: text[: 2 * golden.DIGEST_BYTES] for name, text in record.items()}
    assert len(golden.RECORD.read_bytes()) == golden.DIGEST_BYTES * len(record)


@pytest.mark.parametrize("name", ["host", pytest.param("virt-rv32", marks=needs_qemu)])
def test_an_emulated_board_passes_and_is_no_silicon(name: str) -> None:
    with pe.connect(name) as board:
        result = selftest(board, every=EVERY)
    assert result.emulated and not result.counts_as_silicon
    found = {check.name: check for check in result.checks}
    assert [found[check].status for check in ("golden", "link", "flash")] == ["ok"] * 3
    assert found["golden"].data["right"] == found["golden"].data["cases"] == len(range(0, 340, EVERY))
    assert found["link"].data["wrong"] == 0
    assert found["clock"].data["unit"] == board.hello.unit
    assert json.loads(json.dumps(result.to_dict()))["passed"] is result.passed
    assert len(result.firmware["image_sha256"]) == 64


def test_what_is_wrong_with_a_board_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """Other bits, an echo that differs, a clock of another rate, flash that forgets."""
    with pe.connect("host") as board:
        cases = list(golden.recorded())
        wrong = [(cases[0][0], bytes(golden.DIGEST_BYTES)), *cases[1:]]
        monkeypatch.setattr(golden, "recorded", lambda: iter(wrong))
        check = _golden(board, len(cases) - 1, None)
        assert (check.status, check.data["failed"], check.data["right"]) == ("failed", [cases[0][0].name], 1)
        monkeypatch.setattr(board, "echo", lambda text: text[::-1])
        assert _link(board).status == "failed"
        monkeypatch.setattr(board, "hello", dataclasses.replace(board.hello, hz=board.hello.hz // 3))
        assert _clock(board).status == "failed"
        monkeypatch.setattr(Remote, "keep", lambda remote: None)
        assert _flash(board, True).status == "failed"
        assert _flash(board, False).status == "left out"


def silicon(profiles: Path, **changes: object) -> Path:
    """A folder of profiles: the host port's, as if it were a chip, and a good selftest of it with some changes."""
    profiles.mkdir()
    text = (
        (ROOT / "boards" / "host.toml")
        .read_text()
        .replace('status = "emulated"', 'status = "built, not run on silicon"')
    )
    (profiles / "host.toml").write_text(text)
    test = {
        "schema": 1, "kind": "selftest", "board": "host", "emulated": False, "date": "2026-11-22T12:00:00+00:00",
        "firmware": {"version": "0.1.0"}, "every": 1, "passed": True,
        "checks": [{"name": "golden", "status": "ok", "found": "340 of 340"}],
    }  # fmt: skip
    (profiles / "silicon").mkdir()
    (profiles / "silicon" / "host.json").write_text(json.dumps({**test, **changes}))
    return profiles / "host.toml"


def test_a_contributed_file_marks_the_board(tmp_path: Path) -> None:
    """And the profile says what was seen."""
    profile = read_profile(silicon(tmp_path / "boards"))
    assert profile.status == "run on silicon" and "340 of 340" in profile.sources["status"]
    shutil.rmtree(tmp_path / "boards" / "silicon")
    assert read_profile(tmp_path / "boards" / "host.toml").status == "built, not run on silicon"


@pytest.mark.parametrize(
    "changes",
    [
        {"board": "virt-rv32"}, {"emulated": True}, {"emulated": 0}, {"passed": False}, {"every": 10}, {"schema": 2},
        {"kind": "profile"}, {"checks": []}, {"checks": [{"name": "golden", "status": "left out", "found": ""}]},
        {"checks": [{"name": "golden", "status": "failed", "found": ""}]}, {"firmware": None}, {"date": 5},
    ],
    ids=str,
)  # fmt: skip
def test_a_file_that_proves_nothing_is_refused(tmp_path: Path, changes: dict[str, object]) -> None:
    with pytest.raises(PyedgeError, match=r"silicon/host\.json"):
        read_profile(silicon(tmp_path / "boards", **changes))


def test_an_emulated_board_is_never_marked(tmp_path: Path) -> None:
    """Whatever a file says."""
    toml = silicon(tmp_path / "boards")
    shutil.copy(ROOT / "boards" / "host.toml", toml)
    with pytest.raises(PyedgeError, match="emulated"):
        read_profile(toml)


def test_a_board_behind_a_port_writes_a_file_that_counts(emulate: Callable[[str], Emulator], tmp_path: Path) -> None:
    """From the board to the mark, by a profile that is none of an emulated board."""
    toml = silicon(tmp_path / "boards")
    shutil.rmtree(tmp_path / "boards" / "silicon")
    profile = dataclasses.replace(read_profile(toml), emulator=None)
    with Proxy(emulate("host")) as proxy, pe.connect(profile, port=proxy.path) as board:
        result = selftest(board, every=EVERY)
    assert not result.emulated
    (tmp_path / "boards" / "silicon").mkdir()
    file = tmp_path / "boards" / "silicon" / "host.json"
    file.write_text(json.dumps(dataclasses.replace(result, every=1).to_dict()))
    if result.passed:  # a computer under load may fail the clock
        assert read_profile(toml).status == "run on silicon"
    else:
        with pytest.raises(PyedgeError, match="it failed"):
            read_profile(toml)
