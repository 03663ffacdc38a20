"""Byte streams to a board: a serial port (pyserial), or a pty whose other end an emulator has that we started."""

from __future__ import annotations

import errno
import os
import select
import time
from typing import Protocol

import serial

from ..errors import BoardNotFoundError, BusyError, LinkError, PermissionDeniedError
from . import timing


class Stream(Protocol):
    """What link.py needs. Each method raises LinkError when the other side is gone."""

    name: str

    def read(self) -> bytes:
        """What has come; waits up to timing.POLL_S for the first byte, and gives b"" if there is none."""

    def write(self, data: bytes) -> None:
        """Sends all of data, in timing.WRITE_S."""

    def close(self) -> None: ...


def write_all(fd: int, data: bytes, name: str) -> None:
    """Writes to a descriptor that does not block, within timing.WRITE_S; LinkError if the other end takes too long."""
    view, deadline = memoryview(data), time.monotonic() + timing.WRITE_S
    while view:
        left = deadline - time.monotonic()
        if left <= 0:
            raise LinkError(f"{name}: the board takes no bytes")
        if select.select([], [fd], [], left)[1]:
            view = view[os.write(fd, view) :]


class PtyStream:
    """Our end of a pseudo-terminal; a process that we started has the other."""

    def __init__(self, fd: int, name: str) -> None:
        self.name = name
        self._fd = fd
        os.set_blocking(fd, False)

    def read(self) -> bytes:
        try:
            if not select.select([self._fd], [], [], timing.POLL_S)[0]:
                return b""
            return os.read(self._fd, 65536)
        except BlockingIOError:
            return b""
        except (OSError, ValueError) as e:  # EIO: the other end was closed; ValueError: this one
            raise LinkError(f"{self.name}: the board's process has ended") from e

    def write(self, data: bytes) -> None:
        try:
            write_all(self._fd, data, self.name)
        except (OSError, ValueError) as e:
            raise LinkError(f"{self.name}: the board's process has ended") from e

    def close(self) -> None:
        fd, self._fd = self._fd, -1
        if fd >= 0:
            os.close(fd)


class SerialStream:
    """A serial port by path, or any URL that pyserial knows (socket://, rfc2217://)."""

    def __init__(self, port: str, baud: int) -> None:
        """Opens it for us alone.

        Raises:
            BoardNotFoundError, PermissionDeniedError, BusyError: No such port; not ours to open; open elsewhere.
        """
        self.name = port
        write_s = None if port.startswith("rfc2217:") else timing.WRITE_S  # pyserial has none there
        try:
            self._port = serial.serial_for_url(port, baud, timeout=timing.POLL_S, write_timeout=write_s, exclusive=True)
        except (serial.SerialException, OSError, ValueError) as e:
            raise _open_error(port, e) from e

    def read(self) -> bytes:
        try:
            return bytes(self._port.read(max(1, self._port.in_waiting)))
        except (serial.SerialException, OSError, TypeError) as e:  # TypeError: pyserial, port closed while reading
            raise LinkError(f"{self.name}: the port is gone: {e}") from e

    def write(self, data: bytes) -> None:
        try:
            self._port.write(data)
        except serial.SerialTimeoutException as e:
            raise LinkError(f"{self.name}: the board takes no bytes") from e
        except (serial.SerialException, OSError) as e:
            raise LinkError(f"{self.name}: the port is gone: {e}") from e

    def close(self) -> None:
        self._port.close()


def _open_error(port: str, e: Exception) -> Exception:
    """pyserial puts errno into the exception for its own errors, and into the text for a failed lock."""
    code, text = getattr(e, "errno", None), str(e)
    if code == errno.EACCES:
        return PermissionDeniedError(f"{port}: permission denied; try: pyedge doctor")
    if code in (errno.EBUSY, errno.EAGAIN) or "exclusively lock" in text:
        return BusyError(f"{port}: in use by another program; try: pyedge doctor")
    if code == errno.ENOENT:
        text = "no such port"
    elif code == errno.EISDIR or f"({errno.ENOTTY}, " in text:
        text = "it is no serial port"
    return BoardNotFoundError(f"{port}: cannot open: {text}; try: pyedge ports")
