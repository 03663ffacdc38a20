"""pyedge as a backend of the onnx package (`onnx.backend.base`): its node suite runs through the C executor.

    import pyedge.onnx_backend as backend
    outputs = backend.prepare(model).run([x, w])

Every node becomes ops of a plan, none is folded. `run` specialises the plan on the values of inputs that determine
shapes (the shape of Reshape, the axes of Squeeze); every other input stays a tensor of the run. One plan is kept for
each set of shapes and such values.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import onnx
from onnx.backend.base import Backend, BackendRep

from .errors import ModelError, UnsupportedOpError
from .model.onnx.formats import codes, from_codes
from .model.onnx.load import import_onnx
from .plan import Plan
from .plan.compile import compile
from .session import Session


class PyedgeRep(BackendRep):
    """A model that runs. plan: that of the last run."""

    def __init__(self, model: onnx.ModelProto) -> None:
        self.model = model
        self.plan: Plan | None = None
        self._sessions: list[tuple[dict[str, Any], dict[str, np.ndarray], Session]] = []

    def run(self, inputs: Sequence[Any] | Mapping[str, Any], **kwargs: Any) -> tuple[Any, ...]:
        """Runs the model on arrays, in the order of its inputs or by name.

        Raises:
            UnsupportedOpError: What pyedge doesn't have; names it.
        """
        stored = {t.name for t in self.model.graph.initializer}
        names = [i.name for i in self.model.graph.input if i.name not in stored]
        given = dict(inputs) if isinstance(inputs, Mapping) else dict(zip(names, inputs, strict=True))
        arrays = {name: codes(value) for name, value in given.items()}
        session = self._session(arrays)
        outputs = session.run({t.name: arrays[t.name] for t in session.inputs})
        results = []
        for info in self.model.graph.output:
            results.append(from_codes(outputs[info.name], info.type.tensor_type.elem_type))
        return tuple(results)

    def _session(self, arrays: dict[str, np.ndarray]) -> Session:
        shapes = {name: value.shape for name, value in arrays.items()}
        for known_shapes, known, session in self._sessions:
            if shapes == known_shapes and all(np.array_equal(arrays[n], v) for n, v in known.items()):
                self.plan = session.plan
                return session
        graph, used = import_onnx(self.model, shapes=shapes, fold=False, qdq="float", known=arrays)
        session = Session(compile(graph))
        self.plan = session.plan
        self._sessions.append((shapes, {n: arrays[n].copy() for n in used}, session))
        return session


class PyedgeBackend(Backend):
    """The class form, for `onnx.backend.test.BackendTest`."""

    @classmethod
    def prepare(cls, model: onnx.ModelProto, device: str = "CPU", **kwargs: Any) -> PyedgeRep:
        if not cls.supports_device(device):
            raise ModelError(f"device {device!r}: only CPU is there")
        return PyedgeRep(model)

    @classmethod
    def run_model(cls, model: onnx.ModelProto, inputs: Any, device: str = "CPU", **kwargs: Any) -> tuple[Any, ...]:
        return cls.prepare(model, device, **kwargs).run(inputs)

    @classmethod
    def is_compatible(cls, model: onnx.ModelProto, device: str = "CPU", **kwargs: Any) -> bool:
        return cls.supports_device(device)

    @classmethod
    def supports_device(cls, device: str) -> bool:
        return device.split(":")[0] == "CPU"


def prepare(model: onnx.ModelProto, device: str = "CPU", **kwargs: Any) -> PyedgeRep:
    """A model that can be run, as `onnx.backend.base.Backend.prepare` has it."""
    return PyedgeBackend.prepare(model, device, **kwargs)


def run_model(model: onnx.ModelProto, inputs: Any, device: str = "CPU", **kwargs: Any) -> tuple[Any, ...]:
    """prepare and run in one."""
    return PyedgeBackend.run_model(model, inputs, device, **kwargs)


def supports_device(device: str) -> bool:
    """True for "CPU"."""
    return PyedgeBackend.supports_device(device)


__all__ = ["PyedgeBackend", "PyedgeRep", "UnsupportedOpError", "prepare", "run_model", "supports_device"]
