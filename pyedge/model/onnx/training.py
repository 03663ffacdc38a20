"""Optimizers of ai.onnx.preview.training, for each tensor that they update."""

from __future__ import annotations

import math
from collections.abc import Callable

from ..graph import Tensor
from .elementwise import PLAIN_CAST
from .importer import Importer
from .nn import binary
from .node import Node, Unsupported
from .table import Table, registrar

CONVERTERS: Table = {}
converts = registrar(CONVERTERS)
_DOMAIN = "ai.onnx.preview.training"


class _Terms:
    """Arithmetic on the tensors of one update."""

    def __init__(self, m: Importer, n: Node) -> None:
        self.m, self.n = m, n
        self.rate, self.count = m.operand(n, 0), m.operand(n, 1)
        self.norm = float(n.attr("norm_coefficient", 0.0))
        self.epsilon = float(n.attr("epsilon", 0.0))

    def __call__(self, kind: str, a: Tensor, b: Tensor | float) -> Tensor:
        return binary(self.m, kind, a, b, f"{self.n.name}/{kind}")

    def gradient(self, x: Tensor, g: Tensor) -> Tensor:
        """g with that of the squared norm of x."""
        return self("add", self("mul", x, self.norm), g) if self.norm else g

    def steps(self) -> Tensor:
        """The update count as the rate's type."""
        return self.m.one("cast", [self.count], f"{self.n.name}/t", to=self.rate.dtype, **PLAIN_CAST)

    def first(self, then: Tensor, otherwise: Tensor) -> Tensor:
        """One of two by whether the update count is 0."""
        started = self("greater", self.steps(), 0.0)
        return self.m.one("where", [started, otherwise, then], f"{self.n.name}/first")

    def number(self, value: float) -> Tensor:
        return self("add", self("mul", self.steps(), 0.0), value)

    def root(self, h: Tensor) -> Tensor:
        return self("add", self.m.one("sqrt", [h], f"{self.n.name}/root"), self.epsilon)


def _each(m: Importer, n: Node, states: int, update: Callable[[list[Tensor]], list[Tensor]]) -> None:
    """Operands are all X, then all G, then all of each state; results are in the same order without G."""
    count = (len(n.inputs) - 2) // (2 + states)
    if count < 1 or len(n.inputs) != 2 + count * (2 + states):
        raise Unsupported(f"{len(n.inputs)} inputs")
    found = [update([m.operand(n, 2 + i + k * count) for k in range(2 + states)]) for i in range(count)]
    m.bind(n, *(f[k] for k in range(1 + states) for f in found))


@converts("Momentum", domain=_DOMAIN)
def _momentum(m: Importer, n: Node) -> None:
    do = _Terms(m, n)
    alpha, beta, mode = float(n.attr("alpha")), float(n.attr("beta")), n.attr("mode")
    n.only("mode", mode if mode in ("standard", "nesterov") else None)
    factor = do.first(do.number(1.0), do.number(beta))

    def update(t: list[Tensor]) -> list[Tensor]:
        x, g, v = t
        g = do.gradient(x, g)
        v = do("add", do("mul", v, alpha), do("mul", g, factor))
        step = v if mode == "standard" else do("add", g, do("mul", v, alpha))
        return [do("sub", x, do("mul", step, do.rate)), v]

    _each(m, n, 1, update)


@converts("Adagrad", domain=_DOMAIN)
def _adagrad(m: Importer, n: Node) -> None:
    do = _Terms(m, n)
    decay = do("add", do("mul", do.steps(), float(n.attr("decay_factor", 0.0))), 1.0)
    rate = do("div", do.rate, decay)

    def update(t: list[Tensor]) -> list[Tensor]:
        x, g, h = t
        g = do.gradient(x, g)
        h = do("add", h, do("mul", g, g))
        return [do("sub", x, do("div", do("mul", g, rate), do.root(h))), h]

    _each(m, n, 1, update)


@converts("Adam", domain=_DOMAIN)
def _adam(m: Importer, n: Node) -> None:
    do = _Terms(m, n)
    alpha, beta, after = (float(n.attr(*a)) for a in (("alpha", 0.9), ("beta", 0.999), ("norm_coefficient_post", 0.0)))
    powers = []
    for base in (alpha, beta):
        power = m.one("exp", [do("mul", do.steps(), _log(base))], f"{n.name}/power")
        powers.append(do("add", do("mul", power, -1.0), 1.0))
    ratio = do("div", m.one("sqrt", [powers[1]], f"{n.name}/root"), powers[0])
    rate = do.first(do.rate, do("mul", ratio, do.rate))

    def update(t: list[Tensor]) -> list[Tensor]:
        x, g, v, h = t
        g = do.gradient(x, g)
        v = do("add", do("mul", v, alpha), do("mul", g, 1 - alpha))
        h = do("add", do("mul", h, beta), do("mul", do("mul", g, g), 1 - beta))
        x = do("sub", x, do("mul", do("div", v, do.root(h)), rate))
        return [do("mul", x, 1 - after) if after else x, v, h]

    _each(m, n, 2, update)


def _log(base: float) -> float:
    return math.log(base) if base > 0 else -math.inf
