"""The C sources that the wheel carries as one archive."""

import subprocess
import sys
from pathlib import Path

import pytest

import pyedge as pe
from pyedge import _resources, custom
from pyedge._sources import sources
from pyedge.boards import load_profile
from pyedge.host import build

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture
def archive(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The archive of an installed package; the working copy is out of sight."""
    path = tmp_path / "src.tar.bz2"
    subprocess.run([sys.executable, ROOT / "scripts" / "pack_sources.py", path], check=True)
    find = _resources.find
    monkeypatch.setattr(_resources, "tree", lambda: None)
    monkeypatch.setattr(_resources, "find", lambda *parts: path if parts[-1] == path.name else find(*parts))
    return path


def test_the_archive_gives_the_files_of_the_repository(archive: Path) -> None:
    """Those that firmware is built from, until the block ends; and the same archive when it is packed again."""
    with sources() as folder:
        files = {p.relative_to(folder) for p in folder.rglob("*") if p.is_file()}
        assert all((folder / p).read_bytes() == (ROOT / p).read_bytes() for p in files)
    assert not folder.exists()
    assert {Path("csrc/include/pyedge_custom.h"), Path("csrc/sources.cmake"), Path("firmware/CMakeLists.txt")} <= files
    again = archive.with_name("again")
    subprocess.run([sys.executable, ROOT / "scripts" / "pack_sources.py", again], check=True)
    assert again.read_bytes() == archive.read_bytes()


def test_firmware_is_built_from_the_archive(archive: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same bytes as from the repository."""
    profile = load_profile("host")
    images = []
    for place in ("installed", "working copy"):
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / place))
        images.append(build.firmware(profile, profile.image(), ["linear_s8"], "native").read_bytes())
        monkeypatch.setattr(_resources, "tree", lambda: ROOT)
    assert images[0] == images[1]


def test_a_custom_op_is_compiled_from_the_archive(archive: Path) -> None:
    with custom._compiled(ROOT / "examples" / "custom_op" / "kernel.c") as library:
        assert library.read_bytes()[:4] == b"\x7fELF"


@pytest.mark.parametrize("keep", [0, 1000, -1])
def test_a_damaged_archive_is_one_line(archive: Path, keep: int) -> None:
    archive.write_bytes(archive.read_bytes()[:keep])
    with pytest.raises(pe.ToolError, match=r"cannot unpack .*try: pip install") as e, sources():
        pass
    assert "\n" not in str(e.value)


def test_an_installation_without_sources_says_so(archive: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_resources, "find", lambda *parts: None)
    with pytest.raises(pe.ToolError, match="no firmware sources"), sources():
        pass
