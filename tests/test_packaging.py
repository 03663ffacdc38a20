"""What an installation consists of: metadata, the files beside the code, and the check of wheels in scripts/."""

import importlib.metadata
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest

import pyedge as pe
from pyedge import _resources
from pyedge.boards import load_profile
from pyedge.host import build

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "scripts"))
from check_wheel import LIMIT, faults  # noqa: E402


def test_metadata() -> None:
    """The version is pyproject's, the licence and the command are there, and a user needs nothing of the extras."""
    told = re.search(r'^version = "(.+)"$', (ROOT / "pyproject.toml").read_text(encoding="utf-8"), re.MULTILINE)
    assert told
    meta = importlib.metadata.metadata("pyedge")
    assert meta["Version"] == told[1] == pe.__version__
    assert meta["License-Expression"] == "Apache-2.0"
    (command,) = importlib.metadata.entry_points(group="console_scripts", name="pyedge")
    assert callable(command.load())
    needed = {r for r in importlib.metadata.requires("pyedge") or [] if "extra ==" not in r}
    names = {re.match(r"[\w-]+", r)[0] for r in needed}  # type: ignore[index]
    assert names == {"numpy", "cffi", "pyserial", "tflite", "flatbuffers", "click", "rich", "tomli"}


def test_files_beside_the_code_are_found() -> None:
    """Profiles, the marker for type checkers, and sources that build."""
    profiles = {p.stem for p in (ROOT / "boards").glob("*.toml")}
    assert {p.stem for p in (_resources.find("_boards") or ROOT / "nowhere").glob("*.toml")} == profiles
    assert _resources.find("py.typed")
    profile = load_profile("host")
    assert build.firmware(profile, profile.image()).stat().st_mode & 0o111


def test_the_support_table_is_that_of_the_readme() -> None:
    subprocess.run([sys.executable, ROOT / "scripts/support_table.py", "--check"], check=True)


def test_the_support_table_has_every_op() -> None:
    done = subprocess.run(
        [sys.executable, ROOT / "scripts/support_table.py"], capture_output=True, text=True, check=True
    )
    for op in ("conv2d", "depthwise", "linear", "softmax"):
        assert re.search(rf"^\| `{op}` \| \w.* \| \w.* \|$", done.stdout, re.MULTILINE)
    assert "| `requantize` | portable |  |" in done.stdout


@pytest.mark.parametrize(
    ("name", "content", "fault"),
    [
        ("pyedge/tests/test_x.py", "", "does not belong there"),
        ("pyedge/_firmware/src.tar.bz2/csrc/bindings/core.cpp", "", "does not belong there"),
        ("pyedge/x.py", "built in /home/somebody/pyedge/x.c", "holds the path /home/somebody/pyedge/x.c"),
        ("pyedge/x.py", "", "pyedge/py.typed is missing"),
        ("pyedge/x.py", "", "prebuilt/virt-rv32-rv32imac.elf is missing"),
        ("pyedge/x.py", "", "not exactly one extension module"),
    ],
)
def test_the_check_of_wheels_finds_faults(tmp_path: Path, name: str, content: str, fault: str) -> None:
    wheel = tmp_path / "x.whl"
    with zipfile.ZipFile(wheel, "w") as z:
        z.writestr(name, content)
    assert any(fault in line for line in faults(wheel))


def test_the_check_of_wheels_counts_all_but_firmware_images(tmp_path: Path) -> None:
    """Random bytes don't compress: as an image they are free, elsewhere they are too many."""
    noise = np.random.default_rng(0).bytes(LIMIT)
    for name, too_large in (("pyedge/_firmware/prebuilt/host", False), ("pyedge/x.bin", True)):
        wheel = tmp_path / "x.whl"
        with zipfile.ZipFile(wheel, "w") as z:
            z.writestr(name, noise)
        assert any("without firmware images" in line for line in faults(wheel)) == too_large
