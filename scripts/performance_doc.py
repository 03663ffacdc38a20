"""docs/performance.md from bench/performance.json, which `pyedge bench --peers --json` has written, and
bench/training_steps.json of bench/training_steps.py.

Usage: performance_doc.py [--check | --write]
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parent.parent
RESULT, DOC = ROOT / "bench/performance.json", ROOT / "docs/performance.md"
STEPS = ROOT / "bench/training_steps.json"
COMMAND = """\
pyedge bench --peers --built-in MODEL... --json > bench/performance.json
    python scripts/performance_doc.py --write"""
OURS = "pyedge"


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    return [f"| {' | '.join(cells)} |" for cells in (head, ["---"] * len(head), *rows)]


def ratio(row: dict[str, Any], peer: str) -> str:
    return f"{row['ratio'][peer]:.2f}" if peer in row["ratio"] else "-"


def document(result: dict[str, Any]) -> str:
    facts, peaks = result["conditions"], result["peaks"]
    peers = list(facts["peers"])
    lines = [
        "# Performance",
        "",
        "Written by `scripts/performance_doc.py` from `bench/performance.json`; how to measure again:",
        "",
        f"    {COMMAND}",
        "",
        f"- CPU: {facts['cpu']} ({facts['machine']}), {facts['cores']} cores; load average before {facts['load']}",
        f"- pyedge {facts['pyedge']}, kernels {facts['kernels']}, one thread; {facts['compiler']}, {facts['flags']}",
        f"- Python {facts['python']}, NumPy {facts['numpy']}; "
        + (", ".join(f"{name} {number}" for name, number in facts["peers"].items()) or "no peers"),
        f"- {facts['date']}; engines in turns, {facts['blocks']} blocks each",
        "",
        "A time is the median of the blocks of the whole call from Python, with input and output. A ratio is pyedge's",
        "time by the peer's in the same run, the median of the blocks: below 1 pyedge is faster. `run` is the kernels",
        "alone, the best block. A dash: the peer cannot run it. For ONNX Runtime float16 weights are widened, and int8",
        "graphs are QDQ with uint8 activations, the form that it runs fastest.",
        "",
        "## Peaks of one core",
        "",
        *table(
            ["level", "float32 FMA, GFLOP/s", "int8 products, GOP/s"],
            [[name, f"{p['f32_gflops']:.0f}", f"{p['s8_gops']:.0f}"] for name, p in peaks["levels"].items()],
        ),
        "",
        *table(
            ["memory read", *(f"{int(size) >> 10} KiB" for size in peaks["read_gbps"])],
            [["GB/s", *(f"{rate:.0f}" for rate in peaks["read_gbps"].values())]],
        ),
    ]
    for title, key in (("Networks", "networks"), ("Layers", "layers")):
        rows = []
        for row in result[key]:
            shares = [f"{100 * row[k]:.0f} %" if k in row else "-" for k in ("of_peak", "of_roof")]
            rate = f"{row['gops']:.0f}" if "gops" in row else "-"
            kernel = [row.get("kernel", "")] if key == "layers" else []
            us = f"{row['us'][OURS]:.1f}", f"{row['run_us']:.1f}"
            rows.append([row["name"], *kernel, *us, rate, *shares, *(ratio(row, peer) for peer in peers)])
        names = [
            key[:-1],
            *(["kernel"] if key == "layers" else []),
            "call, us",
            "run, us",
            "GOP/s",
            "of peak",
            "of roof",
        ]
        lines += ["", f"## {title}", "", *table([*names, *(f"ratio to {peer}" for peer in peers)], rows)]
        for dtype in ("int8", "float32", "float16"):
            best = [max(r["ratio"].values()) for r in result[key] if r["dtype"] == dtype and r["ratio"]]
            if best:
                mean = float(np.exp(np.mean(np.log(best))))
                lines.append(f"\n{dtype}, to the best peer of each row: geometric mean {mean:.2f}.")
    wins = [
        [row["name"], peer, f"{row['us'][OURS]:.1f}", f"{row['us'][peer]:.1f}", f"{value:.2f}"]
        for key in ("networks", "layers")
        for row in result[key]
        for peer, value in row["ratio"].items()
        if value > 1
    ]
    lines += ["", "## Where a peer is faster", ""]
    lines += table(["what", "peer", "pyedge, us", "peer, us", "ratio"], wins) if wins else ["Nowhere in this run."]
    return "\n".join(lines) + "\n"


def training(steps: dict[str, Any]) -> str:
    """Whole steps of training: networks, then runs as bench/training_steps.py has them."""
    lines = [
        "",
        "## Training",
        "",
        "Retired instructions of whole steps of training, batch 1, plain SGD, on the emulated boards `virt-rv32`",
        "(scalar: rv32imafc) and `virt-rv32-v` (vectors: RVV and Zvfh, VLEN 128), by the board's counter:",
        "",
        "    python bench/training_steps.py --write",
        "",
        "Instructions per MAC, by kind of layer, as forward / dgrad / wgrad: the gradients of the input and of the",
        "weights. Copies of windows, padding, flushes of float16 sums and roundings are included; a vector instruction",
        "counts as one. Beside them: PULP-TrainLib's inner loops take 1.13 to 1.75 on packed SIMD of two float16, with",
        "sums in float16 and without what lies around a loop (Nadalini et al. 2023). A first layer has no dgrad.",
        "rv32imafc has no float16: elements are widened and rounded by integers.",
    ]
    for network, runs in steps.items():
        kinds = list(dict.fromkeys(kind for run in runs.values() for kind in run["layers"]))
        rows = []
        for kind in kinds:
            macs = sum(made[1] for made in next(iter(runs.values()))["layers"][kind].values())
            rows.append([kind, f"{macs:,}", *(per_mac(run["layers"][kind]) for run in runs.values())])
        for name in ("update", "rest", "step"):
            rows.append([f"{name}, M instructions", "", *(f"{run[name] / 1e6:.2f}" for run in runs.values())])
        lines += ["", *table([network, "MACs", *runs], rows)]
    lines += [
        "",
        "update: new weights, their rounding to float16, whether gradients are finite. rest: loss, additions, ReLU,",
        "biases.",
        "",
    ]
    for network, runs in steps.items():
        whole, half = (convolutions(runs[f"vectors {precision}"]) for precision in ("fp32", "fast16"))
        lines.append(
            f"Convolutions of {network} forward and backward, with the update, by vectors: {whole / 1e6:.2f} M "
            f"instructions in float32, {half / 1e6:.2f} M in `fast16`, {whole / half:.2f} times fewer; whole steps "
            f"{runs['vectors fp32']['step'] / runs['vectors fast16']['step']:.2f} times."
        )
    lines += [
        "",
        "By layer, and errors of these sums beside sums in float16 alone:",
        "[bench/training.md](../bench/training.md). A step runs on one core; training on several cores of a",
        "microcontroller at once is not covered.",
    ]
    return "\n".join(lines) + "\n"


def per_mac(layer: dict[str, list[int]]) -> str:
    found = [layer.get(primitive) for primitive in ("forward", "dgrad", "wgrad")]
    return " / ".join(f"{made[0] / made[1]:.2f}" if made else "-" for made in found)


def convolutions(run: dict[str, Any]) -> int:
    """Instructions of convolutions, depthwise not among them, and of the update."""
    of_layers = [made for kind, layer in run["layers"].items() if kind.startswith("conv") for made in layer.values()]
    return int(run["update"] + sum(instructions for instructions, _ in of_layers))


def main() -> int:
    text = document(json.loads(RESULT.read_text(encoding="utf-8")))
    text += training(json.loads(STEPS.read_text(encoding="utf-8")))
    if sys.argv[1:] == ["--write"]:
        DOC.write_text(text, encoding="utf-8")
        return 0
    if sys.argv[1:] == ["--check"]:
        if not DOC.exists() or DOC.read_text(encoding="utf-8") != text:
            print(f"{DOC.name} is not of {RESULT.name} and {STEPS.name}; try: python {sys.argv[0]} --write")
            return 1
        return 0
    print(text, end="")
    return 0


if __name__ == "__main__":
    sys.exit(main())
