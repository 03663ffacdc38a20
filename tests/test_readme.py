"""The examples of the README and of docs/python.md run as they stand there."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from pyedge import errors
from pyedge.cli._app import EXIT_BUG, EXIT_INTERRUPTED, EXIT_USAGE

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
PYTHON = (ROOT / "docs" / "python.md").read_text(encoding="utf-8")
BLOCKS = [b for text in (README, PYTHON) for b in re.findall(r"^```(\w+)\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)]


def run(*args: str, cwd: Path) -> str:
    """A process that must be good; its output."""
    env = {**os.environ, "XDG_STATE_HOME": str(cwd / "state")}
    done = subprocess.run(args, cwd=cwd, env=env, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, f"{args}: {done.stderr}"
    return done.stdout


@pytest.mark.skipif(shutil.which("qemu-system-riscv32") is None, reason="qemu-system-riscv32 is not installed")
def test_the_examples_run(tmp_path):
    """Each Python block as a program, then each line of the shell's blocks on the files that they have written."""
    kinds = [kind for kind, _ in BLOCKS]
    assert kinds.count("python") >= 5
    assert kinds.count("sh") >= 1
    for kind, text in BLOCKS:
        if kind == "python":
            assert run(sys.executable, "-c", text, cwd=tmp_path)
    for kind, text in BLOCKS:
        for line in text.splitlines() if kind == "sh" else ():
            verb, *args = line.split()
            assert verb == "pyedge"
            assert run(sys.executable, "-m", "pyedge.cli", *args, cwd=tmp_path)


def test_the_exit_codes_are_those_of_the_code():
    """Every code that pyedge can return is in the table, and no other."""
    listed = {int(code) for code in re.findall(r"^\| (\d+) \|", README, re.MULTILINE)}
    kinds = [e for e in vars(errors).values() if isinstance(e, type)]
    assert listed == {0, EXIT_USAGE, EXIT_BUG, EXIT_INTERRUPTED, *(e.exit_code for e in kinds)}


@pytest.mark.parametrize(
    "document",
    [
        ROOT / "README.md",
        ROOT / "CONTRIBUTING.md",
        *sorted(ROOT.glob("docs/*.md")),
        *sorted(ROOT.glob("examples/*/*.md")),
    ],
)
def test_links_to_files_lead_somewhere(document):
    """Relative links of the README and the documents."""
    links = re.findall(r"\]\(([^)#:]+)\)", document.read_text(encoding="utf-8"))
    assert [link for link in links if not (document.parent / link).exists()] == []
