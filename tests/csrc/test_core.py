"""The extension module: buffers, views, threads and exceptions."""

import gc
import os
import threading
import zlib

import numpy as np
import pytest
from plan_image import PlanWriter, gated_plan

from pyedge import _core
from pyedge.plan import structs


def gated_session() -> _core.Session:
    return _core.Session(_core.Plan(gated_plan().image().sealed()))


def floats(session: _core.Session, tensor: int) -> np.ndarray:
    return session.tensor(tensor).view(np.float32)


def test_a_session_runs_and_branches() -> None:
    """The gate opens at 3: the addition is skipped."""
    s = gated_session()
    floats(s, 0)[:] = [0, 1, 2, -1, 0, 1]
    assert s.run(0)
    assert floats(s, 1).tolist() == [1, 3, 5, 1, 2, 4]
    floats(s, 0)[3] = 9
    assert s.run(0)
    assert floats(s, 1).tolist() == [0, 1, 2, 6, 0, 1]


@pytest.mark.parametrize(("when", "inputs", "added"), [(1, 1, False), (0, 1, True), (0, 0, False), (1, 0, False)])
def test_a_branch_is_taken_when_its_predicate_says_so(when: int, inputs: int, added: bool) -> None:
    """Here the predicate is true. A branch without one is always taken."""
    image = gated_plan().image()
    image.params(2).when = when
    image.ops[2].inputs = inputs
    s = _core.Session(_core.Plan(image.sealed()))
    floats(s, 0)[:] = 5
    assert s.run(0)
    assert floats(s, 1).tolist() == ([6, 7, 8, 6, 7, 8] if added else [5] * 6)


def test_sessions_share_a_plan_and_nothing_else() -> None:
    """Each has an arena of its own, zero at first."""
    plan = _core.Plan(gated_plan().image().sealed())
    a, b = _core.Session(plan), _core.Session(plan)
    floats(a, 0)[:] = 2
    assert a.run(0)
    assert floats(a, 1).tolist() == [3, 4, 5, 3, 4, 5]
    assert not floats(b, 1).any()


def test_views_keep_their_owner_alive() -> None:
    """A tensor outlives the name of its session, and the session its plan."""
    view = gated_session().tensor(0)
    data = _core.Plan(gated_plan().image().sealed()).data
    gc.collect()
    view[:] = 7
    assert (view == 7).all()
    assert bytes(data[:4]) == b"PEDG"


def test_constants_and_plans_are_read_only() -> None:
    """Neither a tensor's view nor the plan's memory can be written to."""
    s = gated_session()
    assert floats(s, 3).tolist() == [1, 2, 3]
    with pytest.raises(ValueError, match="read-only"):
        s.tensor(3)[0] = 1
    with pytest.raises(TypeError):
        _core.Plan(gated_plan().image().sealed()).data[0] = 1


def test_a_plan_does_not_change_with_the_buffer_it_came_from() -> None:
    """What was verified is what runs."""
    data = bytearray(gated_plan().image().sealed())
    plan = _core.Plan(data)
    data[:] = bytes(len(data))
    s = _core.Session(plan)
    assert s.run(1)
    assert floats(s, 1).tolist() == [1, 2, 3, 1, 2, 3]


def test_an_aligned_read_only_buffer_is_not_copied() -> None:
    """A mapped file is executed where it lies."""
    data = np.frombuffer(gated_plan().image().sealed(), np.uint8)
    block = np.zeros(len(data) + 64, np.uint8)
    start = -block.ctypes.data % 64
    place = block[start : start + len(data)]
    place[:] = data
    place.flags.writeable = False
    assert np.frombuffer(_core.Plan(place).data, np.uint8).ctypes.data == place.ctypes.data


def test_numbers_out_of_range_are_errors() -> None:
    """A tensor, an entry, and counts of another length or dtype."""
    s = gated_session()
    with pytest.raises(IndexError):
        s.tensor(4)
    with pytest.raises(_core.PlanRefused, match="no entry"):
        s.run(2)
    with pytest.raises(ValueError, match="one element per op"):
        s.run(0, np.zeros(3, np.uint64))
    for counts in (np.zeros(4), np.zeros((4, 1), np.uint64), np.zeros(8, np.uint64)[::2]):
        with pytest.raises(TypeError, match="counts"):
            s.run(0, counts)


def test_counts_are_added_per_op() -> None:
    """Nanoseconds of the ops that ran; a skipped op keeps what it had."""
    s = gated_session()
    floats(s, 0)[:] = 9
    counts = np.array([0, 0, 0, 5], np.uint64)
    assert s.run(0, counts)
    assert counts[3] == 5
    assert counts[:3].all()


def slow_plan() -> bytes:
    """A max pooling that takes about a tenth of a second."""
    w = PlanWriter()
    x, y = w.tensor("x", "int8", (1, 1000, 1000, 1)), w.tensor("y", "int8", (1, 1000, 1000, 1))
    p = {"kernel_h": 9, "kernel_w": 9, "stride_h": 1, "stride_w": 1, "pad_top": 4, "pad_left": 4}
    w.op("max_pool2d_s8", [x], [y], y_min=-128, y_max=127, **p)
    w.entry("main", 0, 1, [x], [y])
    return w.image().sealed()


def test_one_session_runs_once_at_a_time_without_the_gil() -> None:
    """While one thread runs, another gets False at once, and Python goes on."""
    s = _core.Session(_core.Plan(slow_plan()))
    started, results = threading.Event(), []

    def run() -> None:
        started.set()
        results.append(s.run(0))

    refused = 0
    for _ in range(20):
        thread = threading.Thread(target=run)
        started.clear()
        thread.start()
        started.wait()
        while thread.is_alive():
            refused += not s.run(0)
        thread.join()
        if refused:
            break
    assert refused
    assert s.run(0)


@pytest.mark.skipif(os.uname().machine != "x86_64", reason="reads MXCSR's effect")
def test_subnormals_are_kept_whatever_the_process_has_set() -> None:
    """With flush-to-zero on in the calling thread, a run still computes with subnormals, and it stays on afterwards."""
    libm = pytest.importorskip("ctypes").CDLL("libm.so.6")
    ctypes = pytest.importorskip("ctypes")
    env = ctypes.create_string_buffer(64)
    libm.fegetenv(env)
    mxcsr = ctypes.c_uint32.from_buffer(env, 28)
    before = mxcsr.value
    tiny = np.array([1e-40], np.float32)
    p = structs.pack_params("add_f32", f_min=-float("inf"), f_max=float("inf"))
    y = np.zeros(1, np.float32)
    try:
        mxcsr.value = before | 0x8040
        libm.fesetenv(env)
        _core.op_run(structs.KINDS["add_f32"], p, [tiny, tiny], [y])
        libm.fegetenv(env)
        after = mxcsr.value
    finally:
        mxcsr.value = before
        libm.fesetenv(env)
    assert after & 0x8040 == 0x8040
    assert y[0] == tiny[0] + tiny[0] != 0


def test_op_run_refuses_what_it_would_have_to_guess() -> None:
    """Other dtypes, strided arrays, read-only or overlapping outputs, wrong params and kinds."""
    kind, p = structs.KINDS["clip_s8"], structs.pack_params("clip_s8", y_min=-128, y_max=127)
    x, y = np.zeros(8, np.int8), np.zeros(8, np.int8)
    for bad in (x.astype(np.complex64), x.astype(">i4"), np.zeros(16, np.int8)[::2]):
        with pytest.raises(TypeError):
            _core.op_run(kind, p, [bad], [y])
    frozen = y.copy()
    frozen.flags.writeable = False
    with pytest.raises(TypeError, match="read-only"):
        _core.op_run(kind, p, [x], [frozen])
    for output in (x, np.zeros(0, np.int8), np.zeros(7, np.int8)):
        with pytest.raises((ValueError, _core.PlanRefused)):
            _core.op_run(kind, p, [x], [output])
    for bad_kind, bad_params in ((0, p), (999, p), (1 << 20, p), (kind, p[:-1]), (kind, b"")):
        with pytest.raises(_core.PlanRefused):
            _core.op_run(bad_kind, bad_params, [x], [y])
    with pytest.raises(_core.PlanRefused):
        _core.op_run(kind, p, [x] * 9, [y] * 9)
    with pytest.raises(_core.PlanRefused):
        _core.op_check(kind, p, [(2, (1 << 20, 1 << 20)), (2, (1 << 20, 1 << 20))], 1)


def test_op_run_takes_arrays_at_any_address() -> None:
    """A view that starts in the middle of a row goes through an aligned copy."""
    block = np.arange(-64, 64).astype(np.int8)
    out = np.zeros(101, np.int8)
    p = structs.pack_params("clip_s8", y_min=-5, y_max=5)
    _core.op_run(structs.KINDS["clip_s8"], p, [block[3:53]], [out[1:51]])
    assert (out[1:51] == np.clip(block[3:53], -5, 5)).all()
    assert out[0] == 0
    assert not out[51:].any()


def test_crc32_is_that_of_zlib() -> None:
    """Of any length and of any contiguous buffer."""
    data = np.random.default_rng(0).integers(0, 256, 1001, dtype=np.uint8)
    for n in (0, 1, 2, 15, 1001):
        assert _core.crc32(data[:n]) == zlib.crc32(data[:n].tobytes()) == _core.crc32(data[:n].tobytes())


def test_op_kinds_are_those_of_the_header() -> None:
    """Every kind that the plan format knows is in this build, and its names agree."""
    assert _core.op_kinds() == structs.KINDS
