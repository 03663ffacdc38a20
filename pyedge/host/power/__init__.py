"""Energy per inference: meters, marks, and the rules that a measurement must keep (docs/power.md)."""

from .energy import Energy, measure
from .meters import BUILT_IN, METERS, open_meter
from .model import ModelledEnergy, model_energy
from .trace import Meter, Trace

__all__ = ["BUILT_IN", "METERS", "Energy", "Meter", "ModelledEnergy", "Trace", "measure", "model_energy", "open_meter"]
