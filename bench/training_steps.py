"""Instructions of whole steps of training on emulated RISC-V boards, by kind of layer and by primitive.

    python bench/training_steps.py [--write]

A step of ResNet8 and of DS-CNN at batch 1 by plain SGD: forward, loss, gradients, update, each op by the board's own
counter (`RemoteSession.profile`, -icount: retired instructions). Prints a summary; --write: bench/training_steps.json,
of which `scripts/performance_doc.py --write` makes tables. Vectors of float16 need the QEMU of scripts/newer_qemu.py.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyedge as pe
from pyedge.bench.networks import ds_cnn, resnet8
from pyedge.model.graph import Graph

FILE = Path(__file__).with_suffix(".json")
NETWORKS: dict[str, Callable[[str], Graph]] = {"ResNet8": resnet8, "DS-CNN": ds_cnn}
ZVFH = "rv32imafc_zve32f_zvl128b_zvfh"
# Core, board, precision of a step.
RUNS = [
    ("vectors", "virt-rv32-v", ZVFH, "fp32"),
    ("vectors", "virt-rv32-v", ZVFH, "fast16"),
    ("scalar", "virt-rv32", "rv32imafc", "fp32"),
    ("scalar", "virt-rv32", "rv32imafc", "fp16"),
]
PRIMITIVES = ("forward", "dgrad", "wgrad")
UPDATE = ("sgd_update", "cast", "sum_squares")  # new weights, rounded to float16; whether gradients are finite


def kinds_of_layers(graph: Graph) -> dict[str, str]:
    """By the name of an op: "conv 3x3/2", "depthwise 3x3", "linear"."""
    kinds = {}
    for op in graph.ops:
        if op.kind == "linear":
            kinds[op.name] = "linear"
        elif op.kind in ("conv2d", "depthwise_conv2d"):
            shape = graph.tensors[str(op.inputs[1])].shape
            h, w = shape[1:3] if op.kind == "conv2d" else shape[:2]
            stride = f"/{op.attrs['stride'][0]}" if op.attrs["stride"][0] > 1 else ""
            kinds[op.name] = f"{op.kind.removesuffix('2d').removesuffix('_conv')} {h}x{w}{stride}"
    return kinds


def step(graph: Graph, board_name: str, isa: str, precision: str) -> dict[str, Any]:
    """Instructions: {"layers": {kind: {primitive: [instructions, MACs]}}, "update": .., "rest": .., "step": ..}."""
    plan = pe.Trainer(graph, optimizer=pe.SGD(lr=1e-3), precision=precision).compile(board=board_name)
    with pe.connect(board_name, isa=isa, timeout=1800) as board:
        profile = board.load(plan).profile(entry="train")
    kinds = kinds_of_layers(graph)
    layers: dict[str, dict[str, list[int]]] = {}
    update = rest = 0
    for op, counted in zip(plan.entry("train").ops, profile.ops, strict=True):
        kind, ending = kinds.get(op.name.partition("/")[0]), op.name.rpartition("_")[2]
        primitive = ending if ending in PRIMITIVES else "forward"
        if kind is not None and op.macs:
            row = layers.setdefault(kind, {}).setdefault(primitive, [0, 0])
            row[0] += counted.count
            row[1] += op.macs
        elif op.kind in UPDATE:
            update += counted.count
        else:
            rest += counted.count
    total = sum(counted.count for counted in profile.ops)
    return {"layers": layers, "update": update, "rest": rest, "step": total}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--write", action="store_true", help="write bench/training_steps.json")
    args = parser.parse_args()
    found: dict[str, dict[str, Any]] = {}
    for name, network in NETWORKS.items():
        for core, board, isa, precision in RUNS:
            run = step(network("float32"), board, isa, precision)
            found.setdefault(name, {})[f"{core} {precision}"] = run
            print(f"{name}, {core} {precision}: {run['step']:,} instructions")
    if args.write:
        FILE.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
