"""Custom ops: a user's own C kernels, compiled, loaded, registered. What a kernel is: csrc/include/pyedge_custom.h."""

from __future__ import annotations

import hashlib
import os
import re
import shlex
import struct
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from . import _core
from ._programs import complaint, program, zig
from ._sources import sources
from .errors import MissingToolError, ModelError, ToolError, VerificationError
from .model import custom
from .model.builder import GraphBuilder
from .model.custom import KERNELS, PARAMS, Kernel, Params, Reference, Shapes
from .model.ops import KINDS
from .model.reference import run as run_reference
from .plan.compile import compile
from .session import Session

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,30}")
_OP = re.compile(r"^[ \t]*PE_CUSTOM_OP\(\s*(\w+)\s*,", re.MULTILINE)
_COMMENT = re.compile(r"/\*.*?\*/|//[^\n]*", re.DOTALL)
_INCLUDE = re.compile(rb'^[ \t]*#[ \t]*include[ \t]*"([^"\n]+)"', re.MULTILINE)
# Names of arguments beside the attributes where ops are made.
_RESERVED = {"kind", "inputs", "outputs", "name", "quants", "scale", "zero_point"}

_libraries: list[Any] = []  # never closed: plans and sessions run what is in them

PathLike = str | os.PathLike[str]


def register_op(
    name: str,
    declaration: str = "",
    *,
    shapes: Shapes,
    reference: Reference,
    source: PathLike | None = None,
    library: PathLike | None = None,
    dtypes: Sequence[str] = ("float32",),
) -> None:
    """Makes a C kernel an op of graphs and plans, under its name.

    `GraphBuilder.op(name, x, field=value)` uses it, as do models: a custom operator of that name in a .tflite file, a
    node of that type in a foreign domain of an .onnx file; fields that the model does not state are 0. Registering a
    name again replaces it for what is compiled afterwards.

    Args:
        name: Of the op, as in PE_CUSTOM_OP(name, ...).
        declaration: The kernel's params struct in C, such as "typedef struct { float gain; } gain_params;". Its fields
            are the op's attributes; of types with at most 4-byte alignment. Empty for an op without params.
        shapes: shapes(tensors, attrs) gives [(shape, dtype), ...] of the results. tensors: a Tensor for each input
            (name, dtype, shape with None for an open size), None for an absent one; attrs: values by field.
        reference: reference(arrays, attrs, tensors) gives an array, or one for each result, computed by NumPy. tensors:
            a Tensor for each input, then each result (scale and zero_point of int8 ones). `check_op` compares it.
        source: The C file, compiled here by CC, cc, gcc, clang or the PyPI package ziglang.
        library: A shared library with the kernel. With a source as well, the library is taken to be made from it, so
            that its plans run on boards whose firmware has the kernel from that source.
        dtypes: What inputs may be.

    Raises:
        ModelError: A declaration that does not parse or is not of the kernel's size, a name that is taken, a library
            without the op or for another processor.
        ToolError: No C compiler, or one that refuses the source.
    """
    if not _NAME.fullmatch(name):
        raise ModelError(f"op {name!r}: a name has at most 31 letters, digits and underscores")
    if name in KINDS and name not in PARAMS:
        raise ModelError(f"op {name!r}: pyedge has an op of that name; call yours otherwise")
    params = _declared(name, declaration)
    kernel = _load(name, source, library)
    if not kernel.inputs or not kernel.outputs:
        raise ModelError(f"op {name!r}: a kernel needs at least one input and one output")
    if params.size != kernel.params_bytes:
        raise ModelError(
            f"op {name!r}: the params of the declaration have {params.size} bytes, the kernel's {kernel.params_bytes}"
        )
    KERNELS[name] = kernel
    custom.add_kind(kernel, params, shapes, reference, dtypes)


def unregister_op(name: str) -> None:
    """Takes an op out again: graphs and plans that need it are refused from now on, sessions go on.

    Raises ModelError if it is not registered.
    """
    if KERNELS.pop(name, None) is None:
        raise ModelError(f"op {name!r} is not registered")
    custom.remove_kind(name)


def check_op(
    name: str,
    *arrays: np.ndarray,
    tolerance: float = 0.0,
    outputs: int | None = None,
    scale: float | None = None,
    zero_point: int = 0,
    **attrs: Any,
) -> list[np.ndarray]:
    """Runs a registered op by its kernel and by its reference, and compares.

    Args:
        arrays: Its inputs.
        tolerance: Largest difference that is allowed; 0: equal, where NaN equals NaN.
        outputs: How many results there are, where the kernel leaves it open.
        scale, zero_point: Of all int8 inputs and results.
        attrs: Its attributes.

    Returns:
        The kernel's results.

    Raises:
        VerificationError: They differ; names the first element that does, and both values.
        ModelError, ShapeError, PlanError: As building and compiling a graph of this op.
    """
    if name not in PARAMS:
        raise ModelError(f"op {name!r} is not registered; try: pyedge.register_op({name!r}, ...)")
    b = GraphBuilder()
    quant: dict[str, Any] = {"scale": scale, "zero_point": zero_point}
    inputs = [
        b.input(f"x{i}", a.shape, str(a.dtype), **(quant if a.dtype == np.int8 else {})) for i, a in enumerate(arrays)
    ]
    fixed = KERNELS[name].outputs
    outputs = outputs or (1 if fixed == custom.ANY else fixed)
    for i, y in enumerate(b.op(name, *inputs, outputs=outputs, **quant, **attrs)):
        b.output(f"y{i}", y)
    graph = b.build()
    feeds = {t.name: a for t, a in zip(graph.inputs, arrays, strict=True)}
    actual = Session(compile(graph)).run(feeds)
    expected = run_reference(graph, feeds)
    for key, there in expected.items():
        here = actual[key]
        # Compared in float64, which holds every dtype's values but 64-bit integers beyond 2^53.
        near = (here == there) | (np.abs(here.astype(np.float64) - there.astype(np.float64)) <= tolerance)
        bad = np.argwhere(~(near | ((here != here) & (there != there))))
        if len(bad):
            at = tuple(int(i) for i in bad[0])
            raise VerificationError(
                f"op {name!r}: {len(bad)} of {here.size} elements of result {key[1:]} differ, first at {list(at)}:"
                f" the kernel gives {here[at]}, the reference {there[at]}"
            )
    return list(actual.values())


def load_kernels(source: PathLike) -> list[Kernel]:
    """Compiles and loads every op of a C file, for plans that use them. Raises ModelError, ToolError."""
    with _compiled(Path(source)) as library:
        kernels = [_open(name, library, source_number(source), source, source) for name in op_names(source)]
    KERNELS.update((k.name, k) for k in kernels)
    return kernels


def op_names(source: PathLike) -> list[str]:
    """The ops that a C file has, by its PE_CUSTOM_OP lines. Raises ModelError if there are none, or no such file."""
    names = _OP.findall(_COMMENT.sub(" ", _read(Path(source)).decode("utf-8", "replace")))
    if not names:
        raise ModelError(f"{source}: no PE_CUSTOM_OP(...) in it: it makes no op")
    return names


def source_number(source: PathLike) -> int:
    """What stands for a source in plans and kernels: the start of its digest; never 0."""
    return int.from_bytes(source_digest(source)[:4], "little") or 1


def source_digest(source: PathLike) -> bytes:
    """SHA-256 of a C file and of the files beside it that it includes by #include "..."."""
    digest, waiting, seen = hashlib.sha256(), [Path(source)], set()
    while waiting:
        path = waiting.pop()
        if path in seen:
            continue
        seen.add(path)
        content = _read(path)
        digest.update(len(content).to_bytes(8, "little") + content)
        beside = [path.parent / os.fsdecode(name) for name in _INCLUDE.findall(content)]
        waiting += [p for p in beside if p.is_file()]
    return digest.digest()


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as e:
        raise ModelError(f"{path}: {e.strerror or e}") from None


def _declared(name: str, declaration: str) -> Params:
    """The params struct of a declaration: NAME_params, or the only struct there is."""
    import cffi  # here, because it takes longer than all of pyedge

    ffi = cffi.FFI()
    try:
        ffi.cdef(declaration)
        typedefs, structs, _ = ffi.list_types()
        known = [ffi.typeof(t) for t in typedefs] + [ffi.typeof(f"struct {s}") for s in structs]
    except Exception as e:  # of pycparser and of cffi, of many types
        text = " ".join(str(e).replace("<cdef source string>", "line").split())
        raise ModelError(f"op {name!r}: the declaration does not parse: {text}") from None
    found = list(dict.fromkeys(t for t in known if t.kind == "struct"))
    if not declaration.strip():
        return Params(ffi, None)
    mine = [t for t in found if t.cname in (f"{name}_params", f"struct {name}_params")] or found
    if len(mine) != 1:
        raise ModelError(f"op {name!r}: the declaration has {len(found)} structs; call the one of params {name}_params")
    if mine[0].fields is None or ffi.alignof(mine[0]) > 4:
        raise ModelError(f"op {name!r}: {mine[0].cname} must be complete, of int32_t, float and smaller fields")
    if taken := sorted(_RESERVED & {field for field, _ in mine[0].fields}):
        raise ModelError(f"op {name!r}: no field can be called {taken[0]!r}, an argument of GraphBuilder.op")
    return Params(ffi, mine[0])


def _load(name: str, source: PathLike | None, library: PathLike | None) -> Kernel:
    if library is not None:
        return _load_library(name, Path(library), source)
    if source is None:
        raise ModelError(f"op {name!r}: give its C source or its library")
    if name not in op_names(source):
        raise ModelError(f"{source}: no PE_CUSTOM_OP({name}, ...) in it; it has {', '.join(op_names(source))}")
    with _compiled(Path(source)) as compiled:
        return _open(name, compiled, source_number(source), source, source)


def _load_library(name: str, library: Path, source: PathLike | None) -> Kernel:
    """The op of a library that the user has built. One that does not say its source is known by its own bytes."""
    content = _read(library)
    with tempfile.TemporaryDirectory(prefix="pyedge-") as work:
        copy = Path(work, library.name)  # so that the file can be built anew while this process runs
        copy.write_bytes(content)
        expected = source_number(library if source is None else source)
        kernel = _open(name, copy, expected, source or library, library)
    if source is not None and kernel.source != expected:
        raise ModelError(f"op {name!r}: {library} was built from another source than {source}")
    return kernel


@contextmanager
def _compiled(source: Path) -> Iterator[Path]:
    """A shared library of a C file, as long as the block runs. ToolError with the compiler's first words."""
    flags = ["-std=c11", "-O2", "-fPIC", "-shared", "-ffreestanding", "-ffp-contract=off", "-Wall", "-Wextra"]
    with sources() as folder, tempfile.TemporaryDirectory(prefix="pyedge-") as work:
        more = [f"-I{folder / 'csrc' / 'include'}", f"-DPE_CUSTOM_SOURCE={source_number(source):#x}"]
        library = Path(work, "kernel.so")
        command = [*_compiler(), *flags, *more, str(source), "-o", str(library)]
        result = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL)
        if result.returncode:
            raise ToolError(f"{source}: the C compiler refuses it: {complaint(result.stdout)}")
        yield library


def _compiler() -> list[str]:
    if os.environ.get("CC"):
        return shlex.split(os.environ["CC"])
    if found := program("cc", "gcc", "clang", "clang-19"):
        return [found]
    if found := zig():
        return [found, "cc"]
    raise MissingToolError("no C compiler for custom ops; try: sudo apt install gcc or: pip install ziglang")


def _open(name: str, library: Path, source: int, file: PathLike, shown: PathLike) -> Kernel:
    """Loads a library and makes its op known to the executor.

    Args:
        source, file: Where the kernel is from, if it does not say itself.
        shown: What messages call the library.
    """
    import cffi

    theirs, ours = _machine(library), _machine(Path(sys.executable))
    if not theirs:
        raise ModelError(f"op {name!r}: {shown}: not a shared library")
    if theirs != ours:
        raise ModelError(f"op {name!r}: {shown} is for another processor: {theirs}, this Python's is {ours}")
    ffi = cffi.FFI()
    ffi.cdef(f"extern const char pe_custom_{name}[];")
    try:
        opened = ffi.dlopen(str(library), ffi.RTLD_NOW)
        address = int(ffi.cast("uintptr_t", ffi.addressof(opened, f"pe_custom_{name}")))
    except OSError as e:
        text = " ".join(str(e).replace(str(library), "").split()).lstrip(": ")
        raise ModelError(f"op {name!r}: cannot load {shown}: {text}") from None
    except AttributeError:
        raise ModelError(f"op {name!r}: {shown} has no PE_CUSTOM_OP({name}, ...)") from None
    _libraries.append(opened)
    try:
        return Kernel(**_core.custom_add(address, source), file=str(file))
    except ValueError as e:
        raise ModelError(f"op {name!r}: {shown}: {e}") from None


def _machine(path: Path) -> str:
    """What an ELF file is for: "ELF machine 62, 64 bit"; empty if it is none."""
    with path.open("rb") as file:
        head = file.read(20)
    if len(head) < 20 or head[:4] != b"\x7fELF":
        return ""
    order = "<" if head[5] == 1 else ">"
    return f"ELF machine {struct.unpack_from(order + 'H', head, 18)[0]}, {32 * head[4]} bit"
