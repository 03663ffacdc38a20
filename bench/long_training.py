"""Long trainings in float16: steps that were skipped, losses and weights that are not finite.

    python bench/long_training.py --data FOLDER [--network ad01] [--precision fp16] [--steps 10000]

FOLDER has models/*.tflite and inputs/*.npz. ResNet8 and the autoencoder (ad01) of MLPerf Tiny start from their float
weights, DS-CNN from those of int8. A step sees one real sample with Gaussian noise of a tenth of the samples' standard
deviation, in the order of a seed. All weights learn, with float32 masters, gradients clipped to norm 1. At first the
loss scale is too large, and steps are skipped until it has found its size. Prints a row now and then, so that a run
can be stopped.
"""

from __future__ import annotations

import argparse
import math
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

import pyedge as pe
from pyedge.train.precision import dequantize_tail

NETWORKS = {  # model, inputs, loss
    "ad01": ("mlperf_ad_fcae_f32", "ad_logmel640", "mse"),
    "ds-cnn": ("mlperf_kws_dscnn_int8", "kws_mfcc49x10", "cross_entropy"),
    "resnet8": ("mlperf_ic_resnet8_f32", "cifar32_rgb", "cross_entropy"),
}
Array = npt.NDArray[Any]
OPTIMIZERS = {"sgd": pe.SGD, "adam": pe.Adam}
PRECISIONS = ("fp16", "fast16")
NOISE = 0.1  # of the samples' standard deviation
AVERAGED = 100  # losses in the first and last column


def network(data: Path, name: str) -> pe.Graph:
    """The model as floats."""
    graph = pe.load(data / "models" / f"{NETWORKS[name][0]}.tflite")
    assert isinstance(graph, pe.Graph)
    if graph.inputs[0].dtype == "int8":
        graph = dequantize_tail(graph, range(len(graph.ops)))
    return graph


def samples(data: Path, name: str, batch: int, seed: int) -> Iterator[tuple[Array, Array]]:
    """Batches without end: x, and labels or what an autoencoder gives."""
    with np.load(data / "inputs" / f"{NETWORKS[name][1]}.npz") as file:
        x, y = file["x"].astype(np.float32), file["y"].astype(np.int32)
    rng, deviation = np.random.default_rng(seed), NOISE * x.std()
    while True:
        picked = rng.integers(0, len(x), batch)
        noisy = x[picked] + rng.normal(0, deviation, x[picked].shape).astype(np.float32)
        yield noisy, noisy if NETWORKS[name][2] == "mse" else y[picked]


def train(args: argparse.Namespace, name: str, precision: str) -> None:
    """Prints the rows of one training."""
    graph = network(args.data, name)
    optimizer = OPTIMIZERS[args.optimizer](args.lr, clip_norm=1.0)
    trainer = pe.Trainer(graph, NETWORKS[name][2], optimizer, precision=precision, batch_size=args.batch)
    plan = trainer.compile()
    session, start, bad = pe.Session(plan), time.process_time(), 0
    given = plan.entry("train").inputs[0]
    losses: list[float] = []
    for step, (x, y) in zip(range(1, args.steps + 1), samples(args.data, name, args.batch, args.seed), strict=False):
        codes = given.quantize(x) if given.dtype == "int8" else x
        loss, skipped = session.run([codes.reshape(given.shape), y], "train")
        losses.append(float(loss[0]))
        bad += not math.isfinite(losses[-1])
        if step % args.every == 0 or step == args.steps:
            broken = sum(int(np.sum(~np.isfinite(v))) for v in session.state().values() if v.dtype.kind == "f")
            first, last = np.mean(losses[:AVERAGED]), np.mean(losses[-AVERAGED:])
            row = (name, precision, step, int(skipped[0]), bad, broken, f"{first:.4g}", f"{last:.4g}")
            seconds = time.process_time() - start
            print(f"| {' | '.join(map(str, row))} | {1000 * seconds / step:.1f} |", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--network", choices=NETWORKS, action="append", help="one or more; all")
    parser.add_argument("--precision", choices=PRECISIONS, action="append", help="one or more; all")
    parser.add_argument("--steps", type=int, default=10_000)
    parser.add_argument("--every", type=int, default=1000, help="steps between two rows")
    parser.add_argument("--batch", type=int, default=1)
    parser.add_argument("--optimizer", choices=OPTIMIZERS, default="sgd")
    parser.add_argument("--lr", type=float, default=1e-3)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    head = ["network", "precision", "steps", "skipped", "losses not finite", "values of states not finite"]
    head += [f"loss, first {AVERAGED}", f"loss, last {AVERAGED}", "ms of CPU a step"]
    print(f"| {' | '.join(head)} |\n|{'---|' * len(head)}", flush=True)
    for name in args.network or NETWORKS:
        for precision in args.precision or PRECISIONS:
            train(args, name, precision)


if __name__ == "__main__":
    main()
