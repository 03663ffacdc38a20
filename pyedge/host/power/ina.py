"""Texas Instruments' INA219, INA226 and INA228 on a Linux I2C bus: the voltage of a supply and of a resistor in it."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Protocol

from ...errors import BoardNotFoundError, LinkError, MeasurementError, PermissionDeniedError, UnsupportedError
from .trace import PolledMeter

_I2C_SLAVE = 0x0703  # linux/i2c-dev.h
_MAKER = 0x5449  # "TI"


class Bus(Protocol):
    """A device on an I2C bus."""

    def read(self, register: int, count: int) -> bytes:
        """Sets the register pointer, and reads bytes from there."""

    def write(self, register: int, data: bytes) -> None: ...

    def close(self) -> None: ...


class LinuxBus:
    """/dev/i2c-N."""

    def __init__(self, number: int, address: int) -> None:
        """BoardNotFoundError, PermissionDeniedError: no such bus; not ours to open."""
        from fcntl import ioctl  # not on Windows

        self.name = f"/dev/i2c-{number}, address 0x{address:02x}"
        try:
            self._fd = os.open(f"/dev/i2c-{number}", os.O_RDWR)
            ioctl(self._fd, _I2C_SLAVE, address)
        except PermissionError as e:
            raise PermissionDeniedError(
                f"{self.name}: no right; try: sudo usermod -aG i2c $USER, and log in again"
            ) from e
        except OSError as e:
            raise BoardNotFoundError(f"{self.name}: {e.strerror}; is I2C switched on? try: ls /dev/i2c-*") from e

    def read(self, register: int, count: int) -> bytes:
        try:
            os.write(self._fd, bytes([register]))
            return os.read(self._fd, count)
        except OSError as e:
            raise LinkError(f"{self.name}: no answer: {e.strerror}; try: i2cdetect -y BUS") from e

    def write(self, register: int, data: bytes) -> None:
        try:
            os.write(self._fd, bytes([register]) + data)
        except OSError as e:
            raise LinkError(f"{self.name}: no answer: {e.strerror}; try: i2cdetect -y BUS") from e

    def close(self) -> None:
        os.close(self._fd)


@dataclass(frozen=True)
class _Field:
    """A result: register, its bytes, how far it is shifted up, volts of its least bit."""

    register: int
    count: int
    shift: int
    volt: float

    def value(self, bus: Bus, signed: bool) -> int:
        return int.from_bytes(bus.read(self.register, self.count), "big", signed=signed) >> self.shift

    @property
    def limit(self) -> int:
        """The most that a signed result can be."""
        return (1 << (8 * self.count - self.shift - 1)) - 1


@dataclass(frozen=True)
class _Part:
    """A part. configuration: continuous conversion of both voltages, and its register. identity: register, value and
    mask.
    """

    shunt: _Field
    bus: _Field
    configuration: tuple[int, int]
    identity: tuple[int, int, int] | None
    period_s: float  # of a pair of conversions


# Registers, steps and times: the data sheets SBOS448, SBOS547 and SBOSA20, "Register Maps".
PARTS = {
    # 32 V, +/- 320 mV, 12 bits of 532 us each.
    "ina219": _Part(_Field(1, 2, 0, 10e-6), _Field(2, 2, 3, 4e-3), (0, 0x399F), None, 1.064e-3),
    # No averaging, 1.1 ms each.
    "ina226": _Part(_Field(1, 2, 0, 2.5e-6), _Field(2, 2, 0, 1.25e-3), (0, 0x4127), (0xFF, 0x2260, 0xFFF0), 2.2e-3),
    # Continuous shunt and bus voltage, 1052 us each, no averaging; +/- 163.84 mV.
    "ina228": _Part(
        _Field(4, 3, 4, 312.5e-9), _Field(5, 3, 4, 195.3125e-6), (1, 0xBB68), (0x3F, 0x2280, 0xFFF0), 2.104e-3
    ),
}
_MAKER_REGISTER = {"ina226": 0xFE, "ina228": 0x3E}


def open_ina(part: str, bus: Bus, shunt_ohm: float) -> PolledMeter:
    """A meter from a part of PARTS with a resistor in the supply, ohms.

    Raises:
        UnsupportedError: Another part answers.
        LinkError: None does.
    """
    p = PARTS[part]
    if p.identity:
        register, value, mask = p.identity
        maker = int.from_bytes(bus.read(_MAKER_REGISTER[part], 2), "big")
        found = int.from_bytes(bus.read(register, 2), "big")
        if maker != _MAKER or found & mask != value:
            raise UnsupportedError(f"{part}: another part answers: maker 0x{maker:04x}, identity 0x{found:04x}")
    register, word = p.configuration
    bus.write(register, word.to_bytes(2, "big"))

    def watts() -> float:
        shunt, volts = p.shunt.value(bus, signed=True), p.bus.value(bus, signed=False)
        if abs(shunt) >= p.shunt.limit:
            raise MeasurementError(f"{part}: the current is over its range; a smaller resistor than {shunt_ohm:g} ohms")
        return shunt * p.shunt.volt / shunt_ohm * volts * p.bus.volt

    volts = p.bus.value(bus, signed=False) * p.bus.volt
    step_w = p.shunt.volt / shunt_ohm * volts
    covers = f"what flows through {shunt_ohm:g} ohms"
    return PolledMeter(part, covers, p.period_s, watts=watts, step_w=step_w, close=bus.close)
