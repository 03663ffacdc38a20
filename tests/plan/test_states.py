"""States: values that stay from run to run, in sessions, entries and arms of an `if`."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from plan_graphs import streaming

import pyedge as pe
from pyedge.compress.clean import clean_up
from pyedge.model import reference
from pyedge.model.graph import State
from pyedge.model.surgery import extract

Op = Callable[[pe.GraphBuilder, pe.Tensor, pe.Tensor], pe.Tensor]


def accumulator(update: Op, initial: float = 0.0) -> pe.Graph:
    """y = update(s, x) and s = y, by way of an op that is no output."""
    b = pe.GraphBuilder()
    x, s = b.input("x", (2, 3), "float32"), b.state("s", np.full((2, 3), initial))
    new = update(b, s, x)
    b.update(s, new)
    b.output("y", b.op("neg", new)[0])
    return b.build()


def frames(n: int, shape: tuple[int, ...] = (1, 4)) -> list[np.ndarray]:
    return list(np.random.default_rng(7).normal(size=(n, *shape)).astype(np.float32))


def kinds(plan: pe.Plan, entry: str = "main") -> list[str]:
    return [op.kind for op in plan.entry(entry).ops]


@pytest.mark.parametrize("keep", [None, "all"])
def test_a_session_steps_as_the_reference_does(keep: str | None) -> None:
    """Outputs and states, run by run, with both arms of the gate taken; reset starts again."""
    graph = streaming()
    session = pe.Session(pe.compile(graph, keep=keep))
    assert set(session.state()) == {"line", "total", "last"}
    for _ in range(2):
        states: dict[str, np.ndarray] = {}
        for s in graph.states:
            np.testing.assert_array_equal(session.state()[s.name], s.initial)
        for x in frames(9):
            expected = reference.run(graph, {"x": x}, states=states)
            np.testing.assert_allclose(session.run({"x": x})["y"], expected["y"], rtol=1e-6)
            for name, value in session.state().items():
                np.testing.assert_allclose(value, states[name], rtol=1e-6)
        session.reset()


def test_the_gate_of_the_streaming_graph_goes_both_ways() -> None:
    """Or the tests above would say little about states and branches."""
    assert {bool((x >= 0.5).any()) for x in frames(9)} == {True, False}


def test_sessions_have_states_of_their_own() -> None:
    """Two sessions on one plan, run in turns."""
    plan = pe.compile(accumulator(lambda b, s, x: b.add(s, x)))
    one, two = pe.Session(plan), pe.Session(plan)
    x = np.ones((2, 3), np.float32)
    for i in range(1, 4):
        one.run([x])
        np.testing.assert_array_equal(two.run([2 * x])[0], -2 * i * x)
        np.testing.assert_array_equal(one.state()["s"], i * x)


def test_copies_of_the_state_are_the_caller_s() -> None:
    """A later run does not change what state() gave, and writing to it changes nothing."""
    session = pe.Session(pe.compile(accumulator(lambda b, s, x: b.add(s, x))))
    before = session.state()["s"]
    session.run([np.ones((2, 3), np.float32)])
    assert not before.any()
    session.state()["s"][:] = 9
    assert (session.state()["s"] == 1).all()


def test_entries_share_a_state_by_name() -> None:
    """One entry writes what another reads; the entries' own tensors lie elsewhere."""
    b = pe.GraphBuilder()
    s = b.state("s", np.zeros((2, 3)))
    b.output("now", b.op("neg", s)[0])
    plan = pe.compile({"main": accumulator(lambda b, s, x: b.add(s, x)), "peek": b.build()})
    assert [(t.name, t.offset) for t in plan.states] == [("s", 0)]
    assert all(t.offset >= plan.state_bytes for t in plan.tensors if not t.constant and not t.state)
    session = pe.Session(plan)
    session.run([np.ones((2, 3), np.float32)])
    np.testing.assert_array_equal(session.run([], "peek")[0], np.full((2, 3), -1))
    session.reset()
    np.testing.assert_array_equal(session.run([], "peek")[0], np.zeros((2, 3)))


def test_entries_whose_states_differ_are_refused() -> None:
    """Shape or initial value: one name is one state."""
    graph = accumulator(lambda b, s, x: b.add(s, x))
    with pytest.raises(pe.PlanError, match=r"entry 'other': state 's' float32.*differs"):
        pe.compile({"main": graph, "other": accumulator(lambda b, s, x: b.add(s, x), initial=1.0)})


def test_an_entry_of_one_s_own_cannot_be_called_reset() -> None:
    """Beside states; without them it is a name as any other, and Session.reset() does nothing."""
    graph = accumulator(lambda b, s, x: b.add(s, x))
    with pytest.raises(pe.PlanError, match="'reset'"):
        pe.compile({"main": graph, "reset": graph})
    b = pe.GraphBuilder()
    b.output("y", b.relu(b.input("x", (2,), "float32")))
    session = pe.Session(pe.compile({"main": b.build(), "reset": b.build()}))
    session.reset()
    assert session.state() == {}
    np.testing.assert_array_equal(session.run([np.float32([-1, 2])], "reset")[0], [0, 2])


def test_the_next_value_is_computed_in_place_where_nothing_reads_the_old_one_later() -> None:
    """No copy, and no second buffer of the state's size, for an add; a copy where the old value is still needed."""
    plan = pe.compile(accumulator(lambda b, s, x: b.add(s, x)))
    assert kinds(plan) == ["add_f32", "unary_f32"]

    b = pe.GraphBuilder()
    x, s = b.input("x", (2, 3), "float32"), b.state("s", np.zeros((2, 3)))
    new = b.add(s, x)
    b.update(s, new)
    b.output("y", b.op("mul", new, s)[0])
    late = pe.compile(b.build())
    assert kinds(late) == ["add_f32", "binary_f32", "copy"]
    session = pe.Session(late)
    np.testing.assert_array_equal(
        [session.run([np.full((2, 3), 2, np.float32)])[0][0, 0] for _ in range(3)], [0, 8, 24]
    )


def test_an_op_that_mixes_elements_does_not_write_where_it_reads() -> None:
    """A product with a matrix, step by step: every output needs all of the old state."""
    w = np.random.default_rng(3).normal(size=(3, 3)).astype(np.float32)
    graph = accumulator(lambda b, s, x: b.add(b.linear(s, w), x), initial=0.5)
    reverse = accumulator(lambda b, s, x: b.linear(b.add(s, x), w), initial=0.5)
    for g in (graph, reverse):
        session, states = pe.Session(pe.compile(g)), dict[str, np.ndarray]()
        for x in frames(5, (2, 3)):
            expected = reference.run(g, {"x": x}, states=states)["y"]
            np.testing.assert_allclose(session.run([x])[0], expected, rtol=1e-4, atol=1e-5)


def shuffled(updates: dict[str, str]) -> pe.Graph:
    """States a, b, c of different values, an input x and a constant k, with those updates; output y = a + b + c."""
    b = pe.GraphBuilder()
    tensors = {n: b.state(n, np.full((1, 4), float(i))) for i, n in enumerate("abc")}
    tensors["x"], tensors["k"] = b.input("x", (1, 4), "float32"), b.constant(np.full((1, 4), 7.0))
    tensors["y"] = b.add(b.add(tensors["a"], tensors["b"]), tensors["c"])
    tensors["view"] = b.reshape(b.reshape(tensors["a"], (4,)), (1, 4))
    for state, source in updates.items():
        b.update(tensors[state], tensors[source])
    b.output("y", tensors["y"])
    return b.build()


@pytest.mark.parametrize(
    "updates",
    [
        {"a": "b", "b": "c", "c": "a"},
        {"a": "b", "b": "a"},
        {"a": "x", "b": "a", "c": "b"},
        {"c": "b", "b": "a", "a": "x"},
        {"a": "y", "b": "y", "c": "k"},
        {"b": "view", "a": "x"},
        {},
    ],
    ids=str,
)
@pytest.mark.parametrize("cleaned", [False, True])
def test_all_states_change_at_once(updates: dict[str, str], cleaned: bool) -> None:
    """Shift registers, swaps, inputs, constants, outputs and states without an update."""
    graph = shuffled(updates)
    graph = clean_up(graph) if cleaned else graph
    session, states = pe.Session(pe.compile(graph)), dict[str, np.ndarray]()
    for x in frames(5):
        expected = reference.run(graph, {"x": x}, states=states)["y"]
        np.testing.assert_array_equal(session.run([x])[0], expected)
        for name, value in session.state().items():
            np.testing.assert_array_equal(value, states[name])


def test_an_old_value_can_be_an_output() -> None:
    """It holds until the next run, though the state has changed; so does a reshape of it."""
    b = pe.GraphBuilder()
    x, s = b.input("x", (2, 3), "float32"), b.state("s", np.full((2, 3), 5.0))
    b.output("old", b.reshape(s, (6,)))
    b.update(s, b.add(s, x))
    session = pe.Session(pe.compile(b.build()))
    assert [session.run([np.ones((2, 3), np.float32)])[0][0] for _ in range(3)] == [5, 6, 7]


@pytest.mark.parametrize(
    "initial",
    [np.float32([[0, -0.0]]), np.float32([[1.5, 1.5]]), np.arange(6, dtype=np.int64), np.array([True, False, True])],
    ids=str,
)
def test_initial_values_are_kept_to_the_bit(initial: np.ndarray) -> None:
    """Equal elements are spread from one, others copied; -0 is not 0."""
    b = pe.GraphBuilder()
    s = b.state("s", initial)
    b.output("y", b.op("identity", s)[0])
    session = pe.Session(pe.compile(b.build()))
    assert session.state()["s"].tobytes() == initial.tobytes()
    assert session.state()["s"].dtype == initial.dtype


def test_codes_keep_their_scale() -> None:
    """An int8 state with scale and zero point; its next value must have both."""
    b = pe.GraphBuilder()
    x = b.input("x", (1, 4), "int8", scale=0.5, zero_point=3)
    s = b.state("s", np.full((1, 4), 3, np.int8), scale=0.5, zero_point=3)
    b.update(s, b.add(s, x, scale=0.5, zero_point=3))
    b.output("y", b.op("dequantize", s)[0])
    plan = pe.compile(b.build())
    assert (plan.states[0].scale, plan.states[0].zero_point) == (0.5, 3)
    session = pe.Session(plan)
    for i in range(3):
        np.testing.assert_array_equal(session.run([np.full((1, 4), 5, np.int8)])[0], np.full((1, 4), float(i)))
    b.update(b.state("t", np.zeros((1, 4), np.int8), scale=0.25), x)
    with pytest.raises(pe.ModelError, match=r"state 't' is int8 \(scale 0.25, zero point 0\), its next value 'x'"):
        b.build()


def test_profiling_leaves_the_states_reset() -> None:
    """As after a reset, whatever was run before."""
    session = pe.Session(pe.compile(accumulator(lambda b, s, x: b.add(s, x), initial=2.0)))
    session.run([np.ones((2, 3), np.float32)])
    session.profile([np.ones((2, 3), np.float32)], runs=3, warmup=1)
    assert (session.state()["s"] == 2).all()


def test_a_plan_shows_its_states() -> None:
    """plan.states, version, summary, to_dict, lifetimes: the states live all the time."""
    plan = pe.compile(streaming())
    assert [(t.name, t.shape, t.offset) for t in plan.states] == [
        ("line", (3, 4), 0),
        ("total", (1, 4), 48),
        ("last", (1, 4), 64),
    ]
    assert (plan.state_bytes, plan.version) == (80, (1, 2))
    assert "80 B   of the arena, kept from run to run: line float32[3, 4], total float32[1, 4]" in plan.summary()
    assert plan.to_dict()["states"] == [t.number for t in plan.states]
    spans = {t.tensor.name: (t.first, t.last) for t in plan.lifetimes()}
    for t in plan.states:
        assert spans[t.name] == (-1, len(plan.entry("main").ops))
    assert plan.tensor_bytes() >= plan.live_bytes() >= 80
    assert "line" in plan.svg()


def test_plans_without_states_are_of_the_version_before() -> None:
    """So that older readers take them."""
    b = pe.GraphBuilder()
    b.output("y", b.relu(b.input("x", (2,), "float32")))
    plan = pe.compile(b.build())
    assert (plan.version, plan.state_bytes, plan.states, list(plan.entries)) == ((1, 1), 0, (), ["main"])


# --- graphs ---------------------------------------------------------------------------------------------------------


def cell() -> pe.Graph:
    """A model that takes its state as an input and gives it back: h1 = h0 + x, y = relu(h1)."""
    b = pe.GraphBuilder()
    new = b.add(b.input("h0", (None, 3), "float32"), b.input("x", (1, 3), "float32"))
    b.output("h1", new)
    b.output("y", b.relu(new))
    return b.build()


def test_an_input_and_an_output_become_a_state() -> None:
    """make_state: neither is left outside; the graph that it was made of stays as it was."""
    before = cell()
    graph = before.make_state("h0", "h1", np.full((1, 3), -1, np.float32))
    assert (graph.input_names, graph.output_names) == (["x"], ["y"])
    assert (before.input_names, before.output_names, before.states) == (["h0", "x"], ["h1", "y"], [])
    session = pe.Session(pe.compile(graph))
    assert [float(session(np.ones((1, 3), np.float32))[0, 0]) for _ in range(4)] == [0, 1, 2, 3]


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        (("x", "h1"), None, ""),
        (("h", "h1"), pe.ModelError, "input \\(h0, x\\).*not 'h' and 'h1'"),
        (("h0", "h1"), pe.ShapeError, "'h0' has shape .*give make_state an initial value"),
        (("h0", "h1", np.zeros((2, 4), np.float32)), pe.ShapeError, "'h0' has shape .*its initial value"),
        (("h0", "h1", np.zeros((1, 3), np.int8)), pe.ShapeError, "initial value int8"),
    ],
    ids=str,
)
def test_make_state_says_what_does_not_fit(arguments: tuple[object, ...], error: type, message: str) -> None:
    """Names, open axes, shapes and dtypes."""
    if error is None:
        assert cell().make_state(*arguments).states[0].initial.shape == (1, 3)  # type: ignore[arg-type]
        return
    with pytest.raises(error, match=message):
        cell().make_state(*arguments)  # type: ignore[arg-type]


def test_a_builder_refuses_what_is_no_update() -> None:
    """Twice, of what is no state, of another shape; states inside cond()."""
    b = pe.GraphBuilder()
    x, s = b.input("x", (1, 4), "float32"), b.state("s", np.zeros((1, 3)))
    with pytest.raises(pe.ModelError, match="'x' is no state"):
        b.update(x, s)
    with pytest.raises(pe.ModelError, match="have no states"):
        b.cond(b.any_ge(x, 0.0), lambda g: g.state("t", [1.0]), lambda g: g.relu(x))
    b.update(s, x)
    with pytest.raises(pe.ModelError, match="two updates"):
        b.update(s, x)
    b.output("y", b.relu(x))
    with pytest.raises(pe.ShapeError, match=r"state 's' has shape \[1, 3\], its next value 'x' \[1, 4\]"):
        b.build()


@pytest.mark.parametrize(
    ("state", "message"),
    [
        (State("nowhere", "y", np.zeros(1)), "'nowhere' is no tensor"),
        (State("x", "y", np.zeros((1, 4), np.float32)), "'x' is an input or a state already"),
        (State("line", "line", np.zeros((3, 4), np.float32)), "'line' is an input or a state already"),
    ],
)
def test_a_graph_with_a_bad_state_is_refused(state: State, message: str) -> None:
    """By compile, whoever made the graph."""
    graph = streaming()
    graph.states.append(state)
    with pytest.raises(pe.ModelError, match=message):
        pe.compile(graph)


def test_a_next_value_that_nothing_gives_is_refused() -> None:
    """By its name."""
    graph = streaming()
    graph.states[0].next = "nowhere"
    with pytest.raises(pe.ModelError, match="next value of a state 'nowhere' is given by no op"):
        pe.compile(graph)


def test_clean_up_keeps_what_states_need() -> None:
    """Identities and equal ops in front of a next value go; the steps stay the same, and so does the graph given."""
    b = pe.GraphBuilder()
    x, s, t = b.input("x", (1, 4), "float32"), b.state("s", np.zeros((1, 4))), b.state("t", np.ones((1, 4)))
    b.update(s, b.op("identity", b.add(s, x))[0])
    b.update(t, b.op("transpose", b.op("transpose", b.add(s, x), perm=(1, 0))[0], perm=(1, 0))[0])
    b.output("y", b.add(t, b.constant(np.zeros(4)), activation="relu"))
    graph = b.build()
    names = [(state.name, state.next) for state in graph.states]
    clean = clean_up(graph)
    assert [(state.name, state.next) for state in graph.states] == names
    assert [op.kind for op in clean.ops].count("add") == 2
    assert {op.kind for op in clean.ops} == {"add"}
    a, c = pe.Session(pe.compile(graph)), pe.Session(pe.compile(clean))
    for frame in frames(4):
        np.testing.assert_array_equal(a.run([frame])[0], c.run([frame])[0])


def test_a_part_has_the_states_that_it_reads() -> None:
    """extract: with what updates them, and no others; a state can be fed instead."""
    graph = streaming()
    whole = extract(graph, ["x"], graph.output_names)
    assert [s.name for s in whole.states] == ["line", "total", "last"]  # last is the old total
    part = extract(graph, ["x"], [graph.states[0].next])
    assert [s.name for s in part.states] == ["line"]
    fed = extract(graph, ["x", "line"], [graph.states[0].next])
    assert fed.states == []


def test_states_cannot_be_quantized() -> None:
    """quantize says which one."""
    with pytest.raises(pe.ModelError, match="'line'"):
        pe.quantize(streaming(), {"x": np.ones((4, 4), np.float32)})
