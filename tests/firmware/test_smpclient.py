"""The real smpclient, unchanged, talks to the firmware over a pty."""

from __future__ import annotations

import asyncio
import hashlib
import subprocess
from pathlib import Path

import pytest

from .test_server import small_plan

smpclient = pytest.importorskip("smpclient")


def test_smpclient_talks_to_the_board(host_firmware: Path) -> None:
    """Echo, parameters, image upload with SHA-256, image state, reset, and an error that it understands."""
    from smpclient import SMPClient
    from smpclient.generics import error, success
    from smpclient.requests.image_management import ImageStatesRead
    from smpclient.requests.os_management import EchoWrite, ResetWrite
    from smpclient.transport.serial import SMPSerialRawTransport
    from smpclient.transport.serial.framing.cobs import Cobs

    plan = small_plan(0.5)

    async def talk(port: str) -> None:
        async with SMPClient(SMPSerialRawTransport(framing=Cobs()), port) as client:
            echo = await client.request(EchoWrite(d="Grüße"))
            assert success(echo) and echo.r == "Grüße"
            async for off in client.upload(plan):
                last = off
            assert last == len(plan)
            state = await client.request(ImageStatesRead())
            assert success(state)
            (image,) = state.images
            assert (image.slot, image.active, image.bootable) == (0, True, True)
            assert image.hash == hashlib.sha256(plan).digest()
            with pytest.raises(smpclient.exceptions.SMPUploadError):
                async for _ in client.upload(b"not a plan, but whole" * 9):
                    pass
            assert success(await client.request(ResetWrite()))
            again = await client.request(ImageStatesRead())
            assert success(again) and not error(again)

    process = subprocess.Popen([host_firmware], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert process.stdin is not None and process.stdout is not None
    try:
        asyncio.run(talk(process.stdout.readline().decode().strip()))
    finally:
        process.stdin.close()
        process.wait(5)
        process.stdout.close()
