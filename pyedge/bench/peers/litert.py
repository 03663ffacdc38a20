"""LiteRT with its default delegate, XNNPACK; graphs that are not from a .tflite file are written as one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import flatbuffers
import numpy as np

from ...model.graph import Graph, Op, Tensor
from . import Array, Call, Unable

try:
    from ai_edge_litert import schema_py_generated as schema
    from ai_edge_litert.interpreter import Interpreter
except ImportError:  # the package of old: it has no schema, so it runs files alone
    from tflite_runtime.interpreter import Interpreter

    schema = None

_ACTIVATIONS = {None: 0, "relu": 1, "relu6": 3}


def prepare(graph: Graph, file: Path | None, x: Array) -> Call:
    """See `peers`."""
    model = file.read_bytes() if file is not None and file.suffix == ".tflite" else to_tflite(graph)
    try:
        interpreter = Interpreter(model_content=model, num_threads=1)
        wanted = interpreter.get_input_details()
        interpreter.resize_tensor_input(wanted[0]["index"], x.shape)
        interpreter.allocate_tensors()
    except (ValueError, RuntimeError) as error:
        raise Unable(str(error).splitlines()[0]) from None
    if len(wanted) != 1 or wanted[0]["dtype"] != x.dtype:
        raise Unable("its input is another")
    source, result = wanted[0]["index"], interpreter.get_output_details()[0]["index"]

    def run() -> Array:
        interpreter.set_tensor(source, x)
        interpreter.invoke()
        return np.asarray(interpreter.get_tensor(result))

    return run


def to_tflite(graph: Graph) -> bytes:
    """The graph as a .tflite file. Raises Unable for what is not of the usual layers."""
    if schema is None:
        raise Unable("ai-edge-litert is needed to write a .tflite file")
    model, subgraph = schema.ModelT(), schema.SubGraphT()
    model.version, model.subgraphs, model.buffers = 3, [subgraph], [schema.BufferT()]
    model.operatorCodes, subgraph.operators, subgraph.tensors = [], [], []
    numbers: dict[str, int] = {}
    for op in graph.ops:
        operator, code = _operator(graph, op)
        codes = [c.builtinCode for c in model.operatorCodes]
        if code not in codes:
            entry = schema.OperatorCodeT()
            entry.builtinCode, entry.deprecatedBuiltinCode, entry.version = code, min(code, 127), 1
            model.operatorCodes.append(entry)
            codes.append(code)
        operator.opcodeIndex = codes.index(code)
        operands = [graph.tensors[name] for name in op.inputs if name is not None]
        results = [graph.tensors[name] for name in op.outputs]
        if op.kind == "depthwise_conv2d":  # [1, kh, kw, C] there
            w = operands[1]
            assert w.data is not None
            operands[1] = Tensor(w.name, (1, *w.shape), w.dtype, w.data[None], w.quant)
        if op.kind in ("mean", "reshape"):
            numbers_of = op.attrs["axes"] if op.kind == "mean" else results[0].shape
            data = np.asarray([d or 1 for d in numbers_of] if op.kind == "reshape" else numbers_of, np.int32)
            operands.append(Tensor(f"{op.name}/numbers", data.shape, "int32", data))
        for t in (*operands, *results):
            if t.name not in numbers:
                numbers[t.name] = len(subgraph.tensors)
                subgraph.tensors.append(_tensor(model, t, op, operands))
        operator.inputs = [numbers[t.name] for t in operands]
        operator.outputs = [numbers[t.name] for t in results]
        subgraph.operators.append(operator)
    subgraph.inputs = [numbers[t.name] for t in graph.inputs]
    subgraph.outputs = [numbers[t.name] for t in graph.outputs]
    builder = flatbuffers.Builder(1 << 16)
    builder.Finish(model.Pack(builder), file_identifier=b"TFL3")
    return bytes(builder.Output())


def _tensor(model: Any, t: Tensor, op: Op, operands: list[Tensor]) -> Any:
    made = schema.TensorT()
    made.name, made.shape = t.name, [d or 1 for d in t.shape]
    made.type = getattr(schema.TensorType, t.dtype.upper())
    if t.data is not None:
        made.buffer = len(model.buffers)
        buffer = schema.BufferT()
        buffer.data = np.frombuffer(np.ascontiguousarray(t.data).tobytes(), np.uint8)
        model.buffers.append(buffer)
    else:
        made.buffer = 0
    scale = t.quant.scale if t.quant is not None else None
    if t.dtype == "int32" and t.data is not None and len(operands) > 2 and t is operands[2]:  # a bias
        x, w = operands[:2]
        assert x.quant is not None and w.quant is not None
        scale = np.broadcast_to(x.quant.scale * w.quant.scale, t.data.shape)
    if scale is not None:
        made.quantization = schema.QuantizationParametersT()
        made.quantization.scale = [float(v) for v in scale]
        zeros = t.quant.zero_point if t.quant is not None else np.zeros(len(scale))
        made.quantization.zeroPoint = [int(v) for v in zeros]
        made.quantization.quantizedDimension = 3 if op.kind == "depthwise_conv2d" and t is operands[1] else 0
    return made


def _operator(graph: Graph, op: Op) -> tuple[Any, int]:
    """The operator, without its tensors, and its code."""
    codes, unions = schema.BuiltinOperator, schema.BuiltinOptions
    names = {
        "conv2d": ("CONV_2D", "Conv2DOptions"),
        "depthwise_conv2d": ("DEPTHWISE_CONV_2D", "DepthwiseConv2DOptions"),
        "linear": ("FULLY_CONNECTED", "FullyConnectedOptions"),
        "add": ("ADD", "AddOptions"),
        "avg_pool2d": ("AVERAGE_POOL_2D", "Pool2DOptions"),
        "max_pool2d": ("MAX_POOL_2D", "Pool2DOptions"),
        "mean": ("MEAN", "ReducerOptions"),
        "softmax": ("SOFTMAX", "SoftmaxOptions"),
        "reshape": ("RESHAPE", "ReshapeOptions"),
    }
    if op.kind not in names or op.attrs.get("groups", 1) != 1:
        raise Unable(f"no {op.kind} is written as .tflite")
    code, options_name = names[op.kind]
    made, a = getattr(schema, f"{options_name}T")(), op.attrs
    if "activation" in a:
        if a["activation"] not in _ACTIVATIONS:
            raise Unable(f"no activation {a['activation']}")
        made.fusedActivationFunction = _ACTIVATIONS[a["activation"]]
    if "padding" in a:
        if a["padding"] not in ("same", "valid"):
            raise Unable("no explicit padding")
        made.padding = 0 if a["padding"] == "same" else 1
        made.strideH, made.strideW = a["stride"]
    if "dilation" in a:
        made.dilationHFactor, made.dilationWFactor = a["dilation"]
    if op.kind == "depthwise_conv2d":
        x, w = (graph.tensors[n] for n in op.inputs[:2] if n is not None)
        made.depthMultiplier = int(w.shape[2] or 1) // int(x.shape[3] or 1)
    if op.kind.endswith("pool2d"):
        made.filterHeight, made.filterWidth = a["kernel"]
    if op.kind == "mean":
        made.keepDims = bool(a["keepdims"])
    if op.kind == "softmax":
        made.beta = a["beta"]
    operator = schema.OperatorT()
    operator.builtinOptionsType, operator.builtinOptions = getattr(unions, options_name), made
    return operator, getattr(codes, code)
