"""Networks: convolutions, pools, products, norms, recurrent layers. Windows are NHWC in the graph, NCHW in the file."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from ...errors import ModelError
from ..graph import Tensor
from .elementwise import PLAIN_CAST
from .importer import Importer
from .node import Node, Unsupported
from .table import Table, axis_of, registrar

CONVERTERS: Table = {}
converts = registrar(CONVERTERS)


def sizes(x: Tensor) -> list[int]:
    return [d for d in x.shape if d is not None]


# --- windows ----------------------------------------------------------------------------------------------------------


def window(n: Node, image: Sequence[int], kernel: Sequence[int]) -> dict[str, Any]:
    """stride, dilation and padding of windows over the spatial axes, the padding resolved as ((before, after), ...)."""
    axes = len(kernel)
    stride = [int(v) for v in n.attr("strides", [1] * axes)]
    dilation = [int(v) for v in n.attr("dilations", [1] * axes)]
    pads = [int(v) for v in n.attr("pads", [0] * 2 * axes)]
    auto = n.attr("auto_pad", "NOTSET")
    if not len(stride) == len(dilation) == axes == len(image) or len(pads) != 2 * axes:
        raise ModelError(f"node {n.name!r} ({n.op_type}): strides {stride}, dilations {dilation}, pads {pads}")
    if any(s < 1 for s in (*stride, *dilation, *kernel)) or any(p < 0 for p in pads):
        raise ModelError(
            f"node {n.name!r} ({n.op_type}): kernel {list(kernel)}, strides {stride}, dilations {dilation}, pads {pads}"
        )
    if auto == "VALID":
        pads = [0] * 2 * axes
    elif auto in ("SAME_UPPER", "SAME_LOWER"):
        for i in range(axes):
            total = max((-(-image[i] // stride[i]) - 1) * stride[i] + (kernel[i] - 1) * dilation[i] + 1 - image[i], 0)
            small = total // 2
            pads[i], pads[axes + i] = (small, total - small) if auto == "SAME_UPPER" else (total - small, small)
    elif auto != "NOTSET":
        raise Unsupported(f"auto_pad={auto!r}")
    padding = tuple((pads[i], pads[axes + i]) for i in range(axes))
    return {"stride": tuple(stride), "dilation": tuple(dilation), "padding": padding}


def kernel_of(n: Node, w: Tensor) -> list[int]:
    kernel = sizes(w)[2:]
    given = n.attr("kernel_shape", kernel)
    if list(given) != kernel:
        raise ModelError(f"node {n.name!r} ({n.op_type}): kernel_shape {list(given)} of weight {list(w.shape)}")
    return kernel


def conv_weight(m: Importer, n: Node, x: Tensor, w: Tensor, group: int) -> tuple[str, Tensor]:
    """The kind of convolution and the weight in its layout, from [C_out, C / group, k..]."""
    rank, c = len(w.shape), sizes(x)[1]
    if len(x.shape) != rank or rank < 3 or group < 1 or sizes(w)[1] * group != c or sizes(w)[0] % group:
        raise ModelError(f"node {n.name!r} ({n.op_type}): input {list(x.shape)}, weight {list(w.shape)}, group {group}")
    if rank == 4 and group == c and group > 1 and m.is_constant(w):
        flat = m.reshape(w, (sizes(w)[0], *sizes(w)[2:]), f"{n.name}/taps")
        return "depthwise_conv2d", m.transpose(flat, (1, 2, 0), f"{n.name}/w")
    return ("conv2d" if rank == 4 else "conv"), m.transpose(w, (0, *range(2, rank), 1), f"{n.name}/w")


@converts("Conv")
def _conv(m: Importer, n: Node) -> None:
    x, w, bias = m.operand(n, 0), m.operand(n, 1), m.optional(n, 2)
    group = int(n.attr("group", 1))
    kernel = kernel_of(n, w)
    steps = window(n, sizes(x)[2:], kernel)
    if x.dtype in ("float16", "bfloat16"):  # sums are float32
        wide = [None if t is None else _cast(m, t, "float32", f"{n.name}/wide") for t in (x, w, bias)]
        assert wide[0] is not None and wide[1] is not None
        m.bind(n, _cast(m, conv(m, n, wide[0], wide[1], wide[2], group, steps), x.dtype, n.outputs[0]))
        return
    m.bind(n, conv(m, n, x, w, bias, group, steps))


def conv(m: Importer, n: Node, x: Tensor, w: Tensor, bias: Tensor | None, group: int, steps: dict[str, Any]) -> Tensor:
    """A convolution in NCHW."""
    if len(w.shape) == 3 and x.dtype == "float32":
        return conv_1d(m, n, x, w, bias, group, steps)
    kind, weight = conv_weight(m, n, x, w, group)
    attrs = {**(steps if kind != "conv" else any_rank(steps)), "activation": None}
    attrs |= {} if kind == "depthwise_conv2d" else {"groups": group}
    y = m.one(kind, [m.channels_last(x, n.name), weight, bias], n.name, **attrs)
    return m.channels_first(y, n.outputs[0])


def _cast(m: Importer, x: Tensor, dtype: str, name: str) -> Tensor:
    return m.one("cast", [x], name, to=dtype, **PLAIN_CAST)


def any_rank(steps: dict[str, Any]) -> dict[str, Any]:
    """The attributes of windows under the names that kinds of any rank have for them."""
    return {"strides": steps["stride"], "dilations": steps["dilation"], "pads": steps["padding"]}


def conv_1d(
    m: Importer, n: Node, x: Tensor, w: Tensor, bias: Tensor | None, group: int, steps: dict[str, Any]
) -> Tensor:
    """As a picture of one row: [N, C, L] -> [N, 1, L, C]."""
    row = m.channels_last(x, n.name)
    row = m.reshape(row, (sizes(row)[0], 1, *sizes(row)[1:]), f"{n.name}/row")
    wide = m.reshape(w, (*sizes(w)[:2], 1, sizes(w)[2]), f"{n.name}/taps")
    picture = Tensor(x.name, (sizes(x)[0], sizes(x)[1], 1, sizes(x)[2]), x.dtype)
    kind, weight = conv_weight(m, n, picture, wide, group)
    attrs: dict[str, Any] = {"stride": (1, *steps["stride"]), "dilation": (1, *steps["dilation"])}
    attrs |= {"padding": ((0, 0), *steps["padding"]), "activation": None}
    attrs |= {} if kind == "depthwise_conv2d" else {"groups": group}
    y = m.one(kind, [row, weight, bias], n.name, **attrs)
    y = m.reshape(y, (sizes(y)[0], *sizes(y)[2:]), f"{n.name}/line")
    return m.channels_first(y, n.outputs[0])


@converts("DeformConv")
def _deform_conv(m: Importer, n: Node) -> None:
    x, w, offset = (m.operand(n, i) for i in range(3))
    bias, mask = m.optional(n, 3), m.optional(n, 4)
    if len(w.shape) != 4:
        raise Unsupported(f"a weight {list(w.shape)} of other than two spatial axes")
    steps = any_rank(window(n, sizes(x)[2:], kernel_of(n, w)))
    operands = [
        m.channels_last(x, n.name),
        m.transpose(w, (0, 2, 3, 1), f"{n.name}/w"),
        m.channels_last(offset, f"{n.name}/offset"),
        bias,
        None if mask is None else m.channels_last(mask, f"{n.name}/mask"),
    ]
    groups = {"groups": int(n.attr("group", 1)), "offset_groups": int(n.attr("offset_group", 1))}
    m.bind(n, m.channels_first(m.one("deform_conv", operands, n.name, **steps, **groups), n.outputs[0]))


@converts("ConvTranspose")
def _conv_transpose(m: Importer, n: Node) -> None:
    """Weight [C, C_out / group, k..]; pads cut the full result, output_padding lengthens it at the end."""
    x, w, bias = m.operand(n, 0), m.operand(n, 1), m.optional(n, 2)
    kernel, group = kernel_of(n, w), int(n.attr("group", 1))
    axes = len(kernel)
    extra = [int(v) for v in n.attr("output_padding", [0] * axes)]
    wanted = n.attr("output_shape", None)
    auto = n.attr("auto_pad", "NOTSET")
    stride = [int(v) for v in n.attr("strides", [1] * axes)]
    dilation = [int(v) for v in n.attr("dilations", [1] * axes)]
    pads = [int(v) for v in n.attr("pads", [0] * 2 * axes)]
    full = [stride[i] * (sizes(x)[2 + i] - 1) + (kernel[i] - 1) * dilation[i] + 1 + extra[i] for i in range(axes)]
    if wanted is not None or auto in ("SAME_UPPER", "SAME_LOWER"):
        target = [sizes(x)[2 + i] * stride[i] for i in range(axes)]
        if wanted is not None:
            target = [int(v) for v in wanted][-axes:]
        for i in range(axes):
            total = max(full[i] - target[i], 0)
            extra[i] += max(target[i] - full[i], 0)
            small = total // 2
            pads[i], pads[axes + i] = (total - small, small) if auto != "SAME_UPPER" else (small, total - small)
    elif auto == "VALID":
        pads = [0] * 2 * axes
    rank = len(w.shape)
    weight = m.transpose(w, (1, *range(2, rank), 0), f"{n.name}/w")
    if group > 1:  # [C, Co/g, k..] -> [Co, k.., C/g]
        parts = m.reshape(w, (group, sizes(w)[0] // group, *sizes(w)[1:]), f"{n.name}/groups")
        parts = m.transpose(parts, (0, 2, *range(3, rank + 1), 1), f"{n.name}/g")
        weight = m.reshape(parts, (sizes(w)[1] * group, *kernel, sizes(w)[0] // group), f"{n.name}/w")
    padding = tuple((pads[i], pads[axes + i]) for i in range(axes))
    y = m.one(
        "conv_transpose", [m.channels_last(x, n.name), weight, bias], n.name, strides=tuple(stride),
        dilations=tuple(dilation), pads=padding, output_padding=tuple(extra), groups=group, activation=None,
    )  # fmt: skip
    m.bind(n, m.channels_first(y, n.outputs[0]))


@converts("AveragePool", "MaxPool", "LpPool")
def _pool(m: Importer, n: Node) -> None:
    x = m.operand(n, 0)
    kernel = [int(v) for v in n.attr("kernel_shape")]
    ceil, count = bool(n.attr("ceil_mode", 0)), bool(n.attr("count_include_pad", 0))
    n.only("storage_order", 0, *((1,) if len(n.outputs) > 1 else ()))
    p = int(n.attr("p", 2))
    steps = window(n, sizes(x)[2:], kernel)
    last = m.channels_last(x, n.name)
    padded = any(v for pair in steps["padding"] for v in pair)
    plain = len(kernel) == 2 and steps["dilation"] == (1, 1) and not ceil
    plain = plain and (x.dtype == "float32" or x.quant is not None)
    plain = plain and all(max(pair) < k for pair, k in zip(steps["padding"], kernel, strict=True))
    if n.op_type == "MaxPool":
        plain = plain and len(n.outputs) == 1
    else:
        plain = plain and n.op_type == "AveragePool" and not (count and padded)
    if plain:
        kind = "max_pool2d" if n.op_type == "MaxPool" else "avg_pool2d"
        y = m.one(
            kind, [last], n.name, quants=[x.quant], kernel=tuple(kernel), stride=steps["stride"],
            padding=steps["padding"], activation=None,
        )  # fmt: skip
        m.bind(n, m.channels_first(y, n.outputs[0]))
        return
    attrs = {"kernels": tuple(kernel), **any_rank(steps), "ceil_mode": ceil}
    if n.op_type == "AveragePool":
        both = m.emit("avg_pool", [last], n.name, **attrs, count_include_pad=count)
    elif n.op_type == "LpPool":
        both = m.emit("lp_pool", [last], n.name, **attrs, exponent=p)
    else:
        more: dict[str, Any] = {"indices": len(n.outputs) > 1, "column_major": bool(n.attr("storage_order", 0))}
        both = m.emit("max_pool", [last], n.name, outputs=len(n.outputs), **attrs, **more)
    m.bind(n, *(m.channels_first(t, o) for t, o in zip(both, n.outputs, strict=True)))


@converts("GlobalAveragePool", "GlobalMaxPool")
def _global_pool(m: Importer, n: Node) -> None:
    x = m.operand(n, 0)
    axes = tuple(range(2, len(x.shape)))
    kind = "reduce_max" if n.op_type == "GlobalMaxPool" else "mean" if x.dtype == "float32" else "reduce_mean"
    m.bind(n, m.one(kind, [x], n.outputs[0], axes=axes, keepdims=True))


# --- products ---------------------------------------------------------------------------------------------------------


def _multiply(m: Importer, a: Tensor, b: Tensor, name: str, bias: Tensor | None = None) -> Tensor:
    """a @ b, as linear where b is a constant matrix and a has rows."""
    if len(b.shape) == 2 and m.is_constant(b) and len(a.shape) >= 2 and a.dtype == "float32":
        w = m.transpose(b, (1, 0), f"{name}/w")
        return m.one("linear", [a, w, bias], name, activation=None, keep_dims=True)
    y = m.one("matmul", [a, b], name, transpose_a=False, transpose_b=False, activation=None)
    return y if bias is None else m.one("add", [y, bias], name, activation=None)


@converts("MatMul")
def _matmul(m: Importer, n: Node) -> None:
    m.bind(n, _multiply(m, m.operand(n, 0), m.operand(n, 1), n.outputs[0]))


@converts("Gemm")
def _gemm(m: Importer, n: Node) -> None:
    a, b, c = m.operand(n, 0), m.operand(n, 1), m.optional(n, 2)
    alpha, beta = float(n.attr("alpha", 1.0)), float(n.attr("beta", 1.0))
    if n.attr("transA", 0):
        a = m.transpose(a, (1, 0), f"{n.name}/a")
    if m.is_constant(b) and a.dtype == "float32" and alpha == 1:
        w = b if n.attr("transB", 0) else m.transpose(b, (1, 0), f"{n.name}/w")
        flat = c is not None and m.is_constant(c) and beta == 1 and sizes(c) == [sizes(w)[0]]
        y = m.one("linear", [a, w, c if flat else None], n.outputs[0], activation=None, keep_dims=True)
        c = None if flat else c
    else:
        if n.attr("transB", 0):
            b = m.transpose(b, (1, 0), f"{n.name}/b")
        y = m.one("matmul", [a, b], n.outputs[0], transpose_a=False, transpose_b=False, activation=None)
        y = _scaled(m, y, alpha, f"{n.name}/alpha")
    if c is not None:
        y = m.one("add", [y, _scaled(m, c, beta, f"{n.name}/beta")], n.outputs[0], activation=None)
    m.bind(n, y)


def _scaled(m: Importer, x: Tensor, factor: float, name: str) -> Tensor:
    if factor == 1:
        return x
    return m.one("mul", [x, m.const(np.array(factor, x.dtype), name)], name)


@converts("Einsum")
def _einsum(m: Importer, n: Node) -> None:
    operands = [m.operand(n, i) for i in range(len(n.inputs))]
    m.bind(n, m.one("einsum", operands, n.outputs[0], equation=n.attr("equation").replace(" ", "")))


# --- softmax ----------------------------------------------------------------------------------------------------------


@converts("Softmax", "LogSoftmax", "Hardmax")
def _softmax(m: Importer, n: Node) -> None:
    """Up to opset 12 over all axes from `axis` on, seen as one; then over that axis."""
    x = m.operand(n, 0)
    rank = len(x.shape)
    old = n.opset < 13
    axis = axis_of(n, rank, 1 if old else -1)
    kind = {"Softmax": "softmax", "LogSoftmax": "log_softmax", "Hardmax": "hardmax"}[n.op_type]
    attrs = {"beta": 1.0} if kind == "softmax" else {}
    if old and axis != rank - 1:
        flat = m.reshape(x, (math.prod(sizes(x)[:axis]), math.prod(sizes(x)[axis:])), f"{n.name}/flat")
        m.bind(n, m.reshape(m.one(kind, [flat], n.name, axis=-1, **attrs), sizes(x), n.outputs[0]))
        return
    m.bind(n, m.one(kind, [x], n.outputs[0], axis=-1 if axis == rank - 1 else axis, **attrs))


# --- norms ------------------------------------------------------------------------------------------------------------


def _per_channel(m: Importer, t: Tensor, rank: int, name: str) -> Tensor:
    """[C] as [C, 1, ..], to fit x[N, C, ..]."""
    return m.reshape(t, (sizes(t)[0], *[1] * (rank - 2)), name)


@converts("BatchNormalization")
def _batch_norm(m: Importer, n: Node) -> None:
    """(x - mean) * (scale / sqrt(var + epsilon)) + bias. In training mode mean and var are those of x."""
    x, scale, bias, mean, var = (m.operand(n, i) for i in range(5))
    epsilon, momentum = float(n.attr("epsilon", 1e-5)), float(n.attr("momentum", 0.9))
    rank, name = len(x.shape), n.name
    n.attr("spatial", 1)
    running: list[Tensor] = []
    if n.attr("training_mode", 0):
        axes = (0, *range(2, rank))
        now = m.one("mean", [x], f"{name}/mean", axes=axes, keepdims=False)
        centred = m.one("sub", [x, _per_channel(m, now, rank, f"{name}/m")], f"{name}/centred")
        square = m.one("mul", [centred, centred], f"{name}/square")
        spread = m.one("mean", [square], f"{name}/var", axes=axes, keepdims=False)
        for old, new in ((mean, now), (var, spread)):
            kept = _scaled(m, old, momentum, f"{name}/old")
            running.append(m.one("add", [kept, _scaled(m, new, 1 - momentum, f"{name}/new")], name, activation=None))
        mean, var = now, spread
    wide = m.one("add", [var, m.const(np.array(epsilon, var.dtype), f"{name}/epsilon")], f"{name}/e", activation=None)
    factor = m.one("div", [scale, m.one("sqrt", [wide], f"{name}/std")], f"{name}/factor")
    y = m.one("sub", [x, _per_channel(m, mean, rank, f"{name}/m1")], f"{name}/x")
    y = m.one("mul", [y, _per_channel(m, factor, rank, f"{name}/f1")], f"{name}/scaled")
    y = m.one("add", [y, _per_channel(m, bias, rank, f"{name}/b1")], n.outputs[0], activation=None)
    m.bind(n, y, *running)


# --- recurrent --------------------------------------------------------------------------------------------------------

_FUNCTIONS = {
    "Sigmoid": ("sigmoid", 0.0, 0.0),
    "Tanh": ("tanh", 0.0, 0.0),
    "Relu": ("relu", 0.0, 0.0),
    "Affine": ("affine", 1.0, 0.0),
    "LeakyRelu": ("leaky_relu", 0.01, 0.0),
    "ThresholdedRelu": ("thresholded_relu", 1.0, 0.0),
    "ScaledTanh": ("scaled_tanh", 1.0, 1.0),
    "HardSigmoid": ("hard_sigmoid", 0.2, 0.5),
    "Elu": ("elu", 1.0, 0.0),
    "Softsign": ("softsign", 0.0, 0.0),
    "Softplus": ("softplus", 0.0, 0.0),
}
_CELLS = {
    "RNN": ("rnn", ["Tanh"], 1),
    "GRU": ("gru", ["Sigmoid", "Tanh"], 3),
    "LSTM": ("lstm", ["Sigmoid", "Tanh", "Tanh"], 4),
}


@converts("LSTM", "GRU", "RNN")
def _recurrent(m: Importer, n: Node) -> None:
    kind, functions, gates = _CELLS[n.op_type]
    direction = n.attr("direction", "forward")
    both = 2 if direction == "bidirectional" else 1
    x, w, r = (m.operand(n, i) for i in range(3))
    hidden = int(n.attr("hidden_size", sizes(r)[-1]))
    if hidden != sizes(r)[-1] or sizes(w)[0] != both or sizes(w)[1] != gates * hidden:
        raise ModelError(f"node {n.name!r} ({n.op_type}): hidden_size {hidden}, {direction}, weight {list(w.shape)}")
    rest = [m.optional(n, i) for i in range(3, 8 if kind == "lstm" else 6)]
    if rest[1] is not None and rest[1].dtype != "int32":
        rest[1] = m.one("cast", [rest[1]], f"{n.name}/lengths", to="int32", **PLAIN_CAST)
    while rest and rest[-1] is None:
        rest.pop()
    names = n.attr("activations", functions * both)
    given = [list(n.attr(a, [])) for a in ("activation_alpha", "activation_beta")]
    chosen: list[list[Any]] = [[], [], []]
    for name in names:
        known = {k.lower(): v for k, v in _FUNCTIONS.items()}.get(str(name).lower())
        if known is None:
            raise Unsupported(f"activations={names}")
        chosen[0].append(known[0])
        for k, uses in enumerate((_HAS_ALPHA, _HAS_BETA)):
            values = given[k]
            chosen[1 + k].append(float(values.pop(0)) if values and known[0] in uses else float(known[1 + k]))
    attrs: dict[str, Any] = {
        "direction": direction,
        "activations": tuple(chosen[0]),
        "alphas": tuple(chosen[1]),
        "betas": tuple(chosen[2]),
        "clip": float(n.attr("clip", math.inf)),
        "batch_first": n.one_of("layout", 0, 1) == 1,
    }
    if kind == "gru":
        attrs["linear_before_reset"] = bool(n.attr("linear_before_reset", 0))
    if kind == "lstm":
        attrs["input_forget"] = bool(n.attr("input_forget", 0))
    m.bind(n, *m.emit(kind, [x, w, r, *rest], n.name, outputs=3 if kind == "lstm" else 2, **attrs))


_HAS_ALPHA = ("affine", "leaky_relu", "thresholded_relu", "scaled_tanh", "hard_sigmoid", "elu")
_HAS_BETA = ("affine", "scaled_tanh", "hard_sigmoid")


# --- more norms -------------------------------------------------------------------------------------------------------


def binary(m: Importer, kind: str, a: Tensor, b: Tensor | float, name: str) -> Tensor:
    """An op on two operands; a number becomes a constant of a's dtype."""
    other = b if isinstance(b, Tensor) else m.const(np.array(b, a.dtype), f"{name}/{kind}")
    more = {"activation": None} if kind == "add" else {}
    return m.one(kind, [a, other], name, **more)


def mean(m: Importer, x: Tensor, axes: Sequence[int], name: str) -> Tensor:
    kind = "mean" if x.dtype == "float32" else "reduce_mean"
    return m.one(kind, [x], name, axes=tuple(axes), keepdims=True)


def normalized(m: Importer, x: Tensor, axes: Sequence[int], epsilon: float, name: str) -> Tensor:
    """(x - mean) / sqrt(variance + epsilon) over axes."""
    centred = binary(m, "sub", x, mean(m, x, axes, f"{name}/mean"), f"{name}/centred")
    variance = mean(m, binary(m, "mul", centred, centred, f"{name}/square"), axes, f"{name}/variance")
    spread = m.one("sqrt", [binary(m, "add", variance, epsilon, f"{name}/e")], f"{name}/spread")
    return binary(m, "div", centred, spread, f"{name}/normalized")


@converts("InstanceNormalization")
def _instance_norm(m: Importer, n: Node) -> None:
    x, scale, bias = (m.operand(n, i) for i in range(3))
    rank = len(x.shape)
    y = normalized(m, x, range(2, rank), float(n.attr("epsilon", 1e-5)), n.name)
    y = binary(m, "mul", y, _per_channel(m, scale, rank, f"{n.name}/scale"), f"{n.name}/scaled")
    m.bind(n, binary(m, "add", y, _per_channel(m, bias, rank, f"{n.name}/bias"), n.outputs[0]))


@converts("LayerNormalization")
def _layer_norm(m: Importer, n: Node) -> None:
    """Over the axes from `axis` on; a second and third result are the mean and 1 / the spread."""
    x, scale, bias = m.operand(n, 0), m.operand(n, 1), m.optional(n, 2)
    rank = len(x.shape)
    axes, epsilon = range(axis_of(n, rank, -1), rank), float(n.attr("epsilon", 1e-5))
    if int(n.attr("stash_type", 1)) != 1 or x.dtype != "float32":
        raise Unsupported(f"stash_type={n.attr('stash_type', 1)} on {x.dtype}")
    middle = mean(m, x, axes, f"{n.name}/mean")
    centred = binary(m, "sub", x, middle, f"{n.name}/centred")
    variance = mean(m, binary(m, "mul", centred, centred, f"{n.name}/square"), axes, f"{n.name}/variance")
    spread = m.one("sqrt", [binary(m, "add", variance, epsilon, f"{n.name}/e")], f"{n.name}/spread")
    inverse = m.one("reciprocal", [spread], f"{n.name}/inverse")
    y = binary(m, "mul", binary(m, "mul", centred, inverse, f"{n.name}/unit"), scale, f"{n.name}/scaled")
    y = y if bias is None else binary(m, "add", y, bias, n.outputs[0])
    m.bind(n, y, middle, inverse)


@converts("LpNormalization")
def _lp_norm(m: Importer, n: Node) -> None:
    """x / norm, and 0 where the norm is 0."""
    x = m.operand(n, 0)
    axis, p = axis_of(n, len(x.shape), -1), int(n.attr("p", 2))
    n.only("p", 2, 1)
    norm = m.one("reduce_l1" if p == 1 else "reduce_l2", [x], f"{n.name}/norm", axes=(axis,), keepdims=True)
    y = binary(m, "div", x, norm, f"{n.name}/divided")
    zero = m.const(np.array(0, x.dtype), f"{n.name}/zero")
    empty = m.one("equal", [norm, zero], f"{n.name}/empty")
    m.bind(n, m.one("where", [empty, zero, y], n.outputs[0]))


@converts("LRN")
def _lrn(m: Importer, n: Node) -> None:
    """x / (bias + alpha / size * sum of squares over the channels around)^beta; the sum by an average over a window."""
    x = m.operand(n, 0)
    size = int(n.attr("size"))
    shape = sizes(x)
    square = binary(m, "mul", x, x, f"{n.name}/square")
    line = m.reshape(square, (shape[0], shape[1], math.prod(shape[2:]), 1), f"{n.name}/channels")
    before = (size - 1) // 2
    mean_of = m.one(
        "avg_pool", [line], f"{n.name}/window", kernels=(size, 1), strides=(1, 1), dilations=(1, 1),
        pads=((before, size - 1 - before), (0, 0)), ceil_mode=False, count_include_pad=True,
    )  # fmt: skip
    total = binary(m, "mul", m.reshape(mean_of, shape, f"{n.name}/mean"), float(n.attr("alpha", 1e-4)), f"{n.name}/sum")
    total = binary(m, "add", total, float(n.attr("bias", 1.0)), f"{n.name}/biased")
    power = binary(m, "pow", total, float(n.attr("beta", 0.75)), f"{n.name}/power")
    m.bind(n, binary(m, "div", x, power, n.outputs[0]))


@converts("MaxUnpool")
def _max_unpool(m: Importer, n: Node) -> None:
    """Indices count in the pooled tensor's own order; output_shape only enlarges the result behind it."""
    x, indices = m.operand(n, 0), m.operand(n, 1)
    kernel = [int(v) for v in n.attr("kernel_shape")]
    stride = [int(v) for v in n.attr("strides", [1] * len(kernel))]
    pads = [int(v) for v in n.attr("pads", [0] * 2 * len(kernel))]
    if m.optional(n, 2) is not None:
        raise Unsupported("output_shape")
    image = [
        (d - 1) * s - pads[i] - pads[i + len(kernel)] + k
        for i, (d, s, k) in enumerate(zip(sizes(x)[2:], stride, kernel, strict=True))
    ]
    last = m.channels_last(x, n.name), m.channels_last(indices, f"{n.name}/indices")
    y = m.one("max_unpool", last, n.name, shape=(sizes(x)[0], *image, sizes(x)[1]))
    m.bind(n, m.channels_first(y, n.outputs[0]))
