"""What a program pays before its first result: python bench/first_use.py [-o FILE] [PLAN.pedge]

Fresh processes with NumPy imported already: import, a plan from its file, a session and one call; wall time and growth
of the resident set, medians of N processes after one that writes the bytecode. Beside it ncnn, where it is installed:
import and an empty net. Processes of both take turns.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

import pyedge as pe
from pyedge.bench.run import condition_lines

START = """
import json, sys, time, numpy as np
def kib():
    return int(open("/proc/self/statm").read().split()[1]) * 4
before, begin = kib(), time.perf_counter()
"""
END = """
print(json.dumps([(time.perf_counter() - begin) * 1000, kib() - before]))
"""
OURS = """
import pyedge as pe
session = pe.Session(pe.Plan.load(sys.argv[1]))
session(*[np.zeros(t.shape, t.dtype) for t in session.inputs])
"""
NCNN = """
import ncnn
ncnn.Net()
"""


def measure(program: str, plan: Path) -> tuple[float, float] | None:
    """Milliseconds and KiB of a fresh process; None: what it needs is not installed."""
    env = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
    run = subprocess.run(
        [sys.executable, "-c", START + program + END, str(plan)], env=env, capture_output=True, text=True, check=False
    )
    if "ModuleNotFoundError" in run.stderr:
        return None
    if run.returncode:
        raise SystemExit(run.stderr)
    ms, kib = json.loads(run.stdout.splitlines()[-1])
    return ms, kib


def small_plan(folder: Path) -> Path:
    """A fully connected layer."""
    b = pe.GraphBuilder()
    x = b.input("x", (1, 64), "float32")
    b.output("y", b.linear(x, np.ones((8, 64), np.float32)))
    pe.compile(b.build()).save(folder / "small.pedge")
    return folder / "small.pedge"


def main() -> int:
    parser = argparse.ArgumentParser(description="import and first session")
    parser.add_argument("plan", nargs="?", type=Path, metavar="PLAN", help="a .pedge file; a small one if not given")
    parser.add_argument("-n", "--runs", type=int, default=15)
    parser.add_argument("-o", "--output", type=Path, help="write the table to this file as well")
    args = parser.parse_args()
    lines = [f"- {c}" for c in condition_lines()]
    lines += ["", "| first use, beyond NumPy | ms | RSS, MiB |", "|---|---|---|"]
    with tempfile.TemporaryDirectory() as folder:
        plan = args.plan or small_plan(Path(folder))
        rows = [(measure(OURS, plan), measure(NCNN, plan)) for _ in range(args.runs + 1)][1:]
    for i, name in enumerate(("pyedge: import, plan, session, call", "ncnn: import, empty net")):
        values = [row[i] for row in rows]
        if None in values:
            lines.append(f"| {name} | not installed | |")
            continue
        ms, kib = np.median(np.array(values), axis=0)
        lines.append(f"| {name} | {ms:.1f} | {kib / 1024:.2f} |")
    text = "\n".join(lines) + "\n"
    print(text)
    if args.output:
        command = f"python bench/{Path(__file__).name} {args.plan.name if args.plan else ''}".strip()
        args.output.write_text(f"# First use\n\n`{command}`\n\n{text}", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
