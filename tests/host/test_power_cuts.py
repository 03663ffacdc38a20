"""kill -9 of an emulated board at random moments of updates: it comes back with a whole plan and whole states."""

from __future__ import annotations

import hashlib
import os
import random
import signal
import threading
import time
from collections.abc import Callable
from functools import partial

import numpy as np
import pytest

import pyedge as pe
from pyedge.errors import LinkError
from pyedge.host.board import Board
from pyedge.host.emulator import Emulator
from pyedge.host.link import Link

from .conftest import needs_qemu

CUTS = 200 if os.environ.get("PYEDGE_TEST_ALL_ROWS") else 20
BOARDS = ["host", pytest.param("virt-rv32", marks=needs_qemu)]
RUN_S = 20.0
WIDTH = 40


def counting_plan(number: int) -> pe.Plan:
    """total = total + x; some hundreds of bytes that differ from plan to plan."""
    weight = np.random.default_rng(number).standard_normal((8, WIDTH), np.float32)
    b = pe.GraphBuilder()
    x, total = b.input("x", (1, WIDTH), "float32"), b.state("total", np.zeros((1, WIDTH)))
    new = b.add(total, x)
    b.update(total, new)
    b.output("y", b.linear(new, weight))
    return pe.compile(b.build())


def power_on(emulated: Emulator) -> Board:
    """The board starts from what is in its flash."""
    emulated.stop_process()
    emulated.start()
    return Board(emulated.profile, Link(emulated.stream), None, RUN_S)


def cut(emulated: Emulator, after_s: float, work: Callable[[], object]) -> bool:
    """Does work, and kills the board at that time of it. False: it was done by then."""
    process = emulated._process
    assert process is not None
    timer = threading.Timer(after_s, os.killpg, (process.pid, signal.SIGKILL))
    timer.start()
    try:
        work()
    except LinkError:
        return True
    finally:
        timer.cancel()
        timer.join()
    return False


def seconds(work: Callable[[], object]) -> float:
    start = time.monotonic()
    work()
    return time.monotonic() - start


@pytest.mark.parametrize("name", BOARDS)
def test_a_killed_board_has_a_whole_plan_and_whole_states(emulate: Callable[[str], Emulator], name: str) -> None:
    """The old or the new plan, the states kept before or those being kept; and the next update works."""
    r, emulated = random.Random(31), emulate(name)
    plans = [counting_plan(number) for number in range(5)]
    shas = [hashlib.sha256(bytes(plan.data)).digest() for plan in plans]
    x = np.ones((1, WIDTH), np.float32)
    board = power_on(emulated)
    active = 0
    remote = board.load(plans[active], persist=True)
    remote.run([x])
    kept = 1.0  # total that is in flash
    update_s = seconds(lambda: board.load(plans[1], persist=True))
    remote = board.load(plans[0], persist=True)
    remote.run([x])
    keep_s = seconds(remote.keep)
    cuts = rounds = newer = 0
    while cuts < CUTS:
        rounds += 1
        new, keeps = active, kept
        if r.random() < 0.6:
            new = (active + r.randrange(1, len(plans))) % len(plans)
            cuts += cut(emulated, r.uniform(0, update_s), partial(board.load, plans[new], persist=True))
        else:
            remote.run([x])
            keeps = kept + 1
            cuts += cut(emulated, r.uniform(0, keep_s), remote.keep)
        board = power_on(emulated)
        found = board.use_slot()
        assert found in (shas[active], shas[new])
        if found != shas[active]:
            newer += 1
            active, kept, keeps = new, 0.0, 0.0
        now = float(board.load(plans[active], persist=True).state()["total"][0, 0])
        assert now in (kept, keeps)
        active = (active + 1) % len(plans)  # the next update
        remote = board.load(plans[active], persist=True)
        assert remote.run([x])[0].tobytes() == pe.Session(plans[active]).run([x])[0].tobytes()
        remote.keep()
        kept = 1.0
    print(f"{name}: {cuts} cuts in {rounds} updates of {update_s:.2f} s and {keep_s:.2f} s, {newer} had the new plan")
