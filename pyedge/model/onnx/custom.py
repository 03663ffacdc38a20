"""Nodes of foreign domains that are ops which the user has registered."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..custom import PARAMS
from .node import Node

if TYPE_CHECKING:
    from .importer import Importer


def is_registered(n: Node) -> bool:
    """Whether the user has registered an op of the node's type; goes before a function of the model."""
    return n.domain != "" and n.op_type in PARAMS


def convert(m: Importer, n: Node) -> None:
    """The node as that op; attributes that it leaves out are 0."""
    inputs = [m.optional(n, i) for i in range(len(n.inputs))]
    values = {name: n.attr(name, zero) for name, zero in PARAMS[n.op_type].zeros().items()}
    m.bind(n, *m.emit(n.op_type, inputs, n.outputs[0], outputs=len(n.outputs), **values))
