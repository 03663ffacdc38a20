"""Runs tests of the kernels with an installed wheel on emulated CPUs, each at the level of kernels that it must choose.

    emulated_tests.py WHEEL [--work build/wheels] [--cpu CPU ...]

Outputs recorded elsewhere (tests/golden) are computed on every CPU. Layer kernels are compared with the portable ones
on one CPU: the tests go through the levels below its own as well. Those of a higher level run on one more, and those of
float16, for which Cortex-A53 and FEAT_FHM have loops of their own, on these as well. An autoencoder learns on two CPUs
of arm64 and one of riscv64; with PYEDGE_TEST_ALL_ROWS=1 ResNet8 and DS-CNN too. try_wheel.py says what is needed.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from try_wheel import ROOT, Place, install_pure, prepare, run

PYTEST = ("iniconfig", "packaging", "pluggy", "pytest")
RECORDED = ("tests/plan/test_litert_ops.py", "tests/test_golden_bits.py")
LAYERS = ("tests/csrc/test_layers.py",)
FLOAT16 = ("tests/csrc/test_layers_f16.py",)
LEARNED = "tests/tune/test_learned_bits.py::test_this_cpu_learns_what_is_recorded"
LEARN = (
    (LEARNED,) if os.environ.get("PYEDGE_TEST_ALL_ROWS") else tuple(f"{LEARNED}[autoencoder-fp{n}-1]" for n in (16, 32))
)
LINEAR_F16 = (f"{FLOAT16[0]}::test_linear_has_the_portable_bits",)
I8MM = tuple(f"{LAYERS[0]}::test_{op}_has_the_portable_bits" for op in ("conv2d_s8", "linear_s8"))

# In one process, because it takes a second to begin.
PROGRAM = """
import sys
import pyedge, pytest
level, *arguments = sys.argv[1:]
found = pyedge.cpu_features()
print(found, flush=True)
sys.exit(pytest.main(arguments) if found.isa == level else f"not the level {level}")
"""


@dataclass(frozen=True)
class Cpu:
    """name: QEMU's; level: what pe.cpu_features().isa must be."""

    name: str
    level: str
    tests: tuple[str, ...]


CPUS = {
    "aarch64": (
        Cpu("cortex-a53", "neon", RECORDED + LINEAR_F16 + LEARN),
        Cpu("cortex-a72", "neon", RECORDED),
        Cpu("cortex-a76", "dotprod", RECORDED + LAYERS + FLOAT16 + LEARN),
        # QEMU's way to sign pointers: that of Arm takes three times as long.
        Cpu("max,pauth-impdef=on", "i8mm", RECORDED + I8MM + LINEAR_F16),
    ),
    "riscv64": (
        Cpu("rv64,v=false", "portable", RECORDED),
        Cpu("rv64,v=true,vlen=128", "rvv", RECORDED + LAYERS + LEARN),
        Cpu("rv64,v=true,vlen=512", "rvv", RECORDED),
        *(Cpu(f"rv64,v=true,zfh=true,zvfh=true,vlen={vlen}", "zvfh", RECORDED) for vlen in (128, 256, 512)),
    ),
}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("wheel", type=Path)
    parser.add_argument("--work", type=Path, default=ROOT / "build" / "wheels")
    parser.add_argument("--cpu", nargs="+")
    given = parser.parse_args()
    place = prepare(given.wheel, given.work.resolve())
    if place.arch not in CPUS:
        sys.exit(f"{given.wheel.name}: no list of CPUs of {place.arch}; there is one of {', '.join(CPUS)}")
    known = {cpu.name: cpu for cpu in CPUS[place.arch]}
    if unknown := set(given.cpu or ()) - set(known):
        sys.exit(f"{place.arch} has no {', '.join(sorted(unknown))} here; there are {', '.join(known)}")
    if not (place.site / "pytest").exists():
        install_pure(PYTEST, place.site)
    # The longest first, one for each core of this computer.
    asked = sorted((known[name] for name in given.cpu or known), key=lambda cpu: -len(cpu.tests))
    failed = []
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for cpu, (status, said) in zip(asked, pool.map(lambda cpu: run_tests(place, cpu), asked), strict=True):
            print(f"== {place.arch} {cpu.name}\n{said}", flush=True)
            if status:
                failed.append(cpu.name)
    if failed:
        print(f"failed on {', '.join(failed)}")
    return int(bool(failed))


def run_tests(place: Place, cpu: Cpu) -> tuple[int, str]:
    """Exit status and what was said."""
    tests = [str(ROOT / file) for file in cpu.tests]
    options = ["-q", "-x", "-p", "no:cacheprovider", f"--rootdir={ROOT}"]
    with tempfile.TemporaryFile("w+") as said:
        status = run(place, cpu.name, ["-c", PROGRAM, cpu.level, *options, *tests], said)
        said.seek(0)
        return status, said.read()


if __name__ == "__main__":
    sys.exit(main())
