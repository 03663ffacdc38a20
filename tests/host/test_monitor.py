"""pyedge monitor: frames and text told apart in any pieces, and a port that goes and comes back."""

import json
import os
import pty
import subprocess
import sys
import threading
import tty
from pathlib import Path

import numpy as np
import pytest

from pyedge.errors import BoardNotFoundError, LinkError
from pyedge.host import cbor, frame
from pyedge.host.monitor import Decoder, Line, watch

MESSAGE = frame.Message(frame.WRITE_RESPONSE, 70, 9, 3, cbor.encode({"rc": 0, "sha": bytes(32), "l": [1, "a"]}))
SHOWN = f"answer 70/3 seq 9 {{rc: 0, sha: {'00' * 8}.. (32 bytes), l: [1, 'a']}}"


def test_frames_and_text_in_any_pieces() -> None:
    """Boot text, a frame behind it, another, text again, and bytes that are neither: cut at every place."""
    data = b"boot v1\r\nready\n" + frame.pack(MESSAGE) + frame.pack(MESSAGE) + b"t = 3 C\nhalf"
    expected = ["boot v1", "ready", SHOWN, SHOWN, "t = 3 C", "half"]
    for cut in range(len(data)):
        decoder = Decoder()
        lines = [*decoder.feed(data[:cut]), *decoder.feed(data[cut:]), *decoder.flush()]
        assert [line.text for line in lines] == expected, cut
    bytewise = Decoder()
    lines = [line for i in range(len(data)) for line in bytewise.feed(data[i : i + 1])]
    assert [line.text for line in (*lines, *bytewise.flush())] == expected


def test_noise_is_shown_and_hides_no_frame() -> None:
    """Damaged frames and garbage come out as text; the next whole frame is read."""
    rng = np.random.default_rng(0)
    for _ in range(50):
        damaged = bytearray(frame.pack(MESSAGE))
        damaged[int(rng.integers(len(damaged) - 1))] ^= 1 << int(rng.integers(8))
        noise = rng.integers(1, 256, 300, np.uint8).tobytes()
        lines = Decoder().feed(bytes(damaged) + noise + b"\0" + frame.pack(MESSAGE))
        assert lines[-1].text == SHOWN and [line.kind for line in lines].count("frame") == 1
    endless = Decoder()
    assert sum(len(line.text) for line in endless.feed(b"\x80" * 100_000)) == 400_000  # nothing is held back for ever


class Plug:
    """A port whose board can be unplugged: reads give what is queued, then fail."""

    name = "/dev/plug"

    def __init__(self, pieces: list[bytes]) -> None:
        self.pieces, self.closed = pieces, False

    def read(self) -> bytes:
        if not self.pieces:
            raise LinkError("/dev/plug: the port is gone")
        return self.pieces.pop(0)

    def write(self, data: bytes) -> None:
        raise AssertionError("a monitor only listens")

    def close(self) -> None:
        self.closed = True


def test_a_port_that_goes_is_opened_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pyedge.host.monitor._REOPEN_S", 0.01)
    plugs = [Plug([b"one\ntw"]), Plug([b"three\n"])]
    opened: list[Plug] = []

    def open_port() -> Plug:
        if len(opened) == 1 and not opened[0].pieces and len(attempts) < 3:
            attempts.append(1)
            raise BoardNotFoundError("/dev/plug: cannot open")
        opened.append(plugs[len(opened)])
        return opened[-1]

    attempts: list[int] = []
    seen: list[Line] = []
    for line in watch(open_port, seconds=5):
        seen.append(line)
        if line.text == "three":
            break
    texts = [line.text for line in seen]
    assert texts[:3] == ["/dev/plug: open", "one", "tw"]
    assert "waiting" in texts[3] and texts[4:] == ["/dev/plug: back", "three"]
    assert plugs[0].closed and len(attempts) == 3


def test_the_command_on_a_pty(tmp_path: Path) -> None:
    ours, theirs = pty.openpty()
    tty.setraw(theirs)
    name = os.ttyname(theirs)
    os.close(theirs)
    command = [sys.executable, "-m", "pyedge.cli", "monitor", "-p", name, "--seconds", "3", "--json"]
    done = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=tmp_path)
    assert done.stdout is not None
    lines = [json.loads(done.stdout.readline())]  # the port is open
    writer = threading.Thread(target=os.write, args=(ours, b"hello\n" + frame.pack(MESSAGE)))
    writer.start()
    lines += [json.loads(line) for line in done.stdout]
    writer.join()
    assert done.wait(20) == 0
    assert [line["kind"] for line in lines] == ["link", "text", "frame"]
    assert lines[2]["frame"]["body"] == {"rc": 0, "sha": "00" * 32, "l": [1, "a"]}
    os.close(ours)
