"""Writes the seed corpus of fuzz_frame: sessions of every command, and a plan for the verifier.

Usage: make_frame_seeds.py FOLDER
"""

from __future__ import annotations

import hashlib
import struct
import sys
from pathlib import Path
from typing import Any

import cbor2
import numpy as np

import pyedge as pe

# The order of COMMANDS in fuzz_frame.c.
ECHO, RESET, PARAMETERS, STATE, STORE, HELLO, LOAD, PLAN, INPUT, RUN, OUTPUT, PROFILE, MEMORY, USE_SLOT = range(14)
STATES, KEEP = 16, 17
TO_STORE, TO_POOL = 0, 1


def wire(data: bytes) -> bytes:
    """Bytes as they are."""
    return b"".join(bytes([0, len(data[i : i + 255])]) + data[i : i + 255] for i in range(0, len(data), 255))


def request(command: int, body: dict[str, Any]) -> bytes:
    """A request in a right frame."""
    raw = cbor2.dumps(body)
    return struct.pack(">BBH", 1, command, len(raw)) + raw


def upload(target: int, plan: bytes) -> bytes:
    """A whole upload with the right hash."""
    return struct.pack(">BBH", 2, target, len(plan)) + plan


def main(folder: str) -> None:
    """Writes the files."""
    b = pe.GraphBuilder()
    b.output("y", b.softmax(b.linear(b.input("x", (1, 4), "float32"), np.ones((3, 4), np.float32), None)))
    plan = bytes(pe.compile(b.build()).data)
    sha = hashlib.sha256(plan).digest()
    b = pe.GraphBuilder()
    old = b.state("s", np.ones((1, 4), np.float32))
    b.update(old, b.add(old, b.input("x", (1, 4), "float32")))
    b.output("y", b.relu(old))
    learning = bytes(pe.compile(b.build()).data)
    begin = {"off": 0, "data": plan[:64], "len": len(plan), "sha": sha}
    run = request(RUN, {"e": 0, "id": 5, "n": 2, "prof": True})
    seeds = {
        "os": request(ECHO, {"d": "hello"}) + request(PARAMETERS, {}) + request(RESET, {}) + request(HELLO, {}),
        "run": request(INPUT, {"e": 0, "i": 0, "off": 0, "data": bytes(range(32))}) + run + run
        + request(OUTPUT, {"e": 0, "i": 0, "off": 4, "n": 20}) + request(PROFILE, {"off": 0}) + request(MEMORY, {}),
        "load": request(LOAD, begin) + request(LOAD, {"off": 64, "data": plan[64:400]}) + request(PLAN, {}),
        "pool": upload(TO_POOL, plan) + request(PLAN, {}) + run + request(OUTPUT, {"e": 0, "i": 0, "off": 0, "n": 99}),
        "store": upload(TO_STORE, plan) + request(STATE, {}) + request(USE_SLOT, {}) + run + b"\3"
        + request(STORE, begin) + request(STATE, {}) + request(USE_SLOT, {}),
        "states": upload(TO_POOL, learning) + run + request(STATES, {"off": 0, "n": 99})
        + request(STATES, {"off": 8, "n": 4}),
        "keep": upload(TO_STORE, learning) + request(USE_SLOT, {}) + run + request(KEEP, {}) + run + request(KEEP, {})
        + request(KEEP, {}) + b"\3" + request(USE_SLOT, {}) + request(STATES, {"off": 0, "n": 99}),
        "wire": wire(b"\5\1\2\0") + wire(b"\xff" * 300 + b"\0") + request(HELLO, {}),
    }  # fmt: skip
    out = Path(folder)
    out.mkdir(parents=True, exist_ok=True)
    for name, data in seeds.items():
        (out / name).write_bytes(data)


if __name__ == "__main__":
    main(sys.argv[1])
