"""How the tables of converters are written."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from .importer import Converter, Importer
from .node import Node

Table = dict[tuple[str, str], Converter]
MICROSOFT = "com.microsoft"


def registrar(table: Table) -> Callable[..., Callable[[Converter], Converter]]:
    """A decorator that puts a converter into a table under the names of operators."""

    def converts(*op_types: str, domain: str = "") -> Callable[[Converter], Converter]:
        def register(convert: Converter) -> Converter:
            for op_type in op_types:
                table[domain, op_type] = convert
            return convert

        return register

    return converts


def same(kind: str, operands: int = 1, **attrs: Any) -> Converter:
    """An operator that is one op of the graph with as many operands; attrs: its attributes and their defaults."""

    def convert(m: Importer, n: Node) -> None:
        inputs = [m.operand(n, i) for i in range(operands)]
        values = {name: type(default)(n.attr(name, default)) for name, default in attrs.items()}
        m.bind(n, m.one(kind, inputs, n.outputs[0], **values))

    return convert


def axis_of(n: Node, rank: int, default: int, name: str = "axis") -> int:
    """An axis attribute, not negative."""
    axis = int(n.attr(name, default))
    return axis + rank if axis < 0 else axis
