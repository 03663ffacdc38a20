"""scripts/check_imports.py: the package keeps the order of the rooms, and the check sees what breaks it."""

import subprocess
import sys
from pathlib import Path

import pytest

CHECK = Path(__file__).resolve().parent.parent / "scripts/check_imports.py"


def check(*args: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, CHECK, *args], capture_output=True, text=True)


def test_the_package_keeps_the_order() -> None:
    done = check()
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize(
    ("file", "line"),
    [
        ("model/graph.py", "from ..plan import plan"),
        ("model/graph.py", "import pyedge.plan"),
        ("model/graph.py", "from pyedge.plan.arena import place"),
        ("boards/profile.py", "from .. import model"),
        ("model/graph.py", "def f():\n    from ..session import Session"),
        ("errors.py", "from .model import graph"),
        ("session.py", "from . import Session"),
        ("attic/old.py", "import sys"),
    ],
)
def test_an_import_out_of_order_is_found(tmp_path: Path, file: str, line: str) -> None:
    """Absolute, relative, of one's neighbour, within a function, of the public face, and a room that has no place."""
    (tmp_path / file).parent.mkdir(exist_ok=True)
    (tmp_path / file).write_text(line + "\n", encoding="utf-8")
    done = check(str(tmp_path))
    assert done.returncode == 1
    assert file in done.stdout


@pytest.mark.parametrize(
    ("file", "line"),
    [
        ("plan/compile.py", "from ..model.graph import Graph"),
        ("model/tflite.py", "from .graph import Graph\nfrom ..errors import ModelError"),
        ("cli/run.py", "from .. import load"),
    ],
)
def test_an_import_in_order_passes(tmp_path: Path, file: str, line: str) -> None:
    (tmp_path / file).parent.mkdir(exist_ok=True)
    (tmp_path / file).write_text(line + "\n", encoding="utf-8")
    assert check(str(tmp_path)).returncode == 0
