"""Chips with a RISC-V core as far as their firmware needs them: Unicorn runs it, models of the registers answer.

Written from the same manuals as the ports: a manual that is read wrongly is not found, wrong code is. Nothing is timed.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from pathlib import Path

from elftools.elf.elffile import ELFFile
from firmware.wire import Board
from unicorn import UC_ARCH_RISCV, UC_HOOK_CODE, UC_HOOK_MEM_WRITE, UC_MODE_RISCV32, Uc, UcError
from unicorn.riscv_const import (
    UC_RISCV_REG_A0,
    UC_RISCV_REG_A1,
    UC_RISCV_REG_A2,
    UC_RISCV_REG_PC,
    UC_RISCV_REG_RA,
    UC_RISCV_REG_SP,
)

IDLE = 64  # polls of an empty receiver after which the firmware is taken to wait


class SimulatedChip(Board):
    """A chip with its firmware, at the other end of the link: its `ask` and the rest are wire.Board's."""

    memories: tuple[tuple[int, int], ...]  # address, bytes; multiples of 4 KiB
    registers: tuple[tuple[int, int], ...]
    csrs: tuple[int, ...] = ()  # that the core has and Unicorn has not: writes are skipped

    def __init__(self, image: Path) -> None:
        """Maps what is there, loads what the flash and the loader would, and is at the firmware's entry."""
        self.seq, self.buffer = 0, b""
        self.sock = self  # type: ignore[assignment]  # its sendall() is the line to the firmware
        self.process = self  # type: ignore[assignment]  # its poll() says whether it is still there
        self.received, self.reg, self.idle, self.resets = bytearray(), dict[int, int](), 0, 0
        self.pins, self.edges = dict[int, bool](), list[tuple[int, bool]]()
        self.core = Uc(UC_ARCH_RISCV, UC_MODE_RISCV32)
        for address, size in self.memories:
            self.core.mem_map(address, size)
            self.core.mem_write(address, b"\xff" * size)  # flash is erased, RAM holds anything
        for address, size in self.registers:
            self.core.mmio_map(address, size, self._on_read, address, self._on_write, address)
        with image.open("rb") as file:
            elf = ELFFile(file)
            self.entry = elf["e_entry"]
            for s in elf.iter_segments():
                if s["p_type"] == "PT_LOAD" and s["p_filesz"]:
                    self.core.mem_write(self.loaded_at(s["p_vaddr"], s["p_paddr"]), s.data())
        self.core.reg_write(UC_RISCV_REG_PC, self.entry)

    def loaded_at(self, virtual: int, physical: int) -> int:
        """Where the bytes of a segment go, as mapped here."""
        return physical

    def sendall(self, data: bytes) -> None:
        """Bytes to the firmware, which then runs until it waits for more."""
        self.received += data
        self.idle = 0
        while True:
            try:
                self.core.emu_start(self.core.reg_read(UC_RISCV_REG_PC), 1)  # until an address that is none
                return
            except UcError:  # Unicorn takes no exception to mtvec; its PC is behind the instruction
                (code,) = struct.unpack("<I", self.core.mem_read(self.core.reg_read(UC_RISCV_REG_PC) - 4, 4))
                if code & 0x7F != 0x73 or code >> 20 not in self.csrs:
                    raise

    def poll(self) -> int | None:
        """It never ends by itself."""
        return None

    def frame(self, timeout_s: float) -> bytes | None:
        """As the base class; there is nothing to wait for."""
        return super().frame(0.0) if self.buffer.strip(b"\0") else None

    def reset(self) -> None:
        """What a reset request of the firmware comes to; RAM keeps its content."""
        self.resets += 1
        self.reg.clear()
        self.pins.clear()
        self.core.reg_write(UC_RISCV_REG_PC, self.entry)
        self.core.emu_stop()

    def say(self, byte: int) -> None:
        """A byte that the firmware sends."""
        self.buffer += bytes([byte & 0xFF])
        self.idle = 0

    def drive(self, pin: int, high: bool) -> None:
        """An output gets this level; edges has what changes."""
        if self.pins.get(pin, False) != high:
            self.edges.append((pin, high))
        self.pins[pin] = high

    def waiting(self) -> int:
        """How many bytes the receiver has; a firmware that keeps asking is stopped."""
        if not self.received:
            self.idle += 1
            if self.idle > IDLE:
                self.core.emu_stop()
        return len(self.received)

    def take(self) -> int:
        """A byte for the firmware."""
        return self.received.pop(0)

    def rom(self, address: int, does: Callable[[int, int, int], int]) -> None:
        """A ROM function: of three arguments, in Python."""
        self.core.mem_write(address, struct.pack("<I", 0x00008067))  # ret

        def call(core: Uc, *_: object) -> None:
            args = (core.reg_read(r) for r in (UC_RISCV_REG_A0, UC_RISCV_REG_A1, UC_RISCV_REG_A2))
            core.reg_write(UC_RISCV_REG_A0, does(*args) & 0xFFFFFFFF)

        self.core.hook_add(UC_HOOK_CODE, call, begin=address, end=address)

    def program(self, address: int, data: bytes) -> None:
        """As NOR flash does: bits go from 1 to 0 only."""
        old = self.core.mem_read(address, len(data))
        self.core.mem_write(address, bytes(a & b for a, b in zip(old, data, strict=True)))

    def _on_read(self, core: Uc, offset: int, size: int, base: int) -> int:
        return self.read(base + offset) & 0xFFFFFFFF

    def _on_write(self, core: Uc, offset: int, size: int, value: int, base: int) -> None:
        self.write(base + offset, value)

    def read(self, address: int) -> int:
        """A register; what is not modelled keeps what was written."""
        return self.reg.get(address, 0)

    def write(self, address: int, value: int) -> None:
        """See read."""
        self.reg[address] = value


class F1(SimulatedChip):
    """What CH32V307 and GD32VF103 have from STM32F1: RCC, USART 1 and the flash controller. STM32 RM0008, PM0075."""

    memories = ((0x20000000, 64 << 10), (0x08000000, 256 << 10))
    registers = ((0x40010000, 0x8000), (0x40021000, 0x3000))
    sector = 1024
    keys: tuple[int, ...] = ()

    def __init__(self, image: Path) -> None:
        super().__init__(image)
        self.core.hook_add(UC_HOOK_MEM_WRITE, self._program, begin=0x08000000, end=0x0803FFFF)

    def _program(self, core: Uc, access: int, address: int, size: int, value: int, data: object) -> None:
        assert (size, self.reg.get(0x40022010)) == (2, 1) and core.mem_read(address, 2) == b"\xff\xff", hex(address)

    def read(self, address: int) -> int:
        value = self.reg.get(address, 0)
        if address == 0x40021000:  # what is on is ready
            return value | (value & (1 << 16 | 1 << 24)) << 1
        if address == 0x40021004:  # the clock that is asked for is taken, once it is there
            ready = self.reg.get(0x40021000, 0) >> 24 & 1
            return value & ~12 | (value & 3 if ready else 0) << 2
        if address == 0x40013800:
            return 0xC0 | (0x20 if self.waiting() else 0)
        if address == 0x40013804:
            return self.take()
        return self.reg.get(address, 0x80) if address == 0x40022010 else value

    def write(self, address: int, value: int) -> None:
        if address == 0x40013804:
            assert self.reg[0x40021018] & 1 << 14 and self.reg[0x4001380C] & 1 << 13, "the USART is not on"
            self.say(value)
        elif address in (0x40010810, 0x40010C10, 0x40011010):  # BSRR of ports A, B, C
            port = (address - 0x40010810) // 0x400
            for pin in range(16):
                mode = self.reg.get(address - 0x10 + 4 * (pin >= 8), 0x44444444) >> pin % 8 * 4 & 15
                if value & 0x10001 << pin and mode in (1, 2, 3):  # push-pull
                    assert self.reg[0x40021018] >> 2 + port & 1, "the port is not on"
                    self.drive(16 * port + pin, bool(value >> pin & 1))
        elif address == 0x40022004:
            self.keys = (*self.keys[-1:], value)
            if self.keys == (0x45670123, 0xCDEF89AB):
                self.reg[0x40022010] = 0
        elif address != 0x40022010 or not self.reg.get(address, 0x80) & 0x80:  # unlocked
            super().write(address, value & ~0x34 if address == 0x4002200C else value)
            if address == 0x40022010 and value & 0x42 == 0x42:
                start = self.reg[0x40022014]
                assert start % self.sector == 0
                self.core.mem_write(start, b"\xff" * self.sector)


class GD32VF103(F1):
    """Its SysTimer resets it."""

    memories = ((0x20000000, 32 << 10), (0x08000000, 128 << 10))
    registers = (*F1.registers, (0xD1000000, 0x1000))

    def write(self, address: int, value: int) -> None:
        if (address, value) == (0xD1000FF0, 0x80000A5F):
            self.reset()
        else:
            super().write(address, value)


class CH32V307(F1):
    """Flash is seen at 0; SysTick counts, PFIC resets."""

    memories = ((0x20000000, 64 << 10), (0, 256 << 10))
    registers = (*F1.registers, (0xE000E000, 0x2000))
    csrs = (0xBC0,)

    def loaded_at(self, virtual: int, physical: int) -> int:
        return physical - 0x08000000

    def read(self, address: int) -> int:
        if address == 0xE000F008 and self.reg.get(0xE000F000) == 5:
            self.reg[address] += 1000
        return super().read(address)

    def write(self, address: int, value: int) -> None:
        if (address, value & 0xFFFF0080) == (0xE000E048, 0xBEEF0080):
            self.reset()
        else:
            super().write(address, value)


class RP2350(SimulatedChip):
    """PL011, clocks that are ready at once, and the boot ROM's functions on flash. RP2350 datasheet, 5.4 and 12.1."""

    memories = ((0, 32 << 10), (0x10000000, 4 << 20), (0x20000000, 520 << 10))
    registers = ((0x40000000, 0x100000), (0xD0000000, 0x1000))
    csrs = (0x320,)

    def __init__(self, image: Path) -> None:
        super().__init__(image)
        self.xip = True
        self.functions = {b"IF": 0x100, b"EX": 0x104, b"FC": 0x108, b"RE": 0x10C, b"RP": 0x110}
        self.core.mem_write(0x7DFA, struct.pack("<H", 0x200))
        self.rom(0x200, lambda code, mask, _: self.functions[struct.pack("<H", code)] if mask == 1 else 0)
        self.rom(0x100, lambda *_: 0)
        self.rom(0x104, self._exit_xip)
        self.rom(0x108, lambda *_: 0)
        self.rom(0x10C, lambda at, n, block: self._flash(at, b"\xff" * n, erase=True))
        self.rom(0x110, lambda at, data, n: self._flash(at, bytes(self.core.mem_read(data, n))))

    def _exit_xip(self, *_: int) -> int:
        self.xip = False
        return 0

    def _flash(self, at: int, data: bytes, erase: bool = False) -> int:
        assert not self.xip and 0x20000000 <= self.core.reg_read(UC_RISCV_REG_RA) < 0x20082000, "called from flash"
        assert at % (4096 if erase else 256) == 0 and len(data) % 256 == 0
        if erase:
            self.core.mem_write(0x10000000 + at, data)
        else:
            self.program(0x10000000 + at, data)
        return 0

    def read(self, address: int) -> int:
        value = self.reg.get(address, 0)
        if address == 0x40070018:
            return 0x10 if not self.waiting() else 0
        if address == 0x40070000:
            return self.take()
        if address in (0x40048004, 0x40050000):  # stable, locked
            return value | 1 << 31
        if address == 0x40020008:  # out of reset
            return ~self.reg.get(0x40020000, 0xFFFFFFFF)
        if address == 0x40010044:  # clk_sys
            return 2 if self.reg.get(0x4001003C, 0) & 1 else 1
        if address == 0x40010038:  # clk_ref
            return 1 << (self.reg.get(0x40010030, 0) & 3)
        # Code that sets XIP up again: ret.
        return 0x00008067 if 0x400E0000 <= address < 0x400E0100 else value

    def write(self, address: int, value: int) -> None:
        plain, alias = address & ~0x3000, address >> 12 & 3
        if address == 0x40070000:
            assert self.reg[0x40070030] == 0x301 and self.reg[0x40028004] == 2, "the UART is not on"
            self.say(value)
            return
        if address in (0xD0000018, 0xD0000020):  # SIO: set, clear
            for pin in (pin for pin in range(32) if value >> pin & self.reg.get(0xD0000038, 0) >> pin & 1):
                pad = self.reg[0x40038004 + 4 * pin]
                assert self.reg[0x40028004 + 8 * pin] == 5 and not pad & 0x180, "the pin is not SIO's, or not on"
                self.drive(pin, address == 0xD0000018)
            return
        old = self.reg.get(plain, 0xFFFFFFFF if plain == 0x40020000 else 0)
        self.reg[plain] = (value, old ^ value, old | value, old & ~value)[alias]
        if plain == 0x400D8000 and self.reg[plain] >> 31:
            self.reset()


class ESP32C3(SimulatedChip):
    """UART0 or USB serial port, the ROM's functions on cache and flash. Addresses: as the port's sources."""

    memories = (
        (0x3FC80000, 352 << 10),
        (0x403D8000, 16 << 10),
        (0x40000000, 4 << 10),
        (0x42000000, 4 << 20),
        (0x3C000000, 4 << 20),
        (0x3FCDE000, 4 << 10),
    )
    registers = ((0x60000000, 0x100000),)
    usb = False

    def __init__(self, image: Path) -> None:
        super().__init__(image)
        self.core.reg_write(UC_RISCV_REG_SP, 0x3FCDE700)  # the ROM's stack
        self.cached = True
        self.rom(0x40000090, lambda *_: self.reset() or 0)  # type: ignore[func-returns-value]
        self.rom(0x40000128, lambda sector, *_: self._flash(sector * 4096, b"\xff" * 4096, erase=True))
        self.rom(0x4000012C, lambda at, data, n: self._flash(at, bytes(self.core.mem_read(data, n))))
        self.rom(0x40000140, lambda *_: 0)
        self.rom(0x400004D8, lambda *_: 0)
        self.rom(0x4000051C, self._cache_off)
        self.rom(0x40000520, self._cache_on)
        self.rom(0x40000524, self._cache_off)
        self.rom(0x40000528, self._cache_on)

    def _cache_on(self, *_: int) -> int:
        self.cached = True
        return 0

    def _cache_off(self, *_: int) -> int:
        self.cached = False
        return 0

    def _flash(self, at: int, data: bytes, erase: bool = False) -> int:
        assert not self.cached and self.core.reg_read(UC_RISCV_REG_RA) >> 16 == 0x403D, "called from flash"
        assert self.reg[0x600C5000 + 4 * (at >> 16)] == at >> 16, "this page is not mapped at its offset"
        if erase:
            self.core.mem_write(0x3C000000 + at, data)
        else:
            self.program(0x3C000000 + at, data)
        return 0

    def read(self, address: int) -> int:
        value = self.reg.get(address, 0)
        if address == 0x6000001C:
            return 0 if self.usb else min(self.waiting(), 128)
        if address == 0x60043004:
            return 2 | (4 if self.usb and self.waiting() else 0)
        if address in (0x60000000, 0x60043000):
            return self.take()
        if address == 0x60023004:  # the system timer's value is there
            self.reg[0x60023044] = self.reg.get(0x60023044, 0) + 160
            return value | 1 << 29
        return value

    def write(self, address: int, value: int) -> None:
        if address in (0x60000000, 0x60043000):
            assert self.usb == (address == 0x60043000), "answers on the other line"
            self.say(value)
        elif address in (0x60004008, 0x6000400C):  # GPIO: set, clear
            for pin in (pin for pin in range(22) if value >> pin & self.reg.get(0x60004024, 0) >> pin & 1):
                signal, pad = self.reg[0x60004554 + 4 * pin], self.reg[0x60009004 + 4 * pin]
                assert signal == 128 and pad >> 12 & 7 == 1 and pad >> 10 & 3, "the pin is not GPIO's"
                self.drive(pin, address == 0x60004008)
        else:
            super().write(address, value)


class BL618(SimulatedChip):
    """UART0. BL616/BL618 reference manual."""

    memories = ((0xA0000000, 4 << 20), (0x62FC0000, 480 << 10))
    registers = ((0x20000000, 0x10000),)
    csrs = (0x7C1, 0x7C2)

    def read(self, address: int) -> int:
        if address == 0x2000A084:
            return 32 | min(self.waiting(), 32) << 8
        return self.take() if address == 0x2000A08C else super().read(address)

    def write(self, address: int, value: int) -> None:
        if address == 0x2000A088:
            assert self.reg[0x2000A000] & self.reg[0x2000A004] & 1 and self.reg[0x20000150] & 16, "the UART is not on"
            self.say(value)
            return
        super().write(address, value)
        if address == 0x20000548 and value & 4:
            self.reset()
        pin = (address - 0x200008C4) // 4
        if 0 <= pin < 35 and value >> 8 & 31 == 11 and value >> 30 == 0:  # by its bit in this register
            assert value >> 6 & 1, "the output is not on"
            self.drive(pin, bool(value >> 24 & 1))


CHIPS = {"esp32-c3": ESP32C3, "pico-2": RP2350, "ch32v307": CH32V307, "longan-nano": GD32VF103, "bl618": BL618}
