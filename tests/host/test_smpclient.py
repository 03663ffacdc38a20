"""smpclient, a client by others, talks to our boards."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable

from smpclient import SMPClient
from smpclient.generics import success
from smpclient.requests.image_management import ImageStatesRead
from smpclient.requests.os_management import EchoWrite, MCUMgrParametersRead
from smpclient.transport.serial import Cobs, SMPSerialRawTransport

import pyedge as pe
from pyedge.host.emulator import Emulator

from .conftest import needs_qemu
from .proxy import Proxy


@needs_qemu
def test_smpclient_echoes_reads_parameters_and_uploads_a_plan(
    emulate: Callable[[str], Emulator], plan: pe.Plan
) -> None:
    """The plan that it uploaded as an image is the active one, and is executed from flash."""
    data = bytes(plan.data)

    async def session(path: str) -> None:
        async with SMPClient(SMPSerialRawTransport(mtu=512, framing=Cobs()), path, 10) as client:
            echo = await client.request(EchoWrite(d="hello"))
            assert success(echo) and echo.r == "hello"
            parameters = await client.request(MCUMgrParametersRead())
            assert success(parameters) and parameters.buf_count == 1 and parameters.buf_size >= 512
            offsets = [off async for off in client.upload(data)]
            assert offsets == sorted(offsets) and offsets[-1] == len(data)
            states = await client.request(ImageStatesRead())
            assert success(states)
            assert [(i.hash, i.active) for i in states.images] == [(hashlib.sha256(data).digest(), True)]

    with Proxy(emulate("virt-rv32")) as proxy:
        asyncio.run(session(proxy.path))
        with pe.connect("virt-rv32", port=proxy.path) as board:
            assert board.use_slot() == hashlib.sha256(data).digest()
