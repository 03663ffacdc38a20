"""Measures what ops cost on a board: a table from which `pe.estimate` tells the cost of networks."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import replace
from importlib.metadata import version

import numpy as np

from ..boards import load_profile
from ..errors import LinkError, PlanError
from ..host import connect
from ..host.build import choose_toolchain
from ..model.graph import Graph
from ..plan import RESET, Plan
from ..plan.compile import compile
from ..session import Session, cpu_features
from ..tune.cost_rows import Row
from ..tune.estimate import Table, rows_of
from .machine import cpu_name
from .single_ops import SingleOp, mlperf_tiny_layers, random_inputs

_ENTRIES = 30  # of one plan, which has 64 at most
_TRIES = 3  # of a plan, where the link fails
_DTYPES = (("int8", 600_000), ("float32", 100_000))  # and how many MACs an op has at most; floats may be emulated
_ROOM = SingleOp("relu", 48, 48, 16)  # makes the arena of a plan large
_CHANNELS = (1, 2, 3, 4, 6, 8, 10, 12, 16, 20, 24, 32, 40, 48, 64, 72, 96, 128, 192, 256)
_EVEN_CHANNELS = (8, 16, 24, 32, 48, 64, 96, 128)  # what most networks have


def sampled_ops(dtype: str, most_macs: int) -> Iterator[SingleOp]:
    """Shapes of networks and random shapes around them; the same in each run."""
    elements = most_macs // 128  # of an image, and of weights: they travel over a serial line
    yield from (op for op in mlperf_tiny_layers(dtype) if _macs(op) <= most_macs and _weights(op) <= 4 * elements)
    rng = np.random.default_rng(0)

    def draw(values: Sequence[int], most: int = 1 << 30) -> int:
        return int(rng.choice([v for v in values if v <= most]))

    def image(c: int) -> tuple[int, int]:
        side = draw((1, 3, 4, 6, 7, 8, 10, 12, 16, 20, 24, 32, 48), max(1, int((elements / c) ** 0.5)))
        return side, side if rng.random() < 0.6 else max(1, side // 2)

    def conv(kernel: tuple[int, int], stride: int, deepest: int = 256) -> SingleOp:
        while True:
            channels = _CHANNELS if rng.random() < 0.3 else _EVEN_CHANNELS
            c, c_out = draw(_CHANNELS if deepest < 8 else channels, deepest), draw(channels)
            op = SingleOp("conv2d", *image(c), c, c_out, kernel, stride, dtype)
            if _macs(op) <= most_macs and _weights(op) <= 2 * elements:
                return op

    for kernel, times in (((1, 1), 40), ((3, 3), 40), ((5, 5), 8), ((5, 3), 6), ((7, 7), 3)):
        for i in range(times):
            yield conv(kernel, 2 if i % 3 == 2 else 1)
    for i in range(24 if dtype == "int8" else 8):  # what networks have most, and kernels of their own
        c, c_out, side = draw((12, 16, 24, 32, 48, 64, 72)), draw((16, 24, 32, 48, 64, 72)), draw((6, 8, 12, 16, 24))
        op = SingleOp("conv2d", side, side, c, c_out, (3, 3) if i % 3 else (1, 1), 1, dtype)
        if _macs(op) <= 10 * most_macs:
            yield op
    for i in range(16):  # first layers
        yield conv(((3, 3), (5, 3), (5, 5), (10, 4))[i % 4], 1 + i % 2, deepest=4)
    for i in range(72):
        c = draw(_CHANNELS)
        kernel = (5, 5) if i % 2 else (3, 3)
        op = SingleOp("depthwise_conv2d", *image(c), c, 0, kernel, 2 if i % 3 == 2 else 1, dtype)
        if _macs(op) <= most_macs:
            yield op
    for _ in range(64):
        op = SingleOp(
            "linear", 1, 1, draw((8, 16, 30, 60, 100, 128, 256, 490, 640, 1024)), draw(_CHANNELS), dtype=dtype
        )
        if _weights(op) <= 2 * elements:
            yield op
    plain = ["add", "mul", "relu", "sigmoid", "concat", "pad", "mean", "softmax"]
    plain += ["dequantize"] if dtype == "int8" else ["quantize"]
    for kind in plain:
        for _ in range(10):
            c = draw(_CHANNELS)
            height, width = (1, 1) if kind == "softmax" else image(c)
            yield SingleOp(kind, height, width, c, dtype=dtype)
    for kind in ("avg_pool2d", "max_pool2d"):
        for window, stride in ((2, 2),) * 5 + ((3, 2), (3, 2), (3, 1), (2, 1), (0, 1), (0, 1), (0, 1)):
            c = draw(_CHANNELS)
            height, width = image(c)
            kernel = (window, window) if window else (height, width)
            yield SingleOp(kind, height, width, c, 0, kernel, stride, dtype, "same" if window else "valid")


def _macs(op: SingleOp) -> int:
    outputs = -(-op.height // op.stride) * -(-op.width // op.stride)
    window = op.kernel[0] * op.kernel[1]
    if op.kind == "conv2d":
        return outputs * window * op.c * op.c_out
    return {"depthwise_conv2d": outputs * window * op.c, "linear": op.c * op.c_out}.get(op.kind, 0)


def _fitting(graphs: dict[str, Graph], board: str, room: bool = True) -> Iterator[Plan]:
    """The graphs as entries of one plan, or of as many as the board needs; those that do not fit alone are left out."""
    try:
        yield compile({**graphs, _ROOM.name: _ROOM.graph()} if room else graphs, board=board)
    except PlanError:
        names = list(graphs)
        if len(names) > 1:
            yield from _fitting({name: graphs[name] for name in names[: len(names) // 2]}, board, room)
            yield from _fitting({name: graphs[name] for name in names[len(names) // 2 :]}, board, room)
        elif room:
            yield from _fitting(graphs, board, room=False)


def measure(
    board: str,
    models: Iterable[Graph] = (),
    port: str | None = None,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Table:
    """Costs of ops on a board; "host" is this computer, by the kernels of its CPU and one thread.

    Args:
        models: Graphs whose ops are measured as well, of any kinds.
        port: Serial port of a board that is not emulated.
        progress: Called with the number of graphs that are done, and of all.

    Raises:
        BoardNotFoundError, UnsupportedError, ToolError, LinkError, BoardError: As `pyedge.connect`.
        PlanError: A model that does not fit the board.
    """
    profile = load_profile(board)
    plans = list(_plans(board, models))
    total, done = sum(len(_names(plan)) for plan in plans), 0
    rows: list[Row] = []
    with ExitStack() as stack:
        connected = None if board == "host" else stack.enter_context(connect(board, port=port))
        for plan in plans:
            for left in range(_TRIES - 1, -1, -1):
                try:
                    target = Session(plan) if connected is None else connected.load(plan)
                    measured = {n: target.profile(random_inputs(plan.entry(n)), entry=n) for n in _names(plan)}
                    break
                except LinkError:  # a busy computer; minutes of work would be lost
                    if not left:
                        raise
            for name, found in measured.items():
                costs, row = (max(1, op.count) for op in found.ops), rows_of(plan, plan.entry(name).ops)
                rows += [replace(r, count=n) for r, n in zip(row, costs, strict=True)]
            done += len(measured)
            progress(done, total)
        conditions = {"pyedge": version("pyedge"), **found.conditions}
        if connected is None:
            conditions["cpu"], conditions["kernels"] = cpu_name(), cpu_features().isa
        elif connected.emulated:
            conditions["compiler"] = choose_toolchain(profile.image().isa).name
    return Table(board, found.unit, conditions, tuple(rows))


def _names(plan: Plan) -> list[str]:
    """The entries to measure."""
    return [name for name in plan.entries if name not in (RESET, _ROOM.name)]


def _weights(op: SingleOp) -> int:
    return op.c * max(1, op.c_out) * op.kernel[0] * op.kernel[1]


def _plans(board: str, models: Iterable[Graph]) -> Iterator[Plan]:
    """Each op in a plan of many, where the arena is large, and half of the convolutions alone too, where it is not.

    What scratch the planner finds for a kernel depends on the room in the arena.
    """
    for dtype, most_macs in _DTYPES:
        graphs = {f"{i} {op.name}": op.graph() for i, op in enumerate(sampled_ops(dtype, most_macs))}
        names = list(graphs)
        for begin in range(0, len(names), _ENTRIES):
            yield from _fitting({name: graphs[name] for name in names[begin : begin + _ENTRIES]}, board)
        if board != "host":
            for name in names[::2]:
                if "conv2d" in name:
                    yield from _fitting({name: graphs[name]}, board, room=False)
    yield from (compile(model, board=board, batch=1) for model in models)
