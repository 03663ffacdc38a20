"""The byte tables of docs/link.md are what the code does."""

from __future__ import annotations

import json
import re
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest

import pyedge as pe
from pyedge.boards import Store
from pyedge.host import cbor, frame, store
from pyedge.host.commands import Hello, Memory

DOC = (Path(__file__).parents[2] / "docs" / "link.md").read_text()
ROW = re.compile(r"^\| ([^|]+) \| (\d) \| (\d+) \| (\d+) \| (\d+) \| `([^`]+)` \| `([0-9a-f ]+)` \|$", re.MULTILINE)


def diagnostic(text: str) -> Any:
    """A value from CBOR's diagnostic notation, as far as the page uses it."""
    value = json.loads(re.sub(r"h'([0-9a-f]*)'", r'"h:\1"', text))
    return {k: bytes.fromhex(v[2:]) if isinstance(v, str) and v.startswith("h:") else v for k, v in value.items()}


EXAMPLES = {
    name: (frame.Message(int(op), int(group), int(seq), int(id), cbor.encode(diagnostic(body))), bytes.fromhex(raw))
    for name, op, group, seq, id, body, raw in ROW.findall(DOC)
}


def test_the_page_has_examples() -> None:
    """Otherwise the tests below would test nothing."""
    assert len(EXAMPLES) >= 8


@pytest.mark.parametrize("name", EXAMPLES)
def test_an_example_frame_is_its_message(name: str) -> None:
    """Packed it gives the bytes of the page, and back."""
    message, raw = EXAMPLES[name]
    assert frame.pack(message) == raw
    assert frame.unpack(raw[:-1]) == message


@pytest.mark.parametrize(
    "asked, answered",
    [("echo", "echo answered"), ("parameters", "parameters answered"), ("plan, none there", "plan refused")],
)
def test_a_board_answers_an_example_byte_for_byte(asked: str, answered: str) -> None:
    """The host port, given the request's bytes, sends the answer's."""
    with pe.connect("host") as board:
        board.link.stream.write(EXAMPLES[asked][1])
        answer = b""
        while not answer.endswith(b"\0"):
            answer += board.link.stream.read()
        assert answer == EXAMPLES[answered][1]


@pytest.mark.parametrize("command, cls", [("hello", Hello), ("memory", Memory)])
def test_the_fields_of_an_answer_are_those_of_the_page(command: str, cls: type) -> None:
    """The table names what the host reads."""
    (row,) = re.findall(rf"^\| \d \| {command} \| [^|]+ \| `([^`]+)` \|$", DOC, re.MULTILINE)
    assert re.findall(r'"(\w+)": (?:n|1|text)\b', row) == [f.name for f in fields(cls)]


def test_a_journal_record_has_the_layout_of_the_page() -> None:
    """Offsets and sizes of the table add up to what the host writes."""
    table = DOC[DOC.index("## Journal and slots") : DOC.index("Of each slot the newest record")]
    rows = re.findall(r"^\| (\d+) \| (\d+) \| (\w+) \|", table, re.MULTILINE)
    places = {name: (int(offset), int(size)) for offset, size, name in rows}
    assert sum(size for _, size in places.values()) == store.RECORD_BYTES
    data = store.record(5, 1, b"plan")
    at = {name: data[offset : offset + size] for name, (offset, size) in places.items()}
    assert (at["magic"], at["kept"], at["kept_sha"]) == (b"PEJ1", b"\xff" * 4, b"\xff" * 8)
    assert [int.from_bytes(at[k], "little") for k in ("sequence", "slot", "length")] == [5, 1, 4]
    empty = store.compose(Store("flash", 0, 4096, 8192, True), None)
    assert empty == b"\xff" * 8192
