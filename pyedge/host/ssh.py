"""A board with Linux, reached by the system's ssh: pyedge there answers on the pipe (serve.py)."""

from __future__ import annotations

import os
import re
import select
import shlex
import shutil
import subprocess
import tempfile
from dataclasses import dataclass

from ..boards import Profile
from ..errors import BoardNotFoundError, LinkError, MissingToolError, PermissionDeniedError, ToolError, UnsupportedError
from . import timing
from .stream import write_all

PREFIX = "ssh:"
BAUD = 10_000_000  # for time-outs: a slow Wi-Fi
_PORT = re.compile(r"(?P<host>(?:[^@\s/:\[\]-][^@\s/:\[\]]*@)?(?:\[[0-9a-fA-F:]+\]|[^@\s/:\[\]-][^@\s/:\[\]]*))"
                   r"(?::(?P<port>\d{1,5}))?(?P<python>/\S+)?")  # fmt: skip
_FAILED = 255  # exit code of ssh for its own errors; others are the command's
_COMPLAINT = 300  # characters of what ssh and the other side say


@dataclass(frozen=True)
class Place:
    """host: "[user@]name", which ~/.ssh/config may know; python: the one that has pyedge there."""

    host: str
    port: int | None
    python: str

    @classmethod
    def parse(cls, text: str) -> Place:
        """Of "ssh:[user@]host[:port][/path/to/python]". BoardNotFoundError if it is not of that form."""
        m = _PORT.fullmatch(text.removeprefix(PREFIX))
        if m is None or int(m["port"] or 1) not in range(1, 1 << 16):
            raise BoardNotFoundError(f"{text}: expected ssh:[user@]host[:port][/path/to/python]")
        host = m["host"].replace("[", "").replace("]", "")
        return cls(host, int(m["port"]) if m["port"] else None, m["python"] or "python3")

    def command(self, remote: str) -> list[str]:
        """ssh's command line. It never asks: there is nobody to answer in a test or on a farm."""
        options = ["BatchMode=yes", f"ConnectTimeout={int(timing.SSH_S / 2)}", "ServerAliveInterval=5"]
        port = ["-p", str(self.port)] if self.port else []
        return ["ssh", "-T", *(f"-o{option}" for option in options), *port, "--", self.host, remote]


class SshStream:
    """The pipe to `serve` on a board."""

    def __init__(self, profile: Profile, port: str) -> None:
        """Starts ssh. What goes wrong on the way is told by read().

        Raises:
            UnsupportedError: A board without Linux.
            BoardNotFoundError: A port of another form.
            MissingToolError: There is no ssh.
        """
        if profile.linux is None:
            raise UnsupportedError(f"{profile.name}: ssh is for boards with Linux; give the port of its serial line")
        self.name = port
        self._place = Place.parse(port)
        if shutil.which("ssh") is None:
            raise MissingToolError("ssh is not installed; try: sudo apt install openssh-client")
        words = [self._place.python, "-m", "pyedge.host.serve", "--board", profile.name, "--machine"]
        remote = shlex.join([*words, profile.linux.wheel])
        self._log = tempfile.TemporaryFile()  # noqa: SIM115  as long as the process
        self._process = subprocess.Popen(
            self._place.command(remote),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            bufsize=0,
            start_new_session=True,  # a Ctrl-C in the terminal is for us
        )
        assert self._process.stdin and self._process.stdout
        self._in, self._out = self._process.stdin.fileno(), self._process.stdout.fileno()
        os.set_blocking(self._in, False)

    def read(self) -> bytes:
        if not select.select([self._out], [], [], timing.POLL_S)[0]:
            return b""
        data = os.read(self._out, 1 << 16)
        if not data:
            raise self._ended()
        return data

    def write(self, data: bytes) -> None:
        try:
            write_all(self._in, data, self.name)
        except BrokenPipeError as e:
            raise self._ended() from e

    def close(self) -> None:
        """Closes the pipe, at which serve ends and ssh with it."""
        assert self._process.stdin and self._process.stdout
        self._process.stdin.close()
        self._process.stdout.close()
        try:
            self._process.wait(timing.STOP_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._log.close()

    def _ended(self) -> Exception:
        """Why there is no more to read, by ssh's exit code and what was said on standard error."""
        try:
            code = self._process.wait(timing.STOP_S)
        except subprocess.TimeoutExpired:
            return LinkError(f"{self.name}: the other side has closed the pipe")
        self._log.seek(0)
        said = " ".join(self._log.read().decode(errors="replace").split())[-_COMPLAINT:]
        where, host = f"{self.name}: {said or f'exit code {code}'}", self._place.host
        p = f" -p {self._place.port}" if self._place.port else ""
        if code != _FAILED:
            if "No module named" in said or code in (126, 127):
                return ToolError(
                    f"{where}; install pyedge there, or name its Python: ssh:{host}/path/to/venv/bin/python"
                )
            return UnsupportedError(where) if code == UnsupportedError.exit_code else LinkError(where)
        if "Permission denied" in said:
            return PermissionDeniedError(f"{where}; try: ssh-copy-id{p} {host}")
        if "verification failed" in said:
            return PermissionDeniedError(f"{where}; try once: ssh{p} {host}")
        if any(text in said for text in ("resolve", "refused", "No route", "timed out", "unreachable")):
            return BoardNotFoundError(where)
        return LinkError(where)
