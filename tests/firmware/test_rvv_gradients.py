"""Gradients by RISC-V vectors on the emulated board against the host, to the bit."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import pyedge as pe

from .conftest import ZVFH_CPU, Build, need, need_zvfh
from .wire import PYEDGE, WRITE, Board, virt

MARCH = "rv32imafc_zve32f_zvl128b"
RNG = np.random.default_rng(27)
ODD = np.array([0, -0.0, 6e-8, -6e-8, 3e-5, 65504, -65504, np.inf, np.nan], np.float32)


def numbers(shape: tuple[int, ...], dtype: str, odd: float) -> np.ndarray:
    return np.where(RNG.random(shape) < odd, RNG.choice(ODD, shape), RNG.normal(0, 1, shape)).astype(dtype)


def layers() -> dict[str, tuple[str, list[tuple[int, ...]], dict[str, Any]]]:
    """Kind, shapes of both operands, attributes: rows, columns and products around every tile and run."""
    made: dict[str, tuple[str, list[tuple[int, ...]], dict[str, Any]]] = {}
    for m, n, k in ((1, 300, 70), (3, 33, 129), (9, 64, 16), (6, 31, 17), (70, 5, 3)):
        made[f"linear_dgrad {m} {n} {k}"] = ("linear_dgrad", [(m, n), (n, k)], {})
        made[f"linear_wgrad {m} {n} {k}"] = ("linear_wgrad", [(m, n), (m, k)], {})
    convolutions: list[tuple[int, int, int, int, tuple[int, int], int, int, int]] = [
        (1, 7, 5, 40, (1, 1), 1, 1, 33),
        (2, 6, 6, 6, (3, 2), 2, 1, 17),
        (1, 6, 7, 8, (3, 3), 1, 1, 66),
        (1, 9, 9, 12, (2, 3), 1, 2, 5),
        (1, 6, 6, 8, (3, 3), 1, 1, 20),
        (1, 5, 70, 6, (3, 3), 1, 1, 7),  # rows that are longer than channels are many
        (2, 6, 140, 3, (3, 2), 2, 1, 5),
        (1, 11, 12, 6, (3, 2), 3, 2, 9),  # valid: more pixels than windows
    ]
    for number, (images, h, w, c, kernel, stride, dilation, c_out) in enumerate(convolutions):
        groups = 2 if number == 4 else 1
        padding = "valid" if number == 7 else "same"
        out = tuple(-(-side // stride) for side in (h, w))
        if padding == "valid":
            out = tuple((s - (k - 1) * dilation - 1) // stride + 1 for s, k in zip((h, w), kernel, strict=True))
        dy, x, size = (images, *out, c_out), (images, h, w, c), {"size": (h, w)}
        window: dict[str, Any] = {"stride": (stride, stride), "dilation": (dilation, dilation), "padding": padding}
        attrs = window | {"groups": groups}
        weights = (c_out, *kernel, c // groups)
        made[f"conv2d_dgrad {weights} {h}x{w}"] = ("conv2d_dgrad", [dy, weights], attrs | size)
        made[f"conv2d_wgrad {weights} {h}x{w}"] = ("conv2d_wgrad", [dy, x], attrs | {"kernel": kernel})
        multiplier = 1 + number % 2
        dy = (images, *out, c * multiplier)
        made[f"depthwise_dgrad {c} x{multiplier} {h}x{w}"] = (
            "depthwise_dgrad",
            [dy, (*kernel, c * multiplier)],
            window | size | {"multiplier": multiplier},
        )
        made[f"depthwise_wgrad {c} x{multiplier} {h}x{w}"] = (
            "depthwise_wgrad",
            [dy, x],
            window | {"kernel": kernel},
        )
    return made


def graphs(dtypes: tuple[str, str, str]) -> dict[str, pe.Graph]:
    """dtypes: of dy, of the other operand, of the result."""
    made = {}
    for number, (name, (kind, (first, second), attrs)) in enumerate(layers().items()):
        b = pe.GraphBuilder()
        other = b.constant(numbers(second, dtypes[1], 0.01 * (number % 3)))
        [y] = b.op(kind, b.input("dy", first, dtypes[0]), other, **attrs, dtype=dtypes[2])
        b.output("y", y)
        made[name] = b.build()
    return made


def check(firmware: Any, plan: pe.Plan, cpu: str) -> None:
    session = pe.Session(plan)
    with Board(virt(firmware, cpu=cpu)) as board:
        assert board.upload(PYEDGE, bytes(plan.data)) == {"off": len(plan.data), "match": True}
        for number, name in enumerate(plan.entries):
            (t,) = plan.entry(name).inputs
            dy = numbers(tuple(d or 1 for d in t.shape), t.dtype, 0.01 * (number % 3))
            expected = session.run([dy], entry=name)[0]
            board.put(dy.tobytes(), number)
            board.ask(WRITE, PYEDGE, 4, {"e": number, "id": number + 1})
            actual = np.frombuffer(board.get(expected.nbytes, number), np.uint8)
            np.testing.assert_array_equal(actual, expected.reshape(-1).view(np.uint8), name)


@pytest.mark.parametrize("vlen", [128, 512])
def test_float32(build: Build, vlen: int) -> None:
    need("qemu-system-riscv32")
    plan = pe.compile(graphs(("float32",) * 3), board="virt-rv32-v")
    check(build("virt-rv32", "clang", PYEDGE_MARCH=MARCH), plan, f"rv32,v=true,vlen={vlen}")


@pytest.mark.parametrize("mode", ["exact", "fast16"])
@pytest.mark.parametrize(
    "dtypes, vlen",
    [
        (("float16", "float16", "float16"), 128),
        (("float16", "float16", "float16"), 512),
        (("float16", "float16", "float32"), 512),
        (("float32", "float16", "float32"), 128),
        (("float16", "float32", "float16"), 256),
    ],
)
def test_float16(build: Build, mode: str, dtypes: tuple[str, str, str], vlen: int) -> None:
    need_zvfh()
    plan = pe.compile(graphs(dtypes), board="virt-rv32-v", mode=mode)
    check(build("virt-rv32", "clang", PYEDGE_MARCH=f"{MARCH}_zvfh"), plan, f"{ZVFH_CPU},vlen={vlen}")
