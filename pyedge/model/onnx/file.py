"""The bytes of an ONNX model: read, bounded and put in order, before anything looks at its operators."""

from __future__ import annotations

import hashlib
import math
import os
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np

from ...errors import ModelError, PyedgeError
from ..limits import read_file
from ..ops import MAX_EXTENT

try:
    import onnx
    from google.protobuf.message import DecodeError
    from onnx import helper, numpy_helper
except ImportError as error:
    raise ModelError(f"ONNX models need the package {error.name!r}: pip install 'pyedge[onnx]'") from None

MAX_NESTING = 16  # graphs in graphs, functions in functions
_MIN_OPSET = 1  # attributes that only old opsets have are refused by name

# Domains whose operators have converters; a model may import others as long as no node uses them.
STANDARD = ("", "ai.onnx")


@dataclass(frozen=True)
class ModelFile:
    """A model that can be walked: nodes in an order in which they can run, sizes known to be sane."""

    proto: onnx.ModelProto
    source: str
    folder: str | None  # where external data may lie; None for a model from memory
    sha256: str
    opsets: dict[str, int]


@contextmanager
def damage(source: str) -> Iterator[None]:
    """Whatever a damaged model makes of code that walks it becomes one ModelError of one line."""
    try:
        yield
    except (ArithmeticError, AssertionError, AttributeError, LookupError, MemoryError, TypeError, ValueError) as e:
        if isinstance(e, PyedgeError):
            raise
        text = " ".join(str(e).split())
        raise ModelError(f"{source}: contradicts itself ({type(e).__name__}: {text[:200]})") from e


def read(model: str | os.PathLike[str] | bytes | onnx.ModelProto, name: str | None) -> ModelFile:
    """Reads and checks the outer form of a model.

    Raises:
        ModelError: A file that can't be read, is no ONNX model, too old, cyclic, or contradicts itself.
    """
    folder = None
    if isinstance(model, onnx.ModelProto):
        source, proto = name or model.graph.name or "model", model
        digest = hashlib.sha256(proto.SerializeToString()).hexdigest()
    else:
        if isinstance(model, bytes):
            source, data = name or "model", model
        else:
            source, folder = name or os.path.basename(os.fspath(model)), os.path.dirname(os.path.abspath(model))
            data = read_file(model)
        if len(data) > MAX_EXTENT:
            raise ModelError(f"{source}: the file has more than 2^30 bytes")
        proto = onnx.ModelProto()
        try:
            proto.ParseFromString(data)
        except DecodeError:
            raise ModelError(f"{source}: not an ONNX model, or a damaged one") from None
        digest = hashlib.sha256(data).hexdigest()
    opsets = {"" if o.domain in STANDARD else o.domain: int(o.version) for o in proto.opset_import}
    if not proto.graph.node and not proto.graph.output:
        raise ModelError(f"{source}: not an ONNX model, or an empty one")
    newest = onnx.defs.onnx_opset_version()
    version = opsets.setdefault("", 1)
    if not _MIN_OPSET <= version <= newest and any(n.domain in STANDARD for n in proto.graph.node):
        raise ModelError(
            f"{source}: opset {version}; opsets {_MIN_OPSET} to {newest} can be read with onnx {onnx.__version__}"
        )
    return ModelFile(proto, source, folder, digest, opsets)


def in_order(graph: onnx.GraphProto, given: Collection[str], source: str) -> list[onnx.NodeProto]:
    """The nodes of a graph in an order in which they can run: the file's own where that is one.

    Args:
        given: Names known before: inputs, initializers, and everything of outer graphs.

    Raises:
        ModelError: A cycle, a name that nothing gives, or one that is given twice.
    """
    makers: dict[str, int] = {}
    known = set(given)
    for i, node in enumerate(graph.node):
        for output in node.output:
            if output and (output in makers or output in known):
                raise ModelError(f"{source}: tensor {output!r} is given twice, by node {node.name!r} again")
            makers[output] = i
    order: list[int] = []
    state = [0] * len(graph.node)  # 0 not seen, 1 being visited, 2 placed
    for root in range(len(graph.node)):
        stack = [root] if state[root] == 0 else []
        while stack:
            i = stack[-1]
            state[i] = 1
            waiting = []
            for name in reads(graph.node[i]):
                if name in makers and state[makers[name]] != 2:
                    if state[makers[name]] == 1:
                        raise ModelError(
                            f"{source}: node {graph.node[i].name!r} needs its own result {name!r}: a cycle"
                        )
                    waiting.append(makers[name])
                elif name not in makers and name not in known:
                    raise ModelError(
                        f"{source}: node {graph.node[i].name!r} ({graph.node[i].op_type}) reads {name!r}, "
                        f"which nothing gives"
                    )
            if waiting:
                stack.append(waiting[0])
            else:
                state[i] = 2
                order.append(i)
                stack.pop()
    return [graph.node[i] for i in order]


def reads(node: onnx.NodeProto) -> list[str]:
    """Names that a node needs, those that graphs in its attributes take from outside included."""
    names = [n for n in node.input if n]
    for graph in subgraphs(node):
        inside = {o for n in graph.node for o in n.output} | {t.name for t in graph.initializer}
        inside |= {t.name for t in graph.input}
        names += [n for inner in graph.node for n in reads(inner) if n not in inside]
        names += [o.name for o in graph.output if o.name not in inside]
    return names


def subgraphs(node: onnx.NodeProto) -> Iterator[onnx.GraphProto]:
    """Graphs in the attributes of a node."""
    for attribute in node.attribute:
        if attribute.type == onnx.AttributeProto.GRAPH:
            yield attribute.g
        yield from attribute.graphs


def depth(graph: onnx.GraphProto, limit: int = MAX_NESTING) -> int:
    """How deep graphs nest, up to limit + 1."""
    if limit < 0:
        return 1
    return 1 + max((depth(g, limit - 1) for n in graph.node for g in subgraphs(n)), default=0)


def array(tensor: onnx.TensorProto, file: ModelFile) -> np.ndarray:
    """The value of a tensor in the file, or beside it.

    Raises:
        ModelError: Sizes that are negative, huge or don't fit the bytes, or external data outside the model's folder.
    """
    name, dims = tensor.name, [int(d) for d in tensor.dims]
    if any(d < 0 for d in dims) or math.prod(dims) > MAX_EXTENT:
        raise ModelError(f"{file.source}: tensor {name!r} has the shape {dims}")
    if tensor.data_type in (0, onnx.TensorProto.STRING, onnx.TensorProto.COMPLEX64, onnx.TensorProto.COMPLEX128):
        raise ModelError(f"{file.source}: tensor {name!r} has elements of type {tensor.data_type}, which is not read")
    if tensor.data_location == onnx.TensorProto.EXTERNAL:
        tensor = _external(tensor, file)
    try:
        value = numpy_helper.to_array(tensor)
    except Exception as e:  # whatever a damaged tensor makes of the reader
        raise ModelError(f"{file.source}: tensor {name!r} {dims} is damaged: {e}") from None
    if list(value.shape) != dims:
        raise ModelError(f"{file.source}: tensor {name!r} {dims} has the value {list(value.shape)}")
    return np.asarray(value)


def _external(tensor: onnx.TensorProto, file: ModelFile) -> onnx.TensorProto:
    """The tensor with the bytes of its file put in; the file must lie in the model's folder."""
    facts = {e.key: e.value for e in tensor.external_data}
    location = facts.get("location", "")
    if file.folder is None:
        raise ModelError(f"{file.source}: tensor {tensor.name!r} is in {location!r}, and the model is not in a folder")
    root = os.path.realpath(file.folder)
    path = os.path.realpath(os.path.join(root, location))
    if os.path.isabs(location) or os.path.commonpath([root, path]) != root or not os.path.isfile(path):
        raise ModelError(
            f"{file.source}: tensor {tensor.name!r}: its data {location!r} is no file of the model's folder"
        )
    try:
        offset, length = int(facts.get("offset", "0")), int(facts.get("length", "-1"))
    except ValueError:
        raise ModelError(f"{file.source}: tensor {tensor.name!r}: bad place in {location!r}") from None
    size = os.path.getsize(path)
    length = size - offset if length < 0 else length
    if offset < 0 or length < 0 or offset + length > size or length > MAX_EXTENT:
        raise ModelError(f"{file.source}: tensor {tensor.name!r}: {length} bytes at {offset} are not in {location!r}")
    stored = math.prod(tensor.dims) * helper.tensor_dtype_to_np_dtype(tensor.data_type).itemsize
    if length > stored:  # less than a byte an element is stored in less
        raise ModelError(
            f"{file.source}: tensor {tensor.name!r}: {length} bytes in {location!r}, its shape has {stored}"
        )
    with open(path, "rb") as f:
        f.seek(offset)
        data = f.read(length)
    inside = onnx.TensorProto(name=tensor.name, data_type=tensor.data_type, raw_data=data)
    inside.dims.extend(tensor.dims)
    return inside
