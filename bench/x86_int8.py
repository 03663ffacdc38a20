"""int8 on this CPU against LiteRT and ONNX Runtime, as Markdown tables: python bench/x86_int8.py [-o FILE] [MODEL...]

Networks: the whole call from Python with input and output on both sides, one thread; LiteRT is ai_edge_litert with its
default delegate, XNNPACK. Single layers: the run alone. Engines take turns in short blocks, so that a change of the
clock or of the load meets both; a ratio is the median of the ratios of the blocks. The time of one engine from another
run says nothing.
"""

from __future__ import annotations

import argparse
import os
import platform
import re
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

import pyedge as pe

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests/model"))
from tflite_maker import O, T, model  # noqa: E402

Run = Callable[[], Any]
LAYERS = [  # name, side of the image, C, C_out, depthwise
    ("depthwise 3x3 56x56x64", 56, 64, 64, True),
    ("depthwise 3x3 28x28x128", 28, 128, 128, True),
    ("depthwise 3x3 14x14x256", 14, 256, 256, True),
    ("depthwise 3x3 48x48x8", 48, 8, 8, True),
    ("conv 3x3 32x32 3 to 16", 32, 3, 16, False),
    ("conv 3x3 32x32 16 to 16", 32, 16, 16, False),
    ("conv 3x3 56x56 64 to 64", 56, 64, 64, False),
]


def machine() -> list[str]:
    """What figures are to be read with."""
    info = Path("/proc/cpuinfo").read_text(errors="replace") if Path("/proc/cpuinfo").exists() else ""
    cpu = re.search(r"^model name\s*:\s*(.*)$", info, re.M)
    return [
        f"CPU: {cpu[1] if cpu else platform.processor()}, {os.cpu_count()} cores",
        f"load average {os.getloadavg()[0]:.1f}",
        f"pyedge {pe.__version__}, kernels {pe.cpu_features().isa}; {time.strftime('%Y-%m-%d')}",
    ]


def conditions(blocks: int, runs: int) -> list[str]:
    return [*machine(), f"{blocks} blocks of {runs} runs of each engine, in turns; us: medians over all blocks"]


def interleaved(ours: Run, theirs: Run, blocks: int, runs: int) -> tuple[float, float, float]:
    """Medians of both, us, and the median ratio of a block."""

    def median(run: Run) -> float:
        samples = []
        for _ in range(runs):
            begin = time.perf_counter_ns()
            run()
            samples.append(time.perf_counter_ns() - begin)
        return float(np.median(samples)) / 1000

    for run in (ours, theirs):
        median(run)
    rows = np.array([(median(ours), median(theirs)) for _ in range(blocks)])
    return float(np.median(rows[:, 0])), float(np.median(rows[:, 1])), float(np.median(rows[:, 0] / rows[:, 1]))


def litert(model_bytes: bytes) -> Any:
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_content=model_bytes, num_threads=1)
    interpreter.allocate_tensors()
    return interpreter


def network(path: Path, blocks: int, runs: int) -> tuple[float, float, float]:
    """Whole calls on one input."""
    interpreter = litert(path.read_bytes())
    x_index, y_index = (d[0]["index"] for d in (interpreter.get_input_details(), interpreter.get_output_details()))
    graph = pe.load(path)
    assert isinstance(graph, pe.Graph)
    session = pe.Session(pe.compile(graph))
    x = np.random.default_rng(0).integers(-128, 128, session.inputs[0].shape, np.int8)

    def theirs() -> Any:
        interpreter.set_tensor(x_index, x)
        interpreter.invoke()
        return interpreter.get_tensor(y_index)

    return interleaved(lambda: session(x), theirs, blocks, runs)


def layer(side: int, c: int, c_out: int, depthwise: bool, blocks: int, runs: int) -> tuple[float, float, float]:
    rng = np.random.default_rng(1)
    shape = (1, 3, 3, c) if depthwise else (c_out, 3, 3, c)
    name = "DEPTHWISE_CONV_2D" if depthwise else "CONV_2D"
    fields = {"Padding": 0, "StrideH": 1, "StrideW": 1, "DilationHFactor": 1, "DilationWFactor": 1}
    options = "DepthwiseConv2DOptions" if depthwise else "Conv2DOptions"
    scales = np.full(c_out, 0.01, np.float32)
    data = model(
        [
            T("x", (1, side, side, c), "int8", scale=0.02, zero_point=-128),
            T("w", shape, "int8", rng.integers(-127, 128, shape, np.int8), scales, axis=3 if depthwise else 0),
            T("b", (c_out,), "int32", rng.integers(-1000, 1000, c_out, np.int32), scales * 0.02),
            T("y", (1, side, side, c_out), "int8", scale=0.3, zero_point=-2),
        ],
        [O(name, [0, 1, 2], [3], options, {**fields, "DepthMultiplier": 1} if depthwise else fields)],
        [0],
        [3],
    )
    interpreter = litert(data)
    path = Path(f"/tmp/x86_int8_{os.getpid()}.tflite")
    path.write_bytes(data)
    try:
        graph = pe.load(path)
    finally:
        path.unlink()
    assert isinstance(graph, pe.Graph)
    session = pe.Session(pe.compile(graph))
    x = rng.integers(-128, 128, session.inputs[0].shape, np.int8)
    session(x)
    interpreter.set_tensor(interpreter.get_input_details()[0]["index"], x)
    return interleaved(lambda: session._core.run(0), interpreter.invoke, blocks, runs)


def dense(k: int, n: int, blocks: int, runs: int) -> tuple[float, float, float]:
    """A row by a matrix against ONNX Runtime's MatMulInteger of uint8 by int8, its fastest, with bound buffers."""
    import onnxruntime
    from onnx import TensorProto, helper, numpy_helper

    rng = np.random.default_rng(2)
    w = rng.integers(-127, 128, (k, n), np.int8)
    node = helper.make_node("MatMulInteger", ["x", "w"], ["y"])
    graph = helper.make_graph(
        [node],
        "dense",
        [helper.make_tensor_value_info("x", TensorProto.UINT8, [1, k])],
        [helper.make_tensor_value_info("y", TensorProto.INT32, [1, n])],
        [numpy_helper.from_array(w, "w")],
    )
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    onnx_model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    other = onnxruntime.InferenceSession(onnx_model.SerializeToString(), options)
    binding = other.io_binding()
    binding.bind_cpu_input("x", rng.integers(0, 256, (1, k), np.uint8))
    binding.bind_output("y")
    b = pe.GraphBuilder()
    x = b.input("x", (1, k), "int8", scale=0.02, zero_point=-128)
    b.output("y", b.linear(x, b.constant(w.T.copy(), scale=0.01), scale=0.3, zero_point=-2))
    session = pe.Session(pe.compile(b.build()))
    session(rng.integers(-128, 128, (1, k), np.int8))
    return interleaved(lambda: session._core.run(0), lambda: other.run_with_iobinding(binding), blocks, runs)


def main() -> int:
    parser = argparse.ArgumentParser(description="int8 against LiteRT and ONNX Runtime")
    parser.add_argument("models", nargs="*", type=Path, metavar="MODEL", help="int8 .tflite files")
    parser.add_argument("-b", "--blocks", type=int, default=15)
    parser.add_argument("-n", "--runs", type=int, default=200, help="runs of a block")
    parser.add_argument("-o", "--output", type=Path, help="write the table to this file as well")
    args = parser.parse_args()
    lines = [f"- {c}" for c in conditions(args.blocks, args.runs)]
    lines += ["", "| network | pyedge, us | LiteRT, us | ratio |", "|---|---|---|---|"]
    ratios = []
    for path in args.models:
        ours, theirs, ratio = network(path, args.blocks, args.runs)
        ratios.append(ratio)
        lines.append(f"| {path.stem} | {ours:.2f} | {theirs:.2f} | {ratio:.3f} |")
    if ratios:
        lines.append(f"| geometric mean | | | {np.exp(np.mean(np.log(ratios))):.3f} |")
    lines += ["", "| layer | pyedge, us | GOP/s | peer, us | peer | times faster |", "|---|---|---|---|---|---|"]
    for name, side, c, c_out, depthwise in LAYERS:
        ours, theirs, ratio = layer(side, c, c_out, depthwise, args.blocks, args.runs)
        operations = 2 * side * side * c_out * 9 * (1 if depthwise else c)
        lines.append(
            f"| {name} | {ours:.2f} | {operations / ours / 1000:.0f} | {theirs:.2f} | LiteRT | {1 / ratio:.2f} |"
        )
    ours, theirs, ratio = dense(1024, 1024, args.blocks, args.runs)
    lines.append(
        f"| dense 1x1024x1024 | {ours:.2f} | {2 * 1024 * 1024 / ours / 1000:.0f} | {theirs:.2f} | ONNX Runtime u8s8 "
        f"| {1 / ratio:.2f} |"
    )
    text = "\n".join(lines) + "\n"
    print(text)
    if args.output:
        command = "python bench/x86_int8.py models/mlperf_*_int8.tflite"
        args.output.write_text(f"# int8 on x86-64\n\n`{command}`\n\n{text}", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
