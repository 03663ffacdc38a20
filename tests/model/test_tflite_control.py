"""IF and WHILE of TFLite files with several subgraphs."""

import numpy as np
import pytest
from tflite_maker import O, T, model

import pyedge as pe
from pyedge.errors import UnsupportedOpError
from pyedge.model.reference import run
from pyedge.model.tflite import load_tflite

X = np.array([[1.0, -2.0, 3.0]], np.float32)
EXP = ([T("a", [1, 3]), T("e", [1, 3])], [O("EXP", [0], [1])], [0], [1])


def scalar(name, value) -> T:
    return T(name, [], "int32", np.int32(value))


def if_model(shape=(1,)) -> bytes:
    """then: exp(x); else: x as it is."""
    tensors = [T("c", list(shape), "bool"), T("x", [1, 3]), T("y", [1, 3]), T("z", [1, 3])]
    fields = {"ThenSubgraphIndex": 1, "ElseSubgraphIndex": 2}
    ops = [O("IF", [0, 1], [2], "IfOptions", fields), O("NEG", [2], [3])]
    return model(tensors, ops, [0, 1], [2, 3], EXP, ([T("a", [1, 3])], [], [0], [0]))


@pytest.mark.parametrize("shape", [(1,), ()])
@pytest.mark.parametrize("holds", [True, False])
def test_if_runs_one_of_two_subgraphs(shape, holds):
    """An arm may hand on its input; its result may be an output and be read."""
    graph = load_tflite(if_model(shape))
    inputs = {"c": np.full(shape, holds), "x": X}
    expected = np.exp(X) if holds else X
    for found in (pe.Session(pe.compile(graph)).run(inputs), run(graph, inputs)):
        np.testing.assert_allclose(found["y"], expected, rtol=1e-6)
        np.testing.assert_allclose(found["z"], -expected, rtol=1e-6)


def loop_model(limit: T, inputs: list[int]) -> bytes:
    """i = 0; while i < limit: x, i = x + x, i + 1."""
    tensors = [T("x", [1, 3]), scalar("i", 0), limit, T("y", [1, 3]), T("steps", [], "int32"), T("l", [], "int32")]
    condition = (
        [T("x", [1, 3]), T("i", [], "int32"), T("limit", [], "int32"), T("c", [], "bool")],
        [O("LESS", [1, 2], [3], "LessOptions")],
        [0, 1, 2],
        [3],
    )
    body = (
        [
            *(T("x", [1, 3]), T("i", [], "int32"), T("limit", [], "int32"), scalar("one", 1)),
            *(T("y", [1, 3]), T("j", [], "int32")),
        ],
        [O("ADD", [0, 0], [4], "AddOptions"), O("ADD", [1, 3], [5], "AddOptions")],
        [0, 1, 2],
        [4, 5, 2],
    )
    fields = {"CondSubgraphIndex": 1, "BodySubgraphIndex": 2}
    op = O("WHILE", [0, 1, 2], [3, 4, 5], "WhileOptions", fields)
    return model(tensors, [op], inputs, [3, 4], condition, body)


@pytest.mark.parametrize("steps", [0, 1, 5])
def test_a_loop_of_known_steps_is_written_out(steps):
    """The counter is computed at load; what is left is the body, once a step."""
    graph = load_tflite(loop_model(scalar("limit", steps), [0]))
    assert [op.kind for op in graph.ops].count("add") == steps
    for found in (pe.Session(pe.compile(graph)).run({"x": X}), run(graph, {"x": X})):
        np.testing.assert_array_equal(found["y"], X * 2**steps)
        assert found["steps"] == steps


def test_a_loop_whose_steps_depend_on_the_input_is_refused():
    """By name, with the reason."""
    with pytest.raises(UnsupportedOpError, match=r"WHILE .*the number of its steps depends on the input"):
        load_tflite(loop_model(T("limit", [], "int32"), [0, 2]))


def test_an_endless_loop_is_refused():
    """A condition that stays true ends the reading, not the machine."""
    with pytest.raises(UnsupportedOpError, match=r"WHILE .*more than 4096 operators"):
        load_tflite(loop_model(scalar("limit", 2**31 - 1), [0]))


def test_what_an_arm_lacks_is_named():
    """The operator, the subgraph and the tensor."""
    fields = {"ThenSubgraphIndex": 1, "ElseSubgraphIndex": 1}
    arm = ([T("a", [1, 3]), T("u", [1, 3])], [O("UNIQUE", [0], [1])], [0], [1])
    tensors = [T("c", [1], "bool"), T("x", [1, 3]), T("y", [1, 3])]
    data = model(tensors, [O("IF", [0, 1], [2], "IfOptions", fields)], [0, 1], [2], arm)
    with pytest.raises(UnsupportedOpError, match=r"IF .*in subgraph 1: UNIQUE \(operator 0"):
        load_tflite(data)


def test_a_subgraph_that_includes_itself_is_refused():
    """Twice, in both arms: neither the depth nor the number of inclusions is without bound."""
    fields = {"ThenSubgraphIndex": 1, "ElseSubgraphIndex": 1}
    tensors = [T("c", [1], "bool"), T("x", [1, 3]), T("y", [1, 3])]
    again = (tensors, [O("IF", [0, 0, 1], [2], "IfOptions", fields)], [0, 1], [2])
    with pytest.raises(UnsupportedOpError, match="nested too deep"):
        load_tflite(model(tensors, [O("IF", [0, 0, 1], [2], "IfOptions", fields)], [0, 1], [2], again))
