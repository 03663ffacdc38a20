"""The SMP client against real firmware, over lines that go wrong."""

from __future__ import annotations

import os
import random
import threading
import time
import tty
from collections.abc import Callable, Iterator

import cbor2
import numpy as np
import pytest

import pyedge as pe
from pyedge.errors import BoardError, BusyError, LinkError, PlanError
from pyedge.host import frame, timing
from pyedge.host.emulator import Emulator
from pyedge.host.link import GROUP_PYEDGE, Link, RefusedError
from pyedge.host.stream import PtyStream, SerialStream

from .conftest import BOARDS, needs_qemu
from .proxy import Faults, Proxy

Emulate = Callable[[str], Emulator]

FAULTS = {
    "none": {},
    "flips": {"flip": 2e-4},
    "drops": {"drop": 2e-4},
    "doubled": {"dup": 0.05},
    "cut": {"cut": 0.04},
    "lost": {"lose": 0.04},
    "noise": {"noise": 0.05},
}


@pytest.mark.parametrize("name", BOARDS)
def test_echo_of_every_size_around_a_cobs_group(name: str) -> None:
    """Frames of 253, 254, 255 bytes and their neighbours come back whole."""
    with pe.connect(name) as board:
        while_booting = board.link.retries
        for size in [0, 1, 23, 24, *range(225, 260), 460]:
            text = "".join(random.Random(size).choices("abc", k=size))
            assert board.echo(text) == text
        assert board.link.retries == while_booting


@pytest.mark.parametrize("faults", FAULTS)
def test_a_plan_gets_through_a_bad_line(emulate: Emulate, plan: pe.Plan, x: np.ndarray, faults: str) -> None:
    """Uploads, inputs and outputs are repaired by repeats; the bytes are those of Session.run."""
    down, up = Faults(**FAULTS[faults], seed=3), Faults(**FAULTS[faults], seed=4)
    with Proxy(emulate("host"), down, up) as proxy, pe.connect("host", port=proxy.path) as board:
        board.link.buf_bytes = 512  # many frames
        remote = board.load(plan)
        assert remote.run([x])[0].tobytes() == pe.Session(plan).run([x])[0].tobytes()
        assert bool(board.link.retries) == bool(down.hits or up.hits) or faults in ("doubled", "noise")
        if faults != "none":
            assert down.hits or up.hits
        assert proxy.sent < 3 * len(plan.data) + 3000


@pytest.mark.parametrize("persist", [False, True], ids=["ram", "flash"])
@pytest.mark.parametrize("name", ["host", pytest.param("virt-rv32", marks=needs_qemu)])
def test_an_upload_survives_a_power_cycle_in_its_middle(
    emulate: Emulate, plan: pe.Plan, x: np.ndarray, name: str, persist: bool
) -> None:
    """The board starts again at its own offset, and the host follows."""
    offsets: list[int] = []
    with Proxy(emulate(name)) as proxy, pe.connect(name, port=proxy.path) as board:
        board.link.buf_bytes = 512

        def progress(at: int, total: int) -> None:
            offsets.append(at)
            if len(offsets) == 20:
                proxy.power_cycle()

        remote = board.load(plan, persist=persist, progress=progress)
        assert offsets[20] < offsets[19]
        assert remote.run([x])[0].tobytes() == pe.Session(plan).run([x])[0].tobytes()


def test_an_upload_that_was_broken_off_is_taken_up_where_it_stopped(emulate: Emulate, plan: pe.Plan) -> None:
    """Another client, the same plan: the board says how far it is."""
    board = emulate("host")
    first = Link(board.stream)
    first.buf_bytes = 512

    class Unplugged(Exception):
        pass

    def unplug(at: int, total: int) -> None:
        if at > 10_000:
            raise Unplugged

    with pytest.raises(Unplugged):
        first.upload(GROUP_PYEDGE, 1, bytes(plan.data), progress=unplug)
    second, offsets = Link(board.stream), []
    second.buf_bytes = 512
    second.upload(GROUP_PYEDGE, 1, bytes(plan.data), progress=lambda at, total: offsets.append(at))
    assert offsets[0] > 10_000 and offsets[-1] == len(plan.data)


def test_a_run_that_is_asked_for_twice_is_run_once(emulate: Emulate, plan: pe.Plan) -> None:
    """The same run id gets the stored answer, count included, although the time was another."""
    link = Link(emulate("host").stream)
    link.buf_bytes = 4096
    link.upload(GROUP_PYEDGE, 1, bytes(plan.data))
    answers = [link.write(GROUP_PYEDGE, 4, {"e": 0, "id": 77, "n": 3}) for _ in range(5)]
    assert all(a == answers[0] for a in answers)
    assert link.write(GROUP_PYEDGE, 4, {"e": 0, "id": 78, "n": 3})["id"] == 78


class Script:
    """The other end of a pty: a board of which a test says what it answers, byte for byte."""

    def __init__(self, answer: Callable[[bytes], bytes]) -> None:
        ours, self._theirs = os.openpty()
        tty.setraw(ours)
        self.stream = PtyStream(ours, "script")
        self._answer = answer
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        buffer = b""
        os.set_blocking(self._theirs, False)
        while not self._stop.is_set():
            try:
                buffer += os.read(self._theirs, 65536)
            except BlockingIOError:
                time.sleep(0.001)
            while (end := buffer.find(0)) >= 0:
                raw, buffer = buffer[:end], buffer[end + 1 :]
                if raw:
                    out = self._answer(raw)
                    while out and not self._stop.is_set():
                        try:
                            out = out[os.write(self._theirs, out) :]
                        except BlockingIOError:
                            time.sleep(0.001)

    def close(self) -> None:
        self._stop.set()
        self._thread.join()
        os.close(self._theirs)
        self.stream.close()


@pytest.fixture
def script() -> Iterator[Callable[[Callable[[bytes], bytes]], Link]]:
    """A link to a scripted board."""
    running: list[Script] = []

    def start(answer: Callable[[bytes], bytes]) -> Link:
        running.append(Script(answer))
        return Link(running[-1].stream)

    yield start
    for s in running:
        s.close()


def reply(raw: bytes, body: object, seq: int = 0, group: int = 0) -> bytes:
    """A frame that answers the one in raw; seq and group are added to its own."""
    m = frame.unpack(raw)
    return frame.pack(frame.Message(m.op + 1, m.group + group, (m.seq + seq) & 255, m.id, cbor2.dumps(body)))


def test_stale_and_foreign_answers_are_dropped(script: Callable[..., Link]) -> None:
    """Answers with another number, group or broken content before the right one do no harm."""
    link = script(
        lambda raw: (
            reply(raw, {"r": "old"}, seq=-1)
            + reply(raw, {"r": "foreign"}, group=1)
            + b"log line\r\n\0"
            + reply(raw, [1])
            + reply(raw, {"r": "right"})
            + reply(raw, {"r": "again"})
        )
    )
    for _ in range(5):
        assert link.write(0, 0, {"d": ""})["r"] == "right"
    assert link.retries == 0


@pytest.mark.parametrize(
    "body", [{"rc": 3, "what": "len"}, {"err": {"group": 70, "rc": 3}}], ids=["version 1", "version 2"]
)
def test_a_refusal_is_a_board_error_with_its_rc(script: Callable[..., Link], body: dict) -> None:
    """In both of SMP's ways to say so."""
    with pytest.raises(RefusedError, match="bad value") as e:
        script(lambda raw: reply(raw, body)).read(70, 2)
    assert isinstance(e.value, BoardError) and e.value.rc == 3


@pytest.mark.parametrize("zeros", [True, False], ids=["random", "without zero bytes"])
def test_endless_garbage_is_an_error_in_five_seconds(script: Callable[..., Link], zeros: bool) -> None:
    """Even for a command whose own deadline is long."""
    r = random.Random(1)
    start = time.monotonic()

    def garbage(raw: bytes) -> bytes:
        data = b"".join(r.randbytes(4096) for _ in range(2000))
        return data if zeros else data.replace(b"\0", b"\1")

    with pytest.raises(LinkError, match="no frame among them"):
        script(garbage).request(frame.WRITE, 70, 4, {}, deadline_s=60)
    assert time.monotonic() - start < 5


def test_silence_is_an_error_at_the_deadline(script: Callable[..., Link]) -> None:
    """With the number of repeats."""
    start = time.monotonic()
    with pytest.raises(LinkError, match="times sent"):
        script(lambda raw: b"").read(70, 0)
    assert timing.COMMAND_S <= time.monotonic() - start < 5


def test_what_came_instead_of_an_answer_is_said(script: Callable[..., Link]) -> None:
    """Text of other firmware, too little of it to be endless."""
    with pytest.raises(LinkError, match=r"sent; \d+ bytes came that are no frame at 115200 baud"):
        script(lambda raw: b"hello\0boot").request(frame.READ, 70, 0, {}, deadline_s=0.4)


@pytest.mark.parametrize("off", [-1, 10**9, "0", None, True], ids=repr)
def test_an_offset_outside_the_upload_is_a_link_error(script: Callable[..., Link], off: object) -> None:
    """The board is not believed."""
    link = script(lambda raw: reply(raw, {"off": off}))
    with pytest.raises(LinkError):
        link.upload(70, 1, bytes(1000))


def test_an_upload_that_does_not_get_on_ends(script: Callable[..., Link]) -> None:
    """A board that always answers offset 0, and one that goes back and forth."""
    with pytest.raises(LinkError, match="does not get on"):
        script(lambda raw: reply(raw, {"off": 0})).upload(70, 1, bytes(1000))
    turn = iter(range(10**6))
    with pytest.raises(LinkError, match="does not get on"):
        script(lambda raw: reply(raw, {"off": 100 * (next(turn) % 2)})).upload(70, 1, bytes(1000))


def test_mutated_answers_are_errors_or_results(script: Callable[..., Link]) -> None:
    """10,000 answers of every command with bytes changed under a good CRC: never another exception, never a hang."""
    r = random.Random(11)
    bodies = [
        {"proto": 1, "board": "host", "unit": "ns", "buf": 4096},
        {"off": 0, "data": bytes(20)},
        {"off": 3, "ops": [1, 2, 3]},
        {"images": [{"slot": 0, "hash": bytes(32), "active": True}]},
        {"rc": 9, "what": "op", "op": 3},
    ]

    def mutated(raw: bytes) -> bytes:
        m = frame.unpack(raw)
        body = bytearray(cbor2.dumps(r.choice(bodies)))
        for _ in range(r.randrange(1, 4)):
            body[r.randrange(len(body))] = r.randrange(256)
        good = frame.pack(frame.Message(m.op + 1, m.group, m.seq, m.id, cbor2.dumps({"rc": 0})))
        return frame.pack(frame.Message(m.op + 1, m.group, m.seq, m.id, bytes(body))) + good

    link = script(mutated)
    outcomes = {"result": 0, "refused": 0}
    for _ in range(10_000):
        try:
            assert isinstance(link.read(70, r.randrange(8)), dict)
            outcomes["result"] += 1
        except RefusedError:
            outcomes["refused"] += 1
    assert min(outcomes.values()) > 100


def test_the_board_stands_10000_mutated_requests(emulate: Emulate, plan: pe.Plan) -> None:
    """Frames with bytes changed, half of them under a good CRC: the host port still answers, and runs as before."""
    board = emulate("host")
    link = Link(board.stream)
    link.buf_bytes = 4096
    r = random.Random(12)
    requests = [
        (0, {}), (1, {"off": 0, "data": bytes(16), "len": 2000, "sha": bytes(32)}), (2, {}),
        (3, {"e": 0, "i": 0, "off": 0, "data": bytes(8), "crc": 1}), (4, {"e": 0, "id": 5, "n": 1}),
        (5, {"e": 0, "i": 0, "off": 0, "n": 40}), (6, {"off": 0}), (7, {}),
    ]  # fmt: skip
    link.upload(GROUP_PYEDGE, 1, bytes(plan.data), work_s=5)
    for i in range(10_000):
        id, body = r.choice(requests)
        raw = bytearray(cbor2.dumps(body))
        crc_is_good = r.random() < 0.5
        if crc_is_good:
            raw[r.randrange(len(raw))] = r.randrange(256)
        data = bytearray(frame.pack(frame.Message(r.choice((0, 2)), 70, 0, id, bytes(raw))))
        if not crc_is_good:
            data[r.randrange(len(data))] = r.randrange(256)
        board.stream.write(bytes(data))
        if i % 100 == 99:  # before the answers fill the line
            while board.stream.read():
                pass
    link.upload(GROUP_PYEDGE, 1, bytes(plan.data), work_s=5)
    assert link.read(GROUP_PYEDGE, 2)["len"] == len(plan.data)


def test_a_request_too_long_for_the_board_is_not_sent(emulate: Emulate) -> None:
    """The host knows the board's buffer."""
    with pe.connect("host") as board, pytest.raises(LinkError, match="the board takes 4096"):
        board.echo("x" * 5000)


def test_a_port_is_ours_alone(emulate: Emulate) -> None:
    """A second client is told that the port is in use."""
    with Proxy(emulate("host")) as proxy, pe.connect("host", port=proxy.path), pytest.raises(BusyError, match="in use"):
        SerialStream(proxy.path, 115200)


def test_a_board_that_dies_is_a_link_error(emulate: Emulate, plan: pe.Plan) -> None:
    """At once, and not at the deadline."""
    with pe.connect("host") as board:
        board.load(plan)
        assert board._emulator is not None and board._emulator._process is not None
        os.killpg(board._emulator._process.pid, 9)
        start = time.monotonic()
        with pytest.raises(LinkError, match="has ended"):
            board.memory()
        assert time.monotonic() - start < 2


def test_a_remote_whose_plan_is_gone_says_so(plan: pe.Plan, other_plan: pe.Plan, x: np.ndarray) -> None:
    """After another load, and after a reset."""
    with pe.connect("host") as board:
        first = board.load(plan)
        second = board.load(other_plan)
        with pytest.raises(PlanError, match="load this one again"):
            first.run([x])
        board.reset()
        with pytest.raises(PlanError, match="load this one again"):
            second.run([x])
