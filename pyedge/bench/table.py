"""Measures what ops cost on a board: a table from which `pe.estimate` tells the cost of networks."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from importlib.metadata import version
from typing import Any

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
_DENSE = (0.5, 1.0)  # shares of inputs that are not 0, in turn: floats in software are faster on zeros
_FEW = 3  # entries of a plan with a small arena
_RUNS = 20  # where time is measured
_TRIES = 3  # of a plan, where the link fails
_DTYPES = (("int8", 800_000), ("float32", 100_000))  # and how many MACs an op has at most; floats may be emulated
_ROOM = SingleOp("relu", 48, 48, 16)  # makes the arena of a plan large
_KERNELS = (((1, 1), 80), ((3, 3), 90), ((5, 5), 16), ((5, 3), 10), ((7, 7), 6), ((1, 5), 6), ((3, 1), 6))


def sampled_ops(dtype: str, most_macs: int) -> Iterator[SingleOp]:
    """Shapes of networks and random shapes around them; the same in each run."""
    elements = most_macs // 64  # of an image
    yield from (op for op in mlperf_tiny_layers(dtype) if _macs(op) <= most_macs)
    rng = np.random.default_rng(0)

    def draw(*values: Any) -> Any:
        return values[int(rng.integers(len(values)))]

    def channels() -> int:
        """Half of them as most networks have; the others of any number."""
        usual = int(draw(1, 3, 4, 8, 8, 12, 16, 16, 24, 32, 32, 40, 48, 64, 64, 96, 128, 160, 256))
        return usual if rng.random() < 0.5 else int(2 ** rng.uniform(0, 6.6))

    def image(c: int) -> tuple[int, int]:
        most = int(min(48, max(1, (elements / c) ** 0.5)))
        side = int(rng.integers(1, most, endpoint=True))
        return side, side if rng.random() < 0.5 else int(rng.integers(1, most, endpoint=True))

    def window(kind: str, kernel: tuple[int, int], c: int | None = None, **more: Any) -> SingleOp:
        """A convolution of any size that is not too large."""
        while True:
            c_in = c or channels()
            height, width = image(c_in)
            fits = height >= kernel[0] and width >= kernel[1]
            rest: dict[str, Any] = {"padding": draw("same", "same", "valid") if fits else "same", **more}
            c_out = channels() if kind == "conv2d" else 0
            op = SingleOp(
                kind, height, width, c_in, c_out, kernel, draw(1, 1, 2), dtype, activation=draw(None, "relu"), **rest
            )
            if _macs(op) <= most_macs and _weights(op) <= 4 * elements:
                return op

    for kernel, times in _KERNELS:
        yield from (window("conv2d", kernel) for _ in range(times))
    for kernel in ((3, 3), (5, 3), (3, 5), (5, 5), (7, 7), (10, 4)) * 10:  # first layers
        yield window("conv2d", kernel, int(draw(1, 1, 2, 3, 3, 4)))
    for _ in range(12):
        op = window("conv2d", draw((1, 1), (3, 3)), dilation=draw(1, 2), padding="same")
        yield replace(op, groups=int(draw(*(g for g in (1, 2, 3, 4, 8) if op.c % g == op.c_out % g == 0))))
    for i in range(60):  # what networks have most, where some boards have kernels of their own
        c, c_out, side = draw(16, 24, 32, 48, 64), draw(8, 16, 24, 32, 48, 64), int(rng.integers(4, 18))
        kernel, stride = ((3, 3), 1) if i % 3 else ((1, 1), draw(1, 2))
        op = SingleOp("conv2d", side, side, c, c_out, kernel, stride, dtype, activation=draw(None, "relu"))
        if _macs(op) <= 4 * most_macs:
            yield op
    for i in range(80):
        yield window("depthwise_conv2d", draw((3, 3), (3, 3), (5, 5), (3, 5), (7, 7)) if i % 2 else (3, 3))
    for _ in range(96):
        c = int(draw(8, 16, 30, 60, 100, 128, 256, 490, 640, 1024)) if rng.random() < 0.5 else int(rng.integers(1, 500))
        op = SingleOp("linear", 1, 1, c, channels(), dtype=dtype, activation=draw(None, "relu"))
        if _weights(op) <= 4 * elements:
            yield op
    plain = ["add", "sub", "mul", "relu", "sigmoid", "concat", "pad", "mean", "softmax"]
    plain += ["dequantize"] if dtype == "int8" else ["quantize", "div", "tanh", "hard_swish", "exp", "sqrt"]
    for kind in plain:
        for i in range(24 if kind == "mean" else 12):
            c = max(2, channels()) if kind == "mean" else channels()
            height, width = (1, 1) if kind == "softmax" else image(c)
            activation = "relu" if kind == "add" and i % 2 else None
            yield SingleOp(kind, height, width, c, dtype=dtype, activation=activation)
    for kind in ("avg_pool2d", "max_pool2d"):
        for side, stride in ((2, 2),) * 8 + ((3, 2),) * 6 + ((3, 1), (3, 1), (2, 1), (4, 4), (0, 1), (0, 1), (0, 1)):
            c = channels()
            height, width = image(c)
            kernel = (side, side) if side else (height, width)
            fits = height >= kernel[0] and width >= kernel[1]
            padding = draw("same", "valid") if side and fits else "same" if side else "valid"
            yield SingleOp(kind, height, width, c, 0, kernel, stride, dtype, padding)
    for kernel in ((3, 1), (1, 3), (5, 1), (1, 5), (9, 1)) * 4:
        yield window("depthwise_conv2d", kernel)
    for i in range(36):  # operands of two scales, as most networks have them
        c = channels()
        height, width = image(c)
        scale = 0.02 if i % 3 == 0 else 0.01 + i / 1000
        yield SingleOp("add", height, width, c, dtype=dtype, activation=draw(None, "relu"), scale=scale)
    for _ in range(32):  # groups
        groups, side = int(draw(2, 3, 4, 8)), int(rng.integers(4, 17))
        c, c_out = (groups * int(rng.integers(1, 9)) for _ in range(2))
        kernel = draw((3, 3), (3, 3), (1, 1), (5, 5))
        activation, stride = draw(None, "relu"), int(draw(1, 1, 2))
        op = SingleOp("conv2d", side, side, c, c_out, kernel, stride, dtype, activation=activation, groups=groups)
        if _macs(op) <= groups * most_macs:
            yield op
    for _ in range(40):  # fewer channels or pixels than a tile
        op = window("conv2d", draw((1, 1), (3, 3), (3, 3), (5, 5), (7, 7)))
        yield replace(op, c_out=int(draw(1, 2, 3)))
    for _ in range(24):
        kernel, stride = draw((1, 1), (3, 3), (3, 3)), int(draw(1, 1, 2))
        height, width = (int(rng.integers(1, 4, endpoint=True)) for _ in range(2))
        yield SingleOp("conv2d", height, width, channels(), channels(), kernel, stride, dtype)
    for kernel in ((5, 3), (3, 5), (7, 3), (5, 7), (2, 2), (4, 4)) * 4:
        yield window("depthwise_conv2d", kernel)
    for _ in range(24):  # several outputs of a channel
        op = window("depthwise_conv2d", draw((3, 3), (3, 3), (3, 3), (5, 5), (3, 1)), int(rng.integers(1, 24)))
        yield replace(op, c_out=op.c * int(draw(2, 2, 3, 4, 8)))
    for i in range(12):
        c = channels()
        yield SingleOp("transpose", *image(c), c, dtype=dtype)
        c = channels()
        yield SingleOp(draw("add", "mul"), *image(c), c, dtype=dtype, scale=0.01 + i / 1000, broadcast=True)


def _macs(op: SingleOp) -> int:
    outputs = -(-op.height // op.stride) * -(-op.width // op.stride)
    window = op.kernel[0] * op.kernel[1]
    if op.kind == "conv2d":
        return outputs * window * op.c * op.c_out
    return {"depthwise_conv2d": outputs * window * max(op.c, op.c_out), "linear": op.c * op.c_out}.get(op.kind, 0)


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
        runs = None if connected and connected.emulated else _RUNS  # an emulated board counts the same each time
        for plan in plans:
            names = _names(plan)
            dense = {name: _DENSE[(done + i) % 2] for i, name in enumerate(names)}
            inputs = {n: random_inputs(plan.entry(n), rectified=dense[n] < 1) for n in names}
            for left in range(_TRIES - 1, -1, -1):
                try:
                    target = Session(plan) if connected is None else connected.load(plan)
                    measured = {n: target.profile(inputs[n], runs, entry=n) for n in names}
                    break
                except LinkError:  # a busy computer; minutes of work would be lost
                    if not left:
                        raise
            for name, found in measured.items():
                costs, row = (max(1, op.count) for op in found.ops), rows_of(plan, plan.entry(name), dense[name])
                rows += [replace(r, count=n) for r, n in zip(row, costs, strict=True)]
            done += len(measured)
            progress(done, total)
        conditions = {"pyedge": version("pyedge"), **found.conditions}
        if connected is None:
            conditions["cpu"], conditions["kernels"] = cpu_name(), cpu_features().isa
        elif connected.emulated:
            conditions["compiler"] = choose_toolchain(profile.image().isa).name
    distinct = {(row.kind, row.kernel, *row.sizes.values()): row for row in rows}  # an arena may make no difference
    return Table(board, found.unit, conditions, tuple(distinct.values()))


def _names(plan: Plan) -> list[str]:
    """The entries to measure."""
    return [name for name in plan.entries if name not in (RESET, _ROOM.name)]


def _weights(op: SingleOp) -> int:
    return op.c * max(1, op.c_out) * op.kernel[0] * op.kernel[1]


def _plans(board: str, models: Iterable[Graph]) -> Iterator[Plan]:
    """Each op in a plan of many, where the arena is large; convolutions of int8 in plans of few or alone too.

    What scratch the planner finds for their kernels depends on the room in the arena.
    """
    for dtype, most_macs in _DTYPES:
        graphs = {f"{i} {op.name}": op.graph() for i, op in enumerate(sampled_ops(dtype, most_macs))}
        yield from _by(_ENTRIES, graphs, board, room=True)
        if board != "host" and dtype == "int8":
            convolutions = [(name, graph) for name, graph in graphs.items() if "conv2d" in name]
            yield from _by(1, dict(convolutions[::2]), board, room=False)
            yield from _by(_FEW, dict(convolutions[1::2]), board, room=False)
    yield from (compile(model, board=board, batch=1) for model in models)


def _by(entries: int, graphs: dict[str, Graph], board: str, room: bool) -> Iterator[Plan]:
    names = list(graphs)
    for begin in range(0, len(names), entries):
        yield from _fitting({name: graphs[name] for name in names[begin : begin + entries]}, board, room)
