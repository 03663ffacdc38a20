"""Kernels and networks on this computer, alone and beside other runtimes, against what the machine can do at most.

Engines take turns in short blocks, so that a change of the clock or of the load meets all of them; a ratio is the
median of the ratios of the blocks. The time of one engine from another run says nothing.
"""

from __future__ import annotations

import os
import platform
import re
import time
from collections.abc import Callable, Iterable, Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from .. import _core
from ..model.graph import Graph
from ..plan.compile import compile
from ..session import Session, cpu_features
from .machine import Peaks, cpu_name, measure_peaks
from .networks import BUILT_IN
from .peers import Array, Call, Peer, Unable, installed
from .single_ops import SingleOp, random_inputs

SCHEMA = 1
OURS = "pyedge"
_BLOCK_S = 0.01
_MOST_RUNS = 2000  # of a block


def layers() -> list[SingleOp]:
    """Layers of usual networks, and products of matrices."""
    found = []
    for dtype in ("int8", "float32", "float16"):
        for side, c in ((56, 64), (28, 128), (14, 256), (48, 8)) if dtype != "float16" else ():
            found.append(SingleOp("depthwise_conv2d", side, side, c, 0, (3, 3), 1, dtype))
        for side, c, c_out in ((32, 3, 16), (32, 16, 16), (56, 64, 64), (14, 256, 256)):
            found.append(SingleOp("conv2d", side, side, c, c_out, (3, 3), 1, dtype))
        found.append(SingleOp("conv2d", 25, 5, 64, 64, dtype=dtype))
        found.append(SingleOp("conv2d", 28, 28, 128, 128, dtype=dtype))
        for rows, n in ((1, 1024), (256, 256), (512, 512), (1024, 1024)):
            found.append(SingleOp("linear", rows, 1, n, n, dtype=dtype))
    return found


def bench(
    models: Iterable[tuple[str, Graph, Path | None]] = (),
    peers: bool = False,
    built_in: bool = False,
    blocks: int = 11,
    ops: Iterable[SingleOp] | None = None,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> dict[str, Any]:
    """Measures all of it on one thread; plain data for JSON, `SCHEMA` in it.

    Args:
        models: Name, graph and file of each network to run.
        built_in: Run the built-in networks too; they are run anyway if there are no others.
        peers: Run the peers that are installed as well.
        blocks: How often each engine has its turn.
        ops: Layers to run; without it those of `layers`.
        progress: Called with the number of cases that are done, and of all.
    """
    found = installed() if peers else {}
    networks = list(models)
    if built_in or not networks:
        networks += [(g.name, g, None) for dtype in ("int8", "float32") for g in (f(dtype) for f in BUILT_IN)]
    cases = [(op.name, op.graph(), None) for op in (layers() if ops is None else ops)]
    machine = measure_peaks()
    total = len(networks) + len(cases)
    rows = []
    for name, graph, file in [*networks, *cases]:
        rows.append(_case(name, graph, file, {name: peer for name, (_, peer) in found.items()}, blocks, machine))
        progress(len(rows), total)
    return {
        "schema": SCHEMA,
        "conditions": {
            **conditions(),
            "blocks": blocks,
            "peers": {name: number for name, (number, _) in found.items()},
        },
        "peaks": machine.to_dict(),
        "networks": rows[: len(networks)],
        "layers": rows[len(networks) :],
    }


def conditions() -> dict[str, Any]:
    """What the figures hold for: machine, compiler, flags, date."""
    compiler = re.findall(rb"GCC: \([^)]*\) [\d.]+|clang version [\d.]+", Path(_core.__file__).read_bytes())
    return {
        "cpu": cpu_name(),
        "machine": platform.machine(),
        "cores": os.cpu_count(),
        "load": round(os.getloadavg()[0], 1),
        "kernels": cpu_features().isa,
        "features": list(cpu_features().features),
        "threads": 1,
        "compiler": compiler[0].decode() if compiler else "unknown",
        "flags": "-O3 -ffp-contract=off -fno-math-errno, and those of csrc/sources_*.cmake for each ISA level",
        "pyedge": version("pyedge"),
        "python": platform.python_version(),
        "numpy": np.__version__,
        "date": time.strftime("%Y-%m-%d"),
    }


def condition_lines() -> list[str]:
    """What a table of times is to be read with."""
    c = conditions()
    return [
        f"CPU: {c['cpu']} ({c['machine']}), {c['cores']} cores; load average before {c['load']}",
        f"pyedge {c['pyedge']}, kernels {c['kernels']}; {c['date']}",
    ]


def _case(
    name: str, graph: Graph, file: Path | None, peers: Mapping[str, Peer], blocks: int, peaks: Peaks
) -> dict[str, Any]:
    """One network or layer: ours against the machine and the peers."""
    plan = compile(graph, shapes={t.name: [d or 1 for d in t.shape] for t in graph.inputs})
    entry = plan.entry("main")
    session = Session(plan)
    inputs = random_inputs(entry)
    x = inputs[0]
    expected = session.run(inputs)[0]
    calls: dict[str, Call] = {OURS: lambda: session(*inputs)}  # type: ignore[dict-item,return-value]
    unable = {}
    for peer, prepare in peers.items():
        try:
            if len(inputs) != 1:
                raise Unable("more than one input")
            call = prepare(graph, file, x)
            _agree(call(), expected)
            calls[peer] = call
        except Unable as error:
            unable[peer] = str(error)
    alone = {"run": lambda: session._core.run(entry.number)}
    times = interleaved({**calls, **alone}, blocks)
    run = float(times.pop("run").min())
    row: dict[str, Any] = {
        "name": name,
        "dtype": x.dtype.name if "float16" not in name else "float16",
        "macs": entry.macs,
        "run_us": run,
        "us": {engine: float(np.median(t)) for engine, t in times.items()},
        "ratio": {engine: float(np.median(times[OURS] / t)) for engine, t in times.items() if engine != OURS},
        "unable": unable,
    }
    if entry.macs:
        moved = sum(t.bytes for t in (*entry.inputs, *entry.outputs)) + plan.const_bytes
        rate, level = 2e6 * entry.macs / run, cpu_features().isa
        peak, roof = (
            peaks.peak(level, x.dtype == np.int8),
            peaks.roof(level, x.dtype == np.int8, 2 * entry.macs / moved, moved),
        )
        row |= {"gops": rate / 1e9, "bytes": moved, "of_peak": rate / peak, "of_roof": rate / roof}
    if len(entry.ops) == 1:
        row["kernel"] = session._core.kernel(entry.ops[0].number) or entry.ops[0].kind
    return row


def _agree(y: Array, expected: Array) -> None:
    """Raises Unable if a peer's result is not of our shape, or for floats not ours within rounding."""
    if y.size != expected.size:
        raise Unable(f"its output has {y.size} elements, ours {expected.size}")
    if expected.dtype.kind == "f" and not np.allclose(y.reshape(-1), expected.reshape(-1), rtol=1e-2, atol=1e-3):
        raise Unable("its result differs from ours")


def interleaved(calls: Mapping[str, Callable[[], Any]], blocks: int) -> dict[str, np.ndarray[Any, Any]]:
    """Microseconds of each call, a median for each block in which it had its turn; the first turn is not counted."""
    runs: dict[str, int] = {}
    for name, call in calls.items():
        begin = time.perf_counter()
        call()
        call()
        runs[name] = int(np.clip(2 * _BLOCK_S / (time.perf_counter() - begin), 1, _MOST_RUNS))
    rows: dict[str, list[float]] = {name: [] for name in calls}
    for block in range(blocks + 1):
        for name, call in calls.items():
            samples = []
            for _ in range(runs[name]):
                begin_ns = time.perf_counter_ns()
                call()
                samples.append(time.perf_counter_ns() - begin_ns)
            if block:
                rows[name].append(float(np.median(samples)) / 1000)
    return {name: np.array(values) for name, values in rows.items()}
