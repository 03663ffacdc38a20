"""Custom ops: the kinds that a user has registered, beside those of pyedge.

A registered op is a kind like any other: an entry in the tables of kinds, attributes and references. Its attributes are
the fields of its kernel's params struct. How kernels are compiled and loaded: pyedge/custom.py.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import ModelError, PyedgeError
from . import check, reference
from .graph import DTYPES, Op, Tensor
from .ops import ANY_NUMBER, ATTRS, KINDS, Kind, Operands, Result

if TYPE_CHECKING:
    import cffi

Shapes = Callable[[list[Any], dict[str, Any]], Sequence[Result]]
Reference = Callable[[list[Any], dict[str, Any], list[Any]], Any]

ANY = 255  # PE_CUSTOM_ANY


@dataclass(frozen=True)
class Kernel:
    """A kernel that this process has loaded; the facts of pe_custom_op. file: where it is from."""

    name: str
    source: int
    params_bytes: int
    inputs: int
    outputs: int
    file: str


@dataclass(frozen=True)
class Params:
    """A params struct, as cffi has read it from its C declaration. type: None for an op without params."""

    ffi: cffi.FFI
    type: Any

    @property
    def fields(self) -> dict[str, Any]:
        """cffi's types of the fields, by name."""
        return {} if self.type is None else {name: field.type for name, field in self.type.fields}

    def pack(self, values: Mapping[str, Any]) -> bytes:
        """The struct's bytes; fields that are not given are 0. Raises what cffi does where a value does not fit."""
        if self.type is None:
            return b""
        plain = {name: v.tolist() if isinstance(v, np.ndarray | np.generic) else v for name, v in values.items()}
        return bytes(self.ffi.buffer(self.ffi.new(self._pointer, plain)))

    def unpack(self, data: bytes) -> dict[str, Any]:
        """The fields of a struct: numbers, and lists of numbers."""
        if self.type is None:
            return {}
        struct = self.ffi.from_buffer(self._pointer, data)
        values = {name: getattr(struct, name) for name in self.fields}
        return {name: list(v) if self.fields[name].kind == "array" else v for name, v in values.items()}

    @property
    def size(self) -> int:
        """Bytes of the struct."""
        return 0 if self.type is None else int(self.ffi.sizeof(self.type))

    @property
    def _pointer(self) -> str:
        return str(self.ffi.getctype(self.type, "*"))

    def zeros(self) -> dict[str, Any]:
        """All fields 0."""
        return self.unpack(bytes(self.size))


KERNELS: dict[str, Kernel] = {}  # that plans may use
PARAMS: dict[str, Params] = {}  # of the ops that graphs may use, by name, which is their kind


def add_kind(kernel: Kernel, params: Params, shapes: Shapes, rule: Reference, dtypes: Sequence[str]) -> None:
    """Makes a kernel an op of graphs; an earlier one of its name goes."""
    remove_kind(kernel.name)
    for name, type_ in params.fields.items():
        ATTRS[f"{kernel.name}.{name}"] = (_fits(params, name), f"a C {type_.cname}")
    operands = ANY_NUMBER if kernel.inputs == ANY else kernel.inputs
    KINDS[kernel.name] = Kind(operands, tuple(params.fields), _inference(shapes, tuple(dtypes)))
    reference.RULES[kernel.name] = _reference(rule)
    check.CODES_ONLY.add(kernel.name)
    PARAMS[kernel.name] = params


def remove_kind(name: str) -> None:
    """Takes an op out of the tables; nothing happens if it is not there."""
    params = PARAMS.pop(name, None)
    if params is None:
        return
    for field in params.fields:
        del ATTRS[f"{name}.{field}"]
    del KINDS[name], reference.RULES[name]
    check.CODES_ONLY.discard(name)


def _fits(params: Params, name: str) -> Callable[[Any], bool]:
    def valid(value: Any) -> bool:
        try:
            params.pack({name: value})
        except (TypeError, OverflowError, IndexError, KeyError, ValueError):
            return False
        return True

    return valid


def _inference(shapes: Shapes, dtypes: tuple[str, ...]) -> Callable[[Op, Operands], list[Result]]:
    def infer(op: Op, operands: Operands) -> list[Result]:
        for t in operands:
            if t is not None and t.dtype not in dtypes:
                raise ModelError(f"{op.kind} {op.name!r}: tensor {t.name!r} is {t.dtype}, it takes {', '.join(dtypes)}")
        results = _call(op, "shape rule", shapes, list(operands), dict(op.attrs))
        try:
            return [(tuple(shape), _dtype(dtype)) for shape, dtype in results]
        except (TypeError, ValueError):
            raise ModelError(
                f"{op.kind} {op.name!r}: its shape rule gives {results!r}, expected [(shape, dtype), ...]"
            ) from None

    return infer


def _dtype(name: Any) -> str:
    if name not in DTYPES:
        raise ValueError(name)
    return str(name)


def _reference(rule: Reference) -> reference.Rule:
    def compute(op: Op, arrays: list[Any], tensors: list[Any], rounding: str) -> list[np.ndarray]:
        found = _call(op, "reference", rule, arrays, dict(op.attrs), tensors)
        results: list[Tensor] = tensors[len(arrays) :]
        values = [np.asarray(v) for v in (found if isinstance(found, list | tuple) else [found])]
        if [v.shape for v in values] != [t.shape for t in results]:
            given, expected = [list(v.shape) for v in values], [list(t.shape) for t in results]
            raise ModelError(
                f"{op.kind} {op.name!r}: its reference gives arrays of the shapes {given}, expected {expected}"
            )
        return values

    return compute


def _call(op: Op, what: str, function: Callable[..., Any], *args: Any) -> Any:
    """The user's function; what it raises becomes one line, unless it is an error of ours."""
    try:
        return function(*args)
    except PyedgeError:
        raise
    except Exception as e:
        text = " ".join(str(e).split())
        raise ModelError(f"{op.kind} {op.name!r}: its {what} failed: {type(e).__name__}: {text}") from e
