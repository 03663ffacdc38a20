"""Fixtures for all rooms."""

import os
import signal
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
# Programs that a shell starts in the background have Ctrl-C ignored, and so have their children; some tests send it.
signal.signal(signal.SIGINT, signal.default_int_handler)

DATA = Path(os.environ.get("PYEDGE_TEST_DATA") or ROOT.parent / "shared" / "data")


@pytest.fixture(scope="session")
def data_dir() -> Path:
    """The folder of real models, inputs and expected outputs; tests that need it are skipped where it is absent."""
    if not (DATA / "models").is_dir():
        pytest.skip(f"no test data in {DATA}: set PYEDGE_TEST_DATA to the folder of models/, inputs/, expected/")
    return DATA
