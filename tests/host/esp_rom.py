"""A simulated ESP32-C3 behind a port on loopback, for the real esptool: boot ROM, flasher stub, and reset wiring.

Frames are SLIP; a request is 00, op, length (16 bit), checksum (32 bit), data; a reply 01, op, length, value, data,
status (Espressif, esptool documentation, "Serial Protocol"). After MEM_END it behaves as the stub, whose code is not
executed. DTR pulls IO0 low and RTS pulls EN low, through two transistors as on Espressif's boards: both at once do
nothing.
"""

from __future__ import annotations

import hashlib
import socket
import struct
import threading
import zlib
from dataclasses import dataclass

SPI, BLOCK1 = 0x60002000, 0x60008844  # registers: SPI controller, eFuse with the MAC address
SYNC, SECURITY_INFO, READ_REG, WRITE_REG = 0x08, 0x14, 0x0A, 0x09
SPI_PARAMS, SPI_ATTACH, CHANGE_BAUD = 0x0B, 0x0D, 0x0F
MEM_BEGIN, MEM_END, MEM_DATA = 0x05, 0x06, 0x07
FLASH_BEGIN, FLASH_DATA, FLASH_END = 0x02, 0x03, 0x04
DEFLATE_BEGIN, DEFLATE_DATA, DEFLATE_END, MD5 = 0x10, 0x11, 0x12, 0x13


def slip(data: bytes) -> bytes:
    """One frame."""
    return b"\xc0" + data.replace(b"\xdb", b"\xdb\xdd").replace(b"\xc0", b"\xdb\xdc") + b"\xc0"


@dataclass
class _Write:
    at: int
    next: int  # number of the block that comes next
    inflate: zlib._Decompress | None


class Chip:
    """Its flash, and what runs: "app" answers nothing, "rom" and "stub" are the loader.

    Args:
        chip_id: 5 is an ESP32-C3, 13 an ESP32-C6.
        reset_after: The chip resets into the application in the middle of a write, after so many blocks.
        bad_flash: A bit of what is written is another one in flash.
        dead: Nothing answers.
    """

    def __init__(
        self, chip_id: int = 5, reset_after: int | None = None, bad_flash: bool = False, dead: bool = False
    ) -> None:
        self.flash = bytearray(b"\xff" * (4 << 20))
        self.runs = "app"
        self.resets = 0
        self.chip_id, self.reset_after, self.bad_flash, self.dead = chip_id, reset_after, bad_flash, dead
        self._registers = {BLOCK1: 0xEFBEADDE, BLOCK1 + 4: 0x0000FECA}
        self._dtr = self._rts = False
        self._input = bytearray()
        self._write: _Write | None = None
        self._blocks = 0

    def lines(self, dtr: bool | None = None, rts: bool | None = None) -> None:
        """When EN is released, IO0 says what starts."""
        held = self._rts and not self._dtr
        self._dtr = self._dtr if dtr is None else dtr
        self._rts = self._rts if rts is None else rts
        if held and not (self._rts and not self._dtr):
            self.runs = "rom" if self._dtr else "app"
            self.resets += 1
            self._input.clear()

    def feed(self, data: bytes) -> bytes:
        """Bytes of the host; the bytes that answer."""
        if self.runs == "app" or self.dead:
            return b""
        *frames, rest = (self._input + data).split(b"\xc0")
        self._input = bytearray(rest)
        unescaped = (f.replace(b"\xdb\xdc", b"\xc0").replace(b"\xdb\xdd", b"\xdb") for f in frames)
        return b"".join(self._packet(bytes(f)) for f in unescaped if len(f) >= 8 and f[0] == 0)

    def _packet(self, frame: bytes) -> bytes:
        _, op, size, checksum = struct.unpack_from("<BBHI", frame)
        data = frame[8:]
        if len(data) != size:
            return self._reply(op, error=5)
        if op == SYNC:
            return self._reply(op, 0 if self.runs == "stub" else 0x20120707) * 8
        if op == SECURITY_INFO:
            return self._reply(op, data=struct.pack("<IB7BII", 0, 0, *[0] * 7, self.chip_id, 0))
        if op == READ_REG:
            return self._reply(op, self._registers.get(*struct.unpack("<I", data), 0))
        if op == WRITE_REG:
            return self._write_registers(data)
        if op in (MEM_DATA, FLASH_DATA, DEFLATE_DATA) and self._sum(data[16:]) != checksum & 0xFF:
            return self._reply(op, error=7)
        if op == MEM_END:
            answer = self._reply(op)
            self.runs = "stub"
            return answer + slip(b"OHAI")
        if op in (FLASH_BEGIN, DEFLATE_BEGIN):
            return self._begin(op, data)
        if op in (FLASH_DATA, DEFLATE_DATA):
            return self._data(op, data)
        if op == MD5:
            at, size = struct.unpack_from("<II", data)
            md5 = hashlib.md5(self.flash[at : at + size])
            return self._reply(op, data=md5.digest() if self.runs == "stub" else md5.hexdigest().encode())
        known = op in (SPI_PARAMS, SPI_ATTACH, CHANGE_BAUD, MEM_BEGIN, MEM_DATA, FLASH_END, DEFLATE_END)
        return self._reply(op, error=0 if known else 5)

    def _reply(self, op: int, value: int = 0, data: bytes = b"", error: int = 0) -> bytes:
        status = bytes([error > 0, error]) + (b"" if self.runs == "stub" else b"\0\0")
        return slip(struct.pack("<BBHI", 1, op, len(data + status), value) + data + status)

    @staticmethod
    def _sum(data: bytes) -> int:
        result = 0xEF
        for byte in data:
            result ^= byte
        return result

    def _write_registers(self, data: bytes) -> bytes:
        """As the SPI controller, which reads the flash's id by command 9F when bit 18 starts it."""
        for address, value, mask, _ in struct.iter_unpack("<IIII", data):
            self._registers[address] = self._registers.get(address, 0) & ~mask | value & mask
            if address == SPI and value & 1 << 18:
                command = self._registers.get(SPI + 0x20, 0) & 0xFF
                self._registers[SPI + 0x58] = 0x16405E if command == 0x9F else 0
                self._registers[SPI] = 0
        return self._reply(WRITE_REG)

    def _begin(self, op: int, data: bytes) -> bytes:
        size, _, _, at = struct.unpack_from("<IIII", data)
        end = at + -(-size // 4096) * 4096
        if end > len(self.flash):
            return self._reply(op, error=6)
        self.flash[at:end] = b"\xff" * (end - at)
        self._write = _Write(at, 0, zlib.decompressobj() if op == DEFLATE_BEGIN else None)
        return self._reply(op)

    def _data(self, op: int, data: bytes) -> bytes:
        size, number = struct.unpack_from("<II", data)
        block, write = data[16:], self._write
        if write is None or size != len(block) or number not in (write.next, write.next - 1):
            return self._reply(op, error=6)
        if self._blocks == self.reset_after:
            self.runs = "app"
            return b""
        if number == write.next:  # else it was repeated, as its answer was lost
            block = write.inflate.decompress(block) if write.inflate else block
            if self.bad_flash and block:
                block = bytes([block[0] ^ 1]) + block[1:]
            self.flash[write.at : write.at + len(block)] = block
            write.at, write.next = write.at + len(block), write.next + 1
            self._blocks += 1
        return self._reply(op)


class Port:
    """Serves a chip on loopback, one client after another. `url` is what a client opens; close() ends it.

    Args:
        wired: DTR and RTS are there, by RFC 2217, whose pyserial client takes half a minute for a session of esptool.
            Else bytes alone, and the chip is in its loader, as with the BOOT button held.
    """

    IAC, SB, SE, WILL, WONT, DO, DONT = 255, 250, 240, 251, 252, 253, 254
    COM_PORT, SET_CONTROL = 44, 5  # RFC 2217

    def __init__(self, chip: Chip, wired: bool) -> None:
        self._chip, self._wired = chip, wired
        if not wired:
            chip.runs = "rom"
        self._socket = socket.create_server(("127.0.0.1", 0))
        self._client: socket.socket | None = None
        address = f"127.0.0.1:{self._socket.getsockname()[1]}"
        self.url = f"rfc2217://{address}?ign_set_control" if wired else f"socket://{address}"
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def close(self) -> None:
        """Ends the server, and the connection there is."""
        for end in filter(None, (self._socket, self._client)):
            try:
                end.shutdown(socket.SHUT_RDWR)
            except OSError:
                continue
        self._thread.join()
        self._socket.close()

    def _run(self) -> None:
        while True:
            try:
                self._client, _ = self._socket.accept()
            except OSError:
                return
            with self._client as client:
                try:
                    self._serve(client)
                except OSError:
                    continue

    def _serve(self, client: socket.socket) -> None:
        rest = b""
        while data := client.recv(65536):
            if self._wired:
                rest = self._telnet(client, rest + data)
            else:
                client.sendall(self._chip.feed(data))

    def _telnet(self, client: socket.socket, data: bytes) -> bytes:
        """Handles all that is whole in data, in its order; returns the rest."""
        plain, at = bytearray(), 0

        def to_chip() -> None:
            if plain and (answer := self._chip.feed(bytes(plain))):
                client.sendall(answer.replace(b"\xff", b"\xff\xff"))
            plain.clear()

        while at < len(data):
            if data[at] != self.IAC:
                plain.append(data[at])
                at += 1
                continue
            command = data[at + 1 : at + 2]
            if command == b"\xff":
                plain.append(0xFF)
                at += 2
            elif command and command[0] in (self.WILL, self.WONT, self.DO, self.DONT) and at + 2 < len(data):
                self._option(client, command[0], data[at + 2])
                at += 3
            elif command == bytes([self.SB]) and (end := data.find(bytes([self.IAC, self.SE]), at)) > 0:
                to_chip()
                self._control(client, data[at + 2 : end])
                at = end + 2
            else:
                break
        to_chip()
        return data[at:]

    def _option(self, client: socket.socket, command: int, option: int) -> None:
        agreed = option in (self.COM_PORT, 0, 3)  # RFC 2217, binary, no "go ahead"
        answers = {self.DO: self.WILL if agreed else self.WONT, self.WILL: self.DO if agreed else self.DONT}
        if command in answers:
            client.sendall(bytes([self.IAC, answers[command], option]))

    def _control(self, client: socket.socket, request: bytes) -> None:
        if len(request) < 2 or request[0] != self.COM_PORT:
            return
        what, value = request[1], request[2:]
        if what == self.SET_CONTROL and value and value[0] in (8, 9):
            self._chip.lines(dtr=value[0] == 8)
        elif what == self.SET_CONTROL and value and value[0] in (11, 12):
            self._chip.lines(rts=value[0] == 11)
        answer = bytes([self.COM_PORT, what + 100]) + value
        client.sendall(bytes([self.IAC, self.SB]) + answer + bytes([self.IAC, self.SE]))
