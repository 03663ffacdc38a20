"""Instructions of int8 networks on emulated arm64 CPUs, pyedge against LiteRT, as a Markdown table.

    litert.py WHEEL MODEL... [--cpu cortex-a76 cortex-a53] [--work build/arm64]

Both engines are installed wheels, called from Python with input and output on both sides, one thread; LiteRT is
ai_edge_litert with its default delegate, XNNPACK. "run alone" is what is left without copies of input and output.
The counts are those of icount.c, from one process: the same from run to run up to what CPython does by itself. Makefile
makes the emulator and the plugin, and calls this.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parents[1] / "scripts"))
from try_wheel import Place, prepare  # noqa: E402

# What Linux says in /proc/cpuinfo: XNNPACK chooses kernels by it, and QEMU 7.2 shows that of this computer. -L finds it
# in the root folder. part, variant, revision (as in the CPU's MIDR) and features.
BASE = "fp asimd evtstrm aes pmull sha1 sha2 crc32 cpuid"
CPUS = {
    "cortex-a53": (0xD03, 0, 4, BASE),
    "cortex-a72": (0xD08, 0, 3, BASE),
    "cortex-a76": (0xD0B, 4, 1, f"{BASE} atomics fphp asimdhp asimdrdm lrcpc dcpop asimddp"),
}
CPUINFO = """\
processor\t: {number}
BogoMIPS\t: 108.00
Features\t: {features}
CPU implementer\t: 0x41
CPU architecture: 8
CPU variant\t: {variant:#x}
CPU part\t: {part:#x}
CPU revision\t: {revision}

"""

# Runs inside: prints [pyedge whole, pyedge run, LiteRT whole, LiteRT run] for each model.
PROGRAM = """
import json, mmap, os, struct, sys
import numpy as np
import pyedge as pe
from ai_edge_litert.interpreter import Interpreter

RUNS = 20
with open(os.environ["ICOUNT"], "rb") as file:
    memory = mmap.mmap(file.fileno(), 8, prot=mmap.PROT_READ)

def count(call):
    for _ in range(3):
        call()
    begin = struct.unpack("<Q", memory)[0]
    for _ in range(RUNS):
        call()
    return (struct.unpack("<Q", memory)[0] - begin) // RUNS

print(pe.cpu_features(), file=sys.stderr)
for path in sys.argv[1:]:
    session = pe.Session(pe.compile(pe.load(path)))
    x = np.random.default_rng(0).integers(-128, 128, session.inputs[0].shape, np.int8)
    other = Interpreter(model_path=path, num_threads=1)
    other.allocate_tensors()
    x_index, y_index = other.get_input_details()[0]["index"], other.get_output_details()[0]["index"]
    def whole():
        other.set_tensor(x_index, x)
        other.invoke()
        return other.get_tensor(y_index)
    session(x)
    row = [count(lambda: session(x)), count(lambda: session._core.run(0)), count(whole), count(other.invoke)]
    print(json.dumps(row), flush=True)
"""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("wheel", type=Path, help="of pyedge, for aarch64 and CPython 3.11 or 3.13")
    parser.add_argument("models", nargs="+", type=Path, metavar="MODEL", help="int8 .tflite files")
    parser.add_argument("--cpu", nargs="+", choices=CPUS, default=["cortex-a76", "cortex-a53"])
    parser.add_argument("--work", type=Path, default=HERE.parents[1] / "build" / "arm64")
    given = parser.parse_args()
    work = given.work.resolve()
    place = prepare(given.wheel, work)
    peer = install_litert(place, work)
    print("| CPU | network | pyedge | LiteRT | ratio | pyedge, run alone | LiteRT | ratio |")
    print("|---|---|---|---|---|---|---|---|")
    for cpu in given.cpu:
        for model, row in zip(given.models, counts(place, peer, work, cpu, given.models), strict=True):
            cells = [f"{ours:,} | {theirs:,} | {ours / theirs:.3f}" for ours, theirs in (row[::2], row[1::2])]
            print(f"| {cpu} | {model.stem} | {' | '.join(cells)} |", flush=True)
    return 0


def install_litert(place: Place, work: Path) -> Path:
    """LiteRT's wheel for the Python of a root folder; numpy is Debian's, and no more is needed to run a model."""
    version = place.python.removeprefix("python")
    site = work / f"litert-{version}"
    if not site.exists():
        platforms = [f"--platform=manylinux_2_{glibc}_aarch64" for glibc in (17, 27, 28)]
        pip = [sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--only-binary=:all:", "--target", str(site)]
        subprocess.run([*pip, *platforms, f"--python-version={version}", "ai-edge-litert"], check=True)
    return site


def counts(place: Place, peer: Path, work: Path, cpu: str, models: list[Path]) -> list[list[int]]:
    root = place.root
    part, variant, revision, features = CPUS[cpu]
    (root / "proc").mkdir(exist_ok=True)
    (root / "proc" / "cpuinfo").write_text(
        "".join(
            CPUINFO.format(number=i, features=features, part=part, variant=variant, revision=revision)
            for i in range(os.cpu_count() or 1)
        )
    )
    program = [work / "qemu/usr/bin/qemu-aarch64", "-L", root, "-cpu", cpu]
    plugin = ["-plugin", f"{work}/icount.so,count={work}/count"]
    environment = {
        "ICOUNT": f"{work}/count",
        "HOME": str(root / "root"),
        "OPENBLAS_NUM_THREADS": "1",  # another thread would be counted as well
        "PATH": os.environ["PATH"],
        "PYTHONDONTWRITEBYTECODE": "1",
        "PYTHONHASHSEED": "0",
        "PYTHONPATH": f"{place.site}:{peer}:{root}/usr/lib/python3/dist-packages",
    }
    command = [*program, *plugin, root / "usr" / "bin" / place.python, "-c", PROGRAM, *(m.resolve() for m in models)]
    done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, cwd="/", text=True, check=True)
    return [json.loads(line) for line in done.stdout.splitlines() if line.startswith("[")]


if __name__ == "__main__":
    sys.exit(main())
