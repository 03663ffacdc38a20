"""A client of docs/link.md that shares nothing with pyedge.host: COBS and CBOR from PyPI, so that it can disagree."""

from __future__ import annotations

import binascii
import hashlib
import os
import select
import socket
import struct
import subprocess
import time
from pathlib import Path
from typing import Any

import cbor2
from cobs import cobs

READ, WRITE = 0, 2
OS, IMAGE, PYEDGE = 0, 1, 70


def pack(op: int, group: int, id: int, body: bytes, seq: int = 0, length: int | None = None) -> bytes:
    """A frame with its end mark; length overrides the header's."""
    head = struct.pack(">BBHHBB", op, 0, len(body) if length is None else length, group, seq, id)
    return cobs.encode(head + body + struct.pack(">H", binascii.crc_hqx(head + body, 0))) + b"\0"


class Board:
    """A process whose serial line is one end of a socket pair: the host port, or QEMU."""

    def __init__(self, command: list[str]) -> None:
        """Starts the command; "{fd}" in it becomes the number of the line's file descriptor."""
        self.sock, theirs = socket.socketpair()
        # QEMU's sifive_uart drops what does not fit, and a socket accounts some 768 bytes for each byte that it writes.
        theirs.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 20)
        with theirs:
            self.process = subprocess.Popen(
                [part.replace("{fd}", str(theirs.fileno())) for part in command],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
            )
        self.seq = 0
        self.buffer = b""

    def __enter__(self) -> Board:
        return self

    def __exit__(self, *_: object) -> None:
        self.sock.close()
        try:
            self.process.wait(0.5)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        assert self.process.stderr is not None
        self.process.stderr.close()

    def frame(self, timeout_s: float) -> bytes | None:
        """The next decoded frame without its CRC; None: none came, or the board is gone. Bad frames raise."""
        until = time.monotonic() + timeout_s
        while (end := self.buffer.find(b"\0")) <= 0:
            self.buffer = self.buffer[1:] if end == 0 else self.buffer
            if end == 0:
                continue
            if not select.select([self.sock], [], [], max(0.0, until - time.monotonic()))[0]:
                return None
            try:
                data = self.sock.recv(65536)
            except ConnectionResetError:
                return None
            if not data:
                return None
            self.buffer += data
        raw, self.buffer = self.buffer[:end], self.buffer[end + 1 :]
        message = cobs.decode(raw)
        assert binascii.crc_hqx(message, 0) == 0, message
        return message[:-2]

    def ask(
        self, op: int, group: int, id: int, body: Any = None, timeout_s: float = 5.0, tries: int = 3
    ) -> dict[str, Any] | None:
        """The answer's map, or None if the board is gone."""
        self.seq = (self.seq + 1) & 255
        request = pack(op, group, id, cbor2.dumps({} if body is None else body), self.seq)
        for _ in range(tries):
            try:
                self.sock.sendall(b"\0" + request)
            except (BrokenPipeError, ConnectionResetError):
                return None
            answer = self.frame(timeout_s)
            while answer and answer[6] != self.seq:
                answer = self.frame(timeout_s)
            if answer is None:
                if self.process.poll() is not None:
                    return None
                continue
            code, _flags, length, answer_group, _seq, answer_id = struct.unpack(">BBHHBB", answer[:8])
            assert (code, answer_group, answer_id, length) == (op + 1, group, id, len(answer) - 8)
            out = cbor2.loads(answer[8:])
            assert isinstance(out, dict)
            return out
        raise TimeoutError("no answer")

    def upload(self, group: int, data: bytes, chunk: int = 400) -> dict[str, Any] | None:
        """Uploads a plan to RAM (group PYEDGE) or flash (group IMAGE); the last answer, or None if the board went."""
        off, sha = 0, hashlib.sha256(data).digest()
        while True:
            body: dict[str, Any] = {"off": off, "data": data[off : off + chunk]}
            if off == 0:
                body |= {"len": len(data), "sha": sha}
            answer = self.ask(WRITE, group, 1, body)
            if answer is None or "rc" in answer or "match" in answer:
                return answer
            off = answer["off"]

    def put(self, data: bytes, entry: int = 0, index: int = 0, chunk: int = 400) -> None:
        """Writes an input tensor."""
        for off in range(0, len(data), chunk):
            piece = data[off : off + chunk]
            body = {"e": entry, "i": index, "off": off, "data": piece, "crc": binascii.crc32(piece)}
            assert self.ask(WRITE, PYEDGE, 3, body) == {"off": off + len(piece)}

    def get(self, bytes_: int, entry: int = 0, index: int = 0) -> bytes:
        """Reads an output tensor."""
        data = b""
        while len(data) < bytes_:
            answer = self.ask(READ, PYEDGE, 5, {"e": entry, "i": index, "off": len(data), "n": bytes_ - len(data)})
            assert answer is not None and answer["off"] == len(data) and answer["data"], answer
            data += answer["data"]
        return data


def virt(image: Path, flash: Path | None = None, cpu: str = "rv32") -> list[str]:
    """The command of QEMU's virt machine. Instructions count only with -icount shift=0."""
    command = ["qemu-system-riscv32", "-nodefaults", "-display", "none", "-monitor", "none", "-icount", "shift=0"]
    command += ["-M", "virt", "-cpu", cpu, "-m", "32", "-bios", str(image)]
    if flash is not None:
        command += ["-drive", f"if=pflash,unit=1,format=raw,file={flash}"]
    return [*command, "-chardev", "socket,id=link,fd={fd}", "-serial", "chardev:link"]


def sifive_e(image: Path, store: Path | None = None) -> list[str]:
    """The command of QEMU's sifive_e machine, with the store put where the port has it."""
    command = ["qemu-system-riscv32", "-nodefaults", "-display", "none", "-monitor", "none", "-icount", "shift=0"]
    command += ["-M", "sifive_e", "-bios", "none", "-kernel", str(image)]
    if store is not None:
        command += ["-device", f"loader,file={store}"]
    return [*command, "-chardev", "socket,id=link,fd={fd}", "-serial", "chardev:link"]


def mps(machine: str, image: Path, store: Path | None = None) -> list[str]:
    """The command of a Cortex-M machine. Its firmware counts instructions of 64 ns: only with -icount shift=6."""
    command = ["qemu-system-arm", "-nodefaults", "-display", "none", "-monitor", "none", "-icount", "shift=6"]
    command += ["-M", machine, "-kernel", str(image)]
    if store is not None:
        command += ["-device", f"loader,file={store}"]
    return [*command, "-chardev", "socket,id=link,fd={fd}", "-serial", "chardev:link"]


def erased_flash(path: Path, bytes_: int = 32 << 20) -> Path:
    """A file of erased flash; holes would read as 0, so it is written out."""
    with path.open("wb") as file:
        for _ in range(bytes_ >> 20):
            file.write(b"\xff" * (1 << 20))
    os.truncate(path, bytes_)
    return path


def record(sequence: int, slot: int, plan: bytes) -> bytes:
    """A journal record."""
    body = struct.pack("<4sIII", b"PEJ1", sequence, slot, len(plan)) + hashlib.sha256(plan).digest() + b"\xff" * 12
    return body + struct.pack("<I", binascii.crc32(body))


def store_elf(plan: bytes, address: int = 0x20800000, sector_bytes: int = 4096) -> bytes:
    """A store with one record and slot 0, for a board that cannot write it. ELF, as QEMU limits raw files to RAM."""
    data = record(1, 0, plan).ljust(2 * sector_bytes, b"\xff") + plan
    ident = b"\x7fELF" + bytes([1, 1, 1]).ljust(12, b"\0")
    head = ident + struct.pack("<HHIIIIIHHHHHH", 2, 243, 1, address, 52, 0, 0, 52, 32, 1, 40, 0, 0)
    return head + struct.pack("<8I", 1, 84, address, address, len(data), len(data), 4, 4) + data
