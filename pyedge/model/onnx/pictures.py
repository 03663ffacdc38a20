"""Pictures and caches: what is made of several moves."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ...errors import ModelError
from .importer import Importer
from .move import fits, pad, sizes_of
from .node import Node, Unsupported
from .table import Table, axis_of, registrar

CONVERTERS: Table = {}
converts = registrar(CONVERTERS)


@converts("DepthToSpace", "SpaceToDepth")
def _depth(m: Importer, n: Node) -> None:
    """As a reshape, a transpose and a reshape: that is their definition, in both modes."""
    x, b = m.operand(n, 0), int(n.attr("blocksize"))
    batch, c, h, w = sizes_of(x)
    mode = n.attr("mode", "DCR")
    if b < 1 or mode not in ("DCR", "CRD"):
        raise ModelError(f"node {n.name!r} ({n.op_type}): blocksize {b}, mode {mode!r}")
    if n.op_type == "SpaceToDepth" and mode == "DCR":
        parts, perm, shape = (batch, c, h // b, b, w // b, b), (0, 3, 5, 1, 2, 4), (batch, c * b * b, h // b, w // b)
    elif n.op_type == "SpaceToDepth":
        parts, perm, shape = (batch, c, h // b, b, w // b, b), (0, 1, 3, 5, 2, 4), (batch, c * b * b, h // b, w // b)
    elif mode == "DCR":
        parts, perm, shape = (batch, b, b, c // (b * b), h, w), (0, 3, 4, 1, 5, 2), (batch, c // (b * b), h * b, w * b)
    else:
        parts, perm, shape = (batch, c // (b * b), b, b, h, w), (0, 1, 4, 2, 5, 3), (batch, c // (b * b), h * b, w * b)
    y = m.reshape(x, parts, f"{n.name}/blocks")
    m.bind(n, m.reshape(m.transpose(y, perm, f"{n.name}/moved"), shape, n.outputs[0]))


@converts("CenterCropPad")
def _center_crop_pad(m: Importer, n: Node) -> None:
    """A slice and a pad; the odd element is cut and added at the end."""
    x, target = m.operand(n, 0), m.ints(n, "shape", 1, [])
    rank = len(x.shape)
    axes = [a % rank for a in m.ints(n, "axes", None, list(range(rank)))]
    fits(n, target)
    starts, ends, before, after = [0] * rank, sizes_of(x), [0] * rank, [0] * rank
    for axis, size in zip(axes, target, strict=True):
        have = sizes_of(x)[axis]
        if have > size:
            starts[axis] = (have - size) // 2
            ends[axis] = starts[axis] + size
        else:
            before[axis] = (size - have) // 2
            after[axis] = size - have - before[axis]
    y = m.one(
        "slice", [x], f"{n.name}/crop", starts=tuple(starts), ends=tuple(ends), axes=tuple(range(rank)),
        steps=(1,) * rank,
    )  # fmt: skip
    m.bind(n, pad(m, n, y, before, after, "constant", None) if any(before + after) else y)


@converts("Resize", "Upsample")
def _resize(m: Importer, n: Node) -> None:
    """Upsample is Resize of opset 9 and before; Resize of opset 10 has scales as its second operand, as Upsample."""
    x = m.operand(n, 0)
    rank, shape = len(x.shape), sizes_of(x)
    old = n.op_type == "Upsample" or n.opset < 11
    axes = [a % rank for a in n.attr("axes", list(range(rank)))]
    scales_given = m.constant(n, 1 if old else 2)
    sizes_given = None if old else m.constant(n, 3)
    roi = None if old else m.constant(n, 1)
    policy = n.attr("keep_aspect_ratio_policy", "stretch")
    if old and scales_given is None:
        scales_given = np.array(n.attr("scales"), np.float32)
    scales, target = [1.0] * rank, list(shape)
    if sizes_given is not None and sizes_given.size:
        wanted = [int(v) for v in sizes_given.reshape(-1)]
        ratios = [w / shape[a] for w, a in zip(wanted, axes, strict=True)]
        if policy != "stretch":
            ratio = min(ratios) if policy == "not_larger" else max(ratios)
            ratios = [ratio] * len(axes)
            wanted = [math.floor(ratio * shape[a] + 0.5) for a in axes]
        for axis, ratio, size in zip(axes, ratios, wanted, strict=True):
            scales[axis], target[axis] = ratio, size
    elif scales_given is not None:
        for axis, given in zip(axes, scales_given.reshape(-1), strict=True):
            scales[axis] = float(given)
            target[axis] = math.floor(shape[axis] * scales[axis])
    else:
        raise ModelError(f"node {n.name!r} ({n.op_type}): neither scales nor sizes")
    fits(n, target)
    mode = {"bilinear": "linear", "trilinear": "linear"}.get(n.attr("mode", "nearest"), n.attr("mode", "nearest"))
    corners = [0.0] * rank + [1.0] * rank
    if roi is not None and roi.size:
        for i, axis in enumerate(axes):
            corners[axis], corners[rank + axis] = (float(roi.reshape(-1)[i + k * len(axes)]) for k in (0, 1))
    attrs: dict[str, Any] = {
        "sizes": tuple(target),
        "scales": tuple(scales),
        "mode": mode,
        "coordinates": "asymmetric" if old else n.attr("coordinate_transformation_mode", "half_pixel"),
        "nearest": "floor" if old else n.attr("nearest_mode", "round_prefer_floor"),
        "cubic_coeff": float(n.attr("cubic_coeff_a", -0.75)),
        "exclude_outside": bool(n.attr("exclude_outside", 0)),
        "extrapolation": float(n.attr("extrapolation_value", 0.0)),
        "antialias": bool(n.attr("antialias", 0)),
        "roi": tuple(corners),
    }
    m.bind(n, m.one("resize", [x], n.outputs[0], quants=[x.quant], **attrs))


@converts("Col2Im")
def _col2im(m: Importer, n: Node) -> None:
    image, block = m.ints(n, "", 1, []), m.ints(n, "", 2, [])
    rank = len(image)
    pads = n.attr("pads", [0] * 2 * rank)
    attrs: dict[str, Any] = {
        "image": fits(n, image),
        "block": tuple(block),
        "dilations": tuple(n.attr("dilations", [1] * rank)),
        "strides": tuple(n.attr("strides", [1] * rank)),
        "pads": tuple((pads[i], pads[i + rank]) for i in range(rank)),
    }
    m.bind(n, m.one("col2im", [m.operand(n, 0)], n.outputs[0], **attrs))


@converts("TensorScatter")
def _tensor_scatter(m: Importer, n: Node) -> None:
    """Writes update into past_cache along an axis, from write_indices[batch] on; circular: around the end."""
    cache, update, start = m.operand(n, 0), m.operand(n, 1), m.optional(n, 2)
    rank, shape = len(cache.shape), sizes_of(update)
    axis = axis_of(n, rank, -2)
    mode = n.attr("mode", "linear")
    if mode not in ("linear", "circular"):
        raise Unsupported(f"mode={mode!r}")
    steps = np.arange(shape[axis], dtype=np.int64).reshape([-1 if i == axis else 1 for i in range(rank)])
    indices = m.const(steps, f"{n.name}/steps")
    if start is not None:
        first = m.reshape(start, (shape[0], *[1] * (rank - 1)), f"{n.name}/first")
        indices = m.one("add", [indices, first], f"{n.name}/places", activation=None)
    if mode == "circular":
        around = m.const(np.array(sizes_of(cache)[axis], np.int64), f"{n.name}/size")
        indices = m.one("mod", [indices, around], f"{n.name}/around", fmod=0)
    indices = m.one("expand", [indices], f"{n.name}/indices", shape=tuple(shape))
    m.bind(n, m.one("scatter_elements", [cache, indices, update], n.outputs[0], axis=axis, reduction="none"))


@converts("ReverseSequence")
def _reverse_sequence(m: Importer, n: Node) -> None:
    attrs = {"batch_axis": int(n.attr("batch_axis", 1)), "time_axis": int(n.attr("time_axis", 0))}
    m.bind(n, m.one("reverse_sequence", [m.operand(n, 0), m.operand(n, 1)], n.outputs[0], **attrs))
