"""TensorFlow Lite models to graphs."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from ..errors import ModelError, UnsupportedOpError
from .check import CODES_ONLY, check
from .graph import DTYPES, Graph, Op, Quantization, State, Tensor, array_dtype
from .limits import read_file
from .ops import MAX_EXTENT, infer_op
from .tflite_control import CONTROL
from .tflite_custom import registered
from .tflite_file import FileOperator, FileTensor, ModelFile, Unsupported, damage, read
from .tflite_int16 import INT16, takes_int16
from .tflite_math import MATH
from .tflite_move import MOVES
from .tflite_nn import LAYERS
from .tflite_sequence import SEQUENCES
from .tflite_signal import SIGNALS
from .tflite_sizes import Sizes

_ACTIVATIONS: dict[int, str | None] = {0: None, 1: "relu", 2: "relu_n1_to_1", 3: "relu6"}
_MAX_INCLUDED = 1 << 12  # operators of subgraphs that a model may become, each counted where it is used
_MAX_DEPTH = 8  # of subgraphs in subgraphs
_PADDINGS = {0: "same", 1: "valid"}


def load_tflite(model: str | os.PathLike[str] | bytes | bytearray | memoryview, name: str | None = None) -> Graph:
    """Reads a .tflite model: its first subgraph as a graph with fixed op order.

    Sizes that the file leaves open (-1 in its shape signature) are None in the graph. float16 weights become float32;
    operators on float activations with int8 weights ("dynamic range") become hybrid ops. uint8 becomes int8 inside;
    inputs and outputs stay uint8. Every tensor keeps its number as `index`.

    Args:
        model: A path, or the file's bytes.
        name: The graph's name and the file's name in messages; without it the path's last part.

    Raises:
        UnsupportedOpError: Operators or variants that pyedge doesn't have; one error that names them all, with tensors.
        ModelError: A file that can't be read, is damaged or contradicts itself.
    """
    if isinstance(model, bytes | bytearray | memoryview):
        source, data = name or "model", bytes(model)
    else:
        source, data = name or os.path.basename(os.fspath(model)), read_file(model)
    if len(data) > MAX_EXTENT:
        raise ModelError(f"{source}: the file has more than 2^30 bytes")
    with damage(source):
        file, graph = read(data), Graph(source.removesuffix(".tflite"))
        graph.meta = {"source": source, "sha256": file.sha256}
        if file.description:
            graph.meta["description"] = file.description
        return Importer(file, graph, Sizes(graph)).run()


class Importer:
    def __init__(self, file: ModelFile, graph: Graph, sizes: Sizes, prefix: str = "", depth: int = 0) -> None:
        """prefix: of the names of ops. depth: how many subgraphs lie around this one."""
        self.file, self.graph, self.sizes, self.prefix, self.depth = file, graph, sizes, prefix, depth
        self.budget = [_MAX_INCLUDED]  # shared with the importers of subgraphs
        self.shifted = {t.index for t in file.tensors if t.dtype == "uint8" and t.quant is not None}
        for number in self.shifted:
            _shift_codes(file.tensors[number])
            if number in file.inputs or number in file.outputs:
                file.tensors[number].name += ":int8"
        self.values = {t.index: t.data for t in file.tensors if t.data is not None}
        self.states: dict[object, State] = {}  # by number of a variable tensor, or name of a resource
        self.initial: dict[object, np.ndarray] = {}  # what CALL_ONCE assigns to resources

    def run(self) -> Graph:
        file, graph = self.file, self.graph
        unsupported: list[str] = []
        graph.input_names = self.add_all("input", file.inputs, unsupported)
        self.convert(unsupported)
        graph.output_names = self.add_all("output", file.outputs, unsupported)
        if unsupported:
            raise UnsupportedOpError(f"not supported: {'; '.join(unsupported)}. Supported: {', '.join(_CONVERTERS)}")
        for key in self.states.keys() & self.initial.keys():
            self.states[key].initial = self.initial[key]
        self.sizes.prune()
        inferred = check(graph)
        self.compare_shapes(inferred)
        return inferred

    def convert(self, unsupported: list[str]) -> None:
        """Adds the ops of all operators; notes those that pyedge doesn't have."""
        for op in self.file.operators:
            try:
                int16 = INT16.get(op.name) if takes_int16(self, op) else None
                convert = registered(op) or int16 or _CONVERTERS.get(op.name)
                if convert is None:
                    raise Unsupported
                before = len(self.graph.ops)
                convert(self, op)
                self.sizes.follow(before)
            except Unsupported as e:
                tensor = self.file.tensors[(op.outputs or op.inputs or [0])[0]]
                reason = f": {e}" if str(e) else ""
                unsupported.append(f"{op.name} (operator {op.number}, tensor {tensor.name!r}{reason})")

    def include(self, op: FileOperator, number: int, inputs: list[str], graph: Graph, prefix: str) -> list[str]:
        """Adds the ops of another subgraph of the file to a graph: this one, or an arm that sees this one's tensors.

        Args:
            inputs: Names of the tensors here that are its inputs.
            prefix: Of the names of all its other tensors.

        Returns:
            The names of its outputs.
        """
        file = self.file.subgraph(number)
        if len(file.inputs) != len(inputs):
            raise ModelError(
                f"operator {op.number} {op.name}: {len(inputs)} inputs for {len(file.inputs)} of its subgraph"
            )
        self.budget[0] -= 1 + len(file.operators)
        if self.budget[0] < 0 or self.depth == _MAX_DEPTH:
            raise Unsupported(f"subgraphs of more than {_MAX_INCLUDED} operators, written out, or nested too deep")
        sizes = self.sizes if graph is self.graph else Sizes(graph)
        inner = Importer(file, graph, sizes, f"{prefix}/", self.depth + 1)
        inner.budget = self.budget
        for t in file.tensors:
            t.name = f"{prefix}/{t.name}"
        for n, name in zip(file.inputs, inputs, strict=True):
            file.tensors[n].name = name
            value = self.graph.tensors[name].data
            if value is not None:
                inner.values[n] = value
        unsupported: list[str] = []
        inner.convert(unsupported)
        outputs = [inner.add_any(file.tensors[n]) for n in file.outputs]
        if unsupported:
            raise Unsupported(f"in subgraph {number}: {'; '.join(unsupported)}")
        if inner.states:
            raise Unsupported(f"a variable in subgraph {number}")
        if graph is not self.graph:
            for name in inputs:
                graph.tensors.pop(name, None)
            graph.output_names = outputs
            sizes.prune()
        return outputs

    def add_all(self, role: str, numbers: list[int], unsupported: list[str]) -> list[str]:
        """Names of the graph's inputs or outputs."""
        names = []
        for number in numbers:
            tensor = self.file.tensors[number]
            try:
                names.append(self.add_uint8(role, tensor) if number in self.shifted else self.add_any(tensor))
            except Unsupported as e:
                unsupported.append(f"{role} tensor {number} ({e})")
        return names

    def add_uint8(self, role: str, t: FileTensor) -> str:
        """The name of a uint8 input or output: a tensor of its own, because the graph computes with int8."""
        inner = self.graph.tensors[self.add(t)]
        assert inner.quant is not None
        name = t.name.removesuffix(":int8")
        quant = replace(inner.quant, zero_point=inner.quant.zero_point + 128)
        self.graph.add_tensor(Tensor(name, inner.shape, "uint8", None, quant, t.index))
        ends = [name, inner.name] if role == "input" else [inner.name, name]
        self.graph.ops.append(Op("shift_codes", f"shift_codes_{role}_{t.index}", [ends[0]], [ends[1]]))
        return name

    def compare_shapes(self, inferred: Graph) -> None:
        """The file states each result's shape as well; TFLM trusts it, LiteRT works it out. They must agree."""
        for op in inferred.ops:
            ours = inferred.tensors[op.outputs[0]]
            theirs = self.graph.tensors[op.outputs[0]]
            known = None not in ours.shape and None not in theirs.shape
            if known and math.prod(ours.shape) != math.prod(theirs.shape):  # type: ignore[arg-type]
                raise ModelError(
                    f"{op.kind} {op.name!r}: the file says that {ours.name!r} has shape {list(theirs.shape)}, "
                    f"its operands give {list(ours.shape)}"
                )

    # --- operands ---

    def tensor(self, op: FileOperator, i: int) -> FileTensor:
        if i >= len(op.inputs) or op.inputs[i] < 0:
            raise ModelError(f"operator {op.number} {op.name}: input {i} is missing")
        return self.file.tensors[op.inputs[i]]

    def add(self, t: FileTensor, dtypes: Sequence[str] = ("float32", "int8")) -> str:
        """The name of a tensor in the graph, added when first met."""
        if t.flaw is not None:
            raise Unsupported(f"{t.name!r} {t.flaw}")
        if t.dtype not in dtypes:
            raise Unsupported(f"{t.name!r} is {t.dtype}")
        if t.variable:
            return self.state(t.index, t).next
        if t.name not in self.graph.tensors:
            value = self.values.get(t.index)
            shape = t.shape if value is None else value.shape
            self.graph.add_tensor(Tensor(t.name, shape, t.dtype, value, t.quant, t.index))
        return t.name

    def add_any(self, t: FileTensor) -> str:
        """The same, for operators that move elements of any dtype."""
        return self.add(t, DTYPES)

    def add_number(self, t: FileTensor) -> str:
        """The same, for operators that compute: quantized tensors are int8, all others plain numbers."""
        if t.quant is not None and t.dtype not in ("int8", "float32"):
            raise Unsupported(f"{t.name!r} is quantized {t.dtype}")
        return self.add(t, DTYPES)

    def add_plain(self, t: FileTensor) -> str:
        """The same, for operators that work on the codes of an int8 tensor as on integers."""
        if t.index in self.shifted:
            raise Unsupported(f"{t.name!r} is quantized uint8")
        return self.add_number(t)

    def state(self, key: object, t: FileTensor) -> State:
        """The state of a variable, which is like tensor t; its `next` is the value at this place of the model.

        It begins as zeros, int8 as zero points, as TFLM's and LiteRT's Reset() does.
        """
        if key not in self.states:
            if t.index in self.shifted:
                raise Unsupported(f"variable {t.name!r} is quantized uint8")
            if t.dtype not in DTYPES or None in t.shape:
                raise Unsupported(f"variable {t.name!r} is {t.dtype}{list(t.shape)}")
            zero = t.quant.zero_point[0] if t.dtype == "int8" and t.quant is not None else 0
            initial = np.full([d or 1 for d in t.shape], zero, array_dtype(t.dtype))
            name = t.name if t.variable else f"{t.name}:state"
            while name in self.graph.tensors:
                name += ":"
            self.graph.add_tensor(Tensor(name, initial.shape, t.dtype, None, t.quant, t.index))
            self.states[key] = State(name, name, initial)
            self.graph.states.append(self.states[key])
        return self.states[key]

    def constant(self, t: FileTensor) -> np.ndarray:
        if t.flaw is not None:
            raise Unsupported(f"{t.name!r} {t.flaw}")
        if t.index not in self.values:
            raise Unsupported(f"{t.name!r} is not a constant")
        return self.values[t.index]

    def integers(self, t: FileTensor, most: int = 8) -> list[int]:
        """The elements of a constant shape or list of axes; -1 for a size that is open until compile time."""
        value = self.sizes.get(t.name)
        if value is None:
            value = self.constant(t)
        if value.dtype not in (np.int32, np.int64) or value.size > most:
            raise ModelError(f"tensor {t.name!r} is {value.dtype}{list(value.shape)}, expected a few int32")
        return [int(v) for v in value.reshape(-1)]

    def weights(self, op: FileOperator, drop_leading_axis: bool = False) -> list[str | None]:
        """Names of x, weight and bias; weight and bias are added in the graph's layout."""
        x, w = self.tensor(op, 0), self.tensor(op, 1)
        names: list[str | None] = [self.add(x)]
        value, quant = self.constant(w), w.quant
        if value.dtype not in (np.int8, np.float32):
            raise Unsupported(f"weight {w.name!r} is {w.dtype}")
        if value.dtype == np.int8 and quant is not None and (quant.scale.size == 1 or drop_leading_axis):
            axis = 0 if quant.scale.size == 1 else quant.axis - 1
            quant = Quantization(quant.scale, quant.zero_point, axis)
        if drop_leading_axis:
            if value.ndim != 4 or value.shape[0] != 1:
                raise ModelError(
                    f"operator {op.number} {op.name}: weight {w.name!r} {list(value.shape)} is not [1, h, w, c]"
                )
            value = value[0]
        if quant is not None and quant.zero_point.any() and x.index not in self.shifted:
            raise Unsupported(f"weight {w.name!r} has a zero point")
        names.append(self.add_constant(w, value, quant))
        if len(op.inputs) > 2 and op.inputs[2] >= 0:
            b = self.tensor(op, 2)
            bias = self.constant(b)
            if bias.dtype not in (np.int32, np.float32):
                raise Unsupported(f"bias {b.name!r} is {b.dtype}")
            names.append(self.add_constant(b, bias, b.quant if bias.dtype == np.int32 else None))
        else:
            names.append(None)
        return names

    def add_constant(self, t: FileTensor, value: np.ndarray, quant: Quantization | None) -> str:
        """Adds a constant; one that is used in two layouts or types gets a second name."""
        name = t.name
        while (known := self.graph.tensors.get(name)) is not None:
            if known.data is not None and known.shape == value.shape and known.data.dtype == value.dtype:
                return name
            name += ":"
        self.graph.add_tensor(Tensor(name, value.shape, str(value.dtype), value, quant, t.index))
        return name

    def activation(self, number: int) -> str | None:
        """A fused activation by its number in the schema."""
        if number not in _ACTIVATIONS:
            raise Unsupported(f"fused activation {number}")
        return _ACTIVATIONS[number]

    def padding(self, op: FileOperator, number: int) -> str:
        """A padding by its number in the schema."""
        if number not in _PADDINGS:
            raise ModelError(f"operator {op.number} {op.name}: padding {number} is unknown")
        return _PADDINGS[number]

    # --- results ---

    def emit_weighted(self, op: FileOperator, kind: str, asymmetric: bool, **attrs: Any) -> None:
        """A layer with weights; hybrid if they are int8 and x is float32. asymmetric: then x gets a zero point."""
        inputs = self.weights(op, drop_leading_axis=kind == "depthwise_conv2d")
        if self.tensor(op, 0).dtype == "float32" and self.tensor(op, 1).dtype == "int8":
            kind, attrs = f"{kind}_hybrid", {**attrs, "asymmetric": asymmetric}
        elif self.tensor(op, 0).index in self.shifted:
            kind = f"{kind}_zero_point"
        self.emit(op, kind, inputs, **attrs)

    def emit(self, op: FileOperator, kind: str, inputs: list[str | None], **attrs: Any) -> None:
        if len(op.outputs) != 1 and kind not in ("split", "unpack", "topk", "multiclass_nms"):
            raise ModelError(f"operator {op.number} {op.name}: {len(op.outputs)} outputs, expected 1")
        outputs = [self.file.tensors[number] for number in op.outputs]
        for output in outputs:
            if output.index in self.values:
                raise ModelError(f"operator {op.number} {op.name}: its output {output.name!r} is a constant")
        add = self.add_any if kind in CODES_ONLY or takes_int16(self, op) else self.add
        self.graph.ops.append(Op(kind, f"{self.prefix}{kind}_{op.number}", inputs, [add(t) for t in outputs], attrs))

    def between(
        self, op: FileOperator, kind: str, inputs: list[str | None], quant: Quantization | None = None, **attrs: Any
    ) -> str:
        """An op whose one result only later ops of the same operator read; quant: of codes, else that of x."""
        name = f"{self.file.tensors[op.outputs[0]].name}:{kind}"
        while name in self.graph.tensors:
            name += ":"
        step = Op(kind, f"{self.prefix}{kind}_{op.number}", inputs, [name], attrs)
        operands = [None if i is None else self.graph.tensors[i] for i in inputs]
        ((shape, dtype),) = infer_op(step, operands)
        if quant is None and operands[0] is not None:
            quant = operands[0].quant
        self.graph.add_tensor(Tensor(name, shape, dtype, None, quant if dtype in ("int8", "int16") else None))
        self.graph.ops.append(step)
        return name

    def emit_activated(self, op: FileOperator, kind: str, inputs: list[str | None], fused: int, **attrs: Any) -> None:
        """emit, then the fused activation as an op of its own, for kinds that have none."""
        function = self.activation(fused)
        if function is None:
            self.emit(op, kind, inputs, **attrs)
            return
        part = self.between(op, kind, inputs, self.file.tensors[op.outputs[0]].quant, **attrs)
        if function == "relu_n1_to_1":
            self.emit(op, "clip", [part], min=-1.0, max=1.0)
        else:
            self.emit(op, function, [part])

    def literal(self, op: FileOperator, value: np.ndarray) -> str:
        """The name of a constant that a converter has made."""
        name = f"{self.file.tensors[op.outputs[0]].name}:constant"
        while name in self.graph.tensors:
            name += ":"
        self.graph.add_tensor(Tensor(name, value.shape, str(value.dtype), value))
        return name


def _shift_codes(t: FileTensor) -> None:
    """uint8 to int8: the same values, codes and zero point less 128."""
    assert t.quant is not None
    t.dtype = "int8"
    t.quant = replace(t.quant, zero_point=t.quant.zero_point - 128)
    if t.data is not None:
        t.data = (t.data ^ np.uint8(0x80)).view(np.int8)


_CONVERTERS: dict[str, Callable[[Importer, FileOperator], None]] = {
    **MOVES,
    **MATH,
    **LAYERS,
    **CONTROL,
    **SEQUENCES,
    **SIGNALS,
}

OPERATORS = tuple(_CONVERTERS)  # that can be read, variants apart
