"""float16 on an emulated core with Zfh, which has instructions for it: the bits of every other core."""

from __future__ import annotations

import dataclasses
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import pyedge as pe
from pyedge.boards import load_profile
from pyedge.boards.profile import Image
from pyedge.host import build
from pyedge.host.board import Board, connect

from .conftest import needs_qemu

sys.path.append(str(Path(__file__).parents[1] / "golden"))

from bits_cases import cases, digest, recorded

pytestmark = needs_qemu
ISA = "rv32imafc_zfh"
CPUS = ("rv32,Zfh=true", "rv32,zfh=true")  # names of QEMU 7.2; of 10.0
ODD = np.array([0, -0.0, 6e-8, -6e-8, 3e-5, 65504, -65504, np.inf, -np.inf, np.nan], np.float32)
FLOATS = ("float32", "float16")


@pytest.fixture
def board() -> Iterator[Board]:
    if build.choose_toolchain(ISA).name == "gcc":
        pytest.skip("GCC 12 compiles it without Zfh; needs clang")
    profile = load_profile("virt-rv32")
    image = Image(isa=ISA, file="virt-rv32-zfh.elf", cpu=next(cpu for cpu in CPUS if has(cpu)))
    with connect(dataclasses.replace(profile, images=(image,))) as connected:
        yield connected


def has(cpu: str) -> bool:
    """Whether the installed QEMU knows the CPU."""
    command = ["qemu-system-riscv32", "-M", "virt", "-cpu", cpu, "-bios", "none", "-S", "-display", "none"]
    quit_at_once = [*command, "-monitor", "stdio"]
    return subprocess.run(quit_at_once, input=b"quit\n", capture_output=True, timeout=60, check=False).returncode == 0


def numbers(rng: np.random.Generator, shape: Any, dtype: str, odd: float) -> Any:
    x = rng.normal(0, 1, shape)
    return np.where(rng.random(shape) < odd, rng.choice(ODD, shape), x).astype(dtype)


def test_the_bits_are_those_recorded(board: Board) -> None:
    found = {
        c.name: digest(board.load(pe.compile(c.graph, board="virt-rv32", **c.options)).run(c.feeds)) for c in cases()
    }
    assert found == recorded()


@pytest.mark.parametrize("mode", ["exact", "fast16"])
@pytest.mark.parametrize(
    "kind, shape, weights",
    [
        ("linear", (3, 70), (9, 70)),
        ("conv2d", (2, 5, 6, 6), (7, 3, 2, 6)),
        ("depthwise_conv2d", (1, 7, 6, 5), (6, 6, 5)),
    ],
)
def test_zeros_subnormals_overflow_and_nan(
    board: Board, kind: str, shape: tuple[int, ...], weights: tuple[int, ...], mode: str
) -> None:
    """Each type of x and y, as the host computes them."""
    rng = np.random.default_rng([*shape, *weights])
    for x_dtype in FLOATS:
        for y_dtype in FLOATS:
            b = pe.GraphBuilder()
            x = b.input("x", shape, x_dtype)
            b.output("y", getattr(b, kind)(x, numbers(rng, weights, "float16", 0.02)))
            graph = b.build()
            graph.ops[0].attrs["dtype"] = graph.tensors["y"].dtype = y_dtype
            plan = pe.compile(graph, board="virt-rv32", mode=mode)
            value = numbers(rng, shape, x_dtype, 0.02)
            actual = board.load(plan).run([value])[0]
            expected = pe.Session(plan).run([value])[0]
            assert actual.tobytes() == expected.tobytes(), (x_dtype, y_dtype)


@pytest.mark.parametrize("mode, limit", [("exact", 5.0), ("fast16", 12.0)])
def test_instructions_of_float16_are_used(board: Board, mode: str, limit: float) -> None:
    """Instructions for each MAC of a whole op; without Zfh 17.7 and 47.3."""
    b = pe.GraphBuilder()
    w = numbers(np.random.default_rng(1), (64, 128), "float16", 0)
    b.output("y", b.linear(b.input("x", (16, 128), "float16"), w))
    plan = pe.compile(b.build(), board="virt-rv32", mode=mode)
    found = board.load(plan).profile([np.ones((16, 128), np.float16)])
    assert found.ops[0].count / (16 * 64 * 128) < limit
