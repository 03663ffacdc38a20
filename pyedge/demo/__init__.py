"""The demo: handwritten digits, a model trained by train_digits.py, here and on a board."""

from .compare import Comparison, run
from .model import calibration, digits_graph, digits_int8, heldout

__all__ = ["Comparison", "calibration", "digits_graph", "digits_int8", "heldout", "run"]
