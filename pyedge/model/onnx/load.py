"""load_onnx: a model file to a graph."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence

import numpy as np
import onnx

from ...errors import ModelError
from ..check import check
from ..graph import Graph
from .audio import CONVERTERS as _AUDIO
from .control import CONVERTERS as _CONTROL
from .elementwise import CONVERTERS as _ELEMENTWISE
from .file import damage, read
from .importer import Converter, Importer
from .move import CONVERTERS as _MOVE
from .nn import CONVERTERS as _NN
from .pictures import CONVERTERS as _PICTURES
from .quantized import CONVERTERS as _QUANTIZED
from .training import CONVERTERS as _TRAINING

CONVERTERS: dict[tuple[str, str], Converter] = {
    **_ELEMENTWISE,
    **_MOVE,
    **_PICTURES,
    **_NN,
    **_QUANTIZED,
    **_AUDIO,
    **_CONTROL,
    **_TRAINING,
}


def load_onnx(
    model: str | os.PathLike[str] | bytes | onnx.ModelProto,
    name: str | None = None,
    shapes: Mapping[str, Sequence[int]] | None = None,
    batch: int = 1,
    qdq: str = "int8",
) -> Graph:
    """Reads an ONNX model as a graph; its ops are as the file has them, in NCHW with transposes around windows.

    `compress.clean_up` then lays it out as NHWC and folds what can be folded; `pe.load` does both.

    Args:
        model: A path, the file's bytes, or a ModelProto.
        name: The graph's name and the file's name in messages; without it the path's last part.
        shapes: Shapes of inputs by name, for those with open sizes.
        batch: The open first axis of inputs that are not in shapes.
        qdq: "int8" leaves quantize and dequantize ops of constants in place for `compress.fold_qdq`; "float" computes
            them, so that the graph is evaluated as it is written.

    Raises:
        UnsupportedOpError: Operators, attributes or operands that pyedge doesn't have; one error that names them all.
        ModelError: A file that can't be read, is damaged or contradicts itself; open sizes.
    """
    return import_onnx(model, name, shapes, batch, qdq)[0]


def import_onnx(
    model: str | os.PathLike[str] | bytes | onnx.ModelProto,
    name: str | None = None,
    shapes: Mapping[str, Sequence[int]] | None = None,
    batch: int = 1,
    qdq: str = "int8",
    fold: bool = True,
    known: Mapping[str, np.ndarray] | None = None,
) -> tuple[Graph, set[str]]:
    """load_onnx for those who have inputs at hand.

    Args:
        fold: Whether ops on constants are computed at load.
        known: Values of inputs, used only where an operand fixes a shape (the shape of Reshape, the axes of Squeeze).

    Returns:
        The graph, and the names of the inputs whose values were used.
    """
    if qdq not in ("int8", "float"):
        raise ModelError(f"qdq={qdq!r} is not known; 'int8' or 'float'")
    if batch < 1:
        raise ModelError(f"batch={batch}: must be 1 or more")
    file = read(model, name)
    with damage(file.source):
        importer = Importer(file, CONVERTERS, fold, qdq, known)
        return check(importer.run(shapes or {}, batch)), importer.used
