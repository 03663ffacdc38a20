"""Board profiles: the schema, its errors, and the profiles that we ship."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest

import pyedge as pe
from pyedge import boards
from pyedge.demo import digits_int8
from pyedge.host import flash

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "scripts"))
from build_wheels import ARCHS  # noqa: E402
from list_images import images  # noqa: E402

GOOD = (ROOT / "boards" / "virt-rv32.toml").read_text()
CLUSTER = '[[clusters]]\ncore = "x"\n'
NAMES = sorted(p.stem for p in (ROOT / "boards").glob("*.toml"))
PROFILES = boards.list_profiles()


def test_every_file_is_listed_and_loads_under_its_name() -> None:
    """boards/*.toml and list_profiles() are the same set."""
    assert [p.name for p in boards.list_profiles()] == NAMES
    assert {"host", "virt-rv32", "sifive-e"} <= set(NAMES)


@pytest.mark.parametrize("profile", [p for p in PROFILES if p.emulator], ids=lambda p: p.name)
def test_a_shipped_profile_fits_the_firmware(profile: boards.Profile) -> None:
    """Its port exists, and the firmware says the same of link and store."""
    assert profile.status == "emulated" and profile.port and profile.link
    assert (ROOT / "firmware" / "port" / profile.port / "port.c").is_file()
    with pe.connect(profile) as board:
        assert board.hello.board == profile.name
        assert board.hello.buf == profile.link.buf_bytes
        assert bool(board.hello.slots) == bool(profile.store)
        ram = sum(m.size_bytes for m in profile.memories if m.kind == "ram")
        assert board.hello.pool + board.hello.static <= ram + board.hello.static * (profile.isa == "native")


@pytest.mark.parametrize("profile", [p for p in PROFILES if not p.images], ids=lambda p: p.name)
def test_a_board_without_firmware_says_so(profile: boards.Profile) -> None:
    """Whoever connects or flashes, with a port or without: never a search for ports, never a wait."""
    what = "runs on this board itself" if profile.linux else "described only, there is no firmware for it yet"
    for port in (None, "/dev/null"):
        with pytest.raises(pe.UnsupportedError, match=f"^{profile.name}: .*{what}"):
            pe.connect(profile, port=port)
    with pytest.raises(pe.UnsupportedError, match=what):
        flash(profile, dry_run=True)
    assert [image for image in images(ROOT / "boards") if image[0] in (None, profile.name)] == []


@pytest.mark.parametrize("profile", [p for p in PROFILES if p.linux], ids=lambda p: p.name)
def test_a_linux_board_says_how_pyedge_gets_there(profile: boards.Profile) -> None:
    """A wheel that we build; advice where the system's Python is older than the one that the package needs."""
    assert profile.linux and profile.linux.wheel in ARCHS
    needed = re.search(r'^requires-python = ">=3.(\d+)"', (ROOT / "pyproject.toml").read_text(), re.MULTILINE)
    assert needed
    if int(profile.linux.python.partition(".")[2]) < int(needed[1]):
        assert f"Python {profile.linux.python} is too old" in profile.linux.install
    assert profile.status in ("built, not run on silicon", "run on silicon")
    assert ("jetson" in profile.name) == ("CPU cores only" in profile.description)


def test_a_plan_has_the_layout_of_its_board() -> None:
    """Its number in the header is the profile's."""
    boards_of = (("virt-rv32-v", "canonical"), ("mps2-an386", "mixed-rows"), ("esp32-c3", "interleaved-rows"))
    for number, (board, layout) in enumerate(boards_of):
        assert boards.load_profile(board).layout == layout
        assert int.from_bytes(bytes(pe.compile(digits_int8(), board=board).data[16:20]), "little") == number


@pytest.mark.parametrize(
    "old, new, message",
    [
        (
            'status = "emulated"',
            'status = "emulatd"',
            "status: 'emulatd' is not one of 'emulated', 'described, no firmware yet', ",
        ),
        ("cores = 1", "cors = 1", "unknown key 'cors'; did you mean 'cores'?"),
        ("cores = 1", "", "'cores' is missing (an integer)"),
        ("cores = 1", 'cores = "1"', "cores: expected an integer, found '1'"),
        ("cores = 1", "cores = true", "cores: expected an integer, found True"),
        ("cores = 1", "cores = -1", "cores: -1 is negative"),
        ("cores = 1", "cores = 0", "cores: 0, and there is no such thing"),
        ("baud = 115200", "baud = 0", "link: baud: 0, and there is no such thing"),
        ('name = "virt-rv32"', 'name = "../../mine"', "name: '../../mine': only letters, digits"),
        ('status = "emulated"', 'status = "run on silicon"', "comes from a selftest"),
        ('name = "nor"', 'name = "ram"', "memories: two have the same name"),
        ("baud = 115200", "baud = 115200\nusb = [1]", "link: usb[0]: expected a string, found 1"),
        ("baud = 115200", 'baud = 115200\nusb = ["1A86:7523"]', "sources: 'link' is missing"),
        ("size_bytes = 33554432", "size = 33554432", "memories[0]: unknown key 'size'; did you mean 'size_bytes'?"),
        ('memory = "nor"', 'memory = "rom"', "store.memory: no memory 'rom'"),
        ("slot_bytes = 4194304", "slot_bytes = 33554432", "lie outside 'nor'"),
        ("slot_bytes = 4194304", "slot_bytes = 4194305", "slots must be whole sectors"),
        ("flash_bytes = 33554432", "flash_bytes = 4096", "emulator.flash_bytes: 4096 is smaller than the store"),
        ('isa = "QEMU', 'isas = "QEMU', "sources: 'isa' is missing"),
        ("[sources]", '[sources]\nmood = "good"', "sources: 'mood' is no key of a profile"),
        ("cores = 1", "cores = = 1", "Invalid value"),
        ('status = "emulated"', 'status = "described, no firmware yet"', "but there is firmware"),
        ('port = "virt-rv32"', "", "'port' is missing: firmware needs"),
        ('flasher = "emulator"', 'flasher = "openocd"', "sources: 'flasher' is missing: every fact"),
        ("[link]", '[linux]\nwheel = "x"\nsystem = "y"\npython = "3.x"\ninstall = "z"\n[link]', "'linux' is missing"),
        ("[link]", CLUSTER + "cores = 2\n[link]", "sources: 'clusters' is missing"),
        ("[link]", "flash_usb = ['123:4567']\n[link]", "sources: 'flash_usb' is missing"),
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


@pytest.mark.parametrize(
    "text, message",
    [
        ("cores = 2", "cores: 1, but the clusters have 2"),
        ("cores = 1\ncpus = [3, 4]", "clusters: x: 1 cores, but 2 numbers in cpus"),
        ("cores = 1\nmacs_per_cycle = { int9 = 1 }", "macs_per_cycle: 'int9' is not one of int8, fp16, fp32"),
        ("cores = 1\nmacs_per_cycle = { int8 = 1.5 }", "macs_per_cycle.int8: expected an integer"),
        ("cores = 1\nclock = 1", "clusters[0]: unknown key 'clock'; did you mean 'clock_hz'?"),
    ],
)
def test_a_broken_cluster_is_refused(tmp_path: Path, text: str, message: str) -> None:
    """Cores, their numbers, and rates that nothing would read."""
    path = tmp_path / "mine.toml"
    path.write_text(GOOD.replace("[link]", f"{CLUSTER}{text}\n[link]") + 'clusters = "a data sheet"\n')
    with pytest.raises(boards.ProfileError) as e:
        boards.load_profile(path)
    assert message in str(e.value)


def test_a_board_is_emulated_by_an_emulator(tmp_path: Path) -> None:
    """The word alone makes none."""
    path = tmp_path / "mine.toml"
    path.write_text((ROOT / "boards" / "esp32-c6.toml").read_text().replace("described, no firmware yet", "emulated"))
    with pytest.raises(boards.ProfileError, match=r"status: 'emulated', but there is no \[emulator\]"):
        boards.load_profile(path)


@pytest.mark.parametrize("usb", ["1A86:7523", "1a86", "1a86:75230"])
def test_a_usb_id_is_four_and_four_digits(tmp_path: Path, usb: str) -> None:
    """As Linux and list_ports() write them, so that they can be compared."""
    path = tmp_path / "mine.toml"
    path.write_text(GOOD.replace("[link]", f'flash_usb = ["{usb}"]\n[link]') + 'flash_usb = "a data sheet"\n')
    with pytest.raises(boards.ProfileError, match=f"{usb!r} is not of the form 1a86:7523"):
        boards.load_profile(path)


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
