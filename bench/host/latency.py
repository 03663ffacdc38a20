"""Time of one inference on this computer, model by model. Usage: latency.py [--runs N] [--write] [MODEL...]

Prints a table in Markdown with the conditions that it holds for; --write puts it into README.md beside this file, but
not if the machine is busy with something else. Without MODEL: all models of the test data (PYEDGE_TEST_DATA) that
pyedge reads.
"""

from __future__ import annotations

import argparse
import os
import platform
import sys
import time
from pathlib import Path

import numpy as np

import pyedge as pe
from pyedge.host.doctor import checkup
from pyedge.plan import median_interval

HERE = Path(__file__).resolve().parent
DATA = Path(os.environ.get("PYEDGE_TEST_DATA") or HERE.parents[2] / "shared" / "data")
WARMUP_S = 0.2
BUSY = 0.5  # load average of the last minute before the first run
HEAD = """# Latency on a host

One inference by `Session.run`, inputs copied in and outputs copied out, one thread: median of {runs} runs with its 95 %
interval, and p99. Written by `python bench/host/latency.py --write`.
"""


def latencies_ns(session: pe.Session, runs: int) -> np.ndarray:
    """Wall time of each run on fixed random inputs, int64 [runs]; the runs of the first WARMUP_S are not counted."""
    rng = np.random.default_rng(1)
    inputs = []
    for t in session.inputs:
        shape = tuple(d or 1 for d in t.shape)
        if t.dtype == "float32":
            inputs.append(rng.normal(size=shape).astype(np.float32))
        else:
            inputs.append(rng.integers(-128, 128, shape).astype(t.dtype))
    entry = next(iter(session.plan.entries))
    end = time.perf_counter() + WARMUP_S
    while time.perf_counter() < end:
        session.run(inputs, entry)
    times = np.empty(runs, np.int64)
    for i in range(runs):
        begin = time.perf_counter_ns()
        session.run(inputs, entry)
        times[i] = time.perf_counter_ns() - begin
    return times


def row(path: Path, runs: int) -> str | None:
    """The model's line of the table; None if pyedge does not read it."""
    try:
        loaded = pe.load(path)
        plan = loaded if isinstance(loaded, pe.Plan) else pe.compile(loaded)
    except pe.PyedgeError as error:
        print(f"left out: {error}", file=sys.stderr)
        return None
    times = latencies_ns(pe.Session(plan), runs)
    interval = median_interval(times)
    between = f"{interval[0] / 1e3:,.1f} .. {interval[1] / 1e3:,.1f}" if interval else "-"
    cells = [path.stem, f"{plan.macs:,}", f"{np.median(times) / 1e3:,.1f}", between]
    cells += [f"{np.quantile(times, 0.99) / 1e3:,.1f}" if runs >= 368 else "needs 368 runs"]
    cells += [f"{plan.macs / np.median(times):.2f}" if plan.macs else "-"]
    return f"| {' | '.join(cells)} |"


def conditions() -> str:
    """What the figures hold for."""
    cpu = next(fact.found for fact in checkup() if fact.name == "cpu")
    kernels = ", ".join(pe._core.kernels())
    load = os.getloadavg()[0]
    return f"{cpu}; {platform.system()} {platform.release()}; kernels {kernels}; load {load:.2f} before the first run."


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n\n")[0])
    parser.add_argument("models", nargs="*", type=Path, metavar="MODEL")
    parser.add_argument("--runs", type=int, default=400)
    parser.add_argument("--write", action="store_true")
    args = parser.parse_args()
    told, busy = conditions(), os.getloadavg()[0] > BUSY
    paths = args.models or sorted((DATA / "models").glob("*.tflite"))
    rows = [line for line in (row(path, args.runs) for path in paths) if line is not None]
    head = ["| model | MACs | median, us | 95 % of the median | p99, us | MACs/ns |", "|---|---|---|---|---|---|"]
    text = "\n".join([HEAD.format(runs=args.runs), told, "", *head, *rows]) + "\n"
    print(text)
    if args.write:
        if busy:
            raise pe.MeasurementError(f"load above {BUSY} before the first run: nothing is written")
        (HERE / "README.md").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
