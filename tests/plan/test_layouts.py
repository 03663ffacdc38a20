"""Constants in the layout of a board's kernels, and the same plan on this computer."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

import pyedge as pe
from pyedge import _core
from pyedge.demo import digits_int8
from pyedge.plan import structs
from pyedge.plan.layouts import canonical_rows, interleaved_rows, mixed_rows, unmixed_rows

shapes = st.one_of(
    st.tuples(st.integers(1, 6), st.integers(1, 3), st.integers(1, 3), st.integers(1, 5)),
    st.tuples(st.integers(1, 9), st.integers(1, 9)),
)


@given(arrays(np.int8, shapes, elements=st.integers(-127, 127)))
def test_mixed_rows_are_a_rearrangement(w: np.ndarray) -> None:
    """They have the bytes of the weights and give them back."""
    mixed = mixed_rows(w)
    assert mixed is not None and mixed.shape == w.shape and mixed.dtype == np.int8
    np.testing.assert_array_equal(unmixed_rows(mixed), w)


def test_words_of_mixed_rows_are_what_the_page_says() -> None:
    """Pairs in the order 0, 2, 1, 3, then one by one; fully connected has two pairs in turn; a lone row is left."""
    w = np.arange(-10, 10, dtype=np.int8).reshape(4, 5)
    pair = [[256 * b + a for a, b in zip(w[i].tolist(), w[i + 1].tolist(), strict=True)] for i in (0, 2)]
    order = (0, 2, 1, 3, 4)
    conv = mixed_rows(np.concatenate([w, w[:1]]).reshape(5, 1, 1, 5))
    assert conv is not None
    assert conv.tobytes()[:20] == np.array([p[i] for p in pair for i in order], "<i2").tobytes()
    assert conv.tobytes()[20:] == w[0].tobytes()
    linear = mixed_rows(w)
    assert linear is not None
    in_turn = [pair[p][i] for step in ((0, 2), (1, 3), (4,)) for p in (0, 1) for i in step]
    assert linear.tobytes() == np.array(in_turn, "<i2").tobytes()


@given(arrays(np.int8, st.tuples(st.integers(4, 40), st.integers(1, 9))))
def test_interleaved_rows_are_a_rearrangement(w: np.ndarray) -> None:
    """Of any weights; they have the bytes of w + 128 and give the weights back."""
    packed = interleaved_rows(w)
    assert packed is not None and packed.shape == w.shape and packed.dtype == np.int8
    np.testing.assert_array_equal(canonical_rows(packed), w)


def test_words_of_interleaved_rows_are_what_the_page_says() -> None:
    """Blocks of 16 rows, then of 4, by k, each byte w + 128; rows that are left, and fewer than four, stay."""
    w = np.random.default_rng(5).integers(-128, 128, (16 + 2 * 4 + 3, 5)).astype(np.int8)
    packed = interleaved_rows(w)
    assert packed is not None
    blocks = [(w[rows].astype(int) + 128).T for rows in (slice(16), slice(16, 20), slice(20, 24))]
    assert packed.tobytes() == b"".join(b.astype(np.uint8).tobytes() for b in blocks) + w[24:].tobytes()
    assert interleaved_rows(w[:3]) is None


@pytest.mark.parametrize("board, layout", [("mps2-an386", "mixed-rows"), ("virt-rv32", "interleaved-rows")])
def test_a_plan_of_another_layout_runs_here(board: str, layout: str) -> None:
    """Its bytes are the board's, its tensors and results those of a plan for this computer."""
    x = np.random.default_rng(0).integers(-128, 128, (1, 8, 8, 1)).astype(np.int8)
    ours, theirs = (pe.compile(digits_int8(), board=name) for name in ("host", board))
    assert bytes(theirs.data[16:20]) == structs.LAYOUTS[layout].to_bytes(4, "little")
    again = pe.Plan(bytes(theirs.data))
    assert again.crc32 == theirs.crc32 and bytes(again.data) == bytes(theirs.data)
    for plan in (theirs, again):
        np.testing.assert_array_equal(pe.Session(plan).run([x])[0], pe.Session(ours).run([x])[0])
        for op, same in zip(plan.ops, ours.ops, strict=True):
            for a, b in zip(op.inputs, same.inputs, strict=True):
                if a is not None and b is not None and plan.tensors[a].data is not None:
                    np.testing.assert_array_equal(plan.tensors[a].data, ours.tensors[b].data)


def test_the_executor_takes_no_layout_of_another_board() -> None:
    data = bytes(pe.compile(digits_int8(), board="mps2-an386").data)
    with pytest.raises(_core.PlanRefused, match="kernels of another board"):
        _core.Plan(data)
    with pytest.raises(_core.PlanRefused, match="kernels of another board"):
        _core.Session(_core.Plan(data, any_layout=True))


def test_only_weights_have_a_layout() -> None:
    """A tensor of another kind, or an op that reads the constant otherwise, is refused."""
    plan = pe.compile(digits_int8(), board="mps2-an386")
    image = np.frombuffer(plan.data, np.uint8).copy()
    header = np.frombuffer(plan.data, structs.record_dtype("pe_plan_header"), 1)[0]
    start, size = (int(header["tensors"][name]) for name in ("offset", "bytes"))
    tensors = image[start : start + size].view(structs.record_dtype("pe_tensor"))
    q, x = plan.ops[0].inputs[2], plan.ops[0].inputs[0]
    for number, message in ((q, "does not take"), (x, "not that of the plan's constants")):
        tensors["layout"][number] = 1
        with pytest.raises(_core.PlanRefused, match=message):
            _core.Plan(image.tobytes(), skip_crc=True, any_layout=True)
        tensors["layout"][number] = 0


def test_weights_of_convolutions_are_not_interleaved() -> None:
    plan = pe.compile(digits_int8(), board="virt-rv32")
    image = np.frombuffer(plan.data, np.uint8).copy()
    header = np.frombuffer(plan.data, structs.record_dtype("pe_plan_header"), 1)[0]
    start, size = (int(header["tensors"][name]) for name in ("offset", "bytes"))
    tensors = image[start : start + size].view(structs.record_dtype("pe_tensor"))
    w = next(op.inputs[1] for op in plan.ops if op.kind == "conv2d_s8")
    tensors["layout"][w] = structs.LAYOUTS["interleaved-rows"]
    with pytest.raises(_core.PlanRefused, match="interleaved rows are of linear_s8"):
        _core.Plan(image.tobytes(), skip_crc=True, any_layout=True)
