"""bfloat16 without the package ml_dtypes: arrays are uint16 codes, and mean the same numbers."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
import pytest

import pyedge as pe
from pyedge.model import reference
from pyedge.model.graph import array_dtype

SPECIAL = [0.0, -0.0, 1.0, -2.5, 3e38, -3e38, 1e-40, np.inf, -np.inf, np.nan, 257.0, 1.00390625]


def codes(x: Any) -> np.ndarray:
    """float32 numbers whose lower 16 bits are zero, as bfloat16 codes."""
    return (np.asarray(x, np.float32).view(np.uint32) >> 16).astype(np.uint16)


def graph() -> pe.Graph:
    b = pe.GraphBuilder()
    x, y = (b.input(n, (64,), "bfloat16") for n in "xy")
    for kind in ("add", "sub", "mul", "div", "max", "pow", "floor_div"):
        attrs = {"activation": None} if kind == "add" else {}
        b.output(kind, b.op(kind, x, y, **attrs)[0])
    for kind in ("abs", "neg", "exp", "sqrt", "floor", "sigmoid", "relu", "identity"):
        b.output(kind, b.op(kind, x)[0])
    less = b.op("less", x, y)[0]
    b.output("where", b.op("where", less, x, y)[0])
    b.output("concat", b.op("concat", x, y, axis=0)[0])
    return b.build()


def numbers() -> list[np.ndarray]:
    r = np.random.default_rng(0)
    return [codes(np.concatenate([r.permutation(SPECIAL), r.normal(size=64 - len(SPECIAL)) * 10])) for _ in range(2)]


def test_codes_and_numbers_of_ml_dtypes_are_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each op of the reference gives, from codes, the codes of what it gives from ml_dtypes' numbers."""
    ml_dtypes = pytest.importorskip("ml_dtypes")
    feeds = dict(zip("xy", numbers(), strict=True))
    wanted = reference.run(graph(), {n: v.view(ml_dtypes.bfloat16) for n, v in feeds.items()})
    monkeypatch.setitem(sys.modules, "ml_dtypes", None)
    assert array_dtype("bfloat16") == np.uint16
    found = reference.run(graph(), feeds)
    for name, value in wanted.items():
        assert found[name].dtype == np.uint16
        assert not np.isnan(value.astype(np.float32)).all()
        np.testing.assert_array_equal(found[name], value.view(np.uint16), err_msg=name)


def test_a_session_gives_the_reference_s_codes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without ml_dtypes, compiled: within one code, by exp and pow, and the same codes elsewhere."""
    monkeypatch.setitem(sys.modules, "ml_dtypes", None)
    feeds = dict(zip("xy", numbers(), strict=True))
    wanted, found = reference.run(graph(), feeds), pe.Session(pe.compile(graph())).run(feeds)
    for name, value in wanted.items():
        nan = (value & 0x7FFF) > 0x7F80
        assert np.array_equal(nan, (found[name] & 0x7FFF) > 0x7F80)
        zeros = ((value | found[name]) & 0x7FFF) == 0  # the larger of 0 and -0 is either
        apart = np.abs(found[name].astype(int) - value.astype(int))[~nan & ~zeros]
        assert apart.max() <= (1 if name in ("exp", "pow", "sigmoid", "sqrt") else 0), name


def test_constants_are_folded_from_codes(monkeypatch: pytest.MonkeyPatch) -> None:
    """1.5 + 0.25 is 1.75, not a sum of codes."""
    from pyedge.compress.constants import fold_constants

    monkeypatch.setitem(sys.modules, "ml_dtypes", None)
    b = pe.GraphBuilder()
    x = b.input("x", (1,), "bfloat16")
    to: dict[str, Any] = {
        "to": "bfloat16",
        "saturate": True,
        "round_mode": "up",
        "from_format": None,
        "to_format": None,
    }
    a, c = (b.op("cast", np.float32([v]), **to)[0] for v in (1.5, 0.25))
    b.output("y", b.op("add", x, b.op("add", a, c, activation=None)[0], activation=None)[0])
    folded = fold_constants(b.build())
    assert [op.kind for op in folded.ops] == ["add"]
    (value,) = (t.data for t in folded.tensors.values() if t.data is not None and t.name in folded.ops[0].inputs)
    assert value is not None
    assert value.tolist() == codes([1.75]).tolist()
