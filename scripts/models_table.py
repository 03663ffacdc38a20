"""Writes docs/models.md: which real models fit the emulated boards, and what they take there.

    python scripts/models_table.py            # to stdout
    python scripts/models_table.py --write    # docs/models.md

The models are those of the folder of test data, PYEDGE_TEST_DATA or ../shared/data. Needs clang-19 and QEMU.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pyedge as pe
from pyedge.boards import load_profile
from pyedge.host import build

ROOT = Path(__file__).resolve().parent.parent
DATA = Path(os.environ.get("PYEDGE_TEST_DATA") or ROOT.parent / "shared" / "data")
BOARDS = ("virt-rv32", "sifive-e")
# Sizes that a model leaves open.
SHAPES = {"silero_vad_16k_op15": {"input": (1, 576), "state": (2, 1, 128)}}
TEXT = """# Models on emulated boards

Written by `scripts/models_table.py`. The plan is the `.pedge` file, which lies in flash and is executed there. The
arena is all RAM that a run needs (states, activations, scratch), beside the firmware's statics and stack. MACs are
those of convolutions and fully connected layers. Firmware: code and read-only data of an image for `virt-rv32`
(rv32imac, clang 19) that has the ops of this model alone, link included.

A board holds a model if the arena fits into its pool of {pools}, and the plan into a slot of
4,194,304 bytes. For each model that fits, `tests/host/test_every_model.py` compares all outputs of `virt-rv32` with
those of this computer, byte for byte.

| model | MACs | plan | arena | of it state | firmware | {boards} |
|---|---:|---:|---:|---:|---:|{columns}|
"""


def model_files() -> list[Path]:
    """All model files of the test data, in the folders below as well; none where the data are absent."""
    return sorted(p for p in (DATA / "models").rglob("*") if p.suffix in (".tflite", ".onnx"))


def name_of(path: Path) -> str:
    return path.relative_to(DATA / "models").as_posix()


def compiled(path: Path, board: str) -> pe.Plan:
    """The plan of a model file for a board, sizes that it leaves open fixed."""
    options = {"shapes": SHAPES[path.stem]} if path.stem in SHAPES else {}
    graph = pe.load(path, **options)
    assert isinstance(graph, pe.Graph)
    return pe.compile(graph, board=board)


class Firmware:
    """Builds images for one op set after another in one folder: what does not depend on the set is compiled once."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.sizes: dict[str, int] = {}  # by op set

    def bytes(self, plan: pe.Plan) -> int:
        """Code and read-only data of an image with the ops of a plan alone."""
        ops = ";".join(sorted({op.kind for op in plan.ops}))
        if ops not in self.sizes:
            source = ROOT / "firmware"
            toolchain = f"-DCMAKE_TOOLCHAIN_FILE={source / 'cmake' / 'clang-rv32.cmake'}"
            options = ["-DPYEDGE_BOARD=virt-rv32", f"-DPYEDGE_TRIM={ops}", "-DPYEDGE_OUTPUT=image.elf"]
            configure = ["-S", source, "-B", self.folder, "-G", "Ninja", toolchain, *options]
            for command in (configure, ["--build", self.folder]):
                subprocess.run(["cmake", *command], check=True, stdout=subprocess.DEVNULL)
            size = build.image_size(self.folder / "image.elf")
            self.sizes[ops] = size.code + size.rodata
        return self.sizes[ops]


def row(path: Path, pools: dict[str, int], firmware: Firmware) -> str:
    """One line of the table; the numbers are those of the plan for the first board that takes it."""
    plans: dict[str, pe.Plan] = {}
    for board in (*pools, "host"):
        try:
            plans[board] = compiled(path, board)
        except pe.PlanError:
            continue  # it does not fit
        except pe.PyedgeError as e:
            text = str(e).removeprefix(f"{path.name}: ").replace("|", "/")
            text = text if len(text) <= 100 else f"{text[:100]} ..."
            return f"| `{name_of(path)}` | - | - | - | - | - | {text} |{' |' * (len(pools) - 1)}"
    plan = next(iter(plans.values()))
    cells = [plan.macs, plan.flash_bytes, plan.arena_bytes, plan.state_bytes, firmware.bytes(plan)]
    fits = []
    for board, pool in pools.items():
        store = load_profile(board).store
        assert store is not None
        p = plans.get(board)
        fits.append("yes" if p and p.arena_bytes <= pool and p.flash_bytes <= store.slot_bytes else "no")
    return f"| `{name_of(path)}` | " + " | ".join([*(f"{n:,}" for n in cells), *fits]) + " |"


def document() -> str:
    pools = {}
    for board in BOARDS:
        with pe.connect(board) as connected:
            pools[board] = connected.hello.pool
    text = TEXT.format(
        pools=" and ".join(f"{pool:,} bytes (`{board}`)" for board, pool in pools.items()),
        boards=" | ".join(f"`{board}`" for board in BOARDS),
        columns="|".join("---" for _ in BOARDS),
    )
    with tempfile.TemporaryDirectory() as work:
        firmware = Firmware(Path(work))
        return text + "".join(row(path, pools, firmware) + "\n" for path in model_files())


def main() -> int:
    if sys.argv[1:] not in ([], ["--write"]):
        raise SystemExit(__doc__)
    if not model_files():
        raise SystemExit(f"no models in {DATA / 'models'}; set PYEDGE_TEST_DATA")
    text = document()
    if sys.argv[1:]:
        (ROOT / "docs" / "models.md").write_text(text, encoding="utf-8")
    else:
        print(text, end="")
    return 0


if __name__ == "__main__":
    sys.exit(main())
