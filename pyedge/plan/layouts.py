"""Layouts of constants for the kernels of some boards (docs/plan.md, "Mixed rows", "Interleaved rows"), and back to the
canonical one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from .. import _core
from . import structs

if TYPE_CHECKING:
    from .program import Program, Step

_BLOCK = {4: 2, 2: 4}  # rows that are mixed together, by rank of the weights: conv2d_s8, linear_s8


def mixed_rows(w: np.ndarray) -> np.ndarray | None:
    """int8 weights [C_out][...] in mixed rows: the same shape, dtype and number of bytes, of another meaning.

    None: some mixed weights do not fit into int16, as -128 of a second row and below 0 in the first.
    """
    rows = _BLOCK[w.ndim]
    flat = w.reshape(len(w), -1)
    whole, k = len(flat) // rows * rows, flat.shape[1]
    pairs = flat[:whole].astype(np.int32).reshape(whole // rows, rows // 2, 2, k)
    mixed = (pairs[:, :, 0] + 256 * pairs[:, :, 1]).reshape(whole // rows, rows // 2 * k)
    if np.any(mixed < -(2**15)):
        return None
    blocked = mixed[:, _order(k, rows // 2)].astype("<i2").tobytes()
    return np.frombuffer(blocked + flat[whole:].tobytes(), np.int8).reshape(w.shape)


def unmixed_rows(w: np.ndarray) -> np.ndarray:
    """The int8 weights of which `mixed_rows` makes w."""
    rows = _BLOCK[w.ndim]
    flat = np.ascontiguousarray(w).reshape(len(w), -1)
    whole, k = len(flat) // rows * rows, flat.shape[1]
    mixed = np.empty((whole // rows, rows // 2 * k), np.uint16)
    mixed[:, _order(k, rows // 2)] = flat[:whole].reshape(-1).view("<u2").reshape(mixed.shape)
    low = mixed.astype(np.int8).reshape(whole // rows, rows // 2, 1, k)
    high = ((mixed.reshape(low.shape) - low.astype(np.uint16)) >> 8).astype(np.int8)
    out = np.concatenate([low, high], 2).reshape(whole, k)
    return np.concatenate([out, flat[whole:]]).reshape(w.shape)


def _order(k: int, pairs: int) -> np.ndarray:
    """Which element of the mixed [pairs][k] is at each place: of four in k the words (0, 2), (1, 3), pair by pair."""
    at = np.arange(pairs * k).reshape(pairs, k)
    whole = k // 4 * 4
    words = at[:, :whole].reshape(pairs, -1, 2, 2).transpose(1, 3, 0, 2)  # fours, words, pairs, halves
    return np.concatenate([words.reshape(-1), at[:, whole:].T.reshape(-1)])


def interleaved_rows(w: np.ndarray) -> np.ndarray | None:
    """int8 weights [N][K] in interleaved rows: the same shape, dtype and number of bytes, of another meaning.

    None: fewer rows than are interleaved.
    """
    if len(w) < 4:
        return None
    flat = w.reshape(-1)
    parts = [(flat[part].reshape(shape).swapaxes(1, 2) ^ -128).reshape(-1) for part, shape in _interleaved(w.shape)]
    return np.concatenate([*parts, flat[sum(map(len, parts)) :]]).reshape(w.shape)


def canonical_rows(w: np.ndarray) -> np.ndarray:
    """The int8 weights of which `interleaved_rows` makes w."""
    flat: np.ndarray = w.reshape(-1).copy()
    for part, (blocks, rows, k) in _interleaved(w.shape):
        flat[part] = (flat[part].reshape(blocks, k, rows).swapaxes(1, 2) ^ -128).reshape(-1)
    return flat.reshape(w.shape)


def _interleaved(shape: tuple[int, ...]) -> list[tuple[slice, tuple[int, int, int]]]:
    """Where blocks of 16 rows, then of 4, lie in flat weights [N][K], and the shape [blocks][rows][K] of each part."""
    n, k = shape
    many, whole = n // 16 * 16, n // 4 * 4
    return [
        (slice(many * k), (many // 16, 16, k)),
        (slice(many * k, whole * k), ((whole - many) // 4, 4, k)),
    ]


class _Layout(NamedTuple):
    kinds: tuple[str, ...]  # ops whose weights may have it
    pack: Callable[[np.ndarray], np.ndarray | None]
    unpack: Callable[[np.ndarray], np.ndarray]


_LAYOUTS = {
    "mixed-rows": _Layout(("conv2d_s8", "linear_s8"), mixed_rows, unmixed_rows),
    "interleaved-rows": _Layout(("linear_s8",), interleaved_rows, canonical_rows),
}


def lay_out(program: Program, layout: str) -> None:
    """Gives the constants of a program the layout of a board's profile."""
    if layout == "canonical":
        return
    kinds, pack, _ = _LAYOUTS[layout]
    packed: dict[int, int] = {}
    for step in program.steps:
        w = step.inputs[1] if step.kind in kinds else None
        if w is not None and _may_be_packed(program, step, w):
            packed[w] = packed.get(w) or _packed_value(program, w, structs.LAYOUTS[layout], pack)
            step.inputs[1] = packed[w]


def _may_be_packed(program: Program, step: Step, w: int) -> bool:
    """Whether kernels of a layout take a step with weights w; conv2d_s8 in groups has rows in pairs."""
    params = structs.unpack_params(step.kind, step.params)
    groups = params.get("groups", 1)
    whole = groups == 1 or program.values[w].dims[0] // groups % 2 == 0
    return bool(whole and params["rounding"] == structs.ROUNDING["tflite"])


def _packed_value(program: Program, w: int, layout: int, pack: Callable[[np.ndarray], np.ndarray | None]) -> int:
    """The number of a value that is weights w in a layout; w itself where there is none."""
    value, number = program.values[w], len(program.values)
    data = None if value.data is None else pack(value.data)
    if data is None:
        return w
    program.values.append(replace(value, storage=number, data=data, layout=layout))
    return number


def canonical(data: memoryview) -> bytes:
    """A verified plan with all its constants in the canonical layout, which sessions of every CPU take."""
    image = np.frombuffer(data, np.uint8).copy()
    header = image[: structs.record_dtype("pe_plan_header").itemsize].view(structs.record_dtype("pe_plan_header"))[0]
    consts = image[int(header["consts"]["offset"]) :]
    start = int(header["tensors"]["offset"])
    tensors = image[start : start + int(header["tensors"]["bytes"])].view(structs.record_dtype("pe_tensor"))
    packed = image.copy()[int(header["consts"]["offset"]) :]
    unpack = {structs.LAYOUTS[name]: layout.unpack for name, layout in _LAYOUTS.items()}
    for t in tensors[tensors["layout"] != structs.LAYOUT_CANONICAL]:
        place = slice(int(t["offset"]), int(t["offset"]) + int(t["bytes"]))
        w = packed[place].view(np.int8).reshape(tuple(t["dims"][: t["rank"]].tolist()))
        consts[place] = unpack[int(t["layout"])](w).reshape(-1).view(np.uint8)
    tensors["layout"] = structs.LAYOUT_CANONICAL
    header["layout"] = structs.LAYOUT_CANONICAL
    header["crc32"] = _core.crc32(image[16 : int(header["file_bytes"])].tobytes())
    return bytes(image)
