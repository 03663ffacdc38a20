"""graph -> plan: lower, schedule, place, write (compile.py); and plan files read back, which needs nothing of that."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from .plan import Lifetime, Plan
from .reader import RESET, Entry, PlanOp, PlanTensor

if TYPE_CHECKING:
    from .profile import OpCount, Profile, collect, median_interval
    from .program import Keep

# What running a plan does not need is imported when it is first used.
_FIRST_USE = {"Keep": "program", **dict.fromkeys(("OpCount", "Profile", "collect", "median_interval"), "profile")}

__all__ = [
    "RESET",
    "Entry",
    "Keep",
    "Lifetime",
    "OpCount",
    "Plan",
    "PlanOp",
    "PlanTensor",
    "Profile",
    "collect",
    "median_interval",
]


def __getattr__(name: str) -> Any:
    if name not in _FIRST_USE:
        raise AttributeError(f"module 'pyedge.plan' has no attribute {name!r}")
    return getattr(import_module(f".{_FIRST_USE[name]}", __name__), name)
