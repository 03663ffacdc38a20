"""Instructions of a training step of one convolution on an emulated arm64 CPU (bench/arm64), float32 beside float16.

    python bench/training_arm64.py [--cpu cortex-a76] [--markdown]

Forward, the gradients of the input (dgrad) and of the weights (wgrad), and the update of the weights by SGD, which
float16 keeps in float32 as well; one image, one thread. Padding, packing of weights that learn, flushes and rounding
are included.
"""

from __future__ import annotations

import argparse
import math
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from training import PRIMITIVES, TYPES, macs

import pyedge as pe
from pyedge.bench.single_ops import SingleOp

HERE = Path(__file__).resolve().parent
LAYERS = {
    "conv 3x3 16-16 32x32": SingleOp("conv2d", 32, 32, 16, 16, (3, 3)),
    "conv 3x3 32-32 16x16": SingleOp("conv2d", 16, 16, 32, 32, (3, 3)),
    "conv 3x3 64-64 8x8": SingleOp("conv2d", 8, 8, 64, 64, (3, 3)),
    "conv 1x1 64-64 25x5": SingleOp("conv2d", 25, 5, 64, 64),
}
PARTS = (*PRIMITIVES, "update")


def add_step(b: pe.GraphBuilder, name: str, op: SingleOp, dtype: str) -> None:
    """The layer with all that a step of training changes in memory."""
    shape = (op.c_out, *op.kernel, op.c)
    x, w, master = (b.input(f"{name}/{n}", s, t) for n, s, t in (
        ("x", (1, op.height, op.width, op.c), dtype), ("w", shape, dtype), ("master", shape, "float32")))  # fmt: skip
    dy = b.input(f"{name}/dy", (1, op.height, op.width, op.c_out), dtype)
    rates = [b.input(f"{name}/{n}", (1,), "float32") for n in ("lr", "factor", "step")]
    window: dict[str, Any] = {"stride": (1, 1), "dilation": (1, 1), "padding": "same", "groups": 1}
    y = b.conv2d(x, w, None, stride=(1, 1), padding="same", name=f"{name}|forward")
    y.dtype = dtype
    [dx] = b.op("conv2d_dgrad", dy, w, **window, dtype=dtype, size=(op.height, op.width), name=f"{name}|dgrad")
    [dw] = b.op("conv2d_wgrad", dy, x, **window, dtype=dtype, kernel=op.kernel, name=f"{name}|wgrad")
    attrs: dict[str, Any] = {"weight_decay": 0.0, "clip": math.inf, "rounding": "nearest", "seed": 0, "stream": 0}
    half = dtype == "float16"
    [after] = b.op("sgd_update", master if half else w, dw, *rates, **attrs, start=0, name=f"{name}|update")
    if half:
        cast: dict[str, Any] = {"to": dtype, "saturate": 1, "round_mode": "up", "from_format": None, "to_format": None}
        [rounded] = b.op("cast", after, **cast, name=f"{name}|update|rounded")
        b.output(f"{name}/rounded", rounded)
    for result, what in ((y, "y"), (dx, "dx"), (after, "after")):
        b.output(f"{name}/{what}", result)


def count(type_: str, cpu: str) -> dict[str, dict[str, int]]:
    """Instructions by layer and part."""
    dtype, mode = TYPES[type_]
    b = pe.GraphBuilder("training")
    for name, op in LAYERS.items():
        add_step(b, name, op, dtype)
    plan = pe.compile(b.build(), mode=mode)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "plan.pedge"
        plan.save(path)
        command = ["make", "-s", "-C", str(HERE / "arm64"), "network", f"PLAN={path}", f"CPU={cpu}"]
        done = subprocess.run(
            [*command, f"PYTHON={sys.executable}"], capture_output=True, text=True, stdin=subprocess.DEVNULL
        )
    if done.returncode:
        sys.exit(f"training_arm64: {' '.join(command)} failed:\n{done.stdout}{done.stderr}")
    found: dict[str, dict[str, int]] = {name: dict.fromkeys(PARTS, 0) for name in LAYERS}
    for step, line in zip(plan.entry("main").ops, done.stdout.splitlines(), strict=False):
        name, part = step.name.split("|")[:2]
        found[name][part] += int(line.split()[-1])
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cpu", default="cortex-a76")
    parser.add_argument("--markdown", action="store_true")
    args = parser.parse_args()
    counts = {t: count(t, args.cpu) for t in TYPES}
    head = ["layer", "type", *(f"{p} per MAC" for p in PRIMITIVES), "update per weight", "step", "float32 / step"]
    rows = [head, ["---"] * len(head)] if args.markdown else [head]
    for name, op in LAYERS.items():
        for t in TYPES:
            found = counts[t][name]
            total, before = sum(found.values()), sum(counts["float32"][name].values())
            per_mac = (f"{found[p] / macs(op):.3f}" for p in PRIMITIVES)
            weights = op.c_out * math.prod(op.kernel) * op.c
            rows.append([name, t, *per_mac, f"{found['update'] / weights:.2f}", f"{total:,}", f"{before / total:.2f}"])
    for row in rows:
        print(f"| {' | '.join(row)} |" if args.markdown else f"{row[0]:24}" + "".join(f"{c:>18}" for c in row[1:]))


if __name__ == "__main__":
    main()
