"""Session(plan, threads=n): the same bits for every n, none where they cannot pay, safe around fork and in numbers."""

from __future__ import annotations

import os
import signal
import threading
import time
import warnings
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

import pyedge as pe

Array = npt.NDArray[Any]


def network(dtype: str) -> pe.Plan:
    """A MobileNet of 200 M MACs, of 600 M in int8: more than 1 ms on any core. Layers are split by rows, columns and
    channels."""
    rng = np.random.default_rng(0)
    is_int8 = dtype == "int8"
    images = 6 if is_int8 else 2
    quant: Any = {"scale": 0.05, "zero_point": -128} if is_int8 else {}

    def weights(*shape: int) -> Any:
        if not is_int8:
            return rng.normal(0, 0.1, shape).astype(np.float32)
        axis = 2 if len(shape) == 3 else 0
        scales = [float(s) for s in rng.uniform(0.001, 0.02, shape[axis])]
        return b.constant(rng.integers(-127, 128, shape, np.int8), scale=scales, axis=axis)

    def bias(n: int) -> Array:
        return rng.integers(-1000, 1000, n, np.int32) if is_int8 else rng.normal(0, 0.1, n).astype(np.float32)

    b = pe.GraphBuilder()
    x = b.input("x", (images, 96, 96, 3), dtype, **quant)
    y, c = b.conv2d(x, weights(40, 3, 3, 3), bias(40), stride=2, activation="relu6", **quant), 40
    for n, stride in [(80, 1), (80, 2), (160, 1), (300, 2), (600, 2)]:
        y = b.depthwise_conv2d(y, weights(3, 3, c), bias(c), stride=stride, activation="relu6", **quant)
        y, c = b.conv2d(y, weights(n, 1, 1, c), bias(n), activation="relu6", **quant), n
    y = b.conv2d(y, weights(300, 3, 3, c), None, **quant)
    b.output("y", b.linear(b.reshape(y, (images, 36 * 300)), weights(100, 36 * 300), **quant))
    return pe.compile(b.build())


@pytest.fixture(scope="module", params=["float32", "int8"])
def plan(request: pytest.FixtureRequest) -> pe.Plan:
    return network(request.param)


@pytest.fixture(scope="module")
def x(plan: pe.Plan) -> Array:
    x = np.random.default_rng(1).random(plan.inputs[0].shape, np.float32)
    return x if plan.inputs[0].dtype == "float32" else (x * 255 - 128).astype(np.int8)


@pytest.fixture(scope="module")
def expected(plan: pe.Plan, x: Array) -> bytes:
    y = pe.Session(plan)(x)
    assert isinstance(y, np.ndarray)
    return y.tobytes()


@pytest.mark.parametrize("threads", [1, 2, 3, 4])
def test_bits_are_the_same_for_every_number_of_threads(plan: pe.Plan, x: Array, expected: bytes, threads: int) -> None:
    """Each run, the first on one thread and the later ones on all."""
    session = pe.Session(plan, threads=threads)
    used = []
    for _ in range(4):
        assert np.asarray(session(x)).tobytes() == expected
        used.append(session._core.threads)
    assert used == [1, threads, threads, threads]


def test_small_networks_stay_on_one_thread() -> None:
    """Runs far below 1 ms use one thread; a run that was interrupted may mislead the next."""
    b = pe.GraphBuilder()
    x = b.input("x", (1, 8), "float32")
    b.output("y", b.add(x, x))
    session = pe.Session(pe.compile(b.build()), threads=4)
    used = []
    for _ in range(100):
        session(np.ones((1, 8), np.float32))
        used.append(session._core.threads)
    assert used.count(1) > 50


@pytest.mark.parametrize("threads", [-1, 0, 65, 1000])
def test_a_number_of_threads_out_of_range_is_refused(plan: pe.Plan, threads: int) -> None:
    with pytest.raises(ValueError, match=f"threads={threads}: 1 to 64"):
        pe.Session(plan, threads=threads)


def test_a_session_works_on_after_fork(plan: pe.Plan, x: Array, expected: bytes) -> None:
    """The child has none of the threads and starts its own; the parent keeps its."""
    session = pe.Session(plan, threads=2)
    for _ in range(2):
        session(x)
    assert session._core.threads == 2
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # that there are threads is the point
        child = os.fork()
    if child == 0:
        signal.alarm(60)
        same = all(np.asarray(session(x)).tobytes() == expected for _ in range(3))
        os._exit(0 if same and session._core.threads == 2 else 1)
    assert np.asarray(session(x)).tobytes() == expected
    assert os.waitpid(child, 0)[1] == 0


def test_many_sessions_with_threads_at_once(plan: pe.Plan, x: Array, expected: bytes) -> None:
    """Each gives its bits while others run, and their threads end with them."""

    def tasks() -> int:
        return len(os.listdir("/proc/self/task"))

    before = tasks()
    wrong: list[int] = []

    def work(number: int) -> None:
        session = pe.Session(plan, threads=3)
        for _ in range(3):
            if np.asarray(session(x)).tobytes() != expected:
                wrong.append(number)

    threads = [threading.Thread(target=work, args=(i,)) for i in range(8)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert wrong == []
    for _ in range(100):  # the kernel takes a moment to list them no more
        if tasks() <= before:
            break
        time.sleep(0.05)
    assert tasks() <= before
