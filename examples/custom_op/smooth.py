"""A custom op from C source to a board: exponential smoothing of what a network sees over time.

Usage: smooth.py [--board BOARD]    without a board: here in Python only
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np

import pyedge as pe
from pyedge.host import flash

KERNEL = Path(__file__).with_name("kernel.c")


def shapes(tensors: list[Any], attrs: dict[str, Any]) -> list[tuple[Any, str]]:
    """The result is like x[N, T, C]; sizes can be open."""
    x = tensors[0]
    if len(x.shape) != 3:
        raise pe.ShapeError(f"smooth: tensor {x.name!r} has shape {list(x.shape)}, expected [N, T, C]")
    return [(x.shape, x.dtype)]


def reference(arrays: list[Any], attrs: dict[str, Any], tensors: list[Any]) -> np.ndarray:
    """The same in NumPy, in float32 step by step: the kernel's bits."""
    x = arrays[0]
    y = x.copy()
    for t in range(1, x.shape[1]):
        y[:, t] = y[:, t - 1] + np.float32(attrs["alpha"]) * (x[:, t] - y[:, t - 1])
    return y


def main() -> None:
    parser = argparse.ArgumentParser(description="Exponential smoothing as a custom op.")
    parser.add_argument("--board", help="also run there: host, virt-rv32, sifive-e ...")
    board = parser.parse_args().board

    pe.register_op(
        "smooth", "typedef struct { float alpha; } smooth_params;", shapes=shapes, reference=reference, source=KERNEL
    )
    random = np.random.default_rng(1)
    x = random.standard_normal((1, 32, 4), np.float32)
    pe.check_op("smooth", x, alpha=0.125)
    print("kernel and reference agree")

    b = pe.GraphBuilder("smoothed")
    h = b.op("smooth", b.input("x", (1, 32, 4), "float32"), alpha=0.125)[0]
    weight = random.standard_normal((3, 128), np.float32)
    b.output("y", b.softmax(b.linear(b.reshape(h, (1, -1)), weight)))
    plan = pe.compile(b.build())
    here = pe.Session(plan)(x)
    print("here ", here)

    if board is not None:
        report = flash(board, kernels=[KERNEL])
        print(f"{report.image.name}: {report.size.code + report.size.rodata} bytes of code and constants")
        with pe.connect(board) as connected:
            there = connected.load(plan)(x)
        print("board", there)
        assert there.tobytes() == here.tobytes()
        print(f"{board} gives the same bits")


if __name__ == "__main__":
    main()
