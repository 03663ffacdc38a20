"""The commands that a board knows, and what their answers hold (docs/link.md)."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

from ..errors import LinkError

# Group 70.
HELLO, LOAD, PLAN, INPUT, RUN, OUTPUT, PROFILE, MEMORY, USE_SLOT, CUSTOM_OPS, STATES, KEEP, CLOCK = range(13)
REPLAY, REMEMBER, LEARN, SAMPLE = range(13, 17)
PEAKS, CPUS = 20, 21  # of a board with Linux
ECHO, RESET, PARAMETERS = 0, 5, 6  # group 0
STATE, UPLOAD = 0, 1  # group 1
FIRMWARE_IMAGE = 0  # among the images of its state; a plan is 1
PROTOCOL = 1
RC_MEMORY, RC_VALUE, RC_NOT_FOUND, RC_STATE, RC_SUPPORT, RC_CORRUPT = 2, 3, 5, 6, 8, 9
ST_LAYOUT = -16  # of a plan that was refused: PE_ERR_LAYOUT of pyedge.h


@dataclass(frozen=True)
class Hello:
    """What a board says of itself (docs/link.md, "hello")."""

    proto: int
    abi: int
    board: str
    fw: str
    unit: str  # of counts: "instructions", "cycles" or "ns"
    hz: int
    buf: int
    pool: int
    boot: int
    ops: int
    slots: int
    static: int


@dataclass(frozen=True)
class Memory:
    """RAM of the board in bytes. stack: high-water mark; 0 where the board cannot tell."""

    arena: int
    plan: int
    static: int
    stack: int
    stack_size: int
    free: int


def fields_of(cls: type[Any], answer: dict[str, Any], board: str) -> Any:
    """A dataclass from an answer; LinkError if a field is missing or of another type."""
    kinds = {"int": int, "str": str}
    for f in fields(cls):
        value = answer.get(f.name)
        if type(value) is not kinds[str(f.type)] or (isinstance(value, int) and value < 0):
            raise LinkError(f"{board}: {cls.__name__.lower()}: bad answer: {f.name} is {value!r}")
    return cls(**{f.name: answer[f.name] for f in fields(cls)})


def bytes_of(answer: dict[str, Any], key: str, board: str) -> bytes:
    """Bytes of an answer, or LinkError."""
    value = answer.get(key)
    if not isinstance(value, bytes):
        raise LinkError(f"{board}: bad answer: {key} is {value!r}")
    return value


def text_of(answer: dict[str, Any], key: str, board: str) -> str:
    """A text of an answer, or LinkError."""
    value = answer.get(key)
    if not isinstance(value, str):
        raise LinkError(f"{board}: bad answer: {key} is {value!r}")
    return value


def number_of(answer: dict[str, Any], key: str, board: str) -> int:
    """A count of an answer, or LinkError."""
    value = answer.get(key)
    if type(value) is not int or value < 0:
        raise LinkError(f"{board}: bad answer: {key} is {value!r}")
    return value
