"""Custom ops to steps: one kind for all of them, whose params name the kernel."""

from __future__ import annotations

from ..model.custom import KERNELS, PARAMS
from ..model.graph import Op
from . import structs
from .lower import Builder, lowers


@lowers("custom")
def _custom(b: Builder, op: Op) -> None:
    head = structs.pack("pe_custom_params", name=op.kind.encode(), source=KERNELS[op.kind].source)
    inputs = [b.optional_input(op, i) for i in range(len(op.inputs))]
    b.emit_packed("custom", op.name, inputs, b.results(op), head + PARAMS[op.kind].pack(op.attrs))
