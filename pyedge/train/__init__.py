"""Training as passes, graph to graph: gradients, losses, optimisers."""

from .autodiff import gradients

__all__ = ["gradients"]
