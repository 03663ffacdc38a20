"""Reads and checks board profiles, the files of boards/*.toml.

The dataclasses are the schema: a field without a default is required, a key that is no field is refused.
"""

from __future__ import annotations

import dataclasses
import difflib
import math
import re
import sys
import types
import typing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, TypeVar

from .. import _resources
from ..errors import BoardNotFoundError, PyedgeError, UnsupportedError
from . import silicon

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

_T = TypeVar("_T")


Flasher = Literal["emulator", "esptool", "openocd", "pyocd", "dfu-util", "wlink", "wchisp", "bflb-mcu-tool", "picotool"]
_NEED_CHIP = ("esptool", "openocd", "pyocd", "bflb-mcu-tool", "picotool")  # flashers that must be told

# Facts that need no source: what pyedge itself decides, and free text.
_OWN = {"name", "description", "status", "cores", "sources", "layout", "port"}
_OWN |= {"images", "link", "store", "slots", "emulator"}
_TYPES = ("int8", "fp16", "fp32")
_NOT_ZERO = {"cores", "clock_hz", "size_bytes", "baud", "buf_bytes", "sector_bytes", "slot_bytes"}


class ProfileError(PyedgeError):
    """A board profile that breaks the schema; names the file, the key and what is expected there."""


@dataclass(frozen=True)
class Memory:
    """One memory as the CPU sees it."""

    name: str
    kind: Literal["ram", "flash", "rom"]
    address: int
    size_bytes: int


@dataclass(frozen=True)
class Link:
    """The serial line to the board."""

    baud: int
    buf_bytes: int = 512  # largest decoded frame that the firmware takes; the board's own word (hello) goes first
    usb: tuple[str, ...] = ()  # "vid:pid", hexadecimal, of the serial adapters that this board shows
    wiring: str = ""  # how the line is wired, where the board's own USB plug does not have it: for people


@dataclass(frozen=True)
class Store:
    """Where plans live in flash: two journal sectors, slot 0, slot 1 (docs/link.md, "Journal and slots")."""

    memory: str
    address: int
    sector_bytes: int
    slot_bytes: int
    writable: bool  # False: the host puts the plan into the flash image

    @property
    def size_bytes(self) -> int:
        """Bytes of the whole store."""
        return 2 * self.sector_bytes + 2 * self.slot_bytes


@dataclass(frozen=True)
class Slots:
    """Two places for firmware that updates itself (docs/updating.md)."""

    slot_bytes: int
    address: int | None = None  # of slot 0, slot 1 is behind it; None: one image is for both, started as a program
    boot_address: int = 0  # of the boot loader
    boot_bytes: int = 0  # the most that it may have


@dataclass(frozen=True)
class Image:
    """One build of the firmware."""

    isa: str  # what it is compiled for; "native": for the computer that compiles it
    file: str  # its name
    cpu: str = ""  # CPU model that the emulator is given


@dataclass(frozen=True)
class Emulator:
    """How the board is started as a process.

    In program and args these are replaced: {image}, {cpu}, {flash} (file), and the link: {tty} (path), {fd} (number).
    """

    program: str
    args: tuple[str, ...]
    flash: Literal["raw", "elf"]  # flash file: the store from its first byte on; or an ELF that loads the bytes in use
    flash_bytes: int = 0  # size of a raw one


@dataclass(frozen=True)
class Cluster:
    """Cores of one kind. Those on which pyedge can't run (monitor, low-power cores) are left out."""

    core: str  # as its maker calls it
    cores: int
    clock_hz: int | None = None  # the highest; nothing for an emulated core
    features: tuple[str, ...] = ()  # beyond those that all cores of the board have
    cpus: tuple[int, ...] = ()  # Linux's numbers of them, where there is more than one cluster
    macs_per_cycle: dict[str, int] = field(default_factory=dict)  # peak of one core, by type: "int8", "fp16", "fp32"


@dataclass(frozen=True)
class Linux:
    """A board with Linux: the Python package is installed on it, and there is no firmware."""

    wheel: str  # architecture of the wheel that fits
    system: str  # what it commonly runs
    python: str  # version that this system ships, "3.11"
    install: str  # how pyedge gets there: for people
    models: tuple[str, ...] = ()  # one of these is in what its device tree calls it, /proc/device-tree/model


@dataclass(frozen=True)
class EnergyModel:
    """What a chip's work is taken to cost where nothing can be measured, in picojoules. Never a measurement."""

    of: str  # what the coefficients are of: process, voltage, kind of core
    count_pj: float  # of one count of the board's unit: an instruction, or a cycle
    mac_pj: float = 0.0  # of a multiply-accumulate on top
    byte_pj: float = 0.0  # of a byte of an op's operands and results on top


Status = Literal["emulated", "described, no firmware yet", "built, not run on silicon", "run on silicon"]


@dataclass(frozen=True)
class Profile:
    """What is known about a board. Every fact has a line in `sources`."""

    name: str
    description: str
    status: Status  # of a Linux board: that of the wheel
    isa: str
    cores: int
    memories: tuple[Memory, ...]
    sources: dict[str, str]
    features: tuple[str, ...] = ()  # of all cores
    clusters: tuple[Cluster, ...] = ()
    # Of the constants in its plans (docs/plan.md, pe_layout).
    layout: Literal["canonical", "mixed-rows", "interleaved-rows"] = "canonical"
    port: str = ""  # folder of firmware/port
    images: tuple[Image, ...] = ()  # the first is the default; none: there is no firmware
    link: Link | None = None
    flasher: Flasher | None = None
    flash_usb: tuple[str, ...] = ()  # "vid:pid" of what is flashed or flashes and is no serial port: boot ROM, probe
    flash_chip: str = ""  # what the flasher calls the chip; of openocd: its file for the board; picotool: UF2 family
    flash_address: int | None = None  # where a firmware file without addresses goes, as the flasher counts
    reset: Literal["dtr-rts", "button", "debugger"] | None = None  # how it gets there
    meter: Literal["ina3221", "pi5-pmic"] | None = None  # power meter on the board
    mark: int | None = None  # pin that the firmware holds high while runs are measured, as its port counts pins
    energy: EnergyModel | None = None
    store: Store | None = None
    slots: Slots | None = None
    emulator: Emulator | None = None
    linux: Linux | None = None
    path: Path = field(default=Path(), metadata={"toml": False})

    @property
    def clock_hz(self) -> int | None:
        """Of the fastest cores; None for emulated ones."""
        return max((c.clock_hz for c in self.clusters if c.clock_hz), default=None)

    def serial_link(self) -> Link:
        """The line to the board's firmware. Raises UnsupportedError where there is no firmware."""
        if self.linux:
            raise UnsupportedError(
                f"{self.name}: pyedge runs on this board itself, there is no firmware to talk to; install the"
                f" {self.linux.wheel} wheel there and leave the board out, or reach it by --port ssh:USER@HOST; try:"
                f" pyedge boards {self.name}"
            )
        if self.link is None or not self.images:
            raise UnsupportedError(
                f"{self.name}: described only, there is no firmware for it yet; try: pyedge boards {self.name}"
            )
        return self.link

    def image(self, isa: str | None = None) -> Image:
        """The firmware build for an ISA, or the default.

        Raises:
            UnsupportedError: There is no firmware for this board.
            BoardNotFoundError: None for this ISA; says which there are.
        """
        self.serial_link()
        for image in self.images:
            if isa is None or image.isa == isa:
                return image
        known = ", ".join(image.isa for image in self.images)
        raise BoardNotFoundError(f"{self.name}: no firmware for {isa}; there is {known}")


def _fields(cls: type) -> dict[str, dataclasses.Field[Any]]:
    return {f.name: f for f in dataclasses.fields(cls) if f.metadata.get("toml", True)}


def _type_name(kind: Any) -> str:
    if dataclasses.is_dataclass(kind) or typing.get_origin(kind) is dict:
        return "a table"
    if typing.get_origin(kind) is tuple:
        return f"an array, each {_type_name(typing.get_args(kind)[0])}"
    if typing.get_origin(kind) is Literal:
        return "one of " + ", ".join(map(repr, typing.get_args(kind)))
    return {str: "a string", int: "an integer", float: "a number", bool: "true or false"}[kind]


def _value(kind: Any, value: Any, where: str) -> Any:
    """value as the type `kind` of a field; raises ProfileError. `where` is file and key."""
    origin, args = typing.get_origin(kind), typing.get_args(kind)
    if origin in (typing.Union, types.UnionType):
        return _value(args[0], value, where)
    if origin is Literal:
        if value not in args:
            raise ProfileError(f"{where}: {value!r} is not one of {', '.join(map(repr, args))}")
        return value
    if dataclasses.is_dataclass(kind) and isinstance(value, dict):
        return _read(typing.cast("type[Any]", kind), value, where)
    if origin is tuple and isinstance(value, list):
        return tuple(_value(args[0], item, f"{where}[{i}]") for i, item in enumerate(value))
    if origin is dict and isinstance(value, dict):
        return {key: _value(args[1], item, f"{where}.{key}") for key, item in value.items()}
    if kind is float and type(value) is int:
        value = float(value)
    if type(value) is not kind:  # exactly: a bool is no integer here
        raise ProfileError(f"{where}: expected {_type_name(kind)}, found {value!r}")
    if kind in (int, float) and value < 0:
        raise ProfileError(f"{where}: {value} is negative")
    if kind is float and not math.isfinite(value):
        raise ProfileError(f"{where}: {value} is no finite number")
    return value


def _read(cls: type[_T], table: dict[str, Any], where: str) -> _T:
    known, hints = _fields(cls), typing.get_type_hints(cls)
    for key in table:
        if key not in known:
            near = difflib.get_close_matches(key, known, 1, 0.5)
            raise ProfileError(f"{where}: unknown key {key!r}" + (f"; did you mean {near[0]!r}?" if near else ""))
    for key, f in known.items():
        if key not in table and f.default is dataclasses.MISSING and f.default_factory is dataclasses.MISSING:
            raise ProfileError(f"{where}: {key!r} is missing ({_type_name(hints[key])})")
    for key in _NOT_ZERO & table.keys():
        if table[key] == 0 and table[key] is not False:
            raise ProfileError(f"{where}: {key}: 0, and there is no such thing")
    return cls(**{key: _value(hints[key], value, f"{where}: {key}") for key, value in table.items()})


def _check(p: Profile, where: str) -> None:
    """What the types alone don't say."""
    memories = {m.name: m for m in p.memories}
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", p.name):  # files are named after it
        raise ProfileError(f"{where}: name: {p.name!r}: only letters, digits, '.', '_' and '-'")
    if p.status == "run on silicon":
        raise ProfileError(f"{where}: status: {p.status!r} comes from a selftest, silicon/{p.name}.json beside it")
    if p.status == "emulated" and p.emulator is None:
        raise ProfileError(f"{where}: status: {p.status!r}, but there is no [emulator]")
    if len(memories) < len(p.memories):
        raise ProfileError(f"{where}: memories: two have the same name")
    fields = _fields(Profile)
    facts = {key for key in fields.keys() - _OWN if getattr(p, key)}
    facts -= {"flasher"} if p.flasher == "emulator" else set()
    facts |= {"link"} if p.link and p.link.usb else set()
    for fact in sorted(facts - p.sources.keys()):
        raise ProfileError(f"{where}: sources: {fact!r} is missing: every fact says where it is from")
    for key in p.sources.keys() - fields.keys():
        raise ProfileError(f"{where}: sources: {key!r} is no key of a profile")
    if (p.status == "described, no firmware yet") != (not p.images and p.linux is None):
        there = "there is firmware, or Linux" if p.images or p.linux else "there are no images, and no [linux]"
        raise ProfileError(f"{where}: status: {p.status!r}, but {there}")
    needs = [key for key in ("port", "link", "flasher") if p.images and not getattr(p, key)]
    if needs:
        raise ProfileError(f"{where}: images: {needs[0]!r} is missing: firmware needs port, link and flasher")
    if p.flasher in _NEED_CHIP and not p.flash_chip:
        raise ProfileError(f"{where}: 'flash_chip' is missing: {p.flasher} has to be told")
    if p.linux and not re.fullmatch(r"3\.[0-9]+", p.linux.python):
        raise ProfileError(f"{where}: linux.python: {p.linux.python!r} is not of the form 3.11")
    if p.clusters and p.cores != sum(c.cores for c in p.clusters):
        raise ProfileError(f"{where}: cores: {p.cores}, but the clusters have {sum(c.cores for c in p.clusters)}")
    for c in p.clusters:
        if c.cpus and len(set(c.cpus)) != c.cores:
            raise ProfileError(f"{where}: clusters: {c.core}: {c.cores} cores, but {len(set(c.cpus))} numbers in cpus")
        for kind in c.macs_per_cycle.keys() - set(_TYPES):
            raise ProfileError(f"{where}: clusters: macs_per_cycle: {kind!r} is not one of {', '.join(_TYPES)}")
    for usb in (*(p.link.usb if p.link else ()), *p.flash_usb):
        if not re.fullmatch(r"[0-9a-f]{4}:[0-9a-f]{4}", usb):
            raise ProfileError(f"{where}: link.usb, flash_usb: {usb!r} is not of the form 1a86:7523")
    if s := p.store:
        m = memories.get(s.memory)
        if m is None:
            raise ProfileError(f"{where}: store.memory: no memory {s.memory!r}")
        if not (m.address <= s.address and s.address + s.size_bytes <= m.address + m.size_bytes):
            raise ProfileError(f"{where}: store: {s.size_bytes} bytes at {s.address:#x} lie outside {m.name!r}")
        if s.sector_bytes == 0 or s.sector_bytes % 64 or s.slot_bytes % s.sector_bytes or s.address % 64:
            raise ProfileError(f"{where}: store: slots must be whole sectors, and all of it 64-byte aligned")
    if p.slots and not p.images:
        raise ProfileError(f"{where}: slots: there are no images that could lie in them")
    if p.emulator and p.emulator.flash == "raw" and p.store and p.emulator.flash_bytes < p.store.size_bytes:
        raise ProfileError(f"{where}: emulator.flash_bytes: {p.emulator.flash_bytes} is smaller than the store")


def read_record(cls: type[_T], path: Path) -> _T:
    """A TOML file as a dataclass, whose fields are its schema. Raises ProfileError."""
    try:
        table = tomllib.loads(path.read_bytes().decode())
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as e:
        raise ProfileError(f"{path}: {e}") from e
    return _read(cls, table, str(path))


def read_profile(path: str | Path) -> Profile:
    """The profile in a TOML file, marked as run on silicon if there is a selftest of it. Raises ProfileError."""
    path = Path(path)
    profile = dataclasses.replace(read_record(Profile, path), path=path)
    _check(profile, str(path))
    seen = silicon.evidence(profile.name, profile.status == "emulated", path.parent)
    if seen is None:
        return profile
    return dataclasses.replace(profile, status="run on silicon", sources={**profile.sources, "status": seen})


def _folder() -> Path:
    folder = _resources.find("_boards")
    if folder is None:
        raise BoardNotFoundError(
            "this installation of pyedge has no board profiles; try: pip install --force-reinstall pyedge"
        )
    return folder


def list_profiles() -> list[Profile]:
    """All profiles of the package, by name."""
    return [read_profile(path) for path in sorted(_folder().glob("*.toml"), key=lambda path: path.stem)]


def load_profile(name_or_path: str | Path) -> Profile:
    """The profile of that name, or in that .toml file.

    Raises:
        BoardNotFoundError: No such board; names the nearest.
        ProfileError: The file breaks the schema.
    """
    text = str(name_or_path)
    if text.endswith(".toml"):
        if not Path(text).is_file():
            raise BoardNotFoundError(f"{text}: no such file")
        return read_profile(text)
    names = sorted(path.stem for path in _folder().glob("*.toml"))
    if text not in names:
        near = difflib.get_close_matches(text, names, 1, 0.4)
        hint = f"; did you mean {near[0]}?" if near else ""
        raise BoardNotFoundError(f"no board {text!r}; there is {', '.join(names)}{hint}")
    return read_profile(_folder() / f"{text}.toml")
