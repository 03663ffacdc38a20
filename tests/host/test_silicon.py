"""Firmware of boards that are not emulated, built and as their flashers get it: places, sizes, formats, instructions.

It runs in Unicorn before models of the chips' registers (chip_sim.py). PYEDGE_TEST_ALL_ROWS=1: each compiler, all ops.
"""

from __future__ import annotations

import os
import re
import shutil
import struct
import subprocess
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from elftools.elf.elffile import ELFFile
from firmware.wire import IMAGE, OS, PYEDGE, READ, WRITE

import pyedge as pe
from pyedge.boards import Profile, list_profiles, load_profile
from pyedge.demo import digits_int8
from pyedge.host.flash import FlashReport, flash
from pyedge.host.flashers import write_firmware

from .chip_sim import CHIPS, ESP32C3
from .esp_rom import Chip, Port
from .test_flashers import read_uf2

BOARDS = [p.name for p in list_profiles() if p.images and not p.emulator]
COMPILER = {"esp32-c3": "clang", "pico-2": "gcc", "ch32v307": "gcc", "longan-nano": "clang", "bl618": "gcc"}
ALL = os.environ.get("PYEDGE_TEST_ALL_ROWS")
CASES = [(b, c, o) for b in BOARDS for c in ("clang", "gcc") for o in ("trimmed", "all ops")]
CASES = [(b, c, o) for b, c, o in CASES if (ALL or (c == COMPILER[b] and o == "trimmed"))]
CASES = [(b, c, o) for b, c, o in CASES if o == "trimmed" or b not in ("longan-nano", "ch32v307")]  # they are too small
# Where the first instruction is: where the boot ROM, or the core after reset, goes.
START = {"pico-2": 0x10000000, "ch32v307": 0, "longan-nano": 0x08000000, "bl618": 0xA0000000}
# CSRs that not every core has. The others are of the machine mode's exceptions.
CSRS = {"pico-2": {"mcycle", "mcycleh", "mcountinhibit"}, "longan-nano": {"mcycle", "mcycleh"}, "esp32-c3": set(),
        "ch32v307": {"0xbc0"}, "bl618": {"mcycle", "mcycleh", "0x7c1", "0x7c2"}}  # fmt: skip
EXCEPTIONS = {"mstatus", "mtvec", "mcause", "mepc", "mtval", "mbadaddr", "fcsr"}
MTVEC = {"esp32-c3": 256, "ch32v307": 1024}  # what it takes multiples of, if start.S's entry is not such a one


@pytest.fixture(scope="module")
def plan(tmp_path_factory: pytest.TempPathFactory) -> Iterator[pe.Plan]:
    """A small int8 plan, in the layout of these boards; the cache of builds is a folder of this module's."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        yield pe.compile(digits_int8(), board="esp32-c3")


def built(board: str, compiler: str, ops: str, plan: pe.Plan) -> tuple[Profile, FlashReport]:
    """Built once for the same arguments. A chip without a store has the plan in its firmware."""
    profile, trim = load_profile(board), plan if ops == "trimmed" else None
    return profile, flash(profile, None if profile.store else plan, trim_to=trim, toolchain=compiler, dry_run=True)


def symbols(elf: ELFFile, name: str) -> list[tuple[int, int]]:
    """(address, bytes) of what C calls `name`, a static of a function too: clang says port_init.buf, GCC buf.0."""
    table = elf.get_section_by_name(".symtab")
    return [
        (s["st_value"], s["st_size"]) for s in table.iter_symbols() if re.fullmatch(rf"(\w+\.)?{name}(\.\d+)?", s.name)
    ]


def content(elf: ELFFile, address: int, n: int) -> bytes:
    """Bytes at an address as the program sees it."""
    for s in elf.iter_sections():
        if s["sh_type"] == "SHT_PROGBITS" and s["sh_addr"] <= address and address + n <= s["sh_addr"] + s["sh_size"]:
            return bytes(s.data()[address - s["sh_addr"] :][:n])
    raise AssertionError(f"{address:#x} is in no section")


@pytest.mark.parametrize("board, compiler, ops", CASES)
def test_firmware_lies_where_its_chip_has_memory(board: str, compiler: str, ops: str, plan: pe.Plan) -> None:
    """Code and data below the store, RAM within RAM, start and trap entry where the core looks; as its profile says."""
    profile, report = built(board, compiler, ops, plan)
    ram = next(m for m in profile.memories if m.kind == "ram")
    flash_memory = next(m for m in profile.memories if m.kind == "flash")
    with report.image.open("rb") as file:
        elf = ELFFile(file)
        used = [s for s in elf.iter_segments() if s["p_type"] == "PT_LOAD" and s["p_memsz"]]
        stored = [s for s in used if s["p_filesz"] and s["p_paddr"] >> 20 not in (0x403, 0x3FC)]  # ESP's RAM is loaded
        end = flash_memory.address + flash_memory.size_bytes if profile.store is None else profile.store.address
        for s in stored:
            at = s["p_paddr"] - (0x06000000 if s["p_paddr"] >> 20 == 0x420 else 0)  # ESP's other view of the same flash
            assert flash_memory.address <= at and at + s["p_filesz"] <= end, hex(at)
        pool = symbols(elf, "__pool_start")[0][0]
        assert ram.address < pool < symbols(elf, "__pool_end")[0][0] == ram.address + ram.size_bytes
        assert symbols(elf, "__stack_low")[0][0] == ram.address  # overflowing it leaves RAM
        if board in START:
            assert elf["e_entry"] == START[board] == symbols(elf, "_start")[0][0]
        (entry, _) = symbols(elf, "vector")[0] if board in MTVEC else symbols(elf, "trap")[0]
        assert entry % MTVEC.get(board, 64) == 0
        assert profile.link and [n for _, n in symbols(elf, "buf")] == [profile.link.buf_bytes + 2]
        assert content(elf, symbols(elf, "_start")[0][0], 4)[0] & 0x7F == 0x37  # lui: on where it is linked
        if profile.store:
            kept = profile.store  # the port's port_store has the same
            assert struct.pack("<III", kept.address, kept.sector_bytes, kept.slot_bytes) in report.image.read_bytes()
        else:
            assert bytes(plan.data) in report.image.read_bytes()
        name = profile.name.encode() + b"\0"
        assert any(name in s.data() for s in stored)  # what hello says


@pytest.mark.parametrize("board, compiler, ops", CASES)
def test_firmware_has_instructions_of_its_core_only(board: str, compiler: str, ops: str, plan: pe.Plan) -> None:
    """No atomics and floats where there are none, and no register of the control space that a core lacks."""
    profile, report = built(board, compiler, ops, plan)
    objdump = shutil.which("riscv64-unknown-elf-objdump")
    assert objdump, "comes with gcc-riscv64-unknown-elf"
    text = subprocess.run([objdump, "-d", str(report.image)], capture_output=True, text=True, check=True).stdout
    mnemonics = set(re.findall(r"^ *[0-9a-f]+:\t[0-9a-f ]+\t([\w.]+)", text, re.MULTILINE))
    assert len(mnemonics) > 40
    letters = profile.isa.partition("_")[0][4:]
    assert ("f" in letters) or not {m for m in mnemonics if re.match(r"c?\.?f(?!ence)", m)}
    assert ("a" in letters) or not {m for m in mnemonics if re.match(r"amo|lr\.|sc\.", m)}
    accesses = re.findall(r"\t(csr\w+)\t([\w,]+)", text)  # csrr and csrrw have a register first
    used = {operands.split(",")[name.startswith("csrr")] for name, operands in accesses}
    used |= {"fcsr"} if {"fscsr", "frcsr"} & mnemonics else set()
    assert used - EXCEPTIONS <= CSRS[board] and {"mtvec", "mcause"} <= used


@pytest.mark.parametrize("board, compiler, ops", CASES)
def test_firmware_runs_before_models_of_its_chip(board: str, compiler: str, ops: str, plan: pe.Plan) -> None:
    """From reset: clocks, link, a plan written into flash and there after a reset, the bits of the host, a counter, the
    mark pin high during a run."""
    profile, report = built(board, compiler, ops, plan)
    chip = CHIPS[board](report.image)
    hello = chip.ask(READ, PYEDGE, 0)
    assert hello is not None and profile.link and profile.clock_hz == hello["hz"]
    assert (hello["board"], hello["buf"], bool(hello["slots"])) == (board, profile.link.buf_bytes, bool(profile.store))
    if profile.store:
        for _ in range(2):  # into both slots
            assert chip.upload(IMAGE, bytes(plan.data)) == {"off": len(plan.data), "match": True}
    assert chip.ask(WRITE, OS, 5) == {} and chip.resets == 1
    again, bound = chip.ask(READ, PYEDGE, 0), chip.ask(WRITE, PYEDGE, 8)
    assert again is not None and again["boot"] == hello["boot"] + 1
    assert bound is not None and (bound["where"], bound["len"]) == ("slot", len(plan.data))
    session = pe.Session(plan)
    x = np.random.default_rng(2).integers(-128, 128, session.inputs[0].shape).astype(np.int8)
    chip.put(x.tobytes())
    chip.edges.clear()
    answer = chip.ask(WRITE, PYEDGE, 4, {"e": 0, "id": 1, "prof": True})
    assert answer is not None and answer["count"] > 0
    assert chip.edges == [(profile.mark, True), (profile.mark, False)]
    if ops == "all ops":  # with the text protocol, too
        chip.edges.clear()
        chip.sendall(b"\0mode energy%timestamp%")
        assert b"m-timestamp-mode-energy" in chip.buffer
        assert chip.edges == [(profile.mark, True), (profile.mark, False), (profile.mark, True)]
        chip.buffer = b""
    expected = session(x)
    assert chip.get(expected.nbytes) == expected.tobytes()


def test_an_esp32_c3_answers_on_the_line_that_spoke(plan: pe.Plan) -> None:
    """UART0, then its USB port, then UART0 again."""
    _, report = built("esp32-c3", COMPILER["esp32-c3"], "trimmed", plan)
    chip = ESP32C3(report.image)
    for chip.usb in (False, True, False):  # the model checks where answers go
        assert chip.ask(READ, PYEDGE, 0)
    chip.usb = True
    assert chip.ask(WRITE, OS, 5) == {} and chip.resets == 1


def test_an_esp32_c3_finds_its_flash_at_the_offset_of_the_address(plan: pe.Plan) -> None:
    """The ROM sees the RAM's segments alone; what it does not see lies in the flash where port_boot() maps it."""
    profile, report = built("esp32-c3", COMPILER["esp32-c3"], "trimmed", plan)
    chip = Chip()
    port = Port(chip, wired=False)
    try:
        commands = write_firmware(profile, report.image, port.url)
    finally:
        port.close()
    assert [c[3] for c in commands[:1]] == ["elf2image"] and commands[1][-3:-1] == ("write-flash", "0x0")
    assert [len(c) for c in report.commands] == [len(c) for c in commands] and "PORT" in report.commands[1]
    with report.image.open("rb") as file:
        elf = ELFFile(file)
        magic, segments, _, size, entry = struct.unpack_from("<BBBBI", chip.flash)
        iram = elf.get_section_by_name(".iram")
        assert (magic, segments, size >> 4, entry) == (0xE9, 1, 2, elf["e_entry"])  # 2: 4 MB
        assert struct.unpack_from("<II", chip.flash, 24) == (iram["sh_addr"], iram["sh_size"])
        assert iram["sh_addr"] <= entry < iram["sh_addr"] + iram["sh_size"]
        for name, view in ((".text", 0x42000000), (".rodata", 0x3C000000)):
            section = elf.get_section_by_name(name)
            at = section["sh_addr"] - view
            assert chip.flash[at : at + section["sh_size"]] == section.data()
    said = subprocess.run([commands[0][0], "image-info", commands[1][-1]], capture_output=True, text=True, check=True)
    assert "Detected image type: ESP32-C3" in said.stdout and "(valid)" in said.stdout and "invalid" not in said.stdout


def test_the_boot_rom_of_an_rp2350_finds_a_program_for_a_riscv_core(plan: pe.Plan) -> None:
    """In the UF2 file: a block loop with an IMAGE_DEF in the first 4 KiB (RP2350 datasheet, 5.9)."""
    _, report = built("pico-2", COMPILER["pico-2"], "trimmed", plan)
    (command,) = report.commands
    memory = read_uf2(Path(next(word for word in command if word.endswith(".uf2"))).read_bytes(), 0xE48BFF5A)
    start = bytes(memory[0x10000000 + i] for i in range(4096))
    at = start.index(struct.pack("<I", 0xFFFFDED3))
    assert at % 4 == 0 and start.count(struct.pack("<I", 0xFFFFDED3)) == 1
    items: dict[int, bytes] = {}
    place = at + 4
    while start[place] != 0xFF:  # PICOBIN_BLOCK_ITEM_2BS_LAST
        words = start[place + 1]
        items[start[place]] = start[place : place + 4 * words]
        place += 4 * words
    last, following, end = struct.unpack_from("<III", start, place)
    assert last >> 8 == (place - at - 4) // 4 and (following, end) == (0, 0xAB123579)
    assert struct.unpack("<H", items[0x42][2:]) == (0x1101,)  # executable, RISC-V, RP2350
    with report.image.open("rb") as file:
        elf = ELFFile(file)
        stack = symbols(elf, "__stack_top")[0][0]
        assert struct.unpack("<II", items[0x44][4:]) == (elf["e_entry"], stack)


@pytest.mark.parametrize("board, address", [("ch32v307", 0x08000000), ("longan-nano", 0x08000000)])
def test_a_raw_image_goes_where_the_flasher_counts_from(board: str, address: int, plan: pe.Plan) -> None:
    """Whole, its first bytes those at the core's start."""
    _, report = built(board, COMPILER[board], "trimmed", plan)
    (command,) = report.commands
    assert f"{address:#x}" in command
    raw = Path(command[-1]).read_bytes()
    with report.image.open("rb") as file:
        elf = ELFFile(file)
        assert raw.startswith(content(elf, START[board], 64))
        constants = elf.get_section_by_name(".rodata")
        assert raw[constants["sh_addr"] - START[board] :].startswith(constants.data())


def test_a_plan_too_large_for_the_flash_is_said_in_bytes(plan: pe.Plan) -> None:
    """The linker's words, as one line with what to do."""
    b = pe.GraphBuilder()
    weights = np.zeros((300, 1000), np.float32)
    b.output("y", b.linear(b.input("x", (1, 1000), "float32"), weights, np.zeros(300, np.float32)))
    large = pe.compile(b.build(), board="esp32-c3")
    with pytest.raises(pe.ToolError, match=r" \d+ bytes larger than the FLASH of this board.*--trim-to") as e:
        flash("ch32v307", large, trim_to=plan, toolchain="gcc", dry_run=True)
    assert "\n" not in str(e.value)
