"""Shared memory never changes a value: programs are replayed on an arena that is poisoned wherever nothing lives."""

from __future__ import annotations

import numpy as np
import pytest
from plan_graphs import early_exit, random_graph, small_cnn, two_entries

import pyedge as pe
from pyedge import _core
from pyedge.model.ops import infer_shapes
from pyedge.plan import lifetimes, structs
from pyedge.plan.lifetimes import layout
from pyedge.plan.lower import lower
from pyedge.plan.program import Program
from pyedge.plan.schedule import schedule

GRAPHS = {
    "small_cnn": small_cnn(),
    "early_exit": early_exit(),
    **two_entries(),
    **{f"random {seed}": random_graph(seed) for seed in range(40)},
}


def replay(program: Program, places: lifetimes.Layout, inputs: list[np.ndarray]) -> list[np.ndarray]:
    """Runs a program op by op on an arena, and fails where a value is no longer what an op has written.

    Values that no later step reads, and each op's scratch, are filled with 0xA5 as soon as the op has run.
    """
    arena = np.full(places.arena_bytes, 0xA5, np.uint8)
    truth: dict[int, np.ndarray] = {}  # what each storage holds

    def span(number: int) -> slice:
        value = program.values[number]
        return slice(places.offsets[number], places.offsets[number] + value.bytes)

    def write(number: int, data: np.ndarray) -> None:
        arena[span(number)] = np.frombuffer(data.tobytes(), np.uint8)
        truth[program.values[number].storage] = arena[span(number)].copy()

    def read(number: int) -> np.ndarray:
        value = program.values[number]
        if value.data is not None:
            return np.ascontiguousarray(value.data)
        np.testing.assert_array_equal(arena[span(number)], truth[value.storage], f"{value.name} was overwritten")
        return arena[span(number)].copy().view(value.dtype).reshape(value.dims)

    last: dict[int, int] = {}
    for i, step in enumerate(program.steps):
        last.update({program.values[n].storage: i for n in (*step.inputs, *step.outputs) if n is not None})
    last.update({program.values[n].storage: len(program.steps) for n in program.outputs})
    for number, data in zip(program.inputs, inputs, strict=True):
        write(number, data)
    i = 0
    while i < len(program.steps):
        step = program.steps[i]
        values = [None if n is None else read(n) for n in step.inputs]
        if step.kind == "branch":
            when = structs.unpack_params("branch", step.params)["when"]
            jump = not values or bool(values[0].any()) == bool(when)
            i = step.target if jump else i + 1
            continue
        results = [np.empty(program.values[n].dims, program.values[n].dtype) for n in step.outputs]
        _core.op_run(structs.KINDS[step.kind], step.params, values, results)
        arena[places.scratch[i] : places.scratch[i] + step.scratch_bytes] = 0xA5
        for number in (n for n in step.inputs if n is not None):
            value = program.values[number]
            if value.data is None and last[value.storage] == i:
                arena[span(number)] = 0xA5
        for number, result in zip(step.outputs, results, strict=True):
            write(number, result)
        i += 1
    return [read(n) for n in program.outputs]


def random_inputs(graph: pe.Graph, seed: int) -> list[np.ndarray]:
    rng = np.random.default_rng(seed)
    return [
        rng.integers(-128, 128, t.shape, np.int8) if t.dtype == "int8" else rng.normal(size=t.shape).astype(np.float32)
        for t in graph.inputs
    ]


@pytest.mark.parametrize("name", GRAPHS)
@pytest.mark.parametrize("keep", [None, "all"])
def test_no_value_is_overwritten(name: str, keep: lifetimes.Keep) -> None:
    """The replay on a poisoned arena gives the session's outputs."""
    graph = schedule(infer_shapes(GRAPHS[name]))
    program = lower(graph, keep=keep)
    session = pe.Session(pe.compile(graph, keep=keep))
    for seed in range(3):
        inputs = random_inputs(graph, seed)
        expected = session.run(inputs)
        for a, b in zip(replay(program, layout(program, keep), inputs), expected, strict=True):
            np.testing.assert_array_equal(a, b)


def test_a_wrong_layout_is_noticed() -> None:
    """The replay can fail: all tensors at offset 0 are overwritten."""
    graph = infer_shapes(small_cnn())
    program = lower(graph)
    places = layout(program)
    places.offsets = dict.fromkeys(places.offsets, 0)
    with pytest.raises(AssertionError, match="was overwritten"):
        replay(program, places, random_inputs(graph, 0))


def test_ops_run_in_place_where_the_input_dies() -> None:
    """A chain of element-wise ops takes the memory of one tensor; a value that is read again keeps its own."""
    b = pe.GraphBuilder()
    x = b.input("x", (1, 64), "int8", scale=0.1)
    h = b.relu(b.add(b.quantize(x, 0.2, 5), x, scale=0.3, zero_point=-4))
    b.output("y", b.clip(h, max=3.0))
    # x dies in the add, and the result of quantize with it: two tensors at most
    assert pe.compile(b.build()).arena_bytes == 128
    b = pe.GraphBuilder()
    b.output("y", b.relu6(b.relu(b.input("x", (1, 64), "float32"))))
    assert pe.compile(b.build()).arena_bytes == 256


def test_a_broadcast_operand_is_not_written_over() -> None:
    """add(a[4], b[4, 4]) runs in place of b, never of a."""
    b = pe.GraphBuilder()
    a, c = b.input("a", (4,), "float32"), b.input("b", (4, 4), "float32")
    b.output("y", b.add(a, c))
    plan = pe.compile(b.build())
    assert plan.outputs[0].offset == plan.inputs[1].offset
    y = pe.Session(plan)(np.arange(4, dtype=np.float32), np.ones((4, 4), np.float32))
    np.testing.assert_array_equal(y, np.tile(np.arange(4, dtype=np.float32) + 1, (4, 1)))


def test_inputs_and_outputs_that_are_one_tensor() -> None:
    """An output that is an input, a view of one, or a constant keeps its value."""
    b = pe.GraphBuilder()
    x = b.input("x", (2, 2), "float32")
    b.output("flat", b.reshape(x, (4,)))
    b.output("sum", b.add(x, x))
    b.output("five", b.reshape(b.constant(np.float32([5])), (1, 1)))
    graph = b.build()
    graph.output_names.append("x")
    for keep in (None, "all"):
        flat, total, five, same = pe.Session(pe.compile(graph, keep=keep)).run([np.float32([[1, 2], [3, 4]])])
        np.testing.assert_array_equal(flat, [1, 2, 3, 4])
        np.testing.assert_array_equal(total, [[2, 4], [6, 8]])
        np.testing.assert_array_equal(five, [[5]])
        np.testing.assert_array_equal(same, [[1, 2], [3, 4]])


def test_an_input_that_nothing_reads_has_a_place_of_its_own() -> None:
    """Writing an unused input does not damage another."""
    b = pe.GraphBuilder()
    x, _ = b.input("x", (1, 8), "float32"), b.input("unused", (1, 8), "float32")
    b.output("y", b.relu(x))
    y = pe.Session(pe.compile(b.build())).run([np.full((1, 8), 7, np.float32), np.full((1, 8), -1, np.float32)])
    np.testing.assert_array_equal(y[0], np.full((1, 8), 7))


def test_arms_do_not_share_an_output_with_what_the_other_arm_reads() -> None:
    """One arm could compute the first output in place of s; the other reads s after it has written that output."""
    b = pe.GraphBuilder()
    x = b.input("x", (1, 8), "float32")
    p, s = b.add(x, x), b.add(x, b.constant(np.float32([1])))
    outputs = b.cond(
        b.any_ge(x, 0.0),
        lambda inner: [inner.relu(p), inner.add(s, s)],
        lambda inner: [inner.relu(s), inner.constant(np.zeros((1, 8), np.float32))],
    )
    for name, tensor in zip(("first", "second"), outputs, strict=True):
        b.output(name, tensor)
    x_value = np.full((1, 8), 3, np.float32)
    first, second = pe.Session(pe.compile(b.build())).run([x_value])
    np.testing.assert_array_equal(first, 2 * x_value)
    np.testing.assert_array_equal(second, 2 * (x_value + 1))
