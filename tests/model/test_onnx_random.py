"""Random ONNX networks of every opset against ONNX Runtime: float ones, and quantized by its own tool."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from onnx_maker import rng_array

import pyedge as pe
from pyedge.compress.clean import clean_up
from pyedge.model.onnx import load_onnx

ort = pytest.importorskip("onnxruntime")
quantization = pytest.importorskip("onnxruntime.quantization")

NEWEST = 23  # what ONNX Runtime supports and onnx 1.18 knows
OPSETS = range(9, NEWEST + 1)


class Network:
    """A network in NCHW with an open batch, node by node, as exporters of the opset write it."""

    def __init__(self, seed: int, opset: int) -> None:
        self.r, self.opset = np.random.default_rng(seed), opset
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []
        self.shapes: dict[str, tuple[int, ...]] = {}  # without the batch

    def pick(self, *choices: Any) -> Any:
        return choices[self.r.integers(len(choices))]

    def const(self, value: Any, dtype: Any = np.float32) -> str:
        name = f"k{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(np.asarray(value, dtype), name))
        return name

    def add(self, op_type: str, inputs: list[str], shape: tuple[int, ...], outputs: int = 1, **attrs: Any) -> str:
        names = [f"h{len(self.nodes)}" if i == 0 else f"h{len(self.nodes)}_{i}" for i in range(outputs)]
        self.nodes.append(helper.make_node(op_type, inputs, names, name=f"n{len(self.nodes)}", **attrs))
        self.shapes.update(dict.fromkeys(names, shape))
        return names[0]

    def listed(self, op_type: str, x: str, since: int, shape: tuple[int, ...], name: str = "axes", **lists: Any) -> str:
        """An operator whose lists are attributes in old opsets and operands from opset `since` on."""
        (values,) = lists.values()
        if self.opset < since:
            return self.add(op_type, [x], shape, **{name: values})
        return self.add(op_type, [x, self.const(values, np.int64)], shape)

    def conv(self, x: str) -> str:
        c, h, w = self.shapes[x]
        groups, k, stride = self.pick(1, 1, c), self.pick(1, 3), self.pick(1, 2)
        out = groups * self.pick(1, 2, 3) if groups > 1 else self.pick(3, 4, 8)
        weight = self.const(self.r.normal(size=(out, c // groups, k, k)) / np.sqrt(k * k * c / groups))
        bias = [self.const(self.r.normal(size=out) * 0.1)] if self.pick(True, False) else []
        pad = k // 2
        attrs: dict[str, Any] = {"auto_pad": "SAME_UPPER"} if self.pick(True, False) else {"pads": [pad] * 4}
        if self.pick(True, False):
            attrs["kernel_shape"] = [k, k]
        same = "auto_pad" in attrs
        h, w = (-(-n // stride) if same else (n + 2 * pad - k) // stride + 1 for n in (h, w))
        return self.add("Conv", [x, weight, *bias], (out, h, w), strides=[stride] * 2, group=groups, **attrs)

    def norm(self, x: str) -> str:
        c = self.shapes[x][0]
        values = [self.r.uniform(0.5, 2, c), self.r.normal(size=c), self.r.normal(size=c), self.r.uniform(0.5, 2, c)]
        return self.add("BatchNormalization", [x, *map(self.const, values)], self.shapes[x], epsilon=1e-3)

    def activation(self, x: str) -> str:
        shape = self.shapes[x]
        kind = self.pick(
            "Relu", "Relu", "LeakyRelu", "Sigmoid", "Tanh", "Elu", "Clip", "PRelu", "HardSwish", "Softplus"
        )
        if kind == "Clip":
            if self.opset < 11:
                return self.add(kind, [x], shape, min=0.0, max=6.0)
            return self.add(kind, [x, self.const(0.0), self.const(6.0)], shape)
        if kind == "PRelu":
            return self.add(kind, [x, self.const(self.r.uniform(0, 1, (shape[0], 1, 1)))], shape)
        if kind == "HardSwish" and self.opset < 14:
            kind = "HardSigmoid"
        return self.add(kind, [x], shape)

    def pool(self, x: str) -> str:
        c, h, w = self.shapes[x]
        if min(h, w) < 2:
            return x
        kind, ceil = self.pick("MaxPool", "AveragePool"), self.pick(0, 1) if self.opset >= 10 else 0
        attrs: dict[str, Any] = {"ceil_mode": ceil} if self.opset >= 10 else {}
        if kind == "AveragePool":
            attrs["count_include_pad"] = self.pick(0, 1)
        h, w = (-(-(n - 2) // 2) + 1 if ceil else (n - 2) // 2 + 1 for n in (h, w))
        return self.add(kind, [x], (c, h, w), kernel_shape=[2, 2], strides=[2, 2], **attrs)

    def residual(self, x: str) -> str:
        other = self.activation(x)
        return self.add(self.pick("Add", "Mul", "Sub"), self.pick([x, other], [other, x]), self.shapes[x])

    def joined(self, x: str) -> str:
        c, h, w = self.shapes[x]
        return self.add("Concat", [x, self.activation(x)], (2 * c, h, w), axis=self.pick(1, -3))

    def padded(self, x: str) -> str:
        c, h, w = self.shapes[x]
        mode = self.pick("constant", "edge")
        pads, shape = [0, 0, 1, 0, 0, 0, 1, 2], (c, h + 2, w + 2)
        if self.opset < 11:
            return self.add("Pad", [x], shape, mode=mode, pads=pads)
        return self.add("Pad", [x, self.const(pads, np.int64)], shape, mode=mode)

    def cut(self, x: str) -> str:
        c, h, w = self.shapes[x]
        if h < 2:
            return x
        if self.opset < 10:
            return self.add("Slice", [x], (c, h - 1, w), starts=[0], ends=[-1], axes=[2])
        lists = (self.const(v, np.int64) for v in ([0], [-1], [2]))
        return self.add("Slice", [x, *lists], (c, h - 1, w))

    def halves(self, x: str) -> str:
        c, h, w = self.shapes[x]
        if c % 2:
            return x
        sizes = [self.const([c // 2] * 2, np.int64)] if self.opset >= 13 else []
        attrs = {} if sizes else {"split": [c // 2] * 2}
        first = self.add("Split", [x, *sizes], (c // 2, h, w), 2, axis=1, **attrs)
        return self.add("Max", [first, f"{first}_1"], (c // 2, h, w))

    def larger(self, x: str) -> str:
        c, h, w = self.shapes[x]
        scales = self.const([1, 1, 2, 2])
        if self.opset == 9:
            return self.add("Upsample", [x, scales], (c, 2 * h, 2 * w), mode="nearest")
        if self.opset == 10:
            return self.add("Resize", [x, scales], (c, 2 * h, 2 * w), mode="nearest")
        attrs = {"mode": "linear", "coordinate_transformation_mode": "half_pixel"}
        return self.add("Resize", [x, self.const([]), scales], (c, 2 * h, 2 * w), **attrs)

    def gated(self, x: str) -> str:
        """Squeeze and excite, by ops whose axes moved from attributes to operands."""
        c, _, _ = self.shapes[x]
        m = self.listed("ReduceMean", x, 18, (c, 1, 1), axes=[2, 3])
        flat = self.listed("Squeeze", m, 13, (c,), axes=[2, 3])
        weight = self.const(self.r.normal(size=(c, c)) / np.sqrt(c))
        gate = self.add("Sigmoid", [self.add("MatMul", [flat, weight], (c,))], (c,))
        return self.add("Mul", [x, self.listed("Unsqueeze", gate, 13, (c, 1, 1), axes=[2, 3])], self.shapes[x])

    def branched(self, x: str) -> str:
        """An If of a constant, or of the sum of the input."""
        shape = self.shapes[x]
        bodies = {}
        for name, op_type in (("then_branch", "Relu"), ("else_branch", "Neg")):
            out = f"b{len(self.nodes)}{name}"
            value = helper.make_tensor_value_info(out, TensorProto.FLOAT, None)
            bodies[name] = helper.make_graph([helper.make_node(op_type, [x], [out])], name, [], [value])
        if self.pick(True, False):
            condition = self.const(self.pick(True, False), np.bool_)
        else:
            attrs = {"keepdims": 0}
            total = self.add("ReduceMax", ["x"], (), **attrs)
            condition = self.add("Greater", [total, self.const(1.0)], ())
        return self.add("If", [condition], shape, **bodies)

    def model(self, steps: int, kinds: tuple[str, ...]) -> onnx.ModelProto:
        h, shape = "x", (self.pick(1, 3, 4), self.pick(8, 9), self.pick(8, 7))
        self.shapes["x"] = shape
        h = self.conv(h)
        for _ in range(steps):
            h = getattr(self, self.pick(*kinds))(h)
        c, _, _ = self.shapes[h]
        h = self.add("GlobalAveragePool", [h], (c, 1, 1))
        h = self.add("Flatten", [h], (c,))
        weight, bias = self.const(self.r.normal(size=(5, c)) / np.sqrt(c)), self.const(self.r.normal(size=5))
        h = self.add("Gemm", [h, weight, bias], (5,), transB=1)
        self.add("Softmax", [h], (5,), axis=1)
        self.nodes[-1].output[0] = "y"
        info = helper.make_tensor_value_info
        graph = helper.make_graph(
            self.nodes,
            "g",
            [info("x", TensorProto.FLOAT, ("n", *shape))],
            [info("y", TensorProto.FLOAT, ("n", 5))],
            self.constants,
        )
        return helper.make_model(graph, opset_imports=[helper.make_opsetid("", self.opset)], ir_version=8)


FLOAT = ("conv", "norm", "activation", "pool", "residual", "joined", "padded", "cut", "halves", "larger", "gated")
FLOAT += ("branched",)
LAYERS = ("conv", "activation", "pool", "residual", "joined")


def expected(model: onnx.ModelProto, x: np.ndarray) -> np.ndarray:
    """What ONNX Runtime computes for the graph as it is written."""
    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.log_severity_level = 3
    session = ort.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    return np.asarray(session.run(None, {"x": x})[0])


@pytest.mark.parametrize("opset", OPSETS)
def test_random_networks_agree_with_onnx_runtime(opset: int) -> None:
    """Ten of each opset, within 1e-5, for a batch of 1 and of 3; cleaned up and as imported."""
    for seed in range(10):
        network = Network(100 * opset + seed, opset)
        proto = network.model(network.pick(2, 4, 6), FLOAT)
        for batch in (1, 3):
            x = rng_array((batch, *network.shapes["x"]), seed)
            wanted = expected(proto, x)
            raw = load_onnx(proto, batch=batch)
            for graph in (clean_up(raw), raw):
                y = pe.Session(pe.compile(graph)).run({"x": x})["y"]
                np.testing.assert_allclose(y, wanted, rtol=1e-4, atol=1e-5, err_msg=f"seed {seed}")


class Samples(quantization.CalibrationDataReader):  # type: ignore[misc]
    """Inputs for ONNX Runtime's calibration."""

    def __init__(self, shape: tuple[int, ...]) -> None:
        self.left = [{"x": rng_array((1, *shape), seed)} for seed in range(8)]

    def get_next(self) -> dict[str, np.ndarray] | None:
        return self.left.pop() if self.left else None


QUANT = quantization.QuantType
SCHEMES = {
    "int8 per channel": {"per_channel": True, "activation_type": QUANT.QInt8, "weight_type": QUANT.QInt8},
    "int8 per tensor": {"per_channel": False, "activation_type": QUANT.QInt8, "weight_type": QUANT.QInt8},
    "uint8 activations": {"per_channel": True, "activation_type": QUANT.QUInt8, "weight_type": QUANT.QInt8},
    "uint8 weights": {"per_channel": False, "activation_type": QUANT.QUInt8, "weight_type": QUANT.QUInt8},
}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("form", ["QDQ", "QOperator"])
@pytest.mark.parametrize("scheme", SCHEMES)
def test_networks_that_onnx_runtime_has_quantized(scheme: str, form: str, tmp_path: Any) -> None:
    """As written within a step of the softmax's codes, by another order of sums; in integers within three: each layer
    rounds once where ONNX Runtime rounds a float sum.
    """
    for seed in range(6):
        network = Network(seed, 17)
        proto = network.model(3, LAYERS)
        path = tmp_path / f"{seed}.onnx"
        onnx.save(proto, tmp_path / "float.onnx")
        quantization.quantize_static(
            tmp_path / "float.onnx", path, Samples(network.shapes["x"]),
            quant_format=quantization.QuantFormat[form], **SCHEMES[scheme],
        )  # fmt: skip
        x = rng_array((1, *network.shapes["x"]), 50 + seed)
        wanted = expected(onnx.load(path), x)
        for qdq, steps in (("float", 1), ("int8", 3)):
            y = pe.Session(pe.compile(pe.load(path, qdq=qdq), rounding="fp32")).run({"x": x})["y"]
            assert np.abs(y - wanted).max() <= steps / 256, f"seed {seed}, qdq={qdq}"


@pytest.mark.parametrize("real", [False, True])
@pytest.mark.parametrize("trans_a, trans_b, alpha, columns", [(0, 0, 1.0, 1), (1, 1, 1.0, 1), (0, 1, 0.5, 6)])
def test_qgemm_is_that_of_onnx_runtime(real: bool, trans_a: int, trans_b: int, alpha: float, columns: int) -> None:
    """With a bias, transposed, with alpha, a scale for each column, and with a float result where y has no scale."""
    r = np.random.default_rng(0)
    a, b = r.integers(0, 256, (4, 9), np.uint8), r.integers(-128, 128, (9, 6), np.int8)
    values = {
        "b": np.ascontiguousarray(b.T if trans_b else b),
        "sa": np.float32(0.05),
        "za": np.uint8(120),
        "sb": r.uniform(0.01, 0.03, columns).astype(np.float32).reshape(columns if columns > 1 else ()),
        "zb": np.zeros(columns if columns > 1 else (), np.int8),
        "c": r.integers(-3000, 3000, 6).astype(np.int32),
        **({} if real else {"sy": np.float32(0.1), "zy": np.uint8(100)}),
    }
    names = ["a", "sa", "za", "b", "sb", "zb", "c", *([] if real else ["sy", "zy"])]
    attrs = {"transA": trans_a, "transB": trans_b, "alpha": alpha}
    node = helper.make_node("QGemm", names, ["y"], domain="com.microsoft", **attrs)
    fed = np.ascontiguousarray(a.T if trans_a else a)
    info = helper.make_tensor_value_info
    graph = helper.make_graph(
        [node], "g", [info("a", TensorProto.UINT8, fed.shape)],
        [info("y", TensorProto.FLOAT if real else TensorProto.UINT8, (4, 6))],
        [numpy_helper.from_array(np.asarray(v), n) for n, v in values.items()],
    )  # fmt: skip
    imports = [helper.make_opsetid("", 17), helper.make_opsetid("com.microsoft", 1)]
    proto = helper.make_model(graph, opset_imports=imports, ir_version=8)
    session = ort.InferenceSession(proto.SerializeToString(), providers=["CPUExecutionProvider"])
    (wanted,) = session.run(None, {"a": fed})
    y = pe.Session(pe.compile(clean_up(load_onnx(proto)))).run({"a": fed})["y"]
    assert y.dtype == wanted.dtype
    if real:
        np.testing.assert_allclose(y, wanted, rtol=1e-6)
    else:
        assert np.abs(y.astype(int) - wanted).max() <= 1
        assert (y != wanted).mean() <= 0.05
