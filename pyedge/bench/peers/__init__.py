"""Other runtimes, ready to run a graph: whichever of them is installed here.

A peer is a function of a graph, its model file if there is one, and an input; it returns a function that runs once on
one thread, from the input's array to that of the first output, or raises Unable.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np

from ...model.graph import Graph, Op

Array = np.ndarray[Any, Any]
Call = Callable[[], Array]
Peer = Callable[[Graph, Path | None, Array], Call]


class Unable(Exception):
    """A peer cannot run this graph; the text says why."""


# Name, module here, distributions that may carry it.
_KNOWN = (
    ("LiteRT", "litert", ("ai-edge-litert", "tflite-runtime")),
    ("ONNX Runtime", "onnxruntime", ("onnxruntime",)),
    ("torch", "torch", ("torch",)),
    ("ncnn", "ncnn", ("ncnn",)),
)


def installed() -> dict[str, tuple[str, Peer]]:
    """Version and function of each peer that is installed, by name."""
    found = {}
    for name, module, distributions in _KNOWN:
        for distribution in distributions:
            try:
                number = version(distribution)
            except PackageNotFoundError:
                continue
            try:
                found[name] = number, import_module(f".{module}", __name__).prepare
            except ImportError:
                continue  # installed, but not for this Python or CPU
            break
    return found


def kind_of(op: Op) -> str:
    """The kind, where float16 weights are those of the float32 op: a peer may widen them before."""
    return op.kind.removesuffix("_f16")


def only(graph: Graph, dtype: str) -> None:
    """Raises Unable for a graph with an input of another type."""
    if any(t.dtype != dtype for t in graph.inputs):
        raise Unable(f"{dtype} only")
