"""`pyedge power --model`: a figure that says what it is, and from where."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import pyedge as pe
from pyedge.boards import ProfileError, load_profile, read_profile
from pyedge.cli import _app as app
from pyedge.host.power import model_energy

from .conftest import needs_qemu

BOARD = (Path(__file__).parents[2] / "boards" / "virt-rv32.toml").read_text()


def with_energy(folder: Path, text: str) -> Path:
    """virt-rv32 with other coefficients."""
    path = folder / "mine.toml"
    head, _, rest = BOARD.partition("[energy]\n")
    path.write_text(head + text + rest[rest.index("[sources]") :])
    return path


@needs_qemu
def test_counts_by_coefficients(plan: pe.Plan, tmp_path: Path) -> None:
    """Instructions, MACs and bytes, each by its own; the source is told with the figure."""
    path = with_energy(tmp_path, '[energy]\nof = "a test"\ncount_pj = 2.5\nmac_pj = 3\nbyte_pj = 0.5\n')
    with pe.connect(path) as board:
        remote = board.load(plan)
        found, count = model_energy(remote), remote.profile().total
    expected = 2.5 * count + 3 * plan.macs + 0.5 * found.bytes
    assert found.joules == pytest.approx(expected * 1e-12) and found.bytes > plan.const_bytes
    assert found.table().startswith("modelled, not measured: ") and "Horowitz" in found.table()
    assert found.to_dict()["modelled"] is True


@needs_qemu
def test_the_command(plan: pe.Plan, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Labelled in the table and in JSON, where a measured energy would be under another key; nothing is stored."""
    plan.save(tmp_path / "m.pedge")
    call = ["power", str(tmp_path / "m.pedge"), "--model"]
    assert app.run([*call, "-b", "virt-rv32", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["modelled"]["joules"] > 0 and "energy" not in found and found["run"] is None
    for more in ([], ["-b", "virt-rv32", "--meter", "rapl"]):
        assert app.run([*call, *more]) == 2
    assert app.run(call[:-1]) == 2
    assert "one of --meter, to measure, and --model" in capsys.readouterr().err


@needs_qemu
def test_a_board_without_coefficients_has_no_figure(plan: pe.Plan, tmp_path: Path) -> None:
    """And one that counts time has none; neither has a session here."""
    path = tmp_path / "mine.toml"
    head, _, rest = BOARD.partition("[energy]\n")
    sources = "".join(
        line for line in rest[rest.index("[sources]") :].splitlines(True) if not line.startswith("energy")
    )
    path.write_text(head + sources)
    with pe.connect(path) as board, pytest.raises(pe.UnsupportedError, match="no coefficients"):
        model_energy(board.load(plan))
    with pytest.raises(pe.UnsupportedError, match="it counts time"):
        model_energy(pe.Session(plan))


@pytest.mark.parametrize(
    "text, message",
    [
        ("count_pj = -1", "count_pj: -1.0 is negative"),
        ("count_pj = inf", "count_pj: inf is no finite number"),
        ('count_pj = "70"', "count_pj: expected a number, found '70'"),
        ("mac_pj = 1", "'count_pj' is missing (a number)"),
    ],
)
def test_coefficients_are_numbers(tmp_path: Path, text: str, message: str) -> None:
    """Refused with file and key."""
    with pytest.raises(ProfileError) as e:
        read_profile(with_energy(tmp_path, f'[energy]\nof = "x"\n{text}\n'))
    assert message in str(e.value)


def test_shipped_coefficients_are_of_scalar_cores() -> None:
    """Where an instruction works on many lanes, one figure for an instruction would mean nothing."""
    assert load_profile("virt-rv32").energy and load_profile("sifive-e").energy
    assert load_profile("virt-rv32-v").energy is None and load_profile("mps3-an547").energy is None
