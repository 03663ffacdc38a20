"""Firmware in two slots: the boot loader, and firmware that updates itself, with images of imgtool."""

from __future__ import annotations

import asyncio
import hashlib
import json
import subprocess
import sys
from pathlib import Path

import pytest

from pyedge.host.updating import SignedImage

from .slots import (
    HOST_SLOTS,
    VIRT_SECTOR,
    VIRT_SLOTS,
    Images,
    ask_for,
    firmware_of,
    imgtool,
    public_key,
    reset,
    sign,
    slots_with,
    start,
    version,
)
from .test_server import small_plan
from .wire import IMAGE, PYEDGE, READ, WRITE, Board, erased_flash, virt


def test_an_update_is_tested_confirmed_or_reverted(host_images: Images, tmp_path: Path) -> None:
    """Without a confirmation the next reset goes back; with one it stays; a permanent one stays at once."""
    with start(host_images, slots_with(tmp_path / "flash", host_images.image("1.0.0"))) as board:
        (first,) = firmware_of(board)
        assert (first["slot"], first["version"], first["active"], first["confirmed"]) == (0, "1.0.0", True, True)
        answer = ask_for(board, host_images.image("2.0.0+5"))
        assert [(i["version"], i["pending"]) for i in firmware_of(board, answer)] == [
            ("1.0.0", False),
            ("2.0.0.5", True),
        ]
        reset(board)
        trial = {i["version"]: (i["active"], i["confirmed"], i["slot"]) for i in firmware_of(board)}
        assert trial == {"1.0.0": (False, True, 0), "2.0.0.5": (True, False, 1)}
        refused = board.upload(IMAGE, host_images.image("3.0.0"), chunk=32000)  # into the slot to go back to
        assert refused is not None and refused["rc"] == 6 and "confirmed" in refused["rsn"]
        reset(board)
        assert version(board) == "1.0.0"
        ask_for(board, host_images.image("2.0.0+5"))  # it is there already
        reset(board)
        confirmed = board.ask(WRITE, IMAGE, 0, {"confirm": True})
        assert all(i["confirmed"] == i["active"] for i in firmware_of(board, confirmed))
        reset(board)
        assert version(board) == "2.0.0.5"
        ask_for(board, host_images.image("3.0.0"), confirm=True)
        reset(board)
        reset(board)
        assert version(board) == "3.0.0"
        plan = small_plan(0.5)  # the store of plans is beside the slots
        assert board.upload(IMAGE, plan) == {"off": len(plan), "match": True}
        state = board.ask(READ, IMAGE, 0)
        assert state is not None and [i["image"] for i in state["images"]] == [0, 0, 1] and version(board) == "3.0.0"


def test_what_must_not_run_is_refused_by_the_board(host_images: Images, tmp_path: Path) -> None:
    """Foreign key, unsigned, changed, older: by the firmware, and by the boot loader if it got there."""
    foreign, payload = host_images.folder / "foreign.pem", host_images.payloads[0]
    imgtool("keygen", "-k", foreign, "-t", "ed25519")
    good = host_images.image("2.0.0", counter=3)
    changed = bytearray(good)
    changed[len(good) // 2] ^= 1
    unsigned = sign(tmp_path / "unsigned", payload, "-v", "2.0.0", header=512).read_bytes()
    bad = {
        "another key": host_images.image("2.0.0", counter=3, key=foreign),
        "not signed": unsigned,
        "damaged": bytes(changed),
        "older": host_images.image("2.0.0", counter=1),
    }
    flash = slots_with(tmp_path / "flash", host_images.image("1.0.0", counter=2))
    with start(host_images, flash) as board:
        for reason, image in bad.items():
            answer = board.upload(IMAGE, image, chunk=32000)
            assert answer is not None and answer["rc"] == 9 and reason in answer["rsn"], (reason, answer)
            assert board.ask(WRITE, IMAGE, 0, {"hash": bytes(32), "confirm": True})["rc"] == 5
            reset(board)
            assert version(board) == "1.0.0" and len(firmware_of(board)) == 1
        assert board.ask(WRITE, IMAGE, 0, {})["rc"] == 3
    for image in bad.values():
        slots_with(flash, host_images.image("1.0.0", counter=2))
        with start(host_images, flash) as board:
            ask_for(board, good)
        content = bytearray(flash.read_bytes())
        at = HOST_SLOTS + 2 * 65536 + (4 << 20)
        content[at : at + len(image)] = image
        flash.write_bytes(content)
        with start(host_images, flash) as board:
            assert version(board) == "1.0.0"


def test_lengths_that_lie_are_refused(host_images: Images, tmp_path: Path) -> None:
    """In the header and in the TLVs, and an image that ends early: by the board, which goes on and takes a good one."""
    good = host_images.image("2.0.0")
    size = int.from_bytes(good[12:16], "little")
    lies = [good[:-100], good[:500], good[:32], good[:5]]
    for at, value in ((8, b"\xff\xff"), (8, b"\0\0"), (10, b"\xff\xff"), (12, b"\xff" * 4), (12, bytes(4))):
        lies.append(good[:at] + value + good[at + len(value) :])
    for tlv in (512 + size + 2, 512 + size + 6, 512 + size + 14, 512 + size + 18):  # lengths of areas and of TLVs
        lies.append(good[:tlv] + b"\xff\xff" + good[tlv + 2 :])
    with start(host_images, slots_with(tmp_path / "flash", host_images.image("1.0.0"))) as board:
        for lie in lies:
            answer = board.upload(IMAGE, lie, chunk=32000)
            assert answer is not None and answer["rc"] == 9, answer
        too_long = board.ask(WRITE, IMAGE, 1, {"off": 0, "data": good[:64], "len": 0xFFFFFFFF, "sha": bytes(32)})
        assert too_long is not None and too_long["rc"] == 2
        assert len(firmware_of(board)) == 1
        ask_for(board, good, confirm=True)
        reset(board)
        assert version(board) == "2.0.0"


def test_the_network_runs_while_an_update_comes(host_images: Images, tmp_path: Path) -> None:
    """Between its chunks; a plan that comes meanwhile breaks it off, and it goes on from its last whole sector."""
    image, plan = host_images.image("2.0.0"), small_plan(0.25)
    sha = {"len": len(image), "sha": hashlib.sha256(image).digest()}
    with start(host_images, slots_with(tmp_path / "flash", host_images.image("1.0.0"))) as board:
        board.ask(WRITE, PYEDGE, 8)
        off = 0
        while off < 70000:
            body = {"off": off, "data": image[off : off + 10000], **({} if off else sha)}
            (off,) = board.ask(WRITE, IMAGE, 1, body).values()
            assert "rc" not in board.ask(WRITE, PYEDGE, 4, {"e": 0, "id": off})
        assert board.upload(IMAGE, plan) == {"off": len(plan), "match": True}
        assert board.ask(WRITE, IMAGE, 1, {"off": off, "data": image[off : off + 100]})["off"] == len(plan)
        assert board.ask(WRITE, IMAGE, 1, {"off": 0, "data": image[:100], **sha}) == {"off": 65536}
        ask_for(board, image, confirm=True)
        reset(board)
        assert version(board) == "2.0.0"
        assert board.ask(WRITE, PYEDGE, 8)["sha"] == hashlib.sha256(plan).digest()


def test_a_board_without_firmware_says_so(host_images: Images, tmp_path: Path) -> None:
    """As text, so that a terminal shows it."""
    with Board(
        [str(host_images.boot), "--fd", "{fd}", "--flash", str(erased_flash(tmp_path / "flash", 17 << 20))]
    ) as board:
        assert board.sock.recv(100).startswith(b"pyedge boot: no firmware")


def test_smpclient_updates_the_firmware(host_images: Images, tmp_path: Path) -> None:
    """The real client: upload, state, test, reset, confirm."""
    from smpclient import SMPClient
    from smpclient.generics import error, success
    from smpclient.requests.image_management import ImageStatesRead, ImageStatesWrite
    from smpclient.requests.os_management import ResetWrite
    from smpclient.transport.serial import Cobs, SMPSerialRawTransport

    async def talk(port: str) -> None:
        async with SMPClient(SMPSerialRawTransport(framing=Cobs()), port, 30) as client:

            async def active() -> tuple[str, bool | None]:
                state = await client.request(ImageStatesRead())
                assert success(state)
                (image,) = [i for i in state.images if i.active]
                return image.version, image.confirmed

            image = host_images.image("2.0.0")
            async for off in client.upload(image):
                last = off
            assert last == len(image) and await active() == ("1.0.0", True)
            state = await client.request(ImageStatesRead())
            assert success(state)
            (waiting,) = [i for i in state.images if not i.active]
            assert error(await client.request(ImageStatesWrite(hash=bytes(32))))
            tested = await client.request(ImageStatesWrite(hash=waiting.hash))
            assert success(tested) and [i.pending for i in tested.images] == [False, True]
            assert success(await client.request(ResetWrite()))
            assert await active() == ("2.0.0", False)
            assert success(await client.request(ImageStatesWrite(hash=waiting.hash, confirm=True)))
            assert success(await client.request(ResetWrite()))
            assert await active() == ("2.0.0", True)

    flash = slots_with(tmp_path / "flash", host_images.image("1.0.0"))
    process = subprocess.Popen([host_images.boot, "--flash", flash], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert process.stdin is not None and process.stdout is not None
    try:
        asyncio.run(talk(process.stdout.readline().decode().strip()))
    finally:
        process.stdin.close()
        process.wait(5)
        process.stdout.close()


def pyedge(*args: object) -> subprocess.CompletedProcess[str]:
    """The command, and what it did."""
    command = [sys.executable, "-m", "pyedge.cli", *map(str, args)]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)


def test_pyedge_makes_keys_signs_and_updates(host_images: Images, tmp_path: Path) -> None:
    """keygen, sign, flash --firmware: what runs is read back and confirmed; a refused image is said, exit code 7."""
    made = pyedge("keygen", tmp_path / "key.pem", "--json")
    assert json.loads(made.stdout)["public"] == public_key(tmp_path / "key.pem").hex()
    assert (tmp_path / "key.pem").stat().st_mode & 0o077 == 0
    assert pyedge("keygen", tmp_path / "key.pem").returncode == 2
    (tmp_path / "firmware").write_bytes(host_images.payloads[0])
    for key, name in ((host_images.key, "good"), (tmp_path / "key.pem", "foreign")):
        signed = pyedge(
            "sign", tmp_path / "firmware", "--whole", "-k", key, "-v", "2.0.0", "--counter", 3, "-o", tmp_path / name
        )
        assert signed.returncode == 0, signed.stderr
    flash = slots_with(tmp_path / "flash", host_images.image("1.0.0"))
    process = subprocess.Popen([host_images.boot, "--flash", flash], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert process.stdin is not None and process.stdout is not None
    try:
        where = ["flash", "-b", "host", "--port", process.stdout.readline().decode().strip(), "--firmware"]
        foreign = pyedge(*where, tmp_path / "foreign")
        assert foreign.returncode == 7 and "signature" in foreign.stderr, foreign
        assert pyedge(*where, tmp_path / "firmware").returncode == 2  # not signed at all
        for _ in range(2):  # the second time it is there already
            updated = pyedge(*where, tmp_path / "good", "--json")
            assert updated.returncode == 0, updated.stderr
            report = json.loads(updated.stdout)
            assert (report["version"], report["slot"]) == ("2.0.0", 1)
    finally:
        process.stdin.close()
        process.wait(5)
        process.stdout.close()
    with start(host_images, flash) as board:
        assert version(board) == "2.0.0"


@pytest.mark.parametrize("name", ["host", "virt-rv32"])
def test_pyedge_builds_and_signs_the_firmware_of_each_slot(request: pytest.FixtureRequest, name: str) -> None:
    """imgtool verifies the images and reads version, counter and signature; their names say what they are."""
    images: Images = request.getfixturevalue("host_images" if name == "host" else "virt_images")
    names = [""] if name == "host" else ["-slot0", "-slot1"]
    assert [file.name for file in images.signed] == [f"{name}-1.0.0{slot}.bin" for slot in names]
    for slot, file in enumerate(images.signed):
        imgtool("verify", "-k", images.key, file)
        imgtool("dumpinfo", "-o", images.folder / "info.yaml", file)
        info = (images.folder / "info.yaml").read_text()
        assert "version: 1.0.0+0" in info and "SEC_CNT" in info and "ED25519" in info
        image = SignedImage.load(file)
        assert image.address == (images.fixed[slot] if images.fixed else None) and image.version == "1.0.0"


def test_a_plan_that_was_signed_with_the_firmware_runs_until_there_is_another(
    host_images: Images, tmp_path: Path
) -> None:
    """And goes with the firmware."""
    with start(host_images, slots_with(tmp_path / "flash", host_images.image("1.0.0"))) as board:
        for plan, upload in ((small_plan(0.5), False), (small_plan(0.25), True)):
            if upload:
                assert board.upload(IMAGE, plan) == {"off": len(plan), "match": True}
            used = board.ask(WRITE, PYEDGE, 8)
            assert used is not None and used["sha"] == hashlib.sha256(plan).digest()


def test_sign_says_what_it_cannot_build(host_images: Images, tmp_path: Path) -> None:
    """A board without slots; nothing, or two things, to sign."""
    rest = ["-k", host_images.key, "-v", "1.0.0", "-o", tmp_path / "out"]
    refused = pyedge("sign", "-b", "sifive-e", *rest)
    assert refused.returncode == 9 and "has no slots" in refused.stderr and "pyedge flash -b sifive-e" in refused.stderr
    assert pyedge("sign", *rest).returncode == 2
    assert pyedge("sign", host_images.signed[0], "-b", "host", *rest).returncode == 2
    assert not (tmp_path / "out").exists()


def test_firmware_without_slots_takes_no_update(host_images: Images, tmp_path: Path) -> None:
    """And says what to do."""
    (tmp_path / "image").write_bytes(host_images.image("2.0.0"))
    refused = pyedge("flash", "-b", "host", "--firmware", tmp_path / "image")
    assert refused.returncode == 9 and "has no slots" in refused.stderr


def test_firmware_on_virt_rv32_updates_itself_where_it_is_executed(virt_images: Images, tmp_path: Path) -> None:
    """Each slot's image runs from flash and writes the other; one for the wrong slot is refused."""
    first = virt_images.image("1.0.0")
    flash = slots_with(tmp_path / "flash", first, VIRT_SLOTS, VIRT_SECTOR, 32 << 20)
    with Board(virt(virt_images.boot, flash)) as board:
        assert version(board) == "1.0.0"
        wrong = board.upload(IMAGE, virt_images.image("2.0.0", slot=0), chunk=800)
        assert wrong is not None and wrong["rc"] == 9 and "other slot" in wrong["rsn"]
        new = virt_images.image("2.0.0", slot=1)
        ask_for(board, new, chunk=800)
        reset(board)
        assert version(board) == "2.0.0"
        reset(board)
        assert version(board) == "1.0.0"
        ask_for(board, new, chunk=800)
        reset(board)
        board.ask(WRITE, IMAGE, 0, {"confirm": True})
        plan = small_plan(0.5)
        assert board.upload(IMAGE, plan) == {"off": len(plan), "match": True}
        ask_for(board, virt_images.image("3.0.0", slot=0), confirm=True, chunk=800)
        reset(board)
        assert version(board) == "3.0.0"
        assert board.ask(WRITE, 70, 8)["sha"] == hashlib.sha256(plan).digest()
    with Board(virt(virt_images.boot, flash)) as board:  # power off and on
        assert version(board) == "3.0.0"
        board.upload(IMAGE, virt_images.image("4.0.0", slot=1)[:4000] + bytes(100), chunk=800)
        board.process.kill()
    with Board(virt(virt_images.boot, flash)) as board:
        assert version(board) == "3.0.0" and len(firmware_of(board)) == 1
