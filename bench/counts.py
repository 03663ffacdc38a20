"""Instructions of each kernel on each shape, against bench/counts.json.

    python bench/counts.py [--write] [--only SECTION]

Deterministic: no clock is read. Sections:

    x86-64 portable, x86-64 avx2    all with the flags of the extension's kernels; valgrind --tool=callgrind, no AVX-512
    arm64 cortex-a53, arm64 cortex-a76    the sources with the wheel's flags; user QEMU with the plugin of bench/arm64
    virt-rv32, virt-rv32-v, mps2-an386, mps3-an547    the firmware of emulated boards; QEMU -icount

Fails if a count has grown by more than 2 %, or if a row is on one side only. Counts are those of one compiler: a
section that was made by another is named and not compared. --write replaces the sections that are counted.
"""

from __future__ import annotations

import argparse
import json
import platform
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pyedge as pe
from pyedge.bench.single_ops import SingleOp, mlperf_tiny_layers, random_inputs
from pyedge.boards import load_profile
from pyedge.host.build import choose_toolchain

HERE = Path(__file__).resolve().parent
FILE = HERE / "counts.json"
COMMAND = "python bench/counts.py --write"
GROWTH = 1.02
SCHEMA = 1
FLOAT_MACS = 600_000  # float32 layers up to this size, where floats are emulated
HALF_MACS = 150_000  # the same of layers with float16 weights

Row = dict[str, Any]  # kernel, instructions, per_mac (null where an op has no MACs)


def ops(most_float_macs: int | None = None) -> list[SingleOp]:
    def floats(dtype: str, most: int | None) -> list[SingleOp]:
        kinds = ("conv2d", "depthwise_conv2d", "linear") + (("add",) if dtype == "float32" else ())
        found = [op for op in mlperf_tiny_layers(dtype) if op.kind in kinds]
        return [op for op in found if most is None or pe.compile(op.graph()).entry("main").macs <= most]

    return [*mlperf_tiny_layers("int8"), *floats("float32", most_float_macs), *floats("float16", HALF_MACS)]


def row(kernel: str, count: int, macs: int) -> Row:
    return {"kernel": kernel, "instructions": count, "per_mac": round(count / macs, 4) if macs else None}


def version(program: str) -> str:
    """The first line of what a compiler says of itself, without the name that it was called by."""
    text = subprocess.run([program, "--version"], capture_output=True, text=True, check=True).stdout
    return text.splitlines()[0].strip()


def run(command: Iterable[str | Path]) -> str:
    """Its standard output; what it said, and the end, if it fails."""
    words = [str(word) for word in command]
    try:
        done = subprocess.run(words, capture_output=True, text=True, stdin=subprocess.DEVNULL)
    except FileNotFoundError:
        sys.exit(f"counts: {words[0]} is not installed; try: sudo apt install {words[0]}")
    if done.returncode:
        sys.exit(f"counts: {' '.join(words)} failed:\n{done.stdout}{done.stderr}")
    return done.stdout


def x86(level: str) -> tuple[str, dict[str, Row]] | str:
    """Counts under callgrind. level: "portable", or "best" for what valgrind shows of the CPU."""
    if platform.machine() != "x86_64":
        return f"counted on x86-64, this is {platform.machine()}"
    if level == "best" and "avx2" not in pe.cpu_features().features:
        return "this CPU has no AVX2"
    shapes = ops()
    plan = pe.compile({op.name: op.graph() for op in shapes})
    build = HERE.parent / "build" / "bench-host"
    run(["cmake", "-S", HERE / "host", "-B", build, "-G", "Ninja", "-DCMAKE_BUILD_TYPE=Release"])
    run(["cmake", "--build", build, "--parallel", "2"])
    cache = (build / "CMakeCache.txt").read_text().splitlines()
    compiler = next(line.partition("=")[2] for line in cache if line.startswith("CMAKE_C_COMPILER:"))
    rows = {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        plan.save(folder / "plan.pedge")
        inputs = b"".join(x.tobytes() for op in shapes for x in random_inputs(plan.entry(op.name)))
        (folder / "inputs").write_bytes(inputs)
        out = folder / "callgrind"
        options = ["--tool=callgrind", "--collect-atstart=no", f"--callgrind-out-file={out}"]
        kernels = run(["valgrind", *options, build / "count", folder / "plan.pedge", folder / "inputs", level])
        for i, (op, line) in enumerate(zip(shapes, kernels.splitlines(), strict=True), 1):
            summary = next(s for s in Path(f"{out}.{i}").read_text().splitlines() if s.startswith("summary:"))
            entry = plan.entry(op.name)
            kernel = line.split()[1]
            rows[op.name] = row(entry.ops[0].kind if kernel == "-" else kernel, int(summary.split()[1]), entry.macs)
    return version(compiler), rows


def arm64(cpu: str) -> tuple[str, dict[str, Row]] | str:
    """Counts of a Linux program on an emulated CPU, inputs zero."""
    build = HERE.parent / "build" / "arm64"
    if not (build / "qemu" / "usr" / "bin" / "qemu-aarch64").exists():
        return "needs QEMU with plugins; try: make -C bench/arm64 ready"
    shapes = ops()
    plan = pe.compile({op.name: op.graph() for op in shapes})
    with tempfile.TemporaryDirectory() as name:
        path = Path(name) / "plan.pedge"
        plan.save(path)
        options = [f"PLAN={path}", f"CPU={cpu}", f"PYTHON={sys.executable}"]
        lines = run(["make", "-s", "-C", HERE / "arm64", "network", *options]).splitlines()
    rows = {}
    first = 0  # line of an entry: its ops, each with a kernel if it has one, and a total
    totals = (i for i, line in enumerate(lines) if line.startswith("total "))
    for op, last in zip(shapes, totals, strict=True):
        kernel = lines[first].partition("[")[0].split()[-1]
        rows[op.name] = row(kernel, int(lines[last].split()[1]), plan.entry(op.name).macs)
        first = last + 1
    return version(str(build / "zcc")), rows


def board(name: str) -> tuple[str, dict[str, Row]]:
    """Counts of a board's firmware, in QEMU."""
    shapes = ops(FLOAT_MACS)
    plan = pe.compile({op.name: op.graph() for op in shapes}, board=name)
    rows = {}
    with pe.connect(name) as connected:
        remote = connected.load(plan)
        for op in shapes:
            profile = remote.profile(random_inputs(plan.entry(op.name)), entry=op.name)
            rows[op.name] = row(profile.ops[0].kind, profile.total, plan.entry(op.name).macs)
    return version(choose_toolchain(load_profile(name).image().isa).programs[0]), rows


SECTIONS: dict[str, Callable[[], tuple[str, dict[str, Row]] | str]] = {
    "x86-64 portable": lambda: x86("portable"),
    "x86-64 avx2": lambda: x86("best"),
    "arm64 cortex-a53": lambda: arm64("cortex-a53"),
    "arm64 cortex-a76": lambda: arm64("cortex-a76"),
    "virt-rv32": lambda: board("virt-rv32"),
    "virt-rv32-v": lambda: board("virt-rv32-v"),
    "mps2-an386": lambda: board("mps2-an386"),
    "mps3-an547": lambda: board("mps3-an547"),
}


def differences(section: str, before: dict[str, Row], now: dict[str, Row]) -> list[str]:
    """What is wrong, a line each: rows that grew, came or went."""
    found = []
    for name in sorted({*before, *now}):
        if name not in now or name not in before:
            where = "counted, but not in counts.json" if name in now else "in counts.json, but not counted"
            found.append(f"{section}: {name}: {where}; try: {COMMAND} --only '{section}'")
            continue
        old, new = before[name], now[name]
        if new["instructions"] > GROWTH * old["instructions"]:
            growth = 100 * (new["instructions"] / old["instructions"] - 1)
            kernels = new["kernel"] if new["kernel"] == old["kernel"] else f"{new['kernel']} (was {old['kernel']})"
            found.append(
                f"{section}: {kernels}: {name}: {new['instructions']:,} instructions, {old['instructions']:,} in "
                f"counts.json (+{growth:.1f} %); if that is meant: {COMMAND} --only '{section}'"
            )
    return found


def to_json(sections: dict[str, Any]) -> str:
    """One row a line, so that a change is seen in a diff."""
    parts = []
    for name in sorted(sections):
        rows = ",\n".join(
            f"        {json.dumps(key)}: {json.dumps(value)}" for key, value in sections[name]["counts"].items()
        )
        head = f'      "compiler": {json.dumps(sections[name]["compiler"])},\n      "counts": {{\n'
        parts.append(f"    {json.dumps(name)}: {{\n{head}{rows}\n      }}\n    }}")
    body = ",\n".join(parts)
    return f'{{\n  "schema": {SCHEMA},\n  "command": {json.dumps(COMMAND)},\n  "sections": {{\n{body}\n  }}\n}}\n'


def main() -> int:
    parser = argparse.ArgumentParser(description="Instructions of each kernel and shape")
    parser.add_argument("--write", action="store_true", help="replace the counts in bench/counts.json")
    parser.add_argument("--only", action="append", choices=SECTIONS, metavar="SECTION", help=", ".join(SECTIONS))
    args = parser.parse_args()
    kept = json.loads(FILE.read_text())["sections"] if FILE.exists() else {}
    failed = []
    for section in args.only or SECTIONS:
        result = SECTIONS[section]()
        if isinstance(result, str):
            print(f"{section}: skipped: {result}")
            continue
        compiler, counts = result
        if args.write:
            kept[section] = {"compiler": compiler, "counts": counts}
            FILE.write_text(to_json(kept), encoding="utf-8")
            print(f"{section}: {len(counts)} rows written; {compiler}")
        elif section not in kept:
            failed.append(f"{section}: not in counts.json; try: {COMMAND} --only '{section}'")
        elif kept[section]["compiler"] != compiler:
            print(f"{section}: not compared: counts.json is of {kept[section]['compiler']}, here is {compiler}")
        else:
            before = kept[section]["counts"]
            wrong = differences(section, before, counts)
            failed += wrong
            fewer = sum(counts[k]["instructions"] * GROWTH < before[k]["instructions"] for k in counts.keys() & before)
            print(f"{section}: {len(counts)} rows, {len(wrong)} wrong, {fewer} with over 2 % fewer; {compiler}")
    print("\n".join(failed), end="\n" if failed else "")
    return bool(failed)


if __name__ == "__main__":
    sys.exit(main())
