"""ONNX Runtime. Graphs that are not from an .onnx file are written as one: NCHW, int8 as QDQ with uint8 activations.

That is the form that it fuses and that its fastest kernels take; x is laid out so before the run.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime

from ...model.graph import Graph, Op, Tensor
from ...model.ops import resolve_padding
from . import Array, Call, Unable, kind_of


def prepare(graph: Graph, file: Path | None, x: Array) -> Call:
    """See `peers`."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3
    own = file is not None and file.suffix == ".onnx"
    try:
        model = file.read_bytes() if own and file is not None else to_onnx(graph)
        session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    except ImportError:
        raise Unable("the package onnx is needed to write a model for it") from None
    except Exception as error:  # its errors have no common class
        raise Unable(str(error).splitlines()[0]) from None
    if len(session.get_inputs()) != 1:
        raise Unable("more than one input")
    feed = x
    if not own:
        feed = _codes(x) if x.dtype == np.int8 else x
        feed = np.ascontiguousarray(feed.transpose(0, 3, 1, 2)) if feed.ndim == 4 else feed
    name = session.get_inputs()[0].name

    def run() -> Array:
        y = np.asarray(session.run(None, {name: feed})[0])
        return y if own or y.ndim != 4 else y.transpose(0, 2, 3, 1)

    return run


def _codes(x: Array) -> Array:
    return (x.astype(np.int16) + 128).astype(np.uint8)


def to_onnx(graph: Graph) -> bytes:
    """The graph as an .onnx file. Raises Unable for what is not of the usual layers; ImportError without onnx."""
    return _Writer(graph).model()


class _Writer:
    """Values are floats in NCHW between the ops; of int8 graphs each is quantized, as QDQ has it."""

    def __init__(self, graph: Graph) -> None:
        from onnx import helper, numpy_helper

        self.graph, self.helper, self.from_array = graph, helper, numpy_helper.from_array
        self.nodes: list[Any] = []
        self.constants: list[Any] = []
        self.values: dict[str, str] = {}  # tensor -> its value as floats

    def model(self) -> bytes:
        from onnx import TensorProto

        graph, helper = self.graph, self.helper
        if len(graph.inputs) != 1 or len(graph.outputs) != 1:
            raise Unable("more than one input or output")
        x = graph.inputs[0]
        shape = [d or 1 for d in x.shape]
        quantized = x.dtype == "int8"
        if x.dtype not in ("float32", "int8"):
            raise Unable(f"input of {x.dtype}")
        kind = TensorProto.UINT8 if quantized else TensorProto.FLOAT
        source = helper.make_tensor_value_info(
            "input", kind, [shape[i] for i in (0, 3, 1, 2)] if len(shape) == 4 else shape
        )
        self.values[x.name] = self.dequantized("input", x) if quantized else "input"
        for op in graph.ops:
            value = self.op(op)
            out = graph.tensors[op.outputs[0]]
            self.values[out.name] = self.quantized(value, out) if out.dtype == "int8" else value
        self.nodes[-1].output[0] = "output"
        result = helper.make_tensor_value_info("output", TensorProto.FLOAT, None)
        made = helper.make_graph(self.nodes, graph.name, [source], [result], self.constants)
        model = helper.make_model(made, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
        return bytes(model.SerializeToString())

    def node(self, kind: str, *inputs: str, **attributes: Any) -> str:
        name = f"v{len(self.nodes)}"
        self.nodes.append(self.helper.make_node(kind, list(inputs), [name], **attributes))
        return name

    def constant(self, value: Array) -> str:
        name = f"c{len(self.constants)}"
        self.constants.append(self.from_array(np.array(value, order="C"), name))
        return name

    def dequantized(self, codes: str, t: Tensor) -> str:
        assert t.quant is not None
        scale, zero = np.float32(t.quant.scale[0]), np.uint8(int(t.quant.zero_point[0]) + 128)
        return self.node("DequantizeLinear", codes, self.constant(np.array(scale)), self.constant(np.array(zero)))

    def quantized(self, value: str, t: Tensor) -> str:
        """Through the codes of a tensor; an output stays floats, so its kernels may end in them."""
        assert t.quant is not None
        scale, zero = np.float32(t.quant.scale[0]), np.uint8(int(t.quant.zero_point[0]) + 128)
        codes = self.node("QuantizeLinear", value, self.constant(np.array(scale)), self.constant(np.array(zero)))
        return self.dequantized(codes, t)

    def weight(self, t: Tensor, order: tuple[int, ...]) -> str:
        """A constant with its axes in another order, channels first."""
        assert t.data is not None
        data = t.data.transpose(order)
        if t.dtype != "int8":
            return self.constant(data.astype(np.float32))  # as its own float16 products are done
        assert t.quant is not None
        scales = np.broadcast_to(t.quant.scale, data.shape[0]).astype(np.float32)
        zeros = np.zeros(data.shape[0], np.int8)
        return self.node("DequantizeLinear", self.constant(data), self.constant(scales), self.constant(zeros), axis=0)

    def bias(self, op: Op) -> list[str]:
        t = self.graph.tensors[op.inputs[2]] if len(op.inputs) > 2 and op.inputs[2] is not None else None
        if t is None:
            return []
        assert t.data is not None
        if t.dtype != "int32":
            return [self.constant(t.data)]
        x, w = (self.graph.tensors[n] for n in op.inputs[:2] if n is not None)
        assert x.quant is not None and w.quant is not None
        scales = np.broadcast_to(x.quant.scale * w.quant.scale, t.data.shape).astype(np.float32)
        return [self.node("DequantizeLinear", self.constant(t.data), self.constant(scales), axis=0)]

    def op(self, op: Op) -> str:
        tensors = [self.graph.tensors[n] for n in op.inputs if n is not None]
        x, a = self.values.get(tensors[0].name, ""), op.attrs
        if kind_of(op) == "conv2d":
            w = self.weight(tensors[1], (0, 3, 1, 2))
            y = self.node("Conv", x, w, *self.bias(op), group=a["groups"], **self.windows(op))
        elif kind_of(op) == "depthwise_conv2d":
            if tensors[1].shape[2] != tensors[0].shape[3]:
                raise Unable("no depthwise multiplier")
            data = tensors[1].data
            assert data is not None
            w = self.weight(Tensor(tensors[1].name, (), tensors[1].dtype, data[None], tensors[1].quant), (3, 0, 1, 2))
            y = self.node("Conv", x, w, *self.bias(op), group=int(data.shape[2]), **self.windows(op))
        elif kind_of(op) == "linear":
            y = self.node("Gemm", self.flat(x, tensors[0]), self.weight(tensors[1], (0, 1)), *self.bias(op), transB=1)
        elif op.kind == "add":
            y = self.node("Add", x, self.values[tensors[1].name])
        elif op.kind in ("avg_pool2d", "max_pool2d"):
            y = self.node("AveragePool" if op.kind == "avg_pool2d" else "MaxPool", x, **self.windows(op))
        elif op.kind == "mean" and tuple(a["axes"]) == (1, 2) and len(tensors[0].shape) == 4:
            y = self.node("GlobalAveragePool", x)
            y = y if a["keepdims"] else self.node("Flatten", y)
        elif op.kind == "softmax" and a["beta"] == 1:
            y = self.node("Softmax", x, axis=-1)
        elif op.kind == "reshape" and len(op.outputs) == 1:
            shape = self.graph.tensors[op.outputs[0]].shape
            if len(shape) > 2:
                raise Unable("no reshape to an image")
            y = self.node(
                "Reshape", self.nhwc(x, tensors[0]), self.constant(np.array([d or 1 for d in shape], np.int64))
            )
        else:
            raise Unable(f"no {op.kind} is written as .onnx")
        activation = a.get("activation")
        if activation == "relu":
            return self.node("Relu", y)
        if activation == "relu6":
            limits = (self.constant(np.array(v, np.float32)) for v in (0, 6))
            return self.node("Clip", y, *limits)
        if activation is not None:
            raise Unable(f"no activation {activation}")
        return y

    def nhwc(self, x: str, t: Tensor) -> str:
        return self.node("Transpose", x, perm=[0, 2, 3, 1]) if len(t.shape) == 4 else x

    def flat(self, x: str, t: Tensor) -> str:
        return self.node("Flatten", self.nhwc(x, t)) if len(t.shape) != 2 else x

    def windows(self, op: Op) -> dict[str, Any]:
        """Kernel, strides, padding and dilations, as ONNX's attributes."""
        x = self.graph.tensors[str(op.inputs[0])]
        kernel = op.attrs.get("kernel")
        if kernel is None:
            w = self.graph.tensors[str(op.inputs[1])].data
            assert w is not None
            kernel = w.shape[1:3] if kind_of(op) == "conv2d" else w.shape[:2]
        size, stride = (int(x.shape[1] or 1), int(x.shape[2] or 1)), op.attrs["stride"]
        dilation = op.attrs.get("dilation", (1, 1))
        (top, bottom), (left, right) = resolve_padding(op.attrs["padding"], size, kernel, stride, dilation)
        found = {"kernel_shape": list(kernel), "strides": list(stride), "pads": [top, left, bottom, right]}
        return found if op.kind == "avg_pool2d" else {**found, "dilations": list(dilation)}
