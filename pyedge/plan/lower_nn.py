"""Lowerings of the kinds of model/ops_nn.py."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ..errors import PlanError
from ..model import quantmath
from ..model.graph import Op
from ..model.ops_nn import RNN_ACTIVATIONS, RNN_DIRECTIONS, label_sizes
from . import structs
from .lower import Builder, clamps, lowers
from .lower_conv import bias_codes, channel_table

_AXES = 4  # of windows, as in pe_conv_nd_params


# --- matrix products ------------------------------------------------------------------------------------------------


def _matrices(b: Builder, a: int, w: int, y: int) -> tuple[int, int, int]:
    """Views in which vectors are matrices: [K] as [1, K] at the left and [K, 1] at the right, and y to match."""
    a_dims, w_dims = b.program.values[a].dims, b.program.values[w].dims
    if len(a_dims) == 1:
        a = b.view(a, (1, *a_dims))
    if len(w_dims) == 1:
        w = b.view(w, (*w_dims, 1))
    a_dims2, w_dims2 = b.program.values[a].dims, b.program.values[w].dims
    if len(a_dims) > 1 and len(w_dims) > 1:
        return a, w, y
    batch = b.program.values[y].dims[: max(len(a_dims2), len(w_dims2)) - 2]
    return a, w, b.view(y, (*batch, a_dims2[-2], w_dims2[-1]))


@lowers("matmul")
def _matmul(b: Builder, op: Op) -> None:
    a, w, y = b.input(op, 0), b.input(op, 1), b.result(op)
    params = {"transpose_a": int(op.attrs["transpose_a"]), "transpose_b": int(op.attrs["transpose_b"])}
    dtype, clamp = b.program.values[y].dtype, op.attrs["activation"]
    if dtype == "float32":
        params |= clamps(b, op, y)
        a, w, y = _matrices(b, a, w, y)
        b.emit("matmul_f32", op.name, [a, w], [y], **params)
        return
    if dtype == "int8" and b.program.values[y].scale > 0:
        (sa, za), (sw, zw), (sy, zy) = (b.scale(op, v) for v in (a, w, y))
        factor = quantmath.quantize_multiplier(float(quantmath.linear_scales(sa, sw, sy)[0]))
        params |= {"a_zero_point": za, "b_zero_point": zw, "y_zero_point": zy, **clamps(b, op, y)}
        params |= {"multiplier": factor.multiplier, "shift": factor.shift}
        a, w, y = _matrices(b, a, w, y)
        b.emit("matmul_s8", op.name, [a, w], [y], **params)
        return
    if clamp is not None:
        raise PlanError(f"op {op.name!r} (matmul): no kernel of {dtype} has an activation")
    a, w, y = _matrices(b, a, w, y)
    rank = len(b.program.values[y].dims)
    batch = [f"b{i}" for i in range(rank - 2)]

    def labels(number: int, last: Sequence[str]) -> list[str]:
        return [*batch[rank - len(b.program.values[number].dims) :], *last]

    terms = [
        labels(a, "km" if op.attrs["transpose_a"] else "mk"),
        labels(w, "nk" if op.attrs["transpose_b"] else "kn"),
    ]
    dims = b.program.values[y].dims
    sizes = dict(zip([*batch, "m", "n"], dims, strict=True))
    sizes["k"] = b.program.values[a].dims[terms[0].index("k")]
    _contract(b, op, [a, w], terms, [*batch, "m", "n"], sizes, y)


@lowers("einsum")
def _einsum(b: Builder, op: Op) -> None:
    operands = [b.tensor(str(name)) for name in op.inputs]
    terms, result, sizes = label_sizes(op, operands)
    _contract(b, op, [b.input(op, i) for i in range(len(terms))], terms, result, sizes, b.result(op))


def _contract(
    b: Builder,
    op: Op,
    operands: Sequence[int],
    terms: Sequence[Sequence[str]],
    result: Sequence[str],
    sizes: dict[str, int],
    y: int,
) -> None:
    """The loops of an Einstein sum: those of the result, then the rest in the order of the operands' labels."""
    rest = [label for label in dict.fromkeys(c for term in terms for c in term) if label not in result]
    loops = [*result, *rest]
    if len(loops) > structs.CONTRACT_LOOPS:
        raise PlanError(
            f"op {op.name!r} ({op.kind}): {len(loops)} different axes, at most {structs.CONTRACT_LOOPS} are possible"
        )
    strides = np.zeros((structs.CONTRACT_OPERANDS, structs.CONTRACT_LOOPS), np.int64)
    for k, (number, term) in enumerate(zip(operands, terms, strict=True)):
        step = 1
        for label, size in zip(reversed(term), reversed(b.program.values[number].dims), strict=True):
            if size > 1:  # a label that comes twice walks the diagonal
                strides[k, loops.index(label)] += step
            step *= size
    b.emit(
        "contract_any",
        op.name,
        list(operands),
        [y],
        outer=len(result),
        loops=len(loops),
        size=[*(sizes[label] for label in loops), *[0] * (structs.CONTRACT_LOOPS - len(loops))],
        stride=strides.reshape(-1).tolist(),
    )


@lowers("matmul_integer")
def _matmul_integer(b: Builder, op: Op) -> None:
    a, w, y = _matrices(b, b.input(op, 0), b.input(op, 1), b.result(op))
    b.emit("matmul_integer", op.name, [a, w, b.optional_input(op, 2), b.optional_input(op, 3)], [y])


@lowers("qlinear_matmul")
def _qlinear_matmul(b: Builder, op: Op) -> None:
    inputs = [b.input(op, i) for i in range(8)]
    inputs[0], inputs[3], y = _matrices(b, inputs[0], inputs[3], b.result(op))
    b.emit("qlinear_matmul", op.name, inputs, [y])


# --- convolutions and pools -----------------------------------------------------------------------------------------


def _per_axis(values: Sequence[int], fill: int) -> list[int]:
    return [*values, *[fill] * (_AXES - len(values))]


def windows(op: Op) -> dict[str, Any]:
    return {
        "axes": len(op.attrs["strides"]),
        "stride": _per_axis(op.attrs["strides"], 1),
        "dilation": _per_axis(op.attrs["dilations"], 1),
        "pad": _per_axis([p[0] for p in op.attrs["pads"]], 0),
    }


@lowers("conv")
def _conv(b: Builder, op: Op) -> None:
    """One axis as two, the first of which is 1; two as conv2d; more, floats only, by the plain walk."""
    axes = len(op.attrs["strides"])
    x, w, bias, y = b.input(op, 0), b.input(op, 1), b.optional_input(op, 2), b.result(op)
    if axes > 2:
        if b.program.values[x].dtype != "float32":
            raise PlanError(f"op {op.name!r} (conv): no kernel takes int8 with {axes} axes")
        b.emit("conv_nd_f32", op.name, [x, w, bias], [y], **windows(op), groups=op.attrs["groups"], **clamps(b, op, y))
        return
    steps = [1] * (2 - axes)
    strides, dilations = [*steps, *op.attrs["strides"]], [*steps, *op.attrs["dilations"]]
    pads = [*[0] * (2 - axes), *(p[0] for p in op.attrs["pads"])]
    params = {
        "stride_h": strides[0],
        "stride_w": strides[1],
        "dilation_h": dilations[0],
        "dilation_w": dilations[1],
        "pad_top": pads[0],
        "pad_left": pads[1],
        "groups": op.attrs["groups"],
        **clamps(b, op, y),
    }
    quantized = b.program.values[x].dtype == "int8"
    inputs = [x, w, bias]
    kind = "conv2d_f32"
    if quantized:
        ending, q = channel_table(b, op, x, bias, y, tuple(range(1, axes + 2)))
        inputs, kind = [x, w, q], f"conv2d_s8{ending}"
        params |= {"x_zero_point": b.scale(op, x)[1], "y_zero_point": b.scale(op, y)[1]}
        params["rounding"] = structs.ROUNDING["fp32" if ending else "tflite"]
    if axes == 1:
        inputs[:2] = [_with_height(b, n) for n in (x, w)]
        y = _with_height(b, y)
    b.emit(kind, op.name, inputs, [y], **params)


def _with_height(b: Builder, number: int) -> int:
    dims = b.program.values[number].dims
    return b.view(number, (dims[0], 1, *dims[1:]))


@lowers("conv_transpose")
def _conv_transpose(b: Builder, op: Op) -> None:
    x, w, bias, y = b.input(op, 0), b.input(op, 1), b.optional_input(op, 2), b.result(op)
    params = {**windows(op), "groups": op.attrs["groups"], **clamps(b, op, y)}
    if b.program.values[x].dtype != "int8":
        b.emit("conv_transpose_f32", op.name, [x, w, bias], [y], **params)
        return
    # A tap that meets no pixel adds nothing, so the zero point is taken off in the kernel and not folded into the bias.
    tensor = b.tensor(str(op.inputs[1]))
    if tensor.data is None or tensor.quant is None:
        raise PlanError(f"op {op.name!r} (conv_transpose): an int8 input needs constant int8 weights with scales")
    channels = tensor.data.shape[0]
    factors = quantmath.channel_scales(b.scale(op, x)[0], tensor.quant.scale, b.scale(op, y)[0])
    multipliers, shifts = quantmath.quantize_multipliers(np.broadcast_to(factors, channels))
    start = bias_codes(b, op, bias, channels)
    q = b.constant(f"{op.name}:q", np.stack([start, multipliers, shifts], axis=1).astype(np.int32))
    params |= {"x_zero_point": b.scale(op, x)[1], "y_zero_point": b.scale(op, y)[1]}
    b.emit("conv_transpose_s8", op.name, [x, w, q], [y], **params)


@lowers("deform_conv")
def _deform_conv(b: Builder, op: Op) -> None:
    inputs = [b.input(op, 0), b.input(op, 1), b.input(op, 2), b.optional_input(op, 3), b.optional_input(op, 4)]
    b.emit(
        "deform_conv_f32",
        op.name,
        inputs,
        [b.result(op)],
        stride_h=op.attrs["strides"][0],
        stride_w=op.attrs["strides"][1],
        dilation_h=op.attrs["dilations"][0],
        dilation_w=op.attrs["dilations"][1],
        pad_top=op.attrs["pads"][0][0],
        pad_left=op.attrs["pads"][1][0],
        groups=op.attrs["groups"],
        offset_groups=op.attrs["offset_groups"],
    )


@lowers("conv_integer")
def _conv_integer(b: Builder, op: Op) -> None:
    inputs = [b.input(op, 0), b.input(op, 1), b.optional_input(op, 2), b.optional_input(op, 3)]
    b.emit("conv_integer", op.name, inputs, [b.result(op)], **windows(op), groups=op.attrs["groups"])


@lowers("qlinear_conv")
def _qlinear_conv(b: Builder, op: Op) -> None:
    inputs: list[int | None] = [b.input(op, i) for i in range(8)]
    bias = b.optional_input(op, 8)
    inputs += [] if bias is None else [bias]
    b.emit("qlinear_conv", op.name, inputs, [b.result(op)], **windows(op), groups=op.attrs["groups"])


@lowers("avg_pool", "lp_pool", "max_pool")
def _pool(b: Builder, op: Op) -> None:
    params: dict[str, Any] = {
        **windows(op),
        "kernel": _per_axis(op.attrs["kernels"], 1),
        "pad_after": _per_axis([p[1] for p in op.attrs["pads"]], 0),
    }
    kind = f"{op.kind}_nd"
    if op.kind == "avg_pool":
        params["count_include_pad"] = int(op.attrs["count_include_pad"])
    elif op.kind == "lp_pool":
        params["exponent"] = op.attrs["exponent"]
    elif op.attrs["indices"]:
        kind = "max_pool_indices_nd"
        params["column_major"] = int(op.attrs["column_major"])
    b.emit(kind, op.name, [b.input(op, 0)], b.results(op), **params)


@lowers("max_unpool")
def _max_unpool(b: Builder, op: Op) -> None:
    b.emit("max_unpool", op.name, [b.input(op, 0), b.input(op, 1)], [b.result(op)])


@lowers("log_softmax", "hardmax")
def along_axis(b: Builder, op: Op) -> None:
    x = b.input(op, 0)
    axis = op.attrs["axis"] % len(b.program.values[x].dims)
    b.emit(f"{op.kind}_axis", op.name, [x], [b.result(op)], axis=axis)


# --- recurrent cells ------------------------------------------------------------------------------------------------


@lowers("rnn", "gru", "lstm")
def _recurrent(b: Builder, op: Op) -> None:
    count = 8 if op.kind == "lstm" else 6
    inputs = [b.optional_input(op, i) for i in range(count)]
    functions = {"rnn": 1, "gru": 2, "lstm": 3}[op.kind]
    activation, alpha, beta = np.zeros(6, np.int32), np.zeros(6), np.zeros(6)
    for i, name in enumerate(op.attrs["activations"]):
        at = i // functions * 3 + i % functions
        activation[at] = RNN_ACTIVATIONS.index(name)
        alpha[at], beta[at] = op.attrs["alphas"][i], op.attrs["betas"][i]
    b.emit(
        f"{op.kind}_f32",
        op.name,
        inputs,
        b.results(op),
        direction=RNN_DIRECTIONS.index(op.attrs["direction"]),
        activation=activation.tolist(),
        alpha=alpha.tolist(),
        beta=beta.tolist(),
        clip=float(op.attrs["clip"]),
        linear_before_reset=int(op.attrs.get("linear_before_reset", False)),
        input_forget=int(op.attrs.get("input_forget", False)),
        batch_first=int(op.attrs["batch_first"]),
    )
