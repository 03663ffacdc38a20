"""The terms of which the cost of an op is a sum, and the cases in which its kernel may take another way.

A term is how often a part of a kernel's loops runs. Kernels of all boards are thought of: tiles of 2, 3 and 4 pixels
and channels, vectors of 16 and 32 elements, what is left of them, windows that are copied and that are read in place.
A board's table tells which of the terms cost something there; the others get the coefficient 0.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from .cost_rows import Row, family

Sizes = dict[str, int]


def terms(row: Row) -> list[float]:
    """How often each part of the loops runs; the cost is a sum of them, each with a coefficient >= 0.

    The first is what most of the work is: a table of a single row knows no more.
    """
    s = row.sizes
    make = {
        "conv2d": _conv2d,
        "depthwise": _depthwise,
        "linear": _linear,
        "pool2d": _pool2d,
        "strided_copy": _strided_copy,
        "mean": _mean,
    }.get(family(row.kind), _elementwise)
    return [*make(s, _element_bytes(row.kind)), 1.0]


def cases(row: Row) -> list[bool]:
    """What may decide which way a kernel takes."""
    s, name = row.sizes, family(row.kind)
    if name == "conv2d":
        g = _geometry(s, _element_bytes(row.kind))
        return [
            g.copied,
            min(g.pixels, g.fit) >= 12,  # blocks of so many pixels go by vectors (rvv)
            g.winograd,
            g.n < 4,
            g.pixels < 4,
            g.k <= 16,
            s["depth"] % 4 == 0,
            g.even,
            g.pixels == 1,
            s["groups"] == 1,
            s["dilation_h"] * s["dilation_w"] == 1,
            g.fit >= 8,
        ]
    if name == "depthwise":
        return [
            s["kh"] == s["kw"] == 3,
            s["stride_h"] == s["stride_w"] == 1,
            s["channels"] < 4,
            s["scratch"] == 0,
            s["channels"] == s["depth"],
            s["dilation_h"] * s["dilation_w"] == 1,
        ]
    if name == "linear":
        return [s["channels"] < 4, s["channels"] < 8, s["channels"] % 4 == 0, s["depth"] % 4 == 0, s["depth"] % 2 == 0]
    if name == "pool2d":
        return [s["channels"] % 16 == 0, s["channels"] < 16, s["kh"] * s["kw"] == 4, s["h"] * s["w"] == 1]
    if name == "strided_copy":
        return [s["whole"] == 1, s["elements"] < 4 * s["runs"]]
    if name == "mean":
        return [s["elements"] == s["rows"]]
    return [s["alike"] == 1, s["others"] == s["elements"]] if "alike" in s else []


def _element_bytes(kind: str) -> int:
    return 4 if "_f32" in kind else 2 if "_f16" in kind else 1


def _up(a: int, b: int) -> int:
    return -(-a // b)


def _products(*factors: Sequence[float]) -> list[float]:
    """All products of one number of each list."""
    found = [1.0]
    for factor in factors:
        found = [a * b for a in found for b in factor]
    return found


def _taps(s: Sizes, axis: str) -> np.ndarray:
    """[window, tap] along an axis: whether it lies in the image."""
    before = s["top"] if axis == "h" else s["left"]
    at = np.arange(s[axis])[:, None] * s[f"stride_{axis}"] + np.arange(s[f"k{axis}"]) * s[f"dilation_{axis}"] - before
    return np.asarray((at >= 0) & (at < s[f"in_{axis}"]))


class _Geometry(NamedTuple):
    """Of a convolution as a product of windows by weights."""

    k: int  # elements of a window
    n: int  # channels of a group
    pixels: int
    fit: int  # windows that scratch has room for
    inside: int  # taps in the image, of all windows
    whole: int  # windows without padding
    whole_quads: int  # fours of pixels whose windows have no padding at the sides
    copied: bool  # windows are no runs of x
    even: bool  # windows are equally far apart
    winograd: bool  # the case and the scratch of rv32's F(2x2, 3x3)


def _geometry(s: Sizes, element_bytes: int) -> _Geometry:
    k, high, wide = s["kh"] * s["kw"] * s["depth"], _taps(s, "h"), _taps(s, "w")
    one_run = s["kh"] == 1 and (s["kw"] == 1 or (s["groups"] == 1 and s["dilation_w"] == 1))
    plain = all(s[name] == 1 for name in ("stride_h", "stride_w", "dilation_h", "dilation_w", "groups"))
    by_eights = s["depth"] % 8 == 0 and s["channels"] % 4 == 0 and s["kh"] == s["kw"] == 3
    return _Geometry(
        k=k,
        n=s["channels"] // s["groups"],
        pixels=s["h"] * s["w"],
        fit=s["scratch"] // (k * element_bytes),
        inside=int(high.sum()) * int(wide.sum()),
        whole=int(high.all(1).sum()) * int(wide.all(1).sum()),
        whole_quads=_whole_quads(wide, s["h"]),
        copied=not (one_run and high.all() and wide.all()),
        even=s["w"] * s["stride_w"] == s["stride_h"] * s["in_w"],
        winograd=plain and by_eights and s["scratch"] >= 161 * s["depth"] + 512,
    )


def _whole_quads(wide: np.ndarray, h: int) -> int:
    """Fours of pixels, in h rows, whose taps along the width all lie in the image; wide: [column, tap]."""
    pixels = np.tile(wide.all(axis=1), h)
    return int(np.append(pixels, np.repeat(pixels[-1:], -len(pixels) % 4)).reshape(-1, 4).all(1).sum())


def _conv2d(s: Sizes, element_bytes: int) -> list[float]:
    g = _geometry(s, element_bytes)
    k, n, pixels, depth, kh, taps = g.k, g.n, g.pixels, s["depth"], s["kh"], s["kh"] * s["kw"]
    runs, run = (1, pixels) if g.copied or g.even else (s["h"], s["w"])  # of windows that a product takes
    block = max(1, min(pixels, g.fit or pixels, 64))
    blocks, quads = _up(pixels, block), _up(pixels, 4)
    found = _products(
        [pixels, *(runs * v for t in (2, 3, 4) for v in (run // t, run % t)), quads, blocks],
        [n, 1, _up(n, 2), n // 3, n % 3, n // 4, n % 4, _up(n, 4), _up(n, 16)],
        [k, 1, k % 4, _up(k, 16), _up(k, 32)],
    )
    dense = s.get("dense", 100) / 100
    found += [1, n, k, n * k, g.inside * depth * n, g.inside * depth * n * dense]
    rows = max(1, min(pixels, g.fit)) if g.copied else run  # of windows at once, two by two, and one that is left
    single = pixels // rows * (rows % 2) + pixels % rows % 2
    share = g.inside / (pixels * taps) * dense  # of a window's elements: they are not 0
    found += _products([single * k, (pixels - single) * k], [n, _up(n, 4), _up(n, 8)], [1, share])
    pieces, loads, fills = _pieces(s, block)
    found += [pieces, pieces * taps, loads, loads * depth]
    row, by_taps = s["kw"] * depth, s["groups"] > 1 or s["dilation_w"] > 1  # of a window: in x one run, or not
    edges, outside = pixels - g.whole, pixels * taps - g.inside
    copies = [
        *(g.inside * depth, outside * depth, g.whole, g.whole * kh, g.whole * k, edges * taps, edges * kh, edges * k),
        *(pixels * kh * v * (not by_taps) for v in (1, row // 4, row % 4, row // 16, row % 16, _up(row, 16))),
        *(pixels * taps * v * by_taps for v in (1, depth // 4, depth % 4, depth // 16, depth % 16)),
        *(quads * taps, quads * kh, quads * k, fills, fills * depth, s["h"] * taps, s["h"]),
        *(g.whole_quads * taps, g.whole_quads * kh, g.whole_quads * k, g.whole_quads),
        *((quads - g.whole_quads) * v for v in (taps, kh, k, 1)),
    ]
    found += [v * g.copied for v in copies]
    found += [pixels * n * s["clip"], pixels * s["clip"]]
    tiles = _up(_up(s["h"], 2) * _up(s["w"], 2), 4)  # four of 2x2 outputs each
    fit = max(1, (s["scratch"] - 33 * depth - 256) // (128 * depth + 256))  # fours of channels, in scratch
    turns = _up(_up(n, 4), fit)
    winograd = [tiles * n * depth, tiles * n, tiles * depth, tiles, n * depth]
    winograd += [turns * tiles * depth, turns * tiles, turns * depth]
    found += [v * g.winograd for v in winograd]
    return [s["images"] * s["groups"] * v for v in found] + [s["channels"]]


def _pieces(s: Sizes, block: int) -> tuple[int, int, int]:
    """Rows of y cut by blocks of pixels: how many, and of their taps those that read x, and that read padding."""
    pixels = s["h"] * s["w"]
    starts = np.union1d(np.arange(0, pixels, s["w"]), np.arange(0, pixels, block))
    first = starts % s["w"]
    last = first + np.diff(starts, append=pixels) - 1
    rows = _taps(s, "h").sum(1)[starts // s["w"]]
    tap = np.arange(s["kw"]) * s["dilation_w"] - s["left"]
    low, high = first[:, None] * s["stride_w"] + tap, last[:, None] * s["stride_w"] + tap
    some, whole = (high >= 0) & (low < s["in_w"]), (low >= 0) & (high < s["in_w"])
    all_taps = len(starts) * s["kh"] * s["kw"]
    return len(starts), int((rows * some.sum(1)).sum()), all_taps - int((rows * whole.sum(1)).sum())


def _depthwise(s: Sizes, element_bytes: int) -> list[float]:
    h, w, kh, kw, n, scratch = (s[v] for v in ("h", "w", "kh", "kw", "channels", "scratch"))
    taps, pixels, high, wide = kh * kw, h * w, _taps(s, "h"), _taps(s, "w")
    inside, whole = int(high.sum()) * int(wide.sum()), int(high.all(1).sum()) * int(wide.all(1).sum())
    by_16 = _up(w, 16)
    found = _products(
        [n, _up(n, 16), _up(n, 32)],
        [
            *(pixels * taps, 1, taps, pixels, pixels * kh, inside, inside * s.get("dense", 100) // 100),
            *(whole, whole * taps, whole * kh, pixels - whole, (pixels - whole) * taps),
            *(h, h * kh, h * taps, h * by_16, h * by_16 * kh, h * by_16 * taps),
        ],
    )
    short, long = sorted((h, w))
    along = [h * _up(w, 4), w * _up(h, 4), min(h * _up(w, 4), w * _up(h, 4)), h * (w % 4), h * _up(w, 3), h * _up(w, 2)]
    found += _products([n], [*along, w, short, short * _up(long, 2), short * _up(long, 3)])
    found += [n * pixels * s["clip"], n * h * s["clip"], n]
    multiplied = n * (n != s["depth"])  # several outputs of a channel: not of all kernels
    found += [multiplied * v for v in (pixels * taps, pixels, h * taps, taps, 1)]
    # A channel's plane of some rows in scratch, with its padding.
    window, step = (kh - 1) * s["dilation_h"] + 1, s["stride_h"]
    width = (w - 1) * s["stride_w"] + (kw - 1) * s["dilation_w"] + 1
    bands = _up(h, max(1, min(h, (scratch // element_bytes // width - window) // step + 1))) if scratch else 1
    turns = bands * _up(_up(h, bands), max(1, 64 // w)) * _up(w, 64)  # of 64 sums at most, in any but 3x3
    found += [n * turns, n * turns * taps]
    rows = h * step + bands * (window - step)
    copied = n * min(rows, s["in_h"] + (bands - 1) * (window - step))
    found += [bands, bands * n, bands * n * taps, rows * width, copied, copied * s["in_w"]]
    found += [copied * v for t in (4, 8, 16) for v in (s["in_w"] // t, s["in_w"] % t)]
    return [s["images"] * v for v in found + _planes_of_four(s) + _blocks_of_taps(s)]


def _planes_of_four(s: Sizes) -> list[float]:
    """Planes of four channels and words, along the side with fewer fours of outputs (armv7em)."""
    h, w, n = s["h"], s["w"], s["channels"]
    quads = _up(s["depth"], 4)
    rows, cols, step_r, step_c, in_r, in_c = h, w, s["stride_h"], s["stride_w"], s["in_h"], s["in_w"]
    if w * _up(h, 4) < h * _up(w, 4):
        rows, cols, step_r, step_c, in_r, in_c = cols, rows, step_c, step_r, in_c, in_r
    row_bytes = 8 * (_up(cols, 4) * 4 * step_c + 2)
    bands = _up(rows, max(1, min(rows, (s["scratch"] // row_bytes - 3) // step_r + 1)))
    turned = quads * (2 * bands + in_r)
    filled = row_bytes * (3 * bands + rows * step_r)
    return [bands * quads, filled, turned, turned * in_c, n * rows, n * rows * _up(cols, 4), n * bands]


def _blocks_of_taps(s: Sizes) -> list[float]:
    """Blocks of 4x4 taps by 16 channels, along the longer side (mve)."""
    names = ("h", "w", "kh", "kw", "stride_h", "stride_w")
    if s["h"] > s["w"]:
        names = ("w", "h", "kw", "kh", "stride_w", "stride_h")
    rows, cols, k_rows, k_cols, step, stride = (s[name] for name in names)
    at_once = min(rows, 5 - k_rows if k_rows < 4 and step == 1 else 1)  # rows of y from one turn
    turns, groups, of_a_group = _up(rows, at_once), _up(k_rows, 4), _up(k_cols, 4)
    blocks = groups * of_a_group
    fixed = 64 * groups * (k_cols - stride) + max(256 * at_once * blocks, 64 * (4 * of_a_group - k_cols))
    fit = (s["scratch"] - fixed) // (64 * groups * stride + 16)
    parts = _up(cols, max(1, min(cols, fit)))
    covered = (cols - 1) * stride + k_cols * parts
    return _products(
        [_up(s["channels"], 16), s["channels"]],
        [
            *(turns * covered * groups, turns * parts, turns * parts * groups, rows * cols * blocks, rows * cols),
            *(rows * parts, at_once * blocks, at_once * blocks * k_cols),
        ],
    )


def _linear(s: Sizes, element_bytes: int) -> list[float]:
    n, k = s["channels"], s["depth"]
    tiles = [n // 2, n // 4, n // 16, n % 16 // 4, *(_up(n, t) for t in (8, 12, 16, 64))]
    found = _products(
        [n, 1, *tiles, n % 2, n % 4, *(int(n % t > 0) for t in (4, 8, 12)), int(n > 8)],
        [k, 1, k % 2, k % 4, _up(k, 16), _up(k, 32)],
    )
    found += [n * s["clip"], s["clip"], n * k * s.get("dense", 100) / 100]
    return [s["rows"] * v for v in found]


def _pool2d(s: Sizes, element_bytes: int) -> list[float]:
    n, pixels, taps, high, wide = s["channels"], s["h"] * s["w"], s["kh"] * s["kw"], _taps(s, "h"), _taps(s, "w")
    inside, whole = int(high.sum()) * int(wide.sum()), int(high.all(1).sum()) * int(wide.all(1).sum())
    found = _products(
        [n, 1, _up(n, 4), n % 4, _up(n, 16), n % 16, _up(n, 32)],
        [pixels * taps, 1, s["h"], pixels, inside, int(high.sum()) * s["w"], whole, whole * taps],
    )
    return [s["images"] * v for v in found] + [s["images"] * n * inside * s.get("dense", 100) / 100]


def _strided_copy(s: Sizes, element_bytes: int) -> list[float]:
    n, words = s["elements"] // s["runs"] * s["bytes"], s["words"] * s["whole"]
    by_words = [words * v for v in (1, n // 16, n % 16 // 4, n % 4)]
    by_bytes = [(s["runs"] - words) * s["whole"] * v for v in (1, n, n // 4, n % 4)]
    loose = s["elements"] * (1 - s["whole"])
    return [s["elements"], s["runs"], loose, *by_words, *by_bytes, s["runs"] * _up(n, 16) * s["whole"]]


def _mean(s: Sizes, element_bytes: int) -> list[float]:
    window = s["inputs"] // math.gcd(s["inputs"], s["elements"])
    dense = s["inputs"] * s.get("dense", 100) / 100
    found = [s["inputs"], dense, *(s["elements"] * v for v in (1, window // 4, window % 4))]
    channels = s["elements"] // s["rows"]  # of vectors
    return found + _products([s["rows"]], [1, window], [1, _up(channels, 4), _up(channels, 16), _up(channels, 32)])


def _elementwise(s: Sizes, element_bytes: int) -> list[float]:
    n = s["elements"]
    dense = s["inputs"] * s.get("dense", 100) / 100
    clipped = n * s.get("clip", 0)
    broadcast = s["others"] not in (0, n)  # then each row is a loop
    parts = [s["inputs"], dense, s["others"], s["rows"], s["macs"], clipped, s["rows"] * broadcast, n * broadcast]
    return [n, n // 4, n % 4, _up(n, 16), *parts]
