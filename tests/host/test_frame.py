"""COBS and SMP frames."""

from __future__ import annotations

import random

import pytest
from cobs import cobs

from pyedge.errors import LinkError
from pyedge.host import frame

SIZES = [*range(6), *range(250, 260), *range(504, 514), 1000, 4096]


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("zeros", [0.0, 0.01, 0.5, 1.0])
def test_cobs_is_that_of_the_cobs_package(size: int, zeros: float) -> None:
    """The same bytes as an independent encoder, and back, around the group sizes 254 and 508."""
    r = random.Random(size)
    data = bytes(0 if r.random() < zeros else r.randrange(1, 256) for _ in range(size))
    encoded = frame.cobs_encode(data)
    assert encoded == cobs.encode(data)
    assert frame.cobs_decode(encoded) == data


def test_a_message_survives_packing() -> None:
    """Every field comes back, and the frame has one zero, at its end."""
    message = frame.Message(frame.WRITE, 70, 255, 3, bytes(range(256)))
    packed = frame.pack(message)
    assert packed.index(0) == len(packed) - 1
    assert frame.unpack(packed[:-1]) == message


@pytest.mark.parametrize(
    "raw",
    [b"", b"\x01", b"\x05\x01", b"\x00", b"\xff" + bytes(3), cobs.encode(b"123456789"), cobs.encode(bytes(12))],
    ids=["empty", "nothing", "past the end", "zero code", "zero inside", "no CRC", "wrong length"],
)
def test_a_bad_frame_is_a_link_error(raw: bytes) -> None:
    """Whatever is wrong with it. (12 zeros have a good CRC: 0.)"""
    if raw == cobs.encode(bytes(12)):
        with pytest.raises(LinkError, match="header says 0 bytes, the frame has 2"):
            frame.unpack(raw)
    else:
        with pytest.raises(LinkError):
            frame.unpack(raw)


def test_mutated_frames_are_link_errors_or_messages() -> None:
    """20,000 frames with bytes changed, cut or added: LinkError, or in the rare case of a good CRC a message."""
    r = random.Random(7)
    passed = 0
    for _ in range(20_000):
        data = bytearray(
            frame.pack(
                frame.Message(r.randrange(4), 70, r.randrange(256), r.randrange(9), r.randbytes(r.randrange(40)))
            )[:-1]
        )
        for _ in range(r.randrange(1, 4)):
            at = r.randrange(len(data))
            match r.randrange(3):
                case 0:
                    data[at] = r.randrange(256)
                case 1:
                    del data[at:]
                    data += b"\1"
                case _:
                    data.insert(at, r.randrange(256))
        try:
            assert isinstance(frame.unpack(bytes(data)), frame.Message)
            passed += 1
        except LinkError:
            pass
    assert passed < 1000  # some changes change nothing; a CRC that is not looked at would let far more through
