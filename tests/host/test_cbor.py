"""The CBOR subset."""

from __future__ import annotations

import random
from typing import Any

import cbor2
import pytest

from pyedge.errors import LinkError
from pyedge.host import cbor

VALUES: list[Any] = [
    0, 23, 24, 255, 256, 65535, 65536, 2**32 - 1, 2**32, 2**64 - 1, -1, -24, -25, -(2**32), True, False, None,
    "", "é" * 30, b"", bytes(300), [], [1, [2, [3]]], {}, {"a": {"b": [True, b"x"]}, "off": 0},
]  # fmt: skip


@pytest.mark.parametrize("value", VALUES, ids=lambda v: repr(v)[:20])
def test_the_bytes_are_those_of_cbor2(value: Any) -> None:
    """The same shortest encoding as an independent library, and back."""
    assert cbor.encode(value) == cbor2.dumps(value)
    assert cbor.decode(cbor2.dumps(value)) == value


@pytest.mark.parametrize(
    "data",
    [
        b"", b"\x18", b"\x19\x01", b"\x1c", b"\x1f", b"\x45ab", b"\x5b" + b"\xff" * 8, b"\x62a",
        b"\x61\xff", b"\x9f\xff", b"\x9b" + b"\xff" * 8, b"\xbb" + b"\x7f" * 8, b"\xa1\x01\x02",
        b"\xa2\x61a\x01\x61a\x02", b"\xc0\x00", b"\xf9\x00\x00", b"\xf7", b"\x00\x00", b"\x81" * 40 + b"\x00",
    ],
)  # fmt: skip
def test_what_is_not_in_the_subset_is_a_link_error(data: bytes) -> None:
    """Truncations, lengths past the end, indefinite lengths, tags, floats, bad keys, depth, trailing bytes."""
    with pytest.raises(LinkError):
        cbor.decode(data)


def test_random_bytes_are_link_errors_or_values() -> None:
    """20,000 strings of bytes, half of them damaged good ones."""
    r = random.Random(3)
    good = [cbor2.dumps(v) for v in VALUES if v not in (b"",)]
    for _ in range(20_000):
        data = bytearray(r.choice(good) if r.random() < 0.5 else r.randbytes(r.randrange(1, 30)))
        data[r.randrange(len(data))] = r.randrange(256)
        try:
            value = cbor.decode(bytes(data))
        except LinkError:
            continue
        assert cbor.decode(cbor.encode(value)) == value


def test_a_type_outside_the_subset_cannot_be_encoded() -> None:
    """A float, and an integer of more than 64 bits."""
    for value in (1.5, 1 << 64):
        with pytest.raises(LinkError):
            cbor.encode(value)
