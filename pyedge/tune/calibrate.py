"""Statistics of a graph's tensors on data, for passes that need them."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from ..compress.fold import fold_activations
from ..errors import ShapeError
from ..model.graph import Graph
from ..plan import compile
from ..session import Session

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
    for feed in _feeds(session, samples):
        session.run(feed)
        for name, value in session.tensors().items():
            low, high = float(np.min(value)), float(np.max(value))
            old = found.get(name, (low, high))
            found[name] = float(np.minimum(old[0], low)), float(np.maximum(old[1], high))
    return found


def _feeds(session: Session, samples: Mapping[str, np.ndarray]) -> list[dict[str, np.ndarray]]:
    """The samples cut into the batches of the session's inputs."""
    cut: dict[str, list[np.ndarray]] = {}
    for t in session.inputs:
        if t.name not in samples:
            raise ShapeError(f"tensor {t.name!r}: no calibration data; given: {', '.join(samples)}")
        x, shape = np.asarray(samples[t.name]), tuple(int(d or 1) for d in t.shape)
        batch = shape[0] if shape else 1
        if x.shape[1:] != shape[1:] or len(x) == 0 or len(x) % batch:
            raise ShapeError(
                f"tensor {t.name!r}: calibration data {x.dtype}{list(x.shape)}, expected {t.dtype} "
                f"[a multiple of {batch}, {', '.join(str(d) for d in shape[1:])}]"
            )
        cut[t.name] = [x[i : i + batch].reshape(shape) for i in range(0, len(x), batch)]
    counts = {name: len(batches) for name, batches in cut.items()}
    if len(set(counts.values())) != 1:
        raise ShapeError(f"inputs have different numbers of calibration batches: {counts}")
    return [dict(zip(cut, batches, strict=True)) for batches in zip(*cut.values(), strict=True)]
