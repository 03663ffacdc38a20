"""pyedge: neural networks on microcontrollers and small Linux boards, with the same bits as here.

The public face; everything else is reached through it. What a plan from a file does not need to run is imported when it
is first used.
"""

from __future__ import annotations

import os
from importlib import import_module
from os import PathLike
from typing import TYPE_CHECKING, Any

from . import errors
from ._core import abi_version as pe_abi_version
from .errors import (
    BoardError,
    BoardNotFoundError,
    BusyError,
    LinkError,
    MeasurementError,
    MissingToolError,
    ModelError,
    PermissionDeniedError,
    PlanError,
    PyedgeError,
    ShapeError,
    ToolError,
    TrainingError,
    UnsupportedError,
    UnsupportedOpError,
    VerificationError,
)
from .plan import Plan
from .session import CpuFeatures, Session, cpu_features
from .tensor import Quantization, Tensor

if TYPE_CHECKING:
    from . import audio, boards, ops
    from .custom import check_op, register_op, unregister_op
    from .host import Board
    from .model.builder import GraphBuilder
    from .model.graph import Graph, Op, State
    from .plan.compile import compile
    from .plan.profile import Profile
    from .train.losses import (
        BinaryCrossEntropy,
        CrossEntropy,
        Distillation,
        Huber,
        MeanAbsoluteError,
        MeanSquaredError,
    )
    from .train.optimizers import SGD, Adam, AdamW, Cosine, OneCycle, StepDecay
    from .tune.estimate import Estimate, estimate
    from .tune.evaluate import evaluate
    from .tune.quantize import quantize
    from .tune.trainer import Trainer
    from .tune.training import History

# A script that only runs a plan starts in a tenth of the time that all of the package takes.
_FIRST_USE = {
    "Graph": "model.graph",
    "GraphBuilder": "model.builder",
    "Op": "model.graph",
    "State": "model.graph",
    "check_op": "custom",
    "compile": "plan.compile",
    "Estimate": "tune.estimate",
    "estimate": "tune.estimate",
    "evaluate": "tune.evaluate",
    "quantize": "tune.quantize",
    "register_op": "custom",
    "unregister_op": "custom",
    "Profile": "plan.profile",
    "SGD": "train.optimizers",
    "Adam": "train.optimizers",
    "AdamW": "train.optimizers",
    "StepDecay": "train.optimizers",
    "Cosine": "train.optimizers",
    "OneCycle": "train.optimizers",
    "CrossEntropy": "train.losses",
    "BinaryCrossEntropy": "train.losses",
    "MeanSquaredError": "train.losses",
    "MeanAbsoluteError": "train.losses",
    "Huber": "train.losses",
    "Distillation": "train.losses",
    "Trainer": "tune.trainer",
    "History": "tune.training",
}

__all__ = [
    "SGD",
    "Adam",
    "AdamW",
    "BinaryCrossEntropy",
    "BoardError",
    "BoardNotFoundError",
    "BusyError",
    "Cosine",
    "CpuFeatures",
    "CrossEntropy",
    "Distillation",
    "Estimate",
    "Graph",
    "GraphBuilder",
    "History",
    "Huber",
    "LinkError",
    "MeanAbsoluteError",
    "MeanSquaredError",
    "MeasurementError",
    "MissingToolError",
    "ModelError",
    "OneCycle",
    "Op",
    "PermissionDeniedError",
    "Plan",
    "PlanError",
    "Profile",
    "PyedgeError",
    "Quantization",
    "Session",
    "ShapeError",
    "State",
    "StepDecay",
    "Tensor",
    "ToolError",
    "Trainer",
    "TrainingError",
    "UnsupportedError",
    "UnsupportedOpError",
    "VerificationError",
    "audio",
    "boards",
    "check_op",
    "compile",
    "connect",
    "cpu_features",
    "errors",
    "estimate",
    "evaluate",
    "load",
    "ops",
    "pe_abi_version",
    "quantize",
    "register_op",
    "unregister_op",
]


def load(path: str | PathLike[str], **options: Any) -> Graph | Plan:
    """A graph from a .tflite or .onnx file, or a plan from a .pedge file; what the file says that it is counts first.

    Args:
        options: For .onnx: shapes={"input": (1, 16000)} and batch for open sizes; qdq="float" evaluates quantize and
            dequantize as written, where the default "int8" makes integer ops of what stands between them.

    Raises:
        ModelError: No such file, or one that is damaged or of a format that pyedge does not read.
        UnsupportedOpError: Operators that pyedge does not have; names them all.
        PlanError: A damaged plan.
    """
    try:
        with open(path, "rb") as file:
            start = file.read(8)
    except OSError as error:
        raise ModelError(f"{path}: {error.strerror or error}") from None
    suffix = os.path.splitext(path)[1].lower()
    if options and suffix != ".onnx":
        raise ModelError(f"{path}: {', '.join(options)}: options are for .onnx files")
    if start[:4] == b"PEDG" or suffix == ".pedge":
        return Plan.load(path)
    if start[4:8] == b"TFL3" or suffix == ".tflite":
        from .model.tflite import load_tflite

        return load_tflite(path)
    if suffix == ".onnx":
        from .compress.clean import clean_up
        from .model.onnx import load_onnx

        return clean_up(load_onnx(path, **options), options.get("qdq", "int8"))
    raise ModelError(f"{path}: no .tflite, .onnx or .pedge file")


def connect(target: str, **options: Any) -> Board:
    """Connects to a board: a board's name (emulated ones are started), a serial port's path, or "serial:ID".

    Options and errors: `pyedge.host.connect`.
    """
    from .host import connect

    return connect(target, **options)


def __getattr__(name: str) -> Any:
    if name == "__version__":
        from importlib.metadata import version

        return version("pyedge")
    if name in ("audio", "boards", "ops"):
        return import_module(f".{name}", __name__)
    if name not in _FIRST_USE:
        raise AttributeError(f"module 'pyedge' has no attribute {name!r}")
    value = getattr(import_module(f".{_FIRST_USE[name]}", __name__), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
