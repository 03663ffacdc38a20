"""Small ONNX models from text."""

from __future__ import annotations

import numpy as np
import onnx
from onnx import numpy_helper, parser


def model(graph: str, opset: int = 17, **constants: np.ndarray) -> onnx.ModelProto:
    """A model from the text of a graph (onnx.parser's syntax); constants become initializers."""
    proto = parser.parse_model(f'<ir_version: 8, opset_import: ["" : {opset}, "com.microsoft" : 1]>\n{graph}')
    for name, value in constants.items():
        proto.graph.initializer.append(numpy_helper.from_array(np.asarray(value), name))
    return proto


def rng_array(shape: tuple[int, ...], seed: int = 0) -> np.ndarray:
    """float32 values around 0."""
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)
