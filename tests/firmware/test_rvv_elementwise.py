"""What is no sum of products, by RISC-V vectors on the emulated board against the host, to the bit."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

import pyedge as pe

from .conftest import ZVFH_CPU, Build, need, need_zvfh
from .wire import PYEDGE, WRITE, Board, virt

MARCH = "rv32imafc_zve32f_zvl128b"
RNG = np.random.default_rng(31)
ODD = np.array([0, -0.0, 6e-8, -6e-8, 3e-5, 1e-40, -1e-45, 1, -1, 65504, -65519, 65520, 3e38, np.inf, -np.inf, np.nan])
COMMON: dict[str, Any] = {"rounding": "nearest", "seed": 0, "stream": 0}
UPDATES: list[tuple[str, dict[str, Any]]] = [
    ("sgd_update", {}),
    ("momentum_update", {"momentum": 0.9, "nesterov": False}),
    ("momentum_update", {"momentum": 0.9, "nesterov": True}),
    ("adam_update", {"betas": (0.9, 0.999), "epsilon": 1e-8, "decoupled": False}),
    ("adam_update", {"betas": (0.9, 0.999), "epsilon": 1e-8, "decoupled": True}),
]


def numbers(shape: Any, dtype: str, odd: float) -> np.ndarray:
    x = np.where(RNG.random(shape) < odd, RNG.choice(ODD, shape), RNG.normal(0, 1, shape))
    with np.errstate(over="ignore"):
        return np.asarray(x.astype(np.float32).astype(dtype))


def graphs(dtypes: tuple[str, ...]) -> dict[str, pe.Graph]:
    """Of each op with each pair of dtypes, in sizes around vectors of 32 and 128 lanes and around a byte of bits."""
    made: dict[str, pe.Graph] = {}

    def case(
        name: str, shapes: Sequence[tuple[tuple[int, ...], str]], kind: str, outputs: int = 1, **attrs: Any
    ) -> None:
        b = pe.GraphBuilder()
        given = [b.input(f"x{i}", *x) for i, x in enumerate(shapes)]
        for i, y in enumerate(b.op(kind, *given, outputs=outputs, **attrs)):
            b.output(f"y{i}", y)
        made[name] = b.build()

    for a in dtypes:
        for n in (5, 300):
            x = ((n,), a)
            case(f"add {a} {n}", [x, x], "add", activation=("relu6", None)[n % 2])
            case(f"clip_mask {a} {n}", [x], "clip_mask", min=-1.0, max=0.5)
            case(f"mask_grad {a} {n}", [x, ((-(-n // 8),), "uint8")], "mask_grad")
            case(f"sum_squares {a} {n}", [x, ((1,), "float32")], "sum_squares")
        case(f"add {a} of a row", [((7, 33), a), ((33,), a)], "add", activation=None)
        for axes in ((1, 2), (3,)):
            case(f"mean {a} {axes}", [((2, 3, 5, 37), a)], "mean", axes=axes, keepdims=False)
        for b in dtypes:
            case(f"clip_grad {a} {b}", [((333,), a), ((333,), b)], "clip_grad", min=0.0, max=1.0)
            case(f"bias_grad {a} {b}", [((9, 37), a)], "bias_grad", dtype=b)
            case(f"bias_grad {a} {b} goes on", [((4, 150), a), ((150,), "float32")], "bias_grad", dtype=b)
            for number, (kind, options) in enumerate(UPDATES):
                start, clip, decay = ((0, np.inf, 0.0), (5, 0.5, 0.01))[number % 2]
                given = [((300,), a), ((141,), b), *[((1,), "float32")] * 3]
                moments = {"s": 0, "m": 1, "a": 2}[kind[0]]
                attrs = COMMON | options | {"start": start, "clip": clip, "weight_decay": decay}
                given += [((141,), "float32")] * moments
                case(f"{kind} {a} {b} {number}", given, kind, 1 + moments, **attrs)
            if a != b:
                options = {"saturate": 1, "round_mode": "up", "from_format": None, "to_format": None}
                case(f"cast {a} {b}", [((141,), a)], "cast", to=b, **options)
    return made


def check(firmware: Any, dtypes: tuple[str, ...], cpu: str) -> None:
    plan = pe.compile(graphs(dtypes), board="virt-rv32-v", keep="all")
    session = pe.Session(plan)
    with Board(virt(firmware, cpu=cpu)) as board:
        assert board.upload(PYEDGE, bytes(plan.data)) == {"off": len(plan.data), "match": True}
        for number, name in enumerate(plan.entries):
            odd = 0.1 * (number % 2)
            feeds = [
                np.frombuffer(RNG.bytes(t.bytes), np.uint8) if t.dtype == "uint8" else numbers(t.shape, t.dtype, odd)
                for t in plan.entry(name).inputs
            ]
            if "update" in name:
                feeds[2:5] = [np.array([x], np.float32) for x in (0.1, 0.5, 3.0)]
            expected = session.run(feeds, entry=name)
            for i, x in enumerate(feeds):
                board.put(x.tobytes(), number, i)
            board.ask(WRITE, PYEDGE, 4, {"e": number, "id": number + 1})
            for i, y in enumerate(expected):
                assert board.get(y.nbytes, number, i) == y.tobytes(), name


@pytest.mark.parametrize("vlen", [128, 512])
def test_floats(build: Build, vlen: int) -> None:
    need("qemu-system-riscv32")
    check(build("virt-rv32", "clang", PYEDGE_MARCH=MARCH), ("float32",), f"rv32,v=true,vlen={vlen}")


@pytest.mark.parametrize("vlen", [128, 256, 512])
def test_floats_and_float16(build: Build, vlen: int) -> None:
    need_zvfh()
    check(build("virt-rv32", "clang", PYEDGE_MARCH=f"{MARCH}_zvfh"), ("float32", "float16"), f"{ZVFH_CPU},vlen={vlen}")
