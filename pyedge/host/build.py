"""Firmware images: the ones that the package brings, or built here from the sources that it brings (CMake)."""

from __future__ import annotations

import hashlib
import importlib.metadata
import os
import re
import struct
import subprocess
import tempfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from .. import _resources, custom
from .._programs import complaint
from .._programs import program as program
from .._programs import zig as _zig
from .._sources import sources as sources
from ..boards import Image, Profile
from ..errors import MissingToolError, ModelError, ToolError
from . import folders

_SOURCES = ("*.c", "*.h", "*.S", "*.ld", "*.cmake", "CMakeLists.txt")
_FLAGS = ("CFLAGS", "ASMFLAGS", "CPPFLAGS", "LDFLAGS")  # of the environment: they would change the image


@dataclass(frozen=True)
class Toolchain:
    """A way to compile for a bare core, or for this computer. file: CMake's toolchain file in firmware/cmake."""

    name: str
    file: str | None
    programs: tuple[str, ...]  # full paths; empty if something is missing
    missing: str  # what to install; empty if it is usable


def toolchains(isa: str) -> list[Toolchain]:
    """All toolchains for an ISA that pyedge knows, the best first, installed or not."""

    def known(name: str, file: str | None, apt: str, *finders: Callable[[], str | None]) -> Toolchain:
        found = [f() for f in finders]
        paths = tuple(p for p in found if p)
        whole = len(paths) == len(found)
        return Toolchain(name, file, paths if whole else (), "" if whole else apt)

    def find(*names: str) -> Callable[[], str | None]:
        return lambda: program(*names)

    if isa == "native":
        return [known("native", None, "sudo apt install gcc", find("cc", "gcc", "clang"))]
    family, gcc, package = (
        ("cortexm", "arm-none-eabi-gcc", "gcc-arm-none-eabi")
        if isa.startswith("cortex-m")
        else ("rv32", "riscv64-unknown-elf-gcc", "gcc-riscv64-unknown-elf")
    )
    clang = find("clang-19", "clang"), find("ld.lld-19"), find(gcc)  # the latter for its libgcc
    return [
        known("clang", f"clang-{family}.cmake", f"sudo apt install clang-19 lld-19 {package}", *clang),
        known("gcc", f"gcc-{family}.cmake", f"sudo apt install {package}", find(gcc)),
        known("zig", f"zig-{family}.cmake", "pip install 'pyedge[firmware]'", _zig),
    ]


def choose_toolchain(isa: str, name: str | None = None) -> Toolchain:
    """The toolchain of that name, or the best installed one. Raises ToolError with what to install."""
    known = toolchains(isa)
    if name is not None:
        known = [t for t in known if t.name == name]
        if not known:
            raise ToolError(f"no toolchain {name!r} for {isa}; there is {', '.join(t.name for t in toolchains(isa))}")
    for toolchain in known:
        if not toolchain.missing:
            return toolchain
    ways = " or: ".join(t.missing for t in reversed(known))
    raise MissingToolError(f"no compiler for {isa} firmware; try: {ways}")


def _source_hash(folder: Path) -> bytes:
    digest = hashlib.sha256()
    files = {p for top in ("csrc", "firmware") for pattern in _SOURCES for p in (folder / top).rglob(pattern)}
    for path in sorted(files):
        content = path.read_bytes()
        digest.update(f"{path.relative_to(folder)} {len(content)}\n".encode() + content)
    return digest.digest()


def _version() -> str:
    try:
        return importlib.metadata.version("pyedge")
    except importlib.metadata.PackageNotFoundError:
        return "0"


def firmware(
    profile: Profile,
    image: Image,
    ops: Iterable[str] | None = None,
    toolchain: str | None = None,
    kernels: Sequence[Path] = (),
    options: Mapping[str, str] | None = None,
) -> Path:
    """The file of a firmware image.

    What the package brings is taken as it is. In a source tree, and with any of `ops`, `toolchain`, `kernels` and
    `options`, the image is built; the same sources, ops, options and compiler are built once, and give the same bytes.

    Args:
        ops: Names of the op kinds that the image is to have, as "conv2d_s8"; all without it.
        toolchain: "clang", "gcc" or "zig" ("native" for the host port), instead of the best that is installed.
        kernels: C files of custom ops that the image is to have as well.
        options: Options of firmware/CMakeLists.txt, as {"PYEDGE_RELEASE": "ON"}.

    Raises:
        ModelError: A file of `kernels` that cannot be read, or that has no op; two ops of one name.
        ToolError: No compiler or no CMake is installed, or the build failed; says what to do.
    """
    prebuilt = _resources.find("_firmware", "prebuilt", image.file)
    options = dict(options or {})
    as_it_is = ops is None and toolchain is None and not kernels and not options
    if as_it_is and prebuilt and _resources.tree() is None:  # in a working copy edits count at once
        return prebuilt
    with_ops = {file.resolve(): (custom.op_names(file), custom.source_number(file)) for file in kernels}
    kinds = sorted(set(ops)) if ops is not None else None
    try:
        tools = choose_toolchain(image.isa, toolchain)
    except ToolError:
        if prebuilt and as_it_is:
            return prebuilt
        raise
    with sources() as folder:
        compiler = [f"{p} {os.stat(p).st_size} {os.stat(p).st_mtime_ns}" for p in tools.programs]
        facts = [_source_hash(folder).hex(), profile.port, image.isa, tools.name, *compiler, _version(), repr(kinds)]
        facts += [profile.name, str(profile.mark), *(custom.source_digest(file).hex() for file in kernels)]
        facts += [repr(sorted(options.items()))]
        key = hashlib.sha256("\n".join(facts).encode()).hexdigest()[:24]
        place = folders.cache_folder() / "firmware" / key / image.file
        if not place.is_file():
            place.parent.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryDirectory(dir=place.parent) as work:
                if with_ops:
                    _write_custom(Path(work, "custom"), with_ops)
                built = _cmake(folder / "firmware", Path(work), profile, image, tools, kinds, options)
                os.replace(built, place)  # whole or not at all, whoever else is building it
    return place


def _write_custom(folder: Path, kernels: dict[Path, tuple[list[str], int]]) -> None:
    """The files of custom ops that firmware/CMakeLists.txt wants: one in C for each source, and the list of the ops."""
    names = [name for ops, _ in kernels.values() for name in ops]
    for name in names:
        if names.count(name) > 1:
            raise ModelError(f"custom op {name!r} is in more than one file: {', '.join(map(str, kernels))}")
    folder.mkdir()
    for i, (file, (_, source)) in enumerate(kernels.items()):
        text = f'#define PE_CUSTOM_SOURCE {source:#x}\n#include "{file}"\n'
        (folder / f"custom_{i}.c").write_text(text, encoding="utf-8")
    rows = " ".join(f"X({name})" for name in names)
    (folder / "custom_ops.h").write_text(f"#define PE_CUSTOM_OPS(X) {rows}\n", encoding="utf-8")


def _cmake(
    source: Path,
    work: Path,
    profile: Profile,
    image: Image,
    tools: Toolchain,
    ops: list[str] | None,
    options: dict[str, str],
) -> Path:
    cmake, ninja = program("cmake"), program("ninja")
    if cmake is None:
        raise MissingToolError(
            "cmake is not installed; try: pip install 'pyedge[firmware]' or: sudo apt install cmake make"
        )
    cross = (
        {"CMAKE_TOOLCHAIN_FILE": str(source / "cmake" / tools.file), "PYEDGE_MARCH": image.isa} if tools.file else {}
    )
    define = {
        **cross,
        "PYEDGE_BOARD": profile.port,
        "PYEDGE_NAME": profile.name,
        "PYEDGE_OUTPUT": image.file,
        "PYEDGE_VERSION": _version(),
        **({"PYEDGE_TRIM": ";".join(ops)} if ops is not None else {}),
        **({"PYEDGE_MARK": str(profile.mark)} if profile.mark is not None else {}),
        **({"PYEDGE_CUSTOM": str(work / "custom")} if (work / "custom").is_dir() else {}),
        **({"PYEDGE_ZIG": tools.programs[0]} if tools.name == "zig" else {}),
        **({"CMAKE_C_COMPILER": tools.programs[0]} if tools.file is None else {}),
        **({"CMAKE_MAKE_PROGRAM": ninja} if ninja else {}),
        **options,
    }
    args = ["-S", str(source), "-B", str(work), *(f"-D{key}={value}" for key, value in define.items())]
    _run([cmake, *args, *(["-G", "Ninja"] if ninja else [])], work)
    _run([cmake, "--build", str(work), "--parallel", str(min(4, os.cpu_count() or 1))], work)
    return work / image.file


def _run(command: list[str], work: Path) -> None:
    nothing, together = subprocess.DEVNULL, subprocess.STDOUT
    env = {key: value for key, value in os.environ.items() if key not in _FLAGS}
    result = subprocess.run(command, stdout=subprocess.PIPE, stderr=together, stdin=nothing, cwd=work, env=env)
    if result.returncode:
        # As lld and GNU ld say it, once for each section that does not fit: the last one is all that is too much.
        too_much = re.findall(rb"region [`'](\w+)':? overflowed by (\d+) bytes", result.stdout)
        if too_much:
            region, by = max(too_much, key=lambda found: int(found[1]))
            raise ToolError(
                f"the firmware is {int(by)} bytes larger than the {region.decode()} of this board has room for; keep"
                " only the ops that your plans need; try: pyedge flash --trim-to PLAN"
            )
        raise ToolError(f"building the firmware failed: {complaint(result.stdout)}")


@dataclass(frozen=True)
class ImageSize:
    """Bytes of an ELF image. code: executed; rodata: read-only data; data: RAM with a start value; bss: other RAM."""

    code: int
    rodata: int
    data: int
    bss: int


def image_size(path: Path) -> ImageSize:
    """Sums the sections that an ELF file (32 or 64 bit, little-endian) loads. Raises ToolError if it is none."""
    elf = path.read_bytes()
    try:
        if elf[:4] != b"\x7fELF" or elf[5] != 1:
            raise ToolError(f"{path}: not a little-endian ELF file")
        wide = elf[4] == 2
        (table,) = struct.unpack_from("<Q" if wide else "<I", elf, 40 if wide else 32)
        size, count = struct.unpack_from("<HH", elf, 58 if wide else 46)
        totals = {"code": 0, "rodata": 0, "data": 0, "bss": 0}
        for i in range(count):
            head = struct.unpack_from("<IIQQQQ" if wide else "<IIIIII", elf, table + i * size)
            kind, flags, length = head[1], head[2], head[5]
            if flags & 2:  # SHF_ALLOC
                nobits, write, execute = kind == 8, flags & 1, flags & 4
                totals["bss" if nobits else "code" if execute else "data" if write else "rodata"] += length
    except (struct.error, IndexError) as e:
        raise ToolError(f"{path}: a damaged ELF file: {e}") from e
    return ImageSize(**totals)
