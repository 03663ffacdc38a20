"""The gradient rule of each kind against torch's autograd, op by op."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from gradient_check import computed
from torch_models import torch

from pyedge.model.builder import GraphBuilder
from pyedge.model.graph import Tensor

F = torch.nn.functional
TOLERANCE = 1e-5  # of the largest element of a gradient


def against_torch(
    make: Callable[[GraphBuilder, list[Tensor]], Tensor], function: Callable[..., Any], operands: list[np.ndarray]
) -> None:
    """Gradients of all operands; both results are weighted by the same numbers."""
    b = GraphBuilder()
    names = [f"x{i}" for i in range(len(operands))]
    y = make(b, [b.input(n, v.shape) for n, v in zip(names, operands, strict=True)])
    weight = np.random.default_rng(3).uniform(-1, 1, [int(d or 0) for d in y.shape]).astype(np.float32)
    b.output("loss", b.op("reduce_sum", b.op("mul", y, weight)[0], axes=tuple(range(weight.ndim)), keepdims=False)[0])
    found = computed(b.build(), "loss", names, dict(zip(names, operands, strict=True)))
    tensors = [torch.tensor(v, requires_grad=True) for v in operands]
    (function(*tensors) * torch.tensor(weight)).sum().backward()
    for name, t in zip(names, tensors, strict=True):
        expected = t.grad.numpy()
        np.testing.assert_allclose(found[name], expected, rtol=0, atol=TOLERANCE * max(np.abs(expected).max(), 1))


def real(*shape: int, low: float = -3.0, high: float = 3.0) -> np.ndarray:
    return np.random.default_rng(sum(shape)).uniform(low, high, shape).astype(np.float32)


def channels_first(function: Callable[..., Any]) -> Callable[..., Any]:
    """A function of torch on images whose channels are last."""
    return lambda x, *rest: function(x.movedim(-1, 1), *rest).movedim(1, -1)


UNARY: dict[str, tuple[Any, dict[str, Any]]] = {
    **{k: (getattr(torch, k), {}) for k in ("abs", "neg", "square", "exp", "sin", "cos", "atan", "sinh", "cosh")},
    **{k: (getattr(torch, k), {}) for k in ("tanh", "asinh", "erf", "sigmoid", "floor", "relu")},
    **{k: (getattr(F, k), {}) for k in ("softplus", "softsign", "mish", "relu6")},
    "hard_swish": (F.hardswish, {}),
    "hard_sigmoid": (F.hardsigmoid, {"alpha": 1 / 6, "beta": 0.5}),
    "swish": (F.silu, {"alpha": 1.0}),
    "gelu": (F.gelu, {"approximate": "none"}),
    "leaky_relu": (lambda x: F.leaky_relu(x, 0.2), {"alpha": 0.2}),
    "elu": (lambda x: F.elu(x, 1.3), {"alpha": 1.3}),
    "celu": (lambda x: F.celu(x, 1.3), {"alpha": 1.3}),
    "selu": (F.selu, {"alpha": 1.6732632423543772, "gamma": 1.0507009873554805}),
    "thresholded_relu": (lambda x: F.threshold(x, 0.7, 0.0), {"alpha": 0.7}),
    "clip": (lambda x: x.clamp(-1.5, 0.5), {"min": -1.5, "max": 0.5}),
}
POSITIVE: dict[str, Any] = {k: getattr(torch, k) for k in ("sqrt", "rsqrt", "log", "reciprocal")}


@pytest.mark.parametrize("kind", UNARY)
def test_functions(kind: str) -> None:
    """At 0, too. x is added, so that floor, whose slope is 0, has a gradient as well."""
    function, attrs = UNARY[kind]
    x = real(5, 7)
    x[2] = 0
    against_torch(
        lambda b, v: b.op("add", b.op(kind, v[0], **attrs)[0], v[0], activation=None)[0],
        lambda x: function(x) + x,
        [x],
    )


@pytest.mark.parametrize("kind", POSITIVE)
def test_functions_of_positive_numbers(kind: str) -> None:
    against_torch(lambda b, v: b.op(kind, v[0])[0], POSITIVE[kind], [real(4, 5, low=0.2)])


@pytest.mark.parametrize("kind", ["add", "sub", "mul", "div", "min", "max", "pow", "atan2"])
def test_functions_of_two(kind: str) -> None:
    functions = {"add": torch.add, "min": torch.minimum, "max": torch.maximum}
    attrs: dict[str, Any] = {"activation": None} if kind == "add" else {}
    operands = [real(3, 1, 4, low=0.3), real(2, 4, low=0.3)]
    against_torch(lambda b, v: b.op(kind, *v, **attrs)[0], functions.get(kind) or getattr(torch, kind), operands)


@pytest.mark.parametrize("groups, stride, dilation, padding", [(1, 2, 1, 1), (2, 1, 2, 2), (4, 3, 1, 0)])
def test_convolutions(groups: int, stride: int, dilation: int, padding: int) -> None:
    pads = ((padding, padding), (padding, padding))
    steps = {"stride": stride, "dilation": dilation, "padding": pads, "groups": groups}
    torch_steps = {**steps, "padding": padding}
    operands = [real(2, 7, 8, 4), real(8, 3, 3, 4 // groups), real(8)]
    against_torch(
        lambda b, v: b.conv2d(*v, **steps),
        channels_first(lambda x, w, bias: F.conv2d(x, w.movedim(-1, 1), bias, **torch_steps)),
        operands,
    )
    if groups == 4:  # of two filters a channel
        against_torch(
            lambda b, v: b.depthwise_conv2d(v[0], v[1], v[2], stride=stride, padding=pads),
            channels_first(lambda x, w, bias: F.conv2d(x, w.permute(2, 0, 1)[:, None], bias, stride, groups=4)),
            [operands[0], real(3, 3, 8), operands[2]],
        )


@pytest.mark.parametrize("groups, stride, padding, extra", [(1, 2, 1, 1), (2, 1, 0, 0), (2, 3, 2, 2)])
def test_transposed_convolutions(groups: int, stride: int, padding: int, extra: int) -> None:
    """torch has their weights as [C, C_out / groups, kh, kw]."""
    attrs = {
        "strides": (stride, stride),
        "dilations": (1, 1),
        "pads": ((padding, padding),) * 2,
        "groups": groups,
        "output_padding": (extra, extra),
        "activation": None,
    }

    def function(x: Any, w: Any, bias: Any) -> Any:
        co, kh, kw, depth = w.shape
        turned = w.reshape(groups, co // groups, kh, kw, depth).permute(0, 4, 1, 2, 3)
        turned = turned.reshape(groups * depth, co // groups, kh, kw)
        return F.conv_transpose2d(x, turned, bias, stride, padding, extra, groups)

    operands = [real(2, 4, 5, 4), real(6, 3, 3, 4 // groups), real(6)]
    against_torch(lambda b, v: b.op("conv_transpose", *v, **attrs)[0], channels_first(function), operands)


@pytest.mark.parametrize("kernel, stride, padding", [(2, 2, 0), (3, 1, 1), (3, 2, 1)])
def test_pools(kernel: int, stride: int, padding: int) -> None:
    attrs = {"kernel": kernel, "stride": stride, "padding": ((padding, padding),) * 2}
    x = [real(2, 7, 6, 3)]
    against_torch(
        lambda b, v: b.max_pool2d(v[0], **attrs), channels_first(lambda x: F.max_pool2d(x, kernel, stride, padding)), x
    )
    average = channels_first(lambda x: F.avg_pool2d(x, kernel, stride, padding, count_include_pad=False))
    against_torch(lambda b, v: b.avg_pool2d(v[0], **attrs), average, x)


@pytest.mark.parametrize("equal", [False, True])
def test_reductions_and_softmax(equal: bool) -> None:
    """Of equal elements max and min share the gradient, as torch's amax does."""
    x = np.round(real(4, 6)) if equal else real(4, 6)
    for kind, function in (
        ("reduce_max", lambda x: x.amax(1)),
        ("reduce_min", lambda x: x.amin(1)),
        ("reduce_l2", lambda x: x.norm(dim=1)),
        ("reduce_log_sum_exp", lambda x: x.logsumexp(1)),
        ("mean", lambda x: x.mean(1)),
    ):
        against_torch(lambda b, v, k=kind: b.op(k, v[0], axes=(1,), keepdims=False)[0], function, [x])
    against_torch(lambda b, v: b.softmax(v[0]), lambda x: x.softmax(-1), [x])
    against_torch(lambda b, v: b.op("log_softmax", v[0], axis=-1)[0], lambda x: x.log_softmax(-1), [x])
