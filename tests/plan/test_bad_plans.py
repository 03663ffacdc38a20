"""Damaged plans: a clean error or a result, never a crash. Under sanitizers in CI the same tests look for worse."""

from __future__ import annotations

import zlib

import numpy as np
import pytest
from pyedge._plan_structs import ffi

import pyedge as pe
from pyedge.plan import structs

MUTATIONS = 20_000  # a plan
MAX_WORK = 1 << 20  # a mutated plan is run if its ops write and multiply less than this
NAMES = ("small_cnn", "two_entries", "early_exit", "streaming")

HEADER = structs.record_dtype("pe_plan_header")
SECTIONS = ("tensors", "tensors", "ops", "ops", "entries", "index", "params", "strings")
INTERESTING = (0, 1, 2, 3, 4, 15, 16, 17, 63, 64, 127, 128, 255, 256, 32767, 65535, 2**30, 2**31 - 1, 2**31, 2**32 - 1)


def sealed(data: bytearray) -> bytes:
    """The bytes with a right CRC, as far as file_bytes lies inside."""
    end = int.from_bytes(data[8:12], "little")
    data[12:16] = zlib.crc32(data[16 : min(max(end, 16), len(data))]).to_bytes(4, "little")
    return bytes(data)


def try_plan(data: bytes, skip_crc: bool = False) -> str:
    """Reads a plan and, if it is accepted and small enough, runs every entry. What became of it."""
    try:
        plan = pe.Plan(data)
    except pe.PlanError as error:
        return str(error)
    plan.summary(), plan.to_dict()
    work = sum(op.macs + sum(plan.tensors[t].bytes for t in op.outputs) for op in plan.ops)
    if work * len(plan.entries) > MAX_WORK or plan.arena_bytes > 1 << 26:
        return "too large to run"
    session = pe.Session(plan)
    for name, entry in plan.entries.items():
        outputs = session.run([np.ones(t.shape, t.dtype) for t in entry.inputs], name)
        assert [y.shape for y in outputs] == [t.shape for t in entry.outputs]
    return "ran"


@pytest.mark.parametrize("name", NAMES)
def test_every_truncation_is_refused(plans: dict[str, pe.Plan], name: str) -> None:
    """A plan cut at any byte is an error, with its CRC made right, too."""
    data = bytes(plans[name].data)
    for n in range(len(data)):
        with pytest.raises(pe.PlanError):
            pe.Plan(data[:n])
        shorter = bytearray(data[:n])
        if n >= 16:
            shorter[8:12] = n.to_bytes(4, "little")
            assert try_plan(sealed(shorter)) != ""


def mutated(data: bytes, rng: np.random.Generator) -> bytearray:
    """One to three changes: a bit, a byte, or a 16- or 32-bit field of a table set to a value that means something."""
    result = bytearray(data)
    header = np.frombuffer(data, HEADER, 1)[0]
    for _ in range(int(rng.integers(1, 4))):
        how = int(rng.integers(8))
        if how == 0:
            at = int(rng.integers(len(data)))
            result[at] ^= 1 << int(rng.integers(8))
        elif how == 1:
            result[int(rng.integers(len(data)))] = int(rng.integers(256))
        else:
            section = SECTIONS[int(rng.integers(len(SECTIONS)))]
            offset, size = int(header[section]["offset"]), int(header[section]["bytes"])
            width = int(rng.choice([1, 2, 4]))
            if how == 7:
                offset, size = 0, HEADER.itemsize
            at = offset + int(rng.integers(size // width)) * width
            old = int.from_bytes(result[at : at + width], "little")
            new = int(rng.choice(INTERESTING)) if rng.integers(2) else old + int(rng.integers(-3, 4))
            result[at : at + width] = (new % (1 << (8 * width))).to_bytes(width, "little")
    return result


@pytest.mark.parametrize("name", NAMES)
def test_mutations_are_refused_or_run(plans: dict[str, pe.Plan], name: str) -> None:
    """20,000 mutations, half with the CRC made right: none crashes, and a good share gets past the header."""
    rng = np.random.default_rng(7)
    data = bytes(plans[name].data)
    results: dict[str, int] = {}
    header = ("not a plan", "truncated", "unknown version", "wrong CRC", "bad section", "unknown layout", "misaligned")
    past = 0
    for i in range(MUTATIONS):
        result = mutated(data, rng)
        outcome = try_plan(sealed(result) if i % 2 else bytes(result))
        past += not outcome.startswith(tuple(f"not a valid plan: {h}" for h in header))
        kind = outcome.split(",")[0].removeprefix("not a valid plan: ").split(": ")[0]
        results[kind] = results.get(kind, 0) + 1
    share = past / MUTATIONS
    print(f"{name}: {share:.1%} of {MUTATIONS} mutations got past the header:", dict(sorted(results.items())))
    assert share >= 0.2
    assert results["ran"] >= 100
    assert len(results) >= 10  # the verifier refuses for many reasons


@pytest.mark.parametrize("name", NAMES)
def test_any_constants_run(plans: dict[str, pe.Plan], name: str) -> None:
    """Every bit pattern in the constants is safe: random ones, all zeros, all ones, and each extreme of q."""
    plan = plans[name]
    header = np.frombuffer(plan.data, HEADER, 1)[0]
    start, size = int(header["consts"]["offset"]), int(header["consts"]["bytes"])
    rng = np.random.default_rng(3)
    fills = [rng.integers(0, 256, size, np.uint8).tobytes() for _ in range(200)]
    fills += [bytes(size), b"\xff" * size, b"\x00\x00\x00\x80" * (size // 4), b"\xff\xff\xff\x7f" * (size // 4)]
    for fill in fills:
        data = bytearray(plan.data)
        data[start : start + len(fill)] = fill
        assert try_plan(sealed(data)) == "ran"


def test_a_newer_or_foreign_file_says_so(plans: dict[str, pe.Plan]) -> None:
    """Another major version, an op kind of the future, and something else altogether."""
    data = bytearray(plans["early_exit"].data)
    data[4] += 1
    with pytest.raises(pe.PlanError, match="unknown version"):
        pe.Plan(sealed(data))
    data = bytearray(plans["early_exit"].data)
    ops = int(np.frombuffer(data, HEADER, 1)[0]["ops"]["offset"])
    data[ops : ops + 2] = (999).to_bytes(2, "little")
    with pytest.raises(pe.PlanError, match="needs an op that this version of pyedge does not have: any_ge_f32, op 0"):
        pe.Plan(sealed(data))
    for junk in (b"", b"PEDG", b"\0" * 200, b"TFL3" * 100):
        with pytest.raises(pe.PlanError, match="not a valid plan"):
            pe.Plan(junk)


def test_the_format_has_no_padding() -> None:
    """Every byte of every struct is a field, so a mutation always means something."""
    for record in ("pe_plan_header", "pe_tensor", "pe_op", "pe_entry"):
        fields = ffi.typeof(record).fields
        assert sum(ffi.sizeof(f.type) for _, f in fields) == ffi.sizeof(record)
