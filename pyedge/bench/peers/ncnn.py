"""ncnn, float32, as it is by default: on CPUs with float16 or bfloat16 arithmetic it may use that."""

from __future__ import annotations

import tempfile
from pathlib import Path

import ncnn
import numpy as np

from ...model.graph import Graph, Op, Tensor
from ...model.ops import resolve_padding
from . import Array, Call, Unable, only

_ACTIVATIONS = {None: "", "relu": "9=1", "relu6": "9=3 -23310=2,0.0,6.0"}


def prepare(graph: Graph, file: Path | None, x: Array) -> Call:
    """See `peers`."""
    only(graph, "float32")
    param, weights = to_ncnn(graph)
    net = ncnn.Net()
    net.opt.num_threads = 1
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "net.param").write_text(param)
        (folder / "net.bin").write_bytes(weights)
        if net.load_param(str(folder / "net.param")) or net.load_model(str(folder / "net.bin")):
            raise Unable("ncnn does not read the network")
    feed = np.ascontiguousarray(x[0].transpose(2, 0, 1) if x.ndim == 4 else x.reshape(-1))
    rank = len(graph.outputs[0].shape)

    def run() -> Array:
        extractor = net.create_extractor()
        extractor.input("input", ncnn.Mat(feed))
        _, y = extractor.extract("output")
        found = np.array(y)
        return found.transpose(1, 2, 0) if rank == 4 and found.ndim == 3 else found

    return run


def to_ncnn(graph: Graph) -> tuple[str, bytes]:
    """The graph as ncnn's .param and .bin. Raises Unable for what is not of the usual layers."""
    if len(graph.inputs) != 1 or len(graph.outputs) != 1 or (graph.inputs[0].shape[0] or 1) != 1:
        raise Unable("one input and output, of one sample")
    layers: list[str] = []
    blobs = 0
    binary: list[bytes] = []
    left = {name: [name] for name in graph.tensors}  # names under which each tensor may still be read, once each

    def layer(kind: str, inputs: list[str], outputs: list[str], *numbers: str) -> None:
        nonlocal blobs
        names = " ".join([*inputs, *outputs])
        layers.append(f"{kind} l{len(layers)} {len(inputs)} {len(outputs)} {names} {' '.join(n for n in numbers if n)}")
        blobs += len(outputs)

    def made(name: str, blob: str) -> None:
        """Splits a blob that several ops read."""
        readers = sum(op.inputs.count(name) for op in graph.ops) + (name in graph.output_names)
        left[name] = [blob]
        if readers > 1:
            left[name] = [f"{blob}_{i}" for i in range(readers)]
            layer("Split", [blob], left[name])

    layer("Input", [], ["input"])
    made(graph.input_names[0], "input")
    for i, op in enumerate(graph.ops):
        tensors = [graph.tensors[n] for n in op.inputs if n is not None]
        inputs = [left[t.name].pop() for t in tensors if t.data is None]
        blob = "output" if op.outputs[0] == graph.output_names[0] else f"b{i}"
        if op.kind == "add" and op.attrs["activation"] == "relu":
            layer("BinaryOp", inputs, [f"{blob}_sum"], "0=0")
            layer("ReLU", [f"{blob}_sum"], [blob])
        else:
            kind, numbers = _layer(graph, op, tensors, binary)
            layer(kind, inputs, [blob], *numbers)
        made(op.outputs[0], blob)
    return f"7767517\n{len(layers)} {blobs}\n" + "\n".join(layers) + "\n", b"".join(binary)


def _layer(graph: Graph, op: Op, tensors: list[Tensor], binary: list[bytes]) -> tuple[str, list[str]]:
    """Kind and numbers of a layer; its weights go to `binary`."""
    a = op.attrs
    if a.get("activation") not in _ACTIVATIONS:
        raise Unable(f"no activation {a['activation']}")
    activation = _ACTIVATIONS[a.get("activation")]
    bias = tensors[2].data if len(tensors) > 2 else None
    if op.kind in ("conv2d", "depthwise_conv2d", "linear"):
        w = tensors[1].data
        if w is None or (bias is None and len(tensors) > 2):
            raise Unable("no computed weights")
        depthwise = op.kind == "depthwise_conv2d"
        if depthwise and w.shape[2] != tensors[0].shape[3]:
            raise Unable("no depthwise multiplier")
        if op.kind == "linear" and len(tensors[0].shape) == 4 and tensors[0].shape[1:3] != (1, 1):
            raise Unable("no linear layer over an image")
        order = {"conv2d": (0, 3, 1, 2), "depthwise_conv2d": (2, 0, 1), "linear": (0, 1)}[op.kind]
        flag_and_data = np.zeros(1, np.int32).tobytes() + w.transpose(order).astype(np.float32).tobytes()
        binary += [flag_and_data, b"" if bias is None else bias.astype(np.float32).tobytes()]
        n = w.shape[2] if depthwise else w.shape[0]
        if op.kind == "linear":
            return "InnerProduct", [f"0={n} 1={int(bias is not None)} 2={w.size}", activation]
        kernel = w.shape[:2] if depthwise else w.shape[1:3]
        groups = [f"7={n}"] if depthwise else [f"7={a['groups']}"] if a["groups"] > 1 else []
        (top, bottom), (before, after) = _padding(graph, op, kernel)
        numbers = f"0={n} 1={kernel[1]} 11={kernel[0]} 2={a['dilation'][1]} 12={a['dilation'][0]} 3={a['stride'][1]} "
        numbers += (
            f"13={a['stride'][0]} 4={before} 14={top} 15={after} 16={bottom} 5={int(bias is not None)} 6={w.size}"
        )
        return "ConvolutionDepthWise" if groups else "Convolution", [numbers, *groups, activation]
    if activation:
        raise Unable(f"no {op.kind} with an activation")
    if op.kind == "add":
        return "BinaryOp", ["0=0"]
    if op.kind in ("avg_pool2d", "max_pool2d"):
        (top, bottom), (before, after) = _padding(graph, op, a["kernel"])
        numbers = f"0={int(op.kind == 'avg_pool2d')} 1={a['kernel'][1]} 11={a['kernel'][0]} 2={a['stride'][1]} "
        return "Pooling", [numbers + f"12={a['stride'][0]} 3={before} 13={top} 14={after} 15={bottom} 5=1"]
    if op.kind == "mean" and tuple(a["axes"]) == (1, 2) and len(tensors[0].shape) == 4 and not a["keepdims"]:
        return "Pooling", ["0=1 4=1"]
    if op.kind == "softmax" and a["beta"] == 1 and len(tensors[0].shape) == 2:
        return "Softmax", ["0=0 1=1"]
    raise Unable(f"no {op.kind} is written for ncnn")


def _padding(graph: Graph, op: Op, kernel: tuple[int, ...]) -> tuple[tuple[int, int], tuple[int, int]]:
    x = graph.tensors[str(op.inputs[0])]
    size = int(x.shape[1] or 1), int(x.shape[2] or 1)
    dilation = op.attrs.get("dilation", (1, 1))
    return resolve_padding(op.attrs["padding"], size, (kernel[0], kernel[1]), op.attrs["stride"], dilation)
