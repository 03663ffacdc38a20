"""Estimated against measured costs of random networks on boards: python bench/estimate_error.py [-o FILE] [BOARD...]

The networks are of `pyedge.bench.networks.random_network`, from seeds of their own; no table has seen them.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np

import pyedge as pe
from pyedge.bench.networks import random_network
from pyedge.bench.single_ops import random_inputs

SEEDS = range(100, 120)


def costs(board: str, dtype: str) -> np.ndarray:
    """[network, 2]: measured and estimated, in the board's unit."""
    found = []
    with pe.connect(board) as connected:
        for seed in SEEDS:
            graph = random_network(seed, dtype)
            plan = pe.compile(graph, board=board)
            inputs = random_inputs(plan.entry("main"), rectified=False)
            measured = connected.load(plan).profile(inputs).total
            found.append((measured, pe.estimate(graph, board).total))
            print(f"{board} {graph.name}: {measured:,}, estimated {found[-1][1]:,}", file=sys.stderr)
    return np.array(found, float)


def spearman(a: np.ndarray, b: np.ndarray) -> float:
    ranks = [np.argsort(np.argsort(x)) for x in (a, b)]
    return float(np.corrcoef(*ranks)[0, 1])


def main() -> int:
    parser = argparse.ArgumentParser(description="Estimated against measured costs")
    parser.add_argument(
        "boards", nargs="*", metavar="BOARD", default=["virt-rv32", "virt-rv32-v", "mps2-an386", "mps3-an547"]
    )
    parser.add_argument("-o", "--output", type=Path, help="write the table to this file as well")
    args = parser.parse_args()
    lines = [
        "| board | type | networks | measured, from .. to | largest error | median error | over 10 % | Spearman |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for board in args.boards:
        for dtype in ("int8", "float32"):
            measured, estimated = costs(board, dtype).T
            errors = 100 * np.abs(estimated / measured - 1)
            lines.append(
                f"| {board} | {dtype} | {len(SEEDS)} | {measured.min():,.0f} .. {measured.max():,.0f} "
                f"| {errors.max():.1f} % | {np.median(errors):.1f} % | {int((errors > 10).sum())} "
                f"| {spearman(measured, estimated):.3f} |"
            )
            print(lines[-1], file=sys.stderr)
    text = "\n".join(lines) + "\n"
    print(text)
    if args.output:
        command = "python bench/estimate_error.py -o bench/estimate_error.md"
        head = (
            "# Estimates of random networks\n\n"
            f"`{command}`: instructions of {len(SEEDS)} networks that no table has seen, measured on the\n"
            "emulated board and estimated from the board's table by `pe.estimate`.\n\n"
        )
        args.output.write_text(head + text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
