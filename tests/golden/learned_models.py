"""Real models that learn on real inputs. As a program: prints the SHA-256 of the weights behind each step, as JSON.

Usage: learned_models.py DATA MODEL PRECISION

Those that every CPU and board must come to are in learned.json, which make_learned.py writes.
"""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np

import pyedge as pe

RECORD = Path(__file__).with_name("learned.json")
STEPS = 20
# Model, its inputs, the loss.
MODELS = {
    "resnet8": ("mlperf_ic_resnet8_f32", "cifar32_rgb", "cross_entropy"),
    "dscnn": ("mlonmcu_micro_kws_m_fp32", "micro_features49x40", "cross_entropy"),
    "autoencoder": ("mlperf_ad_fcae_f32", "ad_logmel640", "mse"),
}


CASES = [(name, precision) for name in MODELS for precision in ("fp32", "fp16")]


def recorded(name: str, precision: str) -> list[str]:
    """The digest behind each step."""
    record: dict[str, list[str]] = json.loads(RECORD.read_text(encoding="utf-8"))
    return record[f"{name} {precision}"]


def trainer_of(data: Path, name: str, precision: str, threads: int = 1) -> pe.Trainer:
    """A trainer at batch 1. The loss scale is one with which no gradient of these models overflows."""
    model, _, loss = MODELS[name]
    graph = pe.load(data / "models" / f"{model}.tflite")
    assert isinstance(graph, pe.Graph)
    optimizer = pe.SGD(1e-3, momentum=0.9, clip_norm=1.0)
    return pe.Trainer(graph, loss, optimizer, precision, loss_scale=2.0**-4, threads=threads)


def samples(data: Path, name: str, trainer: pe.Trainer) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """x and y of each step."""
    model, inputs, loss = MODELS[name]
    with np.load(data / "expected" / f"{model}__{inputs}.npz") as file:
        rows = file["in0"]
    (t,) = trainer.plan.entry("main").inputs
    for n in range(STEPS):
        x = rows[n % len(rows)].reshape(1, *t.shape[1:])
        yield x, x if loss == "mse" else np.array([n % 10])


def digest(weights: Mapping[str, np.ndarray]) -> str:
    """SHA-256 of names and bytes."""
    of = hashlib.sha256()
    for name in sorted(weights):
        of.update(name.encode() + weights[name].tobytes())
    return of.hexdigest()


def learn(data: Path, name: str, precision: str, threads: int = 1) -> list[str]:
    """On this computer: the digest behind each step."""
    trainer = trainer_of(data, name, precision, threads)
    digests = []
    for x, y in samples(data, name, trainer):
        trainer.train_on_batch(x, y)
        digests.append(digest(trainer.weights()))
    return digests


if __name__ == "__main__":
    json.dump(learn(Path(sys.argv[1]), sys.argv[2], sys.argv[3]), sys.stdout)
