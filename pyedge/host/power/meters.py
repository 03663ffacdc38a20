"""Which meters there are, by the names that users give."""

from __future__ import annotations

from ...errors import BoardNotFoundError
from .ina import PARTS, LinuxBus, open_ina
from .joulescope import Joulescope
from .linux import open_jetson, open_pi5, open_rapl
from .lpm01a import Lpm01a
from .ppk2 import Ppk2
from .trace import Meter

METERS = {
    "ppk2": "Nordic Power Profiler Kit II; --meter-port, --volts",
    "lpm01a": "ST X-NUCLEO-LPM01A; --meter-port, --volts",
    "joulescope": "Joulescope JS110 or JS220 (pyedge[joulescope]); --meter-port SERIAL where there are several",
    **dict.fromkeys(PARTS, "sensor on a Linux I2C bus; --meter-port BUS:ADDRESS, as 1:0x40; --shunt"),
    "rapl": "energy counters of an x86 CPU package",
    "jetson": "INA3221 of a Jetson module",
    "pi5": "power chip of a Raspberry Pi 5, rails only",
}

BUILT_IN = ("rapl", "jetson", "pi5")  # in the computer where pyedge runs, whose power they measure


def open_meter(
    name: str,
    port: str | None = None,
    volts: float | None = None,
    shunt_ohm: float | None = None,
    source: bool = True,
) -> Meter:
    """Opens a meter of METERS.

    Args:
        port: Serial port of a ppk2 or lpm01a; "BUS:ADDRESS" of an ina; serial number of a joulescope.
        volts: Supply of a board at a ppk2, which gives it (`source`) or only measures; at an lpm01a, which gives it.
        shunt_ohm: Resistor at an ina.

    Raises:
        ValueError: An unknown name; an argument that the meter needs is missing or out of range.
        And what the meter raises: not there, no rights, no answer.
    """
    if name == "rapl":
        return open_rapl()
    if name == "jetson":
        return open_jetson()
    if name == "pi5":
        return open_pi5()
    if name == "joulescope":
        return Joulescope(port)
    if name not in METERS:
        raise ValueError(f"no meter {name!r}; there are {', '.join(METERS)}")
    if port is None:
        raise BoardNotFoundError(f"{name}: which port? try: --meter-port PORT; pyedge ports lists serial ports")
    if name in ("ppk2", "lpm01a"):
        if volts is None:
            raise ValueError(f"{name}: with how many volts is the board supplied? try: --volts 3.3")
        return Ppk2(port, volts, source) if name == "ppk2" else Lpm01a(port, volts)
    bus, _, address = port.partition(":")
    try:
        numbers = int(bus), int(address or "0x40", 0)
    except ValueError:
        raise ValueError(f"{name}: {port!r} is no BUS:ADDRESS; try: --meter-port 1:0x40") from None
    if shunt_ohm is None or not shunt_ohm > 0:
        raise ValueError(f"{name}: which resistor is in the supply, in ohms? try: --shunt 0.1")
    return open_ina(name, LinuxBus(*numbers), shunt_ohm)
