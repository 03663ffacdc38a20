"""Plans that the tests of this room share."""

from __future__ import annotations

import pytest
from plan_graphs import early_exit, small_cnn, two_entries

import pyedge as pe


@pytest.fixture(scope="session")
def plans() -> dict[str, pe.Plan]:
    """Three plans: floats, two entries in int8, and an early exit."""
    return {
        "small_cnn": pe.compile(small_cnn()),
        "two_entries": pe.compile(two_entries()),
        "early_exit": pe.compile(early_exit()),
    }
