"""The example of docs/training.md runs as it stands there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

DOCUMENT = Path(__file__).resolve().parents[2] / "docs" / "training.md"


def test_the_example_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It learns what it says, and its last line prints what a user expects."""
    (text,) = re.findall(r"^```python\n(.*?)^```$", DOCUMENT.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {}
    exec(compile(text, str(DOCUMENT), "exec"), names)
    history = names["history"]
    assert history.validation[-1]["accuracy"] > 0.95  # type: ignore[attr-defined]
    assert (tmp_path / "state.npz").exists()
