"""Threads on this computer: python bench/threads.py [-o FILE] [--threads N]

A MobileNet-shaped graph of 568 M MACs (224x224, width 1) and one of 106 M (128x128, width 0.75), int8 and float32,
whole calls on one thread and on N, in turns. A ratio is that of the medians. On a computer with other work it says
little: `chrt -f 10 python bench/threads.py` keeps that away.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
from x86_int8 import machine

import pyedge as pe

Array = np.ndarray[Any, Any]
LAYERS = [(64, 1), (128, 2), (128, 1), (256, 2), (256, 1), (512, 2), *[(512, 1)] * 5, (1024, 2), (1024, 1)]


def mobilenet(dtype: str, side: int, width: float) -> pe.Graph:
    """Depthwise and pointwise layers in turns, with random weights."""
    rng = np.random.default_rng(0)
    is_int8 = dtype == "int8"
    quant: Any = {"scale": 0.05, "zero_point": -128} if is_int8 else {}
    b = pe.GraphBuilder()

    def weights(*shape: int) -> Any:
        if not is_int8:
            return rng.normal(0, 0.1, shape).astype(np.float32)
        axis = 2 if len(shape) == 3 else 0
        scales = [float(s) for s in rng.uniform(0.001, 0.02, shape[axis])]
        return b.constant(rng.integers(-127, 128, shape, np.int8), scale=scales, axis=axis)

    def bias(n: int) -> Array:
        return rng.integers(-1000, 1000, n, np.int32) if is_int8 else rng.normal(0, 0.1, n).astype(np.float32)

    c = int(32 * width)
    y = b.input("x", (1, side, side, 3), dtype, **quant)
    y = b.conv2d(y, weights(c, 3, 3, 3), bias(c), stride=2, activation="relu6", **quant)
    for channels, stride in LAYERS:
        n = int(channels * width)
        y = b.depthwise_conv2d(y, weights(3, 3, c), bias(c), stride=stride, activation="relu6", **quant)
        y, c = b.conv2d(y, weights(n, 1, 1, c), bias(n), activation="relu6", **quant), n
    b.output("y", b.avg_pool2d(y, side // 32))
    return b.build()


def measure(dtype: str, side: int, width: float, threads: int, runs: int) -> str:
    plan = pe.compile(mobilenet(dtype, side, width), keep="all")  # all the MACs
    x = np.random.default_rng(1).random((1, side, side, 3), np.float32)
    x = (x * 255 - 128).astype(np.int8) if dtype == "int8" else x
    sessions = [pe.Session(plan, threads=n) for n in (1, threads)]
    times: list[list[int]] = [[], []]
    results = set()
    for _ in range(runs + 3):
        for session, to in zip(sessions, times, strict=True):
            begin = time.perf_counter_ns()
            y = session(x)
            to.append(time.perf_counter_ns() - begin)
            results.add(np.asarray(y).tobytes())
    assert len(results) == 1
    one, many = (float(np.median(t[3:])) / 1e6 for t in times)
    macs = sum(op.macs for op in plan.entry("main").ops) / 1e6
    return f"| {dtype} {side}x{side}, width {width} | {macs:.0f} | {one:.2f} | {many:.2f} | {one / many:.2f} |"


def main() -> int:
    parser = argparse.ArgumentParser(description="threads against one")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("-n", "--runs", type=int, default=40)
    parser.add_argument("-o", "--output", type=Path, help="write the table to this file as well")
    args = parser.parse_args()
    lines = [f"- {c}" for c in machine()]
    lines += [
        "",
        f"| network | M MACs | 1 thread, ms | {args.threads} threads, ms | times faster |",
        "|---|---|---|---|---|",
    ]
    for dtype in ("int8", "float32"):
        for side, width in ((224, 1.0), (128, 0.75)):
            lines.append(measure(dtype, side, width, args.threads, args.runs))
    text = "\n".join(lines) + "\n\nBelow 1 ms a session stays on one thread.\n"
    print(text)
    if args.output:
        command = f"python bench/{Path(__file__).name} --threads {args.threads}"
        args.output.write_text(f"# Threads\n\n`{command}`\n\n{text}", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
