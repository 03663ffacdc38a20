"""NumPy references of the kinds of ops_train.py; but for Adam and noise to the bit."""

from __future__ import annotations

import numpy as np

from .graph import Op
from .reference import RULES, Arrays, Tensors

_LANES = 16  # of sum_squares
ROUNDING, NOISE = 0, 1  # what random words are for


def philox(seed: int, stream: int, blocks: np.ndarray, step: int, use: int) -> np.ndarray:
    """uint64 [blocks, 4], words of 32 bits of Philox4x32-10 (Salmon et al. 2011): key (seed, stream), counter (block,
    step, use, 0).
    """
    mask, low = np.uint64(0xFFFFFFFF), np.uint64(32)
    x = [blocks.astype(np.uint64), *(np.full(blocks.shape, n, np.uint64) for n in (step, use, 0))]
    for i in range(10):
        key = [np.uint64((seed + i * 0x9E3779B9) & 0xFFFFFFFF), np.uint64((stream + i * 0xBB67AE85) & 0xFFFFFFFF)]
        a, b = x[0] * np.uint64(0xD2511F53), x[2] * np.uint64(0xCD9E8D57)
        x = [(b >> low) ^ x[1] ^ key[0], b & mask, (a >> low) ^ x[3] ^ key[1], a & mask]
    return np.stack(x, axis=-1)


def _words(op: Op, first: int, count: int, step: int, use: int) -> np.ndarray:
    """The random words of elements first, first + 1 .."""
    blocks = np.arange(first // 4, (first + count + 3) // 4, dtype=np.uint64)
    words = philox(op.attrs["seed"], op.attrs["stream"], blocks, step, use).reshape(-1)
    return words[first % 4 : first % 4 + count]


def round_stochastic(x: np.ndarray, words: np.ndarray) -> np.ndarray:
    """float32 to float16, away from zero with the probability of what is cut off, to 2^-32."""
    wide = np.abs(x.astype(np.float64))
    exponent = np.maximum(np.frexp(wide)[1] - 1, -14)  # of the float16: its steps are 2^(exponent - 10)
    steps = np.ldexp(wide, 10 - exponent)
    whole = np.floor(steps)
    with np.errstate(invalid="ignore"):
        up = words < np.floor((steps - whole) * 2.0**32)
    magnitude = np.ldexp(whole + up, exponent - 10)
    with np.errstate(over="ignore", invalid="ignore"):
        rounded = np.copysign(magnitude, x).astype(np.float16)
        return np.where(wide < 65536, rounded, x.astype(np.float16))


def _step(v: np.ndarray) -> int:
    return int(min(max(float(np.nan_to_num(v[0])), 0.0), 2.0**24))


def _sgd(op: Op, d: np.ndarray, w: np.ndarray, lr: np.ndarray, step: int) -> list[np.ndarray]:
    return [w - lr * d]


def _momentum(op: Op, d: np.ndarray, w: np.ndarray, lr: np.ndarray, step: int, m: np.ndarray) -> list[np.ndarray]:
    momentum = np.float32(op.attrs["momentum"])
    m = momentum * m + d
    return [w - lr * (d + momentum * m if op.attrs["nesterov"] else m), m]


def _adam(
    op: Op, d: np.ndarray, w: np.ndarray, lr: np.ndarray, step: int, m: np.ndarray, v: np.ndarray
) -> list[np.ndarray]:
    a, b = op.attrs["betas"]
    kept = np.float32(1) - lr * np.float32(op.attrs["weight_decay"]) if op.attrs["decoupled"] else np.float32(1)
    step_size, root = lr / np.float32(1 - a**step), np.float32(np.sqrt(1 - b**step))
    m = m + np.float32(1 - a) * (d - m)
    v = np.float32(b) * v + np.float32(1 - b) * d * d
    return [kept * w - step_size * (m / (np.sqrt(v) / root + np.float32(op.attrs["epsilon"]))), m, v]


_RULES = {"sgd_update": _sgd, "momentum_update": _momentum, "adam_update": _adam}


def _update(op: Op, arrays: Arrays, t: Tensors, rounding: str) -> list[np.ndarray]:
    whole, g, lr, factor, count, *moments = (np.asarray(a) for a in arrays)
    if not np.isfinite(factor[0]):
        return [whole, *moments]
    first, step, clip = op.attrs["start"], _step(count), np.float32(op.attrs["clip"])
    last = first + g.size
    w = whole.reshape(-1)[first:last].astype(np.float32)
    d = np.clip(g.reshape(-1).astype(np.float32) * factor, -clip, clip)
    if not op.attrs.get("decoupled"):
        d = d + np.float32(op.attrs["weight_decay"]) * w
    flat = [m.reshape(-1) for m in moments]
    new, *moments = _RULES[op.kind](op, d, w, lr[0], step, *flat)  # type: ignore[operator]
    if whole.dtype == np.float16 and op.attrs["rounding"] == "stochastic":
        new = round_stochastic(new, _words(op, first, g.size, step, ROUNDING))
    result = whole.reshape(-1).copy()
    result[first:last] = new.astype(whole.dtype)
    return [result, *moments]


def _noise(op: Op, v: Arrays, t: Tensors, rounding: str) -> np.ndarray:
    g, factor, sigma, count = (np.asarray(a) for a in v)
    padded = g.size + -g.size % 4
    word = _words(op, 0, padded, _step(count), NOISE).reshape(-1, 2)
    radius = np.sqrt(-2 * np.log(((word[:, 0] >> np.uint64(8)) + np.uint64(1)) * 2.0**-24))
    angle = (word[:, 1] >> np.uint64(8)) * 2.0**-24 * 2 * np.pi
    deviates = np.stack([radius * np.cos(angle), radius * np.sin(angle)], axis=1).reshape(-1)[: g.size]
    clip = np.float32(op.attrs["clip"])
    return np.asarray(np.clip(g.astype(np.float32) * factor, -clip, clip) + sigma * deviates.reshape(g.shape))


def _sum_squares(op: Op, v: Arrays, t: Tensors, rounding: str) -> np.ndarray:
    x = np.asarray(v[0]).astype(np.float32).reshape(-1)
    squares = np.concatenate([x * x, np.zeros(-x.size % _LANES, np.float32)]).reshape(-1, _LANES)
    lanes = np.zeros(_LANES, np.float32)
    for row in squares:
        lanes = lanes + row
    while lanes.size > 1:
        lanes = lanes[: lanes.size // 2] + lanes[lanes.size // 2 :]
    return lanes if len(v) < 2 or v[1] is None else v[1] + lanes


RULES |= {**dict.fromkeys(_RULES, _update), "gradient_noise": _noise, "sum_squares": _sum_squares}
