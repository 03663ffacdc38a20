"""The passes that every imported model goes through, in their order."""

from __future__ import annotations

from ..model.check import check
from ..model.graph import Graph
from .batchnorm import fold_batch_norm
from .common import merge_common
from .constants import fold_constants
from .dead import remove_dead
from .fold import fold_activations
from .identity import remove_identities
from .pads import fold_pads
from .qdq import fold_qdq, name_scales
from .transposes import eliminate_transposes


def clean_up(graph: Graph, qdq: str = "int8") -> Graph:
    """Return a copy of graph that computes the same with fewer ops: NHWC throughout, integer ops where quantize and
    dequantize stand around them (qdq="int8"), batch norms, pads and activations in the ops beside them.

    Float results may differ by roundings, where batch norms are folded; integer ones by those of one requantization.
    """
    graph = remove_identities(remove_dead(name_scales(graph) if qdq == "int8" else graph))
    graph = eliminate_transposes(graph)
    graph = fold_activations(fold_batch_norm(fold_pads(remove_dead(graph))))
    if qdq == "int8":
        graph = fold_qdq(graph)
    graph = fold_constants(remove_dead(graph))
    graph = eliminate_transposes(graph)
    return check(remove_dead(merge_common(remove_identities(fold_pads(graph)))))
