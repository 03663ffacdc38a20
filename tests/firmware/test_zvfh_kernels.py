"""The kernels of RISC-V float16 vectors on the emulated board against the host, to the bit."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import pyedge as pe

from .conftest import ZVFH_CPU, Build, need_zvfh
from .wire import PYEDGE, READ, WRITE, Board, virt

MARCH = "rv32imafc_zve32f_zvl128b_zvfh"
RNG = np.random.default_rng(16)
ODD = np.array([0, -0.0, 6e-8, -6e-8, 3e-5, 65504, -65504, np.inf, np.nan], np.float32)
FLOATS = ("float32", "float16")


def numbers(shape: Any, dtype: str, odd: float) -> np.ndarray:
    x = RNG.normal(0, 1, shape)
    return np.where(RNG.random(shape) < odd, RNG.choice(ODD, shape), x).astype(dtype)


def graphs() -> dict[str, pe.Graph]:
    """Rows, columns and products around every tile, each with other types of x and y."""
    cases: list[tuple[str, Any, Any, dict[str, Any]]] = [
        ("linear", (1, 300), (70, 300), {}),
        ("linear", (3, 33), (129, 33), {"activation": "relu6"}),
        ("linear", (9, 64), (16, 64), {}),
        ("linear", (6, 31), (17, 31), {"activation": "relu"}),
        ("linear", (70, 45), (6, 45), {"activation": "relu6"}),
        ("conv2d", (1, 5, 40, 6), (7, 3, 3, 6), {"padding": "same"}),
        ("conv2d", (2, 5, 6, 6), (17, 3, 2, 6), {"padding": "same", "stride": 2}),
        ("conv2d", (1, 6, 6, 8), (20, 3, 3, 4), {"groups": 2}),
        ("conv2d", (1, 3, 3, 2), (4, 2, 2, 2), {"padding": ((5, 5), (5, 5))}),
        ("conv2d", (1, 7, 5, 40), (33, 1, 1, 40), {"activation": "relu"}),
        ("depthwise_conv2d", (1, 4, 5, 150), (3, 3, 150), {}),
        ("depthwise_conv2d", (2, 7, 6, 40), (6, 6, 40), {"stride": 2, "activation": "relu6"}),
        ("depthwise_conv2d", (1, 9, 9, 17), (3, 4, 17), {"dilation": (2, 3)}),
        ("depthwise_conv2d", (1, 5, 5, 3), (3, 3, 6), {}),  # two channels of y for each of x
    ]
    made = {}
    for number, (kind, shape, weights, options) in enumerate(cases * 2):
        x_dtype, y_dtype = FLOATS[number % 2], FLOATS[number // 2 % 2]
        if number >= len(cases):
            x_dtype = FLOATS[1 - number % 2]
        b = pe.GraphBuilder()
        odd = 0.01 * (number % 3)
        channels = weights[-1] if kind.startswith("depthwise") else weights[0]
        bias = numbers(channels, "float32", odd) if number % 4 else None
        x = b.input("x", shape, x_dtype)
        b.output("y", getattr(b, kind)(x, numbers(weights, "float16", odd), bias, **options))
        graph = b.build()
        graph.ops[0].attrs["dtype"] = graph.tensors["y"].dtype = y_dtype
        made[f"{kind} {shape} {weights} {x_dtype} {y_dtype}"] = graph
    return made


@pytest.mark.parametrize("vlen", [128, 256, 512])
@pytest.mark.parametrize("mode", ["exact", "fast16"])
def test_every_edge_has_the_bits_of_the_host(build: Build, mode: str, vlen: int) -> None:
    need_zvfh()
    plan = pe.compile(graphs(), board="virt-rv32-v", mode=mode)
    session = pe.Session(plan)
    with Board(virt(build("virt-rv32", "clang", PYEDGE_MARCH=MARCH), cpu=f"{ZVFH_CPU},vlen={vlen}")) as board:
        assert board.upload(PYEDGE, bytes(plan.data)) == {"off": len(plan.data), "match": True}
        for number, name in enumerate(plan.entries):
            (t,) = plan.entry(name).inputs
            x = numbers(t.shape, t.dtype, 0.01 * (number % 3))
            expected = session.run([x], entry=name)[0]
            board.put(x.tobytes(), number)
            board.ask(WRITE, PYEDGE, 4, {"e": number, "id": number + 1})
            actual = np.frombuffer(board.get(expected.nbytes, number), np.uint8)
            np.testing.assert_array_equal(actual, expected.reshape(-1).view(np.uint8), name)


@pytest.mark.parametrize("mode, limit", [("exact", 0.22), ("fast16", 0.15)])
def test_vectors_of_float16_are_used(build: Build, mode: str, limit: float) -> None:
    """Instructions for each MAC of a whole op, by the board's counter."""
    need_zvfh()
    b = pe.GraphBuilder()
    b.output("y", b.linear(b.input("x", (16, 128), "float16"), numbers((64, 128), "float16", 0)))
    plan = pe.compile(b.build(), board="virt-rv32-v", mode=mode)
    with Board(virt(build("virt-rv32", "clang", PYEDGE_MARCH=MARCH), cpu=f"{ZVFH_CPU},vlen=128")) as board:
        board.upload(PYEDGE, bytes(plan.data))
        board.put(bytes(plan.inputs[0].bytes), 0)
        board.ask(WRITE, PYEDGE, 4, {"e": 0, "id": 1, "prof": True})
        profile = board.ask(READ, PYEDGE, 6, {"off": 0})
        assert profile is not None
        assert sum(profile["ops"]) / sum(op.macs for op in plan.ops) < limit
