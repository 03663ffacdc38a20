"""float32 networks on this CPU against LiteRT and ONNX Runtime: python bench/x86_f32.py [-o FILE] MODEL.tflite...

The whole call from Python with input and output, one thread each; LiteRT is ai_edge_litert with its default delegate,
XNNPACK; ONNX Runtime takes part where `--onnx FOLDER` has the same network as an .onnx file of that name. The engines
take turns in short blocks, so that a change of the clock or of the load meets all; a ratio is the median of the ratios
of the blocks. The time of one engine from another run says nothing. int8 weights of a file with float activations are
made floats before, for all engines.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema
from ai_edge_litert.interpreter import Interpreter
from x86_int8 import conditions

import pyedge as pe

Array = np.ndarray[Any, Any]
Run = Callable[[], Any]


def float_model(data: bytes) -> bytes:
    """The .tflite with its int8 constants as floats."""
    import flatbuffers

    m = schema.ModelT.InitFromPackedBuf(data, 0)
    for t in m.subgraphs[0].tensors:
        content = m.buffers[t.buffer].data
        if t.type != schema.TensorType.INT8 or content is None or len(content) == 0:
            continue
        scale = np.asarray(t.quantization.scale, np.float32)
        shape = [-1 if i == t.quantization.quantizedDimension else 1 for i in range(len(t.shape))]
        codes = np.frombuffer(bytes(bytearray(content)), np.int8).reshape(t.shape).astype(np.float32)
        values = codes * (scale.reshape(shape) if len(scale) > 1 else scale)
        m.buffers[t.buffer].data = np.frombuffer(values.astype(np.float32).tobytes(), np.uint8)
        t.type, t.quantization = schema.TensorType.FLOAT32, None
    builder = flatbuffers.Builder(1 << 20)
    builder.Finish(m.Pack(builder), file_identifier=b"TFL3")
    return bytes(builder.Output())


def litert(path: Path, x: Array) -> Run:
    interpreter = Interpreter(model_path=str(path), num_threads=1)
    interpreter.allocate_tensors()
    x_index, y_index = (d[0]["index"] for d in (interpreter.get_input_details(), interpreter.get_output_details()))

    def run() -> Any:
        interpreter.set_tensor(x_index, x)
        interpreter.invoke()
        return interpreter.get_tensor(y_index)

    return run


def onnxruntime(path: Path, x: Array) -> Run:
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    session = ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    wanted = session.get_inputs()[0]
    feed = {wanted.name: x if x.ndim != 4 or tuple(wanted.shape) == x.shape else x.transpose(0, 3, 1, 2).copy()}
    return lambda: session.run(None, feed)[0]


def median(run: Run, runs: int) -> float:
    samples = []
    for _ in range(runs):
        begin = time.perf_counter_ns()
        run()
        samples.append(time.perf_counter_ns() - begin)
    return float(np.median(samples)) / 1000


def network(path: Path, onnx: Path, blocks: int, runs: int) -> Array:
    """Microseconds [block, engine] of pyedge, LiteRT and, where it takes part, ONNX Runtime; results must agree."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, path.name)
        file.write_bytes(float_model(path.read_bytes()))
        graph = pe.load(file)
        assert isinstance(graph, pe.Graph)
        session = pe.Session(pe.compile(graph))
        x = np.random.default_rng(0).random(session.inputs[0].shape, np.float32)
        engines: list[Run] = [lambda: session(x), litert(file, x)]
        if onnx.exists():
            engines.append(onnxruntime(onnx, x))
        results = [np.asarray(run()).reshape(-1) for run in engines]
        for y in results[1:]:
            np.testing.assert_allclose(y, results[0], rtol=1e-3, atol=1e-4)
        return np.array([[median(run, runs) for run in engines] for _ in range(blocks + 1)])[1:]


def main() -> int:
    parser = argparse.ArgumentParser(description="float32 against LiteRT and ONNX Runtime")
    parser.add_argument("models", nargs="+", type=Path, metavar="MODEL")
    parser.add_argument("--onnx", type=Path, default=Path(), help="folder of .onnx files of the same names")
    parser.add_argument("-b", "--blocks", type=int, default=15)
    parser.add_argument("-n", "--runs", type=int, default=100, help="runs of a block")
    parser.add_argument("-o", "--output", type=Path, help="write the table to this file as well")
    args = parser.parse_args()
    lines = [f"- {c}" for c in conditions(args.blocks, args.runs)]
    lines += [
        "",
        "| network | pyedge, us | LiteRT, us | ONNX Runtime, us | ratio to the better one |",
        "|---|---|---|---|---|",
    ]
    ratios = []
    for path in args.models:
        times = network(path, args.onnx / f"{path.stem}.onnx", args.blocks, args.runs)
        ratios.append(float(np.median(times[:, 0] / times[:, 1:].min(axis=1))))
        cells = [f"{t:.1f}" for t in np.median(times, axis=0)] + ["-"]
        lines.append(f"| {path.stem} | {' | '.join(cells[:3])} | {ratios[-1]:.3f} |")
    lines.append(f"| geometric mean | | | | {np.exp(np.mean(np.log(ratios))):.3f} |")
    text = "\n".join(lines) + "\n"
    print(text)
    if args.output:
        command = f"python bench/{Path(__file__).name} --onnx FOLDER {' '.join(p.name for p in args.models)}"
        args.output.write_text(f"# float32 on x86-64\n\n`{command}`\n\n{text}", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
