"""Statistics of a graph's tensors on data, for passes that need them."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from ..compress.fold import fold_activations
from ..model.graph import Graph
from ..plan.compile import compile
from ..session import Session
from .feeds import feeds

Range = tuple[float, float]
Data = np.ndarray | Mapping[str, np.ndarray]


def ranges(graph: Graph, data: Data) -> dict[str, Range]:
    """The smallest and largest value of every tensor over data, run in a Session with all intermediates kept.

    What is measured is the graph after `compress.fold_activations`, as the passes see it.

    Args:
        graph: A graph without branches; open sizes become 1.
        data: Samples along the first axis: an array for a graph with one input, or arrays by input name. Each run takes
            as many samples as the input's first size.

    Returns:
        (smallest, largest) by tensor name, inputs included; NaN counts as both.

    Raises:
        ShapeError: No samples, or samples that don't fit an input.
    """
    graph = fold_activations(graph)
    plan = compile(graph, batch=1 if any(None in t.shape for t in graph.inputs) else None, keep="all")
    session = Session(plan)
    samples = dict(data) if isinstance(data, Mapping) else {graph.input_names[0]: data}
    found: dict[str, Range] = {}
    for feed in feeds(plan.entry("main"), samples):
        session.run(feed)
        for name, value in session.tensors().items():
            low, high = float(np.min(value)), float(np.max(value))
            old = found.get(name, (low, high))
            found[name] = float(np.minimum(old[0], low)), float(np.maximum(old[1], high))
    return found
