"""Calibrate and quantize in one call."""

from __future__ import annotations

import logging

from ..compress.quantize import quantize_minmax
from ..errors import UnsupportedError
from ..model.graph import Graph
from .calibrate import Data, ranges

_log = logging.getLogger("pyedge")


def quantize(graph: Graph, data: Data, weights: str = "int8") -> Graph:
    """Return an int8 copy of a float graph, calibrated on data; inputs and outputs are int8, too.

    `graph.inputs[0].quantize(x)` and `graph.outputs[0].dequantize(y)` go between real values and codes.

    Args:
        graph: A float32 graph without branches.
        data: Samples along the first axis: an array for a graph with one input, or arrays by input name.
        weights: "int8", the only format so far.

    Raises:
        ModelError: A graph that can't be quantized; names op or tensor.
        ShapeError: Data that don't fit an input.
        UnsupportedError: Another format.
    """
    if weights != "int8":
        raise UnsupportedError(f"weights={weights!r}: only 'int8' is supported so far")
    quantized, report = quantize_minmax(graph, ranges(graph, data))
    _log.info("%s", report)
    return quantized
