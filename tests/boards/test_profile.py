"""Board profiles: the schema, its errors, and the profiles that we ship."""

from __future__ import annotations

from pathlib import Path

import pytest

import pyedge as pe
from pyedge import boards

ROOT = Path(__file__).parents[2]
GOOD = (ROOT / "boards" / "virt-rv32.toml").read_text()
NAMES = sorted(p.stem for p in (ROOT / "boards").glob("*.toml"))


def test_every_file_is_listed_and_loads_under_its_name() -> None:
    """boards/*.toml and list_profiles() are the same set."""
    assert [p.name for p in boards.list_profiles()] == NAMES
    assert {"host", "virt-rv32", "sifive-e"} <= set(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_a_shipped_profile_fits_the_firmware(name: str) -> None:
    """Its port exists, and the firmware says the same of link and store."""
    profile = boards.load_profile(name)
    assert (ROOT / "firmware" / "port" / profile.port / "port.c").is_file()
    with pe.connect(profile) as board:
        assert board.hello.board == profile.name
        assert board.hello.buf == profile.link.buf_bytes
        assert bool(board.hello.slots) == bool(profile.store)
        ram = sum(m.size_bytes for m in profile.memories if m.kind == "ram")
        assert board.hello.pool + board.hello.static <= ram + board.hello.static * (profile.isa == "native")


@pytest.mark.parametrize(
    "old, new, message",
    [
        (
            'status = "emulated"',
            'status = "emulatd"',
            "status: 'emulatd' is not one of 'emulated', 'tested', 'untested'",
        ),
        ("cores = 1", "cors = 1", "unknown key 'cors'; did you mean 'cores'?"),
        ("cores = 1", "", "'cores' is missing (an integer)"),
        ("cores = 1", 'cores = "1"', "cores: expected an integer, found '1'"),
        ("cores = 1", "cores = true", "cores: expected an integer, found True"),
        ("cores = 1", "cores = -1", "cores: -1 is negative"),
        ("baud = 115200", "baud = 115200\nusb = [1]", "link: usb[0]: expected a string, found 1"),
        ("baud = 115200", 'baud = 115200\nusb = ["1A86:7523"]', "'1A86:7523' is not of the form 1a86:7523"),
        ("size_bytes = 33554432", "size = 33554432", "memories[0]: unknown key 'size'; did you mean 'size_bytes'?"),
        ('memory = "nor"', 'memory = "rom"', "store.memory: no memory 'rom'"),
        ("slot_bytes = 4194304", "slot_bytes = 33554432", "lie outside 'nor'"),
        ("slot_bytes = 4194304", "slot_bytes = 4194305", "slots must be whole sectors"),
        ("flash_bytes = 33554432", "flash_bytes = 4096", "emulator.flash_bytes: 4096 is smaller than the store"),
        ("[sources]\nisa =", "[sources]\nisas =", "sources: 'isa' is missing"),
        ("[sources]", '[sources]\nmood = "good"', "sources: 'mood' is no key of a profile"),
        ("cores = 1", "cores = = 1", "Invalid value"),
    ],
)
def test_a_broken_profile_is_refused_with_key_and_reason(tmp_path: Path, old: str, new: str, message: str) -> None:
    """One error that names the file, the key, and what is expected there."""
    assert old in GOOD
    path = tmp_path / "mine.toml"
    path.write_text(GOOD.replace(old, new, 1))
    with pytest.raises(boards.ProfileError) as e:
        boards.load_profile(path)
    assert message in str(e.value) and str(path) in str(e.value) and "\n" not in str(e.value)


def test_a_profile_by_path_is_one_of_its_own(tmp_path: Path) -> None:
    """A board that pyedge does not ship."""
    path = tmp_path / "mine.toml"
    path.write_text(GOOD.replace('name = "virt-rv32"', 'name = "mine"'))
    profile = boards.load_profile(path)
    assert (profile.name, profile.path) == ("mine", path)


def test_an_unknown_board_names_the_nearest() -> None:
    """And all that there are."""
    with pytest.raises(pe.BoardNotFoundError, match="did you mean virt-rv32") as e:
        boards.load_profile("virt-rv23")
    assert all(name in str(e.value) for name in NAMES)
    with pytest.raises(pe.BoardNotFoundError, match="no such file"):
        boards.load_profile("absent.toml")


def test_an_unknown_isa_names_those_there_are() -> None:
    """Of the images of the board."""
    with pytest.raises(pe.BoardNotFoundError, match="there is rv32imac, rv32imafc"):
        boards.load_profile("virt-rv32").image("rv64gc")
