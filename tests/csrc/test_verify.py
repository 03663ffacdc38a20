"""The verifier refuses each kind of damage with its own status, and executes whatever it lets pass."""

import re
from pathlib import Path

import numpy as np
import pytest
from plan_image import PlanWriter, gated_plan

from pyedge import _core
from pyedge.plan import structs

ROOT = Path(__file__).resolve().parents[2]
STATUS = {
    name: int(value)
    for name, value in re.findall(r"(PE_ERR_\w+) = (-\d+)", (ROOT / "csrc/include/pyedge.h").read_text("utf-8"))
}
NONE, HUGE = structs.NONE, 0xFFFFFFF0


def conv_plan() -> PlanWriter:
    """One conv2d_s8 with padding, and with the scratch that it asks for."""
    w = PlanWriter()
    x = w.tensor("x", "int8", (1, 5, 5, 3))
    k = w.tensor("w", "int8", (4, 3, 3, 3), np.ones((4, 3, 3, 3), np.int8))
    q = w.tensor("q", "int32", (4, 3), np.tile(np.array([0, 1 << 30, 5], np.int32), (4, 1)))
    y = w.tensor("y", "int8", (1, 5, 5, 4))
    params = {"stride_h": 1, "stride_w": 1, "dilation_h": 1, "dilation_w": 1, "pad_top": 1, "pad_left": 1, "groups": 1}
    params |= {"y_min": -128, "y_max": 127}
    tensors = [(2, (1, 5, 5, 3)), (2, (4, 3, 3, 3)), (3, (4, 3)), (2, (1, 5, 5, 4))]
    need = _core.op_check(structs.KINDS["conv2d_s8"], structs.pack_params("conv2d_s8", **params), tensors, 3)
    w.op("conv2d_s8", [x, k, q], [y], scratch_bytes=need, **params)
    w.entry("main", 0, 1, [x], [y])
    return w


def stateful_plan() -> PlanWriter:
    """main: s = s + x, y = s. reset: s = 0."""
    w = PlanWriter()
    s = w.state("s", "float32", (2, 4))
    x = w.tensor("x", "float32", (2, 4))
    y = w.tensor("y", "float32", (2, 4))
    zero = w.tensor("", "float32", (2, 4), np.zeros((2, 4), np.float32))
    w.op("add_f32", [s, x], [s], f_min=-np.inf, f_max=np.inf)
    w.op("copy", [s], [y])
    w.op("copy", [zero], [s])
    w.entry("main", 0, 2, [x], [y])
    w.entry("reset", 2, 1, [], [])
    return w


# Assignments to the fields of gated_plan() (i: its image), and the status they are refused with.
GATED = {
    "i.header.magic = 0": "MAGIC",
    "i.header.major += 1": "VERSION",
    "i.header.state_bytes = HUGE": "SECTION",
    "i.header.state_bytes = 16": "TENSOR",
    "i.header.layout = 1": "LAYOUT",
    "i.header.file_bytes += 1": "TRUNCATED",
    "i.header.file_bytes = HUGE": "TRUNCATED",
    "i.header.file_bytes = 50": "SECTION",
    "i.header.arena_bytes = HUGE": "SECTION",
    "i.header.scratch_bytes = 1 << 20": "SECTION",
    "i.header.tensors.offset = HUGE": "SECTION",
    "i.header.ops.bytes = 0xFFFFFFE0": "SECTION",
    "i.header.index.offset = 16": "SECTION",
    "i.header.params.offset += 1": "SECTION",
    "i.header.entries.bytes -= 1": "SECTION",
    "i.header.meta.bytes = HUGE": "SECTION",
    "i.header.signature.offset = 3": "SECTION",
    "i.header.consts.offset -= 16": "SECTION",
    "i.header.strings.bytes -= 1": "STRING",
    "i.tensors[0].name = 1 << 20": "STRING",
    "i.ops[0].name = i.header.strings.bytes": "STRING",
    "i.ops[0].kind_name = NONE - 1": "STRING",
    "i.entries[0].name = 1 << 20": "STRING",
    "i.tensors[0].dtype = 0": "TENSOR",
    "i.tensors[0].dtype = 5": "TENSOR",
    "i.tensors[0].kind = 0": "TENSOR",
    "i.tensors[0].kind = 3": "TENSOR",
    "i.tensors[0].kind = 4": "TENSOR",
    "i.tensors[0].rank = 7": "TENSOR",
    "i.tensors[0].layout = 1": "LAYOUT",
    "i.tensors[0].dims[0] = 0": "TENSOR",
    "i.tensors[0].dims[1] = -1": "TENSOR",
    "i.tensors[0].dims[4] = 2": "TENSOR",
    "i.tensors[0].bytes -= 4": "TENSOR",
    "i.tensors[0].offset = 4": "TENSOR",
    "i.tensors[0].offset = i.header.arena_bytes": "TENSOR",
    "i.tensors[0].offset = HUGE": "TENSOR",
    "i.tensors[3].offset = 16": "TENSOR",
    "i.tensors[0].scale = math.nan": "TENSOR",
    "i.tensors[0].scale = -1": "TENSOR",
    # The product is 24 bytes, as the record says, but modulo 2^32 and modulo 2^64.
    "i.tensors[0].rank = 5; i.tensors[0].dims = [8069, 1901, 7, 5, 2, 1]": "TENSOR",
    "i.tensors[0].rank = 6; i.tensors[0].dims = [384773, 49477, 8681, 5581, 5, 6]": "TENSOR",
    "i.ops[1].kind = 999": "UNKNOWN_OP",
    "i.ops[1].kind = 0": "UNKNOWN_OP",
    "i.ops[0].inputs = 200": "OP",
    "i.ops[0].inputs = 0": "OP",
    "i.ops[0].outputs = 2": "OP",
    "i.ops[0].tensors = HUGE": "OP",
    "i.index[0] = 77": "OP",
    "i.index[0] = NONE": "OP",
    "i.index[1] = NONE": "OP",
    "i.index[1] = 3": "OP",
    "i.ops[0].params = HUGE": "OP",
    "i.ops[0].params = 2": "OP",
    "i.ops[0].params_bytes = 12": "OP",
    "i.ops[0].scratch_offset = 8": "OP",
    "i.ops[0].scratch_bytes = 1 << 20": "OP",
    "i.ops[0].scratch_offset = 0; i.ops[0].scratch_bytes = 16": "SCRATCH",
    "i.index[0] = 2": "SHAPE",
    "i.params(0).f_min = 7": "SHAPE",
    "i.params(0).f_max = math.nan": "SHAPE",
    "i.params(2).when = 2": "SHAPE",
    "i.params(2).target = 2": "BRANCH",
    "i.params(2).target = 0": "BRANCH",
    "i.params(2).target = 5": "BRANCH",
    "i.params(2).target = HUGE": "BRANCH",
    "i.entries[0].op_count = 3": "BRANCH",
    "i.header.entries.bytes = 0": "ENTRY",
    "i.entries[1].op_count = NONE": "ENTRY",
    "i.entries[1].first_op = NONE": "ENTRY",
    "i.entries[0].input_count = NONE": "ENTRY",
    "i.entries[0].outputs = HUGE": "ENTRY",
    "i.index[i.entries[0].inputs] = 3": "ENTRY",
    "i.index[i.entries[0].outputs] = NONE": "ENTRY",
}

# The same for conv_plan().
CONV = {
    "i.params(0).stride_h = 0": "SHAPE",
    "i.params(0).stride_w = -1": "SHAPE",
    "i.params(0).dilation_h = 0": "SHAPE",
    "i.params(0).dilation_w = 2**31 - 1": "SHAPE",
    "i.params(0).pad_top = -1": "SHAPE",
    "i.params(0).pad_left = 2**31 - 1": "SHAPE",
    "i.params(0).groups = 0": "SHAPE",
    "i.params(0).groups = 2": "SHAPE",
    "i.params(0).rounding = 9": "SHAPE",
    "i.params(0).y_min = 200": "SHAPE",
    "i.params(0).x_zero_point = 1 << 20": "SHAPE",
    "i.index[1] = NONE": "OP",
    "i.ops[0].scratch_bytes -= 1": "SCRATCH",
}


# The same for stateful_plan().
STATEFUL = {
    "i.header.state_bytes = 0": "TENSOR",
    "i.header.state_bytes = 31": "TENSOR",
    "i.header.state_bytes = 33": "TENSOR",
    "i.header.state_bytes = i.header.arena_bytes + 16": "SECTION",
    "i.tensors[0].offset = 16": "TENSOR",
    "i.tensors[0].offset = HUGE": "TENSOR",
    "i.tensors[0].kind = 1": "TENSOR",
    "i.tensors[1].offset = 16": "TENSOR",
    "i.tensors[1].offset = 0": "TENSOR",
    "i.ops[0].scratch_offset = 0; i.ops[0].scratch_bytes = 16": "SCRATCH",
    "i.ops[1].scratch_offset = 16; i.ops[1].scratch_bytes = 1": "SCRATCH",
    "i.index[i.entries[0].inputs] = 0": "ENTRY",
    "i.entries[1].name = i.entries[0].name": "ENTRY",
    "i.entries[1].name = NONE": "ENTRY",
    "i.entries[1].inputs = i.entries[0].inputs; i.entries[1].input_count = 1": "ENTRY",
    "i.entries[1].outputs = i.entries[0].inputs; i.entries[1].output_count = 1": "ENTRY",
    "i.header.entries.bytes //= 2": "ENTRY",
}


def broken(writer: PlanWriter, change: str) -> bytes:
    import math

    image = writer.image()
    exec(change, {"i": image, "HUGE": HUGE, "NONE": NONE, "math": math})
    return image.sealed()


def refusal(data: bytes, skip_crc: bool = False) -> _core.PlanRefused:
    with pytest.raises(_core.PlanRefused) as refused:
        _core.Plan(data, skip_crc)
    return refused.value


@pytest.mark.parametrize("change", GATED)
def test_a_broken_field_is_refused_with_its_status(change: str) -> None:
    """The status names the kind of record that is wrong, and the refusal has a text."""
    error = refusal(broken(gated_plan(), change))
    assert error.args[0] == STATUS[f"PE_ERR_{GATED[change]}"], error.args
    assert error.args[4]


@pytest.mark.parametrize("change", CONV)
def test_broken_params_of_a_convolution_are_refused(change: str) -> None:
    """Divisors of zero, distances that overflow, and less scratch than the op asks for."""
    error = refusal(broken(conv_plan(), change))
    assert error.args[0] == STATUS[f"PE_ERR_{CONV[change]}"], error.args


@pytest.mark.parametrize("change", STATEFUL)
def test_states_have_memory_of_their_own_and_a_reset(change: str) -> None:
    """Nothing else lies there, callers cannot feed it, and there is always a way back to the initial values."""
    _core.Plan(stateful_plan().image().sealed())
    error = refusal(broken(stateful_plan(), change))
    assert error.args[0] == STATUS[f"PE_ERR_{STATEFUL[change]}"], error.args


def test_every_status_has_a_plan_that_is_refused_with_it() -> None:
    """But for alignment and arena, which only a C caller can get wrong (api_test.c), and the CRC (below)."""
    reached = {f"PE_ERR_{s}" for s in (*GATED.values(), *CONV.values(), *STATEFUL.values())}
    assert reached == STATUS.keys() - {"PE_ERR_ALIGN", "PE_ERR_ARENA", "PE_ERR_CRC"}


def test_an_unknown_op_is_refused_by_its_name() -> None:
    """A plan of a newer pyedge says which op this one lacks, and where."""
    image = gated_plan().image()
    image.ops[1].kind = 999
    assert refusal(image.sealed()).args[2:] == (1, None, "any_ge_f32")


def test_a_refusal_names_the_tensor() -> None:
    """Number of the tensor record, and what is wrong with it."""
    assert refusal(broken(gated_plan(), "i.tensors[2].rank = 9")).args[2:] == (None, 2, "rank")


def test_every_flipped_bit_is_refused_by_the_crc_or_before() -> None:
    """A change of any bit of the file is seen."""
    data = bytearray(gated_plan().image().sealed())
    for bit in range(8 * len(data)):
        data[bit // 8] ^= 1 << bit % 8
        if bit // 8 in (6, 7):  # the minor version lies before what the CRC covers, and any minor is read
            _core.Plan(data)
        else:
            refusal(data)
        data[bit // 8] ^= 1 << bit % 8


def test_every_truncation_is_refused() -> None:
    """No length below the file's own passes, with and without the CRC."""
    data = gated_plan().image().sealed()
    for n in range(len(data)):
        assert refusal(data[:n], skip_crc=True).args[0] == STATUS["PE_ERR_TRUNCATED"]


def test_bytes_after_the_plan_are_not_read() -> None:
    """A slot of flash is longer than the plan in it."""
    assert _core.Plan(gated_plan().image().sealed() + b"\xff" * 100).arena_bytes > 0


def test_more_entries_than_the_limit_are_refused() -> None:
    """So that checking branches stays linear."""
    w = gated_plan()
    for i in range(63):
        w.entry(f"e{i}", 0, 0, [], [])
    assert refusal(w.image().sealed()).args[0] == STATUS["PE_ERR_ENTRY"]


def test_random_mutations_are_refused_or_run() -> None:
    """Three random bytes of records, CRC renewed: a refusal, or a run that ends. Some of both."""
    rng = np.random.default_rng(1)
    clean, ran = gated_plan().image().sealed(), 0
    for _ in range(5000):
        data = bytearray(clean)
        for at in rng.integers(16, len(data), 3):
            data[at] = rng.integers(256)
        try:
            plan = _core.Plan(data, skip_crc=True)
        except _core.PlanRefused:
            continue
        session = _core.Session(plan)
        assert session.run(0)
        ran += 1
    assert 100 < ran < 4900
