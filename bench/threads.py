"""Threads on this computer: python bench/threads.py [-o FILE] [--threads N]

A MobileNet-shaped graph of 568 M MACs (224x224, width 1) and one of 106 M (128x128, width 0.75), int8 and float32,
whole calls on one thread and on N, in turns. A ratio is that of the medians. On a computer with other work it says
little: `chrt -f 10 python bench/threads.py` keeps that away.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np

import pyedge as pe
from pyedge.bench.networks import mobilenet
from pyedge.bench.run import condition_lines, interleaved


def measure(dtype: str, side: int, width: float, threads: int, blocks: int) -> str:
    plan = pe.compile(mobilenet(dtype, side, width))
    x = np.random.default_rng(1).random((1, side, side, 3), np.float32)
    x = (x * 255 - 128).astype(np.int8) if dtype == "int8" else x
    one, many = pe.Session(plan), pe.Session(plan, threads=threads)
    assert np.array_equal(one(x), many(x))
    times = interleaved({"one": lambda: one(x), "many": lambda: many(x)}, blocks)
    single, shared = (float(np.median(t)) / 1000 for t in times.values())
    macs = plan.entry("main").macs / 1e6
    return (
        f"| {dtype} {side}x{side}, width {width} | {macs:.0f} | {single:.2f} | {shared:.2f} | {single / shared:.2f} |"
    )


def main() -> int:
    parser = argparse.ArgumentParser(description="threads against one")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("-b", "--blocks", type=int, default=15)
    parser.add_argument("-o", "--output", type=Path, help="write the table to this file as well")
    args = parser.parse_args()
    lines = [f"- {c}" for c in condition_lines()]
    lines += [
        "",
        f"| network | M MACs | 1 thread, ms | {args.threads} threads, ms | times faster |",
        "|---|---|---|---|---|",
    ]
    for dtype in ("int8", "float32"):
        for side, width in ((224, 1.0), (128, 0.75)):
            lines.append(measure(dtype, side, width, args.threads, args.blocks))
    text = "\n".join(lines) + "\n\nBelow 1 ms a session stays on one thread.\n"
    print(text)
    if args.output:
        command = f"python bench/{Path(__file__).name} --threads {args.threads}"
        args.output.write_text(f"# Threads\n\n`{command}`\n\n{text}", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
