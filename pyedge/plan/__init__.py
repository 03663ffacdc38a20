"""graph -> plan: lower, schedule, place, write (compile.py); and plan files read back, which needs nothing of that."""

from .plan import Lifetime, Plan
from .profile import OpCount, Profile, median_interval
from .program import RESET, Keep
from .reader import Entry, PlanOp, PlanTensor

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
    "median_interval",
]
