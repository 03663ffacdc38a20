"""Damaged model files: a clean error or a result, whatever the bytes."""

import logging
import os

import numpy as np
import pytest

import pyedge as pe
from pyedge.model.tflite import load_tflite

MODELS = ("tflm_hello_world_int8", "tinymaix_mnist_valid_q", "tinymaix_mnist_dw_q")
MUTATIONS = 6_000 if os.environ.get("PYEDGE_TEST_FULL") else 1_500  # over all three
MAX_MACS = 10**7  # a mutated stride or shape may ask for hours of work; that is no fault
WORDS = (0, 1, 0xFFFF, 1 << 30, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF)


def outcome(data: bytes) -> str:
    """ "result" if the file loads, compiles and runs, "refused" by an error of pyedge's; all else fails the test."""
    try:
        graph = load_tflite(data)
        plan = pe.compile(graph, batch=1 if any(None in t.shape for t in graph.inputs) else None)
        if plan.macs <= MAX_MACS:
            session = pe.Session(plan)
            session.run([np.zeros(t.shape, t.dtype) for t in session.inputs])
    except pe.PyedgeError as e:
        assert "\n" not in str(e)
        return "refused"
    return "result"


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
    assert {outcome(data[:n]) for n in range(len(data))} == {"refused"}


@pytest.mark.parametrize("name", MODELS)
def test_mutations_give_an_error_or_a_result(name, data_dir):
    """Both outcomes occur; nothing else does. PYEDGE_TEST_FULL=1 runs 6,000 in all."""
    logging.getLogger("pyedge").setLevel(logging.ERROR)
    data = (data_dir / "models" / f"{name}.tflite").read_bytes()
    rng = np.random.default_rng(len(data))
    outcomes = [outcome(mutated(data, rng)) for _ in range(MUTATIONS // len(MODELS) + 1)]
    assert min(outcomes.count("refused"), outcomes.count("result")) > len(outcomes) // 10
