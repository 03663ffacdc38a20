"""Instructions per multiply-accumulate of a layer forwards and backwards, on a bare RISC-V core (bench/rv32).

    python bench/training.py [--core rv32imafc] [--compiler clang] [--markdown]

Layers of ResNet8, DS-CNN and the autoencoder of MLPerf Tiny, one image: forward, the gradient of the input (dgrad),
that of the weights (wgrad). "float16" and "fast16": weights, activations and gradients are float16, sums float32, or
float16 with a flush every 32 products. Cores: rv32imafc, rv32imac (soft floats), rv32imafc_v with vectors of 128 bits,
rv32imafc_zvfh with float16 in them too (QEMU 8 or newer, scripts/newer_qemu.py). -icount shift=0: retired instructions.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

import pyedge as pe
from pyedge.bench.single_ops import SingleOp
from pyedge.model.graph import Tensor

HERE = Path(__file__).resolve().parent
CORES: dict[str, list[str]] = {
    "rv32imafc": ["F=1"],
    "rv32imac": [],
    "rv32imafc_v": ["V=128"],
    "rv32imafc_zvfh": ["V=128", "Z=1"],
}
VECTORS = ("rv32imafc_v", "rv32imafc_zvfh")
TYPES = {"float32": ("float32", "exact"), "float16": ("float16", "exact"), "fast16": ("float16", "fast16")}
PRIMITIVES = ("forward", "dgrad", "wgrad")
LAYERS = {
    "resnet8 conv 3x3 3-16 32x32": SingleOp("conv2d", 32, 32, 3, 16, (3, 3)),
    "resnet8 conv 3x3 16-16 32x32": SingleOp("conv2d", 32, 32, 16, 16, (3, 3)),
    "resnet8 conv 3x3/2 16-32 32x32": SingleOp("conv2d", 32, 32, 16, 32, (3, 3), 2),
    "resnet8 conv 3x3 32-32 16x16": SingleOp("conv2d", 16, 16, 32, 32, (3, 3)),
    "resnet8 conv 3x3 64-64 8x8": SingleOp("conv2d", 8, 8, 64, 64, (3, 3)),
    "resnet8 conv 1x1/2 32-64 16x16": SingleOp("conv2d", 16, 16, 32, 64, (1, 1), 2),
    "ds-cnn conv 10x4/2 1-64 49x10": SingleOp("conv2d", 49, 10, 1, 64, (10, 4), 2),
    "ds-cnn depthwise 3x3 64 25x5": SingleOp("depthwise_conv2d", 25, 5, 64, 0, (3, 3)),
    "ds-cnn conv 1x1 64-64 25x5": SingleOp("conv2d", 25, 5, 64, 64),
    "ds-cnn linear 64-12": SingleOp("linear", 1, 1, 64, 12),
    "ad01 linear 640-128": SingleOp("linear", 1, 1, 640, 128),
    "ad01 linear 128-128": SingleOp("linear", 1, 1, 128, 128),
}


def add_primitives(b: pe.GraphBuilder, name: str, op: SingleOp, dtype: str) -> None:
    """The layer on random constants, forwards and backwards. Of each result only a bit stays."""
    rng = np.random.default_rng(0)

    def given(*shape: int) -> Tensor:
        return b.constant(rng.standard_normal(shape).astype(dtype))

    depthwise = op.kind == "depthwise_conv2d"
    weight = {"linear": (op.c_out, op.c), "depthwise_conv2d": (*op.kernel, op.c)}.get(
        op.kind, (op.c_out, *op.kernel, op.c)
    )
    x, w = given(*((1, op.c) if op.kind == "linear" else (1, op.height, op.width, op.c))), given(*weight)
    window: dict[str, Any] = {} if op.kind == "linear" else {"stride": op.stride}
    y = getattr(b, op.kind)(x, w, **window, name=f"{name}|forward")
    dy, family = given(*(d or 1 for d in y.shape)), op.kind.removesuffix("_conv2d")
    attrs: dict[str, Any] = {"dtype": dtype}
    size: dict[str, Any] = {}
    kernel: dict[str, Any] = {}
    if op.kind != "linear":
        attrs |= {"stride": (op.stride, op.stride), "dilation": (1, 1), "padding": "same"}
        attrs |= {} if depthwise else {"groups": 1}
        size = {"size": (op.height, op.width)} | ({"multiplier": 1} if depthwise else {})
        kernel = {"kernel": op.kernel}
    [dx] = b.op(f"{family}_dgrad", dy, w, **attrs, **size, name=f"{name}|dgrad")
    [dw] = b.op(f"{family}_wgrad", dy, x, **attrs, **kernel, name=f"{name}|wgrad")
    for primitive, result in zip(PRIMITIVES, (y, dx, dw), strict=True):
        options: dict[str, Any] = {"to": "float32", "saturate": 1, "round_mode": "up"}
        [real] = b.op("cast", result, **options, from_format=None, to_format=None)
        b.output(f"{name}|{primitive}|seen", b.any_ge(real, 0.0))


def count(type_: str, core: str, compiler: str) -> dict[str, dict[str, float]]:
    """Instructions per MAC by layer and primitive."""
    dtype, mode = TYPES[type_]
    b = pe.GraphBuilder("training")
    for name, op in LAYERS.items():
        add_primitives(b, name, op, dtype)
    plan = pe.compile(b.build(), mode=mode, board="virt-rv32-v" if core in VECTORS else "host")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "plan.pedge"
        plan.save(path)
        command = ["make", "-s", "-C", str(HERE / "rv32"), "network", f"PLAN={path}", f"CC={compiler}", *CORES[core]]
        done = subprocess.run(command, capture_output=True, text=True, stdin=subprocess.DEVNULL)
    if done.returncode:
        sys.exit(f"training: {' '.join(command)} failed:\n{done.stdout}{done.stderr}")
    found: dict[str, dict[str, float]] = {name: {} for name in LAYERS}
    for step, line in zip(plan.entry("main").ops, done.stdout.splitlines(), strict=False):
        name, _, primitive = step.name.partition("|")
        if primitive in PRIMITIVES:
            found[name][primitive] = int(line.split()[1]) / macs(LAYERS[name])
    return found


def macs(op: SingleOp) -> int:
    """Those of each of the three: they meet the same products, but dgrad of a stride some more in the padding."""
    out = -(-op.height // op.stride) * -(-op.width // op.stride)
    if op.kind == "linear":
        return op.c * op.c_out
    return out * op.kernel[0] * op.kernel[1] * op.c * (op.c_out or 1)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--core", choices=CORES, default="rv32imafc")
    parser.add_argument("--compiler", choices=("gcc", "clang"), default="clang")
    parser.add_argument("--type", choices=TYPES, action="append", help="one or more; all")
    parser.add_argument("--markdown", action="store_true")
    args = parser.parse_args()
    types = args.type or list(TYPES)
    counts = {t: count(t, args.core, args.compiler) for t in types}
    head = ["layer", *(f"{t} {p}" for t in types for p in PRIMITIVES)]
    rows = [[name, *(f"{counts[t][name][p]:.2f}" for t in types for p in PRIMITIVES)] for name in LAYERS]
    for row in [head, *([["---"] * len(head)] if args.markdown else []), *rows]:
        print(f"| {' | '.join(row)} |" if args.markdown else f"{row[0]:34}" + "".join(f"{c:>16}" for c in row[1:]))


if __name__ == "__main__":
    main()
