"""Firmware images as imgtool signs them, checked by the C that the boards check them with, under ASan and UBSan."""

from __future__ import annotations

import hashlib
import struct
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

from pyedge.host import monocypher

from .conftest import ROOT, need
from .slots import imgtool, public_key, sign
from .test_core import SANITIZE

GOOD, NONE, DAMAGED, KIND, UNSIGNED, SIGNATURE, ROLLBACK = range(7)
SOURCES = [f"firmware/{name}.c" for name in ("boot/image", "boot/signature", "boot/sha512", "core/sha256")]


@dataclass
class Tools:
    """The compiled test, and a folder with keys."""

    program: Path
    folder: Path
    key: Path
    public: bytes

    def check(self, image: Path, *more: str, key: bytes | None = b"", floor: int = 0) -> tuple[int, list[str]]:
        """The fault, and what else was printed. key None: none is required."""
        wanted = "none" if key is None else (key or self.public).hex()
        command = [str(self.program), wanted, str(floor), str(image), *more]
        out = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout.split()
        return int(out[0]), out[1:]


def compile_test(name: str, folder: Path, sources: list[str]) -> Path:
    """tests/firmware/<name>.c with those of firmware/, and Monocypher."""
    need("cc")
    curve = monocypher.sources()
    include = [
        f"-I{ROOT / room}" for room in ("firmware/boot", "firmware/core", "csrc/include", "csrc", "tests/firmware")
    ]
    files = [ROOT / "tests/firmware" / f"{name}.c", *(ROOT / source for source in sources), curve / "monocypher.c"]
    flags = ["-std=c11", "-O1", "-g", "-Wall", "-Wextra", "-Werror", *SANITIZE]
    subprocess.run(["cc", *flags, *include, f"-I{curve}", *map(str, files), "-o", str(folder / name)], check=True)
    return folder / name


@pytest.fixture(scope="module")
def tools(tmp_path_factory: pytest.TempPathFactory) -> Tools:
    """Built once."""
    folder = tmp_path_factory.mktemp("image")
    program = compile_test("image_test", folder, SOURCES)
    key = folder / "key.pem"
    imgtool("keygen", "-k", key, "-t", "ed25519")
    return Tools(program, folder, key, public_key(key))


def test_an_image_of_imgtool_is_read(tools: Tools) -> None:
    """Version, counter, address and lengths; the key named by its hash or as it is; a larger header; vendors' TLVs."""
    payload = bytes(range(256)) * 3
    image = sign(tools.folder / "a", payload, "-k", tools.key, "-s", 7, "-F", 0x22900000)
    fault, (start, length, address, counter, version) = tools.check(image, floor=7)
    assert (fault, int(start), int(length)) == (GOOD, 32, image.stat().st_size)
    assert (int(address, 16), counter, version) == (0x22900000, "7", "1.2.3+4")
    full = sign(
        tools.folder / "b", payload, "-k", tools.key, "--public-key-format", "full", "--custom-tlv", "0xa1", "0x0708"
    )
    assert tools.check(full)[0] == GOOD
    wide = sign(tools.folder / "c", payload, "-k", tools.key, header=512)
    assert tools.check(wide) == (GOOD, ["512", str(wide.stat().st_size), "0", "0", "1.2.3+4"])


def test_images_that_must_not_run_are_refused_each_for_its_reason(tools: Tools) -> None:
    """Unsigned, of a foreign key, of another kind of signature, older, encrypted, damaged, none."""
    folder, payload = tools.folder, b"\x13\0\0\0" * 50
    unsigned = sign(folder / "unsigned", payload)
    assert tools.check(unsigned)[0] == UNSIGNED
    assert tools.check(unsigned, key=None)[0] == GOOD  # by a board that asks for none
    foreign = folder / "foreign.pem"
    imgtool("keygen", "-k", foreign, "-t", "ed25519")
    assert tools.check(sign(folder / "f", payload, "-k", foreign))[0] == SIGNATURE
    rsa = folder / "ecdsa.pem"
    imgtool("keygen", "-k", rsa, "-t", "ecdsa-p256")
    assert tools.check(sign(folder / "e", payload, "-k", rsa))[0] == DAMAGED  # a TLV that is unknown
    older = sign(folder / "older", payload, "-k", tools.key, "-s", 6)
    assert tools.check(older, floor=7)[0] == ROLLBACK and tools.check(older, floor=6)[0] == GOOD
    assert tools.check(sign(folder / "no counter", payload, "-k", tools.key), floor=1)[0] == ROLLBACK
    assert tools.check(sign(folder / "ram", payload, "-k", tools.key, "-L", 0x80000000))[0] == KIND
    assert tools.check(sign(folder / "off", payload, "-k", tools.key, "--non-bootable"))[0] == KIND
    depends = sign(folder / "depends", payload, "-k", tools.key, "-d", "(1, 1.2.3)")
    assert tools.check(depends)[0] == KIND
    (folder / "blank").write_bytes(b"\xff" * 4096)
    assert tools.check(folder / "blank")[0] == NONE
    # A foreign key's signature beside the hash of ours.
    mixed = sign(folder / "m", payload, "-k", foreign).read_bytes()
    der = struct.pack("<12s", bytes.fromhex("302a300506032b6570032100"))
    swapped = mixed.replace(
        hashlib.sha256(der + public_key(foreign)).digest(), hashlib.sha256(der + tools.public).digest()
    )
    (folder / "m").write_bytes(swapped)
    assert swapped != mixed and tools.check(folder / "m")[0] == SIGNATURE


def test_no_bit_of_a_signed_image_can_change_and_no_length_can_lie(tools: Tools) -> None:
    """Each bit, header to signature, and each shorter file; noise in all fields reads nothing outside."""
    image = sign(tools.folder / "bits", bytes(range(100)), "-k", tools.key, "-s", 3)
    fault, printed = tools.check(image, "bits")
    assert fault == GOOD and printed[-2:] == [str(8 * image.stat().st_size), "bits"]
    long = sign(tools.folder / "noise", bytes(400), "-k", tools.key, "-s", 3)
    assert tools.check(long, "noise", "20000")[0] == GOOD


@pytest.mark.parametrize("n", [0, 1, 111, 112, 127, 128, 129, 239, 240, 1000])
def test_sha512_is_the_standard_one(tools: Tools, n: int) -> None:
    """NIST's "abc", and hashlib's at the lengths where padding changes."""
    for message in (bytes(i % 251 for i in range(n)), b"abc"):
        out = subprocess.run([tools.program, "sha512"], input=message, capture_output=True, check=True).stdout
        assert out.decode() == hashlib.sha512(message).hexdigest()


def test_a_power_cut_at_any_flash_operation_leaves_an_image_that_boots(tmp_path: Path) -> None:
    """In 48 updates, confirmed, permanent, left unconfirmed and damaged; an older image never runs."""
    more = ["firmware/boot/boot.c", "firmware/boot/state.c", "csrc/runtime/crc32.c"]
    out = subprocess.run(
        [compile_test("boot_test", tmp_path, SOURCES + more)], check=True, stdout=subprocess.PIPE
    ).stdout
    assert int(out.split()[0]) > 1000 and out.endswith(b"0 boards without one\n")
