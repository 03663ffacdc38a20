"""Latent replay: a graph that learns, cut where its frozen part ends. What crosses the cut is small, and kept as int8.

Source: Pellegrini et al., "Latent Replay for Real-Time Continual Learning", IROS 2020; quantized as by Ravaglia et al.,
"A TinyML Platform for On-Device Continual Learning with Quantized Latent Replays", JETCAS 2021.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

from ..model.graph import Graph, Tensor
from ..model.ops_elementwise import FLOATS
from ..model.surgery import extract
from .tape import Tape, reads

FEATURES = "features"  # the entry of the frozen part, of one sample
_STEPS = 127.0


def cut(graph: Graph, learning: Collection[str]) -> list[str]:
    """The tensors that the learning part reads of the frozen one: inputs of the graph and what is computed of them
    alone. None if that is inputs only, or takes a state or a tensor whose first axis is not that of samples.
    """
    dependent, sampled = set(learning), set(graph.input_names)
    border: list[str] = []
    for op in graph.ops:
        names = reads(op)
        if dependent.isdisjoint(names):
            sampled.update(op.outputs if not sampled.isdisjoint(names) else ())
            continue
        dependent.update(op.outputs)
        border += [n for n in names if n in sampled and n not in border]
    border += [n for n in graph.output_names if n in sampled and n not in border]
    if set(border) <= set(graph.input_names):
        return []
    rows = all(graph.tensors[n].shape[:1] == graph.inputs[0].shape[:1] for n in border)
    return border if rows and not _front(graph, border).states else []


def features(graph: Graph, border: Sequence[str]) -> Graph:
    """The frozen part: from the inputs to what is kept of a sample, tensor by tensor of the border: inputs and codes as
    they are; of floats their scale, float32[N, 1 ..], and int8 steps, 127 of which are the sample's largest magnitude.
    """
    front = _front(graph, border)
    t = Tape(front)
    t.stem = FEATURES
    kept: list[str] = []
    for name in border:
        if not _is_quantized(graph, name):
            kept.append(name)
            continue
        x = t.cast(name, "float32")
        axes = tuple(range(1, len(t.shape(x))))
        top = t.op("abs", x)
        top = t.op("reduce_max", top, axes=axes, keepdims=True) if axes else top
        scale = t.where(t.compare("greater", top, 0), t.scale(top, 1 / _STEPS), t.number(1, top))
        kept += [scale, t.cast(t.op("round", t.div(x, scale)), "int8")]
    front.output_names = [t.op("identity", n) if n in front.input_names else n for n in kept]
    return front


def from_features(graph: Graph, border: Sequence[str]) -> Graph:
    """The rest, in the graph's batch: its inputs are what `features` gives, and the graph's last one, the target.
    Values are those of the whole graph but for the rounding to int8.
    """
    target = graph.input_names[-1]
    rest = extract(graph, [*border, target], graph.output_names)
    body, rest.ops = rest.ops, []
    batch = graph.inputs[0].shape[0]
    t = Tape(rest)
    t.stem = FEATURES
    inputs: list[str] = []
    for name in border:
        if not _is_quantized(graph, name):
            inputs.append(name)
            continue
        shape = t.shape(name)
        one = Tensor(t.unused(f"{name}/scale"), (batch, *(1 for _ in shape[1:])), "float32")
        scale, steps = (rest.add_tensor(x).name for x in (one, Tensor(t.unused(f"{name}/steps"), shape, "int8")))
        value = t.cast(t.mul(t.cast(steps, "float32"), scale), t.dtype(name))
        rest.ops[-1].outputs = [name]
        del rest.tensors[value]
        inputs += [scale, steps]
    rest.ops += body
    rest.input_names = [*inputs, target]
    return rest


def _front(graph: Graph, border: Sequence[str]) -> Graph:
    inputs = graph.input_names
    needed = set(border)
    for op in reversed(graph.ops):
        if not needed.isdisjoint(op.outputs):
            needed.update(reads(op))
    return extract(graph, [n for n in inputs if n in needed], border)


def _is_quantized(graph: Graph, name: str) -> bool:
    return name not in graph.input_names and graph.tensors[name].dtype in FLOATS
