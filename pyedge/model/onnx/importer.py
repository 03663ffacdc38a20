"""From the nodes of an ONNX model to ops of a graph: names, values, constants, sub-graphs, functions.

What one operator means is in the tables of elementwise.py, move.py, nn.py and quantized.py; here is what they share.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import onnx

from ...errors import ModelError, PyedgeError, UnsupportedOpError
from .. import reference
from ..graph import DTYPES, Graph, Op, Quantization, Tensor, array_dtype
from ..limits import Budget
from ..ops import KINDS, MAX_EXTENT, infer_op
from . import custom, functions
from . import file as onnx_file
from .formats import codes, element, format_of
from .node import Node, Unsupported

_CODED = ("quantize", "dequantize", "quantize_linear", "dequantize_linear")
_MORE_NODES = 8192  # that functions and loops may become, beyond a multiple of the file's own nodes


Converter = Callable[["Importer", Node], None]


class Importer:
    """Builds a graph node by node.

    Args:
        file: The model.
        fold: Whether ops on constants are computed now. Without it every node becomes an op, as in a conformance test.
        qdq: "int8" keeps quantize and dequantize ops as they are, so that a pass can fold them into integer ops.
        known: Values of inputs. They are used for operands that fix a shape, and nowhere else.
    """

    def __init__(
        self,
        file: onnx_file.ModelFile,
        converters: Mapping[tuple[str, str], Converter],
        fold: bool = True,
        qdq: str = "int8",
        known: Mapping[str, np.ndarray] | None = None,
    ) -> None:
        self.file, self.converters, self.fold, self.qdq = file, converters, fold, qdq
        self.graph = Graph(file.source.removesuffix(".onnx"))
        self.graphs = [self.graph]  # outermost first
        self.names: dict[str, Tensor] = {}  # ONNX name -> tensor
        self.makers: dict[str, Op] = {}  # tensor -> op
        self.cache: dict[str, np.ndarray | None] = {}  # values worked out for shapes
        self.bound: set[int] = set()  # ids of tensors that have names of the model
        self.of_constants: set[int] = set()  # ids of tensors that a later pass can fold
        self.known = dict(known or {})
        self.used: set[str] = set()  # those of them that were needed
        self.formats: dict[int, str] = {}  # id of a tensor of codes -> format
        self.used_names: set[str] = set()
        self.last: dict[str, int] = {}  # number behind the last name of each stem
        self.reserved = {o for n in file.proto.graph.node for o in n.output}  # for the tensors that the model means
        self.unsupported: list[str] = []
        self.functions = {(f.domain, f.name): f for f in file.proto.functions}
        self.depth = 0
        self.inside = 0  # graphs of nodes that are being put in their place
        self.nodes_left = _MORE_NODES + 4 * len(file.proto.graph.node)
        self.budget = Budget((), growth=0)
        self.refused: set[str] = set()  # inputs of types that a graph doesn't hold

    # --- tensors ----------------------------------------------------------------------------------------------------

    def fresh(self, stem: str) -> str:
        """A name that no tensor has yet, in any graph."""
        name, i = stem or "tensor", self.last.get(stem, 0)
        while name in self.used_names or name in self.reserved:
            i += 1
            name = f"{stem}_{i}"
        self.last[stem] = i
        self.used_names.add(name)
        return name

    def const(self, value: Any, name: str = "constant", quant: Quantization | None = None) -> Tensor:
        """A constant of the innermost graph. One without elements is in no graph: what is made of it is folded."""
        value = np.asarray(value)
        data = codes(value)
        dtype = str(data.dtype)
        if dtype not in DTYPES:
            raise Unsupported(f"{name!r} has elements of type {dtype}")
        if data.nbytes > MAX_EXTENT:
            raise Unsupported(f"{name!r} has the shape {list(data.shape)}")
        if data.size == 0:
            return Tensor(name, data.shape, dtype, data, quant)
        if not data.flags["C_CONTIGUOUS"]:
            data = data.copy(order="C")
        tensor = self.graph.add_tensor(Tensor(self.fresh(name), data.shape, dtype, data, quant))
        self.set_format(tensor, format_of(value))
        return tensor

    def format(self, tensor: Tensor) -> str | None:
        """The number format of a tensor of codes, None where its dtype says all."""
        return self.formats.get(id(tensor))

    def set_format(self, tensor: Tensor, name: str | None) -> None:
        if name is not None:
            self.formats[id(tensor)] = name

    def operand(self, n: Node, i: int) -> Tensor:
        """Operand i of a node, which must be there."""
        tensor = self.optional(n, i)
        if tensor is None:
            raise ModelError(f"node {n.name!r} ({n.op_type}): input {i} is missing")
        return tensor

    def optional(self, n: Node, i: int) -> Tensor | None:
        """Operand i of a node, or None."""
        name = n.inputs[i] if i < len(n.inputs) else None
        if name is None:
            return None
        if name not in self.names:  # an initializer that was met first here, or the result of a refused node
            raise Unsupported("")
        return self.names[name]

    def value(self, tensor: Tensor) -> np.ndarray | None:
        """What a tensor holds if that follows from constants and from `known`, else None."""
        if tensor.data is not None or self.fold:
            return tensor.data
        if tensor.name not in self.cache:
            self.cache[tensor.name] = self.worked_out(tensor)
        return self.cache[tensor.name]

    def worked_out(self, tensor: Tensor) -> np.ndarray | None:
        """The value of a tensor that is no constant."""
        if tensor.name in self.graphs[0].input_names:
            value = self.known.get(tensor.name)
            if value is not None:
                self.used.add(tensor.name)
            return value
        op = self.makers.get(tensor.name)
        if op is None or op.kind == "if":
            return None
        if op.kind in ("shape", "size"):  # all shapes are fixed
            shape = np.array(self.tensor(op.inputs[0] or "").shape, np.int64)
            return np.asarray(np.prod(shape) if op.kind == "size" else shape[op.attrs["start"] : op.attrs["end"]])
        operands = [None if n is None else self.tensor(n) for n in op.inputs]
        values = [None if t is None else self.value(t) for t in operands]
        if any(t is not None and v is None for t, v in zip(operands, values, strict=True)):
            return None
        outputs = [self.tensor(n) for n in op.outputs]
        return reference.run_op(op, operands, values, outputs)[tensor.name]

    def is_constant(self, tensor: Tensor) -> bool:
        """Whether a tensor is a constant, or made of constants by ops that a later pass folds."""
        return tensor.data is not None or id(tensor) in self.of_constants

    def tensor(self, name: str) -> Tensor:
        for graph in reversed(self.graphs):
            if name in graph.tensors:
                return graph.tensors[name]
        raise ModelError(f"no tensor {name!r}")

    def constant(self, n: Node, i: int) -> np.ndarray | None:
        """The value of an operand that must be known now, because shapes or the choice of an op follow from it."""
        tensor = self.optional(n, i)
        if tensor is None:
            return None
        value = self.value(tensor)
        if value is None:
            raise Unsupported(f"input {i} ({tensor.name!r}) is not known at load")
        return value

    def ints(self, n: Node, name: str, i: int | None = None, default: Any = None) -> list[int] | Any:
        """A list of integers from an attribute (older opsets) or from operand i (newer ones)."""
        value = None if i is None else self.constant(n, i)
        if value is not None:
            return [int(v) for v in value.reshape(-1)]
        given = n.attr(name, None)
        if given is None:
            return default
        return [int(v) for v in given] if isinstance(given, list) else [int(given)]

    # --- ops --------------------------------------------------------------------------------------------------------

    def emit(
        self,
        kind: str,
        inputs: Sequence[Tensor | None],
        name: str,
        quants: Sequence[Quantization | None] | None = None,
        outputs: int = 1,
        **attrs: Any,
    ) -> list[Tensor]:
        """Adds an op and gives its results; with `fold`, constants if all its operands are."""
        if kind not in KINDS:
            raise Unsupported(f"there is no op {kind!r}")
        if any(t is not None and 0 in t.shape for t in inputs):
            return self.of_nothing(kind, inputs, name, outputs, attrs)
        names = [self.fresh(f"{name}" if outputs == 1 else f"{name}:{i}") for i in range(outputs)]
        op = Op(kind, names[0], [None if t is None else t.name for t in inputs], names, attrs)
        results = infer_op(op, list(inputs))
        given = quants or [None] * outputs
        made = [Tensor(n, shape, dtype, quant=q) for n, (shape, dtype), q in zip(names, results, given, strict=True)]
        if self.folds(kind, inputs) and self.budget.allows(op, inputs, made):
            values = reference.run_op(op, inputs, [None if t is None else t.data for t in inputs], made)
            for t in made:
                t.data = values[t.name]
        if all(t is None or self.is_constant(t) for t in inputs):
            self.of_constants |= {id(t) for t in made}
        for t in made:
            self.graph.add_tensor(t)
            self.makers[t.name] = op
        if made[0].data is None:
            self.graph.ops.append(op)
        return made

    def folds(self, kind: str, inputs: Sequence[Tensor | None]) -> bool:
        if not self.fold or (self.qdq == "int8" and kind in _CODED):
            return False
        return all(t is None or t.data is not None for t in inputs)

    def one(self, kind: str, inputs: Sequence[Tensor | None], name: str, **more: Any) -> Tensor:
        """emit for an op with one result."""
        return self.emit(kind, inputs, name, **more)[0]

    def bind(self, n: Node, *tensors: Tensor | None) -> None:
        """Makes tensors the results of a node; they get its names where they have none of the model yet."""
        for name, tensor in zip(n.outputs, tensors, strict=False):
            if name and tensor is not None:
                self.rename(tensor, name)
                self.names[name] = tensor
                self.bound.add(id(tensor))

    def rename(self, tensor: Tensor, name: str) -> None:
        """Gives a tensor that an op of the innermost graph has just made the name that the model has for it."""
        op = self.makers.get(tensor.name)
        taken = name in self.used_names or id(tensor) in self.bound or (self.inside and name in self.reserved)
        if op is None or taken or tensor.name not in self.graph.tensors:
            return
        old = tensor.name
        del self.graph.tensors[old]
        for o in reversed(self.graph.ops):
            if o is op:
                break
            o.inputs = [name if x == old else x for x in o.inputs]
        op.outputs = [name if x == old else x for x in op.outputs]
        tensor.name = name
        self.used_names.add(name)
        self.makers[name] = self.makers.pop(old)
        self.graph.add_tensor(tensor)

    def of_nothing(
        self, kind: str, inputs: Sequence[Tensor | None], name: str, outputs: int, attrs: Mapping[str, Any]
    ) -> list[Tensor]:
        """The results of an op with an operand that has no elements: constants, as in arithmetic on shapes."""
        values = [None if t is None else t.data for t in inputs]
        if not self.fold or any(t is not None and v is None for t, v in zip(inputs, values, strict=True)):
            raise Unsupported("an empty operand")
        op = Op(kind, name, [None if t is None else t.name for t in inputs], [f"{name}:{i}" for i in range(outputs)])
        op.attrs.update(attrs)
        results = [Tensor(n, (), "float32") for n in op.outputs]
        try:
            found = reference.run_op(op, inputs, values, results)
        except (ArithmeticError, LookupError, TypeError, ValueError):
            raise Unsupported("an empty operand") from None
        return [self.const(found[n], n) for n in op.outputs]

    def empty(self, n: Node, i: int, shape: Sequence[int], dtype: str) -> None:
        """Makes result i of a node a tensor without elements, which Concat leaves out."""
        self.names[n.outputs[i]] = Tensor(n.outputs[i], tuple(shape), dtype, np.zeros(shape, array_dtype(dtype)))

    # --- what many converters need ----------------------------------------------------------------------------------

    def reshape(self, x: Tensor, shape: Sequence[int], name: str) -> Tensor:
        if tuple(shape) == x.shape and self.fold:
            return x
        return self.one("reshape", [x], name, quants=[x.quant], shape=tuple(int(d) for d in shape))

    def transpose(self, x: Tensor, perm: Sequence[int], name: str) -> Tensor:
        if list(perm) == list(range(len(perm))):
            return x
        return self.one("transpose", [x], name, quants=[_moved(x.quant, perm)], perm=tuple(perm))

    def channels_last(self, x: Tensor, name: str) -> Tensor:
        """[N, C, ...] as [N, ..., C]."""
        rank = len(x.shape)
        return self.transpose(x, (0, *range(2, rank), 1), f"{name}/nhwc")

    def channels_first(self, x: Tensor, name: str) -> Tensor:
        """[N, ..., C] as [N, C, ...]."""
        rank = len(x.shape)
        return self.transpose(x, (0, rank - 1, *range(1, rank - 1)), f"{name}/nchw")

    # --- walking ----------------------------------------------------------------------------------------------------

    def run(self, shapes: Mapping[str, Sequence[int]], batch: int) -> Graph:
        proto, graph = self.file.proto.graph, self.graph
        if onnx_file.depth(proto) > onnx_file.MAX_NESTING:
            raise ModelError(f"{self.file.source}: graphs nest more than {onnx_file.MAX_NESTING} deep")
        graph.meta = {"source": self.file.source, "sha256": self.file.sha256}
        if proto.doc_string:
            graph.meta["description"] = proto.doc_string
        if self.file.proto.producer_name:
            graph.meta["producer"] = self.file.proto.producer_name
        self.used_names |= {o.name for o in proto.output} & {i.name for i in proto.input}
        constants = {t.name for t in proto.initializer}
        for info in proto.input:
            if info.name not in constants:  # up to IR 3 initializers were listed as inputs
                self.add_input(info, shapes, batch)
        declared = [info.name for info in proto.input]
        unknown = [n for n in shapes if n not in declared]
        if unknown:
            raise ModelError(f"{self.file.source} has no input {unknown[0]!r}; it has {', '.join(declared)}")
        self.constants(proto)
        self.budget = Budget(graph.tensors.values(), growth=4)  # int8 weights become float32
        self.nodes(proto, self.file.opsets, "")
        for info in proto.output:
            self.add_output(info.name)
        if self.unsupported:
            raise UnsupportedOpError(f"{self.file.source}: not supported: {'; '.join(self.unsupported)}")
        return graph

    def add_input(self, info: onnx.ValueInfoProto, shapes: Mapping[str, Sequence[int]], batch: int) -> None:
        name, kind = info.name, info.type.WhichOneof("value")
        if kind == "optional_type" or kind != "tensor_type":
            self.refused.add(name)
            self.unsupported.append(f"input {name!r} of {kind}")
            return
        dims = info.type.tensor_type.shape.dim
        given = shapes.get(name)
        if given is not None and info.type.tensor_type.HasField("shape") and len(given) != len(dims):
            raise ModelError(f"input {name!r}: shape {list(given)} given, the model has {len(dims)} axes")
        shape: list[int] = []
        for i in range(len(dims) if given is None else len(given)):
            fixed = int(dims[i].dim_value) if i < len(dims) and dims[i].HasField("dim_value") else None
            if fixed is not None and not (fixed < 1 and given):
                if given is not None and int(given[i]) != fixed:
                    raise ModelError(f"input {name!r}: shape {list(given)} given, the model has {fixed} at axis {i}")
                size = fixed
            elif given is not None:
                size = int(given[i])
            elif i == 0:
                size = batch
            else:
                label = dims[i].dim_param or "?"
                raise ModelError(f"input {name!r}: axis {i} ({label}) is open; fix it with shapes={{{name!r}: (...)}}")
            shape.append(size)
        found = element(info.type.tensor_type.elem_type)
        if found is None:
            self.refused.add(name)
            self.unsupported.append(f"input {name!r} of element type {info.type.tensor_type.elem_type}")
            return
        if 0 in shape and name in self.known:  # nothing to feed: an empty list of axes, a type alone
            self.names[name] = Tensor(name, tuple(shape), found[0], self.known[name])
            self.set_format(self.names[name], found[1])
            return
        if any(not 1 <= d <= MAX_EXTENT for d in shape) or math.prod(shape) > MAX_EXTENT:
            raise ModelError(f"input {name!r} has the shape {shape}; sizes are 1 to 2^30 elements in all")
        self.used_names.add(name)
        self.names[name] = self.graph.add_tensor(Tensor(name, tuple(shape), found[0]))
        self.set_format(self.names[name], found[1])
        self.graph.input_names.append(name)

    def add_output(self, name: str) -> None:
        tensor = self.names.get(name)
        if tensor is None:
            if not self.unsupported:
                raise ModelError(f"{self.file.source}: output {name!r} is given by no node")
            return
        graph = self.graph
        if 0 in tensor.shape:
            raise ModelError(f"{self.file.source}: output {name!r} has the empty shape {list(tensor.shape)}")
        if tensor.name != name or tensor.data is not None or name in graph.input_names:
            free = name not in self.used_names
            copy = Tensor(name if free else self.fresh(name), tensor.shape, tensor.dtype, quant=tensor.quant)
            graph.ops.append(Op("reshape", copy.name, [tensor.name], [copy.name], {"shape": tensor.shape}))
            tensor = graph.add_tensor(copy)
        graph.output_names.append(tensor.name)

    def nodes(self, graph: onnx.GraphProto, opsets: Mapping[str, int], prefix: str) -> None:
        """Converts the nodes of a graph into the innermost graph, whose constants are there."""
        for node in onnx_file.in_order(graph, self.names.keys() | self.refused, self.file.source):
            self.node(node, opsets, prefix)

    def constants(self, graph: onnx.GraphProto) -> None:
        """The stored constants of a graph."""
        for t in graph.initializer:
            try:
                self.names[t.name] = self.const(onnx_file.array(t, self.file), t.name)
            except Unsupported as e:
                self.unsupported.append(f"constant {t.name!r} ({e})")
        if graph.sparse_initializer:
            raise ModelError(f"{self.file.source}: sparse initializers are not read")

    def node(self, proto: onnx.NodeProto, opsets: Mapping[str, int], prefix: str) -> None:
        domain = "" if proto.domain in onnx_file.STANDARD else proto.domain
        label = prefix + (proto.name or next((o for o in proto.output if o), proto.op_type))
        self.count()
        n = Node(proto, opsets.get(domain, 1), label)
        before = len(self.graph.ops), len(self.graph.tensors)
        try:
            body = None if custom.is_registered(n) else self.functions.get((n.proto.domain, n.op_type))
            if body is not None:
                functions.inline(self, n, body)
                return
            convert = custom.convert if custom.is_registered(n) else self.converters.get((domain, n.op_type))
            if convert is None:
                functions.expand(self, n)
                return
            with onnx_file.damage(f"{self.file.source}: node {label!r} ({n.op_type})"):
                convert(self, n)
            if left := sorted(set(n.attributes) - n.read - functions.at_default(n)):
                convert = None  # its function would not know the attribute either
                raise Unsupported(f"{left[0]}={_short(n.attr(left[0]))}")
        except Unsupported as e:
            self.undo(*before)
            if not str(e):  # it needs the result of a node that is named already
                return
            if convert is not None and not n.domain and functions.has_body(n) and self.depth < onnx_file.MAX_NESTING:
                try:
                    functions.expand(self, n)
                    return
                except Unsupported:
                    self.undo(*before)
            shown = f"{n.domain}:{n.op_type}" if n.domain else n.op_type
            self.unsupported.append(f"{shown} (node {label!r}: {e})")
        except UnsupportedOpError:
            raise
        except PyedgeError as e:
            text = str(e).removeprefix(f"{self.file.source}: ")
            where = "" if text.startswith("node ") else f"node {label!r} ({n.op_type}): "
            raise ModelError(f"{self.file.source}: {where}{text}") from None

    def count(self) -> None:
        """Counts a node or a step of a loop; an error where a small file asks for too many."""
        self.nodes_left -= 1
        if self.nodes_left < 0:
            raise ModelError(f"{self.file.source}: its functions and loops become too many nodes, over {_MORE_NODES}")

    def undo(self, ops: int, tensors: int) -> None:
        """Takes back what a refused node has added to the innermost graph: all beyond so many ops and tensors."""
        del self.graph.ops[ops:]
        for name in list(self.graph.tensors)[tensors:]:
            del self.graph.tensors[name]

    # --- branches ---------------------------------------------------------------------------------------------------

    def branch(self, n: Node, body: onnx.GraphProto, label: str) -> Graph:
        """A graph of an `if`, whose results are its outputs."""
        inner = Graph(f"{n.name}/{label}")
        outer, names = self.graph, dict(self.names)
        self.graph = inner
        self.graphs.append(inner)
        try:
            self.constants(body)
            self.nodes(body, self.file.opsets | {"": n.opset}, f"{inner.name}/")
            for info in body.output:
                if info.name not in self.names:
                    raise Unsupported("")
                inner.output_names.append(self.names[info.name].name)
        finally:
            self.graphs.pop()
            self.graph, self.names = outer, names
        return inner

    def visible(self, inner: Graph, name: str) -> Tensor:
        """A tensor as an inner graph sees it."""
        return inner.tensors[name] if name in inner.tensors else self.tensor(name)

    def inline_graph(self, n: Node, body: onnx.GraphProto, operands: Sequence[Tensor] = ()) -> list[Tensor]:
        """The results of a graph whose nodes are put in the place of a node; operands: what its inputs are."""
        outer = dict(self.names)
        self.names.update(zip((i.name for i in body.input), operands, strict=True))
        self.inside += 1
        self.constants(body)
        self.nodes(body, self.file.opsets | {"": n.opset}, f"{n.name}/")
        self.inside -= 1
        results = [self.names.get(o.name) for o in body.output]
        self.names = outer
        if any(t is None for t in results):
            raise Unsupported("")
        return [t for t in results if t is not None]


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


def _moved(quant: Quantization | None, perm: Sequence[int]) -> Quantization | None:
    """Quantization along an axis that a transpose moves."""
    if quant is None or quant.scale.size == 1:
        return quant
    return Quantization(quant.scale, quant.zero_point, list(perm).index(quant.axis))
