"""The parts of firmware/core/ by themselves, under ASan and UBSan."""

from __future__ import annotations

import subprocess
from pathlib import Path

import cbor2
import pytest

from .conftest import FIRMWARE, ROOT, need

SOURCES = {
    "frame": ["firmware/core/frame.c"],
    "cbor": ["firmware/core/cbor.c"],
    "reservoir": ["firmware/core/reservoir.c", "csrc/runtime/crc32.c"],
    "store": ["firmware/core/store.c", "firmware/core/sha256.c", "csrc/runtime/crc32.c"],
}


SANITIZE = ("-fsanitize=address,undefined", "-fno-sanitize-recover=all")


def run_unit(name: str, tmp_path: Path) -> bytes:
    """Builds and runs tests/firmware/<name>_test.c; what it prints."""
    need("cc")
    program = tmp_path / name
    flags = ["-std=c11", "-O1", "-g", "-Wall", "-Wextra", "-Werror", *SANITIZE]
    include = [f"-I{ROOT / folder}" for folder in ("csrc/include", "csrc", "firmware/core", "tests/firmware")]
    files = [f"tests/firmware/{name}_test.c", *SOURCES[name]]
    subprocess.run(["cc", *flags, *include, *(str(ROOT / file) for file in files), "-o", str(program)], check=True)
    return subprocess.run([program], check=True, stdout=subprocess.PIPE).stdout


def test_frames_come_back_and_damaged_ones_do_no_harm(tmp_path: Path) -> None:
    """Each length comes back; flipped bits, lost bytes, cuts and noise are dropped and the next frame is received."""
    run_unit("frame", tmp_path)


def test_cbor_is_what_cbor2_reads(tmp_path: Path) -> None:
    """The writer's map reads back in another implementation; the C test itself checks the reader and small buffers."""
    assert cbor2.loads(run_unit("cbor", tmp_path)) == {
        "numbers": [0, 23, 24, 255, 256, 65535, 65536, 2**32 - 1, 2**32, 2**64 - 1, -1, -500, -(2**31)],
        "yes": True,
        "data": b"\7" * 300,
    }


def test_a_power_cut_at_any_flash_operation_leaves_a_whole_plan(tmp_path: Path) -> None:
    """Cuts before, within and with noise in each operation of 40 updates: old or new plan; the next update works.

    And of 40 times that states are kept: the old or the new ones, of the same plan.
    """
    out = run_unit("store", tmp_path).decode()
    assert int(out.split()[0]) > 2000 and out.endswith("0 lost both\n")


def test_a_power_cut_at_any_flash_operation_leaves_the_samples_kept(tmp_path: Path) -> None:
    """Cuts in each operation while 60 samples come, by six seeds: all that were kept, with or without the newest."""
    assert int(run_unit("reservoir", tmp_path).split()[0]) > 1000


@pytest.mark.parametrize("folder", sorted((FIRMWARE / "port").glob("*/")), ids=lambda p: p.name)
def test_a_port_is_under_300_lines(folder: Path) -> None:
    """Linker script and start-up included; so is what ports share, a folder of its own."""
    assert sum(len(p.read_text().splitlines()) for p in folder.iterdir()) < 300
