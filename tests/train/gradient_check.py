"""Gradients by ops against finite differences in double."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from pyedge.model import reference
from pyedge.model.builder import GraphBuilder
from pyedge.model.graph import Graph, Tensor, array_dtype
from pyedge.train import gradients

_STEP = 1e-6


def run_double(graph: Graph, values: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """All tensors of a graph, floats as doubles that are never rounded. values: inputs, and constants to replace."""
    found: dict[str, np.ndarray] = {n: t.data for n, t in graph.tensors.items() if t.data is not None}
    found.update({s.name: s.initial for s in graph.states})
    found.update(values)
    found = {n: v.astype(np.float64) if v.dtype.kind == "f" else v for n, v in found.items()}
    for op in graph.ops:
        operands = [None if n is None else graph.tensors[n] for n in op.inputs]
        if op.kind == "cumsum":  # whose rule takes the dtype of sums from its operand
            operands = [None if t is None else _wide(t) for t in operands]
        results = [_wide(graph.tensors[n]) for n in op.outputs]
        arrays = [None if n is None else found[n] for n in op.inputs]
        found.update(zip(op.outputs, reference.evaluate(op, arrays, operands, results), strict=True))
    return found


def _wide(t: Tensor) -> Tensor:
    return replace(t, dtype="float64") if t.dtype in ("float32", "float16") else t


def weighted_sum(b: GraphBuilder, results: Sequence[Tensor], rng: np.random.Generator) -> Tensor:
    """A loss in which every element of the results counts by another weight."""
    total: Tensor | None = None
    for y in results:
        weight = b.constant(rng.uniform(-1, 1, y.shape), dtype=y.dtype)
        part = b.op("reduce_sum", b.op("mul", y, weight)[0], axes=tuple(range(len(y.shape))), keepdims=False)[0]
        total = part if total is None else b.op("add", total, part, activation=None)[0]
    assert total is not None
    return total


def numeric(graph: Graph, loss: str, values: dict[str, np.ndarray], name: str) -> np.ndarray:
    """d loss / d name, element by element."""
    x = values[name].astype(np.float64)
    found = np.zeros(x.shape)
    for at in np.ndindex(*x.shape):
        step = np.zeros(x.shape)
        step[at] = _STEP * max(1.0, abs(x[at]))
        high, low = (run_double(graph, {**values, name: x + s})[loss] for s in (step, -step))
        found[at] = (high - low).reshape(()) / (2 * step[at])
    return found


def computed(
    graph: Graph, loss: str, wrt: Sequence[str], inputs: Mapping[str, np.ndarray], **more: Any
) -> dict[str, np.ndarray]:
    """The gradients by the ops that `gradients` adds, run by the reference."""
    whole, names = gradients(graph, loss, wrt, **more)
    whole.output_names = list(dict.fromkeys(names.values()))
    values = reference.run(whole, inputs)
    return {n: values[g] for n, g in names.items()}


def check_gradients(
    make: Callable[[GraphBuilder, dict[str, Tensor]], Tensor | Sequence[Tensor]],
    operands: Mapping[str, np.ndarray],
    tolerance: float = 1e-5,
    constants: Sequence[str] = (),
    without: Sequence[str] = (),
) -> Graph:
    """Builds a graph on operands (inputs; those named in constants are constants) and compares all float gradients.

    tolerance: of the largest element of a gradient. without: operands that the results don't depend on.
    """
    rng = np.random.default_rng(99)
    b = GraphBuilder()
    given = {
        n: b.constant(v, n, dtype=str(v.dtype)) if n in constants else b.input(n, v.shape, str(v.dtype))
        for n, v in operands.items()
    }
    results = make(b, given)
    loss = weighted_sum(b, [results] if isinstance(results, Tensor) else results, rng)
    b.output("loss", loss)
    graph = b.build()
    inputs = {n: v for n, v in operands.items() if n not in constants}
    wrt = [n for n, v in operands.items() if v.dtype.kind == "f" and n not in without]
    found = computed(graph, "loss", wrt, inputs)
    for name in wrt:
        expected = numeric(graph, "loss", dict(operands), name)
        assert found[name].dtype == array_dtype(graph.tensors[name].dtype) and found[name].shape == expected.shape
        np.testing.assert_allclose(found[name], expected, rtol=0, atol=tolerance * max(np.abs(expected).max(), 1e-3))
    return graph
