"""Firmware updates that a reset, a power cut or the end of the host breaks off: they go on, and a board starts."""

from __future__ import annotations

import asyncio
import hashlib
import os
import random
import shutil
import subprocess
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from pyedge.boards import load_profile
from pyedge.host import board as host_board
from pyedge.host import updating
from pyedge.host.emulator import Emulator
from pyedge.host.link import Link

from .slots import CUT_EXIT, HOST_SLOTS, VIRT_SECTOR, VIRT_SLOTS, Images, ask_for, reset, slots_with, start, version
from .test_server import small_plan
from .wire import IMAGE, OS, PYEDGE, READ, WRITE, Board, virt

SECTOR, SLOT = 65536, 4 << 20  # of the host port
KILLS = 200 if os.environ.get("PYEDGE_TEST_ALL_ROWS") else 3


class Stop(Exception):
    """The host program ends."""


class Machine:
    """A board with a flash file, and pyedge as its host; the power can go at any time."""

    def __init__(self, name: str, images: Images, flash: Path) -> None:
        profile = load_profile(name)
        self.emulated = Emulator(profile, profile.image(), images.boot, flash)

    def power_on(self) -> host_board.Board:
        self.emulated.stop_process()
        self.emulated.start()
        return host_board.Board(self.emulated.profile, Link(self.emulated.stream), None, None)

    def update(self, image: Path, stop_at: int | None = None) -> list[int]:
        """pyedge flash --firmware; the offsets that it came to. stop_at: the host ends there, and the power is cut."""
        offs: list[int] = []

        def progress(at: int, total: int) -> None:
            offs.append(at)
            if stop_at is not None and at >= stop_at:
                raise Stop

        board = self.power_on()
        try:
            updating.update(board, [image], progress)
        except Stop:
            self.emulated.stop_process()
        return offs


def flash_with(path: Path, images: Images, first: bytes) -> Path:
    """In slot 0 of either board."""
    if images.fixed:
        return slots_with(path, first, VIRT_SLOTS, VIRT_SECTOR, 32 << 20)
    return slots_with(path, first)


@pytest.mark.parametrize("name", ["host", "virt-rv32"])
def test_an_upload_goes_on_after_a_power_cut(request: pytest.FixtureRequest, tmp_path: Path, name: str) -> None:
    """By a new host program, from where the old one had come to, with nothing sent twice."""
    images: Images = request.getfixturevalue("host_images" if name == "host" else "virt_images")
    flash = flash_with(tmp_path / "flash", images, images.image("1.0.0"))
    new = tmp_path / "new.bin"
    new.write_bytes(images.image("2.0.0", slot=1))
    machine = Machine(name, images, flash)
    try:
        before = machine.update(new, stop_at=new.stat().st_size // 3)
        later = machine.update(new, stop_at=new.stat().st_size // 5 * 4)
        last = machine.update(new)
    finally:
        machine.emulated.stop()
    assert before[0] < before[-1] < later[0] < later[-1] < last[0] < last[-1] == new.stat().st_size


def test_what_a_power_cut_tore_is_written_again(host_images: Images, tmp_path: Path) -> None:
    """The last write: from the begin of its sector. Something before, which no one can know: all of it, at the end."""
    flash = flash_with(tmp_path / "flash", host_images, host_images.image("1.0.0"))
    new = tmp_path / "new.bin"
    new.write_bytes(host_images.image("2.0.0"))
    assert new.stat().st_size > SECTOR + 12000
    machine = Machine("host", host_images, flash)

    def tear(at: int) -> None:
        with flash.open("r+b") as file:
            file.seek(HOST_SLOTS + 2 * SECTOR + SLOT + at)
            file.write(bytes(8))

    try:
        at = machine.update(new, stop_at=SECTOR + 8000)[-1]
        tear(at)
        offs = machine.update(new, stop_at=SECTOR + 8000)
        assert SECTOR <= offs[0] < at
        tear(1000)
        offs = machine.update(new)
        assert offs[0] >= SECTOR and 0 < min(offs) < SECTOR and offs[-1] == new.stat().st_size
    finally:
        machine.emulated.stop()


def test_another_image_starts_over(host_images: Images, tmp_path: Path) -> None:
    """As the hash of the first request says, though it is as long and begins alike."""
    flash = flash_with(tmp_path / "flash", host_images, host_images.image("1.0.0"))
    files = [tmp_path / "a", tmp_path / "b"]
    for file, counter in zip(files, (1, 2), strict=True):
        file.write_bytes(host_images.image("2.0.0", counter=counter))
    machine = Machine("host", host_images, flash)
    try:
        machine.update(files[0], stop_at=SECTOR + 8000)
        assert machine.update(files[1])[0] < 5000
    finally:
        machine.emulated.stop()


def test_smpclient_goes_on_from_the_last_whole_sector(host_images: Images, tmp_path: Path) -> None:
    """It knows of offsets alone."""
    from smpclient import SMPClient
    from smpclient.transport.serial import Cobs, SMPSerialRawTransport

    image = host_images.image("2.0.0")
    flash = flash_with(tmp_path / "flash", host_images, host_images.image("1.0.0"))

    async def upload(port: str, stop_at: int) -> list[int]:
        offs = []
        async with SMPClient(SMPSerialRawTransport(framing=Cobs()), port, 30) as client:
            async for off in client.upload(image):
                offs.append(off)
                if off >= stop_at:
                    break
        return offs

    def powered(stop_at: int) -> list[int]:
        process = subprocess.Popen([host_images.boot, "--flash", flash], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        assert process.stdin is not None and process.stdout is not None
        try:
            return asyncio.run(upload(process.stdout.readline().decode().strip(), stop_at))
        finally:
            process.kill()
            process.wait()
            process.stdin.close()
            process.stdout.close()

    assert powered(20000)[0] < 5000  # within the first sector: from its begin
    assert powered(SECTOR + 9000)[0] < 5000
    offs = powered(len(image))
    assert offs[0] == SECTOR and offs[-1] == len(image)


def plan_of(board: Board) -> bytes:
    """The hash of the plan in flash, taken into use."""
    answer = board.ask(WRITE, PYEDGE, 8)
    assert answer is not None and "rc" not in answer, answer
    return bytes(answer["sha"])


PLANS = [small_plan(0.5), small_plan(0.25)]
HASHES = [hashlib.sha256(plan).digest() for plan in PLANS]


def ask_to_confirm(board: Board) -> bool:
    """A plan comes, and the firmware is confirmed."""
    if board.upload(IMAGE, PLANS[1], chunk=300) is None:
        return False
    return board.ask(WRITE, IMAGE, 0, {"confirm": True}) is not None


@pytest.mark.parametrize("how", ["none", "partial", "noisy"])
def test_a_power_cut_at_any_operation_of_an_update(host_images: Images, tmp_path: Path, how: str) -> None:
    """Of the upload, of the request to start it, of the start, of the confirmation and of the way back: power on again,
    the board has the old or the new firmware and the old or the new plan, whole, and the next update works."""
    old, new, next_ = (host_images.image(v) for v in ("1.0.0", "2.0.0", "3.0.0"))
    stages = {name: tmp_path / name for name in ("begin", "pending", "for good", "tried")}
    slots_with(stages["begin"], old)
    with start(host_images, stages["begin"]) as board:
        assert version(board) == "1.0.0"  # and the journal says so
        assert board.upload(IMAGE, PLANS[0]) == {"off": len(PLANS[0]), "match": True}
    for name, confirm in (("pending", False), ("for good", True)):
        shutil.copyfile(stages["begin"], stages[name])
        with start(host_images, stages[name]) as board:
            assert ask_for(board, new, confirm) is not None
    shutil.copyfile(stages["pending"], stages["tried"])
    with start(host_images, stages["tried"]) as board:
        assert version(board) == "2.0.0"

    def started(board: Board) -> bool:
        return board.ask(READ, IMAGE, 0) is not None

    def uploaded(board: Board) -> bool:
        return ask_for(board, new, chunk=9000) is not None

    cuts: dict[str, int] = {}
    flash = tmp_path / "flash"
    courses: list[tuple[str, str, int, Callable[[Board], bool]]] = [
        ("upload", "begin", 1, uploaded),
        ("start", "pending", 1, started),
        ("start for good", "for good", 1, started),
        ("confirm", "pending", 2, ask_to_confirm),  # the first operation is the boot loader's
        ("go back", "tried", 1, started),
    ]
    for course, stage, first, does in courses:
        for n in range(first, 100):
            shutil.copyfile(stages[stage], flash)
            with start(host_images, flash, "--cut", f"{n}:{how}") as board:
                done = does(board)
            if done:
                break
            assert board.process.returncode == CUT_EXIT
            cuts[course] = cuts.get(course, 0) + 1
            with start(host_images, flash) as board:
                assert version(board) in ("1.0.0", "2.0.0")
                assert plan_of(board) in HASHES
                board.ask(WRITE, IMAGE, 0, {"confirm": True})
                ask_for(board, next_, confirm=True)
                reset(board)
                assert version(board) == "3.0.0"
                assert board.upload(IMAGE, PLANS[1]) == {"off": len(PLANS[1]), "match": True}
                assert plan_of(board) == HASHES[1]
        assert done
    assert cuts.keys() == {course for course, *_ in courses} and cuts["upload"] > 12 and cuts["confirm"] > 3
    print(f"{how}: {cuts}")


def test_kill_9_at_random_moments_of_updates(virt_images: Images, tmp_path: Path) -> None:
    """Of upload, start, confirmation and way back: the emulated board with its NOR flash comes back each time."""
    r = random.Random(41)
    flash = flash_with(tmp_path / "flash", virt_images, virt_images.image("1.0.0"))
    command = virt(virt_images.boot, flash)
    images, hashes = {}, {}
    for key in ((v, slot) for v in (1, 2) for slot in (0, 1)):
        images[key] = virt_images.image(f"{key[0]}.0.0", slot=key[1])
        (tmp_path / "image").write_bytes(images[key])
        hashes[key] = updating.SignedImage.load(tmp_path / "image").hash
    plan = 0
    with Board(command) as board:
        assert board.upload(IMAGE, PLANS[plan]) == {"off": len(PLANS[plan]), "match": True}

    def update(board: Board, running: int, slot: int, confirm: bool) -> bool:
        key = 3 - running, slot
        if board.upload(IMAGE, images[key], chunk=800) is None:
            return False
        if board.ask(WRITE, IMAGE, 0, {"hash": hashes[key], "confirm": False}) is None:
            return False
        if board.ask(WRITE, OS, 5) is None or board.ask(READ, IMAGE, 0) is None:
            return False
        return not confirm or board.ask(WRITE, IMAGE, 0, {"confirm": True}) is not None

    kills = newer = tries = 0
    upload_s = 0.0
    running, slot = 1, 1  # the version that runs, the slot that the next one goes into
    while kills < KILLS:
        tries += 1
        confirm = r.random() < 0.7
        with Board(command) as board:
            assert version(board) == f"{running}.0.0"
            timer = threading.Timer(r.uniform(0, 1.1 * upload_s) if upload_s else 1e6, board.process.kill)
            timer.start()
            begun = time.monotonic()
            try:
                whole = update(board, running, slot, confirm)
            finally:
                timer.cancel()
                timer.join()
            if whole and not upload_s:
                upload_s = time.monotonic() - begun
            kills += not whole
            board.process.kill()
        with Board(command) as board:  # the old one, or the new one; and then the update is done
            assert version(board) in (f"{running}.0.0", f"{3 - running}.0.0")
            assert plan_of(board) == HASHES[plan]
            if version(board) == f"{running}.0.0":
                assert update(board, running, slot, True)
            else:
                newer += 1
                assert board.ask(WRITE, IMAGE, 0, {"confirm": True}) is not None
            assert version(board) == f"{3 - running}.0.0"
            plan = 1 - plan
            assert board.upload(IMAGE, PLANS[plan]) == {"off": len(PLANS[plan]), "match": True}
        running, slot = 3 - running, 1 - slot
    print(f"{kills} of {tries} updates killed, {newer} had the new firmware")
