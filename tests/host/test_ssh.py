"""A board with Linux over ssh: a real sshd on loopback, with a port and keys of its own."""

from __future__ import annotations

import getpass
import hashlib
import json
import os
import platform
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import pyedge as pe
from pyedge.boards import Profile, read_profile
from pyedge.clocks import Clock, conditions, read_clock
from pyedge.host import cbor, commands, connect, frame, ssh
from pyedge.host.board import Board
from pyedge.host.link import GROUP_PYEDGE, Link, RefusedError
from pyedge.host.serve import BUF_BYTES, Server

SSHD = shutil.which("sshd", path="/usr/sbin:/usr/local/sbin:/usr/bin")
PROFILE = f"""
name = "here"
description = "this computer"
status = "built, not run on silicon"
isa = "native"
cores = 1

[linux]
wheel = "{platform.machine()}"
system = "Linux"
python = "3.11"
install = "it is"

[[memories]]
name = "dram"
kind = "ram"
address = 0
size_bytes = 1073741824

[sources]
isa = "this test"
memories = "this test"
linux = "this test"
"""


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> Profile:
    """This computer as a board."""
    path = tmp_path_factory.mktemp("board") / "here.toml"
    path.write_text(PROFILE)
    return read_profile(path)


@pytest.fixture(scope="module")
def sshd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, int]]:
    """A server that lets this user in by one key: its folder and port."""
    if SSHD is None or not shutil.which("ssh-keygen"):
        pytest.skip("there is no sshd; to run this: sudo apt install openssh-server")
    folder = tmp_path_factory.mktemp("sshd")
    for name in ("host_key", "key"):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", folder / name], check=True)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    kind, key, _ = (folder / "host_key.pub").read_text().split(maxsplit=2)
    (folder / "known_hosts").write_text(f"[127.0.0.1]:{port} {kind} {key}\n")
    (folder / "sshd_config").write_text(
        f"ListenAddress 127.0.0.1:{port}\nHostKey {folder}/host_key\nAuthorizedKeysFile {folder}/key.pub\n"
        "StrictModes no\nUsePAM no\nPidFile none\nPasswordAuthentication no\nPermitRootLogin prohibit-password\n"
    )
    if getpass.getuser() == "root":
        Path("/run/sshd").mkdir(exist_ok=True)  # where sshd locks itself in
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen([SSHD, "-D", "-e", "-f", folder / "sshd_config"], stderr=log)
    try:
        for _ in range(200):
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    break
            assert process.poll() is None, (folder / "log").read_text()
            time.sleep(0.05)
        yield folder, port
    finally:
        process.terminate()
        process.wait()


def use_keys(monkeypatch: pytest.MonkeyPatch, folder: Path, place: Path, **changes: str) -> None:
    """The ssh that pyedge finds is the real one, with keys of the test instead of the user's."""
    options = {"IdentityFile": f"{folder}/key", "UserKnownHostsFile": f"{folder}/known_hosts", **changes}
    place.mkdir()
    (place / "config").write_text("IdentitiesOnly yes\n" + "".join(f"{k} {v}\n" for k, v in options.items()))
    (place / "ssh").write_text(f'#!/bin/sh\nexec {shutil.which("ssh")} -F {place}/config "$@"\n')
    (place / "ssh").chmod(0o755)
    monkeypatch.setenv("PATH", f"{place}:/usr/bin:/bin")


def port_of(number: int, python: str = sys.executable) -> str:
    """How this computer is reached."""
    return f"ssh:{getpass.getuser()}@127.0.0.1:{number}{python}"


def test_a_plan_runs_at_the_other_end_of_ssh(
    here: Profile, sshd: tuple[Path, int], plan: pe.Plan, x: np.ndarray, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The bits of Session; a profile in nanoseconds of each op; after a reset the plan has to be loaded again."""
    use_keys(monkeypatch, sshd[0], tmp_path / "bin")
    with connect(here, port=port_of(sshd[1])) as board:
        assert board.hello.unit == "ns" and board.hello.fw.startswith(pe.__version__)
        remote = board.load(plan)
        assert remote.run([x])[0].tobytes() == pe.Session(plan).run([x])[0].tobytes()
        profile = remote.profile([x], runs=5)
        assert [op.name for op in profile.ops] == [op.name for op in plan.ops] and profile.unit == "ns"
        clock = read_clock(min(os.sched_getaffinity(0)))
        assert profile.conditions.keys() - {"firmware", "clock_hz"} == conditions(clock, clock).keys()
        assert board.clock().governor == clock.governor
        assert 0 < remote.repeat(3) < 10**10
        assert remote.memory().arena == plan.arena_bytes
        plan.save(tmp_path / "plan.pedge")
        words = [
            "profile",
            str(tmp_path / "plan.pedge"),
            "-b",
            str(here.path),
            "-p",
            port_of(sshd[1]),
            "-n",
            "3",
            "--json",
        ]
        done = subprocess.run(
            [sys.executable, "-m", "pyedge.cli", *words, "--no-store"], capture_output=True, check=True
        )
        assert json.loads(done.stdout)["profile"]["unit"] == "ns"
        with pytest.raises(pe.UnsupportedError, match="no flash for plans"):
            board.load(plan, persist=True)
        board.reset()
        with pytest.raises(pe.PlanError, match="load this one again"):
            remote.run([x])


def test_what_keeps_ssh_from_a_board_is_said(
    here: Profile, sshd: tuple[Path, int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No pyedge there, another machine, a key that is not known, a host that is not known, nobody who listens."""
    folder, number = sshd
    use_keys(monkeypatch, folder, tmp_path / "bin")
    with pytest.raises(pe.ToolError, match="install pyedge there, or name its Python"):
        connect(here, port=port_of(number, "/usr/bin/no-python"))
    with pytest.raises(pe.LinkError, match="exit code 1; is pyedge"):
        connect(here, port=port_of(number, "/bin/false"))
    other = tmp_path / "other.toml"
    other.write_text(PROFILE.replace(platform.machine(), "pdp11"))
    with pytest.raises(pe.UnsupportedError, match=f"this is {platform.machine()}, and a here is pdp11"):
        connect(other, port=port_of(number))
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        with pytest.raises(pe.BoardNotFoundError, match="refused"):
            connect(here, port=port_of(nobody.getsockname()[1]))
    use_keys(monkeypatch, folder, tmp_path / "no_key", IdentityFile=f"{folder}/host_key")
    with pytest.raises(pe.PermissionDeniedError, match="try: ssh-copy-id -p"):
        connect(here, port=port_of(number))
    use_keys(monkeypatch, folder, tmp_path / "no_host", UserKnownHostsFile="/dev/null")
    with pytest.raises(pe.PermissionDeniedError, match="try once: ssh -p"):
        connect(here, port=port_of(number))


@pytest.mark.parametrize(
    "text, host, number, python",
    [
        ("ssh:pi.local", "pi.local", None, "python3"),
        ("ssh:pi@[fe80::1]:2222/venv/bin/python", "pi@fe80::1", 2222, "/venv/bin/python"),
        ("ssh:pi/venv/bin/python", "pi", None, "/venv/bin/python"),
    ],
)
def test_a_place_has_host_port_and_python(text: str, host: str, number: int | None, python: str) -> None:
    """As in a URL."""
    assert ssh.Place.parse(text) == ssh.Place(host, number, python)


@pytest.mark.parametrize("text", ["ssh:", "ssh:-oProxyCommand=x", "ssh:a@-x", "ssh:a b", "ssh:a:0", "ssh:a:70000"])
def test_what_is_no_place_never_reaches_ssh(text: str, here: Profile) -> None:
    """An option of ssh among them."""
    with pytest.raises(pe.BoardNotFoundError, match="expected ssh:"):
        connect(here, port=text)


def test_a_board_without_linux_has_no_ssh() -> None:
    """It has a serial line."""
    with pytest.raises(pe.UnsupportedError, match="boards with Linux"):
        connect("hifive1-rev-b", port="ssh:pi")


class Loop:
    """A stream to a server in this process."""

    name = "loop"

    def __init__(self) -> None:
        self.server, self.back = Server("here"), bytearray()

    def write(self, data: bytes) -> None:
        for raw in data.split(b"\0"):
            self.back += self.server.handle(raw) if raw else b""

    def read(self) -> bytes:
        data = bytes(self.back)
        self.back.clear()
        return data

    def close(self) -> None:
        """There is nothing to close."""


# group, id, op, body: with a plan of one input of 256 bytes and one output of 40 in use, nothing uploaded half.
HOSTILE: list[tuple[int, int, int, dict[str, Any]]] = [
    (70, 3, frame.WRITE, {"e": 1, "i": 0, "off": 0, "data": b"x"}),
    (70, 3, frame.WRITE, {"e": 0, "i": 1, "off": 0, "data": b"x"}),
    (70, 3, frame.WRITE, {"e": 0, "i": 0, "off": 256, "data": b"x"}),
    (70, 3, frame.WRITE, {"e": 0, "i": 0, "off": -1, "data": b"x"}),
    (70, 3, frame.WRITE, {"e": 0, "i": 0, "off": 0, "data": "x"}),
    (70, 3, frame.WRITE, {"e": 0, "i": 0, "off": 0}),
    (70, 3, frame.WRITE, {"e": 0, "i": 0, "off": 0, "data": b"x", "crc": 1}),
    (70, 4, frame.WRITE, {"e": 7, "id": 1}),
    (70, 4, frame.WRITE, {"e": 0, "id": 1, "n": 0}),
    (70, 4, frame.WRITE, {"e": 0, "id": 1, "n": 1001}),
    (70, 4, frame.READ, {"e": 0, "id": 1}),
    (70, 5, frame.READ, {"e": 0, "i": 0, "off": 41, "n": 1}),
    (70, 5, frame.READ, {"e": 0, "i": 0, "off": 0}),
    (70, 6, frame.READ, {"off": 0}),
    (70, 10, frame.READ, {"off": 1, "n": 1}),
    (70, 1, frame.WRITE, {"off": 0, "data": b"", "len": 0, "sha": bytes(32)}),
    (70, 77, frame.READ, {}),
    (9, 0, frame.READ, {}),
]


def refusals(link: Link, plan: pe.Plan) -> list[int]:
    """The rc that each hostile request is answered with."""
    found = []
    for group, id, op, body in HOSTILE:
        link.upload(GROUP_PYEDGE, commands.LOAD, bytes(plan.data))
        with pytest.raises(RefusedError) as refused:
            link.request(op, group, id, body)
        found.append(refused.value.rc)
    return found


def test_linux_refuses_what_firmware_refuses(plan: pe.Plan) -> None:
    """With the same rc."""
    with connect("host") as board:
        assert refusals(Link(Loop()), plan) == refusals(board.link, plan)


def test_every_request_has_an_answer(plan: pe.Plan) -> None:
    """Commands with keys that are missing, of any type and size: an answer each time, and the server lives."""
    random = np.random.default_rng(3)
    link = Link(Loop())
    link.upload(GROUP_PYEDGE, commands.LOAD, bytes(plan.data))
    server = link.stream.server  # type: ignore[attr-defined]
    values = [0, 1, 2, 39, 40, 256, 2**32 - 1, 2**32, 2**63, -1, b"", b"abcd", bytes(300), "", "x", True, None, [1], {}]
    keys = ["e", "i", "off", "n", "id", "data", "len", "sha", "crc", "prof", "d"]
    refused = 0
    for group, id, op in [*server._commands] * 100:
        body = {k: values[random.integers(len(values))] for k in keys if random.random() < 0.8}
        request = frame.Message(op, group, 9, id, cbor.encode(body))
        answer = frame.unpack(server.handle(frame.pack(request)[:-1])[:-1])
        assert (answer.op, answer.group, answer.id, answer.seq) == (op + 1, group, id, 9)
        refused += "rc" in cbor.decode(answer.body)
        if id == commands.LOAD and server._loaded is None:
            link.upload(GROUP_PYEDGE, commands.LOAD, bytes(plan.data))
    assert 0 < refused < 100 * len(server._commands)


def test_an_upload_goes_on_where_it_was_broken_off(plan: pe.Plan) -> None:
    """A client that went away, a repeat, a hash that is wrong, a plan that is none."""
    link, data = Link(Loop()), bytes(plan.data)
    sha = hashlib.sha256(data).digest()
    first = {"off": 0, "data": data[:100], "len": len(data), "sha": sha}
    link.buf_bytes = BUF_BYTES
    assert link.write(70, 1, {"off": 50, "data": b""}) == {"off": 0}
    assert link.write(70, 1, first) == link.write(70, 1, first) == {"off": 100}
    assert link.write(70, 1, {"off": 100, "data": data[100:]}) == {"off": len(data), "match": True}
    assert link.write(70, 1, first) == {"off": len(data), "match": True}
    wrong = {"off": 0, "data": data, "len": len(data), "sha": bytes(32)}
    assert link.write(70, 1, wrong)["match"] is False
    with pytest.raises(pe.BoardError, match="rc 5"):
        link.read(70, 2)
    with pytest.raises(pe.BoardError, match=r"rc 9.*not a valid plan"):
        link.write(70, 1, {"off": 0, "data": b"x", "len": 1, "sha": hashlib.sha256(b"x").digest()})


def test_the_clock_of_a_board_is_part_of_its_profile(
    here: Profile, plan: pe.Plan, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Governor, MHz and temperature before and after, and what speaks against the times."""
    readings = iter([Clock("ondemand", 1500, 61.25, False), Clock("ondemand", 600, 85.0, True)])
    monkeypatch.setattr("pyedge.clocks.read_clock", lambda cpu: next(readings))
    board = Board(here, Link(Loop()), None, 10)
    profile = board.load(plan).profile(runs=2)
    facts = {"governor": "ondemand", "mhz": "1500 -> 600", "celsius": "61.25 -> 85.0"}
    assert facts.items() <= profile.conditions.items()
    assert {"clock unpinned", "throttled"} <= set(profile.flags)
    damaged = Loop()
    damaged.server._commands[GROUP_PYEDGE, commands.CLOCK, frame.READ] = lambda q: {"mhz": "fast"}
    with pytest.raises(pe.LinkError, match="mhz is 'fast'"):
        Board(here, Link(damaged), None, 10).clock()


def test_garbage_is_passed_over() -> None:
    """What is no frame, and a good frame with a body that is no CBOR."""
    server = Server("here")
    assert server.handle(b"Last login: Sunday") == b""
    answer = frame.unpack(server.handle(frame.pack(frame.Message(frame.READ, 70, 5, 0, b"\xff"))[:-1])[:-1])
    assert cbor.decode(answer.body)["rc"] == 3 and answer.seq == 5
