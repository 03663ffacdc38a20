"""Element by element: arithmetic, comparisons, activations, casts."""

from __future__ import annotations

import math

import numpy as np

from ..graph import Tensor
from .formats import element
from .importer import Importer
from .node import Node, Unsupported
from .table import Table, registrar, same

CONVERTERS: Table = {
    ("", "Abs"): same("abs"),
    ("", "Neg"): same("neg"),
    ("", "Exp"): same("exp"),
    ("", "Log"): same("log"),
    ("", "Sqrt"): same("sqrt"),
    ("", "Reciprocal"): same("reciprocal"),
    ("", "Sin"): same("sin"),
    ("", "Cos"): same("cos"),
    ("", "Tan"): same("tan"),
    ("", "Asin"): same("asin"),
    ("", "Acos"): same("acos"),
    ("", "Atan"): same("atan"),
    ("", "Sinh"): same("sinh"),
    ("", "Cosh"): same("cosh"),
    ("", "Asinh"): same("asinh"),
    ("", "Acosh"): same("acosh"),
    ("", "Atanh"): same("atanh"),
    ("", "Erf"): same("erf"),
    ("", "Sigmoid"): same("sigmoid"),
    ("", "Tanh"): same("tanh"),
    ("", "Floor"): same("floor"),
    ("", "Ceil"): same("ceil"),
    ("", "Round"): same("round"),
    ("", "Sign"): same("sign"),
    ("", "Not"): same("not"),
    ("", "IsNaN"): same("is_nan"),
    ("", "Softplus"): same("softplus"),
    ("", "Softsign"): same("softsign"),
    ("", "BitwiseNot"): same("bitwise_not"),
    ("", "HardSwish"): same("hard_swish"),
    ("", "Mish"): same("mish"),
    ("", "Elu"): same("elu", alpha=1.0),
    ("", "Selu"): same("selu", alpha=1.67326319217681884765625, gamma=1.05070102214813232421875),
    ("", "Celu"): same("celu", alpha=1.0),
    ("", "LeakyRelu"): same("leaky_relu", alpha=0.01),
    ("", "ThresholdedRelu"): same("thresholded_relu", alpha=1.0),
    ("", "HardSigmoid"): same("hard_sigmoid", alpha=0.2, beta=0.5),
    ("", "Gelu"): same("gelu", approximate="none"),
    ("", "Swish"): same("swish", alpha=1.0),
    ("", "IsInf"): same("is_inf", detect_negative=1, detect_positive=1),
    ("", "Sub"): same("sub", 2),
    ("", "Mul"): same("mul", 2),
    ("", "Div"): same("div", 2),
    ("", "PRelu"): same("prelu", 2),
    ("", "Mod"): same("mod", 2, fmod=0),
    ("", "And"): same("and", 2),
    ("", "Or"): same("or", 2),
    ("", "Xor"): same("xor", 2),
    ("", "BitwiseAnd"): same("bitwise_and", 2),
    ("", "BitwiseOr"): same("bitwise_or", 2),
    ("", "BitwiseXor"): same("bitwise_xor", 2),
    ("", "BitShift"): same("shift", 2, direction=""),
    ("", "Equal"): same("equal", 2),
    ("", "Greater"): same("greater", 2),
    ("", "GreaterOrEqual"): same("greater_equal", 2),
    ("", "Less"): same("less", 2),
    ("", "LessOrEqual"): same("less_equal", 2),
    ("", "Where"): same("where", 3),
}
converts = registrar(CONVERTERS)
PLAIN_CAST = {"saturate": True, "round_mode": "up", "from_format": None, "to_format": None}


@converts("Add")
def _add(m: Importer, n: Node) -> None:
    m.bind(n, m.one("add", [m.operand(n, 0), m.operand(n, 1)], n.outputs[0], activation=None))


@converts("Relu")
def _relu(m: Importer, n: Node) -> None:
    x = m.operand(n, 0)
    m.bind(n, m.one("relu", [x], n.outputs[0], quants=[x.quant]))


@converts("Pow")
def _pow(m: Importer, n: Node) -> None:
    """The result has the type of the base, whatever the exponent's."""
    a, b = m.operand(n, 0), m.operand(n, 1)
    m.bind(n, m.one("pow", [a, b], n.outputs[0]))


def _variadic(m: Importer, n: Node, kind: str, **attrs: object) -> Tensor:
    operands = [m.operand(n, i) for i in range(len(n.inputs))]
    result = operands[0]
    for i, other in enumerate(operands[1:]):
        result = m.one(kind, [result, other], n.outputs[0] if i == len(operands) - 2 else f"{n.name}/{i}", **attrs)
    if len(operands) == 1:
        result = m.one("reshape", [result], n.outputs[0], shape=result.shape)
    return result


@converts("Sum")
def _sum(m: Importer, n: Node) -> None:
    m.bind(n, _variadic(m, n, "add", activation=None))


@converts("Min")
def _min(m: Importer, n: Node) -> None:
    m.bind(n, _variadic(m, n, "min"))


@converts("Max")
def _max(m: Importer, n: Node) -> None:
    m.bind(n, _variadic(m, n, "max"))


@converts("Mean")
def _mean(m: Importer, n: Node) -> None:
    total = _variadic(m, n, "add", activation=None)
    count = m.const(np.array(len(n.inputs), total.dtype), f"{n.name}/count")
    m.bind(n, m.one("div", [total, count], n.outputs[0]))


@converts("Clip")
def _clip(m: Importer, n: Node) -> None:
    """Bounds are attributes up to opset 10, then operands, constant or not."""
    x = m.operand(n, 0)
    low, high = m.optional(n, 1), m.optional(n, 2)
    least = n.attr("min", -math.inf) if low is None else _scalar(low)
    most = n.attr("max", math.inf) if high is None else _scalar(high)
    if (
        least is not None
        and most is not None
        and x.dtype in ("float32", "int8")
        and not (x.dtype == "int8" and x.quant is None)
    ):
        y = m.one("clip", [x], n.outputs[0], quants=[x.quant], min=float(least), max=float(most))
        m.bind(n, y)
        return
    y = x
    for bound, kind in ((low, "max"), (high, "min")):
        if bound is not None:
            y = m.one(kind, [y, bound], n.outputs[0])
    if y is x:
        y = m.one("identity", [x], n.outputs[0])
    m.bind(n, y)


def _scalar(t: Tensor) -> float | None:
    return None if t.data is None or t.data.size != 1 else float(t.data.reshape(-1)[0])


@converts("Cast")
def _cast(m: Importer, n: Node) -> None:
    found = element(int(n.attr("to")))
    if found is None:
        raise Unsupported(f"to={n.attr('to')}")
    m.bind(n, cast(m, n, *found))


@converts("CastLike")
def _cast_like(m: Importer, n: Node) -> None:
    like = m.operand(n, 1)
    m.bind(n, cast(m, n, like.dtype, m.format(like)))


def cast(m: Importer, n: Node, dtype: str, to_format: str | None) -> Tensor:
    """The operand in another type. saturate and round_mode matter for 8-bit floats only."""
    x = m.operand(n, 0)
    saturate, round_mode = bool(n.attr("saturate", 1)), n.attr("round_mode", "up")
    attrs = {"saturate": saturate, "round_mode": round_mode, "from_format": m.format(x), "to_format": to_format}
    y = m.one("cast", [x], n.outputs[0], to=dtype, **attrs)
    m.set_format(y, to_format)
    return y


@converts("Identity")
def _identity(m: Importer, n: Node) -> None:
    x = m.operand(n, 0)
    m.bind(n, x if m.fold else m.one("identity", [x], n.outputs[0], quants=[x.quant]))


@converts("Dropout")
def _dropout(m: Importer, n: Node) -> None:
    """Inference: the input, and a mask of ones. In training its result is random, so nothing can be expected."""
    x, training = m.operand(n, 0), m.constant(n, 2)
    ratio = m.optional(n, 1)
    value = None if ratio is None else m.value(ratio)
    n.attr("ratio", 0.5)
    n.attr("seed", 0)
    if training is not None and bool(training.reshape(-1)[0]) and (value is None or float(value.reshape(-1)[0])):
        raise Unsupported("training_mode=1")
    y = x if m.fold else m.one("identity", [x], n.outputs[0])
    mask = [m.const(np.ones(x.shape, bool), f"{n.name}/mask")] if len(n.outputs) > 1 and n.outputs[1] else []
    m.bind(n, y, *mask)
