"""The images of each compiler on each board: the bits of the host, the memory they take, and their resets."""

from __future__ import annotations

import binascii
import struct
import subprocess
from pathlib import Path

import numpy as np
import pytest

import pyedge as pe

from .conftest import COMPILERS, FIRMWARE, Build, need
from .wire import IMAGE, OS, PYEDGE, READ, WRITE, Board, erased_flash, pack, sifive_e, store_elf, virt

CPUS = {"rv32imac": "sifive-e31", "rv32imafc": "sifive-e34"}


@pytest.fixture(scope="session")
def plans(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """An int8 and a float plan that are small enough for every board, made here: no data needed."""
    rng = np.random.default_rng(5)
    b = pe.GraphBuilder()
    h = b.input("x", (1, 8, 8, 3), "float32")
    h = b.conv2d(h, rng.normal(0, 0.3, (4, 3, 3, 3)).astype(np.float32), np.zeros(4, np.float32), stride=2,
                 padding="same", activation="relu")  # fmt: skip
    b.output("y", b.softmax(b.linear(h, rng.normal(0, 0.3, (5, 64)).astype(np.float32), np.zeros(5, np.float32))))
    graph = b.build()
    data = {"x": rng.normal(size=(16, 8, 8, 3)).astype(np.float32)}
    folder = tmp_path_factory.mktemp("plans")
    out = {}
    for name, g in (("float", graph), ("int8", pe.quantize(graph, data))):
        out[name] = folder / f"{name}.pedge"
        pe.compile(g).save(out[name])
    return out


def check_bits(board: Board, path: Path) -> dict[str, int]:
    """Runs the bound plan on two inputs; outputs must be those of a session. The memory it took."""
    session = pe.Session(pe.Plan.load(path))
    rng = np.random.default_rng(3)
    x = session.inputs[0]
    counts = set()
    for run_id in (1, 2):
        data = rng.integers(-128, 128, x.shape) if x.dtype == "int8" else rng.normal(size=x.shape)
        expected = session(data.astype(x.dtype))
        board.put(data.astype(x.dtype).tobytes())
        answer = board.ask(WRITE, PYEDGE, 4, {"e": 0, "id": run_id, "prof": True}, timeout_s=60.0)
        actual = board.get(expected.nbytes)
        assert expected.tobytes() == actual
        assert answer is not None and answer["crc"] == binascii.crc32(actual) and answer["id"] == run_id
        profile = board.ask(READ, PYEDGE, 6, {"off": 0})
        assert profile is not None and 0 < sum(profile["ops"]) <= answer["count"]
        counts.add(answer["count"])
    memory = board.ask(READ, PYEDGE, 7)
    assert memory is not None
    return memory


@pytest.mark.parametrize("march", CPUS)
@pytest.mark.parametrize("compiler", COMPILERS)
def test_virt_rv32_has_the_bits_of_the_host(build: Build, plans: dict[str, Path], compiler: str, march: str) -> None:
    """Both plans over the serial line of QEMU's virt, by each compiler, with and without F."""
    need("qemu-system-riscv32")
    image = build("virt-rv32", compiler, PYEDGE_MARCH=march)
    with Board(virt(image, cpu=CPUS[march])) as board:
        for path in plans.values():
            assert board.upload(PYEDGE, path.read_bytes()) == {"off": path.stat().st_size, "match": True}
            check_bits(board, path)


@pytest.mark.parametrize("compiler", COMPILERS)
def test_sifive_e_executes_a_plan_from_flash(
    build: Build, plans: dict[str, Path], tmp_path: Path, compiler: str
) -> None:
    """16 KiB of RAM: the plan stays in flash, and the firmware's own RAM is below 1,950 B with the stack it used."""
    need("qemu-system-riscv32")
    image = build("sifive-e", compiler)
    for path in plans.values():
        (tmp_path / "store").write_bytes(store_elf(path.read_bytes()))
        with Board(sifive_e(image, tmp_path / "store")) as board:
            bound = board.ask(WRITE, PYEDGE, 8)
            assert bound is not None and bound["where"] == "slot" and bound["len"] == path.stat().st_size
            memory = check_bits(board, path)
            assert memory["plan"] == 0 and memory["static"] + memory["stack"] < 1950, memory
            refused = board.ask(WRITE, IMAGE, 1, {"off": 0, "data": b"1", "len": 1, "sha": bytes(32)})
            assert refused is not None and refused["rc"] == 8


def test_a_model_within_16_kib(build: Build, data_dir: Path, tmp_path: Path) -> None:
    """The anomaly detector runs on sifive-e; arena, statics and stack are below TFLM's arena alone, 2,684 B."""
    need("qemu-system-riscv32")
    path = tmp_path / "ad.pedge"
    pe.compile(pe.load(data_dir / "models/mlperf_ad_fcae_int8.tflite")).save(path)
    (tmp_path / "store").write_bytes(store_elf(path.read_bytes()))
    with Board(sifive_e(build("sifive-e", "gcc"), tmp_path / "store")) as board:
        assert board.ask(WRITE, PYEDGE, 8) is not None
        memory = check_bits(board, path)
    assert memory["arena"] + memory["static"] + memory["stack"] < 2684, memory


@pytest.mark.parametrize("compiler", COMPILERS)
def test_a_firmware_trimmed_to_resnet8_is_below_48_kb(build: Build, data_dir: Path, compiler: str) -> None:
    """Code and read-only data, link included, model not: what is loaded of the ELF file."""
    plan = pe.compile(pe.load(data_dir / "models/mlperf_ic_resnet8_int8.tflite"))
    image = build("virt-rv32", compiler, PYEDGE_TRIM=";".join(sorted({op.kind for op in plan.ops})))
    elf = image.read_bytes()
    phoff, _shoff, _flags, _ehsize, phentsize, phnum = struct.unpack_from("<IIIHHH", elf, 28)
    segments = [struct.unpack_from("<8I", elf, phoff + i * phentsize) for i in range(phnum)]
    assert sum(filesz for type_, _off, _va, _pa, filesz, *_ in segments if type_ == 1) < 48_000


def test_a_plan_in_nor_flash_survives_a_reset(build: Build, plans: dict[str, Path], tmp_path: Path) -> None:
    """virt-rv32: uploads into both slots, a reset by command and one by killing QEMU; the plan is executed in place."""
    need("qemu-system-riscv32")
    command = virt(build("virt-rv32", "gcc"), erased_flash(tmp_path / "nor"), CPUS["rv32imac"])
    with Board(command) as board:
        before = board.ask(READ, PYEDGE, 0)
        for path in plans.values():
            assert board.upload(IMAGE, path.read_bytes()) == {"off": path.stat().st_size, "match": True}
        assert board.ask(WRITE, OS, 5) == {}
        after = board.ask(READ, PYEDGE, 0)
        assert before is not None and after is not None and before["boot"] != after["boot"]
        assert board.ask(WRITE, PYEDGE, 8) is not None
        check_bits(board, plans["int8"])
    with Board(command) as board:
        state = board.ask(READ, IMAGE, 0)
        assert state is not None and [image["active"] for image in state["images"]] == [False, True]
        assert board.ask(WRITE, PYEDGE, 8) is not None
        check_bits(board, plans["int8"])


def test_sifive_e_starts_anew_on_reset(build: Build) -> None:
    """The number of boots changes, and the board answers."""
    need("qemu-system-riscv32")
    with Board(sifive_e(build("sifive-e", "gcc"))) as board:
        first = board.ask(READ, PYEDGE, 0)
        assert board.ask(WRITE, OS, 5) == {}
        second = board.ask(READ, PYEDGE, 0)
        assert first is not None and second is not None and second["boot"] == first["boot"] + 1


@pytest.mark.parametrize("compiler", COMPILERS)
def test_the_same_sources_give_the_same_image(build: Build, compiler: str, tmp_path: Path) -> None:
    """Byte for byte, from another folder and built elsewhere."""
    first = build("sifive-e", compiler)
    for folder in ("csrc", "firmware"):
        subprocess.run(["cp", "-r", str(FIRMWARE.parent / folder), str(tmp_path)], check=True)
    second = build("sifive-e", compiler, source=tmp_path / "firmware")
    assert first.read_bytes() == second.read_bytes()


def test_a_linked_plan_runs_without_a_store(build: Build, plans: dict[str, Path]) -> None:
    """PYEDGE_PLAN: the plan is in the image, and PYEDGE_TRIM keeps what it needs."""
    need("qemu-system-riscv32")
    kinds = {op.kind for op in pe.Plan.load(plans["int8"]).ops}
    image = build("sifive-e", "gcc", PYEDGE_PLAN=str(plans["int8"]), PYEDGE_TRIM=";".join(sorted(kinds)))
    with Board(sifive_e(image)) as board:
        hello, bound = board.ask(READ, PYEDGE, 0), board.ask(WRITE, PYEDGE, 8)
        assert hello is not None and hello["ops"] == len(kinds)
        assert bound is not None and bound["where"] == "slot"
        check_bits(board, plans["int8"])
        refused = board.upload(PYEDGE, plans["float"].read_bytes())
        assert refused is not None and refused["rc"] == 9 and refused["st"] == -10, refused


@pytest.mark.parametrize("compiler", COMPILERS)
def test_the_example_builds_and_runs(build: Build, plans: dict[str, Path], compiler: str) -> None:
    """firmware/example: csrc/ and a plan as a C array, without link, store or host tool."""
    need("qemu-system-riscv32")
    image = build("example", compiler, source=FIRMWARE / "example", PLAN=str(plans["int8"]))
    command = ["qemu-system-riscv32", "-M", "virt", "-m", "32", "-nodefaults", "-display", "none", "-monitor", "none"]
    out = subprocess.run([*command, "-bios", str(image), "-serial", "stdio"], stdin=subprocess.DEVNULL,
                         stdout=subprocess.PIPE, timeout=30, check=True).stdout  # fmt: skip
    session = pe.Session(pe.Plan.load(plans["int8"]))
    x = session.inputs[0]
    ramp = np.resize(np.arange(256), np.prod(x.shape)).astype(np.uint8).view(np.int8).reshape(x.shape)
    assert out.decode().strip() == session(ramp).tobytes().hex()


def test_a_stack_overflow_is_a_trap_that_resets_the_board(build: Build, tmp_path: Path) -> None:
    """sifive_e with a stack of 256 bytes: the trap is said as text, memory behind the stack is not touched."""
    need("qemu-system-riscv32")
    for folder in ("csrc", "firmware"):
        subprocess.run(["cp", "-r", str(FIRMWARE.parent / folder), str(tmp_path)], check=True)
    script = tmp_path / "firmware/port/sifive-e/link.ld"
    assert "+= 2048" in script.read_text()
    script.write_text(script.read_text().replace("+= 2048", "+= 256"))
    with Board(sifive_e(build("sifive-e", "gcc", source=tmp_path / "firmware"))) as board:
        for _ in range(2):
            board.sock.sendall(b"\0" + pack(READ, PYEDGE, 2, b"\xbf"))
            said = b""
            while not said.endswith(b"\n\0"):
                said += board.sock.recv(4096)
            assert b"trap: mcause 00000007" in said and b"mtval 7ffff" in said  # a store below the start of RAM
