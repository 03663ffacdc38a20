"""Transforms of sound: DFT and STFT as products with a matrix of constants."""

from __future__ import annotations

import numpy as np

from ...errors import ModelError
from ..graph import Tensor
from .importer import Importer
from .nn import binary, sizes
from .node import Node, Unsupported
from .table import Table, registrar

CONVERTERS: Table = {}
converts = registrar(CONVERTERS)
_LARGEST = 2**23  # elements of a transform's matrix


def _matrix(n: int, parts: int, bins: int, inverse: bool) -> np.ndarray:
    """What takes n points of 1 (real) or 2 (real, imaginary) parts to `bins` points of two: [n * parts, bins * 2]."""
    if n * parts * bins * 2 > _LARGEST:
        raise Unsupported(f"a transform of {max(n, bins)} points: its matrix has more than {_LARGEST} elements")
    length = bins if inverse else n
    angle = 2 * np.pi * ((np.arange(n)[:, None] * np.arange(bins)[None]) % length) / length
    real, imaginary = np.cos(angle), np.sin(angle) * (1 if inverse else -1)
    result = np.zeros((n, parts, bins, 2))
    result[:, 0, :, 0], result[:, 0, :, 1] = real, imaginary
    if parts == 2:
        result[:, 1, :, 0], result[:, 1, :, 1] = -imaginary, real
    if inverse:
        result /= length
    return result.reshape(n * parts, bins * 2)


@converts("DFT")
def _dft(m: Importer, n: Node) -> None:
    x = m.operand(n, 0)
    rank, shape = len(x.shape), sizes(x)
    given = m.constant(n, 2) if n.opset >= 20 else None
    axis = int(given.reshape(-1)[0]) if given is not None else int(n.attr("axis", 1 if n.opset < 20 else -2))
    axis %= rank
    onesided, inverse = bool(n.attr("onesided", 0)), bool(n.attr("inverse", 0))
    length_given = m.constant(n, 1)
    parts, have = shape[-1], shape[axis]
    if axis == rank - 1 or parts not in (1, 2):
        raise ModelError(f"node {n.name!r} (DFT): axis {axis} of {shape}")
    length = have if length_given is None else int(length_given.reshape(-1)[0])
    if onesided and inverse and length_given is None:
        length = 2 * (have - 1)
    if length < 1:
        raise ModelError(f"node {n.name!r} (DFT): dft_length {length}")
    bins = length // 2 + 1 if onesided else length
    full = _matrix(length, parts, length, inverse).reshape(length, parts, length, 2)
    if onesided and inverse:  # of a real signal: the other half of its spectrum is the conjugate of this one
        twice = np.where((np.arange(length) == 0) | (np.arange(length) * 2 == length), 1, 2)
        full = full[: length // 2 + 1, :, :, :1] * twice[: length // 2 + 1, None, None, None]
        bins = length
    used = min(have, len(full))  # what is missing is zeros, what is too much is cut off
    matrix = full[:used, :, :bins].reshape(used * parts, -1)
    perm = [i for i in range(rank - 1) if i != axis] + [axis, rank - 1]
    y = x
    if used < have:
        y = m.one("slice", [y], f"{n.name}/cut", starts=(0,), ends=(used,), axes=(axis,), steps=(1,))
    y = m.transpose(y, perm, f"{n.name}/last")
    lead = sizes(y)[:-2]
    y = _product(m, m.reshape(y, (*lead, used * parts), f"{n.name}/flat"), matrix, n.name)
    y = m.reshape(y, (*lead, bins, full.shape[-1]), f"{n.name}/bins")
    y = m.transpose(y, [int(i) for i in np.argsort(perm)], n.outputs[0])
    m.bind(n, y)


def _product(m: Importer, x: Tensor, matrix: np.ndarray, name: str) -> Tensor:
    weight = m.const(matrix.astype(x.dtype), f"{name}/matrix")
    return m.one("matmul", [x, weight], f"{name}/product", transpose_a=False, transpose_b=False, activation=None)


@converts("STFT")
def _stft(m: Importer, n: Node) -> None:
    """Frames of the signal by a gather, times the window, then the DFT of each."""
    x, window = m.operand(n, 0), m.optional(n, 2)
    step_given, length_given = m.constant(n, 1), m.constant(n, 3)
    onesided = bool(n.attr("onesided", 1))
    assert step_given is not None
    step = int(step_given.reshape(-1)[0])
    batch, samples, parts = sizes(x) if len(x.shape) == 3 else (*sizes(x), 1)
    length = 0 if length_given is None else int(length_given.reshape(-1)[0])
    length = length if window is None else sizes(window)[0]
    if step < 1 or not 1 <= length <= samples:
        raise ModelError(f"node {n.name!r} (STFT): frames of {length} every {step} of {samples}")
    frames = (samples - length) // step + 1
    bins = length // 2 + 1 if onesided else length
    indices = (np.arange(frames)[:, None] * step + np.arange(length)[None]).astype(np.int64)
    y = m.reshape(x, (batch, samples, parts), f"{n.name}/signal")
    y = m.one("gather", [y, m.const(indices, f"{n.name}/frames")], f"{n.name}/framed", axis=1, batch_dims=0)
    if window is not None:
        y = binary(m, "mul", y, m.reshape(window, (length, 1), f"{n.name}/window"), f"{n.name}/windowed")
    matrix = _matrix(length, parts, length, False).reshape(length * parts, length, 2)[:, :bins].reshape(-1, bins * 2)
    y = _product(m, m.reshape(y, (batch, frames, length * parts), f"{n.name}/flat"), matrix, n.name)
    m.bind(n, m.reshape(y, (batch, frames, bins, 2), n.outputs[0]))
