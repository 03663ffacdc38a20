"""Latency of .tflite models on this computer, as a Markdown table: python bench/host_latency.py [-o FILE] MODEL...

Each model runs on seeded random inputs by Session.profile; the median of whole runs with its 95 % interval, of order
statistics. Where the package ai_edge_litert is installed, LiteRT runs the same inputs in the same process with one
thread (its default delegate, XNNPACK), timed around invoke(); the runs of both alternate in blocks, so that a change of
the clock meets both. Conditions stand above the table.
"""

from __future__ import annotations

import argparse
import os
import platform
import re
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

import pyedge as pe
from pyedge import _core
from pyedge.plan.profile import median_interval

BLOCKS = 5


def conditions(runs: int) -> list[str]:
    """What the figures hold for."""
    cpuinfo = Path("/proc/cpuinfo").read_text(errors="replace") if Path("/proc/cpuinfo").exists() else ""
    cpu = re.search(r"^(?:model name|Model)\s*:\s*(.*)$", cpuinfo, re.M)
    governor = Path("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor")
    compiler = re.findall(rb"GCC: \([^)]*\) [\d.]+|clang version [\d.]+", Path(_core.__file__).read_bytes())
    commit = subprocess.run(
        ["git", "describe", "--always", "--dirty"], cwd=Path(__file__).parent, capture_output=True, text=True
    ).stdout.strip()
    return [
        f"CPU: {cpu[1] if cpu else platform.processor()} ({platform.machine()}), "
        f"governor {governor.read_text().strip() if governor.exists() else 'unknown'}, {platform.system()}",
        f"kernels: portable C, {compiler[0].decode() if compiler else 'unknown compiler'}; 1 thread",
        f"load average before the run {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores",
        f"runs: {runs} in {BLOCKS} blocks, each after warm-up; pyedge {pe.__version__} at {commit or 'no repository'}",
    ]


def samples_of(session: pe.Session, inputs: list[np.ndarray], runs: int) -> list[int]:
    """Nanoseconds of whole runs: medians of a block cannot be joined, so each run is profiled alone."""
    session.profile(inputs, runs=1, warmup=2)
    return [session.profile(inputs, runs=1, warmup=0).total for _ in range(runs)]


def litert(model: Path) -> Any:
    """LiteRT's interpreter for the model with one thread; None if it is not installed or refuses the model."""
    try:
        from ai_edge_litert.interpreter import Interpreter

        interpreter = Interpreter(model_path=str(model), num_threads=1)
        for t in interpreter.get_input_details():
            if -1 in t["shape_signature"]:
                interpreter.resize_tensor_input(t["index"], [1 if d == -1 else d for d in t["shape_signature"]])
        interpreter.allocate_tensors()
    except (ImportError, ValueError, RuntimeError):
        return None
    return interpreter


def litert_samples(interpreter: Any, inputs: list[np.ndarray], runs: int) -> list[int]:
    for t, x in zip(interpreter.get_input_details(), inputs, strict=True):
        interpreter.set_tensor(t["index"], x.reshape(t["shape"]))
    samples = []
    for i in range(-2, runs):
        begin = time.perf_counter_ns()
        interpreter.invoke()
        if i >= 0:
            samples.append(time.perf_counter_ns() - begin)
    return samples


def shown(samples: list[int]) -> str:
    interval = median_interval(samples)
    text = f"{np.median(samples) / 1000:,.1f}"
    return f"{text} [{interval[0] / 1000:,.1f}, {interval[1] / 1000:,.1f}]" if interval else text


def row(model: Path, runs: int) -> list[str]:
    """A line of the table; a model that cannot be read says why."""
    try:
        graph = pe.load(model)
        assert isinstance(graph, pe.Graph)
        plan = pe.compile(graph, shapes={t.name: [1 if d is None else d for d in t.shape] for t in graph.inputs})
    except pe.PyedgeError as error:
        return [model.stem, "-", "-", f"not run: {type(error).__name__}"]
    rng = np.random.default_rng(0)
    inputs = [
        rng.integers(-128, 128, t.shape, np.int8) if t.dtype == "int8" else rng.random(t.shape).astype(t.dtype)
        for t in plan.inputs
    ]
    session, other = pe.Session(plan), litert(model)
    ours: list[int] = []
    theirs: list[int] = []
    for _ in range(BLOCKS):
        ours += samples_of(session, inputs, runs // BLOCKS)
        if other is not None:
            theirs += litert_samples(other, inputs, runs // BLOCKS)
    macs = plan.entry("main").macs
    gain = f"{np.median(ours) / np.median(theirs):.2f}" if theirs else "-"
    return [
        model.stem,
        plan.inputs[0].dtype,
        f"{macs:,}",
        shown(ours),
        f"{np.median(ours) / macs:.2f}" if macs else "-",
        shown(theirs) if theirs else "-",
        gain,
    ]


def main() -> int:
    parser = argparse.ArgumentParser(description="Latency of models on this computer")
    parser.add_argument("models", nargs="+", type=Path, metavar="MODEL")
    parser.add_argument("-n", "--runs", type=int, default=100, help="timed runs of each model, at least 30")
    parser.add_argument("-o", "--output", type=Path, help="write the table to this file as well")
    args = parser.parse_args()
    if args.runs < 30:
        parser.error("an interval of the median wants at least 30 runs")
    head = ["model", "input", "MACs", "pyedge, us [95 % of the median]", "ns/MAC", "LiteRT, us", "pyedge / LiteRT"]
    lines = [f"- {c}" for c in conditions(args.runs)]
    lines += ["", f"| {' | '.join(head)} |", f"|{'---|' * len(head)}"]
    for model in args.models:
        cells = row(model, args.runs)
        lines.append(f"| {' | '.join([*cells, *['-'] * (len(head) - len(cells))])} |")
        print(lines[-1], file=sys.stderr)
    text = "\n".join(lines) + "\n"
    print(text)
    if args.output:
        command = f"python bench/host_latency.py -n {args.runs} models/*.tflite"
        args.output.write_text(f"# Latency on the host\n\n`{command}`\n\n{text}", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
