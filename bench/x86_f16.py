"""Products that `pyedge bench` does not have, against ONNX Runtime: python bench/x86_f16.py [-o FILE]

The whole call from Python with input and output, one thread each, the weights constant. float16: ours mode="exact",
theirs MatMul; weights, input and output are float16. int8: ours linear with int8 output, theirs MatMulInteger of uint8
by int8 with int32 output. Both give a new array. A ratio is as in `pyedge bench`: below 1 ours takes less time.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
from onnx import helper, numpy_helper

import pyedge as pe
from pyedge.bench.run import condition_lines, interleaved

Array = np.ndarray[Any, Any]
Run = Callable[[], Any]
SHAPES = [(256, 256, 256), (512, 512, 512), (1024, 1024, 1024), (1, 1024, 1024)]


def onnxruntime(op: str, x: Array, b: Array, y_dtype: Any) -> Run:
    """op of x and a constant b."""
    kinds = {d: helper.np_dtype_to_tensor_dtype(np.dtype(d)) for d in (x.dtype, b.dtype, y_dtype)}
    graph = helper.make_graph(
        [helper.make_node(op, ["x", "b"], ["y"])],
        "product",
        [helper.make_tensor_value_info("x", kinds[x.dtype], x.shape)],
        [helper.make_tensor_value_info("y", kinds[y_dtype], [x.shape[0], b.shape[1]])],
        [numpy_helper.from_array(b, "b")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    onnx.checker.check_model(model)
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    session = ort.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    return lambda: session.run(None, {"x": x})[0]


def float16(m: int, n: int, k: int) -> tuple[Run, Run]:
    rng = np.random.default_rng(0)
    x, w = rng.normal(size=(m, k)).astype(np.float16), rng.normal(size=(n, k)).astype(np.float16)
    b = pe.GraphBuilder()
    b.output("y", b.linear(b.input("x", x.shape, "float16"), w))
    session = pe.Session(pe.compile(b.build()))
    theirs = onnxruntime("MatMul", x, np.ascontiguousarray(w.T), np.float16)
    np.testing.assert_allclose(session(x), theirs(), rtol=0.01, atol=0.1)
    return lambda: session(x), theirs


def int8(m: int, n: int, k: int) -> tuple[Run, Run]:
    rng = np.random.default_rng(0)
    x, w = rng.integers(-128, 128, (m, k), np.int8), rng.integers(-127, 128, (n, k), np.int8)
    b = pe.GraphBuilder()
    y = b.linear(b.input("x", x.shape, "int8", scale=1.0), b.constant(w, scale=1.0), scale=5000.0)
    b.output("y", y)
    session = pe.Session(pe.compile(b.build()))
    theirs = onnxruntime("MatMulInteger", x.astype(np.uint8), np.ascontiguousarray(w.T), np.int32)
    return lambda: session(x), theirs


def main() -> int:
    parser = argparse.ArgumentParser(description="products by float16 and int8 weights against ONNX Runtime")
    parser.add_argument("-b", "--blocks", type=int, default=31)
    parser.add_argument("-o", "--output", type=Path, help="write the table to this file as well")
    args = parser.parse_args()
    lines = [f"- {c}" for c in (*condition_lines(), f"{args.blocks} blocks, the engines in turns; us: medians")]
    lines += [
        "",
        "| product, M x N x K | pyedge, us | ONNX Runtime, us | pyedge, GOP/s | ratio |",
        "|---|---|---|---|---|",
    ]
    cases = [("float16", shape, float16(*shape)) for shape in SHAPES] + [("int8", SHAPES[-1], int8(*SHAPES[-1]))]
    for name, (m, n, k), (ours, theirs) in cases:
        times = interleaved({"ours": ours, "theirs": theirs}, args.blocks)
        us, peer = (float(np.median(t)) for t in times.values())
        ratio = float(np.median(times["ours"] / times["theirs"]))
        lines.append(f"| {name} {m} x {n} x {k} | {us:.1f} | {peer:.1f} | {2e-3 * m * n * k / us:.0f} | {ratio:.3f} |")
    text = "\n".join(lines) + "\n"
    print(text)
    if args.output:
        head = f"# Products by float16 and int8 weights on x86-64\n\n`python bench/{Path(__file__).name}`\n\n"
        args.output.write_text(head + text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
