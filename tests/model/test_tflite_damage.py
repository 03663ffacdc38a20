"""Damaged model files: a clean error or a graph, whatever the bytes."""

import logging
import os

import numpy as np
import pytest

from pyedge.errors import ModelError
from pyedge.model.tflite import load_tflite

MODELS = ("tflm_hello_world_int8", "tinymaix_mnist_valid_q", "tinymaix_mnist_dw_q")
MUTATIONS = 20_000 if os.environ.get("PYEDGE_TEST_FULL") else 1_500  # over all three
WORDS = (0, 1, 0xFFFF, 1 << 30, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF)


def outcome(data: bytes) -> str:
    """What loading gives; any exception but ModelError fails the test that asks."""
    try:
        load_tflite(data)
    except ModelError as e:
        assert "\n" not in str(e)
        return "error"
    return "graph"


def mutated(data: bytes, rng: np.random.Generator) -> bytes:
    """One to three bytes or aligned words changed: bits, random values, and the values that break counts."""
    b = bytearray(data)
    for _ in range(rng.integers(1, 4)):
        i = int(rng.integers(len(b)))
        kind = rng.integers(3)
        if kind == 0:
            b[i] ^= 1 << int(rng.integers(8))
        elif kind == 1:
            b[i] = int(rng.integers(256))
        else:
            i &= ~3
            b[i : i + 4] = int(rng.choice(WORDS)).to_bytes(4, "little")
    return bytes(b)


@pytest.mark.parametrize("name", MODELS)
def test_every_truncation_is_refused(name, data_dir):
    """No prefix of a model file is a model."""
    data = (data_dir / "models" / f"{name}.tflite").read_bytes()
    assert {outcome(data[:n]) for n in range(len(data))} == {"error"}


@pytest.mark.parametrize("name", MODELS)
def test_mutations_give_an_error_or_a_graph(name, data_dir):
    """Both outcomes occur; nothing else does. PYEDGE_TEST_FULL=1 runs 20,000 in all."""
    logging.getLogger("pyedge").setLevel(logging.ERROR)
    data = (data_dir / "models" / f"{name}.tflite").read_bytes()
    rng = np.random.default_rng(len(data))
    outcomes = [outcome(mutated(data, rng)) for _ in range(MUTATIONS // len(MODELS) + 1)]
    assert min(outcomes.count("error"), outcomes.count("graph")) > len(outcomes) // 10
