"""The demo's model: handwritten digits, trained by train_digits.py."""

from .model import calibration, digits_graph, digits_int8, heldout

__all__ = ["calibration", "digits_graph", "digits_int8", "heldout"]
