"""Plans that the tests of this room share."""

from __future__ import annotations

import pytest
from plan_graphs import early_exit, small_cnn, streaming, two_entries

import pyedge as pe


@pytest.fixture(scope="session")
def plans() -> dict[str, pe.Plan]:
    """Four plans: floats, two entries in int8, an early exit, and states."""
    return {
        "small_cnn": pe.compile(small_cnn()),
        "two_entries": pe.compile(two_entries()),
        "early_exit": pe.compile(early_exit()),
        "streaming": pe.compile(streaming()),
    }
