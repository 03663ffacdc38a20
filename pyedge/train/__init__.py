"""Training as passes, graph to graph: gradients, losses, optimizers."""

from .autodiff import gradients
from .channels import split_channels

__all__ = ["gradients", "split_channels"]
