"""Trains the digits model and writes digits.npz beside this file: python pyedge/demo/train_digits.py

Needs scikit-learn for its bundled digits (1797 images, 8x8, 17 levels); everything else is NumPy. One fixed seed, plain
float32 code, so the same NumPy and BLAS give the same file. About 15 seconds on one core; the result recognizes 97.5 %
of the held-out digits.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from sklearn.datasets import load_digits

SEED = 1
HELD_OUT = 360  # images, never trained on
CALIBRATION = 64  # of the training images
EPOCHS = 120
BATCH = 64

Array = np.ndarray
Params = dict[str, Array]


def windows(x: Array) -> Array:
    """x [N, H, W, C] to the 3x3 windows with padding 1: [N, H, W, 9, C]."""
    p = np.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)))
    h, w = x.shape[1:3]
    return np.stack([p[:, i : i + h, j : j + w] for i in range(3) for j in range(3)], axis=3)


def windows_grad(d: Array) -> Array:
    """Gradient of windows(): [N, H, W, 9, C] to [N, H, W, C]."""
    n, h, w, _, c = d.shape
    p = np.zeros((n, h + 2, w + 2, c), d.dtype)
    for k in range(9):
        p[:, k // 3 : k // 3 + h, k % 3 : k % 3 + w] += d[:, :, :, k]
    return p[:, 1:-1, 1:-1]


def forward(p: Params, x: Array) -> tuple[Array, dict[str, Array]]:
    """Logits [N, 10] of images [N, 8, 8, 1], and what the backward pass needs."""
    t = {"w1": windows(x)}
    t["h1"] = np.maximum(np.einsum("nhwkc,okc->nhwo", t["w1"], p["conv_w"], optimize=True) + p["conv_b"], 0)
    h = t["h1"]
    for i in ("1", "2"):
        t["dw" + i] = windows(h)
        t["d" + i] = np.maximum(np.einsum("nhwkc,kc->nhwc", t["dw" + i], p[f"dw{i}_w"]) + p[f"dw{i}_b"], 0)
        t["p" + i] = np.maximum(t["d" + i] @ p[f"pw{i}_w"].T + p[f"pw{i}_b"], 0)
        n, rows, cols, c = t["p" + i].shape
        cells = t["p" + i].reshape(n, rows // 2, 2, cols // 2, 2, c)
        h = cells.max(axis=(2, 4)) if i == "1" else cells.mean(axis=(2, 4))
        t["pool" + i] = h
    t["flat"] = h.reshape(len(x), -1)
    return t["flat"] @ p["fc_w"].T + p["fc_b"], t


def backward(p: Params, t: dict[str, Array], d: Array) -> Params:
    """Gradients of all parameters, from that of the logits."""
    g = {"fc_w": d.T @ t["flat"], "fc_b": d.sum(0)}
    d = (d @ p["fc_w"]).reshape(t["pool2"].shape)
    for i in ("2", "1"):
        up = np.repeat(np.repeat(d, 2, axis=1), 2, axis=2)
        if i == "1":
            pooled = np.repeat(np.repeat(t["pool1"], 2, axis=1), 2, axis=2)
            d = up * (t["p1"] == pooled)
        else:
            d = up / 4
        d = d * (t["p" + i] > 0)
        g[f"pw{i}_w"] = np.einsum("nhwo,nhwc->oc", d, t["d" + i], optimize=True)
        g[f"pw{i}_b"] = d.sum((0, 1, 2))
        d = (d @ p[f"pw{i}_w"]) * (t["d" + i] > 0)
        g[f"dw{i}_w"] = np.einsum("nhwc,nhwkc->kc", d, t["dw" + i], optimize=True)
        g[f"dw{i}_b"] = d.sum((0, 1, 2))
        d = windows_grad(d[:, :, :, None, :] * p[f"dw{i}_w"])
    d = d * (t["h1"] > 0)
    g["conv_w"] = np.einsum("nhwo,nhwkc->okc", d, t["w1"], optimize=True)
    g["conv_b"] = d.sum((0, 1, 2))
    return g


def initial(rng: np.random.Generator) -> Params:
    """Weights scaled for ReLU (He), biases 0."""
    shapes = {"conv": (8, 9, 1), "dw1": (9, 8), "pw1": (16, 8), "dw2": (9, 16), "pw2": (32, 16), "fc": (10, 128)}
    fan_in = {"conv": 9, "dw1": 9, "pw1": 8, "dw2": 9, "pw2": 16, "fc": 128}
    p: Params = {}
    for name, shape in shapes.items():
        p[name + "_w"] = (rng.normal(size=shape) * np.sqrt(2 / fan_in[name])).astype(np.float32)
        p[name + "_b"] = np.zeros(shape[-1] if name.startswith("dw") else shape[0], np.float32)
    return p


def shifted(x: Array, rng: np.random.Generator) -> Array:
    """Each image moved by up to one pixel, and its brightness by up to 10 %."""
    p = np.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)))
    moves = rng.integers(0, 3, (len(x), 2))
    out = np.stack([im[a : a + 8, b : b + 8] for im, (a, b) in zip(p, moves, strict=True)])
    return (out * rng.uniform(0.9, 1.1, (len(x), 1, 1, 1))).astype(np.float32)


def train(x: Array, y: Array, rng: np.random.Generator) -> Params:
    """Adam with a cosine learning rate on the cross entropy."""
    p = initial(rng)
    m = {k: np.zeros_like(v) for k, v in p.items()}
    v = {k: np.zeros_like(w) for k, w in p.items()}
    steps, step = EPOCHS * (len(x) // BATCH), 0
    for _ in range(EPOCHS):
        order = rng.permutation(len(x))
        for start in range(0, len(x) - BATCH + 1, BATCH):
            pick = order[start : start + BATCH]
            logits, t = forward(p, shifted(x[pick], rng))
            e = np.exp(logits - logits.max(axis=1, keepdims=True))
            d = e / e.sum(axis=1, keepdims=True)
            d[np.arange(BATCH), y[pick]] -= 1
            g = backward(p, t, (d / BATCH).astype(np.float32))
            step += 1
            rate = 5e-3 * 0.5 * (1 + np.cos(np.pi * step / steps)) * np.sqrt(1 - 0.999**step) / (1 - 0.9**step)
            for k in p:
                m[k] = 0.9 * m[k] + 0.1 * g[k]
                v[k] = 0.999 * v[k] + 0.001 * g[k] ** 2
                p[k] = (p[k] - rate * m[k] / (np.sqrt(v[k]) + 1e-8)).astype(np.float32)
    return p


def main() -> None:
    rng = np.random.default_rng(SEED)
    digits = load_digits()
    order = rng.permutation(len(digits.images))
    images, labels = digits.images[order].astype(np.uint8), digits.target[order].astype(np.uint8)
    x = (images[..., None] / 16).astype(np.float32)
    p = train(x[HELD_OUT:], labels[HELD_OUT:], rng)
    accuracy = [
        float((forward(p, x[part])[0].argmax(1) == labels[part]).mean())
        for part in (slice(HELD_OUT), slice(HELD_OUT, None))
    ]
    print(f"parameters {sum(w.size for w in p.values())}, held out {accuracy[0]:.4f}, training {accuracy[1]:.4f}")
    p["conv_w"] = p["conv_w"].reshape(8, 3, 3, 1)
    for i in ("1", "2"):
        p[f"dw{i}_w"] = p[f"dw{i}_w"].reshape(3, 3, -1)
        p[f"pw{i}_w"] = p[f"pw{i}_w"][:, None, None, :]
    arrays: dict[str, Any] = {
        "images": images[:HELD_OUT],
        "labels": labels[:HELD_OUT],
        "calibration": images[HELD_OUT : HELD_OUT + CALIBRATION],
        **p,
    }
    np.savez_compressed(Path(__file__).with_name("digits.npz"), **arrays)


if __name__ == "__main__":
    main()
