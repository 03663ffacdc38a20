"""The whole firmware as a process, under ASan and UBSan: repeats, resumes, refusals, power cuts, hostile frames."""

from __future__ import annotations

import binascii
import hashlib
import os
import random
import select
import subprocess
import sys
import time
from pathlib import Path

import cbor2
import numpy as np
import pytest

import pyedge as pe

from .wire import IMAGE, OS, PYEDGE, READ, WRITE, Board, pack

CUT_EXIT = 9


def small_plan(scale: float) -> bytes:
    """A float plan of two ops; scale makes plans that differ."""
    b = pe.GraphBuilder()
    weight = (np.arange(12, dtype=np.float32).reshape(3, 4) - 5) * np.float32(scale)
    b.output("y", b.softmax(b.linear(b.input("x", (1, 4), "float32"), weight, np.zeros(3, np.float32))))
    return bytes(pe.compile(b.build()).data)


@pytest.fixture(scope="module")
def plans() -> tuple[bytes, bytes, bytes]:
    """Three plans that differ."""
    return small_plan(0.1), small_plan(0.2), small_plan(0.3)


@pytest.fixture
def board(host_firmware: Path):  # type: ignore[no-untyped-def]
    with Board([str(host_firmware), "--fd", "{fd}"]) as b:
        yield b


def sha_of_slot(board: Board) -> bytes | None:
    """The hash that the board reads from the active slot's plan; None if there is none."""
    answer = board.ask(WRITE, PYEDGE, 8)
    assert answer is not None
    return None if "rc" in answer else answer["sha"]


def test_an_upload_is_the_same_however_often_chunks_are_repeated(board: Board, plans: tuple[bytes, ...]) -> None:
    """Each chunk twice, chunks from elsewhere, begun again: the board says where it stands, and ends right."""
    for group in (PYEDGE, IMAGE):
        data = plans[0]
        begin = {"off": 0, "data": data[:100], "len": len(data), "sha": hashlib.sha256(data).digest()}
        stands = [board.ask(WRITE, group, 1, begin)["off"] for _ in range(3)]
        assert stands == [stands[0]] * 3 and 0 < stands[0] <= 100
        assert board.ask(WRITE, group, 1, {"off": 777, "data": b"xyz"}) == {"off": stands[0]}
        at = stands[0]
        while at < len(data):
            chunk = {"off": at, "data": data[at : at + 100]}
            first, again = (board.ask(WRITE, group, 1, chunk) for _ in range(2))
            assert first == again
            at = first["off"]
        assert first == {"off": len(data), "match": True}
        assert board.ask(WRITE, group, 1, begin) == {"off": len(data), "match": True}


def test_a_wrong_hash_and_a_refused_plan_are_said(board: Board, plans: tuple[bytes, ...]) -> None:
    """match is false for another hash; a good hash of a bad plan is rc 9 with the status; the slot stays as it was."""
    data = plans[0]
    assert board.upload(IMAGE, data) == {"off": len(data), "match": True}
    bad = bytearray(data)
    bad[4] += 1  # the major version
    for group, what in ((PYEDGE, "what"), (IMAGE, "rsn")):
        refused = board.upload(group, bytes(bad))
        assert refused is not None and refused["rc"] == 9 and "version" in refused[what]
        assert refused.get("st") == (-4 if group == PYEDGE else None)
        wrong = board.ask(WRITE, group, 1, {"off": 0, "data": b"abc", "len": 3, "sha": bytes(32)})
        assert wrong == {"off": 3, "match": False}
    assert sha_of_slot(board) == hashlib.sha256(data).digest()


def test_a_run_with_the_same_id_is_not_run_again(board: Board, plans: tuple[bytes, ...]) -> None:
    """The answer that was lost is sent once more; another id runs anew."""
    board.upload(PYEDGE, plans[0])
    board.put(np.ones(4, np.float32).tobytes())
    first = board.ask(WRITE, PYEDGE, 4, {"e": 0, "id": 7})
    board.put(np.arange(4, dtype=np.float32).tobytes())
    assert board.ask(WRITE, PYEDGE, 4, {"e": 0, "id": 7}) == first
    other = board.ask(WRITE, PYEDGE, 4, {"e": 0, "id": 8})
    assert first is not None and other is not None and other["crc"] != first["crc"]


def test_requests_that_make_no_sense_are_answered(board: Board, plans: tuple[bytes, ...]) -> None:
    """Each with the rc that docs/link.md gives, and the board goes on."""
    huge = 2**32 - 1
    cases = [
        (READ, 99, 0, {}, 8),
        (READ, PYEDGE, 99, {}, 8),
        (READ, OS, 0, {"d": "x"}, 8),
        (WRITE, OS, 0, {}, 3),
        (WRITE, OS, 0, {"d": b"bytes"}, 3),
        (WRITE, OS, 0, [1], 3),
        (READ, PYEDGE, 2, {}, 5),
        (WRITE, PYEDGE, 3, {"e": 0, "i": 0, "off": 0, "data": b""}, 6),
        (WRITE, PYEDGE, 4, {"e": 0, "id": 1}, 6),
        (READ, PYEDGE, 6, {"off": 0}, 6),
        (READ, PYEDGE, 10, {"off": 0, "n": 1}, 6),
        (WRITE, PYEDGE, 8, {}, 5),
        (WRITE, PYEDGE, 1, {"off": 0, "data": b"", "len": huge, "sha": bytes(32)}, 2),
        (WRITE, IMAGE, 1, {"off": 0, "data": b"", "len": huge, "sha": bytes(32)}, 2),
        (WRITE, PYEDGE, 1, {"off": 0, "data": b"", "len": 0, "sha": bytes(32)}, 3),
        (WRITE, PYEDGE, 1, {"off": 0, "data": b"12", "len": 1, "sha": bytes(32)}, 3),
        (WRITE, PYEDGE, 1, {"off": 0, "data": b"1", "len": 2, "sha": bytes(31)}, 3),
        (WRITE, IMAGE, 1, {"off": 0, "data": b"1", "len": 2, "sha": bytes(32)}, 3),  # less than a write unit
        (WRITE, IMAGE, 1, {"off": -1, "data": b""}, 3),
        (WRITE, IMAGE, 1, {"off": 2**32, "data": b""}, 3),
    ]
    with_plan = [
        (WRITE, PYEDGE, 3, {"e": 0, "i": 1, "off": 0, "data": b""}, 3),
        (WRITE, PYEDGE, 3, {"e": 1, "i": 0, "off": 0, "data": b""}, 3),
        (WRITE, PYEDGE, 3, {"e": 0, "i": 0, "off": 17, "data": b""}, 3),
        (WRITE, PYEDGE, 3, {"e": 0, "i": 0, "off": 1, "data": bytes(16)}, 3),
        (WRITE, PYEDGE, 3, {"e": 0, "i": 0, "off": huge, "data": b"12"}, 3),
        (WRITE, PYEDGE, 3, {"e": 0, "i": 0, "off": 0, "data": b"1", "crc": 0}, 9),
        (WRITE, PYEDGE, 4, {"e": huge, "id": 1}, 3),
        (WRITE, PYEDGE, 4, {"e": 0, "id": 1, "n": 0}, 3),
        (WRITE, PYEDGE, 4, {"e": 0, "id": 1, "n": 1001}, 3),
        (READ, PYEDGE, 5, {"e": 0, "i": 0, "off": 13, "n": 1}, 3),
        (READ, PYEDGE, 6, {"off": 0}, 6),
        (READ, PYEDGE, 10, {"off": 1, "n": 1}, 3),  # a plan without states
    ]
    for op, group, id, body, rc in cases:
        answer = board.ask(op, group, id, body)
        assert answer is not None and answer["rc"] == rc, (group, id, body, answer)
    board.upload(PYEDGE, plans[0])
    for op, group, id, body, rc in with_plan:
        answer = board.ask(op, group, id, body)
        assert answer is not None and answer["rc"] == rc, (group, id, body, answer)


def test_an_upload_begun_in_the_slot_of_the_plan_in_use_takes_it_out_of_use(
    board: Board, plans: tuple[bytes, ...]
) -> None:
    """A plan is executed where it lies, so nothing may run it while its place is written."""
    board.upload(IMAGE, plans[0])
    assert sha_of_slot(board) is not None  # bound: slot of plan 0
    board.upload(IMAGE, plans[1])  # the other slot; the plan in use is whole still
    assert "rc" not in board.ask(WRITE, PYEDGE, 4, {"e": 0, "id": 1})
    begin = {"off": 0, "data": plans[2][:80], "len": len(plans[2]), "sha": hashlib.sha256(plans[2]).digest()}
    board.ask(WRITE, IMAGE, 1, begin)
    assert board.ask(WRITE, PYEDGE, 4, {"e": 0, "id": 2})["rc"] == 6


@pytest.mark.parametrize("how", ["none", "partial", "noisy"])
def test_a_power_cut_at_any_operation_leaves_a_whole_plan(
    host_firmware: Path, plans: tuple[bytes, ...], tmp_path: Path, how: str
) -> None:
    """The process ends at the n-th flash operation; restarted it has the old or the new plan, and takes the next."""
    old, new, following = plans
    command = [str(host_firmware), "--fd", "{fd}", "--flash", str(tmp_path / "flash")]
    with Board(command) as board:
        board.upload(IMAGE, old)
    before = (tmp_path / "flash").read_bytes()
    hashes = [hashlib.sha256(plan).digest() for plan in plans]
    for n in range(1, 1000):
        (tmp_path / "flash").write_bytes(before)
        with Board([*command, "--cut", f"{n}:{how}"]) as board:
            uploaded = board.upload(IMAGE, new, chunk=100)
        if uploaded is not None:
            break
        assert board.process.returncode == CUT_EXIT
        with Board(command) as board:
            assert sha_of_slot(board) in hashes[:2]
            assert board.upload(IMAGE, following) == {"off": len(following), "match": True}
            assert sha_of_slot(board) == hashes[2]
    assert uploaded == {"off": len(new), "match": True} and n > 10


def learning_plan() -> pe.Plan:
    """Linear regression with momentum: entries main, train, reset."""
    b = pe.GraphBuilder()
    b.output("y", b.linear(b.input("x", (1, 4), "float32"), np.zeros((2, 4), np.float32), np.zeros(2, np.float32)))
    trainer = pe.Trainer(b.build(), loss="mse", optimizer=pe.SGD(0.1, momentum=0.9))
    return trainer.compile()


def states_of(board: Board, plan: pe.Plan) -> bytes:
    """All states, as they are on the board."""
    answer = board.ask(READ, PYEDGE, 10, {"off": 0, "n": 1 << 20})
    assert answer is not None and answer["off"] == 0 and len(answer["data"]) == plan.state_bytes
    assert answer["crc"] == binascii.crc32(answer["data"])
    return bytes(answer["data"])


def learn(board: Board, plan: pe.Plan, step: int) -> bytes:
    """A step on the board; the states behind it."""
    entry = plan.entry("train")
    for i, t in enumerate(entry.inputs):
        board.put(np.full(t.shape, step + i, np.float32).tobytes(), entry.number, i)
    answer = board.ask(WRITE, PYEDGE, 4, {"e": entry.number, "id": step})
    assert answer is not None and "rc" not in answer
    return states_of(board, plan)


@pytest.mark.parametrize("how", ["none", "partial", "noisy"])
def test_a_power_cut_while_states_are_kept_leaves_the_old_or_the_new_ones(
    host_firmware: Path, tmp_path: Path, how: str
) -> None:
    """At each flash operation; restarted the board goes on learning from there, to the same bits, and keeps them."""
    plan, path = learning_plan(), tmp_path / "flash"
    command = [str(host_firmware), "--fd", "{fd}", "--flash", str(path)]
    with Board(command) as board:
        board.upload(IMAGE, bytes(plan.data))
        sha_of_slot(board)
        uninterrupted = [states_of(board, plan), *(learn(board, plan, step) for step in (1, 2, 3))]
        sha_of_slot(board)  # takes it into use again: as at first
        assert states_of(board, plan) == uninterrupted[0]
        assert learn(board, plan, 1) == uninterrupted[1]
        assert board.ask(WRITE, PYEDGE, 11) == {"n": plan.state_bytes}
    before = path.read_bytes()
    found = set()
    for n in range(1, 100):
        path.write_bytes(before)
        with Board([*command, "--cut", f"{n}:{how}"]) as board:
            sha_of_slot(board)
            assert learn(board, plan, 2) == uninterrupted[2]
            kept = board.ask(WRITE, PYEDGE, 11)
        if kept is not None:
            break
        assert board.process.returncode == CUT_EXIT
        with Board(command) as board:
            sha_of_slot(board)
            steps = uninterrupted.index(states_of(board, plan))
            found.add(steps)
            for step in range(steps + 1, 4):
                assert learn(board, plan, step) == uninterrupted[step]
            assert board.ask(WRITE, PYEDGE, 11) == {"n": plan.state_bytes}
        with Board(command) as board:
            sha_of_slot(board)
            assert states_of(board, plan) == uninterrupted[3]
    assert kept == {"n": plan.state_bytes} and n > 3 and found <= {1, 2} and 1 in found


def test_states_are_kept_of_the_active_plan_in_flash_alone(board: Board, plans: tuple[bytes, ...]) -> None:
    """Not of one in RAM, nor of one that another upload has replaced; a plan without states has nothing to keep."""
    plan = learning_plan()
    assert board.ask(WRITE, PYEDGE, 11)["rc"] == 6
    board.upload(PYEDGE, bytes(plan.data))
    assert board.ask(WRITE, PYEDGE, 11)["rc"] == 8
    board.upload(IMAGE, bytes(plan.data))
    sha_of_slot(board)
    learned = learn(board, plan, 1)
    assert board.ask(WRITE, PYEDGE, 11) == {"n": plan.state_bytes}
    board.upload(IMAGE, plans[0])  # another slot
    assert board.ask(WRITE, PYEDGE, 11)["rc"] == 8 and states_of(board, plan) == learned
    sha_of_slot(board)
    assert board.ask(WRITE, PYEDGE, 11) == {"n": 0}
    board.upload(IMAGE, bytes(plan.data))
    sha_of_slot(board)
    assert states_of(board, plan) != learned  # a new upload begins anew


def test_hostile_frames_do_no_harm(board: Board, plans: tuple[bytes, ...]) -> None:
    """All truncations and 20,000 changes of good requests, with the CRC made right: an answer or none, and it lives."""
    rng = random.Random(1)
    data = plans[0]
    bodies = [
        (WRITE, OS, 0, {"d": "hello"}),
        (WRITE, PYEDGE, 1, {"off": 0, "data": data[:64], "len": len(data), "sha": hashlib.sha256(data).digest()}),
        (WRITE, IMAGE, 1, {"off": 0, "data": data[:64], "len": 64, "sha": hashlib.sha256(data[:64]).digest()}),
        (READ, IMAGE, 0, {}),
        (READ, PYEDGE, 0, {}),
        (READ, PYEDGE, 2, {}),
        (WRITE, PYEDGE, 3, {"e": 0, "i": 0, "off": 4, "data": b"1234", "crc": binascii.crc32(b"1234")}),
        (WRITE, PYEDGE, 4, {"e": 0, "id": 3, "n": 1, "prof": True}),
        (READ, PYEDGE, 5, {"e": 0, "i": 0, "off": 4, "n": 400}),
        (READ, PYEDGE, 6, {"off": 0}),
        (READ, PYEDGE, 7, {}),
        (WRITE, PYEDGE, 8, {}),
        (READ, PYEDGE, 10, {"off": 0, "n": 400}),
        (WRITE, PYEDGE, 11, {}),
    ]
    board.upload(PYEDGE, data)
    frames = []
    for op, group, id, body in bodies:
        good = cbor2.dumps(body)
        frames += [pack(op, group, id, good[:n]) for n in range(len(good))]
        frames += [pack(op, group, id, good, length=n) for n in range(0, 600, 7)]
    for _ in range(20000):
        op, group, id, body = rng.choice(bodies)
        if id == 4:
            body = {**body, "id": rng.randrange(1 << 32)}
        raw = bytearray(cbor2.dumps(body))
        for _ in range(rng.choice((1, 1, 2, 4))):
            raw[rng.randrange(len(raw))] = rng.choice((rng.randrange(256), 0x5A, 0x9B, 0xBA, 0xFF))
        if b"n" in raw and id == 4:  # repeats that would take hours are no fault
            raw = bytearray(cbor2.dumps({"e": 0, "id": rng.randrange(99)}))
        frames.append(pack(op, group, id, bytes(raw)))
    answers = 0
    for start in range(0, len(frames), 20):  # few at a time: neither side may fill the other's buffer
        board.sock.sendall(b"".join(frames[start : start + 20]))
        while board.frame(0) is not None:
            answers += 1
    while board.frame(0.3) is not None:
        answers += 1
    assert answers > len(frames) // 2
    assert board.ask(READ, PYEDGE, 0) is not None and board.process.poll() is None


def test_raw_noise_does_no_harm(board: Board) -> None:
    """A megabyte of noise, then a request."""
    rng = random.Random(2)
    for _ in range(256):
        board.sock.sendall(rng.randbytes(4096))
        while select.select([board.sock], [], [], 0)[0]:
            board.sock.recv(65536)
    board.sock.sendall(b"\0")
    time.sleep(0.2)
    while select.select([board.sock], [], [], 0.1)[0]:
        board.sock.recv(65536)
    assert board.ask(READ, PYEDGE, 0) is not None


def test_the_pty_is_printed_and_the_process_ends_with_standard_input(host_firmware: Path) -> None:
    """Without --fd: a pty, on which clients come and go, and nothing is left behind."""
    process = subprocess.Popen([host_firmware], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert process.stdin is not None and process.stdout is not None
    path = process.stdout.readline().decode().strip()
    for seq in (1, 2):
        fd = os.open(path, os.O_RDWR | os.O_NOCTTY)
        os.write(fd, pack(READ, PYEDGE, 0, b"", seq))
        answer = b""
        while not answer.endswith(b"\0"):
            assert select.select([fd], [], [], 5)[0], "no answer"
            answer += os.read(fd, 4096)
        os.close(fd)
        if seq == 1:  # a reset keeps the pty
            fd = os.open(path, os.O_RDWR | os.O_NOCTTY)
            os.write(fd, pack(WRITE, OS, 5, b""))
            assert select.select([fd], [], [], 5)[0]
            os.read(fd, 4096)
            os.close(fd)
    process.stdin.close()
    assert process.wait(5) == 0
    process.stdout.close()


def test_a_parent_that_dies_leaves_no_process(host_firmware: Path) -> None:
    """The parent is killed; the firmware's pty goes within seconds."""
    code = f"""if True:
        import subprocess, time
        process = subprocess.Popen([{str(host_firmware)!r}], stdin=subprocess.PIPE)
        print(process.pid, flush=True)
        time.sleep(60)"""
    parent = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE)
    assert parent.stdout is not None
    lines = [parent.stdout.readline().decode().strip() for _ in range(2)]
    pid = next(int(line) for line in lines if line.isdigit())
    parent.kill()
    parent.wait()
    deadline = time.monotonic() + 5
    while time.monotonic() < deadline and Path(f"/proc/{pid}/exe").exists():
        time.sleep(0.05)
    parent.stdout.close()
    assert not Path(f"/proc/{pid}/exe").exists()
