"""The examples of the README are run as they stand, in one folder, in their order; its links lead somewhere."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    found = re.findall(rf"^```{language}\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)
    assert found, f"the README has no {language} block"
    return found


@pytest.mark.skipif(not shutil.which("qemu-system-riscv32"), reason="no qemu-system-riscv32: ./setup dev")
def test_examples_of_the_readme_run(tmp_path: Path) -> None:
    """The Python blocks are one program; what it writes is what the shell commands read."""
    env = {**os.environ, "XDG_STATE_HOME": str(tmp_path / "state"), "PYTHONIOENCODING": "utf-8"}
    env["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{env['PATH']}"
    program = "\n".join(blocks("python"))
    subprocess.run([sys.executable, "-c", program], cwd=tmp_path, env=env, check=True, timeout=120)
    for command in "".join(blocks("sh")).splitlines():
        subprocess.run(command, shell=True, cwd=tmp_path, env=env, check=True, timeout=120)
    assert (tmp_path / "arena.svg").read_text(encoding="utf-8").startswith("<svg")


def test_links_of_the_readme_lead_somewhere() -> None:
    for document in (ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").glob("*.md")):
        for target in re.findall(r"\]\(([^)#]+)[^)]*\)", document.read_text(encoding="utf-8")):
            assert target.startswith("https://") or (document.parent / target).exists(), f"{document.name}: {target}"


def test_commands_of_setup_are_those_of_the_readme() -> None:
    """Both commands are one line, and verbs that setup knows."""
    for command in ("./setup demo", "./setup test"):
        assert f"```console\n{command}\n```" in README
    assert subprocess.run([ROOT / "setup"], capture_output=True, text=True).returncode == 2
