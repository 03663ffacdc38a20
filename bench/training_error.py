"""Errors of gradients by sums of float16: python bench/training_error.py

Sums of as many products as layers of ResNet8 have, of float16 operands from normal distributions, by NumPy: "fast16"
as in docs/arithmetic.md, and "all float16", one sum of float16. Root mean square error against float64, over the root
mean square of the results; the result itself is not rounded.
"""

from __future__ import annotations

from typing import Any

import numpy as np

RUN = 32  # products of fast16 that are summed in float16
SUMS = 4096
PRODUCTS = {
    "forward, dgrad 3x3 of 16 channels": 144,
    "forward, dgrad 3x3 of 32": 288,
    "forward, dgrad 3x3 of 64": 576,
    "wgrad 8x8": 64,
    "wgrad 16x16": 256,
    "wgrad 32x32": 1024,
}

Array = np.ndarray[Any, Any]


def summed(a: Array, b: Array, run: int) -> Array:
    """Sums along the first axis of float16: `run` products in float16, one rounding each, then in float32."""
    total = np.zeros(a.shape[1], np.float32)
    part = np.zeros(a.shape[1], np.float16)
    for k in range(len(a)):
        # Exact in float64 but for sums of parts 2^53 apart.
        part = (a[k].astype(np.float64) * b[k] + part).astype(np.float16)
        if (k + 1) % run == 0:
            total, part = total + part, np.zeros_like(part)
    return total + part


def main() -> None:
    rng = np.random.default_rng(0)
    print("| sum | products | fast16 | all float16 | ratio |\n| --- | --- | --- | --- | --- |")
    for name, k in PRODUCTS.items():
        a, b = (rng.standard_normal((k, SUMS)).astype(np.float16) for _ in range(2))
        exact = np.sum(a.astype(np.float64) * b, axis=0)
        scale = np.sqrt(np.mean(exact**2))
        fast, half = (np.sqrt(np.mean((summed(a, b, run) - exact) ** 2)) / scale for run in (RUN, k))
        print(f"| {name} | {k} | {fast:.1e} | {half:.1e} | {half / fast:.1f} |")


if __name__ == "__main__":
    main()
