"""Small graphs for each family of kernels with inputs, from numbers that are the same on every computer.

golden.bin holds the first bytes of their outputs' SHA-256, which every CPU and board must give. It is written, with
tests/golden/bits.json, by tests/golden/make_bits.py.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ..model.builder import GraphBuilder
from ..model.graph import Graph
from ..model.ops_elementwise import BINARY, UNARY
from ..tensor import Tensor
from ..tune.quantize import quantize

Array = npt.NDArray[Any]
RECORD = Path(__file__).with_name("golden.bin")
DIGEST_BYTES = 4  # of each case in it, in order


@dataclass
class Case:
    """options: of compile."""

    name: str
    graph: Graph
    feeds: list[Array]
    options: dict[str, Any] = field(default_factory=dict)


def recorded() -> Iterator[tuple[Case, bytes]]:
    """Each case, and how the SHA-256 of its outputs begins."""
    data = RECORD.read_bytes()
    for number, case in enumerate(cases()):
        yield case, data[number * DIGEST_BYTES :][:DIGEST_BYTES]


def digest(outputs: Sequence[Array]) -> bytes:
    """SHA-256 of the bytes of all outputs, one after the other."""
    return hashlib.sha256(b"".join(y.tobytes() for y in outputs)).digest()


class Numbers:
    """RandomState's stream never changes, and floats from integers need no libm."""

    def __init__(self, seed: int) -> None:
        self._random = np.random.RandomState(seed)

    def codes(self, *shape: int, bits: int = 8) -> Array:
        edge = 2 ** (bits - 1)
        return self._random.randint(-edge, edge, shape).astype(np.dtype(f"int{bits}"))

    def floats(self, *shape: int) -> Array:
        """Of many magnitudes, zeros of both signs among them."""
        x = np.ldexp(self._random.randint(-2048, 2049, shape), self._random.randint(-18, -8, shape)).astype(np.float32)
        return np.where(self._random.randint(0, 20, shape) == 0, np.copysign(np.float32(0), x), x)

    def bias(self, n: int) -> Array:
        return self._random.randint(-4000, 4000, n).astype(np.int32)

    def scales(self, n: int) -> list[float]:
        return [float(s) for s in self._random.randint(20, 400, n) / 2**14]


Shape = tuple[int, ...]
# name: h, w, c of x; weight; options
CONVS: dict[str, tuple[Shape, Shape, dict[str, Any]]] = {
    "3x3": ((8, 8, 16), (16, 3, 3, 16), {}),
    "3x3 wide": ((5, 5, 36), (40, 3, 3, 36), {}),
    "3x3 stride": ((9, 8, 16), (24, 3, 3, 16), {"stride": 2}),
    "3x3 valid": ((7, 9, 5), (7, 3, 3, 5), {"padding": "valid", "activation": "relu6"}),
    "1x1": ((5, 5, 64), (33, 1, 1, 64), {"activation": "relu"}),
    "1x1 stride": ((7, 6, 24), (20, 1, 1, 24), {"stride": 2}),
    "rgb": ((12, 12, 3), (16, 3, 3, 3), {}),
    "rgb stride": ((13, 12, 3), (8, 3, 3, 3), {"stride": 2}),
    "grey": ((13, 10, 1), (20, 10, 4, 1), {"stride": 2}),
    "dilated": ((9, 9, 6), (8, 3, 2, 6), {"dilation": (2, 3)}),
    "grouped": ((6, 6, 12), (8, 3, 3, 6), {"groups": 2}),
}
DEPTHWISES: dict[str, tuple[Shape, Shape, dict[str, Any]]] = {
    "3x3": ((8, 8, 24), (3, 3, 24), {"activation": "relu6"}),
    "3x3 stride": ((9, 7, 33), (3, 3, 33), {"stride": 2}),
    "5x3": ((7, 6, 8), (5, 3, 8), {"padding": "valid"}),
    "multiplier": ((6, 6, 5), (3, 3, 15), {}),
    "one channel": ((13, 10, 1), (10, 4, 8), {"stride": 2}),
}
LINEARS: dict[str, tuple[Shape, Shape, dict[str, Any]]] = {
    "1x40": ((40,), (12, 40), {}),
    "1x640": ((640,), (16, 640), {"activation": "relu"}),
    "5x33": ((5, 33), (17, 33), {"keep_dims": True}),
    "3x8": ((3, 8), (3, 8), {"keep_dims": True}),
}
LAYERS = [("conv2d", CONVS, 0), ("depthwise_conv2d", DEPTHWISES, 2), ("linear", LINEARS, 0)]
IMAGES: dict[str, tuple[str, dict[str, Any]]] = {
    "avg_pool2d": ("avg_pool2d", {"kernel": 2}),
    "avg_pool2d same": ("avg_pool2d", {"kernel": 3, "stride": 2, "padding": "same"}),
    "max_pool2d": ("max_pool2d", {"kernel": (3, 2), "stride": 2}),
    "mean": ("mean", {"axes": (1, 2)}),
    "softmax": ("softmax", {}),
    "relu6": ("relu6", {}),
}
ATTRS = {"alpha": 0.3, "beta": 0.4, "gamma": 1.1, "approximate": "none", "detect_negative": 1, "detect_positive": 1}
RESULT: dict[str, Any] = {"scale": 0.7, "zero_point": -5}


def cases() -> Iterator[Case]:
    """All of them; the seed of each is its number."""
    for number, case in enumerate(_makers()):
        name, make, options = case
        storage = options.pop("storage", None)
        b = GraphBuilder(name)
        y, feeds = make(b, Numbers(number))
        b.output("y", y)
        graph = b.build()
        yield Case(name, quantize(graph, **storage) if storage else graph, feeds, options)


def _makers() -> Iterator[tuple[str, Any, dict[str, Any]]]:
    for method, layers, axis in LAYERS:
        for name, (shape, weight, options) in layers.items():
            given = (method, (1, *shape), weight, axis, options)
            yield f"{method} int8 {name}", lambda b, r, g=given: _layer_s8(b, r, *g), {}
            yield f"{method} int8 fp32 {name}", lambda b, r, g=given: _layer_s8(b, r, *g), {"rounding": "fp32"}
            yield f"{method} float32 {name}", lambda b, r, g=given: _layer_f32(b, r, *g), {}
            for activations in ("float32", "float16"):
                for mode in ("exact", "fast16"):
                    half = {"storage": {"weights": "float16", "activations": activations}, "mode": mode}
                    text = f"{method} float16 weights, {activations} {mode} {name}"
                    yield text, lambda b, r, g=given: _layer_f32(b, r, *g), half
    for name, (shape, weight, _) in LINEARS.items():
        yield f"linear int16 {name}", lambda b, r, s=shape, w=weight: _linear_s16(b, r, (1, *s), w), {}
        yield f"linear hybrid {name}", lambda b, r, s=shape, w=weight: _linear_hybrid(b, r, (1, *s), w), {}
    for dtype in ("int8", "float32"):
        yield f"add {dtype}", lambda b, r, d=dtype: _add(b, r, d), {}
        for name, (method, attrs) in IMAGES.items():
            yield f"{name} {dtype}", lambda b, r, m=method, d=dtype, a=attrs: _image(b, r, m, d, a), {}
    for kind, (names, dtypes) in UNARY.items():
        if "float32" in dtypes:
            yield f"{kind} float32", lambda b, r, k=kind, n=names: _unary(b, r, k, n), {}
    for kind, (_, dtypes) in BINARY.items():
        if "float32" in dtypes and kind != "add":
            yield f"{kind} float32", lambda b, r, k=kind: _binary(b, r, k), {}
    yield "lstm float32", _lstm, {}
    for method, layers, _ in LAYERS:
        for name, (shape, weight, options) in layers.items():
            for dtype, mode in (("float32", "exact"), ("float16", "exact"), ("float16", "fast16")):
                for kind in ("dgrad", "wgrad"):
                    case = (f"{method.removesuffix('_conv2d')}_{kind}", dtype, shape, weight, options)
                    yield f"{case[0]} {dtype} {mode} {name}", lambda b, r, c=case: _gradient(b, r, *c), {"mode": mode}


def _layer_s8(
    b: GraphBuilder, r: Numbers, method: str, shape: Shape, weight: Shape, axis: int, options: dict[str, Any]
) -> tuple[Tensor, list[Array]]:
    x = b.input("x", shape, "int8", scale=0.05, zero_point=-3)
    n = weight[axis]
    w = b.constant(r.codes(*weight), scale=r.scales(1)[0] if method == "linear" else r.scales(n), axis=axis)
    y: Tensor = getattr(b, method)(x, w, r.bias(n), **options, **RESULT)
    return y, [r.codes(*shape)]


def _layer_f32(
    b: GraphBuilder, r: Numbers, method: str, shape: Shape, weight: Shape, axis: int, options: dict[str, Any]
) -> tuple[Tensor, list[Array]]:
    y: Tensor = getattr(b, method)(b.input("x", shape), r.floats(*weight), r.floats(weight[axis]), **options)
    return y, [r.floats(*shape)]


def _gradient(
    b: GraphBuilder, r: Numbers, kind: str, dtype: str, shape: Shape, weight: Shape, options: dict[str, Any]
) -> tuple[Tensor, list[Array]]:
    """Of two images or three rows, operands and result of one dtype."""
    depthwise, wgrad = kind.startswith("depthwise"), kind.endswith("wgrad")
    x: Shape = (3, weight[1])
    dy: Shape = (3, weight[0])
    attrs: dict[str, Any] = {"dtype": dtype}
    if not kind.startswith("linear"):
        x = (2, *shape)
        forward: dict[str, Any] = {name: value for name, value in options.items() if name != "activation"}
        inner = GraphBuilder()
        layer = inner.depthwise_conv2d if depthwise else inner.conv2d
        y = layer(inner.input("x", x), np.zeros(weight, np.float32), **forward)
        dy = tuple(d or 1 for d in y.shape)
        inner.output("y", y)
        [op] = inner.build().ops
        attrs |= {name: op.attrs[name] for name in ("stride", "dilation", "padding", "groups") if name in op.attrs}
        attrs |= {"kernel": weight[:2] if depthwise else weight[1:3]} if wgrad else {"size": shape[:2]}
        attrs |= {"multiplier": weight[2] // shape[2]} if depthwise and not wgrad else {}
    feeds = [r.floats(*s).astype(dtype) for s in (dy, x if wgrad else weight)]
    return b.op(kind, *(b.input(n, a.shape, dtype) for n, a in zip("ab", feeds, strict=True)), **attrs)[0], feeds


def _linear_s16(b: GraphBuilder, r: Numbers, shape: Shape, weight: Shape) -> tuple[Tensor, list[Array]]:
    y = b.linear(b.input("x", shape, "int16", scale=0.001), b.constant(r.codes(*weight), scale=0.01), scale=0.01)
    return y, [r.codes(*shape, bits=16)]


def _linear_hybrid(b: GraphBuilder, r: Numbers, shape: Shape, weight: Shape) -> tuple[Tensor, list[Array]]:
    w = b.constant(r.codes(*weight), scale=r.scales(1)[0])
    return b.linear(b.input("x", shape), w, r.floats(weight[0])), [r.floats(*shape)]


def _add(b: GraphBuilder, r: Numbers, dtype: str) -> tuple[Tensor, list[Array]]:
    shape = (1, 6, 5, 18)
    if dtype == "float32":
        return b.add(b.input("a", shape), b.input("b", shape), activation="relu"), [r.floats(*shape), r.floats(*shape)]
    x, y = b.input("a", shape, "int8", scale=0.05, zero_point=3), b.input("b", shape, "int8", scale=0.09, zero_point=-7)
    return b.add(x, y, scale=0.11, zero_point=-5), [r.codes(*shape), r.codes(*shape)]


def _image(b: GraphBuilder, r: Numbers, method: str, dtype: str, attrs: dict[str, Any]) -> tuple[Tensor, list[Array]]:
    shape = (1, 7, 6, 19)
    x = b.input("x", shape, dtype, scale=0.06 if dtype == "int8" else None, zero_point=-9 if dtype == "int8" else 0)
    y: Tensor = getattr(b, method)(x, **attrs)
    return y, [r.codes(*shape) if dtype == "int8" else r.floats(*shape)]


def _unary(b: GraphBuilder, r: Numbers, kind: str, names: Sequence[str]) -> tuple[Tensor, list[Array]]:
    attrs: dict[str, Any] = {name: ATTRS[name] for name in names}
    x = r.floats(150)
    x[:3] = np.inf, -np.inf, np.nan
    return b.op(kind, b.input("x", (150,)), **attrs)[0], [x]


def _binary(b: GraphBuilder, r: Numbers, kind: str) -> tuple[Tensor, list[Array]]:
    attrs: dict[str, Any] = {"fmod": 1} if kind == "mod" else {}
    x, y = r.floats(150), r.floats(150)
    y[:9] = x[:9]
    return b.op(kind, b.input("a", (150,)), b.input("b", (150,)), **attrs)[0], [x, y]


def _lstm(b: GraphBuilder, r: Numbers) -> tuple[Tensor, list[Array]]:
    operands = [r.floats(1, 36, 7), r.floats(1, 36, 9), r.floats(1, 72), None, None, None, None]
    functions: dict[str, Any] = {"activations": ("sigmoid", "tanh", "tanh"), "alphas": (0.0,) * 3, "betas": (0.0,) * 3}
    options: dict[str, Any] = {
        "direction": "forward",
        "clip": float("inf"),
        "batch_first": False,
        "input_forget": False,
    }
    return b.op("lstm", b.input("x", (4, 1, 7)), *operands, outputs=3, **options, **functions)[0], [r.floats(4, 1, 7)]
