"""Float graphs to int8, calibrated on data, or to float16, in one call."""

from __future__ import annotations

import logging

from ..compress.float16 import to_float16
from ..compress.quantize import quantize_minmax
from ..errors import ModelError, UnsupportedError
from ..model.graph import Graph
from .calibrate import Data, ranges

_log = logging.getLogger("pyedge")


def quantize(graph: Graph, data: Data | None = None, weights: str = "int8", activations: str | None = None) -> Graph:
    """Return a copy of a float graph with weights of fewer bits.

    "int8" is calibrated on data; activations, inputs and outputs are int8, too: `graph.inputs[0].quantize(x)` and
    `graph.outputs[0].dequantize(y)` go between real values and codes. "float16" halves the weights and needs no data;
    inputs and outputs stay float32 (compress/float16.py).

    Args:
        graph: A float32 graph; for int8 without branches.
        data: For int8. Samples along the first axis: an array for a graph with one input, or arrays by input name.
        weights: "int8" or "float16".
        activations: "int8" with int8 weights; "float32", the default, or "float16" with float16 weights.

    Raises:
        ModelError: A graph that can't be quantized, names op or tensor; no data for int8.
        ShapeError: Data that don't fit an input.
        UnsupportedError: Another format.
    """
    possible = {"int8": ("int8",), "float16": ("float32", "float16")}
    if weights not in possible:
        raise UnsupportedError(f"weights={weights!r}: the formats are {', '.join(possible)}")
    if activations is not None and activations not in possible[weights]:
        raise UnsupportedError(
            f"activations={activations!r}: with weights={weights!r} they are {' or '.join(possible[weights])}"
        )
    if weights == "float16":
        quantized, report = to_float16(graph, activations or "float32")
    elif data is None:
        raise ModelError(f"graph {graph.name!r}: weights='int8' needs data, to see the range of each tensor")
    else:
        quantized, report = quantize_minmax(graph, ranges(graph, data))
    _log.info("%s", report)
    return quantized
