"""Sessions: arrays in, arrays out, errors, threads, and what they cost."""

from __future__ import annotations

import contextlib
import json
import threading
from collections.abc import Callable

import numpy as np
import pytest

import pyedge as pe
from pyedge import _core
from pyedge.plan.profile import OpCount, Profile, collect, doubts, median_interval


def adder(n: int = 3) -> pe.Graph:
    """sum = a + b, twice = 2 * sum"""
    b = pe.GraphBuilder()
    total = b.add(b.input("a", (1, n), "float32"), b.input("b", (1, n), "float32"))
    b.output("sum", total)
    b.output("twice", b.add(total, total))
    return b.build()


def slow() -> pe.Graph:
    """Some milliseconds of work."""
    b = pe.GraphBuilder()
    h = b.input("x", (1, 32, 32, 32), "float32")
    for _ in range(2):
        h = b.conv2d(h, np.ones((32, 3, 3, 32), np.float32))
    b.output("y", h)
    return b.build()


A, B = np.float32([[1, 2, 3]]), np.float32([[10, 20, 30]])


def test_a_dict_gives_a_dict_and_a_list_a_list() -> None:
    """Names or order; a call takes arrays and gives a list for several outputs, an array for one."""
    session = pe.Session(pe.compile(adder()))
    for outputs in (
        session.run({"b": B, "a": A}),
        dict(zip(("sum", "twice"), session.run([A, B]), strict=True)),
        dict(zip(("sum", "twice"), session(A, B), strict=True)),
    ):
        assert list(outputs) == ["sum", "twice"]
        np.testing.assert_array_equal(outputs["sum"], A + B)
        np.testing.assert_array_equal(outputs["twice"], 2 * (A + B))
    b = pe.GraphBuilder()
    b.output("y", b.relu(b.input("x", (2,), "float32")))
    y = pe.Session(pe.compile(b.build()))(np.float32([-1, 1]))
    np.testing.assert_array_equal(y, np.float32([0, 1]))


def test_outputs_are_the_callers_own() -> None:
    """A later run does not change arrays that were returned, and inputs are not changed by a run in place."""
    session = pe.Session(pe.compile(adder()))
    a, first = A.copy(), session.run([A, B])[0]
    session.run([a, a])
    np.testing.assert_array_equal(first, A + B)
    np.testing.assert_array_equal(a, A)


def test_any_memory_layout_is_taken() -> None:
    """Strided, Fortran-ordered and read-only inputs are copied into the arena as they are."""
    session = pe.Session(pe.compile(adder()))
    strided = np.repeat(A, 2, axis=1)[:, ::2]
    strided.flags.writeable = False
    np.testing.assert_array_equal(session.run([strided, np.asfortranarray(B)])[0], A + B)


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        ({"a": A, "b": B[0]}, r"'b' is float32\[1, 3\], given was float32\[3\]"),
        ({"a": A.astype(np.float64), "b": B}, r"'a' is float32\[1, 3\], given was float64\[1, 3\]"),
        ({"a": A}, r"input 'b' is missing; its inputs: 'a' float32\[1, 3\], 'b' float32\[1, 3\]"),
        ({"a": A, "b": B, "c": A}, r"no input 'c'; its inputs: 'a' float32\[1, 3\]"),
        ([A], r"1 inputs given, it takes 2"),
        ([A, B, A], r"3 inputs given, it takes 2"),
        ([A, [[1, 2, 3]]], r"'b' is float32\[1, 3\], given was int64\[1, 3\]"),
    ],
)
def test_a_wrong_input_names_the_tensor_and_both_shapes(inputs: object, message: str) -> None:
    """ShapeError, which is a PyedgeError and a ValueError."""
    session = pe.Session(pe.compile(adder()))
    with pytest.raises(pe.ShapeError, match=message) as error:
        session.run(inputs)  # type: ignore[call-overload]
    assert isinstance(error.value, pe.PyedgeError) and isinstance(error.value, ValueError)


def test_sessions_share_a_plan_and_nothing_else() -> None:
    """Sixteen sessions on one plan, each on a thread of its own, give their own results."""
    plan = pe.compile(adder(1000))
    failures: list[int] = []

    def work(i: int) -> None:
        session = pe.Session(plan)
        x = np.full((1, 1000), i, np.float32)
        for _ in range(50):
            if not (session.run([x, x])[1] == 4 * i).all():
                failures.append(i)

    threads = [threading.Thread(target=work, args=(i,)) for i in range(16)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert failures == []


def test_a_call_takes_whatever_run_takes() -> None:
    """Strided, big-endian and nested-list inputs go the long way round; results are new arrays, errors those of run."""
    b = pe.GraphBuilder()
    x = b.input("x", (2, 3), "float32")
    b.output("y", b.add(x, x))
    b.output("z", b.relu(x))
    session = pe.Session(pe.compile(b.build()))
    values = np.arange(6, dtype=np.float32).reshape(2, 3)
    for given in (values, np.asfortranarray(values), np.repeat(values, 2, 1)[:, ::2]):
        y, z = session(given)
        np.testing.assert_array_equal(y, 2 * values)
        np.testing.assert_array_equal(z, values)
    first, _ = session(values)
    session(-values)
    np.testing.assert_array_equal(first, 2 * values)
    for wrong in (values[:1], values.astype(np.float64), values.reshape(3, 2)):
        with pytest.raises(pe.ShapeError, match="tensor 'x' is float32"):
            session(wrong)
    with pytest.raises(pe.ShapeError, match="2 inputs given, it takes 1"):
        session(values, values)


def test_a_session_in_use_is_busy() -> None:
    """A second thread gets BusyError at once, and the first one's result is right."""
    session = pe.Session(pe.compile(slow()))
    x = np.ones((1, 32, 32, 32), np.float32)
    expected = session(x)
    stop, wrong = threading.Event(), []

    def work() -> None:
        while not stop.is_set():
            with contextlib.suppress(pe.BusyError):
                wrong.append(not np.array_equal(session(x), expected))

    thread = threading.Thread(target=work)
    thread.start()
    busy = 0
    for _ in range(2000):
        try:
            session.run([x])
        except pe.BusyError:
            busy += 1
        if busy >= 3 and len(wrong) >= 1:
            break
    stop.set()
    thread.join()
    assert busy >= 3
    assert wrong and not any(wrong)


def test_the_c_session_refuses_a_second_run_by_itself() -> None:
    """The binding's own guard, under the one in Python, returns False while a run is under way."""
    core = _core.Session(pe.compile(slow()).core)
    stop, refused = threading.Event(), []

    def work() -> None:
        while not stop.is_set():
            refused.append(not core.run(0))

    thread = threading.Thread(target=work)
    thread.start()
    for _ in range(2000):
        refused.append(not core.run(0))
        if any(refused) and not all(refused):
            break
    stop.set()
    thread.join()
    assert any(refused) and not all(refused)


def test_keep_gives_every_intermediate_tensor() -> None:
    """By the names of the graph; without keep, or for a plan from a file, the error says what to do."""
    b = pe.GraphBuilder()
    x = b.input("x", (1, 4), "float32")
    h = b.reshape(b.add(x, x, name="double"), (2, 2), name="square")
    b.output("y", b.relu(b.linear(h, np.eye(2, dtype=np.float32), name="rows")))
    plan = pe.compile(b.build())
    session = pe.Session(plan, keep="all")
    value = np.float32([[1, -2, 3, -4]])
    session.run([value])
    tensors = session.tensors()
    assert {n: t.shape for n, t in tensors.items()} == {
        "x": (1, 4),
        "double": (1, 4),
        "square": (2, 2),
        "rows": (2, 2),
        "y": (2, 2),
    }
    np.testing.assert_array_equal(tensors["double"], 2 * value)
    np.testing.assert_array_equal(tensors["rows"], (2 * value).reshape(2, 2))
    with pytest.raises(pe.PlanError, match=r"keep='all'"):
        pe.Session(plan).tensors()
    with pytest.raises(pe.PlanError, match=r"from a file.*keep='all'"):
        pe.Session(bytes(plan.data), keep="all")
    from_file = pe.Session(bytes(pe.compile(b.build(), keep="all").data))
    from_file.run([value])
    np.testing.assert_array_equal(from_file.tensors()["rows"], tensors["rows"])


def test_the_profile_times_each_op() -> None:
    """Nanoseconds, one row an op, their sum near the total; JSON with a schema number."""
    session = pe.Session(pe.compile(slow()))
    profile = session.profile(runs=12, warmup=1)
    assert (profile.unit, profile.target, profile.runs) == ("ns", "host", 12)
    assert [op.kind for op in profile.ops] == ["conv2d_f32", "conv2d_f32"]
    assert all(op.count > 10_000 for op in profile.ops)
    assert profile.interval is not None and profile.interval[0] <= profile.total <= profile.interval[1]
    assert 0.5 * profile.total < sum(op.count for op in profile.ops) < 1.5 * profile.total
    data = json.loads(profile.to_json())
    assert (data["schema"], data["unit"], len(data["ops"])) == (1, "ns", 2)
    table = profile.table().splitlines()
    assert ("MAC/ns" in table[1]) is ("mhz" not in profile.conditions)
    assert table[4].startswith("total") and table[5].startswith("runs: least")
    with pytest.raises(ValueError, match="runs=0"):
        session.profile(runs=0)


def test_the_median_has_a_distribution_free_interval() -> None:
    """None below 6 samples; ranks as tabulated; coverage of 95 % on skewed samples."""
    assert median_interval([1, 2, 3, 4, 5]) is None
    assert median_interval([6, 5, 4, 3, 2, 1]) == (1, 6)
    assert median_interval(range(1, 11)) == (2, 9)
    assert median_interval(range(1, 101)) == (40, 61)
    assert median_interval(range(1, 2001)) == (956, 1045)
    rng = np.random.default_rng(0)
    samples = (1e6 * rng.exponential(size=(2000, 25))).astype(int)
    inside = [low <= 1e6 * np.log(2) <= high for low, high in (median_interval(s) or (0, 0) for s in samples)]
    assert 0.94 <= np.mean(inside) <= 0.99


def test_equal_counts_have_no_interval() -> None:
    """Instructions of an emulator: each run counts the same, and the total is that of a run, not a sum of medians."""
    ops = [OpCount("a", "conv2d_s8", 0, None, 10), OpCount("b", "copy", 0)]
    profile = Profile.from_samples(np.full((8, 2), 50, np.uint64), ops, "instructions", "virt-rv32")
    assert (profile.total, profile.interval, profile.ops[0].interval) == (100, None, None)
    assert profile.ops[0].macs == 10
    crossed = Profile.from_samples(np.array([[1, 9], [9, 1], [5, 5]]), ops, "ns", "host")
    assert (crossed.total, crossed.ops[0].count, crossed.ops[1].count) == (10, 5, 5)


def product(b: pe.GraphBuilder, x: pe.Tensor, dtype: str = "float32") -> pe.Tensor:
    """A 1x1 convolution that keeps the channels."""
    c = x.shape[-1]
    assert c is not None
    w = np.random.default_rng(c).normal(size=(c, 1, 1, c)).astype(dtype)
    return b.conv2d(x, w)


def chain(b: pe.GraphBuilder, x: pe.Tensor) -> None:
    b.output("y", product(b, product(b, x), "float16"))


def depthwise(b: pe.GraphBuilder, x: pe.Tensor) -> None:
    b.output("y", b.depthwise_conv2d(x, np.ones((3, 3, 64), np.float32)))


def input_of_two(b: pe.GraphBuilder, x: pe.Tensor) -> None:
    b.output("y", product(b, b.add(product(b, x), x)))


def input_reshaped(b: pe.GraphBuilder, x: pe.Tensor) -> None:
    b.output("y", product(b, b.reshape(x, (1, 8, 32, 64))))


def input_given_back(b: pe.GraphBuilder, x: pe.Tensor) -> None:
    b.output("y", product(b, x))
    b.output("z", b.reshape(x, (1, 256, 64)))


def input_concatenated(b: pe.GraphBuilder, x: pe.Tensor) -> None:
    b.output("y", product(b, b.op("concat", x, product(b, x), axis=1)[0]))


def output_read(b: pe.GraphBuilder, x: pe.Tensor) -> None:
    y = product(b, x)
    b.output("y", y)
    b.output("z", product(b, y))


def output_reshaped(b: pe.GraphBuilder, x: pe.Tensor) -> None:
    y = product(b, x)
    b.output("y", y)
    b.output("z", b.reshape(y, (1, 256, 64)))


def output_rectified(b: pe.GraphBuilder, x: pe.Tensor) -> None:
    y = product(b, x)
    b.output("y", y)
    b.output("z", b.relu(y))


def rectified(b: pe.GraphBuilder, x: pe.Tensor) -> None:
    b.output("y", b.relu(product(b, b.relu(x))))


BOUND = [
    (chain, {"x", "y"}),
    (depthwise, {"x", "y"}),
    (input_of_two, {"y"}),
    (input_reshaped, {"y"}),
    (input_given_back, {"y"}),
    (input_concatenated, {"y"}),
    (output_read, {"x", "y", "z"}),
    (output_reshaped, {"x"}),
    (output_rectified, set()),
    (rectified, set()),
]


@pytest.mark.parametrize(("network", "expected"), BOUND, ids=[n.__name__ for n, _ in BOUND])
def test_large_tensors_are_not_copied_where_only_kernels_touch_them(
    network: Callable[[pe.GraphBuilder, pe.Tensor], None], expected: set[str]
) -> None:
    """A call gives the bits of a run, which copies all. Results stay as they are, and inputs are not written."""
    b = pe.GraphBuilder()
    network(b, b.input("x", (1, 16, 16, 64), "float32"))
    plan = pe.compile(b.build())
    session, copying = pe.Session(plan), pe.Session(plan)
    entry = plan.entry("main")
    bound = session._bound(entry)
    if pe.cpu_features().isa in ("avx2", "avx512"):
        assert {t.name for t in (*entry.inputs, *entry.outputs) if t.number in bound} == expected
    rng = np.random.default_rng(0)
    x = rng.normal(size=(1, 16, 16, 64)).astype(np.float32)
    x[0, 3, 4, 5] = np.uint32(0xFFC12345).view(np.float32)  # a NaN of another payload than that which leaves
    calls = []
    for given in (x, -x, np.frombuffer(b"1234" + x.tobytes(), np.float32)[1:].reshape(x.shape)):
        before = given.tobytes()
        outputs = session(given)
        calls.append((copying.run([given]), outputs if isinstance(outputs, list) else [outputs]))
        assert given.tobytes() == before
    for expected_arrays, arrays in calls:
        assert [y.tobytes() for y in arrays] == [y.tobytes() for y in expected_arrays]


def test_kept_tensors_are_those_of_a_call() -> None:
    """keep="all" has inputs and outputs among the tensors, so a call copies them."""
    b = pe.GraphBuilder()
    chain(b, b.input("x", (1, 16, 16, 64), "float32"))
    session = pe.Session(pe.compile(b.build()), keep="all")
    x = np.random.default_rng(0).normal(size=(1, 16, 16, 64)).astype(np.float32)
    y = session(x)
    tensors = session.tensors()
    np.testing.assert_array_equal(tensors["x"], x)
    np.testing.assert_array_equal(tensors[session.outputs[0].name], y)


def test_a_profile_runs_until_its_median_is_known() -> None:
    """Settled samples stop early, unsettled ones at the cap; the first runs are dropped."""
    calls: list[int] = []

    def steady() -> np.ndarray:
        calls.append(len(calls))
        return np.array([10 if len(calls) > 3 else 999, 90])

    assert collect(steady, None, warmup=3).tolist() == [[10, 90]] * 20
    assert len(calls) == 23
    noise = iter(np.random.default_rng(0).exponential(1e6, 5000).astype(int))
    assert len(collect(lambda: np.array([next(noise)]), None, warmup=0)) == 2000
    assert len(collect(lambda: np.array([1]), 7, warmup=0)) == 7


def test_quantiles_need_their_number_of_runs() -> None:
    ops = [OpCount("a", "copy", 0)]
    few, many = (
        Profile.from_samples(np.arange(1, n + 1).reshape(-1, 1), ops, "ns", "host", timer=(20, 22)) for n in (71, 368)
    )
    assert few.quantiles == {90: 64}
    assert many.quantiles == {90: 332, 95: 350, 99: 365}
    assert "p95 needs 72 runs" in few.table() and "p99 365" in many.table()
    assert (few.least, few.most, few.totals[:2]) == (1, 71, (1, 2))
    assert "steps of 20 ns, 22 for each op" in few.table()


@pytest.mark.parametrize(
    ("totals", "flags"),
    [
        (np.full(60, 1000), ()),
        (np.random.default_rng(0).normal(1000, 5, 300).astype(int), ()),
        (np.r_[np.full(30, 1000), np.full(30, 1200)], ("throttled", "bimodal")),
        (np.tile([1000, 1200], 50), ("bimodal",)),
        (1000 + np.arange(90), ("throttled",)),
        (np.full(60, 100), ("window short",)),
    ],
)
def test_doubts_about_samples(totals: np.ndarray, flags: tuple[str, ...]) -> None:
    assert doubts(totals, step=5) == flags
